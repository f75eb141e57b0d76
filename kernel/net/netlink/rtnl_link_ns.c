/* SPDX-License-Identifier: MIT
 *
 * rtnetlink's links: to another namespace (IFLA_NET_NS_PID, IFLA_NET_NS_FD).
 *
 * A device stays in its namespace as long as it lives, which spares all who use one a lock. So what
 * moves is what it is: an heir of the same kind, address and sizes is made in the other namespace,
 * down and with an index of that one; then the device is removed as ever. Kinds that hardware or a
 * descriptor is behind have no heir and are refused.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/up.h"
#include "net/netlink/rtnl_link.h"

int rtnl_link_target(struct nl_request *r, const struct nl_attr *a, struct net_ns **out)
{
    const struct nl_attr *by =
        nl_has(&a[IFLA_NET_NS_FD]) ? &a[IFLA_NET_NS_FD] : &a[IFLA_NET_NS_PID];
    struct net_ns *ns;

    *out = NULL;
    if (!nl_has(by))
        return 0;
    ns = by == &a[IFLA_NET_NS_FD] ? up_net_ns_of_fd((s32)nl_u32(by)) : up_net_ns_of_pid(nl_u32(by));
    if (IS_ERR(ns))
        return rtnl_refuse(r, by, "Invalid target network namespace", (int)PTR_ERR(ns));
    if (!nl_capable_in(r, ns, CAP_NET_ADMIN)) {
        net_ns_put(ns);
        return rtnl_refuse(r, by, "Not allowed in the target network namespace", -EPERM);
    }
    if (ns == r->ns)
        net_ns_put(ns);
    else
        *out = ns;
    return 0;
}

int rtnl_link_move(struct nl_request *r, struct netdev *dev, struct net_ns *to, const char *name,
                   struct netdev **out)
{
    const struct rtnl_kind *k = rtnl_kind_of(dev);
    char own[NETDEV_NAME];

    if (!k || !k->move)
        return rtnl_refuse(r, NULL, "The device cannot leave its network namespace", -EOPNOTSUPP);
    memcpy(own, dev->name, sizeof(own));
    own[sizeof(own) - 1] = 0;
    return k->move(dev, to, name ? name : own, out);
}
