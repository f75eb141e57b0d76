/* SPDX-License-Identifier: MIT
 *
 * IPv6 from the wire and from lo: whether it is for this host, its extension headers, and for which
 * protocol.
 */
#include "lib/log.h"
#include "net/ip/fib.h"
#include "net/ip/forward.h"
#include "net/ip/icmp.h"
#include "net/ip/ipv6.h"
#include "net/link/ethernet.h"

COUNTER(net_ip6_bad);
COUNTER(net_ip6_not_ours);
COUNTER(net_ip6_fragments);

/* A scoped address is this host's at one device only. */
static bool ipv6_is_local(struct packet *p, const struct ip_addr *to)
{
    struct ip_config *c = ip_config_of(p->dev->ns);
    struct ip_flow f = {.to = *to, .device = p->dev->index};
    struct fib_result r;
    bool is;

    if (p->dev->flags & NETDEV_LOOPBACK) /* it was sent here */
        return true;
    if (!ip_is_link_local(to))
        return ip_local_device(p->dev->ns, to);
    rcu_read_lock();
    is = c && !fib_table_lookup(c->local[1], &f, &r) && r.route->type == ROUTE_LOCAL;
    rcu_read_unlock();
    return is;
}

static bool ipv6_is_ours(struct packet *p, const struct ipv6 *h)
{
    bool lo = p->dev->flags & NETDEV_LOOPBACK;

    if (ip_is_multicast(&h->to))
        return lo || ip_group_is_joined(p->dev->ns, p->dev->index, &h->to);
    return p->kind == PACKET_HOST && ipv6_is_local(p, &h->to);
}

/* Another that sends as this host is dropped; a question that has no sender yet is not. An address
 * of IPv4 is none here, on lo either: all above this takes such a packet for one of IPv4. */
static bool ipv6_ends_are_ok(struct packet *p, const struct ipv6 *h)
{
    if (ip_is_v4(&h->from) || ip_is_v4(&h->to))
        return false;
    if (p->dev->flags & NETDEV_LOOPBACK)
        return !ip_is_multicast(&h->from);
    return ipv6_ends_ok(h) && (ip_is_any(&h->from) || !ip_local_device(p->dev->ns, &h->from));
}

static void ipv6_walk(struct packet *p, struct ip_info *info, bool joined);

/* A fragment; goes on with the whole as if it had come without a fragment's header. */
static void ipv6_join(struct packet *p, u32 at, struct ip_info *info)
{
    struct ip_config *c = ip_config_of(p->dev->ns);
    u8 next = packet_data(p)[at];
    struct ipv6_fragment f;
    struct packet *whole;
    u64 due;
    u8 *head;

    COUNT(net_ip6_fragments);
    NET_COUNT_IP(p->dev->ns, MIB_REASM_REQUESTS, true);
    ipv6_fragment_parse(packet_data(p) + at, &f);
    packet_pull(p, at + IPV6_FRAGMENT_HEADER);
    if (f.more && p->len % 8) { /* RFC 8200 4.5 */
        icmp_error_send(p, info, ICMP6_PROBLEM, 0, 4);
        packet_free(p);
        return;
    }
    if (!c || next == IPV6_FRAGMENT_NEXT) {
        packet_free(p);
        return;
    }
    whole = reassembly_add(&c->reassembly, p, info, f.id, f.offset, f.more, IPV6_HEADER, &due);
    ip_config_due(c, due);
    if (!whole)
        return;
    head = packet_data(whole);
    head[4] = (u8)((whole->len - IPV6_HEADER) >> 8);
    head[5] = (u8)(whole->len - IPV6_HEADER);
    ipv6_walk(whole, info, true);
}

/* The packet begins with its IPv6 header: its extension headers are passed. joined: of fragments,
 * so that it is none itself, however many headers it has. */
static void ipv6_walk(struct packet *p, struct ip_info *info, bool joined)
{
    u32 n = MIN(p->len, (u32)(PACKET_HEAD - p->start));
    const u8 *at = packet_need(p, n);
    struct ipv6_chain chain;
    enum ipv6_verdict verdict = at ? ipv6_chain(at, n, p->len, &chain) : IPV6_DROP;

    if (verdict == IPV6_PROBLEM) {
        info->protocol = chain.protocol;
        if (!ip_is_multicast(&info->to) || chain.group_too)
            icmp_error_send(p, info, ICMP6_PROBLEM, chain.code, chain.at);
    }
    if (verdict == IPV6_FRAGMENT && !joined) {
        info->protocol = chain.protocol;
        ipv6_join(p, chain.at, info);
        return;
    }
    if (verdict != IPV6_DELIVER) {
        COUNT(net_ip6_bad);
        NET_COUNT_IP(p->dev->ns, MIB_IN_HEADERS, true);
        packet_free(p);
        return;
    }
    info->protocol = chain.protocol;
    packet_pull(p, chain.at);
    p->transport = p->start;
    ip_deliver(p, info);
}

static void ipv6_receive(struct packet *p)
{
    const u8 *at = packet_need(p, IPV6_HEADER);
    struct ip_info info;
    struct ipv6 h;

    NET_COUNT_IP(p->dev->ns, MIB_IN_RECEIVES, true);
    net_count_by(p->dev->ns, MIB_IN_OCTETS + MIB_IP6 - MIB_IP, p->len);
    if (!at || ipv6_parse(at, IPV6_HEADER, p->len, &h)) {
        COUNT(net_ip6_bad);
        NET_COUNT_IP(p->dev->ns, MIB_IN_HEADERS, true);
        packet_free(p);
        return;
    }
    packet_trim(p, h.payload + IPV6_HEADER);
    p->network = p->start;
    if (net_conf(p->dev, CONF6_DISABLE) || !ipv6_ends_are_ok(p, &h)) {
        COUNT(net_ip6_not_ours);
        NET_COUNT_IP(p->dev->ns, MIB_IN_ADDRESSES, true);
        packet_free(p);
        return;
    }
    info = (struct ip_info){.from = h.from,
                            .to = h.to,
                            .device = p->dev->index,
                            .flow = h.flow,
                            .hops = h.hops,
                            .tos = h.tos};
    if (ipv6_is_ours(p, &h))
        ipv6_walk(p, &info, false);
    else
        forward_v6(p, &h, &info);
}

NET_PROTOCOL(ipv6) = {ETHERTYPE_IPV6, ipv6_receive, "ipv6_rcv"};
