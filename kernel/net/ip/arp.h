/* SPDX-License-Identifier: MIT
 *
 * ARP's shell: questions are sent, what comes is answered and told to the neighbours.
 */
#pragma once

#include "dev/netdev.h"
#include "net/core/addr.h"

/* Asks for the owner of the address. link: the one to ask; NULL: all. Never sleeps. */
void arp_ask(struct netdev *dev, const struct ip_addr *addr, const u8 *link);
