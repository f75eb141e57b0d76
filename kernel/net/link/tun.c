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
#include "obj/poll.h"
#include "sync/rcu.h"

COUNTER(tun_dropped);

static struct tun *tun_of(struct netdev *dev)
{
    return container_of(dev, struct tun, dev);
}

/* Without a reader nothing is kept; a reader that is slow makes senders find no space. */
static int tun_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    struct tun *t = tun_of(q->dev);
    int err = 0;

    if (!READ_ONCE(t->file)) {
        COUNT(tun_dropped);
        return -ENOTCONN; /* dropped, and counted as an error */
    }
    if (READ_ONCE(t->nr_frames) >= TUN_FRAMES)
        return -EBUSY;
    if (t->account && packet_charge(p, t->account))
        return -ENOMEM;
    packet_arrived(p);
    spin_lock(&t->lock);
    list_add_tail(&t->frames, &p->node);
    WRITE_ONCE(t->nr_frames, t->nr_frames + 1);
    spin_unlock(&t->lock);
    waitq_wake_inline(&t->wait, POLLIN | POLLRDNORM, 1);
    return err;
}

struct packet *tun_take(struct tun *t)
{
    struct packet *p;
    bool was_full;

    spin_lock(&t->lock);
    was_full = t->nr_frames >= TUN_FRAMES;
    p = list_first(&t->frames, struct packet, node);
    if (p) {
        list_del(&p->node);
        WRITE_ONCE(t->nr_frames, t->nr_frames - 1);
    }
    spin_unlock(&t->lock);
    if (was_full)
        netdev_wake(&t->queue);
    return p;
}

void tun_purge(struct tun *t)
{
    struct packet *p;

    while ((p = tun_take(t)))
        packet_free(p);
    waitq_wake_all(&t->wait);
}

/* Writers that saw it up are waited for. */
static void tun_stop(struct netdev *dev)
{
    rcu_synchronize();
    tun_purge(tun_of(dev));
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

static void tun_destroy(struct netdev *dev)
{
    tun_purge(tun_of(dev));
    kfree(tun_of(dev));
}

const struct netdev_ops tun_ops = {.stop = tun_stop,
                                   .transmit = tun_transmit,
                                   .set_address = tun_set_address,
                                   .stats = tun_stats,
                                   .destroy = tun_destroy};

static void tun_setup(struct tun *t, u32 flags)
{
    struct netdev *dev = &t->dev;

    netdev_init(dev, &tun_ops, &t->queue, 1);
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
    t->account = slab_account(t);
    t->vnet_size = VNET_HEADER;
    spinlock_init(&t->lock, RANK_NET, 3, "tun frames");
    list_init(&t->frames);
    waitq_init(&t->wait);
}

int tun_create(struct net_ns *ns, const char *name, u32 flags, struct tun_file *file,
               struct tun **out)
{
    struct tun *t = FAILPOINT(tun_create) ? NULL : kzalloc(sizeof(*t));
    int err;

    if (!t)
        return -ENOMEM;
    tun_setup(t, flags);
    t->file = file;
    err = net_device_add(ns, &t->dev, name);
    if (err)
        netdev_put(&t->dev);
    else
        *out = t;
    return err;
}

/* A packet without a link header: the first nibble says what it is. */
static u16 tun_protocol(struct packet *p)
{
    const u8 *at = packet_need(p, 1);

    return at && *at >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
}

void tun_receive(struct tun *t, struct packet *p)
{
    if (!t->dev.header)
        p->protocol = tun_protocol(p);
    __atomic_fetch_add(&t->rx_packets, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&t->rx_bytes, p->len, __ATOMIC_RELAXED);
    p->dev = &t->dev;
    p->queue = 0;
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
        waitq_wake_all(&tun_of(dev)->wait);
    return 0;
}
NET_DEVICE_HOOK(tun) = {tun_device_event};
NET_LINK(tun) = {ARPHRD_NONE, tun_link_receive, tun_link_header};
