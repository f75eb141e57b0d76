/* SPDX-License-Identifier: MIT
 *
 * Routes' messages: struct rtmsg, struct rtnexthop, and numbers of linux/rtnetlink.h.
 */
#pragma once

#include "net/netlink/rtnl.h"

struct ip_route_view;

struct rtmsg {
    u8 family, to_prefix, from_prefix, tos;
    u8 table, protocol, scope, type;
    u32 flags;
};
struct route_hop {
    u16 len; /* attributes included */
    u8 flags, hops;
    s32 index;
};
enum {
    RTA_DST = 1,
    RTA_SRC = 2,
    RTA_IIF = 3,
    RTA_OIF = 4,
    RTA_GATEWAY = 5,
    RTA_PRIORITY = 6,
    RTA_PREFSRC = 7,
    RTA_METRICS = 8,
    RTA_MULTIPATH = 9,
    RTA_FLOW = 11,
    RTA_CACHEINFO = 12,
    RTA_TABLE = 15,
    RTA_MARK = 16,
    RTA_VIA = 18,
    RTA_PREF = 20,
    RTA_ENCAP_TYPE = 21,
    RTA_ENCAP = 22,
    RTA_EXPIRES = 23,
    RTA_UID = 25,
    RTA_IP_PROTO = 27,
    RTA_SPORT = 28,
    RTA_DPORT = 29,
    RTA_NH_ID = 30,
    RTA_RULES,
};
enum {
    RTAX_MTU = 2,
    RTAX_WINDOW = 3,
    RTAX_ADVMSS = 8,
    RTAX_HOPLIMIT = 10,
    RTAX_INITCWND = 11,
    RTAX_FEATURES = 12,
    RTAX_RTO_MIN = 13,
    RTAX_INITRWND = 14,
    RTAX_QUICKACK = 15,
};
enum {
    RT_TABLE_COMPAT = 252,
    RT_TABLE_MAIN = 254,
    RTM_F_CLONED = 0x200,
    RTM_F_FIB_MATCH = 0x2000,
    RTN_UNICAST = 1,
};

/* The metric of that RTAX_*; NULL: there is none of it. */
u32 *rtnl_route_metric(struct ip_route_view *v, u16 type);
