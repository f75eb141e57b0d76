/* SPDX-License-Identifier: MIT
 *
 * Sending datagrams: where to, where from, at once or in parts (MSG_MORE, UDP_CORK).
 */
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/option.h"
#include "net/udp/udp.h"
#include "vm/iov.h"

#define UDP_MAX4 65507U
#define UDP_MAX6 65527U

/* What MSG_MORE and UDP_CORK gather: its addresses are the first part's. */
struct udp_pending {
    struct ip_end to;
    struct inet_way way;
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
static void udp_unheard(struct udp_sock *u, const struct ip_addr *to)
{
    struct inet_sock *s = &u->inet;
    bool told = ip_is_v4(to) ? inet_option_on(s, IPPROTO_IP, IP_RECVERR)
                             : inet_option_on(s, IPPROTO_IPV6, IPV6_RECVERR);

    if (!READ_ONCE(s->peer.port) && !told)
        return;
    WRITE_ONCE(s->sock.error, ECONNREFUSED);
    socket_wake(&s->sock, POLLERR);
}

/* One whole datagram, from u's port. */
static int udp_deliver(struct udp_sock *u, struct iov_iter *data, const struct ip_end *to,
                       const struct inet_way *way)
{
    struct net_ns *ns = u->inet.sock.ns;
    struct ip_end from = {.addr = way->source, .port = READ_ONCE(u->inet.local.port)};
    struct inet_sock *r = port_find(&udp_ns_of(ns)->ports, to, &from);
    struct udp_msg *um;
    int err = 0;

    if (!r) {
        udp_unheard(u, &to->addr);
        return 0;
    }
    um = (struct udp_msg *)sock_msg_create(offsetof(struct udp_msg, data), data, data->count,
                                           r->sock.timestamp, &err);
    if (um) {
        um->from = from;
        um->to = to->addr;
        um->device = way->device;
        sock_queue_offer(&r->sock, &um->msg);
    }
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

void udp_drop_pending(struct udp_sock *u)
{
    kfree(udp_take_pending(u));
}

int udp_flush(struct udp_sock *u)
{
    struct udp_pending *p = udp_take_pending(u);
    struct iov_iter it;
    int err;

    if (!p)
        return 0;
    iov_init_kernel(&it, p->data, p->len);
    err = udp_deliver(u, &it, &p->to, &p->way);
    kfree(p);
    return err;
}

static u32 udp_max(const struct ip_end *to)
{
    return ip_is_v4(&to->addr) ? UDP_MAX4 : UDP_MAX6;
}

/* Behind what is there already, which keeps its addresses. to NULL: -ENOENT if nothing is there.
 * -EMSGSIZE: then all of it is dropped. */
static int udp_pending_add(struct udp_sock *u, const struct ip_end *to, const struct inet_way *way,
                           const void *data, u32 n)
{
    struct udp_pending *p, *more;
    int err = 0;

    spin_lock(&u->inet.sock.lock);
    p = u->pending;
    more = NULL;
    if (!p && !to)
        err = -ENOENT;
    else if (p && p->len + (u64)n > udp_max(&p->to))
        err = -EMSGSIZE;
    else
        more = krealloc(p, sizeof(*p) + (p ? p->len : 0) + n);
    if (more) {
        if (!p) {
            more->to = *to;
            more->way = *way;
            more->len = 0;
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

/* Where a message goes, as it says or to the peer, and how; u has a port then. */
static int udp_route(struct udp_sock *u, const struct socket_message *m, struct ip_end *to,
                     struct inet_way *way)
{
    struct ip_end local;
    struct ip_addr any;
    int err = 0;

    inet_ends(&u->inet, &local, to);
    if (udp_has_target(u, m))
        err = udp_target(u, m, to);
    else if (!to->port)
        err = -EDESTADDRREQ;
    if (!err)
        err = inet_reach(&u->inet, &local, to, way);
    if (!err && unlikely(m->source_interface || !ip_is_any(&m->source)))
        err = udp_source(u, m, to, &way->source);
    if (err || likely(local.port))
        return err;
    any = inet_any(&u->inet);
    return inet_autobind(&u->inet, &any);
}

/* A message of n bytes may go, there. */
static int udp_begin(struct udp_sock *u, const struct socket_message *m, u64 n, struct ip_end *to,
                     struct inet_way *way)
{
    int err = udp_route(u, m, to, way);

    if (!err && n > udp_max(to))
        err = -EMSGSIZE;
    if (!err)
        err = socket_take_error(&u->inet.sock);
    if (!err && (READ_ONCE(u->inet.sock.shut) & SOCK_SHUT_WR))
        err = -EPIPE;
    return err;
}

/* to NULL: where what is gathered goes; if another thread has sent it meanwhile, as m says. */
static ssize_t udp_gather(struct udp_sock *u, struct socket_message *m, const struct ip_end *to,
                          const struct inet_way *way, bool more)
{
    u64 n = m->data->count;
    void *data = kmalloc(MAX(n, (u64)1));
    struct inet_way own_way = {0};
    struct ip_end own = {0};
    int err = data ? 0 : -ENOMEM;

    if (!err && iov_copy_from(m->data, data, n) != n)
        err = -EFAULT;
    DELAYPOINT(udp_gather);
    if (!err)
        err = udp_pending_add(u, to, way, data, (u32)n);
    if (err == -ENOENT) {
        err = udp_begin(u, m, n, &own, &own_way);
        if (!err)
            err = udp_pending_add(u, &own, &own_way, data, (u32)n);
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
    bool more = (flags & MSG_MORE) || inet_option_on(&u->inet, IPPROTO_UDP, UDP_CORK);
    u64 n = m->data->count;
    struct inet_way way = {0};
    struct ip_end to = {0};
    int err;

    if (n > UDP_MAX6 || (s->family == AF_INET && n > UDP_MAX4))
        return -EMSGSIZE;
    if (unlikely(READ_ONCE(u->pending))) /* its addresses stand */
        return udp_gather(u, m, NULL, NULL, more);
    err = udp_begin(u, m, n, &to, &way);
    if (err)
        return err;
    if (more)
        return udp_gather(u, m, &to, &way, true);
    err = udp_deliver(u, m->data, &to, &way);
    return err ? err : (ssize_t)n;
}
