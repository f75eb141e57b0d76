/* SPDX-License-Identifier: MIT
 *
 * Reference counts that saturate instead of wrapping: an object whose count ran away leaks, it is
 * never freed too early.
 */
#pragma once

#include "lib/atomic.h"
#include "lib/types.h"

typedef struct {
    s32 v;
} refcount_t;

#define REFCOUNT_SATURATED (1 << 30)

static inline void refcount_init(refcount_t *r, s32 n)
{
    r->v = n;
}

static inline s32 refcount_read(const refcount_t *r)
{
    return __atomic_load_n(&r->v, __ATOMIC_RELAXED);
}

static inline void refcount_get(refcount_t *r)
{
    s32 old = __atomic_fetch_add(&r->v, 1, __ATOMIC_RELAXED);

    if (unlikely(old <= 0 || old >= REFCOUNT_SATURATED))
        __atomic_store_n(&r->v, REFCOUNT_SATURATED, __ATOMIC_RELAXED);
}

/* n more, which refcount_put_many may take back in other portions. */
static inline void refcount_get_many(refcount_t *r, s32 n)
{
    s32 old = __atomic_fetch_add(&r->v, n, __ATOMIC_RELAXED);

    if (unlikely(old <= 0 || old >= REFCOUNT_SATURATED - n))
        __atomic_store_n(&r->v, REFCOUNT_SATURATED, __ATOMIC_RELAXED);
}

/* For look-ups of objects that may be on their way out: false when the count was 0 already. */
static inline __must_check bool refcount_get_unless_zero(refcount_t *r)
{
    s32 old = __atomic_load_n(&r->v, __ATOMIC_RELAXED);

    while (old != 0)
        if (__atomic_compare_exchange_n(&r->v, &old, old >= REFCOUNT_SATURATED ? old : old + 1,
                                        true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return true;
    return false;
}

/* True for the last one: the caller destroys the object. */
static inline bool refcount_put_many(refcount_t *r, s32 n)
{
    s32 old;

    if (unlikely(refcount_read(r) >= REFCOUNT_SATURATED))
        return false;
    old = __atomic_fetch_sub(&r->v, n, __ATOMIC_ACQ_REL);
    if (unlikely(old < n))
        __atomic_store_n(&r->v, REFCOUNT_SATURATED, __ATOMIC_RELAXED);
    return old == n;
}

static inline bool refcount_put(refcount_t *r)
{
    return refcount_put_many(r, 1);
}

/* For caches, which have a reference of their own: how many are left. */
static inline s32 refcount_put_left(refcount_t *r)
{
    if (unlikely(refcount_read(r) >= REFCOUNT_SATURATED))
        return REFCOUNT_SATURATED;
    return __atomic_sub_fetch(&r->v, 1, __ATOMIC_ACQ_REL);
}

/* All n of the caller's are given up, if there are no others: look-ups get none from here on. */
static inline __must_check bool refcount_end_many(refcount_t *r, s32 n)
{
    return __atomic_compare_exchange_n(&r->v, &n, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* The same of a cache, which has one. */
static inline __must_check bool refcount_end(refcount_t *r)
{
    return refcount_end_many(r, 1);
}
