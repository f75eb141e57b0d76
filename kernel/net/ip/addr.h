/* SPDX-License-Identifier: MIT
 *
 * The addresses of a namespace, and what kinds of addresses there are (RFC 4291, RFC 5735).
 */
#pragma once

#include "net/core/addr.h"
#include "net/core/ns.h"

struct netdev;

#define IP_LOOPBACK4 0x7f000001U

static inline struct ip_addr ip_loopback6(void)
{
    return (struct ip_addr){.b = {[15] = 1}};
}
static inline bool ip_is_loopback(const struct ip_addr *a)
{
    return ip_is_v4(a) ? a->b[12] == 127 : !a->q[0] && a->q[1] == 1ULL << 56;
}
static inline bool ip_is_multicast(const struct ip_addr *a)
{
    return ip_is_v4(a) ? a->b[12] >> 4 == 14 : a->b[0] == 0xff;
}
static inline bool ip_is_link_local(const struct ip_addr *a)
{
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}
/* IPv6: it means something together with an interface alone. */
static inline bool ip_needs_scope(const struct ip_addr *a)
{
    return ip_is_link_local(a) || (a->b[0] == 0xff && ((a->b[1] & 15) == 1 || (a->b[1] & 15) == 2));
}

/* The interface that has the address, 0: none of this namespace. 127/8 and ::1 are lo's while that
 * is up. */
u32 ip_local_device(struct net_ns *ns, const struct ip_addr *a);

/* The device's first IPv4 address, as ioctls have it. prefix in bits, 0..32. May sleep. */
int ip_addr_set(struct netdev *dev, u32 v4, u8 prefix) __must_check; /* 0 takes it away; -ENOMEM */
bool ip_addr_get(struct netdev *dev, u32 *v4, u8 *prefix);
/* The address that dev asks or answers `for` from; false: it has none. Never sleeps. */
bool ip_addr_of_device(struct netdev *dev, struct ip_addr *out, const struct ip_addr *to);
/* Is `to` a neighbour of dev, by its addresses or a route? Never sleeps. */
bool ip_on_link(struct netdev *dev, const struct ip_addr *to);
