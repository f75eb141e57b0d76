/* SPDX-License-Identifier: MIT
 *
 * Datagrams from the wire, and errors that come back (RFC 768, RFC 8200 8.1, RFC 1122 4.1). Every
 * length is the packet's own word until it is checked here. What a group's or a broadcast's packet
 * costs is bounded: UDP_GROUP_MOST receivers, what their filters may run (core/filter.h), and the
 * datagrams that are made of it where it is several.
 */
#include "lib/log.h"
#include "lib/wire.h"
#include "net/core/device.h"
#include "net/core/filter.h"
#include "net/ip/addr.h"
#include "net/ip/option.h"
#include "net/udp/udp.h"

#define UDP_GROUP_MOST 64
#define UDP_PIECES_MOST 512

/* What is left for one packet. */
struct udp_budget {
    u32 filters; /* instructions */
    u32 pieces;  /* datagrams that are cut out of it */
};

COUNTER(net_udp_bad);
COUNTER(net_udp_unheard);
COUNTER(net_udp_lost);

static bool udp_is_lite(const struct ip_info *h)
{
    return h->protocol == IPPROTO_UDPLITE;
}

/* Without a checksum: never IPv6, unless the receiver allows it (RFC 6935). */
static bool udp_sum_ok(const struct packet *p, const struct ip_info *h, const u8 *at)
{
    if (unlikely(udp_is_lite(h)))
        return udp_lite_sum_is_ok(p, h, at);
    return !wire_u16(at + 6) || ip_sum_is_ok(p, h);
}

/* Its header is right, and p ends where it says; UDP-Lite's p is as long as IP says. */
static const u8 *udp_header(struct packet *p, const struct ip_info *h)
{
    const u8 *at = packet_need(p, UDP_HEADER);
    u32 len = at ? wire_u16(at + 4) : 0;

    if (unlikely(udp_is_lite(h)))
        return at;
    if (len < UDP_HEADER || len > p->len)
        return NULL;
    packet_trim(p, len);
    return at;
}

/* Takes p, which r does not get. */
static void udp_lose(struct inet_sock *r, struct packet *p, const struct ip_info *h)
{
    __atomic_fetch_add(&r->sock.lost, 1, __ATOMIC_RELAXED);
    COUNT(net_udp_lost);
    udp_count_queued(r, false, !ip_is_v4(&h->to));
    packet_free(p);
}

/* Takes p, of which `head` bytes are not the receiver's. */
static void udp_queue(struct inet_sock *r, struct packet *p, const struct ip_info *h, u16 from,
                      u32 head, u16 segment)
{
    struct udp_msg *um = (struct udp_msg *)(void *)sock_packet_msg(p);
    bool queued;

    if (READ_ONCE(r->sock.queued) >= READ_ONCE(r->sock.rcvbuf) ||
        sock_packet_begin(&r->sock, p, head)) {
        udp_lose(r, p, h);
        return;
    }
    um->from = (struct ip_end){.addr = h->from, .port = from};
    if (ip_needs_scope(&h->from))
        um->from.scope = h->device;
    um->heard = (struct inet_heard){
        .to = h->to, .device = h->device, .flow = h->flow, .hops = h->hops, .tos = h->tos};
    um->segment = segment;
    queued = sock_queue_offer(&r->sock, &um->msg);
    udp_count_queued(r, queued, !ip_is_v4(&h->to));
    if (!queued)
        COUNT(net_udp_lost);
}

/* A packet that is several datagrams, for one who wants them one by one. Takes p. */
static void udp_split(struct inet_sock *r, struct packet *p, const struct ip_info *h, u16 from,
                      struct udp_budget *left)
{
    u32 each = p->gso_size, at = UDP_HEADER;

    for (unsigned n = 0; at < p->len && n < UDP_SEGMENTS; n++, at += each) {
        struct packet *q = left->pieces ? packet_clone(p) : NULL;

        if (!q) {
            udp_lose(r, p, h);
            return;
        }
        left->pieces--;
        packet_trim(q, MIN(at + each, p->len));
        packet_skip(q, at);
        udp_queue(r, q, h, from, 0, 0);
    }
    packet_free(p);
}

/* Enough of p, which begins with its header, is covered for r. */
static bool udp_lite_wanted(const struct inet_sock *r, struct packet *p)
{
    const u8 *at = packet_need(p, UDP_HEADER);

    return at && udp_lite_takes((const struct udp_sock *)r, udp_lite_word(at, p->len), p->len);
}

/* Takes p. */
static void udp_give(struct inet_sock *r, struct packet *p, const struct ip_info *h, u16 from,
                     struct udp_budget *left)
{
    u32 keep = U32_MAX;
    bool several = p->gso == PACKET_GSO_UDP_L4 && p->gso_size && p->len > UDP_HEADER + p->gso_size;

    if (unlikely(READ_ONCE(r->sock.filter)) &&
        !socket_filter_pay(&r->sock, p, 0, 0, &left->filters, &keep)) {
        udp_lose(r, p, h);
        return;
    }
    if (unlikely(udp_is_lite(h)) && !udp_lite_wanted(r, p)) {
        udp_count(r->sock.ns, MIB_UDP_ERRORS, !ip_is_v4(&h->to), true);
        keep = 0;
    }
    if (!keep) {
        packet_free(p);
        return;
    }
    packet_trim(p, MAX(keep, UDP_HEADER));
    if (several && !inet_option_on(r, IPPROTO_UDP, UDP_GRO))
        udp_split(r, p, h, from, left);
    else
        udp_queue(r, p, h, from, UDP_HEADER, several ? p->gso_size : 0);
}

static void udp_give_group(struct packet *p, const struct ip_info *h, const struct ip_end *to,
                           const struct ip_end *from)
{
    struct udp_budget left = {FILTER_BUDGET, UDP_PIECES_MOST};
    struct inet_sock *r[UDP_GROUP_MOST];
    u32 n = port_find_all(&udp_ns_of(p->dev->ns, udp_is_lite(h))->ports, to, h, from, r,
                          UDP_GROUP_MOST);

    for (u32 i = 0; i < n; i++) {
        struct packet *q = packet_clone(p);

        if (q)
            udp_give(r[i], q, h, from->port, &left);
        socket_put(&r[i]->sock);
    }
    packet_free(p);
}

static void udp_give_one(struct packet *p, const struct ip_info *h, const struct ip_end *to,
                         const struct ip_end *from, bool unsummed)
{
    struct inet_sock *r =
        port_find(&udp_ns_of(p->dev->ns, udp_is_lite(h))->ports, to, from, h->device);
    struct udp_budget left = {FILTER_BUDGET, UDP_PIECES_MOST};

    if (!r) {
        COUNT(net_udp_unheard);
        udp_count(p->dev->ns, MIB_UDP_NO_PORTS, !ip_is_v4(&h->to), udp_is_lite(h));
        ip_refuse(p, h, IP_NO_PORT);
        packet_free(p);
        return;
    }
    if (unsummed && !inet_option_on(r, IPPROTO_UDP, UDP_NO_CHECK6_RX))
        packet_free(p);
    else
        udp_give(r, p, h, from->port, &left);
    socket_put(&r->sock);
}

static void udp_receive(struct packet *p, const struct ip_info *h)
{
    const u8 *at = udp_header(p, h);
    struct ip_end to = {.addr = h->to}, from = {.addr = h->from};
    bool unsummed;

    if (!at || !udp_sum_ok(p, h, at)) {
        COUNT(net_udp_bad);
        udp_count(p->dev->ns, MIB_UDP_ERRORS, !ip_is_v4(&h->to), udp_is_lite(h));
        udp_count(p->dev->ns, MIB_UDP_SUMS, !ip_is_v4(&h->to), udp_is_lite(h));
        packet_free(p);
        return;
    }
    unsummed = !wire_u16(at + 6) && !ip_is_v4(&h->to);
    from.port = wire_u16(at);
    to.port = wire_u16(at + 2);
    if (ip_needs_scope(&h->to))
        to.scope = h->device;
    if (!to.port)
        packet_free(p);
    else if (!ip_is_multicast(&h->to) && ip_local_device(p->dev->ns, &h->to))
        udp_give_one(p, h, &to, &from, unsummed);
    else if (!unsummed)
        udp_give_group(p, h, &to, &from);
    else
        packet_free(p);
}

/* Who may have sent a datagram that came back, or NULL; at: its header, which need not be one that
 * was sent. */
static struct inet_sock *udp_sender(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n,
                                    struct ip_end *them)
{
    struct ip_end us = {.addr = h->from};

    if (n < UDP_HEADER)
        return NULL;
    us.port = wire_u16(at);
    *them = (struct ip_end){.addr = h->to, .port = wire_u16(at + 2)};
    if (ip_needs_scope(&h->from))
        us.scope = h->device;
    return us.port ? port_find(&udp_ns_of(ns, udp_is_lite(h))->ports, &us, them, h->device) : NULL;
}

static bool udp_sent(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n)
{
    struct ip_end them;
    struct inet_sock *s = udp_sender(ns, h, at, n, &them);

    if (s)
        socket_put(&s->sock);
    return s;
}

static void udp_error(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n,
                      const struct ip_error *e)
{
    struct ip_end them;
    struct inet_sock *s = udp_sender(ns, h, at, n, &them);

    if (!s)
        return;
    inet_error(s, e, &them, at + UDP_HEADER, n - UDP_HEADER);
    socket_put(&s->sock);
}

IP_PROTOCOL(udp) = {
    .protocol = IPPROTO_UDP, .receive = udp_receive, .error = udp_error, .sent = udp_sent};
IP_PROTOCOL(udp_lite) = {
    .protocol = IPPROTO_UDPLITE, .receive = udp_receive, .error = udp_error, .sent = udp_sent};
