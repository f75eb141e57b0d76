/* SPDX-License-Identifier: MIT
 *
 * Connections between two sockets of one namespace: no segment is made, bytes go from queue to
 * queue (core/queue.h). Ends are TCP's: a close ends one direction, what is sent after it is taken,
 * lost and answered by a reset. Both ends refer to each other (sock.peer), until one has left the
 * other (end.c): a thread that tells or sends to the other end sees under its lock that it still
 * is. No thread holds both locks.
 */
#include "lib/log.h"
#include "net/core/urgent.h"
#include "net/tcp/wire.h"
#include "sched/timer.h"

/* The server's end of a new connection from t, whose end is `from`, to listener l, which was found
 * as `to`. NULL: no memory. */
static struct tcp_sock *tcp_server_end(struct tcp_sock *t, struct tcp_sock *l,
                                       const struct ip_end *from, const struct ip_end *to)
{
    struct tcp_sock *conn = tcp_child(l);

    if (!conn)
        return NULL;
    socket_get(&t->inet.sock);
    spin_lock(&conn->inet.sock.lock); /* a reader of the list may see it already */
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
    if (s->peer || s->listening || (t->wire && t->wire->open)) {
        err = s->listening ? -EINVAL : -EISCONN;
    } else {
        socket_get(&conn->inet.sock);
        WRITE_ONCE(s->shut, 0);
        WRITE_ONCE(s->error, 0);
        s->peer = &conn->inet.sock;
        WRITE_ONCE(t->joined, true);
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

int tcp_join(struct tcp_sock *t, struct tcp_sock *l, const struct ip_end *from,
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

struct sock_msg *tcp_msg_make(struct socket *s, struct socket *to, struct socket_message *m, u64 n,
                              int *err)
{
    bool urgent = m->urgent && n == m->data->count;
    struct sock_msg *msg = sock_msg_create(sizeof(struct sock_msg), m->data, n, to->timestamp, err);

    if (msg)
        msg->urgent = urgent;
    return msg;
}

int tcp_msg_queue(struct socket *s, struct socket *to, struct sock_msg *msg)
{
    bool wake = false, urgent = msg->urgent;
    int err = 0;

    spin_lock(&to->lock);
    if (to->dead || to->peer != s || sock_refuses(to))
        err = -EPIPE;
    else if (to->queued >= to->rcvbuf)
        err = -EAGAIN;
    else
        wake = sock_queue_add_locked(to, msg);
    if (unlikely(urgent) && !err) {
        sock_urgent_mark_locked(to, to->unread - 1);
        (void)sock_urgent_came_locked(to);
    }
    spin_unlock(&to->lock);
    if (wake)
        sock_queue_wake(to);
    if (unlikely(urgent) && !err) {
        sock_urgent_tell(to);
        socket_wake(to, POLLPRI);
    }
    return err;
}

bool tcp_tell(const struct socket *s, struct socket *to, u32 bits, int err)
{
    bool still;

    spin_lock(&to->lock);
    still = to->peer == s;
    if (still && err)
        WRITE_ONCE(to->error, err);
    if (still)
        WRITE_ONCE(to->shut, to->shut | bits);
    spin_unlock(&to->lock);
    if (!still)
        return false;
    socket_wake(to, 0);
    waitq_wake_all(&to->senders_wait);
    return true;
}

/* What the peer refused to take. After a reset of this end its error is reported, once. Otherwise
 * the bytes come after the peer's close: as many as the send buffer holds count as sent, and a
 * reset of both ends is the answer. */
static ssize_t tcp_refused(struct socket *s, struct socket *peer, u64 bytes)
{
    int err;

    if ((READ_ONCE(s->shut) & SOCK_SHUT_WR) || !tcp_tell(peer, s, SOCK_SHUT_BOTH, EPIPE)) {
        err = socket_take_error(s);
        return err ? err : -EPIPE;
    }
    (void)tcp_tell(s, peer, SOCK_SHUT_BOTH, ECONNRESET);
    return (ssize_t)MIN(bytes, (u64)s->sndbuf);
}

ssize_t tcp_local_send(struct socket *s, struct socket *peer, struct socket_message *m,
                       unsigned flags)
{
    u64 bytes = m->data->count;
    ssize_t got = sock_send_stream(s, peer, m, flags);

    return unlikely(got == -EPIPE) ? tcp_refused(s, peer, bytes) : got;
}

/* The other end of a connection is gone: reads end, and writes fail after the first one. Unread
 * bytes, or SO_LINGER with no time, are a reset; an end that had shut down its writes before gets
 * EPIPE. */
void tcp_tell_peer(const struct socket *s, struct socket *peer, bool unread, bool ended)
{
    if (unread || (s->linger.on && !s->linger.seconds))
        (void)tcp_tell(s, peer, SOCK_SHUT_BOTH, ended ? EPIPE : ECONNRESET);
    else
        (void)tcp_tell(s, peer, SOCK_SHUT_RD, 0);
    socket_put(peer);
}
