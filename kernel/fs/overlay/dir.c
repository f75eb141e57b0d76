/* SPDX-License-Identifier: MIT
 *
 * Making and removing names (rename.c: renaming): done in the upper directory, with whiteouts for
 * what a lower layer would show otherwise. vfs holds the overlay directories' locks, so what
 * happens in several steps in the upper layer is seen whole.
 */
#include "fs/overlay/overlay.h"
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/thread.h"

/* ------------------------------------------------------------- in a locked upper directory */

static int dir_remove_locked(struct inode *dir, struct dentry *d) REQUIRES(dir->lock)
{
    int err =
        S_ISDIR(dentry_inode(d)->mode) ? inode_rmdir_locked(dir, d) : dir->ops->unlink(dir, d);

    ASSERT_HELD_WRITE(&dir->lock);
    if (err)
        return err;
    dentry_delete(d);
    mount_drop_on(d);
    return 0;
}

/* What covers the lower layers' name is replaced in this order: the new thing is made under the
 * same name, where only we know of it; the old one is removed; the new one is shown. The upper
 * directory stays locked meanwhile, and all that can fail comes before the removal: what is below
 * never shows through. (The upper file systems keep names in the cache: two of one name may be
 * there.) */
static struct dentry *dir_place_hidden(struct dentry *upper, const char *name, size_t len)
{
    struct dentry *d = dentry_alloc(upper, name, len);

    return d ? d : ERR_PTR(-ENOMEM);
}

void overlay_show_hidden(struct dentry *hidden)
{
    dentry_put(dentry_hash_add(hidden));
}

void overlay_undo_hidden(struct inode *dir, struct dentry *hidden) REQUIRES(dir->lock)
{
    ASSERT_HELD_WRITE(&dir->lock);
    (void)dir_remove_locked(dir, hidden); /* what was just made goes */
    dentry_put(hidden);
}

/* A whiteout for a name that is still there, to be shown once it is not. */
struct dentry *overlay_whiteout_hidden(struct dentry *upper, const char *name, size_t len)
{
    struct inode *dir = dentry_inode(upper);
    struct dentry *d = dir_place_hidden(upper, name, len);
    int err = IS_ERR(d) ? 0 : dir->ops->mknod(dir, d, S_IFCHR, 0, &cred_init);

    if (!err)
        return d;
    dentry_put(d);
    return ERR_PTR(err);
}

/* What lies below a new or moved directory's place is hidden. */
int overlay_set_opaque(struct dentry *upper)
{
    struct inode *i = dentry_inode(upper);
    int err;

    if (!i->ops->setxattr)
        return -EOPNOTSUPP;
    rwlock_write_lock_nested(&i->lock); /* its directory may be locked */
    err = i->ops->setxattr(i, OVERLAY_OPAQUE, "y", 1, 0);
    rwlock_write_unlock(&i->lock);
    return err;
}

/* ------------------------------------------------------------- making */

/* What to make: exactly one of its kinds. */
struct dir_new {
    u32 mode;
    u64 rdev;
    const char *target; /* S_IFLNK */
    struct inode *link; /* a hard link to this real inode */
    const struct cred *cred;
};

static int dir_make_locked(struct inode *dir, struct dentry *d, const struct dir_new *n)
    REQUIRES(dir->lock)
{
    ASSERT_HELD_WRITE(&dir->lock);
    if (n->link)
        return dir->ops->link(dir, d, n->link);
    switch (n->mode & S_IFMT) {
    case S_IFDIR:
        return dir->ops->mkdir(dir, d, n->mode, n->cred);
    case S_IFREG:
        return dir->ops->create(dir, d, n->mode, n->cred);
    case S_IFLNK:
        return dir->ops->symlink(dir, d, n->target, n->cred);
    default:
        return dir->ops->mknod(dir, d, n->mode, n->rdev, n->cred);
    }
}

/* Takes the place of a whiteout. Consumes its reference. */
static int dir_make_over(struct dentry *upper, struct dentry *whiteout, const struct dir_new *n,
                         struct dentry **out)
{
    struct inode *dir = dentry_inode(upper);
    size_t len;
    const char *name = dentry_name(whiteout, &len);
    struct dentry *real = dir_place_hidden(upper, name, len);
    int err = IS_ERR(real) ? PTR_ERR(real) : 0;

    ASSERT_HELD_WRITE(&dir->lock);
    if (!err)
        err = dir_make_locked(dir, real, n);
    if (err) {
        if (!IS_ERR(real))
            dentry_put(real);
    } else {
        if (S_ISDIR(n->mode))
            err = overlay_set_opaque(real);
        if (!err)
            err = dir_remove_locked(dir, whiteout);
        if (err)
            overlay_undo_hidden(dir, real);
        else
            *out = dentry_hash_add(real);
    }
    dentry_put(whiteout);
    return err;
}

static int dir_make_real_locked(struct dentry *upper, struct dentry *d, const struct dir_new *n,
                                struct dentry **out) REQUIRES(dentry_inode(upper)->lock)
{
    size_t len;
    const char *name = dentry_name(d, &len);
    struct dentry *real = walk_child(upper, name, len, true);
    int err;

    ASSERT_HELD_WRITE(&dentry_inode(upper)->lock);
    if (IS_ERR(real))
        return PTR_ERR(real);
    if (overlay_is_whiteout(real))
        return dir_make_over(upper, real, n, out);
    err = dentry_inode(real) ? -EEXIST : dir_make_locked(dentry_inode(upper), real, n);
    if (err)
        dentry_put(real);
    else
        *out = real;
    return err;
}

static int dir_make_real(struct dentry *upper, struct dentry *d, const struct dir_new *n,
                         struct dentry **out)
{
    struct inode *dir = dentry_inode(upper);
    int err;

    rwlock_write_lock(&dir->lock);
    ASSERT_HELD_WRITE(&dentry_inode(upper)->lock); /* the same lock, as the callee names it */
    err = dir_make_real_locked(upper, d, n, out);
    rwlock_write_unlock(&dir->lock);
    return err;
}

static int dir_make(struct inode *dir, struct dentry *d, const struct dir_new *n)
{
    struct dentry *real = NULL;
    struct inode *i;
    int err = overlay_copy_up_inode(dir);

    if (err)
        return err;
    i = overlay_inode_alloc(overlay_of(dir), 0); /* first: a name that was made stays */
    if (!i)
        return -ENOMEM;
    err = dir_make_real(overlay_upper(dir), d, n, &real);
    if (err)
        inode_put(i);
    else
        dentry_instantiate(d, overlay_inode_settle(i, real, NULL, 0));
    return err;
}

static int overlay_create(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred)
{
    return dir_make(dir, d, &(struct dir_new){.mode = mode, .cred = cred});
}

static int overlay_mkdir(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred)
{
    return dir_make(dir, d, &(struct dir_new){.mode = mode, .cred = cred});
}

/* A device 0:0 would be a whiteout: not for users to make here. */
static int overlay_mknod(struct inode *dir, struct dentry *d, u32 mode, u64 rdev,
                         const struct cred *cred)
{
    if (S_ISCHR(mode) && rdev == 0)
        return -EPERM;
    return dir_make(dir, d, &(struct dir_new){.mode = mode, .rdev = rdev, .cred = cred});
}

static int overlay_symlink(struct inode *dir, struct dentry *d, const char *target,
                           const struct cred *cred)
{
    return dir_make(dir, d,
                    &(struct dir_new){.mode = S_IFLNK | 0777, .target = target, .cred = cred});
}

/* The new name finds the same overlay inode, through the tree. A lower file that has lost its name
 * would be copied up without one, which the upper layer takes for one that waits for its first. */
static int overlay_link(struct inode *dir, struct dentry *d, struct inode *target)
{
    int err = READ_ONCE(overlay_node(target)->unlinked) ? -ENOENT : overlay_copy_up_inode(target);

    if (err)
        return err;
    return dir_make(dir, d,
                    &(struct dir_new){.mode = target->mode,
                                      .link = overlay_real_inode(target),
                                      .cred = &cred_init});
}

static int overlay_tmpfile(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred)
{
    struct dentry *upper, *real;
    struct inode *i, *real_dir;
    int err = overlay_copy_up_inode(dir);

    if (err)
        return err;
    upper = overlay_upper(dir);
    real_dir = dentry_inode(upper);
    real = dentry_alloc(upper, "#tmp", 4);
    if (!real)
        return -ENOMEM;
    real->flags |= DENTRY_UNLINKED;
    rwlock_write_lock(&real_dir->lock);
    err = real_dir->ops->tmpfile(real_dir, real, mode, cred);
    rwlock_write_unlock(&real_dir->lock);
    if (err) {
        dentry_put(real);
        return err;
    }
    i = overlay_inode(overlay_of(dir), real, NULL, 0, &err);
    if (!i)
        return err;
    dentry_instantiate(d, i);
    return 0;
}

/* ------------------------------------------------------------- removing */

/* From here on the inode is not copied up to this name any more. */
void overlay_mark_unlinked(struct inode *i, bool unlinked)
{
    struct overlay_node *node = overlay_node(i);

    mutex_lock(&node->lock);
    node->unlinked = unlinked;
    mutex_unlock(&node->lock);
}

/* The name is gone. The inode tells so of what has no links that are counted: a directory, and a
 * lower file, which keeps its own in its layer. */
void overlay_count_unlinked(struct inode *i)
{
    if (S_ISDIR(i->mode) || overlay_node(i)->unlinked)
        WRITE_ONCE(i->nlink, 0);
}

/* A directory that shows nothing is to go: first goes what hides the names below it, while none of
 * the locks is held for which others wait. It is opaque instead from here on, also where it stays
 * after all. It is locked. */
int overlay_strip(struct inode *victim)
{
    struct overlay_node *node = overlay_node(victim);
    struct dentry *upper = overlay_upper(victim);
    int err = upper ? overlay_is_bare(upper) : 1;

    if (err)
        return MIN(err, 0);
    if (overlay_nr_shown(node))
        err = overlay_set_opaque(upper);
    if (err)
        return err;
    node->opaque = true;
    return overlay_clear_whiteouts(upper);
}

/* Removes what the upper layer has of the name, if anything, and covers what the lower ones have.
 */
static int dir_remove_real_locked(struct dentry *upper, const char *name, size_t len, bool cover)
    REQUIRES(dentry_inode(upper)->lock)
{
    struct inode *dir = dentry_inode(upper);
    struct dentry *d = walk_child(upper, name, len, true), *whiteout = NULL;
    int err = 0;

    ASSERT_HELD_WRITE(&dir->lock);
    if (IS_ERR(d))
        return PTR_ERR(d);
    if (cover)
        whiteout = overlay_whiteout_hidden(upper, name, len);
    if (IS_ERR(whiteout)) {
        dentry_put(d);
        return PTR_ERR(whiteout);
    }
    if (dentry_inode(d))
        err = dir_remove_locked(dir, d);
    else
        dentry_unhash(d); /* the cache knew it as absent */
    dentry_put(d);
    if (err && whiteout)
        overlay_undo_hidden(dir, whiteout);
    else if (whiteout)
        overlay_show_hidden(whiteout);
    return err;
}

static int dir_remove_real(struct inode *dir, const char *name, size_t len, bool cover)
{
    struct dentry *upper = overlay_upper(dir);
    struct inode *real_dir = dentry_inode(upper);
    int err;

    rwlock_write_lock(&real_dir->lock);
    ASSERT_HELD_WRITE(&dentry_inode(upper)->lock); /* the same lock, as the callee names it */
    err = dir_remove_real_locked(upper, name, len, cover);
    rwlock_write_unlock(&real_dir->lock);
    return err;
}

static int dir_remove(struct inode *dir, struct dentry *d)
{
    struct inode *victim = dentry_inode(d);
    size_t len;
    const char *name = dentry_name(d, &len);
    int err = overlay_copy_up_inode(dir), cover;

    if (err)
        return err;
    cover = overlay_lower_has(dir, name, len);
    if (cover < 0)
        return cover;
    overlay_mark_unlinked(victim, !overlay_upper(victim));
    err = dir_remove_real(dir, name, len, cover);
    if (err) {
        overlay_mark_unlinked(victim, false);
        return err;
    }
    overlay_count_unlinked(victim);
    return 0;
}

static int overlay_unlink(struct inode *dir, struct dentry *d)
{
    return dir_remove(dir, d);
}

static int overlay_rmdir(struct inode *dir, struct dentry *d)
{
    int err = overlay_check_empty(dentry_inode(d));

    if (!err)
        err = overlay_strip(dentry_inode(d));
    return err ? err : dir_remove(dir, d);
}

const struct inode_ops overlay_dir_iops = {
    .lookup = overlay_lookup,
    .create = overlay_create,
    .mkdir = overlay_mkdir,
    .mknod = overlay_mknod,
    .symlink = overlay_symlink,
    .link = overlay_link,
    .unlink = overlay_unlink,
    .rmdir = overlay_rmdir,
    .rename = overlay_rename,
    .tmpfile = overlay_tmpfile,
    .open = overlay_dir_open,
    OVERLAY_ATTR_OPS,
};
