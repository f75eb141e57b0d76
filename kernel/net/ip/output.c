/* SPDX-License-Identifier: MIT
 *
 * IP to the wire, or to this host over lo. A broadcast, and a packet for a group that is joined
 * at the device, also come to this host.
 */
#include "lib/log.h"
#include "lib/random.h"
#include "net/core/device.h"
#include "net/ip/ip_priv.h"
#include "net/ip/ipv6.h"
#include "net/link/ethernet.h"
#include "net/link/loopback.h"

#define OUTPUT_HEADROOM 88 /* headers of IP, a fragment, a link with a tag, a driver */

COUNTER(net_ip_too_long);

int ip_output_link(struct packet *p, struct netdev *dev, const u8 *to)
{
    const struct net_link *l = net_link_of(dev);

    if (!l || l->header(p, dev, p->protocol, to ? to : dev->addr)) {
        packet_free(p);
        return -ENOBUFS;
    }
    return netdev_transmit(dev, p);
}

static void output_loop(struct net_ns *ns, const struct packet *p)
{
    struct packet *copy = packet_clone(p);

    if (copy)
        (void)loopback_send(loopback_of(ns), copy);
}

static int output_group(struct net_ns *ns, struct packet *p, const struct ip_path *path,
                        const struct ip_info *h)
{
    u8 to[NETDEV_ADDR];

    ip_group_link(&h->to, to);
    if (!h->no_loop && ip_group_is_joined(ns, path->dev->index, &h->to))
        output_loop(ns, p);
    if (!h->hops || (path->dev->flags & NETDEV_LOOPBACK)) {
        packet_free(p);
        return 0;
    }
    return ip_output_link(p, path->dev, to);
}

static int output_send(struct net_ns *ns, struct packet *p, const struct ip_path *path,
                       const struct ip_info *h)
{
    static const u8 all[NETDEV_ADDR] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    switch (path->kind) {
    case IP_LOCAL:
        return loopback_send(path->dev, p);
    case IP_BROADCAST:
        if (path->dev->index != LOOPBACK_INDEX) /* lo brings it back itself */
            output_loop(ns, p);
        return ip_output_link(p, path->dev, all);
    case IP_MULTICAST:
        return output_group(ns, p, path, h);
    default:
        if (!netdev_has_neighbours(path->dev))
            return ip_output_link(p, path->dev, NULL);
        return neighbour_output(ip_neighbours(ns, &path->next), path->dev, &path->next, p);
    }
}

/* Where a fragment lies. */
struct output_part {
    u32 id, offset;
    bool more, whole; /* whole: no fragment */
};

static bool output_v4(struct packet *p, const struct ip_path *path, const struct ip_info *h,
                      const struct output_part *part)
{
    struct ipv4 v = {.tos = h->tos,
                     .ttl = h->hops ? h->hops : path->hops,
                     .protocol = h->protocol,
                     .id = (u16)part->id,
                     .fragment = (u16)part->offset,
                     .more = part->more,
                     .whole_only = h->whole_only,
                     .from = ip_v4(&h->from),
                     .to = ip_v4(&h->to)};
    u8 *at = packet_push(p, IPV4_HEADER);

    if (!at)
        return false;
    v.total = (u16)p->len;
    ipv4_build(at, &v);
    p->protocol = ETHERTYPE_IPV4;
    return true;
}

static bool output_v6(struct packet *p, const struct ip_path *path, const struct ip_info *h,
                      const struct output_part *part)
{
    struct ipv6 v = {.tos = h->tos,
                     .next = part->whole ? h->protocol : IPV6_FRAGMENT_NEXT,
                     .hops = h->hops ? h->hops : path->hops,
                     .flow = h->flow,
                     .from = h->from,
                     .to = h->to};
    u8 *at = part->whole ? packet_data(p) : packet_push(p, IPV6_FRAGMENT_HEADER);

    if (at && !part->whole)
        ipv6_fragment_build(at, h->protocol, part->id, part->offset, part->more);
    v.payload = (u16)p->len;
    at = at ? packet_push(p, IPV6_HEADER) : NULL;
    if (!at)
        return false;
    ipv6_build(at, &v);
    p->protocol = ETHERTYPE_IPV6;
    return true;
}

static int output_one(struct net_ns *ns, struct packet *p, const struct ip_path *path,
                      const struct ip_info *h, const struct output_part *part)
{
    bool v4 = ip_is_v4(&h->to);

    if (!(v4 ? output_v4(p, path, h, part) : output_v6(p, path, h, part))) {
        packet_free(p);
        return -ENOBUFS;
    }
    p->gso_header = (u16)(p->gso_header + (v4 ? IPV4_HEADER : IPV6_HEADER));
    return output_send(ns, p, path, h);
}

/* A piece of p, with space before it for all headers; its pages are p's. */
static struct packet *output_slice(const struct packet *p, u32 offset, u32 n)
{
    struct packet *q = packet_alloc();

    if (!q)
        return NULL;
    q->start = OUTPUT_HEADROOM;
    q->mark = p->mark;
    q->priority = p->priority;
    if (!packet_add_slice(q, p, offset, n))
        return q;
    packet_free(q);
    return NULL;
}

/* Cuts p. Takes it. */
static int output_parts(struct net_ns *ns, struct packet *p, const struct ip_path *path,
                        const struct ip_info *h)
{
    u32 header = ip_is_v4(&h->to) ? IPV4_HEADER : IPV6_HEADER + IPV6_FRAGMENT_HEADER;
    u32 each = (path->mtu - header) & ~7U;
    struct output_part part = {.id = ip_is_v4(&h->to) ? ip_id() : (u32)random_u64()};
    int err = p->len > IP_PARTS_MOST * each ? -EMSGSIZE : 0;

    if (!err && (p->flags & PACKET_CSUM_PARTIAL) && !packet_finish_sum(p))
        err = -EINVAL;
    for (; !err && part.offset < p->len; part.offset += each) {
        u32 n = MIN(each, p->len - part.offset);
        struct packet *q = output_slice(p, part.offset, n);

        part.more = part.offset + n < p->len;
        if (!q) {
            err = -ENOBUFS;
            break;
        }
        err = output_one(ns, q, path, h, &part);
        NET_COUNT_IP(ns, MIB_FRAG_CREATES, !ip_is_v4(&h->to));
    }
    NET_COUNT_IP(ns, err ? MIB_FRAG_FAILS : MIB_FRAG_OKS, !ip_is_v4(&h->to));
    packet_free(p);
    return err;
}

static int output_too_long(struct net_ns *ns, struct packet *p, bool v4)
{
    COUNT(net_ip_too_long);
    NET_COUNT_IP(ns, MIB_FRAG_FAILS, !v4);
    packet_free(p);
    return -EMSGSIZE;
}

static inline void output_count(struct net_ns *ns, struct packet *p, const struct ip_info *h)
{
    bool v6 = !ip_is_v4(&h->to);
    u32 header = v6 ? IPV6_HEADER : IPV4_HEADER, more = v6 ? MIB_IP6 - MIB_IP : 0;

    net_count(ns, MIB_OUT_REQUESTS + more);
    net_count_by(ns, MIB_OUT_OCTETS + more, p->len + header);
    if (unlikely(h->protocol == IPV4_ICMP || h->protocol == IPV6_ICMP) && p->linear)
        net_count_icmp(ns, v6, true, *packet_data(p));
}

int ip_output(struct net_ns *ns, struct packet *p, const struct ip_path *path,
              const struct ip_info *h)
{
    bool v4 = ip_is_v4(&h->to);
    struct output_part part = {.whole = true};

    output_count(ns, p, h);
    if (v4 && !p->gso && p->len > 65535 - IPV4_HEADER)
        return output_too_long(ns, p, true); /* lo's MTU is beyond what the header can say */
    if (p->gso || p->len + (v4 ? IPV4_HEADER : IPV6_HEADER) <= path->mtu) {
        part.id = v4 && !h->whole_only ? ip_id() : 0; /* RFC 6864 4.1 */
        return output_one(ns, p, path, h, &part);
    }
    if (!h->whole_only && p->len <= 65535 - IPV4_HEADER && path->mtu >= 68)
        return output_parts(ns, p, path, h);
    return output_too_long(ns, p, v4);
}

int ip_output_made(struct net_ns *ns, struct packet *p, const struct ip_path *path,
                   const struct ip_info *h)
{
    p->protocol = ip_is_v4(&h->to) ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
    if (p->len <= path->mtu)
        return output_send(ns, p, path, h);
    packet_free(p);
    return -EMSGSIZE;
}

int ip_answer(struct net_ns *ns, struct packet *p, const struct ip_info *h, u32 device)
{
    struct ip_flow f = {.to = h->to,
                        .from = h->from,
                        .device = device,
                        .protocol = h->protocol,
                        .uid = ip_kernel_uid(ns)};
    struct ip_path path;
    int err = ip_path_find(ns, &f, &path);

    if (err) {
        packet_free(p);
        return err;
    }
    err = ip_output(ns, p, &path, h);
    ip_path_put(&path);
    return err;
}

void ip_path_confirm(struct net_ns *ns, const struct ip_path *path)
{
    if (path->kind == IP_UNICAST && netdev_has_neighbours(path->dev))
        neighbour_confirm(ip_neighbours(ns, &path->next), path->dev, &path->next);
}
