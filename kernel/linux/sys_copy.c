/* SPDX-License-Identifier: MIT
 *
 * Copying between open files: sendfile, copy_file_range. What cannot be done for a kind of file is
 * refused before a byte is taken out of it: programs fall back on read and write then.
 */
#include "linux/sys.h"

/* Moves up to n bytes through a kernel buffer; out_pos NULL: the file's own. */
static s64 file_copy(struct file *in, s64 *in_pos, struct file *out, s64 *out_pos, u64 n)
{
    u64 size = MIN(n, 64UL << 10), done = 0;
    char *buf = kmalloc(MAX(size, 1UL));
    s64 r = 0;

    if (!buf)
        return -ENOMEM;
    while (done < n) {
        struct iov_iter it;
        iov_init_kernel(&it, buf, MIN(size, n - done));
        s64 before = *in_pos;
        r = file_read(in, &it, in_pos);
        if (r <= 0)
            break;
        s64 got = r;
        iov_init_kernel(&it, buf, (u64)got);
        r = file_write_limited(out, &it, out_pos ? out_pos : &out->pos);
        if (r < got)
            *in_pos = before + MAX(r, 0L);
        if (r <= 0)
            break;
        done += (u64)r;
        if (r < got || signal_pending(current_task()))
            break;
        cond_yield();
    }
    kfree(buf);
    return done ? (s64)done : r;
}

/* A position that the user gave is written back there, else to the file. */
static int file_pos_back(struct file *f, u64 upos, s64 pos)
{
    if (upos)
        return OUT(upos, pos);
    mutex_lock(&f->pos_lock);
    f->pos = pos;
    mutex_unlock(&f->pos_lock);
    return 0;
}

static int sendfile_check(struct file *in, struct file *out, u64 upos, s64 pos)
{
    if (!file_readable(in) || !file_writable(out))
        return -EBADF;
    if (upos && !in->ops->seek)
        return -ESPIPE;
    if (pos < 0)
        return -EINVAL;
    if (!in->inode || !(S_ISREG(in->inode->mode) || S_ISBLK(in->inode->mode)))
        return -EINVAL; /* what is read from a stream and cannot be written would be lost */
    if (!in->ops->read || !out->ops->write)
        return -EINVAL;
    return out->flags & O_APPEND ? -EINVAL : 0;
}

s64 sys_sendfile(int fd_out, int fd_in, u64 upos, u64 n)
{
    struct fd_hold in = fd_hold(fd_in), out = fd_hold(fd_out);
    s64 pos = 0, r = -EFAULT;

    if (upos && IN(pos, upos))
        goto done;
    r = -EBADF;
    if (!in.file || !out.file)
        goto done;
    if (!upos)
        pos = in.file->pos;
    r = sendfile_check(in.file, out.file, upos, pos);
    if (!r && n)
        r = file_copy(in.file, &pos, out.file, NULL, MIN(n, MAX_RW_COUNT));
    if (r > 0 && file_pos_back(in.file, upos, pos))
        r = -EFAULT;
done:
    fd_release(in);
    fd_release(out);
    return r;
}

/* In the order in which Linux looks. */
static int copy_range_check_files(const struct file *in, const struct file *out)
{
    const struct inode *from = in->inode, *to = out->inode;

    if ((from && S_ISDIR(from->mode)) || (to && S_ISDIR(to->mode)))
        return -EISDIR;
    if (!from || !to || !S_ISREG(from->mode) || !S_ISREG(to->mode))
        return -EINVAL;
    if (!file_readable(in) || !file_writable(out) || out->flags & O_APPEND)
        return -EBADF;
    return from->super == to->super ? 0 : -EXDEV;
}

/* Also cuts *n down to what the source has. */
static int copy_range_check(struct file *in, s64 from, struct file *out, s64 to, u64 *n)
{
    struct kstat st;
    int err = copy_range_check_files(in, out);

    if (err)
        return err;
    if ((u64)from + *n < *n || (u64)to + *n < *n)
        return -EOVERFLOW;
    err = file_stat(in, &st);
    if (err)
        return err;
    *n = (u64)from >= st.size ? 0 : MIN(*n, st.size - (u64)from);
    if (in->inode == out->inode && to + (s64)*n > from && to < from + (s64)*n)
        return -EINVAL;
    return from < 0 || to < 0 ? -EINVAL : 0;
}

s64 sys_copy_file_range(int fd_in, u64 upos_in, int fd_out, u64 upos_out, u64 n, u32 flags)
{
    struct fd_hold in = fd_hold(fd_in), out = fd_hold(fd_out);
    s64 pos_in, pos_out, r = -EBADF;

    if (!in.file || !out.file)
        goto done;
    pos_in = in.file->pos;
    pos_out = out.file->pos;
    r = -EFAULT;
    if ((upos_in && IN(pos_in, upos_in)) || (upos_out && IN(pos_out, upos_out)))
        goto done;
    n = MIN(n, MAX_RW_COUNT);
    r = flags ? -EINVAL : copy_range_check(in.file, pos_in, out.file, pos_out, &n);
    if (!r && n)
        r = file_copy(in.file, &pos_in, out.file, &pos_out, n);
    if (r > 0 &&
        (file_pos_back(in.file, upos_in, pos_in) || file_pos_back(out.file, upos_out, pos_out)))
        r = -EFAULT;
done:
    fd_release(in);
    fd_release(out);
    return r;
}
