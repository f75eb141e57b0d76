/* SPDX-License-Identifier: MIT
 *
 * What the RTL8139C+ sends and receives: rings of 64 descriptors, of which the device has those
 * with DESC_OWN. A packet's first descriptor becomes the device's last, so that it never sees a
 * part of one.
 */
#include "drivers/net/rtl8139.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

#define FRAME_CRC 4

static u32 rtl_end(u32 i)
{
    return i == RTL_RING - 1 ? DESC_END : 0;
}

/* ---- receiving ---- */

static void rtl_rx_give(struct rtl *r, u32 i)
{
    struct rtl_desc *d = &r->rx_ring[i];

    d->vlan = 0;
    d->addr = r->buffers[i].addr.v;
    dma_wmb();
    WRITE_ONCE(d->command, DESC_OWN | rtl_end(i) | NETDEV_BUFFER);
}

static void rtl_rx_sums(struct packet *p, u32 status)
{
    u32 kind = status >> RX_KIND_SHIFT & 3;

    if (!(status & RX_BAD_IP) && ((kind == RX_KIND_TCP && !(status & RX_BAD_TCP)) ||
                                  (kind == RX_KIND_UDP && !(status & RX_BAD_UDP))))
        p->flags = PACKET_CSUM_VALID;
}

static void rtl_rx_take(struct rtl *r, u32 i, u32 status) REQUIRES(r->run)
{
    u32 whole = DESC_FIRST | DESC_LAST, n = status & RX_LENGTH;
    struct packet *p;

    ASSERT_HELD(&r->run);
    if ((status & RX_ERROR) || (status & whole) != whole || n < ETHERNET_HEADER + FRAME_CRC ||
        n > NETDEV_BUFFER) {
        netdev_rx_error(&r->queue);
        return;
    }
    p = packet_alloc();
    if (!p || !netdev_buffer_receive(&r->pool, &r->buffers[i], p, 0, n - FRAME_CRC, true)) {
        packet_free(p);
        netdev_rx_dropped(&r->queue);
        return;
    }
    rtl_rx_sums(p, status);
    netdev_receive(&r->queue, p);
}

bool rtl_rx_some(struct rtl *r)
{
    u32 done;

    ASSERT_HELD(&r->run);
    for (done = 0; done < NETDEV_BUDGET; done++) {
        u32 i = r->rx_next, status = READ_ONCE(r->rx_ring[i].command);

        if (status & DESC_OWN)
            break;
        dma_rmb(); /* who has it before what is in it */
        rtl_rx_take(r, i, status);
        rtl_rx_give(r, i);
        r->rx_next = (i + 1) % RTL_RING;
    }
    netdev_receive_done(&r->queue);
    return done == NETDEV_BUDGET;
}

void rtl_rx_reset(struct rtl *r)
{
    ASSERT_HELD(&r->run);
    r->rx_next = 0;
    for (u32 i = 0; i < RTL_RING; i++)
        rtl_rx_give(r, i);
}

int rtl_rx_open(struct rtl *r)
{
    ASSERT_HELD(&r->run);
    r->buffers = kcalloc(RTL_RING, sizeof(*r->buffers));
    if (!r->buffers || netdev_pool_init(&r->pool, &r->pci->dev, NETDEV_BUFFER, RTL_RING)) {
        rtl_rx_close(r);
        return -ENOMEM;
    }
    for (u32 i = 0; i < RTL_RING; i++)
        if (!netdev_buffer_fill(&r->pool, &r->buffers[i])) {
            rtl_rx_close(r);
            return -ENOMEM;
        }
    rtl_rx_reset(r);
    return 0;
}

void rtl_rx_close(struct rtl *r)
{
    ASSERT_HELD(&r->run);
    for (u32 i = 0; r->buffers && i < RTL_RING; i++)
        netdev_buffer_free(&r->pool, &r->buffers[i]);
    netdev_pool_end(&r->pool);
    kfree(r->buffers);
    r->buffers = NULL;
}

/* ---- sending ---- */

static void rtl_tx_unmap_locked(struct rtl *r, u32 i) REQUIRES(r->queue.lock)
{
    struct rtl_sent *s = &r->sent[i % RTL_RING];

    ASSERT_HELD(&r->queue.lock);
    if (s->len)
        dma_unmap(&r->pci->dev, s->addr, s->len, DMA_TO_DEVICE);
    packet_free(s->p);
    *s = (struct rtl_sent){.p = NULL};
}

static bool rtl_tx_reclaim_locked(struct rtl *r) REQUIRES(r->queue.lock)
{
    u32 head = r->head;

    ASSERT_HELD(&r->queue.lock);
    while (r->head != r->tail && !(READ_ONCE(r->tx_ring[r->head % RTL_RING].command) & DESC_OWN))
        rtl_tx_unmap_locked(r, r->head++);
    return r->head != head;
}

/* n bytes in the next descriptor, which is not yet the device's if it is the packet's first. */
static int rtl_tx_bytes_locked(struct rtl *r, const void *at, u32 n, u32 first)
    REQUIRES(r->queue.lock)
{
    dma_addr_t addr = dma_map(&r->pci->dev, at, n, DMA_TO_DEVICE);
    u32 i = r->tail % RTL_RING;
    struct rtl_desc *d = &r->tx_ring[i];

    ASSERT_HELD(&r->queue.lock);
    if (!dma_ok(addr))
        return -ENOMEM;
    d->vlan = 0;
    d->addr = addr.v;
    WRITE_ONCE(d->command, (r->tail == first ? DESC_FIRST : DESC_OWN) | rtl_end(i) | n);
    r->sent[i] = (struct rtl_sent){.addr = addr, .len = n};
    r->tail++;
    return 0;
}

static int rtl_tx_add_locked(struct rtl *r, struct packet *p) REQUIRES(r->queue.lock)
{
    u32 first = r->tail, last;
    int err = 0;

    ASSERT_HELD(&r->queue.lock);
    if (p->linear)
        err = rtl_tx_bytes_locked(r, packet_data(p), p->linear, first);
    for (u32 i = 0; i < p->nr_frags && !err; i++) {
        const struct packet_frag *f = &p->frags[i];

        err = rtl_tx_bytes_locked(r, (u8 *)page_virt(f->page) + f->offset, f->len, first);
    }
    if (err) {
        while (r->tail != first) {
            r->tx_ring[--r->tail % RTL_RING].command = 0;
            rtl_tx_unmap_locked(r, r->tail);
        }
        return err;
    }
    last = (r->tail - 1) % RTL_RING;
    r->sent[last].p = p;
    WRITE_ONCE(r->tx_ring[last].command, r->tx_ring[last].command | DESC_LAST);
    dma_wmb();
    WRITE_ONCE(r->tx_ring[first % RTL_RING].command,
               r->tx_ring[first % RTL_RING].command | DESC_OWN);
    return 0;
}

static void rtl_tx_tell_locked(struct rtl *r) REQUIRES(r->queue.lock)
{
    ASSERT_HELD(&r->queue.lock);
    if (r->told == r->tail)
        return;
    r->told = r->tail;
    dma_wmb();
    if (!FAILPOINT_APART(netdev_deaf))
        io_write8(&r->regs, TPPOLL, TPPOLL_NORMAL);
    netdev_watch_sent(&r->watch);
}

int rtl_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    struct rtl *r = q->driver;
    u32 needs = p->nr_frags + 1U;
    int err = -EBUSY;

    ASSERT_HELD(&r->queue.lock);
    if (READ_ONCE(r->gone) || !r->sends)
        return -EIO;
    if (p->len < ETHERNET_HEADER)
        return -EINVAL;
    if (RTL_RING - (r->tail - r->head) < needs)
        (void)rtl_tx_reclaim_locked(r);
    if (RTL_RING - (r->tail - r->head) >= needs)
        err = rtl_tx_add_locked(r, p);
    if (!more || err == -EBUSY)
        rtl_tx_tell_locked(r);
    return err;
}

void rtl_tx_done(struct rtl *r)
{
    bool some;

    spin_lock(&r->queue.lock);
    some = rtl_tx_reclaim_locked(r);
    spin_unlock(&r->queue.lock);
    if (some && READ_ONCE(r->queue.stopped))
        netdev_wake(&r->queue);
}

void rtl_tx_reset(struct rtl *r, bool sends)
{
    spin_lock(&r->queue.lock);
    while (r->head != r->tail)
        rtl_tx_unmap_locked(r, r->head++);
    r->head = r->tail = r->told = r->seen = 0;
    memset(r->tx_ring, 0, RTL_RING * sizeof(*r->tx_ring));
    r->sends = sends;
    spin_unlock(&r->queue.lock);
}
