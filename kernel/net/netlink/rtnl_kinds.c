/* SPDX-License-Identifier: MIT
 *
 * The kinds of software devices, as rtnetlink makes them.
 */
#include "net/link/dummy.h"
#include "net/link/tun.h"
#include "net/netlink/rtnl.h"

static int kind_dummy_create(struct net_ns *ns, const struct rtnl_link_request *q)
{
    return dummy_create(ns, q->name, q->has_addr ? q->addr : NULL, q->mtu);
}
RTNL_KIND(dummy) = {
    .name = "dummy", .ops = &dummy_ops, .create = kind_dummy_create, .move = dummy_move};

/* Made by /dev/net/tun alone. */
RTNL_KIND(tun) = {.name = "tun", .ops = &tun_ops};
