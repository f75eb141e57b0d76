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
};
struct net_event_listener {
    /* change: enum ip_change bits of the request, or 0. */
    void (*event)(struct net_ns *ns, enum net_event_kind kind, const void *what, u32 change);
};
#define NET_EVENT_LISTENER(id) TABLE_ENTRY(struct net_event_listener, net_event_listeners, #id)

void net_event(struct net_ns *ns, enum net_event_kind kind, const void *what, u32 change);
