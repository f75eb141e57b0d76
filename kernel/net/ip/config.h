/* SPDX-License-Identifier: MIT
 *
 * The configuration of IP in a namespace: addresses, routes, rules, neighbours, as rtnetlink,
 * ioctls and /proc have them. Families stay apart here: `family` is AF_INET or AF_INET6, IPv4
 * addresses are mapped all the same (core/addr.h), prefix lengths are the family's (0..32, 0..128).
 *
 * Each change is decided and made under the namespace's config (core/device.h), then told to the
 * listeners (NET_EVENT of core/event.h) in that order. Look-ups of packets take no lock (RCU).
 *
 * Everything that a namespace may have is bounded and charged to the account that made the
 * namespace: IP_ADDRS_MOST, IP_ROUTES_MOST, IP_RULES_MOST.
 *
 * Context: all may sleep, no lock held.
 */
#pragma once

#include "net/core/addr.h"
#include "net/core/device.h"

#define IP_ADDRS_MOST 4096
#define IP_ROUTES_MOST 16384
#define IP_ROUTES_PREFIX 1024 /* of one prefix in one table */
#define IP_RULES_MOST 1024
#define IP_NEXT_HOPS 16
#define IP_FOREVER 0xffffffffU /* seconds of a lifetime */

/* A change's ways: numbers of NLM_F_*. REPLACE: what is there is changed; EXCL: -EEXIST if it is
 * there; CREATE: made if it is not; APPEND: beside one of the same prefix. */
enum ip_change { IP_REPLACE = 0x100, IP_EXCL = 0x200, IP_CREATE = 0x400, IP_APPEND = 0x800 };

/* ---- addresses ---- */

struct ip_addr_view {
    u16 family;
    u8 prefix, scope;    /* RT_SCOPE_* */
    u32 flags;           /* IFA_F_*: permanent, secondary, tentative, dadfailed, deprecated, nodad,
                            noprefixroute... */
    u32 device;          /* index */
    struct ip_addr addr; /* IFA_LOCAL, or IFA_ADDRESS of IPv6 */
    struct ip_addr peer; /* IFA_ADDRESS; equal to addr if there is none */
    struct ip_addr broadcast; /* IPv4; any: none */
    u32 valid, preferred;     /* seconds left; IP_FOREVER */
    u32 metric;               /* of the prefix's route; 0: the default */
    u64 created, updated;     /* time_ns() */
    u8 protocol;              /* IFA_PROTO */
    char label[NETDEV_NAME];
};
/* Adds, with the prefix's route (unless noprefixroute) and the local and broadcast ones; an IPv6
 * address is tentative until it has been found to be unique (RFC 4862 5.4), unless nodad or on
 * loopback. 0, -EEXIST, -ENODEV, -EINVAL, -ENOBUFS (too many), -ENOMEM. */
int ip_address_add(struct net_ns *ns, const struct ip_addr_view *a, u32 change) __must_check;
/* family, device, addr, prefix say which; -EADDRNOTAVAIL. */
int ip_address_remove(struct net_ns *ns, const struct ip_addr_view *a) __must_check;
/* The first behind *at in an order of (device, family, addr), into *at; zeroed: the first. False:
 * no more. So a dump resumes by what it showed last, whatever changed meanwhile. */
bool ip_address_next(struct net_ns *ns, struct ip_addr_view *at);

/* ---- routes ---- */

struct ip_next_hop {
    struct ip_addr gateway; /* any: on the link */
    u32 device;             /* 0: by the gateway */
    u32 weight;             /* 1..256 */
    u8 flags;               /* RTNH_F_* */
};
struct ip_route_view {
    u16 family;
    u8 prefix; /* of `to` */
    u8 tos;
    u8 type; /* RTN_UNICAST, _LOCAL, _BROADCAST, _MULTICAST, _BLACKHOLE, _UNREACHABLE, _PROHIBIT,
                _THROW */
    u8 scope, protocol; /* RT_SCOPE_*, RTPROT_* */
    u32 table;          /* 254 main, 255 local */
    u32 priority;
    struct ip_addr to;
    struct ip_addr prefsrc; /* any: none */
    u32 mtu, advmss, window, initcwnd, initrwnd, rto_min, hoplimit, features,
        quickack; /* metrics; 0: none */
    u32 expires;  /* seconds left; 0: never */
    u8 nr_hops;   /* 0 for types without one */
    struct ip_next_hop hops[IP_NEXT_HOPS];
};
int ip_route_add(struct net_ns *ns, const struct ip_route_view *r, u32 change) __must_check;
int ip_route_remove(struct net_ns *ns, const struct ip_route_view *r) __must_check; /* -ESRCH */
/* Order: (family, table, to, prefix, tos, priority, gateway, device). */
bool ip_route_next(struct net_ns *ns, struct ip_route_view *at);
/* What a packet of that flow would take (RTM_GETROUTE of one address). 0 or ip_path_find's errors.
 */
struct ip_flow;
int ip_route_ask(struct net_ns *ns, const struct ip_flow *flow, struct ip_route_view *out);

/* ---- rules ---- */

struct ip_rule_view {
    u16 family;
    u8 action; /* FR_ACT_TO_TBL, _GOTO, _NOP, _BLACKHOLE, _UNREACHABLE, _PROHIBIT */
    u8 tos, from_prefix, to_prefix, protocol;
    bool invert;
    u32 priority, table, mark, mark_mask, target;
    s32 suppress_prefix, suppress_group; /* -1: not */
    struct ip_addr from, to;
    char in[NETDEV_NAME], out[NETDEV_NAME]; /* names; "": any */
    u32 uid_first, uid_last;
    u16 from_port[2], to_port[2]; /* first and last; 0: any */
    u64 place;                    /* which of those that are the same; told, not asked for */
};
int ip_rule_add(struct net_ns *ns, const struct ip_rule_view *r, u32 change) __must_check;
int ip_rule_remove(struct net_ns *ns, const struct ip_rule_view *r) __must_check; /* -ENOENT */
bool ip_rule_next(struct net_ns *ns, struct ip_rule_view *at);

/* ---- neighbours ---- */

struct ip_neighbour_view {
    u16 family;
    u16 state; /* NUD_* */
    u8 flags;  /* NTF_* */
    u32 device;
    struct ip_addr addr;
    u8 link[NETDEV_ADDR];
    bool has_link;
    u64 used, confirmed, updated; /* time_ns() */
    u32 probes;
};
int ip_neighbour_add(struct net_ns *ns, const struct ip_neighbour_view *n, u32 change) __must_check;
int ip_neighbour_remove(struct net_ns *ns, const struct ip_neighbour_view *n) __must_check;
bool ip_neighbour_next(struct net_ns *ns, struct ip_neighbour_view *at);
