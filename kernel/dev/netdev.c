/* SPDX-License-Identifier: MIT
 *
 * Network devices: their state, and packets to and from them. netdev.h has the rules.
 */
#include "arch/x86/percpu.h"
#include "dev/netdev_priv.h"
#include "dev/up.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/thread.h"

static void netdev_queue_init(struct netdev_queue *q, struct netdev *dev, unsigned index)
{
    memset(q, 0, sizeof(*q));
    q->dev = dev;
    q->index = (u16)index;
    spinlock_init(&q->lock, RANK_NET, 4, "netdev queue");
    list_init(&q->backlog);
}

void netdev_init(struct netdev *dev, const struct netdev_ops *ops, struct netdev_queue *queues,
                 unsigned nr_queues)
{
    memset(dev, 0, sizeof(*dev));
    dev->ops = ops;
    dev->queues = queues;
    dev->nr_queues = (u16)nr_queues;
    mutex_init(&dev->config, RANK_DRIVER, NETDEV_CONFIG_ORDER, "netdev config");
    refcount_init(&dev->ref, 1);
    dev->tx_queue_len = NETDEV_BACKLOG;
    netdev_config_init(dev);
    for (unsigned i = 0; i < nr_queues; i++)
        netdev_queue_init(&queues[i], dev, i);
}

int netdev_stack(struct netdev *dev, const struct netdev *lower)
{
    if (lower->depth >= NETDEV_DEPTH)
        return -EMLINK;
    dev->depth = lower->depth + 1;
    dev->below = lower->index;
    mutex_init(&dev->config, RANK_DRIVER, NETDEV_CONFIG_ORDER + dev->depth, "netdev config");
    return 0;
}

int netdev_register(struct netdev *dev, u32 rank)
{
    char name[NETDEV_NAME];
    int err;

    snprintf(name, sizeof(name), "eth%u", rank);
    err = up_netdev_add(dev, name);
    return err == -EEXIST ? up_netdev_add(dev, "eth%d") : err;
}

void netdev_unregister(struct netdev *dev)
{
    mutex_lock(&dev->config);
    netdev_flag(dev, NETDEV_GONE, true);
    mutex_unlock(&dev->config);
    netdev_tell_stop(dev);
    up_netdev_remove(dev);
}

void netdev_put(struct netdev *dev)
{
    if (refcount_put(&dev->ref))
        dev->ops->destroy(dev);
}

int netdev_up(struct netdev *dev)
{
    int err = 0;

    mutex_lock(&dev->config);
    if (dev->flags & NETDEV_GONE)
        err = -ENODEV;
    else if (!(dev->flags & NETDEV_UP) && dev->ops->open)
        err = dev->ops->open(dev);
    if (!err)
        netdev_flag(dev, NETDEV_UP, true);
    mutex_unlock(&dev->config);
    return err;
}

void netdev_take_backlog(struct netdev_queue *q, struct list_node *lost)
{
    spin_lock(&q->lock);
    list_splice_tail(lost, &q->backlog);
    q->tx_dropped += q->nr_backlog;
    WRITE_ONCE(q->nr_backlog, 0);
    q->stopped = false;
    spin_unlock(&q->lock);
}

/* Packets that wait for a device that sends no more. May sleep. */
static void netdev_drop_backlog(struct netdev_queue *q)
{
    struct list_node lost;

    list_init(&lost);
    netdev_take_backlog(q, &lost);
#ifdef DEBUG
    q->receiver = NULL; /* it may have another thread when it is up again */
#endif
    packets_free(&lost);
}

void netdev_down(struct netdev *dev)
{
    mutex_lock(&dev->config);
    if (dev->flags & NETDEV_UP) {
        netdev_flag(dev, NETDEV_UP, false);
        for (unsigned i = 0; i < dev->nr_queues; i++)
            netdev_drop_backlog(&dev->queues[i]); /* and no thread is in transmit any more */
        if (dev->ops->stop)
            dev->ops->stop(dev);
    }
    mutex_unlock(&dev->config);
}

void netdev_stats(struct netdev *dev, struct netdev_stats *out)
{
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < dev->nr_queues; i++) {
        const struct netdev_queue *q = &dev->queues[i];

        out->rx_packets += READ_ONCE(q->rx_packets);
        out->rx_bytes += READ_ONCE(q->rx_bytes);
        out->rx_dropped += READ_ONCE(q->rx_dropped);
        out->rx_errors += READ_ONCE(q->rx_errors);
        out->rx_multicast += READ_ONCE(q->rx_multicast);
        out->tx_packets += READ_ONCE(q->tx_packets);
        out->tx_bytes += READ_ONCE(q->tx_bytes);
        out->tx_dropped += READ_ONCE(q->tx_dropped);
        out->tx_errors += READ_ONCE(q->tx_errors);
    }
    if (dev->ops->stats)
        dev->ops->stats(dev, out);
}

#ifdef DEBUG
void netdev_assert_thread(struct netdev_queue *q)
{
    if (!q->receiver)
        q->receiver = current_thread();
    ASSERT_CURRENT(q->receiver);
}
#endif

static void netdev_receive_traced(struct netdev_queue *q, struct packet *p);
TRACE_POINT(net_receive, netdev_receive, "device %lu, queue %lu: %lu bytes");

static void netdev_receive_traced(struct netdev_queue *q, struct packet *p)
{
    TRACE(net_receive, q->dev->index, q->index, p->len);
    netdev_receive(q, p);
}

void netdev_receive(struct netdev_queue *q, struct packet *p)
{
    ASSERT_QUEUE_THREAD(q);
    q->rx_packets++;
    q->rx_bytes += p->len;
    p->dev = q->dev;
    p->queue = q->index;
    if (READ_ONCE(q->dev->features) & NETDEV_JOIN)
        netdev_join_receive(q, p);
    else
        up_netdev_receive(p);
}

/* Gives p to the driver. -EBUSY: it stays the caller's; else it is gone. */
static int netdev_give_locked(struct netdev_queue *q, struct packet *p, bool more) REQUIRES(q->lock)
{
    u32 len = p->len;
    int err = q->dev->ops->transmit(q, p, more);

    ASSERT_HELD(&q->lock);
    if (err == -EBUSY) {
        q->stopped = true;
    } else if (err) {
        q->tx_errors++;
        packet_free(p);
    } else {
        q->tx_packets++;
        q->tx_bytes += len;
    }
    return err;
}

/* All queues of a device together keep tx_queue_len packets, however many it has: a few more where
 * several CPUs count at the same time. */
static bool netdev_keeps(const struct netdev *dev)
{
    u32 most = READ_ONCE(dev->tx_queue_len), n = 0;

    for (unsigned i = 0; i < dev->nr_queues && n < most; i++)
        n += READ_ONCE(dev->queues[i].nr_backlog);
    return n < most;
}

static int netdev_queue_locked(struct netdev_queue *q, struct packet *p, bool more)
    REQUIRES(q->lock)
{
    int err;

    ASSERT_HELD(&q->lock);
    if (unlikely(p->vlan) && !netdev_tag(p)) {
        q->tx_errors++;
        packet_free(p);
        return -ENOBUFS;
    }
    err = q->stopped ? -EBUSY : netdev_give_locked(q, p, more);
    if (err != -EBUSY)
        return err;
    if (!netdev_keeps(q->dev)) {
        q->tx_dropped++;
        packet_free(p);
        return -ENOBUFS;
    }
    list_add_tail(&q->backlog, &p->node);
    WRITE_ONCE(q->nr_backlog, q->nr_backlog + 1);
    return 0;
}

static int netdev_transmit_traced(struct netdev *dev, struct packet *p);
TRACE_POINT(net_transmit, netdev_transmit, "device %lu, flow %lx: %lu bytes");

static int netdev_transmit_traced(struct netdev *dev, struct packet *p)
{
    TRACE(net_transmit, dev->index, p->hash, p->len);
    return netdev_transmit(dev, p);
}

/* The device below gets p. */
static int netdev_pass(struct netdev *dev, struct packet *p)
{
    if (READ_ONCE(dev->flags) & NETDEV_UP)
        return dev->ops->pass(dev, p);
    packet_free(p);
    return -ENETDOWN;
}

static int netdev_pass_all(struct netdev *dev, struct list_node *list)
{
    struct packet *p;
    int err = 0;

    while ((p = list_first(list, struct packet, node))) {
        int failed;

        list_del(&p->node);
        failed = netdev_pass(dev, p);
        err = err ? err : failed;
    }
    return err;
}

static struct netdev_queue *netdev_select(struct netdev *dev, struct packet *p)
{
    u32 i = unlikely(dev->ops->select) ? dev->ops->select(dev, p) : cpu_id() % dev->nr_queues;

    ASSERT(i < dev->nr_queues);
    return &dev->queues[i];
}

/* q gets the packets of list, in order. The first error. */
static int netdev_queue_all(struct netdev_queue *q, struct list_node *list)
{
    struct netdev *dev = q->dev;
    struct packet *p;
    int err = 0;

    spin_lock(&q->lock);
    while ((p = list_first(list, struct packet, node))) {
        int failed = -ENETDOWN;

        list_del(&p->node);
        if (READ_ONCE(dev->flags) & NETDEV_UP)
            failed = netdev_queue_locked(q, p, !list_empty(list));
        else
            packet_free(p);
        err = err ? err : failed;
    }
    spin_unlock(&q->lock);
    return err;
}

/* Takes p, whose segments go a few at a time. */
static int netdev_transmit_cut(struct netdev *dev, struct packet *p)
{
    struct netdev_queue *q = dev->ops->pass ? NULL : netdev_select(dev, p);
    struct list_node list;
    u32 next = 0;
    int err = 0, failed;

    list_init(&list);
    do {
        err = netdev_cut(dev, p, &next, &list);
        failed = q ? netdev_queue_all(q, &list) : netdev_pass_all(dev, &list);
        err = err < 0 ? err : failed ? failed : err;
    } while (err > 0);
    packet_free(p);
    return err;
}

int netdev_transmit(struct netdev *dev, struct packet *p)
{
    int err = FAILPOINT(netdev_transmit) ? -ENOBUFS : netdev_prepare(dev, p);
    struct netdev_queue *q;

    if (err && err != -EXDEV) {
        packet_free(p);
        return err;
    }
    if (unlikely(READ_ONCE(dev->taps)) && (READ_ONCE(dev->flags) & NETDEV_UP))
        up_netdev_sent(p); /* whole, if it is to be cut */
    if (err)
        return netdev_transmit_cut(dev, p);
    if (unlikely(dev->ops->pass))
        return netdev_pass(dev, p);
    q = netdev_select(dev, p);
    spin_lock(&q->lock);
    if (READ_ONCE(dev->flags) & NETDEV_UP) {
        err = netdev_queue_locked(q, p, false);
    } else {
        packet_free(p);
        err = -ENETDOWN;
    }
    spin_unlock(&q->lock);
    return err;
}

/* The first of those that wait goes to the driver, as the last one for now or not. */
static void netdev_wake_one_locked(struct netdev_queue *q, struct packet *p, bool last)
    REQUIRES(q->lock)
{
    ASSERT_HELD(&q->lock);
    list_del(&p->node);
    WRITE_ONCE(q->nr_backlog, q->nr_backlog - 1);
    if (netdev_give_locked(q, p, q->nr_backlog && !last) == -EBUSY) {
        list_add(&q->backlog, &p->node);
        WRITE_ONCE(q->nr_backlog, q->nr_backlog + 1);
    }
}

/* At most so many in one hold of the lock. True: there are more, and space; until they have gone
 * others wait behind them. */
static bool netdev_wake_some(struct netdev_queue *q, u32 most)
{
    struct packet *p;
    bool more;

    spin_lock(&q->lock);
    q->stopped = false;
    for (u32 n = 0; n < most && !q->stopped; n++) {
        p = list_first(&q->backlog, struct packet, node);
        if (!p)
            break;
        netdev_wake_one_locked(q, p, n == most - 1);
    }
    more = !q->stopped && !list_empty(&q->backlog);
    q->stopped |= more;
    spin_unlock(&q->lock);
    return more;
}

/* In small steps as many as waited when it was called; what others have added meanwhile goes in one
 * hold, in which they cannot add more: so it ends, however fast they are. */
void netdev_wake(struct netdev_queue *q)
{
    u32 most = READ_ONCE(q->nr_backlog);

    for (u32 n = 0; n < most; n += NETDEV_BUDGET) {
        if (!netdev_wake_some(q, NETDEV_BUDGET))
            return;
        cond_yield();
    }
    (void)netdev_wake_some(q, U32_MAX);
}
