/* SPDX-License-Identifier: MIT
 *
 * Calls on open files: read, write, seek, descriptors, ioctl and locks.
 */
#include "linux/sys.h"
#include "obj/pipe.h"

#define FIONBIO 0x5421
#define FIOCLEX 0x5451
#define FIONCLEX 0x5450
#define FIOASYNC 0x5452
#define FIONREAD 0x541B

enum fcntl_cmd {
    F_DUPFD = 0,
    F_GETFD = 1,
    F_SETFD = 2,
    F_GETFL = 3,
    F_SETFL = 4,
    F_GETLK = 5,
    F_SETLK = 6,
    F_SETLKW = 7,
    F_SETOWN = 8,
    F_GETOWN = 9,
    F_SETSIG = 10,
    F_GETSIG = 11,
    F_SETOWN_EX = 15,
    F_GETOWN_EX = 16,
    F_OFD_GETLK = 36,
    F_OFD_SETLK = 37,
    F_OFD_SETLKW = 38,
    F_SETLEASE = 1024,
    F_GETLEASE = 1025,
    F_DUPFD_CLOEXEC = 1030,
    F_SETPIPE_SZ = 1031,
    F_GETPIPE_SZ = 1032,
    F_ADD_SEALS = 1033,
    F_GET_SEALS = 1034,
};
#define FD_CLOEXEC 1
enum { RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_APPEND = 16 };
#define SEEK_LAST 4 /* SEEK_HOLE */
#define SETFL_MASK (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)

s64 file_limit_reached(void)
{
    signal_send_task(current_task(), SIGXFSZ, NULL);
    return -EFBIG;
}

/* setrlimit(2), RLIMIT_FSIZE: regular files do not grow beyond it. A write that starts below it is
 * cut short there. */
s64 file_write_limited(struct file *f, struct iov_iter *from, s64 *pos)
{
    u64 limit = rlimit_current(RLIMIT_FSIZE), at;

    if (likely(limit == RLIM_INFINITY) || !f->inode || !S_ISREG(f->inode->mode) || !from->count)
        return file_write(f, from, pos);
    at = f->flags & O_APPEND || from->append ? file_size(f) : (u64)*pos;
    if (at >= limit)
        return file_limit_reached();
    from->count = MIN(from->count, limit - at);
    return file_write(f, from, pos);
}

s64 file_resize_limited(struct file *f, u64 size)
{
    if (unlikely(size > rlimit_current(RLIMIT_FSIZE)) && f->inode && size > file_size(f))
        return file_limit_reached();
    return file_truncate(f, size);
}

s64 sys_read(s32 fd, u64 buf, u64 n)
{
    struct fd_hold h = fd_hold((int)fd);
    struct iovec_k seg;
    struct iov_iter it;

    if (!h.file)
        return -EBADF;
    n = MIN(n, MAX_RW_COUNT);
    s64 r = -EFAULT;
    if (user_range_ok(buf, n)) {
        iov_init_user(&it, &seg, (void __user *)buf, n);
        r = file_read(h.file, &it, &h.file->pos);
    }
    fd_release(h);
    return r;
}

s64 sys_write(s32 fd, u64 buf, u64 n)
{
    struct fd_hold h = fd_hold((int)fd);
    struct iovec_k seg;
    struct iov_iter it;

    if (!h.file)
        return -EBADF;
    n = MIN(n, MAX_RW_COUNT);
    s64 r = -EFAULT;
    if (user_range_ok(buf, n)) {
        iov_init_user(&it, &seg, (void __user *)buf, n);
        r = file_write_limited(h.file, &it, &h.file->pos);
    }
    fd_release(h);
    return r;
}

/* What was written has reached the disk, if flags (RWF_*) ask for that. */
static s64 file_write_flags(struct file *f, struct iov_iter *from, loff_t *pos, u32 flags)
{
    s64 n, err = 0;

    from->append = flags & RWF_APPEND;
    n = file_write_limited(f, from, pos);
    if (n > 0 && flags & (RWF_DSYNC | RWF_SYNC) && f->ops->fsync)
        err = f->ops->fsync(f, !(flags & RWF_SYNC));
    return err ? err : n;
}

/* pos NULL: the file's own. */
static s64 file_vector(u64 fd, u64 uvec, u64 nr, bool write, s64 *pos, u32 flags)
{
    struct fd_hold h = fd_hold((int)fd);
    struct iov_in v;
    struct iov_iter it;

    if (!h.file)
        return -EBADF;
    s64 r = iov_in_begin(&v, uvec, nr);
    if (!r) {
        loff_t *at = pos ? pos : &h.file->pos;
        iov_init_segs(&it, v.segs, v.nr, v.total);
        r = write ? file_write_flags(h.file, &it, at, flags) : file_read(h.file, &it, at);
        iov_in_end(&v);
    }
    fd_release(h);
    return r;
}

s64 sys_readv(s32 fd, u64 vec, u64 nr)
{
    return file_vector(fd, vec, nr, false, NULL, 0);
}

s64 sys_writev(s32 fd, u64 vec, u64 nr)
{
    return file_vector(fd, vec, nr, true, NULL, 0);
}

/* The flags of preadv2(2) and pwritev2(2): HIPRI is advice, the files that could say at once that
 * they would wait (NOWAIT) are none of ours. */
static s64 file_vector_flags(s32 fd, u64 vec, u64 nr, s64 pos, u32 flags, bool write)
{
    if (pos < -1)
        return -EINVAL;
    if (flags & ~(u32)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND))
        return -EOPNOTSUPP;
    return file_vector(fd, vec, nr, write, pos == -1 ? NULL : &pos, flags);
}

s64 sys_preadv2(s32 fd, u64 vec, u64 nr, s64 low, s64 high, u32 flags)
{
    return file_vector_flags(fd, vec, nr, low, flags, false);
}

s64 sys_pwritev2(s32 fd, u64 vec, u64 nr, s64 low, s64 high, u32 flags)
{
    return file_vector_flags(fd, vec, nr, low, flags, true);
}

s64 sys_preadv(s32 fd, u64 vec, u64 nr, s64 low, s64 high)
{
    return (s64)low < 0 ? -EINVAL : sys_preadv2(fd, vec, nr, low, high, 0);
}

s64 sys_pwritev(s32 fd, u64 vec, u64 nr, s64 low, s64 high)
{
    return (s64)low < 0 ? -EINVAL : sys_pwritev2(fd, vec, nr, low, high, 0);
}

static s64 file_at(u64 fd, u64 buf, u64 n, s64 pos, bool write)
{
    struct fd_hold h;
    struct iovec_k seg;
    struct iov_iter it;

    if (pos < 0)
        return -EINVAL;
    h = fd_hold((int)fd);
    if (!h.file)
        return -EBADF;
    n = MIN(n, MAX_RW_COUNT);
    s64 r = h.file->ops->seek || h.file->inode ? 0 : -ESPIPE;
    if (!r && !user_range_ok(buf, n))
        r = -EFAULT;
    if (!r) {
        iov_init_user(&it, &seg, (void __user *)buf, n);
        r = write ? file_write_limited(h.file, &it, &pos) : file_read(h.file, &it, &pos);
    }
    fd_release(h);
    return r;
}

s64 sys_pread64(s32 fd, u64 buf, u64 n, s64 pos)
{
    return file_at(fd, buf, n, (s64)pos, false);
}

s64 sys_pwrite64(s32 fd, u64 buf, u64 n, s64 pos)
{
    return file_at(fd, buf, n, (s64)pos, true);
}

s64 sys_lseek(s32 fd, s64 off, u32 whence)
{
    struct fd_hold h = fd_hold((int)fd);

    if (!h.file)
        return -EBADF;
    s64 r = (u32)whence > SEEK_LAST ? -EINVAL : -ESPIPE;
    if (r == -ESPIPE && h.file->ops->seek) {
        mutex_lock(&h.file->pos_lock);
        r = h.file->ops->seek(h.file, (loff_t)off, (int)whence);
        mutex_unlock(&h.file->pos_lock);
    }
    fd_release(h);
    return r;
}

s64 sys_close(s32 fd)
{
    int err = fd_close((int)fd);

    /* The descriptor is gone in any case: the call is not restarted. */
    return err == -ERESTARTSYS ? -EINTR : err;
}

s64 sys_close_range(u32 first, u32 last, u32 flags)
{
    if (flags & ~6UL || (u32)first > (u32)last)
        return -EINVAL;
    if (flags & 2) {
        int err = ns_unshare(CLONE_FILES);
        if (err)
            return err;
    }
    return fd_close_range((u32)first, (u32)last, flags & 4);
}

static s64 file_dup(u64 fd, u32 from, bool cloexec)
{
    struct file *f = fd_table_file(current_task()->files, (u32)fd);

    if (!f)
        return -EBADF;
    int to = fd_alloc(from, cloexec);
    if (to < 0)
        file_put(f);
    else
        fd_install(to, f);
    return to;
}

s64 sys_dup(s32 fd)
{
    return file_dup(fd, 0, false);
}

s64 sys_dup2(s32 fd, s32 to)
{
    if ((u32)fd == (u32)to) {
        int err = fd_get_cloexec((int)fd);
        return err < 0 ? err : (s64)(u32)to;
    }
    return fd_dup_to((int)fd, (int)to, false);
}

s64 sys_dup3(s32 fd, s32 to, u32 flags)
{
    if (flags & ~(u64)O_CLOEXEC || (u32)fd == (u32)to)
        return -EINVAL;
    return fd_dup_to((int)fd, (int)to, flags & O_CLOEXEC);
}

static s64 file_set_flags(struct file *f, u64 arg)
{
    u32 flags = (f->flags & ~(u32)SETFL_MASK) | (arg & SETFL_MASK);

    if (flags & ~f->flags & O_NOATIME && !file_is_owners(f)) /* as open(2) asks */
        return -EPERM;
    if (f->ops->set_flags) {
        int err = f->ops->set_flags(f, flags);
        if (err)
            return err;
    }
    WRITE_ONCE(f->flags, flags);
    return 0;
}

/* The number that another process has in the caller's namespace; 0: none there. */
static s32 file_lock_pid(s32 global)
{
    struct pid *pid = global > 0 ? pid_find(&pid_ns_init, (u32)global) : NULL;
    s32 nr = pid ? (s32)pid_nr(pid, current_pid_ns()) : 0;

    if (pid)
        pid_put(pid);
    return global > 0 ? nr : global;
}

/* A lock that was waited for, through a descriptor that another thread closed meanwhile: that close
 * has let all locks go but this one. A close takes the descriptor out first. */
static int file_lock_keep(struct file *f, void *owner, s32 fd, const struct flock_k *got)
{
    struct flock_k undo = *got;

    if (got->type == F_UNLCK || fd_names(fd, f))
        return 0;
    undo.type = F_UNLCK;
    if (file_lock(f, owner, F_SETLK, &undo)) /* no memory to split one: as the close did, all */
        file_lock_release(f, owner);
    return -EBADF;
}

static s64 file_record_lock(struct file *f, s32 fd, u64 cmd, u64 arg)
{
    struct flock_k fl;
    bool ofd = cmd >= F_OFD_GETLK;
    void *owner = ofd ? (void *)f : (void *)current_task()->files;

    if (IN(fl, arg))
        return -EFAULT;
    if (ofd && fl.pid)
        return -EINVAL;
    u64 base = ofd ? cmd - (F_OFD_GETLK - F_GETLK) : cmd;
    if (base != F_GETLK)
        fl.pid = ofd ? -1 : (s32)pid_nr(current_process()->pid, &pid_ns_init);
    int err = file_lock(f, owner, (int)base, &fl);
    if (!err && base != F_GETLK && !ofd)
        err = file_lock_keep(f, owner, fd, &fl);
    if (!err && base == F_GETLK) {
        if (fl.type != F_UNLCK)
            fl.pid = file_lock_pid(fl.pid);
        err = OUT(arg, fl);
    }
    return err;
}

static s64 file_control(struct file *f, u64 fd, u64 cmd, u64 arg)
{
    switch (cmd) {
    case F_GETFD:
        return fd_table_cloexec(current_task()->files, (u32)fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
        return fd_set_cloexec((int)fd, arg & FD_CLOEXEC);
    case F_GETFL:
        return f->flags & ~(u32)(O_CLOEXEC | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC);
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        if (arg >= rlimit_current(RLIMIT_NOFILE))
            return -EINVAL;
        return file_dup(fd, (u32)arg, cmd == F_DUPFD_CLOEXEC);
    }
    if (f->flags & O_PATH)
        return -EBADF;
    switch (cmd) {
    case F_SETFL:
        return file_set_flags(f, arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return file_record_lock(f, (s32)fd, cmd, arg);
    case F_SETOWN:
        return file_set_owner(f, (s32)arg);
    case F_GETOWN:
        return file_get_owner(f);
    case F_SETOWN_EX:
        return file_set_owner_ex(f, arg);
    case F_GETOWN_EX:
        return file_get_owner_ex(f, arg);
    case F_SETLEASE:
        return file_set_lease(f, (s32)fd, (s32)arg);
    case F_GETLEASE:
        return file_lease_get(f);
    case F_SETSIG:
        if (arg > NSIG)
            return -EINVAL;
        f->owner_sig = (u32)arg;
        return 0;
    case F_GETSIG:
        return f->owner_sig;
    case F_SETPIPE_SZ:
        return pipe_set_size(f, arg, capable(CAP_SYS_RESOURCE));
    case F_GETPIPE_SZ:
        return pipe_get_size(f);
    case F_ADD_SEALS:
        return (u32)arg ? MIN(tmpfs_seals(f, (u32)arg), 0L) : -EINVAL;
    case F_GET_SEALS:
        return tmpfs_seals(f, 0);
    default:
        return -EINVAL;
    }
}

s64 sys_fcntl(s32 fd, u32 cmd, u64 arg)
{
    struct fd_hold h = fd_hold_raw((int)fd);

    if (!h.file)
        return -EBADF;
    s64 r = file_control(h.file, fd, (u32)cmd, arg);
    fd_release(h);
    return r;
}

static s64 ioctl_set_flag(struct file *f, u64 arg, u32 flag)
{
    s32 on;

    if (IN(on, arg))
        return -EFAULT;
    return file_set_flags(f, on ? f->flags | flag : f->flags & ~flag);
}

static s64 file_ioctl(struct file *f, u64 fd, u32 cmd, u64 arg)
{
    switch (cmd) {
    case FIONBIO:
        return ioctl_set_flag(f, arg, O_NONBLOCK);
    case FIOASYNC:
        return ioctl_set_flag(f, arg, O_ASYNC);
    case FIOCLEX:
    case FIONCLEX:
        return fd_set_cloexec((int)fd, cmd == FIOCLEX);
    case FIONREAD:
        if (f->inode && S_ISREG(f->inode->mode)) {
            struct kstat st;
            int err = file_stat(f, &st);
            s32 left = err ? 0 : (s32)((s64)st.size - f->pos);
            return err ? err : OUT(arg, left);
        }
        break;
    }
    return f->ops->ioctl ? f->ops->ioctl(f, cmd, arg) : -ENOTTY;
}

s64 sys_ioctl(s32 fd, u32 cmd, u64 arg)
{
    struct fd_hold h = fd_hold((int)fd);

    if (!h.file)
        return -EBADF;
    s64 r = file_ioctl(h.file, fd, (u32)cmd, arg);
    fd_release(h);
    return r;
}

s64 sys_flock(s32 fd, s32 op)
{
    struct fd_hold h = fd_hold((int)fd);

    if (!h.file)
        return -EBADF;
    s64 r = file_flock(h.file, (int)op);
    fd_release(h);
    return r;
}

s64 sys_ftruncate(s32 fd, s64 size)
{
    struct fd_hold h;

    if ((s64)size < 0)
        return -EINVAL;
    h = fd_hold((int)fd);
    if (!h.file)
        return -EBADF;
    s64 r = file_writable(h.file) ? file_resize_limited(h.file, size) : -EINVAL;
    fd_release(h);
    return r;
}

static s64 pipe_make(u64 uptr, u64 flags)
{
    struct file *ends[2];
    s32 fds[2];

    if (flags & ~(u64)(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    int err = pipe_create((unsigned)flags & ~(unsigned)O_CLOEXEC, &ends[0], &ends[1]);
    if (err)
        return err;
    fds[0] = fd_alloc(0, flags & O_CLOEXEC);
    fds[1] = fds[0] < 0 ? fds[0] : fd_alloc(0, flags & O_CLOEXEC);
    err = fds[1] < 0 ? fds[1] : OUT(uptr, fds);
    if (err) {
        if (fds[1] >= 0)
            fd_cancel(fds[1]);
        if (fds[0] >= 0)
            fd_cancel(fds[0]);
        file_put(ends[0]);
        file_put(ends[1]);
        return err;
    }
    fd_install(fds[0], ends[0]);
    fd_install(fds[1], ends[1]);
    return 0;
}

s64 sys_pipe2(u64 uptr, u32 flags)
{
    return pipe_make(uptr, (u32)flags);
}

s64 sys_pipe(u64 uptr)
{
    return pipe_make(uptr, 0);
}
