/* SPDX-License-Identifier: MIT
 *
 * Headers of IPv6 (RFC 8200) and its neighbour discovery (RFC 4861): the pure core, which knows
 * bytes alone and builds on the host.
 */
#pragma once

#include "net/core/addr.h"

#define IPV6_HEADER 40
#define IPV6_FRAGMENT_HEADER 8
#define IPV6_MIN_MTU 1280
#define IPV6_CHAIN_MOST 8   /* extension headers of a packet (RFC 8504 5.3) */
#define IPV6_OPTIONS_MOST 8 /* options of a header, padding included */
#define IPV6_FRAGMENT_NEXT 44
#define IPV6_ICMP 58
#define IPV6_NONE 59

struct ipv6 {
    u8 tos, next, hops;
    u16 payload; /* bytes behind the header */
    u32 flow;
    struct ip_addr from, to;
};
/* The first n of len bytes. 0, -EINVAL: too short, not of version 6, longer than the frame, or a
 * jumbogram. */
int ipv6_parse(const u8 *p, u32 n, u32 len, struct ipv6 *out) __must_check;
void ipv6_build(u8 out[IPV6_HEADER], const struct ipv6 *h);
/* May a packet have these ends on a wire: not from a group, not to the wildcard, nothing of the
 * mapped range or the loopback. */
bool ipv6_ends_ok(const struct ipv6 *h);

enum ipv6_verdict {
    IPV6_DELIVER,  /* protocol and at say to whom */
    IPV6_FRAGMENT, /* a fragment's header is at `at` */
    IPV6_DROP,
    IPV6_PROBLEM, /* answered with a parameter problem: code and at; of a group only if code is 2 */
};
struct ipv6_chain {
    u8 protocol; /* of what is at `at`; of IPV6_FRAGMENT: behind its header */
    u8 code;
    u32 at;   /* bytes from the IPv6 header */
    u32 link; /* where the byte is that names it */
    bool group_too;
};
/* Walks the extension headers in the first n bytes of a packet of len bytes, from the IPv6 header.
 */
enum ipv6_verdict ipv6_chain(const u8 *p, u32 n, u32 len, struct ipv6_chain *out);

struct ipv6_fragment {
    u32 id, offset;
    bool more;
};
/* Its header, of IPV6_FRAGMENT_HEADER bytes. */
void ipv6_fragment_parse(const u8 *p, struct ipv6_fragment *out);
void ipv6_fragment_build(u8 *out, u8 next, u32 id, u32 offset, bool more);

enum {
    ICMP6_UNREACHABLE = 1,
    ICMP6_TOO_BIG = 2,
    ICMP6_TIME = 3,
    ICMP6_PROBLEM = 4,
    ICMP6_ECHO = 128,
    ICMP6_ECHO_REPLY = 129,
    ICMP6_MLD_REPORT = 143,
    ICMP6_SOLICIT = 135,
    ICMP6_ADVERTISE = 136,
};

#define ND_HEADER 24
#define ND_LENGTH 32 /* with a link address */
#define ND_HOPS 255

struct nd {
    u8 type; /* ICMP6_SOLICIT, ICMP6_ADVERTISE */
    bool router, solicited, override;
    bool has_link;
    struct ip_addr target;
    u8 link[6]; /* the source's of a solicitation, the target's of an advertisement */
};
/* n bytes from ICMPv6's header of a message that came with such an IP header. 0, -EINVAL (RFC 4861
 * 7.1.1, 7.1.2). */
int nd_parse(const u8 *p, u32 n, const struct ip_addr *from, const struct ip_addr *to, u8 hops,
             struct nd *out) __must_check;
/* Its bytes, the checksum 0; returns how many. */
u32 nd_build(u8 out[ND_LENGTH], const struct nd *m);
/* The group that the neighbour with the address listens to. */
struct ip_addr nd_group(const struct ip_addr *addr);
/* fe80::/64 and the modified EUI-64 of a link address (RFC 4291 A). */
struct ip_addr nd_link_local(const u8 link[6]);
