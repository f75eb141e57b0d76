/* SPDX-License-Identifier: MIT
 *
 * How a TCP socket's connection ends: shutdown(2), close(2), and connect(2) with AF_UNSPEC, which
 * leaves the socket as it was before.
 */
#include "lib/log.h"
#include "net/tcp/wire.h"

int tcp_shutdown(struct socket *s, int how)
{
    u32 bits = (u32)how + 1; /* SHUT_RD, SHUT_WR, SHUT_RDWR are our bits less one */
    struct socket *peer;

    if (tcp_on_wire(s))
        return tcp_wire_shutdown(tcp_of(inet_of(s))->wire, bits);
    peer = socket_peer(s);
    if (!peer && !s->listening)
        return -ENOTCONN;
    sock_set_shut(s, bits);
    if (!peer)
        return 0;
    (void)tcp_tell(s, peer, bits & SOCK_SHUT_WR ? SOCK_SHUT_RD : 0, 0);
    socket_put(peer);
    return 0;
}

void tcp_release(struct socket *s)
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
    if (tcp_of(inet_of(s))->wire)
        tcp_wire_release(tcp_of(inet_of(s))->wire);
    while ((conn = accept_take(s, accept))) {
        conn->linger.on = true; /* its peer is told by a reset that no program has it */
        conn->linger.seconds = 0;
        tcp_release(conn);
        cond_yield();
    }
    sock_queue_free(s, &lost);
    socket_put(s);
}

/* ---- connect(2) with AF_UNSPEC ---- */

/* peer knows s no more, which is a reset to it. Both may leave each other at once. */
static void tcp_leave(struct socket *s, struct socket *peer)
{
    bool mutual;

    spin_lock(&peer->lock);
    mutual = peer->peer == s;
    if (mutual) {
        peer->peer = NULL;
        WRITE_ONCE(peer->error, ECONNRESET);
        WRITE_ONCE(peer->shut, SOCK_SHUT_BOTH);
    }
    spin_unlock(&peer->lock);
    if (!mutual)
        return;
    socket_wake(peer, 0);
    waitq_wake_all(&peer->senders_wait);
    socket_put(s); /* the peer's reference: the caller has another */
}

/* The connection with another socket of this namespace ends as by a reset. True: there was one. */
static bool tcp_leave_peer(struct socket *s)
{
    struct list_node lost;
    struct socket *peer;

    list_init(&lost);
    mutex_lock(&s->reading);
    spin_lock(&s->lock);
    peer = s->peer;
    s->peer = NULL;
    sock_queue_take_all_locked(s, &lost);
    spin_unlock(&s->lock);
    mutex_unlock(&s->reading);
    sock_queue_free(s, &lost);
    if (!peer)
        return false;
    tcp_leave(s, peer);
    socket_put(peer);
    return true;
}

/* As tcp_claim, of a socket that may be connected. */
static int tcp_disconnect_claim(struct tcp_sock *t)
{
    struct socket *s = &t->inet.sock;
    int err;

    spin_lock(&s->lock);
    err = s->listening ? -EOPNOTSUPP : t->connecting ? -EALREADY : 0;
    if (!err)
        t->connecting = true;
    spin_unlock(&s->lock);
    return err;
}

int tcp_disconnect(struct tcp_sock *t)
{
    struct socket *s = &t->inet.sock;
    int err = tcp_disconnect_claim(t);
    struct tcp_wire *w = load_acquire(&t->wire);
    bool lived = w && READ_ONCE(w->open);

    if (err)
        return err;
    if (w)
        tcp_wire_disconnect(w);
    lived |= tcp_leave_peer(s);
    spin_lock(&s->lock);
    WRITE_ONCE(s->shut, 0);
    WRITE_ONCE(s->error, lived ? ECONNRESET : 0); /* as Linux: for another thread that uses it */
    spin_unlock(&s->lock);
    if (t->inet.auto_port)
        port_end(&t->inet);
    else
        port_leave(&t->inet);
    tcp_unclaim(t);
    waitq_wake(&s->wait, POLLIN | POLLOUT | POLLHUP, ~0U);
    return 0;
}
