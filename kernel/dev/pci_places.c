/* SPDX-License-Identifier: MIT
 *
 * Places for BARs that firmware left out: within the windows of the bridge above, or, on a root
 * bus, within what the memory map leaves free. It looks at all that was found, before anything is
 * used. What finds no place keeps RES_UNSET, and its driver's pci_enable says so.
 */
#include "arch/x86/bootinfo.h"
#include "dev/pci_priv.h"
#include "lib/log.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sched/thread.h"

#define PORTS_FROM 0x1000UL /* below it the board's own */
#define PORTS_END 0xffffUL
#define MEM_END 0xfebfffffUL   /* interrupt controllers and firmware come above */
#define MEM_ALIGN (16UL << 20) /* firmware keeps things right above memory */
#define MEM_LOW (1UL << 32)

/* Ranges of one kind that are taken. */
struct places {
    struct pci_window *used;
    unsigned n;
};

static void places_add(struct places *pl, u64 start, u64 size)
{
    if (size)
        pl->used[pl->n++] = (struct pci_window){start, start + size - 1};
}

static bool place_wanted(const struct resource *res)
{
    return res->size && res->flags & RES_UNSET;
}

/* BARs of that kind which have a place, on all buses: a window's own are within it. */
static void places_of_bars(struct places *pl, const struct pci_host *host, u32 kind)
{
    for (unsigned i = 0; i < host->nr_found; i++)
        for (unsigned b = 0; b < PCI_RESOURCES; b++) {
            const struct resource *res = &host->found[i]->res[b];

            if (res->flags & kind && !(res->flags & RES_UNSET))
                places_add(pl, res->start, res->size);
        }
}

/* Windows of the bridges beside p: what is behind them is not p's. */
static void places_of_bridges(struct places *pl, const struct pci_host *host,
                              const struct pci_device *p, u32 kind)
{
    for (unsigned i = 0; i < host->nr_found; i++) {
        const struct pci_device *other = host->found[i];

        if (other->header != PCI_HEADER_BRIDGE || other->dev.parent != p->dev.parent)
            continue;
        for (unsigned w = 0; w < PCI_WINDOWS; w++)
            if ((w == PCI_WINDOW_IO) == (kind == RES_IO) &&
                other->windows[w].start <= other->windows[w].end)
                places_add(pl, other->windows[w].start,
                           other->windows[w].end - other->windows[w].start + 1);
    }
}

/* What the loader's map lists, memory or not, and the configuration space. */
static void places_of_map(struct places *pl, const struct pci_host *host)
{
    for (unsigned i = 0; i < boot_info.nr_mem; i++)
        places_add(pl, boot_info.mem[i].start, boot_info.mem[i].end - boot_info.mem[i].start);
    if (host->ecam)
        places_add(pl, host->ecam, ((u64)host->config.bus_last + 1) << 20);
}

static u64 places_low_memory_end(void)
{
    u64 end = 0;

    for (unsigned i = 0; i < boot_info.nr_mem; i++)
        if (boot_info.mem[i].type == BOOT_MEM_RAM && boot_info.mem[i].end <= MEM_LOW)
            end = MAX(end, boot_info.mem[i].end);
    return ALIGN_UP(end, MEM_ALIGN);
}

/* Where res may lie: on a root bus what the machine leaves free, else a window of the bridge. */
static struct pci_window place_window(const struct pci_device *p, const struct resource *res)
{
    const struct pci_window *below, *prefetch;

    if (p->dev.parent->bus != &pci_bus && res->flags & RES_IO)
        return (struct pci_window){PORTS_FROM, PORTS_END};
    if (p->dev.parent->bus != &pci_bus)
        return (struct pci_window){places_low_memory_end(), MEM_END};
    below = pci_device_of(p->dev.parent)->windows;
    if (res->flags & RES_IO)
        return below[PCI_WINDOW_IO];
    prefetch = &below[PCI_WINDOW_PREFETCH];
    if (res->flags & RES_PREFETCH && prefetch->start < prefetch->end &&
        (res->flags & RES_64 || prefetch->end < MEM_LOW))
        return *prefetch;
    return below[PCI_WINDOW_MEM];
}

/* A free place for res, p's or what is behind it. */
static bool place_find(const struct pci_host *host, const struct pci_device *p,
                       const struct resource *res, struct places *pl, u64 *at)
{
    struct pci_window window = place_window(p, res);
    u32 kind = res->flags & (RES_IO | RES_MEM);

    pl->n = 0;
    places_of_bars(pl, host, kind);
    places_of_bridges(pl, host, p, kind);
    if (kind == RES_MEM)
        places_of_map(pl, host);
    return window.start <= window.end && pci_place(&window, pl->used, pl->n, res->size, at);
}

static void place_one(struct pci_host *host, struct pci_device *p, unsigned index,
                      struct places *pl)
{
    struct resource *res = &p->res[index];
    struct pci_bar bar = {.io = res->flags & RES_IO, .wide = res->flags & RES_64};
    u64 at;

    if (!place_find(host, p, res, pl, &at)) {
        log_warn("pci: %s: no place for %lu bytes of BAR %u", p->dev.name, res->size, index);
        return;
    }
    pci_change16(p, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEM, 0);
    pci_config_bar_set(&host->config, p->bdf, p->header, index, &bar, at);
    res->start = at;
    res->flags &= ~(u32)RES_UNSET;
}

/* ------------------------------------------------------------- windows */

#define WINDOW_LEAST (1UL << 20)

static bool place_is_behind(const struct pci_device *p, const struct pci_device *bridge)
{
    for (const struct device *up = p->dev.parent; up && up->bus == &pci_bus; up = up->parent)
        if (up == &bridge->dev)
            return true;
    return false;
}

/* Bytes of memory that are to find a place behind the bridge, as a power of two; 0: none. */
static u64 place_behind(const struct pci_host *host, const struct pci_device *bridge)
{
    u64 sum = 0, size = WINDOW_LEAST;

    for (unsigned i = 0; i < host->nr_found; i++)
        for (unsigned b = 0; b < PCI_BARS && place_is_behind(host->found[i], bridge); b++) {
            const struct resource *res = &host->found[i]->res[b];

            if (place_wanted(res) && res->flags & RES_MEM && res->size < MEM_LOW)
                sum += res->size;
        }
    while (size < sum)
        size *= 2;
    return sum ? size : 0;
}

/* A window that firmware left shut is opened for as much as is needed behind it. */
static void place_open_window(struct pci_host *host, struct pci_device *p, struct places *pl)
{
    struct resource want = {.size = place_behind(host, p), .flags = RES_MEM};
    struct pci_window *window = &p->windows[PCI_WINDOW_MEM];
    u64 at;

    if (!want.size || window->start <= window->end || !place_find(host, p, &want, pl, &at))
        return;
    *window = (struct pci_window){at, at + want.size - 1};
    pci_write16(p, PCI_MEM_BASE, (u16)(window->start >> 16));
    pci_write16(p, PCI_MEM_LIMIT, (u16)(window->end >> 16 & 0xfff0));
}

static bool places_wanted(const struct pci_host *host)
{
    for (unsigned i = 0; i < host->nr_found; i++)
        for (unsigned b = 0; b < PCI_BARS; b++)
            if (place_wanted(&host->found[i]->res[b]))
                return true;
    return false;
}

void pci_places_assign(struct pci_host *host)
{
    unsigned most = host->nr_found * (PCI_RESOURCES + PCI_WINDOWS) + BOOT_MEM_MAX + 1;
    struct places pl = {.used = NULL};

    if (!places_wanted(host))
        return;
    pl.used = kcalloc(most, sizeof(*pl.used));
    if (!pl.used)
        return;
    for (unsigned i = 0; i < host->nr_found; i++) /* bridges come before what is behind them */
        if (host->found[i]->header == PCI_HEADER_BRIDGE)
            place_open_window(host, host->found[i], &pl);
    for (unsigned i = 0; i < host->nr_found; i++)
        for (unsigned b = 0; b < PCI_BARS; b++)
            if (place_wanted(&host->found[i]->res[b])) {
                place_one(host, host->found[i], b, &pl);
                cond_yield();
            }
    kfree(pl.used);
}
