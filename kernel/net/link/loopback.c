/* SPDX-License-Identifier: MIT
 *
 * lo. Bytes between sockets of one namespace go from queue to queue and no packet passes here yet.
 */
#include "net/link/loopback.h"
#include "mm/slab.h"
#include "net/core/device.h"

#define ARPHRD_LOOPBACK 772
#define LOOPBACK_MTU 65536

struct loopback {
    struct netdev dev;
    struct netdev_queue queue;
};

struct loopback_part {
    struct netdev *dev;
};
static u32 loopback_offset;

struct netdev *loopback_of(struct net_ns *ns)
{
    return ((struct loopback_part *)net_part(ns, loopback_offset))->dev;
}

static int loopback_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    return -EOPNOTSUPP;
}

static void loopback_destroy(struct netdev *dev)
{
    kfree(container_of(dev, struct loopback, dev));
}

static const struct netdev_ops loopback_ops = {.transmit = loopback_transmit,
                                               .destroy = loopback_destroy};

static int loopback_setup(struct net_ns *ns, void *part)
{
    struct loopback *lo = kmalloc(sizeof(*lo));
    struct netdev *dev;
    int err;

    if (!lo)
        return -ENOMEM;
    dev = &lo->dev;
    netdev_init(dev, &loopback_ops, &lo->queue, 1);
    dev->type = ARPHRD_LOOPBACK;
    dev->flags = NETDEV_LOOPBACK | NETDEV_CARRIER;
    dev->mtu = dev->max_mtu = LOOPBACK_MTU;
    err = net_device_add(ns, dev, "lo");
    if (!err) {
        ((struct loopback_part *)part)->dev = dev;
        if (!net_ns_init) /* the first one's */
            err = net_device_up(dev);
    }
    netdev_put(dev); /* the namespace's list has one */
    return err;
}
NET_PART("20", loopback) = {sizeof(struct loopback_part), &loopback_offset, loopback_setup, NULL};
