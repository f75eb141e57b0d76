/* SPDX-License-Identifier: MIT
 *
 * TCP sockets: making, connecting, sending, closing. tcp.h has the rules.
 */
#include "net/tcp/tcp.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/link/loopback.h"
#include "sched/timer.h"
#include "vm/iov.h"

static const struct inet_proto tcp_proto;
static struct slab_cache *tcp_cache;
static u32 tcp_ns_offset;

static void tcp_init(void)
{
    tcp_cache = slab_cache_create("tcp_sock", sizeof(struct tcp_sock), 0);
}
INIT_HOOK(tcp_init, INIT_CORE);

static int tcp_ns_setup(struct net_ns *ns, void *part)
{
    struct tcp_ns *tn = part;

    socket_list_init(&tn->list);
    port_table_init(&tn->ports);
    return 0;
}

static void tcp_ns_teardown(struct net_ns *ns, void *part)
{
    struct tcp_ns *tn = part;

    port_table_fini(&tn->ports);
}
NET_PART("40", tcp) = {sizeof(struct tcp_ns), &tcp_ns_offset, tcp_ns_setup, tcp_ns_teardown};

struct tcp_ns *tcp_ns_of(struct net_ns *ns)
{
    return net_part(ns, tcp_ns_offset);
}

static struct port_table *tcp_ports(struct net_ns *ns)
{
    return &tcp_ns_of(ns)->ports;
}

/* NULL: no memory. */
static struct tcp_sock *tcp_alloc(struct net_ns *ns, int family)
{
    struct tcp_sock *t = slab_zalloc(tcp_cache);

    if (!t)
        return NULL;
    accept_queue_init(&t->accept);
    inet_setup(&t->inet, &tcp_proto, ns, &tcp_ns_of(ns)->list, family);
    return t;
}

static struct socket *tcp_create(struct net_ns *ns, int family)
{
    struct tcp_sock *t = tcp_alloc(ns, family);

    return t ? &t->inet.sock : ERR_PTR(-ENOMEM);
}

static void tcp_destroy(struct socket *s)
{
    inet_fini(inet_of(s));
    slab_free(tcp_cache, tcp_of(inet_of(s)));
}

u8 tcp_state(const struct tcp_sock *t)
{
    const struct socket *s = &t->inet.sock;
    u32 shut = READ_ONCE(s->shut);

    if (READ_ONCE(s->listening))
        return TCP_LISTEN;
    if (!READ_ONCE(s->peer) || (shut & SOCK_SHUT_BOTH) == SOCK_SHUT_BOTH)
        return TCP_CLOSE;
    return shut & SOCK_SHUT_WR   ? TCP_FIN_WAIT2
           : shut & SOCK_SHUT_RD ? TCP_CLOSE_WAIT
                                 : TCP_ESTABLISHED;
}

static int tcp_listen(struct socket *s, int backlog)
{
    struct tcp_sock *t = tcp_of(inet_of(s));
    struct ip_addr any = inet_any(&t->inet);
    int err = inet_autobind(&t->inet, &any);

    if (err)
        return err;
    spin_lock(&s->lock);
    if (s->peer || s->dead)
        err = -EINVAL;
    else
        accept_listen_locked(s, &t->accept, backlog);
    spin_unlock(&s->lock);
    if (!err)
        err = port_listen(&t->inet);
    if (err) {
        WRITE_ONCE(s->listening, false);
        return err;
    }
    if (accept_has_space(s, &t->accept)) /* more may wait than before */
        waitq_wake_one(&s->senders_wait);
    return 0;
}

static int tcp_inherit(struct tcp_sock *conn, const struct tcp_sock *l)
{
    struct socket *to = &conn->inet.sock;
    const struct socket *from = &l->inet.sock;

    to->sndbuf = from->sndbuf;
    to->rcvbuf = from->rcvbuf;
    to->send_timeout = from->send_timeout;
    to->recv_timeout = from->recv_timeout;
    to->reuse_addr = from->reuse_addr;
    to->reuse_port = from->reuse_port;
    to->keepalive = from->keepalive;
    to->linger = from->linger;
    to->priority = from->priority;
    to->mark = from->mark;
    to->low_water = from->low_water;
    to->timestamp = from->timestamp;
    return inet_option_inherit(&conn->inet, &l->inet);
}

/* The server's end of a new connection from t, whose end is `from`, to listener l, which was found
 * as `to`. NULL: no memory. */
static struct tcp_sock *tcp_server_end(struct tcp_sock *t, struct tcp_sock *l,
                                       const struct ip_end *from, const struct ip_end *to)
{
    struct tcp_sock *conn = tcp_alloc(l->inet.sock.ns, l->inet.sock.family);

    if (!conn)
        return NULL;
    if (tcp_inherit(conn, l)) {
        socket_put(&conn->inet.sock);
        return NULL;
    }
    socket_get(&t->inet.sock);
    spin_lock(&conn->inet.sock.lock); /* a reader of the list may see it already */
    conn->inet.sock.uid = l->inet.sock.uid;
    conn->inet.local = *to;
    conn->inet.peer = *from;
    conn->inet.sock.peer = &t->inet.sock;
    spin_unlock(&conn->inet.sock.lock);
    return conn;
}

/* t becomes connected with conn, unless another thread was faster. */
static int tcp_client_end(struct tcp_sock *t, struct tcp_sock *conn)
{
    struct socket *s = &t->inet.sock;
    int err = 0;

    spin_lock(&s->lock);
    if (s->peer || s->listening) {
        err = s->peer ? -EISCONN : -EINVAL;
    } else {
        socket_get(&conn->inet.sock);
        s->peer = &conn->inet.sock;
        t->inet.local = conn->inet.peer;
        t->inet.peer = conn->inet.local;
    }
    spin_unlock(&s->lock);
    return err;
}

static void tcp_lose_client(struct tcp_sock *conn, struct tcp_sock *t)
{
    spin_lock(&conn->inet.sock.lock);
    conn->inet.sock.peer = NULL;
    spin_unlock(&conn->inet.sock.lock);
    socket_put(&t->inet.sock);
}

static void tcp_release(struct socket *s);

/* Takes the end of a connection that never came to be apart. */
static void tcp_undo(struct tcp_sock *t, struct tcp_sock *conn)
{
    struct socket *s = &t->inet.sock;
    bool was_peer;

    spin_lock(&s->lock);
    was_peer = s->peer == &conn->inet.sock;
    if (was_peer)
        s->peer = NULL;
    spin_unlock(&s->lock);
    if (was_peer)
        socket_put(&conn->inet.sock);
    tcp_lose_client(conn, t);
    tcp_release(&conn->inet.sock); /* with what another thread has sent meanwhile */
    socket_wake(s, 0);             /* and one that waits to send more: conn is dead */
}

static int tcp_join(struct tcp_sock *t, struct tcp_sock *l, const struct ip_end *from,
                    const struct ip_end *to, bool nonblock)
{
    struct socket *s = &t->inet.sock;
    u64 deadline = socket_deadline(s->send_timeout, s->send_timeout ? time_ns() : 0);
    struct tcp_sock *conn;
    int err;

    if (!READ_ONCE(l->inet.sock.listening))
        return -ECONNREFUSED;
    conn = tcp_server_end(t, l, from, to);
    if (!conn)
        return -ENOMEM;
    err = tcp_client_end(t, conn);
    if (err) {
        tcp_lose_client(conn, t);
        socket_put(&conn->inet.sock);
        return err;
    }
    err = accept_offer(&l->inet.sock, &l->accept, &conn->inet.sock, nonblock, deadline);
    if (err)
        tcp_undo(t, conn);
    return err;
}

static int tcp_connect_to(struct tcp_sock *t, struct ip_end *to, bool nonblock)
{
    struct ip_end from = inet_local(&t->inet);
    struct inet_way way;
    struct inet_sock *l;
    int err = inet_reach(&t->inet, &from, to, &way);

    if (!err)
        err = inet_autobind(&t->inet, &way.source);
    if (err)
        return err == -EADDRINUSE ? -EADDRNOTAVAIL : err;
    from = inet_local(&t->inet);
    from.addr = way.source;
    l = port_find(tcp_ports(t->inet.sock.ns), to, &from, LOOPBACK_INDEX);
    if (!l)
        return -ECONNREFUSED;
    err = tcp_join(t, tcp_of(l), &from, to, nonblock);
    socket_put(&l->sock);
    return err;
}

static int tcp_connect(struct socket *s, const struct sock_addr *sa, u32 len,
                       const struct walk_ctx *ctx, bool nonblock)
{
    struct tcp_sock *t = tcp_of(inet_of(s));
    struct ip_end to;
    int err = inet_addr_in(&t->inet, sa, len, &to);

    if (!err && READ_ONCE(s->peer))
        err = -EISCONN;
    if (!err)
        err = tcp_connect_to(t, &to, nonblock);
    if (!nonblock || (err && err != -ECONNREFUSED))
        return err;
    /* tcp(7): a caller that does not wait gets the answer by poll and SO_ERROR, even if it is
     * there. */
    if (err)
        WRITE_ONCE(s->error, -err);
    waitq_wake(&s->wait, POLLIN | POLLOUT | POLLERR, ~0U);
    return -EINPROGRESS;
}

static int tcp_accept(struct socket *s, bool nonblock, struct socket **out)
{
    if (!READ_ONCE(s->listening))
        return -EINVAL;
    return accept_wait(s, &tcp_of(inet_of(s))->accept, nonblock, out);
}

static struct sock_msg *tcp_msg_make(struct socket *s, struct socket *to, struct socket_message *m,
                                     u64 n, int *err)
{
    return sock_msg_create(sizeof(struct sock_msg), m->data, n, to->timestamp, err);
}

static int tcp_msg_queue(struct socket *s, struct socket *to, struct sock_msg *msg)
{
    bool wake = false;
    int err = 0;

    spin_lock(&to->lock);
    if (to->dead || sock_refuses(to))
        err = -EPIPE;
    else if (to->queued >= to->rcvbuf)
        err = -EAGAIN;
    else
        wake = sock_queue_add_locked(to, msg);
    spin_unlock(&to->lock);
    if (wake)
        sock_queue_wake(to);
    return err;
}

/* What the peer refused to take. After a reset of this end its error is reported, once. Otherwise
 * the bytes come after the peer's close: as many as the send buffer holds count as sent, and a
 * reset of both ends is the answer. */
static ssize_t tcp_refused(struct socket *s, u64 bytes)
{
    struct socket *peer;
    int err;

    if (READ_ONCE(s->shut) & SOCK_SHUT_WR) {
        err = socket_take_error(s);
        return err ? err : -EPIPE;
    }
    peer = socket_peer(s);
    sock_reset(s, EPIPE);
    if (peer) {
        sock_reset(peer, ECONNRESET);
        socket_put(peer);
    }
    return (ssize_t)MIN(bytes, (u64)s->sndbuf);
}

static ssize_t tcp_send(struct socket *s, struct socket_message *m, unsigned flags,
                        const struct walk_ctx *ctx)
{
    u64 bytes = m->data->count;
    struct socket *peer;
    ssize_t got;

    if ((flags & MSG_FASTOPEN) && m->addr_len) {
        int err = tcp_connect(s, &m->addr, m->addr_len, ctx, flags & MSG_DONTWAIT);

        if (err && err != -EINPROGRESS)
            return err;
    }
    peer = socket_peer(s);
    if (!peer)
        return -EPIPE;
    got = sock_send_stream(s, peer, m, flags);
    socket_put(peer);
    return unlikely(got == -EPIPE) ? tcp_refused(s, bytes) : got;
}

static ssize_t tcp_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    if (s->listening || (!READ_ONCE(s->peer) && !READ_ONCE(s->shut)))
        return s->listening ? -EINVAL : -ENOTCONN;
    m->addr_len = 0;
    return sock_recv(s, m, flags);
}

static int tcp_shutdown(struct socket *s, int how)
{
    struct socket *peer = socket_peer(s);
    u32 bits = (u32)how + 1; /* SHUT_RD, SHUT_WR, SHUT_RDWR are our bits less one */

    if (!peer && !s->listening)
        return -ENOTCONN;
    sock_set_shut(s, bits);
    if (!peer)
        return 0;
    sock_set_shut(peer, bits & SOCK_SHUT_WR ? SOCK_SHUT_RD : 0);
    socket_put(peer);
    return 0;
}

/* SO_RCVLOWAT: there are bytes, but fewer than it asks for, and more may come. */
static bool tcp_below_low_water_locked(const struct socket *s) REQUIRES(s->lock)
{
    ASSERT_HELD(&s->lock);
    return s->low_water > 1 && !(s->shut & SOCK_SHUT_RD) &&
           sock_unread_locked(s) < (u32)s->low_water;
}

static u32 tcp_poll(struct socket *s, struct poll_table *pt)
{
    u32 shut, mask = 0;
    struct socket *peer;
    bool space;

    poll_wait(pt, &s->wait);
    if (READ_ONCE(s->listening))
        return READ_ONCE(tcp_of(inet_of(s))->accept.nr) ? POLLIN | POLLRDNORM : 0;
    spin_lock(&s->lock);
    shut = s->shut;
    peer = s->peer;
    space = peer && sock_has_space(peer);
    if ((!list_empty(&s->queue) || (shut & SOCK_SHUT_RD)) && !tcp_below_low_water_locked(s))
        mask |= POLLIN | POLLRDNORM;
    spin_unlock(&s->lock);
    if (s->error)
        mask |= POLLERR | POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLHUP;
    return mask | sock_poll_ends(shut, !peer, space);
}

/* The other end of a connection is gone: reads end, and writes fail after the first one. Unread
 * bytes, or SO_LINGER with no time, are a reset; an end that had shut down its writes before gets
 * EPIPE. */
static void tcp_tell_peer(const struct socket *s, struct socket *peer, bool unread, bool ended)
{
    if (unread || (s->linger.on && !s->linger.seconds))
        sock_reset(peer, ended ? EPIPE : ECONNRESET);
    else
        sock_set_shut(peer, SOCK_SHUT_RD);
    socket_put(peer);
}

static void tcp_release(struct socket *s)
{
    struct accept_queue *accept = &tcp_of(inet_of(s))->accept;
    struct socket *peer, *conn;
    struct list_node lost;
    bool unread, ended;

    list_init(&lost);
    port_end(inet_of(s));
    spin_lock(&s->lock);
    ended = s->shut & SOCK_SHUT_WR;
    WRITE_ONCE(s->dead, true);
    WRITE_ONCE(s->shut, SOCK_SHUT_BOTH);
    WRITE_ONCE(s->listening, false);
    peer = s->peer;
    s->peer = NULL;
    unread = sock_unread_locked(s) > 0;
    sock_queue_take_all_locked(s, &lost); /* dead: nothing is queued any more */
    spin_unlock(&s->lock);
    socket_wake(s, 0);
    waitq_wake_all(&s->senders_wait);
    if (peer)
        tcp_tell_peer(s, peer, unread, ended);
    while ((conn = accept_take(s, accept))) {
        tcp_release(conn);
        cond_yield();
    }
    sock_queue_free(s, &lost);
    socket_put(s);
}

static const struct socket_ops tcp_ops = {
    .bind = inet_bind,
    .listen = tcp_listen,
    .connect = tcp_connect,
    .accept = tcp_accept,
    .name = inet_name,
    .send = tcp_send,
    .recv = tcp_recv,
    .control = inet_control,
    .shutdown = tcp_shutdown,
    .poll = tcp_poll,
    .set_option = inet_set_option,
    .get_option = inet_get_option,
    .ioctl = sock_queue_ioctl,
    .release = tcp_release,
    .destroy = tcp_destroy,
    .refuses = SOCK_SHUT_BOTH,
    .msg_make = tcp_msg_make,
    .msg_queue = tcp_msg_queue,
};

static const struct inet_proto tcp_proto = {
    .ops = &tcp_ops,
    .type = SOCK_STREAM,
    .protocol = IPPROTO_TCP,
    .options = tcp_options,
    .nr_options = TCP_OPTIONS,
    .judge = tcp_option_judge,
    .set = tcp_option_set,
    .get = tcp_option_get,
    .ports = tcp_ports,
};

SOCKET_PROTO(tcp) = {.type = SOCK_STREAM, .protocol = IPPROTO_TCP, .create = tcp_create};
