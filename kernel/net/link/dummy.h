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
