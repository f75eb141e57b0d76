/* SPDX-License-Identifier: MIT
 *
 * Ethernet frames: the pure core. It knows bytes alone, and builds on the host.
 */
#pragma once

#include "lib/types.h"

#define ETHERNET_ADDR 6
#define ETHERNET_HEADER 14
#define ETHERNET_MTU 1500
#define ETHERNET_MIN_TYPE 0x0600 /* below: a length, IEEE 802.3 */
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_IPV6 0x86dd

struct ethernet {
    u8 to[ETHERNET_ADDR], from[ETHERNET_ADDR];
    u16 type;   /* ethertype */
    u16 vlan;   /* its number, 0: none, or a priority alone */
    u16 header; /* bytes */
};

static inline bool ethernet_equal(const u8 *a, const u8 *b)
{
    return !__builtin_memcmp(a, b, 4) && !__builtin_memcmp(a + 4, b + 4, 2);
}
static inline bool ethernet_is_multicast(const u8 *addr)
{
    return addr[0] & 1;
}
/* frame: its first n bytes; n is 18, or the length of a shorter frame. 0, -EINVAL: too short; of
 * 802.3; from a group's address; tagged twice. */
int ethernet_parse(const u8 *frame, u32 n, struct ethernet *out) __must_check;
void ethernet_build(u8 out[ETHERNET_HEADER], const u8 *to, const u8 *from, u16 type);
