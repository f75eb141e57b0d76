/* SPDX-License-Identifier: MIT
 *
 * What the virtio network device receives. Frames stay in the buffers that the device wrote, halves
 * of pages, unless they are small.
 *
 * The device is not trusted: what it says of a frame is checked here before anything is read by it,
 * and its buffers are zeroed once: of one that it says it wrote, and did not, only what it wrote
 * before is seen. A frame for which there is no memory is dropped, and its buffers go back, so the
 * ring never runs dry.
 */
#include "drivers/net/virtio_net.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"

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

void vnet_rx_work(struct virtio_queue *vq)
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

int vnet_rx_fill(struct vnet *v)
{
    u32 n = v->rx.vq->ring.num;
    int err = 0;

    v->rx.buffers = kcalloc(n, sizeof(*v->rx.buffers));
    if (!v->rx.buffers)
        return -ENOMEM;
    mutex_lock(&v->rx.run);
    for (u32 i = 0; i < n && !err; i++) {
        struct vnet_buffer *b = &v->rx.buffers[i];

        err = vnet_half(&v->rx, &b->page, &b->offset) ? vnet_post(v, b) : -ENOMEM;
    }
    mutex_unlock(&v->rx.run);
    return err;
}

void vnet_rx_give_up(struct vnet *v)
{
    struct vnet_buffer *b;

    mutex_lock(&v->rx.run);
    while ((b = virtq_detach(&v->rx.vq->ring)))
        dma_unmap(virtio_dma(v->vdev), b->addr, BUFFER, DMA_FROM_DEVICE);
    mutex_unlock(&v->rx.run);
}

void vnet_rx_free(struct vnet *v, u32 n, bool stuck)
{
    for (u32 i = 0; v->rx.buffers && i < n && !stuck; i++)
        if (v->rx.buffers[i].page)
            page_put(v->rx.buffers[i].page);
    if (v->rx.half)
        page_put(v->rx.half);
    v->rx.half = NULL;
    kfree(v->rx.buffers);
    v->rx.buffers = NULL;
}
