/* SPDX-License-Identifier: MIT
 *
 * The path of a packet.
 */
#include "lib/log.h"
#include "net/core/device.h"
#include "net/ip/ip_priv.h"
#include "net/link/loopback.h"

#define HOPS_DEFAULT 64

void ip_path_put(struct ip_path *path)
{
    if (path->dev)
        netdev_put(path->dev);
    *path = (struct ip_path){0};
}

bool ip_path_is_valid(struct net_ns *ns, const struct ip_path *path)
{
    return load_acquire(&ip_ns_of(ns)->generation) == path->generation;
}

/* Takes the reference to dev. */
static int path_found(struct ip_path *out, struct netdev *dev, enum ip_path_kind kind)
{
    out->dev = dev;
    out->kind = (u8)kind;
    out->mtu = READ_ONCE(dev->mtu);
    out->hops = kind == IP_MULTICAST ? 1 : HOPS_DEFAULT;
    return 0;
}

static int path_local(struct net_ns *ns, const struct ip_flow *f, struct ip_path *out)
{
    struct netdev *lo = loopback_of(ns);

    netdev_get(lo);
    if (ip_is_any(&out->source) && !ip_is_loopback(&f->to))
        out->source = f->to;
    else if (ip_is_any(&out->source))
        out->source = ip_is_v4(&f->to) ? ip_from_v4(IP_LOOPBACK4) : ip_loopback6();
    return path_found(out, lo, IP_LOCAL);
}

/* Through the device that is asked for. A destination that it is not on the link with is taken to
 * be, as Linux does: so a client of DHCP speaks before it has an address. */
static int path_device(struct net_ns *ns, const struct ip_flow *f, enum ip_path_kind kind,
                       struct ip_path *out)
{
    struct netdev *dev = net_device_by_index(ns, f->device);
    struct ip_way way;

    if (!dev)
        return -ENODEV;
    if (!(READ_ONCE(dev->flags) & NETDEV_UP)) {
        netdev_put(dev);
        return -ENETDOWN;
    }
    if (kind == IP_UNICAST && !ip_on_link(dev, &f->to) && !ip_way_find(ns, &f->to, &way)) {
        if (way.dev == dev)
            out->next = way.next;
        netdev_put(way.dev);
    }
    if (ip_is_any(&out->source))
        (void)ip_addr_of_device(dev, &out->source, &f->to);
    return path_found(out, dev, kind);
}

static int path_way(struct net_ns *ns, enum ip_path_kind kind, struct ip_path *out)
{
    struct ip_way way;
    int err = ip_way_find(ns, &out->next, &way);

    if (err)
        return err;
    if (kind == IP_UNICAST)
        out->next = way.next;
    if (ip_is_any(&out->source))
        out->source = way.source;
    return path_found(out, way.dev, kind);
}

int ip_path_find(struct net_ns *ns, const struct ip_flow *f, struct ip_path *out)
{
    struct ip_path found = {.next = f->to, .source = f->from};
    enum ip_path_kind kind = ip_kind_of(ns, &f->to, NULL);
    int err;

    found.generation = load_acquire(&ip_ns_of(ns)->generation);
    if (ip_is_any(&f->from))
        found.source = ip_is_v4(&f->to) ? ip_from_v4(0) : (struct ip_addr){0};
    else if (ip_is_v4(&f->from) != ip_is_v4(&f->to))
        return -EINVAL;
    if (ip_needs_scope(&f->to) && !f->device)
        return -EINVAL;
    if (kind == IP_LOCAL)
        err = path_local(ns, f, &found);
    else if (f->device && (f->device != LOOPBACK_INDEX || kind == IP_MULTICAST))
        err = path_device(ns, f, kind, &found);
    else
        err = path_way(ns, kind, &found);
    if (!err)
        *out = found;
    return err;
}
