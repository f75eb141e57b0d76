/* SPDX-License-Identifier: MIT
 *
 * Taps. tap.h has the rules.
 *
 * netdev.taps says how many taps see the device: those of it, and those of all. Locks: a
 * namespace's taps (mutex, RANK_DRIVER 17) over changes; those who show packets are under RCU.
 */
#include "net/core/tap.h"
#include "dev/up.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "net/core/device.h"
#include "net/core/filter.h"
#include "sync/rcu.h"

#define ETHERNET_HEADER 14

struct net_taps {
    struct mutex lock;
    struct list_node taps; /* lock, RCU to read */
    u32 nr, nr_all;        /* lock  all; those of all devices */
};
static u32 net_taps_offset;

static int net_taps_setup(struct net_ns *ns, void *part)
{
    struct net_taps *t = part;

    mutex_init(&t->lock, RANK_DRIVER, 17, "net taps");
    list_init(&t->taps);
    return 0;
}
NET_PART("06", taps) = {sizeof(struct net_taps), &net_taps_offset, net_taps_setup, NULL};

static struct net_taps *net_taps_of(struct net_ns *ns)
{
    return net_part(ns, net_taps_offset);
}

static void net_tap_count(struct net_tap *t, u32 by)
{
    struct netdev *dev;
    u32 last = t->device ? t->device - 1 : 0;

    while ((dev = net_device_next(t->ns, last))) {
        last = dev->index;
        if (!t->device || t->device == last)
            __atomic_fetch_add(&dev->taps, by, __ATOMIC_RELAXED);
        netdev_put(dev);
        if (t->device)
            return;
    }
}

/* How many see that device alone; 0: all. */
static u32 net_taps_of_device(struct net_taps *all, u32 device) REQUIRES(all->lock)
{
    struct net_tap *t;
    u32 n = 0;

    ASSERT_HELD(&all->lock);
    list_for_each (t, &all->taps, node)
        n += t->device == device;
    return n;
}

int net_tap_add(struct net_tap *t)
{
    struct net_taps *all = net_taps_of(t->ns);

    mutex_lock(&all->lock);
    if (all->nr >= TAPS_MOST || net_taps_of_device(all, t->device) >= TAPS_SEE) {
        mutex_unlock(&all->lock);
        return -ENOBUFS;
    }
    all->nr++;
    t->node.next = &all->taps; /* complete before it is seen */
    t->node.prev = all->taps.prev;
    store_release(&all->taps.prev->next, &t->node);
    all->taps.prev = &t->node;
    all->nr_all += !t->device;
    net_tap_count(t, 1);
    net_ns_watch(t->ns, 1);
    mutex_unlock(&all->lock);
    return 0;
}

void net_tap_remove(struct net_tap *t)
{
    struct net_taps *all = net_taps_of(t->ns);

    mutex_lock(&all->lock);
    net_tap_count(t, -1U);
    net_ns_watch(t->ns, -1);
    all->nr--;
    all->nr_all -= !t->device;
    t->node.next->prev = t->node.prev; /* t itself still leads on */
    WRITE_ONCE(t->node.prev->next, t->node.next);
    mutex_unlock(&all->lock);
    rcu_synchronize();
    list_init(&t->node);
}

void net_tap_device(struct net_ns *ns, struct netdev *dev)
{
    struct net_taps *all = net_taps_of(ns);

    mutex_lock(&all->lock);
    WRITE_ONCE(dev->taps, all->nr_all + net_taps_of_device(all, dev->index));
    mutex_unlock(&all->lock);
}

/* A tag in a frame that came is moved beside it, as taps expect. False: it is cut short. */
static bool net_tap_untag(struct packet *p, const u8 *frame)
{
    return p->dev->header != ETHERNET_HEADER || p->vlan || !netdev_is_tagged(frame) ||
           netdev_untag(p);
}

/* Where its headers are, for filters. An ethernet header ends with the ethertype, which the link
 * has yet to look at if p came. False: a frame without a whole header, which is the link's to drop.
 */
static bool net_tap_look(struct packet *p, bool sent)
{
    u32 header = p->dev->header;
    const u8 *at = packet_need(p, header);

    if (!at || (!sent && !net_tap_untag(p, at)) || !(at = packet_need(p, header)))
        return false;
    p->link = p->start;
    p->network = (u16)(p->start + header);
    if (!sent && header)
        p->protocol = (u16)(at[header - 2] << 8 | at[header - 1]);
    return true;
}

void net_tap_show(struct net_ns *ns, struct packet *p, bool sent)
{
    struct net_taps *all = net_taps_of(ns);
    u32 budget = FILTER_BUDGET;
    struct list_node *n;

    if (!net_tap_look(p, sent))
        return;
    rcu_read_lock();
    for (n = rcu_dereference(all->taps.next); n != &all->taps; n = rcu_dereference(n->next)) {
        struct net_tap *t = list_entry(n, struct net_tap, node);

        if (!t->device || t->device == p->dev->index)
            t->packet(t, p, sent, &budget);
    }
    rcu_read_unlock();
}

void up_netdev_sent(struct packet *p)
{
    net_tap_show(p->dev->ns, p, true);
}
