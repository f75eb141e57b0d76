/* SPDX-License-Identifier: MIT
 *
 * An address of the internet as values that are passed around: 128 bits, IPv4 in the mapped range
 * ::ffff:0:0/96 (RFC 4291 2.5.5.2). Bytes lie as on the wire. 0.0.0.0 is ::ffff:0.0.0.0 and is not
 * ::. What addresses mean is net/ip's.
 */
#pragma once

#include "lib/string.h"
#include "lib/types.h"

struct ip_addr {
    union {
        u8 b[16];
        u32 w[4];
        u64 q[2];
    };
};

#define IP_MAPPED_WORD 0xffff0000U /* 00 00 ff ff in memory */

static inline u32 ip_swap32(u32 x)
{
    return __builtin_bswap32(x);
}
/* v4: as a number, 0x7f000001 is 127.0.0.1. */
static inline struct ip_addr ip_from_v4(u32 v4)
{
    return (struct ip_addr){.w = {0, 0, IP_MAPPED_WORD, ip_swap32(v4)}};
}
static inline u32 ip_v4(const struct ip_addr *a)
{
    return ip_swap32(a->w[3]);
}
static inline bool ip_is_v4(const struct ip_addr *a)
{
    return !a->q[0] && a->w[2] == IP_MAPPED_WORD;
}
static inline bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return a->q[0] == b->q[0] && a->q[1] == b->q[1];
}
/* :: or 0.0.0.0 */
static inline bool ip_is_any(const struct ip_addr *a)
{
    return !a->q[0] && !a->w[3] && (!a->w[2] || a->w[2] == IP_MAPPED_WORD);
}
static inline int ip_compare(const struct ip_addr *a, const struct ip_addr *b)
{
    return memcmp(a, b, sizeof(*a));
}
