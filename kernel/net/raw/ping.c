/* SPDX-License-Identifier: MIT
 *
 * Ping sockets: SOCK_DGRAM of ICMP and ICMPv6 (icmp(7)). raw.h has the rules.
 */
#include "lib/checksum.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/wire.h"
#include "net/core/device.h"
#include "net/core/filter.h"
#include "net/ip/ipv4.h"
#include "net/ip/ipv6.h"
#include "net/raw/raw.h"

static const struct inet_proto ping_proto4, ping_proto6;

static struct port_table *ping_ports4(struct net_ns *ns)
{
    return &raw_ns_of(ns)->pings4;
}

static struct port_table *ping_ports6(struct net_ns *ns)
{
    return &raw_ns_of(ns)->pings6;
}

static bool ping_in_range(struct net_ns *ns, kgid_t gid)
{
    const struct raw_ns *rn = raw_ns_of(ns);
    u32 id = user_ns_gid(ns->user_ns, gid);

    return id >= (u32)READ_ONCE(rn->ping_groups[0]) && id <= (u32)READ_ONCE(rn->ping_groups[1]);
}

static bool ping_allowed(struct net_ns *ns)
{
    const struct cred *c = current_cred();

    for (u32 i = 0; i < c->nr_groups; i++)
        if (ping_in_range(ns, c->groups[i]))
            return true;
    return ping_in_range(ns, c->egid);
}

static struct socket *ping_create(struct net_ns *ns, int family, const struct inet_proto *proto)
{
    struct raw_sock *r;

    if (!ping_allowed(ns))
        return ERR_PTR(-EACCES);
    r = raw_alloc();
    if (!r)
        return ERR_PTR(-ENOMEM);
    r->ping = true;
    r->sum = -1;
    inet_setup(&r->inet, proto, ns, &raw_ns_of(ns)->ping_list, family);
    return &r->inet.sock;
}

static struct socket *ping_create4(struct net_ns *ns, int family)
{
    return family == AF_INET ? ping_create(ns, family, &ping_proto4) : ERR_PTR(-EPROTONOSUPPORT);
}

static struct socket *ping_create6(struct net_ns *ns, int family)
{
    return family == AF_INET6 ? ping_create(ns, family, &ping_proto6) : ERR_PTR(-EPROTONOSUPPORT);
}

static void ping_release(struct socket *s)
{
    port_end(inet_of(s));
    inet_datagram_end(s);
}

/* The checksum of all of it is right. */
static bool ping_sum_ok(const struct packet *p, const struct ip_info *h)
{
    if (!ip_is_v4(&h->to))
        return ip_sum_is_ok(p, h);
    return checksum_fold(packet_sum(p, 0, p->len, 0)) == 0xffff;
}

void ping_receive(struct packet *p, const struct ip_info *h)
{
    bool v4 = ip_is_v4(&h->to);
    struct port_table *t = v4 ? ping_ports4(p->dev->ns) : ping_ports6(p->dev->ns);
    struct ip_end to = {.addr = h->to}, from = {.addr = h->from};
    u32 budget = FILTER_BUDGET; /* its own: it is one socket */
    struct inet_sock *s;
    const u8 *at;

    if (!READ_ONCE(t->bits)) /* there was never one */
        return;
    at = packet_need(p, ICMP_ECHO_BYTES);
    if (!at || at[0] != (v4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY) || at[1])
        return;
    to.port = wire_u16(at + 4);
    if (!to.port || !ping_sum_ok(p, h))
        return;
    s = port_find(t, &to, &from, h->device);
    if (!s)
        return;
    if (raw_from_ok(raw_of(&s->sock), &h->from))
        raw_queue(raw_of(&s->sock), packet_clone(p), h, &budget);
    socket_put(&s->sock);
}

bool ping_sent(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n)
{
    bool v4 = ip_is_v4(&h->to);
    struct port_table *t = v4 ? ping_ports4(ns) : ping_ports6(ns);
    struct ip_end us = {.addr = h->from}, them = {.addr = h->to};
    struct inet_sock *s;

    if (!READ_ONCE(t->bits) || n < ICMP_ECHO_BYTES || at[0] != (v4 ? ICMP_ECHO : ICMP6_ECHO))
        return false;
    us.port = wire_u16(at + 4);
    s = us.port ? port_find(t, &us, &them, h->device) : NULL;
    if (s)
        socket_put(&s->sock);
    return s;
}

static const struct socket_ops ping_ops = {
    .bind = inet_bind,
    .connect = raw_connect,
    .name = inet_name,
    .send = raw_send,
    .recv = inet_datagram_recv,
    .recv_error = inet_recv_error,
    .control = inet_control,
    .shutdown = raw_shutdown,
    .poll = inet_datagram_poll,
    .set_option = inet_set_option,
    .get_option = inet_get_option,
    .ioctl = inet_datagram_ioctl,
    .release = ping_release,
    .destroy = raw_destroy,
    .refuses = SOCK_SHUT_RD,
    .msg_give = raw_msg_give,
};

static const struct inet_proto ping_proto4 = {
    .ops = &ping_ops, .type = SOCK_DGRAM, .protocol = IPPROTO_ICMP, .ports = ping_ports4};
static const struct inet_proto ping_proto6 = {
    .ops = &ping_ops, .type = SOCK_DGRAM, .protocol = IPPROTO_ICMPV6, .ports = ping_ports6};

SOCKET_PROTO(ping4) = {
    .type = SOCK_DGRAM, .protocol = IPPROTO_ICMP, .create = ping_create4, .named_only = true};
SOCKET_PROTO(ping6) = {
    .type = SOCK_DGRAM, .protocol = IPPROTO_ICMPV6, .create = ping_create6, .named_only = true};
