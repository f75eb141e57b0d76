/* SPDX-License-Identifier: MIT
 *
 * Calls on what a file holds as a whole: space for it, advice about it, bringing it to the disk.
 * They judge the kind of file first.
 */
#include "linux/sys.h"

#define FALLOC_FL_KEEP_SIZE 1
#define FALLOC_FL_KNOWN 0x7b /* all but NO_HIDE_STALE: file systems know fewer */

static s64 file_do_sync(u64 fd, bool data_only)
{
    struct fd_hold h = fd_hold((int)fd);

    if (!h.file)
        return -EBADF;
    s64 r = h.file->ops->fsync ? h.file->ops->fsync(h.file, data_only) : -EINVAL;
    fd_release(h);
    return r;
}

s64 sys_fsync(s32 fd)
{
    return file_do_sync(fd, false);
}

s64 sys_fdatasync(s32 fd)
{
    return file_do_sync(fd, true);
}

static bool file_has_pages(const struct file *f)
{
    return f->inode && (S_ISREG(f->inode->mode) || S_ISBLK(f->inode->mode));
}

static bool file_is_fifo(struct file *f)
{
    struct kstat st;

    return file_stat(f, &st) == 0 && S_ISFIFO(st.mode);
}

/* In the order in which Linux looks: the range, the mode, the rights, the kind of file. */
static s64 fallocate_check(struct file *f, s32 mode, s64 off, s64 len)
{
    const struct inode *i = f->inode;
    s64 end;

    if (off < 0 || len <= 0)
        return -EINVAL;
    if (mode & ~FALLOC_FL_KNOWN)
        return -EOPNOTSUPP;
    if (!file_writable(f))
        return -EBADF;
    if (file_is_fifo(f))
        return -ESPIPE;
    if (i && S_ISDIR(i->mode))
        return -EISDIR;
    if (!file_has_pages(f))
        return -ENODEV;
    if (add_overflows(off, len, &end))
        return -EFBIG;
    if (!(mode & FALLOC_FL_KEEP_SIZE) && (u64)end > rlimit_current(RLIMIT_FSIZE) &&
        (u64)end > file_size(f))
        return file_limit_reached();
    return f->ops->fallocate ? 0 : -EOPNOTSUPP;
}

s64 sys_fallocate(s32 fd, s32 mode, s64 off, s64 len)
{
    struct fd_hold h = fd_hold(fd);

    if (!h.file)
        return -EBADF;
    s64 r = fallocate_check(h.file, mode, off, len);
    if (!r)
        r = h.file->ops->fallocate(h.file, mode, (u64)off, (u64)len);
    fd_release(h);
    return r;
}

static void file_advise(struct file *f, u64 off, u64 len, u32 advice)
{
    u64 end;

    if (!f->ops->advise)
        return;
    if (!len || add_overflows(off, len, &end))
        end = U64_MAX;
    f->ops->advise(f, off, end, advice);
}

s64 sys_fadvise64(s32 fd, s64 off, u64 len, s32 advice)
{
    struct fd_hold h = fd_hold((int)fd);

    if (!h.file)
        return -EBADF;
    s64 r = file_is_fifo(h.file) ? -ESPIPE : (u32)advice > 5 || (s64)len < 0 ? -EINVAL : 0;
    if (!r)
        file_advise(h.file, (u64)off, len, (u32)advice);
    fd_release(h);
    return r;
}

s64 sys_readahead(s32 fd, s64 off, u64 count)
{
    struct fd_hold h = fd_hold((int)fd);

    if (!h.file)
        return -EBADF;
    s64 r = !file_readable(h.file) ? -EBADF : file_has_pages(h.file) ? 0 : -EINVAL;
    if (!r && count)
        file_advise(h.file, (u64)off, count, FADVISE_WILLNEED);
    fd_release(h);
    return r;
}

s64 sys_sync_file_range(s32 fd, s64 off, s64 len, u32 flags)
{
    struct fd_hold h;
    u64 end;

    if ((u32)flags & ~7U || (s64)off < 0 || (s64)len < 0 || add_overflows(off, len, &end) ||
        (s64)end < 0)
        return -EINVAL;
    h = fd_hold((int)fd);
    if (!h.file)
        return -EBADF;
    s64 r = 0;
    if (!file_has_pages(h.file) && !(h.file->inode && S_ISDIR(h.file->inode->mode)))
        r = -ESPIPE;
    else if (flags && h.file->ops->sync_range)
        r = h.file->ops->sync_range(h.file, (u64)off, len ? end : U64_MAX, flags);
    else if (flags && h.file->ops->fsync)
        r = h.file->ops->fsync(h.file, true);
    fd_release(h);
    return r;
}
