/* SPDX-License-Identifier: MIT
 *
 * UDP-Lite (RFC 3828): UDP whose header says how many bytes its checksum covers, in the place of
 * the length, which is IP's. Its ports are its own. A socket that sends says how many
 * (UDPLITE_SEND_CSCOV, 0: all), one that receives how many it wants at least (UDPLITE_RECV_CSCOV,
 * 0: all; before it is set, any). All else is UDP's.
 */
#include "lib/checksum.h"
#include "lib/wire.h"
#include "net/udp/udp.h"

enum { UDPLITE_SEND_CSCOV = 10, UDPLITE_RECV_CSCOV = 11 };

static const struct inet_proto udp_lite_proto;

u32 udp_lite_covered(const struct udp_sock *u, u32 n)
{
    s32 v = inet_option_get(&u->inet, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV);

    return v ? MIN((u32)v, n) : n;
}

bool udp_lite_takes(const struct udp_sock *u, u32 covered, u32 n)
{
    s32 least = inet_option_get(&u->inet, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV);

    if (covered >= n || !READ_ONCE(u->lite_least))
        return true;
    return least && covered >= (u32)least;
}

u32 udp_lite_word(const u8 *at, u32 n)
{
    u32 covered = wire_u16(at + 4);

    if (!covered)
        return n;
    return covered < UDP_HEADER || covered > n ? 0 : covered;
}

void udp_lite_sum(const struct udp_sock *u, struct packet *p, const struct ip_info *h)
{
    u32 covered = udp_lite_covered(u, p->len);
    u8 *at = packet_data(p);
    u16 sum;

    wire_put_u16(at + 4, (u16)covered);
    sum = (u16)~checksum_fold(packet_sum(p, 0, covered, ip_pseudo_sum(h, p->len)));
    if (!sum)
        sum = 0xffff; /* RFC 3828 3.1: 0 says that there is none, which may not be */
    memcpy(at + 6, &sum, sizeof(sum));
}

bool udp_lite_sum_is_ok(const struct packet *p, const struct ip_info *h, const u8 *at)
{
    u32 covered = udp_lite_word(at, p->len);

    if (!covered || !wire_u16(at + 6))
        return false;
    if (covered == p->len)
        return ip_sum_is_ok(p, h);
    return checksum_fold(packet_sum(p, 0, covered, ip_pseudo_sum(h, p->len))) == 0xffff;
}

/* ---- sockets ---- */

static struct port_table *udp_lite_ports(struct net_ns *ns)
{
    return &udp_ns_of(ns, true)->ports;
}

static struct socket *udp_lite_create(struct net_ns *ns, int family)
{
    return udp_make(ns, family, &udp_lite_proto, true);
}

/* No less than the header, no more than a datagram may have. */
static int udp_lite_judge(const struct inet_option *o, s32 *v)
{
    if (*v && *v < (s32)UDP_HEADER)
        *v = UDP_HEADER;
    *v = MIN(*v, o->max);
    return 0;
}

static int udp_lite_changed(struct inet_sock *s, const struct inet_option *o, s32 v)
{
    if (o->level == IPPROTO_UDPLITE && o->name == UDPLITE_RECV_CSCOV)
        WRITE_ONCE(udp_of(&s->sock)->lite_least, true);
    return udp_option_changed(s, o, v);
}

static const struct inet_option udp_lite_options[] = {
    {IPPROTO_UDP, UDP_CORK, INET_FLAG, 0, 1, 0},
    {IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, INET_OWN, 0, 65535, 0},
    {IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, INET_OWN, 0, 65535, 0},
};

static const struct inet_proto udp_lite_proto = {
    .ops = &udp_ops,
    .type = SOCK_DGRAM,
    .protocol = IPPROTO_UDPLITE,
    .options = udp_lite_options,
    .nr_options = ARRAY_SIZE(udp_lite_options),
    .judge = udp_lite_judge,
    .changed = udp_lite_changed,
    .ports = udp_lite_ports,
};

SOCKET_PROTO(udp_lite) = {
    .type = SOCK_DGRAM, .protocol = IPPROTO_UDPLITE, .create = udp_lite_create, .named_only = true};
