/* SPDX-License-Identifier: MIT
 *
 * DMA mappings where bus addresses are physical ones. Memory that a device does not reach is copied
 * to a block of pages that it does; the block's first struct page says of what: `private` is the
 * physical address of the original. So an unmap finds it without a table or a lock, and a device
 * without such mappings never looks.
 */
#include "dev/dma.h"

#include "dev/device.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"

#define DMA_MASK_LEAST DMA_MASK(24) /* the ISA bus reached this far */

COUNTER(dma_copies_made);
COUNTER(dma_map_failures);

int dma_set_mask(struct device *dev, u64 mask)
{
    ASSERT((mask & (mask + 1)) == 0);
    if (mask < DMA_MASK_LEAST)
        return -EIO;
    dev->dma_mask = mask;
    return 0;
}

static unsigned dma_order(size_t n)
{
    unsigned order = 0;

    while ((PAGE_SIZE << order) < n)
        order++;
    return order;
}

static void dma_copy_to_device(const struct page *copy, u64 offset, size_t n)
{
    memcpy((u8 *)page_virt(copy) + offset, hpa_virt(HPA(copy->private + offset)), n);
}

static void dma_copy_from_device(const struct page *copy, u64 offset, size_t n)
{
    memcpy(hpa_virt(HPA(copy->private + offset)), (const u8 *)page_virt(copy) + offset, n);
}

static dma_addr_t dma_map_copy(struct device *dev, hpa_t pa, size_t n, enum dma_dir dir)
{
    /* What the device does not write must not show what the memory held before. */
    struct page *copy =
        page_alloc_below(dma_order(n), dev->dma_mask, dir & DMA_TO_DEVICE ? 0 : PA_ZERO);

    if (!copy) {
        COUNT(dma_map_failures);
        return DMA_NONE;
    }
    COUNT(dma_copies_made);
    copy->private = pa.v;
    page_flag_set(copy, PG_BOUNCE);
    __atomic_fetch_add(&dev->dma_copies, 1, __ATOMIC_SEQ_CST);
    if (dir & DMA_TO_DEVICE)
        dma_copy_to_device(copy, 0, n);
    return (dma_addr_t){page_hpa(copy).v};
}

static dma_addr_t dma_map_hpa(struct device *dev, hpa_t pa, size_t n, enum dma_dir dir)
{
    ASSERT(n > 0 && n <= DMA_MAP_MAX);
    if (FAILPOINT(dma_map))
        return DMA_NONE;
    if (likely(pa.v + n - 1 <= dev->dma_mask))
        return (dma_addr_t){pa.v};
    return dma_map_copy(dev, pa, n, dir);
}

dma_addr_t dma_map(struct device *dev, const void *p, size_t n, enum dma_dir dir)
{
    DEBUG_ASSERT((u64)p >= DIRECT_MAP && (u64)p < VMEMMAP);
    return dma_map_hpa(dev, virt_hpa(p), n, dir);
}

dma_addr_t dma_map_page(struct device *dev, struct page *page, size_t offset, size_t n,
                        enum dma_dir dir)
{
    return dma_map_hpa(dev, HPA(page_hpa(page).v + offset), n, dir);
}

/* The block that addr lies in, if it is a copy of dev's; *offset within it. */
static struct page *dma_copy_of(struct device *dev, dma_addr_t addr, u64 *offset)
{
    struct page *page;

    if (likely(!__atomic_load_n(&dev->dma_copies, __ATOMIC_RELAXED)))
        return NULL;
    page = page_head(page_of(HPA(addr.v)));
    if (!page_flag_test(page, PG_BOUNCE))
        return NULL;
    *offset = addr.v - page_hpa(page).v;
    return page;
}

void dma_unmap(struct device *dev, dma_addr_t addr, size_t n, enum dma_dir dir)
{
    u64 offset;
    struct page *copy = dma_copy_of(dev, addr, &offset);

    if (likely(!copy))
        return;
    if (dir & DMA_FROM_DEVICE)
        dma_copy_from_device(copy, offset, n);
    page_flag_clear(copy, PG_BOUNCE);
    __atomic_fetch_sub(&dev->dma_copies, 1, __ATOMIC_SEQ_CST);
    page_put(copy);
}

void dma_sync_for_cpu(struct device *dev, dma_addr_t addr, size_t n, enum dma_dir dir)
{
    u64 offset;
    const struct page *copy = dma_copy_of(dev, addr, &offset);

    if (copy && dir & DMA_FROM_DEVICE)
        dma_copy_from_device(copy, offset, n);
}

void dma_sync_for_device(struct device *dev, dma_addr_t addr, size_t n, enum dma_dir dir)
{
    u64 offset;
    const struct page *copy = dma_copy_of(dev, addr, &offset);

    if (copy && dir & DMA_TO_DEVICE)
        dma_copy_to_device(copy, offset, n);
}

void *dma_alloc_coherent(struct device *dev, size_t size, dma_addr_t *out)
{
    struct page *page;

    if (!size || size > DMA_MAP_MAX)
        return NULL;
    page = page_alloc_below(dma_order(size), dev->dma_mask, PA_ZERO);
    if (!page)
        return NULL;
    *out = (dma_addr_t){page_hpa(page).v};
    return page_virt(page);
}

void dma_free_coherent(struct device *dev, void *p, size_t size, dma_addr_t addr)
{
    if (p)
        page_free_virt(p, dma_order(size));
}
