/* SPDX-License-Identifier: MIT
 *
 * Memory by size: a slab cache for each of a ladder of sizes, page blocks above the largest. Sizes
 * of a power of two are aligned to themselves.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm_priv.h"
#include "mm/slab.h"

#define KMALLOC_SLAB_MAX 2048

static const struct {
    u16 size;
    const char *name;
} kmalloc_sizes[] = {
    {16, "kmalloc-16"},     {32, "kmalloc-32"},     {48, "kmalloc-48"},   {64, "kmalloc-64"},
    {96, "kmalloc-96"},     {128, "kmalloc-128"},   {192, "kmalloc-192"}, {256, "kmalloc-256"},
    {384, "kmalloc-384"},   {512, "kmalloc-512"},   {768, "kmalloc-768"}, {1024, "kmalloc-1024"},
    {1344, "kmalloc-1344"}, {2048, "kmalloc-2048"},
};
/* By size in units of 16 bytes, rounded up. */
static struct slab_cache *kmalloc_caches[KMALLOC_SLAB_MAX / 16 + 1] __ro_after_init;

/* The tables of payers: nothing in these caches is charged, so that they have no such table, and no
 * slab is kept by the table of another that it keeps. */
static const struct {
    u16 size;
    const char *name;
} payers_sizes[] = {{64, "payers-64"},   {128, "payers-128"},   {256, "payers-256"},
                    {512, "payers-512"}, {1024, "payers-1024"}, {2048, "payers-2048"}};
static struct slab_cache *payers_caches[ARRAY_SIZE(payers_sizes)] __ro_after_init;
static_assert(PAGE_SIZE / 16 * sizeof(struct account *) <= 2048, "the largest table");

void slab_init(void)
{
    unsigned at = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(kmalloc_sizes); i++) {
        u16 size = kmalloc_sizes[i].size;
        size_t align = size & (size - 1) ? 16 : size;
        struct slab_cache *c = slab_cache_create(kmalloc_sizes[i].name, size, align);

        for (; at <= size / 16; at++)
            kmalloc_caches[at] = c;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(payers_sizes); i++)
        payers_caches[i] = slab_cache_create(payers_sizes[i].name, payers_sizes[i].size, 16);
}

void *kmalloc(size_t size)
{
    size_t pages;

    if (likely(size <= KMALLOC_SLAB_MAX))
        return slab_alloc(kmalloc_caches[(size + 15) / 16]);
    if (size > PAGE_SIZE << MAX_ORDER)
        return NULL;
    pages = (size - 1) >> PAGE_SHIFT;
    return page_alloc_virt(pages ? 64 - (unsigned)__builtin_clzl(pages) : 0, PA_CHARGE);
}

void *slab_payers_alloc(size_t bytes)
{
    unsigned i = 0;

    while (payers_sizes[i].size < bytes)
        i++;
    return slab_alloc_unpaid(payers_caches[i]);
}

void *kzalloc(size_t size)
{
    void *p = kmalloc(size);

    return p ? memset(p, 0, size) : NULL;
}

void *kcalloc(size_t n, size_t size)
{
    size_t bytes;

    return mul_overflows(n, size, &bytes) ? NULL : kzalloc(bytes);
}

static inline struct page *kmalloc_page(const void *p)
{
    DEBUG_ASSERT((u64)p >= DIRECT_MAP && (u64)p < VMEMMAP);
    return page_head(page_of(HPA((u64)p - DIRECT_MAP)));
}

size_t ksize(const void *p)
{
    struct page *page = kmalloc_page(p);

    if (page->flags & PG_SLAB)
        return slab_object_size(page->owner);
    return PAGE_SIZE << (page->flags & PG_COMPOUND ? page->order : 0);
}

void kfree(const void *p)
{
    struct page *page;

    if (!p)
        return;
    page = kmalloc_page(p);
    if (likely(page->flags & PG_SLAB)) {
        slab_free(page->owner, (void *)p);
        return;
    }
    /* Ours is not the only reference where a stale look-up under RCU (mem_object_peek) has one for
     * a moment; then the page goes with that. */
    ASSERT(IS_ALIGNED((u64)p, PAGE_SIZE));
    page_put(page);
}

void *krealloc(void *p, size_t size)
{
    size_t old;
    void *n;

    if (!p)
        return kmalloc(size);
    old = ksize(p);
    if (size <= old && size > old / 2)
        return p;
    n = kmalloc(size);
    if (!n)
        return NULL;
    memcpy(n, p, MIN(old, size));
    kfree(p);
    return n;
}

char *kstrdup(const char *s)
{
    return kmemdup(s, strlen(s) + 1);
}

void *kmemdup(const void *p, size_t n)
{
    void *copy = kmalloc(n);

    return copy ? memcpy(copy, p, n) : NULL;
}
