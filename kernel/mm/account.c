/* SPDX-License-Identifier: MIT
 *
 * Limit accounts. A charge adds at every level first and looks at the limit after: two charges that
 * race may both see the sum of both and both fail, but never may both pass a limit they exceed.
 */
#include "mm/account.h"

#include "lib/errno.h"
#include "lib/log.h"
#include "mm/mm_priv.h"
#include "mm/up.h"

#define STOCK_BATCH 8 /* pages that a stock is filled with, and comes back to */

#define ROOT_CACHE(kind)                                                 \
    {                                                                    \
        .items = LIST_INIT(account_root_memory.cached[kind].items),      \
        .accounts = LIST_INIT(account_root_memory.cached[kind].accounts) \
    }
struct account account_root_memory = {
    .limit = S64_MAX,
    .high = S64_MAX,
    .cached = {ROOT_CACHE(ACCOUNT_NAMES), ROOT_CACHE(ACCOUNT_INODES), ROOT_CACHE(ACCOUNT_PAGES)},
};
DEFINE_PER_CPU(struct account *, account_of_cpu);

void account_init(struct account *a, struct account *parent, void *owner)
{
    a->parent = parent;
    a->limit = a->high = S64_MAX;
    a->low = a->min = 0;
    for (unsigned i = 0; i < ACCOUNT_USES; i++)
        atomic_set(&a->uses[i], 0);
    for (unsigned i = 0; i < ARRAY_SIZE(a->io); i++) {
        atomic_set(&a->io[i].bytes, 0);
        atomic_set(&a->io[i].requests, 0);
    }
    a->owner = owner;
    atomic_set(&a->used, 0);
    atomic_set(&a->peak, 0);
    atomic_set(&a->stock, 0);
    atomic_set(&a->state, ACCOUNT_OPEN);
    atomic_set(&a->emptying, 0);
    atomic_set(&a->dirty, 0);
    atomic_set(&a->writing, 0);
    for (unsigned i = 0; i < ACCOUNT_CACHED; i++) {
        list_init(&a->cached[i].items);
        list_init(&a->cached[i].accounts);
        a->cached[i].count = 0;
    }
}

/* Of a charge that was granted at every level. A statistic: a lost race loses one sample. */
static inline void account_note_peaks(struct account *a)
{
    for (; a; a = a->parent) {
        s64 used = MIN(atomic_read(&a->used), READ_ONCE(a->limit));

        if (used > atomic_read(&a->peak))
            atomic_set(&a->peak, used);
    }
}

/* How far an account may go for whom. */
static inline s64 account_bound(const struct account *a, bool slack)
{
    s64 limit = READ_ONCE(a->limit);

    return slack && limit < S64_MAX - ACCOUNT_SLACK ? limit + MIN(ACCOUNT_SLACK, limit / 8) : limit;
}

static int account_charge_within(struct account *a, u64 n, bool slack, struct account **failed)
{
    struct account *at;
    bool high = false, grew = false;
    s64 used;

    for (at = a; at; at = at->parent) {
        used = atomic_add(&at->used, (s64)n);
        if (unlikely(used > account_bound(at, slack)))
            goto undo;
        high |= used > READ_ONCE(at->high);
        grew |= used > atomic_read(&at->peak);
    }
    if (grew)
        account_note_peaks(a);
    if (unlikely(high))
        up_memory_short();
    return 0;

undo:
    if (failed)
        *failed = at;
    for (;; a = a->parent) {
        atomic_sub(&a->used, (s64)n);
        if (a == at)
            return -ENOMEM;
    }
}

/* The root has no limit: it never does. */
static bool account_may_refuse(const struct account *a)
{
    return a->parent && FAILPOINT(account_charge);
}

int account_charge(struct account *a, u64 n, struct account **failed)
{
    if (account_may_refuse(a)) {
        if (failed)
            *failed = a;
        return -ENOMEM;
    }
    return account_charge_within(a, n, false, failed);
}

int account_charge_kernel(struct account *a, u64 pages)
{
    int err;

    if (!a)
        return 0;
    if (account_may_refuse(a))
        return -ENOMEM;
    err = account_charge_within(a, pages, false, NULL);
    if (unlikely(err)) {
        err = account_charge_within(a, pages, true, NULL);
        up_memory_short();
    }
    if (likely(!err))
        account_use(a, ACCOUNT_KERNEL, (s64)pages);
    return err;
}

void account_uncharge_kernel(struct account *a, u64 pages)
{
    account_use(a, ACCOUNT_KERNEL, -(s64)pages);
    account_uncharge(a, pages);
}

/* n bytes more than there were have been taken out. */
int account_stock_fill(struct account *a, u64 n)
{
    u64 pages = STOCK_BATCH;

    if (account_charge_within(a, pages, false, NULL)) {
        pages = PAGE_ALIGN(n) >> PAGE_SHIFT;
        if (account_charge_kernel(a, pages)) {
            atomic_add(&a->stock, (s64)n);
            return -ENOMEM;
        }
    } else {
        account_use(a, ACCOUNT_KERNEL, (s64)pages);
    }
    atomic_add(&a->stock, (s64)(pages << PAGE_SHIFT));
    return 0;
}

void account_io(struct account *a, bool write, u64 n)
{
    for (; a; a = a->parent) {
        atomic_add(&a->io[write].bytes, (s64)n);
        atomic_inc(&a->io[write].requests);
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

/* Nothing is charged to a closed account any more. Pairs with account_close. */
static void account_emptied(struct account *a)
{
    s32 closed = ACCOUNT_CLOSED;

    if (atomic_cas(&a->state, &closed, ACCOUNT_GONE))
        up_account_empty(a);
}

/* An account that was reported empty stays readable until a grace period has passed: we go on to
 * its parent. */
void account_uncharge(struct account *a, u64 n)
{
    for (; a; a = a->parent) {
        s64 used = atomic_sub(&a->used, (s64)n);

        DEBUG_ASSERT(used >= 0);
        if (unlikely(used == 0 && atomic_read(&a->state) == ACCOUNT_CLOSED))
            account_emptied(a);
    }
}

/* Gives whole pages of the stock back: of a closed account all. */
void account_stock_trim(struct account *a, s64 stock)
{
    while (atomic_read(&a->state) == ACCOUNT_OPEN ? stock > ACCOUNT_STOCK_MAX
                                                  : stock >= (s64)PAGE_SIZE) {
        s64 keep = atomic_read(&a->state) == ACCOUNT_OPEN ? STOCK_BATCH << PAGE_SHIFT : 0;
        u64 pages = (u64)(stock - keep) >> PAGE_SHIFT;

        if (!atomic_cas(&a->stock, &stock, stock - (s64)(pages << PAGE_SHIFT)))
            continue;
        account_uncharge_kernel(a, pages);
        return;
    }
}

struct account *account_over_high(struct account *a)
{
    while (a && atomic_read(&a->used) <= READ_ONCE(a->high))
        a = a->parent;
    return a;
}

struct account *account_over(struct account *a)
{
    while (a && atomic_read(&a->used) <= READ_ONCE(a->limit))
        a = a->parent;
    return a;
}

struct account *account_full_for(struct account *a, u64 n)
{
    while (a && (s64)n <= READ_ONCE(a->limit) - atomic_read(&a->used))
        a = a->parent;
    return a;
}

struct account *account_refuses(struct account *a)
{
    while (a && atomic_read(&a->used) < account_bound(a, true))
        a = a->parent;
    return a;
}

bool account_close(struct account *a)
{
    s32 closed = ACCOUNT_CLOSED;

    __atomic_store_n(&a->state.v, ACCOUNT_CLOSED, __ATOMIC_SEQ_CST);
    account_stock_trim(a, atomic_add(&a->stock, 0));
    return atomic_add(&a->used, 0) == 0 && atomic_cas(&a->state, &closed, ACCOUNT_GONE);
}
