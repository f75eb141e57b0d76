/* SPDX-License-Identifier: MIT
 *
 * Making, removing and renaming names: done in the upper directory, with whiteouts for what a lower
 * layer would show otherwise. vfs holds the overlay directories' locks, so what happens in several
 * steps in the upper layer is seen whole.
 */
#include "fs/overlay/overlay.h"
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/thread.h"

#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4

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

static void dir_show(struct dentry *hidden)
{
    dentry_put(dentry_hash_add(hidden));
}

static void dir_undo_hidden(struct inode *dir, struct dentry *hidden) REQUIRES(dir->lock)
{
    ASSERT_HELD_WRITE(&dir->lock);
    (void)dir_remove_locked(dir, hidden); /* what was just made goes */
    dentry_put(hidden);
}

/* A whiteout for a name that is still there, to be shown once it is not. */
static struct dentry *dir_whiteout_hidden(struct dentry *upper, const char *name, size_t len)
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
static int dir_set_opaque(struct dentry *upper)
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
            err = dir_set_opaque(real);
        if (!err)
            err = dir_remove_locked(dir, whiteout);
        if (err)
            dir_undo_hidden(dir, real);
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
    ASSERT_HELD_WRITE(&dentry_inode(upper)->lock); /* the same */
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
static void dir_mark_unlinked(struct inode *i, bool unlinked)
{
    struct overlay_node *node = overlay_node(i);

    mutex_lock(&node->lock);
    node->unlinked = unlinked;
    mutex_unlock(&node->lock);
}

/* The name is gone. The inode tells so of what has no links that are counted: a directory, and a
 * lower file, which keeps its own in its layer. */
static void dir_count_unlinked(struct inode *i)
{
    if (S_ISDIR(i->mode) || overlay_node(i)->unlinked)
        WRITE_ONCE(i->nlink, 0);
}

/* A directory that shows nothing is to go: first goes what hides the names below it, while none of
 * the locks is held for which others wait. It is opaque instead from here on, also where it stays
 * after all. It is locked. */
static int dir_strip(struct inode *victim)
{
    struct overlay_node *node = overlay_node(victim);
    struct dentry *upper = overlay_upper(victim);
    int err = upper ? overlay_is_bare(upper) : 1;

    if (err)
        return MIN(err, 0);
    if (overlay_nr_shown(node))
        err = dir_set_opaque(upper);
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
        whiteout = dir_whiteout_hidden(upper, name, len);
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
        dir_undo_hidden(dir, whiteout);
    else if (whiteout)
        dir_show(whiteout);
    return err;
}

static int dir_remove_real(struct inode *dir, const char *name, size_t len, bool cover)
{
    struct dentry *upper = overlay_upper(dir);
    struct inode *real_dir = dentry_inode(upper);
    int err;

    rwlock_write_lock(&real_dir->lock);
    ASSERT_HELD_WRITE(&dentry_inode(upper)->lock); /* the same */
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
    dir_mark_unlinked(victim, !overlay_upper(victim));
    err = dir_remove_real(dir, name, len, cover);
    if (err) {
        dir_mark_unlinked(victim, false);
        return err;
    }
    dir_count_unlinked(victim);
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
        err = dir_strip(dentry_inode(d));
    return err ? err : dir_remove(dir, d);
}

/* ------------------------------------------------------------- renaming */

struct dir_move {
    struct inode *old_dir, *new_dir;
    struct dentry *old, *new;
    const char *old_name, *new_name;
    size_t old_len, new_len;
    bool exchange;
    bool cover_old; /* a lower layer shows the old name: whiteout */
    /* In the upper layer, once they are found: references, put when nothing there is locked. */
    struct dentry *real_old, *real_new;
    struct dir_pair dirs;  /* the directories there; both NULL: it is one */
    struct inode *busy;    /* of real_new, and in use: begin again when it is not */
    struct inode *claimed; /* it was: dir_claim */
};

/* A directory that lower layers have a part in cannot move: its parts would not follow. The caller
 * (mv) copies instead. */
static bool dir_is_fixed(const struct inode *i)
{
    return S_ISDIR(i->mode) && overlay_node(i)->nr_lower > 0;
}

/* A directory that goes to where a lower layer has something is opaque: it has no part in lower
 * layers, so that changes nothing where it is. What is replaced makes space. */
static int dir_move_hide(struct dir_move *m, bool has_old, bool has_new)
{
    struct inode *moved = dentry_inode(m->old), *victim = dentry_inode(m->new);
    int err = 0;

    if (has_new && S_ISDIR(moved->mode))
        err = dir_set_opaque(overlay_upper(moved));
    if (err || !victim || !S_ISDIR(victim->mode))
        return err;
    if (!m->exchange)
        return dir_strip(victim);
    return has_old ? dir_set_opaque(overlay_upper(victim)) : 0;
}

/* Everything that can be found out and prepared before the upper directories are locked. */
static int dir_move_prepare(struct dir_move *m)
{
    struct inode *moved = dentry_inode(m->old), *victim = dentry_inode(m->new);
    int err, has_old, has_new;

    if (dir_is_fixed(moved) || (m->exchange && dir_is_fixed(victim)))
        return -EXDEV;
    if (victim && S_ISDIR(victim->mode) && !m->exchange) {
        err = overlay_check_empty(victim);
        if (err)
            return err;
    }
    err = overlay_copy_up(m->old);
    if (!err && m->exchange)
        err = overlay_copy_up(m->new);
    if (!err)
        err = overlay_copy_up_inode(m->old_dir);
    if (!err)
        err = overlay_copy_up_inode(m->new_dir);
    if (err)
        return err;
    has_old = overlay_lower_has(m->old_dir, m->old_name, m->old_len);
    has_new = overlay_lower_has(m->new_dir, m->new_name, m->new_len);
    if (has_old < 0 || has_new < 0)
        return MIN(has_old, has_new);
    m->cover_old = has_old && !m->exchange;
    return dir_move_hide(m, has_old, has_new);
}

/* In the upper layer; another directory that is replaced is locked, as vfs does it. */
static int dir_rename_real(struct dir_move *m, struct dentry *from, struct dentry *to,
                           struct dentry *old, struct dentry *new)
    NO_THREAD_SAFETY /* a directory that is replaced, if it is one */
{
    struct inode *from_dir = dentry_inode(from), *victim = m->exchange ? NULL : dentry_inode(new);
    int err;

    if (victim && !S_ISDIR(victim->mode))
        victim = NULL;
    if (victim && !dir_pair_lock_replaced(&m->dirs, victim)) {
        m->busy = victim;
        return -EBUSY;
    }
    err = from_dir->ops->rename(from_dir, old, dentry_inode(to), new,
                                m->exchange ? RENAME_EXCHANGE : 0);
    if (victim)
        rwlock_write_unlock(&victim->lock);
    return err;
}

/* Moved in the upper layer behind our back: a directory would come to lie in itself, or be replaced
 * though it is above the old name, and locked. Of two directories both are locked, and renames. */
static bool dir_lead_back(const struct dir_move *m, struct dentry *old, struct dentry *new)
{
    return old == m->dirs.under_a || new == m->dirs.under_b;
}

/* Both upper directories are locked. */
static int dir_move_real(struct dir_move *m, struct dentry *from, struct dentry *to,
                         struct dentry *old, struct dentry *new) REQUIRES(dentry_inode(from)->lock)
{
    struct dentry *whiteout = NULL;
    int err = 0;

    ASSERT_HELD_WRITE(&dentry_inode(from)->lock);
    if (!dentry_inode(old) || (m->exchange && !dentry_inode(new)))
        return -ENOENT; /* taken away behind our back */
    if (dir_lead_back(m, old, new))
        return -ESTALE;
    if (m->cover_old) {
        whiteout = dir_whiteout_hidden(from, m->old_name, m->old_len);
        if (IS_ERR(whiteout))
            return PTR_ERR(whiteout);
    }
    err = dir_rename_real(m, from, to, old, new);
    if (err) {
        if (whiteout)
            dir_undo_hidden(dentry_inode(from), whiteout);
        return err;
    }
    if (m->exchange)
        dentry_exchange(old, new);
    else
        dentry_move(old, new);
    if (whiteout)
        dir_show(whiteout);
    return 0;
}

static int dir_move_locked(struct dir_move *m, struct dentry *from, struct dentry *to)
    REQUIRES(dentry_inode(from)->lock)
{
    ASSERT_HELD_WRITE(&dentry_inode(from)->lock);
    m->real_old = walk_child(from, m->old_name, m->old_len, true);
    if (IS_ERR(m->real_old))
        return PTR_ERR(m->real_old);
    m->real_new = walk_child(to, m->new_name, m->new_len, true);
    if (IS_ERR(m->real_new))
        return PTR_ERR(m->real_new);
    return dir_move_real(m, from, to, m->real_old, m->real_new);
}

static void dir_put_found(struct dir_move *m)
{
    if (!IS_ERR(m->real_new))
        dentry_put(m->real_new);
    if (!IS_ERR(m->real_old))
        dentry_put(m->real_old);
    m->real_new = m->real_old = NULL;
}

/* The overlay's own rename mutex is held, for the time of a copy-up perhaps; that of the upper file
 * system, which other overlays share, for this part only. *again: as the name says. */
static int dir_move_try(struct dir_move *m,
                        bool *again) NO_THREAD_SAFETY /* one directory or a pair */
{
    struct dentry *from = overlay_upper(m->old_dir), *to = overlay_upper(m->new_dir);
    struct inode *one = dentry_inode(from) == dentry_inode(to) ? dentry_inode(from) : NULL;
    int err = 0;

    *again = false;
    m->dirs = one ? (struct dir_pair){.moves = false} : (struct dir_pair){.a = from, .b = to};
    if (one)
        rwlock_write_lock(&one->lock);
    else
        err = dir_pair_lock(&m->dirs);
    if (!err) {
        err = dir_move_locked(m, from, to);
        if (one)
            rwlock_write_unlock(&one->lock);
        else
            dir_pair_unlock(&m->dirs);
    }
    dir_unclaim(&m->claimed);
    if (likely(!m->busy))
        return err;
    err = dir_claim(&m->claimed, m->busy);
    m->busy = NULL;
    dir_put_found(m);
    *again = !err;
    return err;
}

static int overlay_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                          struct dentry *new, unsigned flags)
{
    struct dir_move m = {.old_dir = old_dir,
                         .new_dir = new_dir,
                         .old = old,
                         .new = new,
                         .exchange = (flags & RENAME_EXCHANGE) != 0};
    struct inode *victim = dentry_inode(new);
    bool again = true;
    int err;

    if (flags & RENAME_WHITEOUT)
        return -EINVAL;
    m.old_name = dentry_name(old, &m.old_len);
    m.new_name = dentry_name(new, &m.new_len);
    err = dir_move_prepare(&m);
    if (err)
        return err;
    if (victim && !m.exchange)
        dir_mark_unlinked(victim, !overlay_upper(victim));
    while (again)
        err = dir_move_try(&m, &again);
    dir_unclaim(&m.claimed);
    if (!err && !m.exchange)
        mount_drop_on(m.real_new);
    dir_put_found(&m);
    if (victim && !m.exchange) {
        if (err)
            dir_mark_unlinked(victim, false);
        else
            dir_count_unlinked(victim);
    }
    return err;
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
