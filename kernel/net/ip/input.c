/* SPDX-License-Identifier: MIT
 *
 * IPv4 from the wire and from lo: whether it is for this host, and for which protocol, or goes on.
 */
#include "lib/log.h"
#include "net/core/device.h"
#include "net/ip/fib.h"
#include "net/ip/forward.h"
#include "net/link/ethernet.h"

TABLE_DECLARE(struct ip_protocol, ip_protocols);
TABLE_DECLARE(struct ip_watcher, ip_watchers);

COUNTER(net_ip_bad);
COUNTER(net_ip_not_ours);
COUNTER(net_ip_fragments);
COUNTER(net_ip_no_protocol);

/* The header, of a packet that has nothing behind its end. */
static int ipv4_header(struct packet *p, struct ipv4 *h)
{
    u32 n = MIN(p->len, (u32)IPV4_HEADER);
    const u8 *at = packet_need(p, n);

    if (at && n && (at[0] & 15) * 4U > n) { /* with options */
        n = MIN(p->len, (at[0] & 15) * 4U);
        at = packet_need(p, n);
    }
    if (!at || ipv4_parse(at, n, p->len, h))
        return -EINVAL;
    packet_trim(p, h->total);
    p->network = p->start;
    packet_pull(p, h->header);
    p->transport = p->start;
    return 0;
}

/* Not from this host, unless that is allowed, nor from a net's broadcast address. */
static bool ipv4_from_another(const struct packet *p, const struct ip_info *info)
{
    enum ip_path_kind kind = ip_kind_of(p->dev->ns, &info->from);

    return kind == IP_UNICAST || (kind == IP_LOCAL && net_conf_most(p->dev, CONF4_ACCEPT_LOCAL));
}

static bool ipv4_from_ok(const struct packet *p, const struct ipv4 *h, const struct ip_info *info)
{
    if (p->dev->flags & NETDEV_LOOPBACK) /* it was sent here */
        return true;
    /* A client of DHCP has no address yet (RFC 2131 4.1). */
    if (!h->from)
        return h->to == ~0U;
    if (ipv4_source_ok(h->from) && h->to >> 24 != 127 && ipv4_from_another(p, info) &&
        forward_source_ok(p, info))
        return true;
    forward_log_martian(p, info);
    return false;
}

enum ipv4_way { IPV4_DROP, IPV4_HERE, IPV4_ON };

/* A packet for one host that all on the link got is dropped (RFC 1122 3.3.6). */
static enum ipv4_way ipv4_way_of(const struct packet *p, const struct ip_addr *to)
{
    struct net_ns *ns = p->dev->ns;

    switch (ip_kind_of(ns, to)) {
    case IP_LOCAL:
        return p->kind == PACKET_HOST ? IPV4_HERE : IPV4_DROP;
    case IP_BROADCAST:
        return IPV4_HERE;
    case IP_MULTICAST:
        return (p->dev->flags & NETDEV_LOOPBACK) || ip_group_is_joined(ns, p->dev->index, to)
                   ? IPV4_HERE
                   : IPV4_DROP;
    default:
        return IPV4_ON;
    }
}

void ip_deliver(struct packet *p, const struct ip_info *h)
{
    const struct ip_protocol *proto;
    const struct ip_watcher *w;
    bool wanted = false;

    NET_COUNT_IP(p->dev->ns, MIB_IN_DELIVERS, !ip_is_v4(&h->to));
    TABLE_FOR_EACH(w, ip_watchers)
    wanted |= w->receive(p, h);
    TABLE_FOR_EACH(proto, ip_protocols)
    {
        if (proto->protocol != h->protocol)
            continue;
        proto->receive(p, h);
        return;
    }
    if (!wanted) {
        COUNT(net_ip_no_protocol);
        NET_COUNT_IP(p->dev->ns, MIB_IN_PROTOCOLS, !ip_is_v4(&h->to));
        ip_refuse(p, h, IP_NO_PROTOCOL);
    }
    packet_free(p);
}

/* A fragment; delivers the whole, whose header is the first one's but for length and place. */
static void ipv4_join(struct packet *p, const struct ipv4 *h, const struct ip_info *info)
{
    struct ip_config *c = ip_config_of(p->dev->ns);
    struct packet *whole;
    struct ipv4 first;
    u64 due;
    u8 *at;

    COUNT(net_ip_fragments);
    net_count(p->dev->ns, MIB_REASM_REQUESTS);
    if (!c) {
        packet_free(p);
        return;
    }
    whole = reassembly_add(&c->reassembly, p, info, h->id, h->fragment, h->more, IPV4_HEADER, &due);
    ip_config_due(c, due);
    if (!whole)
        return;
    first = *h;
    first.total = (u16)whole->len;
    first.more = first.whole_only = false;
    first.fragment = 0;
    at = packet_data(whole);
    ipv4_build(at, &first);
    packet_pull(whole, IPV4_HEADER);
    whole->transport = whole->start;
    ip_deliver(whole, info);
}

static void ipv4_receive(struct packet *p)
{
    struct ip_info info;
    enum ipv4_way way;
    struct ipv4 h;

    net_count(p->dev->ns, MIB_IN_RECEIVES);
    net_count_by(p->dev->ns, MIB_IN_OCTETS, p->len);
    if (ipv4_header(p, &h)) {
        COUNT(net_ip_bad);
        net_count(p->dev->ns, MIB_IN_HEADERS);
        packet_free(p);
        return;
    }
    info = (struct ip_info){.from = ip_from_v4(h.from),
                            .to = ip_from_v4(h.to),
                            .device = p->dev->index,
                            .protocol = h.protocol,
                            .hops = h.ttl,
                            .tos = h.tos,
                            .whole_only = h.whole_only};
    way = ipv4_from_ok(p, &h, &info) ? ipv4_way_of(p, &info.to) : IPV4_DROP;
    if (way == IPV4_ON) {
        forward_v4(p, &h, &info);
    } else if (way == IPV4_DROP) {
        COUNT(net_ip_not_ours);
        net_count(p->dev->ns, MIB_IN_ADDRESSES);
        packet_free(p);
    } else if (ipv4_is_fragment(&h)) {
        ipv4_join(p, &h, &info);
    } else {
        ip_deliver(p, &info);
    }
}

NET_PROTOCOL(ipv4) = {ETHERTYPE_IPV4, ipv4_receive, "ip_rcv"};
