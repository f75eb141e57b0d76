/* SPDX-License-Identifier: MIT
 *
 * Memory that a device reads and writes. A bus address is neither a pointer nor a physical address:
 * dma_addr_t keeps them apart for the compiler. Today the two are the same number, so mapping what
 * the device can reach costs a comparison; a device that reaches less (dma_mask) gets a copy below
 * its limit, made at map and brought back at unmap. An IOMMU comes behind the same calls: nothing
 * but dma_map and dma_alloc_coherent gives an address that a device may be told.
 *
 * Ownership: between map and unmap the memory is the device's; the CPU neither reads nor writes it
 * but between dma_sync_for_cpu and dma_sync_for_device. What was mapped for the device to read must
 * not change meanwhile. A mapping belongs to the driver and is gone before its remove returns.
 *
 * x86 keeps caches coherent with devices: no call here flushes one. The order of accesses is that
 * of dev/io.h.
 */
#pragma once

#include "lib/types.h"
#include "mm/page.h"

struct device;

typedef struct {
    u64 v;
} dma_addr_t;
#define DMA_NONE ((dma_addr_t){~0ULL})
static inline bool dma_ok(dma_addr_t a)
{
    return a.v != ~0ULL;
}
static inline dma_addr_t dma_add(dma_addr_t a, u64 n)
{
    return (dma_addr_t){a.v + n};
}

enum dma_dir { DMA_TO_DEVICE = 1, DMA_FROM_DEVICE = 2, DMA_BOTH = 3 };

#define DMA_MASK(bits) ((bits) >= 64 ? ~0ULL : (1ULL << (bits)) - 1)
#define DMA_MAP_MAX (4UL << 20) /* bytes of one mapping */

/* What the device reaches, from probe on: 64 bits until a driver says less. mask is of the form
 * 2^n - 1. -EIO: no memory that low exists here. */
int dma_set_mask(struct device *dev, u64 mask) __must_check;

/* n bytes, 1 to DMA_MAP_MAX, of what page_alloc or kmalloc gave; no stack, no static data.
 * DMA_NONE: no memory for a copy: the driver fails the request with -ENOMEM or tries it later.
 * irq-safe, never sleeps. */
dma_addr_t dma_map(struct device *dev, const void *p, size_t n, enum dma_dir dir) __must_check;
/* The same of n bytes from `offset` in a page (or block of pages, within it). Borrows the page: the
 * caller's reference keeps it. */
dma_addr_t dma_map_page(struct device *dev, struct page *page, size_t offset, size_t n,
                        enum dma_dir dir) __must_check;
/* With the values that the mapping was made with. irq-safe. After it what the device wrote is in
 * the memory. */
void dma_unmap(struct device *dev, dma_addr_t addr, size_t n, enum dma_dir dir);
/* Of a mapping, or of a part of it. irq-safe. */
void dma_sync_for_cpu(struct device *dev, dma_addr_t addr, size_t n, enum dma_dir dir);
void dma_sync_for_device(struct device *dev, dma_addr_t addr, size_t n, enum dma_dir dir);

/* Zeroed memory that both use at any time: rings, mailboxes. size up to DMA_MAP_MAX, rounded up to
 * pages of a power of two and aligned to that. NULL: no memory that low. irq-safe. */
void *dma_alloc_coherent(struct device *dev, size_t size, dma_addr_t *out) __must_check;
void dma_free_coherent(struct device *dev, void *p, size_t size, dma_addr_t addr);
