/* SPDX-License-Identifier: MIT
 *
 * Forwarding. forward.h has the contract.
 *
 * A packet that was joined, or that is still to be cut, goes on whole: the device cuts it into
 * what came. If those segments are too large for the link and may be cut further, TCP's are made
 * smaller; datagrams in a batch are dropped.
 */
#include "net/ip/forward.h"
#include "lib/log.h"
#include "net/ip/fib.h"
#include "net/ip/icmp.h"
#include "net/link/ethernet.h"

#define FORWARD_HEADROOM 88 /* headers of links and a driver */
#define ICMP_REDIRECT 5
#define REDIRECT_HOST 1
#define TIME_IN_TRANSIT 0
#define UNREACHABLE_FRAGMENT 4
#define UNREACHABLE_BEYOND_SCOPE 2 /* of ICMPv6 */
#define RP_STRICT 1

COUNTER(net_ip_forwarded);
COUNTER(net_ip_forward_expired);
COUNTER(net_ip_forward_no_route);
COUNTER(net_ip_forward_too_big);
COUNTER(net_ip_martians);
COUNTER(net_ip_not_forwarded);

/* Where it goes on: dev is borrowed within RCU. */
struct forward_way {
    struct netdev *dev;
    struct ip_addr next;
    u32 mtu;
    int err; /* of the look-up, if dev is NULL */
};

static void forward_find(const struct packet *p, const struct ip_info *info,
                         struct forward_way *way)
{
    struct ip_config *c = ip_config_of(p->dev->ns);
    struct ip_flow f = {.to = info->to,
                        .from = info->from,
                        .mark = p->mark,
                        .protocol = info->protocol,
                        .tos = info->tos,
                        .uid = ip_kernel_uid(p->dev->ns)};
    struct fib_result r;

    *way = (struct forward_way){.err = -ENETUNREACH};
    if (!c)
        return;
    way->err = fib_lookup(c, &f, p->dev->index, &r);
    if (way->err)
        return;
    way->err = -EINVAL;
    if (r.route->type != ROUTE_UNICAST || (r.hop->dev->flags & NETDEV_LOOPBACK))
        return;
    way->dev = r.hop->dev;
    way->next = ip_is_any(&r.hop->gateway) ? info->to : r.hop->gateway;
    way->mtu = READ_ONCE(way->dev->mtu);
    if (r.route->metrics.mtu && r.route->metrics.mtu < way->mtu)
        way->mtu = r.route->metrics.mtu;
}

/* Takes p, which begins with its header. */
static void forward_send(struct packet *p, const struct forward_way *way, u16 protocol)
{
    COUNT(net_ip_forwarded);
    NET_COUNT_IP(way->dev->ns, MIB_FORWARDED, protocol != ETHERTYPE_IPV4);
    p->protocol = protocol;
    packet_arrived(p);
    if (!netdev_has_neighbours(way->dev))
        (void)ip_output_link(p, way->dev, NULL);
    else
        (void)neighbour_output(ip_neighbours(way->dev->ns, &way->next), way->dev, &way->next, p);
}

/* Bytes that each packet has on the link, IP's header of `header` bytes included. */
static u32 forward_size(const struct packet *p, u32 header)
{
    if (!p->gso)
        return header + p->len;
    return header + (u32)p->csum_start + p->gso_size + 60; /* at most, with TCP's largest header */
}

static u32 forward_segment_header(struct packet *p)
{
    const u8 *at = packet_need(p, p->csum_start + 20U);

    if ((p->gso & ~(u32)PACKET_GSO_ECN) == PACKET_GSO_UDP_L4)
        return p->csum_start + 8U;
    return at ? p->csum_start + (at[p->csum_start + 12] >> 4) * 4U : p->csum_start + 60U;
}

/* p, which begins behind its IP header, fits, or is made to: true. */
static bool forward_fits(struct packet *p, u32 header, u32 mtu, bool may_cut)
{
    u32 headers;

    if (forward_size(p, header) <= mtu)
        return true;
    if (!p->gso)
        return false;
    headers = header + forward_segment_header(p);
    if (headers + p->gso_size <= mtu)
        return true;
    if (!may_cut || (p->gso & ~(u32)PACKET_GSO_ECN) == PACKET_GSO_UDP_L4 || headers + 8 > mtu)
        return false;
    p->gso_size = (u16)(mtu - headers);
    return true;
}

/* ---- IPv4 ---- */

/* Bytes of a fragment. */
static u32 forward_part(const struct ipv4 *h, const struct forward_way *way)
{
    return (way->mtu - h->header) & ~7U;
}

/* Cuts p, which begins behind its header of h->header bytes. Takes it. */
static void forward_parts(struct packet *p, const struct ipv4 *h, const struct forward_way *way)
{
    const u8 *head = p->head + p->network;
    u32 each = forward_part(h, way), n;
    bool whole = !(p->flags & PACKET_CSUM_PARTIAL) || packet_finish_sum(p);

    for (u32 at = 0; whole && at < p->len; at += n) {
        struct packet *q = packet_alloc();
        u8 *to;

        n = MIN(each, p->len - at);
        if (!q)
            break;
        q->start = FORWARD_HEADROOM;
        q->mark = p->mark;
        q->priority = p->priority;
        to = packet_append(q, h->header);
        if (!to || packet_add_slice(q, p, at, n)) {
            packet_free(q);
            break;
        }
        ipv4_fragment_header(to, head, h->header, h->header + n, h->fragment + at,
                             h->more || at + n < p->len);
        forward_send(q, way, ETHERTYPE_IPV4);
    }
    packet_free(p);
}

/* Its sender is told of a router that is nearer (RFC 1812 5.2.7.2). */
static void forward_redirect(struct packet *p, const struct ip_info *info,
                             const struct forward_way *way)
{
    if (way->dev == p->dev && net_conf_most(p->dev, CONF4_SEND_REDIRECTS) &&
        ip_on_link(way->dev, &info->from))
        icmp_error_send(p, info, ICMP_REDIRECT, REDIRECT_HOST, ip_v4(&way->next));
}

/* No error is sent about a fragment behind the first. */
static void forward_refuse(struct packet *p, const struct ipv4 *h, const struct ip_info *info,
                           u8 type, u8 code, u32 rest)
{
    if (!h->fragment)
        icmp_error_send(p, info, type, code, rest);
    packet_free(p);
}

static void forward_unreachable(struct packet *p, const struct ipv4 *h, const struct ip_info *info,
                                int err)
{
    COUNT(net_ip_forward_no_route);
    if (err == -EINVAL) /* a blackhole, or no host's address */
        packet_free(p);
    else
        forward_refuse(p, h, info, ICMP_UNREACHABLE,
                       err == -EACCES         ? 13
                       : err == -EHOSTUNREACH ? 1
                                              : 0,
                       0);
}

/* 0.0.0.0 and 127/8 are on no wire; the rest of 0/8 and 240/4 are as any other, as on Linux. */
static bool forward_to_ok(u32 to)
{
    return to && to >> 24 != 127;
}

static void forward_on_v4(struct packet *p, const struct ipv4 *h, const struct ip_info *info,
                          const struct forward_way *way)
{
    bool fits = forward_fits(p, h->header, way->mtu, !h->whole_only);

    if (!fits && (h->whole_only || p->gso || way->mtu < 68 ||
                  p->len > IP_PARTS_MOST * forward_part(h, way))) {
        COUNT(net_ip_forward_too_big);
        forward_refuse(p, h, info, ICMP_UNREACHABLE, UNREACHABLE_FRAGMENT, way->mtu & 0xffff);
        return;
    }
    forward_redirect(p, info, way);
    ipv4_hop(p->head + p->network);
    if (!fits) {
        forward_parts(p, h, way);
        return;
    }
    packet_push(p, h->header);
    forward_send(p, way, ETHERTYPE_IPV4);
}

void forward_v4(struct packet *p, const struct ipv4 *h, const struct ip_info *info)
{
    struct forward_way way;

    if (!net_conf(p->dev, CONF4_FORWARDING) || p->kind != PACKET_HOST || !forward_to_ok(h->to) ||
        !h->from || ipv4_is_source_routed(p->head + p->network, h->header)) {
        COUNT(net_ip_not_forwarded);
        NET_COUNT_IP(p->dev->ns, MIB_IN_ADDRESSES, !ip_is_v4(&info->to));
        packet_free(p);
        return;
    }
    if (h->fragment + p->len > 65535U - h->header) { /* its parts would be at places that wrap */
        COUNT(net_ip_not_forwarded);
        net_count(p->dev->ns, MIB_IN_HEADERS);
        packet_free(p);
        return;
    }
    if (h->ttl <= 1) {
        COUNT(net_ip_forward_expired);
        forward_refuse(p, h, info, ICMP_TIME, TIME_IN_TRANSIT, 0);
        return;
    }
    rcu_read_lock();
    forward_find(p, info, &way);
    if (way.dev)
        forward_on_v4(p, h, info, &way);
    else
        forward_unreachable(p, h, info, way.err);
    rcu_read_unlock();
}

/* ---- IPv6 ---- */

/* An error about p, which begins with its header; its chain leads to what tells whether it is an
 * error itself. Takes p. */
static void forward_refuse6(struct packet *p, struct ip_info *info, u8 type, u8 code, u32 rest)
{
    u32 n = MIN(p->len, (u32)(PACKET_HEAD - p->start));
    const u8 *at = packet_need(p, n);
    struct ipv6_fragment f = {.offset = 0};
    struct ipv6_chain chain;
    enum ipv6_verdict verdict = at ? ipv6_chain(at, n, p->len, &chain) : IPV6_DROP;

    if (verdict == IPV6_FRAGMENT) {
        ipv6_fragment_parse(at + chain.at, &f);
        chain.at += IPV6_FRAGMENT_HEADER;
    }
    if ((verdict == IPV6_FRAGMENT || verdict == IPV6_DELIVER) && !f.offset && chain.at <= n) {
        info->protocol = chain.protocol;
        packet_pull(p, chain.at);
        icmp_error_send(p, info, type, code, rest);
    }
    packet_free(p);
}

static void forward_on_v6(struct packet *p, struct ip_info *info, const struct forward_way *way)
{
    bool fits;

    packet_pull(p, IPV6_HEADER);
    fits = forward_fits(p, IPV6_HEADER, way->mtu, false);
    packet_push(p, IPV6_HEADER);
    if (!fits) {
        COUNT(net_ip_forward_too_big);
        forward_refuse6(p, info, ICMP6_TOO_BIG, 0, MAX(way->mtu, (u32)IPV6_MIN_MTU));
        return;
    }
    packet_data(p)[7]--;
    forward_send(p, way, ETHERTYPE_IPV6);
}

void forward_v6(struct packet *p, const struct ipv6 *h, struct ip_info *info)
{
    struct forward_way way;

    if (!net_conf_all(p->dev->ns, CONF6_FORWARDING) || p->kind != PACKET_HOST ||
        ip_is_any(&h->from) || ip_is_multicast(&h->to) || ip_is_link_local(&h->to)) {
        COUNT(net_ip_not_forwarded);
        NET_COUNT_IP(p->dev->ns, MIB_IN_ADDRESSES, !ip_is_v4(&info->to));
        packet_free(p);
        return;
    }
    if (h->hops <= 1) {
        COUNT(net_ip_forward_expired);
        forward_refuse6(p, info, ICMP6_TIME, TIME_IN_TRANSIT, 0);
        return;
    }
    if (ip_is_link_local(&h->from)) { /* RFC 4291 2.5.6 */
        forward_refuse6(p, info, ICMP6_UNREACHABLE, UNREACHABLE_BEYOND_SCOPE, 0);
        return;
    }
    info->protocol = h->next; /* for rules, as Linux has it: extension headers are not passed */
    rcu_read_lock();
    forward_find(p, info, &way);
    if (way.dev) {
        forward_on_v6(p, info, &way);
    } else {
        COUNT(net_ip_forward_no_route);
        if (way.err == -EINVAL)
            packet_free(p);
        else
            forward_refuse6(p, info, ICMP6_UNREACHABLE,
                            way.err == -EACCES         ? 1
                            : way.err == -EHOSTUNREACH ? 3
                                                       : 0,
                            0);
    }
    rcu_read_unlock();
}

/* ---- where a packet may come from ---- */

static bool forward_leads_to(const struct fib_result *r, const struct netdev *dev)
{
    for (u32 i = 0; i < r->route->nr_hops; i++)
        if (r->route->hops[i].dev == dev)
            return true;
    return false;
}

bool forward_source_ok(const struct packet *p, const struct ip_info *info)
{
    s32 how = net_conf_most(p->dev, CONF4_RP_FILTER);
    struct ip_config *c = ip_config_of(p->dev->ns);
    struct ip_flow f = {
        .to = info->from, .from = info->to, .tos = info->tos, .uid = ip_kernel_uid(p->dev->ns)};
    struct fib_result r;
    bool ok;

    if (!how || !c)
        return true;
    if (net_conf_most(p->dev, CONF4_SRC_VALID_MARK))
        f.mark = p->mark;
    rcu_read_lock();
    ok = !fib_lookup(c, &f, 0, &r) &&
         (r.route->type == ROUTE_LOCAL || /* accept_local has allowed it */
          (r.route->type == ROUTE_UNICAST && (how != RP_STRICT || forward_leads_to(&r, p->dev))));
    rcu_read_unlock();
    return ok;
}

void forward_log_martian(const struct packet *p, const struct ip_info *info)
{
    u32 from = ip_v4(&info->from), to = ip_v4(&info->to);

    COUNT(net_ip_martians);
    if (net_conf_most(p->dev, CONF4_LOG_MARTIANS))
        net_log_limited(p->dev->ns, LOG_WARN, "martian from %u.%u.%u.%u to %u.%u.%u.%u, on %.16s",
                        from >> 24, from >> 16 & 255, from >> 8 & 255, from & 255, to >> 24,
                        to >> 16 & 255, to >> 8 & 255, to & 255, p->dev->name);
}
