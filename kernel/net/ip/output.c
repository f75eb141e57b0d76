/* SPDX-License-Identifier: MIT
 *
 * IP to the wire, or to this host over lo. A broadcast, and a packet for a group that is joined
 * at the device, also come to this host.
 */
#include "lib/log.h"
#include "net/core/device.h"
#include "net/ip/ip_priv.h"
#include "net/ip/ipv6.h"
#include "net/link/ethernet.h"
#include "net/link/loopback.h"

COUNTER(net_ip_too_long);

static int output_link(struct packet *p, struct netdev *dev, const u8 *to)
{
    const struct net_link *l = net_link_of(dev);

    if (!l || l->header(p, dev, p->protocol, to)) {
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
    return output_link(p, path->dev, to);
}

static int output_send(struct net_ns *ns, struct packet *p, const struct ip_path *path,
                       const struct ip_info *h)
{
    static const u8 all[NETDEV_ADDR] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    switch (path->kind) {
    case IP_LOCAL:
        return loopback_send(path->dev, p);
    case IP_BROADCAST:
        output_loop(ns, p);
        return output_link(p, path->dev, all);
    case IP_MULTICAST:
        return output_group(ns, p, path, h);
    default:
        return neighbour_output(ip_neighbours(ns), path->dev, &path->next, p);
    }
}

static bool output_v4(struct net_ns *ns, struct packet *p, const struct ip_path *path,
                      const struct ip_info *h)
{
    struct ipv4 v = {.tos = h->tos,
                     .ttl = h->hops ? h->hops : path->hops,
                     .protocol = h->protocol,
                     .whole_only = h->whole_only,
                     .from = ip_v4(&h->from),
                     .to = ip_v4(&h->to)};
    u8 *at = packet_push(p, IPV4_HEADER);

    if (!at)
        return false;
    v.total = (u16)p->len;
    v.id = (u16)__atomic_fetch_add(&ip_ns_of(ns)->next_id, 1, __ATOMIC_RELAXED);
    ipv4_build(at, &v);
    p->protocol = ETHERTYPE_IPV4;
    return true;
}

static bool output_v6(struct packet *p, const struct ip_path *path, const struct ip_info *h)
{
    struct ipv6 v = {.tos = h->tos,
                     .next = h->protocol,
                     .hops = h->hops ? h->hops : path->hops,
                     .payload = (u16)p->len,
                     .flow = h->flow,
                     .from = h->from,
                     .to = h->to};
    u8 *at = packet_push(p, IPV6_HEADER);

    if (!at)
        return false;
    ipv6_build(at, &v);
    p->protocol = ETHERTYPE_IPV6;
    return true;
}

int ip_output(struct net_ns *ns, struct packet *p, const struct ip_path *path,
              const struct ip_info *h)
{
    bool v4 = ip_is_v4(&h->to);
    u32 header = v4 ? IPV4_HEADER : IPV6_HEADER;
    int err = 0;

    if (!p->gso && p->len + header > path->mtu)
        err = -EMSGSIZE;
    else if (!(v4 ? output_v4(ns, p, path, h) : output_v6(p, path, h)))
        err = -ENOBUFS;
    if (err) {
        COUNT(net_ip_too_long);
        packet_free(p);
        return err;
    }
    p->gso_header = (u16)(p->gso_header + header);
    return output_send(ns, p, path, h);
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
    struct ip_flow f = {.to = h->to, .from = h->from, .device = device, .protocol = h->protocol};
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
    if (path->kind == IP_UNICAST)
        neighbour_confirm(ip_neighbours(ns), path->dev, &path->next);
}
