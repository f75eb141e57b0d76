/* SPDX-License-Identifier: MIT
 *
 * The shell of neighbour discovery: questions are sent, what comes is answered and told to the
 * neighbours and to the detection of duplicates.
 */
#pragma once

#include "net/ip/ip.h"

/* Asks for the neighbour's link address. link: the one to ask; NULL: its group. */
void nd_ask(struct netdev *dev, const struct ip_addr *addr, const u8 *link);
/* Asks whether another has the address already (RFC 4862 5.4.2). */
void nd_probe(struct netdev *dev, const struct ip_addr *addr);
/* A message, from ICMPv6's header, whose checksum is right. Borrows p. */
void nd_receive(struct packet *p, const struct ip_info *h);
