/* SPDX-License-Identifier: MIT
 *
 * Copying between open files: sendfile, copy_file_range. What cannot be done for a kind of file is
 * refused before a byte is taken out of it: programs fall back on read and write then.
 */
#include "linux/sys.h"
#include "mm/page.h"
#include "net/core/sock.h"
#include "vm/object.h"

#define SENDFILE_PARTS 16 /* pages that go at once */

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

static u64 parts_bytes(const struct page_part *parts, int nr)
{
    u64 n = 0;

    for (int i = 0; i < nr; i++)
        n += parts[i].len;
    return n;
}

static void parts_put(struct page_part *parts, int nr)
{
    for (int i = 0; i < nr; i++)
        page_put(parts[i].page);
}

/* Some pages of a file, at most n bytes, go to a socket: bytes; 0: at the end; -errno, -EOPNOTSUPP:
 * one of the two takes only copies. *more: what follows is to follow. */
static s64 file_send_some(struct file *in, s64 *pos, struct file *out, u64 n, bool *more)
{
    struct page_part parts[SENDFILE_PARTS];
    int nr = in->ops->parts(in, parts, SENDFILE_PARTS, *pos, n);
    u64 bytes;
    s64 r;

    if (nr <= 0)
        return nr;
    bytes = parts_bytes(parts, nr);
    *more = bytes < n;
    r = socket_send_pages(out, parts, (unsigned)nr, *more ? MSG_MORE : 0);
    parts_put(parts, nr);
    *more &= r == (s64)bytes;
    *pos += MAX(r, 0L);
    return r;
}

/* As many pages as go as they are; *copies: what follows does not. */
static s64 file_send_pages(struct file *in, s64 *pos, struct file *out, u64 n, bool *copies)
{
    bool more = true;
    u64 done = 0;
    s64 r = 0;

    while (more && done < n) {
        more = false;
        r = file_send_some(in, pos, out, n - done, &more);
        done += (u64)MAX(r, 0L);
        if (signal_pending(current_task()))
            break;
        cond_yield();
    }
    *copies = r == -EOPNOTSUPP;
    if (done && done < n && !*copies)
        (void)socket_send_pages(out, NULL, 0, 0);
    return done || *copies ? (s64)done : r;
}

/* A hole is seen by a copy alone. */
static s64 file_send(struct file *in, s64 *pos, struct file *out, u64 n)
{
    bool copies = true;
    s64 done = 0, r = 0;

    if (in->ops->parts && socket_of_file(out))
        done = file_send_pages(in, pos, out, n, &copies);
    if (copies)
        r = file_copy(in, pos, out, NULL, n - (u64)done);
    return done && r < 0 ? done : done + r;
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
        r = file_send(in.file, &pos, out.file, MIN(n, MAX_RW_COUNT));
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
