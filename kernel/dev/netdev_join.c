/* SPDX-License-Identifier: MIT
 *
 * Received TCP segments, joined as dev/join.h decides: the shell. A queue has a few joins under
 * way, all of one round of its driver's (netdev_receive_done): a frame never waits for one that may
 * not come. Packets of one flow keep their order. A round's first frame is looked at when a second
 * one comes; alone, as nearly all are where one waits for the other, it has nothing to be joined
 * with.
 *
 * Pages are moved from the later packets to the first one's fragments, so nothing is copied but
 * headers. Context: the queue's thread.
 */
#include "dev/netdev_priv.h"
#include "dev/up.h"
#include "lib/checksum.h"
#include "lib/string.h"

#define ETHERNET_TYPE 12
#define PROTOCOL_TCP 6
#define TCP_SUM 16

COUNTER(net_rx_joined);

static void netdev_join_end(struct netdev_join *slot)
{
    struct packet *p = slot->p;
    const struct join_view *v = &slot->join.first;

    slot->p = NULL;
    if (slot->join.segments > 1) {
        join_finish(&slot->join, packet_data(p));
        p->flags = PACKET_CSUM_PARTIAL;
        p->csum_start = v->transport;
        p->csum_offset = TCP_SUM;
        p->gso = v->v6 ? PACKET_GSO_TCP6 : PACKET_GSO_TCP4;
        p->gso_size = (u16)v->payload;
        p->gso_header = v->header;
        COUNT_ADD(net_rx_joined, slot->join.segments - 1);
    }
    up_netdev_receive(p);
}

void netdev_receive_done(struct netdev_queue *q)
{
    struct packet *lone = q->lone;

    ASSERT_QUEUE_THREAD(q);
    q->lone = NULL;
    if (lone)
        up_netdev_receive(lone);
    for (; q->nr_joins; q->nr_joins--)
        if (q->joins[q->nr_joins - 1].p)
            netdev_join_end(&q->joins[q->nr_joins - 1]);
}

/* Whether the segment's own sum is right; then it is not looked at again. */
static bool netdev_verify(struct packet *p, const u8 *head, const struct join_view *v)
{
    u32 n = p->len - v->transport;
    u8 words[4] = {0, PROTOCOL_TCP, (u8)(n >> 8), (u8)n};
    u64 sum = checksum_add(0, words, sizeof(words));

    if (p->flags & (PACKET_CSUM_VALID | PACKET_CSUM_PARTIAL))
        return true;
    sum = checksum_add(sum, head + v->network + (v->v6 ? 8 : 12), v->v6 ? 32 : 8);
    if (checksum_fold(packet_sum(p, v->transport, n, sum)) != 0xffff)
        return false;
    p->flags |= PACKET_CSUM_VALID;
    return true;
}

static struct netdev_join *netdev_join_find(struct netdev_queue *q, const u8 *head,
                                            const struct join_view *v, u16 vlan)
{
    for (u32 i = 0; i < q->nr_joins; i++) {
        struct netdev_join *slot = &q->joins[i];

        if (slot->p && slot->join.first.flow == v->flow && slot->p->vlan == vlan &&
            join_same_flow(packet_data(slot->p), &slot->join.first, head, v))
            return slot;
    }
    return NULL;
}

/* Takes p if it could be added. */
static bool netdev_join_add(struct netdev_join *slot, struct packet *p, const u8 *head,
                            const struct join_view *v)
{
    struct packet *first = slot->p;
    u32 skip = v->header - p->linear; /* bytes of headers in the first fragment */

    if (p->linear > v->header || first->nr_frags + p->nr_frags > PACKET_FRAGS ||
        v->payload > PACKET_LEN_MAX - first->len || !p->nr_frags || p->frags[0].len <= skip ||
        !join_continues(&slot->join, packet_data(first), head, v))
        return false;
    p->frags[0].offset += skip;
    p->frags[0].len -= skip;
    memcpy(first->frags + first->nr_frags, p->frags, p->nr_frags * sizeof(p->frags[0]));
    first->nr_frags = (u8)(first->nr_frags + p->nr_frags);
    first->len += v->payload;
    p->nr_frags = 0; /* its references are the first's */
    join_add(&slot->join, packet_data(first), head, v);
    packet_free(p);
    return true;
}

/* p may be continued. False: it goes up as it is. */
static bool netdev_join_begin(struct netdev_queue *q, struct packet *p, const u8 *head,
                              const struct join_view *v)
{
    struct netdev_join *slot = q->joins;

    if (!packet_need(p, v->header))
        return false;
    if (q->nr_joins < NETDEV_JOINS)
        slot = &q->joins[q->nr_joins++];
    else
        slot = &q->joins[q->next_join++ % NETDEV_JOINS];
    if (slot->p)
        netdev_join_end(slot);
    slot->p = p;
    join_begin(&slot->join, head, v);
    return true;
}

static void netdev_join_look(struct netdev_queue *q, struct packet *p)
{
    u16 network = q->dev->header;
    u32 n = MIN(p->len, (u32)JOIN_HEAD);
    struct netdev_join *slot;
    struct join_view v;
    u8 head[JOIN_HEAD];

    if (p->gso || n < network) {
        netdev_receive_done(q); /* it may be of any flow */
        up_netdev_receive(p);
        return;
    }
    packet_copy(p, 0, n, head);
    if (unlikely(netdev_is_tagged(head)) && !p->vlan && netdev_untag(p)) {
        n = MIN(p->len, (u32)JOIN_HEAD);
        packet_copy(p, 0, n, head);
    }
    join_look(head, n, p->len, network, (u16)(head[ETHERNET_TYPE] << 8 | head[ETHERNET_TYPE + 1]),
              &v);
    if (v.kind == JOIN_OTHER) {
        up_netdev_receive(p);
        return;
    }
    if (v.kind == JOIN_SEGMENT && !netdev_verify(p, head, &v))
        v.kind = JOIN_ALONE;
    slot = netdev_join_find(q, head, &v, p->vlan);
    if (slot && v.kind == JOIN_SEGMENT && netdev_join_add(slot, p, head, &v)) {
        if (slot->join.ends)
            netdev_join_end(slot);
        return;
    }
    if (slot)
        netdev_join_end(slot);
    if (v.kind != JOIN_SEGMENT || !netdev_join_begin(q, p, head, &v))
        up_netdev_receive(p);
}

void netdev_join_receive(struct netdev_queue *q, struct packet *p)
{
    struct packet *lone = q->lone;

    ASSERT_QUEUE_THREAD(q);
    if (!lone && !q->nr_joins) {
        q->lone = p;
        return;
    }
    q->lone = NULL;
    if (lone)
        netdev_join_look(q, lone);
    netdev_join_look(q, p);
}
