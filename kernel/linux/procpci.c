/* SPDX-License-Identifier: MIT
 *
 * /proc/bus/pci/devices: a line for each function, in Linux's columns: bus and number, ids, line,
 * seven base addresses with their low bits as in the registers, seven sizes, driver.
 */
#include "dev/pci.h"
#include "proc/procfs.h"

static u64 procpci_base(const struct pci_device *p, unsigned i)
{
    const struct resource *res = &p->res[i];

    if (!res->size || res->flags & RES_UNSET)
        return 0;
    if (res->flags & RES_IO)
        return res->start | PCI_BAR_IO;
    if (i == PCI_BAR_ROM)
        return res->start;
    return res->start | (res->flags & RES_PREFETCH ? PCI_BAR_PREFETCH : 0) |
           (res->flags & RES_64 ? PCI_BAR_TYPE_64 : 0);
}

static void procpci_line(struct pci_device *p, struct seq *out)
{
    const struct driver *drv = device_driver(&p->dev);

    seq_printf(out, "%04x\t%04x%04x\t%x", p->bdf.v, p->vendor, p->device,
               p->int_pin && p->int_line != 0xff ? p->int_line : 0);
    for (unsigned i = 0; i < PCI_RESOURCES; i++)
        seq_printf(out, "\t%16lx", procpci_base(p, i));
    for (unsigned i = 0; i < PCI_RESOURCES; i++)
        seq_printf(out, "\t%16lx", p->res[i].size);
    seq_printf(out, "\t%s\n", drv ? drv->name : "");
}

static int procpci_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct device *dev, *next;

    for (dev = device_next(0); dev; dev = next) {
        if (dev->bus == &pci_bus)
            procpci_line(pci_device_of(dev), out);
        next = device_next(dev->serial);
        device_put(dev);
    }
    return 0;
}

static const struct pseudo_ops procpci_ops = {.show = procpci_show};
PSEUDO_FILE(bus_pci) = {"proc", "bus/pci/devices", 0444, &procpci_ops, NULL};
