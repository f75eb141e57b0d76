/* SPDX-License-Identifier: MIT
 *
 * lo: each namespace has one, with index 1. A new namespace's is down, the first one's up.
 *
 * What is sent over lo is received in the sender's own context, before the send returns; the sender
 * holds no lock that a protocol's `receive` takes. What is sent while something is received (an
 * answer) waits until that has been, so that nothing nests, and NETDEV_BUDGET packets of one send
 * at most are received so: a net worker takes the rest.
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
/* Takes p, which begins with its network header, and whose p->protocol is set. 0, -ENETDOWN,
 * -ENOBUFS. Never sleeps. */
int loopback_send(struct netdev *lo, struct packet *p);
