/* SPDX-License-Identifier: MIT
 *
 * TIME_WAIT: RFC 9293 3.6.1 and 3.10.7.4, RFC 6191, RFC 1337.
 */
#include "net/tcp/timewait.h"
#include "lib/compiler.h"

#define ANSWER_GAP 500000000ULL
#define MS 1000000ULL

static enum tcp_timewait_verdict timewait_answer(struct tcp_timewait *t,
                                                 const struct tcp_segment *seg, u64 now,
                                                 struct tcp_segment *out)
{
    *out = (struct tcp_segment){
        .from_port = seg->to_port,
        .to_port = seg->from_port,
        .seq = t->snd_nxt,
        .ack = t->rcv_nxt,
        .flags = TCP_ACK,
        .window = (u16)MIN(t->window, 65535U),
    };
    if (t->times) {
        out->has = TCP_HAS_TIME;
        out->time = (u32)(now / MS) + t->time_offset;
        out->echo = t->recent;
    }
    t->answered = now;
    return TCP_TIMEWAIT_ANSWER;
}

/* A new connection of the peer's: its numbers, or its clock, are beyond the old one's. */
static bool timewait_may_reuse(const struct tcp_timewait *t, const struct tcp_segment *seg)
{
    if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
        return false;
    if (t->times && (seg->has & TCP_HAS_TIME) && seg->time != t->recent)
        return tcp_after(seg->time, t->recent);
    return tcp_after(seg->seq, t->rcv_nxt);
}

enum tcp_timewait_verdict tcp_timewait_input(struct tcp_timewait *t, const struct tcp_segment *seg,
                                             u64 now, struct tcp_segment *out)
{
    bool old = t->times && (seg->has & TCP_HAS_TIME) && tcp_before(seg->time, t->recent);
    u32 end = tcp_segment_end(seg);

    if (seg->flags & TCP_RST)
        return TCP_TIMEWAIT_IGNORE;
    if (timewait_may_reuse(t, seg))
        return TCP_TIMEWAIT_REUSE;
    if (!old && (seg->flags & TCP_FIN) && end == t->rcv_nxt) {
        t->deadline = now + TCP_TIME_WAIT_NS; /* our ACK was lost */
        return timewait_answer(t, seg, now, out);
    }
    if (end == t->rcv_nxt && seg->seq == t->rcv_nxt && !old)
        return TCP_TIMEWAIT_IGNORE; /* an ACK, as it should be */
    if (!tcp_segment_space(seg) && t->answered && now - t->answered < ANSWER_GAP)
        return TCP_TIMEWAIT_IGNORE;
    return timewait_answer(t, seg, now, out);
}

bool tcp_timewait_may_open(const struct tcp_timewait *t, u64 now, u32 *iss)
{
    u64 began = t->deadline - TCP_TIME_WAIT_NS;

    if (!t->times || now - began < 1000 * MS)
        return false; /* only a clock that has moved tells the two apart */
    *iss = t->snd_nxt + 65535 + 2;
    return true;
}
