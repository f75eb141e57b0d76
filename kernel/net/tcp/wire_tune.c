/* SPDX-License-Identifier: MIT
 *
 * What a connection over packets is told of its socket: options, and how large its buffers are.
 * wire.h has the rules.
 */
#include "net/tcp/wire.h"

#define TOS_ECN 3

/* The window is of payload; where packets keep much more memory than that, there is less of it. */
void tcp_wire_window_locked(struct tcp_wire *w)
{
    const struct socket *s = &w->sock->inet.sock;
    u32 most = tcp_payload(s->rcvbuf), unread = s->unread, ratio;
    u64 cost = (u64)s->queued + w->waiting, space = 2ULL * s->rcvbuf;

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (cost > s->rcvbuf / 2) {
        ratio = unread ? (u32)(cost / unread) + 1 : 2;
        space = cost < space ? (space - cost) / ratio : 0;
        most = (u32)MIN((u64)most, unread + space);
    }
    if (most != w->conn.rcv_buf)
        tcp_conn_set_rcv_buf(&w->conn, most);
}

u32 tcp_payload_most(const struct socket *s)
{
    const struct tcp_ns *tn = tcp_ns_of(s->ns);

    return tcp_payload(s->rcvbuf_set || !READ_ONCE(tn->tunes) ? s->rcvbuf
                                                              : (u32)READ_ONCE(tn->receive[2]));
}

/* An option in seconds; 0, the configuration's, where it is as it was at first. */
static u64 tcp_seconds(const struct inet_sock *s, int name, s32 first)
{
    s32 v = inet_option_get(s, IPPROTO_TCP, name);

    return v > 0 && v != first ? (u64)v * NSEC_PER_SEC : 0;
}

static u32 tcp_count(const struct inet_sock *s, int name, s32 first)
{
    s32 v = inet_option_get(s, IPPROTO_TCP, name);

    return v > 0 && v != first ? (u32)v : 0;
}

static u64 tcp_linger2(const struct inet_sock *s)
{
    s32 v = inet_option_get(s, IPPROTO_TCP, TCP_LINGER2);

    return v < 0 ? TCP_LINGER2_NONE : tcp_seconds(s, TCP_LINGER2, 60);
}

void tcp_wire_options_locked(struct tcp_wire *w)
{
    struct tcp_sock *t = w->sock;
    struct inet_sock *s = &t->inet;
    struct tcp_options *o = &w->conn.options;
    static const struct socket_header none = {-1, -1, -1, 0};
    s32 lowat;

    ASSERT_HELD(&s->sock.lock);
    *o = (struct tcp_options){
        .maxseg = t->maxseg, .keep_alive = s->sock.keepalive, .quick_ack = t->quick_ack};
    inet_header(s, &w->head.to, &none, &w->head.hops, &w->head.tos);
    w->head.tos &= (u8)~TOS_ECN;
    if (!READ_ONCE(s->opt)) /* no option was set: the rest is the configuration's */
        return;
    lowat = inet_option_get(s, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
    *o = (struct tcp_options){
        .user_timeout = (u64)inet_option_get(s, IPPROTO_TCP, TCP_USER_TIMEOUT) * NSEC_PER_MSEC,
        .keep_idle = tcp_seconds(s, TCP_KEEPIDLE, 7200),
        .keep_interval = tcp_seconds(s, TCP_KEEPINTVL, 75),
        .linger2 = tcp_linger2(s),
        .keep_count = tcp_count(s, TCP_KEEPCNT, 9),
        .syn_count = tcp_count(s, TCP_SYNCNT, 6),
        .maxseg = t->maxseg,
        .window_clamp = (u32)inet_option_get(s, IPPROTO_TCP, TCP_WINDOW_CLAMP),
        .notsent_lowat = lowat > 0 ? (u32)lowat : 0,
        .keep_alive = s->sock.keepalive,
        .no_delay = inet_option_get(s, IPPROTO_TCP, TCP_NODELAY),
        .cork = inet_option_get(s, IPPROTO_TCP, TCP_CORK),
        .quick_ack = t->quick_ack,
    };
}

void tcp_wire_hold(struct tcp_wire *w, bool cork, bool on)
{
    struct tcp_options *o = &w->conn.options;
    struct tcp_after a;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    *(cork ? &o->cork : &o->no_delay) = on;
    if (!w->open || cork == on) { /* nothing goes for it */
        spin_unlock(&w->sock->inet.sock.lock);
        return;
    }
    tcp_conn_push(&w->conn);
    tcp_wire_unlock(w, &a);
}

void tcp_wire_options(struct tcp_wire *w)
{
    struct tcp_after a;

    tcp_after_init(&a);
    spin_lock(&w->sock->inet.sock.lock);
    if (w->open) {
        tcp_wire_options_locked(w);
        tcp_conn_options_changed(&w->conn, time_ns());
        tcp_wire_window_locked(w);
        if (w->conn.options.no_delay || !w->conn.options.cork)
            tcp_conn_push(&w->conn);
    }
    tcp_wire_unlock(w, &a);
}

/* The core has seen that more would be of use; what the program has set stays. */
void tcp_wire_tune_locked(struct tcp_wire *w)
{
    struct socket *s = &w->sock->inet.sock;
    const struct tcp_ns *tn = tcp_ns_of(s->ns);
    u32 most = MAX((u32)READ_ONCE(tn->receive[2]), s->rcvbuf);

    ASSERT_HELD(&w->sock->inet.sock.lock);
    if (!s->rcvbuf_set && READ_ONCE(tn->tunes) && 2ULL * w->conn.rcv_want > s->rcvbuf) {
        WRITE_ONCE(s->rcvbuf, (u32)MIN(2ULL * w->conn.rcv_want, (u64)most));
        tcp_wire_window_locked(w);
    }
    if (!s->sndbuf_set && 2ULL * w->conn.snd_want > s->sndbuf)
        WRITE_ONCE(s->sndbuf, (u32)MIN(2ULL * w->conn.snd_want,
                                       (u64)MAX(READ_ONCE(tn->send[2]), (s32)s->sndbuf)));
}
