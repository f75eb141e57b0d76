/* SPDX-License-Identifier: MIT
 *
 * Copying between open files: sendfile, copy_file_range.
 */
#include "linux/sys.h"

/* Moves up to n bytes through a kernel buffer; NULL positions: the file's own. */
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
        r = file_write_limited(out, &it, out_pos);
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

static s64 file_copy_between(u64 fd_in, u64 upos_in, u64 fd_out, u64 upos_out, u64 n)
{
    struct fd_hold in = fd_hold((int)fd_in), out = fd_hold((int)fd_out);
    s64 pos_in = 0, pos_out = 0, r = -EBADF;

    if (!in.file || !out.file || !file_readable(in.file) || !file_writable(out.file))
        goto done;
    r = -EFAULT;
    if ((upos_in && IN(pos_in, upos_in)) || (upos_out && IN(pos_out, upos_out)))
        goto done;
    r = -EINVAL;
    if (pos_in < 0 || pos_out < 0)
        goto done;
    r = file_copy(in.file, upos_in ? &pos_in : &in.file->pos, out.file,
                  upos_out ? &pos_out : &out.file->pos, MIN(n, MAX_RW_COUNT));
    if (r >= 0 && ((upos_in && OUT(upos_in, pos_in)) || (upos_out && OUT(upos_out, pos_out))))
        r = -EFAULT;
done:
    fd_release(in);
    fd_release(out);
    return r;
}

s64 sys_sendfile(s32 out, s32 in, u64 upos, u64 n)
{
    return file_copy_between(in, upos, out, 0, n);
}

s64 sys_copy_file_range(s32 in, u64 upos_in, s32 out, u64 upos_out, u64 n, u32 flags)
{
    if (flags)
        return -EINVAL;
    return file_copy_between(in, upos_in, out, upos_out, n);
}
