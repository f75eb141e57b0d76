/* SPDX-License-Identifier: MIT
 *
 * IPv4 on the loopback of a net namespace: streams and datagrams between its own sockets. There is
 * no other interface yet, so an address that is not the loopback's is unreachable. The bytes go the
 * way of unix sockets; inet_priv.h says where the rest is.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/ip/inet_priv.h"
#include "obj/cred.h"
#include "vm/iov.h"

static const struct socket_ops inet_ops;
static struct slab_cache *inet_cache;

static void inet_init(void)
{
    inet_cache = slab_cache_create("inet_sock", sizeof(struct inet_sock), 0);
}
INIT_HOOK(inet_init, INIT_CORE);

void inet_addr_set(struct inet_addr *a, u32 ip, u16 port)
{
    *a = (struct inet_addr){
        .family = AF_INET,
        .port = {(u8)(port >> 8), (u8)port},
        .addr = {(u8)(ip >> 24), (u8)(ip >> 16), (u8)(ip >> 8), (u8)ip},
    };
}

int inet_addr_in(const struct sock_addr *sa, u32 len, struct inet_addr *out)
{
    if (len < sizeof(*out))
        return -EINVAL;
    memcpy(out, sa, sizeof(*out));
    memset(out->zero, 0, sizeof(out->zero));
    return out->family == AF_INET ? 0 : -EAFNOSUPPORT;
}

static int inet_bind(struct socket *s, const struct sock_addr *sa, u32 len,
                     const struct walk_ctx *ctx, u32 mode)
{
    struct inet_sock *is = inet_of(unix_of(s));
    struct inet_addr a;
    int err = inet_addr_in(sa, len, &a);

    /* bind(2): AF_UNSPEC with the wildcard was always taken. */
    if (err == -EAFNOSUPPORT && a.family == AF_UNSPEC && inet_ip(&a) == INET_ANY)
        err = 0;
    if (err)
        return err;
    if (inet_ip(&a) && !inet_is_loopback(inet_ip(&a)))
        return -EADDRNOTAVAIL;
    if (inet_port(&a) && inet_port(&a) < 1024 &&
        !cred_capable(current_cred(), s->ns->user_ns, CAP_NET_BIND_SERVICE))
        return -EACCES;
    if (s->type == SOCK_STREAM && READ_ONCE(is->u.peer))
        return -EINVAL;
    return inet_name_bind(is, inet_ip(&a), inet_port(&a));
}

int inet_autobind(struct inet_sock *s, u32 ip)
{
    int err;

    if (READ_ONCE(s->u.addr))
        return 0;
    err = inet_name_bind(s, ip, 0);
    if (err == -EINVAL) /* another thread named it */
        return 0;
    return err == -EADDRINUSE && s->u.sock.type != SOCK_STREAM ? -EAGAIN : err;
}

static int inet_lookup(struct unix_sock *from, const struct sock_addr *sa, u32 len,
                       const struct walk_ctx *ctx, struct unix_sock **out)
{
    const struct inet_addr *me = (const struct inet_addr *)(const void *)&from->addr->sun;
    struct inet_addr a;
    int err = inet_addr_in(sa, len, &a);

    if (err)
        return err;
    if ((inet_ip(&a) && !inet_is_loopback(inet_ip(&a))) || !READ_ONCE(from->sock.ns->loopback_up))
        return -ENETUNREACH;
    if (!inet_ip(&a))
        inet_addr_set(&a, INET_LOOPBACK, inet_port(&a));
    *out = inet_name_find(from->sock.ns, SOCK_STREAM, &a, me);
    return *out ? 0 : -ECONNREFUSED;
}

static struct unix_sock *inet_alloc(void)
{
    return slab_zalloc(inet_cache);
}

static void inet_unname(struct unix_sock *u)
{
    inet_name_end(inet_of(u));
    inet_udp_drop(inet_of(u));
}

static void inet_free(struct unix_sock *u)
{
    kfree(inet_of(u)->opt);
    slab_free(inet_cache, u);
}

/* An accepted socket has its listener's options, and the address that was asked for. */
static void inet_server_end(struct unix_sock *conn, struct unix_sock *l,
                            const struct sock_addr *addr)
{
    const struct inet_addr *a = (const struct inet_addr *)(const void *)addr;
    struct unix_addr *name = inet_ip(a) ? kzalloc(sizeof(*name)) : NULL;
    struct socket *s = &conn->sock;

    s->protocol = l->sock.protocol;
    s->sndbuf = l->sock.sndbuf;
    s->rcvbuf = l->sock.rcvbuf;
    s->send_timeout = l->sock.send_timeout;
    s->recv_timeout = l->sock.recv_timeout;
    s->reuse_addr = l->sock.reuse_addr;
    s->reuse_port = l->sock.reuse_port;
    s->keepalive = l->sock.keepalive;
    s->linger = l->sock.linger;
    s->priority = l->sock.priority;
    s->mark = l->sock.mark;
    s->low_water = l->sock.low_water;
    s->timestamp = l->sock.timestamp;
    inet_option_inherit(inet_of(conn), inet_of(l));
    if (!name) /* the listener's, which is shown as the loopback */
        return;
    refcount_init(&name->ref, 1);
    name->len = sizeof(*a);
    inet_addr_set((struct inet_addr *)(void *)&name->sun, inet_ip(a), inet_port(a));
    conn->addr = name;
}

static const struct unix_family inet_names = {
    .lookup = inet_lookup,
    .alloc = inet_alloc,
    .unname = inet_unname,
    .free = inet_free,
    .server_end = inet_server_end,
    .resets = true,
};

static int inet_listen(struct socket *s, int backlog)
{
    struct inet_sock *is = inet_of(unix_of(s));
    int err;

    if (s->type != SOCK_STREAM)
        return -EOPNOTSUPP;
    err = inet_autobind(is, INET_ANY);
    if (!err)
        err = unix_listen(s, backlog);
    if (err)
        return err;
    err = inet_name_listen(is);
    if (err)
        WRITE_ONCE(s->listening, false);
    return err;
}

/* Disconnects a stream: nothing but a listener or a closed end can be. */
static int inet_connect(struct socket *s, const struct sock_addr *sa, u32 len,
                        const struct walk_ctx *ctx, bool nonblock)
{
    struct inet_sock *is = inet_of(unix_of(s));
    struct inet_addr a;
    int err;

    if (s->type != SOCK_STREAM)
        return inet_udp_connect(is, sa, len);
    err = inet_addr_in(sa, len, &a);
    if (!err && READ_ONCE(is->u.peer))
        err = -EISCONN;
    if (!err)
        err = inet_autobind(is, INET_LOOPBACK);
    if (!err)
        err = unix_connect(s, sa, len, ctx, nonblock);
    else if (err == -EADDRINUSE)
        err = -EADDRNOTAVAIL;
    if (!nonblock || (err && err != -ECONNREFUSED))
        return err;
    /* tcp(7): who does not wait hears the answer by poll and SO_ERROR, were it there already. */
    if (err)
        WRITE_ONCE(s->error, -err);
    waitq_wake(&s->wait, POLLIN | POLLOUT | POLLERR, ~0U);
    return -EINPROGRESS;
}

/* An address as others see it: no wildcard where a connection says which. */
static void inet_show(struct sock_addr *sa, bool connected)
{
    struct inet_addr *a = (struct inet_addr *)(void *)sa;

    if (connected && inet_ip(a) == INET_ANY)
        inet_addr_set(a, INET_LOOPBACK, inet_port(a));
}

static int inet_name(struct socket *s, bool peer, struct sock_addr *out, u32 *len)
{
    struct inet_sock *is = inet_of(unix_of(s));
    bool dgram = s->type != SOCK_STREAM;
    struct inet_addr a = {.family = AF_INET};
    int err = 0;

    if (dgram && peer) {
        if (!READ_ONCE(is->peer.peer_port))
            return -ENOTCONN;
        inet_addr_set(&a, is->peer.peer_addr, is->peer.peer_port);
        *len = 0;
    } else {
        err = unix_name(s, peer, out, len);
    }
    if (err)
        return err;
    if (*len < sizeof(a)) {
        memcpy(out, &a, sizeof(a));
        *len = sizeof(a);
    }
    inet_show(out, peer || (dgram ? READ_ONCE(is->peer.peer_port) : READ_ONCE(is->u.peer) != NULL));
    return 0;
}

/* What the peer refused to take. After a reset of this end its error is told, once. Otherwise the
 * bytes come after the peer's close: as many as the send buffer holds count as sent, and a reset of
 * both ends is the answer. */
static ssize_t inet_refused(struct unix_sock *u, u64 bytes)
{
    struct unix_sock *peer = NULL;
    int err;

    if (READ_ONCE(u->shut) & UNIX_SHUT_WR) {
        err = socket_take_error(&u->sock);
        return err ? err : -EPIPE;
    }
    spin_lock(&u->lock);
    if (u->peer) {
        peer = u->peer;
        unix_get(peer);
    }
    spin_unlock(&u->lock);
    unix_reset(u, EPIPE);
    if (peer) {
        unix_reset(peer, ECONNRESET);
        unix_put(peer);
    }
    return (ssize_t)MIN(bytes, (u64)u->sock.sndbuf);
}

static ssize_t inet_send(struct socket *s, struct socket_message *m, unsigned flags,
                         const struct walk_ctx *ctx)
{
    u64 bytes = m->data->count;
    ssize_t got;

    if (s->type != SOCK_STREAM)
        return inet_udp_send(inet_of(unix_of(s)), m, flags);
    if ((flags & MSG_FASTOPEN) && m->addr_len) {
        int err = inet_connect(s, &m->addr, m->addr_len, ctx, flags & MSG_DONTWAIT);

        if (err && err != -EINPROGRESS)
            return err;
    }
    m->addr_len = 0; /* as Linux: a connected stream ignores it */
    got = unix_send(s, m, flags, ctx);
    if (got == -ENOTCONN)
        return -EPIPE;
    return unlikely(got == -EPIPE) ? inet_refused(unix_of(s), bytes) : got;
}

static ssize_t inet_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    ssize_t n;

    if (s->type == SOCK_STREAM && !s->listening && !READ_ONCE(unix_of(s)->peer) &&
        !READ_ONCE(unix_of(s)->shut))
        return -ENOTCONN;
    n = unix_recv(s, m, flags);
    if (n >= 0 && m->addr_len)
        inet_show(&m->addr, true);
    m->has_destination = n >= 0 && s->type != SOCK_STREAM &&
                         inet_option_on(inet_of(unix_of(s)), IPPROTO_IP, 8 /* IP_PKTINFO */);
    return n;
}

static int inet_shutdown(struct socket *s, int how)
{
    /* udp(7): only a connected one; it is done all the same, which Linux does, too. */
    if (s->type != SOCK_STREAM && !READ_ONCE(inet_of(unix_of(s))->peer.peer_port))
        return -ENOTCONN;
    return unix_shutdown(s, how);
}

/* SO_RCVLOWAT: there are bytes, but fewer than it asks for, and more may come. */
static bool inet_below_low_water(struct socket *s)
{
    struct unix_sock *u = unix_of(s);
    bool below;

    spin_lock(&u->lock);
    below = !(u->shut & UNIX_SHUT_RD) && unix_unread_locked(u) < (u32)s->low_water;
    spin_unlock(&u->lock);
    return below;
}

static u32 inet_poll(struct socket *s, struct poll_table *pt)
{
    u32 mask = unix_poll(s, pt);

    if (mask & POLLIN && s->low_water > 1 && s->type == SOCK_STREAM && !s->listening &&
        inet_below_low_water(s))
        mask &= ~(u32)(POLLIN | POLLRDNORM);
    if (s->type == SOCK_STREAM && mask & POLLERR)
        mask |= POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLHUP;
    return mask;
}

static const struct socket_ops inet_ops = {
    .bind = inet_bind,
    .listen = inet_listen,
    .connect = inet_connect,
    .accept = unix_accept,
    .name = inet_name,
    .send = inet_send,
    .recv = inet_recv,
    .shutdown = inet_shutdown,
    .poll = inet_poll,
    .set_option = inet_set_option,
    .get_option = inet_get_option,
    .ioctl = unix_ioctl,
    .resized = unix_resized,
    .release = unix_release,
};

struct socket *inet_create(struct net_ns *ns, int type, int protocol)
{
    int want = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    struct unix_sock *u;

    if (type == SOCK_RAW)
        return ERR_PTR(-EPROTONOSUPPORT);
    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return ERR_PTR(-ESOCKTNOSUPPORT);
    if (protocol && protocol != want)
        return ERR_PTR(-EPROTONOSUPPORT);
    u = inet_alloc();
    if (!u)
        return ERR_PTR(-ENOMEM);
    u->sock.protocol = (u8)want;
    unix_setup(u, ns, AF_INET, type, &inet_ops, &inet_names);
    return &u->sock;
}
