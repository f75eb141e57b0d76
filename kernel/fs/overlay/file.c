/* SPDX-License-Identifier: MIT
 *
 * Open regular files of an overlay: each has an open file of the real inode, to which everything is
 * passed on. A file opened for reading stays right when another one copies its inode up: from then
 * on it reads the copy, through a second real file; the first is kept until the end, since a read
 * of it may be under way. Mappings stay with the inode they were made of, as on Linux.
 */
#include "fs/overlay/overlay.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "vfs/inotify.h"
#include "vm/aspace.h"

/* f->priv. I immutable · a atomic, set once */
struct overlay_file {
    struct file *real;  /* I */
    struct file *upper; /* a  opened after a copy-up; NULL */
};

static struct slab_cache *overlay_file_cache;

void overlay_file_init(void)
{
    overlay_file_cache = slab_cache_create("overlay_file", sizeof(struct overlay_file), 16);
}

/* Writers open after the copy-up: only readers can find themselves on the lower inode. */
int overlay_open(struct inode *i, struct file *f)
{
    struct overlay_file *of;
    struct path real;
    int err = file_writable(f) ? overlay_copy_up(f->dentry) : 0;

    if (err)
        return err;
    of = slab_zalloc(overlay_file_cache);
    if (!of)
        return -ENOMEM;
    real = overlay_real(i);
    err = open_dentry(&real, f->flags, f->cred, &of->real);
    if (err) {
        slab_free(overlay_file_cache, of);
        return err;
    }
    f->priv = of;
    return 0;
}

static void overlay_release(struct file *f)
{
    struct overlay_file *of = f->priv;

    if (of->upper)
        file_put(of->upper);
    file_put(of->real);
    slab_free(overlay_file_cache, of);
}

static __noinline struct file *overlay_switch(struct file *f, struct overlay_file *of)
{
    struct path real = overlay_real(f->inode);
    struct file *fresh, *none = NULL;
    int err = open_dentry(&real, f->flags, f->cred, &fresh);

    if (err)
        return ERR_PTR(err);
    if (__atomic_compare_exchange_n(&of->upper, &none, fresh, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return fresh;
    file_put(fresh);
    return none;
}

/* Borrowed; ERR_PTR when the copied-up inode cannot be opened. */
static struct file *overlay_file_real(struct file *f)
{
    struct overlay_file *of = f->priv;
    struct file *upper = __atomic_load_n(&of->upper, __ATOMIC_ACQUIRE);

    if (upper)
        return upper;
    if (likely(of->real->inode == overlay_real_inode(f->inode)))
        return of->real;
    return overlay_switch(f, of);
}

static ssize_t overlay_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct file *real = overlay_file_real(f);
    ssize_t n;

    if (IS_ERR(real))
        return PTR_ERR(real);
    n = real->ops->read ? real->ops->read(real, to, pos) : -EINVAL;
    if (n > 0)
        notify_file(f, IN_ACCESS);
    return n;
}

static int overlay_parts(struct file *f, struct page_part *out, unsigned nr, loff_t pos, u64 n)
{
    struct file *real = overlay_file_real(f);
    int got;

    if (IS_ERR(real))
        return (int)PTR_ERR(real);
    got = real->ops->parts ? real->ops->parts(real, out, nr, pos, n) : -EOPNOTSUPP;
    if (got > 0)
        notify_file(f, IN_ACCESS);
    return got;
}

/* Rights that hang on the contents go before these change: exec looks at the overlay's inode. */
static void overlay_drop_privileges(struct inode *i)
{
    rwlock_write_lock(&i->lock);
    inode_drop_privileges_locked(i);
    rwlock_write_unlock(&i->lock);
}

static ssize_t overlay_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct file *real = overlay_file_real(f);
    ssize_t n;

    if (IS_ERR(real))
        return PTR_ERR(real);
    if (!real->ops->write)
        return -EINVAL;
    if (unlikely(f->inode->mode & (S_ISUID | S_ISGID)))
        overlay_drop_privileges(f->inode);
    n = real->ops->write(real, from, pos);
    if (n > 0)
        notify_file(f, IN_MODIFY);
    return n;
}

static loff_t overlay_seek(struct file *f, loff_t off, int whence)
{
    struct file *real = overlay_file_real(f);
    loff_t at;

    if (IS_ERR(real))
        return PTR_ERR(real);
    if (!real->ops->seek)
        return -ESPIPE;
    real->pos = f->pos;
    at = real->ops->seek(real, off, whence);
    if (at >= 0)
        f->pos = at;
    return at;
}

static int overlay_mmap(struct file *f, struct map_request *req)
{
    struct file *real = overlay_file_real(f);

    if (IS_ERR(real))
        return PTR_ERR(real);
    return real->ops->mmap ? real->ops->mmap(real, req) : -ENODEV;
}

static int overlay_fsync(struct file *f, bool data_only)
{
    struct file *real = overlay_file_real(f);

    if (IS_ERR(real))
        return PTR_ERR(real);
    return real->ops->fsync ? real->ops->fsync(real, data_only) : -EINVAL;
}

static int overlay_sync_range(struct file *f, u64 from, u64 to, unsigned flags)
{
    struct file *real = overlay_file_real(f);

    if (IS_ERR(real))
        return PTR_ERR(real);
    if (real->ops->sync_range)
        return real->ops->sync_range(real, from, to, flags);
    return real->ops->fsync ? real->ops->fsync(real, true) : 0;
}

static void overlay_advise(struct file *f, u64 from, u64 to, unsigned advice)
{
    struct file *real = overlay_file_real(f);

    if (!IS_ERR(real) && real->ops->advise)
        real->ops->advise(real, from, to, advice);
}

static int overlay_fallocate(struct file *f, int mode, u64 off, u64 len)
{
    struct file *real = overlay_file_real(f);

    if (IS_ERR(real))
        return PTR_ERR(real);
    if (!real->ops->fallocate)
        return -EOPNOTSUPP;
    if (unlikely(f->inode->mode & (S_ISUID | S_ISGID)))
        overlay_drop_privileges(f->inode);
    return real->ops->fallocate(real, mode, off, len);
}

static s64 overlay_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct file *real = overlay_file_real(f);

    if (IS_ERR(real))
        return PTR_ERR(real);
    return real->ops->ioctl ? real->ops->ioctl(real, cmd, arg) : -ENOTTY;
}

static int overlay_set_flags(struct file *f, unsigned flags)
{
    struct file *real = overlay_file_real(f);
    int err;

    if (IS_ERR(real))
        return PTR_ERR(real);
    err = real->ops->set_flags ? real->ops->set_flags(real, flags) : 0;
    if (!err)
        WRITE_ONCE(real->flags, (real->flags & O_ACCMODE) | (flags & ~(unsigned)O_ACCMODE));
    return err;
}

const struct file_ops overlay_file_fops = {
    .read = overlay_read,
    .parts = overlay_parts,
    .write = overlay_write,
    .seek = overlay_seek,
    .mmap = overlay_mmap,
    .fsync = overlay_fsync,
    .sync_range = overlay_sync_range,
    .advise = overlay_advise,
    .fallocate = overlay_fallocate,
    .ioctl = overlay_ioctl,
    .set_flags = overlay_set_flags,
    .release = overlay_release,
};
