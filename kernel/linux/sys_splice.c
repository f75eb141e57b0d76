/* SPDX-License-Identifier: MIT
 *
 * splice, tee, vmsplice: between a pipe and a file, or two pipes. Bytes are copied, at most sixteen
 * pages a call; what is read out of a file has its space in the pipe before, and what is taken out
 * of a pipe has arrived. Checks come in the order in which Linux looks.
 */
#include "linux/sys.h"
#include "obj/pipe.h"

enum { SPLICE_F_NONBLOCK = 2, SPLICE_F_ALL = 15 };

static bool splice_nonblock(const struct file *f, u32 flags)
{
    return (flags & SPLICE_F_NONBLOCK) || (READ_ONCE(f->flags) & O_NONBLOCK);
}

/* Regular files, devices and sockets; eventfds and their like take no splice. */
static bool splice_takes(struct file *f)
{
    struct kstat st;

    return file_stat(f, &st) == 0 &&
           (S_ISREG(st.mode) || S_ISCHR(st.mode) || S_ISBLK(st.mode) || S_ISSOCK(st.mode));
}

/* pos NULL: the file's own. */
static s64 splice_to_file(struct file *in, struct file *out, s64 *pos, u64 n, u32 flags)
{
    struct pipe_view v;
    struct iov_iter it;
    s64 r, done = 0;

    if ((pos && !out->ops->seek) || (out->flags & O_APPEND) || !out->ops->write ||
        !splice_takes(out))
        return -EINVAL;
    r = pipe_view_begin(in, n, splice_nonblock(in, flags), &v);
    if (r)
        return r;
    for (unsigned i = 0; i < v.n; i++) {
        iov_init_kernel(&it, v.part[i].data, v.part[i].len);
        r = file_write_limited(out, &it, pos ? pos : &out->pos);
        done += MAX(r, 0L);
        if (r < (s64)v.part[i].len)
            break;
    }
    pipe_view_end(&v, (u64)done);
    return done ? done : r;
}

/* A stream is asked once: a second time it might wait though there is something to give. */
static s64 splice_fill(struct file *in, s64 *pos, struct pipe_reservation *reserved, u64 n)
{
    bool stream = !in->ops->seek;
    struct iov_iter it;
    s64 r = 0, done = 0;

    for (unsigned i = 0; i < reserved->n && (u64)done < n; i++) {
        u64 want = MIN(n - (u64)done, PAGE_SIZE);

        iov_init_kernel(&it, page_virt(reserved->page[i]), want);
        r = file_read(in, &it, pos ? pos : &in->pos);
        done += MAX(r, 0L);
        if (r < (s64)want || stream)
            break;
        cond_yield();
    }
    return done ? done : r;
}

static s64 splice_from_file(struct file *in, s64 *pos, struct file *out, u64 n, u32 flags)
{
    struct pipe_reservation reserved;
    s64 r;

    if ((pos && !in->ops->seek) || !in->ops->read || !splice_takes(in))
        return -EINVAL;
    r = pipe_reserve_begin(out, n, splice_nonblock(out, flags), &reserved);
    if (r)
        return r;
    r = splice_fill(in, pos, &reserved, n);
    pipe_reserve_end(&reserved, (u64)MAX(r, 0L));
    return r;
}

/* One part of a view into another pipe, if it has space now; bytes or -errno. */
static s64 splice_part(const struct pipe_part *part, struct file *out)
{
    struct pipe_reservation reserved;
    int err = pipe_reserve_begin(out, part->len, true, &reserved);

    if (err)
        return err;
    memcpy(page_virt(reserved.page[0]), part->data, part->len);
    pipe_reserve_end(&reserved, part->len);
    return part->len;
}

/* Waits for bytes only. -EAGAIN: no space for them; with nonblock, or no bytes. */
static s64 splice_pipes_now(struct file *in, struct file *out, u64 n, bool nonblock, bool keep)
{
    struct pipe_view v;
    s64 r, done = 0;

    r = pipe_view_begin(in, n, nonblock, &v);
    if (r)
        return r;
    for (unsigned i = 0; i < v.n; i++) {
        r = splice_part(&v.part[i], out);
        if (r < 0)
            break;
        done += r;
    }
    pipe_view_end(&v, keep ? 0 : (u64)done);
    return done ? done : r;
}

/* keep: as tee(2) has it. It waits for bytes, and for space for the first of them; while it waits
 * for space others may read the bytes. */
static s64 splice_pipes(struct file *in, struct file *out, u64 n, u32 flags, bool keep)
{
    bool nonblock = splice_nonblock(in, flags) || splice_nonblock(out, flags);
    s64 r;

    if (in->priv == out->priv)
        return -EINVAL;
    for (;;) {
        r = splice_pipes_now(in, out, n, nonblock, keep);
        if (nonblock || r != -EAGAIN)
            return r;
        r = pipe_space_wait(out);
        if (r)
            return r;
        cond_yield();
    }
}

static s64 splice_files(struct file *in, u64 uin, struct file *out, u64 uout, u64 n, u32 flags)
{
    bool from_pipe = pipe_is(in), to_pipe = pipe_is(out);
    s64 pos_in = 0, pos_out = 0, r;

    if ((from_pipe && uin) || (to_pipe && uout))
        return -ESPIPE;
    if ((uout && IN(pos_out, uout)) || (uin && IN(pos_in, uin)))
        return -EFAULT;
    if (!file_readable(in) || !file_writable(out))
        return -EBADF;
    if (from_pipe && to_pipe)
        return splice_pipes(in, out, n, flags, false);
    if ((!from_pipe && !to_pipe) || pos_in < 0 || pos_out < 0)
        return -EINVAL;
    r = from_pipe ? splice_to_file(in, out, uout ? &pos_out : NULL, n, flags)
                  : splice_from_file(in, uin ? &pos_in : NULL, out, n, flags);
    if (r > 0 && ((uout && OUT(uout, pos_out)) || (uin && OUT(uin, pos_in))))
        return -EFAULT;
    return r;
}

s64 sys_splice(s32 fd_in, u64 uin, s32 fd_out, u64 uout, u64 n, u32 flags)
{
    struct fd_hold in, out;
    s64 r = -EBADF;

    if (!n)
        return 0;
    if (flags & ~(u32)SPLICE_F_ALL)
        return -EINVAL;
    in = fd_hold(fd_in);
    out = fd_hold(fd_out);
    if (in.file && out.file)
        r = splice_files(in.file, uin, out.file, uout, n, flags);
    fd_release(in);
    fd_release(out);
    return r;
}

s64 sys_tee(s32 fd_in, s32 fd_out, u64 n, u32 flags)
{
    struct fd_hold in, out;
    s64 r = -EBADF;

    if (flags & ~(u32)SPLICE_F_ALL)
        return -EINVAL;
    if (!n)
        return 0;
    in = fd_hold(fd_in);
    out = fd_hold(fd_out);
    if (in.file && out.file && file_readable(in.file) && file_writable(out.file))
        r = pipe_is(in.file) && pipe_is(out.file) ? splice_pipes(in.file, out.file, n, flags, true)
                                                  : -EINVAL;
    fd_release(in);
    fd_release(out);
    return r;
}

/* From memory into as much space as there is. */
static s64 splice_from_user(struct file *out, struct iov_iter *it, u32 flags)
{
    struct pipe_reservation reserved;
    s64 done = 0, r = pipe_reserve_begin(out, it->count, flags & SPLICE_F_NONBLOCK, &reserved);

    if (r)
        return r;
    for (unsigned i = 0; i < reserved.n && it->count; i++) {
        u64 want = MIN(it->count, PAGE_SIZE),
            got = iov_copy_from(it, page_virt(reserved.page[i]), want);

        done += (s64)got;
        if (got < want)
            break;
    }
    pipe_reserve_end(&reserved, (u64)done);
    return done ? done : -EFAULT;
}

static s64 splice_to_user(struct file *in, struct iov_iter *it, u32 flags)
{
    struct pipe_view v;
    s64 done = 0, r = pipe_view_begin(in, it->count, flags & SPLICE_F_NONBLOCK, &v);

    if (r)
        return r;
    for (unsigned i = 0; i < v.n; i++) {
        u64 got = iov_copy_to(it, v.part[i].data, v.part[i].len);

        done += (s64)got;
        if (got < v.part[i].len)
            break;
    }
    pipe_view_end(&v, (u64)done);
    return done || !v.n ? done : -EFAULT;
}

s64 sys_vmsplice(s32 fd, u64 uvec, u64 nr, u32 flags)
{
    struct fd_hold h;
    struct iov_in vec;
    struct iov_iter it;
    s64 r;

    if (flags & ~(u32)SPLICE_F_ALL)
        return -EINVAL;
    h = fd_hold(fd);
    if (!h.file)
        return -EBADF;
    r = iov_in_begin(&vec, uvec, nr);
    if (!r) {
        iov_init_segs(&it, vec.segs, vec.nr, vec.total);
        if (it.count && !pipe_is(h.file))
            r = -EBADF;
        else if (it.count)
            r = file_writable(h.file) ? splice_from_user(h.file, &it, flags)
                                      : splice_to_user(h.file, &it, flags);
        iov_in_end(&vec);
    }
    fd_release(h);
    return r;
}
