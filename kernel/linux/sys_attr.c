/* SPDX-License-Identifier: MIT
 *
 * Changing what inodes say about themselves: mode, owner, size, times, extended attributes.
 */
#include "linux/sys.h"

#define UTIME_NOW 0x3fffffff
#define UTIME_OMIT 0x3ffffffe
#define XATTR_NAME_MAX 255
#define XATTR_SIZE_MAX 65536

static int attr_at(u64 dirfd, u64 name, u64 flags, const struct attr_change *ch)
{
    struct path p;
    int err = walk_at_lookup((s64)dirfd, name, flags, &p);

    if (err)
        return err;
    err = vfs_setattr(&p, current_cred(), ch);
    path_put(&p);
    return err;
}

static int attr_fd(u64 fd, const struct attr_change *ch)
{
    struct fd_hold h = fd_hold((int)fd);

    if (!h.file)
        return -EBADF;
    struct path p;
    int err = file_get_path(h.file, &p);
    if (!err) {
        err = vfs_setattr(&p, current_cred(), ch);
        path_put(&p);
    }
    fd_release(h);
    return err;
}

s64 sys_fchmodat(s32 dirfd, u64 name, u32 mode)
{
    struct attr_change ch = {.valid = ATTR_MODE, .mode = mode & 07777};

    return attr_at(dirfd, name, 0, &ch);
}

s64 sys_chmod(u64 name, u32 mode)
{
    return sys_fchmodat(AT_FDCWD, name, mode);
}

s64 sys_fchmod(s32 fd, u32 mode)
{
    struct attr_change ch = {.valid = ATTR_MODE, .mode = mode & 07777};

    return attr_fd(fd, &ch);
}

/* -1 leaves an id alone. */
static int attr_owner(u64 uid, u64 gid, struct attr_change *ch)
{
    const struct user_ns *ns = current_cred()->user_ns;

    *ch = (struct attr_change){.valid = ATTR_CHOWN};
    if ((u32)uid != ID_INVALID) {
        ch->valid |= ATTR_UID;
        ch->uid = user_ns_map_uid(ns, (u32)uid);
        if (ch->uid == ID_INVALID)
            return -EINVAL;
    }
    if ((u32)gid != ID_INVALID) {
        ch->valid |= ATTR_GID;
        ch->gid = user_ns_map_gid(ns, (u32)gid);
        if (ch->gid == ID_INVALID)
            return -EINVAL;
    }
    return 0;
}

s64 sys_fchownat(s32 dirfd, u64 name, u32 uid, u32 gid, u32 flags)
{
    struct attr_change ch;
    int err = attr_owner(uid, gid, &ch);

    if (flags & ~(u64)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return err ? err : attr_at(dirfd, name, flags, &ch);
}

s64 sys_chown(u64 name, u32 uid, u32 gid)
{
    return sys_fchownat(AT_FDCWD, name, uid, gid, 0);
}

s64 sys_lchown(u64 name, u32 uid, u32 gid)
{
    return sys_fchownat(AT_FDCWD, name, uid, gid, AT_SYMLINK_NOFOLLOW);
}

s64 sys_fchown(s32 fd, u32 uid, u32 gid)
{
    struct attr_change ch;
    int err = attr_owner(uid, gid, &ch);

    return err ? err : attr_fd(fd, &ch);
}

s64 sys_truncate(u64 name, s64 size)
{
    struct path p;
    struct file *f;
    u32 mode;

    if ((s64)size < 0)
        return -EINVAL;
    int err = walk_at_lookup(AT_FDCWD, name, 0, &p);
    if (err)
        return err;
    mode = dentry_inode(p.dentry)->mode;
    err = S_ISREG(mode)   ? vfs_open_path(&p, O_WRONLY, current_cred(), &f)
          : S_ISDIR(mode) ? -EISDIR
                          : -EINVAL;
    path_put(&p);
    if (err)
        return err;
    err = (int)file_resize_limited(f, size);
    file_put(f);
    return err;
}

static int attr_one_time(struct timespec_k *ts, u32 bit, u32 *valid)
{
    if (ts->nsec == UTIME_OMIT)
        return 0;
    if (ts->nsec == UTIME_NOW)
        *ts = vfs_now();
    else if (ts->nsec < 0 || ts->nsec >= (s64)NSEC_PER_SEC)
        return -EINVAL;
    *valid |= bit;
    return 0;
}

/* ts[2], or NULL for now. name 0: the descriptor itself. */
static s64 attr_times(u64 dirfd, u64 name, struct timespec_k *ts, u64 flags)
{
    struct attr_change ch = {0};

    if (ts && (ts[0].nsec != UTIME_NOW || ts[1].nsec != UTIME_NOW)) {
        int err = attr_one_time(&ts[0], ATTR_ATIME, &ch.valid);
        if (!err)
            err = attr_one_time(&ts[1], ATTR_MTIME, &ch.valid);
        if (err || !ch.valid) /* nothing to do: the path is not even looked at */
            return err;
        ch.valid |= ATTR_TIMES_GIVEN;
        ch.atime = ts[0];
        ch.mtime = ts[1];
    } else {
        ch.valid = ATTR_ATIME | ATTR_MTIME;
        ch.atime = ch.mtime = vfs_now();
    }
    if (!name)
        return attr_fd(dirfd, &ch);
    return attr_at(dirfd, name, flags, &ch);
}

s64 sys_utimensat(s32 dirfd, u64 name, u64 uts, u32 flags)
{
    struct timespec_k ts[2];

    if (flags & ~(u64)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (uts && IN(ts, uts))
        return -EFAULT;
    return attr_times(dirfd, name, uts ? ts : NULL, flags);
}

s64 sys_utimes(u64 name, u64 utv)
{
    struct timespec_k ts[2];

    if (utv && IN(ts, utv))
        return -EFAULT;
    for (int i = 0; utv && i < 2; i++) {
        if (ts[i].nsec < 0 || ts[i].nsec >= 1000000)
            return -EINVAL;
        ts[i].nsec *= 1000;
    }
    return attr_times(AT_FDCWD, name, utv ? ts : NULL, 0);
}

s64 sys_utime(u64 name, u64 ubuf)
{
    s64 buf[2];
    struct timespec_k ts[2] = {{0, 0}, {0, 0}};

    if (ubuf && IN(buf, ubuf))
        return -EFAULT;
    if (ubuf) {
        ts[0].sec = buf[0];
        ts[1].sec = buf[1];
    }
    return attr_times(AT_FDCWD, name, ubuf ? ts : NULL, 0);
}

/* Which object an xattr call is about: by name (follow or not) or descriptor. */
enum xattr_by { BY_NAME, BY_LINK, BY_FD };

static int xattr_path(enum xattr_by by, u64 who, struct path *p)
{
    if (by != BY_FD)
        return walk_at_lookup(AT_FDCWD, who, by == BY_LINK ? AT_SYMLINK_NOFOLLOW : 0, p);
    struct fd_hold h = fd_hold((int)who);
    int err = h.file ? file_get_path(h.file, p) : -EBADF;
    fd_release(h);
    return err;
}

static int xattr_name(char *name, u64 uname)
{
    ssize_t n = copy_string_in(name, (const char __user *)uname, XATTR_NAME_MAX + 1);

    if (n == -ENAMETOOLONG || n == 0)
        return -ERANGE;
    return n < 0 ? (int)n : 0;
}

static s64 xattr_set(enum xattr_by by, u64 who, u64 uname, u64 uval, u64 n, u64 flags)
{
    char name[XATTR_NAME_MAX + 1];
    struct path p;
    void *val = NULL;

    if (flags & ~3UL || flags == 3)
        return -EINVAL;
    if (n > XATTR_SIZE_MAX)
        return -E2BIG;
    int err = xattr_name(name, uname);
    if (err)
        return err;
    if (n) {
        val = kmalloc(n);
        if (!val)
            return -ENOMEM;
        err = copy_in(val, (const void __user *)uval, n);
    }
    if (!err)
        err = xattr_path(by, who, &p);
    if (!err) {
        err = vfs_setxattr(&p, current_cred(), name, val, n, (int)flags);
        path_put(&p);
    }
    kfree(val);
    return err;
}

/* uname 0: list the names. */
static s64 xattr_read(enum xattr_by by, u64 who, u64 uname, u64 uval, u64 n)
{
    char name[XATTR_NAME_MAX + 1];
    struct path p;
    void *val = NULL;
    s64 r = 0;

    if (uname && (r = xattr_name(name, uname)))
        return r;
    n = MIN(n, (u64)XATTR_SIZE_MAX);
    if (n && !(val = kmalloc(n)))
        return -ENOMEM;
    r = xattr_path(by, who, &p);
    if (!r) {
        r = uname ? vfs_getxattr(&p, current_cred(), name, val, n) : vfs_listxattr(&p, val, n);
        path_put(&p);
    }
    if (r > 0 && n && copy_out((void __user *)uval, val, (u64)r))
        r = -EFAULT;
    kfree(val);
    return r;
}

static s64 xattr_remove(enum xattr_by by, u64 who, u64 uname)
{
    char name[XATTR_NAME_MAX + 1];
    struct path p;
    int err = xattr_name(name, uname);

    if (!err)
        err = xattr_path(by, who, &p);
    if (err)
        return err;
    err = vfs_removexattr(&p, current_cred(), name);
    path_put(&p);
    return err;
}

#define XATTR_CALLS(prefix, by, who_t)                                         \
    s64 sys_##prefix##setxattr(who_t who, u64 name, u64 val, u64 n, u32 flags) \
    {                                                                          \
        return xattr_set(by, (u64)who, name, val, n, flags);                   \
    }                                                                          \
    s64 sys_##prefix##getxattr(who_t who, u64 name, u64 val, u64 n)            \
    {                                                                          \
        return name ? xattr_read(by, (u64)who, name, val, n) : -EFAULT;        \
    }                                                                          \
    s64 sys_##prefix##listxattr(who_t who, u64 val, u64 n)                     \
    {                                                                          \
        return xattr_read(by, (u64)who, 0, val, n);                            \
    }                                                                          \
    s64 sys_##prefix##removexattr(who_t who, u64 name)                         \
    {                                                                          \
        return xattr_remove(by, (u64)who, name);                               \
    }
XATTR_CALLS(, BY_NAME, u64)
XATTR_CALLS(l, BY_LINK, u64)
XATTR_CALLS(f, BY_FD, s32)
