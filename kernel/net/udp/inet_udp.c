/* SPDX-License-Identifier: MIT
 *
 * Datagrams of IPv4. Where there is no room at the receiver they are lost, where there is no
 * receiver the next call of a connected sender says so (udp(7)). A socket is connected with an
 * address, not with a socket, so that may come later, or go and come again.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/ip/inet_priv.h"
#include "vm/iov.h"

#define UDP_MAX 65507U

/* What MSG_MORE and UDP_CORK gather. */
struct inet_pending {
    struct inet_addr to;
    u32 source; /* as of the first part */
    u32 len;
    u8 data[];
};

static int inet_udp_check(struct inet_sock *s, const struct inet_addr *to)
{
    if (!inet_port(to))
        return -EINVAL;
    if (inet_ip(to) == 0xffffffff && !s->u.sock.broadcast)
        return -EACCES;
    if ((inet_ip(to) && !inet_is_loopback(inet_ip(to))) || !READ_ONCE(s->u.sock.ns->loopback_up))
        return -ENETUNREACH;
    return 0;
}

int inet_udp_connect(struct inet_sock *s, const struct sock_addr *sa, u32 len)
{
    struct inet_addr to;
    int err;

    if (len >= sizeof(sa->family) && sa->family == AF_UNSPEC)
        return READ_ONCE(s->found) ? inet_name_connect(s, 0, 0) : 0;
    err = inet_addr_in(sa, len, &to);
    if (!err && inet_ip(&to) == INET_ANY)
        inet_addr_set(&to, INET_LOOPBACK, inet_port(&to));
    if (!err && inet_port(&to))
        err = inet_udp_check(s, &to);
    if (!err)
        err = inet_autobind(s, INET_LOOPBACK);
    return err ? err : inet_name_connect(s, inet_ip(&to), inet_port(&to));
}

/* Nothing hears there: a sender that is connected is told with its next call. */
static void inet_udp_unheard(struct inet_sock *s)
{
    if (!READ_ONCE(s->peer.peer_port) && !inet_option_on(s, IPPROTO_IP, 11 /* IP_RECVERR */))
        return;
    WRITE_ONCE(s->u.sock.error, ECONNREFUSED);
    socket_wake(&s->u.sock, POLLERR);
}

/* What the receiver is told: the socket's name, or with another address than that. A reference;
 * NULL: no memory. */
static struct unix_addr *inet_udp_name(struct inet_sock *s, const struct inet_addr *from)
{
    struct unix_addr *name = s->u.addr;

    if (inet_ip((const struct inet_addr *)(const void *)&name->sun) == inet_ip(from)) {
        refcount_get(&name->ref);
        return name;
    }
    name = kzalloc(sizeof(*name));
    if (!name)
        return NULL;
    refcount_init(&name->ref, 1);
    name->len = sizeof(*from);
    memcpy(&name->sun, from, sizeof(*from));
    return name;
}

/* One whole datagram. */
static int inet_udp_deliver(struct inet_sock *s, struct socket_message *m,
                            const struct inet_addr *to)
{
    struct inet_addr own = *(struct inet_addr *)(void *)&s->u.addr->sun, from;
    struct unix_sock *u;
    struct unix_msg *msg;
    int err;

    if (m->source)
        inet_addr_set(&own, m->source, inet_port(&own));
    from = own;
    if (inet_ip(&from) == INET_ANY)
        inet_addr_set(&from, INET_LOOPBACK, inet_port(&from));
    u = inet_name_find(s->u.sock.ns, SOCK_DGRAM, to, &from);
    if (!u) {
        inet_udp_unheard(s);
        return 0;
    }
    msg = unix_msg_create(&s->u, u, m, m->data->count, &err);
    if (msg && !(msg->from = inet_udp_name(s, &own))) {
        unix_msg_free(msg);
        msg = NULL;
        err = -ENOMEM;
    }
    if (msg) {
        msg->to_ip = inet_ip(to);
        if (unix_queue(&s->u, u, msg)) { /* no room, or gone: lost */
            __atomic_fetch_add(&u->lost, 1, __ATOMIC_RELAXED);
            unix_msg_free(msg);
        }
        err = 0;
    }
    unix_put(u);
    return err;
}

static struct inet_pending *inet_pending_take(struct inet_sock *s)
{
    struct inet_pending *p;

    spin_lock(&s->u.lock);
    p = s->pending;
    s->pending = NULL;
    spin_unlock(&s->u.lock);
    return p;
}

void inet_udp_drop(struct inet_sock *s)
{
    kfree(inet_pending_take(s));
}

/* Sends what has been gathered. */
int inet_udp_flush(struct inet_sock *s)
{
    struct inet_pending *p = inet_pending_take(s);
    struct iov_iter it;
    struct socket_message m;
    int err;

    if (!p)
        return 0;
    memset(&m, 0, sizeof(m));
    iov_init_kernel(&it, p->data, p->len);
    m.data = &it;
    m.source = p->source;
    err = inet_udp_deliver(s, &m, &p->to);
    kfree(p);
    return err;
}

/* Behind what is there already, which keeps its address. -EMSGSIZE: then all of it is dropped. */
static int inet_pending_add(struct inet_sock *s, const struct inet_addr *to, u32 source,
                            const void *data, u32 n)
{
    struct inet_pending *p, *more;
    int err = 0;

    spin_lock(&s->u.lock);
    p = s->pending;
    more = NULL;
    if (p && n > UDP_MAX - p->len)
        err = -EMSGSIZE;
    else
        more = krealloc(p, sizeof(*p) + (p ? p->len : 0) + n);
    if (more) {
        if (!p) {
            more->to = *to;
            more->source = source;
            more->len = 0;
        }
        memcpy(more->data + more->len, data, n);
        more->len += n;
        s->pending = more;
    } else if (!err) {
        err = -ENOMEM;
    }
    spin_unlock(&s->u.lock);
    if (err == -EMSGSIZE)
        inet_udp_drop(s);
    return err;
}

static ssize_t inet_udp_gather(struct inet_sock *s, struct socket_message *m,
                               const struct inet_addr *to, bool more)
{
    u64 n = m->data->count;
    void *data = kmalloc(MAX(n, (u64)1));
    int err = data ? 0 : -ENOMEM;

    if (!err && iov_copy_from(m->data, data, n) != n)
        err = -EFAULT;
    if (!err)
        err = inet_pending_add(s, to, m->source, data, (u32)n);
    kfree(data);
    if (!err && !more)
        err = inet_udp_flush(s);
    return err ? err : (ssize_t)n;
}

/* Where a message is to come from: there is one interface, with the loopback's addresses. Others
 * are a group's or everybody's, or not here. */
static int inet_udp_source(const struct socket_message *m)
{
    if (m->source && !inet_is_loopback(m->source))
        return m->source >> 28 == 14 || m->source == ~0U ? -EINVAL : -ENETUNREACH;
    return m->source_interface && m->source_interface != 1 ? -ENODEV : 0;
}

/* Where a message goes: as it says, or to the peer. */
static int inet_udp_target(struct inet_sock *s, const struct socket_message *m,
                           struct inet_addr *to)
{
    struct inet_key peer;

    if (m->addr_len) {
        int err = inet_addr_in(&m->addr, m->addr_len, to);

        if (!err && inet_ip(to) == INET_ANY)
            inet_addr_set(to, INET_LOOPBACK, inet_port(to));
        return err ? err : inet_udp_check(s, to);
    }
    spin_lock(&s->u.sock.ns->unix_lock);
    peer = s->peer;
    spin_unlock(&s->u.sock.ns->unix_lock);
    if (!peer.peer_port)
        return -EDESTADDRREQ;
    inet_addr_set(to, peer.peer_addr, peer.peer_port);
    return READ_ONCE(s->u.sock.ns->loopback_up) ? 0 : -ENETUNREACH;
}

ssize_t inet_udp_send(struct inet_sock *s, struct socket_message *m, unsigned flags)
{
    bool more = (flags & MSG_MORE) || inet_option_on(s, IPPROTO_UDP, 1 /* UDP_CORK */);
    u64 n = m->data->count;
    struct inet_addr to;
    int err;

    if (n > UDP_MAX)
        return -EMSGSIZE;
    if (READ_ONCE(s->pending)) /* its address stands */
        return inet_udp_gather(s, m, &(struct inet_addr){0}, more);
    err = inet_udp_target(s, m, &to);
    if (!err)
        err = inet_udp_source(m);
    if (!err)
        err = inet_autobind(s, INET_ANY);
    if (!err)
        err = socket_take_error(&s->u.sock);
    if (!err && (READ_ONCE(s->u.shut) & UNIX_SHUT_WR))
        err = -EPIPE;
    if (err)
        return err;
    if (more)
        return inet_udp_gather(s, m, &to, true);
    err = inet_udp_deliver(s, m, &to);
    return err ? err : (ssize_t)n;
}
