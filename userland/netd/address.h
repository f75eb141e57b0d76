// SPDX-License-Identifier: MIT
// An IP address of either family, and a network: what configuration and the protocols hand to the
// shell. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_TEXT 64 /* of the longest with its prefix */

struct address {
    uint8_t family; /* AF_INET, AF_INET6; 0: none */
    uint8_t prefix; /* bits, where a network or an interface's address is meant */
    uint8_t bytes[16];
};

struct address address_v4(uint32_t host_order, unsigned prefix);
struct address address_v6(const uint8_t bytes[16], unsigned prefix);
size_t address_size(const struct address *a);  /* 4 or 16 */
uint32_t address_u32(const struct address *a); /* of an IPv4 one, in the machine's order */
/* Whether all of a network, or an address, lies in another one. */
bool address_within(const struct address *a, const struct address *network);
bool address_same(const struct address *a, const struct address *b); /* the prefix counts too */
bool address_host_same(const struct address *a, const struct address *b); /* it does not */
/* The text [s, s + len): an address, with a prefix where `with_prefix`, brackets around IPv6 taken
 * off. Without a slash the prefix is all of it. False when it is none. */
bool address_parse(const char *s, size_t len, bool with_prefix, struct address *out);
/* Its text into ADDRESS_TEXT bytes, with /PREFIX where asked for; returns it. */
char *address_text(const struct address *a, bool with_prefix, char *out);
/* What a host may have: not unspecified, loopback, multicast, broadcast, class E. */
bool address_v4_usable(uint32_t host_order);
/* A prefix for a netmask; -1 when its bits are not one run from the left. */
int address_mask_prefix(uint32_t mask);
