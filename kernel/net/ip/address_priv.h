/* SPDX-License-Identifier: MIT
 *
 * What the files of addresses share. The namespace's config is held over all of it.
 */
#pragma once

#include "net/core/event.h"
#include "net/ip/fib.h"

#define PRIORITY_ADDR6 256 /* of the routes of addresses of IPv6 */

/* address.c: a's times have changed. */
void addr_due(struct ip_config *c, struct ip_ifaddr *a);
/* The order of a namespace's addresses. */
int addr_compare(const struct ip_ifaddr *a, u32 device, u16 family, const struct ip_addr *addr,
                 u8 prefix);
/* Those who listen to events are told; change: enum ip_change bits of the request, or 0. */
void addr_tell(struct ip_config *c, const struct ip_ifaddr *a, enum net_event_kind kind,
               u32 change);

/* address_route.c: fn is called for each route. */
typedef void (*addr_route_fn)(struct ip_config *c, const struct ip_route_view *v);
void addr_local_route(struct ip_config *c, const struct ip_ifaddr *a, addr_route_fn fn);
/* What leads to its neighbours: while the device is up. */
void addr_net_routes(struct ip_config *c, const struct ip_ifaddr *a, addr_route_fn fn);
/* Of one that the device has with another prefix too, a route stays. a is off the tree. */
bool addr_is_elsewhere(struct ip_config *c, const struct ip_ifaddr *a);
bool addr_net_is_shared(const struct ip_ifaddr *a);

/* address_probe.c: the group of its solicitations. What failed to be joined is not left. */
void addr_group(struct ip_config *c, struct ip_ifaddr *a, bool join);
bool addr_is_probed(const struct ip_ifaddr *a);
void addr_probe_start(struct ip_config *c, struct ip_ifaddr *a, u64 now);
/* Does what is due of a's probes, and sets when more is. */
void addr_probe_time(struct ip_config *c, struct ip_ifaddr *a, u64 now);
