/* SPDX-License-Identifier: MIT
 *
 * Time: RFC 6298 (retransmission), RFC 8985 7 (the tail's probe), RFC 9293 3.8.3, 3.8.4 and 3.8.6.1
 * (giving up, keep-alive, closed windows), RFC 5482 (user time-out).
 */
#include "lib/errno.h"
#include "net/tcp/conn_priv.h"

#define TAIL_ACK_DELAY (200 * TCP_MS) /* RFC 8985 7.2: WCDelAckT */

static u64 timer_backoff(const struct tcp_conn *c, u64 rto, u32 times)
{
    return MIN(rto << MIN(times, 16U), c->config->rto_most);
}

void tcp_timer_sooner(struct tcp_conn *c, enum tcp_timer t, u64 at)
{
    if (!c->timers[t] || at < c->timers[t])
        c->timers[t] = at;
}

/* Not past the time when the user gives up. */
static u64 timer_bounded(const struct tcp_conn *c, u64 now, u64 at)
{
    if (!c->options.user_timeout || !c->stalled)
        return at;
    return MAX(now + 1, MIN(at, c->stalled + c->options.user_timeout));
}

void tcp_timer_retransmit(struct tcp_conn *c, u64 now)
{
    u64 at = now + timer_backoff(c, c->rto, c->backoff);

    tcp_timer_set(c, TCP_TIMER_RETRANSMIT, timer_bounded(c, now, at));
}

void tcp_timer_bound(struct tcp_conn *c, u64 now)
{
    u64 at = c->timers[TCP_TIMER_RETRANSMIT];

    if (at)
        tcp_timer_set(c, TCP_TIMER_RETRANSMIT, timer_bounded(c, now, at));
}

/* RFC 8985 7.2. Only while all is well; where the retransmission would come first, in its place. */
void tcp_timer_probe(struct tcp_conn *c, u64 now)
{
    u64 at = now + (c->srtt ? 2 * c->srtt : TCP_SECOND);

    if (c->pipe <= c->mss)
        at += TAIL_ACK_DELAY;
    at = MIN(at, c->timers[TCP_TIMER_RETRANSMIT]); /* none, if that is stopped */
    if (!c->sack_ok || c->phase != TCP_PHASE_OPEN || c->sacked_bytes || c->tail_sent || !c->pipe)
        at = 0;
    tcp_timer_set(c, TCP_TIMER_PROBE, at);
}

void tcp_timer_persist(struct tcp_conn *c, u64 now)
{
    u64 at = now + timer_backoff(c, c->rto, c->probes);

    if (!c->stalled)
        c->stalled = now;
    tcp_timer_set(c, TCP_TIMER_PERSIST, timer_bounded(c, now, at));
}

static u64 timer_keep_idle(const struct tcp_conn *c)
{
    return c->options.keep_idle ? c->options.keep_idle : c->config->keep_idle;
}

static u64 timer_keep_interval(const struct tcp_conn *c)
{
    return c->options.keep_interval ? c->options.keep_interval : c->config->keep_interval;
}

void tcp_timer_keep(struct tcp_conn *c, u64 now)
{
    u64 at = MAX(c->rcv_last + timer_keep_idle(c), now + 1);

    tcp_timer_set(c, TCP_TIMER_KEEP, c->options.keep_alive ? at : 0);
}

void tcp_timers_settle(struct tcp_conn *c)
{
    u64 least = ~0ULL; /* less one, so that 0, which is none, is the latest */

#pragma GCC unroll 8
    for (u32 i = 0; i < TCP_TIMERS; i++)
        least = MIN(least, c->timers[i] - 1);
    c->deadline = least + 1;
}

static int timer_error(const struct tcp_conn *c)
{
    return c->soft_error ? c->soft_error : ETIMEDOUT;
}

/* How often it is tried in this state. */
static u32 timer_tries_most(const struct tcp_conn *c)
{
    if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECV)
        return c->options.syn_count ? c->options.syn_count : c->config->syn_retries;
    return c->closed ? c->config->orphan_retries : c->config->retries;
}

/* Counts a try; true: there was the last one. */
static bool timer_gives_up(struct tcp_conn *c, u64 now)
{
    if (c->options.user_timeout)
        return c->stalled && now - c->stalled >= c->options.user_timeout;
    if (c->tries >= timer_tries_most(c))
        return true;
    c->tries = (u8)MIN(c->tries + 1, 255);
    return false;
}

static void timer_retransmit(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    bool handshake = c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECV;

    if (!handshake && c->snd_una == c->snd_nxt)
        return;
    if (timer_gives_up(c, now)) {
        tcp_end(c, timer_error(c), r);
        return;
    }
    c->backoff = (u8)MIN(c->backoff + 1, 255);
    if (handshake)
        c->due_syn = true;
    else
        tcp_recovery_timeout(c, now);
    tcp_timer_retransmit(c, now);
}

static void timer_persist(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    if (timer_gives_up(c, now)) {
        tcp_end(c, timer_error(c), r);
        return;
    }
    c->probes = (u8)MIN(c->probes + 1, 255);
    c->due_probe = true;
    tcp_timer_persist(c, now);
}

/* It may have heard of the peer since it was set. */
static void timer_keep(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    u32 count = c->options.keep_count ? c->options.keep_count : c->config->keep_count;
    u64 quiet = now - c->rcv_last;

    if (!c->options.keep_alive)
        return;
    if (quiet < timer_keep_idle(c)) {
        tcp_timer_keep(c, now);
        return;
    }
    if (c->snd_una != c->snd_nxt || tcp_conn_unsent(c)) {
        tcp_timer_set(c, TCP_TIMER_KEEP, now + timer_keep_idle(c)); /* retransmission looks */
        return;
    }
    if (c->options.user_timeout ? quiet >= c->options.user_timeout && c->keep_probes
                                : c->keep_probes >= count) {
        tcp_end_reset(c, timer_error(c), r);
        return;
    }
    c->keep_probes = (u8)MIN(c->keep_probes + 1, 255);
    c->due_keep = true;
    tcp_timer_set(c, TCP_TIMER_KEEP, now + timer_keep_interval(c));
}

static void timer_ack(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    c->ack_now |= c->ack_due;
}

static void timer_probe(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    c->due_tail = c->phase == TCP_PHASE_OPEN && c->pipe;
    if (c->due_tail)
        tcp_timer_retransmit(c, now); /* it may be due now, too */
}

static void timer_reorder(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    tcp_recovery_reorder_timer(c, now);
}

static void timer_pace(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    /* output goes on */
}

/* A peer that still has an open connection is told. */
static void timer_life(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    if (c->state == TCP_FIN_WAIT2 || c->state == TCP_TIME_WAIT)
        tcp_end(c, 0, r);
    else
        tcp_end_reset(c, 0, r);
}

static void (*const timer_handlers[TCP_TIMERS])(struct tcp_conn *, u64, struct tcp_result *) = {
    [TCP_TIMER_RETRANSMIT] = timer_retransmit,
    [TCP_TIMER_PROBE] = timer_probe,
    [TCP_TIMER_REORDER] = timer_reorder,
    [TCP_TIMER_PERSIST] = timer_persist,
    [TCP_TIMER_ACK] = timer_ack,
    [TCP_TIMER_KEEP] = timer_keep,
    [TCP_TIMER_PACE] = timer_pace,
    [TCP_TIMER_LIFE] = timer_life,
};

void tcp_conn_timer(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    for (u32 i = 0; i < TCP_TIMERS; i++) {
        if (!c->timers[i] || c->timers[i] > now)
            continue;
        c->timers[i] = 0;
        timer_handlers[i](c, now, r);
    }
}
