/* SPDX-License-Identifier: MIT
 *
 * Block special files: open, position, reading and writing, requests of ioctl(2). They go through
 * the device's cache (block_cache.c), with O_DIRECT past it (block_direct.c): what the cache has of
 * the range is written before, and leaves the cache where the device is written to. Pages are
 * larger than blocks: no page that another has made dirty is dropped unwritten, but those that lie
 * as a whole in a range that is given up or zeroed.
 *
 * An open file holds a reference to its device, which may go away meanwhile: then everything is
 * -EIO. O_EXCL (without O_CREAT) claims the device for the file.
 */
#include "arch/x86/uaccess.h"
#include "dev/block_file.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "uapi/blkio.h"
#include "vm/aspace.h"
#include "vm/object.h"

/* Modes of fallocate(2). */
#define FALLOC_KEEP_SIZE 1
#define FALLOC_PUNCH_HOLE 2
#define FALLOC_ZERO_RANGE 16

#define UNCACHE_TRIES 3
#define WRITE_STRETCH 262144UL /* bytes between two looks at what may be dirty */

static struct block_device *block_of(const struct file *f)
{
    return ((struct block_opened *)f->priv)->dev;
}

static u64 block_size(const struct block_device *dev)
{
    return READ_ONCE(dev->sectors) << SECTOR_SHIFT;
}

static loff_t block_seek(struct file *f, loff_t off, int whence)
{
    u64 size = block_size(block_of(f));
    loff_t base = whence == 0 ? 0 : whence == 1 ? f->pos : (loff_t)size, to;

    if (whence > 2 || add_overflows(base, off, &to) || to < 0 || (u64)to > size)
        return -EINVAL;
    return f->pos = to;
}

/* ---- reading and writing ---- */

static struct mem_object *block_cache(const struct file *f)
{
    return ((struct block_opened *)f->priv)->cache;
}

/* What the cache has of the bytes is written, and the cache has no page of them any more. False:
 * some are in use, or made dirty all the time. */
static bool block_uncache(const struct file *f, u64 from, u64 n)
{
    u64 first = from >> PAGE_SHIFT, end = DIV_ROUND_UP(from + n, PAGE_SIZE);

    for (unsigned i = 0; i < UNCACHE_TRIES; i++) {
        mem_object_sync(block_cache(f), first, end);
        if (mem_object_forget(block_cache(f), first, end))
            return true;
    }
    return false;
}

/* The device was written to past the cache: what was read in meanwhile is old. What was written
 * meanwhile stays. */
static void block_forget(const struct file *f, u64 from, u64 n)
{
    (void)!mem_object_forget(block_cache(f), from >> PAGE_SHIFT, DIV_ROUND_UP(from + n, PAGE_SIZE));
}

static ssize_t block_direct_read(struct file *f, struct iov_iter *to, u64 pos)
{
    if (!block_direct_fits(block_of(f), to, pos))
        return -EINVAL;
    mem_object_sync(block_cache(f), pos >> PAGE_SHIFT, DIV_ROUND_UP(pos + to->count, PAGE_SIZE));
    return block_direct(block_of(f), to, pos, false, 0);
}

static ssize_t block_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    u64 size = block_size(block_of(f));
    ssize_t n;

    if ((u64)*pos >= size)
        return 0;
    to->count = MIN(to->count, size - (u64)*pos);
    n = READ_ONCE(f->flags) & O_DIRECT ? block_direct_read(f, to, (u64)*pos)
                                       : mem_object_read(block_cache(f), to, (u64)*pos, &f->ahead);
    if (n > 0)
        *pos += n;
    return n;
}

/* In parts, before each of which the writer may be held up. */
static ssize_t block_write_cached(struct file *f, struct iov_iter *from, u64 pos)
{
    ssize_t done = 0, n = 0;

    while (from->count) {
        u64 rest = from->count > WRITE_STRETCH ? from->count - WRITE_STRETCH : 0;

        n = mem_object_throttle(block_cache(f));
        if (n)
            break;
        from->count -= rest;
        n = mem_object_write(block_cache(f), from, pos + (u64)done);
        from->count += rest;
        if (n <= 0)
            break;
        done += n;
    }
    return done ? done : n;
}

static int block_fsync_range(struct file *f, u64 from, u64 to);

/* Where pages of the range cannot leave the cache (mlock(2), a busy writer) it goes through them.
 */
static ssize_t block_direct_write(struct file *f, struct iov_iter *from, u64 pos)
{
    u64 n = from->count;
    ssize_t done;
    int err;

    if (!block_direct_fits(block_of(f), from, pos))
        return -EINVAL;
    if (block_uncache(f, pos, n)) {
        done = block_direct(block_of(f), from, pos, true,
                            READ_ONCE(f->flags) & O_DSYNC ? BLOCK_FUA : 0);
        block_forget(f, pos, n);
        return done;
    }
    done = block_write_cached(f, from, pos);
    err = done > 0 ? block_fsync_range(f, pos, pos + (u64)done) : 0;
    return err ? err : done;
}

static ssize_t block_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct block_device *dev = block_of(f);
    u64 size = block_size(dev), at = (u64)*pos;
    unsigned flags = READ_ONCE(f->flags);
    ssize_t n;
    int err;

    if (READ_ONCE(dev->read_only))
        return -EPERM;
    if (from->count == 0)
        return 0;
    if (at >= size)
        return -ENOSPC;
    from->count = MIN(from->count, size - at);
    n = flags & O_DIRECT ? block_direct_write(f, from, at) : block_write_cached(f, from, at);
    if (n <= 0)
        return n;
    *pos += n;
    if ((flags & (O_DIRECT | O_DSYNC)) == O_DSYNC) {
        err = block_fsync_range(f, at, at + (u64)n);
        if (err)
            return err;
    }
    return n;
}

/* Two callers with one descriptor get an error once. */
static int block_told(struct file *f)
{
    int err;

    spin_lock(&f->watch_lock);
    err = errseq_check(&block_cache(f)->error, &f->data_error);
    spin_unlock(&f->watch_lock);
    return err;
}

static int block_fsync_range(struct file *f, u64 from, u64 to)
{
    struct block_request r = {.op = BLOCK_FLUSH};
    int err, told;

    mem_object_sync(block_cache(f), from >> PAGE_SHIFT, DIV_ROUND_UP(to, PAGE_SIZE));
    told = block_told(f);
    err = block_submit_wait(block_of(f), &r);
    return told ? told : err;
}

static int block_fsync(struct file *f, bool data_only)
{
    return block_fsync_range(f, 0, U64_MAX - PAGE_SIZE);
}

static int block_mmap(struct file *f, struct map_request *req)
{
    if (READ_ONCE(block_of(f)->read_only) && (req->flags & AREA_SHARED)) {
        if (req->prot & PT_WRITE)
            return -EACCES;
        req->max_prot &= (u8)~PT_WRITE;
    }
    mem_object_get(block_cache(f));
    req->object = block_cache(f);
    return 0;
}

static bool block_sync_one(struct block_device *dev, void *arg)
{
    const bool *wait = arg;
    struct write_control wc = {.why = WRITE_SYNC, .to = U64_MAX};
    struct block_request r = {.op = BLOCK_FLUSH};
    struct mem_object *cache;

    mutex_lock(&block_claim_lock);
    cache = dev->cache;
    if (cache)
        mem_object_get(cache);
    mutex_unlock(&block_claim_lock);
    if (!cache)
        return true;
    if (*wait) {
        mem_object_sync(cache, 0, U64_MAX);
        (void)!block_submit_wait(dev, &r); /* sync(2) tells of no error */
    } else {
        mem_object_write_back(cache, &wc);
    }
    mem_object_put(cache);
    return true;
}

void block_sync_all(bool wait)
{
    block_for_each(block_sync_one, &wait);
}

/* ---- ioctl ---- */

static s64 block_give(u64 arg, const void *value, u64 n)
{
    return copy_out((void __user *)arg, value, n);
}

static s64 block_give32(u64 arg, u32 value)
{
    return block_give(arg, &value, sizeof(value));
}

static s64 block_give64(u64 arg, u64 value)
{
    return block_give(arg, &value, sizeof(value));
}

/* A range of bytes that the caller names: whole blocks inside the device. */
static int block_range(const struct file *f, u64 arg, u64 range[2])
{
    const struct block_device *dev = block_of(f);
    u64 size = block_size(dev), mask = dev->limits.logical_size - 1;

    if (!file_writable(f))
        return -EBADF;
    if (copy_in(range, (const void __user *)arg, 2 * sizeof(range[0])))
        return -EFAULT;
    if ((range[0] | range[1]) & mask || range[0] > size || range[1] > size - range[0])
        return -EINVAL;
    return READ_ONCE(dev->read_only) ? -EPERM : 0;
}

/* The pages that lie as a whole in the range leave the cache, whatever they hold. */
static void block_drop_whole(const struct file *f, u64 from, u64 n)
{
    u64 first = DIV_ROUND_UP(from, PAGE_SIZE), end = (from + n) >> PAGE_SHIFT;

    if (first < end)
        mem_object_truncate(block_cache(f), first, end);
}

static s64 block_ioctl_discard(struct file *f, u64 arg)
{
    u64 range[2];
    int err = block_range(f, arg, range);
    struct block_request r = {.op = BLOCK_DISCARD};

    if (err)
        return err;
    r.sector = range[0] >> SECTOR_SHIFT;
    r.sectors = range[1] >> SECTOR_SHIFT;
    block_drop_whole(f, range[0], range[1]);
    (void)block_uncache(f, range[0], range[1]); /* the pages at its ends */
    err = block_submit_wait(block_of(f), &r);
    block_drop_whole(f, range[0], range[1]);
    block_forget(f, range[0], range[1]);
    return err;
}

/* A part of a page, through the cache, which may hold what others write to the rest of it. */
static int block_zero_part(struct file *f, u64 from, u64 n)
{
    void *zeros = n ? kzalloc(n) : NULL;
    struct iov_iter it;
    ssize_t done;

    if (n == 0)
        return 0;
    if (!zeros)
        return -ENOMEM;
    iov_init_kernel(&it, zeros, n);
    done = mem_object_write(block_cache(f), &it, from);
    kfree(zeros);
    if (done != (ssize_t)n)
        return done < 0 ? (int)done : -EINTR;
    return block_fsync_range(f, from, from + n);
}

static int block_zero_bytes(struct file *f, u64 from, u64 n)
{
    u64 end = from + n, first = MIN(ALIGN_UP(from, PAGE_SIZE), end);
    u64 last = MAX(ALIGN_DOWN(end, PAGE_SIZE), first);
    int err = block_zero_part(f, from, first - from);

    if (!err && first < last) {
        block_drop_whole(f, first, last - first);
        err = block_zero(block_of(f), first >> SECTOR_SHIFT, (last - first) >> SECTOR_SHIFT);
        block_drop_whole(f, first, last - first);
    }
    return err ? err : block_zero_part(f, last, end - last);
}

/* A hole and a range of zeros are the same here: zeros, and the blocks given up where the device
 * can do that. */
static int block_fallocate(struct file *f, int mode, u64 off, u64 len)
{
    const struct block_device *dev = block_of(f);
    u64 size = block_size(dev);

    if (mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE))
        return -EOPNOTSUPP;
    if (off >= size || (len > size - off && !(mode & FALLOC_KEEP_SIZE)))
        return -EINVAL;
    len = MIN(len, size - off);
    if ((off | len) & (dev->limits.logical_size - 1))
        return -EINVAL;
    if (mode != FALLOC_ZERO_RANGE && mode != (FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE) &&
        mode != (FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE))
        return -EOPNOTSUPP;
    return READ_ONCE(dev->read_only) ? -EPERM : block_zero_bytes(f, off, len);
}

static s64 block_ioctl_zero(struct file *f, u64 arg)
{
    u64 range[2];
    int err = block_range(f, arg, range);

    return err ? err : block_zero_bytes(f, range[0], range[1]);
}

static s64 block_ioctl_set_ro(struct file *f, u64 arg)
{
    struct block_device *dev = block_of(f);
    u32 on;

    if (!capable(CAP_SYS_ADMIN))
        return -EACCES;
    if (copy_in(&on, (const void __user *)arg, sizeof(on)))
        return -EFAULT;
    if (!on && dev->disk->read_only)
        return -EROFS; /* the device itself is */
    WRITE_ONCE(dev->read_only, on != 0);
    return 0;
}

static s64 block_ioctl_flush(struct file *f)
{
    int err;

    if (!capable(CAP_SYS_ADMIN))
        return -EACCES;
    err = block_fsync(f, false);
    (void)mem_object_drop_clean(block_cache(f), 0, U64_MAX);
    return err;
}

static s64 block_ioctl_rescan(struct file *f)
{
    struct block_device *dev = block_of(f);

    if (!capable(CAP_SYS_ADMIN))
        return -EACCES;
    return dev->whole == dev ? block_rescan(dev->disk) : -EINVAL;
}

static s64 block_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct block_device *dev = block_of(f);
    const struct block_limits *l = &dev->limits;

    switch (cmd) {
    case BLKGETSIZE64:
        return block_give64(arg, block_size(dev));
    case BLKGETSIZE:
        return block_give64(arg, READ_ONCE(dev->sectors));
    case BLKSSZGET:
        return block_give32(arg, l->logical_size);
    case BLKPBSZGET:
        return block_give32(arg, l->physical_size);
    case BLKBSZGET:
        return block_give32(arg, PAGE_SIZE);
    case BLKIOMIN:
        return block_give32(arg, MAX(l->io_min, l->physical_size));
    case BLKIOOPT:
        return block_give32(arg, l->io_opt);
    case BLKALIGNOFF:
    case BLKDISCARDZEROES:
        return block_give32(arg, 0);
    case BLKROTATIONAL: {
        u16 rotational = l->rotational;

        return block_give(arg, &rotational, sizeof(rotational));
    }
    case BLKROGET:
        return block_give32(arg, READ_ONCE(dev->read_only));
    case BLKROSET:
        return block_ioctl_set_ro(f, arg);
    case BLKFLSBUF:
        return block_ioctl_flush(f);
    case BLKRRPART:
        return block_ioctl_rescan(f);
    case BLKDISCARD:
        return block_ioctl_discard(f, arg);
    case BLKZEROOUT:
        return block_ioctl_zero(f, arg);
    default:
        return -ENOTTY;
    }
}

/* ---- open and close ---- */

static struct waitq block_closed; /* some device's last close is over */

static void block_file_init(void)
{
    waitq_init(&block_closed);
}
INIT_HOOK(block_file_init, INIT_CORE);

/* Another file on the device; the first makes its cache. */
static int block_join(struct block_opened *o)
{
    struct block_device *dev = o->dev;
    int err = 0;

    mutex_lock(&block_claim_lock);
    while (dev->closing && !err) {
        mutex_unlock(&block_claim_lock);
        err = wait_event_killable(&block_closed, !READ_ONCE(dev->closing));
        mutex_lock(&block_claim_lock);
    }
    if (!err && !dev->openers)
        dev->cache = block_cache_create(dev);
    if (!err && !dev->cache)
        err = -ENOMEM;
    if (!err)
        dev->openers++;
    o->cache = dev->cache;
    mutex_unlock(&block_claim_lock);
    return err;
}

/* The last close writes the cache out and drops it; an open meanwhile waits. */
static void block_part(struct block_opened *o)
{
    struct block_device *dev = o->dev;
    bool last;

    mutex_lock(&block_claim_lock);
    last = dev->openers == 1;
    if (last)
        dev->closing = true;
    else
        dev->openers--;
    mutex_unlock(&block_claim_lock);
    if (!last)
        return;
    block_cache_end(o->cache);
    mutex_lock(&block_claim_lock);
    dev->cache = NULL;
    dev->openers = 0;
    dev->closing = false;
    mutex_unlock(&block_claim_lock);
    waitq_wake_all(&block_closed);
}

static void block_close(struct file *f)
{
    struct block_opened *o = f->priv;

    block_part(o);
    if (o->exclusive)
        block_release(o->dev, o);
    block_put(o->dev);
    kfree(o);
}

static const struct file_ops block_fops = {
    .name = "block",
    .read = block_read,
    .write = block_write,
    .seek = block_seek,
    .fsync = block_fsync,
    .mmap = block_mmap,
    .fallocate = block_fallocate,
    .ioctl = block_ioctl,
    .release = block_close,
};

int block_open_file(struct file *f, u32 major, u32 minor, bool exclusive)
{
    struct block_opened *o;
    struct block_device *dev = block_find(major, minor);
    int err = 0;

    if (!dev)
        return -ENXIO;
    o = kzalloc(sizeof(*o));
    if (!o) {
        block_put(dev);
        return -ENOMEM;
    }
    o->dev = dev;
    o->exclusive = exclusive;
    if (exclusive)
        err = block_claim(dev, o);
    if (!err) {
        err = block_join(o);
        if (err && exclusive)
            block_release(dev, o);
    }
    if (err) {
        block_put(dev);
        kfree(o);
        return err;
    }
    f->ops = &block_fops;
    f->priv = o;
    f->data_error = errseq_sample(&o->cache->error);
    return 0;
}
