/* SPDX-License-Identifier: MIT
 *
 * SYN cookies (RFC 4987 3.6). The number of the SYN|ACK has, from the top: 3 bits of a clock of 64
 * s, 3 bits for the MSS, 26 of a keyed hash over the flow, the peer's number, that clock and the
 * MSS. The low 6 bits of its timestamp are options: 4 of the peer's scale (15: none), SACK, ECN. A
 * peer that changes them harms itself alone. Without timestamps there are none.
 */
#include "lib/compiler.h"
#include "lib/string.h"
#include "net/tcp/conn.h"
#include "net/tcp/listen.h"
#include "net/tcp/listen_priv.h"

#define MS 1000000ULL
#define COOKIE_TICK (64 * 1000 * MS)
#define COOKIE_TICKS 2U /* a cookie is good for one to two of them */
#define COOKIE_NO_SCALE 15U
#define COOKIE_SACK 16U
#define COOKIE_ECN 32U
#define COOKIE_OPTIONS 63U
#define COOKIE_HASH ((1U << 26) - 1)

static const u16 cookie_mss[8] = {TCP_MSS_LEAST, TCP_MSS_DEFAULT, 1220, 1360, 1400, 1440, 1460,
                                  8960};

static u32 cookie_hash(const struct tcp_secret *s, const struct tcp_flow *f, u32 irs, u64 tick,
                       u32 mss)
{
    u8 bytes[sizeof(*f) + 20] = {0};
    u32 words[5] = {irs, (u32)tick, (u32)(tick >> 32), mss, 0};

    memcpy(bytes, f, sizeof(*f));
    memcpy(bytes + sizeof(*f), words, sizeof(words));
    return (u32)hash_sip(&s->cookie, bytes, sizeof(bytes)) & COOKIE_HASH;
}

static u32 cookie_number(const struct tcp_secret *s, const struct tcp_flow *f, u32 irs, u64 tick,
                         u32 mss)
{
    return (u32)(tick & 7) << 29 | mss << 26 | cookie_hash(s, f, irs, tick, mss);
}

/* The largest of the table that the peer takes. */
static u32 cookie_mss_index(u16 mss)
{
    u32 i = ARRAY_SIZE(cookie_mss) - 1;

    while (i && cookie_mss[i] > mss)
        i--;
    return i;
}

static u32 cookie_options(const struct tcp_request *q)
{
    return (q->scale_ok ? q->snd_scale : COOKIE_NO_SCALE) | (q->sack_ok ? COOKIE_SACK : 0) |
           (q->ecn_ok ? COOKIE_ECN : 0);
}

void tcp_cookie_make(struct tcp_request *q, const struct tcp_listen *l, const struct tcp_secret *s,
                     const struct tcp_flow *f, const struct tcp_segment *syn, u64 now)
{
    u32 clock, coded, mss;

    tcp_request_init(q, l, s, f, syn, now);
    mss = cookie_mss_index(q->mss);
    q->iss = cookie_number(s, f, q->irs, now / COOKIE_TICK, mss);
    if (!q->times_ok) {
        q->scale_ok = q->sack_ok = q->ecn_ok = false; /* there is no place to remember them */
        q->snd_scale = q->rcv_scale = 0;
        return;
    }
    clock = (u32)(now / MS) + q->time_offset;
    coded = (clock & ~COOKIE_OPTIONS) | cookie_options(q);
    if (tcp_after(coded, clock))
        coded -= COOKIE_OPTIONS + 1;
    q->time_offset = coded - (u32)(now / MS);
}

/* The clock's tick that the number names, if that was lately. */
static bool cookie_tick(u32 number, u64 now, u64 *tick)
{
    u64 at = now / COOKIE_TICK;

    for (u32 back = 0; back < COOKIE_TICKS && at >= back; back++) {
        if (((at - back) & 7) == number >> 29) {
            *tick = at - back;
            return true;
        }
    }
    return false;
}

bool tcp_cookie_check(struct tcp_request *q, const struct tcp_listen *l, const struct tcp_secret *s,
                      const struct tcp_flow *f, const struct tcp_segment *ack, u64 now)
{
    u32 number = ack->ack - 1, irs = ack->seq - 1, mss = number >> 26 & 7, options = 0;
    bool times = l->config->times && (ack->has & TCP_HAS_TIME);
    u64 tick;

    if ((ack->flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK ||
        !cookie_tick(number, now, &tick) || cookie_number(s, f, irs, tick, mss) != number)
        return false;
    if (times)
        options = ack->echo & COOKIE_OPTIONS;
    else
        options = COOKIE_NO_SCALE;
    *q = (struct tcp_request){
        .began = now,
        .iss = number,
        .irs = irs,
        .time_offset = tcp_time_offset(s, f),
        .time_recent = times ? ack->time : 0,
        .mss = cookie_mss[mss],
        .rcv_window = (u16)MIN(l->rcv_buf, 65535U),
        .times_ok = times,
        .scale_ok = l->config->scale && (options & 15) != COOKIE_NO_SCALE,
        .sack_ok = l->config->sack && (options & COOKIE_SACK),
        .ecn_ok = l->config->ecn_take && (options & COOKIE_ECN),
        .sent = 2, /* how long the round trip was is not known */
    };
    if (q->scale_ok) {
        q->snd_scale = MIN(options & 15, (u32)TCP_SCALE_MAX);
        q->rcv_scale = tcp_listen_scale(l);
    }
    return true;
}
