/* SPDX-License-Identifier: MIT
 *
 * Reads and writes of block special files past the cache (O_DIRECT): through pages that are the
 * caller's while it waits, since a program may do what it likes with its own meanwhile.
 */
#include "dev/block_file.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/account.h"
#include "mm/page.h"
#include "sched/thread.h"

#define BOUNCE_PAGES 32

struct block_bounce {
    struct page *pages[BOUNCE_PAGES];
    struct block_segment segments[BOUNCE_PAGES];
    u32 n; /* pages there are */
};

static int bounce_alloc(struct block_bounce *b, u64 bytes)
{
    u64 want = MIN(DIV_ROUND_UP(bytes, PAGE_SIZE), (u64)BOUNCE_PAGES);

    for (b->n = 0; b->n < want; b->n++) {
        b->pages[b->n] = page_alloc(0, PA_CHARGE);
        if (!b->pages[b->n])
            break;
    }
    return b->n ? 0 : -ENOMEM;
}

static void bounce_free(struct block_bounce *b)
{
    while (b->n)
        page_put(b->pages[--b->n]);
}

/* Reads or writes the first `bytes` of the pages, whole blocks, from pos on. */
static int bounce_io(struct block_bounce *b, struct block_device *dev, u64 pos, u64 bytes,
                     enum block_op op, u8 flags)
{
    struct block_request r = {.op = op,
                              .flags = flags,
                              .segments = b->segments,
                              .sector = pos >> SECTOR_SHIFT,
                              .sectors = bytes >> SECTOR_SHIFT,
                              .account = account_current()};

    for (u64 left = bytes; left; left -= b->segments[r.nr_segments++].len)
        b->segments[r.nr_segments] =
            (struct block_segment){b->pages[r.nr_segments], 0, (u32)MIN(left, PAGE_SIZE)};
    return block_submit_wait(dev, &r);
}

/* Copies between the first n bytes of the pages and the iterator: how many bytes. */
static u64 bounce_copy(struct block_bounce *b, struct iov_iter *it, u64 n, bool write)
{
    u64 done = 0;

    while (done < n) {
        char *p = page_virt(b->pages[done / PAGE_SIZE]);
        u64 want = MIN(n - done, PAGE_SIZE), got;

        got = write ? iov_copy_from(it, p, want) : iov_copy_to(it, p, want);
        done += got;
        if (got < want)
            break;
    }
    return done;
}

/* One stretch, as long as the pages. */
static ssize_t direct_step(struct block_bounce *b, struct block_device *dev, struct iov_iter *it,
                           u64 pos, bool write, u8 flags)
{
    u64 n = MIN(it->count, (u64)b->n * PAGE_SIZE), done;
    int err;

    if (!write) {
        err = bounce_io(b, dev, pos, n, BLOCK_READ, 0);
        if (err)
            return err;
        done = bounce_copy(b, it, n, false);
        return done ? (ssize_t)done : -EFAULT;
    }
    done = bounce_copy(b, it, n, true);
    done = ALIGN_DOWN(done, (u64)dev->limits.logical_size); /* less than n: it faulted */
    if (done == 0)
        return -EFAULT;
    err = bounce_io(b, dev, pos, done, BLOCK_WRITE, flags);
    return err ? err : (ssize_t)done;
}

bool block_direct_fits(const struct block_device *dev, const struct iov_iter *it, u64 pos)
{
    u64 all = pos | it->count, left = it->count, off = it->seg_off;

    if (!it->segs)
        all |= (u64)it->kernel;
    for (u64 i = 0; it->segs && left && i < it->nr_segs; i++) {
        u64 n = MIN(it->segs[i].len - off, left);

        all |= (it->segs[i].base + off) | n;
        left -= n;
        off = 0;
    }
    return !(all & (dev->limits.logical_size - 1));
}

ssize_t block_direct(struct block_device *dev, struct iov_iter *it, u64 pos, bool write, u8 flags)
{
    struct block_bounce b;
    ssize_t n = 0, total = 0;

    if (it->count == 0)
        return 0;
    if (bounce_alloc(&b, it->count))
        return -ENOMEM;
    while (it->count) {
        n = direct_step(&b, dev, it, pos + (u64)total, write, flags);
        if (n <= 0)
            break;
        total += n;
        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            break;
    }
    bounce_free(&b);
    return total ? total : n;
}
