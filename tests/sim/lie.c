/* SPDX-License-Identifier: MIT
 *
 * A peer that lies: one end is honest, what comes to it is made up, near to what it would believe.
 * Its bytes are those of the stream, so that the program at the honest end may look at them. What
 * must hold: the core's own books (check.c), memory, and that it is never silent for ever.
 */
#include "lib/checksum.h"
#include "lib/string.h"
#include "sim.h"

#include <stdlib.h>

#define LIE_STEPS 1500

struct liar {
    struct sim s;
    u32 irs;      /* of the liar's SYN */
    bool greeted; /* its SYN is out */
    bool times;
};

static u32 lie_near(struct sim *s, u32 at)
{
    u32 off = sim_below(s, 1U << sim_below(s, 18));

    return sim_chance(s, 500) ? at + off : at - off;
}

static u32 lie_seq(struct liar *l)
{
    const struct tcp_conn *c = &l->s.ends[0].conn;

    switch (sim_below(&l->s, 8)) {
    case 0:
        return lie_near(&l->s, c->rcv_edge);
    case 1:
        return (u32)sim_random(&l->s);
    case 2:
    case 3:
        return lie_near(&l->s, c->rcv_nxt);
    default:
        return c->rcv_nxt;
    }
}

static u32 lie_ack(struct liar *l)
{
    const struct tcp_conn *c = &l->s.ends[0].conn;

    switch (sim_below(&l->s, 8)) {
    case 0:
        return lie_near(&l->s, c->snd_nxt);
    case 1:
        return (u32)sim_random(&l->s);
    case 2:
        return c->snd_nxt;
    case 3:
        return c->snd_una + sim_below(&l->s, c->snd_nxt - c->snd_una + 1);
    default:
        return c->snd_una;
    }
}

static u16 lie_flags(struct sim *s)
{
    u16 flags = sim_chance(s, 970) ? TCP_ACK : 0;

    if (sim_chance(s, 20))
        flags |= TCP_SYN;
    if (sim_chance(s, 20))
        flags |= TCP_FIN;
    if (sim_chance(s, 10))
        flags |= TCP_RST;
    if (sim_chance(s, 50))
        flags |= TCP_URG;
    if (sim_chance(s, 200))
        flags |= TCP_ECE;
    if (sim_chance(s, 100))
        flags |= TCP_CWR;
    return flags;
}

static void lie_sacks(struct liar *l, struct tcp_segment *seg)
{
    const struct tcp_conn *c = &l->s.ends[0].conn;
    u32 flight = c->snd_nxt - c->snd_una;

    seg->nr_sacks = sim_chance(&l->s, 500) ? sim_below(&l->s, TCP_SACKS + 1) : 0;
    for (u32 i = 0; i < seg->nr_sacks; i++) {
        u32 from = sim_chance(&l->s, 900) ? c->snd_una + sim_below(&l->s, flight + 2)
                                          : (u32)sim_random(&l->s);

        seg->sacks[i].from = from;
        seg->sacks[i].to = from + sim_below(&l->s, 1U << sim_below(&l->s, 16));
    }
}

static void lie_options(struct liar *l, struct tcp_segment *seg)
{
    const struct tcp_conn *c = &l->s.ends[0].conn;
    struct sim *s = &l->s;

    if (seg->flags & TCP_SYN) {
        seg->has = (u8)sim_below(s, 16);
        seg->mss = (u16)sim_random(s);
        seg->scale = (u8)sim_random(s);
    }
    if (l->times ? sim_chance(s, 980) : sim_chance(s, 100)) {
        seg->has |= TCP_HAS_TIME;
        seg->time = sim_chance(s, 900) ? c->time_recent + sim_below(s, 3) : (u32)sim_random(s);
        seg->echo = (u32)(s->now / SIM_MS) + c->time_offset;
        seg->echo = sim_chance(s, 800) ? seg->echo - sim_below(s, 500) : (u32)sim_random(s);
    }
}

/* The number of the stream's first byte, as the honest end sees it, or will. */
static u32 lie_first(struct liar *l, const struct tcp_segment *seg)
{
    const struct sim_end *e = &l->s.ends[0];

    if (e->open && e->conn.state != TCP_SYN_SENT)
        return e->conn.irs + 1;
    if (e->asked)
        return e->request.irs + 1;
    return seg->flags & TCP_SYN ? seg->seq + 1 : l->irs + 1;
}

/* The bytes that the stream has there: its period is 65521. */
static void lie_deliver(struct liar *l, struct tcp_segment *seg)
{
    struct sim_end *e = &l->s.ends[0];
    u32 header = tcp_segment_header(seg), n = header + seg->len;
    struct sim_packet *p = calloc(1, sizeof(*p) + n);
    s64 at = (s32)(seg->seq + !!(seg->flags & TCP_SYN) - lie_first(l, seg)) % 65521;
    u16 sum;

    if (!p)
        abort();
    p->len = n;
    p->ecn = (u8)sim_below(&l->s, 4);
    tcp_segment_build(p->bytes, seg);
    memcpy(p->bytes + header, sim_stream(1, (u32)(at < 0 ? at + 65521 : at), 0), seg->len);
    sum = checksum_of(p->bytes, n);
    memcpy(p->bytes + 16, &sum, 2);
    sim_trace(&l->s, seg, 1, "lie");
    sim_end_packet(e, p);
}

/* The first words are as they should be, mostly: else it would never come far. */
static void lie_greet(struct liar *l)
{
    struct sim_end *e = &l->s.ends[0];
    struct tcp_segment seg = {.window = (u16)sim_random(&l->s), .mss = 1460};

    seg.has = TCP_HAS_MSS | (u8)sim_below(&l->s, 16);
    seg.scale = (u8)sim_below(&l->s, 15);
    seg.time = 1;
    seg.seq = l->irs;
    l->times = seg.has & TCP_HAS_TIME;
    seg.flags = TCP_SYN;
    if (e->open && sim_chance(&l->s, 900)) {
        seg.flags |= TCP_ACK;
        seg.ack = e->conn.snd_nxt;
        seg.echo = (u32)(l->s.now / SIM_MS) + e->conn.time_offset;
    }
    lie_deliver(l, &seg);
    if (e->asked) {
        seg = (struct tcp_segment){.seq = l->irs + 1, .ack = e->request.iss + 1, .flags = TCP_ACK};
        seg.has = l->times ? TCP_HAS_TIME : 0;
        seg.time = 2;
        lie_deliver(l, &seg);
    }
}

static void lie_once(struct liar *l)
{
    struct sim *s = &l->s;
    struct tcp_segment seg = {.seq = lie_seq(l), .ack = lie_ack(l), .flags = lie_flags(s)};

    seg.window = (u16)(sim_chance(s, 300) ? sim_below(s, 3) : sim_random(s));
    seg.len = sim_chance(s, 500) ? sim_below(s, 1U << sim_below(s, 12)) : 0;
    seg.urgent = (u16)(sim_random(s) & 0x3ff);
    lie_options(l, &seg);
    lie_sacks(l, &seg);
    lie_deliver(l, &seg);
}

/* What the honest end sends, the liar throws away. */
static void lie_listen(struct sim *s)
{
    struct sim_packet *p;

    while ((p = sim_wire_next(s, U64_MAX)))
        free(p);
}

static void lie_time(struct sim *s)
{
    u64 deadline = sim_end_deadline(&s->ends[0]);

    if (deadline && sim_chance(s, 300)) {
        s->now = MAX(s->now, deadline);
        sim_end_time(&s->ends[0]);
    } else {
        s->now += sim_random(s) % (sim_chance(s, 50) ? SIM_SECOND : SIM_MS);
    }
}

static void lie_world(struct sim *s)
{
    struct sim_end *e = &s->ends[0];

    if (sim_chance(s, 10) && e->open)
        tcp_conn_mtu(&e->conn, sim_below(s, 2000));
    if (sim_chance(s, 10))
        sim_end_set_rcv_buf(e, sim_below(s, 100000));
}

bool sim_lie(u64 seed)
{
    static struct liar l;
    struct sim_end *e = &l.s.ends[0];

    memset(&l, 0, sizeof(l));
    sim_setup(&l.s, ~seed);
    l.irs = (u32)sim_random(&l.s);
    e->to_send = sim_below(&l.s, 1U << sim_below(&l.s, 22));
    e->chunk = 1 + sim_below(&l.s, 1U << sim_below(&l.s, 16));
    e->manner = sim_chance(&l.s, 100) ? SIM_RUDE : SIM_POLITE;
    e->cookies = false;
    if (sim_chance(&l.s, 500))
        e->listening = true;
    else
        sim_end_connect(e);
    if (sim_chance(&l.s, 900))
        lie_greet(&l);
    for (u32 i = 0; i < LIE_STEPS && !l.s.failed && (e->open || e->listening); i++) {
        lie_once(&l);
        lie_listen(&l.s);
        lie_world(&l.s);
        lie_time(&l.s);
    }
    lie_listen(&l.s);
    sim_end_free(e);
    if (l.s.failed)
        printf("lie %llu: %s\n", (unsigned long long)seed, l.s.failed);
    return !l.s.failed;
}
