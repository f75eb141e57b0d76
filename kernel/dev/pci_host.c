/* SPDX-License-Identifier: MIT
 *
 * Roots of PCI: where configuration space is, and finding what is there. A root is a device whose
 * driver's probe is the scan, so that it runs in a thread like all probes.
 *
 * ECAM (PCI Firmware Specification 3.2, 4.1.2: the MCFG table) gives each function 4096 bytes; a
 * bus is mapped when it is first used. Ports 0xcf8 and 0xcfc (Local Bus Specification 3.2.2.3.2)
 * reach 256, under pci_port_lock, a leaf.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/regs.h"
#include "dev/pci_priv.h"
#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"

#define PORT_ADDRESS 0xcf8
#define PORT_DATA 0xcfc
#define PORT_ENABLE 0x80000000U
#define ECAM_BUS_SIZE (1UL << 20)
#define HOSTS_MAX 16

struct mcfg_entry {
    u64 base;
    u16 segment;
    u8 first, last;
    u32 reserved;
} __packed;
#define MCFG_HEADER 44
#define ACPI_LENGTH_AT 4

static struct spinlock pci_port_lock = SPINLOCK_INIT(RANK_DEV, 1, "pci ports");

/* ------------------------------------------------------------- access */

static u32 pci_port_read(void *arg, bdf_t bdf, unsigned reg, unsigned width)
{
    u16 data = (u16)(PORT_DATA + (reg & 3));
    u64 flags;
    u32 v;

    if (reg >= PCI_CONFIG_SIZE)
        return ~0U;
    spin_lock_irqsave(&pci_port_lock, &flags);
    outl(PORT_ADDRESS, PORT_ENABLE | (u32)bdf.v << 8 | (reg & 0xfc));
    v = width == 1 ? inb(data) : width == 2 ? inw(data) : inl(data);
    spin_unlock_irqrestore(&pci_port_lock, flags);
    return v;
}

static void pci_port_write(void *arg, bdf_t bdf, unsigned reg, unsigned width, u32 value)
{
    u16 data = (u16)(PORT_DATA + (reg & 3));
    u64 flags;

    if (reg >= PCI_CONFIG_SIZE)
        return;
    spin_lock_irqsave(&pci_port_lock, &flags);
    outl(PORT_ADDRESS, PORT_ENABLE | (u32)bdf.v << 8 | (reg & 0xfc));
    if (width == 1)
        outb(data, (u8)value);
    else if (width == 2)
        outw(data, (u16)value);
    else
        outl(data, value);
    spin_unlock_irqrestore(&pci_port_lock, flags);
}

static const struct pci_config_ops pci_port_ops = {pci_port_read, pci_port_write};

/* The registers of a bus; two that map it at once agree on one of the two. */
static volatile u8 *pci_ecam_bus(struct pci_host *host, unsigned bus)
{
    volatile u8 *base = load_acquire(&host->buses[bus]), *seen = NULL;

    if (likely(base))
        return base;
    if (bus < host->config.bus_first || bus > host->config.bus_last)
        return NULL;
    base = mmio_map(HPA(host->ecam + bus * ECAM_BUS_SIZE), ECAM_BUS_SIZE);
    if (base && !__atomic_compare_exchange_n(&host->buses[bus], &seen, base, false,
                                             __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        mmio_unmap((void *)base, ECAM_BUS_SIZE);
        base = seen;
    }
    return base;
}

static volatile u8 *pci_ecam_at(void *arg, bdf_t bdf, unsigned reg)
{
    volatile u8 *bus = reg < PCI_CONFIG_SIZE_EXTENDED ? pci_ecam_bus(arg, bdf_bus(bdf)) : NULL;

    return bus ? bus + ((bdf.v & 0xffU) << 12) + reg : NULL;
}

static u32 pci_ecam_read(void *arg, bdf_t bdf, unsigned reg, unsigned width)
{
    const volatile u8 *at;

    if (((struct pci_host *)arg)->ports && reg < PCI_CONFIG_SIZE)
        return pci_port_read(arg, bdf, reg, width);
    at = pci_ecam_at(arg, bdf, reg);
    if (!at)
        return ~0U;
    return width == 1 ? *at : width == 2 ? *(const volatile u16 *)at : *(const volatile u32 *)at;
}

static void pci_ecam_write(void *arg, bdf_t bdf, unsigned reg, unsigned width, u32 value)
{
    volatile u8 *at;

    if (((struct pci_host *)arg)->ports && reg < PCI_CONFIG_SIZE) {
        pci_port_write(arg, bdf, reg, width, value);
        return;
    }
    at = pci_ecam_at(arg, bdf, reg);
    if (!at)
        return;
    if (width == 1)
        *at = (u8)value;
    else if (width == 2)
        *(volatile u16 *)at = (u16)value;
    else
        *(volatile u32 *)at = value;
}

static const struct pci_config_ops pci_ecam_ops = {pci_ecam_read, pci_ecam_write};

/* ------------------------------------------------------------- the scan */

static void pci_device_release(struct device *dev)
{
    kfree(pci_device_of(dev));
}

static void pci_fill_resources(struct pci_device *p)
{
    struct pci_bar bars[PCI_RESOURCES];

    /* A host bridge may decode memory by its BARs always: it is not asked. */
    if (p->class == PCI_CLASS_BRIDGE_HOST)
        return;
    pci_config_bars(&p->host->config, p->bdf, p->header, bars);
    for (unsigned i = 0; i < PCI_RESOURCES; i++) {
        const struct pci_bar *bar = &bars[i];

        p->res[i] = (struct resource){.start = bar->base, .size = bar->size};
        p->res[i].flags = (bar->io ? RES_IO : RES_MEM) | (bar->prefetch ? RES_PREFETCH : 0) |
                          (bar->wide ? RES_64 : 0) | (bar->base ? 0 : RES_UNSET);
        if (!bar->size)
            p->res[i] = (struct resource){.size = 0};
    }
}

static void pci_fill(struct pci_device *p, const struct pci_found *f)
{
    p->vendor = f->vendor;
    p->device = f->device;
    p->class = f->class;
    p->revision = f->revision;
    p->header = f->header;
    p->secondary = f->secondary;
    if (f->header == PCI_HEADER_NORMAL) {
        p->sub_vendor = pci_read16(p, PCI_SUB_VENDOR);
        p->sub_device = pci_read16(p, PCI_SUB_DEVICE);
    }
    p->int_line = pci_read8(p, PCI_INT_LINE);
    p->int_pin = pci_read8(p, PCI_INT_PIN);
    p->express = (u8)pci_find_cap(p, PCI_CAP_EXPRESS, 0);
    p->msi = (u8)pci_find_cap(p, PCI_CAP_MSI, 0);
    p->msix = (u8)pci_find_cap(p, PCI_CAP_MSIX, 0);
    p->pm = (u8)pci_find_cap(p, PCI_CAP_PM, 0);
    pci_fill_resources(p);
    if (f->header == PCI_HEADER_BRIDGE)
        pci_config_windows(&p->host->config, p->bdf, p->windows);
    p->dev.resources = p->res;
    p->dev.nr_resources = PCI_RESOURCES;
    pci_irq_init(p);
}

/* Capacity for one more; the array grows by doubling. */
static bool pci_found_grow(struct pci_host *host)
{
    struct pci_device **grown;

    if (host->nr_found & (host->nr_found - 1) || host->nr_found == 1)
        return true;
    grown = krealloc(host->found, MAX(host->nr_found * 2, 2U) * sizeof(*grown));
    if (grown)
        host->found = grown;
    return grown != NULL;
}

static int pci_found(void *arg, const struct pci_found *f)
{
    struct pci_host *host = arg;
    struct pci_device *p = kzalloc(sizeof(*p));

    if (!p || !pci_found_grow(host)) {
        kfree(p);
        return -ENOMEM;
    }
    device_init(&p->dev, &pci_bus, f->bridge < 0 ? &host->dev : &host->found[f->bridge]->dev,
                pci_device_release);
    snprintf(p->dev.name, sizeof(p->dev.name), "%04x:%02x:%02x.%u", host->segment, bdf_bus(f->bdf),
             bdf_dev(f->bdf), bdf_fn(f->bdf));
    p->host = host;
    p->bdf = f->bdf;
    pci_fill(p, f);
    host->found[host->nr_found] = p;
    return (int)host->nr_found++;
}

static void pci_register_all(struct pci_host *host)
{
    for (unsigned i = 0; i < host->nr_found; i++) {
        struct pci_device *p = host->found[i];
        int err = device_register(&p->dev);

        if (err) {
            log_warn("pci: %s: error %d", p->dev.name, -err);
            device_put(&p->dev);
        }
    }
    kfree(host->found);
    host->found = NULL;
}

static int pci_host_probe(struct device *dev, const struct device_id *id)
{
    struct pci_host *host = container_of(dev, struct pci_host, dev);
    struct pci_scan scan = {.found = pci_found, .arg = host};
    int err = pci_config_scan(&host->config, &scan, host->config.bus_first);

    if (err)
        log_warn("pci: the scan ended early: error %d", -err);
    pci_places_assign(host);
    log_info("pci: %u functions, by %s", host->nr_found,
             !host->ecam    ? "ports"
             : !host->ports ? "ECAM"
                            : "ports and ECAM");
    pci_register_all(host);
    host->nr_found = 0;
    return 0;
}

/* Its children are gone by now. */
static void pci_host_remove(struct device *dev)
{
}

static bool pci_root_match(const struct device *dev, const struct device_id *id)
{
    return true;
}

static const struct bus pci_root_bus = {.name = "pci_root", .match = pci_root_match};
BUS(pci_root) = {&pci_root_bus};
static const struct device_id pci_root_ids[] = {{.name = "root"}};
DRIVER(pci_root)
= {
    .name = "pci_root",
    .bus = &pci_root_bus,
    DRIVER_IDS(pci_root_ids),
    .probe = pci_host_probe,
    .remove = pci_host_remove,
};

/* ------------------------------------------------------------- roots */

static void pci_host_release(struct device *dev)
{
    kfree(container_of(dev, struct pci_host, dev));
}

static void pci_host_add(u16 segment, u8 first, u8 last, u64 ecam, bool ports)
{
    struct pci_host *host = kzalloc(sizeof(*host));

    if (!host) {
        log_err("pci: no memory");
        return;
    }
    device_init(&host->dev, &pci_root_bus, NULL, pci_host_release);
    snprintf(host->dev.name, sizeof(host->dev.name), "pci%04x:%02x", segment, first);
    host->segment = segment;
    host->ecam = ecam;
    host->ports = ports;
    host->config = (struct pci_config){
        .ops = ecam ? &pci_ecam_ops : &pci_port_ops,
        .arg = host,
        .bus_first = first,
        .bus_last = last,
        .extended = ecam != 0,
    };
    if (device_register(&host->dev) != 0)
        device_put(&host->dev); /* the table names a segment's bus twice */
}

/* Below the processors' physical addresses, and not memory: else the table is wrong. */
static bool pci_mcfg_usable(const struct mcfg_entry *e)
{
    u64 end = e->base + ((u64)e->last + 1) * ECAM_BUS_SIZE;

    return e->base && e->base % ECAM_BUS_SIZE == 0 && e->first <= e->last && end > e->base &&
           end <= 1UL << 52 && !hpa_is_ram(HPA(e->base)) && !hpa_is_ram(HPA(end - 1));
}

static unsigned pci_add_mcfg(bool ports)
{
    const u8 *table = acpi_table("MCFG");
    struct mcfg_entry e;
    unsigned n = 0;
    u32 length;

    if (!table)
        return 0;
    memcpy(&length, table + ACPI_LENGTH_AT, sizeof(length));
    for (u32 at = MCFG_HEADER; at + sizeof(e) <= length && n < HOSTS_MAX; at += sizeof(e)) {
        memcpy(&e, table + at, sizeof(e));
        if (!pci_mcfg_usable(&e))
            continue;
        pci_host_add(e.segment, e.first, e.last, e.base, ports && e.segment == 0);
        n++;
    }
    return n;
}

/* The address register keeps what it is given; without PCI, ports read as ones. */
static bool pci_ports_there(void)
{
    u32 old = inl(PORT_ADDRESS);
    bool there;

    if (old == ~0U)
        return false;
    outl(PORT_ADDRESS, PORT_ENABLE);
    there = inl(PORT_ADDRESS) == PORT_ENABLE;
    outl(PORT_ADDRESS, old);
    return there;
}

static void pci_start(void)
{
    bool ports = pci_ports_there();

    if (!pci_add_mcfg(ports) && ports)
        pci_host_add(0, 0, 0xff, 0, true);
}
INIT_HOOK(pci_start, INIT_DRIVER);
