/* SPDX-License-Identifier: MIT
 *
 * The virtio network device (virtio 1.2, 5.1): a pair of queues for each processor as far as the
 * device has them, mergeable receive buffers, checksums and segments both ways, the control queue.
 * Here is its life; virtio_net_*.c have the rest.
 *
 * The device runs from probe to remove. It gets receive buffers when the interface comes up first,
 * and keeps them; what comes while the interface is down is dropped. VLAN tags are software's, and
 * so are announcements.
 */
#include "drivers/net/virtio_net.h"
#include "arch/x86/acpi.h"
#include "dev/pci.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"

#define MTU_DEFAULT 1500
#define MTU_MIN 68

#define CONFIG_MAC 0
#define CONFIG_STATUS 6
#define CONFIG_PAIRS 8
#define CONFIG_MTU 10
#define CONFIG_SPEED 12
#define CONFIG_DUPLEX 16
#define STATUS_LINK_UP 1

#define RX_RING 128
#define RX_RING_SHARED 64 /* each of several */
#define TX_RING 256
#define TX_RING_TABLES 128 /* each entry is a whole packet */
#define CONTROL_RING 4
#define PAIRS_MOST 0x8000

static struct vnet *vnet_of(struct netdev *dev)
{
    return container_of(dev, struct vnet, dev);
}

/* ---- operations ---- */

static int vnet_open(struct netdev *dev)
{
    struct vnet *v = vnet_of(dev);
    int err = 0;

    if (READ_ONCE(v->broken))
        return -EIO;
    for (u32 i = 0; i < v->nr && !err; i++)
        err = vnet_rx_fill(&v->pairs[i]);
    if (!err)
        vnet_control_filter(v);
    return err;
}

static void vnet_stop(struct netdev *dev)
{
    struct vnet *v = vnet_of(dev);

    for (u32 i = 0; i < v->nr; i++) {
        mutex_lock(&v->pairs[i].rx.run);
        mutex_unlock(&v->pairs[i].rx.run);
    }
}

static int vnet_set_address(struct netdev *dev, const u8 *addr)
{
    return vnet_control_address(vnet_of(dev), addr);
}

static void vnet_set_filter(struct netdev *dev)
{
    vnet_control_filter(vnet_of(dev));
}

static void vnet_destroy(struct netdev *dev)
{
    struct vnet *v = vnet_of(dev);

    kfree(v->pairs);
    kfree(v->queues);
    kfree(v);
}

/* What it says of a link that it has not: none negotiates. */
static void vnet_link_now(struct netdev *dev, struct netdev_link *out)
{
    struct virtio_device *vdev = vnet_of(dev)->vdev;
    u32 speed;
    u8 duplex;

    if (!virtio_has(vdev, F_SPEED_DUPLEX))
        return;
    virtio_config_read(vdev, CONFIG_SPEED, &speed, sizeof(speed));
    virtio_config_read(vdev, CONFIG_DUPLEX, &duplex, sizeof(duplex));
    out->speed = speed >> 31 ? 0 : speed;
    out->duplex = duplex == 0 ? NETDEV_HALF : duplex == 1 ? NETDEV_FULL : NETDEV_DUPLEX_UNKNOWN;
}

static const struct netdev_ops vnet_ops = {
    .open = vnet_open,
    .stop = vnet_stop,
    .transmit = vnet_transmit,
    .set_address = vnet_set_address,
    .set_filter = vnet_set_filter,
    .link = vnet_link_now,
    .destroy = vnet_destroy,
};

/* ---- events ---- */

static void vnet_config(struct virtio_device *vdev)
{
    struct vnet *v = vdev->dev.driver_data;

    if (v)
        netdev_set_carrier(&v->dev, !virtio_has(vdev, F_STATUS) ||
                                        (virtio_config16(vdev, CONFIG_STATUS) & STATUS_LINK_UP));
}

/* The device touches nothing any more: what it had comes back. */
static void vnet_give_up(struct vnet *v)
{
    WRITE_ONCE(v->broken, true);
    vnet_control_give_up(v);
    for (u32 i = 0; i < v->nr; i++) {
        vnet_rx_give_up(&v->pairs[i]);
        vnet_tx_give_up(&v->pairs[i]);
        if (READ_ONCE(v->pairs[i].q->stopped))
            netdev_wake(v->pairs[i].q);
    }
}

static void vnet_broken(struct virtio_device *vdev)
{
    struct vnet *v = vdev->dev.driver_data;

    vnet_give_up(v);
    netdev_set_carrier(&v->dev, false);
}

static const struct virtio_events vnet_events = {.config = vnet_config, .broken = vnet_broken};

/* ---- probe ---- */

static u32 vnet_features(const struct virtio_device *vdev)
{
    u32 features =
        NETDEV_FRAGS | NETDEV_JOIN | (virtio_has(vdev, F_GUEST_CSUM) ? NETDEV_RX_SUMS : 0);

    if (!virtio_has(vdev, F_CSUM))
        return features; /* segments need it: 5.1.3.1 */
    return features | NETDEV_CSUM | (virtio_has(vdev, F_HOST_TSO4) ? NETDEV_TSO4 : 0) |
           (virtio_has(vdev, F_HOST_TSO6) ? NETDEV_TSO6 : 0) |
           (virtio_has(vdev, F_HOST_ECN) ? NETDEV_TSO_ECN : 0) |
           (virtio_has(vdev, F_HOST_USO) ? NETDEV_USO : 0) |
           (virtio_has(vdev, F_GUEST_SEGMENTS) ? NETDEV_LRO : 0);
}

static void vnet_identity(struct vnet *v)
{
    struct virtio_device *vdev = v->vdev;
    u64 random = random_u64();
    u32 space = v->merge ? PACKET_LEN_MAX : NETDEV_BUFFER - (u32)sizeof(struct vnet_hdr);

    v->dev.type = ARPHRD_ETHER;
    v->dev.header = ETHERNET_HEADER;
    v->dev.parent = &vdev->dev;
    v->dev.min_mtu = MTU_MIN;
    v->dev.max_mtu = MIN(space - ETHERNET_HEADER, 65535U);
    v->dev.mtu = MTU_DEFAULT;
    if (virtio_has(vdev, F_MTU)) {
        v->dev.max_mtu = MIN(MAX(virtio_config16(vdev, CONFIG_MTU), MTU_MIN), v->dev.max_mtu);
        v->dev.mtu = v->dev.max_mtu;
    }
    memcpy(v->dev.addr, &random, NETDEV_ADDR);
    if (virtio_has(vdev, F_MAC))
        virtio_config_read(vdev, CONFIG_MAC, v->dev.addr, NETDEV_ADDR);
    if (!virtio_has(vdev, F_MAC) || (v->dev.addr[0] & 1)) /* one of its own: local, unicast */
        v->dev.addr[0] = (u8)((v->dev.addr[0] & ~1U) | 2U);
    v->dev.features = vnet_features(vdev);
}

/* Pairs that the device has; *nr: that are to be used. */
static u32 vnet_pairs(struct virtio_device *vdev, u32 *nr)
{
    u32 all = 1;

    if (virtio_has(vdev, F_MQ) && virtio_has(vdev, F_CTRL_VQ))
        all = virtio_config16(vdev, CONFIG_PAIRS);
    if (!all || all > PAIRS_MOST)
        all = 1;
    *nr = MIN(MIN(all, (u32)NETDEV_QUEUES), MAX(acpi_cpu_count(), 1U));
    return all;
}

static void vnet_queue_configs(struct vnet *v, u32 all, struct virtio_queue_config *configs)
{
    bool tables = virtio_has(v->vdev, VIRTIO_F_INDIRECT_DESC);

    for (u32 i = 0; i < v->nr; i++) {
        configs[2 * i] = (struct virtio_queue_config){.name = "virtio-net rx",
                                                      .index = 2 * i,
                                                      .size = v->nr > 1 ? RX_RING_SHARED : RX_RING,
                                                      .cpu = i,
                                                      .work = vnet_rx_work,
                                                      .driver = &v->pairs[i]};
        configs[2 * i + 1] = (struct virtio_queue_config){.name = "virtio-net tx",
                                                          .index = 2 * i + 1,
                                                          .size = tables ? TX_RING_TABLES : TX_RING,
                                                          .pieces = TX_PIECES,
                                                          .cpu = i,
                                                          .work = vnet_tx_work,
                                                          .driver = &v->pairs[i]};
    }
    if (virtio_has(v->vdev, F_CTRL_VQ))
        configs[2 * v->nr] = (struct virtio_queue_config){.name = "virtio-net control",
                                                          .index = 2 * all,
                                                          .size = CONTROL_RING,
                                                          .work = vnet_control_work,
                                                          .driver = v};
}

static int vnet_queues_fill(struct vnet *v, struct virtio_queue **vqs)
{
    int err = 0;

    for (u32 i = 0; i < v->nr; i++) {
        v->pairs[i].rx.vq = vqs[2 * i];
        v->pairs[i].tx.vq = vqs[2 * i + 1];
    }
    v->dev.rx_ring = (u16)vqs[0]->ring.num;
    v->dev.tx_ring = (u16)vqs[1]->ring.num;
    for (u32 i = 0; i < v->nr && !err; i++) {
        err = vnet_rx_make(&v->pairs[i]);
        if (!err)
            err = vnet_tx_make(&v->pairs[i]);
    }
    if (!err && virtio_has(v->vdev, F_CTRL_VQ)) {
        v->control.vq = vqs[2 * v->nr];
        err = vnet_control_make(v);
    }
    return err;
}

static int vnet_queues(struct vnet *v, u32 all)
{
    u32 n = 2 * v->nr + (virtio_has(v->vdev, F_CTRL_VQ) ? 1 : 0);
    struct virtio_queue_config *configs = kcalloc(n, sizeof(*configs));
    struct virtio_queue **vqs = kcalloc(n, sizeof(*vqs));
    int err = configs && vqs ? 0 : -ENOMEM;

    if (!err) {
        vnet_queue_configs(v, all, configs);
        err = virtio_queues_create(v->vdev, configs, n, vqs);
    }
    if (!err)
        err = vnet_queues_fill(v, vqs);
    kfree(configs);
    kfree(vqs);
    return err;
}

/* After virtio_negotiate, on failure and in remove. */
static void vnet_end(struct vnet *v)
{
    virtio_stop(v->vdev);
    if (v->nr && v->pairs[0].rx.vq)
        vnet_give_up(v);
    for (u32 i = 0; i < v->nr; i++) {
        vnet_rx_free(&v->pairs[i], v->vdev->stuck);
        vnet_tx_free(&v->pairs[i]);
    }
    vnet_control_free(v, v->vdev->stuck);
    virtio_queues_destroy(v->vdev);
    v->vdev->dev.driver_data = NULL;
    netdev_put(&v->dev);
}

/* A struct for nr pairs; NULL: no memory. */
static struct vnet *vnet_alloc(struct virtio_device *vdev, u32 nr)
{
    struct vnet *v = kzalloc(sizeof(*v));

    if (!v)
        return NULL;
    v->queues = kcalloc(nr, sizeof(*v->queues));
    v->pairs = kcalloc(nr, sizeof(*v->pairs));
    if (!v->queues || !v->pairs) {
        vnet_destroy(&v->dev);
        return NULL;
    }
    v->vdev = vdev;
    v->nr = nr;
    netdev_init(&v->dev, &vnet_ops, v->queues, nr);
    mutex_init(&v->control.lock, RANK_DRIVER, 14, "virtio-net control");
    waitq_init(&v->control.waitq);
    for (u32 i = 0; i < nr; i++) {
        v->pairs[i].v = v;
        v->pairs[i].q = &v->queues[i];
        v->queues[i].driver = &v->pairs[i];
        mutex_init(&v->pairs[i].rx.run, RANK_DRIVER, 15, "virtio-net receive");
    }
    return v;
}

static int vnet_start(struct vnet *v, u32 all)
{
    int err = vnet_queues(v, all);

    if (err)
        return err;
    virtio_start(v->vdev);
    if (v->nr > 1)
        err = vnet_control_pairs(v);
    return err ? err
               : netdev_register(&v->dev,
                                 pci_class_rank(&v->vdev->dev, PCI_BASE_NETWORK, v->vdev->rank));
}

/* Joined segments need buffers that merge. */
static u64 vnet_wanted(struct virtio_device *vdev)
{
    u64 wanted = F_CSUM | F_GUEST_CSUM | F_MTU | F_MAC | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN |
                 F_HOST_USO | F_MRG_RXBUF | F_STATUS | F_CTRL_VQ | F_CTRL_RX | F_MQ |
                 F_CTRL_MAC_ADDR | F_SPEED_DUPLEX;

    if ((vdev->ops->features(vdev) & (F_MRG_RXBUF | F_GUEST_CSUM)) == (F_MRG_RXBUF | F_GUEST_CSUM))
        wanted |= F_GUEST_SEGMENTS;
    return wanted;
}

static int vnet_probe(struct device *dev, const struct device_id *id)
{
    struct virtio_device *vdev = virtio_device_of(dev);
    struct vnet *v;
    u32 all, nr;
    int err = virtio_negotiate(vdev, &vnet_events, vnet_wanted(vdev), 0);

    if (err)
        return err;
    all = vnet_pairs(vdev, &nr);
    v = vnet_alloc(vdev, nr);
    if (!v) {
        virtio_stop(vdev);
        return -ENOMEM;
    }
    v->merge = virtio_has(vdev, F_MRG_RXBUF);
    vnet_identity(v);
    dev->driver_data = v;
    err = vnet_start(v, all);
    if (err)
        vnet_end(v);
    else
        vnet_config(vdev);
    return err;
}

static void vnet_remove(struct device *dev)
{
    struct vnet *v = dev->driver_data;

    netdev_unregister(&v->dev);
    vnet_end(v);
}

static const struct device_id vnet_ids[] = {VIRTIO_ID(VIRTIO_NET)};
DRIVER(virtio_net)
= {.name = "virtio_net",
   .bus = &virtio_bus,
   DRIVER_IDS(vnet_ids),
   .probe = vnet_probe,
   .remove = vnet_remove};
