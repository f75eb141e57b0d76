/* SPDX-License-Identifier: MIT
 *
 * A connection's own books: what must hold after every call.
 */
#include "../../kernel/net/tcp/conn_priv.h"
#include "sim.h"

static const char *check_records(const struct tcp_conn *c)
{
    u32 sums[3] = {0}, n = 0, spare = 0, end = c->snd_una, listed[3] = {0};
    struct tcp_record *r;
    struct rb_node *node;
    u64 last = 0;

    rb_for_each (node, &c->records) {
        r = rb_entry(node, struct tcp_record, node);
        if (tcp_before(r->seq, end) || !tcp_before(r->seq, r->end))
            return "records overlap, or one is empty";
        end = r->end;
        sums[r->state] += r->end - r->seq;
        n++;
    }
    if (n && tcp_after(end, c->snd_nxt))
        return "a record beyond snd_nxt";
    if (sums[0] != c->pipe || sums[1] != c->lost_bytes || sums[2] != c->sacked_bytes)
        return "sums of records";
    if (n && c->state != TCP_CLOSE && c->state != TCP_TIME_WAIT &&
        sums[0] + sums[1] + sums[2] != c->snd_nxt - c->snd_una)
        return "records do not cover what was sent";
    list_for_each (r, &c->in_flight, link) {
        if (r->state != RECORD_IN_FLIGHT || r->sent < last)
            return "in_flight out of order";
        last = r->sent;
        listed[0] += r->end - r->seq;
    }
    list_for_each (r, &c->lost, link)
        listed[1] += r->end - r->seq;
    list_for_each (r, &c->spare, link)
        spare++;
    if (listed[0] != sums[0] || listed[1] != sums[1] || spare != c->nr_spare || n != c->nr_records)
        return "lists of records";
    return NULL;
}

static const char *check_pieces(const struct tcp_conn *c)
{
    u32 n = 0, end = c->rcv_nxt;
    struct rb_node *node;

    if (c->state == TCP_CLOSE)
        return NULL;
    rb_for_each (node, &c->pieces) {
        struct tcp_piece *p = rb_entry(node, struct tcp_piece, node);

        if (tcp_before(p->seq, end) || !p->len || (!n && p->seq == c->rcv_nxt))
            return "pieces overlap, or are in order";
        end = p->seq + p->len;
        n++;
    }
    if (n != c->nr_pieces || tcp_after(end, c->rcv_edge + (c->fin_got ? 1 : 0)))
        return "pieces: count or window";
    for (u32 i = 0; i < c->nr_sacks; i++) {
        if (!tcp_before(c->sacks[i].from, c->sacks[i].to) ||
            !tcp_after(c->sacks[i].from, c->rcv_nxt))
            return "sack blocks";
    }
    return NULL;
}

/* Something is always going to happen while something is wanted. */
static const char *check_progress(const struct tcp_conn *c)
{
    if (c->state == TCP_CLOSE || c->state == TCP_TIME_WAIT)
        return NULL;
    if (c->snd_una != c->snd_nxt && !c->timers[TCP_TIMER_RETRANSMIT])
        return "in flight without a timer";
    if (c->snd_una == c->snd_nxt && tcp_conn_unsent(c) && !c->deadline)
        return "unsent without a timer";
    if (tcp_after(c->snd_una, c->snd_nxt) || tcp_before(c->rcv_edge, c->rcv_nxt))
        return "numbers";
    if (c->state != TCP_SYN_SENT && c->state != TCP_SYN_RECV && c->congestion.window < c->mss &&
        c->phase == TCP_PHASE_OPEN)
        return "a congestion window below one segment";
    return NULL;
}

const char *sim_check(const struct tcp_conn *c)
{
    const char *wrong = check_records(c);

    if (!wrong)
        wrong = check_pieces(c);
    return wrong ? wrong : check_progress(c);
}
