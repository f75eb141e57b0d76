/* SPDX-License-Identifier: MIT
 *
 * Raw sockets: making, options, receiving, closing. raw.h has the rules.
 */
#include "net/raw/raw.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/core/filter.h"
#include "net/ip/addr.h"
#include "net/ip/option.h"

#define ICMP_FILTER 1   /* of SOL_RAW, and of ICMPv6 */
#define IPV6_CHECKSUM 7 /* of SOL_RAW and of IPv6 */
#define ICMP6_SUM 2     /* where ICMPv6's checksum lies (RFC 4443 2.1) */

static const struct inet_proto raw_proto;
static struct slab_cache *raw_cache;
u32 raw_ns_offset;

COUNTER(net_raw_lost);

static void raw_init(void)
{
    raw_cache = slab_cache_create("raw_sock", sizeof(struct raw_sock), 0);
}
INIT_HOOK(raw_init, INIT_CORE);

static int raw_ns_setup(struct net_ns *ns, void *part)
{
    struct raw_ns *rn = part;

    socket_list_init(&rn->list);
    socket_list_init(&rn->ping_list);
    spinlock_init(&rn->lock, RANK_NET, 10, "raw sockets");
    for (unsigned i = 0; i < RAW_CHAINS; i++)
        list_init(&rn->chains[i]);
    port_table_init(&rn->pings4);
    port_table_init(&rn->pings6);
    rn->ping_groups[0] = 1; /* none: icmp(7) */
    return 0;
}

static void raw_ns_teardown(struct net_ns *ns, void *part)
{
    struct raw_ns *rn = part;

    port_table_fini(&rn->pings4);
    port_table_fini(&rn->pings6);
}
NET_PART("40", raw) = {sizeof(struct raw_ns), &raw_ns_offset, raw_ns_setup, raw_ns_teardown};

struct raw_ns *raw_ns_of(struct net_ns *ns)
{
    return net_part(ns, raw_ns_offset);
}

struct raw_sock *raw_alloc(void)
{
    return slab_zalloc(raw_cache);
}

static struct socket *raw_create(struct net_ns *ns, int family, int protocol)
{
    struct raw_ns *rn = raw_ns_of(ns);
    struct raw_sock *r;

    if (!cred_capable(current_cred(), ns->user_ns, CAP_NET_RAW))
        return ERR_PTR(-EPERM);
    if (protocol > IPPROTO_RAW)
        return ERR_PTR(-EPROTONOSUPPORT);
    r = raw_alloc();
    if (!r)
        return ERR_PTR(-ENOMEM);
    r->header = protocol == IPPROTO_RAW;
    r->sum = family == AF_INET6 && protocol == IPPROTO_ICMPV6 ? ICMP6_SUM : -1;
    r->inet.local = (struct ip_end){.port = (u16)protocol};
    inet_setup(&r->inet, &raw_proto, ns, &rn->list, family);
    r->inet.sock.protocol = (u8)protocol;
    r->inet.local.addr = inet_any(&r->inet);
    spin_lock(&rn->lock);
    list_add_tail(&rn->chains[protocol % RAW_CHAINS], &r->chain);
    WRITE_ONCE(rn->nr, rn->nr + 1);
    spin_unlock(&rn->lock);
    net_ns_watch(ns, 1);
    return &r->inet.sock;
}

void raw_destroy(struct socket *s)
{
    inet_fini(inet_of(s));
    slab_free(raw_cache, raw_of(s));
}

static void raw_release(struct socket *s)
{
    struct raw_ns *rn = raw_ns_of(s->ns);

    spin_lock(&rn->lock);
    list_del(&raw_of(s)->chain);
    WRITE_ONCE(rn->nr, rn->nr - 1);
    spin_unlock(&rn->lock);
    net_ns_watch(s->ns, -1);
    inet_datagram_end(s);
}

static int raw_bind(struct socket *s, const struct sock_addr *sa, u32 len,
                    const struct walk_ctx *ctx, u32 mode)
{
    struct inet_sock *inet = inet_of(s);
    struct ip_end end;
    int err = inet_addr_in(inet, sa, len, &end);

    if (!err && s->family == AF_INET6 && ip_is_v4(&end.addr))
        err = -EADDRNOTAVAIL;
    if (!err)
        err = inet_bind_check(inet, &end);
    if (err)
        return err;
    end.port = s->protocol;
    spin_lock(&s->lock);
    inet->local = end;
    raw_of(s)->bound = !ip_is_any(&end.addr);
    if (end.scope)
        WRITE_ONCE(s->bound_device, end.scope);
    spin_unlock(&s->lock);
    return 0;
}

int raw_connect(struct socket *s, const struct sock_addr *sa, u32 len, const struct walk_ctx *ctx,
                bool nonblock)
{
    struct raw_sock *r = raw_of(s);
    struct ip_end to = {0}, local = inet_local(&r->inet);
    bool off = len >= sizeof(sa->family) && sa->family == AF_UNSPEC;
    struct inet_way way = {0};
    int err = off ? 0 : inet_addr_in(&r->inet, sa, len, &to);

    if (!err && !off)
        err = inet_route_packet(&r->inet, &local, &to, NULL, &way);
    if (err)
        return err;
    spin_lock(&s->lock);
    r->peer = to.addr;
    r->connected = !off;
    r->inet.peer = to;
    if (!r->bound && !r->ping)
        r->inet.local.addr = off ? inet_any(&r->inet) : way.source;
    spin_unlock(&s->lock);
    inet_way_put(&way);
    return 0;
}

int raw_shutdown(struct socket *s, int how)
{
    if (!READ_ONCE(raw_of(s)->connected)) /* done all the same, as UDP does */
        return -ENOTCONN;
    sock_set_shut(s, (u32)how + 1); /* SHUT_RD, SHUT_WR, SHUT_RDWR are our bits less one */
    return 0;
}

/* ---- receiving ---- */

bool raw_from_ok(struct raw_sock *r, const struct ip_addr *from)
{
    bool ok;

    spin_lock(&r->inet.sock.lock);
    ok = !r->connected || ip_equal(&r->peer, from);
    spin_unlock(&r->inet.sock.lock);
    return ok;
}

static bool raw_is_for(struct raw_sock *r, const struct ip_info *h)
{
    const struct socket *s = &r->inet.sock;
    u32 bound = READ_ONCE(s->bound_device);
    struct ip_end local;

    if (s->protocol != h->protocol || (s->family == AF_INET) != ip_is_v4(&h->to) ||
        (bound && bound != h->device))
        return false;
    local = inet_local(&r->inet);
    if (!ip_is_any(&local.addr) && !ip_equal(&local.addr, &h->to))
        return false;
    return raw_from_ok(r, &h->from) && (!ip_is_multicast(&h->to) || inet_group_hears(&r->inet, h));
}

static bool raw_type_wanted(const struct raw_sock *r, u8 type)
{
    if (r->inet.sock.protocol == IPPROTO_ICMP && r->inet.sock.family == AF_INET && type >= 32)
        return true; /* the filter has 32 bits */
    return !(READ_ONCE(r->types[type / 32]) & 1U << type % 32);
}

/* Those that get it, with references: how many. */
static u32 raw_find(struct raw_ns *rn, const struct ip_info *h, struct raw_sock **out)
{
    u32 n = 0, looks = 0;
    struct raw_sock *r;

    spin_lock(&rn->lock);
    list_for_each (r, &rn->chains[h->protocol % RAW_CHAINS], chain) {
        if (n == RAW_MOST || looks++ == RAW_LOOKS)
            break;
        if (!raw_is_for(r, h))
            continue;
        socket_get(&r->inet.sock);
        out[n++] = r;
    }
    spin_unlock(&rn->lock);
    return n;
}

/* Takes p, which s does not get. */
static void raw_lose(struct socket *s, struct packet *p)
{
    __atomic_fetch_add(&s->lost, 1, __ATOMIC_RELAXED);
    COUNT(net_raw_lost);
    packet_free(p);
}

void raw_queue(struct raw_sock *r, struct packet *p, const struct ip_info *h, u32 *budget)
{
    struct socket *s = &r->inet.sock;
    u32 keep = p ? U32_MAX : 0;
    struct raw_msg *rm;

    if (p && READ_ONCE(s->filter) && !socket_filter_pay(s, p, 0, 0, budget, &keep)) {
        raw_lose(s, p);
        return;
    }
    if (!keep) {
        packet_free(p);
        return;
    }
    packet_trim(p, keep);
    rm = (struct raw_msg *)(void *)sock_packet_msg(p);
    if (READ_ONCE(s->queued) >= READ_ONCE(s->rcvbuf) || sock_packet_begin(s, p, 0)) {
        raw_lose(s, p);
        return;
    }
    rm->from = (struct ip_end){.addr = h->from, .scope = ip_needs_scope(&h->from) ? h->device : 0};
    rm->heard = (struct inet_heard){
        .to = h->to, .device = h->device, .flow = h->flow, .hops = h->hops, .tos = h->tos};
    (void)sock_queue_offer(s, &rm->msg);
}

/* IPv4's have their header (raw(7)), IPv6's have not (ipv6(7)). */
static void raw_give(struct raw_sock *r, struct packet *p, const struct ip_info *h, u32 *budget)
{
    u32 header = ip_is_v4(&h->to) ? (u32)p->start - p->network : 0;
    struct packet *q;

    if (r->sum >= 0 && !ip_sum_is_ok(p, h))
        return;
    if (header && !packet_push(p, header))
        return;
    q = packet_clone(p);
    if (header)
        packet_pull(p, header);
    raw_queue(r, q, h, budget);
}

static bool raw_is_icmp(const struct ip_info *h)
{
    return h->protocol == (ip_is_v4(&h->to) ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

static bool raw_receive(struct packet *p, const struct ip_info *h)
{
    struct raw_ns *rn = raw_ns_of(p->dev->ns);
    struct raw_sock *found[RAW_MOST];
    u32 n, budget = FILTER_BUDGET;
    const u8 *type;

    if (raw_is_icmp(h))
        ping_receive(p, h);
    if (likely(!READ_ONCE(rn->nr)))
        return false;
    n = raw_find(rn, h, found);
    type = raw_is_icmp(h) ? packet_need(p, 1) : NULL;
    for (u32 i = 0; i < n; i++) {
        if (!type || raw_type_wanted(found[i], *type))
            raw_give(found[i], p, h, &budget);
        socket_put(&found[i]->inet.sock);
    }
    return n;
}

/* h: of what was sent, so the ends are the other way round. */
static void raw_error(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n,
                      const struct ip_error *e)
{
    struct ip_info back = *h;
    struct ip_end to = {.addr = h->to};
    struct raw_sock *found[RAW_MOST];
    u32 nr;

    if (!READ_ONCE(raw_ns_of(ns)->nr))
        return;
    back.from = h->to;
    back.to = h->from;
    nr = raw_find(raw_ns_of(ns), &back, found);
    for (u32 i = 0; i < nr; i++) {
        inet_error(&found[i]->inet, e, &to, at, n);
        socket_put(&found[i]->inet.sock);
    }
}

/* A socket of its protocol, which may send anything, or a question of a ping socket's. */
static bool raw_sent(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n)
{
    struct ip_info back = *h;
    struct raw_sock *found[RAW_MOST];
    u32 nr;

    if (raw_is_icmp(h) && ping_sent(ns, h, at, n))
        return true;
    if (!READ_ONCE(raw_ns_of(ns)->nr))
        return false;
    back.from = h->to;
    back.to = h->from;
    nr = raw_find(raw_ns_of(ns), &back, found);
    for (u32 i = 0; i < nr; i++)
        socket_put(&found[i]->inet.sock);
    return nr;
}

IP_WATCHER(raw) = {raw_receive, raw_error, raw_sent};

int raw_msg_give(struct socket *s, struct sock_msg *msg, struct socket_message *m, unsigned flags,
                 bool *last)
{
    const struct raw_msg *rm = (const struct raw_msg *)msg;

    inet_addr_out(inet_of(s), &rm->from, &m->addr, &m->addr_len);
    inet_notes(inet_of(s), m, &rm->heard, 0);
    return 0;
}

/* ---- options ---- */

static bool raw_has_filter(const struct socket *s, int level, int name)
{
    return name == ICMP_FILTER &&
           (s->family == AF_INET ? level == SOL_RAW && s->protocol == IPPROTO_ICMP
                                 : level == IPPROTO_ICMPV6 && s->protocol == IPPROTO_ICMPV6);
}

static u32 raw_filter_size(const struct socket *s)
{
    return s->family == AF_INET ? 4 : 32;
}

/* By the level of RFC 3542 3.1 it is not for ICMPv6, which always has it; as a raw socket's own
 * option it is taken, as on Linux. */
static int raw_set_sum(struct raw_sock *r, int level, s32 v)
{
    if (r->inet.sock.protocol == IPPROTO_ICMPV6 && level == IPPROTO_IPV6)
        return -EINVAL;
    if (v > 0 && (v & 1))
        return -EINVAL;
    WRITE_ONCE(r->sum, (s16)(v < 0 ? -1 : MIN(v, 32766)));
    return 0;
}

static int raw_set_option(struct socket *s, int level, int name, const void *val, u32 n)
{
    struct raw_sock *r = raw_of(s);
    bool sum = s->family == AF_INET6 && name == IPV6_CHECKSUM &&
               (level == SOL_RAW || level == IPPROTO_IPV6);
    s32 v;

    if (raw_has_filter(s, level, name)) {
        memcpy(r->types, val, MIN(n, raw_filter_size(s)));
        return 0;
    }
    if (!sum && level == SOL_RAW) /* a filter that is another protocol's */
        return name == ICMP_FILTER ? -EOPNOTSUPP : -ENOPROTOOPT;
    if (!sum && (level != IPPROTO_IP || name != IP_HDRINCL))
        return inet_set_option(s, level, name, val, n);
    if (n < sizeof(v))
        return -EINVAL;
    memcpy(&v, val, sizeof(v));
    if (sum)
        return raw_set_sum(r, level, v);
    WRITE_ONCE(r->header, v != 0);
    return 0;
}

static int raw_get_option(struct socket *s, int level, int name, void *val, u32 *n)
{
    struct raw_sock *r = raw_of(s);
    s32 v = r->header;

    if (raw_has_filter(s, level, name))
        return socket_option_put(val, n, r->types, raw_filter_size(s));
    if (s->family == AF_INET6 && name == IPV6_CHECKSUM &&
        (level == SOL_RAW || level == IPPROTO_IPV6))
        v = r->sum;
    else if (level != IPPROTO_IP || name != IP_HDRINCL)
        return level == SOL_RAW ? -ENOPROTOOPT : inet_get_option(s, level, name, val, n);
    return socket_option_put(val, n, &v, sizeof(v));
}

static const struct socket_ops raw_ops = {
    .bind = raw_bind,
    .connect = raw_connect,
    .name = inet_name,
    .send = raw_send,
    .recv = inet_datagram_recv,
    .recv_error = inet_recv_error,
    .control = inet_control,
    .shutdown = raw_shutdown,
    .poll = inet_datagram_poll,
    .set_option = raw_set_option,
    .get_option = raw_get_option,
    .ioctl = inet_datagram_ioctl,
    .release = raw_release,
    .destroy = raw_destroy,
    .refuses = SOCK_SHUT_RD,
    .msg_give = raw_msg_give,
};

static const struct inet_proto raw_proto = {.ops = &raw_ops, .type = SOCK_RAW};

SOCKET_PROTO(raw) = {.type = SOCK_RAW, .create_any = raw_create};
