/* SPDX-License-Identifier: MIT
 *
 * What /sys/bus/pci/devices shows of a device, as Linux has it (Documentation/ABI/testing/
 * sysfs-bus-pci, and what pciutils reads); and the console's command.
 */
#include "dev/pci_priv.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"

/* Flags of a resource, in Linux's numbers. */
enum {
    LINUX_IO = 0x100,
    LINUX_MEM = 0x200,
    LINUX_PREFETCH = 0x2000,
    LINUX_READONLY = 0x4000,
    LINUX_SIZEALIGN = 0x40000,
    LINUX_MEM_64 = 0x100000,
};
#define LINUX_RESOURCES 13 /* BARs, ROM, six of virtual functions */

#define PCI_SHOW(field, format, value)                                          \
    static ssize_t pci_show_##field(struct device *dev, char *buf, size_t size) \
    {                                                                           \
        struct pci_device *p = pci_device_of(dev);                              \
                                                                                \
        return scnprintf(buf, size, format "\n", value);                        \
    }
PCI_SHOW(vendor, "0x%04x", p->vendor)
PCI_SHOW(device, "0x%04x", p->device)
PCI_SHOW(sub_vendor, "0x%04x", p->sub_vendor)
PCI_SHOW(sub_device, "0x%04x", p->sub_device)
PCI_SHOW(class, "0x%06x", p->class)
PCI_SHOW(revision, "0x%02x", p->revision)
PCI_SHOW(enable, "%u", READ_ONCE(p->enabled))
PCI_SHOW(numa, "%d", p ? -1 : 0)
PCI_SHOW(dma_bits, "%d", 64 - (dev->dma_mask == ~0ULL ? 0 : __builtin_clzll(p->dev.dma_mask)))
PCI_SHOW(msi_bus, "%d", p != NULL)
PCI_SHOW(override, "%s", p ? "(null)" : "")

/* The first message in use, else the line. */
static ssize_t pci_show_irq(struct device *dev, char *buf, size_t size)
{
    struct pci_device *p = pci_device_of(dev);
    const char *kind;
    int irq = pci_irq_at(dev, 0, &kind);

    if (irq < 0)
        irq = p->int_pin && p->int_line != 0xff ? p->int_line : 0;
    return scnprintf(buf, size, "%d\n", irq);
}

static u32 pci_linux_flags(const struct pci_device *p, unsigned index)
{
    u32 flags = p->res[index].flags, out = LINUX_SIZEALIGN;

    if (flags & RES_IO)
        return out | LINUX_IO | PCI_BAR_IO;
    out |= LINUX_MEM;
    if (index == PCI_BAR_ROM)
        return out | LINUX_READONLY | LINUX_PREFETCH;
    if (flags & RES_PREFETCH)
        out |= LINUX_PREFETCH | PCI_BAR_PREFETCH;
    if (flags & RES_64)
        out |= LINUX_MEM_64 | PCI_BAR_TYPE_64;
    return out;
}

static size_t pci_show_range(char *buf, size_t size, u64 start, u64 end, u32 flags)
{
    return (size_t)scnprintf(buf, size, "0x%016lx 0x%016lx 0x%016lx\n", start, end, (u64)flags);
}

static u32 pci_window_flags(unsigned kind)
{
    return kind == PCI_WINDOW_IO    ? LINUX_IO | 1
           : kind == PCI_WINDOW_MEM ? LINUX_MEM
                                    : LINUX_MEM | LINUX_PREFETCH;
}

static ssize_t pci_show_resource(struct device *dev, char *buf, size_t size)
{
    struct pci_device *p = pci_device_of(dev);
    size_t n = 0;

    for (unsigned i = 0; i < LINUX_RESOURCES; i++) {
        const struct resource *res = i < PCI_RESOURCES ? &p->res[i] : NULL;

        if (res && res->size && !(res->flags & RES_UNSET))
            n += pci_show_range(buf + n, size - n, res->start, res->start + res->size - 1,
                                pci_linux_flags(p, i));
        else
            n += pci_show_range(buf + n, size - n, 0, 0, 0);
    }
    if (p->header != PCI_HEADER_BRIDGE)
        return (ssize_t)n;
    for (unsigned i = 0; i < PCI_WINDOWS; i++) {
        bool open = p->windows[i].start <= p->windows[i].end;

        n += pci_show_range(buf + n, size - n, open ? p->windows[i].start : 0,
                            open ? p->windows[i].end : 0, open ? pci_window_flags(i) : 0);
    }
    return (ssize_t)(n + pci_show_range(buf + n, size - n, 0, 0, 0));
}

static ssize_t pci_show_uevent(struct device *dev, char *buf, size_t size)
{
    struct pci_device *p = pci_device_of(dev);
    const struct driver *drv = device_driver(dev);
    char alias[64];

    (void)dev->bus->modalias(dev, alias, sizeof(alias));
    return scnprintf(buf, size,
                     "%s%s%sPCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\n"
                     "PCI_SLOT_NAME=%s\nMODALIAS=%s\n",
                     drv ? "DRIVER=" : "", drv ? drv->name : "", drv ? "\n" : "", p->class,
                     p->vendor, p->device, p->sub_vendor, p->sub_device, dev->name, alias);
}

static ssize_t pci_show_power(struct device *dev, char *buf, size_t size)
{
    struct pci_device *p = pci_device_of(dev);
    unsigned state = p->pm ? pci_read16(p, p->pm + PCI_PM_CONTROL) & PCI_PM_STATE : 0;

    if (state == PCI_PM_STATE)
        return scnprintf(buf, size, "D3hot\n");
    return scnprintf(buf, size, "D%u\n", state);
}

static ssize_t pci_store_enable(struct device *dev, const char *buf, size_t n, bool privileged)
{
    struct pci_device *p = pci_device_of(dev);
    int err = 0;

    if (!privileged)
        return -EPERM;
    if ((buf[0] != '0' && buf[0] != '1') || (buf[1] && buf[1] != '\n'))
        return -EINVAL;
    mutex_lock(&dev->lock);
    if (dev->driver)
        err = -EBUSY;
    else if (buf[0] == '1')
        err = pci_enable(p);
    else if (p->enabled)
        pci_disable(p);
    else
        err = -EIO;
    mutex_unlock(&dev->lock);
    return err ? err : (ssize_t)n;
}

/* ------------------------------------------------------------- configuration space */

#define CONFIG_PUBLIC 64 /* what others may see: reading further may do something */

/* The widest access that is aligned and within n bytes. */
static unsigned pci_config_width(u64 offset, size_t n)
{
    return offset % 4 == 0 && n >= 4 ? 4 : offset % 2 == 0 && n >= 2 ? 2 : 1;
}

static ssize_t pci_config_attr_read(struct device *dev, void *buf, size_t n, u64 offset,
                                    bool privileged)
{
    struct pci_device *p = pci_device_of(dev);
    u64 size = privileged ? pci_config_size(p) : CONFIG_PUBLIC;
    u8 *to = buf;

    if (offset >= size)
        return 0;
    n = MIN(n, (size_t)(size - offset));
    for (size_t done = 0; done < n;) {
        unsigned width = pci_config_width(offset + done, n - done);
        u32 v = pci_config_read(&p->host->config, p->bdf, (unsigned)(offset + done), width);

        memcpy(to + done, &v, width);
        done += width;
    }
    return (ssize_t)n;
}

static ssize_t pci_config_attr_write(struct device *dev, const void *buf, size_t n, u64 offset,
                                     bool privileged)
{
    struct pci_device *p = pci_device_of(dev);
    u64 size = pci_config_size(p);
    const u8 *from = buf;

    if (!privileged)
        return -EPERM;
    if (offset >= size)
        return 0;
    n = MIN(n, (size_t)(size - offset));
    for (size_t done = 0; done < n;) {
        unsigned width = pci_config_width(offset + done, n - done);
        u32 v = 0;

        memcpy(&v, from + done, width);
        pci_config_write(&p->host->config, p->bdf, (unsigned)(offset + done), width, v);
        done += width;
    }
    return (ssize_t)n;
}

const struct device_attr pci_attrs[PCI_NR_ATTRS] = {
    {.name = "vendor", .mode = 0444, .show = pci_show_vendor},
    {.name = "device", .mode = 0444, .show = pci_show_device},
    {.name = "subsystem_vendor", .mode = 0444, .show = pci_show_sub_vendor},
    {.name = "subsystem_device", .mode = 0444, .show = pci_show_sub_device},
    {.name = "class", .mode = 0444, .show = pci_show_class},
    {.name = "revision", .mode = 0444, .show = pci_show_revision},
    {.name = "irq", .mode = 0444, .show = pci_show_irq},
    {.name = "resource", .mode = 0444, .show = pci_show_resource},
    {.name = "enable", .mode = 0644, .show = pci_show_enable, .store = pci_store_enable},
    {.name = "numa_node", .mode = 0444, .show = pci_show_numa},
    {.name = "dma_mask_bits", .mode = 0444, .show = pci_show_dma_bits},
    {.name = "consistent_dma_mask_bits", .mode = 0444, .show = pci_show_dma_bits},
    {.name = "msi_bus", .mode = 0444, .show = pci_show_msi_bus},
    {.name = "driver_override", .mode = 0444, .show = pci_show_override},
    {.name = "power_state", .mode = 0444, .show = pci_show_power},
    {.name = "uevent", .mode = 0444, .show = pci_show_uevent},
    {.name = "config", .mode = 0644, .read = pci_config_attr_read, .write = pci_config_attr_write},
};

/* ------------------------------------------------------------- the console */

static void pci_emit(struct pci_device *p, void (*emit)(const char *fmt, ...))
{
    const struct driver *drv = device_driver(&p->dev);

    emit("%s %06x %04x:%04x rev %02x%s%s%s%s", p->dev.name, p->class, p->vendor, p->device,
         p->revision, p->msix ? " msi-x" : "", p->msi ? " msi" : "", drv ? " driver " : "",
         drv ? drv->name : "");
    if (p->secondary)
        emit(" bus %02x", p->secondary);
    emit("\n");
    for (unsigned i = 0; i < PCI_RESOURCES; i++) {
        const struct resource *res = &p->res[i];

        if (res->size)
            emit("    %s %u: %s%s %lx, %lx bytes%s\n", i == PCI_BAR_ROM ? "rom" : "bar", i,
                 res->flags & RES_IO ? "ports" : "memory", res->flags & RES_64 ? " 64" : "",
                 res->start, res->size, res->flags & RES_UNSET ? ", no place" : "");
    }
}

static int cmd_pci(int argc, char **argv, void (*emit)(const char *fmt, ...))
{
    struct device *dev, *next;

    for (dev = device_next(0); dev; dev = next) {
        if (dev->bus == &pci_bus)
            pci_emit(pci_device_of(dev), emit);
        next = device_next(dev->serial);
        device_put(dev);
    }
    return 0;
}
CONSOLE_CMD(pci)
= {"pci", "PCI functions, their BARs and drivers", cmd_pci, false};
