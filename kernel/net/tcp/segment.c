/* SPDX-License-Identifier: MIT
 *
 * Headers of TCP: RFC 9293 3.1 and 3.2, RFC 2018 3, RFC 7323 2 and 3. Every byte comes from the
 * wire.
 */
#include "net/tcp/segment.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "lib/wire.h"

enum { OPT_END = 0, OPT_NOP = 1, OPT_MSS = 2, OPT_SCALE = 3, OPT_SACK_OK = 4, OPT_SACK = 5 };
enum { OPT_TIME = 8 };
#define SEGMENT_TIME (OPT_NOP << 24 | OPT_NOP << 16 | OPT_TIME << 8 | 10)

/* Blocks that are empty or run backwards are left out. */
static void segment_parse_sacks(const u8 *p, u32 n, struct tcp_segment *out)
{
    for (u32 at = 2; at + 8 <= n && out->nr_sacks < TCP_SACKS; at += 8) {
        struct tcp_sack sack = {wire_u32(p + at), wire_u32(p + at + 4)};

        if (tcp_before(sack.from, sack.to))
            out->sacks[out->nr_sacks++] = sack;
    }
}

/* One option of n bytes, its kind and length included. MSS, scale and SACK permitted count in a
 * SYN alone. */
static void segment_parse_option(const u8 *p, u32 n, struct tcp_segment *out)
{
    bool syn = out->flags & TCP_SYN;

    if (p[0] == OPT_MSS && n == 4 && syn) {
        out->mss = wire_u16(p + 2);
        out->has |= TCP_HAS_MSS;
    } else if (p[0] == OPT_SCALE && n == 3 && syn) {
        out->scale = MIN(p[2], (u8)TCP_SCALE_MAX);
        out->has |= TCP_HAS_SCALE;
    } else if (p[0] == OPT_SACK_OK && n == 2 && syn) {
        out->has |= TCP_HAS_SACK_OK;
    } else if (p[0] == OPT_SACK && n >= 10 && (n - 2) % 8 == 0 && !syn) {
        segment_parse_sacks(p, n, out);
    } else if (p[0] == OPT_TIME && n == 10) {
        out->time = wire_u32(p + 2);
        out->echo = wire_u32(p + 6);
        out->has |= TCP_HAS_TIME;
    }
}

/* Nearly all segments have one option, and it lies so (RFC 7323 appendix A). */
static bool segment_parse_time(const u8 *p, u32 n, struct tcp_segment *out)
{
    if (n != TCP_TIME_OPTION || wire_u32(p) != SEGMENT_TIME)
        return false;
    out->time = wire_u32(p + 4);
    out->echo = wire_u32(p + 8);
    out->has = TCP_HAS_TIME;
    return true;
}

static void segment_parse_options(const u8 *p, u32 n, struct tcp_segment *out)
{
    u32 len;

    if (segment_parse_time(p, n, out))
        return;
    for (u32 at = 0; at < n && p[at] != OPT_END; at += len) {
        len = 1;
        if (p[at] == OPT_NOP)
            continue;
        if (n - at < 2)
            return;
        len = p[at + 1];
        if (len < 2 || len > n - at)
            return;
        segment_parse_option(p + at, len, out);
    }
}

int tcp_segment_parse(const u8 *p, u32 n, u32 len, struct tcp_segment *out)
{
    u32 header;

    if (n < TCP_HEADER || len < TCP_HEADER)
        return -EINVAL;
    header = tcp_segment_header_of(p);
    if (header < TCP_HEADER || header > n || header > len)
        return -EINVAL;
    *out = (struct tcp_segment){
        .from_port = wire_u16(p),
        .to_port = wire_u16(p + 2),
        .seq = wire_u32(p + 4),
        .ack = wire_u32(p + 8),
        .header = (u8)header,
        .flags = p[13],
        .window = wire_u16(p + 14),
        .urgent = wire_u16(p + 18),
        .len = len - header,
    };
    segment_parse_options(p + TCP_HEADER, header - TCP_HEADER, out);
    return 0;
}

/* Bytes of options but SACK. */
static u32 segment_plain_options(const struct tcp_segment *s)
{
    return (s->has & TCP_HAS_MSS ? 4U : 0) + (s->has & TCP_HAS_SCALE ? 4U : 0) +
           (s->has & TCP_HAS_SACK_OK ? 4U : 0) + (s->has & TCP_HAS_TIME ? TCP_TIME_OPTION : 0U);
}

/* Blocks that fit. */
static u32 segment_sacks(const struct tcp_segment *s)
{
    u32 space = TCP_HEADER_MAX - TCP_HEADER - segment_plain_options(s);

    return space < 12 ? 0 : MIN(s->nr_sacks, (space - 4) / 8);
}

u32 tcp_segment_header(const struct tcp_segment *s)
{
    u32 sacks = segment_sacks(s);

    return TCP_HEADER + segment_plain_options(s) + (sacks ? 4 + sacks * 8 : 0);
}

static u8 *segment_put_sacks(u8 *p, const struct tcp_segment *s)
{
    u32 n = segment_sacks(s);

    if (!n)
        return p;
    p = wire_put_u32(p, OPT_NOP << 24 | OPT_NOP << 16 | OPT_SACK << 8 | (2 + n * 8));
    for (u32 i = 0; i < n; i++)
        p = wire_put_u32(wire_put_u32(p, s->sacks[i].from), s->sacks[i].to);
    return p;
}

/* Each option fills words of four bytes. */
static u8 *segment_put_options(u8 *p, const struct tcp_segment *s)
{
    if (s->has & TCP_HAS_MSS)
        p = wire_put_u32(p, (u32)OPT_MSS << 24 | 4 << 16 | s->mss);
    if (s->has & TCP_HAS_SACK_OK)
        p = wire_put_u32(p, OPT_NOP << 24 | OPT_NOP << 16 | OPT_SACK_OK << 8 | 2);
    if (s->has & TCP_HAS_TIME) {
        p = wire_put_u32(p, SEGMENT_TIME);
        p = wire_put_u32(wire_put_u32(p, s->time), s->echo);
    }
    if (s->has & TCP_HAS_SCALE)
        p = wire_put_u32(p, OPT_NOP << 24 | OPT_SCALE << 16 | 3 << 8 | s->scale);
    return segment_put_sacks(p, s);
}

u32 tcp_segment_build(u8 out[TCP_HEADER_MAX], const struct tcp_segment *s)
{
    u32 header = tcp_segment_header(s);
    u8 *p = wire_put_u16(wire_put_u16(out, s->from_port), s->to_port);

    p = wire_put_u32(wire_put_u32(p, s->seq), s->ack);
    *p++ = (u8)(header / 4 << 4);
    *p++ = (u8)s->flags;
    p = wire_put_u16(p, s->window);
    p = wire_put_u16(wire_put_u16(p, 0), s->urgent);
    segment_put_options(p, s);
    return header;
}

bool tcp_segment_refuse(const struct tcp_segment *in, struct tcp_segment *out)
{
    if (in->flags & TCP_RST)
        return false;
    *out = (struct tcp_segment){.from_port = in->to_port, .to_port = in->from_port};
    if (in->flags & TCP_ACK) {
        out->seq = in->ack;
        out->flags = TCP_RST;
    } else {
        out->ack = tcp_segment_end(in);
        out->flags = TCP_RST | TCP_ACK;
    }
    return true;
}
