/* SPDX-License-Identifier: MIT
 *
 * Taps: who sees packets as devices have them, link header first, beside their receivers (packet
 * sockets). A device without a tap costs one load for each packet.
 *
 * A tap is of one namespace, and of one of its devices or of all. It is called where the packet
 * passes: the thread of a device's queue, or a sender's; it never sleeps, borrows the packet and
 * copies what it wants. net_tap_remove returns when it is not called any more.
 *
 * What a packet costs those who send and receive it is bounded: a namespace has at most TAPS_MOST
 * taps, of which TAPS_SEE may see all devices and as many each single one; and all taps together
 * have FILTER_BUDGET (filter.h) for one packet, of which each that takes it pays TAP_STEP and its
 * filter's length. One for which too little is left does not see the packet.
 */
#pragma once

#include "dev/netdev.h"
#include "net/core/ns.h"

#define TAPS_MOST 1024U
#define TAPS_SEE 256U
#define TAP_STEP 32U /* instructions that a copy counts for */

struct net_tap {
    struct list_node node; /* the namespace's taps */
    struct net_ns *ns;     /* I while it is added */
    u32 device;            /* I  0: all */
    /* sent: it leaves by p->dev; else it came. *budget: what is left, for filter_pay. */
    void (*packet)(struct net_tap *t, const struct packet *p, bool sent, u32 *budget);
};

/* -ENOBUFS: there are as many as there may be. May sleep. */
int net_tap_add(struct net_tap *t) __must_check;
void net_tap_remove(struct net_tap *t);
/* A device comes into ns: what it costs is known. */
void net_tap_device(struct net_ns *ns, struct netdev *dev);
/* Shows p, whose link header it makes linear, to the taps of its device. */
void net_tap_show(struct net_ns *ns, struct packet *p, bool sent);
