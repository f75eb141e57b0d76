/* SPDX-License-Identifier: MIT
 *
 * What is set of a network device, and what changes by itself. netdev.h has the rules.
 *
 * A change of the link is told to net/core by a worker, since the driver's locks may be held: by
 * one of its own, as many may listen, and many devices may stand on one whose link changes. Each
 * namespace has a list of devices of which something is to be told, each with a reference; none
 * comes into it once the device is going.
 *
 * Lock: a teller's (spinlock, RANK_DEV 3).
 */
#include "dev/netdev_priv.h"
#include "dev/up.h"
#include "lib/log.h"
#include "lib/string.h"

#define USERS_MOST 0xffffU
#define TELL_AGAIN (20 * NSEC_PER_MSEC)

static struct workq *netdev_tells;

static void netdev_tells_init(void)
{
    netdev_tells = workq_create("links");
    if (!netdev_tells)
        panic("no memory for the worker that tells of links");
}
INIT_HOOK(netdev_tells_init, INIT_DEV);

/* The first that something is to be told of, with the list's reference; NULL: none. */
static struct netdev *netdev_tell_begin(struct netdev_teller *t)
{
    struct netdev *dev;

    spin_lock(&t->lock);
    dev = list_first(&t->devs, struct netdev, changed);
    if (dev)
        list_del(&dev->changed);
    WRITE_ONCE(t->dev, dev);
    spin_unlock(&t->lock);
    return dev;
}

/* True: there is more to tell. One that could not be told of is the first again. */
static bool netdev_tell_end(struct netdev_teller *t, struct netdev *dev, bool told)
{
    bool again, more;

    spin_lock(&t->lock);
    again = !told && list_empty(&dev->changed) && !(READ_ONCE(dev->flags) & NETDEV_GONE);
    if (again)
        list_add(&t->devs, &dev->changed);
    more = !list_empty(&t->devs);
    WRITE_ONCE(t->dev, NULL);
    spin_unlock(&t->lock);
    waitq_wake_all(&t->told);
    if (!again)
        netdev_put(dev);
    return more;
}

static void netdev_tell(struct work *w)
{
    struct netdev_teller *t = container_of(w, struct netdev_teller, work);
    struct netdev *dev = netdev_tell_begin(t);
    bool told;

    if (!dev)
        return;
    told = (READ_ONCE(dev->flags) & NETDEV_GONE) || up_netdev_changed(dev);
    if (!netdev_tell_end(t, dev, told))
        return;
    if (told)
        work_queue(netdev_tells, w); /* behind other namespaces' */
    else
        timer_start_within(&t->again, time_ns() + TELL_AGAIN, TELL_AGAIN);
}

static void netdev_tell_again(struct timer *timer)
{
    work_queue(netdev_tells, &container_of(timer, struct netdev_teller, again)->work);
}

void netdev_teller_init(struct netdev_teller *t)
{
    spinlock_init(&t->lock, RANK_DEV, 3, "links' changes");
    list_init(&t->devs);
    work_init(&t->work, netdev_tell);
    timer_init(&t->again, netdev_tell_again);
    waitq_init(&t->told);
}

void netdev_teller_fini(struct netdev_teller *t)
{
    ASSERT(list_empty(&t->devs));
    work_flush(netdev_tells, &t->work); /* it starts no timer any more */
    timer_cancel(&t->again);
    work_flush(netdev_tells, &t->work); /* the timer may have been faster */
}

void netdev_tell_stop(struct netdev *dev)
{
    struct netdev_teller *t = up_netdev_teller(dev);
    bool listed;

    ASSERT(dev->flags & NETDEV_GONE);
    spin_lock(&t->lock);
    listed = !list_empty(&dev->changed);
    list_del(&dev->changed);
    spin_unlock(&t->lock);
    if (listed)
        netdev_put(dev);
    wait_event(&t->told, READ_ONCE(t->dev) != dev);
}

void netdev_config_init(struct netdev *dev)
{
    list_init(&dev->changed);
}

void netdev_flag(struct netdev *dev, u32 flag, bool on)
{
    if (on)
        __atomic_fetch_or(&dev->flags, flag, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&dev->flags, ~flag, __ATOMIC_SEQ_CST);
}

/* Before it is registered net/core does not know it. */
static void netdev_queue_tell(struct netdev *dev)
{
    struct netdev_teller *t;
    bool fresh;

    if (!READ_ONCE(dev->ns))
        return;
    t = up_netdev_teller(dev);
    spin_lock(&t->lock);
    fresh = list_empty(&dev->changed) && !(READ_ONCE(dev->flags) & NETDEV_GONE);
    if (fresh) {
        netdev_get(dev);
        list_add_tail(&t->devs, &dev->changed);
    }
    spin_unlock(&t->lock);
    if (fresh)
        work_queue(netdev_tells, &t->work);
}

void netdev_set_carrier(struct netdev *dev, bool on)
{
    static u64 limits[2]; /* cards'; those of devices that programs make, which cannot silence it */

    if (!(READ_ONCE(dev->flags) & NETDEV_CARRIER) == !on)
        return;
    netdev_flag(dev, NETDEV_CARRIER, on);
    __atomic_fetch_add(&dev->nr_carrier, 1, __ATOMIC_RELAXED);
    if (dev->name[0] && log_allowed(&limits[!dev->parent]))
        log_write(LOG_INFO, "%s: link %s", dev->name, on ? "up" : "down");
    netdev_queue_tell(dev);
}

int netdev_set_address(struct netdev *dev, const u8 *addr)
{
    int err = -EOPNOTSUPP;

    if (addr[0] & 1 || !memcmp(addr, "\0\0\0\0\0", NETDEV_ADDR))
        return -EADDRNOTAVAIL;
    mutex_lock(&dev->config);
    if (dev->flags & NETDEV_GONE)
        err = -ENODEV;
    else if (dev->ops->set_address)
        err = dev->ops->set_address(dev, addr);
    if (!err)
        memcpy(dev->addr, addr, NETDEV_ADDR);
    mutex_unlock(&dev->config);
    return err;
}

int netdev_set_mtu(struct netdev *dev, u32 mtu)
{
    int err = 0;

    if (mtu < dev->min_mtu || mtu > dev->max_mtu)
        return -EINVAL;
    mutex_lock(&dev->config);
    if (dev->flags & NETDEV_GONE)
        err = -ENODEV;
    else if (dev->ops->set_mtu)
        err = dev->ops->set_mtu(dev, mtu);
    if (!err)
        WRITE_ONCE(dev->mtu, mtu);
    mutex_unlock(&dev->config);
    return err;
}

/* ---- what it does by itself ---- */

/* Cutting needs sums and fragments. */
static void netdev_features_set(struct netdev *dev) REQUIRES(dev->config)
{
    u32 on = dev->can & ~dev->off;

    ASSERT_HELD(&dev->config);
    if (!(on & NETDEV_CSUM) || !(on & NETDEV_FRAGS))
        on &= ~(u32)NETDEV_CUTS;
    WRITE_ONCE(dev->features, on);
}

void netdev_features_begin(struct netdev *dev)
{
    dev->can = dev->features;
    dev->off = 0;
}

void netdev_features_offer(struct netdev *dev, u32 can)
{
    mutex_lock(&dev->config);
    dev->can = can;
    netdev_features_set(dev);
    mutex_unlock(&dev->config);
}

int netdev_features_switch(struct netdev *dev, u32 which, bool on)
{
    int err = 0;

    ASSERT(!(which & ~(u32)NETDEV_SWITCHES));
    mutex_lock(&dev->config);
    if (dev->flags & NETDEV_GONE) {
        err = -ENODEV;
    } else {
        dev->off = on ? dev->off & ~which : dev->off | which;
        netdev_features_set(dev);
    }
    mutex_unlock(&dev->config);
    return err;
}

void netdev_link(struct netdev *dev, struct netdev_link *out)
{
    memset(out, 0, sizeof(*out));
    mutex_lock(&dev->config);
    if (dev->ops->link && !(dev->flags & NETDEV_GONE))
        dev->ops->link(dev, out);
    mutex_unlock(&dev->config);
    if (!(READ_ONCE(dev->flags) & NETDEV_CARRIER)) {
        out->speed = 0;
        out->duplex = NETDEV_DUPLEX_UNKNOWN;
    }
}

/* ---- what is let through ---- */

static void netdev_filter(struct netdev *dev) REQUIRES(dev->config)
{
    ASSERT_HELD(&dev->config);
    if (dev->ops->set_filter && !(dev->flags & NETDEV_GONE))
        dev->ops->set_filter(dev);
}

/* by: 1 or -1. */
static int netdev_count_flag(struct netdev *dev, u32 flag, u32 by) REQUIRES(dev->config)
{
    u32 *users = flag == NETDEV_PROMISC ? &dev->promisc : &dev->allmulti, was = *users;

    ASSERT_HELD(&dev->config);
    ASSERT(flag == NETDEV_PROMISC || flag == NETDEV_ALLMULTI);
    if (by == 1 && was == USERS_MOST)
        return -EOVERFLOW;
    *users += by;
    if (!was == !*users)
        return 0;
    netdev_flag(dev, flag, *users);
    netdev_filter(dev);
    return 0;
}

int netdev_hold_flag(struct netdev *dev, u32 flag)
{
    int err = -ENODEV;

    mutex_lock(&dev->config);
    if (!(dev->flags & NETDEV_GONE))
        err = netdev_count_flag(dev, flag, 1);
    mutex_unlock(&dev->config);
    return err;
}

void netdev_release_flag(struct netdev *dev, u32 flag)
{
    mutex_lock(&dev->config);
    (void)netdev_count_flag(dev, flag, -1U);
    mutex_unlock(&dev->config);
}

static u32 netdev_group_of(const struct netdev *dev, const u8 *group)
{
    u32 i = 0;

    while (i < dev->nr_groups && memcmp(dev->groups[i], group, NETDEV_ADDR))
        i++;
    return i;
}

static int netdev_join_locked(struct netdev *dev, const u8 *group) REQUIRES(dev->config)
{
    u32 i = netdev_group_of(dev, group);

    ASSERT_HELD(&dev->config);
    if (i < dev->nr_groups) {
        if (dev->group_users[i] == USERS_MOST)
            return -EOVERFLOW;
        dev->group_users[i]++;
        return 0;
    }
    if (i == NETDEV_MULTICAST) {
        if (!dev->more_groups++)
            netdev_filter(dev);
        return 0;
    }
    memcpy(dev->groups[i], group, NETDEV_ADDR);
    dev->group_users[i] = 1;
    dev->nr_groups++;
    netdev_filter(dev);
    return 0;
}

int netdev_group_join(struct netdev *dev, const u8 *group)
{
    int err = -ENODEV;

    if (!(group[0] & 1))
        return -EINVAL;
    mutex_lock(&dev->config);
    if (!(dev->flags & NETDEV_GONE))
        err = netdev_join_locked(dev, group);
    mutex_unlock(&dev->config);
    return err;
}

void netdev_group_leave(struct netdev *dev, const u8 *group)
{
    u32 i, last;

    mutex_lock(&dev->config);
    i = netdev_group_of(dev, group);
    if (i == dev->nr_groups) {
        if (dev->more_groups && !--dev->more_groups)
            netdev_filter(dev);
    } else if (!--dev->group_users[i]) {
        last = --dev->nr_groups;
        memcpy(dev->groups[i], dev->groups[last], NETDEV_ADDR);
        dev->group_users[i] = dev->group_users[last];
        netdev_filter(dev);
    }
    mutex_unlock(&dev->config);
}
