/* SPDX-License-Identifier: MIT
 *
 * Cutting a packet that is larger than the link takes into segments, each with headers of its own:
 * TCP over IPv4 and IPv6, and datagrams of UDP (a batch of equal ones, the last may be shorter).
 * The pure core: it knows header bytes alone, and builds on the host.
 *
 * Each segment's headers are the whole's but for lengths, the IPv4 identification (which counts)
 * and checksum, TCP's sequence number and flags (FIN and PSH belong to the last segment, CWR to the
 * first: RFC 3168 6.1.2) and the sum of the pseudo header in the transport's checksum field, of
 * which the rest is still to be summed, as in the whole (dev/packet.h: PACKET_CSUM_PARTIAL).
 *
 * The packet may come from a program or a guest (packet sockets, taps): segment_plan refuses what
 * is not as it says. Callers ask it first.
 */
#pragma once

#include "lib/types.h"

#define SEGMENT_HEADER_MAX 192 /* bytes of all headers */
#define SEGMENT_COUNT_MAX 1400 /* 64 KiB of the smallest that TCP sends; bounds the work */

enum segment_kind { SEGMENT_TCP, SEGMENT_UDP };

struct segment_plan {
    u16 network, transport; /* offsets of those headers */
    u16 header;             /* bytes of all headers */
    u16 size;               /* payload bytes of each segment but the last */
    u32 payload;            /* of the whole */
    u32 count;              /* segments, 1 at least */
    u8 kind;                /* enum segment_kind */
    bool v6;
};

/* A packet of len bytes, of which the first n are at head: its network header begins at `network`,
 * its transport header at `transport`. 0; -EINVAL: it is not what `gso` (enum packet_gso) says, is
 * cut short, has no payload, or would be more than SEGMENT_COUNT_MAX. */
int segment_plan(const u8 *head, u32 n, u32 len, u8 gso, u16 size, u16 network, u16 transport,
                 struct segment_plan *out) __must_check;
/* Payload bytes of segment i. */
static inline u32 segment_bytes(const struct segment_plan *s, u32 i)
{
    return i + 1 < s->count ? s->size : s->payload - i * s->size;
}
/* Writes the headers of segment i, s->header bytes, to out; head: the whole's. */
void segment_headers(const struct segment_plan *s, const u8 *head, u32 i, u8 *out);
/* Makes the headers at head those that a device cuts by itself which adds the lengths to all sums:
 * lengths and the IPv4 checksum are zero, the transport's holds the pseudo header without length.
 */
void segment_for_device(const struct segment_plan *s, u8 *head);
