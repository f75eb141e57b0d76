/* SPDX-License-Identifier: MIT
 *
 * Receive buffers. netdev_buffer.h has the rules.
 */
#include "dev/netdev_buffer.h"
#include "lib/atomic.h"
#include "lib/string.h"
#include "mm/slab.h"

static void pool_forget_oldest(struct netdev_pool *pool)
{
    pool->first = pool->first + 1 == pool->most ? 0 : pool->first + 1;
    pool->nr--;
}

/* The oldest page, if it has no other reference. References to it are dropped by others and made by
 * the pool alone, so one that is the last stays so. */
static struct page *pool_reuse(struct netdev_pool *pool)
{
    struct page *page = pool->nr ? pool->kept[pool->first] : NULL;

    if (!page || atomic_read(&page->ref) != 1)
        return NULL;
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with page_put: its reader is done */
    pool_forget_oldest(pool);
    return page;
}

/* Takes the caller's reference, as the youngest. */
static void pool_keep(struct netdev_pool *pool, struct page *page)
{
    if (pool->nr == pool->most) {
        page_put(pool->kept[pool->first]);
        pool_forget_oldest(pool);
    }
    pool->kept[(pool->first + pool->nr++) % pool->most] = page;
}

static bool pool_take(struct netdev_pool *pool, struct page **page, u32 *offset)
{
    if (pool->half) {
        *page = pool->half;
        *offset = NETDEV_BUFFER;
        pool->half = NULL;
        return true;
    }
    *page = pool_reuse(pool);
    if (!*page)
        *page = page_alloc(0, PA_ZERO);
    if (!*page)
        return false;
    page_get(*page);
    pool_keep(pool, *page);
    *offset = 0;
    if (pool->size == NETDEV_BUFFER) {
        page_get(*page);
        pool->half = *page;
    }
    return true;
}

int netdev_pool_init(struct netdev_pool *pool, struct device *dma, u32 size, u32 buffers)
{
    u32 most = DIV_ROUND_UP(buffers, (u32)PAGE_SIZE / size) + NETDEV_SPARE;

    ASSERT(size == NETDEV_BUFFER || size == PAGE_SIZE);
    *pool = (struct netdev_pool){.dma = dma, .size = size, .most = most};
    pool->kept = kcalloc(most, sizeof(*pool->kept));
    return pool->kept ? 0 : -ENOMEM;
}

bool netdev_buffer_fill(struct netdev_pool *pool, struct netdev_buffer *b)
{
    struct page *page;
    u32 offset;
    dma_addr_t addr;

    if (!pool_take(pool, &page, &offset))
        return false;
    addr = dma_map_page(pool->dma, page, offset, pool->size, DMA_FROM_DEVICE);
    if (!dma_ok(addr)) {
        page_put(page);
        return false;
    }
    *b = (struct netdev_buffer){page, offset, addr};
    return true;
}

static bool buffer_copy(struct netdev_pool *pool, struct netdev_buffer *b, struct packet *p, u32 at,
                        u32 n)
{
    u8 *to = packet_append(p, n);

    if (!to)
        return false;
    dma_sync_for_cpu(pool->dma, b->addr, pool->size, DMA_FROM_DEVICE);
    memcpy(to, (u8 *)page_virt(b->page) + b->offset + at, n);
    dma_sync_for_device(pool->dma, b->addr, pool->size, DMA_FROM_DEVICE);
    return true;
}

bool netdev_buffer_receive(struct netdev_pool *pool, struct netdev_buffer *b, struct packet *p,
                           u32 at, u32 n, bool whole)
{
    struct netdev_buffer fresh;

    if (whole && n <= PACKET_LINEAR && buffer_copy(pool, b, p, at, n))
        return true;
    if (p->nr_frags == PACKET_FRAGS || n > PACKET_LEN_MAX - p->len ||
        !netdev_buffer_fill(pool, &fresh))
        return false;
    dma_unmap(pool->dma, b->addr, pool->size, DMA_FROM_DEVICE);
    p->frags[p->nr_frags++] = (struct packet_frag){b->page, b->offset + at, n};
    p->len += n;
    *b = fresh;
    return true;
}

void netdev_buffer_free(struct netdev_pool *pool, struct netdev_buffer *b)
{
    if (!b->page)
        return;
    dma_unmap(pool->dma, b->addr, pool->size, DMA_FROM_DEVICE);
    page_put(b->page);
    b->page = NULL;
}

void netdev_pool_end(struct netdev_pool *pool)
{
    if (pool->half)
        page_put(pool->half);
    pool->half = NULL;
    while (pool->nr)
        page_put(pool->kept[(pool->first + --pool->nr) % pool->most]);
    kfree(pool->kept);
    pool->kept = NULL;
}
