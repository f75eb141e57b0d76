/* SPDX-License-Identifier: MIT
 *
 * What the sysctls of devices say (net.ipv4.conf, net.ipv6.conf, net.ipv4.neigh, net.ipv6.neigh): a
 * number for each device, one for `all` and one for `default`, which a new device begins with. Kept
 * here, so that a device has them from its first moment; what they mean is of those who read them.
 * A new namespace begins with this kernel's values, of IPv4 with what the first namespace has, as
 * on Linux.
 *
 * Reading is one load. Writing is core/sysctl.h's.
 */
#pragma once

#include "dev/netdev.h"
#include "net/core/ns.h"

enum net_conf {
    CONF4_FORWARDING,
    CONF4_RP_FILTER,
    CONF4_ACCEPT_LOCAL,
    CONF4_ROUTE_LOCALNET,
    CONF4_SEND_REDIRECTS,
    CONF4_LOG_MARTIANS,
    CONF4_SRC_VALID_MARK,
    CONF4_ARP_IGNORE,
    CONF4_ARP_ANNOUNCE,
    CONF4_ARP_FILTER,
    CONF4_ARP_NOTIFY,
    CONF4_PROXY_ARP,
    CONF4_PROMOTE,
    CONF4_FORCE_IGMP,
    CONF4_NEIGH_REACHABLE, /* ms; these six lie alike in both families */
    CONF4_NEIGH_RETRANS,   /* ms */
    CONF4_NEIGH_DELAY,     /* s */
    CONF4_NEIGH_ASK_ALL,
    CONF4_NEIGH_ASK_ONE,
    CONF4_NEIGH_STALE, /* s */
    CONF4_LAST = CONF4_NEIGH_STALE,
    CONF6_FORWARDING,
    CONF6_DISABLE,
    CONF6_HOP_LIMIT,
    CONF6_MTU, /* of a device; 0: the device's own */
    CONF6_ACCEPT_DAD,
    CONF6_DAD_TRANSMITS,
    CONF6_ADDR_GEN_MODE,
    CONF6_PROXY_NDP,
    CONF6_NDISC_NOTIFY,
    CONF6_KEEP_ADDR,
    CONF6_FORCE_MLD,
    CONF6_NEIGH_REACHABLE,
    CONF6_NEIGH_RETRANS,
    CONF6_NEIGH_DELAY,
    CONF6_NEIGH_ASK_ALL,
    CONF6_NEIGH_ASK_ONE,
    CONF6_NEIGH_STALE,
    NET_CONFS
};
static_assert(NET_CONFS <= NETDEV_CONF, "dev/netdev.h");

/* Values of `all` and `default`. */
struct net_confs {
    s32 all[NET_CONFS], first[NET_CONFS]; /* a */
};
struct net_confs *net_confs_of(struct net_ns *ns);

static inline s32 net_conf(const struct netdev *dev, enum net_conf c)
{
    return READ_ONCE(dev->conf[c]);
}
static inline s32 net_conf_all(struct net_ns *ns, enum net_conf c)
{
    return READ_ONCE(net_confs_of(ns)->all[c]);
}
/* The larger of the device's and of all's. */
s32 net_conf_most(const struct netdev *dev, enum net_conf c);
/* For core/device.c: a device begins with the namespace's `default`. */
void net_confs_begin(struct net_ns *ns, struct netdev *dev);
