/* SPDX-License-Identifier: MIT
 *
 * The page cache of a block device, through which its special files read, write and map. There is
 * one while the device is open; the last close writes it out and drops it, so that what others then
 * do to the device past it (a mount, another host) is seen.
 *
 * Dirty pages are written a few seconds after the first became dirty, by the disk's worker, which
 * begins outputs and waits for none. A request for pages is made of memory that is freed at
 * its end; where that is short, one of each device's own goes on alone.
 */
#include "dev/block_file.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "vm/object.h"

#define CACHE_FLUSH (5 * NSEC_PER_SEC)
#define CACHE_BUDGET 4096 /* pages that a round begins to write */

COUNTER(block_cache_runs);

/* One request and its pages. */
struct cache_io {
    struct block_request r;
    struct block_cache *cache;
    u32 n;
    struct page *pages[PAGE_RUN_MAX];
    struct block_segment segments[PAGE_RUN_MAX];
};

/* I immutable · a atomic */
struct block_cache {
    struct mem_object obj;
    struct block_device *dev; /* I  borrowed: it is the device's */
    struct errseq error;      /* a  of write-back */
    struct timer timer;
    struct work work;
    bool armed;      /* a  the timer, or the work behind it */
    bool spare_used; /* a */
    struct waitq spare_free;
    struct cache_io spare;
};

static struct block_cache *cache_of(struct mem_object *obj)
{
    return container_of(obj, struct block_cache, obj);
}

/* ---- runs of pages ---- */

static bool cache_take_spare(struct block_cache *c)
{
    return !__atomic_exchange_n(&c->spare_used, true, __ATOMIC_SEQ_CST);
}

static struct cache_io *cache_io_alloc(struct block_cache *c)
{
    struct cache_io *io = FAILPOINT(block_cache_io) ? NULL : kmalloc(sizeof(*io));

    if (!io) {
        wait_event(&c->spare_free, cache_take_spare(c));
        io = &c->spare;
    }
    io->cache = c;
    return io;
}

static void cache_io_free(struct cache_io *io)
{
    struct block_cache *c = io->cache;

    if (io != &c->spare) {
        kfree(io);
        return;
    }
    __atomic_store_n(&c->spare_used, false, __ATOMIC_SEQ_CST);
    waitq_wake_all(&c->spare_free);
}

static void cache_pages_end(struct page *const *pages, u32 n, bool write, int err)
{
    for (u32 i = 0; i < n; i++)
        if (write)
            page_write_end(pages[i], err);
        else
            page_read_end(pages[i], err);
}

/* The io is free before its pages end: with the last of them the cache may go. */
static void cache_io_done(struct block_request *r)
{
    struct cache_io *io = container_of(r, struct cache_io, r);
    struct page *pages[PAGE_RUN_MAX];
    bool write = r->op == BLOCK_WRITE;
    int err = r->error ? -EIO : 0;
    u32 n = io->n;

    for (u32 i = 0; i < n; i++)
        pages[i] = io->pages[i];
    cache_io_free(io);
    cache_pages_end(pages, n, write, err);
}

/* All of the run that lies on the device, in one request. What lies behind its end reads as zero,
 * and is not written. */
static void cache_run(struct block_cache *c, const struct page_run *run, bool write)
{
    struct page_run own = *run; /* pages may end, and the array go, before we do */
    u64 size = READ_ONCE(c->dev->sectors) << SECTOR_SHIFT, start = own.index << PAGE_SHIFT;
    u64 bytes = size > start ? MIN(size - start, (u64)own.n << PAGE_SHIFT) : 0;
    u32 n = (u32)DIV_ROUND_UP(bytes, PAGE_SIZE);
    struct cache_io *io;

    COUNT(block_cache_runs);
    if (n) {
        io = cache_io_alloc(c);
        io->n = n;
        for (u32 i = 0; i < n; i++) {
            io->pages[i] = own.pages[i];
            io->segments[i] = (struct block_segment){
                own.pages[i], 0, (u32)MIN(bytes - ((u64)i << PAGE_SHIFT), PAGE_SIZE)};
        }
        io->r = (struct block_request){.op = write ? BLOCK_WRITE : BLOCK_READ,
                                       .nr_segments = n,
                                       .segments = io->segments,
                                       .sector = start >> SECTOR_SHIFT,
                                       .sectors = bytes >> SECTOR_SHIFT,
                                       .account = own.pages[0]->account,
                                       .done = cache_io_done};
        block_submit(c->dev, &io->r);
    }
    for (u32 i = n; i < own.n && !write; i++)
        memset(page_virt(own.pages[i]), 0, PAGE_SIZE);
    cache_pages_end(own.pages + n, own.n - n, write, 0);
}

static void cache_read_run(struct mem_object *obj, const struct page_run *run)
{
    cache_run(cache_of(obj), run, false);
}

static void cache_write_run(struct mem_object *obj, const struct page_run *run,
                            const struct write_control *wc)
{
    cache_run(cache_of(obj), run, true);
}

/* ---- when it is written ---- */

static void cache_arm(struct block_cache *c)
{
    if (!__atomic_exchange_n(&c->armed, true, __ATOMIC_SEQ_CST))
        timer_start_within(&c->timer, time_ns() + CACHE_FLUSH, CACHE_FLUSH / 10);
}

static void cache_timer(struct timer *t)
{
    struct block_cache *c = container_of(t, struct block_cache, timer);

    work_queue(c->dev->disk->worker, &c->work);
}

static void cache_work(struct work *w)
{
    struct block_cache *c = container_of(w, struct block_cache, work);
    struct write_control wc = {.why = WRITE_BACKGROUND, .to = U64_MAX, .budget = CACHE_BUDGET};

    reserves_begin();
    __atomic_store_n(&c->armed, false, __ATOMIC_SEQ_CST);
    mem_object_write_back(&c->obj, &wc);
    reserves_end();
    if (mem_object_is_dirty(&c->obj))
        cache_arm(c);
}

static void cache_dirtied(struct mem_object *obj)
{
    cache_arm(cache_of(obj));
}

static void cache_write_wanted(struct mem_object *obj)
{
    work_queue(cache_of(obj)->dev->disk->worker, &cache_of(obj)->work);
}

static void cache_destroy(struct mem_object *obj)
{
    kfree(cache_of(obj));
}

static const struct mem_object_ops cache_ops = {
    .read_run = cache_read_run,
    .write_run = cache_write_run,
    .dirtied = cache_dirtied,
    .write_wanted = cache_write_wanted,
    .destroy = cache_destroy,
};

struct mem_object *block_cache_create(struct block_device *dev)
{
    struct block_cache *c = kzalloc(sizeof(*c));

    if (!c)
        return NULL;
    c->dev = dev;
    mem_object_init(&c->obj, &cache_ops, c);
    c->obj.size = READ_ONCE(dev->sectors) << SECTOR_SHIFT;
    c->obj.store_error = &c->error;
    waitq_init(&c->spare_free);
    timer_init(&c->timer, cache_timer);
    work_init(&c->work, cache_work);
    return &c->obj;
}

void block_cache_end(struct mem_object *obj)
{
    struct block_cache *c = cache_of(obj);
    struct workq *worker = c->dev->disk->worker;

    mem_object_sync(obj, 0, U64_MAX);
    mem_object_shut(obj);
    work_flush(worker, &c->work); /* it may start the timer, once: nothing is dirty any more */
    timer_cancel(&c->timer);
    work_flush(worker, &c->work);
    mem_object_put(obj);
}
