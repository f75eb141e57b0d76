/* SPDX-License-Identifier: MIT
 *
 * Payload that comes, and our window: order (RFC 9293 3.10.7.4, seventh), SACK blocks (RFC 2018 4,
 * RFC 2883), when to acknowledge (RFC 9293 3.8.6.3), a window that is never silly (3.8.6.2.2) nor
 * taken back, and how large the buffer had better be.
 */
#include "net/tcp/conn_priv.h"

#define PIECES_LEAST 64U
#define PIECES_MOST 8192U /* what one segment may set free */
#define PIECE_MEAN 512U   /* bytes: more pieces than the buffer has of these are not kept */

void tcp_drop(struct tcp_piece *piece, struct tcp_result *r)
{
    if (piece)
        list_add_tail(&r->drop, &piece->link);
}

static struct tcp_piece *piece_of(struct rb_node *n)
{
    return n ? rb_entry(n, struct tcp_piece, node) : NULL;
}

static bool piece_less(const struct rb_node *a, const struct rb_node *b)
{
    return tcp_before(rb_entry(a, struct tcp_piece, node)->seq,
                      rb_entry(b, struct tcp_piece, node)->seq);
}

/* --- our window ------------------------------------------------------------------------------- */

/* What the buffer holds at the most. Less than one unit of the scale cannot be told. */
static u32 window_most(const struct tcp_conn *c)
{
    u32 most = c->rcv_buf;

    if (c->options.window_clamp)
        most = MIN(most, c->options.window_clamp);
    return MAX(most, 1U << c->rcv_scale);
}

/* Bytes that it still takes. */
u32 tcp_window_free(const struct tcp_conn *c)
{
    u32 most = window_most(c);

    return most > c->unread ? most - c->unread : 0;
}

/* RFC 9293 3.8.6.2.2: the edge moves by a segment or half the buffer, or not at all. */
static u32 window_next(const struct tcp_conn *c)
{
    u32 told = c->rcv_edge - c->rcv_nxt, free = tcp_window_free(c);
    u32 least = MIN(window_most(c) / 2, c->rcv_mss);

    return free > told && free - told >= least ? free : told;
}

u16 tcp_window_tell(struct tcp_conn *c, bool syn)
{
    u8 scale = syn ? 0 : c->rcv_scale;
    u32 told = c->rcv_edge - c->rcv_nxt, next = window_next(c), field;

    field = (told + (1U << scale) - 1) >> scale; /* never less than what was told */
    field = MIN(MAX(field, next >> scale), 65535U);
    c->rcv_edge = tcp_seq_max(c->rcv_edge, c->rcv_nxt + (field << scale));
    return (u16)field;
}

/* The program has taken bytes: is that worth an ACK? When it at least doubles the window. */
static void window_opened(struct tcp_conn *c)
{
    u32 told = c->rcv_edge - c->rcv_nxt, next = window_next(c);

    if (next > told && told <= tcp_window_free(c) / 2 && !c->fin_got)
        c->ack_now = true;
}

/* Dynamic right-sizing: what was taken within a round trip, twice, and room for growth. */
static void receive_tune(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    u32 taken = c->rcv_nxt - c->unread - c->tune_seq;
    u64 rtt = c->rcv_rtt ? c->rcv_rtt : c->srtt, want;

    if (!rtt || now - c->tune_time < rtt)
        return;
    c->tune_time = now;
    c->tune_seq += taken;
    want = MIN(2ULL * taken + 16 * c->rcv_mss, (u64)c->rcv_buf_most);
    if (want <= MAX(c->rcv_buf, c->rcv_want))
        return;
    c->rcv_want = (u32)want;
    r->events |= TCP_EVENT_TUNE;
}

void tcp_receive_read(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    receive_tune(c, now, r);
    window_opened(c);
}

/* How long the peer needs to answer a window, seen from here. */
static void receive_measure(struct tcp_conn *c, const struct tcp_segment *seg, u64 now)
{
    u64 rtt = 0;
    u32 echoed = tcp_clock(c, now) - seg->echo;

    if (c->times_ok && seg->echo && seg->len >= c->rcv_mss && echoed < 60000) {
        rtt = MAX(echoed, 1U) * TCP_MS;
    } else if (!c->times_ok && !tcp_before(c->rcv_nxt, c->rcv_rtt_seq)) {
        rtt = now - c->rcv_rtt_time;
        c->rcv_rtt_time = now;
        c->rcv_rtt_seq = c->rcv_edge;
    }
    if (rtt)
        c->rcv_rtt = c->rcv_rtt ? MIN((7 * c->rcv_rtt + rtt) / 8, 2 * rtt) : rtt;
}

/* --- acceptability ---------------------------------------------------------------------------- */

/* RFC 9293 3.4 and 3.10.7.4, first. A segment without numbers may stand at the right edge, as it
 * does when the peer has filled the window; of one that begins at the left edge of a closed window
 * ACK and RST count. */
bool tcp_receive_acceptable(const struct tcp_conn *c, const struct tcp_segment *seg)
{
    u32 end = tcp_segment_end(seg);

    if (tcp_after(seg->seq, c->rcv_edge))
        return false;
    return tcp_segment_space(seg) ? tcp_after(end, c->rcv_nxt) : !tcp_before(end, c->rcv_nxt);
}

void tcp_receive_duplicate(struct tcp_conn *c, const struct tcp_segment *seg)
{
    u32 end = seg->seq + seg->len;

    if (!c->sack_ok || !seg->len || tcp_after(end, c->rcv_nxt))
        return;
    c->dsack = (struct tcp_sack){seg->seq, end};
    c->dsack_due = true;
    c->ack_quick = TCP_QUICK_ACKS;
}

/* --- SACK ------------------------------------------------------------------------------------- */

static bool sack_touches(const struct tcp_sack *a, const struct tcp_sack *b)
{
    return !tcp_after(a->from, b->to) && !tcp_after(b->from, a->to);
}

/* The newest block goes first, with all that it touches (RFC 2018 4). */
static void sack_add(struct tcp_conn *c, u32 from, u32 to)
{
    struct tcp_sack now = {from, to};
    u32 kept = 0;

    for (u32 i = 0; i < c->nr_sacks; i++) {
        if (sack_touches(&now, &c->sacks[i])) {
            now.from = tcp_seq_min(now.from, c->sacks[i].from);
            now.to = tcp_seq_max(now.to, c->sacks[i].to);
        } else {
            c->sacks[kept++] = c->sacks[i];
        }
    }
    kept = MIN(kept, TCP_MERGED_SACKS - 1U);
    for (u32 i = kept; i > 0; i--)
        c->sacks[i] = c->sacks[i - 1];
    c->sacks[0] = now;
    c->nr_sacks = (u8)(kept + 1);
}

/* What is in order now needs no block. */
static void sack_trim(struct tcp_conn *c)
{
    u32 kept = 0;

    for (u32 i = 0; i < c->nr_sacks; i++) {
        if (tcp_after(c->sacks[i].from, c->rcv_nxt))
            c->sacks[kept++] = c->sacks[i];
    }
    c->nr_sacks = (u8)kept;
}

void tcp_fill_sacks(struct tcp_conn *c, struct tcp_segment *seg)
{
    u32 n = 0;

    if (!c->sack_ok)
        return;
    if (c->dsack_due)
        seg->sacks[n++] = c->dsack;
    for (u32 i = 0; i < c->nr_sacks && n < TCP_SACKS; i++)
        seg->sacks[n++] = c->sacks[i];
    seg->nr_sacks = n;
    c->dsack_due = false;
}

/* --- order ------------------------------------------------------------------------------------ */

static void piece_cut_front(struct tcp_piece *p, u32 n)
{
    n = MIN(n, p->len);
    p->seq += n;
    p->skip += n;
    p->len -= n;
}

static void piece_cut_after(struct tcp_piece *p, u32 end)
{
    if (tcp_before(end, p->seq))
        p->len = 0;
    else if (tcp_after(p->seq + p->len, end))
        p->len = end - p->seq;
}

static void receive_deliver(struct tcp_conn *c, struct tcp_piece *p, struct tcp_result *r)
{
    c->rcv_nxt += p->len;
    c->unread += p->len;
    c->bytes_received += p->len;
    list_add_tail(&r->ready, &p->link);
    r->events |= TCP_EVENT_READABLE;
}

/* Cuts off what others have before it and behind it; those that it covers go. False: there is
 * nothing new in it. */
static bool receive_fit(struct tcp_conn *c, struct tcp_piece *p, struct tcp_result *r)
{
    struct rb_node *n = c->pieces.node, *before = NULL, *next;
    struct tcp_piece *other;

    while (n) {
        if (tcp_after(piece_of(n)->seq, p->seq)) {
            n = n->left;
        } else {
            before = n;
            n = n->right;
        }
    }
    other = piece_of(before);
    if (other && tcp_after(other->seq + other->len, p->seq))
        piece_cut_front(p, other->seq + other->len - p->seq);
    next = before ? rb_next(before) : rb_first(&c->pieces);
    while (p->len && (other = piece_of(next)) && tcp_before(other->seq, p->seq + p->len)) {
        if (tcp_after(other->seq + other->len, p->seq + p->len)) {
            piece_cut_after(p, other->seq);
            break;
        }
        next = rb_next(next);
        rb_erase(&c->pieces, &other->node);
        c->nr_pieces--;
        tcp_drop(other, r);
    }
    return p->len;
}

static u32 pieces_most(const struct tcp_conn *c)
{
    return MIN(PIECES_LEAST + c->rcv_buf / PIECE_MEAN, PIECES_MOST);
}

/* Out of order, or into a gap. */
static void receive_queue(struct tcp_conn *c, struct tcp_piece *p, struct tcp_result *r)
{
    u32 from = p->seq, to = p->seq + p->len;

    c->ack_now = true;
    c->ack_quick = TCP_QUICK_ACKS;
    if (p->seq != c->rcv_nxt && c->nr_pieces >= pieces_most(c)) {
        tcp_drop(p, r);
        return;
    }
    if (!receive_fit(c, p, r)) {
        if (c->sack_ok) {
            c->dsack = (struct tcp_sack){from, to};
            c->dsack_due = true;
        }
        tcp_drop(p, r);
        return;
    }
    rb_insert(&c->pieces, &p->node, piece_less);
    c->nr_pieces++;
    if (from != c->rcv_nxt) /* else it takes no block's place: it is in order at once */
        sack_add(c, from, to);
    while ((p = piece_of(rb_first(&c->pieces))) && p->seq == c->rcv_nxt) {
        rb_erase(&c->pieces, &p->node);
        c->nr_pieces--;
        receive_deliver(c, p, r);
    }
    sack_trim(c);
}

/* RFC 9293 3.10.7.4, eighth. */
static void receive_fin(struct tcp_conn *c, u64 now, struct tcp_result *r)
{
    if (!c->fin_waiting || c->fin_got || c->rcv_nxt != c->fin_seq)
        return;
    c->rcv_nxt++;
    c->rcv_edge = tcp_seq_max(c->rcv_edge, c->rcv_nxt);
    c->fin_got = true;
    c->ack_now = true;
    r->events |= TCP_EVENT_FIN;
    if (c->state == TCP_ESTABLISHED)
        c->state = TCP_CLOSE_WAIT;
    else if (c->state == TCP_FIN_WAIT1)
        c->state = TCP_CLOSING;
    else
        tcp_enter_time_wait(c, now, r);
}

/* The first number of a FIN that is within the window, and behind all that came, stands. */
static void receive_learn_fin(struct tcp_conn *c, const struct tcp_segment *seg, u32 end)
{
    struct tcp_piece *last = piece_of(rb_last(&c->pieces));

    if (!(seg->flags & TCP_FIN) || c->fin_waiting || tcp_before(end, c->rcv_nxt) ||
        tcp_after(end, c->rcv_edge) || (last && tcp_after(last->seq + last->len, end)))
        return;
    c->fin_waiting = true;
    c->fin_seq = end;
}

/* RFC 9293 3.8.6.3: every second full segment, or within the delay. */
static void receive_ack_later(struct tcp_conn *c, u32 n, u64 now)
{
    c->ack_pending += n;
    c->ack_due = true;
    if (c->ack_quick || c->options.quick_ack || c->ack_pending >= 2 * c->rcv_mss) {
        c->ack_quick -= c->ack_quick != 0;
        c->ack_now = true;
        return;
    }
    tcp_timer_sooner(c, TCP_TIMER_ACK, now + c->config->delayed_ack);
}

static void receive_place(struct tcp_conn *c, struct tcp_piece *piece, u64 now,
                          struct tcp_result *r)
{
    if (!piece->len) {
        c->ack_now = true; /* beyond the window, or nothing but a FIN */
        tcp_drop(piece, r);
    } else if (piece->seq == c->rcv_nxt && !c->nr_pieces) {
        receive_deliver(c, piece, r);
        receive_ack_later(c, piece->len, now);
    } else {
        receive_queue(c, piece, r);
    }
}

void tcp_receive(struct tcp_conn *c, const struct tcp_segment *seg, struct tcp_piece *piece,
                 u64 now, struct tcp_result *r)
{
    u32 seq = seg->seq + !!(seg->flags & TCP_SYN), end = seq + seg->len;

    if (!piece && !seg->len && !(seg->flags & TCP_FIN))
        return;
    if (c->closed && tcp_after(end, c->rcv_nxt)) { /* RFC 9293 3.6: there is no reader */
        tcp_drop(piece, r);
        tcp_end_reset(c, 0, r);
        return;
    }
    if (!piece) { /* as if it were lost */
        c->ack_now = true;
        return;
    }
    *piece = (struct tcp_piece){.seq = seq, .len = seg->len};
    c->rcv_mss = MAX(c->rcv_mss, MIN(seg->len, c->mss_path));
    receive_measure(c, seg, now);
    receive_learn_fin(c, seg, end);
    if (tcp_before(seq, c->rcv_nxt)) {
        if (c->sack_ok && seg->len) {
            c->dsack = (struct tcp_sack){seq, tcp_seq_min(end, c->rcv_nxt)};
            c->dsack_due = c->ack_now = true;
        }
        piece_cut_front(piece, c->rcv_nxt - seq);
    }
    piece_cut_after(piece, c->fin_waiting ? tcp_seq_min(c->rcv_edge, c->fin_seq) : c->rcv_edge);
    receive_place(c, piece, now, r);
    receive_fin(c, now, r);
}

void tcp_acked_now(struct tcp_conn *c)
{
    c->ack_now = c->ack_due = c->due_challenge = false;
    c->ack_pending = 0;
    c->ack_last = c->rcv_nxt;
    tcp_timer_set(c, TCP_TIMER_ACK, 0);
}
