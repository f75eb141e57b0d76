/* SPDX-License-Identifier: MIT
 *
 * The calls that make and remove names: each walks to the directory, locks it, checks, and has the
 * file system do it.
 */
#include "arch/x86/percpu.h"
#include "dev/chrdev.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/thread.h"
#include "uapi/bpf.h"
#include "vfs/inotify.h"
#include "vfs/up.h"
#include "vfs/vfs_priv.h"

#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4

/* A new name: the directory is locked, its last component absent, and cred may create there. */
static int dir_begin_create(const struct walk_ctx *ctx, const struct path *at, const char *name,
                            bool is_dir, struct walk_last *last, struct dentry **out)
    TRY_ACQUIRES(0, dentry_inode(last->dir.dentry)->lock)
        NO_THREAD_SAFETY /* with the name, or not at all */
{
    struct dentry *d;
    int err = walk_to_last(ctx, at, name, 0, last);

    if (err)
        return err;
    if (last->kind != LAST_NAME) {
        walk_last_put(last);
        return -EEXIST;
    }
    rwlock_write_lock(&dentry_inode(last->dir.dentry)->lock);
    d = walk_child(last->dir.dentry, last->name, last->len, true);
    if (IS_ERR(d))
        err = PTR_ERR(d);
    else if (dentry_inode(d))
        err = -EEXIST;
    else if (last->slash && !is_dir)
        err = -ENOENT;
    else
        err = walk_may_create(&last->dir, ctx->cred);
    if (!err) {
        *out = d;
        return 0;
    }
    if (!IS_ERR(d))
        dentry_put(d);
    rwlock_write_unlock(&dentry_inode(last->dir.dentry)->lock);
    walk_last_put(last);
    return err;
}

/* event: what to tell the directory's watchers when err is 0. */
static void dir_end(struct walk_last *last, struct dentry *d, int err, u32 event)
    RELEASES(dentry_inode(last->dir.dentry)->lock)
{
    if (!err)
        notify_name(last->dir.dentry, d, event);
    rwlock_write_unlock(&dentry_inode(last->dir.dentry)->lock);
    dentry_put(d);
    walk_last_put(last);
}

int vfs_mkdir(const struct walk_ctx *ctx, const struct path *at, const char *name, u32 mode)
{
    struct walk_last last;
    struct dentry *d;
    struct inode *dir;
    int err = dir_begin_create(ctx, at, name, true, &last, &d);

    if (err)
        return err;
    dir = dentry_inode(last.dir.dentry);
    err = dir->ops->mkdir ? dir->ops->mkdir(dir, d, S_IFDIR | (mode & 01777), ctx->cred) : -EPERM;
    dir_end(&last, d, err, IN_CREATE);
    return err;
}

static int dir_mknod(const struct walk_ctx *ctx, const struct path *at, const char *name, u32 mode,
                     u64 rdev, struct path *out)
{
    struct walk_last last;
    struct dentry *d;
    struct inode *dir;
    int err = dir_begin_create(ctx, at, name, false, &last, &d);

    if (err)
        return err;
    dir = dentry_inode(last.dir.dentry);
    mode = inode_new_mode(dir, mode, ctx->cred);
    if (S_ISREG(mode))
        err = dir->ops->create ? dir->ops->create(dir, d, mode, ctx->cred) : -EPERM;
    else
        err = dir->ops->mknod ? dir->ops->mknod(dir, d, mode, rdev, ctx->cred) : -EPERM;
    if (!err && out) {
        *out = (struct path){last.dir.mount, d};
        path_get(out);
    }
    dir_end(&last, d, err, IN_CREATE);
    return err;
}

/* A whiteout (character device 0:0) is no device: any user may make one, as on Linux. */
int vfs_mknod(const struct walk_ctx *ctx, const struct path *at, const char *name, u32 mode,
              u64 rdev)
{
    switch (mode & S_IFMT) {
    case 0:
        mode |= S_IFREG;
        break;
    case S_IFCHR:
    case S_IFBLK:
        if (!(S_ISCHR(mode) && rdev == 0) && !cred_capable(ctx->cred, &user_ns_init, CAP_MKNOD))
            return -EPERM;
        if (!up_device_allowed(S_ISBLK(mode), dev_major(rdev), dev_minor(rdev), DEVICE_MKNOD))
            return -EPERM;
        break;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
    return dir_mknod(ctx, at, name, mode, rdev, NULL);
}

int vfs_bind_socket(const struct walk_ctx *ctx, const char *name, u32 mode, struct path *out)
{
    int err = dir_mknod(ctx, NULL, name, S_IFSOCK | (mode & 07777), 0, out);

    return err == -EEXIST ? -EADDRINUSE : err;
}

int vfs_symlink(const struct walk_ctx *ctx, const char *target, const struct path *at,
                const char *name)
{
    struct walk_last last;
    struct dentry *d;
    struct inode *dir;
    int err;

    if (!*target)
        return -ENOENT;
    err = dir_begin_create(ctx, at, name, false, &last, &d);
    if (err)
        return err;
    dir = dentry_inode(last.dir.dentry);
    err = dir->ops->symlink ? dir->ops->symlink(dir, d, target, ctx->cred) : -EPERM;
    dir_end(&last, d, err, IN_CREATE);
    return err;
}

/* protected_hardlinks (proc(5)): another user's file may be linked only by a process that may read
 * and write it, and never when it has a set-id bit: a name of one's own for it would outlive its
 * repair. */
static bool dir_may_link(struct inode *i, const struct cred *cred)
{
    bool set_id = (i->mode & S_ISUID) || (i->mode & (S_ISGID | 010)) == (S_ISGID | 010);

    if (inode_owner_or_capable(i, cred))
        return true;
    return S_ISREG(i->mode) && !set_id && inode_permission(i, cred, 4 | 2) == 0;
}

int vfs_link(const struct walk_ctx *ctx, const struct path *old, const struct path *at,
             const char *name)
{
    struct inode *inode = dentry_inode(old->dentry), *dir;
    struct walk_last last;
    struct dentry *d;
    int err;

    err = dir_begin_create(ctx, at, name, false, &last, &d);
    if (err)
        return err;
    dir = dentry_inode(last.dir.dentry);
    if (last.dir.mount != old->mount || dir->super != inode->super)
        err = -EXDEV;
    else if (S_ISDIR(inode->mode) || !dir_may_link(inode, ctx->cred) || !dir->ops->link)
        err = -EPERM;
    else if (inode->never_linked)
        err = -ENOENT;
    else
        err = dir->ops->link(dir, d, inode);
    dir_end(&last, d, err, IN_CREATE);
    return err;
}

/* Watchers of the inode itself: it has a link less, or is gone. */
static void dir_tell_unlinked(const struct path *dir, struct dentry *d)
{
    struct path p = {dir->mount, d};

    if (!S_ISDIR(dentry_inode(d)->mode))
        inotify_tell_inode(dentry_inode(d), IN_ATTRIB);
    if (path_has_no_links(&p))
        inotify_tell_unlinked(d);
}

int inode_rmdir_locked(struct inode *dir, struct dentry *d)
{
    struct inode *victim = dentry_inode(d);
    int err;

    ASSERT_HELD_WRITE(&dir->lock);
    if (!dir->ops->rmdir)
        return -EPERM;
    rwlock_write_lock_nested(&victim->lock); /* below its directory */
    err = dir->ops->rmdir(dir, d);
    rwlock_write_unlock(&victim->lock);
    return err;
}

/* Asked of a name that is marked as gone. */
static bool dir_mounted(const struct dentry *d)
{
    smp_mb(); /* pairs with mount_placed */
    return unlikely(READ_ONCE(d->mounts));
}

static int dir_remove(const struct walk_ctx *ctx, const struct path *at, const char *name,
                      bool is_dir)
{
    struct walk_last last;
    struct dentry *d, *gone = NULL; /* removed, and other namespaces have mounts on it */
    struct inode *dir;
    int err = walk_to_last(ctx, at, name, 0, &last);

    if (err)
        return err;
    if (last.kind != LAST_NAME) {
        err = !is_dir                    ? -EISDIR
              : last.kind == LAST_DOT    ? -EINVAL
              : last.kind == LAST_DOTDOT ? -ENOTEMPTY
                                         : -EBUSY;
        walk_last_put(&last);
        return err;
    }
    dir = dentry_inode(last.dir.dentry);
    rwlock_write_lock(&dentry_inode(last.dir.dentry)->lock);
    d = walk_child(last.dir.dentry, last.name, last.len, true);
    if (IS_ERR(d)) {
        rwlock_write_unlock(&dentry_inode(last.dir.dentry)->lock);
        walk_last_put(&last);
        return PTR_ERR(d);
    }
    if (!dentry_inode(d))
        err = -ENOENT;
    else if (last.slash && !is_dir)
        err = S_ISDIR(dentry_inode(d)->mode) ? -EISDIR : -ENOTDIR;
    else
        err = walk_may_delete(ctx, &last.dir, d, is_dir);
    ASSERT_HELD_WRITE(&dir->lock); /* the same lock, as the callee names it */
    if (!err)
        err = is_dir             ? inode_rmdir_locked(dir, d)
              : dir->ops->unlink ? dir->ops->unlink(dir, d)
                                 : -EPERM;
    if (!err)
        dentry_delete(d);
    if (!err && READ_ONCE(inotify_watches))
        dir_tell_unlinked(&last.dir, d);
    if (!err && dir_mounted(d))
        gone = d;
    if (gone)
        dentry_get(gone);
    dir_end(&last, d, err, IN_DELETE);
    if (gone) {
        mount_drop_on(gone);
        dentry_put(gone);
    }
    return err;
}

int vfs_unlink(const struct walk_ctx *ctx, const struct path *at, const char *name)
{
    return dir_remove(ctx, at, name, false);
}

int vfs_rmdir(const struct walk_ctx *ctx, const struct path *at, const char *name)
{
    return dir_remove(ctx, at, name, true);
}

/* ------------------------------------------------------------- rename */

/* The names are put when nothing is locked any more: with what is replaced its contents go. */
struct rename {
    struct walk_last from, to;
    struct dir_pair dirs;     /* both NULL: it is one */
    struct dentry *old, *new; /* references, or NULL */
    struct inode *busy;       /* of new, and in use: begin again when it is not */
    struct inode *claimed;    /* it was: dir_claim */
    bool gone;                /* new was replaced, and other namespaces may have mounts on it */
    unsigned flags;
};

static int rename_lock(struct rename *r) NO_THREAD_SAFETY /* one directory or a pair */
{
    struct dentry *from = r->from.dir.dentry, *to = r->to.dir.dentry;

    if (dentry_inode(from) != dentry_inode(to)) { /* of one mount */
        r->dirs = (struct dir_pair){.a = from, .b = to};
        return dir_pair_lock(&r->dirs);
    }
    rwlock_write_lock(&dentry_inode(from)->lock);
    return 0;
}

static void rename_unlock(struct rename *r) NO_THREAD_SAFETY /* what rename_lock took */
{
    if (r->dirs.a)
        dir_pair_unlock(&r->dirs);
    else
        rwlock_write_unlock(&dentry_inode(r->from.dir.dentry)->lock);
}

static int rename_check_target(struct rename *r, const struct walk_ctx *ctx)
{
    struct inode *old = dentry_inode(r->old), *new = dentry_inode(r->new);

    if (!new)
        return walk_may_create(&r->to.dir, ctx->cred);
    if (r->flags & RENAME_EXCHANGE)
        return walk_may_delete(ctx, &r->to.dir, r->new, S_ISDIR(new->mode));
    return walk_may_delete(ctx, &r->to.dir, r->new, S_ISDIR(old->mode));
}

/* What the names alone forbid, in the order in which Linux looks. */
static int rename_check_names(const struct rename *r)
{
    const struct inode *old = dentry_inode(r->old), *new = dentry_inode(r->new);
    bool exchange = r->flags & RENAME_EXCHANGE;

    if (!old)
        return -ENOENT;
    if (new && (r->flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (exchange && !new)
        return -ENOENT;
    if (exchange && !S_ISDIR(new->mode) && r->to.slash)
        return -ENOTDIR;
    if (!S_ISDIR(old->mode) && (r->from.slash || (!exchange && r->to.slash)))
        return -ENOTDIR;
    /* neither name is, or is above, the other one's directory */
    if (r->old == r->dirs.under_a)
        return -EINVAL;
    if (r->new == r->dirs.under_b)
        return exchange ? -EINVAL : -ENOTEMPTY;
    return 0;
}

static int rename_check(struct rename *r, const struct walk_ctx *ctx)
{
    struct inode *old = dentry_inode(r->old);
    int err = rename_check_names(r);

    if (err)
        return err;
    if (old == dentry_inode(r->new))
        return 0; /* two links to one file: rename_perform does nothing */
    err = walk_may_delete(ctx, &r->from.dir, r->old, S_ISDIR(old->mode));
    if (err)
        return err;
    err = rename_check_target(r, ctx);
    if (err)
        return err;
    /* Moving a directory changes its "..". */
    if (r->from.dir.dentry == r->to.dir.dentry)
        return 0;
    err = S_ISDIR(old->mode) ? inode_permission(old, ctx->cred, 2) : 0;
    if (!err && (r->flags & RENAME_EXCHANGE) && S_ISDIR(dentry_inode(r->new)->mode))
        err = inode_permission(dentry_inode(r->new), ctx->cred, 2);
    return err;
}

static void rename_tell(const struct rename *r)
{
    const struct inode *moved = dentry_inode(r->old);
    u32 cookie = inotify_cookie();

    inotify_tell_name(r->from.dir.dentry, r->from.name, r->from.len, moved, IN_MOVED_FROM, cookie);
    inotify_tell_name(r->to.dir.dentry, r->to.name, r->to.len, moved, IN_MOVED_TO, cookie);
    inotify_tell_inode(dentry_inode(r->old), IN_MOVE_SELF);
    if (!dentry_inode(r->new))
        return;
    if (r->flags & RENAME_EXCHANGE)
        inotify_tell_inode(dentry_inode(r->new), IN_MOVE_SELF);
    else
        dir_tell_unlinked(&r->to.dir, r->new);
}

static int
rename_perform(struct rename *r) NO_THREAD_SAFETY /* a directory that is replaced, if it is one */
{
    struct inode *from = dentry_inode(r->from.dir.dentry), *to = dentry_inode(r->to.dir.dentry);
    struct inode *victim;
    int err;

    if (dentry_inode(r->old) == dentry_inode(r->new))
        return 0; /* two links to one file: nothing to do */
    if (!from->ops->rename)
        return -EPERM;
    /* A directory that goes is locked, as in rmdir. It is an ancestor of neither parent. */
    victim = r->flags & RENAME_EXCHANGE ? NULL : dentry_inode(r->new);
    if (victim && !S_ISDIR(victim->mode))
        victim = NULL;
    if (victim && !dir_pair_lock_replaced(&r->dirs, victim)) {
        r->busy = victim;
        return -EBUSY;
    }
    err = from->ops->rename(from, r->old, to, r->new, r->flags);
    if (victim)
        rwlock_write_unlock(&victim->lock);
    if (err)
        return err;
    if (r->flags & RENAME_EXCHANGE)
        dentry_exchange(r->old, r->new);
    else
        dentry_move(r->old, r->new);
    dir_pair_end_moves(&r->dirs); /* watchers may be many */
    if (READ_ONCE(inotify_watches))
        rename_tell(r);
    r->gone = !(r->flags & RENAME_EXCHANGE) && dir_mounted(r->new);
    return 0;
}

static int rename_locked(struct rename *r, const struct walk_ctx *ctx)
{
    struct dentry *d = walk_child(r->from.dir.dentry, r->from.name, r->from.len, true);
    int err;

    if (IS_ERR(d))
        return PTR_ERR(d);
    r->old = d;
    d = walk_child(r->to.dir.dentry, r->to.name, r->to.len, true);
    if (IS_ERR(d))
        return PTR_ERR(d);
    r->new = d;
    err = rename_check(r, ctx);
    return err ? err : rename_perform(r);
}

/* One try. *again: what it would replace was in use, and is not any more. */
static int rename_try(struct rename *r, const struct walk_ctx *ctx, bool *again)
{
    int err = rename_lock(r);

    *again = false;
    if (!err) {
        err = rename_locked(r, ctx);
        rename_unlock(r);
    }
    dir_unclaim(&r->claimed);
    if (likely(!r->busy))
        return err;
    err = dir_claim(&r->claimed, r->busy);
    r->busy = NULL;
    dentry_put(r->new);
    dentry_put(r->old);
    r->new = r->old = NULL;
    *again = !err;
    return err;
}

int vfs_rename(const struct walk_ctx *ctx, const struct path *old_at, const char *old_name,
               const struct path *new_at, const char *new_name, unsigned flags)
{
    struct rename r = {.flags = flags};
    bool again = true;
    int err;

    if ((flags & ~7U) || ((flags & RENAME_EXCHANGE) && (flags & ~(unsigned)RENAME_EXCHANGE)))
        return -EINVAL;
    err = walk_to_last(ctx, old_at, old_name, 0, &r.from);
    if (err)
        return err;
    err = walk_to_last(ctx, new_at, new_name, 0, &r.to);
    if (err)
        goto put_from;
    if (r.from.dir.mount != r.to.dir.mount)
        err = -EXDEV;
    else if (r.from.kind != LAST_NAME)
        err = -EBUSY;
    else if (r.to.kind != LAST_NAME)
        err = flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
    if (!err)
        while (again)
            err = rename_try(&r, ctx, &again);
    dir_unclaim(&r.claimed);
    if (r.gone)
        mount_drop_on(r.new);
    dentry_put(r.new);
    dentry_put(r.old);
    walk_last_put(&r.to);
put_from:
    walk_last_put(&r.from);
    return err;
}
