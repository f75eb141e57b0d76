/* SPDX-License-Identifier: MIT
 *
 * ARP over ethernet for IPv4 (RFC 826, RFC 5227): the pure core of its packets. What is done with
 * them is net/ip's.
 */
#pragma once

#include "lib/types.h"
#include "net/link/ethernet.h"

#define ARP_LENGTH 28

enum arp_operation { ARP_REQUEST = 1, ARP_REPLY = 2 };

struct arp {
    u16 operation;
    u8 from_link[ETHERNET_ADDR], to_link[ETHERNET_ADDR];
    u32 from, to; /* as numbers; from 0: a probe (RFC 5227 2.1.1) */
};

/* n bytes behind the link's header. 0, -EINVAL: too short, of another kind of link or network,
 * another operation, or from a group's address. */
int arp_parse(const u8 *p, u32 n, struct arp *out) __must_check;
void arp_build(u8 out[ARP_LENGTH], const struct arp *a);
