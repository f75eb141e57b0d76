/* SPDX-License-Identifier: MIT
 *
 * A connection's life: how it begins and ends, and what the program does with it.
 */
#include "lib/errno.h"
#include "net/tcp/conn_priv.h"
#include "net/tcp/listen.h"

#define RTO_AFTER_LOSS (3 * TCP_SECOND) /* after a SYN that was sent again */
#define FIRST_ECHO_MOST 60000U          /* ms: an older timestamp is none of this handshake's */

/* RFC 7323 4.1: a millisecond. */
u32 tcp_clock(const struct tcp_conn *c, u64 now)
{
    return (u32)(now / TCP_MS) + c->time_offset;
}

void tcp_set_mss(struct tcp_conn *c)
{
    u32 mss = MIN(c->mss_path, c->mss_peer);

    if (c->options.maxseg)
        mss = MIN(mss, c->options.maxseg);
    mss = MAX(mss, (u32)TCP_MSS_LEAST);
    mss -= c->times_ok ? TCP_TIME_OPTION : 0;
    c->mss = MIN(mss, TCP_PAYLOAD_MOST); /* a full segment fits into one answer of output */
    c->congestion.mss = c->mss;
    c->congestion.window = MAX(c->congestion.window, c->mss);
}

static void conn_init(struct tcp_conn *c, const struct tcp_open *o, u64 now)
{
    *c = (struct tcp_conn){
        .config = o->config,
        .iss = o->iss,
        .snd_una = o->iss,
        .snd_nxt = o->iss,
        .snd_end = o->iss + 1,
        .snd_small = o->iss,
        .time_offset = o->time_offset,
        .mss_path = o->mss,
        .mss_peer = TCP_MSS_DEFAULT,
        .rcv_buf = o->rcv_buf,
        .rcv_buf_most = MAX(o->rcv_buf, o->rcv_buf_most),
        .rcv_mss = TCP_MSS_DEFAULT,
        .rto = o->config->rto_first,
        .rcv_last = now,
        .ack_quick = TCP_QUICK_ACKS,
        .pieces = RB_ROOT,
    };
    c->congestion.ops = o->congestion;
    tcp_set_mss(c);
    tcp_records_init(c);
}

void tcp_conn_connect(struct tcp_conn *c, const struct tcp_open *o, u64 now)
{
    conn_init(c, o, now);
    c->state = TCP_SYN_SENT;
    c->rcv_scale = o->config->scale ? tcp_scale_for(c->rcv_buf_most) : 0;
    c->due_syn = true;
    c->stalled = now;
}

void tcp_conn_accept(struct tcp_conn *c, const struct tcp_open *o, const struct tcp_request *q,
                     u64 now)
{
    conn_init(c, o, now);
    c->state = TCP_SYN_RECV;
    c->passive = true;
    c->iss = c->snd_una = q->iss;
    c->snd_nxt = c->snd_end = q->iss + 1;
    c->snd_small = q->iss;
    c->irs = q->irs;
    c->rcv_nxt = c->ack_last = q->irs + 1;
    c->rcv_edge = c->rcv_nxt + q->rcv_window;
    c->time_offset = q->time_offset;
    c->time_recent = q->time_recent;
    c->time_recent_at = now;
    c->snd_scale = q->snd_scale;
    c->rcv_scale = q->rcv_scale;
    c->scale_ok = q->scale_ok;
    c->times_ok = q->times_ok;
    c->sack_ok = q->sack_ok;
    c->ecn_ok = q->ecn_ok;
    c->mss_peer = q->mss;
    c->snd_wnd = c->snd_wnd_most = q->window;
    c->snd_wl1 = q->irs;
    c->snd_wl2 = q->iss;
    c->snd_last = q->sent == 1 ? q->began : 0; /* 0: sent again, or a cookie */
    c->retried = q->sent > 1;
    c->backoff = (u8)MIN(q->sent ? q->sent - 1U : 0U, 255U);
    c->stalled = now;
    tcp_set_mss(c);
    tcp_timer_set(c, TCP_TIMER_RETRANSMIT, now + c->rto);
}

/* What the handshake says of a round trip; of a SYN that was sent again timestamps alone know.
 * Without them data is given 3 s (RFC 6298 5.7). */
static void conn_first_sample(struct tcp_conn *c, const struct tcp_segment *seg, u64 now)
{
    u32 echoed = tcp_clock(c, now) - seg->echo;

    if (!c->retried && c->snd_last)
        tcp_rtt_sample(c, MAX(now - c->snd_last, (u64)1), now);
    else if (c->retried && c->times_ok && (seg->has & TCP_HAS_TIME) && seg->echo &&
             echoed < FIRST_ECHO_MOST)
        tcp_rtt_sample(c, MAX(echoed, 1U) * TCP_MS, now);
    else if (c->retried)
        c->rto = MAX(c->rto, RTO_AFTER_LOSS);
}

/* The handshake is done: what was agreed on holds. */
void tcp_established(struct tcp_conn *c, const struct tcp_segment *seg, u64 now,
                     struct tcp_result *r)
{
    u32 timeouts = c->backoff;

    c->state = c->fin_wanted ? TCP_FIN_WAIT1 : TCP_ESTABLISHED;
    conn_first_sample(c, seg, now);
    c->rcv_rtt_seq = c->rcv_edge;
    c->rcv_rtt_time = c->tune_time = now;
    c->tune_seq = c->rcv_nxt;
    c->backoff = c->tries = 0;
    c->retried = false;
    c->stalled = c->soft_error = 0;
    c->due_syn = false;
    c->snd_last = 0;
    tcp_timer_set(c, TCP_TIMER_RETRANSMIT, 0);
    tcp_set_mss(c);
    c->congestion.window = 0;
    tcp_recovery_init(c);
    if (timeouts > 1) /* RFC 6928 2: the first may have been a path that takes a second */
        c->congestion.window = c->mss;
    tcp_timer_keep(c, now);
    r->events |= TCP_EVENT_CONNECTED | TCP_EVENT_WRITABLE;
}

void tcp_end(struct tcp_conn *c, int error, struct tcp_result *r)
{
    if (c->state == TCP_CLOSE)
        return;
    c->state = TCP_CLOSE;
    c->ack_now = c->ack_due = c->due_syn = c->due_challenge = false;
    for (u32 i = 0; i < TCP_TIMERS; i++)
        c->timers[i] = 0;
    r->events |= TCP_EVENT_CLOSED;
    if (error) {
        r->events |= TCP_EVENT_ERROR;
        r->error = error;
    }
}

void tcp_end_reset(struct tcp_conn *c, int error, struct tcp_result *r)
{
    c->due_reset = c->state != TCP_CLOSE && c->state != TCP_SYN_SENT;
    c->reset_plain = false;
    c->reset_seq = c->snd_nxt;
    tcp_end(c, error, r);
}

void tcp_enter_time_wait(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    for (u32 i = 0; i < TCP_TIMERS; i++)
        c->timers[i] = 0;
    c->state = TCP_TIME_WAIT;
    c->timewait = (struct tcp_timewait){
        .snd_nxt = c->snd_nxt,
        .rcv_nxt = c->rcv_nxt,
        .window = MIN((c->rcv_edge - c->rcv_nxt) >> c->rcv_scale, 65535U),
        .recent = c->time_recent,
        .time_offset = c->time_offset,
        .times = c->times_ok,
        .deadline = now + TCP_TIME_WAIT_NS,
    };
    tcp_timer_set(c, TCP_TIMER_LIFE, c->timewait.deadline);
    r->events |= TCP_EVENT_TIMEWAIT;
}

/* An orphan waits for the peer's FIN no longer than that. */
void tcp_enter_fin_wait2(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    u64 wait = c->options.linger2 ? c->options.linger2 : c->config->fin_wait2;

    c->state = TCP_FIN_WAIT2;
    if (!c->closed)
        return;
    if (wait == TCP_LINGER2_NONE)
        tcp_end_reset(c, 0, r);
    else
        tcp_timer_set(c, TCP_TIMER_LIFE, now + wait);
}

/* No program will end it, only the peer or time: a peer that acknowledges a byte now and then does
 * not keep its memory for ever. */
static void conn_orphaned(struct tcp_conn *c, u64 now)
{
    u64 bytes = c->snd_end - tcp_conn_buffered(c);

    if (c->state != TCP_CLOSE && c->state != TCP_TIME_WAIT && c->state != TCP_FIN_WAIT2)
        tcp_timer_set(c, TCP_TIMER_LIFE,
                      now + c->config->orphan_life +
                          MIN(bytes * c->config->orphan_byte, c->config->orphan_more));
}

/* --- the program ------------------------------------------------------------------------------ */

void tcp_conn_written(struct tcp_conn *c, u32 n, u32 flags)
{
    ASSERT(tcp_conn_may_write(c) && n <= TCP_WINDOW_MOST - (c->snd_end - tcp_conn_buffered(c)));
    c->snd_end += n;
    c->hold = flags & TCP_WRITE_MORE;
    if (!(flags & TCP_WRITE_URGENT) || !n)
        return;
    c->urg_snd = c->snd_end;
    c->urg_sending = true;
}

void tcp_conn_push(struct tcp_conn *c)
{
    c->hold = false;
    c->due_push = tcp_conn_unsent(c);
}

bool tcp_conn_read(struct tcp_conn *c, u32 n, u64 now, struct tcp_result *r)
{
    c->unread -= MIN(n, c->unread);
    if (c->state != TCP_CLOSE && c->state != TCP_TIME_WAIT)
        tcp_receive_read(c, now, r);
    return r->events || c->ack_now;
}

void tcp_conn_set_rcv_buf(struct tcp_conn *c, u32 bytes)
{
    c->rcv_buf = MIN(bytes, TCP_WINDOW_MOST);
}

void tcp_conn_shutdown(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    if (c->fin_wanted)
        return;
    switch (c->state) {
    case TCP_SYN_SENT:
    case TCP_SYN_RECV: /* the FIN follows the handshake */
        break;
    case TCP_ESTABLISHED:
        c->state = TCP_FIN_WAIT1;
        break;
    case TCP_CLOSE_WAIT:
        c->state = TCP_LAST_ACK;
        break;
    default:
        return;
    }
    c->fin_wanted = true;
}

void tcp_conn_close(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    c->closed = true;
    if (c->state == TCP_SYN_SENT)
        tcp_end(c, 0, r);
    else if (c->unread && c->state != TCP_CLOSE && c->state != TCP_TIME_WAIT)
        tcp_end_reset(c, 0, r);
    else if (c->state == TCP_FIN_WAIT2)
        tcp_enter_fin_wait2(c, now, r);
    else
        tcp_conn_shutdown(c, now, r);
    conn_orphaned(c, now);
}

/* RFC 9293 3.10.5: those that the peer knows get a reset. */
void tcp_conn_abort(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    c->closed = true;
    if (c->state == TCP_TIME_WAIT || c->state == TCP_CLOSING || c->state == TCP_LAST_ACK)
        tcp_end(c, 0, r);
    else
        tcp_end_reset(c, 0, r);
}

/* --- the path --------------------------------------------------------------------------------- */

void tcp_conn_mtu(struct tcp_conn *c, u32 mss)
{
    u32 before = c->mss;

    c->mss_path = MAX(mss, (u32)TCP_MSS_LEAST);
    tcp_set_mss(c);
    if (c->mss < before && c->pipe)
        tcp_records_lose_all(c); /* what did not fit: RFC 1191 6.5, no sign of congestion */
}

void tcp_conn_unreach(struct tcp_conn *c, u32 seq, int error, bool hard, u64 now,
                      struct tcp_result *r)
{
    if (c->state == TCP_CLOSE || c->state == TCP_TIME_WAIT || !tcp_conn_in_flight(c, seq))
        return;
    if (hard && (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECV)) {
        tcp_end(c, error, r);
        return;
    }
    c->soft_error = error;
    r->events |= TCP_EVENT_SOFT;
    r->error = error;
}

void tcp_conn_options_changed(struct tcp_conn *c, u64 now)
{
    if (c->state == TCP_CLOSE || c->state == TCP_TIME_WAIT)
        return;
    if (c->state != TCP_SYN_SENT && c->state != TCP_SYN_RECV) {
        tcp_set_mss(c);
        tcp_timer_keep(c, now);
    }
    if (c->options.quick_ack && c->ack_due)
        c->ack_now = true;
    tcp_timer_bound(c, now);
}

/* --- the end ---------------------------------------------------------------------------------- */

void tcp_conn_prune(struct tcp_conn *c, struct tcp_result *r)
{
    struct rb_node *n;

    while ((n = rb_first(&c->pieces))) {
        rb_erase(&c->pieces, n);
        tcp_drop(rb_entry(n, struct tcp_piece, node), r);
    }
    c->nr_pieces = 0;
    c->nr_sacks = 0;
}

void tcp_conn_drain(struct tcp_conn *c, struct list_node *records, struct tcp_result *r)
{
    struct tcp_record *record;

    tcp_conn_prune(c, r);
    while ((record = tcp_records_first(c))) {
        rb_erase(&c->records, &record->node);
        list_del(&record->link);
        tcp_conn_give(c, record);
    }
    while ((record = tcp_conn_take_back(c)))
        list_add_tail(records, &record->link);
    c->state = TCP_CLOSE;
    c->deadline = c->pipe = c->lost_bytes = c->sacked_bytes = c->nr_records = 0;
}

/* --- joined ----------------------------------------------------------------------------------- */

bool tcp_conn_joinable(const struct tcp_conn *c)
{
    return c->state == TCP_ESTABLISHED && !c->fin_wanted && c->snd_una == c->snd_nxt &&
           c->snd_nxt == c->snd_end && !c->nr_pieces && !c->fin_waiting && !c->urg_sending &&
           !c->due_challenge;
}

void tcp_conn_advance_sent(struct tcp_conn *c, u32 n, u64 now)
{
    ASSERT(c->snd_una == c->snd_nxt && c->snd_nxt == c->snd_end);
    c->snd_una = c->snd_nxt = c->snd_end = c->snd_small = c->snd_end + n;
    c->rack_high = c->snd_wl2 = c->snd_una;
    c->snd_wnd -= MIN(n, c->snd_wnd);
    c->snd_last = now;
    c->bytes_sent += n;
    c->bytes_acked += n;
}

void tcp_conn_advance_received(struct tcp_conn *c, u32 n, u64 now)
{
    c->rcv_nxt += n;
    c->unread += n;
    if (tcp_before(c->rcv_edge, c->rcv_nxt))
        c->rcv_edge = c->rcv_nxt;
    c->snd_wl1 = c->rcv_nxt;
    c->bytes_received += n;
    c->rcv_last = now;
    tcp_acked_now(c);
}

void tcp_conn_unjoin(struct tcp_conn *c)
{
    c->ack_now = c->state != TCP_CLOSE;
}

u32 tcp_conn_window(const struct tcp_conn *c)
{
    return tcp_window_free(c);
}
