/* SPDX-License-Identifier: MIT
 *
 * Calls on names: open, links, directories, and where a task is among them. What a name is, says
 * sys_stat.c.
 */
#include "linux/sys.h"

#define OPEN_FLAGS                                                                         \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |  \
     O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | \
     O_PATH | O_TMPFILE)

static s64 dir_open(u64 dirfd, u64 uname, u32 flags, u32 mode, unsigned walk_flags)
{
    struct walk_at w;
    struct file *f;

    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if ((flags & O_TMPFILE) == O_TMPFILE && !(flags & O_ACCMODE))
        return -EINVAL;
    int err = walk_at_begin_flags(&w, (s64)dirfd, uname, walk_flags);
    if (err)
        return err;
    u32 perm = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))
                   ? (mode & 07777) & ~current_task()->fs->umask
                   : 0;
    int fd = fd_alloc(0, flags & O_CLOEXEC); /* for want of a number nothing is made or emptied */
    err = fd < 0 ? fd
                 : vfs_open(&w.walk.ctx, w.from, w.name, flags & OPEN_FLAGS & ~(u32)O_CLOEXEC, perm,
                            walk_flags, &f);
    walk_at_end(&w);
    if (!err)
        fd_install(fd, f);
    else if (fd >= 0)
        fd_cancel(fd);
    return err ? err : fd;
}

s64 sys_open(u64 name, u32 flags, u32 mode)
{
    return dir_open(AT_FDCWD, name, (u32)flags, (u32)mode, 0);
}

s64 sys_creat(u64 name, u32 mode)
{
    return dir_open(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, (u32)mode, 0);
}

s64 sys_openat(s32 dirfd, u64 name, u32 flags, u32 mode)
{
    return dir_open(dirfd, name, (u32)flags, (u32)mode, 0);
}

/* struct open_how; RESOLVE_* from linux/openat2.h. */
s64 sys_openat2(s32 dirfd, u64 name, u64 uhow, u64 size)
{
    struct {
        u64 flags, mode, resolve;
    } how;
    unsigned walk = 0;

    if (size < sizeof(how))
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    int err = struct_in(&how, sizeof(how), uhow, size);
    if (err)
        return err;
    if (how.flags & ~(u64)OPEN_FLAGS || how.mode & ~07777UL || how.resolve & ~0x1fUL)
        return -EINVAL;
    if (how.mode && !(how.flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))))
        return -EINVAL;
    if ((how.resolve & 0x18) == 0x18)
        return -EINVAL;
    walk |= how.resolve & 1 ? WALK_NO_XDEV : 0;
    walk |= how.resolve & 2 ? WALK_NO_MAGIC : 0;
    walk |= how.resolve & 4 ? WALK_NO_SYMLINKS : 0;
    walk |= how.resolve & 8 ? WALK_BENEATH : 0;
    walk |= how.resolve & 16 ? WALK_IN_ROOT : 0;
    return dir_open(dirfd, name, (u32)how.flags, (u32)how.mode, walk);
}

/* linux_dirent64 records gathered in kernel memory, then copied at once. */
struct dirent_head {
    u64 ino;
    s64 off;
    u16 reclen;
    u8 type;
} __packed;
#define DIRENT_NAME_OFFSET 19
#define DIRENT_OLD_NAME_OFFSET 18

struct dir_buffer {
    struct dir_context ctx;
    u8 *buf;
    size_t size, used, last;
    bool old; /* getdents: no type byte before the name, but at the record's end */
    bool any, overflow;
};

static bool dir_emit(struct dir_context *ctx, const char *name, size_t len, u64 ino, unsigned type)
{
    struct dir_buffer *b = container_of(ctx, struct dir_buffer, ctx);
    size_t name_at = b->old ? DIRENT_OLD_NAME_OFFSET : DIRENT_NAME_OFFSET;
    size_t rec = ALIGN_UP(name_at + len + 1 + b->old, 8UL);

    if (b->any)
        ((struct dirent_head *)(b->buf + b->last))->off = ctx->pos;
    if (rec > b->size - b->used) {
        b->overflow = !b->any;
        return false;
    }
    u8 *at = b->buf + b->used;
    memset(at, 0, rec);
    *(struct dirent_head *)at = (struct dirent_head){ino, 0, (u16)rec, 0};
    if (b->old)
        at[rec - 1] = (u8)type;
    else
        at[18] = (u8)type;
    memcpy(at + name_at, name, len);
    b->last = b->used;
    b->used += rec;
    b->any = true;
    return true;
}

static s64 dir_read(u64 fd, u64 ubuf, u64 n, bool old)
{
    struct fd_hold h = fd_hold((int)fd);
    struct dir_buffer b = {.ctx.emit = dir_emit, .size = MIN((u64)(u32)n, 16384UL), .old = old};

    if (!h.file)
        return -EBADF;
    s64 r = -ENOMEM;
    b.buf = kmalloc(MAX(b.size, 24UL));
    if (b.buf) {
        mutex_lock(&h.file->pos_lock);
        b.ctx.pos = h.file->pos;
        r = file_readdir(h.file, &b.ctx);
        if (r >= 0 || b.any) {
            h.file->pos = b.ctx.pos;
            if (b.any)
                ((struct dirent_head *)(b.buf + b.last))->off = b.ctx.pos;
            r = b.overflow ? -EINVAL : (s64)b.used;
        }
        mutex_unlock(&h.file->pos_lock);
        cond_yield();
        if (r > 0 && copy_out((void __user *)ubuf, b.buf, (u64)r))
            r = -EFAULT;
        kfree(b.buf);
    }
    fd_release(h);
    return r;
}

s64 sys_getdents64(s32 fd, u64 buf, u32 n)
{
    return dir_read(fd, buf, n, false);
}

s64 sys_getdents(s32 fd, u64 buf, u32 n)
{
    return dir_read(fd, buf, n, true);
}

s64 sys_mkdirat(s32 dirfd, u64 name, u32 mode)
{
    struct walk_at w;
    int err = walk_at_begin(&w, (s64)dirfd, name);

    if (err)
        return err;
    err = vfs_mkdir(&w.walk.ctx, w.from, w.name, (mode & 01777) & ~current_task()->fs->umask);
    walk_at_end(&w);
    return err;
}

s64 sys_mkdir(u64 name, u32 mode)
{
    return sys_mkdirat(AT_FDCWD, name, mode);
}

s64 sys_mknodat(s32 dirfd, u64 name, u32 mode, u32 dev)
{
    struct walk_at w;
    u32 type = (u32)mode & S_IFMT;
    int err;

    if (S_ISDIR(type))
        return -EPERM;
    if (type && !S_ISREG(type) && !S_ISCHR(type) && !S_ISBLK(type) && !S_ISFIFO(type) &&
        !S_ISSOCK(type))
        return -EINVAL;
    err = walk_at_begin(&w, (s64)dirfd, name);
    if (err)
        return err;
    u32 m = (type ? type : S_IFREG) | ((mode & 07777) & ~current_task()->fs->umask);
    err = vfs_mknod(&w.walk.ctx, w.from, w.name, m, dev);
    walk_at_end(&w);
    return err;
}

s64 sys_mknod(u64 name, u32 mode, u32 dev)
{
    return sys_mknodat(AT_FDCWD, name, mode, dev);
}

s64 sys_symlinkat(u64 utarget, s32 dirfd, u64 name)
{
    struct walk_at w;
    char *target = name_in(utarget);

    if (IS_ERR(target))
        return PTR_ERR(target);
    int err = target[0] ? walk_at_begin(&w, (s64)dirfd, name) : -ENOENT;
    if (!err) {
        err = vfs_symlink(&w.walk.ctx, target, w.from, w.name);
        walk_at_end(&w);
    }
    name_free(target);
    return err;
}

s64 sys_symlink(u64 target, u64 name)
{
    return sys_symlinkat(target, AT_FDCWD, name);
}

s64 sys_linkat(s32 old_dir, u64 old_name, s32 new_dir, u64 new_name, u32 flags)
{
    struct walk_at w;
    struct path old;
    u64 walk = flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW;

    if (flags & ~(u64)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (flags & AT_EMPTY_PATH && !capable(CAP_DAC_READ_SEARCH))
        return -ENOENT;
    int err = walk_at_lookup((s64)old_dir, old_name, walk | (flags & AT_EMPTY_PATH), &old);
    if (err)
        return err;
    err = walk_at_begin(&w, (s64)new_dir, new_name);
    if (!err) {
        err = vfs_link(&w.walk.ctx, &old, w.from, w.name);
        walk_at_end(&w);
    }
    path_put(&old);
    return err;
}

s64 sys_link(u64 old_name, u64 new_name)
{
    return sys_linkat(AT_FDCWD, old_name, AT_FDCWD, new_name, 0);
}

s64 sys_unlinkat(s32 dirfd, u64 name, u32 flags)
{
    struct walk_at w;

    if (flags & ~(u64)AT_REMOVEDIR)
        return -EINVAL;
    int err = walk_at_begin(&w, (s64)dirfd, name);
    if (err)
        return err;
    err = flags & AT_REMOVEDIR ? vfs_rmdir(&w.walk.ctx, w.from, w.name)
                               : vfs_unlink(&w.walk.ctx, w.from, w.name);
    walk_at_end(&w);
    return err;
}

s64 sys_unlink(u64 name)
{
    return sys_unlinkat(AT_FDCWD, name, 0);
}

s64 sys_rmdir(u64 name)
{
    return sys_unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

s64 sys_renameat2(s32 old_dir, u64 old_name, s32 new_dir, u64 new_name, u32 flags)
{
    struct walk_at from, to;

    if (flags & ~7UL || (flags & 2 && flags & 5))
        return -EINVAL;
    int err = walk_at_begin(&from, (s64)old_dir, old_name);
    if (err)
        return err;
    err = walk_at_begin(&to, (s64)new_dir, new_name);
    if (!err) {
        err = vfs_rename(&from.walk.ctx, from.from, from.name, to.from, to.name, (unsigned)flags);
        walk_at_end(&to);
    }
    walk_at_end(&from);
    return err;
}

s64 sys_renameat(s32 old_dir, u64 old_name, s32 new_dir, u64 new_name)
{
    return sys_renameat2(old_dir, old_name, new_dir, new_name, 0);
}

s64 sys_rename(u64 old_name, u64 new_name)
{
    return sys_renameat2(AT_FDCWD, old_name, AT_FDCWD, new_name, 0);
}

static bool name_is_empty(u64 name)
{
    char first;

    return copy_in(&first, (const void __user *)name, 1) == 0 && first == '\0';
}

s64 sys_readlinkat(s32 dirfd, u64 name, u64 ubuf, u32 n)
{
    struct path p;

    if ((s32)n <= 0)
        return -EINVAL;
    int err = walk_at_lookup((s64)dirfd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &p);
    if (err)
        return err;
    char *buf = kmalloc(PATH_MAX);
    s64 r = buf ? vfs_readlink(&p, buf, PATH_MAX) : -ENOMEM;
    if (r >= 0) {
        r = MIN(r, (s64)(u32)n);
        if (copy_out((void __user *)ubuf, buf, (u64)r))
            r = -EFAULT;
    }
    if (r == -EINVAL && name_is_empty(name))
        r = -ENOENT; /* the descriptor names no link, so the empty path names nothing */
    kfree(buf);
    path_put(&p);
    return r;
}

s64 sys_readlink(u64 name, u64 buf, u32 n)
{
    return sys_readlinkat(AT_FDCWD, name, buf, n);
}

s64 sys_getcwd(u64 ubuf, u64 n)
{
    struct path root, cwd;
    char *buf = kmalloc(PATH_MAX);
    s64 r;

    if (!buf)
        return -ENOMEM;
    fs_context_paths(current_task()->fs, &root, &cwd);
    bool gone = path_is_unlinked(&cwd);
    /* getcwd(2): a directory outside the root is distinguished by what stands before its name. */
    static const char outside[] = "(unreachable)";
    bool reached;
    u64 before = sizeof(outside) - 1;
    char *at = path_name_reached(&cwd, &root, buf + before, PATH_MAX - before, &reached);
    path_put(&root);
    path_put(&cwd);
    if (gone) {
        r = -ENOENT;
    } else if (IS_ERR(at)) {
        r = PTR_ERR(at);
    } else {
        if (!reached)
            at = memcpy(at - before, outside, before);
        u64 len = strlen(at) + 1;
        r = len > n ? -ERANGE : copy_out((void __user *)ubuf, at, len) ? -EFAULT : (s64)len;
    }
    kfree(buf);
    return r;
}

s64 sys_chdir(u64 name)
{
    struct path p;
    int err = walk_at_lookup(AT_FDCWD, name, 0, &p);

    if (err)
        return err;
    struct inode *i = dentry_inode(p.dentry);
    err = S_ISDIR(i->mode) ? inode_permission(i, current_cred(), 1) : -ENOTDIR;
    if (!err)
        fs_set_cwd(current_task()->fs, &p);
    path_put(&p);
    return err;
}

s64 sys_fchdir(s32 fd)
{
    struct fd_hold h = fd_hold_raw((int)fd);

    if (!h.file)
        return -EBADF;
    int err = -ENOTDIR;
    if (h.file->inode && S_ISDIR(h.file->inode->mode))
        err = inode_permission(h.file->inode, current_cred(), 1);
    if (!err) {
        struct path p = {h.file->mount, h.file->dentry};
        fs_set_cwd(current_task()->fs, &p);
    }
    fd_release(h);
    return err;
}

s64 sys_chroot(u64 name)
{
    struct path p;

    if (!cred_capable(current_cred(), current_cred()->user_ns, CAP_SYS_CHROOT))
        return -EPERM;
    int err = walk_at_lookup(AT_FDCWD, name, 0, &p);
    if (err)
        return err;
    struct inode *i = dentry_inode(p.dentry);
    err = S_ISDIR(i->mode) ? inode_permission(i, current_cred(), 1) : -ENOTDIR;
    if (!err)
        fs_set_root(current_task()->fs, &p);
    path_put(&p);
    return err;
}

s64 sys_umask(u32 mask)
{
    return __atomic_exchange_n(&current_task()->fs->umask, (u32)mask & 0777, __ATOMIC_RELAXED);
}
