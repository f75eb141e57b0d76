/* SPDX-License-Identifier: MIT
 *
 * Links' messages: struct ifinfomsg and numbers of linux/if_link.h, and what the files of links
 * share.
 */
#pragma once

#include "net/netlink/rtnl.h"

#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772
#define LINK_STATS 25 /* words of struct rtnl_link_stats64 */

struct ifinfo {
    u8 family, pad;
    u16 type;
    s32 index;
    u32 flags, change;
};
enum {
    IFLA_ADDRESS = 1,
    IFLA_BROADCAST = 2,
    IFLA_IFNAME = 3,
    IFLA_MTU = 4,
    IFLA_LINK = 5,
    IFLA_QDISC = 6,
    IFLA_STATS = 7,
    IFLA_MASTER = 10,
    IFLA_TXQLEN = 13,
    IFLA_OPERSTATE = 16,
    IFLA_LINKMODE = 17,
    IFLA_LINKINFO = 18,
    IFLA_NET_NS_PID = 19,
    IFLA_IFALIAS = 20,
    IFLA_STATS64 = 23,
    IFLA_AF_SPEC = 26,
    IFLA_GROUP = 27,
    IFLA_NET_NS_FD = 28,
    IFLA_EXT_MASK = 29,
    IFLA_PROMISCUITY = 30,
    IFLA_NUM_TX_QUEUES = 31,
    IFLA_NUM_RX_QUEUES = 32,
    IFLA_CARRIER = 33,
    IFLA_CARRIER_CHANGES = 35,
    IFLA_TARGET_NETNSID = 46,
    IFLA_NEW_IFINDEX = 49,
    IFLA_MIN_MTU = 50,
    IFLA_MAX_MTU = 51,
    IFLA_PROP_LIST = 52,
    IFLA_ALT_IFNAME = 53,
    IFLA_PERM_ADDRESS = 54,
    IFLA_RULES,
};
enum { IFLA_INFO_KIND = 1, IFLA_INFO_DATA = 2 };

/* NULL: hardware's, or lo. */
const struct rtnl_kind *rtnl_kind_of(const struct netdev *dev);
const struct rtnl_kind *rtnl_kind_named(const char *name);
/* The device of an index, else of IFLA_IFNAME, else of IFLA_ALT_IFNAME: a reference. NULL with
 * *err: -ENODEV, -EINVAL (none of them). a: a request's attributes. */
struct netdev *rtnl_link_find(struct nl_request *r, const struct ifinfo *i, const struct nl_attr *a,
                              int *err);
/* rtnl_link_ns.c: the namespace that IFLA_NET_NS_PID or _FD names, in which the caller must have
 * CAP_NET_ADMIN as well: a reference; NULL: neither is there, or it is the request's own. 0,
 * -EPERM, -EBADF, -EINVAL, -ESRCH. */
int rtnl_link_target(struct nl_request *r, const struct nl_attr *a,
                     struct net_ns **out) __must_check;
/* dev goes there, under that name (NULL: its own): *out is a reference to what it is there. 0,
 * -EOPNOTSUPP, -EEXIST, -ENODEV (it went meanwhile), -ENFILE, -ENOMEM. May sleep. */
int rtnl_link_move(struct nl_request *r, struct netdev *dev, struct net_ns *to, const char *name,
                   struct netdev **out) __must_check;
