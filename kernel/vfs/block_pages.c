/* SPDX-License-Identifier: MIT
 *
 * Pages from block devices: see block_pages.h. A request covers what adjoins on the device. A page
 * may be made of several pieces; it counts those that are under way in page->private, the sign bit
 * of which tells of an error.
 */
#include "vfs/block_pages.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/wait.h"

#define SEGMENTS 32
#define PIECE_FAILED (1UL << 63)

struct block_io {
    struct block_request r;
    u32 n;
    u64 end; /* byte of the device behind it */
    struct block_segment segments[SEGMENTS];
};

/* Where memory is short, one at a time goes on: what it reads may be what memory comes from. */
static struct block_io spare_io;
static bool spare_used; /* a */
static struct waitq spare_free;

static void block_pages_init(void)
{
    waitq_init(&spare_free);
}
INIT_HOOK(block_pages_init, INIT_CORE);

static bool io_take_spare(void)
{
    return !__atomic_exchange_n(&spare_used, true, __ATOMIC_SEQ_CST);
}

static struct block_io *io_alloc(void)
{
    struct block_io *io = FAILPOINT(block_io) ? NULL : kmalloc(sizeof(*io));

    if (!io) {
        wait_event(&spare_free, io_take_spare());
        io = &spare_io;
    }
    io->n = 0;
    return io;
}

static void io_free(struct block_io *io)
{
    if (io != &spare_io) {
        kfree(io);
        return;
    }
    __atomic_store_n(&spare_used, false, __ATOMIC_SEQ_CST);
    waitq_wake_all(&spare_free);
}

static void piece_end(struct page *page, int err)
{
    u64 left;

    if (err)
        __atomic_fetch_or(&page->private, PIECE_FAILED, __ATOMIC_RELAXED);
    left = __atomic_sub_fetch(&page->private, 1, __ATOMIC_ACQ_REL);
    if (!(left & ~PIECE_FAILED))
        page_read_end(page, left & PIECE_FAILED ? -EIO : 0);
}

static void io_done(struct block_request *r)
{
    struct block_io *io = container_of(r, struct block_io, r);

    for (u32 i = 0; i < io->n; i++)
        piece_end(io->segments[i].page, r->error);
    io_free(io);
}

static void io_submit(struct block_device *dev, struct block_io *io)
{
    u64 start = io->r.sector << SECTOR_SHIFT;

    io->r.op = BLOCK_READ;
    io->r.segments = io->segments;
    io->r.nr_segments = io->n;
    io->r.sectors = (io->end - start) >> SECTOR_SHIFT;
    io->r.account = io->segments[0].page->account;
    io->r.done = io_done;
    block_submit(dev, &io->r);
}

/* len bytes at `off` of the page come from byte `at` of the device: joins *io, or begins another.
 */
static void io_add(struct block_device *dev, struct block_io **io, struct page *page, u32 off,
                   u64 at, u32 len)
{
    struct block_io *to = *io;

    if (to && (to->end != at || to->n == SEGMENTS)) {
        io_submit(dev, to);
        to = NULL;
    }
    if (!to) {
        to = io_alloc();
        to->r = (struct block_request){.sector = at >> SECTOR_SHIFT};
    }
    __atomic_add_fetch(&page->private, 1, __ATOMIC_RELAXED);
    to->segments[to->n++] = (struct block_segment){.page = page, .offset = off, .len = len};
    to->end = at + len;
    *io = to;
    if (to == &spare_io) { /* others may wait for it, and we for them */
        io_submit(dev, to);
        *io = NULL;
    }
}

static int page_places(struct block_device *dev, struct mem_object *obj, struct page *page,
                       block_place_fn place, struct block_io **io)
{
    u64 limit = READ_ONCE(dev->sectors) << SECTOR_SHIFT;
    struct block_place p;

    for (u64 off = 0; off < PAGE_SIZE; off += p.len) {
        int err = place(obj, (page->index << PAGE_SHIFT) + off, PAGE_SIZE - off, &p);

        if (err)
            return err;
        if (!p.len || p.len > PAGE_SIZE - off || (p.at | p.len) & (SECTOR_SIZE - 1))
            return -EIO;
        if (p.hole)
            memset((char *)page_virt(page) + off, 0, p.len);
        else if (p.at > limit || p.len > limit - p.at)
            return -EIO;
        else
            io_add(dev, io, page, (u32)off, p.at, (u32)p.len);
    }
    return 0;
}

void block_pages_read(struct block_device *dev, struct mem_object *obj, const struct page_run *run,
                      block_place_fn place)
{
    struct page_run own = *run; /* pages may end, and the array go, before we do */
    struct block_io *io = NULL;
    int err[PAGE_RUN_MAX];

    for (unsigned i = 0; i < own.n; i++) {
        own.pages[i]->private = 1; /* until all its pieces are on their way */
        err[i] = page_places(dev, obj, own.pages[i], place, &io);
    }
    if (io)
        io_submit(dev, io);
    for (unsigned i = 0; i < own.n; i++)
        piece_end(own.pages[i], err[i]);
}

/* ------------------------------------------------------------- all of a device */

static int whole_place(struct mem_object *obj, u64 pos, u64 len, struct block_place *out)
{
    u64 left = obj->size > pos ? obj->size - pos : 0;

    *out = (struct block_place){.at = pos, .len = left ? MIN(len, left) : len, .hole = !left};
    return 0;
}

static void whole_read_run(struct mem_object *obj, const struct page_run *run)
{
    block_pages_read(container_of(obj, struct block_pages, obj)->dev, obj, run, whole_place);
}

static void whole_destroy(struct mem_object *obj)
{
    kfree(container_of(obj, struct block_pages, obj));
}

static const struct mem_object_ops whole_ops = {
    .read_run = whole_read_run,
    .destroy = whole_destroy,
};

struct block_pages *block_pages_create(struct block_device *dev)
{
    struct block_pages *p = kmalloc(sizeof(*p));

    if (!p)
        return NULL;
    p->dev = dev;
    mem_object_init(&p->obj, &whole_ops, p);
    p->obj.size = READ_ONCE(dev->sectors) << SECTOR_SHIFT;
    return p;
}

void block_pages_destroy(struct block_pages *p)
{
    mem_object_shut(&p->obj);
    mem_object_put(&p->obj);
}

int block_pages_copy(struct block_pages *p, u64 at, void *buf, u64 n)
{
    if (at > p->obj.size || n > p->obj.size - at)
        return -EIO;
    while (n) {
        u64 off = at % PAGE_SIZE, part = MIN(n, PAGE_SIZE - off);
        struct page *page;
        int err = mem_object_page(&p->obj, at >> PAGE_SHIFT, false, &page);

        if (err)
            return err;
        memcpy(buf, (char *)page_virt(page) + off, part);
        page_put(page);
        buf = (char *)buf + part;
        at += part;
        n -= part;
    }
    return 0;
}
