/* SPDX-License-Identifier: MIT
 *
 * A TCP socket as such: its memory, its namespace, its state, and what a connection has from
 * its listener.
 */
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/filter.h"
#include "net/tcp/wire.h"

static struct slab_cache *tcp_cache;
u32 tcp_ns_offset;

static void tcp_init(void)
{
    tcp_cache = slab_cache_create("tcp_sock", sizeof(struct tcp_sock), 0);
}
INIT_HOOK(tcp_init, INIT_CORE);

struct tcp_ns *tcp_ns_of(struct net_ns *ns)
{
    return net_part(ns, tcp_ns_offset);
}

struct tcp_sock *tcp_sock_alloc(const struct inet_proto *proto, struct net_ns *ns, int family)
{
    struct tcp_sock *t = slab_zalloc(tcp_cache);
    struct tcp_ns *tn = tcp_ns_of(ns);

    if (!t)
        return NULL;
    accept_queue_init(&t->accept);
    inet_setup(&t->inet, proto, ns, &tn->list, family);
    t->inet.sock.rcvbuf = (u32)READ_ONCE(tn->receive[1]);
    t->inet.sock.sndbuf = (u32)READ_ONCE(tn->send[1]);
    return t;
}

void tcp_sock_free(struct tcp_sock *t)
{
    slab_free(tcp_cache, t);
}

int tcp_claim(struct tcp_sock *t)
{
    struct tcp_wire *w;
    bool open;
    int err;

    spin_lock(&t->inet.sock.lock);
    w = t->wire;
    open = w && w->open;
    err = t->connecting || (open && w->conn.state == TCP_SYN_SENT) ? -EALREADY
          : open || t->inet.sock.peer                              ? -EISCONN
                                                                   : 0;
    if (!err)
        t->connecting = true;
    spin_unlock(&t->inet.sock.lock);
    return err;
}

void tcp_unclaim(struct tcp_sock *t)
{
    spin_lock(&t->inet.sock.lock);
    t->connecting = false;
    spin_unlock(&t->inet.sock.lock);
}

bool tcp_on_wire(const struct socket *s)
{
    const struct tcp_wire *w = ((const struct tcp_sock *)s)->wire;

    return w && READ_ONCE(w->open);
}

struct tcp_wire *tcp_wire_of(const struct tcp_sock *t)
{
    return READ_ONCE(t->joined) ? NULL : load_acquire(&t->wire);
}

u8 tcp_state(const struct tcp_sock *t)
{
    const struct socket *s = &t->inet.sock;
    const struct tcp_wire *w = tcp_wire_of(t);
    u32 shut = READ_ONCE(s->shut);

    if (READ_ONCE(s->listening))
        return TCP_LISTEN;
    if (w)
        return READ_ONCE(w->conn.state);
    if (!READ_ONCE(s->peer) || (shut & SOCK_SHUT_BOTH) == SOCK_SHUT_BOTH)
        return TCP_CLOSE;
    return shut & SOCK_SHUT_WR   ? TCP_FIN_WAIT2
           : shut & SOCK_SHUT_RD ? TCP_CLOSE_WAIT
                                 : TCP_ESTABLISHED;
}

/* What a connection has from its listener. */
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
    to->oob_inline = from->oob_inline;
    to->keepalive = from->keepalive;
    to->linger = from->linger;
    to->priority = from->priority;
    to->mark = from->mark;
    to->low_water = from->low_water;
    to->timestamp = from->timestamp;
    to->rcvbuf_set = from->rcvbuf_set;
    to->sndbuf_set = from->sndbuf_set;
    conn->maxseg = l->maxseg;
    conn->congestion = l->congestion;
    conn->quick_ack = l->quick_ack;
    socket_filter_inherit(to, from);
    return inet_option_inherit(&conn->inet, &l->inet);
}

struct tcp_sock *tcp_child(struct tcp_sock *l)
{
    struct tcp_sock *conn = tcp_sock_alloc(l->inet.proto, l->inet.sock.ns, l->inet.sock.family);

    if (!conn)
        return NULL;
    conn->inet.sock.uid = l->inet.sock.uid;
    if (!tcp_inherit(conn, l))
        return conn;
    socket_put(&conn->inet.sock);
    return NULL;
}

/* SO_RCVLOWAT: there are bytes, but fewer than it asks for, and more may come. */
bool tcp_below_low_water_locked(const struct socket *s)
{
    ASSERT_HELD(&s->lock);
    return s->low_water > 1 && !(s->shut & SOCK_SHUT_RD) &&
           sock_unread_locked(s) < (u32)s->low_water;
}
