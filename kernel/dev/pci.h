/* SPDX-License-Identifier: MIT
 *
 * PCI: the bus, its devices, and what their drivers ask of it. Functions are reached through ports
 * 0xcf8 and 0xcfc, and beyond their first 256 bytes, or where there are no ports, through the MCFG
 * table's memory-mapped configuration space (ECAM); a machine that has neither has no PCI. They are
 * found in a thread, so PID 1 does not wait for them.
 *
 * A driver's probe: pci_enable, pci_map_bar, dma_set_mask, pci_irq_setup, pci_irq_request for each
 * interrupt, pci_set_master last. Its remove the other way round: quiet the device,
 * pci_irq_release, the rest is undone by the bus if the driver has not (mappings excepted: they are
 * the driver's).
 *
 * Interrupts: MSI-X, else MSI, else the pin. A pin's line needs the firmware's routing tables,
 * which are AML; what is used instead is the interrupt line register, which names the line that
 * firmware routed it to for the old interrupt controllers and which, where emulators are seen, and
 * wherever these lines reach the I/O APIC, is also the I/O APIC's. A device that has messages needs
 * none of this.
 *
 * Lock order: a device's config lock (spinlock, RANK_DEV) guards the registers that are changed bit
 * by bit and the address-data pair of ports; irq_lock may be held around it.
 */
#pragma once

#include "dev/device.h"
#include "dev/dma.h"
#include "dev/io.h"
#include "dev/irq.h"
#include "dev/pci_config.h"

extern const struct bus pci_bus;

#define PCI_ID(vendor_, device_)                                                             \
    {                                                                                        \
        .vendor = (vendor_), .device = (device_), .sub_vendor = ID_ANY, .sub_device = ID_ANY \
    }
/* By class: 24 bits, of which those in mask count. */
#define PCI_CLASS_ID(class_, mask_)                                                     \
    {                                                                                   \
        .vendor = ID_ANY, .device = ID_ANY, .sub_vendor = ID_ANY, .sub_device = ID_ANY, \
        .class = (class_), .class_mask = (mask_)                                        \
    }

#define PCI_BASE_NETWORK 2 /* the class's upper 8 bits */

struct pci_host;
struct pci_irqs;

/* I immutable once registered · m dev.lock */
struct pci_device {
    struct device dev;
    struct pci_host *host;                      /* I */
    bdf_t bdf;                                  /* I */
    u16 vendor, device, sub_vendor, sub_device; /* I */
    u32 class;                                  /* I  24 bits */
    u8 revision, header, int_line, int_pin;     /* I  pin 0: none; 1: INTA */
    u8 secondary;                               /* I  a bridge's bus */
    u8 msi, msix, pm, express;                  /* I  offsets of capabilities, 0: it has none */
    struct resource res[PCI_RESOURCES];         /* I  BARs by their index, and the ROM */
    struct pci_window windows[PCI_WINDOWS];     /* I  a bridge's */
    unsigned enabled;                           /* m  by driver and by /sys */
    struct pci_irqs *irqs;                      /* m  NULL: not set up */
};

static inline struct pci_device *pci_device_of(struct device *dev)
{
    return container_of(dev, struct pci_device, dev);
}

/* Configuration space; reg within 256 bytes, or 4096 where the device is PCI Express and ECAM is
 * there: beyond it ones are read and writes are dropped. irq-safe. */
u8 pci_read8(struct pci_device *p, unsigned reg);
u16 pci_read16(struct pci_device *p, unsigned reg);
u32 pci_read32(struct pci_device *p, unsigned reg);
void pci_write16(struct pci_device *p, unsigned reg, u16 v);
void pci_write32(struct pci_device *p, unsigned reg, u32 v);
unsigned pci_config_size(const struct pci_device *p);
/* Offset of the nth capability of that kind; 0: none. */
unsigned pci_find_cap(struct pci_device *p, u8 id, unsigned nth);
unsigned pci_find_ext_cap(struct pci_device *p, u16 id, unsigned nth);

/* Powers it up (D0) and lets it decode its BARs. -ENXIO: one of them has no place; -EIO: it does
 * not power up. Context of these and those below: probe and remove, may sleep. */
int pci_enable(struct pci_device *p) __must_check;
void pci_disable(struct pci_device *p);
/* Whether it may read and write memory by itself, messages included. */
void pci_set_master(struct pci_device *p, bool on);
/* Function-level reset: waits for what is under way, 100 ms at least; configuration space is as
 * before. -EOPNOTSUPP: it has none; -EIO: it does not come back. */
int pci_reset(struct pci_device *p) __must_check;

/* Maps BAR `index` whole, or `size` bytes from `offset` of it. -ENXIO: it has no such memory BAR;
 * -EINVAL: not within it; -ENOMEM. io_unmap gives it back. */
int pci_map_bar(struct pci_device *p, unsigned index, enum io_cache cache,
                struct io_region *out) __must_check;
/* How many devices of that base class which some driver wants were found before the one that dev is
 * or stands on: its place, whatever order probes end in. `other` where it is none of PCI's.
 * Context: may sleep; walks the machine's devices. */
u32 pci_class_rank(const struct device *dev, u8 base, u32 other);
/* As pci_map_bar: size bytes of it, from offset. */
int pci_map_bar_range(struct pci_device *p, unsigned index, u64 offset, u64 size,
                      enum io_cache cache, struct io_region *out) __must_check;

/* Prepares between min and max interrupts: as many as it has, MSI-X first; MSI and the pin are one.
 * How many; -ENOSPC: fewer than min; -EINVAL: it has none. They come once requested. */
int pci_irq_setup(struct pci_device *p, unsigned min, unsigned max) __must_check;
/* Interrupt `index` of those, to that CPU (ignored for the pin). The handler's fn must say whether
 * the device had asked where pci_irq_is_line(): others share it. */
int pci_irq_request(struct pci_device *p, unsigned index, struct irq_handler *handler,
                    unsigned cpu) __must_check;
void pci_irq_release(struct pci_device *p, unsigned index);
bool pci_irq_is_line(const struct pci_device *p);
/* All that were requested have been released. */
void pci_irq_teardown(struct pci_device *p);
