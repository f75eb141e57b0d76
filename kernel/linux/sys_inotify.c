/* SPDX-License-Identifier: MIT
 *
 * inotify: the calls; vfs has the watches.
 */
#include "linux/sys.h"
#include "vfs/inotify.h"

/* Bits that only events carry are taken too, and ask for nothing: libmount passes IN_ISDIR. */
#define IN_KNOWN                                                                                   \
    (IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | \
     IN_ONESHOT | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ISDIR)

s64 sys_inotify_init1(u32 flags)
{
    if (flags & ~(u64)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    struct file *f = inotify_create((unsigned)flags);
    return IS_ERR(f) ? PTR_ERR(f) : fd_publish(f, flags & O_CLOEXEC);
}

s64 sys_inotify_init(void)
{
    return sys_inotify_init1(0);
}

s64 sys_inotify_add_watch(s32 fd, u64 uname, u32 mask)
{
    struct fd_hold h;
    struct path p;
    int err;

    if ((u32)mask & ~(u32)IN_KNOWN)
        return -EINVAL;
    h = fd_hold((int)fd);
    if (!h.file)
        return -EBADF;
    err = walk_at_lookup(AT_FDCWD, uname, mask & IN_DONT_FOLLOW ? AT_SYMLINK_NOFOLLOW : 0, &p);
    if (!err) {
        err = inotify_add(h.file, &p, (u32)mask, current_cred());
        path_put(&p);
    }
    fd_release(h);
    return err;
}

s64 sys_inotify_rm_watch(s32 fd, s32 wd)
{
    struct fd_hold h = fd_hold((int)fd);

    if (!h.file)
        return -EBADF;
    int err = inotify_remove(h.file, (int)wd);
    fd_release(h);
    return err;
}
