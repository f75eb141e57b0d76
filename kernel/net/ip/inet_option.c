/* SPDX-License-Identifier: MIT
 *
 * Options of IPv4, TCP and UDP. There is no packet, so what says how packets are made or timed is
 * kept by itself: nothing is delayed, split, resent or lost on the way; the values are judged and
 * told as Linux does. What asks for something that is not there is refused.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/ip/inet_priv.h"
#include "obj/cred.h"

enum {
    IP_TOS = 1,
    IP_TTL = 2,
    IP_PKTINFO = 8,
    IP_MTU_DISCOVER = 10,
    IP_RECVERR = 11,
    IP_FREEBIND = 15,
    IP_MINTTL = 21,
    IP_BIND_ADDRESS_NO_PORT = 24,
    IP_MULTICAST_TTL = 33,
    IP_MULTICAST_LOOP = 34,
    IP_MULTICAST_ALL = 49,
};
enum {
    TCP_NODELAY = 1,
    TCP_MAXSEG = 2,
    TCP_CORK = 3,
    TCP_KEEPIDLE = 4,
    TCP_KEEPINTVL = 5,
    TCP_KEEPCNT = 6,
    TCP_SYNCNT = 7,
    TCP_LINGER2 = 8,
    TCP_DEFER_ACCEPT = 9,
    TCP_WINDOW_CLAMP = 10,
    TCP_INFO = 11,
    TCP_QUICKACK = 12,
    TCP_CONGESTION = 13,
    TCP_THIN_LINEAR_TIMEOUTS = 16,
    TCP_THIN_DUPACK = 17,
    TCP_USER_TIMEOUT = 18,
    TCP_FASTOPEN = 23,
    TCP_NOTSENT_LOWAT = 25,
    TCP_FASTOPEN_CONNECT = 30,
};
#define UDP_CORK 1
#define SO_PEERCRED 17

enum inet_option_kind {
    INET_FLAG,    /* yes or no */
    INET_RANGE,   /* -EINVAL outside */
    INET_HOPS,    /* 1..255, -1: the first value */
    INET_CUT,     /* the low bits that fit the range */
    INET_ACCEPT,  /* seconds, told as the time of so many retransmissions */
    INET_CLOSED,  /* INET_RANGE, -EINVAL once connected */
    INET_LINGER2, /* -1 where negative; at most two minutes, 0: one */
};

/* Its place in the table is its place among a socket's values. */
static const struct inet_option {
    u8 level, name, kind;
    s32 min, max, first;
} inet_options[] = {
    {IPPROTO_IP, IP_TOS, INET_CUT, 0, 255, 0},
    {IPPROTO_IP, IP_TTL, INET_HOPS, 1, 255, 64},
    {IPPROTO_IP, IP_PKTINFO, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_MTU_DISCOVER, INET_RANGE, 0, 5, 1},
    {IPPROTO_IP, IP_RECVERR, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_FREEBIND, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_MINTTL, INET_RANGE, 0, 255, 0},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, INET_FLAG, 0, 1, 0},
    {IPPROTO_IP, IP_MULTICAST_TTL, INET_HOPS, 0, 255, 1},
    {IPPROTO_IP, IP_MULTICAST_LOOP, INET_FLAG, 0, 1, 1},
    {IPPROTO_IP, IP_MULTICAST_ALL, INET_RANGE, 0, 1, 1},
    {IPPROTO_TCP, TCP_NODELAY, INET_FLAG, 0, 1, 0},
    {IPPROTO_TCP, TCP_CORK, INET_FLAG, 0, 1, 0},
    {IPPROTO_TCP, TCP_KEEPIDLE, INET_RANGE, 1, 32767, 7200},
    {IPPROTO_TCP, TCP_KEEPINTVL, INET_RANGE, 1, 32767, 75},
    {IPPROTO_TCP, TCP_KEEPCNT, INET_RANGE, 1, 127, 9},
    {IPPROTO_TCP, TCP_SYNCNT, INET_RANGE, 1, 127, 6},
    {IPPROTO_TCP, TCP_LINGER2, INET_LINGER2, -1, 120, 60},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, INET_ACCEPT, 0, 0, 0},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, INET_RANGE, 0, 0x7fffffff, 0},
    {IPPROTO_TCP, TCP_QUICKACK, INET_FLAG, 0, 1, 1},
    {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, INET_RANGE, 0, 1, 0},
    {IPPROTO_TCP, TCP_THIN_DUPACK, INET_RANGE, 0, 1, 0},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, INET_RANGE, 0, 0x7fffffff, 0},
    {IPPROTO_TCP, TCP_FASTOPEN, INET_CLOSED, 0, 0x7fffffff, 0},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, INET_RANGE, -0x7fffffff - 1, 0x7fffffff, 0},
    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT, INET_CLOSED, 0, 1, 0},
    {IPPROTO_UDP, UDP_CORK, INET_FLAG, 0, 1, 0},
};
static_assert(ARRAY_SIZE(inet_options) <= ARRAY_SIZE(((struct inet_option_values *)0)->val),
              "a socket's values");

static const struct inet_option *inet_option_find(const struct socket *s, int level, int name)
{
    if (level != IPPROTO_IP && level != s->protocol)
        return NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(inet_options); i++)
        if (inet_options[i].level == level && inet_options[i].name == name)
            return &inet_options[i];
    return NULL;
}

static s32 inet_option_value(const struct inet_sock *s, const struct inet_option *o)
{
    const struct inet_option_values *opt = load_acquire(&s->opt);

    return opt ? opt->val[o - inet_options] : o->first;
}

bool inet_option_on(struct inet_sock *s, int level, int name)
{
    const struct inet_option *o =
        READ_ONCE(s->opt) ? inet_option_find(&s->u.sock, level, name) : NULL;

    return o && inet_option_value(s, o);
}

/* The block of values, made with the first that is set. */
static struct inet_option_values *inet_values(struct inet_sock *s)
{
    struct inet_option_values *opt = load_acquire(&s->opt), *made;

    if (opt)
        return opt;
    made = kzalloc(sizeof(*made));
    if (!made)
        return NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(inet_options); i++)
        made->val[i] = inet_options[i].first;
    spin_lock(&s->u.lock);
    opt = s->opt;
    if (!opt)
        store_release(&s->opt, made);
    spin_unlock(&s->u.lock);
    if (opt)
        kfree(made);
    return opt ? opt : made;
}

void inet_option_inherit(struct inet_sock *s, const struct inet_sock *from)
{
    if (from->opt)
        s->opt = kmemdup(from->opt, sizeof(*from->opt)); /* for want of memory: as at first */
}

/* RFC 6298's time-outs: one second, then twice as long each, at most two minutes. */
static s32 inet_accept_seconds(s32 asked)
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

/* What v means for o: into *v, or -EINVAL. */
static int inet_option_judge(const struct socket *s, const struct inet_option *o, s32 *v)
{
    bool fits = *v >= o->min && *v <= o->max;

    switch (o->kind) {
    case INET_FLAG:
        *v = *v != 0;
        return 0;
    case INET_CUT:
        *v &= o->max;
        return 0;
    case INET_HOPS:
        if (*v == -1)
            *v = o->first;
        else if (!fits)
            return -EINVAL;
        return 0;
    case INET_ACCEPT:
        *v = inet_accept_seconds(*v);
        return 0;
    case INET_LINGER2:
        *v = *v < 0 ? -1 : *v > o->max ? o->max : *v ? *v : o->first;
        return 0;
    case INET_CLOSED:
        return fits && !READ_ONCE(((const struct unix_sock *)s)->peer) ? 0 : -EINVAL;
    default:
        return fits ? 0 : -EINVAL;
    }
}

/* A name: cut to 15 bytes, as Linux. */
static int inet_set_congestion(const void *val, u32 n)
{
    char name[16] = "";

    if (n < 1)
        return -EINVAL;
    memcpy(name, val, MIN(n, (u32)sizeof(name) - 1));
    return strcmp(name, "cubic") && strcmp(name, "reno") ? -ENOENT : 0;
}

static int inet_set_maxseg(s32 v)
{
    return v && (v < 88 || v > 32767) ? -EINVAL : 0;
}

static int inet_option_int_in(int level, const void *val, u32 n, s32 *v)
{
    if (n >= sizeof(*v))
        memcpy(v, val, sizeof(*v));
    else if (n && level == IPPROTO_IP)
        *v = *(const u8 *)val;
    else
        return -EINVAL;
    return 0;
}

int inet_set_option(struct socket *s, int level, int name, const void *val, u32 n)
{
    const struct inet_option *o = inet_option_find(s, level, name);
    struct inet_sock *is = inet_of(unix_of(s));
    struct inet_option_values *opt;
    s32 v;
    int err;

    if (level == IPPROTO_TCP && s->protocol == IPPROTO_TCP && name == TCP_CONGESTION)
        return inet_set_congestion(val, n);
    err = inet_option_int_in(level, val, n, &v);
    if (level == IPPROTO_TCP && s->protocol == IPPROTO_TCP && name == TCP_MAXSEG)
        return err ? err : inet_set_maxseg(v);
    if (!o)
        return -ENOPROTOOPT;
    if (!err)
        err = inet_option_judge(s, o, &v);
    if (err)
        return err;
    opt = inet_values(is);
    if (!opt)
        return -ENOMEM;
    WRITE_ONCE(opt->val[o - inet_options], v);
    return level == IPPROTO_UDP && name == UDP_CORK && !v ? inet_udp_flush(is) : 0;
}

/* linux/tcp.h, as far as it says something without packets. */
struct tcp_info_user {
    u8 state, ca_state, retransmits, probes, backoff, options, wscale, flags;
    u32 rto, ato, snd_mss, rcv_mss;
    u32 unacked, sacked, lost, retrans, fackets;
    u32 last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
    u32 pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
    u32 rcv_rtt, rcv_space, total_retrans;
    u64 pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
    u32 segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
    u64 delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
    u32 delivered, delivered_ce;
    u64 bytes_sent, bytes_retrans;
    u32 dsack_dups, reord_seen, rcv_ooopack, snd_wnd;
};
static_assert(sizeof(struct tcp_info_user) == 232, "struct tcp_info");

enum { TCP_ESTABLISHED = 1, TCP_FIN_WAIT2 = 5, TCP_CLOSE = 7, TCP_CLOSE_WAIT = 8, TCP_LISTEN = 10 };

static u8 inet_tcp_state(const struct unix_sock *u)
{
    u32 shut = READ_ONCE(u->shut);

    if (READ_ONCE(u->sock.listening))
        return TCP_LISTEN;
    if (!READ_ONCE(u->peer) || (shut & UNIX_SHUT_RD && shut & UNIX_SHUT_WR))
        return TCP_CLOSE;
    return shut & UNIX_SHUT_WR   ? TCP_FIN_WAIT2
           : shut & UNIX_SHUT_RD ? TCP_CLOSE_WAIT
                                 : TCP_ESTABLISHED;
}

#define INET_MSS 65483 /* of lo: 65535 less two headers with a time stamp */

static void inet_tcp_info(const struct unix_sock *u, struct tcp_info_user *info)
{
    memset(info, 0, sizeof(*info));
    info->state = inet_tcp_state(u);
    if (info->state == TCP_LISTEN) { /* who waits to be accepted, and how many may */
        info->unacked = READ_ONCE(u->nr_accepts);
        info->sacked = u->backlog ? READ_ONCE(u->backlog) - 1 : 0;
    }
    info->options = info->state == TCP_CLOSE ? 0 : 7; /* time stamps, SACK, window scale */
    info->wscale = info->state == TCP_CLOSE ? 0 : 0x77;
    info->rto = info->state == TCP_CLOSE ? 1000000 : 200000;
    info->ato = 40000;
    info->snd_mss = info->advmss = info->state == TCP_ESTABLISHED ? INET_MSS : 536;
    info->rcv_mss = 536;
    info->pmtu = 65535;
    info->snd_ssthresh = 0x7fffffff;
    info->snd_cwnd = 10;
    info->reordering = 3;
    info->pacing_rate = info->max_pacing_rate = U64_MAX;
    info->rcv_ssthresh = info->rcv_space = info->snd_wnd = u->sock.rcvbuf / 2;
}

static int inet_option_put(void *val, u32 *n, const void *from, u32 size)
{
    *n = MIN(*n, size);
    memcpy(val, from, *n);
    return 0;
}

static int inet_get_tcp(struct socket *s, int name, void *val, u32 *n)
{
    static const char congestion[16] = "cubic";
    struct tcp_info_user info;
    s32 mss;

    switch (name) {
    case TCP_INFO:
        inet_tcp_info(unix_of(s), &info);
        return inet_option_put(val, n, &info, sizeof(info));
    case TCP_CONGESTION:
        return inet_option_put(val, n, congestion, sizeof(congestion));
    case TCP_MAXSEG:
        mss = inet_tcp_state(unix_of(s)) == TCP_ESTABLISHED ? INET_MSS : 536;
        return inet_option_put(val, n, &mss, sizeof(mss));
    default:
        return -ENOPROTOOPT;
    }
}

int inet_get_option(struct socket *s, int level, int name, void *val, u32 *n)
{
    const struct inet_option *o = inet_option_find(s, level, name);
    static const s32 no_cred[3] = {0, -1, -1};
    s32 v;

    if (level == SOL_SOCKET && name == SO_PEERCRED)
        return inet_option_put(val, n, no_cred, sizeof(no_cred));
    if (!o)
        return level == IPPROTO_TCP && s->protocol == IPPROTO_TCP ? inet_get_tcp(s, name, val, n)
                                                                  : -ENOPROTOOPT;
    v = inet_option_value(inet_of(unix_of(s)), o);
    if (level == IPPROTO_IP && *n && *n < sizeof(v) && v >= 0 && v <= 255) {
        *n = 1;
        *(u8 *)val = (u8)v;
        return 0;
    }
    return inet_option_put(val, n, &v, sizeof(v));
}
