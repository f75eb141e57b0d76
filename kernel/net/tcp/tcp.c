/* SPDX-License-Identifier: MIT
 *
 * TCP sockets: making, connecting, sending, closing. tcp.h has the rules.
 */
#include "net/tcp/tcp.h"
#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/link/loopback.h"
#include "sched/timer.h"
#include "net/tcp/wire.h"

#define SIOCOUTQ 0x5411
#define SIOCOUTQNSD 0x894b
#define ORPHANS_MOST 8192 /* of a namespace, unless it is told otherwise */

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
    tcp_rests_init(&tn->rests);
    tn->config = tcp_config_default;
    tn->max_orphans = ORPHANS_MOST;
    return 0;
}

static void tcp_ns_teardown(struct net_ns *ns, void *part)
{
    struct tcp_ns *tn = part;

    tcp_rests_fini(&tn->rests);
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

/* Those who list sockets look at the connection under the list's lock. */
static void tcp_free_wire(struct tcp_sock *t)
{
    struct socket *s = &t->inet.sock;
    struct tcp_wire *w = t->wire;
    struct list_node lost;

    if (!w)
        return;
    list_init(&lost);
    spin_lock(&s->list->lock);
    WRITE_ONCE(t->wire, NULL);
    spin_unlock(&s->list->lock);
    spin_lock(&s->lock);
    sock_queue_take_all_locked(s, &lost); /* what came while it was closed */
    spin_unlock(&s->lock);
    sock_queue_free(s, &lost);
    tcp_wire_free(w);
}

static void tcp_free(struct tcp_sock *t)
{
    tcp_free_wire(t);
    inet_fini(&t->inet);
    slab_free(tcp_cache, t);
}

static void tcp_free_work(struct work *work)
{
    tcp_free(container_of(work, struct tcp_sock, end.work));
}

static void tcp_free_rcu(struct rcu_head *head)
{
    struct tcp_sock *t = container_of(head, struct tcp_sock, end.rcu);

    work_init(&t->end.work, tcp_free_work);
    work_queue(workq_system, &t->end.work);
}

/* Readers of the table may still stand on a connection's entry; and its last reference may have
 * been a device's own thread's, which cannot wait for the namespace's end. */
static void tcp_destroy(struct socket *s)
{
    struct tcp_sock *t = tcp_of(inet_of(s));

    if (likely(!t->wire))
        tcp_free(t);
    else
        rcu_call(&t->end.rcu, tcp_free_rcu);
}

u8 tcp_state(const struct tcp_sock *t)
{
    const struct socket *s = &t->inet.sock;
    u32 shut = READ_ONCE(s->shut);

    if (READ_ONCE(s->listening))
        return TCP_LISTEN;
    if (t->wire)
        return READ_ONCE(t->wire->conn.state);
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
    if (s->peer || s->dead || (t->wire && t->wire->open))
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
    return inet_option_inherit(&conn->inet, &l->inet);
}

struct tcp_sock *tcp_child(struct tcp_sock *l)
{
    struct tcp_sock *conn = tcp_alloc(l->inet.sock.ns, l->inet.sock.family);

    if (!conn)
        return NULL;
    conn->inet.sock.uid = l->inet.sock.uid;
    if (!tcp_inherit(conn, l))
        return conn;
    socket_put(&conn->inet.sock);
    return NULL;
}

/* A listener of this namespace. */
static int tcp_connect_local(struct tcp_sock *t, struct ip_end *to, const struct inet_way *way,
                             bool nonblock)
{
    struct inet_sock *l;
    struct ip_end from;
    int err = inet_autobind(&t->inet, &way->source);

    if (err)
        return err == -EADDRINUSE ? -EADDRNOTAVAIL : err;
    from = inet_local(&t->inet);
    from.addr = way->source;
    l = port_find(tcp_ports(t->inet.sock.ns), to, &from, LOOPBACK_INDEX);
    if (!l)
        return -ECONNREFUSED;
    err = tcp_join(t, tcp_of(l), &from, to, nonblock);
    socket_put(&l->sock);
    return err;
}

static int tcp_connect_to(struct tcp_sock *t, struct ip_end *to, bool nonblock)
{
    struct ip_end from = inet_local(&t->inet);
    struct inet_way way = {0};
    int err;

    if (ip_is_multicast(&to->addr) || (ip_is_v4(&to->addr) && ip_v4(&to->addr) == ~0U))
        return -ENETUNREACH;
    err = inet_route(&t->inet, &from, to, NULL, &way);
    if (!err && way.path.dev)
        return tcp_wire_connect(t, to, &way.path, nonblock);
    if (!err)
        err = tcp_connect_local(t, to, &way, nonblock);
    if (!nonblock || (err && err != -ECONNREFUSED))
        return err;
    /* tcp(7): a caller that does not wait gets the answer by poll and SO_ERROR, even if it is
     * there. */
    if (err)
        WRITE_ONCE(t->inet.sock.error, -err);
    waitq_wake(&t->inet.sock.wait, POLLIN | POLLOUT | POLLERR, ~0U);
    return -EINPROGRESS;
}

static int tcp_connect(struct socket *s, const struct sock_addr *sa, u32 len,
                       const struct walk_ctx *ctx, bool nonblock)
{
    struct tcp_sock *t = tcp_of(inet_of(s));
    struct ip_end to;
    int err = inet_addr_in(&t->inet, sa, len, &to);

    if (!err && READ_ONCE(s->peer))
        err = -EISCONN;
    if (!err && t->wire && READ_ONCE(t->wire->open))
        return tcp_wire_connect_again(t->wire, nonblock);
    return err ? err : tcp_connect_to(t, &to, nonblock);
}

static int tcp_accept(struct socket *s, bool nonblock, struct socket **out)
{
    if (!READ_ONCE(s->listening))
        return -EINVAL;
    return accept_wait(s, &tcp_of(inet_of(s))->accept, nonblock, out);
}

static ssize_t tcp_send(struct socket *s, struct socket_message *m, unsigned flags,
                        const struct walk_ctx *ctx)
{
    struct socket *peer;
    ssize_t got;

    if ((flags & MSG_FASTOPEN) && m->addr_len) {
        int err = tcp_connect(s, &m->addr, m->addr_len, ctx, flags & MSG_DONTWAIT);

        if (err && err != -EINPROGRESS)
            return err;
    }
    peer = socket_peer(s);
    if (!peer) {
        struct tcp_wire *w = load_acquire(&tcp_of(inet_of(s))->wire);

        return w ? tcp_wire_send(w, m, flags) : -EPIPE;
    }
    got = tcp_local_send(s, peer, m, flags);
    socket_put(peer);
    return got;
}

static bool tcp_on_wire(const struct socket *s)
{
    const struct tcp_wire *w = ((const struct tcp_sock *)s)->wire;

    return w && READ_ONCE(w->open);
}

/* It has a peer: for getpeername(2). */
static bool tcp_connected(const struct inet_sock *inet)
{
    u8 state = tcp_state(tcp_of(inet));

    return READ_ONCE(inet->sock.peer) || (tcp_on_wire(&inet->sock) && state != TCP_SYN_SENT);
}

static ssize_t tcp_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    if (s->listening || (!READ_ONCE(s->peer) && !READ_ONCE(s->shut) && !tcp_on_wire(s)))
        return s->listening ? -EINVAL : -ENOTCONN;
    m->addr_len = 0;
    return sock_recv(s, m, flags);
}

static int tcp_shutdown(struct socket *s, int how)
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
    sock_set_shut(peer, bits & SOCK_SHUT_WR ? SOCK_SHUT_RD : 0);
    socket_put(peer);
    return 0;
}

/* SO_RCVLOWAT: there are bytes, but fewer than it asks for, and more may come. */
bool tcp_below_low_water_locked(const struct socket *s)
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
    if (tcp_of(inet_of(s))->wire)
        return tcp_wire_poll(tcp_of(inet_of(s))->wire);
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

static void tcp_settled(struct socket *s)
{
    struct tcp_wire *w = tcp_of(inet_of(s))->wire;

    if (w)
        tcp_wire_options(w);
}

static s64 tcp_ioctl(struct socket *s, unsigned cmd, u64 arg)
{
    struct tcp_wire *w = tcp_of(inet_of(s))->wire;
    u32 n;

    if (!w || s->listening || (cmd != SIOCOUTQ && cmd != SIOCOUTQNSD))
        return sock_queue_ioctl(s, cmd, arg);
    spin_lock(&s->lock);
    n = cmd == SIOCOUTQ ? tcp_buffer_bytes(&w->out) : tcp_conn_unsent(&w->conn);
    spin_unlock(&s->lock);
    return copy_out((void __user *)arg, &n, sizeof(n));
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
        conn->linger.on = false; /* no program has it: nobody waits for its end */
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
    .ioctl = tcp_ioctl,
    .release = tcp_release,
    .destroy = tcp_destroy,
    .refuses = SOCK_SHUT_BOTH,
    .msg_make = tcp_msg_make,
    .msg_queue = tcp_msg_queue,
    .packet_consumed = tcp_packet_consumed,
    .settled = tcp_settled,
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
    .changed = tcp_option_changed,
    .connected = tcp_connected,
};

SOCKET_PROTO(tcp) = {.type = SOCK_STREAM, .protocol = IPPROTO_TCP, .create = tcp_create};
