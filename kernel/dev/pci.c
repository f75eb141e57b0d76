/* SPDX-License-Identifier: MIT
 *
 * What drivers ask of their PCI device, interrupts apart.
 *
 * Lock order: a device's lock, then pci_config_lock (spinlock) over changes of single bits, then
 * the lock of the ports.
 */
#include "dev/pci.h"

#include "dev/pci_priv.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "sched/timer.h"

/* Guards changes of a register's bits: command, control of capabilities. */
static struct spinlock pci_config_lock = SPINLOCK_INIT(RANK_DEV, 2, "pci config");

/* ------------------------------------------------------------- configuration space */

unsigned pci_config_size(const struct pci_device *p)
{
    return p->express && p->host->config.extended ? PCI_CONFIG_SIZE_EXTENDED : PCI_CONFIG_SIZE;
}

static bool pci_reg_ok(const struct pci_device *p, unsigned reg, unsigned width)
{
    return reg % width == 0 && reg < pci_config_size(p);
}

static u32 pci_read(struct pci_device *p, unsigned reg, unsigned width)
{
    return pci_reg_ok(p, reg, width) ? pci_config_read(&p->host->config, p->bdf, reg, width) : ~0U;
}

static void pci_write(struct pci_device *p, unsigned reg, unsigned width, u32 v)
{
    if (pci_reg_ok(p, reg, width))
        pci_config_write(&p->host->config, p->bdf, reg, width, v);
}

u8 pci_read8(struct pci_device *p, unsigned reg)
{
    return (u8)pci_read(p, reg, 1);
}

u16 pci_read16(struct pci_device *p, unsigned reg)
{
    return (u16)pci_read(p, reg, 2);
}

u32 pci_read32(struct pci_device *p, unsigned reg)
{
    return pci_read(p, reg, 4);
}

static void pci_write8(struct pci_device *p, unsigned reg, u8 v)
{
    pci_write(p, reg, 1, v);
}

void pci_write16(struct pci_device *p, unsigned reg, u16 v)
{
    pci_write(p, reg, 2, v);
}

void pci_write32(struct pci_device *p, unsigned reg, u32 v)
{
    pci_write(p, reg, 4, v);
}

unsigned pci_find_cap(struct pci_device *p, u8 id, unsigned nth)
{
    return pci_config_cap(&p->host->config, p->bdf, id, nth);
}

unsigned pci_find_ext_cap(struct pci_device *p, u16 id, unsigned nth)
{
    return p->express ? pci_config_ext_cap(&p->host->config, p->bdf, id, nth) : 0;
}

void pci_change16(struct pci_device *p, unsigned reg, u16 clear, u16 set)
{
    u64 flags;

    spin_lock_irqsave(&pci_config_lock, &flags);
    pci_write16(p, reg, (u16)((pci_read16(p, reg) & ~clear) | set));
    spin_unlock_irqrestore(&pci_config_lock, flags);
}

/* ------------------------------------------------------------- on and off */

#define D3_TO_D0 (10 * NSEC_PER_MSEC)

static void pci_sleep(u64 ns)
{
    (void)sleep_until(time_ns() + ns, SLEEP_UNINTERRUPTIBLE);
}

static int pci_power_up(struct pci_device *p)
{
    unsigned reg = p->pm + PCI_PM_CONTROL;

    if (!p->pm || !(pci_read16(p, reg) & PCI_PM_STATE))
        return 0;
    pci_change16(p, reg, PCI_PM_STATE, 0);
    pci_sleep(D3_TO_D0);
    return pci_read16(p, reg) & PCI_PM_STATE ? -EIO : 0;
}

/* All bridges above it pass accesses on, both ways. */
static void pci_open_bridges(struct pci_device *p)
{
    for (struct device *up = p->dev.parent; up && up->bus == &pci_bus; up = up->parent)
        pci_change16(pci_device_of(up), PCI_COMMAND, 0,
                     PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
}

int pci_enable(struct pci_device *p)
{
    u16 decode = 0;
    int err;

    for (unsigned i = 0; i < PCI_BARS; i++) {
        const struct resource *res = &p->res[i];

        if (!res->size)
            continue;
        if (res->flags & RES_UNSET)
            return -ENXIO;
        decode |= res->flags & RES_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEM;
    }
    if (p->enabled) {
        p->enabled++;
        return 0;
    }
    err = pci_power_up(p);
    if (err)
        return err;
    pci_open_bridges(p);
    pci_change16(p, PCI_COMMAND, 0, decode);
    p->enabled = 1;
    return 0;
}

/* Firmware's decoding stays: a screen goes on. What it must not do unasked is write memory. */
void pci_disable(struct pci_device *p)
{
    if (p->enabled && --p->enabled == 0)
        pci_set_master(p, false);
}

void pci_set_master(struct pci_device *p, bool on)
{
    pci_change16(p, PCI_COMMAND, on ? 0 : PCI_COMMAND_MASTER, on ? PCI_COMMAND_MASTER : 0);
}

/* ------------------------------------------------------------- reset */

#define FLR_WAIT (100 * NSEC_PER_MSEC)
#define FLR_TRIES 20
#define CONFIG_SAVED 16 /* 32-bit registers: the header */

static unsigned pci_af_cap(struct pci_device *p)
{
    unsigned at = pci_find_cap(p, PCI_CAP_AF, 0);

    return at && (pci_read8(p, at + PCI_AF_CAPS) & (PCI_AF_FLR | PCI_AF_TP)) ==
                       (PCI_AF_FLR | PCI_AF_TP)
               ? at
               : 0;
}

static bool pci_transactions_pending(struct pci_device *p, unsigned af)
{
    return af ? pci_read8(p, af + PCI_AF_STATUS) & PCI_AF_PENDING
              : pci_read16(p, p->express + PCI_EXP_DEVICE_STATUS) & PCI_EXP_PENDING;
}

static void pci_reset_start(struct pci_device *p, unsigned af)
{
    pci_set_master(p, false);
    for (unsigned i = 0; i < FLR_TRIES && pci_transactions_pending(p, af); i++)
        pci_sleep(FLR_WAIT / FLR_TRIES);
    if (af)
        pci_write8(p, af + PCI_AF_CONTROL, PCI_AF_FLR_START);
    else
        pci_change16(p, p->express + PCI_EXP_DEVICE_CONTROL, 0, PCI_EXP_FLR_START);
    pci_sleep(FLR_WAIT);
}

/* It answers again, with its own number. */
static bool pci_reset_done(struct pci_device *p)
{
    for (unsigned i = 0; i < FLR_TRIES; i++) {
        if (pci_read16(p, PCI_VENDOR) == p->vendor)
            return true;
        pci_sleep(FLR_WAIT / 2);
    }
    return false;
}

int pci_reset(struct pci_device *p)
{
    bool express = p->express && pci_read32(p, p->express + PCI_EXP_DEVICE_CAPS) & PCI_EXP_FLR;
    unsigned af = express ? 0 : pci_af_cap(p);
    u32 saved[CONFIG_SAVED];

    if (p->irqs)
        return -EBUSY;
    if (!express && !af)
        return -EOPNOTSUPP;
    for (unsigned i = 0; i < CONFIG_SAVED; i++)
        saved[i] = pci_read32(p, i * 4);
    pci_reset_start(p, af);
    if (!pci_reset_done(p))
        return -EIO;
    for (unsigned i = CONFIG_SAVED;
         i-- > 0;) /* the command last: PCI_COMMAND is the lowest written */
        if (i * 4 >= PCI_COMMAND && i * 4 != PCI_CLASS)
            pci_write32(p, i * 4, i * 4 == PCI_COMMAND ? saved[i] & 0xffff : saved[i]);
    log_info("%s: reset", p->dev.name);
    return 0;
}

/* ------------------------------------------------------------- BARs */

int pci_map_bar_range(struct pci_device *p, unsigned index, u64 offset, u64 size,
                      enum io_cache cache, struct io_region *out)
{
    const struct resource *res = index < PCI_BARS ? &p->res[index] : NULL;

    if (!res || !res->size || !(res->flags & RES_MEM) || res->flags & RES_UNSET)
        return -ENXIO;
    if (!size || offset > res->size || size > res->size - offset)
        return -EINVAL;
    return io_map(res->start + offset, size, cache, out);
}

int pci_map_bar(struct pci_device *p, unsigned index, enum io_cache cache, struct io_region *out)
{
    return pci_map_bar_range(p, index, 0, index < PCI_BARS ? p->res[index].size : 0, cache, out);
}

/* ------------------------------------------------------------- the bus */

static bool pci_id_is(u32 wanted, u32 is)
{
    return wanted == ID_ANY || wanted == is;
}

static bool pci_match(const struct device *dev, const struct device_id *id)
{
    const struct pci_device *p = pci_device_of((struct device *)dev);

    return pci_id_is(id->vendor, p->vendor) && pci_id_is(id->device, p->device) &&
           pci_id_is(id->sub_vendor, p->sub_vendor) && pci_id_is(id->sub_device, p->sub_device) &&
           !((id->class ^ p->class) & id->class_mask);
}

/* What the driver has left on. */
static void pci_finish(struct device *dev)
{
    struct pci_device *p = pci_device_of(dev);

    pci_irq_teardown(p);
    while (p->enabled)
        pci_disable(p);
    pci_set_master(p, false);
}

static ssize_t pci_modalias(const struct device *dev, char *buf, size_t size)
{
    const struct pci_device *p = pci_device_of((struct device *)dev);

    return snprintf(buf, size, "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X", p->vendor, p->device,
                    p->sub_vendor, p->sub_device, p->class >> 16, p->class >> 8 & 0xff,
                    p->class & 0xff);
}

static bool pci_counts(const struct device *d, u8 base)
{
    return d->bus == &pci_bus && pci_device_of((struct device *)d)->class >> 16 == base &&
           device_is_wanted(d);
}

u32 pci_class_rank(const struct device *dev, u8 base, u32 other)
{
    struct device *d;
    u64 serial = 0;
    u32 rank = 0;

    while (dev && dev->bus != &pci_bus)
        dev = dev->parent;
    if (!dev)
        return other;
    while ((d = device_next(serial)) && d->serial < dev->serial) {
        serial = d->serial;
        rank += pci_counts(d, base);
        device_put(d);
    }
    if (d)
        device_put(d);
    return rank;
}

const struct bus pci_bus = {
    .name = "pci",
    .match = pci_match,
    .finish = pci_finish,
    .modalias = pci_modalias,
    .irq_at = pci_irq_at,
    .attrs = pci_attrs,
    .nr_attrs = PCI_NR_ATTRS,
};
BUS(pci) = {&pci_bus};
