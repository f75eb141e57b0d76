/* SPDX-License-Identifier: MIT
 *
 * What was sent and is not acknowledged, in records of ranges. Each is in flight (in a list by time
 * of sending), lost (waiting in a list to be sent again) or reported by SACK. Neighbours that are
 * sacked become one record, so that blocks which repeat what is known cost a look-up each: an ACK
 * costs no more than what it changes.
 */
#include "net/tcp/conn_priv.h"

static u32 record_len(const struct tcp_record *r)
{
    return r->end - r->seq;
}

static struct tcp_record *record_of(struct rb_node *n)
{
    return n ? rb_entry(n, struct tcp_record, node) : NULL;
}

static bool record_less(const struct rb_node *a, const struct rb_node *b)
{
    return tcp_before(rb_entry(a, struct tcp_record, node)->seq,
                      rb_entry(b, struct tcp_record, node)->seq);
}

struct tcp_record *tcp_records_last(const struct tcp_conn *c)
{
    return record_of(rb_last(&c->records));
}

void tcp_records_init(struct tcp_conn *c)
{
    c->records = RB_ROOT;
    list_init(&c->in_flight);
    list_init(&c->lost);
    list_init(&c->spare);
    tcp_conn_give(c, &c->own);
}

void tcp_conn_give(struct tcp_conn *c, struct tcp_record *record)
{
    list_add_tail(&c->spare, &record->link);
    c->nr_spare++;
}

/* The embedded one stays. */
struct tcp_record *tcp_conn_take_back(struct tcp_conn *c)
{
    struct tcp_record *r = list_last(&c->spare, struct tcp_record, link);

    if (r == &c->own) {
        list_del(&r->link);
        list_add(&c->spare, &r->link);
        r = list_last(&c->spare, struct tcp_record, link);
    }
    if (!r || r == &c->own)
        return NULL;
    list_del(&r->link);
    c->nr_spare--;
    return r;
}

static struct tcp_record *record_take(struct tcp_conn *c)
{
    struct tcp_record *r = list_first(&c->spare, struct tcp_record, link);

    if (!r)
        return NULL;
    list_del(&r->link);
    c->nr_spare--;
    c->nr_records++;
    return r;
}

/* Which sum a record's bytes are in. */
static u32 *record_sum(struct tcp_conn *c, const struct tcp_record *r)
{
    if (r->state == RECORD_SACKED)
        return &c->sacked_bytes;
    return r->state == RECORD_LOST ? &c->lost_bytes : &c->pipe;
}

static void record_set_state(struct tcp_conn *c, struct tcp_record *r, enum tcp_record_state state)
{
    *record_sum(c, r) -= record_len(r);
    r->state = (u8)state;
    *record_sum(c, r) += record_len(r);
    list_del(&r->link);
}

static void record_free(struct tcp_conn *c, struct tcp_record *r)
{
    rb_erase(&c->records, &r->node);
    list_del(&r->link);
    c->nr_records--;
    tcp_conn_give(c, r);
}

struct tcp_record *tcp_records_sent(struct tcp_conn *c, u32 seq, u32 end, u64 now)
{
    struct tcp_record *r = record_take(c);

    if (!r)
        return NULL;
    *r = (struct tcp_record){.seq = seq, .end = end, .sent = now};
    rb_insert(&c->records, &r->node, record_less);
    list_add_tail(&c->in_flight, &r->link);
    c->pipe += end - seq;
    return r;
}

bool tcp_record_split(struct tcp_conn *c, struct tcp_record *r, u32 at)
{
    struct tcp_record *rest = record_take(c);

    if (!rest)
        return false;
    *rest = *r;
    rest->seq = at;
    r->end = at;
    rb_insert(&c->records, &rest->node, record_less);
    if (r->state == RECORD_SACKED)
        list_init(&rest->link);
    else
        list_add(&r->link, &rest->link);
    return true;
}

/* Lost neighbours become one, too: what went in small pieces goes again in full segments. */
void tcp_record_lose(struct tcp_conn *c, struct tcp_record *r)
{
    struct tcp_record *before = record_of(rb_prev(&r->node));

    record_set_state(c, r, RECORD_LOST);
    list_add_tail(&c->lost, &r->link);
    if (!before || before->state != RECORD_LOST || before->end != r->seq)
        return;
    before->end = r->end;
    before->flags |= r->flags;
    record_free(c, r);
}

void tcp_record_resent(struct tcp_conn *c, struct tcp_record *r, u64 now)
{
    record_set_state(c, r, RECORD_IN_FLIGHT);
    list_add_tail(&c->in_flight, &r->link);
    r->flags |= RECORD_AGAIN;
    r->sent = now;
}

/* After a time-out. What the peer has reported and then not acknowledged counts as lost, too, if it
 * is the first of all: it has thrown it away (RFC 2018 8). */
void tcp_records_lose_all(struct tcp_conn *c)
{
    struct tcp_record *first = tcp_records_first(c);
    bool renounced = first && first->state == RECORD_SACKED;
    struct rb_node *n, *next;

    for (n = rb_first(&c->records); n; n = next) {
        struct tcp_record *r = record_of(n);

        next = rb_next(n);
        if (r->state == RECORD_LOST) {
            list_del(&r->link);
            list_add_tail(&c->lost, &r->link);
        } else if (r->state == RECORD_IN_FLIGHT || renounced) {
            tcp_record_lose(c, r);
        }
    }
}

/* They go before all that is in flight; what had been sent again since counts as older than it is,
 * so that the order holds. */
void tcp_records_find_all(struct tcp_conn *c)
{
    struct tcp_record *r, *first;

    while ((r = list_last(&c->lost, struct tcp_record, link))) {
        first = list_first(&c->in_flight, struct tcp_record, link);
        if (first)
            r->sent = MIN(r->sent, first->sent);
        record_set_state(c, r, RECORD_IN_FLIGHT);
        list_add(&c->in_flight, &r->link);
    }
}

/* [r->seq, end) has arrived. */
static void record_delivered(struct tcp_conn *c, struct tcp_record *r, u32 end, struct tcp_ack *a)
{
    a->delivered += end - r->seq;
    if (r->flags & RECORD_AGAIN)
        a->again = true;
    else if (!a->rtt)
        a->rtt = MAX(a->now - r->sent, (u64)1);
    tcp_recovery_delivered(c, r, end, a);
}

void tcp_records_acked(struct tcp_conn *c, u32 una, struct tcp_ack *a)
{
    struct tcp_record *r;
    u32 end;

    while ((r = tcp_records_first(c)) && tcp_before(r->seq, una)) {
        end = tcp_seq_min(r->end, una);
        if (r->state != RECORD_SACKED)
            record_delivered(c, r, end, a);
        *record_sum(c, r) -= end - r->seq;
        r->seq = end; /* its place in the tree is the same */
        if (r->seq == r->end)
            record_free(c, r);
    }
}

/* The last record that begins at or before seq, or the first of all. */
static struct tcp_record *record_find(const struct tcp_conn *c, u32 seq)
{
    struct rb_node *n = c->records.node, *best = c->records.first;

    while (n) {
        if (tcp_after(record_of(n)->seq, seq)) {
            n = n->left;
        } else {
            best = n;
            n = n->right;
        }
    }
    return record_of(best);
}

/* b follows a, and both are sacked: one is enough. */
static void record_merge(struct tcp_conn *c, struct tcp_record *a, struct tcp_record *b)
{
    if (!a || !b || a->state != RECORD_SACKED || b->state != RECORD_SACKED || a->end != b->seq)
        return;
    a->end = b->end;
    record_free(c, b);
}

/* Cuts r so that it lies within [from, to), in whole segments of its own: a peer that reports bytes
 * one by one gets no record for each. False: nothing of it can be marked. Returns the part. */
static struct tcp_record *record_cut(struct tcp_conn *c, struct tcp_record *r, u32 from, u32 to)
{
    u32 mss = MAX(c->mss, 1U), skip, keep;

    if (tcp_before(r->seq, from)) {
        skip = DIV_ROUND_UP(from - r->seq, mss) * mss;
        if (skip >= record_len(r) || !tcp_record_split(c, r, r->seq + skip))
            return NULL;
        r = record_of(rb_next(&r->node));
    }
    if (tcp_after(r->end, to)) {
        keep = tcp_after(to, r->seq) ? (to - r->seq) / mss * mss : 0;
        if (!keep || !tcp_record_split(c, r, r->seq + keep))
            return NULL;
    }
    return r;
}

/* Returns the record that it is in then. */
static struct tcp_record *record_sack(struct tcp_conn *c, struct tcp_record *r, struct tcp_ack *a)
{
    struct tcp_record *before;

    record_delivered(c, r, r->end, a);
    record_set_state(c, r, RECORD_SACKED);
    before = record_of(rb_prev(&r->node));
    if (before && before->state == RECORD_SACKED && before->end == r->seq) {
        record_merge(c, before, r);
        r = before;
    }
    record_merge(c, r, record_of(rb_next(&r->node)));
    return r;
}

void tcp_records_sacked(struct tcp_conn *c, struct tcp_sack sack, struct tcp_ack *a)
{
    struct tcp_record *r = record_find(c, sack.from), *part;

    while (r && tcp_before(r->seq, sack.to)) {
        if (r->state != RECORD_SACKED && tcp_after(r->end, sack.from)) {
            part = record_cut(c, r, sack.from, sack.to);
            if (part)
                r = record_sack(c, part, a);
        }
        r = record_of(rb_next(&r->node));
    }
}
