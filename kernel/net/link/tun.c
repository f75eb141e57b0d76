/* SPDX-License-Identifier: MIT
 *
 * The device of /dev/net/tun. tun.h and tun_priv.h have the rules.
 */
#include "dev/up.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/link/ethernet.h"
#include "net/link/tun_priv.h"
#include "net/link/vnet_header.h"
#include "sync/rcu.h"

COUNTER(tun_dropped);

static struct tun *tun_of(struct netdev *dev)
{
    return container_of(dev, struct tun, dev);
}

/* Of a packet that comes or goes. */
static u32 tun_flow(const struct tun *t, const struct packet *p)
{
    u32 n = MIN(p->len, FLOW_HEAD);
    u8 head[FLOW_HEAD];

    packet_copy(p, 0, n, head);
    return flow_hash(&t->flows->key, head, n, t->dev.header);
}

static u32 tun_select(struct netdev *dev, const struct packet *p)
{
    struct tun *t = tun_of(dev);
    u32 n = READ_ONCE(t->nr_attached);

    return n > 1 ? flow_queue(t->flows, tun_flow(t, p), n) : 0;
}

/* Without a reader nothing is kept; a reader that is slow makes senders find no space. */
static int tun_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    struct tun_file *tf = q->driver;

    ASSERT_HELD(&q->lock);
    if (!tf) {
        COUNT(tun_dropped);
        return -ENOTCONN; /* dropped, and counted as an error */
    }
    if (READ_ONCE(tf->nr_frames) >= TUN_FRAMES)
        return -EBUSY;
    if (tf->account && packet_charge(p, tf->account))
        return -ENOMEM;
    packet_arrived(p);
    tun_give(tf, p);
    return 0;
}

/* Writers that saw it up are waited for: here, or by those who take the device away, once for many
 * devices. No frame is given to a file any more. */
static void tun_stop(struct netdev *dev)
{
    if (!(READ_ONCE(dev->flags) & NETDEV_GONE))
        rcu_synchronize();
    tun_purge_all(tun_of(dev));
}

static int tun_set_address(struct netdev *dev, const u8 *addr)
{
    return dev->header ? 0 : -EOPNOTSUPP;
}

static void tun_stats(struct netdev *dev, struct netdev_stats *out)
{
    struct tun *t = tun_of(dev);

    out->rx_packets += READ_ONCE(t->rx_packets);
    out->rx_bytes += READ_ONCE(t->rx_bytes);
    out->rx_dropped += READ_ONCE(t->rx_dropped);
}

/* It has no files: they hold references. */
static void tun_destroy(struct netdev *dev)
{
    struct tun *t = tun_of(dev);

    ASSERT(list_empty(&t->files));
    kfree(t->flows);
    kfree(t);
}

const struct netdev_ops tun_ops = {.stop = tun_stop,
                                   .select = tun_select,
                                   .transmit = tun_transmit,
                                   .set_address = tun_set_address,
                                   .stats = tun_stats,
                                   .destroy = tun_destroy};

static void tun_setup(struct tun *t, u32 flags, u32 nr_queues)
{
    struct netdev *dev = &t->dev;

    netdev_init(dev, &tun_ops, t->queues, nr_queues);
    dev->type = flags & IFF_TAP ? ARPHRD_ETHER : ARPHRD_NONE;
    dev->header = flags & IFF_TAP ? ETHERNET_HEADER : 0;
    dev->features = NETDEV_FRAGS;
    dev->mtu = ETHERNET_MTU;
    dev->min_mtu = NETDEV_MTU_LEAST;
    dev->max_mtu = 65535 - dev->header;
    if (flags & IFF_TAP) {
        random_bytes(dev->addr, sizeof(dev->addr));
        dev->addr[0] = (u8)((dev->addr[0] & ~1) | 2); /* administered locally, of one station */
        dev->addr_is = NETDEV_ADDR_RANDOM;
    }
    t->flags = flags;
    t->owner = t->group = TUN_ANYBODY;
    t->vnet_size = VNET_HEADER;
    spinlock_init(&t->lock, RANK_NET, 4, "tun");
    list_init(&t->files);
}

/* NULL: no memory. */
static struct tun *tun_alloc(u32 flags)
{
    u32 n = flags & IFF_MULTI_QUEUE ? TUN_QUEUES : 1;
    struct tun *t = FAILPOINT(tun_create) ? NULL : kzalloc(sizeof(*t) + n * sizeof(t->queues[0]));

    if (!t)
        return NULL;
    tun_setup(t, flags, n);
    if (n == 1)
        return t;
    t->flows = kzalloc(sizeof(*t->flows));
    if (!t->flows) {
        netdev_put(&t->dev);
        return NULL;
    }
    random_bytes(&t->flows->key, sizeof(t->flows->key));
    return t;
}

int tun_create(struct tun_file *tf, const char *name, u32 flags, struct tun **out)
{
    struct tun *t = tun_alloc(flags);
    struct list_node lost;
    int err;

    if (!t)
        return -ENOMEM;
    list_init(&lost);
    err = tun_add_file(t, tf);
    ASSERT(!err); /* it is the first */
    err = net_device_add(tf->ns, &t->dev, name);
    if (err) {
        (void)tun_remove_file(t, tf, &lost);
        packets_free(&lost); /* none: it was never up */
        netdev_put(&t->dev);
    } else {
        *out = t;
    }
    return err;
}

/* A packet without a link header: the first nibble says what it is. */
static u16 tun_protocol(struct packet *p)
{
    const u8 *at = packet_need(p, 1);

    return at && *at >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
}

/* The flow's answers go to the file that it came by. */
static void tun_learn(struct tun *t, const struct tun_file *tf, struct packet *p)
{
    if (READ_ONCE(t->nr_attached) > 1 && READ_ONCE(tf->attached))
        flow_learn(t->flows, tun_flow(t, p), READ_ONCE(tf->index));
}

void tun_receive(struct tun *t, struct tun_file *tf, struct packet *p)
{
    tun_learn(t, tf, p);
    if (!t->dev.header)
        p->protocol = tun_protocol(p);
    __atomic_fetch_add(&t->rx_packets, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&t->rx_bytes, p->len, __ATOMIC_RELAXED);
    p->dev = &t->dev;
    p->queue = (u16)READ_ONCE(tf->index);
    up_netdev_receive(p);
}

/* ---- packets without a link header ---- */

static void tun_link_receive(struct packet *p)
{
    p->link = p->start;
    p->kind = PACKET_HOST;
    net_protocol_receive(p);
}

static int tun_link_header(struct packet *p, struct netdev *dev, u16 protocol, const u8 *to)
{
    return 0;
}
/* It goes; up or not: who waits for frames is told. */
static int tun_device_event(struct netdev *dev, enum net_device_event event)
{
    if (event == NET_DEVICE_GONE && dev->ops == &tun_ops)
        tun_wake_all(tun_of(dev));
    return 0;
}
NET_DEVICE_HOOK(tun) = {tun_device_event};
NET_LINK(tun) = {ARPHRD_NONE, tun_link_receive, tun_link_header};
