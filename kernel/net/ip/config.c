/* SPDX-License-Identifier: MIT
 *
 * The part of a namespace, its configuration as a whole, and what happens to it with its devices.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/ip/fib.h"
#include "net/link/loopback.h"
#include "sched/timer.h"

#define CONFIG_AGAIN (20 * NSEC_PER_MSEC)

static void config_neighbours_end(struct ip_config *c)
{
    for (u32 i = 0; i < 2; i++)
        neighbour_table_fini(&c->neighbours[i]);
}

/* The last reference has gone, and all devices but lo have been forgotten. */
static void config_teardown(struct net_ns *ns, void *part)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct ip_config *c = in->config;

    membership_fini(&in->membership);
    ip_groups_forget(ns, 0);
    pmtu_free(ns);
    if (!c)
        return;
    WRITE_ONCE(c->closed, true);
    for (u32 i = 0; i < 2; i++) { /* a job that had seen it open may have started the timer again */
        timer_cancel(&c->timer);
        work_flush(ip_worker, &c->work);
    }
    config_neighbours_end(c);
    reassembly_forget(&c->reassembly, NULL);
    routes_free(c);
    rules_free(c);
    address_free(c);
    for (u32 i = 0; i < 2; i++) {
        kfree(c->local[i]);
        kfree(c->main[i]);
    }
    kfree(c);
    in->config = NULL;
}
static u32 config_offset;
NET_PART("31", ip_config) = {0, &config_offset, NULL, config_teardown};

static void config_work(struct work *w)
{
    struct ip_config *c = container_of(w, struct ip_config, work);
    u64 now = time_ns(), a, r;

    if (!net_config_trylock(c->ns)) { /* this worker is all namespaces': it does not wait for one */
        ip_config_due(c, now + CONFIG_AGAIN);
        return;
    }
    a = address_time(c, now);
    r = routes_expire(c, now);
    net_config_unlock(c->ns);
    ip_config_due(c, reassembly_time(&c->reassembly, now));
    if ((a && a <= now) || (r && r <= now)) { /* there is more: others' turn */
        work_queue(ip_worker, w);
        return;
    }
    ip_config_due(c, a);
    ip_config_due(c, r);
}

static void config_fire(struct timer *t)
{
    work_queue(ip_worker, &container_of(t, struct ip_config, timer)->work);
}

static struct ip_config *config_alloc(struct net_ns *ns)
{
    struct ip_config *c = kzalloc(sizeof(*c));
    bool whole = c;

    for (u32 i = 0; c && i < 2; i++) {
        struct ip_table *local = kzalloc(sizeof(*local)), *main = kzalloc(sizeof(*main));

        c->local[i] = local;
        c->main[i] = main;
        if (!local || !main) {
            whole = false;
            continue;
        }
        local->id = TABLE_LOCAL;
        main->id = TABLE_MAIN;
        local->family = main->family = i ? FAMILY_V6 : FAMILY_V4;
    }
    if (whole)
        return c;
    for (u32 i = 0; c && i < 2; i++) {
        kfree(c->local[i]);
        kfree(c->main[i]);
    }
    kfree(c);
    return NULL;
}

struct ip_config *ip_config_make(struct net_ns *ns)
{
    struct ip_config *c = ip_config_of(ns);

    if (c)
        return c;
    c = config_alloc(ns);
    if (!c)
        return NULL;
    c->ns = ns;
    c->routes = c->addrs = c->addrs_due = c->routes_due = RB_ROOT;
    spinlock_init(&c->timer_lock, RANK_NET, 11, "ip times");
    timer_init(&c->timer, config_fire);
    work_init(&c->work, config_work);
    reassembly_init(&c->reassembly, ip_ns_of(ns)->account);
    for (u32 i = 0; i < 2; i++)
        neighbour_table_init(&c->neighbours[i], ip_ns_of(ns)->account, i, ns == net_ns_init);
    if (loopback_is_up(ns) && address_lo(c, loopback_of(ns))) {
        address_down(c, loopback_of(ns), true);
        config_neighbours_end(c);
        routes_free(c);
        kfree(c->local[0]), kfree(c->local[1]), kfree(c->main[0]), kfree(c->main[1]);
        kfree(c);
        return NULL;
    }
    store_release(&ip_ns_of(ns)->config, c);
    ip_changed(ns);
    return c;
}

/* The groups of all hosts and nodes. */
static void config_groups(struct netdev *dev, bool join)
{
    static const u8 hosts[NETDEV_ADDR] = {1, 0, 0x5e, 0, 0, 1}, nodes[] = {0x33, 0x33, 0, 0, 0, 1};

    if (dev->flags & NETDEV_LOOPBACK)
        return;
    net_device_group(dev, hosts, join);
    net_device_group(dev, nodes, join);
}

static int config_up_addresses(struct netdev *dev)
{
    bool lo = dev->flags & NETDEV_LOOPBACK;
    struct ip_config *c = lo ? ip_config_of(dev->ns) : ip_config_make(dev->ns);

    config_groups(dev, true);
    if (!c)
        return lo ? 0 : -ENOMEM;
    if (lo && address_lo(c, dev))
        return -ENOMEM;
    return address_up(c, dev);
}

static int config_up(struct netdev *dev)
{
    int err = config_up_addresses(dev);

    if (!err)
        ip_groups_rejoin(dev->ns, dev->index);
    return err;
}

static void config_part_free(struct rcu_head *h)
{
    kfree(container_of(h, struct ip_device, rcu));
}

static void config_down(struct netdev *dev, bool gone)
{
    struct ip_config *c = ip_config_of(dev->ns);
    struct ip_device *part;

    if (!gone)
        config_groups(dev, false);
    else
        ip_groups_forget(dev->ns, dev->index);
    if (!c)
        return;
    for (u32 i = 0; i < 2; i++)
        neighbour_forget(&c->neighbours[i], dev);
    reassembly_forget(&c->reassembly, dev);
    routes_forget(c, dev, gone);
    address_down(c, dev, gone);
    ip_changed(dev->ns);
    if (!gone)
        return;
    part = dev->ip;
    store_release(&dev->ip, NULL);
    if (part)
        rcu_call(&part->rcu, config_part_free);
}

/* Before this part of the first namespace is set up, its lo is up. */
static int config_device_event(struct netdev *dev, enum net_device_event event)
{
    ip_changed(dev->ns);
    if (event == NET_DEVICE_UP)
        return config_up(dev);
    if (event == NET_DEVICE_DOWN || event == NET_DEVICE_GONE)
        config_down(dev, event == NET_DEVICE_GONE);
    return 0;
}
NET_DEVICE_HOOK(ip) = {config_device_event};
