/* SPDX-License-Identifier: MIT
 *
 * What reads the foreign bytes of PCI configuration space: which functions there are, their
 * capabilities, the sizes of their BARs, what bridges pass on, and where what firmware left out
 * finds a place. A pure core: it knows no lock, no clock and no memory but what it is given, and
 * builds on the host (tests/unit/test_pci.c, tests/fuzz).
 *
 * Nothing here trusts what it reads: walks are bounded, offsets and bus numbers are checked, and
 * each bus is scanned once, so that a bridge that names its own bus, or another's, is left alone.
 */
#pragma once

#include "uapi/pci_regs.h"
#include "lib/types.h"

/* Bus, device and function. */
typedef struct {
    u16 v;
} bdf_t;
#define BDF(bus, dev, fn) ((bdf_t){(u16)((bus) << 8 | (dev) << 3 | (fn))})
static inline unsigned bdf_bus(bdf_t b)
{
    return b.v >> 8;
}
static inline unsigned bdf_dev(bdf_t b)
{
    return b.v >> 3 & 31;
}
static inline unsigned bdf_fn(bdf_t b)
{
    return b.v & 7;
}

/* width: 1, 2 or 4; reg is a multiple of it. What does not answer reads as ones. */
struct pci_config_ops {
    u32 (*read)(void *arg, bdf_t bdf, unsigned reg, unsigned width);
    void (*write)(void *arg, bdf_t bdf, unsigned reg, unsigned width, u32 value);
};
struct pci_config {
    const struct pci_config_ops *ops;
    void *arg;
    u8 bus_first, bus_last;
    bool extended; /* 4096 bytes a function, else 256 */
};

static inline u32 pci_config_read(const struct pci_config *c, bdf_t bdf, unsigned reg,
                                  unsigned width)
{
    return c->ops->read(c->arg, bdf, reg, width);
}
static inline void pci_config_write(const struct pci_config *c, bdf_t bdf, unsigned reg,
                                    unsigned width, u32 value)
{
    c->ops->write(c->arg, bdf, reg, width, value);
}

/* ---- capabilities ---- */

/* Offset of the nth (from 0) capability of that kind; 0: none. */
unsigned pci_config_cap(const struct pci_config *c, bdf_t bdf, u8 id, unsigned nth);
unsigned pci_config_ext_cap(const struct pci_config *c, bdf_t bdf, u16 id, unsigned nth);

/* ---- BARs ---- */

struct pci_bar {
    u64 base, size; /* size 0: there is none */
    bool io, prefetch, wide;
};
#define PCI_BARS 6
#define PCI_BAR_ROM 6 /* index of the expansion ROM */
#define PCI_RESOURCES 7

/* All BARs of a function, by writing ones to them while nothing is decoded; each register has its
 * old value afterwards. header: PCI_HEADER_*. The upper half of a 64-bit one is an entry of size 0.
 * The caller sees to it that the function is not in use. */
void pci_config_bars(const struct pci_config *c, bdf_t bdf, unsigned header,
                     struct pci_bar bars[PCI_RESOURCES]);
/* Gives a BAR its place, which fits its kind. Decoding must be off. */
void pci_config_bar_set(const struct pci_config *c, bdf_t bdf, unsigned header, unsigned index,
                        const struct pci_bar *bar, u64 base);

/* ---- bridges ---- */

/* [start, end], end inclusive; start > end: closed. */
struct pci_window {
    u64 start, end;
};
enum pci_window_kind { PCI_WINDOW_IO, PCI_WINDOW_MEM, PCI_WINDOW_PREFETCH, PCI_WINDOWS };
void pci_config_windows(const struct pci_config *c, bdf_t bdf,
                        struct pci_window windows[PCI_WINDOWS]);

/* ---- the scan ---- */

struct pci_found {
    bdf_t bdf;
    int bridge;     /* what found's call for the bridge above it returned; -1: of a root bus */
    unsigned depth; /* bridges above it */
    u16 vendor, device;
    u32 class; /* 24 bits */
    u8 revision, header;
    u8 secondary; /* of a bridge whose bus is scanned; else 0 */
};
#define PCI_DEPTH_MAX 8

struct pci_scan {
    u64 seen[4]; /* buses that were scanned, one bit each */
    unsigned functions;
    /* Each function, bridges before what is behind them. A token >= 0 for what is found behind it,
     * or -errno, which ends the scan. */
    int (*found)(void *arg, const struct pci_found *f);
    void *arg;
};
#define PCI_FUNCTIONS_MAX 4096 /* a scan ends there: a topology that repeats itself */

/* Scans from bus `first` on. A bridge without a bus number that makes sense gets the next free one
 * of the range of the bus it is on. *scan is zero but for found and arg. 0, found's -errno, or
 * -E2BIG. */
int pci_config_scan(const struct pci_config *c, struct pci_scan *scan, unsigned first);

/* ---- places ---- */

/* The lowest place of size (a power of two, its alignment) in window that none of the n used ranges
 * touches; used need not be sorted. False: there is none. */
bool pci_place(const struct pci_window *window, const struct pci_window *used, unsigned n, u64 size,
               u64 *out);
