/* SPDX-License-Identifier: MIT
 *
 * What changes in a namespace, for those who tell programs of it (netlink's groups, uevents).
 * The code that makes a change calls net_event once it is made; the listener copies what it needs
 * and does not sleep long.
 *
 * Context: may sleep; the namespace's config may be held (core/device.h), a spinlock never.
 */
#pragma once

#include "lib/types.h"

struct net_ns;
struct netdev;

enum net_event_kind {
    NET_EVENT_LINK,    /* what: struct netdev *; new, or changed in any way */
    NET_EVENT_UNLINK,  /* the same, before it is taken off the namespace */
    NET_EVENT_ADDRESS, /* const struct ip_addr_view *; new or changed */
    NET_EVENT_UNADDRESS,
    NET_EVENT_ROUTE, /* const struct ip_route_view * */
    NET_EVENT_UNROUTE,
    NET_EVENT_RULE, /* const struct ip_rule_view * */
    NET_EVENT_UNRULE,
    NET_EVENT_NEIGHBOUR, /* const struct ip_neighbour_view * */
    NET_EVENT_UNNEIGHBOUR,
    NET_EVENT_ADDED,   /* what: struct netdev *, which has just come, after its NET_EVENT_LINK */
    NET_EVENT_REMOVED, /* the same, before it is taken off */
    NET_EVENT_RENAMED, /* const struct net_rename * */
    NET_EVENT_ASKED,   /* const struct net_uevent *: a program asks for a uevent */
    NET_EVENT_CONF,    /* const struct net_conf_change *: of core/conf.h */
};
#define NET_EVENT_OBJECTS NET_EVENT_ADDED /* below: what rtnetlink tells */

/* A device that has a new name. */
struct net_rename {
    struct netdev *dev;
    char from[16];
};
struct net_uevent {
    struct netdev *dev;
    const char *action; /* "add", "change" and so on */
    const char *more;   /* lines of a message, each with a NUL behind it ... */
    u32 n;              /* ... bytes of them */
};
/* A number of a device, of `all` or of `default` was set. */
struct net_conf_change {
    struct netdev *dev; /* NULL: no device's */
    bool first;         /* without a device: `default`, not `all` */
    u32 conf;           /* enum net_conf */
};
struct net_event_listener {
    /* change: enum ip_change bits of the request, or 0. */
    void (*event)(struct net_ns *ns, enum net_event_kind kind, const void *what, u32 change);
};
#define NET_EVENT_LISTENER(id) TABLE_ENTRY(struct net_event_listener, net_event_listeners, #id)

void net_event(struct net_ns *ns, enum net_event_kind kind, const void *what, u32 change);
