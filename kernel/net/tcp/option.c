/* SPDX-License-Identifier: MIT
 *
 * Options of TCP. Between two sockets of one namespace nothing is delayed, split, resent or lost,
 * so there what times or shapes segments is kept by itself.
 */
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/tcp/info.h"
#include "net/tcp/wire.h"

#define TCP_MSS4 65483 /* of lo: 65535 less two headers with a time stamp */
#define TCP_MSS6 65464

const struct inet_option tcp_options[] = {
    {IPPROTO_TCP, TCP_NODELAY, INET_FLAG, 0, 1, 0},
    {IPPROTO_TCP, TCP_CORK, INET_FLAG, 0, 1, 0},
    {IPPROTO_TCP, TCP_KEEPIDLE, INET_RANGE, 1, 32767, 7200},
    {IPPROTO_TCP, TCP_KEEPINTVL, INET_RANGE, 1, 32767, 75},
    {IPPROTO_TCP, TCP_KEEPCNT, INET_RANGE, 1, 127, 9},
    {IPPROTO_TCP, TCP_SYNCNT, INET_RANGE, 1, 127, 6},
    {IPPROTO_TCP, TCP_LINGER2, INET_OWN, -1, 120, 60},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, INET_OWN, 0, 0, 0},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, INET_RANGE, 0, 0x7fffffff, 0},
    {IPPROTO_TCP, TCP_QUICKACK, INET_FLAG, 0, 1, 1},
    {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, INET_RANGE, 0, 1, 0},
    {IPPROTO_TCP, TCP_THIN_DUPACK, INET_RANGE, 0, 1, 0},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, INET_RANGE, 0, 0x7fffffff, 0},
    {IPPROTO_TCP, TCP_FASTOPEN, INET_CLOSED, 0, 0x7fffffff, 0},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, INET_RANGE, -0x7fffffff - 1, 0x7fffffff, 0},
    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT, INET_CLOSED, 0, 1, 0},
};
static_assert(ARRAY_SIZE(tcp_options) == TCP_OPTIONS, "tcp.h");

/* Told as the time of so many retransmissions: RFC 6298's time-outs are one second, then twice as
 * long each, at most two minutes. */
static s32 tcp_accept_seconds(s32 asked)
{
    s32 total = 1, next = 1;

    if (asked <= 0)
        return 0;
    for (unsigned n = 1; total < asked && n < 255; n++) {
        next = MIN(2 * next, 120);
        total += next;
    }
    return total;
}

int tcp_option_judge(const struct inet_option *o, s32 *v)
{
    if (o->name == TCP_DEFER_ACCEPT)
        *v = tcp_accept_seconds(*v);
    else /* TCP_LINGER2: at most two minutes, 0: one */
        *v = *v < 0 ? -1 : *v > o->max ? o->max : *v ? *v : o->first;
    return 0;
}

/* A name: cut to 15 bytes, as Linux. */
static int tcp_set_congestion(struct tcp_sock *t, const void *val, u32 n)
{
    const struct tcp_congestion_ops *ops;
    char name[16] = "";

    if (n < 1)
        return -EINVAL;
    memcpy(name, val, MIN(n, (u32)sizeof(name) - 1));
    ops = tcp_congestion_find(name);
    if (!ops)
        return -ENOENT;
    WRITE_ONCE(t->congestion, ops); /* of connections to come */
    return 0;
}

static int tcp_set_maxseg(struct tcp_sock *t, const void *val, u32 n)
{
    s32 v;

    if (n < sizeof(v))
        return -EINVAL;
    memcpy(&v, val, sizeof(v));
    if (v && (v < 88 || v > 32767))
        return -EINVAL;
    WRITE_ONCE(t->maxseg, (u32)v);
    return tcp_option_changed(&t->inet, NULL, v);
}

int tcp_option_changed(struct inet_sock *s, const struct inet_option *o, s32 v)
{
    struct tcp_sock *t = tcp_of(s);

    if (o && o->name == TCP_QUICKACK)
        WRITE_ONCE(t->quick_ack, v != 0);
    if (t->wire && o && (o->name == TCP_CORK || o->name == TCP_NODELAY))
        tcp_wire_hold(t->wire, o->name == TCP_CORK, v);
    else if (t->wire)
        tcp_wire_options(t->wire);
    return 0;
}

int tcp_option_set(struct inet_sock *s, int name, const void *val, u32 n)
{
    if (name == TCP_CONGESTION)
        return tcp_set_congestion(tcp_of(s), val, n);
    return name == TCP_MAXSEG ? tcp_set_maxseg(tcp_of(s), val, n) : -ENOPROTOOPT;
}

static s32 tcp_mss(const struct inet_sock *s)
{
    const struct tcp_wire *w = tcp_wire_of(tcp_of(s));

    if (w)
        return (s32)READ_ONCE(w->conn.mss);
    if (tcp_state(tcp_of(s)) != TCP_ESTABLISHED)
        return 536;
    return ip_is_v4(&s->local.addr) ? TCP_MSS4 : TCP_MSS6;
}

/* Of a connection without packets, as far as it says something. */
static void tcp_info_local(struct inet_sock *s, struct tcp_info *info)
{
    const struct accept_queue *accept = &tcp_of(s)->accept;

    *info = (struct tcp_info){.tcpi_state = tcp_state(tcp_of(s)),
                              .tcpi_ato = 40000,
                              .tcpi_rcv_mss = 536,
                              .tcpi_pmtu = 65535,
                              .tcpi_snd_ssthresh = 0x7fffffff,
                              .tcpi_snd_cwnd = 10,
                              .tcpi_reordering = 3,
                              .tcpi_pacing_rate = U64_MAX,
                              .tcpi_max_pacing_rate = U64_MAX};
    if (info->tcpi_state == TCP_LISTEN) { /* who waits to be accepted, and how many may */
        info->tcpi_unacked = READ_ONCE(accept->nr);
        info->tcpi_sacked = accept->max ? READ_ONCE(accept->max) - 1 : 0;
    }
    if (info->tcpi_state != TCP_CLOSE) {
        info->tcpi_options = TCPI_TIMESTAMPS | TCPI_SACK | TCPI_WSCALE;
        info->tcpi_snd_wscale = info->tcpi_rcv_wscale = 7;
    }
    info->tcpi_rto = info->tcpi_state == TCP_CLOSE ? 1000000 : 200000;
    info->tcpi_snd_mss = info->tcpi_advmss = (u32)tcp_mss(s);
    info->tcpi_rcv_ssthresh = info->tcpi_rcv_space = info->tcpi_snd_wnd = s->sock.rcvbuf / 2;
}

static void tcp_info_of(struct inet_sock *s, struct tcp_info *info)
{
    struct tcp_wire *w = tcp_wire_of(tcp_of(s));
    bool local = !w || s->sock.listening;

    spin_lock(&s->sock.lock);
    if (!local && w->conn.config)
        tcp_conn_info(&w->conn, time_ns(), info);
    else
        local = true; /* no connection has begun */
    spin_unlock(&s->sock.lock);
    if (local)
        tcp_info_local(s, info);
}

/* What the namespace is configured to, of an option that is as it was at first. */
static bool tcp_option_default(const struct inet_sock *s, int name, s32 *v)
{
    const struct tcp_config *c = &tcp_ns_of(s->sock.ns)->config;

    for (u32 i = 0; i < TCP_OPTIONS; i++)
        if (tcp_options[i].name == name &&
            inet_option_get(s, IPPROTO_TCP, name) != tcp_options[i].first)
            return false;
    *v = name == TCP_KEEPIDLE    ? (s32)(READ_ONCE(c->keep_idle) / NSEC_PER_SEC)
         : name == TCP_KEEPINTVL ? (s32)(READ_ONCE(c->keep_interval) / NSEC_PER_SEC)
         : name == TCP_LINGER2   ? (s32)(READ_ONCE(c->fin_wait2) / NSEC_PER_SEC)
         : name == TCP_KEEPCNT   ? (s32)READ_ONCE(c->keep_count)
         : name == TCP_SYNCNT    ? (s32)READ_ONCE(c->syn_retries)
                                 : 0;
    return *v;
}

int tcp_option_get(struct inet_sock *s, int name, void *val, u32 *n)
{
    const struct tcp_congestion_ops *ops = tcp_of(s)->congestion;
    char congestion[16];
    struct tcp_info info;
    s32 mss;

    if (tcp_option_default(s, name, &mss))
        return socket_option_put(val, n, &mss, sizeof(mss));
    switch (name) {
    case TCP_INFO:
        tcp_info_of(s, &info);
        return socket_option_put(val, n, &info, sizeof(info));
    case TCP_CONGESTION:
        ops = ops ? ops : READ_ONCE(tcp_ns_of(s->sock.ns)->congestion);
        memset(congestion, 0, sizeof(congestion));
        snprintf(congestion, sizeof(congestion), "%s", ops->name);
        return socket_option_put(val, n, congestion, sizeof(congestion));
    case TCP_MAXSEG:
        mss = tcp_mss(s);
        return socket_option_put(val, n, &mss, sizeof(mss));
    default:
        return -ENOPROTOOPT;
    }
}
