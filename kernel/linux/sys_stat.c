/* SPDX-License-Identifier: MIT
 *
 * What a name or a descriptor is: stat in its spellings, statfs, access.
 */
#include "linux/sys.h"
#include "linux/sys_cred.h"

/* struct stat of x86-64. */
struct stat_user {
    u64 dev, ino, nlink;
    u32 mode, uid, gid, pad;
    u64 rdev;
    s64 size, blksize, blocks;
    struct timespec_k atime, mtime, ctime;
    s64 unused[3];
};
static_assert(sizeof(struct stat_user) == 144, "struct stat");

static int stat_out(u64 uptr, const struct kstat *st)
{
    const struct user_ns *ns = current_cred()->user_ns;
    struct stat_user u = {
        .dev = st->dev,
        .ino = st->ino,
        .nlink = st->nlink,
        .mode = st->mode,
        .uid = user_ns_uid(ns, st->uid),
        .gid = user_ns_gid(ns, st->gid),
        .rdev = st->rdev,
        .size = (s64)st->size,
        .blksize = st->blksize,
        .blocks = (s64)st->blocks,
        .atime = st->atime,
        .mtime = st->mtime,
        .ctime = st->ctime,
    };
    return OUT(uptr, u);
}

static int stat_fd(u64 fd, struct kstat *st)
{
    struct fd_hold h = fd_hold_raw((int)fd);

    if (!h.file)
        return -EBADF;
    int err = file_stat(h.file, st);
    fd_release(h);
    return err;
}

static int stat_at(u64 dirfd, u64 name, u64 flags, struct kstat *st)
{
    char first;

    if (flags & AT_EMPTY_PATH && (s32)dirfd != AT_FDCWD && name && !IN(first, name) && !first)
        return stat_fd(dirfd, st);
    return walk_at_stat((s64)dirfd, name, flags, st);
}

s64 sys_newfstatat(s32 dirfd, u64 name, u64 uptr, u32 flags)
{
    struct kstat st;

    if (flags & ~(u64)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
        return -EINVAL;
    int err = stat_at(dirfd, name, flags, &st);
    return err ? err : stat_out(uptr, &st);
}

s64 sys_stat(u64 name, u64 uptr)
{
    return sys_newfstatat(AT_FDCWD, name, uptr, 0);
}

s64 sys_lstat(u64 name, u64 uptr)
{
    return sys_newfstatat(AT_FDCWD, name, uptr, AT_SYMLINK_NOFOLLOW);
}

s64 sys_fstat(s32 fd, u64 uptr)
{
    struct kstat st;
    int err = stat_fd(fd, &st);

    return err ? err : stat_out(uptr, &st);
}

struct statx_time {
    s64 sec;
    u32 nsec;
    s32 pad;
};
struct statx_user {
    u32 mask, blksize;
    u64 attributes;
    u32 nlink, uid, gid;
    u16 mode, pad1;
    u64 ino, size, blocks, attributes_mask;
    struct statx_time atime, btime, ctime, mtime;
    u32 rdev_major, rdev_minor, dev_major, dev_minor;
    u64 mnt_id, spare[13];
};
static_assert(sizeof(struct statx_user) == 256, "struct statx");
#define STATX_BASIC_STATS 0x7ffU
#define STATX_BTIME 0x800U
#define STATX_MNT_ID 0x1000U
#define STATX_ATTR_MOUNT_ROOT 0x2000U
#define STATX_TIME(t)                         \
    {                                         \
        .sec = (t).sec, .nsec = (u32)(t).nsec \
    }

static u32 dev_major_of(u64 dev)
{
    return (u32)((dev >> 32) & 0xfffff000) | (u32)((dev >> 8) & 0xfff);
}

static u32 dev_minor_of(u64 dev)
{
    return (u32)((dev >> 12) & 0xffffff00) | (u32)(dev & 0xff);
}

s64 sys_statx(s32 dirfd, u64 name, u32 flags, u32 mask, u64 uptr)
{
    const struct user_ns *ns = current_cred()->user_ns;
    struct kstat st;

    if (flags & ~(u64)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC) ||
        (flags & AT_STATX_SYNC) == AT_STATX_SYNC || mask & 0x80000000)
        return -EINVAL;
    int err = stat_at(dirfd, name, flags, &st);
    if (err)
        return err;
    struct statx_user u = {
        .mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID,
        .attributes = st.mount_root ? STATX_ATTR_MOUNT_ROOT : 0,
        .attributes_mask = STATX_ATTR_MOUNT_ROOT,
        .blksize = st.blksize,
        .nlink = st.nlink,
        .uid = user_ns_uid(ns, st.uid),
        .gid = user_ns_gid(ns, st.gid),
        .mode = (u16)st.mode,
        .ino = st.ino,
        .size = st.size,
        .blocks = st.blocks,
        .atime = STATX_TIME(st.atime),
        .btime = STATX_TIME(st.btime),
        .ctime = STATX_TIME(st.ctime),
        .mtime = STATX_TIME(st.mtime),
        .rdev_major = dev_major_of(st.rdev),
        .rdev_minor = dev_minor_of(st.rdev),
        .dev_major = dev_major_of(st.dev),
        .dev_minor = dev_minor_of(st.dev),
        .mnt_id = st.mount_id,
    };
    return OUT(uptr, u);
}

s64 sys_statfs(u64 name, u64 uptr)
{
    struct statfs_k fs = {0};
    struct path p;
    int err = walk_at_lookup(AT_FDCWD, name, 0, &p);

    if (err)
        return err;
    err = vfs_statfs(&p, &fs);
    path_put(&p);
    return err ? err : OUT(uptr, fs);
}

s64 sys_fstatfs(s32 fd, u64 uptr)
{
    struct fd_hold h = fd_hold_raw((int)fd);
    struct statfs_k fs = {0};

    if (!h.file)
        return -EBADF;
    struct path p;
    int err = file_get_path(h.file, &p);
    if (!err) {
        err = vfs_statfs(&p, &fs);
        path_put(&p);
    }
    fd_release(h);
    return err ? err : OUT(uptr, fs);
}

#define MS_NOEXEC 8

/* access(2) asks for the real ids, and for what they may do. NULL: what current has; ERR_PTR. */
static struct cred *access_cred(const struct cred *me)
{
    bool root = me->uid == user_ns_map_uid(me->user_ns, 0);
    u64 caps = me->securebits & SECBIT_NO_SETUID_FIXUP ? me->cap_effective
               : root                                  ? me->cap_permitted
                                                       : 0;
    struct cred *c;

    if (me->fsuid == me->uid && me->fsgid == me->gid && me->cap_effective == caps)
        return NULL;
    c = cred_copy(me);
    if (!c)
        return ERR_PTR(-ENOMEM);
    c->euid = c->fsuid = me->uid;
    c->egid = c->fsgid = me->gid;
    c->cap_effective = caps;
    return c;
}

static int access_judge(const struct path *p, const struct cred *cred, u32 mode)
{
    struct inode *i = dentry_inode(p->dentry);
    struct statfs_k fs;
    int err;

    if (mode & 1 && S_ISREG(i->mode) && path_mount_flags(p) & MS_NOEXEC)
        return -EACCES;
    err = mode ? inode_permission(i, cred, (int)mode) : 0;
    if (err || !(mode & 2) || !(S_ISREG(i->mode) || S_ISDIR(i->mode) || S_ISLNK(i->mode)))
        return err; /* a device is not written to by its file system */
    return vfs_statfs(p, &fs) == 0 && fs.flags & 1 ? -EROFS : 0;
}

/* The path is walked with the ids that are asked about, so a set-id program learns nothing of
 * places where its user may not go. */
static s64 dir_access(s32 dirfd, u64 name, u32 mode, u32 flags)
{
    unsigned walk =
        (flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) | (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0);
    struct cred *own;
    struct walk_at w;
    struct path p;
    int err;

    if (mode & ~7U || flags & ~(u32)(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    own = flags & AT_EACCESS ? NULL : access_cred(current_cred());
    if (IS_ERR(own))
        return PTR_ERR(own);
    err = walk_at_begin(&w, dirfd, name);
    if (!err) {
        if (own)
            w.walk.ctx.cred = own;
        err = vfs_lookup(&w.walk.ctx, w.from, w.name, walk, &p);
        if (!err) {
            err = access_judge(&p, w.walk.ctx.cred, mode);
            path_put(&p);
        }
        walk_at_end(&w);
    }
    if (own)
        cred_put(own);
    return err;
}

s64 sys_access(u64 name, s32 mode)
{
    return dir_access(AT_FDCWD, name, (u32)mode, 0);
}

s64 sys_faccessat(s32 dirfd, u64 name, s32 mode)
{
    return dir_access(dirfd, name, (u32)mode, 0);
}

s64 sys_faccessat2(s32 dirfd, u64 name, s32 mode, u32 flags)
{
    return dir_access(dirfd, name, (u32)mode, flags);
}
