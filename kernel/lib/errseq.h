/* SPDX-License-Identifier: MIT
 *
 * An error that is reported to each of many watchers once: what went wrong with a store since the
 * watcher last asked. The watcher keeps a sample, a number; the sequence keeps the last error, a
 * count that moves with each new one, and whether any watcher has seen it: an error that none has
 * seen needs no new count, and a watcher that comes later gets it.
 *
 * Context: any; no lock.
 */
#pragma once

#include "lib/atomic.h"

/* bits 0-11 the error, bit 12: seen, above: the count */
struct errseq {
    u32 v; /* a */
};
#define ERRSEQ_ERROR 0xfffU
#define ERRSEQ_SEEN 0x1000U
#define ERRSEQ_STEP 0x2000U

/* err: -errno, -4095..-1. */
static inline void errseq_set(struct errseq *e, int err)
{
    u32 was = READ_ONCE(e->v), now;

    do {
        now = (was & ~(ERRSEQ_ERROR | ERRSEQ_SEEN)) | ((u32)-err & ERRSEQ_ERROR);
        if (was & ERRSEQ_SEEN)
            now += ERRSEQ_STEP;
    } while (
        !__atomic_compare_exchange_n(&e->v, &was, now, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

/* Where a new watcher begins: it gets later errors, and one that no watcher has seen yet. */
static inline u32 errseq_sample(const struct errseq *e)
{
    u32 now = READ_ONCE(e->v);

    return now & ERRSEQ_SEEN ? now : 0;
}

/* 0, or -errno of the last error since *sample was taken; the watcher is notified of it this once.
 * Watchers that share a sample are notified of it once together if they take turns here. */
static inline int errseq_check(struct errseq *e, u32 *sample)
{
    u32 now = READ_ONCE(e->v), seen = now | ERRSEQ_SEEN;

    if (now == *sample)
        return 0;
    /* Where another error comes in between, its count differs: it is reported the next time. */
    __atomic_compare_exchange_n(&e->v, &now, seen, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    *sample = seen;
    return -(int)(seen & ERRSEQ_ERROR);
}
