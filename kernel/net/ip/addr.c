/* SPDX-License-Identifier: MIT
 *
 * The addresses of a namespace.
 */
#include "net/ip/addr.h"
#include "net/ip/ip_priv.h"

#define LO_INDEX 1

static u32 ip_ns_offset;

static int ip_ns_setup(struct net_ns *ns, void *part)
{
    struct ip_ns *in = part;

    in->lo_up = !net_ns_init; /* the first one's */
    return 0;
}
NET_PART("30", ip) = {sizeof(struct ip_ns), &ip_ns_offset, ip_ns_setup, NULL};

struct ip_ns *ip_ns_of(struct net_ns *ns)
{
    return net_part(ns, ip_ns_offset);
}

u32 ip_local_device(struct net_ns *ns, const struct ip_addr *a)
{
    return ip_is_loopback(a) && READ_ONCE(ip_ns_of(ns)->lo_up) ? LO_INDEX : 0;
}

bool ip_device_exists(struct net_ns *ns, u32 index)
{
    return index == LO_INDEX;
}

bool ip_v6only_first(struct net_ns *ns)
{
    return READ_ONCE(ip_ns_of(ns)->bindv6only);
}
