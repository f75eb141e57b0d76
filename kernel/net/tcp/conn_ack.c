/* SPDX-License-Identifier: MIT
 *
 * Acknowledgments: what is done with, the peer's window, the time of a round trip (RFC 6298, RFC
 * 7323 4.1), and the states that an acknowledged FIN ends.
 */
#include "net/tcp/conn_priv.h"

#define RTT_LEAST_LIFE (300 * TCP_SECOND)
#define RTT_MOST (600 * TCP_SECOND)

/* RFC 6298 2, with alpha 1/8 and beta 1/4. The variance counts for no less than the least RTO, as
 * the peer may delay its ACK. */
void tcp_rtt_sample(struct tcp_conn *c, u64 rtt, u64 now)
{
    u64 off;

    rtt = MIN(rtt, RTT_MOST);
    c->rtt_last = rtt;
    if (!c->rtt_least || rtt <= c->rtt_least || now - c->rtt_least_at > RTT_LEAST_LIFE) {
        c->rtt_least = rtt;
        c->rtt_least_at = now;
    }
    if (!c->srtt) {
        c->srtt = rtt;
        c->rttvar = rtt / 2;
    } else {
        off = rtt > c->srtt ? rtt - c->srtt : c->srtt - rtt;
        c->rttvar = (3 * c->rttvar + off) / 4;
        c->srtt = (7 * c->srtt + rtt) / 8;
    }
    c->rto = MIN(c->srtt + MAX(4 * c->rttvar, c->config->rto_least), c->config->rto_most);
}

/* RFC 9293 3.10.7.4, fifth: the newest segment's window counts. */
void tcp_window_learn(struct tcp_conn *c, const struct tcp_segment *seg)
{
    u32 window = (u32)seg->window << (seg->flags & TCP_SYN ? 0 : c->snd_scale);

    if (tcp_before(seg->ack, c->snd_una) || tcp_before(seg->seq, c->snd_wl1) ||
        (seg->seq == c->snd_wl1 && tcp_before(seg->ack, c->snd_wl2)))
        return;
    c->snd_wnd = window;
    c->snd_wnd_most = MAX(c->snd_wnd_most, window);
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
}

static void ack_learn_window(struct tcp_conn *c, const struct tcp_segment *seg, struct tcp_ack *a)
{
    u32 before = c->snd_una + c->snd_wnd, was = c->snd_wnd;

    tcp_window_learn(c, seg);
    a->window_moved = c->snd_wnd != was;
    if (tcp_after(c->snd_una + c->snd_wnd, before)) {
        c->probes = 0;
        tcp_timer_set(c, TCP_TIMER_PERSIST, 0);
    }
    if (!c->snd_wnd && !c->closed)
        c->tries =
            0; /* it lives, and has no room: RFC 9293 3.8.6.1; an orphan waits not for ever */
}

/* The first block may tell of what came twice (RFC 2883 4). */
static bool ack_is_dsack(const struct tcp_segment *seg)
{
    const struct tcp_sack *s = seg->sacks;

    if (!tcp_after(s[0].to, seg->ack))
        return true;
    return seg->nr_sacks > 1 && !tcp_before(s[0].from, s[1].from) && !tcp_after(s[0].to, s[1].to);
}

static void ack_sacks(struct tcp_conn *c, const struct tcp_segment *seg, struct tcp_ack *a)
{
    u32 i = 0;

    if (!c->sack_ok || !seg->nr_sacks)
        return;
    if (ack_is_dsack(seg)) {
        a->dsack = true;
        a->dsack_bytes = seg->sacks[0].to - seg->sacks[0].from;
        c->dsacks++;
        i = 1;
    }
    for (; i < seg->nr_sacks; i++) {
        if (tcp_after(seg->sacks[i].to, c->snd_una) && !tcp_after(seg->sacks[i].to, c->snd_nxt))
            tcp_records_sacked(c, seg->sacks[i], a);
    }
}

/* Bytes of the send buffer that are done with: FIN is none. */
static void ack_bytes(struct tcp_conn *c, u32 before, struct tcp_result *r)
{
    u32 from = tcp_seq_min(before, c->snd_end), to = tcp_seq_min(c->snd_una, c->snd_end);

    r->acked += to - from;
    c->bytes_acked += to - from;
    if (to != from)
        r->events |= TCP_EVENT_WRITABLE;
    if (c->urg_sending && !tcp_before(c->snd_una, c->urg_snd))
        c->urg_sending = false;
}

/* RFC 6298 5.2 and 5.3; a sample for each ACK at the most. What only acknowledges what was sent
 * again leaves the time doubled (5, at its end). */
static void ack_times(struct tcp_conn *c, const struct tcp_segment *seg, struct tcp_ack *a)
{
    u32 echoed = tcp_clock(c, a->now) - seg->echo;

    if (a->advanced) {
        if (!a->rtt && a->timed && echoed < RTT_MOST / TCP_MS)
            a->rtt = MAX(echoed, 1U) * TCP_MS;
        if (a->rtt || !a->again)
            c->backoff = 0;
        c->tries = 0;
        c->soft_error = 0;
        c->stalled = c->snd_una == c->snd_nxt ? 0 : a->now;
        c->retried = c->retried && c->stalled;
    }
    if (a->rtt)
        tcp_rtt_sample(c, a->rtt, a->now);
}

static void ack_timers(struct tcp_conn *c, const struct tcp_ack *a)
{
    if (c->snd_una == c->snd_nxt) {
        tcp_timer_set(c, TCP_TIMER_RETRANSMIT, 0);
        tcp_timer_set(c, TCP_TIMER_PROBE, 0);
        tcp_timer_set(c, TCP_TIMER_REORDER, 0);
    } else if (a->advanced) {
        tcp_timer_retransmit(c, a->now);
        tcp_timer_probe(c, a->now);
    }
}

/* The FIN has arrived. */
static void ack_fin(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    if (!tcp_fin_acked(c))
        return;
    if (c->state == TCP_FIN_WAIT1)
        tcp_enter_fin_wait2(c, now, r);
    else if (c->state == TCP_CLOSING)
        tcp_enter_time_wait(c, now, r);
    else if (c->state == TCP_LAST_ACK)
        tcp_end(c, 0, r);
}

/* What the send buffer had better hold: two windows. */
static void ack_tune(struct tcp_conn *c, struct tcp_result *r)
{
    u32 want = MIN(2 * c->congestion.window, TCP_WINDOW_MOST);

    if (want <= c->snd_want)
        return;
    c->snd_want = want;
    r->events |= TCP_EVENT_TUNE;
}

static void ack_duplicate(struct tcp_conn *c, const struct tcp_segment *seg,
                          const struct tcp_ack *a)
{
    if (c->sack_ok || a->advanced || a->data || a->window_moved || (seg->flags & TCP_FIN))
        return;
    if (c->pipe && c->dup_acks < 255 && seg->ack == c->snd_una)
        c->dup_acks++;
}

void tcp_ack_input(struct tcp_conn *c, const struct tcp_segment *seg, u64 now, struct tcp_result *r)
{
    u32 before = c->snd_una;
    struct tcp_ack a = {
        .now = now,
        .pipe = tcp_pipe(c),
        .echo = seg->echo,
        .timed = c->times_ok && (seg->has & TCP_HAS_TIME) && seg->echo,
        .data = seg->len,
    };

    ack_learn_window(c, seg, &a);
    if (tcp_before(seg->ack, before))
        return;
    a.acked = seg->ack - before;
    a.advanced = a.acked;
    c->snd_una = seg->ack;
    tcp_records_acked(c, seg->ack, &a);
    ack_sacks(c, seg, &a);
    ack_times(c, seg, &a);
    ack_duplicate(c, seg, &a);
    if (!c->sack_ok && !a.advanced && c->dup_acks && !a.data && !a.window_moved)
        a.delivered = c->mss;
    if (c->ecn_ok && (seg->flags & TCP_ECE))
        tcp_recovery_ecn(c, &a);
    tcp_recovery_ack(c, &a);
    if (a.advanced)
        ack_bytes(c, before, r);
    ack_timers(c, &a);
    ack_tune(c, r);
    ack_fin(c, now, r);
}
