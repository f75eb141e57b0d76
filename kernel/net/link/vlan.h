/* SPDX-License-Identifier: MIT
 *
 * Devices of IEEE 802.1Q: one number (1 to 4094) of a device below, whose frames with that tag are
 * its. It goes up and down with the device below, has its carrier, at most its MTU, its address
 * unless it was given another, and goes away with it. What it wants to receive (groups, all) it
 * asks the device below for.
 *
 * Receiving. ethernet_link.c hands over what has a tag (p->vlan, dev/netdev.h); the frame goes up
 * again as the VLAN's, so that a frame with two tags finds a VLAN on a VLAN. Sending: `pass`.
 *
 * Locks: the table of a device's VLANs is changed under the namespace's config and read within RCU.
 * A VLAN has a reference to the device below until it is freed.
 */
#pragma once

#include "dev/netdev.h"
#include "net/core/ns.h"

#define VLAN_ID_MOST 4094

extern const struct netdev_ops vlan_ops;

/* lower: index. addr NULL: as below; mtu 0: as below. 0; -ENODEV, -EOPNOTSUPP (no ethernet below),
 * -EMLINK (too many one on another), -EEXIST, -ERANGE (id, mtu), -EINVAL (addr), -ENOMEM, -ENFILE.
 * May sleep. */
int vlan_create(struct net_ns *ns, u32 lower, u16 id, const char *name, const u8 *addr,
                u32 mtu) __must_check;
u16 vlan_id(const struct netdev *dev);
u32 vlan_lower(const struct netdev *dev); /* index */
/* A frame of p->dev's with the tag p->vlan, whose number is not 0. Takes p. Never sleeps. */
void vlan_receive(struct packet *p);
