/* SPDX-License-Identifier: MIT
 *
 * Realtek's RTL8139C+ (QEMU's rtl8139): descriptor rings, an interrupt by its pin, sums of what is
 * received; no more is asked of 100 Mbit/s. An RTL8139 without the + is not served.
 *
 * Interrupts, the watch and what has vanished are as the e1000's (e1000.c).
 */
#include "drivers/net/rtl8139.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

#define MTU_DEFAULT 1500
#define MTU_MIN 68
#define REVISION_PLUS 0x20
#define BAR 1
#define RESET_POLLS 20
#define RING_BYTES (RTL_RING * sizeof(struct rtl_desc))
#define CAUSES \
    (CAUSE_ROK | CAUSE_RER | CAUSE_TOK | CAUSE_TER | CAUSE_RXOVW | CAUSE_LINK | CAUSE_FOVW)
#define GONE 0xffffU

static struct rtl *rtl_of(struct netdev *dev)
{
    return container_of(dev, struct rtl, dev);
}

/* ---- the hardware's state ---- */

static void rtl_vanish(struct rtl *r)
{
    if (__atomic_exchange_n(&r->gone, true, __ATOMIC_SEQ_CST))
        return;
    log_err("%s: the device does not answer any more", r->dev.name);
    netdev_set_carrier(&r->dev, false);
}

static int rtl_reset(struct rtl *r)
{
    io_write16(&r->regs, IMR, 0);
    io_write8(&r->regs, CR, CR_RST);
    for (u32 i = 0; i < RESET_POLLS; i++) {
        u8 cr = FAILPOINT_APART(netdev_gone) ? (u8)GONE : io_read8(&r->regs, CR);

        if (cr == (u8)GONE)
            return -ENXIO;
        if (!(cr & CR_RST))
            return 0;
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    }
    return -EBUSY;
}

static void rtl_write_address(struct rtl *r, const u8 *addr)
{
    u32 low, high = 0;

    memcpy(&low, addr, 4);
    memcpy(&high, addr + 4, 2);
    io_write8(&r->regs, CR9346, CR9346_UNLOCK);
    io_write32(&r->regs, IDR, low);
    io_write32(&r->regs, IDR + 4, high);
    io_write8(&r->regs, CR9346, CR9346_LOCK);
}

/* The upper six bits of the CRC-32 of IEEE 802.3, first bit first. */
static u32 rtl_hash(const u8 *group)
{
    u32 crc = ~0U;

    for (u32 i = 0; i < NETDEV_ADDR * 8; i++) {
        u32 bit = crc >> 31 ^ (group[i / 8] >> i % 8 & 1);

        crc = crc << 1 ^ (bit ? 0x04c11db7U : 0);
    }
    return crc >> 26;
}

static void rtl_filter(struct rtl *r)
{
    u64 hashes = netdev_wants_groups(&r->dev) ? ~0ULL : 0;

    for (u32 i = 0; i < r->dev.nr_groups; i++)
        hashes |= 1ULL << rtl_hash(r->dev.groups[i]);
    io_write32(&r->regs, MAR, (u32)hashes);
    io_write32(&r->regs, MAR + 4, (u32)(hashes >> 32));
    io_write32(&r->regs, RCR,
               RCR_OWN | RCR_BROADCAST | RCR_GROUPS | RCR_DMA_MOST | RCR_WHOLE |
                   (netdev_wants_all(&r->dev) ? RCR_ALL : 0));
}

static void rtl_link(struct rtl *r)
{
    u8 status = io_read8(&r->regs, MSR);

    if (status == (u8)GONE)
        rtl_vanish(r);
    else
        netdev_set_carrier(&r->dev, !(status & MSR_NO_LINK));
}

static void rtl_write_ring(struct rtl *r, u32 reg, dma_addr_t addr)
{
    io_write32(&r->regs, reg, (u32)addr.v);
    io_write32(&r->regs, reg + 4, (u32)(addr.v >> 32));
}

/* Rings are there, empty; the device has been reset. C+ mode comes before all else. */
static void rtl_go(struct rtl *r) REQUIRES(r->run)
{
    ASSERT_HELD(&r->run);
    io_write16(&r->regs, CPCR, CPCR_TX | CPCR_RX | CPCR_MULTIPLE_READ | CPCR_DAC | CPCR_RX_SUM);
    rtl_write_ring(r, TNPDS, r->tx_addr);
    rtl_write_ring(r, RDSAR, r->rx_addr);
    rtl_write_address(r, r->dev.addr);
    io_write8(&r->regs, CR, CR_RE | CR_TE);
    rtl_filter(r);
    io_write32(&r->regs, TCR, TCR_DMA_MOST | TCR_GAP);
    WRITE_ONCE(r->running, true);
    io_write16(&r->regs, ISR, GONE);
    io_write16(&r->regs, IMR, CAUSES);
    rtl_link(r);
}

/* ---- interrupts ---- */

static bool rtl_hard(void *arg)
{
    struct rtl *r = arg;
    u16 why = io_read16(&r->regs, ISR);

    if (!(why & CAUSES) || why == GONE)
        return false;
    io_write16(&r->regs, IMR, 0);
    io_write16(&r->regs, ISR, why);
    if (why & CAUSE_LINK)
        WRITE_ONCE(r->link, true);
    return true;
}

/* One round; true: there is more. What came between the last look and the write of the mask has its
 * cause in ISR, and interrupts. */
static bool rtl_round(struct rtl *r) REQUIRES(r->run)
{
    bool more;

    ASSERT_HELD(&r->run);
    if (!r->running || READ_ONCE(r->gone))
        return false;
    rtl_tx_done(r);
    more = rtl_rx_some(r);
    if (!more)
        io_write16(&r->regs, IMR, CAUSES);
    return more;
}

static void rtl_thread(void *arg)
{
    struct rtl *r = arg;
    bool more = true;

    if (__atomic_exchange_n(&r->link, false, __ATOMIC_SEQ_CST))
        rtl_link(r);
    while (more) {
        mutex_lock(&r->run);
        more = rtl_round(r);
        mutex_unlock(&r->run);
        if (more)
            cond_yield();
    }
}

/* ---- the watch ---- */

static bool rtl_is_stuck(struct rtl *r)
{
    bool waits, stuck;

    spin_lock(&r->queue.lock);
    waits = r->head != r->tail;
    stuck = waits && r->seen == r->head + 1;
    r->seen = waits ? r->head + 1 : 0;
    if (waits)
        netdev_watch_sent(&r->watch);
    spin_unlock(&r->queue.lock);
    return stuck;
}

static void rtl_again(struct rtl *r) REQUIRES(r->run)
{
    int err;

    ASSERT_HELD(&r->run);
    if (READ_ONCE(r->dev.flags) & NETDEV_CARRIER)
        log_warn("%s: has sent nothing for a while: it is reset", r->dev.name);
    err = rtl_reset(r);
    rtl_tx_reset(r, true);
    rtl_rx_reset(r);
    if (err)
        rtl_vanish(r);
    else
        rtl_go(r);
}

static void rtl_look(struct netdev_watch *w)
{
    struct rtl *r = container_of(w, struct rtl, watch);

    rtl_tx_done(r);
    if (!rtl_is_stuck(r))
        return;
    mutex_lock(&r->run);
    if (r->running && !READ_ONCE(r->gone))
        rtl_again(r);
    mutex_unlock(&r->run);
    netdev_wake(&r->queue);
}

/* ---- operations ---- */

static int rtl_open(struct netdev *dev)
{
    struct rtl *r = rtl_of(dev);
    int err;

    if (READ_ONCE(r->gone))
        return -EIO;
    mutex_lock(&r->run);
    err = rtl_rx_open(r);
    if (!err) {
        rtl_tx_reset(r, true);
        rtl_go(r);
    }
    mutex_unlock(&r->run);
    return err;
}

static void rtl_stop(struct netdev *dev)
{
    struct rtl *r = rtl_of(dev);

    mutex_lock(&r->run);
    WRITE_ONCE(r->running, false);
    if (rtl_reset(r)) {
        rtl_vanish(r);
        pci_set_master(r->pci, false); /* it does not confirm: it is cut off from memory */
    }
    rtl_rx_close(r);
    rtl_tx_reset(r, false);
    mutex_unlock(&r->run);
    netdev_watch_stop(&r->watch);
}

static int rtl_set_address(struct netdev *dev, const u8 *addr)
{
    rtl_write_address(rtl_of(dev), addr);
    return 0;
}

static void rtl_set_filter(struct netdev *dev)
{
    struct rtl *r = rtl_of(dev);

    mutex_lock(&r->run);
    if (r->running)
        rtl_filter(r);
    mutex_unlock(&r->run);
}

static void rtl_stats(struct netdev *dev, struct netdev_stats *out)
{
    struct rtl *r = rtl_of(dev);

    spin_lock(&r->stats_lock);
    if (r->regs.base && !READ_ONCE(r->gone)) {
        r->missed += io_read32(&r->regs, MPC) & 0xffffff;
        io_write32(&r->regs, MPC, 0);
    }
    out->rx_missed += r->missed;
    spin_unlock(&r->stats_lock);
}

static void rtl_destroy(struct netdev *dev)
{
    kfree(rtl_of(dev));
}

static void rtl_link_now(struct netdev *dev, struct netdev_link *out)
{
    struct rtl *r = rtl_of(dev);
    u16 control = io_read16(&r->regs, BMCR);

    if (control == GONE)
        return;
    out->speed = io_read8(&r->regs, MSR) & MSR_10 ? 10 : 100;
    out->duplex = control & BMCR_FULL ? NETDEV_FULL : NETDEV_HALF;
    out->twisted = true;
    out->modes = NETDEV_10_HALF | NETDEV_10_FULL | NETDEV_100_HALF | NETDEV_100_FULL;
}

static const struct netdev_ops rtl_ops = {
    .open = rtl_open,
    .stop = rtl_stop,
    .transmit = rtl_transmit,
    .set_address = rtl_set_address,
    .set_filter = rtl_set_filter,
    .link = rtl_link_now,
    .stats = rtl_stats,
    .destroy = rtl_destroy,
};

/* ---- probe ---- */

static void rtl_identity(struct rtl *r)
{
    struct netdev *dev = &r->dev;

    dev->type = ARPHRD_ETHER;
    dev->header = ETHERNET_HEADER;
    dev->parent = &r->pci->dev;
    dev->min_mtu = MTU_MIN;
    dev->max_mtu = dev->mtu = MTU_DEFAULT;
    dev->rx_ring = dev->tx_ring = RTL_RING;
    dev->features = NETDEV_FRAGS | NETDEV_JOIN | NETDEV_RX_SUMS;
    for (u32 i = 0; i < NETDEV_ADDR; i++)
        dev->addr[i] = io_read8(&r->regs, IDR + i);
    if (dev->addr[0] & 1) /* nothing was there to be read: one of its own */
        dev->addr[0] = (u8)((dev->addr[0] & ~1U) | 2U);
}

static void rtl_rings_end(struct rtl *r)
{
    if (r->rx_ring)
        dma_free_coherent(&r->pci->dev, r->rx_ring, RING_BYTES, r->rx_addr);
    if (r->tx_ring)
        dma_free_coherent(&r->pci->dev, r->tx_ring, RING_BYTES, r->tx_addr);
}

static int rtl_irq(struct rtl *r)
{
    int err = pci_irq_setup(r->pci, 1, 1);

    if (err < 0)
        return err;
    r->irq =
        (struct irq_handler){.fn = rtl_hard, .thread_fn = rtl_thread, .arg = r, .name = "rtl8139"};
    err = pci_irq_request(r->pci, 0, &r->irq, 0);
    if (err)
        pci_irq_teardown(r->pci);
    return err;
}

static void rtl_irq_end(struct rtl *r)
{
    pci_irq_release(r->pci, 0);
    pci_irq_teardown(r->pci);
}

/* Registers are mapped. */
static int rtl_start(struct rtl *r)
{
    int err = rtl_reset(r);

    if (err)
        return err;
    rtl_identity(r);
    r->rx_ring = dma_alloc_coherent(&r->pci->dev, RING_BYTES, &r->rx_addr);
    r->tx_ring = dma_alloc_coherent(&r->pci->dev, RING_BYTES, &r->tx_addr);
    err = r->rx_ring && r->tx_ring ? rtl_irq(r) : -ENOMEM;
    if (err)
        goto rings;
    pci_set_master(r->pci, true);
    rtl_link(r);
    err = netdev_register(&r->dev, pci_class_rank(&r->pci->dev, PCI_BASE_NETWORK, 0));
    if (!err)
        return 0;
    pci_set_master(r->pci, false);
    rtl_irq_end(r);
rings:
    rtl_rings_end(r);
    return err;
}

static int rtl_probe(struct device *dev, const struct device_id *id)
{
    struct pci_device *pci = pci_device_of(dev);
    struct rtl *r;
    int err;

    if (pci->revision < REVISION_PLUS) {
        log_info("rtl8139: revision %u has no C+ mode", pci->revision);
        return -ENODEV;
    }
    r = kzalloc(sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->pci = pci;
    netdev_init(&r->dev, &rtl_ops, &r->queue, 1);
    r->queue.driver = r;
    mutex_init(&r->run, RANK_DRIVER, 15, "rtl8139 run");
    spinlock_init(&r->stats_lock, RANK_DEV, 2, "rtl8139 stats");
    netdev_watch_init(&r->watch, NETDEV_STUCK_NS, rtl_look);
    err = pci_enable(pci);
    if (!err)
        err = pci_map_bar_range(pci, BAR, 0, RTL_BYTES, IO_UNCACHED, &r->regs);
    if (!err) {
        dev->driver_data = r;
        err = rtl_start(r);
    }
    if (!err)
        return 0;
    if (r->regs.base)
        io_unmap(&r->regs);
    dev->driver_data = NULL;
    netdev_put(&r->dev);
    return err;
}

static void rtl_remove(struct device *dev)
{
    struct rtl *r = dev->driver_data;
    struct io_region regs;

    netdev_unregister(&r->dev);
    pci_set_master(r->pci, false);
    rtl_irq_end(r);
    rtl_rings_end(r);
    spin_lock(&r->stats_lock); /* who still has a reference may ask */
    regs = r->regs;
    r->regs.base = NULL;
    spin_unlock(&r->stats_lock);
    io_unmap(&regs);
    dev->driver_data = NULL;
    netdev_put(&r->dev);
}

static const struct device_id rtl_ids[] = {PCI_ID(0x10ec, 0x8139)};
DRIVER(rtl8139)
= {.name = "rtl8139",
   .bus = &pci_bus,
   DRIVER_IDS(rtl_ids),
   .probe = rtl_probe,
   .remove = rtl_remove};
