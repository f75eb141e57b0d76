/* SPDX-License-Identifier: MIT
 *
 * What the e1000 receives: buffers of 2048 bytes, of which a long frame takes several.
 *
 * The device has descriptors from `next` up to one before it: a ring that is all its own would look
 * empty to it. A frame without memory for its successor is dropped and its buffer used again, so
 * that the ring never runs dry.
 */
#include "drivers/net/e1000.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"

#define RX_TELL 16 /* descriptors given back at a time */

static u32 e1000_rx_after(u32 i)
{
    return (i + 1) % E1000_RX_RING;
}

static void e1000_rx_give(struct e1000 *e, u32 i)
{
    e->rx.ring[i] = (struct e1000_rx_desc){.addr = e->rx.buffers[i].addr.v};
}

/* All before the one that is filled next are the device's. */
static void e1000_rx_tell(struct e1000 *e)
{
    dma_wmb();
    e1000_write(e, RDT, (e->rx.next + E1000_RX_RING - 1) % E1000_RX_RING);
}

static void e1000_rx_sums(struct packet *p, const struct e1000_rx_desc *d)
{
    if (!(d->status & RX_NO_SUM) && (d->status & RX_TCP_SUM) &&
        !(d->errors & (RX_ERR_TCP | RX_ERR_IP)))
        p->flags = PACKET_CSUM_VALID;
}

/* The frame that ends with d. */
static void e1000_rx_end(struct e1000 *e, const struct e1000_rx_desc *d) REQUIRES(e->run)
{
    struct e1000_rx *rx = &e->rx;
    struct packet *p = rx->part;
    bool bad = rx->bad;

    ASSERT_HELD(&e->run);
    rx->part = NULL;
    rx->bad = false;
    if (d->errors & RX_ERR_FRAME) {
        netdev_rx_error(&e->queue);
    } else if (!p || bad || p->len < ETHERNET_HEADER) {
        netdev_rx_dropped(&e->queue);
    } else {
        e1000_rx_sums(p, d);
        netdev_receive(&e->queue, p);
        return;
    }
    packet_free(p);
}

/* d, whose buffer is number i, has bytes of a frame. */
static void e1000_rx_take(struct e1000 *e, const struct e1000_rx_desc *d, u32 i) REQUIRES(e->run)
{
    struct e1000_rx *rx = &e->rx;
    bool ends = d->status & RX_EOP, first = !rx->part && !rx->bad;

    ASSERT_HELD(&e->run);
    if (first)
        rx->part = packet_alloc();
    if (!rx->part || rx->bad || !d->length || d->length > NETDEV_BUFFER ||
        rx->part->nr_frags == E1000_FRAME_FRAGS ||
        !netdev_buffer_receive(&rx->pool, &rx->buffers[i], rx->part, 0, d->length, first && ends))
        rx->bad = true;
    if (ends)
        e1000_rx_end(e, d);
}

bool e1000_rx_some(struct e1000 *e)
{
    struct e1000_rx *rx = &e->rx;
    u32 done;

    ASSERT_HELD(&e->run);
    for (done = 0; done < NETDEV_BUDGET; done++) {
        u32 i = rx->next;
        struct e1000_rx_desc d;

        if (!(READ_ONCE(rx->ring[i].status) & RX_DD))
            break;
        dma_rmb(); /* the status before the rest */
        d = rx->ring[i];
        e1000_rx_take(e, &d, i);
        e1000_rx_give(e, i);
        rx->next = e1000_rx_after(i);
        if (rx->next % RX_TELL == 0)
            e1000_rx_tell(e);
    }
    if (done && rx->next % RX_TELL)
        e1000_rx_tell(e);
    netdev_receive_done(&e->queue);
    return done == NETDEV_BUDGET;
}

void e1000_rx_reset(struct e1000 *e)
{
    ASSERT_HELD(&e->run);
    packet_free(e->rx.part);
    e->rx.part = NULL;
    e->rx.bad = false;
    e->rx.next = 0;
    for (u32 i = 0; i < E1000_RX_RING; i++)
        e1000_rx_give(e, i);
}

int e1000_rx_open(struct e1000 *e)
{
    struct e1000_rx *rx = &e->rx;

    ASSERT_HELD(&e->run);
    rx->buffers = kcalloc(E1000_RX_RING, sizeof(*rx->buffers));
    if (!rx->buffers || netdev_pool_init(&rx->pool, &e->pci->dev, NETDEV_BUFFER, E1000_RX_RING)) {
        e1000_rx_close(e);
        return -ENOMEM;
    }
    for (u32 i = 0; i < E1000_RX_RING; i++)
        if (!netdev_buffer_fill(&rx->pool, &rx->buffers[i])) {
            e1000_rx_close(e);
            return -ENOMEM;
        }
    e1000_rx_reset(e);
    return 0;
}

void e1000_rx_close(struct e1000 *e)
{
    struct e1000_rx *rx = &e->rx;

    ASSERT_HELD(&e->run);
    packet_free(rx->part);
    rx->part = NULL;
    rx->bad = false;
    for (u32 i = 0; rx->buffers && i < E1000_RX_RING; i++)
        netdev_buffer_free(&rx->pool, &rx->buffers[i]);
    netdev_pool_end(&rx->pool);
    kfree(rx->buffers);
    rx->buffers = NULL;
}
