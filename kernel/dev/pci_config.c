/* SPDX-License-Identifier: MIT
 *
 * Configuration space, read with distrust (pci_config.h). PCI Local Bus Specification 3.0: 6.1
 * (headers), 6.2.5 (base addresses), 6.7 (capabilities); PCI-to-PCI Bridge Architecture 1.2: 3.2.5;
 * PCI Express Base 3.0: 7.9.1 (extended capabilities), 7.8.2 (kinds of port).
 */
#include "dev/pci_config.h"

#include "lib/compiler.h"
#include "lib/errno.h"

static u8 config8(const struct pci_config *c, bdf_t bdf, unsigned reg)
{
    return (u8)pci_config_read(c, bdf, reg, 1);
}

static u16 config16(const struct pci_config *c, bdf_t bdf, unsigned reg)
{
    return (u16)pci_config_read(c, bdf, reg, 2);
}

static u32 config32(const struct pci_config *c, bdf_t bdf, unsigned reg)
{
    return pci_config_read(c, bdf, reg, 4);
}

static bool mark_once(u64 *bits, unsigned n)
{
    u64 bit = 1ULL << (n & 63), *word = &bits[n >> 6];
    bool fresh = !(*word & bit);

    *word |= bit;
    return fresh;
}

static bool is_marked(const u64 *bits, unsigned n)
{
    return bits[n >> 6] >> (n & 63) & 1;
}

/* ------------------------------------------------------------- capabilities */

unsigned pci_config_cap(const struct pci_config *c, bdf_t bdf, u8 id, unsigned nth)
{
    u64 seen = 0; /* a bit for each place; a list that comes back to one ends */
    unsigned at;

    if (!(config16(c, bdf, PCI_STATUS) & PCI_STATUS_CAPABILITIES))
        return 0;
    at = config8(c, bdf, PCI_CAPABILITIES) & ~3U;
    while (at >= 0x40 && mark_once(&seen, at / 4)) {
        u8 kind = config8(c, bdf, at);

        if (kind == 0xff) /* it has gone */
            return 0;
        if (kind == id && nth-- == 0)
            return at;
        at = config8(c, bdf, at + 1) & ~3U;
    }
    return 0;
}

unsigned pci_config_ext_cap(const struct pci_config *c, bdf_t bdf, u16 id, unsigned nth)
{
    u64 seen[PCI_CONFIG_SIZE_EXTENDED / 4 / 64] = {0};
    unsigned at = PCI_CONFIG_SIZE;

    if (!c->extended)
        return 0;
    while (at >= PCI_CONFIG_SIZE && mark_once(seen, at / 4)) {
        u32 header = config32(c, bdf, at);

        if (header == 0 || header == ~0U)
            return 0;
        if ((u16)header == id && nth-- == 0)
            return at;
        at = header >> 20 & ~3U;
    }
    return 0;
}

/* ------------------------------------------------------------- BARs */

/* What the register keeps of ones; it has its old value again afterwards. */
static u32 bar_probe(const struct pci_config *c, bdf_t bdf, unsigned reg, u32 ones, u32 *old)
{
    u32 kept;

    *old = config32(c, bdf, reg);
    pci_config_write(c, bdf, reg, 4, ones);
    kept = config32(c, bdf, reg);
    pci_config_write(c, bdf, reg, 4, *old);
    return kept;
}

static u64 lowest_bit(u64 v)
{
    return v & -v;
}

static void bar_io(u32 old, u32 kept, struct pci_bar *bar)
{
    bar->io = true;
    bar->size = lowest_bit(kept & PCI_BAR_IO_MASK);
    bar->base = old & PCI_BAR_IO_MASK;
    if (bar->size > 0x10000)
        bar->size = 0;
}

/* Returns how many registers it takes. */
static unsigned bar_read(const struct pci_config *c, bdf_t bdf, unsigned reg, bool paired,
                         struct pci_bar *bar)
{
    u32 old, kept = bar_probe(c, bdf, reg, ~0U, &old);
    u32 old_high = 0, kept_high = 0;

    *bar = (struct pci_bar){0};
    if (kept == 0 || kept == ~0U)
        return 1;
    if (kept & PCI_BAR_IO) {
        bar_io(old, kept, bar);
        return 1;
    }
    bar->prefetch = kept & PCI_BAR_PREFETCH;
    bar->wide = (kept & PCI_BAR_TYPE) == PCI_BAR_TYPE_64 && paired;
    if (bar->wide)
        kept_high = bar_probe(c, bdf, reg + 4, ~0U, &old_high);
    bar->base = (old & PCI_BAR_MEM_MASK) | (u64)old_high << 32;
    bar->size = lowest_bit((kept & PCI_BAR_MEM_MASK) | (u64)kept_high << 32);
    return bar->wide ? 2 : 1;
}

static unsigned bar_count(unsigned header)
{
    return header == PCI_HEADER_NORMAL ? PCI_BARS : header == PCI_HEADER_BRIDGE ? 2 : 0;
}

static unsigned rom_reg(unsigned header)
{
    return header == PCI_HEADER_BRIDGE ? PCI_BRIDGE_ROM : PCI_ROM;
}

static void rom_read(const struct pci_config *c, bdf_t bdf, unsigned header, struct pci_bar *bar)
{
    u32 old, kept = bar_probe(c, bdf, rom_reg(header), PCI_ROM_MASK, &old);

    *bar = (struct pci_bar){0};
    if (kept == ~0U || !(kept & PCI_ROM_MASK))
        return;
    bar->base = old & PCI_ROM_MASK;
    bar->size = lowest_bit(kept & PCI_ROM_MASK);
    bar->prefetch = true;
}

void pci_config_bars(const struct pci_config *c, bdf_t bdf, unsigned header,
                     struct pci_bar bars[PCI_RESOURCES])
{
    unsigned n = bar_count(header), command = config16(c, bdf, PCI_COMMAND);

    for (unsigned i = 0; i < PCI_RESOURCES; i++)
        bars[i] = (struct pci_bar){0};
    if (!n)
        return;
    pci_config_write(c, bdf, PCI_COMMAND, 2, command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEM));
    for (unsigned i = 0; i < n;)
        i += bar_read(c, bdf, PCI_BAR0 + i * 4, i + 1 < n, &bars[i]);
    rom_read(c, bdf, header, &bars[PCI_BAR_ROM]);
    pci_config_write(c, bdf, PCI_COMMAND, 2, command);
}

void pci_config_bar_set(const struct pci_config *c, bdf_t bdf, unsigned header, unsigned index,
                        const struct pci_bar *bar, u64 base)
{
    unsigned reg = index == PCI_BAR_ROM ? rom_reg(header) : PCI_BAR0 + index * 4;

    pci_config_write(c, bdf, reg, 4, (u32)base);
    if (bar->wide)
        pci_config_write(c, bdf, reg + 4, 4, (u32)(base >> 32));
}

/* ------------------------------------------------------------- bridges */

#define WINDOW_CLOSED ((struct pci_window){1, 0})

static struct pci_window window_io(const struct pci_config *c, bdf_t bdf)
{
    u32 base = config8(c, bdf, PCI_IO_BASE), limit = config8(c, bdf, PCI_IO_LIMIT);
    struct pci_window w = {(base & 0xf0) << 8, (limit & 0xf0) << 8 | 0xfff};

    if (!(base & 0xf0) && !(limit & 0xf0)) /* never set up, or there is none */
        return WINDOW_CLOSED;
    if ((base & 0xf) == PCI_IO_TYPE_32) {
        w.start |= (u64)config16(c, bdf, PCI_IO_BASE_HIGH) << 16;
        w.end |= (u64)config16(c, bdf, PCI_IO_LIMIT_HIGH) << 16;
    }
    return w;
}

static struct pci_window window_mem(u32 base, u32 limit)
{
    if (!(base & 0xfff0) && !(limit & 0xfff0))
        return WINDOW_CLOSED;
    return (struct pci_window){(u64)(base & 0xfff0) << 16, (u64)(limit & 0xfff0) << 16 | 0xfffff};
}

static struct pci_window window_prefetch(const struct pci_config *c, bdf_t bdf)
{
    u32 base = config16(c, bdf, PCI_PREFETCH_BASE), limit = config16(c, bdf, PCI_PREFETCH_LIMIT);
    struct pci_window w;
    u64 high_base = 0, high_limit = 0;

    if ((base & 0xf) == PCI_PREFETCH_TYPE_64) {
        high_base = (u64)config32(c, bdf, PCI_PREFETCH_BASE_HIGH) << 32;
        high_limit = (u64)config32(c, bdf, PCI_PREFETCH_LIMIT_HIGH) << 32;
    }
    if (!high_base && !high_limit)
        return window_mem(base, limit);
    w.start = (u64)(base & 0xfff0) << 16 | high_base;
    w.end = (u64)(limit & 0xfff0) << 16 | 0xfffff | high_limit;
    return w;
}

void pci_config_windows(const struct pci_config *c, bdf_t bdf,
                        struct pci_window windows[PCI_WINDOWS])
{
    windows[PCI_WINDOW_IO] = window_io(c, bdf);
    windows[PCI_WINDOW_MEM] =
        window_mem(config16(c, bdf, PCI_MEM_BASE), config16(c, bdf, PCI_MEM_LIMIT));
    windows[PCI_WINDOW_PREFETCH] = window_prefetch(c, bdf);
}

/* ------------------------------------------------------------- the scan */

/* A bus on the way down; the chain is at most PCI_DEPTH_MAX long. */
struct scan_bus {
    unsigned bus, last; /* its number; the highest of the buses behind it */
    int bridge;
    unsigned depth;
    bool single;      /* the far end of a link: device 0 alone */
    unsigned highest; /* number that is taken on it or behind it */
    u64 taken[4];     /* numbers of its bridges, with what they pass on */
    u64 postponed[4]; /* bridges without a number, by device and function */
};

static int scan_bus(const struct pci_config *c, struct pci_scan *scan, struct scan_bus *at);

/* A link's upstream end has one device behind it: the others would be its echo. */
static bool bridge_is_link(const struct pci_config *c, bdf_t bdf)
{
    unsigned at = pci_config_cap(c, bdf, PCI_CAP_EXPRESS, 0);
    unsigned kind = at ? config16(c, bdf, at + 2) >> 4 & 15 : 0;

    return kind == 4 || kind == 6; /* root port, downstream port of a switch */
}

static void take_buses(struct scan_bus *at, unsigned first, unsigned last)
{
    for (unsigned bus = first; bus <= last; bus++)
        (void)mark_once(at->taken, bus);
    at->highest = MAX(at->highest, last);
}

/* Firmware's numbers, if they make sense: behind the bridge's own bus, within what that one's
 * bridge passes on, and no other bridge's. */
static bool bridge_numbered(const struct pci_config *c, const struct scan_bus *at, bdf_t bdf,
                            unsigned *first, unsigned *last)
{
    *first = config8(c, bdf, PCI_SECONDARY_BUS);
    *last = config8(c, bdf, PCI_SUBORDINATE_BUS);
    if (config8(c, bdf, PCI_PRIMARY_BUS) != at->bus)
        return false;
    if (*first <= at->bus || *last < *first || *last > at->last)
        return false;
    for (unsigned bus = *first; bus <= *last; bus++)
        if (is_marked(at->taken, bus))
            return false;
    return true;
}

static bool bridge_write_numbers(const struct pci_config *c, bdf_t bdf, unsigned bus,
                                 unsigned first, unsigned last)
{
    u32 want = bus | first << 8 | last << 16;

    pci_config_write(c, bdf, PCI_PRIMARY_BUS, 4,
                     (config32(c, bdf, PCI_PRIMARY_BUS) & 0xff000000U) | want);
    return (config32(c, bdf, PCI_PRIMARY_BUS) & 0xffffffU) == want;
}

/* *highest: the largest number taken behind it. */
static int scan_behind(const struct pci_config *c, struct pci_scan *scan, const struct scan_bus *at,
                       bdf_t bdf, int token, unsigned first, unsigned last, unsigned *highest)
{
    struct scan_bus below = {
        .bus = first,
        .last = last,
        .bridge = token,
        .depth = at->depth + 1,
        .single = bridge_is_link(c, bdf),
        .highest = first,
    };
    int err = scan_bus(c, scan, &below);

    *highest = below.highest;
    return err;
}

/* A bridge that firmware left alone: the next free number, and all above it until it is known how
 * many are needed. */
static int scan_postponed(const struct pci_config *c, struct pci_scan *scan, struct scan_bus *at,
                          struct pci_found *f)
{
    unsigned first = at->highest + 1, last;
    bool open = first <= at->last && at->depth < PCI_DEPTH_MAX &&
                bridge_write_numbers(c, f->bdf, at->bus, first, at->last);
    int token, err;

    f->secondary = open ? (u8)first : 0;
    token = scan->found(scan->arg, f);
    if (token < 0 || !open)
        return MIN(token, 0);
    err = scan_behind(c, scan, at, f->bdf, token, first, at->last, &last);
    take_buses(at, first, last);
    /* a bridge that does not keep it passes on more than it needs: no harm */
    (void)bridge_write_numbers(c, f->bdf, at->bus, first, last);
    return err;
}

static void found_read(const struct pci_config *c, const struct scan_bus *at, bdf_t bdf,
                       struct pci_found *f)
{
    u32 id = config32(c, bdf, PCI_VENDOR), class = config32(c, bdf, PCI_CLASS);

    *f = (struct pci_found){
        .bdf = bdf,
        .bridge = at->bridge,
        .depth = at->depth,
        .vendor = (u16)id,
        .device = (u16)(id >> 16),
        .class = class >> 8,
        .revision = (u8) class,
        .header = config8(c, bdf, PCI_HEADER_TYPE) & PCI_HEADER_MASK,
    };
}

static int scan_function(const struct pci_config *c, struct pci_scan *scan, struct scan_bus *at,
                         bdf_t bdf)
{
    unsigned first = 0, last = 0;
    struct pci_found f;
    bool bridge;
    int token;

    if (scan->functions++ == PCI_FUNCTIONS_MAX)
        return -E2BIG;
    found_read(c, at, bdf, &f);
    bridge = f.header == PCI_HEADER_BRIDGE && at->depth < PCI_DEPTH_MAX;
    if (bridge && !bridge_numbered(c, at, bdf, &first, &last)) {
        (void)mark_once(at->postponed, bdf.v & 0xff);
        return 0;
    }
    f.secondary = (u8)first;
    token = scan->found(scan->arg, &f);
    if (token < 0 || !bridge)
        return MIN(token, 0);
    take_buses(at, first, last);
    return scan_behind(c, scan, at, bdf, token, first, last, &first);
}

static bool function_answers(const struct pci_config *c, bdf_t bdf)
{
    u16 vendor = config16(c, bdf, PCI_VENDOR);

    return vendor != 0xffff && vendor != 0 && vendor != 1; /* 1: not ready yet */
}

static int scan_device(const struct pci_config *c, struct pci_scan *scan, struct scan_bus *at,
                       unsigned dev)
{
    unsigned functions = 1;
    int err = 0;

    for (unsigned fn = 0; fn < functions && !err; fn++) {
        bdf_t bdf = BDF(at->bus, dev, fn);

        if (!function_answers(c, bdf)) {
            if (fn == 0)
                return 0;
            continue;
        }
        if (fn == 0 && config8(c, bdf, PCI_HEADER_TYPE) & PCI_HEADER_MULTI)
            functions = 8;
        err = scan_function(c, scan, at, bdf);
    }
    return err;
}

static int scan_bus(const struct pci_config *c, struct pci_scan *scan, struct scan_bus *at)
{
    int err = 0;

    if (!mark_once(scan->seen, at->bus))
        return 0;
    for (unsigned dev = 0; dev < (at->single ? 1 : 32) && !err; dev++)
        err = scan_device(c, scan, at, dev);
    for (unsigned i = 0; i < 256 && !err; i++) {
        struct pci_found f;

        if (!is_marked(at->postponed, i))
            continue;
        found_read(c, at, BDF(at->bus, i >> 3, i & 7), &f);
        err = scan_postponed(c, scan, at, &f);
    }
    return err;
}

int pci_config_scan(const struct pci_config *c, struct pci_scan *scan, unsigned first)
{
    struct scan_bus root = {.bus = first, .last = c->bus_last, .bridge = -1, .highest = first};

    return scan_bus(c, scan, &root);
}

/* ------------------------------------------------------------- places */

/* The range of used that [at, last] touches, or NULL. */
static const struct pci_window *place_taken(const struct pci_window *used, unsigned n, u64 at,
                                            u64 last)
{
    for (unsigned i = 0; i < n; i++)
        if (used[i].start <= used[i].end && at <= used[i].end && used[i].start <= last)
            return &used[i];
    return NULL;
}

bool pci_place(const struct pci_window *window, const struct pci_window *used, unsigned n, u64 size,
               u64 *out)
{
    u64 at = window->start;

    for (;;) { /* each turn leaves a used range behind for good */
        const struct pci_window *taken;
        u64 up;

        if (__builtin_add_overflow(at, size - 1, &up))
            return false;
        at = up & ~(size - 1);
        if (__builtin_add_overflow(at, size - 1, &up) || up > window->end)
            return false;
        taken = place_taken(used, n, at, up);
        if (!taken) {
            *out = at;
            return true;
        }
        if (__builtin_add_overflow(taken->end, 1, &at))
            return false;
    }
}
