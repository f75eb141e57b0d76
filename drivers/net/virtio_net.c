/* SPDX-License-Identifier: MIT
 *
 * The virtio network device (virtio 1.2, 5.1): one pair of queues, mergeable receive buffers, words
 * for checksums and segments passed through. Here are its life and what it sends; virtio_net_rx.c
 * has what it receives.
 *
 * Rules. The receive ring is the receive work's, under rx->run (mutex), which stop takes to know
 * that no frame is on its way up; nothing that transmit takes is held while a frame goes up. The
 * transmit ring is under tx->lock (RANK_DEV 2), below the netdev queue's.
 */
#include "drivers/net/virtio_net.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"

#define ARPHRD_ETHER 1
#define MTU_DEFAULT 1500
#define MTU_MIN 68

#define CONFIG_MAC 0
#define CONFIG_STATUS 6
#define CONFIG_MTU 10
#define STATUS_LINK_UP 1

#define RX_RING 128
#define TX_RING 256

static struct vnet *vnet_of(struct netdev *dev)
{
    return container_of(dev, struct vnet, dev);
}

/* ---- sending ---- */

static void vnet_unmap(struct vnet *v, struct vnet_sent *s)
{
    for (u32 i = 0; i < s->n; i++)
        dma_unmap(virtio_dma(v->vdev), (dma_addr_t){s->pieces[i].addr}, s->pieces[i].len,
                  DMA_TO_DEVICE);
    s->n = 0;
}

static int vnet_piece(struct vnet *v, struct vnet_sent *s, const void *at, u32 len)
{
    dma_addr_t addr = dma_map(virtio_dma(v->vdev), at, len, DMA_TO_DEVICE);

    if (!dma_ok(addr))
        return -ENOMEM;
    s->pieces[s->n++] = (struct virtq_piece){addr.v, len};
    return 0;
}

static int vnet_map(struct vnet *v, struct vnet_sent *s, struct packet *p)
{
    int err;

    s->n = 0;
    err = vnet_piece(v, s, packet_data(p), p->linear);
    for (u32 i = 0; i < p->nr_frags && !err; i++)
        err = vnet_piece(v, s, (u8 *)page_virt(p->frags[i].page) + p->frags[i].offset,
                         p->frags[i].len);
    if (err)
        vnet_unmap(v, s);
    return err;
}

static void vnet_sent_done_locked(struct vnet *v, struct vnet_sent *s) REQUIRES(v->tx.lock)
{
    ASSERT_HELD(&v->tx.lock);
    vnet_unmap(v, s);
    packet_free(s->p);
    s->p = NULL;
    s->next = v->tx.free;
    v->tx.free = s;
}

static void vnet_reclaim_locked(struct vnet *v) REQUIRES(v->tx.lock)
{
    struct vnet_sent *s;
    u32 written;

    ASSERT_HELD(&v->tx.lock);
    while ((s = virtq_take(&v->tx.vq->ring, &written)))
        vnet_sent_done_locked(v, s);
}

static void vnet_hdr_fill(struct vnet_hdr *h, const struct packet *p)
{
    *h = (struct vnet_hdr){.gso_type = p->gso};
    if (p->flags & PACKET_CSUM_PARTIAL) {
        h->flags = HDR_NEEDS_CSUM;
        h->csum_start = p->csum_start;
        h->csum_offset = p->csum_offset;
    }
    if (p->gso) {
        h->hdr_len = p->gso_header;
        h->gso_size = p->gso_size;
    }
}

static int vnet_send_locked(struct vnet *v, struct packet *p) REQUIRES(v->tx.lock)
{
    struct vnet_sent *s = v->tx.free;
    struct vnet_hdr h;
    u8 *at;
    int err;

    ASSERT_HELD(&v->tx.lock);
    if (!s || !virtq_fits(&v->tx.vq->ring, p->nr_frags + 1U))
        return -EBUSY;
    vnet_hdr_fill(&h, p);
    at = packet_push(p, sizeof(h));
    if (!at)
        return -EINVAL;
    memcpy(at, &h, sizeof(h));
    err = vnet_map(v, s, p);
    if (!err) {
        err = virtq_add(&v->tx.vq->ring, s->pieces, s->n, 0, s);
        if (err)
            vnet_unmap(v, s);
    }
    if (err) {
        packet_pull(p, sizeof(h));
        return err;
    }
    v->tx.free = s->next;
    s->p = p;
    return 0;
}

static int vnet_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    struct vnet *v = vnet_of(q->dev);
    int err;

    spin_lock(&v->tx.lock);
    vnet_reclaim_locked(v);
    err = READ_ONCE(v->broken) ? -EIO : vnet_send_locked(v, p);
    if (err == -EBUSY && !v->tx.vq->ring.nr_requests)
        err = -EIO; /* no packet is under way whose completion would free a slot */
    if ((!err && !more) || err == -EBUSY)
        virtio_kick(v->tx.vq);
    spin_unlock(&v->tx.lock);
    return err;
}

static void vnet_tx_work(struct virtio_queue *vq)
{
    struct vnet *v = vq->driver;

    spin_lock(&v->tx.lock);
    do {
        virtq_disarm(&vq->ring);
        vnet_reclaim_locked(v);
    } while (!vq->ring.broken && !virtq_arm(&vq->ring, 1));
    spin_unlock(&v->tx.lock);
    if (vq->ring.broken)
        virtio_break(vq->dev, vq->ring.why);
    else if (READ_ONCE(v->queue.stopped))
        netdev_wake(&v->queue);
}

/* ---- operations ---- */

/* The device runs from probe to remove; what comes while the interface is down is dropped. */
static void vnet_stop(struct netdev *dev)
{
    mutex_lock(&vnet_of(dev)->rx.run);
    mutex_unlock(&vnet_of(dev)->rx.run);
}

static void vnet_destroy(struct netdev *dev)
{
    kfree(vnet_of(dev));
}

static const struct netdev_ops vnet_ops = {
    .stop = vnet_stop, .transmit = vnet_transmit, .destroy = vnet_destroy};

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
    struct vnet_sent *s;

    vnet_rx_give_up(v);
    spin_lock(&v->tx.lock);
    WRITE_ONCE(v->broken, true);
    while ((s = virtq_detach(&v->tx.vq->ring)))
        vnet_sent_done_locked(v, s);
    spin_unlock(&v->tx.lock);
}

static void vnet_broken(struct virtio_device *vdev)
{
    struct vnet *v = vdev->dev.driver_data;

    vnet_give_up(v);
    netdev_set_carrier(&v->dev, false);
}

static const struct virtio_events vnet_events = {.config = vnet_config, .broken = vnet_broken};

/* ---- probe ---- */

static int vnet_fill(struct vnet *v)
{
    u32 n = v->tx.vq->ring.num;

    v->tx.sent = kcalloc(n, sizeof(*v->tx.sent));
    if (!v->tx.sent)
        return -ENOMEM;
    for (u32 i = 0; i < n; i++) {
        v->tx.sent[i].next = v->tx.free;
        v->tx.free = &v->tx.sent[i];
    }
    return vnet_rx_fill(v);
}

static void vnet_identity(struct vnet *v)
{
    struct virtio_device *vdev = v->vdev;
    u64 random = random_u64();
    u32 space = v->merge ? PACKET_LEN_MAX : BUFFER - sizeof(struct vnet_hdr);

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
    v->dev.features = NETDEV_FRAGS | (virtio_has(vdev, F_CSUM) ? NETDEV_CSUM : 0) |
                      (virtio_has(vdev, F_HOST_TSO4) ? NETDEV_TSO4 : 0) |
                      (virtio_has(vdev, F_HOST_TSO6) ? NETDEV_TSO6 : 0);
}

static int vnet_queues(struct vnet *v)
{
    struct virtio_queue_config configs[2] = {
        {.name = "virtio-net rx", .size = RX_RING, .work = vnet_rx_work, .driver = v},
        {.name = "virtio-net tx", .index = 1, .size = TX_RING, .work = vnet_tx_work, .driver = v}};
    struct virtio_queue *vqs[2];
    int err = virtio_queues_create(v->vdev, configs, 2, vqs);

    if (err)
        return err;
    v->rx.vq = vqs[0];
    v->tx.vq = vqs[1];
    return vnet_fill(v);
}

/* After virtio_negotiate, on failure and in remove. */
static void vnet_end(struct vnet *v)
{
    u32 rx = v->rx.vq ? v->rx.vq->ring.num : 0;

    virtio_stop(v->vdev);
    if (v->rx.vq)
        vnet_give_up(v);
    vnet_rx_free(v, rx, v->vdev->stuck);
    kfree(v->tx.sent);
    v->tx.sent = NULL;
    virtio_queues_destroy(v->vdev);
    v->vdev->dev.driver_data = NULL;
    netdev_put(&v->dev);
}

static int vnet_probe(struct device *dev, const struct device_id *id)
{
    struct virtio_device *vdev = virtio_device_of(dev);
    struct vnet *v = kzalloc(sizeof(*v));
    int err;

    if (!v)
        return -ENOMEM;
    v->vdev = vdev;
    netdev_init(&v->dev, &vnet_ops, &v->queue, 1);
    mutex_init(&v->rx.run, RANK_DRIVER, 15, "virtio-net receive");
    spinlock_init(&v->tx.lock, RANK_DEV, 2, "virtio-net transmit");
    err = virtio_negotiate(vdev, &vnet_events,
                           F_CSUM | F_GUEST_CSUM | F_MTU | F_MAC | F_HOST_TSO4 | F_HOST_TSO6 |
                               F_MRG_RXBUF | F_STATUS,
                           0);
    if (err) {
        netdev_put(&v->dev);
        return err;
    }
    v->merge = virtio_has(vdev, F_MRG_RXBUF);
    vnet_identity(v);
    dev->driver_data = v;
    err = vnet_queues(v);
    if (!err) {
        virtio_start(vdev);
        mutex_lock(&v->rx.run);
        virtio_kick(v->rx.vq);
        mutex_unlock(&v->rx.run);
        err = netdev_register(&v->dev, "eth%d");
    }
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
