/* SPDX-License-Identifier: MIT
 *
 * Renaming: what can fail is found out and prepared first; then the upper directories are locked,
 * and the upper file system renames, with a whiteout where a lower layer would show the old name.
 * vfs holds the locks of the overlay's directories.
 */
#include "fs/overlay/overlay.h"

#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/thread.h"

#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4

struct move {
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
static bool move_is_fixed(const struct inode *i)
{
    return S_ISDIR(i->mode) && overlay_node(i)->nr_lower > 0;
}

/* A directory that goes to where a lower layer has something is opaque: it has no part in lower
 * layers, so that changes nothing where it is. A directory that is replaced is emptied first. */
static int move_hide(struct move *m, bool has_old, bool has_new)
{
    struct inode *moved = dentry_inode(m->old), *victim = dentry_inode(m->new);
    int err = 0;

    if (has_new && S_ISDIR(moved->mode))
        err = overlay_set_opaque(overlay_upper(moved));
    if (err || !victim || !S_ISDIR(victim->mode))
        return err;
    if (!m->exchange)
        return overlay_strip(victim);
    return has_old ? overlay_set_opaque(overlay_upper(victim)) : 0;
}

/* Everything that can be found out and prepared before the upper directories are locked. */
static int move_prepare(struct move *m)
{
    struct inode *moved = dentry_inode(m->old), *victim = dentry_inode(m->new);
    int err, has_old, has_new;

    if (move_is_fixed(moved) || (m->exchange && move_is_fixed(victim)))
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
    return move_hide(m, has_old, has_new);
}

/* In the upper layer; another directory that is replaced is locked, as vfs does it. */
static int move_rename_real(struct move *m, struct dentry *from, struct dentry *to,
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

/* Moved in the upper layer past the overlay: a directory would come to lie in itself, or be
 * replaced though it is above the old name, and locked. Of two directories both are locked, and
 * renames. */
static bool move_leads_back(const struct move *m, struct dentry *old, struct dentry *new)
{
    return old == m->dirs.under_a || new == m->dirs.under_b;
}

/* Both upper directories are locked. */
static int move_real(struct move *m, struct dentry *from, struct dentry *to, struct dentry *old,
                     struct dentry *new) REQUIRES(dentry_inode(from)->lock)
{
    struct dentry *whiteout = NULL;
    int err = 0;

    ASSERT_HELD_WRITE(&dentry_inode(from)->lock);
    if (!dentry_inode(old) || (m->exchange && !dentry_inode(new)))
        return -ENOENT; /* taken away past the overlay */
    if (move_leads_back(m, old, new))
        return -ESTALE;
    if (m->cover_old) {
        whiteout = overlay_whiteout_hidden(from, m->old_name, m->old_len);
        if (IS_ERR(whiteout))
            return PTR_ERR(whiteout);
    }
    err = move_rename_real(m, from, to, old, new);
    if (err) {
        if (whiteout)
            overlay_undo_hidden(dentry_inode(from), whiteout);
        return err;
    }
    if (m->exchange)
        dentry_exchange(old, new);
    else
        dentry_move(old, new);
    if (whiteout)
        overlay_show_hidden(whiteout);
    return 0;
}

static int move_locked(struct move *m, struct dentry *from, struct dentry *to)
    REQUIRES(dentry_inode(from)->lock)
{
    ASSERT_HELD_WRITE(&dentry_inode(from)->lock);
    m->real_old = walk_child(from, m->old_name, m->old_len, true);
    if (IS_ERR(m->real_old))
        return PTR_ERR(m->real_old);
    m->real_new = walk_child(to, m->new_name, m->new_len, true);
    if (IS_ERR(m->real_new))
        return PTR_ERR(m->real_new);
    return move_real(m, from, to, m->real_old, m->real_new);
}

static void move_put_found(struct move *m)
{
    if (!IS_ERR(m->real_new))
        dentry_put(m->real_new);
    if (!IS_ERR(m->real_old))
        dentry_put(m->real_old);
    m->real_new = m->real_old = NULL;
}

/* The overlay's own rename mutex is held, for the time of a copy-up perhaps; that of the upper file
 * system, which other overlays share, for this part only. *again: as the name says. */
static int move_try(struct move *m, bool *again) NO_THREAD_SAFETY /* one directory or a pair */
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
        err = move_locked(m, from, to);
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
    move_put_found(m);
    *again = !err;
    return err;
}

int overlay_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                   struct dentry *new, unsigned flags)
{
    struct move m = {.old_dir = old_dir,
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
    err = move_prepare(&m);
    if (err)
        return err;
    if (victim && !m.exchange)
        overlay_mark_unlinked(victim, !overlay_upper(victim));
    while (again)
        err = move_try(&m, &again);
    dir_unclaim(&m.claimed);
    if (!err && !m.exchange)
        mount_drop_on(m.real_new);
    move_put_found(&m);
    if (victim && !m.exchange) {
        if (err)
            overlay_mark_unlinked(victim, false);
        else
            overlay_count_unlinked(victim);
    }
    return err;
}
