/* SPDX-License-Identifier: MIT
 *
 * Control messages of IP (ip(7), ipv6(7)): what a sender says of one datagram, what a receiver is
 * told.
 */
#include "net/ip/addr.h"
#include "net/ip/inet.h"
#include "net/ip/option.h"

struct pktinfo4 { /* struct in_pktinfo; addresses as they lie on the wire */
    s32 device;
    u32 local, destination;
};
struct pktinfo6 {
    struct ip_addr addr;
    u32 device;
} __packed;
static_assert(sizeof(struct pktinfo6) == 20, "struct in6_pktinfo");

static int control_int(const void *data, u64 n, s32 min, s32 max, s16 *out)
{
    s32 v;

    if (n != sizeof(v))
        return -EINVAL;
    memcpy(&v, data, sizeof(v));
    if (v < min || v > max)
        return -EINVAL;
    *out = (s16)v;
    return 0;
}

static int control_ip(struct socket_message *m, s32 type, const void *data, u64 n)
{
    struct pktinfo4 info;

    switch (type) {
    case IP_PKTINFO:
        if (n != sizeof(info))
            return -EINVAL;
        memcpy(&info, data, sizeof(info));
        m->source = ip_from_v4(ip_swap32(info.local));
        m->source_interface = info.device;
        return 0;
    case IP_TTL:
        return control_int(data, n, 1, 255, &m->header.hops);
    case IP_TOS:
        if (n != 1)
            return control_int(data, n, 0, 255, &m->header.tos);
        m->header.tos = *(const u8 *)data;
        return 0;
    default:
        return -EINVAL;
    }
}

static int control_ipv6(struct socket_message *m, s32 type, const void *data, u64 n)
{
    struct pktinfo6 info;

    switch (type) {
    case IPV6_PKTINFO:
    case IPV6_2292PKTINFO:
        if (n < sizeof(info))
            return -EINVAL;
        memcpy(&info, data, sizeof(info));
        m->source = info.addr;
        m->source_interface = (s32)info.device;
        return 0;
    case IPV6_HOPLIMIT:
    case IPV6_2292HOPLIMIT:
        return control_int(data, n, -1, 255, &m->header.hops);
    case IPV6_TCLASS:
        return control_int(data, n, -1, 255, &m->header.tos);
    case IPV6_DONTFRAG:
        return control_int(data, n, 0, 1, &m->header.whole);
    default:
        return -EINVAL;
    }
}

/* Streams look at SOL_SOCKET alone; what is for unix sockets passes there. */
int inet_control(struct socket *s, struct socket_message *m, s32 level, s32 type, const void *data,
                 u64 n)
{
    if (level == SOL_SOCKET)
        return type == SCM_RIGHTS || type == SCM_CREDENTIALS ? 0 : -EINVAL;
    if (s->type == SOCK_STREAM)
        return 0;
    if (level == s->protocol && inet_of(s)->proto->control)
        return inet_of(s)->proto->control(m, type, data, n);
    if (level == IPPROTO_IP)
        return control_ip(m, type, data, n);
    return level == IPPROTO_IPV6 && s->family == AF_INET6 ? control_ipv6(m, type, data, n) : 0;
}

static void control_notes4(struct inet_sock *s, struct socket_message *m,
                           const struct inet_heard *h, u16 port)
{
    const struct pktinfo4 info = {(s32)h->device, h->to.w[3], h->to.w[3]};
    const struct ip_end to = {.addr = h->to, .port = port};
    s32 ttl = h->hops;

    if (inet_option_on(s, IPPROTO_IP, IP_PKTINFO))
        socket_note(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    if (inet_option_on(s, IPPROTO_IP, IP_RECVTTL))
        socket_note(m, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    if (inet_option_on(s, IPPROTO_IP, IP_RECVTOS))
        socket_note(m, IPPROTO_IP, IP_TOS, &h->tos, sizeof(h->tos));
    if (inet_option_on(s, IPPROTO_IP, IP_RECVORIGDSTADDR)) {
        struct sock_addr sa;
        u32 len = inet_addr_write(AF_INET, &to, &sa);

        socket_note(m, IPPROTO_IP, IP_RECVORIGDSTADDR, &sa, len);
    }
}

static void control_notes6(struct inet_sock *s, struct socket_message *m,
                           const struct inet_heard *h, u16 port)
{
    s32 hops = h->hops, class = h->tos;
    u32 flow = ip_swap32((u32)h->tos << 20 | h->flow);

    if (inet_option_on(s, IPPROTO_IPV6, IPV6_RECVHOPLIMIT))
        socket_note(m, IPPROTO_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops));
    if (inet_option_on(s, IPPROTO_IPV6, IPV6_2292HOPLIMIT))
        socket_note(m, IPPROTO_IPV6, IPV6_2292HOPLIMIT, &hops, sizeof(hops));
    if (inet_option_on(s, IPPROTO_IPV6, IPV6_RECVTCLASS))
        socket_note(m, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class));
    if (flow && inet_option_on(s, IPPROTO_IPV6, IPV6_FLOWINFO))
        socket_note(m, IPPROTO_IPV6, IPV6_FLOWINFO, &flow, sizeof(flow));
    if (inet_option_on(s, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR)) {
        const struct ip_end to = {
            .addr = h->to, .port = port, .scope = ip_needs_scope(&h->to) ? h->device : 0};
        struct sock_addr sa;
        u32 len = inet_addr_write(AF_INET6, &to, &sa);

        socket_note(m, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, &sa, len);
    }
}

static void control_notes(struct inet_sock *s, struct socket_message *m, const struct inet_heard *h,
                          u16 port)
{
    const struct pktinfo6 info = {h->to, h->device};

    if (s->sock.family == AF_INET6 && inet_option_on(s, IPPROTO_IPV6, IPV6_RECVPKTINFO))
        socket_note(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    if (s->sock.family == AF_INET6 && inet_option_on(s, IPPROTO_IPV6, IPV6_2292PKTINFO))
        socket_note(m, IPPROTO_IPV6, IPV6_2292PKTINFO, &info, sizeof(info));
    if (ip_is_v4(&h->to))
        control_notes4(s, m, h, port);
    else
        control_notes6(s, m, h, port);
}

static s32 control_hops(const struct inet_sock *s, const struct ip_addr *to)
{
    bool group = ip_is_multicast(to);

    if (ip_is_v4(to))
        return inet_option_get(s, IPPROTO_IP, group ? IP_MULTICAST_TTL : IP_TTL);
    return inet_option_get(s, IPPROTO_IPV6, group ? IPV6_MULTICAST_HOPS : IPV6_UNICAST_HOPS);
}

void inet_header(const struct inet_sock *s, const struct ip_addr *to, const struct socket_header *h,
                 u8 *hops, u8 *tos)
{
    bool v4 = ip_is_v4(to);

    *hops = (u8)MAX(h->hops >= 0 ? h->hops : control_hops(s, to), 0);
    *tos = (u8)(h->tos >= 0 ? h->tos
                            : inet_option_get(s, v4 ? IPPROTO_IP : IPPROTO_IPV6,
                                              v4 ? IP_TOS : IPV6_TCLASS));
}

void inet_notes(struct inet_sock *s, struct socket_message *m, const struct inet_heard *heard,
                u16 port)
{
    if (m->notes && READ_ONCE(s->opt)) /* else no option was set */
        control_notes(s, m, heard, port);
}
