/* SPDX-License-Identifier: MIT
 *
 * Devices that swallow what is sent and receive nothing: for an address that belongs to no link.
 */
#pragma once

#include "dev/netdev.h"
#include "net/core/ns.h"

extern const struct netdev_ops dummy_ops;

/* addr: NULL: one is chosen. mtu 0: 1500. 0, -EINVAL (addr, mtu), -ENOMEM, net_device_add's. */
int dummy_create(struct net_ns *ns, const char *name, const u8 *addr, u32 mtu) __must_check;
/* A device of that name in ns takes dev's place, with its addresses and sizes, down; *out: a
 * reference to it. 0 or -errno: then dev is as it was. May sleep. */
int dummy_move(struct netdev *dev, struct net_ns *ns, const char *name,
               struct netdev **out) __must_check;
