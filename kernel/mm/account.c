/* SPDX-License-Identifier: MIT
 *
 * Limit accounts. A charge adds at every level first and looks at the limit after: two charges that
 * race may both see the sum of both and both fail, but never may both pass a limit they exceed.
 */
#include "mm/account.h"

#include "lib/errno.h"
#include "lib/log.h"

struct account account_root_memory = {.limit = S64_MAX};

void account_init(struct account *a, struct account *parent, void *owner)
{
    a->parent = parent;
    a->limit = S64_MAX;
    a->owner = owner;
    atomic_set(&a->used, 0);
    atomic_set(&a->peak, 0);
    atomic_set(&a->failures, 0);
}

static inline void account_add(struct account *a, s64 n, s64 *used)
{
    *used = atomic_add(&a->used, n);
    if (*used > atomic_read(&a->peak) && *used <= READ_ONCE(a->limit))
        atomic_set(&a->peak, *used); /* a statistic: a lost race loses one sample */
}

int account_charge(struct account *a, u64 n, struct account **failed)
{
    struct account *at;
    s64 used;

    for (at = a; at; at = at->parent) {
        account_add(at, (s64)n, &used);
        if (unlikely(used > READ_ONCE(at->limit)))
            goto undo;
    }
    return 0;

undo:
    atomic_inc(&at->failures);
    if (failed)
        *failed = at;
    for (;; a = a->parent) {
        atomic_sub(&a->used, (s64)n);
        if (a == at)
            return -ENOMEM;
    }
}

void account_charge_forced(struct account *a, u64 n)
{
    s64 used;

    for (; a; a = a->parent) {
        used = atomic_add(&a->used, (s64)n);
        if (used > atomic_read(&a->peak))
            atomic_set(&a->peak, used);
    }
}

void account_uncharge(struct account *a, u64 n)
{
    for (; a; a = a->parent) {
        s64 used __maybe_unused = atomic_sub(&a->used, (s64)n);

        DEBUG_ASSERT(used >= 0);
    }
}
