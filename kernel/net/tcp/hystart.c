/* SPDX-License-Identifier: MIT
 *
 * HyStart++ (RFC 9406): the first slow start ends where round trips become longer, before the queue
 * on the way is full. A round that is longer by a threshold begins a more careful growth, a quarter
 * of slow start's; if the next rounds are shorter again it was none, else congestion avoidance
 * follows after five rounds.
 */
#include "net/tcp/conn_priv.h"

#define RTT_THRESHOLD_LEAST (4 * TCP_MS) /* RFC 9406 4.3 */
#define RTT_THRESHOLD_MOST (16 * TCP_MS)
#define RTT_DIVISOR 8
#define SAMPLES 8
#define GROWTH_DIVISOR 4
#define CAREFUL_ROUNDS 5
#define NO_RTT (~0ULL)

void tcp_hystart_init(struct tcp_conn *c)
{
    c->hystart =
        (struct tcp_hystart){.end = c->snd_una, .last = NO_RTT, .now = NO_RTT, .baseline = NO_RTT};
}

static bool hystart_longer(const struct tcp_hystart *h)
{
    u64 threshold;

    if (h->samples < SAMPLES || h->now == NO_RTT || h->last == NO_RTT)
        return false;
    threshold = MAX(RTT_THRESHOLD_LEAST, MIN(h->last / RTT_DIVISOR, RTT_THRESHOLD_MOST));
    return h->now >= h->last + threshold;
}

static void hystart_round(struct tcp_conn *c)
{
    struct tcp_hystart *h = &c->hystart;

    h->end = c->snd_nxt;
    h->last = h->now;
    h->now = NO_RTT;
    h->samples = 0;
    if (h->careful && ++h->rounds >= CAREFUL_ROUNDS)
        c->congestion.ssthresh = c->congestion.window;
}

static void hystart_sample(struct tcp_hystart *h, u64 rtt)
{
    h->now = MIN(h->now, rtt);
    h->samples = (u8)MIN(h->samples + 1, 255);
    if (!h->careful && hystart_longer(h)) {
        h->careful = true;
        h->baseline = h->now;
        h->rounds = 0;
    } else if (h->careful && h->samples >= SAMPLES && h->now < h->baseline) {
        h->careful = false;
        h->baseline = NO_RTT;
    }
}

void tcp_hystart_ack(struct tcp_conn *c, const struct tcp_ack *a)
{
    if (c->congestion.ssthresh != TCP_WINDOW_MOST || !a->advanced)
        return; /* not the first slow start any more */
    if (!tcp_before(c->snd_una, c->hystart.end))
        hystart_round(c);
    if (a->rtt)
        hystart_sample(&c->hystart, a->rtt);
}

u32 tcp_hystart_growth(const struct tcp_conn *c, u32 n)
{
    return c->hystart.careful && c->congestion.ssthresh == TCP_WINDOW_MOST ? n / GROWTH_DIVISOR : n;
}
