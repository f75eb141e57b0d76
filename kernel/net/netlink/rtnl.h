/* SPDX-License-Identifier: MIT
 *
 * rtnetlink (rtnetlink(7)): links, addresses, routes, rules and neighbours as messages. Each kind
 * of message registers its handlers; what changes is told to groups by rtnl.c, which listens to the
 * namespace's events.
 *
 * Reading is free; a change takes CAP_NET_ADMIN over the namespace, which rtnl.c asks for.
 */
#pragma once

#include "net/core/addr.h"
#include "net/core/device.h"
#include "net/core/event.h"
#include "net/netlink/netlink.h"

enum {
    RTM_NEWLINK = 16,
    RTM_DELLINK = 17,
    RTM_GETLINK = 18,
    RTM_SETLINK = 19,
    RTM_NEWADDR = 20,
    RTM_DELADDR = 21,
    RTM_GETADDR = 22,
    RTM_NEWROUTE = 24,
    RTM_DELROUTE = 25,
    RTM_GETROUTE = 26,
    RTM_NEWNEIGH = 28,
    RTM_DELNEIGH = 29,
    RTM_GETNEIGH = 30,
    RTM_NEWRULE = 32,
    RTM_DELRULE = 33,
    RTM_GETRULE = 34,
    RTM_NEWNEIGHTBL = 64,
    RTM_GETNEIGHTBL = 66,
    RTM_NEWNETCONF = 80,
    RTM_GETNETCONF = 82,
    RTM_NEWNSID = 88,
    RTM_GETNSID = 90,
    RTM_NEWSTATS = 92,
    RTM_GETSTATS = 94,
    RTM_NEWLINKPROP = 108,
    RTM_DELLINKPROP = 109,
};
enum {
    RTNLGRP_LINK = 1,
    RTNLGRP_NEIGH = 3,
    RTNLGRP_IPV4_IFADDR = 5,
    RTNLGRP_IPV4_ROUTE = 7,
    RTNLGRP_IPV4_RULE = 8,
    RTNLGRP_IPV6_IFADDR = 9,
    RTNLGRP_IPV6_ROUTE = 11,
    RTNLGRP_IPV6_RULE = 19,
    RTNLGRP_IPV4_NETCONF = 24,
    RTNLGRP_IPV6_NETCONF = 25,
    RTNLGRP_LAST = 36,
};

struct rtnl_handler {
    u16 type;
    /* NULL: there is no such request. 0 or -errno. */
    int (*act)(struct nl_request *r);
    int (*dump)(struct nl_request *r);
};
#define RTNL_HANDLER(id) TABLE_ENTRY(struct rtnl_handler, rtnl_handlers, #id)

/* A kind of software device: RTNL_KIND(id) = {...}. */
struct rtnl_link_request {
    const struct nl_attr *data; /* IFLA_INFO_DATA; may not be there */
    u32 link;                   /* IFLA_LINK, or 0 */
    bool has_addr;
    u8 addr[NETDEV_ADDR];
    const char *name; /* with %d, or as asked for */
    u32 mtu;          /* 0: the kind's */
    struct nl_fault *fault;
};
struct rtnl_kind {
    const char *name;
    const struct netdev_ops *ops; /* how a device's kind is known */
    /* Makes one and adds it to ns. 0 or -errno. */
    int (*create)(struct net_ns *ns, const struct rtnl_link_request *q);
    int (*change)(struct netdev *dev, const struct rtnl_link_request *q); /* or NULL */
    /* An heir in ns, under that name, takes dev's place there: *out, a reference. NULL: it cannot
     * leave its namespace. */
    int (*move)(struct netdev *dev, struct net_ns *ns, const char *name, struct netdev **out);
    void (*fill)(const struct netdev *dev, struct nl_builder *b); /* IFLA_INFO_DATA */
    u32 (*link)(const struct netdev *dev);                        /* the device below, or NULL */
};
#define RTNL_KIND(id) TABLE_ENTRY(struct rtnl_kind, rtnl_kinds, #id)

/* The body at the head of a request, `n` bytes: -EINVAL if it is shorter. Without strict checks a
 * dump's may be one byte, its family: the rest is zeroes. */
int rtnl_body(struct nl_request *r, void *out, u32 n) __must_check;
/* The attributes behind a body of n bytes. */
int rtnl_attrs(struct nl_request *r, u32 n, const struct nl_rule *rules, u32 nr,
               struct nl_attr *out) __must_check;
int rtnl_refuse(struct nl_request *r, const struct nl_attr *a, const char *text, int err);

/* Addresses between a message and a value. */
#define RTNL_AF_INET 2
#define RTNL_AF_BRIDGE 7
#define RTNL_AF_INET6 10
/* Routes of groups: there are none. */
#define RTNL_AF_GROUPS4 128
#define RTNL_AF_GROUPS6 129
static inline u32 rtnl_addr_size(u16 family)
{
    return family == RTNL_AF_INET6 ? 16 : 4;
}
/* -EINVAL: of another length. */
int rtnl_addr_get(const struct nl_attr *a, u16 family, struct ip_addr *out) __must_check;
void rtnl_addr_put(struct nl_builder *b, u16 type, u16 family, const struct ip_addr *a);
struct ip_addr rtnl_addr_any(u16 family);

/* Each puts one message of its kind by what begins it; true: nl_end says that it fits. */
struct rtnl_out {
    struct nl_builder *b;
    struct nl_dump *dump;         /* of a dump, else NULL */
    const struct nl_request *ask; /* of an answer, or of a change that was asked for, else NULL */
};
void *rtnl_begin(const struct rtnl_out *o, u16 type, u32 body);
bool rtnl_fill_link(const struct rtnl_out *o, u16 type, struct netdev *dev);
bool rtnl_fill_addr(const struct rtnl_out *o, u16 type, const void *view);
bool rtnl_fill_route(const struct rtnl_out *o, u16 type, const void *view);
bool rtnl_fill_rule(const struct rtnl_out *o, u16 type, const void *view);
bool rtnl_fill_neigh(const struct rtnl_out *o, u16 type, const void *view);
