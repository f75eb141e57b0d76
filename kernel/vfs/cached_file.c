/* SPDX-License-Identifier: MIT
 *
 * Files over a page cache: see cached_inode.h. Reading takes no lock of the inode.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "vfs/flusher.h"
#include "vfs/vfs_priv.h"
#include "vm/aspace.h"

#define FAULT_IN_BYTES 65536

ssize_t cached_file_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    ssize_t n = mem_object_read(f->inode->object, to, (u64)*pos, &f->ahead);

    if (n > 0) {
        *pos += n;
        notify_file(f, IN_ACCESS);
    }
    return n;
}

int cached_file_parts(struct file *f, struct page_part *out, unsigned nr, loff_t pos, u64 n)
{
    int got = mem_object_parts(f->inode->object, out, nr, (u64)pos, n, &f->ahead);

    if (got > 0)
        notify_file(f, IN_ACCESS);
    return got;
}

int cached_file_mmap(struct file *f, struct map_request *req)
{
    mem_object_get(f->inode->object);
    req->object = f->inode->object;
    return 0;
}

void cached_file_open(struct file *f)
{
    const struct inode *i = f->inode;

    if (i->object)
        f->data_error = errseq_sample(&i->object->error);
    if (i->super->flusher)
        f->super_error = errseq_sample(&i->super->flusher->error);
}

/* Two callers with one descriptor get an error once. */
static int cached_file_error(struct file *f)
{
    int err;

    spin_lock(&f->watch_lock);
    err = errseq_check(&f->inode->object->error, &f->data_error);
    spin_unlock(&f->watch_lock);
    return err;
}

/* An error of the inode's own writing is reported here, and by the sequence to others. */
int cached_file_fsync(struct file *f, bool data_only)
{
    struct inode *i = f->inode;
    struct super *s = i->super;
    int err = inode_sync(i, data_only), told = i->object ? cached_file_error(f) : 0;

    if (!err && s->flusher && s->ops->sync)
        err = s->ops->sync(s);
    return told ? told : err;
}

int cached_file_sync_range(struct file *f, u64 from, u64 to, unsigned flags)
{
    struct mem_object *obj = f->inode->object;
    struct write_control wc = {.why = WRITE_SYNC};

    if (!obj)
        return 0;
    wc.from = from >> PAGE_SHIFT;
    wc.to = to > U64_MAX - PAGE_SIZE ? U64_MAX : DIV_ROUND_UP(to, PAGE_SIZE);
    if (flags & SYNC_FILE_RANGE_WAIT_BEFORE)
        mem_object_wait(obj, wc.from, wc.to);
    if (flags & SYNC_FILE_RANGE_WRITE)
        mem_object_write_back(obj, &wc);
    if (flags & SYNC_FILE_RANGE_WAIT_AFTER)
        mem_object_wait(obj, wc.from, wc.to);
    return flags & (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER) ? cached_file_error(f)
                                                                              : 0;
}

void cached_file_advise(struct file *f, u64 from, u64 to, unsigned advice)
{
    struct mem_object *obj = f->inode->object;
    u64 first = from >> PAGE_SHIFT,
        end = to > U64_MAX - PAGE_SIZE ? U64_MAX : DIV_ROUND_UP(to, PAGE_SIZE);

    switch (advice) {
    case FADVISE_NORMAL:
    case FADVISE_SEQUENTIAL:
        WRITE_ONCE(f->ahead.window, 0);
        break;
    case FADVISE_RANDOM:
        WRITE_ONCE(f->ahead.window, READ_AHEAD_NONE);
        break;
    case FADVISE_WILLNEED:
        mem_object_read_ahead(obj, first, end - first);
        break;
    case FADVISE_DONTNEED: /* whole pages; the last one of the file is whole */
        first = DIV_ROUND_UP(from, PAGE_SIZE);
        (void)mem_object_drop_clean(obj, first, to >= obj->size ? end : to >> PAGE_SHIFT);
        break;
    default:
        break;
    }
}

/* lseek(2): what is not known to be a hole is data. */
static loff_t cached_file_seek_data(loff_t off, loff_t size, bool hole)
{
    if (off < 0 || off >= size)
        return -ENXIO;
    return hole ? size : off;
}

loff_t cached_file_seek(struct file *f, loff_t off, int whence)
{
    loff_t size = (loff_t)READ_ONCE(f->inode->object->size), to = off;

    if ((whence == 1 && add_overflows(f->pos, off, &to)) ||
        (whence == 2 && add_overflows(size, off, &to)))
        return -EOVERFLOW;
    if (whence == 3 || whence == 4)
        to = cached_file_seek_data(off, size, whence == 4);
    else if (whence < 0 || whence > 4)
        return -EINVAL;
    if (to < 0)
        return to == -ENXIO ? to : -EINVAL;
    f->pos = to;
    return to;
}

int file_write_fault_in(struct iov_iter *from)
{
    int err;

    DELAYPOINT(file_write_part);
    err = iov_fault_in(from, FAULT_IN_BYTES, false);
    return err ? iov_fault_in(from, 1, false) : 0; /* there may be some of it */
}

ssize_t file_write_synced(struct file *f, ssize_t n)
{
    int err = f->flags & O_DSYNC ? f->ops->fsync(f, (f->flags & O_SYNC) != O_SYNC) : 0;

    return err ? err : n;
}
