/* SPDX-License-Identifier: MIT
 *
 * Neighbours as they are set, taken away and listed.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "net/core/event.h"
#include "net/ip/fib.h"

enum { /* linux/neighbour.h */
       NUD_INCOMPLETE = 0x01,
       NUD_REACHABLE = 0x02,
       NUD_STALE = 0x04,
       NUD_DELAY = 0x08,
       NUD_PROBE = 0x10,
       NUD_FAILED = 0x20,
       NUD_NOARP = 0x40,
       NUD_PERMANENT = 0x80,
};

static u16 neighbours_state(const struct neighbour *n)
{
    static const u8 states[] = {0,         NUD_INCOMPLETE, NUD_REACHABLE, NUD_STALE,
                                NUD_DELAY, NUD_PROBE,      NUD_FAILED};

    return n->fixed ? NUD_PERMANENT : states[n->state];
}

bool ip_neighbour_next(struct net_ns *ns, struct ip_neighbour_view *at)
{
    struct ip_config *c = ip_config_of(ns);
    struct neighbour_view v = {.addr = at->addr, .device = at->device};
    u32 table = at->family == FAMILY_V6; /* behind all of IPv4's, which a walk begins with */

    if (!c)
        return false;
    if (!neighbour_next(&c->neighbours[table], &v)) {
        v = (struct neighbour_view){.device = 0};
        if (table || !neighbour_next(&c->neighbours[1], &v))
            return false;
    }
    *at = (struct ip_neighbour_view){.family = ip_family(&v.addr),
                                     .state = neighbours_state(&v.n),
                                     .device = v.device,
                                     .addr = v.addr,
                                     .has_link = neighbour_known(&v.n),
                                     .used = v.used_at,
                                     .confirmed = v.n.updated,
                                     .updated = v.n.updated,
                                     .probes = v.n.asked};
    memcpy(at->link, v.n.link, NETDEV_ADDR);
    return true;
}

static int neighbours_add(struct ip_config *c, struct netdev *dev,
                          const struct ip_neighbour_view *n, u32 change)
{
    bool fixed = n->state & (NUD_PERMANENT | NUD_NOARP);
    int err;

    if (!(READ_ONCE(dev->flags) & NETDEV_UP))
        return -ENETDOWN;
    if (!netdev_has_neighbours(dev) || !n->has_link)
        return -EINVAL;
    err = neighbour_set(&c->neighbours[!ip_is_v4(&n->addr)], dev, &n->addr, n->link, fixed,
                        !change || (change & IP_CREATE), change & IP_EXCL);
    if (!err)
        net_event(c->ns, NET_EVENT_NEIGHBOUR, n, change);
    return err;
}

int ip_neighbour_add(struct net_ns *ns, const struct ip_neighbour_view *n, u32 change)
{
    struct netdev *dev = net_device_by_index(ns, n->device);
    struct ip_config *c;
    int err;

    if (!dev)
        return -ENODEV;
    net_config_lock(ns);
    c = ip_config_make(ns);
    if (ip_family(&n->addr) != n->family || ip_is_multicast(&n->addr) || ip_is_any(&n->addr))
        err = -EINVAL;
    else
        err = c ? neighbours_add(c, dev, n, change) : -ENOMEM;
    net_config_unlock(ns);
    netdev_put(dev);
    return err;
}

int ip_neighbour_remove(struct net_ns *ns, const struct ip_neighbour_view *n)
{
    struct netdev *dev = net_device_by_index(ns, n->device);
    struct neighbour_table *t = ip_neighbours(ns, &n->addr);
    int err = -ENODEV;

    if (!dev)
        return err;
    err = t ? neighbour_unset(t, dev, &n->addr) : -ENOENT;
    if (!err)
        net_event(ns, NET_EVENT_UNNEIGHBOUR, n, 0);
    netdev_put(dev);
    return err;
}
