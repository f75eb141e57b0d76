/* SPDX-License-Identifier: MIT
 *
 * Groups that a namespace has joined at its devices.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/ip_priv.h"

#define GROUPS_MOST 4096
#define GROUPS_DEVICE 256 /* at one device */

struct ip_group {
    struct list_node node;
    struct ip_addr addr;
    u32 device;
    u32 users; /* times joined */
};

void ip_group_link(const struct ip_addr *group, u8 out[NETDEV_ADDR])
{
    static const u8 v4[3] = {0x01, 0x00, 0x5e}, v6[2] = {0x33, 0x33};

    if (ip_is_v4(group)) {
        memcpy(out, v4, sizeof(v4));
        out[3] = group->b[13] & 0x7f;
        memcpy(out + 4, group->b + 14, 2);
    } else {
        memcpy(out, v6, sizeof(v6));
        memcpy(out + 2, group->b + 12, 4);
    }
}

static struct ip_group *group_find_locked(struct ip_ns *in, u32 device, const struct ip_addr *addr)
    REQUIRES(in->lock)
{
    struct ip_group *g;

    ASSERT_HELD(&in->lock);
    list_for_each (g, &in->groups, node)
        if (g->device == device && ip_equal(&g->addr, addr))
            return g;
    return NULL;
}

/* All hosts and all nodes (RFC 1112, RFC 4291 2.7.1) are joined everywhere. */
static bool group_is_all(const struct ip_addr *a)
{
    static const struct ip_addr nodes = {.b = {0xff, 2, [15] = 1}},
                                own = {.b = {0xff, 1, [15] = 1}};

    return ip_is_v4(a) ? ip_v4(a) == 0xe0000001 : ip_equal(a, &nodes) || ip_equal(a, &own);
}

bool ip_group_is_joined(struct net_ns *ns, u32 device, const struct ip_addr *addr)
{
    struct ip_ns *in = ip_ns_of(ns);
    bool joined;

    if (group_is_all(addr))
        return true;
    if (!READ_ONCE(in->nr_groups))
        return false;
    spin_lock(&in->lock);
    joined = group_find_locked(in, device, addr);
    spin_unlock(&in->lock);
    return joined;
}

static u32 group_count_locked(struct ip_ns *in, u32 device) REQUIRES(in->lock)
{
    const struct ip_group *g;
    u32 n = 0;

    ASSERT_HELD(&in->lock);
    list_for_each (g, &in->groups, node)
        n += g->device == device;
    return n;
}

/* made is used or not: *made is NULL then. */
static int group_add(struct ip_ns *in, u32 device, const struct ip_addr *addr,
                     struct ip_group **made)
{
    struct ip_group *g;
    int err = 0;

    spin_lock(&in->lock);
    g = group_find_locked(in, device, addr);
    if (g) {
        g->users++;
    } else if (in->nr_groups >= GROUPS_MOST || group_count_locked(in, device) >= GROUPS_DEVICE) {
        err = -ENOBUFS;
    } else {
        g = *made;
        *made = NULL;
        g->addr = *addr;
        g->device = device;
        g->users = 1;
        list_add_tail(&in->groups, &g->node);
        WRITE_ONCE(in->nr_groups, in->nr_groups + 1);
        err = 1;
    }
    spin_unlock(&in->lock);
    return err;
}

static void group_filter(struct netdev *dev, const struct ip_addr *addr, bool join)
{
    u8 link[NETDEV_ADDR];

    ip_group_link(addr, link);
    net_device_group(dev, link, join);
}

int ip_group_join(struct net_ns *ns, u32 device, const struct ip_addr *addr)
{
    struct netdev *dev = net_device_by_index(ns, device);
    struct ip_group *made;
    int err;

    if (!dev)
        return -ENODEV;
    made = ip_is_multicast(addr) ? kzalloc(sizeof(*made)) : NULL;
    if (made)
        err = group_add(ip_ns_of(ns), device, addr, &made);
    else
        err = ip_is_multicast(addr) ? -ENOBUFS : -EINVAL;
    if (err > 0)
        group_filter(dev, addr, true);
    kfree(made);
    netdev_put(dev);
    return err > 0 ? 0 : err;
}

void ip_group_leave(struct net_ns *ns, u32 device, const struct ip_addr *addr)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct netdev *dev = net_device_by_index(ns, device);
    struct ip_group *g;

    spin_lock(&in->lock);
    g = group_find_locked(in, device, addr);
    if (g && !--g->users) {
        list_del(&g->node);
        WRITE_ONCE(in->nr_groups, in->nr_groups - 1);
    } else {
        g = NULL;
    }
    spin_unlock(&in->lock);
    if (g && dev)
        group_filter(dev, addr, false);
    kfree(g);
    if (dev)
        netdev_put(dev);
}

void ip_groups_forget(struct net_ns *ns, u32 device)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct ip_group *g, *next;
    struct list_node gone;

    list_init(&gone);
    spin_lock(&in->lock);
    list_for_each_safe (g, next, &in->groups, node) {
        if (device && g->device != device)
            continue;
        list_del(&g->node);
        list_add_tail(&gone, &g->node);
        WRITE_ONCE(in->nr_groups, in->nr_groups - 1);
    }
    spin_unlock(&in->lock);
    while ((g = list_first(&gone, struct ip_group, node))) {
        list_del(&g->node);
        kfree(g);
    }
}
