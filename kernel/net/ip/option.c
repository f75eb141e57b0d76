/* SPDX-License-Identifier: MIT
 *
 * Options of IP and of what stands on it. What says how packets are made or timed is kept by
 * itself while bytes go from queue to queue: the values are judged and told as Linux does. What
 * asks for something that is not there is refused.
 */
#include "net/ip/option.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/ip/addr.h"
#include "net/ip/inet.h"
#include "net/ip/ip_priv.h"

#define SO_PEERCRED 17
#define MTU_LO 65536

static const struct inet_option inet_options[] = {
    {IPPROTO_IP, IP_TOS, INET_CUT, 0, 255, 0},
    {IPPROTO_IP, IP_TTL, INET_HOPS, 1, 255, -1},
    {IPPROTO_IP, IP_PKTINFO, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_MTU_DISCOVER, INET_RANGE, 0, 5, 1},
    {IPPROTO_IP, IP_RECVERR, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_RECVTTL, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_RECVTOS, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_RECVORIGDSTADDR, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_FREEBIND, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_MINTTL, INET_RANGE, 0, 255, 0},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_MULTICAST_TTL, INET_HOPS, 0, 255, 1},
    {IPPROTO_IP, IP_MULTICAST_LOOP, INET_FLAG, 0, 1, 1},
    {IPPROTO_IP, IP_MULTICAST_ALL, INET_RANGE, 0, 1, 1},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, INET_HOPS, 0, 255, -1},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, INET_HOPS, 0, 255, 1},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, INET_RANGE, 0, 1, 1},
    {IPPROTO_IPV6, IPV6_MULTICAST_ALL, INET_RANGE, 0, 1, 1},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, INET_RANGE, 0, 5, 1},
    {IPPROTO_IPV6, IPV6_RECVERR, INET_FLAG, 0, 1, 0},
    {IPPROTO_IPV6, IPV6_FLOWINFO_SEND, INET_FLAG, 0, 1, 0},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, INET_FLAG, 0, 1, 0},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, INET_FLAG, 0, 1, 0},
    {IPPROTO_IPV6, IPV6_2292PKTINFO, INET_FLAG, 0, 1, 0}, /* the same by RFC 2292's numbers */
    {IPPROTO_IPV6, IPV6_2292HOPLIMIT, INET_FLAG, 0, 1, 0},
    {IPPROTO_IPV6, IPV6_FLOWINFO, INET_FLAG, 0, 1, 0},
    {IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, INET_FLAG, 0, 1, 0},
    {IPPROTO_IPV6, IPV6_RECVPATHMTU, INET_FLAG, 0, 1, 0},
    {IPPROTO_IPV6, IPV6_DONTFRAG, INET_FLAG, 0, 1, 0},
    {IPPROTO_IPV6, IPV6_RECVTCLASS, INET_FLAG, 0, 1, 0},
    {IPPROTO_IPV6, IPV6_TCLASS, INET_CLASS, 0, 255, 0},
    {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, INET_FLAG, 0, 1, 1},
    {IPPROTO_IPV6, IPV6_MINHOPCOUNT, INET_RANGE, 0, 255, 0},
    {IPPROTO_IPV6, IPV6_FREEBIND, INET_FLAG, 0, 1, 0},
};
#define INET_OPTIONS ((u32)ARRAY_SIZE(inet_options))

static const struct inet_option *option_in(const struct inet_option *options, u32 nr, int level,
                                           int name, u32 *place)
{
    for (u32 i = 0; i < nr; i++) {
        if (options[i].level != level || options[i].name != name)
            continue;
        *place += i;
        return &options[i];
    }
    return NULL;
}

/* *place: its value's, among a socket's. A socket of AF_INET6 has IPv4's options as well. */
static const struct inet_option *option_find(const struct inet_sock *s, int level, int name,
                                             u32 *place)
{
    *place = 0;
    if (level == IPPROTO_IP || (level == IPPROTO_IPV6 && s->sock.family == AF_INET6))
        return option_in(inet_options, INET_OPTIONS, level, name, place);
    *place = INET_OPTIONS;
    return option_in(s->proto->options, s->proto->nr_options, level, name, place);
}

static s32 option_value(const struct inet_sock *s, const struct inet_option *o, u32 place)
{
    const s32 *opt = load_acquire(&s->opt);

    return opt ? opt[place] : o->first;
}

bool inet_option_on(const struct inet_sock *s, int level, int name)
{
    u32 place;
    const struct inet_option *o = READ_ONCE(s->opt) ? option_find(s, level, name, &place) : NULL;

    return o && option_value(s, o, place);
}

s32 inet_option_get(const struct inet_sock *s, int level, int name)
{
    u32 place;
    const struct inet_option *o = option_find(s, level, name, &place);

    return o ? option_value(s, o, place) : 0;
}

static u32 option_count(const struct inet_sock *s)
{
    return INET_OPTIONS + s->proto->nr_options;
}

/* The block of values, made with the first that is set. */
static s32 *option_values(struct inet_sock *s)
{
    s32 *opt = load_acquire(&s->opt), *made;

    if (opt)
        return opt;
    made = kcalloc(option_count(s), sizeof(*made));
    if (!made)
        return NULL;
    for (u32 i = 0; i < INET_OPTIONS; i++)
        made[i] = inet_options[i].first;
    for (u32 i = 0; i < s->proto->nr_options; i++)
        made[INET_OPTIONS + i] = s->proto->options[i].first;
    spin_lock(&s->sock.lock);
    opt = s->opt;
    if (!opt)
        store_release(&s->opt, made);
    spin_unlock(&s->sock.lock);
    if (opt)
        kfree(made);
    return opt ? opt : made;
}

int inet_option_inherit(struct inet_sock *s, const struct inet_sock *from)
{
    const s32 *opt = load_acquire(&from->opt);

    s->v6only = from->v6only;
    s->least_ttl = from->least_ttl;
    s->least_hops = from->least_hops;
    if (!opt)
        return 0;
    s->opt = kmemdup(opt, option_count(s) * sizeof(*opt));
    return s->opt ? 0 : -ENOMEM;
}

/* What v means for o: into *v, or -EINVAL. */
static int option_judge(const struct inet_sock *s, const struct inet_option *o, s32 *v)
{
    bool fits = *v >= o->min && *v <= o->max;

    switch (o->kind) {
    case INET_FLAG:
        *v = *v != 0;
        return 0;
    case INET_CUT:
        *v &= o->max;
        return 0;
    case INET_HOPS:
    case INET_CLASS:
        if (*v == -1)
            *v = o->first;
        else if (!fits)
            return -EINVAL;
        return 0;
    case INET_OWN:
        return s->proto->judge(o, v);
    case INET_CLOSED:
        return fits && !(s->proto->connected && s->proto->connected(s)) ? 0 : -EINVAL;
    default:
        return fits ? 0 : -EINVAL;
    }
}

static int option_int_in(int level, const void *val, u32 n, s32 *v)
{
    if (n >= sizeof(*v))
        memcpy(v, val, sizeof(*v));
    else if (n && level == IPPROTO_IP)
        *v = *(const u8 *)val;
    else
        return -EINVAL;
    return 0;
}

/* ipv6(7): before there is a name. */
static int option_set_v6only(struct inet_sock *s, s32 v)
{
    if (READ_ONCE(s->local.port))
        return -EINVAL;
    WRITE_ONCE(s->v6only, v != 0);
    return 0;
}

/* What is looked at with each packet lies in the socket itself. */
static void option_keep_near(struct inet_sock *s, int level, int name, s32 v)
{
    if (level == IPPROTO_IP && name == IP_MINTTL)
        WRITE_ONCE(s->least_ttl, (u8)v);
    if (level == IPPROTO_IPV6 && name == IPV6_MINHOPCOUNT)
        WRITE_ONCE(s->least_hops, (u8)v);
}

int inet_set_option(struct socket *sock, int level, int name, const void *val, u32 n)
{
    struct inet_sock *s = inet_of(sock);
    const struct inet_option *o;
    u32 place;
    s32 *opt, v;
    int err = -ENOPROTOOPT;

    if (level == sock->protocol && s->proto->set)
        err = s->proto->set(s, name, val, n);
    if (err != -ENOPROTOOPT)
        return err;
    err = inet_group_set(s, level, name, val, n);
    if (err != -ENOPROTOOPT)
        return err;
    o = option_find(s, level, name, &place);
    err = option_int_in(level, val, n, &v);
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && sock->family == AF_INET6)
        return err ? err : option_set_v6only(s, v);
    if (!o)
        return -ENOPROTOOPT;
    if (!err)
        err = option_judge(s, o, &v);
    if (err)
        return err;
    opt = option_values(s);
    if (!opt)
        return -ENOMEM;
    WRITE_ONCE(opt[place], v);
    option_keep_near(s, level, name, v);
    return place >= INET_OPTIONS && s->proto->changed ? s->proto->changed(s, o, v) : 0;
}

s32 inet_hops(const struct inet_sock *s, bool v4)
{
    return v4 ? READ_ONCE(ip_values_of(s->sock.ns)->ttl)
              : net_conf_all(s->sock.ns, CONF6_HOP_LIMIT);
}

/* Of the path to the peer. */
static int option_get_mtu(struct inet_sock *s, void *val, u32 *n)
{
    struct ip_end local, peer;
    struct inet_way way;
    s32 v = MTU_LO;

    inet_ends(s, &local, &peer);
    if (ip_is_any(&peer.addr) || inet_route(s, &local, &peer, NULL, &way))
        return -ENOTCONN;
    if (way.path.dev)
        v = (s32)way.path.mtu;
    inet_way_put(&way);
    return socket_option_put(val, n, &v, sizeof(v));
}

/* What an AF_INET6 socket tells that is no stored number. */
static int option_get_ipv6(struct inet_sock *s, int name, void *val, u32 *n)
{
    s32 v;

    switch (name) {
    case IPV6_V6ONLY:
        v = s->v6only;
        return socket_option_put(val, n, &v, sizeof(v));
    default:
        return -ENOPROTOOPT;
    }
}

int inet_get_option(struct socket *sock, int level, int name, void *val, u32 *n)
{
    static const s32 no_cred[3] = {0, -1, -1};
    struct inet_sock *s = inet_of(sock);
    const struct inet_option *o;
    u32 place;
    s32 v;
    int err;

    if (level == SOL_SOCKET && name == SO_PEERCRED)
        return socket_option_put(val, n, no_cred, sizeof(no_cred));
    if (level == sock->protocol && s->proto->get) {
        err = s->proto->get(s, name, val, n);
        if (err != -ENOPROTOOPT)
            return err;
    }
    err = inet_group_get(s, level, name, val, n);
    if (err != -ENOPROTOOPT)
        return err;
    if ((level == IPPROTO_IP && name == IP_MTU) ||
        (level == IPPROTO_IPV6 && name == IPV6_MTU && sock->family == AF_INET6))
        return option_get_mtu(s, val, n);
    o = option_find(s, level, name, &place);
    if (!o)
        return level == IPPROTO_IPV6 && sock->family == AF_INET6 ? option_get_ipv6(s, name, val, n)
                                                                 : -ENOPROTOOPT;
    v = option_value(s, o, place);
    if (v < 0 && o->kind == INET_HOPS)
        v = inet_hops(s, level == IPPROTO_IP);
    if (level == IPPROTO_IP && *n && *n < sizeof(v) && v >= 0 && v <= 255) {
        *n = 1;
        *(u8 *)val = (u8)v;
        return 0;
    }
    return socket_option_put(val, n, &v, sizeof(v));
}
