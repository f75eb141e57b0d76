/* SPDX-License-Identifier: MIT
 *
 * What the virtio network device sends. A packet is one request: its header before the linear
 * bytes, and its fragments.
 *
 * The device does not interrupt for what it has sent: each transmit takes back what came back, and
 * a timer the rest, a little after the last one. A ring without space asks for an interrupt, and so
 * does one from which nothing has come back after some looks. These become ever rarer, until they
 * are NETDEV_STUCK_NS apart; then the log says that the device is silent, and it is asked whether
 * it is still there. One that is keeps its packets: the other end of its wire may be slow for any
 * time.
 */
#include "drivers/net/virtio_net.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

#define REAP_NS (2 * NSEC_PER_MSEC)
#define SELDOM_NS (32 * NSEC_PER_MSEC) /* from here on an interrupt is asked for as well */

static void vnet_unmap(struct vnet_pair *pair, struct vnet_sent *s)
{
    struct device *dma = virtio_dma(pair->v->vdev);

    for (u32 i = 0; i < s->n; i++)
        dma_unmap(dma, (dma_addr_t){s->pieces[i].addr}, s->pieces[i].len, DMA_TO_DEVICE);
    s->n = 0;
}

static int vnet_piece(struct vnet_pair *pair, struct vnet_sent *s, const void *at, u32 len)
{
    dma_addr_t addr = dma_map(virtio_dma(pair->v->vdev), at, len, DMA_TO_DEVICE);

    if (!dma_ok(addr))
        return -ENOMEM;
    s->pieces[s->n++] = (struct virtq_piece){addr.v, len};
    return 0;
}

static int vnet_map(struct vnet_pair *pair, struct vnet_sent *s, struct packet *p)
{
    int err;

    s->n = 0;
    err = vnet_piece(pair, s, packet_data(p), p->linear);
    for (u32 i = 0; i < p->nr_frags && !err; i++)
        err = vnet_piece(pair, s, (u8 *)page_virt(p->frags[i].page) + p->frags[i].offset,
                         p->frags[i].len);
    if (err)
        vnet_unmap(pair, s);
    return err;
}

static void vnet_sent_done_locked(struct vnet_pair *pair, struct vnet_sent *s)
    REQUIRES(pair->q->lock)
{
    ASSERT_HELD(&pair->q->lock);
    vnet_unmap(pair, s);
    packet_free(s->p);
    s->p = NULL;
    s->next = pair->tx.free;
    pair->tx.free = s;
}

/* The device sends. After a silence the timer may be set to a far time, and none but it takes back
 * what the next packets leave behind. */
static void vnet_goes_on_locked(struct vnet_pair *pair) REQUIRES(pair->q->lock)
{
    struct netdev_watch *reap = &pair->tx.reap;

    ASSERT_HELD(&pair->q->lock);
    pair->tx.silent = false;
    if (reap->ns == REAP_NS)
        return;
    reap->ns = REAP_NS;
    netdev_watch_begin(reap);
}

/* True: something had come back. */
static bool vnet_reclaim_locked(struct vnet_pair *pair) REQUIRES(pair->q->lock)
{
    struct vnet_sent *s;
    bool some = false;
    u32 written;

    ASSERT_HELD(&pair->q->lock);
    while ((s = virtq_take(&pair->tx.vq->ring, &written))) {
        vnet_sent_done_locked(pair, s);
        some = true;
    }
    if (some)
        vnet_goes_on_locked(pair);
    return some;
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

static int vnet_send_locked(struct vnet_pair *pair, struct packet *p) REQUIRES(pair->q->lock)
{
    struct virtq *ring = &pair->tx.vq->ring;
    struct vnet_sent *s = pair->tx.free;
    struct vnet_hdr h;
    u8 *at;
    int err;

    ASSERT_HELD(&pair->q->lock);
    if (!s || !virtq_fits(ring, p->nr_frags + 1U))
        return -EBUSY;
    vnet_hdr_fill(&h, p);
    at = packet_push(p, sizeof(h));
    if (!at)
        return -EINVAL;
    memcpy(at, &h, sizeof(h));
    err = vnet_map(pair, s, p);
    if (!err) {
        err = virtq_add(ring, s->pieces, s->n, 0, s);
        if (err)
            vnet_unmap(pair, s);
    }
    if (err) {
        packet_pull(p, sizeof(h));
        return err;
    }
    pair->tx.free = s->next;
    s->p = p;
    return 0;
}

/* The ring has no space: what is back makes some, or the device is to say when half of it is. */
static int vnet_full_locked(struct vnet_pair *pair, struct packet *p) REQUIRES(pair->q->lock)
{
    struct virtq *ring = &pair->tx.vq->ring;
    int err = -EBUSY;

    ASSERT_HELD(&pair->q->lock);
    virtio_kick(pair->tx.vq);
    while (err == -EBUSY) {
        if (!ring->nr_requests)
            return -EIO; /* no packet is under way whose completion would free a slot */
        if (virtq_arm(ring, (u16)MAX(ring->nr_requests / 2, 1U)))
            return -EBUSY;
        virtq_disarm(ring);
        (void)vnet_reclaim_locked(pair);
        err = vnet_send_locked(pair, p);
    }
    return err;
}

int vnet_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    struct vnet_pair *pair = q->driver;
    int err;

    ASSERT_HELD(&pair->q->lock);
    if (READ_ONCE(pair->v->broken))
        return -EIO;
    (void)vnet_reclaim_locked(pair);
    err = vnet_send_locked(pair, p);
    if (err == -EBUSY)
        err = vnet_full_locked(pair, p);
    if (!more) /* those before may not have been told of yet */
        virtio_kick(pair->tx.vq);
    netdev_watch_sent(&pair->tx.reap);
    return err;
}

/* After a look for what has come back: the device fails, or what waits goes on. */
static void vnet_tx_go_on(struct vnet_pair *pair)
{
    struct virtio_queue *vq = pair->tx.vq;

    if (vq->ring.broken && vq->ring.why)
        virtio_break(vq->dev, vq->ring.why);
    else if (READ_ONCE(pair->q->stopped))
        netdev_wake(pair->q);
}

void vnet_tx_work(struct virtio_queue *vq)
{
    struct vnet_pair *pair = vq->driver;

    spin_lock(&pair->q->lock);
    virtq_disarm(&vq->ring);
    (void)vnet_reclaim_locked(pair);
    if (vq->ring.nr_requests && !vq->ring.broken)
        netdev_watch_sent(&pair->tx.reap);
    spin_unlock(&pair->q->lock);
    vnet_tx_go_on(pair);
}

/* Nothing has come back since the last look. True: for so long that the device is to be asked. */
static bool vnet_tx_wait_locked(struct vnet_pair *pair) REQUIRES(pair->q->lock)
{
    struct vnet_tx *tx = &pair->tx;
    bool ask = tx->reap.ns == NETDEV_STUCK_NS;

    ASSERT_HELD(&pair->q->lock);
    tx->reap.ns = MIN(tx->reap.ns * 2, NETDEV_STUCK_NS);
    if (tx->reap.ns >= SELDOM_NS && !virtq_arm(&tx->vq->ring, 1)) {
        virtq_disarm(&tx->vq->ring);
        return !vnet_reclaim_locked(pair) && ask;
    }
    return ask;
}

static void vnet_tx_reap(struct netdev_watch *w)
{
    struct vnet_pair *pair = container_of(w, struct vnet_pair, tx.reap);
    struct virtq *ring = &pair->tx.vq->ring;
    bool ask = false, tell;

    spin_lock(&pair->q->lock);
    if (!vnet_reclaim_locked(pair) && ring->nr_requests && !ring->broken)
        ask = vnet_tx_wait_locked(pair);
    tell = ask && !pair->tx.silent;
    pair->tx.silent |= ask;
    if (ring->nr_requests && !ring->broken)
        netdev_watch_sent(&pair->tx.reap);
    spin_unlock(&pair->q->lock);
    vnet_tx_go_on(pair);
    if (tell)
        log_warn("%s: has sent nothing for a while", pair->v->dev.name);
    if (ask)
        virtio_look(pair->tx.vq->dev);
}

int vnet_tx_make(struct vnet_pair *pair)
{
    struct vnet_tx *tx = &pair->tx;
    u32 n = tx->vq->ring.num;

    netdev_watch_init(&tx->reap, REAP_NS, vnet_tx_reap);
    tx->sent = kcalloc(n, sizeof(*tx->sent));
    if (!tx->sent)
        return -ENOMEM;
    for (u32 i = 0; i < n; i++) {
        tx->sent[i].next = tx->free;
        tx->free = &tx->sent[i];
    }
    virtq_disarm(&tx->vq->ring);
    return 0;
}

void vnet_tx_give_up(struct vnet_pair *pair)
{
    struct vnet_sent *s;

    spin_lock(&pair->q->lock);
    while ((s = virtq_detach(&pair->tx.vq->ring)))
        vnet_sent_done_locked(pair, s);
    spin_unlock(&pair->q->lock);
}

void vnet_tx_free(struct vnet_pair *pair)
{
    if (pair->tx.sent)
        netdev_watch_stop(&pair->tx.reap);
    kfree(pair->tx.sent);
    pair->tx.sent = NULL;
    pair->tx.free = NULL;
}
