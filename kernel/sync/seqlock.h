/* SPDX-License-Identifier: MIT
 *
 * Sequence counters: readers of small data retry when a writer was at work. Writers exclude each
 * other by a lock of their own and run with interrupts off where readers may be interrupt handlers.
 */
#pragma once

#include "lib/atomic.h"
#include "lib/types.h"

struct seqcount {
    u32 v; /* odd while a writer is inside */
};

static inline u32 seqcount_read_begin(const struct seqcount *s)
{
    u32 v;

    while ((v = __atomic_load_n(&s->v, __ATOMIC_ACQUIRE)) & 1)
        cpu_relax();
    return v;
}

static inline bool seqcount_read_retry(const struct seqcount *s, u32 begin)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&s->v, __ATOMIC_RELAXED) != begin;
}

static inline void seqcount_write_begin(struct seqcount *s)
{
    __atomic_store_n(&s->v, s->v + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void seqcount_write_end(struct seqcount *s)
{
    __atomic_store_n(&s->v, s->v + 1, __ATOMIC_RELEASE);
}
