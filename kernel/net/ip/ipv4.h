/* SPDX-License-Identifier: MIT
 *
 * Headers of IPv4 (RFC 791) and ICMP (RFC 792): the pure core, which knows bytes alone and builds
 * on the host.
 */
#pragma once

#include "lib/types.h"

#define IPV4_HEADER 20
#define IPV4_HEADER_MAX 60
#define IPV4_ICMP 1
#define ICMP_HEADER 8

struct ipv4 {
    u8 header; /* bytes, options included */
    u8 tos, ttl, protocol;
    u16 total; /* bytes, header included */
    u16 id;
    u16 fragment;          /* bytes before this one */
    bool more, whole_only; /* MF, DF */
    u32 from, to;          /* as numbers */
};

/* The first n of len bytes; n: at least the header's, if there are so many. 0, -EINVAL: too short,
 * not of version 4, lengths that do not agree, a wrong checksum. */
int ipv4_parse(const u8 *p, u32 n, u32 len, struct ipv4 *out) __must_check;
/* Without options; header and checksum are seen to. */
void ipv4_build(u8 out[IPV4_HEADER], const struct ipv4 *h);
static inline bool ipv4_is_fragment(const struct ipv4 *h)
{
    return h->more || h->fragment;
}
/* What a router does to the header at p: one hop less, and the checksum that goes with it. */
void ipv4_hop(u8 *p);
/* A source route (RFC 791 3.1) is among the options of a header of n bytes, or they are nonsense.
 */
bool ipv4_is_source_routed(const u8 *p, u32 n);
/* The header of n bytes at `head` becomes a fragment's at out, as many bytes: `total` of all, at
 * `offset`; of a later fragment those options that only the first has are blank (RFC 791 3.1). */
void ipv4_fragment_header(u8 *out, const u8 *head, u32 n, u32 total, u32 offset, bool more);
/* May a packet come from there at all (RFC 1122 3.2.1.3)? */
bool ipv4_source_ok(u32 from);

enum icmp_type { ICMP_ECHO_REPLY = 0, ICMP_ECHO = 8 };
/* Turns an echo's header into its answer's: type and checksum (RFC 1624). p: ICMP_HEADER bytes. */
void icmp_echo_answer(u8 *p);
