/* SPDX-License-Identifier: MIT
 *
 * Reads and writes of block special files without a cache: through pages that are the caller's
 * while it waits, since a program may do what it likes with its own meanwhile.
 *
 * A write that does not cover its first or last block reads that block before; dev->edge_lock keeps
 * others from writing between.
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

/* Copies between the pages, from byte `at` of them on, and the iterator: how many bytes. */
static u64 bounce_copy(struct block_bounce *b, struct iov_iter *it, u64 at, u64 n, bool write)
{
    u64 done = 0;

    while (done < n) {
        char *p = page_virt(b->pages[(at + done) / PAGE_SIZE]);
        u64 off = (at + done) % PAGE_SIZE, want = MIN(n - done, PAGE_SIZE - off), got;

        got = write ? iov_copy_from(it, p + off, want) : iov_copy_to(it, p + off, want);
        done += got;
        if (got < want)
            break;
    }
    return done;
}

/* The blocks at the ends that the write does not cover whole. */
static int bounce_read_edges(struct block_bounce *b, struct block_device *dev, u64 start, u64 bytes,
                             u64 head, u64 tail)
{
    return head || tail ? bounce_io(b, dev, start, bytes, BLOCK_READ, 0) : 0;
}

/* One stretch: pos is in its first block. */
static ssize_t direct_step(struct block_bounce *b, struct file *f, struct block_device *dev,
                           struct iov_iter *it, u64 pos, bool write)
{
    u64 block = dev->limits.logical_size, head = pos & (block - 1);
    u64 n = MIN(it->count, (u64)b->n * PAGE_SIZE - head), bytes = ALIGN_UP(head + n, block);
    u64 done;
    int err;

    if (!write) {
        err = bounce_io(b, dev, pos - head, bytes, BLOCK_READ, 0);
        if (err)
            return err;
        done = bounce_copy(b, it, head, n, false);
        return done ? (ssize_t)done : -EFAULT;
    }
    err = bounce_read_edges(b, dev, pos - head, bytes, head, bytes - head - n);
    if (err)
        return err;
    done = bounce_copy(b, it, head, n, true);
    if (done == 0)
        return -EFAULT;
    if (done < n) /* what the faulting copy left behind is not to be written */
        bytes = ALIGN_DOWN(head + done, block);
    if (bytes == 0)
        return -EFAULT;
    err = bounce_io(b, dev, pos - head, bytes, BLOCK_WRITE,
                    READ_ONCE(f->flags) & O_DSYNC ? BLOCK_FUA : 0);
    return err ? err : (ssize_t)MIN(done, bytes - head);
}

static void direct_lock(struct block_device *dev, bool write, bool edges)
{
    if (write && edges)
        rwlock_write_lock(&dev->disk->edge_lock);
    else if (write)
        rwlock_read_lock(&dev->disk->edge_lock);
}

static void direct_unlock(struct block_device *dev, bool write, bool edges)
{
    if (write && edges)
        rwlock_write_unlock(&dev->disk->edge_lock);
    else if (write)
        rwlock_read_unlock(&dev->disk->edge_lock);
}

ssize_t block_direct(struct file *f, struct block_device *dev, struct iov_iter *it, u64 pos,
                     bool write)
{
    struct block_bounce b;
    bool edges = (pos | it->count) & (dev->limits.logical_size - 1);
    ssize_t n = 0, total = 0;

    if (edges && (READ_ONCE(f->flags) & O_DIRECT))
        return -EINVAL;
    if (it->count == 0)
        return 0;
    if (bounce_alloc(&b, it->count + dev->limits.logical_size))
        return -ENOMEM;
    direct_lock(dev, write, edges);
    while (it->count) {
        n = direct_step(&b, f, dev, it, pos + (u64)total, write);
        if (n <= 0)
            break;
        total += n;
        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            break;
    }
    direct_unlock(dev, write, edges);
    bounce_free(&b);
    return total ? total : n;
}
