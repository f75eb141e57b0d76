/* SPDX-License-Identifier: MIT
 *
 * The contents of tmpfs files: they live in the inode's memory object, which mappings share.
 * Writing, truncating and punching hold the inode's lock; reading does not.
 */
#include "fs/tmpfs/tmpfs.h"
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "sched/thread.h"
#include "vfs/cached_inode.h"
#include "vfs/inotify.h"
#include "vm/aspace.h"

/* Moves *index on to the first page at or behind it that is there; false: none. */
static bool tmpfs_next_page(struct mem_object *obj, u64 *index)
{
    bool found;

    rcu_read_lock();
    found = xa_next(&obj->pages, index) != NULL;
    rcu_read_unlock();
    return found;
}

#define FILE_SIZE_MAX ((u64)S64_MAX & PAGE_MASK)
enum { FALLOC_KEEP_SIZE = 1, FALLOC_PUNCH_HOLE = 2 };

static ssize_t tmpfs_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    ssize_t n = mem_object_read(f->inode->object, to, (u64)*pos, NULL);

    if (n > 0) {
        *pos += n;
        notify_file(f, IN_ACCESS);
    }
    return n;
}

static int tmpfs_parts(struct file *f, struct page_part *out, unsigned nr, loff_t pos, u64 n)
{
    int got = mem_object_parts(f->inode->object, out, nr, (u64)pos, n, NULL);

    if (got > 0)
        notify_file(f, IN_ACCESS);
    return got;
}

/* How many pages of [pos, pos + n), n > 0, are not there yet. */
static u64 tmpfs_missing(struct mem_object *obj, u64 pos, u64 n)
{
    u64 first = pos >> PAGE_SHIFT, last = (pos + n - 1) >> PAGE_SHIFT, there = 0, k = first;

    while (tmpfs_next_page(obj, &k) && k <= last) {
        there++;
        k++;
        cond_yield();
    }
    return last - first + 1 - there;
}

static ssize_t tmpfs_write_locked(struct file *f, struct iov_iter *from, loff_t *pos)
    REQUIRES(f->inode->lock)
{
    struct inode *i = f->inode;
    struct tmpfs_inode *t = i->priv;
    ssize_t n;

    ASSERT_HELD_WRITE(&i->lock);
    if (f->flags & O_APPEND || from->append)
        *pos = (loff_t)i->object->size;
    if (t->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    if ((u64)*pos >= FILE_SIZE_MAX || from->count > FILE_SIZE_MAX - (u64)*pos)
        return -EFBIG;
    if ((t->seals & F_SEAL_GROW) && (u64)*pos + from->count > i->object->size)
        return -EPERM;
    DELAYPOINT(tmpfs_write);
    if (from->count)
        inode_drop_privileges_locked(i);
    n = mem_object_write(i->object, from, (u64)*pos);
    if (n <= 0)
        return n;
    *pos += n;
    if ((u64)*pos > i->object->size)
        WRITE_ONCE(i->object->size, (u64)*pos);
    i->mtime = i->ctime = vfs_now();
    return n;
}

static ssize_t tmpfs_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct tmpfs_inode *t = f->inode->priv;

    return file_write_parts(f, from, pos, &t->append, false, tmpfs_write_locked);
}

/* The first data (or hole) at or behind off, which lies in the file; the end is a hole. */
static loff_t tmpfs_seek_data(struct mem_object *obj, loff_t off, loff_t size, bool hole)
{
    u64 first = (u64)off >> PAGE_SHIFT, at = first, next = first;
    bool found;

    while ((found = tmpfs_next_page(obj, &next)) && hole && next == at) {
        at++;
        next++;
        cond_yield();
    }
    if (!hole && !found)
        return -ENXIO;
    if (!hole)
        at = next;
    off = MAX(off, (loff_t)(at << PAGE_SHIFT));
    if (hole)
        return MIN(off, size);
    return off < size ? off : -ENXIO;
}

static loff_t tmpfs_seek(struct file *f, loff_t off, int whence)
{
    loff_t size = (loff_t)READ_ONCE(f->inode->object->size), to;

    switch (whence) {
    case 0:
        to = off;
        break;
    case 1:
        if (add_overflows(f->pos, off, &to))
            return -EOVERFLOW;
        break;
    case 2:
        if (add_overflows(size, off, &to))
            return -EOVERFLOW;
        break;
    case 3:
    case 4:
        if (off < 0 || off >= size)
            return -ENXIO;
        to = tmpfs_seek_data(f->inode->object, off, size, whence == 4);
        if (to < 0)
            return to;
        break;
    default:
        return -EINVAL;
    }
    if (to < 0)
        return -EINVAL;
    f->pos = to;
    return to;
}

/* Zeroes [from, to), which lies in one page, if that page is there. */
static void tmpfs_zero_partial(struct mem_object *obj, u64 from, u64 to)
{
    struct page *page = from < to ? mem_object_peek(obj, from >> PAGE_SHIFT) : NULL;

    if (!page)
        return;
    memset((char *)page_virt(page) + (from & (PAGE_SIZE - 1)), 0, to - from);
    page_put(page);
}

/* Only ATTR_SIZE concerns us; the inode is locked. */
static int tmpfs_setattr(struct inode *i, const struct attr_change *ch)
{
    struct tmpfs_inode *t = i->priv;
    u64 size;

    if (!(ch->valid & ATTR_SIZE))
        return 0;
    size = i->object->size;
    if (ch->size > FILE_SIZE_MAX)
        return -EFBIG;
    if ((ch->size < size && (t->seals & F_SEAL_SHRINK)) ||
        (ch->size > size && (t->seals & F_SEAL_GROW)))
        return -EPERM;
    if (ch->size < size)
        mem_object_shrink(i->object, ch->size);
    else
        WRITE_ONCE(i->object->size, ch->size);
    return 0;
}

/* Pages wholly inside the hole go, the ends are zeroed. */
static int tmpfs_punch(struct inode *i, u64 off, u64 end)
{
    struct tmpfs_inode *t = i->priv;
    u64 first = ALIGN_UP(off, PAGE_SIZE), last = ALIGN_DOWN(end, PAGE_SIZE);

    if (t->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    if (first > last) { /* within one page */
        tmpfs_zero_partial(i->object, off, end);
        return 0;
    }
    tmpfs_zero_partial(i->object, off, first);
    tmpfs_zero_partial(i->object, last, end);
    mem_object_truncate(i->object, first >> PAGE_SHIFT, last >> PAGE_SHIFT);
    i->mtime = i->ctime = vfs_now();
    return 0;
}

/* Every page of [off, end) is there afterwards, or (on an error) none more beyond the end of the
 * file than the size says. -ENOSPC: the file system is full; -ENOMEM: the group or the machine is.
 */
static int tmpfs_reserve(struct inode *i, u64 off, u64 end)
{
    u64 missing = tmpfs_missing(i->object, off, end - off);
    u64 past = DIV_ROUND_UP(i->object->size, PAGE_SIZE);
    const struct mem_bound *bound = &tmpfs_of(i)->pages;
    u64 max = READ_ONCE(bound->max), now = (u64)atomic_read(&bound->now);
    struct page *page;
    int err = now > max || missing > max - now ? -ENOSPC : mem_object_space(missing);

    for (u64 k = off >> PAGE_SHIFT; !err && k < DIV_ROUND_UP(end, PAGE_SIZE); k++) {
        err = mem_object_page(i->object, k, true, &page);
        if (!err)
            page_put(page);
        cond_yield();
        if (!err && thread_sleep_interrupted(current_thread(), SLEEP_INTERRUPTIBLE))
            err = -EINTR;
        if (err)
            mem_object_truncate(i->object, MAX(past, off >> PAGE_SHIFT), k + 1);
    }
    return err;
}

/* What is reserved beyond the end counts when the file grows to it. */
static int tmpfs_extend(struct inode *i, int mode, u64 off, u64 end)
{
    struct tmpfs_inode *t = i->priv;
    bool grows = !(mode & FALLOC_KEEP_SIZE) && end > i->object->size;
    int err = grows && (t->seals & F_SEAL_GROW) ? -EPERM : tmpfs_reserve(i, off, end);

    if (!err && grows)
        WRITE_ONCE(i->object->size, end);
    if (!err)
        i->ctime = vfs_now();
    return err;
}

/* fallocate(2): the pages are there afterwards; a hole gives its pages back. */
static int tmpfs_fallocate(struct file *f, int mode, u64 off, u64 len)
{
    struct inode *i = f->inode;
    int err;
    u64 end;

    if (mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE) || mode == FALLOC_PUNCH_HOLE)
        return -EOPNOTSUPP;
    if (add_overflows(off, len, &end) || end > FILE_SIZE_MAX)
        return -EFBIG;
    rwlock_write_lock(&i->lock);
    inode_drop_privileges_locked(i);
    err = mode & FALLOC_PUNCH_HOLE ? tmpfs_punch(i, off, end) : tmpfs_extend(i, mode, off, end);
    rwlock_write_unlock(&i->lock);
    return err;
}

int tmpfs_fsync(struct file *f, bool data_only)
{
    return 0; /* memory is all the store there is */
}

s64 tmpfs_seals(struct file *f, u32 add)
{
    struct tmpfs_inode *t;
    s64 r = 0;

    if (f->ops != &tmpfs_file_fops || add & ~(u32)F_SEALS)
        return -EINVAL;
    if (add && !file_writable(f))
        return -EPERM;
    t = f->inode->priv;
    rwlock_write_lock(&f->inode->lock);
    if (add && t->seals & F_SEAL_SEAL)
        r = -EPERM;
    if (!r && add & ~t->seals & F_SEAL_WRITE)
        r = mem_object_forbid_writers(f->inode->object);
    if (!r) {
        t->seals |= add;
        r = t->seals;
    }
    rwlock_write_unlock(&f->inode->lock);
    return r;
}

static int tmpfs_mmap(struct file *f, struct map_request *req)
{
    struct tmpfs_inode *t = f->inode->priv;

    if ((req->flags & AREA_SHARED) && (t->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))) {
        if (req->prot & PT_WRITE)
            return -EPERM;
        req->max_prot &= (u8)~PT_WRITE;
    }
    mem_object_get(f->inode->object);
    req->object = f->inode->object;
    return 0;
}

const struct file_ops tmpfs_file_fops = {
    .read = tmpfs_read,
    .parts = tmpfs_parts,
    .write = tmpfs_write,
    .seek = tmpfs_seek,
    .mmap = tmpfs_mmap,
    .fsync = tmpfs_fsync,
    .fallocate = tmpfs_fallocate,
};
const struct inode_ops tmpfs_file_iops = {.setattr = tmpfs_setattr, TMPFS_XATTR_OPS};
