/* SPDX-License-Identifier: MIT
 *
 * Packets that wait for a neighbour. Who sends them shares the table's bytes with all others: an
 * account may have as many there as are still free, so that one that takes all it can leaves half
 * of them, two leave a third. Accounts are told apart by a hash alone: some may have one share in
 * common.
 */
#include "net/ip/neighbour_priv.h"

struct neighbour_share *neighbour_share_of(struct neighbour_table *t, const struct packet *p)
{
    u64 payer = (uintptr_t)(p->account ? p->account : t->account);

    return &t->shares[payer * 0x9e3779b97f4a7c15ULL >> 32 & (NEIGHBOUR_SHARES - 1)];
}

static void neighbour_take(struct neighbour_table *t, struct neighbour_entry *e, struct packet *p,
                           struct list_node *to)
{
    u32 cost = packet_cost(p);

    list_del(&p->node);
    list_add_tail(to, &p->node);
    e->nr_pending--;
    neighbour_share_of(t, p)->bytes -= cost;
    t->bytes -= cost;
}

void neighbour_release(struct neighbour_table *t, struct neighbour_entry *e, struct list_node *to)
{
    struct packet *p;

    while ((p = list_first(&e->pending, struct packet, node)))
        neighbour_take(t, e, p, to);
}

/* The first of a share's that waits for e; *n: how many do. */
static struct packet *neighbour_oldest(struct neighbour_table *t, struct neighbour_entry *e,
                                       const struct neighbour_share *share, u32 *n)
{
    struct packet *p, *oldest = NULL;

    *n = 0;
    list_for_each (p, &e->pending, node) {
        if (neighbour_share_of(t, p) != share)
            continue;
        oldest = oldest ? oldest : p;
        ++*n;
    }
    return oldest;
}

/* There is space for cost bytes more of a share's, or there will be: *old is to give way. */
static bool neighbour_has_space(struct neighbour_table *t, struct neighbour_entry *e,
                                const struct neighbour_share *share, u32 cost, struct packet **old)
{
    u64 left = NEIGHBOURS_BYTES - t->bytes;
    bool fits = cost <= left && share->bytes + cost <= left;
    u32 n;

    *old = NULL;
    if (fits && e->nr_pending < NEIGHBOUR_PENDING)
        return true;
    *old = neighbour_oldest(t, e, share, &n);
    if (fits && n < NEIGHBOUR_PENDING / 2) /* most of them are others' */
        *old = list_first(&e->pending, struct packet, node);
    return *old;
}

bool neighbour_wait(struct neighbour_table *t, struct neighbour_entry *e, struct packet *p,
                    struct list_node *drop)
{
    struct neighbour_share *share = neighbour_share_of(t, p);
    u32 cost = packet_cost(p);
    struct packet *old;
    bool space;

    while ((space = neighbour_has_space(t, e, share, cost, &old)) && old)
        neighbour_take(t, e, old, drop);
    if (!space || (!p->account && packet_charge(p, t->account)))
        return false;
    list_add_tail(&e->pending, &p->node);
    e->nr_pending++;
    share->bytes += cost;
    t->bytes += cost;
    return true;
}
