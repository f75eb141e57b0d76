/* SPDX-License-Identifier: MIT
 *
 * Devices of 802.1Q. vlan.h has the contract.
 */
#include "net/link/vlan.h"
#include "arch/x86/percpu.h"
#include "dev/up.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/link/ethernet.h"
#include "sync/rcu.h"

#define VLAN_ID 0xfff
#define VLAN_PARTS 16
#define VLAN_PART 256
#define VLAN_MIN_MTU 68

COUNTER(net_rx_vlan_unknown);

/* I immutable once registered · c the device's config */
struct vlan {
    struct netdev dev;    /* first */
    struct netdev *lower; /* I  a reference */
    u16 id;               /* I */
    bool own_addr;        /* c  not the address of the device below */
    bool promisc, all;    /* c  held of the device below */
    u32 nr_groups;        /* c  joined there */
    u8 groups[NETDEV_MULTICAST][NETDEV_ADDR];
    struct netdev_queue queues[];
};
/* Those that stand on a device, by number: its netdev.vlans. */
struct vlan_set {
    struct vlan **parts[VLAN_PARTS]; /* a */
    struct rcu_head rcu;
};

static struct vlan *vlan_of(const struct netdev *dev)
{
    return container_of(dev, struct vlan, dev);
}

u16 vlan_id(const struct netdev *dev)
{
    return vlan_of(dev)->id;
}

u32 vlan_lower(const struct netdev *dev)
{
    return vlan_of(dev)->lower->index;
}

/* ---- a device's VLANs ---- */

/* Under the namespace's config, or within RCU. */
static struct vlan *vlan_at(const struct netdev *lower, u32 id)
{
    const struct vlan_set *set = load_acquire((struct vlan_set *const *)&lower->vlans);
    struct vlan *const *part = set ? load_acquire(&set->parts[id / VLAN_PART]) : NULL;

    return part ? load_acquire(&part[id % VLAN_PART]) : NULL;
}

/* The first with a number of at least id; config held. */
static struct vlan *vlan_from(const struct netdev *lower, u32 id)
{
    const struct vlan_set *set = lower->vlans;
    struct vlan *v = NULL;

    for (; set && !v && id <= VLAN_ID_MOST; id++) {
        if (set->parts[id / VLAN_PART])
            v = set->parts[id / VLAN_PART][id % VLAN_PART];
        else
            id |= VLAN_PART - 1;
    }
    return v;
}

/* Where v is to be; config held. NULL: no memory. */
static struct vlan **vlan_slot(struct netdev *lower, u32 id)
{
    struct vlan_set *set = lower->vlans;
    struct vlan **part;

    if (!set) {
        set = kzalloc(sizeof(*set));
        if (!set)
            return NULL;
        store_release(&lower->vlans, (void *)set);
    }
    part = set->parts[id / VLAN_PART];
    if (!part) {
        part = kzalloc(VLAN_PART * sizeof(*part));
        if (!part)
            return NULL;
        store_release(&set->parts[id / VLAN_PART], part);
    }
    return &part[id % VLAN_PART];
}

static void vlan_set_free(struct rcu_head *h)
{
    struct vlan_set *set = container_of(h, struct vlan_set, rcu);

    for (u32 i = 0; i < VLAN_PARTS; i++)
        kfree(set->parts[i]);
    kfree(set);
}

static void vlan_set_drop(struct netdev *lower)
{
    struct vlan_set *set = lower->vlans;

    store_release(&lower->vlans, NULL);
    rcu_call(&set->rcu, vlan_set_free);
}

/* ---- packets ---- */

void vlan_receive(struct packet *p)
{
    struct vlan *v = vlan_at(p->dev, p->vlan & VLAN_ID);
    struct netdev_queue *q;

    if (!v) {
        COUNT(net_rx_vlan_unknown);
        packet_free(p);
        return;
    }
    p->dev = &v->dev;
    p->vlan = 0;
    q = &v->queues[p->queue % v->dev.nr_queues]; /* it may be of another number by now */
    __atomic_fetch_add(&q->rx_packets, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&q->rx_bytes, p->len, __ATOMIC_RELAXED);
    up_netdev_receive(p);
}

static int vlan_pass(struct netdev *dev, struct packet *p)
{
    struct netdev_queue *q = &dev->queues[cpu_id() % dev->nr_queues];
    struct vlan *v = vlan_of(dev);

    if (p->vlan && !netdev_tag(p)) { /* that of a VLAN on this one */
        __atomic_fetch_add(&q->tx_errors, 1, __ATOMIC_RELAXED);
        packet_free(p);
        return -ENOBUFS;
    }
    p->vlan = v->id;
    __atomic_fetch_add(&q->tx_packets, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&q->tx_bytes, p->len, __ATOMIC_RELAXED);
    return netdev_transmit(v->lower, p);
}

/* ---- what it asks the device below for ---- */

static void vlan_hold(struct vlan *v, u32 flag, bool *held, bool want)
{
    if (want && !*held)
        *held = !netdev_hold_flag(v->lower, flag);
    else if (!want && *held)
        netdev_release_flag(v->lower, flag);
    *held = *held && want;
}

static bool vlan_has(const u8 (*list)[NETDEV_ADDR], u32 n, const u8 *addr)
{
    for (u32 i = 0; i < n; i++)
        if (!memcmp(list[i], addr, NETDEV_ADDR))
            return true;
    return false;
}

/* Those of nr groups that are wanted are joined below, all others left. */
static void vlan_groups(struct vlan *v, const u8 (*groups)[NETDEV_ADDR], u32 nr)
{
    for (u32 i = 0; i < v->nr_groups;) {
        if (vlan_has(groups, nr, v->groups[i])) {
            i++;
            continue;
        }
        netdev_group_leave(v->lower, v->groups[i]);
        memcpy(v->groups[i], v->groups[--v->nr_groups], NETDEV_ADDR);
    }
    for (u32 i = 0; i < nr; i++)
        if (!vlan_has(v->groups, v->nr_groups, groups[i]) &&
            !netdev_group_join(v->lower, groups[i]))
            memcpy(v->groups[v->nr_groups++], groups[i], NETDEV_ADDR);
}

static void vlan_set_filter(struct netdev *dev)
{
    struct vlan *v = vlan_of(dev);

    vlan_hold(v, NETDEV_PROMISC, &v->promisc, netdev_wants_all(dev) || v->own_addr);
    vlan_hold(v, NETDEV_ALLMULTI, &v->all, netdev_wants_groups(dev));
    vlan_groups(v, dev->groups, dev->nr_groups);
}

static int vlan_set_address(struct netdev *dev, const u8 *addr)
{
    struct vlan *v = vlan_of(dev);

    v->own_addr = memcmp(addr, v->lower->addr, NETDEV_ADDR);
    vlan_set_filter(dev);
    return 0;
}

/* One tag beyond the outermost fits into a frame; each further one takes its place. */
static u32 vlan_mtu_most(const struct vlan *v)
{
    return READ_ONCE(v->lower->mtu) - (v->lower->depth > 1 ? VLAN_TAG : 0);
}

static int vlan_set_mtu(struct netdev *dev, u32 mtu)
{
    return mtu > vlan_mtu_most(vlan_of(dev)) ? -ERANGE : 0;
}

static int vlan_open(struct netdev *dev)
{
    return READ_ONCE(vlan_of(dev)->lower->flags) & NETDEV_UP ? 0 : -ENETDOWN;
}

static void vlan_destroy(struct netdev *dev)
{
    netdev_put(vlan_of(dev)->lower);
    kfree(vlan_of(dev));
}

const struct netdev_ops vlan_ops = {.open = vlan_open,
                                    .pass = vlan_pass,
                                    .set_address = vlan_set_address,
                                    .set_mtu = vlan_set_mtu,
                                    .set_filter = vlan_set_filter,
                                    .destroy = vlan_destroy};

/* ---- life ---- */

/* Takes a reference to lower on 0. */
static int vlan_init(struct vlan *v, struct netdev *lower, u16 id)
{
    struct netdev *dev = &v->dev;

    netdev_init(dev, &vlan_ops, v->queues, lower->nr_queues);
    if (netdev_stack(dev, lower))
        return -EMLINK;
    dev->type = ARPHRD_ETHER;
    dev->header = ETHERNET_HEADER;
    dev->features = NETDEV_CSUM | NETDEV_FRAGS; /* the device below sees to what it cannot do */
    if (!lower->depth)
        dev->features |= NETDEV_TSO4 | NETDEV_TSO6 | NETDEV_USO | NETDEV_TSO_ECN;
    dev->flags = READ_ONCE(lower->flags) & NETDEV_CARRIER;
    dev->min_mtu = VLAN_MIN_MTU;
    dev->max_mtu = 65535;
    memcpy(dev->addr, lower->addr, NETDEV_ADDR);
    dev->addr_is = NETDEV_ADDR_BELOW;
    netdev_get(lower);
    v->lower = lower;
    v->id = id;
    dev->mtu = vlan_mtu_most(v);
    return 0;
}

/* The link, the MTU or the address of the device below is another. config held. */
static void vlan_follow(struct vlan *v)
{
    struct netdev *dev = &v->dev;
    bool changed = false;

    netdev_set_carrier(dev, READ_ONCE(v->lower->flags) & NETDEV_CARRIER);
    if (dev->mtu > vlan_mtu_most(v))
        changed = !netdev_set_mtu(dev, vlan_mtu_most(v));
    if (!v->own_addr && memcmp(dev->addr, v->lower->addr, NETDEV_ADDR))
        changed |= !netdev_set_address(dev, v->lower->addr);
    if (changed)
        net_device_changed(dev);
}

/* config held. v becomes the namespace's and its lower device's. */
static int vlan_add(struct net_ns *ns, struct vlan *v, const char *name)
{
    struct vlan **slot;
    int err;

    if (READ_ONCE(v->lower->flags) & NETDEV_GONE) /* and with it what stood on it */
        return -ENODEV;
    slot = vlan_slot(v->lower, v->id);
    if (!slot)
        return -ENOMEM;
    if (*slot)
        return -EEXIST;
    err = net_device_add_held(ns, &v->dev, name);
    if (err)
        return err;
    store_release(slot, v);
    vlan_follow(v); /* the device below may have changed since vlan_init, and now tells v */
    return 0;
}

static int vlan_make(struct net_ns *ns, struct netdev *lower, u16 id, const char *name,
                     const u8 *addr, u32 mtu)
{
    struct vlan *v = FAILPOINT(vlan_create)
                         ? NULL
                         : kzalloc(sizeof(*v) + lower->nr_queues * sizeof(v->queues[0]));
    int err = v ? vlan_init(v, lower, id) : -ENOMEM;

    if (err) {
        kfree(v);
        return err;
    }
    if (addr) {
        err = netdev_set_address(&v->dev, addr);
        v->dev.addr_is = NETDEV_ADDR_SET;
    }
    if (!err && mtu)
        err = netdev_set_mtu(&v->dev, mtu);
    if (!err) {
        net_config_lock(ns);
        err = vlan_add(ns, v, name);
        net_config_unlock(ns);
    }
    if (err)
        vlan_hold(v, NETDEV_PROMISC, &v->promisc, false); /* for the address */
    netdev_put(&v->dev);                                  /* the namespace's list has one */
    return err;
}

int vlan_create(struct net_ns *ns, u32 lower_index, u16 id, const char *name, const u8 *addr,
                u32 mtu)
{
    struct netdev *lower = net_device_by_index(ns, lower_index);
    int err = -EOPNOTSUPP;

    if (!lower)
        return -ENODEV;
    if (!id || id > VLAN_ID_MOST)
        err = -ERANGE;
    else if (lower->type == ARPHRD_ETHER && lower->header == ETHERNET_HEADER)
        err = vlan_make(ns, lower, id, name, addr, mtu);
    netdev_put(lower);
    return err;
}

/* config held. */
static void vlan_gone(struct vlan *v)
{
    struct vlan_set *set = v->lower->vlans;
    struct vlan **part = set ? set->parts[v->id / VLAN_PART] : NULL;

    if (part && part[v->id % VLAN_PART] == v)
        store_release(&part[v->id % VLAN_PART], NULL);
    mutex_lock(&v->dev.config);
    vlan_hold(v, NETDEV_PROMISC, &v->promisc, false);
    vlan_hold(v, NETDEV_ALLMULTI, &v->all, false);
    vlan_groups(v, NULL, 0);
    mutex_unlock(&v->dev.config);
}

/* The device below is about to go. A VLAN that another thread removes meanwhile is waited for. */
static void vlan_leave(struct netdev *lower)
{
    struct vlan *v;

    do {
        net_config_lock(lower->ns);
        v = vlan_from(lower, 0);
        if (v)
            netdev_get(&v->dev);
        net_config_unlock(lower->ns);
        if (!v)
            return;
        if (net_device_delete(&v->dev))
            rcu_synchronize();
        netdev_put(&v->dev);
    } while (true);
}

static void vlan_hear(struct vlan *v, enum net_device_event event)
{
    if (event == NET_DEVICE_UP && net_device_up_held(&v->dev))
        net_log_limited(v->dev.ns, LOG_WARN, "%s: it cannot be brought up with the device below",
                        v->dev.name);
    else if (event == NET_DEVICE_DOWN)
        net_device_down_held(&v->dev);
    else if (event == NET_DEVICE_CHANGED)
        vlan_follow(v);
}

static int vlan_device_event(struct netdev *dev, enum net_device_event event)
{
    struct vlan *v;

    if (event == NET_DEVICE_GONE && dev->ops == &vlan_ops)
        vlan_gone(vlan_of(dev));
    if (!dev->vlans)
        return 0;
    if (event == NET_DEVICE_LEAVING)
        vlan_leave(dev);
    else if (event == NET_DEVICE_GONE)
        vlan_set_drop(dev);
    else
        for (u32 id = 0; (v = vlan_from(dev, id)); id = v->id + 1U)
            vlan_hear(v, event);
    return 0;
}
NET_DEVICE_HOOK(vlan) = {vlan_device_event};
