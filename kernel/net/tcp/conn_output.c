/* SPDX-License-Identifier: MIT
 *
 * What to send next: the most urgent thing, one at a time. Nagle's rule is Minshall's: a segment
 * that is not full waits while another such one is not acknowledged (RFC 9293 3.7.4).
 */
#include "net/tcp/conn_priv.h"

#define PACE_LEAST (2 * TCP_MS) /* a round trip below that is too short for timers to matter */
#define URGENT_FARTHEST \
    65535U                 /* as a segment's pointer can say; bytes farther away are told later */
#define PACE_CREDIT TCP_MS /* what a timer that comes late may make up for */

static u32 output_min(u32 a, u32 b)
{
    return a < b ? a : b;
}

/* --- one segment ------------------------------------------------------------------------------ */

/* Everything but payload and SACK. With ACK, what was due is done. */
static void output_fill(struct tcp_conn *c, u64 now, u32 seq, u16 flags, struct tcp_out *out)
{
    struct tcp_segment *s = &out->seg;

    s->seq = seq;
    s->flags = flags;
    if (flags & TCP_ACK)
        s->ack = c->rcv_nxt;
    if (c->state != TCP_CLOSE && !(flags & TCP_SYN) && (flags & TCP_ACK)) {
        s->window = tcp_window_tell(c, false);
        if (c->ecn_echo)
            s->flags |= TCP_ECE;
        tcp_acked_now(c);
    }
    if (c->times_ok && !(flags & TCP_SYN)) {
        s->has |= TCP_HAS_TIME;
        s->time = tcp_clock(c, now);
        s->echo = c->time_recent;
    }
    c->segs_out++;
}

static void output_syn_options(struct tcp_conn *c, u64 now, struct tcp_segment *s)
{
    bool first = c->state == TCP_SYN_SENT;
    u32 mss = c->options.maxseg ? MIN(c->mss_path, c->options.maxseg) : c->mss_path;

    s->mss = (u16)MIN(mss, 65535U);
    s->has = TCP_HAS_MSS;
    if (first ? c->config->scale : c->scale_ok) {
        s->has |= TCP_HAS_SCALE;
        s->scale = c->rcv_scale;
    }
    if (first ? c->config->sack : c->sack_ok)
        s->has |= TCP_HAS_SACK_OK;
    if (first ? c->config->times : c->times_ok) {
        s->has |= TCP_HAS_TIME;
        s->time = tcp_clock(c, now);
        s->echo = first ? 0 : c->time_recent;
    }
}

/* RFC 3168 6.1.1: a SYN that is sent again asks for no ECN. */
static bool output_syn(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    bool first = c->state == TCP_SYN_SENT;
    u32 window = output_min(tcp_window_free(c), 65535);

    out->again = c->retried = c->snd_nxt != c->iss;
    output_fill(c, now, c->iss, first ? TCP_SYN : TCP_SYN | TCP_ACK, out);
    output_syn_options(c, now, &out->seg);
    if (first && c->config->ecn_ask && !c->retried)
        out->seg.flags |= TCP_ECE | TCP_CWR;
    else if (!first && c->ecn_ok)
        out->seg.flags |= TCP_ECE;
    if (first)
        c->rcv_edge = window; /* as yet without a beginning */
    else
        c->rcv_edge = tcp_seq_max(c->rcv_edge, c->rcv_nxt + window);
    out->seg.window = (u16)window;
    c->due_syn = c->ack_now = false;
    c->snd_nxt = c->iss + 1;
    c->snd_last = now;
    tcp_timer_retransmit(c, now);
    return true;
}

static bool output_reset(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    c->due_reset = false;
    output_fill(c, now, c->reset_seq, c->reset_plain ? TCP_RST : TCP_RST | TCP_ACK, out);
    return true;
}

static bool output_ack(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    out->challenge = c->due_challenge && !c->ack_now && !c->ack_due;
    output_fill(c, now, c->snd_nxt, TCP_ACK, out);
    tcp_fill_sacks(c, &out->seg);
    return true;
}

/* A number that the peer has: it answers with an ACK (RFC 9293 3.8.4). */
static bool output_old(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    output_fill(c, now, c->snd_una - 1, TCP_ACK, out);
    return true;
}

/* Sends [seq, end), FIN's number included. */
static void output_bytes(struct tcp_conn *c, u64 now, u32 seq, u32 end, struct tcp_out *out)
{
    bool fin = c->fin_wanted && tcp_after(end, c->snd_end);
    u16 flags = TCP_ACK;

    if (fin)
        flags |= TCP_FIN;
    if (!tcp_before(end, c->snd_end))
        flags |= TCP_PSH;
    if (c->urg_sending && tcp_after(c->urg_snd, seq) && c->urg_snd - seq <= URGENT_FARTHEST) {
        flags |= TCP_URG;
        out->seg.urgent = (u16)(c->urg_snd - seq);
    }
    output_fill(c, now, seq, flags, out);
    out->seg.len = end - seq - fin;
    if (!out->seg.len)
        out->seg.flags &= (u16)~TCP_PSH;
    out->gso = c->mss;
    c->bytes_sent += out->seg.len;
    c->data_segs_out += DIV_ROUND_UP(out->seg.len, c->mss);
}

/* --- pacing ----------------------------------------------------------------------------------- */

/* ns for n bytes: twice the window in a round trip in slow start, six fifths of it later. */
static u64 output_gap(const struct tcp_conn *c, u32 n)
{
    u64 window = MAX(c->congestion.window, 1U), gap = 0;

    if (c->config->pacing && c->srtt >= PACE_LEAST) {
        gap = n * MIN(c->srtt, 10 * TCP_SECOND) / window;
        gap = c->congestion.window < c->congestion.ssthresh / 2 ? gap / 2 : gap * 5 / 6;
    }
    if (c->options.pacing_most)
        gap = MAX(gap, n * TCP_SECOND / c->options.pacing_most);
    return gap;
}

/* Bytes that go in one answer: when paced, what a millisecond takes, and two segments at least. */
static u32 output_most(const struct tcp_conn *c)
{
    u64 gap = output_gap(c, c->mss);

    if (c->urg_sending && c->urg_snd - c->snd_una <= URGENT_FARTHEST + TCP_PAYLOAD_MOST)
        return c->mss; /* each segment says how far it is */
    if (!gap)
        return TCP_PAYLOAD_MOST;
    return (u32)MIN(MAX(c->mss * TCP_MS / gap, 2ULL * c->mss), (u64)TCP_PAYLOAD_MOST);
}

static bool output_paced(struct tcp_conn *c, u64 now)
{
    if (now >= c->pace_at)
        return false;
    tcp_timer_set(c, TCP_TIMER_PACE, c->pace_at);
    return true;
}

static void output_pace(struct tcp_conn *c, u64 now, u32 n)
{
    u64 gap = output_gap(c, n);

    if (gap)
        c->pace_at = MAX(now - MIN(now, PACE_CREDIT), c->pace_at) + gap;
}

/* --- again ------------------------------------------------------------------------------------ */

static u32 output_allowed(const struct tcp_conn *c)
{
    u32 pipe = tcp_pipe(c);

    return c->congestion.window > pipe ? c->congestion.window - pipe : 0;
}

/* Whole segments, if there is more than one. */
static u32 output_round(const struct tcp_conn *c, u32 n)
{
    return n > c->mss ? n - n % c->mss : n;
}

/* r goes again, or as much of its beginning as `most` bytes have. */
static void output_again(struct tcp_conn *c, u64 now, struct tcp_record *r, u32 most,
                         struct tcp_out *out)
{
    u32 end = r->end;

    if (end - r->seq > most)
        end = r->seq + output_round(c, most);
    if (end != r->end)
        (void)tcp_record_split(c, r, end); /* without a record the rest waits for a time-out */
    output_bytes(c, now, r->seq, end, out);
    out->again = true;
    tcp_record_resent(c, r, now);
    tcp_recovery_resent(c, end - r->seq, now);
    c->bytes_again += out->seg.len;
    c->total_again += DIV_ROUND_UP(end - r->seq, c->mss);
    output_pace(c, now, out->seg.len);
    if (!c->timers[TCP_TIMER_RETRANSMIT])
        tcp_timer_retransmit(c, now);
}

static bool output_lost(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    struct tcp_record *r = list_first(&c->lost, struct tcp_record, link);
    u32 allowed;

    if (!r || c->frto == TCP_FRTO_SECOND || output_paced(c, now))
        return false;
    allowed = output_allowed(c);
    if (allowed < output_min(r->end - r->seq, c->mss) && c->pipe)
        return false;
    output_again(c, now, r, output_min(MAX(allowed, c->mss), output_most(c)), out);
    return true;
}

/* --- new -------------------------------------------------------------------------------------- */

static u32 output_window(const struct tcp_conn *c)
{
    u32 edge = c->snd_una + c->snd_wnd;

    return tcp_after(edge, c->snd_nxt) ? edge - c->snd_nxt : 0;
}

static bool output_fin_due(const struct tcp_conn *c)
{
    return c->fin_wanted && !c->fin_sent;
}

/* All that is left, less than a segment: may it go? */
static bool output_small_may(const struct tcp_conn *c)
{
    if (c->fin_wanted || c->due_push || c->urg_sending)
        return true;
    if (c->options.cork || c->hold)
        return false;
    return c->options.no_delay || !tcp_after(c->snd_small, c->snd_una);
}

/* n bytes could go, and more would be sent if they could: a third of the window at a time costs
 * less than what each ACK lets go, as long as ACKs are to come. No more than goes within a
 * millisecond, though: what queues on the way are short. */
static bool output_defers(const struct tcp_conn *c, u32 n)
{
    u32 window = output_min(c->congestion.window, c->snd_wnd);
    u64 rate = c->srtt > TCP_MS ? window * TCP_MS / c->srtt : window;
    u32 goal = output_min(output_min(window / 3, (u32)rate), TCP_PAYLOAD_MOST);

    return c->phase == TCP_PHASE_OPEN && n + c->mss <= goal && tcp_pipe(c) >= 2 * c->mss;
}

/* Bytes that may go now (RFC 9293 3.8.6.2.1). */
static u32 output_may(const struct tcp_conn *c)
{
    u32 unsent = tcp_conn_unsent(c), window = output_window(c), allowed = output_allowed(c);
    u32 n = output_min(output_min(unsent, window), output_min(allowed, output_most(c))), full;

    full = n - n % c->mss;
    if (n == unsent)
        return n == full || output_small_may(c) ? n : full;
    if (full && full + c->mss <= output_most(c) && output_defers(c, full))
        return 0;
    if (full || n != window || !n)
        return full; /* the congestion window opens by itself */
    return n >= c->snd_wnd_most / 2 ? n : 0;
}

/* n bytes, and the FIN if it follows; false: no record is left. */
static bool output_new(struct tcp_conn *c, u64 now, u32 n, bool fin, struct tcp_out *out)
{
    u32 seq = c->snd_nxt, end = seq + n + fin;
    bool none = c->snd_una == c->snd_nxt;

    if (!tcp_records_sent(c, seq, end, now))
        return false;
    c->fin_sent |= fin;
    if (now - c->rcv_last < c->config->delayed_ack)
        c->ack_quick = 0; /* it answers what comes: ACKs go with the answers */
    output_bytes(c, now, seq, end, out);
    out->seg.ecn = c->ecn_ok ? TCP_ECT0 : TCP_NOT_ECT;
    if (c->ecn_cwr && n) {
        out->seg.flags |= TCP_CWR;
        c->ecn_cwr = false;
    }
    c->snd_nxt = end;
    c->snd_last = now;
    if (n % c->mss)
        c->snd_small = end;
    if (c->phase == TCP_PHASE_RECOVERY || c->phase == TCP_PHASE_CWR)
        c->prr_out += n;
    if (none) {
        c->stalled = now;
        tcp_timer_retransmit(c, now);
    }
    c->due_push = c->due_push && tcp_conn_unsent(c);
    output_pace(c, now, n);
    tcp_timer_probe(c, now);
    return true;
}

static bool output_data(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    u32 unsent = tcp_conn_unsent(c), n;
    bool fin;

    if (!unsent && !output_fin_due(c))
        return false;
    tcp_recovery_idle(c, now);
    n = output_may(c);
    fin = output_fin_due(c) && n == unsent && output_window(c) > n;
    if ((!n && !fin) || output_paced(c, now))
        return false;
    return output_new(c, now, n, fin, out);
}

/* RFC 8985 7.3: something new, or the last segment once more. */
static bool output_tail(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    u32 n = output_min(output_min(tcp_conn_unsent(c), output_window(c)), c->mss);
    struct tcp_record *r = tcp_records_last(c);
    bool sent = n && output_new(c, now, n, false, out);
    u32 back;

    c->due_tail = false;
    if (!sent && (!r || r->state != RECORD_IN_FLIGHT))
        return false;
    c->tail_again = !sent;
    if (!sent) {
        back = (r->end - r->seq - 1) % c->mss + 1;
        if (back < r->end - r->seq && tcp_record_split(c, r, r->end - back))
            r = tcp_records_last(c);
        output_again(c, now, r, TCP_PAYLOAD_MOST, out);
    }
    c->tail_sent = true;
    c->tail_end = c->snd_nxt;
    tcp_timer_set(c, TCP_TIMER_PROBE, 0);
    tcp_timer_retransmit(c, now);
    return true;
}

/* The window has been closed for long, or too small: what fits, or a question. */
static bool output_probe(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    u32 window = output_window(c), n = output_min(output_min(tcp_conn_unsent(c), window), c->mss);
    bool fin = output_fin_due(c) && n == tcp_conn_unsent(c) && window > n;

    c->due_probe = false;
    if ((n || fin) && output_new(c, now, n, fin, out))
        return true;
    return output_old(c, now, out);
}

/* --- which ------------------------------------------------------------------------------------ */

static bool output_keep(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    c->due_keep = false;
    return output_old(c, now, out);
}

static bool output_synchronized(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    if (c->ack_now && (c->nr_sacks || c->dsack_due))
        return output_ack(c, now, out); /* full segments have no room for blocks */
    if (output_lost(c, now, out) || (c->due_tail && output_tail(c, now, out)))
        return true;
    if (output_data(c, now, out) || (c->due_probe && output_probe(c, now, out)))
        return true;
    if (c->due_keep)
        return output_keep(c, now, out);
    return (c->ack_now || c->due_challenge) && output_ack(c, now, out);
}

static bool output_choose(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    if (c->due_reset)
        return output_reset(c, now, out);
    switch (c->state) {
    case TCP_CLOSE:
        return false;
    case TCP_SYN_SENT:
    case TCP_SYN_RECV:
        if (c->due_syn)
            return output_syn(c, now, out);
        return (c->ack_now || c->due_challenge) && output_ack(c, now, out);
    case TCP_TIME_WAIT:
        return (c->ack_now || c->due_challenge) && output_ack(c, now, out);
    default:
        return output_synchronized(c, now, out);
    }
}

/* A connection with nothing due, as after nearly every segment that goes or comes. */
static bool output_none(const struct tcp_conn *c)
{
    return c->state == TCP_ESTABLISHED && c->snd_nxt == c->snd_end && !c->fin_wanted &&
           !(c->ack_now | c->due_reset | c->due_challenge | c->due_probe | c->due_tail |
             c->due_keep) &&
           list_empty(&c->lost);
}

/* Something waits to be sent, and nothing is on its way whose ACK would come. */
static bool output_stuck(const struct tcp_conn *c)
{
    return c->state != TCP_CLOSE && c->state != TCP_SYN_SENT && c->state != TCP_SYN_RECV &&
           c->state != TCP_TIME_WAIT && c->snd_una == c->snd_nxt && !c->timers[TCP_TIMER_PACE] &&
           (tcp_conn_unsent(c) || output_fin_due(c));
}

bool tcp_conn_output(struct tcp_conn *c, u64 now, struct tcp_out *out)
{
    if (!output_none(c)) {
        *out = (struct tcp_out){0};
        if (output_choose(c, now, out))
            return true;
    }
    if (!output_stuck(c))
        tcp_timer_set(c, TCP_TIMER_PERSIST, 0);
    else if (!c->timers[TCP_TIMER_PERSIST])
        tcp_timer_persist(c, now);
    tcp_timers_settle(c);
    return false;
}
