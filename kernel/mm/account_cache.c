/* SPDX-License-Identifier: MIT
 *
 * Items of one kind, listed by the account that pays for them. The caller holds the kind's lock:
 * see account_cache.h.
 */
#include "mm/account_cache.h"

static struct account_cache *cache_of(const struct account_caches *set, struct account *a)
{
    return &a->cached[set->kind];
}

static struct account *cache_account(const struct account_caches *set, struct list_node *node)
{
    return container_of(list_entry(node, struct account_cache, accounts), struct account,
                        cached[set->kind]);
}

void account_cache_add(struct account_caches *set, struct account *a, struct list_node *item)
{
    struct account_cache *c = cache_of(set, a);

    if (!c->count++) {
        list_add_tail(&set->accounts, &c->accounts);
        WRITE_ONCE(set->nr_accounts, set->nr_accounts + 1);
    }
    list_add_tail(&c->items, item);
    WRITE_ONCE(set->count, set->count + 1);
}

void account_cache_del(struct account_caches *set, struct account *a, struct list_node *item)
{
    struct account_cache *c = cache_of(set, a);

    list_del(item);
    WRITE_ONCE(set->count, set->count - 1);
    if (--c->count)
        return;
    list_del(&c->accounts);
    WRITE_ONCE(set->nr_accounts, set->nr_accounts - 1);
}

static bool cache_is_below(const struct account *a, const struct account *top)
{
    while (a && a != top)
        a = a->parent;
    return a;
}

static void cache_to_back(struct account_caches *set, struct account *a)
{
    struct list_node *node = &cache_of(set, a)->accounts;

    list_del(node);
    list_add_tail(&set->accounts, node);
}

/* Of the first few the one with most, unless one has its fair share before. */
static struct account *cache_pick_any(struct account_caches *set)
{
    u64 fair = set->nr_accounts ? set->count / set->nr_accounts : 0;
    struct account *most = NULL;

    for (unsigned i = 0; i < ACCOUNT_CACHES_LOOK && i < set->nr_accounts; i++) {
        struct account *a = cache_account(set, set->accounts.next);

        cache_to_back(set, a);
        if (!most || cache_of(set, a)->count > cache_of(set, most)->count)
            most = a;
        if (cache_of(set, a)->count >= fair)
            break;
    }
    return most;
}

struct account *account_cache_pick(struct account_caches *set, struct account *top)
{
    if (!top)
        return cache_pick_any(set);
    if (cache_of(set, top)->count)
        return top;
    for (unsigned i = 0; i < ACCOUNT_CACHES_LOOK && i < set->nr_accounts; i++) {
        struct account *a = cache_account(set, set->accounts.next);

        if (cache_is_below(a, top))
            return a; /* it stays in front: it may have more */
        cache_to_back(set, a);
    }
    return NULL;
}
