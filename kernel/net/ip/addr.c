/* SPDX-License-Identifier: MIT
 *
 * The addresses of a namespace's devices, and the ways that they are. Each device has at most one
 * address of IPv4, so the list is as long as there are devices.
 */
#include "net/ip/addr.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/ip_priv.h"
#include "net/link/loopback.h"

static u32 ip_ns_offset;

static int ip_ns_setup(struct net_ns *ns, void *part)
{
    struct ip_ns *in = part;

    spinlock_init(&in->lock, RANK_NET, 8, "ip addresses");
    list_init(&in->addrs);
    list_init(&in->groups);
    in->generation = 1;
    neighbour_table_init(&in->neighbours, account_current()); /* as ns is, which lasts longer */
    if (!net_ns_init) /* the first one's lo came up before this part */
        return ip_addr_set(loopback_of(ns), IP_LOOPBACK4, 8);
    return 0;
}

static struct ip_ifaddr *ip_addr_find_locked(struct ip_ns *in, const struct netdev *dev)
    REQUIRES(in->lock)
{
    struct ip_ifaddr *a;

    ASSERT_HELD(&in->lock);
    list_for_each (a, &in->addrs, node)
        if (a->dev == dev)
            return a;
    return NULL;
}

static void ip_addr_drop(struct ip_ns *in, const struct netdev *dev)
{
    struct ip_ifaddr *a;

    spin_lock(&in->lock);
    a = dev ? ip_addr_find_locked(in, dev) : list_first(&in->addrs, struct ip_ifaddr, node);
    if (a) {
        list_del(&a->node);
        WRITE_ONCE(in->nr_addrs, in->nr_addrs - 1);
    }
    spin_unlock(&in->lock);
    kfree(a);
}

static void ip_ns_teardown(struct net_ns *ns, void *part)
{
    struct ip_ns *in = part;

    neighbour_table_fini(&in->neighbours);
    ip_groups_forget(ns, 0);
    while (in->nr_addrs)
        ip_addr_drop(in, NULL);
}
NET_PART("30", ip) = {sizeof(struct ip_ns), &ip_ns_offset, ip_ns_setup, ip_ns_teardown};

struct ip_ns *ip_ns_of(struct net_ns *ns)
{
    return net_part(ns, ip_ns_offset);
}

u32 ip_local_device(struct net_ns *ns, const struct ip_addr *to)
{
    struct ip_ns *in = ip_ns_of(ns);
    const struct ip_ifaddr *a;
    u32 index = 0;

    if (ip_is_loopback(to)) {
        if (!loopback_is_up(ns) || (!ip_is_v4(to) && ip_sysctl(ns, IP_NO_IPV6)))
            return 0;
        return LOOPBACK_INDEX;
    }
    if (READ_ONCE(in->nr_addrs) < 2) /* lo's alone */
        return 0;
    spin_lock(&in->lock);
    list_for_each (a, &in->addrs, node)
        if (ip_equal(&a->addr, to))
            index = a->dev->index;
    spin_unlock(&in->lock);
    return index;
}

/* A broadcast of a net of one of the devices, or of the device's (RFC 919). */
static bool ip_is_broadcast(struct net_ns *ns, u32 to, const struct netdev *dev)
{
    struct ip_ns *in = ip_ns_of(ns);
    const struct ip_ifaddr *a;
    bool is = false;

    if (READ_ONCE(in->nr_addrs) < 2)
        return false;
    spin_lock(&in->lock);
    list_for_each (a, &in->addrs, node) {
        u32 host = a->prefix < 31 ? ~0U >> a->prefix : 0;

        is |= host && (!dev || a->dev == dev) && to == (ip_v4(&a->addr) | host);
    }
    spin_unlock(&in->lock);
    return is;
}

enum ip_path_kind ip_kind_of(struct net_ns *ns, const struct ip_addr *to, const struct netdev *dev)
{
    if (ip_is_multicast(to))
        return IP_MULTICAST;
    if (ip_is_v4(to) && ip_v4(to) == ~0U)
        return IP_BROADCAST;
    if (ip_local_device(ns, to))
        return IP_LOCAL;
    return ip_is_v4(to) && ip_is_broadcast(ns, ip_v4(to), dev) ? IP_BROADCAST : IP_UNICAST;
}

bool ip_sysctl(struct net_ns *ns, enum ip_sysctl which)
{
    return READ_ONCE(ip_ns_of(ns)->sysctls[which]);
}

void ip_sysctl_set(struct net_ns *ns, enum ip_sysctl which, bool on)
{
    WRITE_ONCE(ip_ns_of(ns)->sysctls[which], on);
}

int ip_addr_set(struct netdev *dev, u32 v4, u8 prefix)
{
    struct ip_ns *in = ip_ns_of(dev->ns);
    struct ip_ifaddr *made = v4 ? kzalloc(sizeof(*made)) : NULL, *a;
    int err = 0;

    if (v4 && !made)
        return -ENOMEM;
    if (!v4) {
        ip_addr_drop(in, dev);
        ip_changed(dev->ns);
        return 0;
    }
    spin_lock(&in->lock);
    a = ip_addr_find_locked(in, dev);
    if (!a && !(READ_ONCE(dev->flags) & NETDEV_GONE)) {
        a = made;
        made = NULL;
        a->dev = dev;
        list_add_tail(&in->addrs, &a->node);
        WRITE_ONCE(in->nr_addrs, in->nr_addrs + 1);
    }
    if (a) {
        a->addr = ip_from_v4(v4);
        a->prefix = prefix;
    } else {
        err = -ENODEV;
    }
    spin_unlock(&in->lock);
    ip_changed(dev->ns);
    kfree(made);
    return err;
}

bool ip_addr_get(struct netdev *dev, u32 *v4, u8 *prefix)
{
    struct ip_ns *in = ip_ns_of(dev->ns);
    const struct ip_ifaddr *a;

    spin_lock(&in->lock);
    a = ip_addr_find_locked(in, dev);
    if (a) {
        *v4 = ip_v4(&a->addr);
        *prefix = a->prefix;
    }
    spin_unlock(&in->lock);
    return a;
}

bool ip_addr_of_device(struct netdev *dev, struct ip_addr *out, const struct ip_addr *to)
{
    u32 v4;
    u8 prefix;

    if (!ip_is_v4(to) || !ip_addr_get(dev, &v4, &prefix))
        return false;
    *out = ip_from_v4(v4);
    return true;
}

static bool ip_same_net(u32 a, u32 b, u8 prefix)
{
    return !prefix || (a ^ b) >> (32 - prefix) == 0;
}

bool ip_on_link(struct netdev *dev, const struct ip_addr *to)
{
    u32 v4;
    u8 prefix;

    return ip_is_v4(to) && ip_addr_get(dev, &v4, &prefix) && ip_same_net(v4, ip_v4(to), prefix);
}

/* The address whose link `to` is on, of those of the longest prefix one. */
static const struct ip_ifaddr *ip_link_locked(struct ip_ns *in, u32 to) REQUIRES(in->lock)
{
    const struct ip_ifaddr *a, *best = NULL;

    ASSERT_HELD(&in->lock);
    list_for_each (a, &in->addrs, node) {
        u32 flags = READ_ONCE(a->dev->flags);

        if ((flags & NETDEV_UP) && !(flags & NETDEV_LOOPBACK) &&
            ip_same_net(ip_v4(&a->addr), to, a->prefix) && (!best || a->prefix > best->prefix))
            best = a;
    }
    return best;
}

int ip_way_find(struct net_ns *ns, const struct ip_addr *to, struct ip_way *out)
{
    struct ip_ns *in = ip_ns_of(ns);
    const struct ip_ifaddr *a = NULL;

    if (!ip_is_v4(to))
        return -ENETUNREACH;
    out->next = *to;
    spin_lock(&in->lock);
    a = ip_link_locked(in, ip_v4(to));
    if (!a && !ip_is_any(&in->gateway)) {
        out->next = in->gateway;
        a = ip_link_locked(in, ip_v4(&in->gateway));
    }
    if (a) {
        netdev_get(a->dev);
        out->dev = a->dev;
        out->source = a->addr;
    }
    spin_unlock(&in->lock);
    return a ? 0 : -ENETUNREACH;
}

/* The groups of all hosts and nodes. */
static void ip_device_groups(struct netdev *dev, bool join)
{
    static const u8 hosts[NETDEV_ADDR] = {1, 0, 0x5e, 0, 0, 1}, nodes[] = {0x33, 0x33, 0, 0, 0, 1};

    net_device_group(dev, hosts, join);
    net_device_group(dev, nodes, join);
}

/* lo's address comes with it. */
static int ip_device_event(struct netdev *dev, enum net_device_event event)
{
    struct ip_ns *in = ip_ns_of(dev->ns);

    ip_changed(dev->ns);
    if (event != NET_DEVICE_GONE && !(dev->flags & NETDEV_LOOPBACK))
        ip_device_groups(dev, event == NET_DEVICE_UP);
    if (event == NET_DEVICE_UP)
        return dev->index == LOOPBACK_INDEX && net_ns_init ? ip_addr_set(dev, IP_LOOPBACK4, 8) : 0;
    neighbour_forget(&in->neighbours, dev);
    if (event == NET_DEVICE_GONE) {
        ip_addr_drop(in, dev);
        ip_groups_forget(dev->ns, dev->index);
    }
    return 0;
}
NET_DEVICE_HOOK(ip) = {ip_device_event};
