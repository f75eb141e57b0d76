/* SPDX-License-Identifier: MIT
 *
 * The virtio network device (virtio 1.2, 5.1): one pair of queues, mergeable receive buffers, words
 * for checksums and segments passed through. Received frames stay in the buffers that the device
 * wrote, halves of pages, unless they are small.
 *
 * Rules. The receive ring is the receive work's, under rx->run (mutex), which stop takes to know
 * that no frame is on its way up; nothing that transmit takes is held while a frame goes up. The
 * transmit ring is under tx->lock (RANK_DEV 2), below the netdev queue's.
 *
 * The device is not trusted: what it says of a frame is checked here before anything is read by it,
 * and its buffers are zeroed once: of one that it says it wrote, and did not, only what it wrote
 * before is seen.
 * A frame for which there is no memory is dropped, and its buffers go back, so the ring never runs
 * dry.
 */
#include "dev/netdev.h"
#include "dev/virtio.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"

#define ARPHRD_ETHER 1
#define ETHERNET_HEADER 14
#define MTU_DEFAULT 1500
#define MTU_MIN 68

#define F_CSUM (1ULL << 0)
#define F_GUEST_CSUM (1ULL << 1)
#define F_MTU (1ULL << 3)
#define F_MAC (1ULL << 5)
#define F_HOST_TSO4 (1ULL << 11)
#define F_HOST_TSO6 (1ULL << 12)
#define F_MRG_RXBUF (1ULL << 15)
#define F_STATUS (1ULL << 16)

#define CONFIG_MAC 0
#define CONFIG_STATUS 6
#define CONFIG_MTU 10
#define STATUS_LINK_UP 1

#define HDR_NEEDS_CSUM 1
#define HDR_DATA_VALID 2

#define RX_RING 128
#define TX_RING 256
#define BUFFER 2048 /* bytes: two in a page */
#define TX_PIECES (PACKET_FRAGS + 1)

struct vnet_hdr { /* 5.1.6 */
    u8 flags, gso_type;
    u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(struct vnet_hdr) == 12, "virtio_net_hdr");

/* A receive buffer; one for each entry of the ring. */
struct vnet_buffer {
    struct page *page; /* a reference */
    u32 offset;
    dma_addr_t addr;
};

struct vnet_rx {
    struct mutex run;
    struct virtio_queue *vq;
    struct vnet_buffer *buffers; /* of the ring's size */
    struct page *half;           /* run  its second half is free; a reference */
};

/* A packet that the device has. */
struct vnet_sent {
    struct packet *p;
    struct vnet_sent *next; /* free */
    u32 n;
    struct virtq_piece pieces[TX_PIECES];
};

struct vnet_tx {
    struct spinlock lock;
    struct virtio_queue *vq;
    struct vnet_sent *sent; /* of the ring's size */
    struct vnet_sent *free; /* lock */
};

struct vnet {
    struct netdev dev;
    struct netdev_queue queue;
    struct virtio_device *vdev;
    bool merge;  /* I  frames may take several buffers */
    bool broken; /* a */
    struct vnet_rx rx;
    struct vnet_tx tx;
};

static struct vnet *vnet_of(struct netdev *dev)
{
    return container_of(dev, struct vnet, dev);
}

/* ---- receiving ---- */

/* A half of a page, as a reference; false: no memory. */
static bool vnet_half(struct vnet_rx *rx, struct page **page, u32 *offset) REQUIRES(rx->run)
{
    ASSERT_HELD(&rx->run);
    if (rx->half) {
        *page = rx->half;
        *offset = BUFFER;
        rx->half = NULL;
        return true;
    }
    *page = page_alloc(0, PA_ZERO);
    if (!*page)
        return false;
    page_get(*page);
    rx->half = *page;
    *offset = 0;
    return true;
}

/* Gives the device b's memory. It is the queue's own number of buffers, so there is space. */
static int vnet_post(struct vnet *v, struct vnet_buffer *b)
{
    struct virtq_piece piece = {.len = BUFFER};

    b->addr = dma_map_page(virtio_dma(v->vdev), b->page, b->offset, BUFFER, DMA_FROM_DEVICE);
    if (!dma_ok(b->addr))
        return -ENOMEM;
    piece.addr = b->addr.v;
    return virtq_add(&v->rx.vq->ring, &piece, 0, 1, b);
}

static void vnet_repost(struct vnet *v, struct vnet_buffer *b) REQUIRES(v->rx.run)
{
    ASSERT_HELD(&v->rx.run);
    if (vnet_post(v, b))
        virtio_break(v->vdev, "a receive buffer could not be posted again");
}

static struct vnet_buffer *vnet_take(struct vnet *v, u32 *written) REQUIRES(v->rx.run)
{
    struct vnet_buffer *b = virtq_take(&v->rx.vq->ring, written);

    ASSERT_HELD(&v->rx.run);
    if (b)
        dma_unmap(virtio_dma(v->vdev), b->addr, BUFFER, DMA_FROM_DEVICE);
    return b;
}

/* The n bytes in b from `at` on become p's; b gets other memory and goes back to the device. False:
 * there is none, or p is too long. */
static bool vnet_hand_over(struct vnet *v, struct packet *p, struct vnet_buffer *b, u32 at, u32 n)
    REQUIRES(v->rx.run)
{
    struct page *page = b->page, *fresh;
    u32 offset = b->offset, fresh_offset;

    ASSERT_HELD(&v->rx.run);
    if (!vnet_half(&v->rx, &fresh, &fresh_offset))
        return false;
    if (packet_add_page(p, page, offset + at, n)) {
        page_put(fresh);
        return false;
    }
    b->page = fresh;
    b->offset = fresh_offset;
    return true;
}

static bool vnet_copy(struct packet *p, const struct vnet_buffer *b, u32 at, u32 n)
{
    u8 *to = n <= PACKET_LINEAR ? packet_append(p, n) : NULL;

    if (to)
        memcpy(to, (u8 *)page_virt(b->page) + b->offset + at, n);
    return to;
}

/* What the device says of a whole frame. False: nonsense, or what was not agreed upon. */
static bool vnet_words(struct vnet *v, struct packet *p, const struct vnet_hdr *h)
{
    if (h->gso_type || p->len < ETHERNET_HEADER)
        return false;
    if (h->flags & HDR_NEEDS_CSUM) {
        if (!virtio_has(v->vdev, F_GUEST_CSUM) ||
            (u32)h->csum_start + h->csum_offset + sizeof(u16) > p->len)
            return false;
        p->flags = PACKET_CSUM_PARTIAL;
        p->csum_start = h->csum_start;
        p->csum_offset = h->csum_offset;
    } else if (h->flags & HDR_DATA_VALID) {
        p->flags = PACKET_CSUM_VALID;
    }
    return true;
}

/* The buffers of a frame behind its first one. */
static bool vnet_merge(struct vnet *v, struct packet *p, u32 more) REQUIRES(v->rx.run)
{
    bool ok = p;
    u32 n;

    ASSERT_HELD(&v->rx.run);
    while (more--) {
        struct vnet_buffer *b = vnet_take(v, &n);

        if (!b) {
            virtio_break(v->vdev, "a frame lacks buffers");
            return false;
        }
        ok = ok && n && vnet_hand_over(v, p, b, 0, n);
        vnet_repost(v, b);
    }
    return ok;
}

/* The frame that begins in b, or NULL: dropped. *taken: buffers that it took. */
static struct packet *vnet_frame(struct vnet *v, struct vnet_buffer *b, u32 written, u32 *taken)
    REQUIRES(v->rx.run)
{
    struct packet *p = packet_alloc();
    u32 n = written - (u32)sizeof(struct vnet_hdr), buffers;
    struct vnet_hdr h = {0};
    bool ok = p && written > sizeof(h);

    ASSERT_HELD(&v->rx.run);
    if (written >= sizeof(h))
        memcpy(&h, (u8 *)page_virt(b->page) + b->offset, sizeof(h));
    buffers = v->merge && h.num_buffers ? h.num_buffers : 1;
    *taken = buffers;
    if (buffers > v->rx.vq->ring.num) {
        virtio_break(v->vdev, "a frame of more buffers than there are");
        ok = false;
        buffers = 1;
    }
    ok = ok &&
         ((buffers == 1 && vnet_copy(p, b, sizeof(h), n)) || vnet_hand_over(v, p, b, sizeof(h), n));
    vnet_repost(v, b);
    if (!vnet_merge(v, ok ? p : NULL, buffers - 1) && buffers > 1)
        ok = false;
    if (ok && vnet_words(v, p, &h))
        return p;
    packet_free(p);
    return NULL;
}

/* Up to the budget, in buffers; true: there is more. */
static bool vnet_rx_some(struct vnet *v) REQUIRES(v->rx.run)
{
    struct vnet_buffer *b;
    u32 written, taken;

    ASSERT_HELD(&v->rx.run);
    for (u32 done = 0; done < NETDEV_BUDGET; done += taken) {
        struct packet *p;

        b = vnet_take(v, &written);
        if (!b)
            return false;
        p = vnet_frame(v, b, written, &taken);
        if (!p)
            netdev_rx_dropped(&v->queue);
        else if (READ_ONCE(v->dev.flags) & NETDEV_UP)
            netdev_receive(&v->queue, p);
        else
            packet_free(p);
    }
    return true;
}

/* One round: where more has come meanwhile the interrupt's thread calls again, unless the device is
 * stopped. */
static void vnet_rx_work(struct virtio_queue *vq)
{
    struct vnet *v = vq->driver;
    bool more;

    mutex_lock(&v->rx.run);
    virtq_disarm(&vq->ring);
    more = vnet_rx_some(v);
    if (!vq->ring.broken)
        virtio_kick(vq);
    if (!more && !vq->ring.broken)
        more = !virtq_arm(&vq->ring, 1);
    mutex_unlock(&v->rx.run);
    if (vq->ring.broken)
        virtio_break(vq->dev, vq->ring.why);
    else if (more)
        virtio_again(vq);
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
    struct vnet_buffer *b;
    struct vnet_sent *s;

    mutex_lock(&v->rx.run);
    while ((b = virtq_detach(&v->rx.vq->ring)))
        dma_unmap(virtio_dma(v->vdev), b->addr, BUFFER, DMA_FROM_DEVICE);
    mutex_unlock(&v->rx.run);
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

static void vnet_free_rings(struct vnet *v, u32 rx, bool stuck)
{
    for (u32 i = 0; v->rx.buffers && i < rx && !stuck; i++) /* else the device may write there */
        if (v->rx.buffers[i].page)
            page_put(v->rx.buffers[i].page);
    if (v->rx.half)
        page_put(v->rx.half);
    v->rx.half = NULL;
    kfree(v->rx.buffers);
    kfree(v->tx.sent);
    v->rx.buffers = NULL;
    v->tx.sent = NULL;
}

static int vnet_fill(struct vnet *v)
{
    u32 rx = v->rx.vq->ring.num, tx = v->tx.vq->ring.num;
    int err = 0;

    v->rx.buffers = kcalloc(rx, sizeof(*v->rx.buffers));
    v->tx.sent = kcalloc(tx, sizeof(*v->tx.sent));
    if (!v->rx.buffers || !v->tx.sent)
        return -ENOMEM;
    for (u32 i = 0; i < tx; i++) {
        v->tx.sent[i].next = v->tx.free;
        v->tx.free = &v->tx.sent[i];
    }
    mutex_lock(&v->rx.run);
    for (u32 i = 0; i < rx && !err; i++) {
        struct vnet_buffer *b = &v->rx.buffers[i];

        err = vnet_half(&v->rx, &b->page, &b->offset) ? vnet_post(v, b) : -ENOMEM;
    }
    mutex_unlock(&v->rx.run);
    return err;
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
    vnet_free_rings(v, rx, v->vdev->stuck);
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
