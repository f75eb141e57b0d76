/* SPDX-License-Identifier: MIT
 *
 * What a network device cannot do by itself with a packet that it is to send: cutting it into
 * segments (dev/segment.h decides how), making its sums, gathering its fragments.
 *
 * Segments share the packet's pages. They are not charged to its account: what they keep alive is
 * charged by its pages already, and their number is bounded by the device's ring and queue.
 */
#include "dev/netdev_priv.h"
#include "dev/segment.h"
#include "lib/string.h"

#define ETHERNET_HEADER 14
#define ETHERNET_ADDRS 12 /* bytes of both addresses */

bool netdev_tag(struct packet *p)
{
    u8 *at = packet_need(p, ETHERNET_HEADER) ? packet_push(p, VLAN_TAG) : NULL;

    if (!at)
        return false;
    memmove(at, at + VLAN_TAG, ETHERNET_ADDRS);
    at[12] = 0x81;
    at[13] = 0;
    at[14] = (u8)(p->vlan >> 8);
    at[15] = (u8)p->vlan;
    p->vlan = 0;
    p->gso_header = (u16)(p->gso_header + VLAN_TAG);
    return true;
}

bool netdev_untag(struct packet *p)
{
    u8 *at = packet_need(p, ETHERNET_HEADER + VLAN_TAG);

    if (!at)
        return false;
    p->vlan = (u16)(at[14] << 8 | at[15]);
    memmove(at + VLAN_TAG, at, ETHERNET_ADDRS);
    packet_pull(p, VLAN_TAG);
    p->gso_header = (u16)(p->gso_header - MIN(p->gso_header, (u16)VLAN_TAG));
    return true;
}

/* What a frame may have beyond the MTU. */
static u32 netdev_header_of(const struct netdev *dev, struct packet *p)
{
    const u8 *head = dev->header == ETHERNET_HEADER ? packet_need(p, ETHERNET_HEADER) : NULL;

    return dev->header + (head && netdev_is_tagged(head) ? VLAN_TAG : 0U);
}

static bool netdev_cuts(u32 features, const struct packet *p)
{
    if ((p->gso & PACKET_GSO_ECN) && !(features & NETDEV_TSO_ECN))
        return false;
    switch (p->gso & ~(u32)PACKET_GSO_ECN) {
    case PACKET_GSO_TCP4:
        return features & NETDEV_TSO4;
    case PACKET_GSO_TCP6:
        return features & NETDEV_TSO6;
    default:
        return (features & NETDEV_USO) && p->gso == PACKET_GSO_UDP_L4;
    }
}

int netdev_segments(struct packet *p, struct segment_plan *out)
{
    u16 network = p->dev->header;
    u8 *head = packet_need(p, MIN(p->len, p->csum_start + 60U)); /* the longest of TCP */

    if (!head)
        head = packet_data(p); /* what there is must do */
    if (!(p->flags & PACKET_CSUM_PARTIAL) || p->linear < network)
        return -EINVAL;
    if (network == ETHERNET_HEADER && netdev_is_tagged(head))
        network += VLAN_TAG;
    return segment_plan(head, p->linear, p->len, p->gso, p->gso_size, network, p->csum_start, out);
}

/* Its fragments become one. */
static int netdev_gather(struct packet *p)
{
    u32 n = p->len - p->linear, order = 0;
    struct page *page;

    while (((u32)PAGE_SIZE << order) < n)
        order++;
    page = page_alloc(order, 0);
    if (!page)
        return -ENOMEM;
    packet_copy(p, p->linear, n, page_virt(page));
    packet_trim(p, p->linear);
    return packet_add_page(p, page, 0, n);
}

/* A sum that is to be done lies in the packet: its place may be a program's word (tun), and moves
 * as headers come and go. */
static bool netdev_sum_is_inside(const struct packet *p)
{
    return (u32)p->csum_start + p->csum_offset + 2U <= p->len;
}

/* All but the cutting. */
static int netdev_prepare_whole(u32 features, struct packet *p)
{
    bool partial = p->flags & PACKET_CSUM_PARTIAL;

    if (partial && !netdev_sum_is_inside(p))
        return -EINVAL;
    if (partial && !(features & NETDEV_CSUM) && !packet_finish_sum(p))
        return -EINVAL;
    if (p->nr_frags > 1 && !(features & NETDEV_FRAGS))
        return netdev_gather(p);
    return 0;
}

int netdev_prepare(struct netdev *dev, struct packet *p)
{
    u32 features = READ_ONCE(dev->features); /* once: it may be switched meanwhile */

    p->dev = dev;
    if (p->gso && (!p->gso_size || !(p->flags & PACKET_CSUM_PARTIAL)))
        return -EINVAL;
    if (p->gso)
        return netdev_cuts(features, p) ? netdev_prepare_whole(features, p) : -EXDEV;
    if (p->len > READ_ONCE(dev->mtu) + dev->header &&
        p->len > READ_ONCE(dev->mtu) + netdev_header_of(dev, p))
        return -EMSGSIZE;
    return netdev_prepare_whole(features, p);
}

static struct packet *netdev_segment(const struct packet *p, const struct segment_plan *s, u32 i)
{
    struct packet *part = packet_alloc();

    if (!part)
        return NULL;
    part->start = p->start;
    segment_headers(s, p->head + p->start, i, packet_append(part, s->header));
    if (packet_add_slice(part, p, s->header + i * s->size, segment_bytes(s, i))) {
        packet_free(part);
        return NULL;
    }
    part->dev = p->dev;
    part->flags = PACKET_CSUM_PARTIAL;
    part->csum_start = p->csum_start;
    part->csum_offset = p->csum_offset;
    part->protocol = p->protocol;
    part->vlan = p->vlan;
    part->hash = p->hash;
    part->mark = p->mark;
    part->priority = p->priority;
    return part;
}

int netdev_cut(struct netdev *dev, struct packet *p, u32 *next, struct list_node *list)
{
    struct segment_plan s;
    int err = netdev_segments(p, &s);

    for (u32 n = 0; n < NETDEV_CUT && !err && *next < s.count; n++, ++*next) {
        struct packet *part = netdev_segment(p, &s, *next);

        err = part ? netdev_prepare(dev, part) : -ENOBUFS;
        if (err)
            packet_free(part);
        else
            list_add_tail(list, &part->node);
    }
    return err ? err : *next < s.count;
}
