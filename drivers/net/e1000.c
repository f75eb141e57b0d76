/* SPDX-License-Identifier: MIT
 *
 * Intel's 8254x (QEMU's and Bochs' e1000) and 82574 (QEMU's e1000e): one pair of queues, an
 * interrupt by the pin or a message, with MSI-X one for the queues and one for the link. Checksums
 * both ways, segments of TCP over IPv4 (8254x); groups by the device's hash; tags are software's.
 *
 * The hard handler masks the device; the queues' thread looks until the ring is empty and lets it
 * interrupt again: causes that came meanwhile are kept by the device and interrupt then. The
 * device runs from open to stop. One that has not sent for long is reset by the watch's worker; one
 * whose registers read as ones has vanished: it is logged once, and sends and receives no more.
 */
#include "drivers/net/e1000.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"

#define MTU_DEFAULT 1500
#define MTU_MIN 68
#define VENDOR_INTEL 0x8086
#define RESET_POLLS 20
#define QUEUE_CAUSES (CAUSE_TXDW | CAUSE_RXDMT0 | CAUSE_RXO | CAUSE_RXT0)
#define QUEUE_CAUSES_MSIX (CAUSE_RXQ0 | CAUSE_TXQ0)
#define LINK_CAUSES_MSIX (CAUSE_LSC | CAUSE_OTHER)
#define GONE 0xffffffffU

static const struct e1000_model e1000_models[] = {{"e1000", false}, {"e1000e", true}};

static struct e1000 *e1000_of(struct netdev *dev)
{
    return container_of(dev, struct e1000, dev);
}

static bool e1000_has_msix(const struct e1000 *e)
{
    return e->nr_irqs > 1;
}

/* ---- the hardware's state ---- */

/* The device is not there any more. Context: may sleep. */
static void e1000_vanish(struct e1000 *e)
{
    if (__atomic_exchange_n(&e->gone, true, __ATOMIC_SEQ_CST))
        return;
    log_err("%s: the device does not answer any more", e->dev.name);
    netdev_set_carrier(&e->dev, false);
}

static int e1000_reset(struct e1000 *e)
{
    int err = -EBUSY;

    e1000_hw_reset(&e->regs, e->model);
    for (u32 i = 0; i < RESET_POLLS && err == -EBUSY; i++) {
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
        err = FAILPOINT_APART(netdev_gone) ? -ENXIO : e1000_hw_is_reset(&e->regs);
    }
    return err;
}

static void e1000_filter(struct e1000 *e)
{
    u32 rctl = RCTL_EN | RCTL_BAM | RCTL_SECRC | (e->dev.mtu > MTU_DEFAULT ? RCTL_LPE : 0);

    e1000_hw_filter(&e->regs, rctl, netdev_wants_all(&e->dev), netdev_wants_groups(&e->dev),
                    e->dev.groups, e->dev.nr_groups);
}

static void e1000_link(struct e1000 *e)
{
    u32 status = e1000_read(e, STATUS);

    if (status == GONE)
        e1000_vanish(e);
    else
        netdev_set_carrier(&e->dev, status & STATUS_LU);
}

static void e1000_interrupts_on(struct e1000 *e)
{
    if (e1000_has_msix(e)) {
        e1000_write(e, EIAC, QUEUE_CAUSES_MSIX | CAUSE_OTHER);
        e1000_write(e, IVAR,
                    IVAR_VALID << IVAR_RXQ0_SHIFT | IVAR_VALID << IVAR_TXQ0_SHIFT |
                        (IVAR_VALID | 1U) << IVAR_OTHER_SHIFT | IVAR_EACH_WRITE);
        e1000_write(e, CTRL_EXT, e1000_read(e, CTRL_EXT) | CTRL_EXT_PBA_CLEAR | CTRL_EXT_DRIVER);
    }
    e1000_write(e, IMS,
                e1000_has_msix(e) ? QUEUE_CAUSES_MSIX | LINK_CAUSES_MSIX
                                  : QUEUE_CAUSES | CAUSE_LSC);
}

/* Rings are there, empty; the device has been reset. */
static void e1000_go(struct e1000 *e) REQUIRES(e->run)
{
    ASSERT_HELD(&e->run);
    e1000_hw_set_address(&e->regs, e->dev.addr);
    e1000_hw_start_tx(&e->regs, e->model, e->tx.addr.v, E1000_TX_RING * sizeof(*e->tx.ring));
    e1000_hw_start_rx(&e->regs, e->rx.addr.v, E1000_RX_RING * sizeof(*e->rx.ring),
                      E1000_RX_RING - 1);
    e1000_filter(e);
    WRITE_ONCE(e->running, true);
    e1000_interrupts_on(e);
    e1000_link(e);
}

/* ---- interrupts ---- */

static bool e1000_hard(void *arg)
{
    struct e1000 *e = arg;
    u32 why = e1000_read(e, ICR);

    if (!why || why == GONE)
        return why && !pci_irq_is_line(e->pci); /* a line's other devices may have asked */
    e1000_write(e, IMC, ~0U);
    __atomic_fetch_or(&e->causes, why, __ATOMIC_SEQ_CST);
    return true;
}

static bool e1000_hard_queues(void *arg)
{
    struct e1000 *e = arg;

    e1000_write(e, IMC, QUEUE_CAUSES_MSIX);
    return true;
}

/* One round; true: there is more. */
static bool e1000_round(struct e1000 *e) REQUIRES(e->run)
{
    bool more;

    ASSERT_HELD(&e->run);
    if (!e->running || READ_ONCE(e->gone))
        return false;
    e1000_tx_done(e);
    more = e1000_rx_some(e);
    if (!more)
        e1000_write(e, IMS, e1000_has_msix(e) ? QUEUE_CAUSES_MSIX : QUEUE_CAUSES | CAUSE_LSC);
    return more;
}

static void e1000_thread(void *arg)
{
    struct e1000 *e = arg;
    bool more = true;

    if (__atomic_exchange_n(&e->causes, 0, __ATOMIC_SEQ_CST) & CAUSE_LSC)
        e1000_link(e);
    while (more) {
        mutex_lock(&e->run);
        more = e1000_round(e);
        mutex_unlock(&e->run);
        if (more)
            cond_yield();
    }
}

/* With MSI-X: all but the queues. */
static void e1000_thread_link(void *arg)
{
    struct e1000 *e = arg;

    e1000_write(e, ICR, LINK_CAUSES_MSIX);
    if (!READ_ONCE(e->running))
        return;
    e1000_link(e);
    e1000_write(e, IMS, LINK_CAUSES_MSIX);
}

/* ---- the watch ---- */

/* Whether frames are under way, and none has been sent since the last look. */
static bool e1000_is_stuck(struct e1000 *e)
{
    struct e1000_tx *tx = &e->tx;
    bool waits, stuck;

    spin_lock(&e->queue.lock);
    waits = tx->sent && tx->head != tx->tail;
    stuck = waits && tx->seen == tx->head + 1;
    tx->seen = waits ? tx->head + 1 : 0;
    if (waits)
        netdev_watch_sent(&e->watch);
    spin_unlock(&e->queue.lock);
    return stuck;
}

static void e1000_again(struct e1000 *e) REQUIRES(e->run)
{
    int err;

    ASSERT_HELD(&e->run);
    if (READ_ONCE(e->dev.flags) & NETDEV_CARRIER)
        log_warn("%s: has sent nothing for a while: it is reset", e->dev.name);
    err = e1000_reset(e);
    spin_lock(&e->queue.lock);
    e1000_tx_reset_locked(e);
    spin_unlock(&e->queue.lock);
    e1000_rx_reset(e);
    if (err)
        e1000_vanish(e);
    else
        e1000_go(e);
}

static void e1000_look(struct netdev_watch *w)
{
    struct e1000 *e = container_of(w, struct e1000, watch);

    e1000_tx_done(e);
    if (!e1000_is_stuck(e))
        return;
    mutex_lock(&e->run);
    if (e->running && !READ_ONCE(e->gone))
        e1000_again(e);
    mutex_unlock(&e->run);
    netdev_wake(&e->queue);
}

/* ---- operations ---- */

static int e1000_open(struct netdev *dev)
{
    struct e1000 *e = e1000_of(dev);
    int err;

    if (READ_ONCE(e->gone))
        return -EIO;
    mutex_lock(&e->run);
    err = e1000_tx_open(e);
    if (!err)
        err = e1000_rx_open(e);
    if (!err)
        e1000_go(e);
    else
        e1000_tx_close(e);
    mutex_unlock(&e->run);
    return err;
}

static void e1000_stop(struct netdev *dev)
{
    struct e1000 *e = e1000_of(dev);
    int err;

    mutex_lock(&e->run);
    WRITE_ONCE(e->running, false);
    err = e1000_reset(e);
    if (err && !READ_ONCE(e->gone))
        e1000_vanish(e);
    if (err)
        pci_set_master(e->pci, false); /* it does not confirm: it is cut off from memory */
    e1000_rx_close(e);
    e1000_tx_close(e);
    mutex_unlock(&e->run);
    netdev_watch_stop(&e->watch);
}

static int e1000_set_address(struct netdev *dev, const u8 *addr)
{
    e1000_hw_set_address(&e1000_of(dev)->regs, addr);
    return 0;
}

static void e1000_set_filter(struct netdev *dev)
{
    struct e1000 *e = e1000_of(dev);

    mutex_lock(&e->run);
    if (e->running)
        e1000_filter(e);
    mutex_unlock(&e->run);
}

static void e1000_stats(struct netdev *dev, struct netdev_stats *out)
{
    struct e1000 *e = e1000_of(dev);

    spin_lock(&e->stats_lock);
    if (e->regs.base)
        e1000_hw_stats(&e->regs, &e->total);
    out->rx_errors += e->total.rx_errors;
    out->rx_crc += e->total.rx_crc;
    out->rx_length += e->total.rx_length;
    out->rx_missed += e->total.rx_missed;
    out->tx_errors += e->total.tx_errors;
    out->collisions += e->total.collisions;
    spin_unlock(&e->stats_lock);
}

static void e1000_destroy(struct netdev *dev)
{
    kfree(e1000_of(dev));
}

static void e1000_link_now(struct netdev *dev, struct netdev_link *out)
{
    static const u32 speeds[] = {10, 100, 1000, 1000};
    u32 status = e1000_read(e1000_of(dev), STATUS);

    if (status == GONE)
        return;
    out->speed = speeds[status >> STATUS_SPEED_SHIFT & 3];
    out->duplex = status & STATUS_FD ? NETDEV_FULL : NETDEV_HALF;
    out->twisted = true;
    out->modes =
        NETDEV_10_HALF | NETDEV_10_FULL | NETDEV_100_HALF | NETDEV_100_FULL | NETDEV_1000_FULL;
}

static const struct netdev_ops e1000_ops = {
    .open = e1000_open,
    .stop = e1000_stop,
    .transmit = e1000_transmit,
    .set_address = e1000_set_address,
    .set_filter = e1000_set_filter,
    .link = e1000_link_now,
    .stats = e1000_stats,
    .destroy = e1000_destroy,
};

/* ---- probe ---- */

static void e1000_identity(struct e1000 *e)
{
    struct netdev *dev = &e->dev;
    u64 random = random_u64();

    dev->type = ARPHRD_ETHER;
    dev->header = ETHERNET_HEADER;
    dev->parent = &e->pci->dev;
    dev->min_mtu = MTU_MIN;
    dev->max_mtu = E1000_MTU_MAX;
    dev->mtu = MTU_DEFAULT;
    /* QEMU's 82574 makes IP fragments of what it should cut (as of 7.2). */
    dev->rx_ring = E1000_RX_RING;
    dev->tx_ring = E1000_TX_RING;
    dev->features = NETDEV_JOIN | NETDEV_RX_SUMS | NETDEV_FRAGS | NETDEV_CSUM |
                    (e->model->is_82574 ? 0 : NETDEV_TSO4);
    if (e1000_hw_address(&e->regs, e->model, dev->addr)) {
        memcpy(dev->addr, &random, NETDEV_ADDR); /* one of its own: local, unicast */
        dev->addr[0] = (u8)((dev->addr[0] & ~1U) | 2U);
    }
}

static int e1000_irqs(struct e1000 *e)
{
    int n = pci_irq_setup(e->pci, 1, e->model->is_82574 ? 2 : 1), err = 0;

    if (n < 0)
        return n;
    e->nr_irqs = (unsigned)n;
    e->irqs[0] = (struct irq_handler){.fn = e1000_has_msix(e) ? e1000_hard_queues : e1000_hard,
                                      .thread_fn = e1000_thread,
                                      .arg = e,
                                      .name = e->model->name};
    e->irqs[1] =
        (struct irq_handler){.thread_fn = e1000_thread_link, .arg = e, .name = "e1000e link"};
    for (n = 0; n < (int)e->nr_irqs && !err; n++)
        err = pci_irq_request(e->pci, (unsigned)n, &e->irqs[n], 0);
    if (!err)
        return 0;
    while (--n > 0)
        pci_irq_release(e->pci, (unsigned)n - 1);
    pci_irq_teardown(e->pci);
    return err;
}

static void e1000_irqs_end(struct e1000 *e)
{
    for (unsigned i = 0; i < e->nr_irqs; i++)
        pci_irq_release(e->pci, i);
    pci_irq_teardown(e->pci);
}

static int e1000_rings(struct e1000 *e)
{
    struct device *dma = &e->pci->dev;

    e->rx.ring = dma_alloc_coherent(dma, E1000_RX_RING * sizeof(*e->rx.ring), &e->rx.addr);
    e->tx.ring = dma_alloc_coherent(dma, E1000_TX_RING * sizeof(*e->tx.ring), &e->tx.addr);
    return e->rx.ring && e->tx.ring ? 0 : -ENOMEM;
}

static void e1000_rings_end(struct e1000 *e)
{
    struct device *dma = &e->pci->dev;

    if (e->rx.ring)
        dma_free_coherent(dma, e->rx.ring, E1000_RX_RING * sizeof(*e->rx.ring), e->rx.addr);
    if (e->tx.ring)
        dma_free_coherent(dma, e->tx.ring, E1000_TX_RING * sizeof(*e->tx.ring), e->tx.addr);
}

/* Registers are mapped. */
static int e1000_start(struct e1000 *e)
{
    int err = e1000_reset(e);

    if (err)
        return err;
    e1000_identity(e);
    err = e1000_rings(e);
    if (err)
        goto rings;
    err = e1000_irqs(e);
    if (err)
        goto rings;
    pci_set_master(e->pci, true);
    netdev_set_carrier(&e->dev, e1000_read(e, STATUS) & STATUS_LU);
    err = netdev_register(&e->dev, pci_class_rank(&e->pci->dev, PCI_BASE_NETWORK, 0));
    if (!err)
        return 0;
    pci_set_master(e->pci, false);
    e1000_irqs_end(e);
rings:
    e1000_rings_end(e);
    return err;
}

static int e1000_probe(struct device *dev, const struct device_id *id)
{
    struct e1000 *e = kzalloc(sizeof(*e));
    int err;

    if (!e)
        return -ENOMEM;
    e->pci = pci_device_of(dev);
    e->model = &e1000_models[id->data];
    netdev_init(&e->dev, &e1000_ops, &e->queue, 1);
    e->queue.driver = e;
    mutex_init(&e->run, RANK_DRIVER, 15, "e1000 run");
    spinlock_init(&e->stats_lock, RANK_DEV, 2, "e1000 stats");
    netdev_watch_init(&e->watch, NETDEV_STUCK_NS, e1000_look);
    err = pci_enable(e->pci);
    if (!err)
        err = pci_map_bar_range(e->pci, 0, 0, E1000_REGISTERS, IO_UNCACHED, &e->regs);
    if (!err) {
        dev->driver_data = e;
        err = e1000_start(e);
    }
    if (!err)
        return 0;
    if (e->regs.base)
        io_unmap(&e->regs);
    dev->driver_data = NULL;
    netdev_put(&e->dev);
    return err;
}

static void e1000_remove(struct device *dev)
{
    struct e1000 *e = dev->driver_data;
    struct io_region regs;

    netdev_unregister(&e->dev);
    pci_set_master(e->pci, false);
    e1000_irqs_end(e);
    e1000_rings_end(e);
    spin_lock(&e->stats_lock); /* who still has a reference may ask */
    regs = e->regs;
    e->regs.base = NULL;
    spin_unlock(&e->stats_lock);
    io_unmap(&regs);
    dev->driver_data = NULL;
    netdev_put(&e->dev);
}

#define E1000_ID(device_, model_)                                                                \
    {                                                                                            \
        .vendor = VENDOR_INTEL, .device = (device_), .sub_vendor = ID_ANY, .sub_device = ID_ANY, \
        .data = (model_)                                                                         \
    }
static const struct device_id e1000_ids[] = {
    E1000_ID(0x100e, 0), /* 82540EM */
    E1000_ID(0x100f, 0), /* 82545EM */
    E1000_ID(0x10d3, 1), /* 82574L */
};
DRIVER(e1000)
= {.name = "e1000",
   .bus = &pci_bus,
   DRIVER_IDS(e1000_ids),
   .probe = e1000_probe,
   .remove = e1000_remove};
