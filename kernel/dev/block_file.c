/* SPDX-License-Identifier: MIT
 *
 * Block special files: open, position, requests of ioctl(2). Reads and writes go to block_direct.c.
 *
 * An open file holds a reference to its device, which may go away meanwhile: then everything is
 * -EIO. O_EXCL (without O_CREAT) claims the device for the file.
 */
#include "arch/x86/uaccess.h"
#include "dev/block_file.h"
#include "lib/errno.h"
#include "mm/slab.h"
#include "uapi/blkio.h"

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

static ssize_t block_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct block_device *dev = block_of(f);
    u64 size = block_size(dev);
    ssize_t n;

    if ((u64)*pos >= size)
        return 0;
    to->count = MIN(to->count, size - (u64)*pos);
    n = block_direct(f, dev, to, (u64)*pos, false);
    if (n > 0)
        *pos += n;
    return n;
}

static ssize_t block_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct block_device *dev = block_of(f);
    u64 size = block_size(dev);
    ssize_t n;

    if (READ_ONCE(dev->read_only))
        return -EPERM;
    if (from->count == 0)
        return 0;
    if ((u64)*pos >= size)
        return -ENOSPC;
    from->count = MIN(from->count, size - (u64)*pos);
    n = block_direct(f, dev, from, (u64)*pos, true);
    if (n > 0)
        *pos += n;
    return n;
}

static int block_fsync(struct file *f, bool data_only)
{
    struct block_request r = {.op = BLOCK_FLUSH};
    int err = block_submit_wait(block_of(f), &r);

    return err == -EROFS ? 0 : err;
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

static s64 block_ioctl_discard(struct file *f, u64 arg)
{
    u64 range[2];
    int err = block_range(f, arg, range);
    struct block_request r = {.op = BLOCK_DISCARD};

    if (err)
        return err;
    r.sector = range[0] >> SECTOR_SHIFT;
    r.sectors = range[1] >> SECTOR_SHIFT;
    return block_submit_wait(block_of(f), &r);
}

static s64 block_ioctl_zero(struct file *f, u64 arg)
{
    u64 range[2];
    int err = block_range(f, arg, range);

    return err ? err : block_zero(block_of(f), range[0] >> SECTOR_SHIFT, range[1] >> SECTOR_SHIFT);
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
    if (!capable(CAP_SYS_ADMIN))
        return -EACCES;
    return block_fsync(f, false);
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
    case BLKDISCARD:
        return block_ioctl_discard(f, arg);
    case BLKZEROOUT:
        return block_ioctl_zero(f, arg);
    default:
        return -ENOTTY;
    }
}

/* ---- open and close ---- */

static void block_close(struct file *f)
{
    struct block_opened *o = f->priv;

    if (o->exclusive)
        block_release(o->dev, o);
    mutex_lock(&block_claim_lock);
    o->dev->openers--;
    mutex_unlock(&block_claim_lock);
    block_put(o->dev);
    kfree(o);
}

static const struct file_ops block_fops = {
    .name = "block",
    .read = block_read,
    .write = block_write,
    .seek = block_seek,
    .fsync = block_fsync,
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
    if (err) {
        block_put(dev);
        kfree(o);
        return err;
    }
    mutex_lock(&block_claim_lock);
    dev->openers++;
    mutex_unlock(&block_claim_lock);
    f->ops = &block_fops;
    f->priv = o;
    return 0;
}
