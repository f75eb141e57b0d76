/* SPDX-License-Identifier: MIT
 *
 * What the e1000 sends. A packet is a descriptor for each stretch of its bytes; before them, where
 * the device is to sum or to cut, one that says where (a context), left out when the device has it
 * already. The device tells of a packet's last descriptor alone.
 */
#include "drivers/net/e1000.h"
#include "dev/segment.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

#define TX_PIECE 4096U /* bytes of one descriptor */
#define TX_SENTINEL 4U
#define TX_OWN 3 /* descriptors beside those of data: context, sentinel, one that is empty */

static u32 e1000_tx_free_locked(const struct e1000 *e) REQUIRES(e->queue.lock)
{
    ASSERT_HELD(&e->queue.lock);
    return E1000_TX_RING - (e->tx.tail - e->tx.head);
}

static u32 e1000_tx_needs(const struct packet *p)
{
    u32 n = TX_OWN + 1;

    for (u32 i = 0; i < p->nr_frags; i++)
        n += (p->frags[i].len + TX_PIECE - 1) / TX_PIECE;
    return n;
}

/* Descriptors from `from` to before `to` are not the device's any more. */
static void e1000_tx_unmap_locked(struct e1000 *e, u32 from, u32 to) REQUIRES(e->queue.lock)
{
    ASSERT_HELD(&e->queue.lock);
    for (; from != to; from++) {
        struct e1000_sent *s = &e->tx.sent[from % E1000_TX_RING];

        if (s->len)
            dma_unmap(&e->pci->dev, s->addr, s->len, DMA_TO_DEVICE);
        packet_free(s->p);
        *s = (struct e1000_sent){.p = NULL};
    }
}

static bool e1000_tx_reclaim_locked(struct e1000 *e) REQUIRES(e->queue.lock)
{
    struct e1000_tx *tx = &e->tx;
    u32 head = tx->head;

    ASSERT_HELD(&e->queue.lock);
    while (tx->head != tx->tail) {
        u32 last = tx->sent[tx->head % E1000_TX_RING].last;

        if (!(READ_ONCE(tx->ring[last % E1000_TX_RING].data.status) & TX_DD))
            break;
        e1000_tx_unmap_locked(e, tx->head, last + 1);
        tx->head = last + 1;
    }
    return tx->head != head;
}

static void e1000_tx_context_locked(struct e1000 *e, const union e1000_tx_desc *c)
    REQUIRES(e->queue.lock)
{
    struct e1000_tx *tx = &e->tx;

    ASSERT_HELD(&e->queue.lock);
    if (!memcmp(&tx->context, c, sizeof(*c)))
        return;
    tx->context = *c;
    tx->ring[tx->tail % E1000_TX_RING] = *c;
    tx->sent[tx->tail++ % E1000_TX_RING] = (struct e1000_sent){.p = NULL};
}

static void e1000_tx_sum_locked(struct e1000 *e, const struct packet *p) REQUIRES(e->queue.lock)
{
    union e1000_tx_desc c = {.context = {.start = (u8)p->csum_start,
                                         .sum = (u8)(p->csum_start + p->csum_offset),
                                         .command = TX_DEXT}};

    ASSERT_HELD(&e->queue.lock);
    e1000_tx_context_locked(e, &c);
}

/* The context for p's segments; its headers become what the device expects. */
static int e1000_tx_segments_locked(struct e1000 *e, struct packet *p) REQUIRES(e->queue.lock)
{
    struct segment_plan s;
    int err = netdev_segments(p, &s);
    u32 command = TX_DEXT | TX_TSE | TX_CONTEXT_TCP | TX_CONTEXT_IP;
    union e1000_tx_desc c;

    ASSERT_HELD(&e->queue.lock);
    if (err)
        return err;
    c = (union e1000_tx_desc){.context = {.ip_start = (u8)s.network,
                                          .ip_sum = (u8)(s.network + 10),
                                          .ip_end = (u16)(s.transport - 1),
                                          .start = (u8)s.transport,
                                          .sum = (u8)(s.transport + 16),
                                          .header = (u8)s.header,
                                          .mss = s.size}};
    c.context.command = command | s.payload;
    segment_for_device(&s, packet_data(p));
    e1000_tx_context_locked(e, &c);
    return 0;
}

/* n bytes as descriptors, the mapping being the last one's. */
static int e1000_tx_bytes_locked(struct e1000 *e, const void *at, u32 n, u32 command, u32 options)
    REQUIRES(e->queue.lock)
{
    struct e1000_tx *tx = &e->tx;
    dma_addr_t addr = dma_map(&e->pci->dev, at, n, DMA_TO_DEVICE);
    u32 done = 0, len;

    ASSERT_HELD(&e->queue.lock);
    if (!dma_ok(addr))
        return -ENOMEM;
    for (; done < n; done += len) {
        u32 i = tx->tail++ % E1000_TX_RING;

        len = MIN(n - done, TX_PIECE);
        tx->ring[i].data.addr = addr.v + done;
        tx->ring[i].words[1] = (u64)options << 40 | command | len;
        tx->sent[i] = (struct e1000_sent){.p = NULL};
    }
    tx->sent[(tx->tail - 1) % E1000_TX_RING].addr = addr;
    tx->sent[(tx->tail - 1) % E1000_TX_RING].len = n;
    return 0;
}

/* A packet behind one that was cut is written back too early if it is one descriptor (8254x
 * errata): its last bytes have one of their own. */
static void e1000_tx_sentinel_locked(struct e1000 *e) REQUIRES(e->queue.lock)
{
    struct e1000_tx *tx = &e->tx;
    u32 last = (tx->tail - 1) % E1000_TX_RING, next = tx->tail++ % E1000_TX_RING;
    u32 n = (tx->ring[last].data.command & 0xfffff) - TX_SENTINEL;

    ASSERT_HELD(&e->queue.lock);
    tx->ring[next] = tx->ring[last];
    tx->ring[next].data.addr += n;
    tx->ring[next].data.command -= n;
    tx->ring[last].data.command -= TX_SENTINEL;
    tx->sent[next] = tx->sent[last];
    tx->sent[last] = (struct e1000_sent){.p = NULL};
}

static int e1000_tx_data_locked(struct e1000 *e, const struct packet *p, u32 command, u32 options)
    REQUIRES(e->queue.lock)
{
    int err = 0;

    ASSERT_HELD(&e->queue.lock);
    if (p->linear)
        err = e1000_tx_bytes_locked(e, p->head + p->start, p->linear, command, options);
    for (u32 i = 0; i < p->nr_frags && !err; i++) {
        const struct packet_frag *f = &p->frags[i];

        err = e1000_tx_bytes_locked(e, (u8 *)page_virt(f->page) + f->offset, f->len, command,
                                    options);
    }
    return err;
}

static int e1000_tx_add_locked(struct e1000 *e, struct packet *p) REQUIRES(e->queue.lock)
{
    struct e1000_tx *tx = &e->tx;
    u32 first = tx->tail, options = 0, command = TX_DATA | TX_DEXT | TX_IFCS | TX_IDE, last;
    int err = 0;

    ASSERT_HELD(&e->queue.lock);
    if (p->gso) {
        err = e1000_tx_segments_locked(e, p);
        command |= TX_TSE;
        options = TX_SUM | TX_SUM_IP;
    } else if (p->flags & PACKET_CSUM_PARTIAL) {
        e1000_tx_sum_locked(e, p);
        options = TX_SUM;
    }
    if (!err)
        err = e1000_tx_data_locked(e, p, command, options);
    if (err) {
        e1000_tx_unmap_locked(e, first, tx->tail);
        tx->tail = first;
        tx->context = (union e1000_tx_desc){.words = {0}};
        return err;
    }
    if (tx->segments && !p->gso && !p->nr_frags)
        e1000_tx_sentinel_locked(e);
    tx->segments = p->gso;
    last = tx->tail - 1;
    tx->ring[last % E1000_TX_RING].data.command |= TX_EOP | TX_RS;
    tx->sent[last % E1000_TX_RING].p = p;
    tx->sent[first % E1000_TX_RING].last = last;
    return 0;
}

static void e1000_tx_tell_locked(struct e1000 *e) REQUIRES(e->queue.lock)
{
    struct e1000_tx *tx = &e->tx;

    ASSERT_HELD(&e->queue.lock);
    if (tx->told == tx->tail)
        return;
    tx->told = tx->tail;
    dma_wmb();
    if (!FAILPOINT_APART(netdev_deaf))
        e1000_write(e, TDT, tx->tail % E1000_TX_RING);
    netdev_watch_sent(&e->watch);
}

int e1000_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    struct e1000 *e = q->driver;
    u32 needs = e1000_tx_needs(p);
    int err = -EBUSY;

    ASSERT_HELD(&e->queue.lock);
    if (READ_ONCE(e->gone) || !e->tx.sent)
        return -EIO;
    if (needs > E1000_TX_RING || p->len < ETHERNET_HEADER)
        return -EINVAL;
    /* What is summed lies where a byte's offset reaches. */
    if (!p->gso && (p->flags & PACKET_CSUM_PARTIAL) &&
        (u32)p->csum_start + p->csum_offset + 2 > MIN(p->linear, 255U) && !packet_finish_sum(p))
        return -EINVAL;
    if (e1000_tx_free_locked(e) < needs)
        (void)e1000_tx_reclaim_locked(e);
    if (e1000_tx_free_locked(e) >= needs)
        err = e1000_tx_add_locked(e, p);
    if (!more || err == -EBUSY)
        e1000_tx_tell_locked(e);
    return err;
}

void e1000_tx_done(struct e1000 *e)
{
    bool some;

    spin_lock(&e->queue.lock);
    some = e->tx.sent && e1000_tx_reclaim_locked(e);
    spin_unlock(&e->queue.lock);
    if (some && READ_ONCE(e->queue.stopped))
        netdev_wake(&e->queue);
}

void e1000_tx_reset_locked(struct e1000 *e)
{
    struct e1000_tx *tx = &e->tx;

    ASSERT_HELD(&e->queue.lock);
    if (tx->sent)
        e1000_tx_unmap_locked(e, tx->head, tx->tail);
    tx->head = tx->tail = tx->told = tx->seen = 0;
    tx->segments = false;
    tx->context = (union e1000_tx_desc){.words = {0}};
}

int e1000_tx_open(struct e1000 *e)
{
    struct e1000_sent *sent = kcalloc(E1000_TX_RING, sizeof(*sent));

    if (!sent)
        return -ENOMEM;
    spin_lock(&e->queue.lock);
    e->tx.sent = sent;
    e1000_tx_reset_locked(e);
    spin_unlock(&e->queue.lock);
    return 0;
}

void e1000_tx_close(struct e1000 *e)
{
    struct e1000_sent *sent;

    spin_lock(&e->queue.lock);
    e1000_tx_reset_locked(e);
    sent = e->tx.sent;
    e->tx.sent = NULL;
    spin_unlock(&e->queue.lock);
    kfree(sent);
}
