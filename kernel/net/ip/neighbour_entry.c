/* SPDX-License-Identifier: MIT
 *
 * The entries of the table of neighbours: found, made, and which one gives way to another. Each
 * lies in one list, in the order of use: those that failed are evicted first, then those that were
 * only heard of, then of those that are asked for the oldest of the share that has most of them, at
 * last known ones.
 */
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/neighbour_priv.h"

#define FORGET_STEP 32 /* entries that one hold of the lock takes off */

COUNTER(net_neighbour_evicted);

static int neighbour_compare(u32 device, const struct ip_addr *addr,
                             const struct neighbour_entry *e)
{
    if (device != e->dev->index)
        return device < e->dev->index ? -1 : 1;
    return ip_compare(addr, &e->addr);
}

struct neighbour_entry *neighbour_find(struct neighbour_table *t, u32 device,
                                       const struct ip_addr *addr)
{
    struct rb_node *at = t->entries.node;

    while (at) {
        struct neighbour_entry *e = rb_entry(at, struct neighbour_entry, node);
        int cmp = neighbour_compare(device, addr, e);

        if (!cmp)
            return e;
        at = cmp < 0 ? at->left : at->right;
    }
    return NULL;
}

static bool neighbour_less(const struct rb_node *a, const struct rb_node *b)
{
    const struct neighbour_entry *x = rb_entry(a, struct neighbour_entry, node);

    return neighbour_compare(x->dev->index, &x->addr, rb_entry(b, struct neighbour_entry, node)) <
           0;
}

void neighbour_hot_forget(struct neighbour_table *t, const struct neighbour_entry *e)
{
    struct neighbour_hot *h = neighbour_hot_place(t, e->dev->index, &e->addr);

    ASSERT_HELD(&t->lock);
    if (!h->until || h->device != e->dev->index || !ip_equal(&h->addr, &e->addr))
        return;
    seqcount_write_begin(&h->seq);
    h->until = 0;
    seqcount_write_end(&h->seq);
}

/* ---- lists ---- */

static bool neighbour_is_asked(const struct neighbour_entry *e)
{
    return e->sent_to && !e->n.fixed && !neighbour_known(&e->n) && e->n.state != NEIGHBOUR_FAILED;
}

/* asker: whose it is if it is asked for. */
static struct list_node *neighbour_list(struct neighbour_table *t, struct neighbour_entry *e,
                                        struct neighbour_share *asker)
{
    if (e->n.fixed)
        return &t->fixed;
    if (e->sent_to && e->n.state == NEIGHBOUR_FAILED)
        return &t->failed;
    if (neighbour_is_asked(e))
        return &asker->asked;
    return e->sent_to ? &t->used : &t->heard;
}

static void neighbour_count(struct neighbour_table *t, struct neighbour_entry *e,
                            struct neighbour_share *share)
{
    if (e->share) {
        e->share->nr_asked--;
        t->nr_asked--;
    }
    e->share = share;
    if (share) {
        share->nr_asked++;
        t->nr_asked++;
    }
}

void neighbour_file(struct neighbour_table *t, struct neighbour_entry *e,
                    struct neighbour_share *asker)
{
    struct neighbour_share *share = e->share ? e->share : asker ? asker : &t->shares[0];

    e->list = neighbour_list(t, e, share);
    neighbour_count(t, e, neighbour_is_asked(e) ? share : NULL);
    list_del(&e->used);
    list_add_tail(e->list, &e->used);
}

void neighbour_refile(struct neighbour_table *t, struct neighbour_entry *e)
{
    if (neighbour_list(t, e, e->share ? e->share : &t->shares[0]) != e->list)
        neighbour_file(t, e, NULL);
}

void neighbour_remove(struct neighbour_table *t, struct neighbour_entry *e, struct list_node *drop)
{
    neighbour_hot_forget(t, e);
    ip_due_set(&t->due, &e->due, 0);
    rb_erase(&t->entries, &e->node);
    list_del(&e->used);
    neighbour_count(t, e, NULL);
    neighbour_release(t, e, drop);
    t->nr--;
    t->nr_fixed -= e->n.fixed;
    kfree(e);
}

/* Of the share that has most; some are asked for. */
static struct list_node *neighbour_most_asked(struct neighbour_table *t)
{
    struct neighbour_share *most = t->shares;

    for (u32 i = 1; i < NEIGHBOUR_SHARES; i++)
        if (t->shares[i].nr_asked > most->nr_asked)
            most = &t->shares[i];
    return &most->asked;
}

/* Where the one stands that is evicted first, if not all are fixed. */
static struct list_node *neighbour_least_list(struct neighbour_table *t)
{
    if (!list_empty(&t->failed))
        return &t->failed;
    if (!list_empty(&t->heard))
        return &t->heard;
    return t->nr_asked ? neighbour_most_asked(t) : &t->used;
}

/* Whose place a new one takes; NULL: there is space. */
static struct neighbour_entry *neighbour_victim(struct neighbour_table *t, bool to_ask, u64 now)
{
    struct neighbour_entry *e;

    if (to_ask && t->nr_asked >= NEIGHBOURS_ASKED)
        return list_first(neighbour_most_asked(t), struct neighbour_entry, used);
    e = list_first(neighbour_least_list(t), struct neighbour_entry, used);
    return e && neighbour_gives_way(t, e, now) ? e : NULL;
}

static void neighbour_evict(struct neighbour_table *t, bool to_ask, u64 now, struct list_node *drop)
{
    struct neighbour_entry *e = neighbour_victim(t, to_ask, now);

    if (!e)
        return;
    COUNT(net_neighbour_evicted);
    neighbour_remove(t, e, drop);
}

struct neighbour_entry *neighbour_get(struct neighbour_table *t, struct netdev *dev,
                                      const struct ip_addr *addr, struct neighbour_share *asker,
                                      u64 now, struct list_node *drop)
{
    struct neighbour_entry *e = neighbour_find(t, dev->index, addr);

    if (e) {
        if (asker && e->list == &t->failed && now >= e->n.deadline &&
            t->nr_asked >= NEIGHBOURS_ASKED)
            neighbour_evict(t, true, now, drop); /* another one: e is to be asked for again */
        return e;
    }
    if (!(READ_ONCE(dev->flags) & NETDEV_UP)) /* it may be going, and forgotten already */
        return NULL;
    neighbour_evict(t, asker, now, drop);
    e = t->nr < neighbour_most(t) ? kzalloc(sizeof(*e)) : NULL;
    if (!e)
        return NULL;
    e->used_at = now;
    e->dev = dev;
    e->addr = *addr;
    list_init(&e->pending);
    rb_insert(&t->entries, &e->node, neighbour_less);
    e->list = &t->heard;
    list_add_tail(e->list, &e->used);
    t->nr++;
    neighbour_age_plan(t, now);
    return e;
}

/* The first of a device (NULL: of all), or NULL. */
static struct neighbour_entry *neighbour_first(struct neighbour_table *t, const struct netdev *dev)
{
    struct neighbour_entry *found = NULL;

    for (struct rb_node *n = t->entries.node; n;) {
        struct neighbour_entry *e = rb_entry(n, struct neighbour_entry, node);
        bool before = dev && e->dev->index < dev->index;

        found = before ? found : e;
        n = before ? n->right : n->left;
    }
    return found && (!dev || found->dev == dev) ? found : NULL;
}

u32 neighbour_forget_some(struct neighbour_table *t, const struct netdev *dev,
                          struct list_node *drop)
{
    struct neighbour_entry *e;
    u32 n = 0;

    while (n < FORGET_STEP && (e = neighbour_first(t, dev))) {
        neighbour_remove(t, e, drop);
        n++;
    }
    return n;
}

bool neighbour_next(struct neighbour_table *t, struct neighbour_view *at)
{
    struct rb_node *n;
    const struct neighbour_entry *found = NULL;

    spin_lock(&t->lock);
    for (n = t->entries.node; n;) {
        const struct neighbour_entry *e = rb_entry(n, struct neighbour_entry, node);

        if (neighbour_compare(at->device, &at->addr, e) < 0) {
            found = e;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    if (found)
        *at = (struct neighbour_view){found->addr, found->dev->index, found->n, found->used_at};
    spin_unlock(&t->lock);
    return found;
}
