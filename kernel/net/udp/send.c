/* SPDX-License-Identifier: MIT
 *
 * Sending datagrams: where to, where from, at once or in parts (MSG_MORE, UDP_CORK).
 */
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/ip.h"
#include "net/ip/option.h"
#include "net/link/loopback.h"
#include "net/udp/udp.h"
#include "vm/iov.h"

#define UDP_MAX4 65507U
#define UDP_MAX6 65527U

#define UDP_QUOTE4 520U /* bytes of a refused datagram that come back, as by ICMP's errors */
#define UDP_QUOTE6 1184U

/* What MSG_MORE and UDP_CORK gather: the first part says where it goes. */
struct udp_pending {
    struct udp_way way;
    u32 len;
    u8 data[];
};

int udp_addr_in(const struct udp_sock *u, const struct sock_addr *sa, u32 len, struct ip_end *out)
{
    if (u->inet.sock.family == AF_INET6 && len >= sizeof(sa->family) && sa->family == AF_INET)
        return inet_addr_in4(sa, len, out);
    return inet_addr_in(&u->inet, sa, len, out);
}

/* No socket receives there: a connected sender gets ECONNREFUSED with its next call. */
static __noinline void udp_unheard(struct udp_sock *u, struct iov_iter *data,
                                   const struct udp_way *w)
{
    const struct ip_addr *to = &w->to.addr;
    bool v4 = ip_is_v4(to);
    struct ip_error e = {.reporter = *to,
                         .err = ECONNREFUSED,
                         .hard = true,
                         .origin = v4 ? 2 : 3, /* SO_EE_ORIGIN_ICMP, _ICMP6 */
                         .type = v4 ? 3 : 1,   /* no such port: RFC 792, RFC 4443 3.1 */
                         .code = v4 ? 3 : 4};
    u64 n = MIN(data->count, (u64)(v4 ? UDP_QUOTE4 : UDP_QUOTE6));
    u8 *quote = inet_wants_errors(&u->inet, v4) ? kmalloc(MAX(n, (u64)1)) : NULL;

    udp_count(u->inet.sock.ns, MIB_UDP_NO_PORTS, !v4, u->lite);
    if (!quote || iov_copy_from(data, quote, n) != n)
        n = 0;
    inet_error(&u->inet, &e, &w->to, quote, (u32)n);
    kfree(quote);
}

/* What the receiver hears of a header that was never made. */
static void udp_heard(const struct udp_sock *u, const struct udp_way *w, struct inet_heard *h)
{
    h->to = w->to.addr;
    h->device = w->way.device;
    h->flow = 0;
    h->hops = 0;
    h->tos = 0;
    if (unlikely(READ_ONCE(u->inet.opt) || w->header.hops >= 0 || w->header.tos >= 0))
        inet_header(&u->inet, &w->to.addr, &w->header, &h->hops, &h->tos);
    if (!h->hops)
        h->hops = (u8)inet_hops(&u->inet, ip_is_v4(&w->to.addr));
}

/* n bytes of data from u's port to r. */
static __always_inline int udp_put(struct udp_sock *u, struct inet_sock *r, struct iov_iter *data,
                                   u64 n, u16 segment, const struct udp_way *w)
{
    struct udp_msg *um;
    int err = 0;

    um = (struct udp_msg *)sock_msg_create(offsetof(struct udp_msg, data), data, n,
                                           socket_stamps(&r->sock), &err);
    if (!um)
        return err;
    um->from = (struct ip_end){.addr = w->way.source, .port = READ_ONCE(u->inet.local.port)};
    udp_heard(u, w, &um->heard);
    um->segment = segment;
    udp_count_queued(r, sock_queue_offer(&r->sock, &um->msg), !ip_is_v4(&w->to.addr));
    return 0;
}

/* Several datagrams: together where the receiver takes them so. */
static __noinline int udp_put_segments(struct udp_sock *u, struct inet_sock *r,
                                       struct iov_iter *data, const struct udp_way *w)
{
    bool together = inet_option_on(r, IPPROTO_UDP, UDP_GRO);
    u64 n = together ? data->count : w->header.segment;
    int err = 0;

    while (data->count && !err)
        err = udp_put(u, r, data, MIN(data->count, n), together ? w->header.segment : 0, w);
    return err;
}

static __noinline int udp_deliver_packets(struct udp_sock *u, struct iov_iter *data,
                                          const struct udp_way *w)
{
    struct ip_end local = inet_local(&u->inet);
    struct udp_way own = *w;
    int err = inet_route_packet(&u->inet, &local, &own.to, NULL, &own.way);

    if (err)
        return err;
    own.way.source = w->way.source;
    err = udp_transmit(u, data, &own, 0);
    inet_way_put(&own.way);
    return err;
}

/* r wants more of a datagram of n bytes covered than u has: it is lost. */
static bool udp_lite_refused(const struct udp_sock *u, struct inet_sock *r, u32 n, bool v6)
{
    bool refused = !udp_lite_takes(udp_of(&r->sock), udp_lite_covered(u, n), n);

    if (refused)
        udp_count(r->sock.ns, MIB_UDP_ERRORS, v6, true);
    return refused;
}

/* All of data, from u's port. */
static int udp_deliver(struct udp_sock *u, struct iov_iter *data, const struct udp_way *w)
{
    struct ip_end from = {.addr = w->way.source, .port = READ_ONCE(u->inet.local.port)};
    struct inet_sock *r = port_find(&udp_ns_for(u)->ports, &w->to, &from, LOOPBACK_INDEX);
    int err;

    if (!r) {
        udp_unheard(u, data, w);
        return 0;
    }
    if (unlikely(u->lite) &&
        udp_lite_refused(u, r, UDP_HEADER + (u32)data->count, !ip_is_v4(&w->to.addr)))
        err = 0;
    else if (unlikely(READ_ONCE(r->sock.filter))) /* it looks at packets */
        err = udp_deliver_packets(u, data, w);
    else if (likely(!w->header.segment))
        err = udp_put(u, r, data, data->count, 0, w);
    else
        err = udp_put_segments(u, r, data, w);
    socket_put(&r->sock);
    return err;
}

static struct udp_pending *udp_take_pending(struct udp_sock *u)
{
    struct udp_pending *p;

    spin_lock(&u->inet.sock.lock);
    p = u->pending;
    u->pending = NULL;
    spin_unlock(&u->inet.sock.lock);
    return p;
}

static void udp_pending_free(struct udp_pending *p)
{
    if (p)
        inet_way_put(&p->way.way);
    kfree(p);
}

void udp_drop_pending(struct udp_sock *u)
{
    udp_pending_free(udp_take_pending(u));
}

/* Here, or to another host. */
static int udp_go(struct udp_sock *u, struct iov_iter *data, const struct udp_way *w,
                  unsigned flags)
{
    int err = likely(!w->way.path.dev) ? udp_deliver(u, data, w) : udp_transmit(u, data, w, flags);

    udp_count(u->inet.sock.ns, MIB_UDP_OUT, !ip_is_v4(&w->to.addr), u->lite);
    if (!err && unlikely(READ_ONCE(u->inet.sock.stamping) & SOCKET_STAMP_SENT))
        inet_stamp_sent(&u->inet, &w->to);
    return err;
}

int udp_flush(struct udp_sock *u)
{
    struct udp_pending *p = udp_take_pending(u);
    struct iov_iter it;
    int err;

    if (!p)
        return 0;
    iov_init_kernel(&it, p->data, p->len);
    err = udp_go(u, &it, &p->way, 0);
    udp_pending_free(p);
    return err;
}

static u32 udp_max(const struct ip_end *to)
{
    return ip_is_v4(&to->addr) ? UDP_MAX4 : UDP_MAX6;
}

/* Behind what is there already, which keeps its way. w NULL: -ENOENT if nothing is there; else its
 * path is taken with the first part. -EMSGSIZE: then all of it is dropped. */
static int udp_pending_add(struct udp_sock *u, struct udp_way *w, const void *data, u32 n)
{
    struct udp_pending *p, *more;
    int err = 0;

    spin_lock(&u->inet.sock.lock);
    p = u->pending;
    more = NULL;
    if (!p && !w)
        err = -ENOENT;
    else if (p && p->len + (u64)n > udp_max(&p->way.to))
        err = -EMSGSIZE;
    else
        more = krealloc(p, sizeof(*p) + (p ? p->len : 0) + n);
    if (more) {
        if (!p) {
            more->way = *w;
            more->len = 0;
            w->way.path.dev = NULL; /* its reference is there now */
        }
        memcpy(more->data + more->len, data, n);
        more->len += n;
        u->pending = more;
    } else if (!err) {
        err = -ENOMEM;
    }
    spin_unlock(&u->inet.sock.lock);
    if (err == -EMSGSIZE)
        udp_drop_pending(u);
    return err;
}

/* Where a message is to come from, by its control messages: an address and an interface that are
 * this namespace's. */
static int udp_source(struct udp_sock *u, const struct socket_message *m, const struct ip_end *to,
                      struct ip_addr *source)
{
    struct net_ns *ns = u->inet.sock.ns;
    const struct ip_addr *a = &m->source;

    if (m->source_interface && !net_device_exists(ns, (u32)m->source_interface))
        return -ENODEV;
    if (ip_is_any(a))
        return 0;
    if (ip_is_v4(a) != ip_is_v4(&to->addr))
        return -EINVAL;
    if (!ip_local_device(ns, a))
        return !ip_is_v4(a) || ip_is_multicast(a) || ip_v4(a) == ~0U ? -EINVAL : -ENETUNREACH;
    *source = *a;
    return 0;
}

/* An address of a message. */
static int udp_target(const struct udp_sock *u, const struct socket_message *m, struct ip_end *to)
{
    bool four = u->inet.sock.family == AF_INET;
    int err = udp_addr_in(u, &m->addr, m->addr_len, to);

    if (err == -EAFNOSUPPORT)
        err = !four ? -EINVAL : m->addr.family == AF_UNSPEC ? 0 : err;
    if (err)
        return err;
    if (!to->port)
        return -EINVAL;
    return ip_is_v4(&to->addr) && ip_v4(&to->addr) == ~0U && !u->inet.sock.broadcast ? -EACCES : 0;
}

/* An AF_INET6 socket ignores an address of AF_UNSPEC. */
static bool udp_has_target(const struct udp_sock *u, const struct socket_message *m)
{
    return m->addr_len && !(u->inet.sock.family == AF_INET6 && m->addr_len >= sizeof(u16) &&
                            m->addr.family == AF_UNSPEC);
}

/* A message that goes elsewhere than to the peer, or by another way. */
static bool udp_has_wishes(const struct udp_sock *u, const struct socket_message *m)
{
    return udp_has_target(u, m) || m->source_interface || !ip_is_any(&m->source);
}

/* Where a message goes, as it says or to the peer, and how; u has a port then. */
static int udp_route(struct udp_sock *u, const struct socket_message *m, struct udp_way *w)
{
    struct ip_end local;
    struct ip_addr any;
    int err = 0;

    inet_ends(&u->inet, &local, &w->to);
    if (udp_has_target(u, m))
        err = udp_target(u, m, &w->to);
    else if (ip_is_any(&w->to.addr))
        err = -EDESTADDRREQ;
    if (unlikely(READ_ONCE(u->path.dev)) && !udp_has_wishes(u, m) &&
        udp_path_get(u, &w->to.addr, &w->way))
        return 0;
    if (!err)
        err = inet_route(&u->inet, &local, &w->to, m, &w->way);
    if (!err && unlikely(w->way.path.dev) && !udp_has_wishes(u, m))
        udp_path_keep(u, &w->to, &w->way);
    if (!err && unlikely(m->source_interface || !ip_is_any(&m->source)))
        err = udp_source(u, m, &w->to, &w->way.source);
    if (err || likely(local.port))
        return err;
    any = inet_any(&u->inet);
    return inet_autobind(&u->inet, &any);
}

/* Into how many bytes of each segment n bytes are to be cut; 0: one datagram. -EINVAL. */
static int udp_segment(const struct udp_sock *u, u64 n, struct socket_header *h)
{
    if (likely(!READ_ONCE(u->inet.opt)) && !h->segment)
        return 0;
    if (!h->segment)
        h->segment = (u16)inet_option_get(&u->inet, IPPROTO_UDP, UDP_SEGMENT);
    if (!h->segment)
        return 0;
    if (n > (u64)h->segment * UDP_SEGMENTS || u->inet.sock.no_check)
        return -EINVAL;
    if (n <= h->segment)
        h->segment = 0;
    return 0;
}

/* A message of n bytes may go, that way, whose path the caller puts back, on errors too. */
static int udp_begin(struct udp_sock *u, const struct socket_message *m, u64 n, struct udp_way *w)
{
    int err;

    w->way.path.dev = NULL;
    err = udp_route(u, m, w);
    if (!err && n > udp_max(&w->to))
        err = -EMSGSIZE;
    if (!err)
        err = socket_take_error(&u->inet.sock);
    if (!err && (READ_ONCE(u->inet.sock.shut) & SOCK_SHUT_WR))
        err = -EPIPE;
    w->header = m->header;
    return err ? err : udp_segment(u, n, &w->header);
}

/* w NULL: where what is gathered goes; if another thread has sent it meanwhile, as m says. */
static ssize_t udp_gather(struct udp_sock *u, struct socket_message *m, struct udp_way *w,
                          bool more)
{
    u64 n = m->data->count;
    void *data = kmalloc(MAX(n, (u64)1));
    int err = data ? 0 : -ENOMEM;
    struct udp_way own;

    if (!err && iov_copy_from(m->data, data, n) != n)
        err = -EFAULT;
    DELAYPOINT(udp_gather);
    if (!err)
        err = udp_pending_add(u, w, data, (u32)n);
    if (err == -ENOENT) {
        err = udp_begin(u, m, n, &own);
        if (!err)
            err = udp_pending_add(u, &own, data, (u32)n);
        inet_way_put(&own.way);
    }
    kfree(data);
    if (!err && !more)
        err = udp_flush(u);
    return err ? err : (ssize_t)n;
}

ssize_t udp_send(struct socket *s, struct socket_message *m, unsigned flags,
                 const struct walk_ctx *ctx)
{
    struct udp_sock *u = udp_of(s);
    bool more = (flags & MSG_MORE) ||
                (READ_ONCE(u->inet.opt) && inet_option_on(&u->inet, IPPROTO_UDP, UDP_CORK));
    u64 n = m->data->count;
    struct udp_way w;
    int err;

    if (n > UDP_MAX6 || (s->family == AF_INET && n > UDP_MAX4))
        return -EMSGSIZE;
    if (unlikely(READ_ONCE(u->pending))) /* its addresses stand */
        return udp_gather(u, m, NULL, more);
    err = udp_begin(u, m, n, &w);
    if (!err)
        err = more ? (int)udp_gather(u, m, &w, true) : udp_go(u, m->data, &w, flags);
    inet_way_put(&w.way);
    return err < 0 ? err : (ssize_t)n;
}
