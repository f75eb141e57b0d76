/* SPDX-License-Identifier: MIT
 *
 * Requests: RFC 9293 3.10.7.2 and what of 3.10.7.4 concerns SYN-RECEIVED; initial numbers, RFC
 * 6528.
 */
#include "net/tcp/listen.h"
#include "lib/compiler.h"
#include "net/tcp/conn.h"

#define ANSWER_GAP 500000000ULL /* ns between two ACKs for what is not acceptable */

#define MS 1000000ULL
#define ISN_TICK 64 /* ns: numbers of one flow go round in four and a half minutes */

static_assert(sizeof(struct tcp_flow) == 36, "it is hashed as bytes");

u32 tcp_isn(const struct tcp_secret *s, const struct tcp_flow *f, u64 now)
{
    return (u32)hash_sip(&s->isn, f, sizeof(*f)) + (u32)(now / ISN_TICK);
}

u32 tcp_time_offset(const struct tcp_secret *s, const struct tcp_flow *f)
{
    return (u32)hash_sip(&s->time, f, sizeof(*f));
}

enum tcp_verdict tcp_listen_input(const struct tcp_segment *seg, struct tcp_segment *out)
{
    if (seg->flags & TCP_RST)
        return TCP_VERDICT_IGNORE;
    if (seg->flags & TCP_ACK) {
        if (!(seg->flags & TCP_SYN))
            return TCP_VERDICT_COOKIE;
        return tcp_segment_refuse(seg, out) ? TCP_VERDICT_ANSWER : TCP_VERDICT_IGNORE;
    }
    if ((seg->flags & (TCP_SYN | TCP_FIN)) == TCP_SYN)
        return TCP_VERDICT_NEW;
    return TCP_VERDICT_IGNORE;
}

void tcp_request_init(struct tcp_request *q, const struct tcp_listen *l, const struct tcp_secret *s,
                      const struct tcp_flow *f, const struct tcp_segment *syn, u64 now)
{
    const struct tcp_config *config = l->config;

    *q = (struct tcp_request){
        .began = now,
        .iss = tcp_isn(s, f, now),
        .irs = syn->seq,
        .time_offset = tcp_time_offset(s, f),
        .mss = TCP_MSS_DEFAULT,
        .window = syn->window,
        .rcv_window = (u16)MIN(l->rcv_buf, 65535U),
        .scale_ok = config->scale && (syn->has & TCP_HAS_SCALE),
        .times_ok = config->times && (syn->has & TCP_HAS_TIME),
        .sack_ok = config->sack && (syn->has & TCP_HAS_SACK_OK),
        .ecn_ok = config->ecn_take && (syn->flags & TCP_ECE) && (syn->flags & TCP_CWR),
    };
    if (syn->has & TCP_HAS_MSS)
        q->mss = MAX(syn->mss, (u16)TCP_MSS_LEAST);
    if (q->times_ok)
        q->time_recent = syn->time;
    if (q->scale_ok) {
        q->snd_scale = syn->scale;
        q->rcv_scale = tcp_scale_for(MAX(l->rcv_buf, l->rcv_buf_most));
    }
}

/* Ports, numbers and timestamps. */
static void request_fill(const struct tcp_request *q, const struct tcp_flow *f, u64 now, u32 seq,
                         u16 flags, struct tcp_segment *out)
{
    *out = (struct tcp_segment){
        .from_port = f->here_port,
        .to_port = f->there_port,
        .seq = seq,
        .ack = q->irs + 1,
        .flags = flags,
        .window = q->rcv_window,
    };
    if (q->times_ok) {
        out->has = TCP_HAS_TIME;
        out->time = (u32)(now / MS) + q->time_offset;
        out->echo = q->time_recent;
    }
}

void tcp_request_answer(struct tcp_request *q, const struct tcp_listen *l, const struct tcp_flow *f,
                        u64 now, struct tcp_segment *out)
{
    u32 mss = l->maxseg ? MIN(l->mss, l->maxseg) : l->mss;
    u64 wait = l->config->rto_first << MIN(q->sent, 16);

    request_fill(q, f, now, q->iss, TCP_SYN | TCP_ACK, out);
    out->has |= TCP_HAS_MSS;
    out->mss = (u16)MIN(mss, 65535U);
    if (q->scale_ok) {
        out->has |= TCP_HAS_SCALE;
        out->scale = q->rcv_scale;
    }
    if (q->sack_ok)
        out->has |= TCP_HAS_SACK_OK;
    if (q->ecn_ok)
        out->flags |= TCP_ECE;
    q->sent = (u8)MIN(q->sent + 1, 255);
    q->deadline = now + MIN(wait, l->config->rto_most);
}

/* Two requests that face each other would answer each other for ever: seldom. */
static enum tcp_verdict request_ack(struct tcp_request *q, const struct tcp_flow *f, u64 now,
                                    struct tcp_segment *out)
{
    if (q->answered && now - q->answered < ANSWER_GAP)
        return TCP_VERDICT_IGNORE;
    q->answered = now;
    request_fill(q, f, now, q->iss + 1, TCP_ACK, out);
    out->window = (u16)(q->rcv_window >> q->rcv_scale);
    return TCP_VERDICT_ANSWER;
}

/* RFC 9293 3.4, with the window that the SYN|ACK told; RFC 7323 5.3 R1. */
static bool request_acceptable(const struct tcp_request *q, const struct tcp_segment *seg)
{
    u32 next = q->irs + 1;

    if (q->times_ok && !(seg->flags & TCP_RST) && (seg->has & TCP_HAS_TIME) &&
        tcp_before(seg->time, q->time_recent))
        return false;
    return !tcp_before(seg->seq, next) && !tcp_after(seg->seq, next + q->rcv_window);
}

/* An ACK of the SYN|ACK without payload may be made to wait for some. */
static bool request_defers(struct tcp_request *q, const struct tcp_listen *l,
                           const struct tcp_segment *seg, u64 now)
{
    if (!l->defer || seg->len || (seg->flags & TCP_FIN) || now - q->began >= l->defer)
        return false;
    q->acked = true;
    q->deadline = q->began + l->defer;
    return true;
}

enum tcp_verdict tcp_request_input(struct tcp_request *q, const struct tcp_listen *l,
                                   const struct tcp_flow *f, const struct tcp_segment *seg, u64 now,
                                   struct tcp_segment *out)
{
    if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN && seg->seq == q->irs) {
        tcp_request_answer(q, l, f, now, out);
        return TCP_VERDICT_ANSWER;
    }
    if (!request_acceptable(q, seg))
        return seg->flags & TCP_RST ? TCP_VERDICT_IGNORE : request_ack(q, f, now, out);
    if (seg->flags & TCP_RST) /* RFC 5961 3.2 */
        return seg->seq == q->irs + 1 ? TCP_VERDICT_FREE : request_ack(q, f, now, out);
    if (seg->flags & TCP_SYN)
        return request_ack(q, f, now, out);
    if (!(seg->flags & TCP_ACK))
        return TCP_VERDICT_IGNORE;
    if (seg->ack != q->iss + 1)
        return tcp_segment_refuse(seg, out) ? TCP_VERDICT_ANSWER : TCP_VERDICT_IGNORE;
    if (q->times_ok && !(seg->has & TCP_HAS_TIME))
        return TCP_VERDICT_IGNORE; /* RFC 7323 3.2 */
    return request_defers(q, l, seg, now) ? TCP_VERDICT_IGNORE : TCP_VERDICT_ACCEPT;
}

enum tcp_verdict tcp_request_timer(struct tcp_request *q, const struct tcp_listen *l,
                                   const struct tcp_flow *f, u64 now, struct tcp_segment *out)
{
    if (now < q->deadline)
        return TCP_VERDICT_IGNORE;
    if (q->sent > l->retries)
        return TCP_VERDICT_FREE;
    tcp_request_answer(q, l, f, now, out);
    return TCP_VERDICT_ANSWER;
}
