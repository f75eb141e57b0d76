/* SPDX-License-Identifier: MIT
 *
 * mount(2), umount2(2), pivot_root(2).
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "vfs/mount_priv.h"
#include "vfs/up.h"

#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_MOVE 8192
#define MS_REC 16384
#define MS_SILENT 32768
#define MS_UNBINDABLE (1 << 17)
#define MS_PRIVATE (1 << 18)
#define MS_SLAVE (1 << 19)
#define MS_SHARED (1 << 20)
#define MS_PROPAGATION (MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED)
#define MNT_FORCE 1
#define MNT_DETACH 2
#define UMOUNT_NOFOLLOW 8
#define MOUNTS_MAX 100000 /* per namespace, as fs.mount-max */

/* What is on top at a place that was reached without crossing ("." of a covered directory): all
 * that mounts and unmounts there concerns the topmost. Takes place's references, returns others. */
static struct path mount_topmost(const struct path *place)
{
    struct path top = *place;
    struct mount *over;

    while ((over = mount_lookup(top.mount, top.dentry))) {
        path_put(&top);
        dentry_get(over->root);
        top = (struct path){over, over->root};
        cond_yield();
    }
    return top;
}

static bool mount_is_directory(const struct path *p)
{
    return S_ISDIR(dentry_inode(p->dentry)->mode);
}

/* Whether m may be hung there. */
static int mount_check_place_locked(const struct mount *m, const struct path *place,
                                    const struct walk_ctx *ctx) REQUIRES(mount_trees)
{
    ASSERT_HELD(&mount_trees);
    if (mount_is_directory(place) != S_ISDIR(dentry_inode(m->root)->mode))
        return -ENOTDIR;
    if (place->dentry->flags & DENTRY_UNLINKED)
        return -ENOENT;
    return place->mount->ns == ctx->ns ? 0 : -EINVAL;
}

static int mount_graft_at(struct mount *m, const struct path *target, const struct walk_ctx *ctx)
{
    int err;

    mutex_lock(&mount_trees);
    err = mount_check_place_locked(m, target, ctx);
    if (!err && ctx->ns->count + mount_count_locked(m) > MOUNTS_MAX)
        err = -ENOSPC;
    if (!err) {
        mount_change_begin();
        mount_attach_locked(m, target->mount, target->dentry);
        mount_change_end();
        mount_set_ns_locked(m, ctx->ns);
    }
    mutex_unlock(&mount_trees);
    if (err) {
        mount_dissolve(m);
        return err;
    }
    mount_put(m); /* the tree has its own */
    mount_placed(target->dentry);
    mount_ns_changed(ctx->ns);
    return 0;
}

/* Puts a loose mount (and what is on it) at target; consumes the caller's reference. */
static int mount_graft(struct mount *m, const struct path *target, const struct walk_ctx *ctx)
{
    struct path top;
    int err;

    path_get(target);
    top = mount_topmost(target);
    err = mount_graft_at(m, &top, ctx);
    path_put(&top);
    return err;
}

static int mount_new(const struct walk_ctx *ctx, const char *source, const struct path *target,
                     const char *type, u32 flags, const char *options)
{
    const struct fs_type *t = type ? fs_type_find(type) : NULL;
    struct super *super;
    struct mount *m;
    int err;

    if (!type)
        return -EINVAL;
    if (!t)
        return -ENODEV;
    err = t->mount(t, ctx, source, flags, options ? options : "", &super);
    if (err)
        return err;
    super->flags |= flags & MS_PER_SUPER;
    m = mount_alloc(super, super->root, source, flags);
    return m ? mount_graft(m, target, ctx) : -ENOMEM;
}

static int mount_bind(const struct walk_ctx *ctx, const char *source, const struct path *target,
                      bool deep)
{
    struct mount_copy *list = NULL;
    struct path from;
    u64 n = 0;
    int err;

    if (!source)
        return -EINVAL;
    err = vfs_lookup(ctx, NULL, source, WALK_FOLLOW, &from);
    if (err)
        return err;
    /* a mount of another namespace is not to be had by way of its processes' /proc */
    err = READ_ONCE(from.mount->ns) != ctx->ns
              ? -EINVAL
              : mount_copy_tree(from.mount, from.dentry, deep, &list, &n);
    path_put(&from);
    if (err) {
        mount_copies_free(list, n, true);
        return err;
    }
    mount_copies_link(list, n);
    err = mount_graft(list[0].new, target, ctx);
    mount_copies_free(list, n, false);
    return err;
}

static bool mount_is_below_locked(const struct mount *m, const struct mount *top)
    REQUIRES(mount_trees)
{
    ASSERT_HELD(&mount_trees);
    for (; m; m = m->parent, cond_yield())
        if (m == top)
            return true;
    return false;
}

static int mount_move_to(struct mount *m, const struct path *target, const struct walk_ctx *ctx)
{
    struct path place = {0};
    int err;

    mutex_lock(&mount_trees);
    err = mount_check_place_locked(m, target, ctx);
    if (!err && (!m->parent || m->ns != ctx->ns))
        err = -EINVAL;
    if (!err && mount_is_below_locked(target->mount, m))
        err = -ELOOP;
    if (!err) {
        mount_change_begin();
        mount_detach_locked(m, &place);
        mount_attach_locked(m, target->mount, target->dentry);
        mount_change_end();
    }
    mutex_unlock(&mount_trees);
    if (err)
        return err;
    path_put(&place);
    mount_put(m); /* attach took another */
    mount_placed(target->dentry);
    mount_ns_changed(ctx->ns);
    return 0;
}

static int mount_move(const struct walk_ctx *ctx, const char *source, const struct path *target)
{
    struct path from, top;
    int err = source ? vfs_lookup(ctx, NULL, source, WALK_FOLLOW, &from) : -EINVAL;

    if (err)
        return err;
    path_get(target);
    top = mount_topmost(target);
    err = from.dentry == from.mount->root ? mount_move_to(from.mount, &top, ctx) : -EINVAL;
    path_put(&top);
    path_put(&from);
    return err;
}

/* One remount at a time: it reads flags, and puts them back where it fails. */
static struct mutex remount_mutex;

void mount_calls_init(void)
{
    mutex_init(&remount_mutex, RANK_OPS, ORDER_REMOUNT, "remount");
}

/* Flags become read-only if `now` says so: only while no file is open for writing there. An open
 * for writing is counted first, then looks at the flags. */
static int mount_forbid_writing(u32 *flags, u32 now, const atomic_t *writers)
{
    u32 was = READ_ONCE(*flags);

    if (!(now & MS_RDONLY) || (was & MS_RDONLY))
        return 0;
    WRITE_ONCE(*flags, was | MS_RDONLY);
    smp_mb(); /* pairs with mount_write_begin */
    if (atomic_read(writers) == 0)
        return 0;
    WRITE_ONCE(*flags, was);
    return -EBUSY;
}

static int mount_set_options(struct super *s, u32 flags, const char *options)
{
    u32 was = READ_ONCE(s->flags), now = (was & ~(u32)MS_RDONLY) | (flags & MS_RDONLY);
    int err = mount_forbid_writing(&s->flags, now, &s->writers);

    if (err)
        return err;
    DELAYPOINT(mount_remount);
    /* What was written while it could be is on the store before it is said to be read-only. */
    if (flags & MS_RDONLY)
        err = super_sync(s);
    if (!err)
        err = s->ops->remount ? s->ops->remount(s, flags, options ? options : "")
                              : fs_no_options(options);
    WRITE_ONCE(s->flags, err ? was : now);
    return err;
}

/* What may be refused comes first: writing is forbidden, then the file system takes its options;
 * what allows more than before is last, and cannot fail. */
static int mount_remount_locked(struct mount *m, u32 flags, const char *options)
    REQUIRES(remount_mutex)
{
    u32 was = READ_ONCE(m->flags);
    u32 now = (was & ~(u32)(MS_PER_MOUNT & ~MS_RELATIME)) | (flags & MS_PER_MOUNT);
    int err = mount_forbid_writing(&m->flags, now, &m->writers);

    ASSERT_HELD(&remount_mutex);
    if (err)
        return err;
    if (!(flags & MS_BIND))
        err = mount_set_options(m->super, flags, options);
    WRITE_ONCE(m->flags, err ? was : now);
    return err;
}

static int mount_remount(const struct walk_ctx *ctx, const struct path *target, u32 flags,
                         const char *options)
{
    struct mount *m = target->mount;
    int err;

    if (target->dentry != m->root || READ_ONCE(m->ns) != ctx->ns)
        return -EINVAL;
    mutex_lock(&remount_mutex);
    err = mount_remount_locked(m, flags, options);
    mutex_unlock(&remount_mutex);
    if (!err)
        mount_ns_changed(ctx->ns);
    return err;
}

/* Every mount is private, and so is a slave without a master. There are no others. */
static int mount_propagation(const struct path *target, u32 flags)
{
    u32 type = flags & ~(u32)(MS_REC | MS_SILENT);

    if (type != MS_PRIVATE && type != MS_SLAVE)
        return -EINVAL;
    return target->dentry == target->mount->root ? 0 : -EINVAL;
}

int vfs_mount(const struct walk_ctx *ctx, const char *source, const struct path *target,
              const char *type, unsigned long flags, const char *options)
{
    if (!cred_capable(ctx->cred, &user_ns_init, CAP_SYS_ADMIN))
        return -EPERM;
    if (flags & MS_REMOUNT)
        return mount_remount(ctx, target, (u32)flags, options);
    if (flags & MS_BIND)
        return mount_bind(ctx, source, target, flags & MS_REC);
    if (flags & MS_PROPAGATION)
        return mount_propagation(target, (u32)flags);
    if (flags & MS_MOVE)
        return mount_move(ctx, source, target);
    return mount_new(ctx, source, target, type, (u32)flags, options);
}

/* ------------------------------------------------------------- umount2(2), pivot_root(2) */

/* Off its place: the tree's reference goes, and top's. They were all there were, and have ended, or
 * others may have some. */
static void umount_finish(const struct path *top, const struct path *place, bool ended)
{
    path_put(place);
    if (ended) {
        dentry_put(top->dentry);
        mount_destroy(top->mount);
    } else {
        mount_dissolve(top->mount);
        path_put(top);
    }
}

/* Takes top's references, unless it fails. */
static int umount_topmost(const struct walk_ctx *ctx, const struct path *top, int flags)
{
    struct mount *m = top->mount;
    bool ends = !(flags & MNT_DETACH);
    struct path place = {0};
    int err = 0;

    if (top->dentry != m->root)
        return -EINVAL;
    mutex_lock(&mount_trees);
    mount_change_begin(); /* what has the lock takes references of what has none */
    if (m->ns != ctx->ns || !m->parent)
        err = -EINVAL;
    else if (ends && (!list_empty(&m->children) || !refcount_end_many(&m->ref, 2)))
        err = -EBUSY;
    else
        mount_detach_locked(m, &place);
    mount_change_end();
    if (!err)
        mount_set_ns_locked(m, NULL);
    mutex_unlock(&mount_trees);
    if (!err)
        umount_finish(top, &place, ends);
    return err;
}

int vfs_umount(const struct walk_ctx *ctx, const struct path *target, int flags)
{
    struct path top;
    int err = 0;

    if (!cred_capable(ctx->cred, &user_ns_init, CAP_SYS_ADMIN))
        err = -EPERM;
    else if (flags & ~(MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW))
        err = -EINVAL;
    top = err ? *target : mount_topmost(target);
    if (!err)
        err = umount_topmost(ctx, &top, flags);
    if (err)
        path_put(&top);
    else
        mount_ns_changed(ctx->ns);
    return err;
}

/* The new root must lie below the old one, which it covers, and what is to hold the old root below
 * the new one: else a tree would hang from itself. */
static int pivot_check_locked(const struct walk_ctx *ctx, const struct path *new_root,
                              const struct path *put_old) REQUIRES(mount_trees)
{
    const struct mount *new = new_root->mount, *old = ctx->root.mount;

    ASSERT_HELD(&mount_trees);
    if (new == old || put_old->mount == old)
        return -EBUSY;
    if (new->ns != ctx->ns || old->ns != ctx->ns || new_root->dentry != new->root ||
        ctx->root.dentry != old->root || !mount_is_below_locked(new, old) ||
        !mount_is_below_locked(put_old->mount, new))
        return -EINVAL;
    if (!mount_is_directory(new_root) || !mount_is_directory(put_old))
        return -ENOTDIR;
    return put_old->dentry->flags & DENTRY_UNLINKED ? -ENOENT : 0;
}

/* new_root becomes the namespace's root (or the caller's), the old root moves to put_old. */
int vfs_pivot_root(const struct walk_ctx *ctx, const struct path *new_root,
                   const struct path *put_old)
{
    struct mount *new = new_root->mount, *old = ctx->root.mount;
    struct path place = {0}, old_place = {0};
    bool old_attached;
    int err;

    if (!cred_capable(ctx->cred, &user_ns_init, CAP_SYS_ADMIN))
        return -EPERM;
    mutex_lock(&mount_trees);
    err = pivot_check_locked(ctx, new_root, put_old);
    if (err) {
        mutex_unlock(&mount_trees);
        return err;
    }
    mount_change_begin();
    mount_detach_locked(new, &place); /* its tree reference stays ours until it has a place */
    old_attached = old->parent != NULL;
    if (old_attached) {
        mount_detach_locked(old, &old_place);
        mount_attach_locked(new, old_place.mount, old_place.dentry);
    } else {
        ctx->ns->root = new;
        mount_get(new);
    }
    mount_attach_locked(old, put_old->mount, put_old->dentry);
    mount_change_end();
    mutex_unlock(&mount_trees);
    path_put(&place);
    if (old_attached) {
        mount_placed(old_place.dentry);
        path_put(&old_place);
    }
    mount_put(old); /* its former place's (or the namespace's) reference */
    mount_put(new); /* the former place's */
    up_move_roots(&ctx->root, new_root);
    mount_placed(put_old->dentry);
    mount_ns_changed(ctx->ns);
    return 0;
}
