/* SPDX-License-Identifier: MIT
 *
 * The wire: one for each direction, with a rate, a queue, a delay, and all that can happen to
 * packets.
 */
#include "lib/checksum.h"
#include "lib/string.h"
#include "sim.h"

#include <stdlib.h>

#define STREAM_PERIOD 65521U /* a prime: no length of a segment divides it */
#define STREAM_MOST 65536U

u64 sim_random(struct sim *s)
{
    u64 z = s->chance += 0x9e3779b97f4a7c15ULL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

u32 sim_below(struct sim *s, u32 n)
{
    return n ? (u32)(sim_random(s) % n) : 0;
}

bool sim_chance(struct sim *s, u32 thousandths)
{
    return thousandths && sim_below(s, 1000) < thousandths;
}

const u8 *sim_stream(u32 from, u32 at, u32 n)
{
    static u8 bytes[2][STREAM_PERIOD + STREAM_MOST];

    if (!bytes[0][1]) {
        for (u32 i = 0; i < sizeof(bytes[0]); i++) {
            bytes[0][i] = (u8)((i % STREAM_PERIOD) * 2654435761U >> 24 | 1);
            bytes[1][i] = (u8)((i % STREAM_PERIOD) * 2246822519U >> 23);
        }
    }
    return bytes[from] + at % STREAM_PERIOD;
}

void sim_trace(struct sim *s, const struct tcp_segment *seg, u32 from, const char *what)
{
    const struct tcp_conn *c = &s->ends[from].conn;

    if (!s->trace)
        return;
    fprintf(s->trace, "%12.6f %u> %s%s%s%s%s%s seq %u ack %u len %u win %u", (double)s->now / 1e9,
            from, seg->flags & TCP_SYN ? "S" : "", seg->flags & TCP_FIN ? "F" : "",
            seg->flags & TCP_RST ? "R" : "", seg->flags & TCP_PSH ? "P" : "",
            seg->flags & TCP_ACK ? "." : "", seg->flags & TCP_URG ? "U" : "", seg->seq - c->iss,
            seg->ack - c->irs, seg->len, seg->window);
    for (u32 i = 0; i < seg->nr_sacks; i++)
        fprintf(s->trace, " [%u,%u)", seg->sacks[i].from - c->irs, seg->sacks[i].to - c->irs);
    fprintf(s->trace, " %s (state %u cwnd %u pipe %u lost %u phase %u)\n", what, c->state,
            c->congestion.window, c->pipe, c->lost_bytes, c->phase);
}

static void wire_insert(struct sim *s, struct sim_packet *p)
{
    struct sim_packet **at = &s->wire;

    p->order = s->order++;
    while (*at && ((*at)->at < p->at || ((*at)->at == p->at && (*at)->order < p->order)))
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}

static struct sim_packet *wire_packet(u32 n)
{
    struct sim_packet *p = calloc(1, sizeof(*p) + n);

    if (!p)
        abort();
    p->len = n;
    return p;
}

static void wire_damage(struct sim *s, struct sim_packet *p)
{
    p->bytes[sim_below(s, p->len)] ^= (u8)(1U << sim_below(s, 8));
}

/* When a packet of n bytes has left, or 0: the queue is full. */
static u64 wire_leave(struct sim *s, struct sim_wire *w, u32 n)
{
    u64 begin = MAX(s->now, w->busy);

    if (!w->gap)
        return s->now;
    if ((begin - s->now) / w->gap > w->queue)
        return 0;
    w->busy = begin + n * w->gap;
    return w->busy;
}

static void wire_too_big(struct sim_end *from, const struct tcp_segment *seg)
{
    struct sim_packet *p = wire_packet(0);

    p->icmp = true;
    p->to = from->number;
    p->mtu = from->out.mtu;
    p->seq = seg->seq;
    p->at = from->sim->now + from->out.delay;
    wire_insert(from->sim, p);
}

static void wire_copy(struct sim_end *from, const struct tcp_segment *seg, const u8 *payload,
                      u64 leaves)
{
    struct sim *s = from->sim;
    struct sim_wire *w = &from->out;
    u32 header = tcp_segment_header(seg);
    struct sim_packet *p = wire_packet(header + seg->len);
    u16 sum;

    tcp_segment_build(p->bytes, seg);
    if (seg->len)
        memcpy(p->bytes + header, payload, seg->len);
    sum = checksum_of(p->bytes, p->len);
    memcpy(p->bytes + 16, &sum, 2);
    p->to = !from->number;
    p->ecn = seg->ecn;
    if (seg->ecn && sim_chance(s, w->mark))
        p->ecn = TCP_CE;
    if (sim_chance(s, w->damage))
        wire_damage(s, p);
    p->at = leaves + w->delay + (w->jitter ? sim_random(s) % w->jitter : 0);
    if (sim_chance(s, w->reorder))
        p->at += w->delay + sim_random(s) % (4 * w->delay + SIM_MS);
    wire_insert(s, p);
}

void sim_wire_send(struct sim_end *from, const struct tcp_segment *seg, const u8 *payload)
{
    struct sim *s = from->sim;
    struct sim_wire *w = &from->out;
    u32 n = SIM_IP_HEADER + tcp_segment_header(seg) + seg->len;
    u64 leaves;

    from->sent++;
    if (n > w->mtu) {
        sim_trace(s, seg, from->number, "too big");
        wire_too_big(from, seg);
        return;
    }
    leaves = wire_leave(s, w, n);
    if (!leaves || sim_chance(s, w->lose)) {
        sim_trace(s, seg, from->number, "lost");
        return;
    }
    sim_trace(s, seg, from->number, "");
    wire_copy(from, seg, payload, leaves);
    if (sim_chance(s, w->doubled))
        wire_copy(from, seg, payload, leaves);
}

struct sim_packet *sim_wire_next(struct sim *s, u64 until)
{
    struct sim_packet *p = s->wire;

    if (!p || p->at > until)
        return NULL;
    s->wire = p->next;
    p->next = NULL;
    return p;
}

void sim_wire_clear(struct sim *s)
{
    struct sim_packet *p;

    while ((p = sim_wire_next(s, U64_MAX)))
        free(p);
}
