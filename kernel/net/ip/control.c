/* SPDX-License-Identifier: MIT
 *
 * Control messages of IP (ip(7), ipv6(7)): what a sender says of one datagram, what a receiver is
 * told. What a header says beside addresses no receiver on this host sees yet: it is judged.
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

static int control_int(const void *data, u64 n, s32 min, s32 max)
{
    s32 v;

    if (n != sizeof(v))
        return -EINVAL;
    memcpy(&v, data, sizeof(v));
    return v >= min && v <= max ? 0 : -EINVAL;
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
        return control_int(data, n, 1, 255);
    case IP_TOS:
        return n == 1 ? 0 : control_int(data, n, 0, 255);
    default:
        return -EINVAL;
    }
}

static int control_ipv6(struct socket_message *m, s32 type, const void *data, u64 n)
{
    struct pktinfo6 info;

    switch (type) {
    case IPV6_PKTINFO:
        if (n < sizeof(info))
            return -EINVAL;
        memcpy(&info, data, sizeof(info));
        m->source = info.addr;
        m->source_interface = (s32)info.device;
        return 0;
    case IPV6_HOPLIMIT:
    case IPV6_TCLASS:
        return control_int(data, n, -1, 255);
    case IPV6_DONTFRAG:
        return control_int(data, n, 0, 1);
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
    if (level == s->protocol)
        return -EINVAL; /* no segments are made of a datagram */
    if (level == IPPROTO_IP)
        return control_ip(m, type, data, n);
    return level == IPPROTO_IPV6 && s->family == AF_INET6 ? control_ipv6(m, type, data, n) : 0;
}

static void control_notes(struct inet_sock *s, struct socket_message *m, const struct ip_addr *to,
                          u32 device)
{
    struct pktinfo4 four = {(s32)device, to->w[3], to->w[3]};
    struct pktinfo6 six = {*to, device};
    s32 hops = 64, class = 0;

    if (s->sock.family == AF_INET || ip_is_v4(to)) {
        if (inet_option_on(s, IPPROTO_IP, IP_PKTINFO))
            socket_note(m, IPPROTO_IP, IP_PKTINFO, &four, sizeof(four));
    }
    if (s->sock.family == AF_INET)
        return;
    if (inet_option_on(s, IPPROTO_IPV6, IPV6_RECVPKTINFO))
        socket_note(m, IPPROTO_IPV6, IPV6_PKTINFO, &six, sizeof(six));
    if (ip_is_v4(to))
        return;
    if (inet_option_on(s, IPPROTO_IPV6, IPV6_RECVHOPLIMIT))
        socket_note(m, IPPROTO_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops));
    if (inet_option_on(s, IPPROTO_IPV6, IPV6_RECVTCLASS))
        socket_note(m, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class));
}

void inet_notes(struct inet_sock *s, struct socket_message *m, const struct ip_addr *to, u32 device)
{
    if (m->notes && READ_ONCE(s->opt)) /* else no option was set */
        control_notes(s, m, to, device);
}
