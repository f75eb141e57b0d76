/* SPDX-License-Identifier: MIT
 *
 * What the virtio network device receives. Frames stay in the buffers that the device wrote unless
 * they are small; one that the device has joined of several takes up to 17 buffers of a page.
 *
 * The device is not trusted: what it says of a frame is checked here before anything is read by it.
 * A frame for which there is no memory is dropped, and its buffers go back, so the ring never runs
 * dry.
 */
#include "drivers/net/virtio_net.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"

/* Gives the device b's memory. It is the queue's own number of buffers, so there is space. */
static int vnet_post(struct vnet_rx *rx, struct netdev_buffer *b) REQUIRES(rx->run)
{
    struct virtq_piece piece = {.addr = b->addr.v, .len = rx->pool.size};

    ASSERT_HELD(&rx->run);
    return virtq_add(&rx->vq->ring, &piece, 0, 1, b);
}

static void vnet_repost(struct vnet_rx *rx, struct netdev_buffer *b) REQUIRES(rx->run)
{
    ASSERT_HELD(&rx->run);
    if (vnet_post(rx, b))
        virtio_break(rx->vq->dev, "a receive buffer could not be posted again");
}

/* Of a frame that was joined: whether it is of a kind that was agreed upon, and whole. */
static bool vnet_joined(struct vnet *v, struct packet *p, const struct vnet_hdr *h)
{
    static const u64 features[] = {[PACKET_GSO_TCP4] = F_GUEST_TSO4,
                                   [PACKET_GSO_TCP6] = F_GUEST_TSO6,
                                   [PACKET_GSO_UDP_L4] = F_GUEST_USO4 | F_GUEST_USO6};
    u8 kind = h->gso_type & (u8)~PACKET_GSO_ECN;

    if (kind >= ARRAY_SIZE(features) || !virtio_has(v->vdev, features[kind]) || !h->gso_size ||
        !(h->flags & HDR_NEEDS_CSUM))
        return false;
    if ((h->gso_type & PACKET_GSO_ECN) && !virtio_has(v->vdev, F_GUEST_ECN))
        return false;
    p->gso = h->gso_type;
    p->gso_size = h->gso_size;
    p->gso_header = h->hdr_len;
    return true;
}

/* What the device says of a whole frame. False: nonsense, or what was not agreed upon. */
static bool vnet_words(struct vnet *v, struct packet *p, const struct vnet_hdr *h)
{
    if (p->len < ETHERNET_HEADER || (h->gso_type && !vnet_joined(v, p, h)))
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
static bool vnet_merge(struct vnet_rx *rx, struct packet *p, u32 more) REQUIRES(rx->run)
{
    bool ok = p;
    u32 n;

    ASSERT_HELD(&rx->run);
    while (more--) {
        struct netdev_buffer *b = virtq_take(&rx->vq->ring, &n);

        if (!b) {
            virtio_break(rx->vq->dev, "a frame lacks buffers");
            return false;
        }
        ok = ok && n && netdev_buffer_receive(&rx->pool, b, p, 0, n, false);
        vnet_repost(rx, b);
    }
    return ok;
}

/* The frame that begins in b, or NULL: dropped. *taken: buffers that it took. */
static struct packet *vnet_frame(struct vnet_pair *pair, struct netdev_buffer *b, u32 written,
                                 u32 *taken) REQUIRES(pair->rx.run)
{
    struct vnet_rx *rx = &pair->rx;
    struct packet *p = packet_alloc();
    u32 buffers = 1;
    struct vnet_hdr h = {0};
    bool ok = p && written > sizeof(h);

    ASSERT_HELD(&rx->run);
    if (written >= sizeof(h)) {
        dma_sync_for_cpu(rx->pool.dma, b->addr, sizeof(h), DMA_FROM_DEVICE);
        memcpy(&h, (u8 *)page_virt(b->page) + b->offset, sizeof(h));
    }
    if (pair->v->merge && h.num_buffers)
        buffers = h.num_buffers;
    if (buffers > rx->vq->ring.num) {
        virtio_break(rx->vq->dev, "a frame of more buffers than there are");
        ok = false;
        buffers = 1;
    }
    *taken = buffers;
    ok = ok &&
         netdev_buffer_receive(&rx->pool, b, p, sizeof(h), written - (u32)sizeof(h), buffers == 1);
    vnet_repost(rx, b);
    if (buffers > 1 && !vnet_merge(rx, ok ? p : NULL, buffers - 1))
        ok = false;
    if (ok && vnet_words(pair->v, p, &h))
        return p;
    packet_free(p);
    return NULL;
}

/* Up to the budget, in buffers; true: there is more. */
static bool vnet_rx_some(struct vnet_pair *pair) REQUIRES(pair->rx.run)
{
    struct netdev_buffer *b;
    u32 written, taken;

    ASSERT_HELD(&pair->rx.run);
    for (u32 done = 0; done < NETDEV_BUDGET; done += taken) {
        struct packet *p;

        b = virtq_take(&pair->rx.vq->ring, &written);
        if (!b)
            return false;
        p = vnet_frame(pair, b, written, &taken);
        if (!p)
            netdev_rx_dropped(pair->q);
        else if (READ_ONCE(pair->v->dev.flags) & NETDEV_UP)
            netdev_receive(pair->q, p);
        else
            packet_free(p);
    }
    return true;
}

void vnet_rx_work(struct virtio_queue *vq)
{
    struct vnet_pair *pair = vq->driver;
    bool more;

    mutex_lock(&pair->rx.run);
    virtq_disarm(&vq->ring);
    more = vnet_rx_some(pair);
    netdev_receive_done(pair->q);
    if (!vq->ring.broken)
        virtio_kick(vq);
    if (!more && !vq->ring.broken)
        more = !virtq_arm(&vq->ring, 1);
    mutex_unlock(&pair->rx.run);
    if (vq->ring.broken && vq->ring.why)
        virtio_break(vq->dev, vq->ring.why);
    else if (more && !vq->ring.broken)
        virtio_again(vq);
}

int vnet_rx_make(struct vnet_pair *pair)
{
    struct vnet_rx *rx = &pair->rx;
    bool joined = pair->v->merge && virtio_has(pair->v->vdev, F_GUEST_SEGMENTS);

    rx->buffers = kcalloc(rx->vq->ring.num, sizeof(*rx->buffers));
    if (!rx->buffers)
        return -ENOMEM;
    return netdev_pool_init(&rx->pool, virtio_dma(pair->v->vdev),
                            joined ? PAGE_SIZE : NETDEV_BUFFER, rx->vq->ring.num);
}

int vnet_rx_fill(struct vnet_pair *pair)
{
    struct vnet_rx *rx = &pair->rx;
    int err = 0;

    mutex_lock(&rx->run);
    while (rx->filled < rx->vq->ring.num && !rx->vq->ring.broken && !err) {
        struct netdev_buffer *b = &rx->buffers[rx->filled];

        if (!netdev_buffer_fill(&rx->pool, b)) {
            err = -ENOMEM;
            break;
        }
        rx->filled++;
        err = vnet_post(rx, b);
    }
    if (!rx->vq->ring.broken)
        virtio_kick(rx->vq);
    mutex_unlock(&rx->run);
    return err;
}

void vnet_rx_give_up(struct vnet_pair *pair)
{
    mutex_lock(&pair->rx.run);
    while (virtq_detach(&pair->rx.vq->ring))
        ;
    mutex_unlock(&pair->rx.run);
}

void vnet_rx_free(struct vnet_pair *pair, bool stuck)
{
    struct vnet_rx *rx = &pair->rx;

    for (u32 i = 0; rx->buffers && i < rx->filled && !stuck; i++)
        netdev_buffer_free(&rx->pool, &rx->buffers[i]);
    netdev_pool_end(&rx->pool);
    kfree(rx->buffers);
    rx->buffers = NULL;
}
