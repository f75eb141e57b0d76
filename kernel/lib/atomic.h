/* SPDX-License-Identifier: MIT
 *
 * Atomic integers. The plain names are sequentially consistent (one LOCK instruction on x86); names
 * ending in _relaxed order nothing. READ_ONCE/WRITE_ONCE serve plain words.
 */
#pragma once

#include "lib/types.h"

typedef struct {
    s32 v;
} atomic_t;
typedef struct {
    s64 v;
} atomic64_t;

#define atomic_read(p) __atomic_load_n(&(p)->v, __ATOMIC_RELAXED)
#define atomic_set(p, x) __atomic_store_n(&(p)->v, x, __ATOMIC_RELAXED)
#define atomic_store_release(p, x) __atomic_store_n(&(p)->v, x, __ATOMIC_RELEASE)
/* Each returns the new value, but for fetch_* and xchg, which return the old. */
#define atomic_add(p, x) __atomic_add_fetch(&(p)->v, x, __ATOMIC_SEQ_CST)
#define atomic_sub(p, x) __atomic_sub_fetch(&(p)->v, x, __ATOMIC_SEQ_CST)
#define atomic_inc(p) atomic_add(p, 1)
#define atomic_dec(p) atomic_sub(p, 1)
#define atomic_xchg(p, x) __atomic_exchange_n(&(p)->v, x, __ATOMIC_SEQ_CST)
/* True and stores `new` when the value was *old; else false and *old is the value seen. */
#define atomic_cas(p, old, new) \
    __atomic_compare_exchange_n(&(p)->v, old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)

#define load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store_release(p, x) __atomic_store_n(p, x, __ATOMIC_RELEASE)
#define smp_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define cpu_relax() __builtin_ia32_pause()
