/* SPDX-License-Identifier: MIT
 *
 * Noticing losses, and what follows: RACK (RFC 8985 6), NewReno's for peers without SACK (RFC
 * 6582), time-outs (RFC 5681, 6298), the rate of a recovery (PRR, RFC 6937), what turns out to have
 * been none (Eifel, RFC 3522 and 4015; F-RTO, RFC 5682; DSACK, RFC 3708), ECN (RFC 3168 6.1.2), a
 * window that was not used (RFC 5681 4.1).
 */
#include "net/tcp/conn_priv.h"

void tcp_recovery_init(struct tcp_conn *c)
{
    c->rack_windows = 1;
    c->rack_high = c->snd_una;
    tcp_congestion_init(&c->congestion, c->congestion.ops, c->mss);
    tcp_hystart_init(c);
}

/* Without SACK each duplicate ACK says that a segment has left the network. */
u32 tcp_pipe(const struct tcp_conn *c)
{
    u32 left = c->sack_ok ? 0 : c->dup_acks * c->mss;

    return c->pipe > left ? c->pipe - left : 0;
}

static u32 recovery_flight(const struct tcp_conn *c)
{
    return c->snd_nxt - c->snd_una;
}

/* --- RACK ------------------------------------------------------------------------------------- */

/* Was (sent, end) sent after what RACK saw last? */
static bool rack_later(const struct tcp_conn *c, u64 sent, u32 end)
{
    return sent > c->rack_sent || (sent == c->rack_sent && tcp_after(end, c->rack_end));
}

/* RFC 8985 6.2, steps 1 to 3. */
void tcp_recovery_delivered(struct tcp_conn *c, const struct tcp_record *r, u32 end,
                            struct tcp_ack *a)
{
    u64 rtt = a->now - r->sent;
    bool again = r->flags & RECORD_AGAIN;

    a->original |= tcp_before(r->seq, c->frto_high);
    if (!again && tcp_before(end, c->rack_high))
        c->rack_reordered = true;
    c->rack_high = tcp_seq_max(c->rack_high, end);
    if (again && a->timed && tcp_before(a->echo, tcp_clock(c, r->sent)))
        return;
    if (again && rtt < c->rtt_least)
        return;
    c->rack_rtt = rtt;
    if (rack_later(c, r->sent, end)) {
        c->rack_sent = r->sent;
        c->rack_end = end;
    }
}

/* Step 4. */
static u64 rack_window(const struct tcp_conn *c)
{
    if (!c->rack_reordered &&
        (c->phase >= TCP_PHASE_RECOVERY || c->sacked_bytes >= TCP_DUP_THRESHOLD * c->mss))
        return 0;
    return MIN(c->rack_windows * c->rtt_least / 4, c->srtt);
}

/* Step 5. What is in flight is in the order of sending: the first that is not due ends it. Returns
 * the bytes that were lost. */
static u32 rack_detect(struct tcp_conn *c, u64 now)
{
    u64 wait = c->rack_rtt + rack_window(c);
    struct tcp_record *r, *next;
    u32 lost = 0;

    tcp_timer_set(c, TCP_TIMER_REORDER, 0);
    if (!c->rack_sent)
        return 0;
    list_for_each_safe (r, next, &c->in_flight, link) {
        if (rack_later(c, r->sent, r->end) || (r->sent == c->rack_sent && r->end == c->rack_end))
            break;
        if (r->sent + wait > now) {
            tcp_timer_set(c, TCP_TIMER_REORDER, r->sent + wait);
            break;
        }
        lost += r->end - r->seq;
        tcp_record_lose(c, r);
    }
    return lost;
}

/* RFC 8985 6.2 step 4: DSACKs widen the window, once in a round; it stays so for 16 recoveries. */
static void rack_dsack(struct tcp_conn *c)
{
    if (tcp_before(c->snd_una, c->rack_round))
        return;
    c->rack_round = c->snd_nxt;
    c->rack_windows = (u8)MIN(c->rack_windows + 1, 64);
    c->rack_persist = 16;
}

static void rack_recovered(struct tcp_conn *c)
{
    if (c->rack_persist && !--c->rack_persist)
        c->rack_windows = 1;
}

/* --- phases ----------------------------------------------------------------------------------- */

static void recovery_remember(struct tcp_conn *c)
{
    c->undo_valid = true;
    c->undo_timed = false;
    c->undo_window = c->congestion.window;
    c->undo_ssthresh = c->congestion.ssthresh;
    c->undo_count = 0;
}

/* flight: bytes that were outstanding when it was noticed. */
static void recovery_enter(struct tcp_conn *c, enum tcp_phase phase, u32 flight, u64 now)
{
    struct tcp_congestion *g = &c->congestion;

    if (c->phase != TCP_PHASE_CWR)
        recovery_remember(c);
    if (c->phase == TCP_PHASE_OPEN)
        g->ssthresh = g->ops->reduced(g, flight, now);
    c->phase = (u8)phase;
    c->recover = c->snd_nxt;
    c->prr_delivered = c->prr_out = 0;
    c->prr_flight = MAX(flight, 1U);
    c->ecn_cwr = c->ecn_ok;
}

static void recovery_leave(struct tcp_conn *c)
{
    if (c->phase != TCP_PHASE_LOSS)
        c->congestion.window = MAX(c->congestion.ssthresh, c->mss);
    if (c->phase >= TCP_PHASE_RECOVERY)
        rack_recovered(c);
    c->phase = TCP_PHASE_OPEN;
    c->frto = TCP_FRTO_NONE;
    c->dup_acks = 0;
}

/* It was no loss. */
static void recovery_undo(struct tcp_conn *c)
{
    struct tcp_congestion *g = &c->congestion;

    g->window = MAX(MAX(g->window, c->undo_window), c->mss);
    g->ssthresh = MAX(g->ssthresh, c->undo_ssthresh);
    g->ops->undone(g);
    tcp_records_find_all(c);
    c->undo_valid = false;
    c->phase = TCP_PHASE_OPEN;
    c->frto = TCP_FRTO_NONE;
    c->dup_acks = 0;
    c->ecn_cwr = false;
}

static bool recovery_was_none(const struct tcp_conn *c, const struct tcp_ack *a)
{
    if (!c->undo_valid || c->phase < TCP_PHASE_RECOVERY)
        return false;
    if (a->advanced && a->timed && c->undo_timed && tcp_before(a->echo, c->undo_time))
        return true;
    return a->dsack && c->undo_timed && !c->undo_count;
}

void tcp_recovery_resent(struct tcp_conn *c, u32 bytes, u64 now)
{
    if (c->undo_valid && !c->undo_timed) {
        c->undo_timed = true;
        c->undo_time = tcp_clock(c, now);
    }
    c->undo_count += bytes;
    c->retried = true;
    if (c->phase == TCP_PHASE_RECOVERY || c->phase == TCP_PHASE_CWR)
        c->prr_out += bytes;
}

/* A segment that was never sent may go. */
static bool frto_may_send(const struct tcp_conn *c)
{
    u32 edge = c->snd_una + c->snd_wnd;

    return tcp_conn_unsent(c) >= c->mss && !tcp_before(edge, c->snd_nxt + c->mss);
}

/* RFC 5682 2.1 and 3.1, step 2: what was sent again has arrived, and not all of the rest with it:
 * new segments go instead of what seems lost. With SACK duplicates before that only report. */
static void frto_first(struct tcp_conn *c, const struct tcp_ack *a)
{
    if (c->sack_ok && !a->advanced)
        return;
    c->frto = a->advanced && frto_may_send(c) ? TCP_FRTO_SECOND : TCP_FRTO_NONE;
}

/* Step 3: was it something that had been sent before the time-out, and nothing new? Then nothing
 * was lost. */
static void frto_second(struct tcp_conn *c, const struct tcp_ack *a)
{
    bool above = c->sack_ok && tcp_after(c->rack_high, c->recover);

    if (!above && (c->sack_ok ? a->original : a->advanced)) {
        recovery_undo(c);
        return;
    }
    c->congestion.window = MIN(c->congestion.window, 3 * c->mss);
    c->frto = TCP_FRTO_NONE;
}

/* An ACK after a time-out without timestamps, which tell more. */
static void recovery_frto(struct tcp_conn *c, const struct tcp_ack *a)
{
    if (!c->frto || (!a->advanced && !a->delivered && (a->data || a->window_moved)))
        return;
    if (c->frto == TCP_FRTO_FIRST)
        frto_first(c, a);
    else
        frto_second(c, a);
}

void tcp_recovery_timeout(struct tcp_conn *c, u64 now)
{
    c->frto = c->phase == TCP_PHASE_OPEN && !c->times_ok ? TCP_FRTO_FIRST : TCP_FRTO_NONE;
    if (c->phase != TCP_PHASE_LOSS)
        recovery_enter(c, TCP_PHASE_LOSS, recovery_flight(c), now);
    c->recover = c->snd_nxt;
    c->frto_high =
        c->tail_sent && c->tail_again ? c->snd_nxt - MIN(c->mss, recovery_flight(c)) : c->snd_nxt;
    tcp_records_lose_all(c);
    c->dup_acks = 0;
    c->congestion.window = c->mss;
    c->tail_sent = false;
    tcp_timer_set(c, TCP_TIMER_REORDER, 0);
    tcp_timer_set(c, TCP_TIMER_PROBE, 0);
}

void tcp_recovery_ecn(struct tcp_conn *c, const struct tcp_ack *a)
{
    if (c->phase == TCP_PHASE_OPEN)
        recovery_enter(c, TCP_PHASE_CWR, recovery_flight(c) + a->acked, a->now);
}

/* RFC 6937 3.1, with the slow-start bound once there is progress. */
static void recovery_rate(struct tcp_conn *c, const struct tcp_ack *a)
{
    u32 pipe = tcp_pipe(c), ssthresh = c->congestion.ssthresh, allowed, more;
    u64 share;

    c->prr_delivered += a->delivered;
    if (pipe > ssthresh) {
        share = DIV_ROUND_UP((u64)c->prr_delivered * ssthresh, c->prr_flight);
        more = share > c->prr_out ? (u32)MIN(share - c->prr_out, (u64)TCP_WINDOW_MOST) : 0;
    } else {
        allowed = c->prr_delivered > c->prr_out ? c->prr_delivered - c->prr_out : 0;
        allowed = MAX(allowed, a->delivered);
        if (a->advanced && !a->newly_lost)
            allowed += c->mss;
        more = MIN(ssthresh - pipe, allowed);
    }
    if (!c->prr_out && c->phase == TCP_PHASE_RECOVERY)
        more = MAX(more, c->mss); /* the first retransmission goes at once */
    c->congestion.window = MIN(pipe + more, TCP_WINDOW_MOST);
}

/* RFC 6582, for a peer without SACK: the third duplicate loses the first segment, and each partial
 * ACK in recovery the next. */
static u32 recovery_reno(struct tcp_conn *c, struct tcp_ack *a)
{
    struct tcp_record *r = tcp_records_first(c);
    u32 segments = a->acked / c->mss, bytes;

    if (a->advanced)
        c->dup_acks = (u8)(c->dup_acks > segments ? c->dup_acks - segments : 0);
    if (!r || r->state != RECORD_IN_FLIGHT)
        return 0;
    if (a->advanced ? c->phase != TCP_PHASE_RECOVERY
                    : c->phase != TCP_PHASE_OPEN || c->dup_acks < TCP_DUP_THRESHOLD)
        return 0;
    if (r->end - r->seq > c->mss && !tcp_record_split(c, r, r->seq + c->mss))
        return 0;
    bytes = r->end - r->seq;
    tcp_record_lose(c, r);
    return bytes;
}

/* RFC 8985 7.4: did the tail's probe repair a loss? Then the window pays for it. */
static void recovery_tail(struct tcp_conn *c, const struct tcp_ack *a)
{
    if (!c->tail_sent || tcp_before(c->snd_una, c->tail_end))
        return;
    if (!c->tail_again || a->dsack || (!a->advanced && !a->data)) {
        c->tail_sent = false;
    } else if (tcp_after(c->snd_una, c->tail_end)) {
        c->tail_sent = false;
        tcp_recovery_ecn(c, a); /* a reduction without a retransmission */
    }
}

static void recovery_grow(struct tcp_conn *c, const struct tcp_ack *a)
{
    struct tcp_congestion *g = &c->congestion;
    u64 used = a->pipe;

    tcp_hystart_ack(c, a);
    used = g->window < g->ssthresh ? 2 * used : used + 3 * (u64)c->mss;
    if (a->acked && used >= g->window)
        g->ops->acked(g, tcp_hystart_growth(c, a->acked), c->rtt_last, a->now);
    else if (a->acked && g->ops->rested)
        g->ops->rested(g, a->now);
}

void tcp_recovery_ack(struct tcp_conn *c, struct tcp_ack *a)
{
    bool reduced = c->phase == TCP_PHASE_RECOVERY || c->phase == TCP_PHASE_CWR;
    bool all = c->frto == TCP_FRTO_FIRST && !tcp_before(c->snd_una, c->recover);

    if (a->dsack) {
        c->undo_count -= MIN(c->undo_count, a->dsack_bytes);
        rack_dsack(c);
    }
    if (recovery_was_none(c, a))
        recovery_undo(c);
    if (c->phase != TCP_PHASE_OPEN && !tcp_before(c->snd_una, c->recover))
        recovery_leave(c);
    recovery_frto(c, a);
    recovery_tail(c, a);
    a->newly_lost = c->sack_ok ? rack_detect(c, a->now) : recovery_reno(c, a);
    if (a->newly_lost && c->phase < TCP_PHASE_RECOVERY)
        recovery_enter(c, TCP_PHASE_RECOVERY, recovery_flight(c) + a->acked, a->now);
    if (c->phase == TCP_PHASE_RECOVERY || c->phase == TCP_PHASE_CWR)
        recovery_rate(c, a);
    else if (!reduced) /* the ACK that ends a reduction does not grow what is left */
        recovery_grow(c, a);
    if (c->frto == TCP_FRTO_SECOND)
        c->congestion.window = 2 * c->mss;
    else if (all) /* RFC 5682 3.1, step 2a */
        c->congestion.window = MIN(c->congestion.window, 2 * c->mss);
}

void tcp_recovery_reorder_timer(struct tcp_conn *c, u64 now)
{
    struct tcp_ack none = {.now = now};

    none.newly_lost = rack_detect(c, now);
    if (!none.newly_lost)
        return;
    if (c->phase < TCP_PHASE_RECOVERY)
        recovery_enter(c, TCP_PHASE_RECOVERY, recovery_flight(c), now);
    if (c->phase == TCP_PHASE_RECOVERY)
        recovery_rate(c, &none);
    tcp_timer_retransmit(c, now);
}

/* RFC 5681 4.1: after more than an RTO of silence the initial window, at most. */
void tcp_recovery_idle(struct tcp_conn *c, u64 now)
{
    struct tcp_congestion *g = &c->congestion;

    if (c->snd_una == c->snd_nxt && g->ops->rested)
        g->ops->rested(g, now);
    if (c->snd_una != c->snd_nxt || !c->snd_last || now - c->snd_last <= c->rto)
        return;
    g->ssthresh = MAX(g->ssthresh, g->window / 4 * 3);
    g->window = MIN(g->window, 10 * c->mss);
}
