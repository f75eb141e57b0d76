/* SPDX-License-Identifier: MIT
 *
 * Joining received TCP segments of one flow that follow each other into one packet, which the
 * layers above handle once: the pure core. It knows header bytes alone, and builds on the host. The
 * joined packet is what dev/segment.h would cut into the same segments again.
 *
 * What is joined. TCP over IPv4 without options and with "don't fragment", or over IPv6 without
 * extension headers; a right IPv4 checksum; only ACK and PSH set; payload, and nothing behind it.
 * A segment continues another when all header words are the same but lengths, checksums, IPv4's
 * identification and PSH, and its sequence number is the next. All but the last are of one size; a
 * shorter one, or PSH, ends the join. The caller has verified the segments' own checksums.
 */
#pragma once

#include "lib/types.h"

#define JOIN_HEAD 114          /* bytes of a frame that are looked at: 14 + 40 + 60 */
#define JOIN_LENGTH_MAX 65535U /* of what IP counts */

enum join_kind {
    JOIN_OTHER,   /* not TCP: no flow */
    JOIN_ALONE,   /* of a flow, but not to be joined */
    JOIN_SEGMENT, /* may be joined */
};

/* What a frame is. The rest is meaningful unless it is JOIN_OTHER. */
struct join_view {
    u8 kind; /* enum join_kind */
    bool v6;
    u16 network, transport, header; /* offsets; header: bytes of all headers */
    u32 payload;
    u32 flow; /* a hash of addresses and ports */
};

/* What was joined so far: of `first`, whose headers the caller keeps. */
struct join {
    struct join_view first;
    u32 payload, segments;
    bool ends; /* no more is to be joined */
};

/* A frame of len bytes of which the first n, JOIN_HEAD or all, are at head; its IP header begins at
 * `network`; type: its ethertype. */
void join_look(const u8 *head, u32 n, u32 len, u16 network, u16 type, struct join_view *out);
/* Whether both, neither JOIN_OTHER, are of one flow: from and to the same addresses and ports. */
bool join_same_flow(const u8 *a, const struct join_view *va, const u8 *b,
                    const struct join_view *vb);
void join_begin(struct join *j, const u8 *head, const struct join_view *v);
/* Whether b, a JOIN_SEGMENT of j's flow, continues j, whose first segment's headers are at head. */
bool join_continues(const struct join *j, const u8 *head, const u8 *b, const struct join_view *vb);
/* It does, and is j's from now on. */
void join_add(struct join *j, u8 *head, const u8 *b, const struct join_view *vb);
/* The headers become those of the whole: the transport's checksum field has the sum of the pseudo
 * header, as in a packet that is still to be cut and summed. */
void join_finish(const struct join *j, u8 *head);
