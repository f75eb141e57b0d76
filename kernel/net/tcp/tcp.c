/* SPDX-License-Identifier: MIT
 *
 * TCP sockets: making, connecting, sending, closing. tcp.h has the rules.
 */
#include "net/tcp/tcp.h"
#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/log.h"
#include "net/core/urgent.h"
#include "net/link/loopback.h"
#include "sched/timer.h"
#include "net/tcp/wire.h"

#define SIOCOUTQ 0x5411
#define SIOCOUTQNSD 0x894b
#define SIOCATMARK 0x8905
#define HALVES_LEAST 128
#define RCVBUF_MOST (6 << 20) /* Linux's */
#define SNDBUF_MOST (4 << 20)

static const struct inet_proto tcp_proto;

static int tcp_ns_setup(struct net_ns *ns, void *part)
{
    struct tcp_ns *tn = part;

    socket_list_init(&tn->list);
    port_table_init(&tn->ports);
    tcp_rests_init(&tn->rests);
    tn->config = tcp_config_default;
    tn->ecn = 2;
    tn->synack_retries = 5;
    tn->halves_least = HALVES_LEAST;
    tn->cookies = 1;
    tn->tunes = true;
    tn->congestion = &tcp_cubic;
    memcpy(tn->receive, (const s32[]){4096, SOCK_BUF_DEFAULT, RCVBUF_MOST}, sizeof(tn->receive));
    memcpy(tn->send, (const s32[]){4096, SOCK_BUF_DEFAULT, SNDBUF_MOST}, sizeof(tn->send));
    tcp_orphans_init(&tn->orphans);
    return 0;
}

static void tcp_ns_teardown(struct net_ns *ns, void *part)
{
    struct tcp_ns *tn = part;

    tcp_rests_fini(&tn->rests);
    port_table_fini(&tn->ports);
}
NET_PART("40", tcp) = {sizeof(struct tcp_ns), &tcp_ns_offset, tcp_ns_setup, tcp_ns_teardown};

static struct port_table *tcp_ports(struct net_ns *ns)
{
    return &tcp_ns_of(ns)->ports;
}

static struct socket *tcp_create(struct net_ns *ns, int family)
{
    struct tcp_sock *t = tcp_sock_alloc(&tcp_proto, ns, family);

    return t ? &t->inet.sock : ERR_PTR(-ENOMEM);
}

static int tcp_listen(struct socket *s, int backlog)
{
    struct tcp_sock *t = tcp_of(inet_of(s));
    struct ip_addr any = inet_any(&t->inet);
    int err = inet_autobind(&t->inet, &any);

    if (err)
        return err;
    spin_lock(&s->lock);
    if (s->peer || s->dead || t->connecting || (t->wire && t->wire->open))
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

/* A listener of this namespace. -EXDEV: it is to get packets, or no port is free, when connections
 * over packets may still share one; then the socket has no port that it did not have before. Of the
 * thread that has claimed t. */
static int tcp_connect_local(struct tcp_sock *t, struct ip_end *to, const struct inet_way *way,
                             bool nonblock)
{
    bool named = READ_ONCE(t->inet.local.port);
    struct inet_sock *l;
    struct ip_end from;
    int err = inet_autobind(&t->inet, &way->source);

    if (err)
        return err == -EADDRINUSE ? -EXDEV : err;
    tcp_wire_renew(t);
    from = inet_local(&t->inet);
    from.addr = way->source;
    l = port_find(tcp_ports(t->inet.sock.ns), to, &from, LOOPBACK_INDEX);
    if (!l)
        return -ECONNREFUSED;
    err = unlikely(tcp_is_choosy(tcp_of(l))) ? -EXDEV : tcp_join(t, tcp_of(l), &from, to, nonblock);
    if (!err) {
        net_count(t->inet.sock.ns, MIB_TCP_ACTIVE);
        net_count(t->inet.sock.ns, MIB_TCP_PASSIVE);
    }
    if (err == -EXDEV && !named && t->inet.auto_port)
        port_end(&t->inet);
    socket_put(&l->sock);
    return err;
}

/* The same over lo: its ends, or one of them, are to see packets. */
static int tcp_connect_packets(struct tcp_sock *t, struct ip_end *to, bool nonblock)
{
    struct ip_end from = inet_local(&t->inet);
    struct inet_way way = {0};
    int err = inet_route_packet(&t->inet, &from, to, NULL, &way);

    return err ? err : tcp_wire_connect(t, to, &way.path, nonblock);
}

static int tcp_connect_to(struct tcp_sock *t, struct ip_end *to, bool nonblock)
{
    struct ip_end from = inet_local(&t->inet);
    struct inet_way way = {0};
    int err;

    if (ip_is_multicast(&to->addr) || (ip_is_v4(&to->addr) && ip_v4(&to->addr) == ~0U))
        return -ENETUNREACH;
    err = unlikely(tcp_is_choosy(t)) ? inet_route_packet(&t->inet, &from, to, NULL, &way)
                                     : inet_route(&t->inet, &from, to, NULL, &way);
    if (!err && way.path.dev)
        return tcp_wire_connect(t, to, &way.path, nonblock);
    if (!err)
        err = tcp_claim(t);
    if (!err) {
        err = tcp_connect_local(t, to, &way, nonblock);
        tcp_unclaim(t);
    }
    if (err == -EXDEV)
        return tcp_connect_packets(t, to, nonblock);
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
    int err;

    if (len >= sizeof(sa->family) && sa->family == AF_UNSPEC)
        return tcp_disconnect(t);
    err = inet_addr_in(&t->inet, sa, len, &to);
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
    m->urgent = flags & MSG_OOB;
    peer = socket_peer(s);
    if (!peer) {
        struct tcp_wire *w = tcp_wire_of(tcp_of(inet_of(s)));
        int err = w ? 0 : socket_take_error(s);

        return w ? tcp_wire_send(w, m, flags) : err ? err : -EPIPE;
    }
    got = tcp_local_send(s, peer, m, flags);
    socket_put(peer);
    return got;
}

/* It has a peer: for getpeername(2). */
static bool tcp_connected(const struct inet_sock *inet)
{
    u8 state = tcp_state(tcp_of(inet));

    return READ_ONCE(inet->sock.peer) || (tcp_on_wire(&inet->sock) && state != TCP_SYN_SENT);
}

static ssize_t tcp_send_pages(struct socket *s, const struct page_part *parts, unsigned nr,
                              unsigned flags)
{
    struct tcp_wire *w = load_acquire(&tcp_of(inet_of(s))->wire);

    return w && READ_ONCE(w->open) ? tcp_wire_send_pages(w, parts, nr, flags) : -EOPNOTSUPP;
}

static ssize_t tcp_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    int err;

    if (s->listening)
        return -EINVAL;
    if (!READ_ONCE(s->peer) && !READ_ONCE(s->shut) && !tcp_on_wire(s)) {
        err = socket_take_error(s);
        return err ? err : -ENOTCONN;
    }
    m->addr_len = 0;
    return sock_recv(s, m, flags);
}

static u32 tcp_poll(struct socket *s, struct poll_table *pt)
{
    struct tcp_wire *w;
    u32 shut, mask = 0;
    struct socket *peer;
    bool space;

    poll_wait(pt, &s->wait);
    if (READ_ONCE(s->listening))
        return READ_ONCE(tcp_of(inet_of(s))->accept.nr) ? POLLIN | POLLRDNORM : 0;
    w = tcp_wire_of(tcp_of(inet_of(s)));
    if (w)
        return tcp_wire_poll(w);
    spin_lock(&s->lock);
    shut = s->shut;
    peer = s->peer;
    space = peer && sock_has_space(peer);
    if ((sock_urgent_more_locked(s) || (shut & SOCK_SHUT_RD)) && !tcp_below_low_water_locked(s))
        mask |= POLLIN | POLLRDNORM;
    if (sock_urgent_is_held(s))
        mask |= POLLPRI;
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
    struct tcp_wire *w = tcp_wire_of(tcp_of(inet_of(s)));
    u32 n;

    if (cmd == SIOCATMARK && !s->listening) {
        n = sock_urgent_is_at(s, 0);
        return copy_out((void __user *)arg, &n, sizeof(n));
    }
    if (!w || s->listening || (cmd != SIOCOUTQ && cmd != SIOCOUTQNSD))
        return sock_queue_ioctl(s, cmd, arg);
    spin_lock(&s->lock);
    n = cmd == SIOCOUTQ ? tcp_buffer_bytes(&w->out) : tcp_conn_unsent(&w->conn);
    spin_unlock(&s->lock);
    return copy_out((void __user *)arg, &n, sizeof(n));
}

static const struct socket_ops tcp_ops = {
    .bind = inet_bind,
    .listen = tcp_listen,
    .connect = tcp_connect,
    .accept = tcp_accept,
    .name = inet_name,
    .send = tcp_send,
    .send_pages = tcp_send_pages,
    .recv = tcp_recv,
    .recv_urgent = sock_recv_urgent,
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
