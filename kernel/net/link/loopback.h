/* SPDX-License-Identifier: MIT
 *
 * lo: each namespace has one, with index 1. A new namespace's is down, the first one's up.
 */
#pragma once

#include "dev/netdev.h"
#include "net/core/ns.h"

#define LOOPBACK_INDEX 1

/* Borrowed: it lives as long as the namespace. */
struct netdev *loopback_of(struct net_ns *ns);
static inline bool loopback_is_up(struct net_ns *ns)
{
    return READ_ONCE(loopback_of(ns)->flags) & NETDEV_UP;
}
