/* SPDX-License-Identifier: MIT
 *
 * A segment arrives: RFC 9293 3.10.7.3 and 3.10.7.4, with RFC 5961's and RFC 7323's checks.
 */
#include "lib/errno.h"
#include "net/tcp/conn_priv.h"

/* A timestamp is remembered as valid for 24 days (RFC 7323 5.5). */
#define TIME_RECENT_MOST (24 * 24 * 3600 * TCP_SECOND)

/* An answer to what may be forged, not more often than it is of use. */
static void input_challenge(struct tcp_conn *c, u64 now)
{
    if (c->challenged && now - c->challenged < TCP_CHALLENGE_GAP)
        return;
    c->challenged = now;
    c->due_challenge = true;
}

/* --- SYN_SENT --------------------------------------------------------------------------------- */

/* What the peer's SYN offers of what ours did. */
static void input_agree(struct tcp_conn *c, const struct tcp_segment *seg, u64 now)
{
    c->irs = seg->seq;
    c->rcv_nxt = seg->seq + 1;
    c->ack_last = c->rcv_nxt;
    c->rcv_edge += c->rcv_nxt; /* the SYN has told how far */
    if (seg->has & TCP_HAS_MSS)
        c->mss_peer = MAX((u32)seg->mss, (u32)TCP_MSS_LEAST);
    c->scale_ok = c->config->scale && (seg->has & TCP_HAS_SCALE);
    c->snd_scale = c->scale_ok ? seg->scale : 0;
    c->rcv_scale = c->scale_ok ? c->rcv_scale : 0;
    c->sack_ok = c->config->sack && (seg->has & TCP_HAS_SACK_OK);
    c->times_ok = c->config->times && (seg->has & TCP_HAS_TIME);
    c->time_recent = c->times_ok ? seg->time : 0;
    c->time_recent_at = now;
    c->snd_wnd = c->snd_wnd_most = seg->window;
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
    c->rcv_last = now;
    tcp_set_mss(c);
}

/* Both open at once. */
static void input_simultaneous(struct tcp_conn *c, const struct tcp_segment *seg, u64 now)
{
    c->ecn_ok = c->config->ecn_take && (seg->flags & TCP_ECE) && (seg->flags & TCP_CWR);
    c->state = TCP_SYN_RECV;
    c->due_syn = true;
    c->backoff = 0;
}

static void input_syn_acked(struct tcp_conn *c, const struct tcp_segment *seg,
                            struct tcp_piece *piece, u64 now, struct tcp_result *r)
{
    c->ecn_ok = c->config->ecn_ask && (seg->flags & TCP_ECE) && !(seg->flags & TCP_CWR);
    c->snd_una = seg->ack;
    tcp_established(c, seg, now, r);
    if (!tcp_conn_unsent(c) && !c->fin_wanted)
        c->ack_now = true;
    else
        c->ack_due = true; /* it goes with the first bytes */
    tcp_receive(c, seg, piece, now, r);
    if (c->ack_due && !c->ack_now)
        tcp_timer_sooner(c, TCP_TIMER_ACK, now + c->config->delayed_ack);
}

/* RFC 9293 3.10.7.3, first: an ACK of what was not sent. With timestamps, of what was not asked. */
static bool input_wrong_ack(const struct tcp_conn *c, const struct tcp_segment *seg)
{
    return (seg->flags & TCP_ACK) &&
           (!tcp_after(seg->ack, c->iss) || tcp_after(seg->ack, c->snd_nxt));
}

static void input_syn_sent(struct tcp_conn *c, const struct tcp_segment *seg,
                           struct tcp_piece *piece, u64 now, struct tcp_result *r)
{
    if (input_wrong_ack(c, seg)) {
        c->due_reset = c->reset_plain = !(seg->flags & TCP_RST);
        c->reset_seq = seg->ack;
    } else if (seg->flags & TCP_RST) {
        if (seg->flags & TCP_ACK)
            tcp_end(c, ECONNREFUSED, r);
    } else if (seg->flags & TCP_SYN) {
        input_agree(c, seg, now);
        if (seg->flags & TCP_ACK) {
            input_syn_acked(c, seg, piece, now, r);
            return;
        }
        input_simultaneous(c, seg, now);
    }
    tcp_drop(piece, r);
}

/* --- synchronized states ---------------------------------------------------------------------- */

enum input_time { INPUT_TIME_GOOD, INPUT_TIME_OLD, INPUT_TIME_MISSING };

/* RFC 7323 5.5: what is remembered is too old to tell anything. */
static bool input_time_outdated(const struct tcp_conn *c, u64 now)
{
    return now - c->time_recent_at >= TIME_RECENT_MOST;
}

/* RFC 7323 3.2 and 5.3 R1. */
static enum input_time input_time(struct tcp_conn *c, const struct tcp_segment *seg, u64 now)
{
    if (!c->times_ok || (seg->flags & TCP_RST))
        return INPUT_TIME_GOOD;
    if (!(seg->has & TCP_HAS_TIME))
        return INPUT_TIME_MISSING;
    if (tcp_before(seg->time, c->time_recent) && !input_time_outdated(c, now))
        return INPUT_TIME_OLD;
    return INPUT_TIME_GOOD;
}

/* RFC 7323 4.3: the timestamp to echo is that of the segment at the left edge. */
static void input_remember_time(struct tcp_conn *c, const struct tcp_segment *seg, u64 now)
{
    if (!c->times_ok || tcp_after(seg->seq, c->ack_last) ||
        (tcp_before(seg->time, c->time_recent) && !input_time_outdated(c, now)))
        return;
    c->time_recent = seg->time;
    c->time_recent_at = now;
}

/* Answered by an ACK; one without payload not too often, so that two ends do not answer each other
 * for ever. */
static void input_unacceptable(struct tcp_conn *c, const struct tcp_segment *seg, u64 now)
{
    if (seg->flags & TCP_RST)
        return;
    if (c->state == TCP_SYN_RECV && (seg->flags & TCP_SYN) && seg->seq == c->irs) {
        c->due_syn = !(seg->flags & TCP_ACK); /* it has not got ours */
        return;
    }
    tcp_receive_duplicate(c, seg);
    if (!tcp_segment_space(seg)) {
        if (c->answered && now - c->answered < TCP_CHALLENGE_GAP)
            return;
        c->answered = now;
    }
    c->ack_now = true;
}

/* RFC 5961 3.2. */
static void input_reset(struct tcp_conn *c, const struct tcp_segment *seg, u64 now,
                        struct tcp_result *r)
{
    int error = ECONNRESET;

    if (seg->seq != c->rcv_nxt) {
        input_challenge(c, now);
        return;
    }
    if (c->state == TCP_SYN_RECV && !c->passive)
        error = ECONNREFUSED;
    else if (c->state == TCP_CLOSE_WAIT)
        error = EPIPE;
    else if (c->state == TCP_CLOSING || c->state == TCP_LAST_ACK)
        error = 0;
    tcp_end(c, error, r);
}

/* The ACK of our SYN. */
static bool input_syn_recv(struct tcp_conn *c, const struct tcp_segment *seg, u64 now,
                           struct tcp_result *r)
{
    if (!tcp_after(seg->ack, c->iss) || tcp_after(seg->ack, c->snd_nxt)) {
        c->due_reset = c->reset_plain = true;
        c->reset_seq = seg->ack;
        return false;
    }
    c->snd_una = c->iss + 1;
    tcp_window_learn(c, seg);
    tcp_established(c, seg, now, r);
    return true;
}

/* RFC 5961 5.2. */
static bool input_ack_sane(const struct tcp_conn *c, const struct tcp_segment *seg)
{
    return !tcp_after(seg->ack, c->snd_nxt) && !tcp_before(seg->ack, c->snd_una - c->snd_wnd_most);
}

/* RFC 9293 3.8.5, with the pointer as RFC 6093 leaves it: just after the urgent byte, which may be
 * beyond the window, a closed one too. */
static void input_urgent(struct tcp_conn *c, const struct tcp_segment *seg, struct tcp_result *r)
{
    u32 at = seg->seq + seg->urgent - 1;

    if (!(seg->flags & TCP_URG) || !seg->urgent || tcp_before(at, c->rcv_nxt) ||
        (c->urg_valid && !tcp_before(c->urg_seq, c->rcv_nxt) && !tcp_after(at, c->urg_seq)))
        return;
    c->urg_seq = at;
    c->urg_valid = true;
    r->events |= TCP_EVENT_URGENT;
}

/* RFC 3168 6.1.3. */
static void input_ecn(struct tcp_conn *c, const struct tcp_segment *seg)
{
    if (!c->ecn_ok)
        return;
    if (seg->flags & TCP_CWR)
        c->ecn_echo = false;
    if (seg->ecn == TCP_CE) {
        c->ack_now |= !c->ecn_echo;
        c->ecn_echo = true;
    }
}

static bool input_takes_payload(const struct tcp_conn *c)
{
    return c->state == TCP_ESTABLISHED || c->state == TCP_FIN_WAIT1 || c->state == TCP_FIN_WAIT2;
}

/* True: it is a good segment of the connection, whose ACK and payload are to be looked at. */
static bool input_check(struct tcp_conn *c, const struct tcp_segment *seg, u64 now,
                        struct tcp_result *r)
{
    enum input_time time = input_time(c, seg, now);

    if (time == INPUT_TIME_MISSING)
        return false;
    if (time == INPUT_TIME_OLD || !tcp_receive_acceptable(c, seg)) {
        input_unacceptable(c, seg, now);
        return false;
    }
    if (seg->flags & TCP_RST) {
        input_reset(c, seg, now, r);
        return false;
    }
    if (seg->flags & TCP_SYN) { /* RFC 5961 4.2 */
        input_challenge(c, now);
        return false;
    }
    if (!(seg->flags & TCP_ACK))
        return false;
    if (c->state == TCP_SYN_RECV)
        return input_syn_recv(c, seg, now, r);
    if (!input_ack_sane(c, seg)) {
        input_challenge(c, now);
        return false;
    }
    return true;
}

/* The peer's SYN, which we have, with the ACK of ours: both opened at once. The rest of it is as if
 * the SYN had been cut off. */
static bool input_is_syn_again(const struct tcp_conn *c, const struct tcp_segment *seg)
{
    return c->state == TCP_SYN_RECV && seg->seq == c->irs && seg->ack == c->snd_nxt &&
           (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == (TCP_SYN | TCP_ACK);
}

static void input_synchronized(struct tcp_conn *c, const struct tcp_segment *seg,
                               struct tcp_piece *piece, u64 now, struct tcp_result *r)
{
    struct tcp_segment rest;

    if (input_is_syn_again(c, seg)) {
        rest = *seg;
        rest.seq++;
        rest.flags &= (u16)~TCP_SYN;
        seg = &rest;
        c->ack_now = true;
    }
    if (!input_check(c, seg, now, r)) {
        tcp_drop(piece, r);
        return;
    }
    input_remember_time(c, seg, now);
    c->rcv_last = now;
    c->keep_probes = 0;
    input_ecn(c, seg);
    tcp_ack_input(c, seg, now, r);
    input_urgent(c, seg, r);
    if (input_takes_payload(c))
        tcp_receive(c, seg, piece, now, r);
    else
        tcp_drop(piece, r);
}

static void input_time_wait(struct tcp_conn *c, const struct tcp_segment *seg,
                            struct tcp_piece *piece, u64 now, struct tcp_result *r)
{
    struct tcp_segment answer;

    if (tcp_timewait_input(&c->timewait, seg, now, &answer) == TCP_TIMEWAIT_ANSWER)
        c->ack_now = true;
    tcp_timer_set(c, TCP_TIMER_LIFE, c->timewait.deadline);
    tcp_drop(piece, r);
}

void tcp_conn_input(struct tcp_conn *c, const struct tcp_segment *seg, struct tcp_piece *piece,
                    u64 now, struct tcp_result *r)
{
    c->segs_in++;
    c->data_segs_in += seg->len != 0;
    if (c->state == TCP_CLOSE)
        tcp_drop(piece, r);
    else if (c->state == TCP_SYN_SENT)
        input_syn_sent(c, seg, piece, now, r);
    else if (c->state == TCP_TIME_WAIT)
        input_time_wait(c, seg, piece, now, r);
    else
        input_synchronized(c, seg, piece, now, r);
}
