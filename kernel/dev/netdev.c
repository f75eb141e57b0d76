/* SPDX-License-Identifier: MIT
 *
 * Network devices: their state, and packets to and from them. netdev.h has the rules.
 */
#include "dev/netdev.h"
#include "arch/x86/percpu.h"
#include "dev/up.h"
#include "lib/log.h"
#include "lib/string.h"

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
    dev->tx_queue_len = NETDEV_BACKLOG;
    mutex_init(&dev->config, RANK_DRIVER, 20, "netdev config");
    refcount_init(&dev->ref, 1);
    list_init(&dev->node);
    for (unsigned i = 0; i < nr_queues; i++)
        netdev_queue_init(&queues[i], dev, i);
}

int netdev_register(struct netdev *dev, const char *name)
{
    return up_netdev_add(dev, name);
}

static void netdev_flag(struct netdev *dev, u32 flag, bool on)
{
    if (on)
        __atomic_fetch_or(&dev->flags, flag, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&dev->flags, ~flag, __ATOMIC_SEQ_CST);
}

void netdev_unregister(struct netdev *dev)
{
    mutex_lock(&dev->config);
    netdev_flag(dev, NETDEV_GONE, true);
    mutex_unlock(&dev->config);
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

/* Packets that wait for a device that sends no more. */
static void netdev_drop_backlog(struct netdev_queue *q)
{
    struct packet *p;

    spin_lock(&q->lock);
    while ((p = list_first(&q->backlog, struct packet, node))) {
        list_del(&p->node);
        packet_free(p);
        q->tx_dropped++;
    }
    q->nr_backlog = 0;
    q->stopped = false;
#ifdef DEBUG
    q->receiver = NULL; /* it may have another thread when it is up again */
#endif
    spin_unlock(&q->lock);
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

int netdev_set_address(struct netdev *dev, const u8 *addr)
{
    int err = -EOPNOTSUPP;

    if (addr[0] & 1 || !memcmp(addr, "\0\0\0\0\0", NETDEV_ADDR))
        return -EADDRNOTAVAIL;
    mutex_lock(&dev->config);
    if (dev->ops->set_address)
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
    if (dev->ops->set_mtu)
        err = dev->ops->set_mtu(dev, mtu);
    if (!err)
        WRITE_ONCE(dev->mtu, mtu);
    mutex_unlock(&dev->config);
    return err;
}

void netdev_set_carrier(struct netdev *dev, bool on)
{
    if (!(READ_ONCE(dev->flags) & NETDEV_CARRIER) == !on)
        return;
    netdev_flag(dev, NETDEV_CARRIER, on);
    log_info("%s: link %s", dev->name[0] ? dev->name : "net device", on ? "up" : "down");
    __atomic_fetch_add(&dev->nr_carrier, 1, __ATOMIC_RELAXED);
    if (dev->index)
        up_netdev_changed(dev);
}

void netdev_want(struct netdev *dev, u32 flag, int by)
{
    u32 *nr = flag == NETDEV_PROMISC ? &dev->nr_promisc : &dev->nr_allmulti;

    mutex_lock(&dev->config);
    *nr += (u32)by;
    netdev_flag(dev, flag, *nr);
    if (dev->ops->set_filter)
        dev->ops->set_filter(dev);
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

static int netdev_queue_locked(struct netdev_queue *q, struct packet *p) REQUIRES(q->lock)
{
    int err = q->stopped ? -EBUSY : netdev_give_locked(q, p, false);

    ASSERT_HELD(&q->lock);
    if (err != -EBUSY)
        return err;
    if (q->nr_backlog >= NETDEV_BACKLOG) {
        q->tx_dropped++;
        packet_free(p);
        return -ENOBUFS;
    }
    list_add_tail(&q->backlog, &p->node);
    q->nr_backlog++;
    return 0;
}

static bool netdev_cuts(const struct netdev *dev, const struct packet *p)
{
    switch (p->gso & ~(u32)PACKET_GSO_ECN) {
    case PACKET_GSO_TCP4:
        return dev->features & NETDEV_TSO4;
    case PACKET_GSO_TCP6:
        return dev->features & NETDEV_TSO6;
    default:
        return (dev->features & NETDEV_USO) && p->gso == PACKET_GSO_UDP_L4;
    }
}

/* What the device cannot do by itself is done, or refused. */
static int netdev_prepare(struct netdev *dev, struct packet *p)
{
    if ((p->gso && !netdev_cuts(dev, p)) || (p->nr_frags && !(dev->features & NETDEV_FRAGS)))
        return -EINVAL;
    if (!p->gso && p->len > READ_ONCE(dev->mtu) + dev->header)
        return -EMSGSIZE;
    if ((p->flags & PACKET_CSUM_PARTIAL) && !(dev->features & NETDEV_CSUM) && !packet_finish_sum(p))
        return -EINVAL;
    return 0;
}

static int netdev_transmit_traced(struct netdev *dev, struct packet *p);
TRACE_POINT(net_transmit, netdev_transmit, "device %lu, flow %lx: %lu bytes");

static int netdev_transmit_traced(struct netdev *dev, struct packet *p)
{
    TRACE(net_transmit, dev->index, p->hash, p->len);
    return netdev_transmit(dev, p);
}

int netdev_transmit(struct netdev *dev, struct packet *p)
{
    struct netdev_queue *q = &dev->queues[cpu_id() % dev->nr_queues];
    int err = FAILPOINT(netdev_transmit) ? -ENOBUFS : netdev_prepare(dev, p);

    if (err) {
        packet_free(p);
        return err;
    }
    p->dev = dev;
    if (unlikely(READ_ONCE(dev->taps)) && (READ_ONCE(dev->flags) & NETDEV_UP))
        up_netdev_sent(p);
    spin_lock(&q->lock);
    if (READ_ONCE(dev->flags) & NETDEV_UP) {
        err = netdev_queue_locked(q, p);
    } else {
        packet_free(p);
        err = -ENETDOWN;
    }
    spin_unlock(&q->lock);
    return err;
}

void netdev_wake(struct netdev_queue *q)
{
    struct packet *p;

    spin_lock(&q->lock);
    q->stopped = false;
    while (!q->stopped && (p = list_first(&q->backlog, struct packet, node))) {
        list_del(&p->node);
        q->nr_backlog--;
        if (netdev_give_locked(q, p, q->nr_backlog) == -EBUSY) {
            list_add(&q->backlog, &p->node);
            q->nr_backlog++;
        }
    }
    spin_unlock(&q->lock);
}
