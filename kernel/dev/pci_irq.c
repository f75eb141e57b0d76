/* SPDX-License-Identifier: MIT
 *
 * Interrupts of PCI devices: MSI-X (a table in one of the BARs, an entry and a mask for each), MSI
 * (one message, in configuration space), or the pin (pci.h says what its line is).
 *
 * All under the device's lock but the message's write and mask, which irq.c calls with irq_lock
 * held; they touch registers only.
 */
#include "arch/x86/apic.h"
#include "dev/pci_priv.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"

enum pci_irq_kind { PCI_IRQ_MSIX, PCI_IRQ_MSI, PCI_IRQ_PIN };

struct pci_vector {
    struct pci_device *p;
    unsigned index;
    struct irq_handler *handler; /* NULL: not requested */
};

struct pci_irqs {
    enum pci_irq_kind kind;
    unsigned nr;
    struct io_region table; /* of MSI-X */
    struct pci_vector vectors[];
};

/* ------------------------------------------------------------- MSI-X */

static u64 pci_msix_entry(const struct pci_vector *v)
{
    return (u64)v->index * PCI_MSIX_ENTRY;
}

static void pci_msix_mask(void *arg, bool masked)
{
    const struct pci_vector *v = arg;
    const struct io_region *table = &v->p->irqs->table;
    u64 at = pci_msix_entry(v) + PCI_MSIX_ENTRY_CONTROL;

    io_write32(table, at, masked ? PCI_MSIX_ENTRY_MASKED : 0);
    io_flush(table, at);
}

static void pci_msix_write(void *arg, u64 address, u32 data)
{
    const struct pci_vector *v = arg;
    const struct io_region *table = &v->p->irqs->table;
    u64 at = pci_msix_entry(v);

    io_write32(table, at + PCI_MSIX_ENTRY_ADDRESS, (u32)address);
    io_write32(table, at + PCI_MSIX_ENTRY_ADDRESS_HIGH, (u32)(address >> 32));
    io_write32(table, at + PCI_MSIX_ENTRY_DATA, data);
    io_flush(table, at + PCI_MSIX_ENTRY_DATA);
}

static const struct irq_message_ops pci_msix_ops = {pci_msix_write, pci_msix_mask};

static unsigned pci_msix_count(struct pci_device *p)
{
    return p->msix ? (pci_read16(p, p->msix + PCI_MSIX_CONTROL) & PCI_MSIX_SIZE) + 1U : 0;
}

/* The table as the device says where it is: not within its BAR, there is no MSI-X. */
static int pci_msix_map(struct pci_device *p, unsigned count, struct io_region *out)
{
    u32 where = pci_read32(p, p->msix + PCI_MSIX_TABLE);

    return pci_map_bar_range(p, where & PCI_MSIX_BIR, where & ~PCI_MSIX_BIR,
                             (u64)count * PCI_MSIX_ENTRY, IO_UNCACHED, out);
}

/* On, with every entry masked. */
static int pci_msix_setup(struct pci_device *p, struct pci_irqs *irqs)
{
    unsigned count = pci_msix_count(p);
    int err = pci_msix_map(p, count, &irqs->table);

    if (err)
        return err;
    pci_change16(p, p->msix + PCI_MSIX_CONTROL, 0, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
    for (unsigned i = 0; i < count; i++)
        io_write32(&irqs->table, (u64)i * PCI_MSIX_ENTRY + PCI_MSIX_ENTRY_CONTROL,
                   PCI_MSIX_ENTRY_MASKED);
    io_flush(&irqs->table, 0);
    pci_change16(p, p->msix + PCI_MSIX_CONTROL, PCI_MSIX_MASK_ALL, 0);
    return 0;
}

/* ------------------------------------------------------------- MSI */

static u16 pci_msi_control(struct pci_device *p)
{
    return pci_read16(p, p->msi + PCI_MSI_CONTROL);
}

static void pci_msi_write(void *arg, u64 address, u32 data)
{
    struct pci_device *p = ((const struct pci_vector *)arg)->p;
    bool wide = pci_msi_control(p) & PCI_MSI_64;
    unsigned at = p->msi + PCI_MSI_ADDRESS;

    pci_write32(p, at, (u32)address);
    if (wide)
        pci_write32(p, at + 4, (u32)(address >> 32));
    pci_write16(p, at + (wide ? 8 : 4), (u16)data);
    (void)pci_read16(p, at); /* it has arrived */
}

static void pci_msi_mask(void *arg, bool masked)
{
    struct pci_device *p = ((const struct pci_vector *)arg)->p;
    unsigned at = p->msi + (pci_msi_control(p) & PCI_MSI_64 ? 16 : 12);

    pci_write32(p, at, (pci_read32(p, at) & ~1U) | masked);
    (void)pci_read32(p, at);
}

static const struct irq_message_ops pci_msi_ops = {pci_msi_write, pci_msi_mask};
static const struct irq_message_ops pci_msi_ops_no_mask = {pci_msi_write, NULL};

/* ------------------------------------------------------------- the pin */

/* From the line that firmware wrote down. PCI's lines are level, and low when active, unless the
 * firmware's table says else of this one. */
static int pci_pin_request(struct pci_device *p, struct irq_handler *handler)
{
    u32 gsi = p->int_line;
    bool level = false, active_low = true;

    if (gsi == 0 || gsi == 0xff)
        return -EINVAL;
    if (gsi < 16)
        acpi_isa_irq(gsi, &gsi, &level, &active_low);
    if (!level)
        active_low = true;
    return irq_request_gsi(gsi, true, active_low, handler);
}

/* ------------------------------------------------------------- for drivers */

void pci_irq_init(struct pci_device *p)
{
    if (p->msix)
        pci_change16(p, p->msix + PCI_MSIX_CONTROL, PCI_MSIX_ENABLE, 0);
    if (p->msi)
        pci_change16(p, p->msi + PCI_MSI_CONTROL, PCI_MSI_ENABLE | PCI_MSI_MULTIPLE_ENABLE, 0);
}

static int pci_irqs_make(struct pci_device *p, enum pci_irq_kind kind, unsigned nr)
{
    struct pci_irqs *irqs = kzalloc(sizeof(*irqs) + nr * sizeof(irqs->vectors[0]));
    int err;

    if (!irqs)
        return -ENOMEM;
    irqs->kind = kind;
    irqs->nr = nr;
    for (unsigned i = 0; i < nr; i++)
        irqs->vectors[i] = (struct pci_vector){.p = p, .index = i};
    err = kind == PCI_IRQ_MSIX ? pci_msix_setup(p, irqs) : 0;
    if (err) {
        kfree(irqs);
        return err;
    }
    pci_change16(p, PCI_COMMAND, 0, PCI_COMMAND_INTX_OFF);
    p->irqs = irqs;
    return (int)nr;
}

int pci_irq_setup(struct pci_device *p, unsigned min, unsigned max)
{
    unsigned count = pci_msix_count(p);
    int n = -ENOSPC;

    ASSERT(!p->irqs && min > 0 && min <= max);
    if (count >= min)
        n = pci_irqs_make(p, PCI_IRQ_MSIX, MIN(count, max));
    if (n > 0 || n == -ENOMEM)
        return n;
    if (min > 1)
        return -ENOSPC;
    if (p->msi)
        return pci_irqs_make(p, PCI_IRQ_MSI, 1);
    return p->int_pin ? pci_irqs_make(p, PCI_IRQ_PIN, 1) : -EINVAL;
}

int pci_irq_request(struct pci_device *p, unsigned index, struct irq_handler *handler, unsigned cpu)
{
    struct pci_irqs *irqs = p->irqs;
    struct pci_vector *v;
    int err;

    ASSERT(irqs && index < irqs->nr && !irqs->vectors[index].handler);
    v = &irqs->vectors[index];
    if (irqs->kind == PCI_IRQ_MSIX)
        err = irq_request_message(handler, cpu, &pci_msix_ops, v);
    else if (irqs->kind == PCI_IRQ_PIN)
        err = pci_pin_request(p, handler);
    else
        err = irq_request_message(
            handler, cpu,
            pci_msi_control(p) & PCI_MSI_MASKABLE ? &pci_msi_ops : &pci_msi_ops_no_mask, v);
    if (err)
        return err;
    v->handler = handler;
    if (irqs->kind == PCI_IRQ_MSI)
        pci_change16(p, p->msi + PCI_MSI_CONTROL, PCI_MSI_MULTIPLE_ENABLE, PCI_MSI_ENABLE);
    else if (irqs->kind == PCI_IRQ_PIN)
        pci_change16(p, PCI_COMMAND, PCI_COMMAND_INTX_OFF, 0);
    return 0;
}

void pci_irq_release(struct pci_device *p, unsigned index)
{
    struct pci_irqs *irqs = p->irqs;
    struct irq_handler *handler = irqs->vectors[index].handler;

    if (irqs->kind == PCI_IRQ_MSI)
        pci_change16(p, p->msi + PCI_MSI_CONTROL, PCI_MSI_ENABLE, 0);
    else if (irqs->kind == PCI_IRQ_PIN)
        pci_change16(p, PCI_COMMAND, 0, PCI_COMMAND_INTX_OFF);
    irq_release(handler);
    irqs->vectors[index].handler = NULL;
}

bool pci_irq_is_line(const struct pci_device *p)
{
    return p->irqs && p->irqs->kind == PCI_IRQ_PIN;
}

void pci_irq_teardown(struct pci_device *p)
{
    struct pci_irqs *irqs = p->irqs;

    if (!irqs)
        return;
    for (unsigned i = 0; i < irqs->nr; i++)
        ASSERT(!irqs->vectors[i].handler); /* it would run on after remove */
    pci_irq_init(p);
    if (irqs->kind == PCI_IRQ_MSIX)
        io_unmap(&irqs->table);
    p->irqs = NULL;
    kfree(irqs);
}

int pci_irq_at(struct device *dev, unsigned index, const char **kind)
{
    struct pci_device *p = pci_device_of(dev);
    int found = -ENOENT;

    if (!mutex_trylock(&dev->lock)) /* its probe or remove runs, for as long as it may take */
        return -ENOENT;
    for (unsigned i = 0; p->irqs && p->irqs->kind != PCI_IRQ_PIN && i < p->irqs->nr; i++) {
        if (!p->irqs->vectors[i].handler || index-- != 0)
            continue;
        found = (int)p->irqs->vectors[i].handler->irq;
        *kind = p->irqs->kind == PCI_IRQ_MSIX ? "msix" : "msi";
        break;
    }
    mutex_unlock(&dev->lock);
    return found;
}
