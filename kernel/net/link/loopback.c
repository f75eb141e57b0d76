/* SPDX-License-Identifier: MIT
 *
 * lo. Frames have ethernet's header, as programs that look at them expect (packet(7)), and are not
 * summed or cut on their way. What comes by netdev_transmit (packet sockets) goes to a net worker,
 * as the queue's lock is held there.
 *
 * A packet that waits for a worker keeps its namespace, which has a list of those and a job of its
 * own: after a budget it is another's turn.
 */
#include "net/link/loopback.h"
#include "arch/x86/percpu.h"
#include "dev/up.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/core/mib.h"
#include "net/core/worker.h"
#include "net/link/ethernet.h"
#include "sched/thread.h"

#define LOOPBACK_MTU 65536

COUNTER(net_loopback_dropped);

/* Of each CPU that there was when the first packet came. */
struct loopback_counts {
    u32 nr;
    struct {
        u64 packets, bytes, apart[6];
    } cpu[];
};

struct loopback {
    struct netdev dev;
    struct netdev_queue queue;
    struct loopback_counts *counts; /* a  NULL: nothing was sent, or no memory */
};

/* Of a namespace. */
struct loopback_part {
    struct netdev *dev; /* I */
    struct spinlock lock;
    struct list_node late; /* lock  packets that a worker is to receive */
    u32 nr_late;           /* lock */
    struct work work;
};
static u32 loopback_offset;

static struct loopback_part *loopback_part_of(struct net_ns *ns)
{
    return net_part(ns, loopback_offset);
}

struct netdev *loopback_of(struct net_ns *ns)
{
    return loopback_part_of(ns)->dev;
}

/* NULL: it cannot be counted. */
static struct loopback_counts *loopback_counts(struct loopback *lo)
{
    struct loopback_counts *c = load_acquire(&lo->counts), *none = NULL;
    u32 nr = cpu_count();

    if (likely(c))
        return c;
    c = kzalloc(sizeof(*c) + sizeof(c->cpu[0]) * nr);
    if (c)
        c->nr = nr;
    if (c && !__atomic_compare_exchange_n(&lo->counts, &none, c, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE)) {
        kfree(c);
        c = none;
    }
    return c;
}

static void loopback_count(struct netdev *dev, const struct packet *p)
{
    struct loopback_counts *c = loopback_counts(container_of(dev, struct loopback, dev));
    u32 cpu = cpu_id();

    if (!c)
        return;
    cpu = cpu < c->nr ? cpu : 0;
    c->cpu[cpu].packets++;
    c->cpu[cpu].bytes += p->len;
}

static void loopback_stats(struct netdev *dev, struct netdev_stats *out)
{
    const struct loopback_counts *c =
        load_acquire(&container_of(dev, struct loopback, dev)->counts);

    for (u32 i = 0; c && i < c->nr; i++) {
        out->rx_packets += READ_ONCE(c->cpu[i].packets);
        out->rx_bytes += READ_ONCE(c->cpu[i].bytes);
    }
    out->tx_packets = out->rx_packets;
    out->tx_bytes = out->rx_bytes;
}

/* A worker will receive p. */
static int loopback_put_off(struct packet *p)
{
    struct loopback_part *part = loopback_part_of(p->dev->ns);
    bool fits = refcount_get_unless_zero(&p->dev->ns->ref);

    if (fits) {
        spin_lock(&part->lock);
        fits = part->nr_late < NETDEV_BACKLOG;
        if (fits) {
            list_add_tail(&part->late, &p->node);
            part->nr_late++;
        }
        spin_unlock(&part->lock);
        if (!fits)
            net_ns_put(p->dev->ns); /* not the last: the sender has one */
    }
    if (!fits) {
        net_count(p->dev->ns, MIB_FRAMES_LOST);
        COUNT(net_loopback_dropped);
        packet_free(p);
        return -ENOBUFS;
    }
    net_worker_queue(&part->work);
    return 0;
}

static int loopback_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    loopback_count(q->dev, p);
    (void)loopback_put_off(p);
    return 0;
}

static void loopback_destroy(struct netdev *dev)
{
    struct loopback *lo = container_of(dev, struct loopback, dev);

    kfree(lo->counts);
    kfree(lo);
}

static const struct netdev_ops loopback_ops = {
    .transmit = loopback_transmit, .stats = loopback_stats, .destroy = loopback_destroy};

/* Receives p and what is sent over lo meanwhile, and so on. How many. */
static u32 loopback_receive(struct packet *p)
{
    struct thread *me = current_thread();
    struct list_node sends;
    u32 n = 0;

    list_init(&sends);
    me->net_sends = &sends;
    do {
        if (n++ < NETDEV_BUDGET)
            up_netdev_receive(p);
        else
            (void)loopback_put_off(p);
        p = list_first(&sends, struct packet, node);
        if (p)
            list_del(&p->node);
    } while (p);
    me->net_sends = NULL;
    return n;
}

int loopback_send(struct netdev *lo, struct packet *p)
{
    struct thread *me = current_thread();
    u8 *at = packet_push(p, ETHERNET_HEADER);

    if (!at || !(READ_ONCE(lo->flags) & NETDEV_UP)) {
        packet_free(p);
        return at ? -ENETDOWN : -ENOBUFS;
    }
    ethernet_build(at, lo->addr, lo->addr, p->protocol);
    p->dev = lo;
    p->queue = 0;
    loopback_count(lo, p);
    if (me->net_sends)
        list_add_tail(me->net_sends, &p->node);
    else
        (void)loopback_receive(p);
    return 0;
}

static struct packet *loopback_take(struct loopback_part *part)
{
    struct packet *p;

    spin_lock(&part->lock);
    p = list_first(&part->late, struct packet, node);
    if (p) {
        list_del(&p->node);
        part->nr_late--;
    }
    spin_unlock(&part->lock);
    return p;
}

/* The part is there until this returns: teardown waits for it. */
static void loopback_work(struct work *w)
{
    struct loopback_part *part = container_of(w, struct loopback_part, work);
    struct packet *p;

    for (u32 n = 0; n < NETDEV_BUDGET;) { /* those that come of one count as well */
        struct net_ns *ns;

        p = loopback_take(part);
        if (!p)
            return;
        ns = p->dev->ns;
        n += loopback_receive(p);
        if (n >= NETDEV_BUDGET)
            net_count(ns, MIB_FRAMES_LATER);
        net_ns_put(ns);
    }
    net_worker_queue(w);
    cond_yield();
}

static int loopback_setup(struct net_ns *ns, void *at)
{
    struct loopback *lo = kzalloc(sizeof(*lo));
    struct loopback_part *part = at;
    struct netdev *dev;
    int err;

    if (!lo)
        return -ENOMEM;
    dev = &lo->dev;
    netdev_init(dev, &loopback_ops, &lo->queue, 1);
    dev->type = ARPHRD_LOOPBACK;
    dev->header = ETHERNET_HEADER;
    dev->features = NETDEV_CSUM | NETDEV_TSO4 | NETDEV_TSO6 | NETDEV_USO | NETDEV_FRAGS |
                    NETDEV_LRO | NETDEV_RX_SUMS;
    dev->flags = NETDEV_LOOPBACK | NETDEV_CARRIER;
    dev->mtu = dev->max_mtu = LOOPBACK_MTU;
    dev->min_mtu = NETDEV_MTU_LEAST;
    err = net_device_add(ns, dev, "lo");
    if (!err) {
        part->dev = dev;
        spinlock_init(&part->lock, RANK_NET, 3, "lo's late packets");
        list_init(&part->late);
        work_init(&part->work, loopback_work);
        if (!net_ns_init) /* the first one's */
            err = net_device_up(dev);
    }
    netdev_put(dev); /* the namespace's list has one */
    return err;
}
/* Nothing waits: each packet has a reference. */
static void loopback_teardown(struct net_ns *ns, void *part)
{
    net_worker_flush(&((struct loopback_part *)part)->work);
}
NET_PART("20", loopback) = {sizeof(struct loopback_part), &loopback_offset, loopback_setup,
                            loopback_teardown};
