/* SPDX-License-Identifier: MIT
 *
 * dummy. dummy.h has the contract.
 */
#include "net/link/dummy.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/link/ethernet.h"

struct dummy {
    struct netdev dev;
    struct netdev_queue queue;
};

static int dummy_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    packet_free(p);
    return 0;
}

static int dummy_set_address(struct netdev *dev, const u8 *addr)
{
    return 0;
}

static void dummy_destroy(struct netdev *dev)
{
    kfree(container_of(dev, struct dummy, dev));
}

const struct netdev_ops dummy_ops = {
    .transmit = dummy_transmit, .set_address = dummy_set_address, .destroy = dummy_destroy};

/* *out: a reference. */
static int dummy_make(struct net_ns *ns, const char *name, const u8 *addr, u32 mtu,
                      struct netdev **out)
{
    struct dummy *d = FAILPOINT(dummy_create) ? NULL : kzalloc(sizeof(*d));
    struct netdev *dev;
    int err;

    if (!d)
        return -ENOMEM;
    dev = &d->dev;
    netdev_init(dev, &dummy_ops, &d->queue, 1);
    dev->type = ARPHRD_ETHER;
    dev->header = ETHERNET_HEADER;
    dev->features = NETDEV_CSUM | NETDEV_TSO4 | NETDEV_TSO6 | NETDEV_USO | NETDEV_FRAGS;
    dev->flags = NETDEV_CARRIER;
    dev->mtu = ETHERNET_MTU;
    dev->min_mtu = NETDEV_MTU_LEAST;
    dev->max_mtu = 0xffff;
    random_bytes(dev->addr, sizeof(dev->addr));
    dev->addr[0] = (u8)((dev->addr[0] & ~1) | 2); /* administered locally, of one station */
    dev->addr_is = addr ? NETDEV_ADDR_SET : NETDEV_ADDR_RANDOM;
    err = addr ? netdev_set_address(dev, addr) : 0;
    if (!err && mtu)
        err = netdev_set_mtu(dev, mtu);
    if (!err)
        err = net_device_add(ns, dev, name);
    if (err)
        netdev_put(dev);
    else
        *out = dev;
    return err;
}

int dummy_create(struct net_ns *ns, const char *name, const u8 *addr, u32 mtu)
{
    struct netdev *dev;
    int err = dummy_make(ns, name, addr, mtu, &dev);

    if (!err)
        netdev_put(dev); /* the namespace's list has one */
    return err;
}

int dummy_move(struct netdev *dev, struct net_ns *ns, const char *name, struct netdev **out)
{
    struct netdev *heir;
    int err = dummy_make(ns, name, dev->addr, READ_ONCE(dev->mtu), &heir);

    if (err)
        return err;
    WRITE_ONCE(heir->tx_queue_len, READ_ONCE(dev->tx_queue_len));
    WRITE_ONCE(heir->group, READ_ONCE(dev->group));
    err = net_device_delete(dev);
    if (!err) {
        *out = heir;
        return 0;
    }
    if (net_device_delete(heir)) /* dev was removed meanwhile */
        err = 0;                 /* and so was its heir */
    netdev_put(heir);
    return err ? err : -ENODEV;
}
