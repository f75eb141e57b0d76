/* SPDX-License-Identifier: MIT
 *
 * net.ipv4.ping_group_range: groups, as numbers of the namespace's users, that may make ping
 * sockets; first > last: none may.
 */
#pragma once

#include "net/core/ns.h"

void ping_range_get(struct net_ns *ns, u32 *first, u32 *last);
void ping_range_set(struct net_ns *ns, u32 first, u32 last);
