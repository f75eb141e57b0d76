/* SPDX-License-Identifier: MIT
 *
 * The devices of a namespace, and whom their frames go to.
 */
#include "net/core/device.h"
#include "dev/up.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sync/rcu.h"
#include "mm/slab.h"
#include "net/core/conf.h"
#include "net/core/device_priv.h"
#include "net/core/event.h"
#include "net/core/mib.h"
#include "net/core/tap.h"

#define DEVICES_MOST 512U /* of a namespace */

TABLE_DECLARE(struct net_device_hook, net_device_hooks);
TABLE_DECLARE(struct net_link, net_links);
TABLE_DECLARE(struct net_protocol, net_protocols);

COUNTER(net_rx_unknown);

static u32 devices_offset;

static struct net_devices *devices_of(struct net_ns *ns)
{
    return net_part(ns, devices_offset);
}

struct net_devices *net_devices_of(struct net_ns *ns)
{
    return devices_of(ns);
}

static int devices_setup(struct net_ns *ns, void *part)
{
    struct net_devices *d = part;

    mutex_init(&d->config, RANK_DRIVER, 25, "net devices' config");
    spinlock_init(&d->lock, RANK_NET, 9, "net devices");
    d->devs = d->going = RB_ROOT;
    netdev_teller_init(&d->teller);
    return 0;
}

static struct netdev *devices_of_node(struct rb_node *n)
{
    return n ? rb_entry(n, struct netdev, node) : NULL;
}

static bool devices_before(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct netdev, node)->index < rb_entry(b, struct netdev, node)->index;
}

static void devices_remove(struct netdev *dev);

static void devices_teardown(struct net_ns *ns, void *part)
{
    struct net_devices *d = part;
    struct netdev *dev;

    while ((dev = devices_of_node(rb_first(&d->devs))))
        devices_remove(dev);
    netdev_teller_fini(&d->teller);
}
NET_PART("10", devices) = {sizeof(struct net_devices), &devices_offset, devices_setup,
                           devices_teardown};

struct netdev *net_devices_named_locked(struct net_devices *d, const char *name)
{
    struct rb_node *n;

    ASSERT_HELD(&d->lock);
    rb_for_each (n, &d->devs) {
        struct netdev *dev = devices_of_node(n);

        if (!strncmp(dev->name, name, NETDEV_NAME) || net_altname_find(dev, name))
            return dev;
    }
    return NULL;
}

struct netdev *net_device_next(struct net_ns *ns, u32 after)
{
    struct net_devices *d = devices_of(ns);
    struct netdev *found = NULL;
    struct rb_node *n;

    spin_lock(&d->lock);
    for (n = d->devs.node; n;) {
        struct netdev *dev = devices_of_node(n);
        bool behind = dev->index > after;

        found = behind ? dev : found;
        n = behind ? n->left : n->right;
    }
    if (found)
        netdev_get(found);
    spin_unlock(&d->lock);
    return found;
}

struct netdev *net_device_by_index(struct net_ns *ns, u32 index)
{
    struct netdev *dev = index ? net_device_next(ns, index - 1) : NULL;

    if (!dev || dev->index == index)
        return dev;
    netdev_put(dev);
    return NULL;
}

bool net_device_exists(struct net_ns *ns, u32 index)
{
    struct netdev *dev = net_device_by_index(ns, index);

    if (dev)
        netdev_put(dev);
    return dev;
}

struct netdev *net_device_by_name(struct net_ns *ns, const char *name)
{
    struct net_devices *d = devices_of(ns);
    struct netdev *dev;

    spin_lock(&d->lock);
    dev = net_devices_named_locked(d, name);
    if (dev)
        netdev_get(dev);
    spin_unlock(&d->lock);
    return dev;
}

/* The number that a device's name has in place of %d; DEVICES_MOST: none. */
static u32 devices_number(const char *name, const char *form, u32 mark)
{
    u32 n = 0, i = mark;

    if (strncmp(name, form, mark))
        return DEVICES_MOST;
    for (; name[i] >= '0' && name[i] <= '9' && n < DEVICES_MOST; i++)
        n = n * 10 + (u32)(name[i] - '0');
    if (i == mark || n >= DEVICES_MOST || (name[mark] == '0' && i > mark + 1))
        return DEVICES_MOST;
    return strncmp(name + i, form + mark + 2, NETDEV_NAME - 1 - i) ? DEVICES_MOST : n;
}

static void devices_use(u64 *used, const char *name, const char *form, u32 mark)
{
    u32 number = devices_number(name, form, mark);

    if (number < DEVICES_MOST)
        used[number / 64] |= 1ULL << number % 64;
}

/* A name with the first number that is free in place of %d, of which there may be one. */
static int devices_choose(struct net_devices *d, const char *form, char name[NETDEV_NAME])
    REQUIRES(d->lock)
{
    u64 used[DEVICES_MOST / 64] = {0};
    const char *percent = strchr(form, '%');
    u32 mark = percent ? (u32)(percent - form) : 0, n = 0;
    char front[NETDEV_NAME] = {0};
    struct rb_node *at;

    ASSERT_HELD(&d->lock);
    if (d->nr >= DEVICES_MOST)
        return -ENFILE;
    if (!percent) {
        strlcpy(name, form, NETDEV_NAME);
        return net_devices_named_locked(d, form) ? -EEXIST : 0;
    }
    if (percent[1] != 'd' || strchr(percent + 1, '%') || mark >= NETDEV_NAME - 1)
        return -EINVAL;
    rb_for_each (at, &d->devs) {
        const struct netdev *dev = devices_of_node(at);

        devices_use(used, dev->name, form, mark);
        for (const struct net_altname *a = dev->altnames; a; a = a->next)
            if (strnlen(a->name, NETDEV_NAME) < NETDEV_NAME)
                devices_use(used, a->name, form, mark);
    }
    while (n < DEVICES_MOST && used[n / 64] >> n % 64 & 1)
        n++;
    memcpy(front, form, mark);
    snprintf(name, NETDEV_NAME, "%s%u%s", front, n, percent + 2);
    return n == DEVICES_MOST || net_devices_named_locked(d, name) ? -EEXIST : 0;
}

int net_device_add_held(struct net_ns *ns, struct netdev *dev, const char *name)
{
    struct net_devices *d = devices_of(ns);
    char chosen[NETDEV_NAME] = {0};
    int err;

    netdev_features_begin(dev);
    memcpy(dev->own_addr, dev->addr, NETDEV_ADDR);
    spin_lock(&d->lock);
    err = devices_choose(d, name, chosen);
    if (!err) {
        memcpy(dev->name, chosen, NETDEV_NAME);
        dev->name_is = dev->parent || dev->type == ARPHRD_LOOPBACK ? NETDEV_NAME_PREDICTED
                       : strchr(name, '%')                         ? NETDEV_NAME_COUNTED
                                                                   : NETDEV_NAME_GIVEN;
        dev->index = ++d->last_index;
        dev->ns = ns;
        net_confs_begin(ns, dev);
        netdev_get(dev);
        rb_insert(&d->devs, &dev->node, devices_before);
        d->nr++;
    }
    spin_unlock(&d->lock);
    if (!err) {
        net_tap_device(ns, dev);
        net_event(ns, NET_EVENT_LINK, dev, 0);
        net_event(ns, NET_EVENT_ADDED, dev, 0);
    }
    return err;
}

int net_device_add(struct net_ns *ns, struct netdev *dev, const char *name)
{
    int err;

    net_config_lock(ns);
    err = net_device_add_held(ns, dev, name);
    net_config_unlock(ns);
    return err;
}

int up_netdev_add(struct netdev *dev, const char *name)
{
    return net_device_add(net_ns_init, dev, name);
}

/* The first refusal, of an event that can be refused; the hooks behind it are not told. */
static int devices_tell(struct netdev *dev, enum net_device_event event)
{
    const struct net_device_hook *h;
    int err;

    TABLE_FOR_EACH(h, net_device_hooks)
    {
        err = h->event(dev, event);
        if (err && event == NET_DEVICE_UP)
            return err;
    }
    return 0;
}

void net_config_lock(struct net_ns *ns) NO_THREAD_SAFETY /* the caller unlocks */
{
    mutex_lock(&devices_of(ns)->config);
}

void net_config_unlock(struct net_ns *ns) NO_THREAD_SAFETY /* the caller has locked */
{
    mutex_unlock(&devices_of(ns)->config);
}

bool net_config_trylock(struct net_ns *ns) NO_THREAD_SAFETY /* the caller unlocks */
{
    return mutex_trylock(&devices_of(ns)->config);
}

int net_device_up_held(struct netdev *dev)
{
    bool was = READ_ONCE(dev->flags) & NETDEV_UP;
    int err = netdev_up(dev);

    if (!err && !was)
        err = devices_tell(dev, NET_DEVICE_UP);
    if (err && !was && READ_ONCE(dev->flags) & NETDEV_UP) {
        (void)devices_tell(dev, NET_DEVICE_DOWN);
        netdev_down(dev);
    }
    if (!err && !was)
        net_event(dev->ns, NET_EVENT_LINK, dev, 0);
    return err;
}

int net_device_up(struct netdev *dev)
{
    int err;

    net_config_lock(dev->ns);
    err = net_device_up_held(dev);
    net_config_unlock(dev->ns);
    return err;
}

void net_device_down_held(struct netdev *dev)
{
    if (!(READ_ONCE(dev->flags) & NETDEV_UP))
        return;
    (void)devices_tell(dev, NET_DEVICE_DOWN);
    netdev_down(dev);
    net_event(dev->ns, NET_EVENT_LINK, dev, 0);
}

void net_device_down(struct netdev *dev)
{
    net_config_lock(dev->ns);
    net_device_down_held(dev);
    net_config_unlock(dev->ns);
}

void net_device_group(struct netdev *dev, const u8 *link, bool join)
{
    if (!join)
        netdev_group_leave(dev, link);
    else if (netdev_group_join(dev, link))
        net_log_limited(dev->ns, LOG_WARN, "%s: a group too many", dev->name);
}

/* ---- how a device goes ----
 *
 * In three steps with a grace period after each of the first two, which many devices may share.
 * After the first, no reader that saw the device up is left: it is forgotten, and its name is free;
 * after the second, no reader has what hooks have taken away, by which it found the device. */

static void devices_mark_gone(struct netdev *dev)
{
    mutex_lock(&dev->config);
    __atomic_fetch_or(&dev->flags, NETDEV_GONE, __ATOMIC_SEQ_CST);
    mutex_unlock(&dev->config);
}

/* Those that stand on it have left already. */
static void devices_leave(struct netdev *dev)
{
    devices_mark_gone(dev);
    netdev_tell_stop(dev); /* which would use a namespace that may go */
    net_device_down(dev);
}

/* Programs that are told that it has gone find neither it nor its name taken. */
static void devices_forget(struct netdev *dev)
{
    struct net_devices *d = devices_of(dev->ns);

    net_config_lock(dev->ns);
    (void)devices_tell(dev, NET_DEVICE_GONE);
    spin_lock(&d->lock);
    rb_erase(&d->devs, &dev->node);
    rb_insert(&d->going, &dev->node, devices_before);
    d->nr--;
    spin_unlock(&d->lock);
    net_event(dev->ns, NET_EVENT_UNLINK, dev, 0);
    net_event(dev->ns, NET_EVENT_REMOVED, dev, 0);
    net_config_unlock(dev->ns);
}

static void devices_release(struct netdev *dev)
{
    struct net_devices *d = devices_of(dev->ns);
    struct net_altname *names;
    char *alias;

    spin_lock(&d->lock);
    rb_erase(&d->going, &dev->node);
    alias = dev->alias;
    dev->alias = NULL;
    names = dev->altnames;
    dev->altnames = NULL;
    spin_unlock(&d->lock);
    kfree(alias);
    net_altnames_free(names);
    netdev_put(dev);
}

static void devices_remove(struct netdev *dev)
{
    bool lo = dev->flags & NETDEV_LOOPBACK; /* it goes with all that knew it */

    devices_mark_gone(dev);
    (void)devices_tell(dev, NET_DEVICE_LEAVING);
    devices_leave(dev);
    if (!lo)
        rcu_synchronize();
    devices_forget(dev);
    if (!lo)
        rcu_synchronize();
    devices_release(dev);
}

/* All of a tree but lo; what stands on another device has a larger index than that, and goes first.
 */
static void devices_each(struct rb_root *devs, void (*fn)(struct netdev *dev))
{
    struct rb_node *n, *before;

    for (n = rb_last(devs); n; n = before) { /* no other thread has them */
        before = rb_prev(n);
        if (!(devices_of_node(n)->flags & NETDEV_LOOPBACK))
            fn(devices_of_node(n));
        cond_yield();
    }
}

static void devices_each_of(struct net_ns *first, void (*fn)(struct netdev *dev))
{
    for (struct net_ns *ns = first; ns; ns = ns->ending)
        devices_each(&devices_of(ns)->devs, fn);
}

void net_devices_end(struct net_ns *first)
{
    bool any = false;

    for (struct net_ns *ns = first; ns; ns = ns->ending)
        any |= devices_of(ns)->nr > 1;
    if (!any)
        return;
    devices_each_of(first, devices_leave);
    rcu_synchronize();
    devices_each_of(first, devices_forget);
    rcu_synchronize();
    for (struct net_ns *ns = first; ns; ns = ns->ending)
        devices_each(&devices_of(ns)->going, devices_release);
}

void up_netdev_remove(struct netdev *dev)
{
    devices_remove(dev);
}

int net_device_delete(struct netdev *dev)
{
    if (__atomic_fetch_or(&dev->flags, NETDEV_GONE, __ATOMIC_SEQ_CST) & NETDEV_GONE)
        return -ENODEV;
    devices_remove(dev);
    return 0;
}

void net_device_changed(struct netdev *dev)
{
    (void)devices_tell(dev, NET_DEVICE_CHANGED);
    net_event(dev->ns, NET_EVENT_LINK, dev, 0);
}

struct netdev_teller *up_netdev_teller(const struct netdev *dev)
{
    return &devices_of(dev->ns)->teller;
}

bool up_netdev_changed(struct netdev *dev)
{
    struct net_devices *d = devices_of(dev->ns);

    if (!mutex_trylock(&d->config))
        return false;
    net_device_changed(dev);
    mutex_unlock(&d->config);
    return true;
}

const struct net_link *net_link_of(const struct netdev *dev)
{
    const struct net_link *l;

    TABLE_FOR_EACH(l, net_links)
    if (l->type == dev->type)
        return l;
    return NULL;
}

void up_netdev_receive(struct packet *p)
{
    const struct net_link *l = net_link_of(p->dev);
    bool up = READ_ONCE(p->dev->flags) & NETDEV_UP;

    if (unlikely(READ_ONCE(p->dev->taps)) && up)
        net_tap_show(p->dev->ns, p, false);
    if (l && up) {
        net_count(p->dev->ns, MIB_FRAMES);
        l->receive(p);
    } else {
        packet_free(p);
    }
}

void net_protocol_receive(struct packet *p)
{
    const struct net_protocol *proto;

    TABLE_FOR_EACH(proto, net_protocols)
    {
        if (proto->type != p->protocol)
            continue;
        proto->receive(p);
        return;
    }
    COUNT(net_rx_unknown);
    packet_free(p);
}
