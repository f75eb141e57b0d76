/* SPDX-License-Identifier: MIT
 *
 * Sockets of both internet families: addresses as programs pass and see them, names, control
 * messages. What TCP and UDP do with them is theirs.
 */
#include "net/ip/inet.h"
#include "net/ip/ip_priv.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/ip/addr.h"
#include "net/ip/option.h"
#include "net/ip/port.h"
#include "net/link/loopback.h"

#define SIN6_MIN 24 /* sockaddr_in6 without the scope: RFC 2133's, which Linux takes, too */

TABLE_DECLARE(struct socket_proto, socket_protos);

struct inet_addr4 { /* sockaddr_in, over sock_addr */
    u16 family;
    u8 port[2], addr[4];
    u64 zero;
};
static_assert(sizeof(struct inet_addr4) == 16, "sockaddr_in");

struct inet_addr6 { /* sockaddr_in6 */
    u16 family;
    u8 port[2];
    u32 flow;
    struct ip_addr addr;
    u32 scope;
} __packed;
static_assert(sizeof(struct inet_addr6) == 28, "sockaddr_in6");

static u16 inet_port_in(const u8 port[2])
{
    return (u16)(port[0] << 8 | port[1]);
}

int inet_addr_in4(const struct sock_addr *sa, u32 len, struct ip_end *out)
{
    struct inet_addr4 a;

    if (len < sizeof(a))
        return -EINVAL;
    memcpy(&a, sa, sizeof(a));
    *out = (struct ip_end){.port = inet_port_in(a.port), .addr.w = {0, 0, IP_MAPPED_WORD}};
    memcpy(&out->addr.w[3], a.addr, 4);
    return a.family == AF_INET ? 0 : -EAFNOSUPPORT;
}

int inet_addr_in(const struct inet_sock *s, const struct sock_addr *sa, u32 len, struct ip_end *out)
{
    struct inet_addr6 a = {0};

    if (s->sock.family == AF_INET)
        return inet_addr_in4(sa, len, out);
    if (len < SIN6_MIN)
        return -EINVAL;
    memcpy(&a, sa, MIN(len, (u32)sizeof(a)));
    *out = (struct ip_end){.port = inet_port_in(a.port), .addr = a.addr};
    if (ip_needs_scope(&out->addr))
        out->scope = len >= sizeof(a) && a.scope ? a.scope : s->sock.bound_device;
    return a.family == AF_INET6 ? 0 : -EAFNOSUPPORT;
}

static void inet_addr_out4(const struct ip_end *end, struct sock_addr *sa)
{
    struct inet_addr4 *a = (struct inet_addr4 *)(void *)sa;

    a->family = AF_INET;
    a->port[0] = (u8)(end->port >> 8);
    a->port[1] = (u8)end->port;
    memcpy(a->addr, &end->addr.w[3], 4);
    a->zero = 0;
}

static void inet_addr_out6(const struct ip_end *end, struct sock_addr *sa)
{
    struct inet_addr6 a = {.family = AF_INET6,
                           .port = {(u8)(end->port >> 8), (u8)end->port},
                           .addr = end->addr,
                           .scope = end->scope};

    memcpy(sa, &a, sizeof(a));
}

u32 inet_addr_write(int family, const struct ip_end *end, struct sock_addr *sa)
{
    bool four = family == AF_INET;

    if (four)
        inet_addr_out4(end, sa);
    else
        inet_addr_out6(end, sa);
    return four ? sizeof(struct inet_addr4) : sizeof(struct inet_addr6);
}

void inet_addr_out(const struct inet_sock *s, const struct ip_end *end, struct sock_addr *sa,
                   u32 *len)
{
    *len = inet_addr_write(s->sock.family, end, sa);
}

struct ip_addr inet_any(const struct inet_sock *s)
{
    return s->sock.family == AF_INET ? ip_from_v4(0) : (struct ip_addr){0};
}

void inet_ends(struct inet_sock *s, struct ip_end *local, struct ip_end *peer)
{
    spin_lock(&s->sock.lock);
    *local = s->local;
    *peer = s->peer;
    spin_unlock(&s->sock.lock);
}

struct ip_end inet_local(struct inet_sock *s)
{
    struct ip_end local, peer;

    inet_ends(s, &local, &peer);
    return local;
}

struct ip_end inet_peer(struct inet_sock *s)
{
    struct ip_end local, peer;

    inet_ends(s, &local, &peer);
    return peer;
}

/* A group's or everyone's: what is sent there is received by a socket bound to it, which sends from
 * another. */
static bool inet_is_shared(const struct ip_addr *a)
{
    return ip_is_multicast(a) || (ip_is_v4(a) && ip_v4(a) == ~0U);
}

int inet_bind_check(struct inet_sock *s, const struct ip_end *end)
{
    const struct ip_addr *a = &end->addr;
    bool v4 = ip_is_v4(a);

    if (s->sock.family == AF_INET6 && v4 && s->v6only)
        return -EINVAL;
    if (ip_is_any(a))
        return 0;
    if (ip_is_multicast(a) && !ip_is_v4(a) && s->sock.type == SOCK_STREAM)
        return -EINVAL;
    if (ip_needs_scope(a) && !end->scope)
        return -EINVAL;
    if (inet_is_shared(a) || ip_local_device(s->sock.ns, a))
        return 0;
    return READ_ONCE(ip_values_of(s->sock.ns)->nonlocal[!v4]) ||
                   inet_option_get(s, v4 ? IPPROTO_IP : IPPROTO_IPV6,
                                   v4 ? IP_FREEBIND : IPV6_FREEBIND)
               ? 0
               : -EADDRNOTAVAIL;
}

int inet_bind(struct socket *sock, const struct sock_addr *sa, u32 len, const struct walk_ctx *ctx,
              u32 mode)
{
    struct inet_sock *s = inet_of(sock);
    struct ip_end end;
    int err = inet_addr_in(s, sa, len, &end);

    /* bind(2): AF_UNSPEC with the wildcard was always taken. */
    if (err == -EAFNOSUPPORT && sock->family == AF_INET && sa->family == AF_UNSPEC &&
        ip_is_any(&end.addr))
        err = 0;
    if (!err)
        err = inet_bind_check(s, &end);
    if (err)
        return err;
    if (end.port && end.port < (u32)READ_ONCE(ip_values_of(sock->ns)->unprivileged) &&
        !cred_capable(current_cred(), sock->ns->user_ns, CAP_NET_BIND_SERVICE))
        return -EACCES;
    if (sock->type == SOCK_STREAM && READ_ONCE(sock->peer))
        return -EINVAL;
    if (end.scope)
        WRITE_ONCE(sock->bound_device, end.scope);
    return port_bind(s, &end);
}

int inet_autobind(struct inet_sock *s, const struct ip_addr *addr)
{
    struct ip_end end = {.addr = *addr};
    int err;

    if (READ_ONCE(s->local.port))
        return 0;
    err = port_bind(s, &end);
    if (err == -EINVAL) /* another thread named it */
        return 0;
    return err == -EADDRINUSE && s->sock.type != SOCK_STREAM ? -EAGAIN : err;
}

/* What packets to `to` come from: the address that is bound, if it is of to's family. */
static int inet_source(const struct ip_end *bound, const struct ip_addr *to, struct ip_addr *source)
{
    bool v4 = ip_is_v4(to), bound4 = ip_is_v4(&bound->addr);

    if (bound->port && bound4 && !v4)
        return -EAFNOSUPPORT;
    if (bound->port && !ip_is_any(&bound->addr) && likely(!inet_is_shared(&bound->addr))) {
        *source = bound->addr;
        return bound4 == v4 ? 0 : -ENETUNREACH;
    }
    if (!ip_is_loopback(to))
        *source = *to;
    else
        *source = v4 ? ip_from_v4(IP_LOOPBACK4) : ip_loopback6();
    return 0;
}

/* -EHOSTUNREACH: it is not of this namespace. */
static __always_inline int inet_reach_local(const struct inet_sock *s, const struct ip_end *local,
                                            struct ip_end *to, struct inet_way *way)
{
    bool bound4 = s->sock.family == AF_INET || (local->port && ip_is_v4(&local->addr));
    u32 bound = READ_ONCE(s->sock.bound_device);

    way->path.dev = NULL;
    if (ip_is_any(&to->addr))
        to->addr = ip_is_v4(&to->addr) || bound4 ? ip_from_v4(IP_LOOPBACK4) : ip_loopback6();
    if (s->v6only && ip_is_v4(&to->addr))
        return -ENETUNREACH;
    if (unlikely(ip_needs_scope(&to->addr) && !to->scope)) {
        to->scope = ip_is_multicast(&to->addr) ? READ_ONCE(s->group_device[1]) : 0;
        if (!to->scope)
            return -EINVAL;
    }
    way->device = ip_local_device(s->sock.ns, &to->addr);
    if (!way->device || (bound && bound != way->device && bound != LOOPBACK_INDEX))
        return -EHOSTUNREACH;
    return inet_source(local, &to->addr, &way->source);
}

static void inet_flow_group(const struct inet_sock *s, struct ip_flow *f)
{
    bool v4 = ip_is_v4(&f->to);

    if (!f->device)
        f->device = READ_ONCE(s->group_device[!v4]);
    if (v4 && ip_is_any(&f->from) && READ_ONCE(s->group_source))
        f->from = ip_from_v4(ip_swap32(READ_ONCE(s->group_source)));
}

/* ip(7) leaves it unsaid: who is bound to an address sends groups' packets, and those to all,
 * through the device that has it, if no device is named. */
static void inet_flow_shared(const struct inet_sock *s, struct ip_flow *f)
{
    if (!f->device && ip_is_v4(&f->to) && !ip_is_any(&f->from))
        f->device = ip_local_device(s->sock.ns, &f->from);
}

static __noinline int inet_path(const struct inet_sock *s, const struct ip_end *local,
                                const struct ip_end *to, const struct socket_message *m,
                                struct inet_way *way)
{
    bool v4 = ip_is_v4(&to->addr);
    struct ip_flow f = {.to = to->addr,
                        .device = READ_ONCE(s->sock.bound_device),
                        .mark = (u32)s->sock.mark,
                        .from_port = local->port,
                        .to_port = to->port,
                        .protocol = s->sock.protocol,
                        .uid = s->sock.uid};
    int err;

    if (local->port && !ip_is_any(&local->addr) && !inet_is_shared(&local->addr)) {
        if (ip_is_v4(&local->addr) != v4)
            return v4 ? -ENETUNREACH : -EAFNOSUPPORT;
        f.from = local->addr;
    }
    if (m && !ip_is_any(&m->source))
        f.from = m->source;
    if (m && m->source_interface)
        f.device = (u32)m->source_interface;
    if (to->scope)
        f.device = to->scope;
    if (ip_is_multicast(&to->addr))
        inet_flow_group(s, &f);
    if (!ip_is_any(&f.from) && !ip_local_device(s->sock.ns, &f.from))
        return v4 ? -ENETUNREACH : -EINVAL; /* IP_FREEBIND gives a name, not a sender's address */
    if (inet_is_shared(&to->addr))
        inet_flow_shared(s, &f);
    err = ip_path_find(s->sock.ns, &f, &way->path);
    if (err)
        return err;
    way->source = way->path.source;
    way->device = way->path.dev->index;
    if (way->path.kind != IP_BROADCAST || s->sock.broadcast)
        return 0;
    ip_path_put(&way->path);
    return -EACCES;
}

int inet_route_packet(const struct inet_sock *s, const struct ip_end *local, struct ip_end *to,
                      const struct socket_message *m, struct inet_way *way)
{
    struct inet_way near;
    int err;

    if (s->v6only && ip_is_v4(&to->addr))
        return -ENETUNREACH;
    err = inet_reach_local(s, local, to, &near);
    /* Its own addresses are judged the same way. */
    if (err && err != -EHOSTUNREACH && err != -ENETUNREACH)
        return err;
    return inet_path(s, local, to, m, way);
}

int inet_route(const struct inet_sock *s, const struct ip_end *local, struct ip_end *to,
               const struct socket_message *m, struct inet_way *way)
{
    int err;

    if (unlikely(READ_ONCE(s->sock.ns->watchers)))
        return inet_route_packet(s, local, to, m, way);
    err = inet_reach_local(s, local, to, way);
    return unlikely(err == -EHOSTUNREACH) ? inet_path(s, local, to, m, way) : err;
}

/* A datagram of IPv4 that fits is not cut by others, one that does not fit is cut here, unless
 * IP_MTU_DISCOVER says otherwise (ip(7)). */
static bool inet_whole(const struct inet_sock *s, const struct inet_way *way, bool v4, s16 said,
                       u32 n)
{
    s32 discover = v4 ? inet_option_get(s, IPPROTO_IP, IP_MTU_DISCOVER)
                      : inet_option_get(s, IPPROTO_IPV6, IPV6_MTU_DISCOVER);

    if (discover == IP_PMTUDISC_DO || discover == IP_PMTUDISC_PROBE)
        return true;
    if (!v4)
        return said >= 0 ? said : inet_option_get(s, IPPROTO_IPV6, IPV6_DONTFRAG);
    return discover == IP_PMTUDISC_WANT && n + 20 <= way->path.mtu;
}

void inet_info(const struct inet_sock *s, const struct inet_way *way, const struct ip_addr *to,
               const struct socket_header *header, u32 n, struct ip_info *out)
{
    bool v4 = ip_is_v4(to);

    *out = (struct ip_info){.from = way->source, .to = *to, .protocol = s->sock.protocol};
    inet_header(s, to, header, &out->hops, &out->tos);
    if (header->hops < 0 && !READ_ONCE(s->opt) && !ip_is_multicast(to))
        out->hops = 0; /* the path's */
    out->whole_only = inet_whole(s, way, v4, header->whole, n);
    out->no_loop =
        ip_is_multicast(to) && !(v4 ? inet_option_get(s, IPPROTO_IP, IP_MULTICAST_LOOP)
                                    : inet_option_get(s, IPPROTO_IPV6, IPV6_MULTICAST_LOOP));
}

int inet_name(struct socket *sock, bool peer, struct sock_addr *out, u32 *len)
{
    struct inet_sock *s = inet_of(sock);
    struct ip_end end = peer ? inet_peer(s) : inet_local(s);

    if (peer && (!end.port || (s->proto->connected && !s->proto->connected(s))))
        return -ENOTCONN;
    if (!peer && !end.port)
        end.addr = inet_any(s);
    inet_addr_out(s, &end, out, len);
    return 0;
}

void inet_setup(struct inet_sock *s, const struct inet_proto *proto, struct net_ns *ns,
                struct socket_list *list, int family)
{
    s->proto = proto;
    list_init(&s->errors);
    list_init(&s->groups);
    s->sock.protocol = proto->protocol;
    s->v6only = family == AF_INET6 && READ_ONCE(ip_values_of(ns)->v6only);
    socket_init(&s->sock, proto->ops, ns, list, family, proto->type);
}

void inet_fini(struct inet_sock *s)
{
    inet_drop_errors(s);
    socket_fini(&s->sock);
    kfree(s->opt);
}

/* As Linux: of the protocols of a type the first, or the one that is asked for. */
static struct socket *inet_create(struct net_ns *ns, int family, int type, int protocol)
{
    const struct socket_proto *p;
    bool known = false;

    if (protocol < 0 || protocol >= IPPROTO_KINDS)
        return ERR_PTR(-EINVAL);
    TABLE_FOR_EACH(p, socket_protos)
    {
        if (p->type != type)
            continue;
        if (p->create_any && protocol)
            return p->create_any(ns, family, protocol);
        if (!p->create_any && (protocol ? protocol == p->protocol : !p->named_only))
            return p->create(ns, family);
        known = true;
    }
    return ERR_PTR(known || type == SOCK_RAW ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT);
}

static struct socket *inet_create4(struct net_ns *ns, int type, int protocol)
{
    return inet_create(ns, AF_INET, type, protocol);
}

static struct socket *inet_create6(struct net_ns *ns, int type, int protocol)
{
    return inet_create(ns, AF_INET6, type, protocol);
}

SOCKET_FAMILY(inet4) = {.family = AF_INET, .create = inet_create4};
SOCKET_FAMILY(inet6) = {.family = AF_INET6, .create = inet_create6};
