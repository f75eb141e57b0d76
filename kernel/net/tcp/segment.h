/* SPDX-License-Identifier: MIT
 *
 * A TCP segment as numbers (RFC 9293 3.1, options of RFC 2018 and RFC 7323): the pure core that
 * reads and writes headers. Whoever calls it sees to the checksum and to the ports' meaning.
 *
 * Sequence numbers are u32 that wrap: they are compared by tcp_before and tcp_after alone.
 */
#pragma once

#include "lib/types.h"

#define TCP_HEADER 20
#define TCP_HEADER_MAX 60
#define TCP_SACKS 4 /* blocks that fit into a header */
#define TCP_SCALE_MAX 14
#define TCP_MSS_DEFAULT 536 /* of a peer that names none (RFC 9293 3.7.1) */
#define TCP_MSS_LEAST 48    /* what is believed of a peer or a path at the least */
#define TCP_TIME_OPTION 12  /* bytes that timestamps take of each segment */

enum tcp_flags {
    TCP_FIN = 1 << 0,
    TCP_SYN = 1 << 1,
    TCP_RST = 1 << 2,
    TCP_PSH = 1 << 3,
    TCP_ACK = 1 << 4,
    TCP_URG = 1 << 5,
    TCP_ECE = 1 << 6,
    TCP_CWR = 1 << 7,
};
enum tcp_has { /* options */
               TCP_HAS_MSS = 1 << 0,
               TCP_HAS_SCALE = 1 << 1,
               TCP_HAS_SACK_OK = 1 << 2,
               TCP_HAS_TIME = 1 << 3,
};
enum tcp_ecn { TCP_NOT_ECT = 0, TCP_ECT1 = 1, TCP_ECT0 = 2, TCP_CE = 3 }; /* IP's two bits */

struct tcp_sack {
    u32 from, to; /* bytes from `from` up to, not including, `to` */
};

struct tcp_segment {
    u16 from_port, to_port;
    u32 seq, ack;
    u32 len; /* bytes of payload */
    u16 flags;
    u16 window; /* as in the header */
    u16 urgent;
    u8 header; /* bytes, options included */
    u8 ecn;    /* enum tcp_ecn: of the IP header, the caller's to fill in */
    u8 has;    /* enum tcp_has */
    u8 scale;
    u16 mss;
    u32 time, echo; /* TSval, TSecr */
    u32 nr_sacks;
    struct tcp_sack sacks[TCP_SACKS];
};

static inline bool tcp_before(u32 a, u32 b)
{
    return (s32)(a - b) < 0;
}
static inline bool tcp_after(u32 a, u32 b)
{
    return (s32)(a - b) > 0;
}
static inline u32 tcp_seq_max(u32 a, u32 b)
{
    return tcp_after(a, b) ? a : b;
}
static inline u32 tcp_seq_min(u32 a, u32 b)
{
    return tcp_before(a, b) ? a : b;
}
/* The scale that lets a window reach `bytes` (RFC 7323 2.3). */
static inline u8 tcp_scale_for(u32 bytes)
{
    u8 scale = 0;

    while (scale < TCP_SCALE_MAX && bytes >> scale > 65535)
        scale++;
    return scale;
}
/* Sequence numbers that it takes: bytes, SYN and FIN. */
static inline u32 tcp_segment_space(const struct tcp_segment *s)
{
    return s->len + !!(s->flags & TCP_SYN) + !!(s->flags & TCP_FIN);
}
static inline u32 tcp_segment_end(const struct tcp_segment *s)
{
    return s->seq + tcp_segment_space(s);
}

/* The header's bytes, as its first TCP_HEADER bytes say. */
static inline u32 tcp_segment_header_of(const u8 *p)
{
    return (u32)(p[12] >> 4) * 4;
}
/* p: the first n bytes of a segment of len bytes; n: the header's at the least, if there are so
 * many. Unknown options are skipped; one that is malformed ends the list, and the rest of the
 * header is good. 0, -EINVAL: it is no segment. */
int tcp_segment_parse(const u8 *p, u32 n, u32 len, struct tcp_segment *out) __must_check;
/* Bytes of the header that tcp_segment_build writes for it. */
u32 tcp_segment_header(const struct tcp_segment *s);
/* The header, its checksum field 0. Blocks that do not fit are left out. Returns its bytes. */
u32 tcp_segment_build(u8 out[TCP_HEADER_MAX], const struct tcp_segment *s);
/* The reset that answers a segment which belongs to no connection (RFC 9293 3.10.7.1), ports
 * exchanged. false: it gets none, being a reset itself. */
bool tcp_segment_refuse(const struct tcp_segment *in, struct tcp_segment *out) __must_check;
