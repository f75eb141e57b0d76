/* SPDX-License-Identifier: MIT
 *
 * Until net/ip has its configuration as config.h says, there is none of it to show or to change:
 * each of these gives way to the real one.
 */
#include "lib/errno.h"
#include "net/ip/config.h"

#define ABSENT __attribute__((weak))
#define ABSENT_CHANGE(name, type)                                        \
    ABSENT int name(struct net_ns *ns, const struct type *v, u32 change) \
    {                                                                    \
        return -EOPNOTSUPP;                                              \
    }
#define ABSENT_REMOVE(name, type)                            \
    ABSENT int name(struct net_ns *ns, const struct type *v) \
    {                                                        \
        return -EOPNOTSUPP;                                  \
    }
#define ABSENT_NEXT(name, type)                          \
    ABSENT bool name(struct net_ns *ns, struct type *at) \
    {                                                    \
        return false;                                    \
    }

ABSENT_CHANGE(ip_address_add, ip_addr_view)
ABSENT_REMOVE(ip_address_remove, ip_addr_view)
ABSENT_NEXT(ip_address_next, ip_addr_view)
ABSENT_CHANGE(ip_route_add, ip_route_view)
ABSENT_REMOVE(ip_route_remove, ip_route_view)
ABSENT_NEXT(ip_route_next, ip_route_view)
ABSENT_CHANGE(ip_rule_add, ip_rule_view)
ABSENT_REMOVE(ip_rule_remove, ip_rule_view)
ABSENT_NEXT(ip_rule_next, ip_rule_view)
ABSENT_CHANGE(ip_neighbour_add, ip_neighbour_view)
ABSENT_REMOVE(ip_neighbour_remove, ip_neighbour_view)
ABSENT_NEXT(ip_neighbour_next, ip_neighbour_view)

ABSENT int ip_route_ask(struct net_ns *ns, const struct ip_flow *flow, struct ip_route_view *out)
{
    return -EOPNOTSUPP;
}
