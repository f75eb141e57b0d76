/* SPDX-License-Identifier: MIT
 *
 * Watches are found by inode in a table. A watch keeps its dentry, so that the inode stays the one
 * that further look-ups find (overlay makes them anew). When the last name is gone it keeps but the
 * inode: it goes with the last that have it open, else when it is removed, with its inotify file,
 * or with the file system.
 *
 * Files and watches are counted for each user. A walk over many watches goes on in stretches:
 * between them the lock is dropped, and others run.
 *
 * Events are charged to the account that made the inotify file, though others make them: what it
 * does not read is its own. Where there is no memory for one, that is told (IN_Q_OVERFLOW).
 *
 * Lock order: inotify_lock, group->lock, its wait queue. Events are allocated under them
 * (allocation never sleeps); dentries are put outside.
 */
#include "vfs/inotify.h"

#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/rbtree.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vfs/inotify_priv.h"
#include "vfs/vfs_priv.h"

u32 inotify_watches;
struct spinlock inotify_lock = SPINLOCK_INIT(RANK_VFS, 7, "inotify");
static struct rb_root watch_tree; /* inotify_lock: by inode and group */

#define STRETCH 64 /* watches looked at with the lock held */

/* What one that is told of an event counts of it: all, where the event is waited for, perhaps by
 * thousands. */
static unsigned watch_cost(const struct inotify_watch *w)
{
    return list_empty(&w->group->wait.waiters) ? 1 : STRETCH;
}

static struct inotify_watch *watch_at(struct rb_node *n)
{
    return n ? rb_entry(n, struct inotify_watch, by_inode) : NULL;
}

static int watch_compare(const struct inode *inode, const struct inotify_group *g,
                         const struct inotify_watch *w)
{
    if (inode != w->inode)
        return inode < w->inode ? -1 : 1;
    return g < w->group ? -1 : g > w->group;
}

/* The first at or after (inode, group). */
static struct inotify_watch *watch_from_locked(const struct inode *inode,
                                               const struct inotify_group *g) REQUIRES(inotify_lock)
{
    struct inotify_watch *found = NULL;

    ASSERT_HELD(&inotify_lock);
    for (struct rb_node *n = watch_tree.node; n;) {
        struct inotify_watch *w = watch_at(n);
        int diff = watch_compare(inode, g, w);

        if (diff <= 0)
            found = w;
        n = diff <= 0 ? n->left : n->right;
    }
    return found;
}

/* The inode's next watch after w. */
static struct inotify_watch *watch_next_locked(const struct inotify_watch *w) REQUIRES(inotify_lock)
{
    struct inotify_watch *next = watch_at(rb_next(&w->by_inode));

    ASSERT_HELD(&inotify_lock);
    return next && next->inode == w->inode ? next : NULL;
}

static struct inotify_watch *watch_first_locked(const struct inode *inode) REQUIRES(inotify_lock)
{
    struct inotify_watch *w = watch_from_locked(inode, NULL);

    ASSERT_HELD(&inotify_lock);
    return w && w->inode == inode ? w : NULL;
}

static bool watch_less(const struct rb_node *a, const struct rb_node *b)
{
    const struct inotify_watch *w = rb_entry(a, struct inotify_watch, by_inode);

    return watch_compare(w->inode, w->group, rb_entry(b, struct inotify_watch, by_inode)) < 0;
}

static bool watch_wd_less(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct inotify_watch, by_group)->wd <
           rb_entry(b, struct inotify_watch, by_group)->wd;
}

/* ------------------------------------------------------------- watches; inotify_lock held */

/* What it holds of its file system is put outside of the lock (watches_put): that stays so long. */
static void watch_unlink_locked(struct inotify_watch *w) REQUIRES(inotify_lock)
{
    ASSERT_HELD(&inotify_lock);
    super_pin(w->inode->super);
    rb_erase(&watch_tree, &w->by_inode);
    rb_erase(&w->group->watches, &w->by_group);
    list_del(&w->by_super);
    w->group->nr_watches--;
    w->group->user->watches--;
    WRITE_ONCE(w->inode->watches, w->inode->watches - 1);
    WRITE_ONCE(inotify_watches, inotify_watches - 1);
}

/* Takes the watch out and tells so; *dead is for watches_put, outside the lock. */
static void watch_end_locked(struct inotify_watch *w, u32 mask, struct list_node *dead)
    REQUIRES(inotify_lock)
{
    ASSERT_HELD(&inotify_lock);
    if (mask)
        inotify_queue(w->group, inotify_event_alloc(w->group, w->wd, mask, 0, NULL, 0));
    inotify_queue(w->group, inotify_event_alloc(w->group, w->wd, IN_IGNORED, 0, NULL, 0));
    watch_unlink_locked(w);
    list_add_tail(dead, &w->by_super);
}

static void watches_put(struct list_node *dead)
{
    struct inotify_watch *w, *next;

    list_for_each_safe (w, next, dead, by_super) {
        struct super *super = w->inode->super;

        DELAYPOINT(inotify_put);
        if (w->d)
            dentry_put(w->d);
        else
            inode_put(w->inode);
        super_unpin(super);
        kfree(w);
    }
}

/* A stretch of the inode's watches from w on; where to go on, NULL: that was all. */
static struct inotify_watch *watches_tell_locked(struct inotify_watch *w,
                                                 const struct inotify_event_k *head,
                                                 const char *name, size_t len, bool unlinked,
                                                 struct list_node *dead) REQUIRES(inotify_lock)
{
    struct inotify_watch *next;

    ASSERT_HELD(&inotify_lock);
    for (unsigned i = 0, cost; w && i < STRETCH; w = next, i += cost) {
        next = watch_next_locked(w);
        cost = 1;
        if (!(w->mask & head->mask & IN_ALL_EVENTS))
            continue;
        if (unlinked && (w->mask & IN_EXCL_UNLINK))
            continue;
        cost = watch_cost(w);
        inotify_queue(w->group,
                      inotify_event_alloc(w->group, w->wd, head->mask, head->cookie, name, len));
        if (w->mask & IN_ONESHOT)
            watch_end_locked(w, 0, dead);
    }
    return w;
}

static void watches_tell(const struct inode *inode, u32 mask, u32 cookie, const char *name,
                         size_t len, bool unlinked)
{
    struct inotify_event_k head = {.mask = mask, .cookie = cookie};
    const struct inotify_group *from = NULL;
    struct inotify_watch *w;
    LIST_HEAD(dead);

    if (likely(!READ_ONCE(inode->watches)))
        return;
    do {
        spin_lock(&inotify_lock);
        w = watch_from_locked(inode, from);
        if (w && w->inode != inode)
            w = NULL;
        w = watches_tell_locked(w, &head, name, len, unlinked, &dead);
        from = w ? w->group : NULL;
        spin_unlock(&inotify_lock);
        cond_yield();
    } while (w);
    watches_put(&dead);
}

/* ------------------------------------------------------------- hooks */

static u32 notify_mask(u32 mask, const struct inode *inode)
{
    return inode && S_ISDIR(inode->mode) ? mask | IN_ISDIR : mask;
}

void inotify_tell_dentry(struct dentry *d, u32 mask)
{
    struct inode *inode = dentry_inode(d), *dir_inode;
    struct dentry *dir;

    if (!inode)
        return;
    mask = notify_mask(mask, inode);
    dir = dentry_get_parent(d);
    dir_inode = dir == d ? NULL : dentry_inode(dir);
    if (dir_inode) {
        size_t len;
        const char *name = dentry_name(d, &len);
        char copy[NAME_MAX + 1];

        /* Telling many takes pauses, in which a rename may free the name. */
        len = MIN(len, (size_t)NAME_MAX);
        memcpy(copy, name, len);
        copy[len] = 0;
        watches_tell(dir_inode, mask, 0, copy, len, d->flags & DENTRY_UNLINKED);
    }
    dentry_put(dir);
    watches_tell(inode, mask, 0, NULL, 0, false);
}

void inotify_tell_name(struct dentry *dir, const char *name, size_t len, const struct inode *child,
                       u32 mask, u32 cookie)
{
    watches_tell(dentry_inode(dir), notify_mask(mask, child), cookie, name, len, false);
}

void inotify_tell_inode(struct inode *inode, u32 mask)
{
    watches_tell(inode, mask, 0, NULL, 0, false);
}

/* Ends up to a stretch of the inode's watches; false: that was all. */
static bool watches_end_some(struct inode *inode, u32 mask)
{
    struct inotify_watch *w;
    LIST_HEAD(dead);
    unsigned i = 0;

    spin_lock(&inotify_lock);
    while ((w = watch_first_locked(inode)) && i < STRETCH) {
        i += watch_cost(w);
        watch_end_locked(w, w->mask & mask, &dead);
    }
    spin_unlock(&inotify_lock);
    watches_put(&dead);
    cond_yield();
    return w;
}

void inotify_tell_gone(struct inode *inode)
{
    while (watches_end_some(inode, IN_DELETE_SELF))
        ;
}

/* The watches' references of dentries are taken off, up to a stretch of them; false: all are. */
static bool watches_unpin_some(struct inode *inode, const struct inotify_group **from)
{
    struct dentry *pins[STRETCH];
    struct inotify_watch *w;
    unsigned n = 0;

    spin_lock(&inotify_lock);
    inode->unlinked = true;
    w = watch_from_locked(inode, *from);
    for (; w && w->inode == inode && n < STRETCH; w = watch_at(rb_next(&w->by_inode))) {
        if (!w->d)
            continue;
        inode_get(inode);
        pins[n++] = w->d;
        w->d = NULL;
    }
    *from = w && w->inode == inode ? w->group : NULL;
    spin_unlock(&inotify_lock);
    for (unsigned i = 0; i < n; i++)
        dentry_put(pins[i]);
    cond_yield();
    return *from;
}

void inotify_tell_unlinked(struct dentry *d)
{
    struct inode *inode = dentry_inode(d);
    const struct inotify_group *from = NULL;

    if (!READ_ONCE(inode->watches))
        return;
    while (watches_unpin_some(inode, &from))
        ;
    if (READ_ONCE(d->ref) == 1) /* ours: it is not open */
        inotify_tell_gone(inode);
}

u32 inotify_cookie(void)
{
    static u32 last; /* a */

    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

void inotify_super_gone(struct super *s)
{
    struct inotify_watch *w;

    if (!READ_ONCE(inotify_watches))
        return;
    do {
        unsigned i = 0;
        LIST_HEAD(dead);

        spin_lock(&inotify_lock);
        while ((w = list_first(&s->watches, struct inotify_watch, by_super)) && i < STRETCH) {
            i += watch_cost(w);
            watch_end_locked(w, IN_UNMOUNT, &dead);
        }
        spin_unlock(&inotify_lock);
        watches_put(&dead);
        cond_yield();
    } while (w);
}

/* ------------------------------------------------------------- a file's watches */

/* Takes up to a stretch of the group's watches out; false: that was all. */
static bool group_drop_some(struct inotify_group *g)
{
    struct rb_node *n;
    unsigned i = 0;
    LIST_HEAD(dead);

    spin_lock(&inotify_lock);
    while ((n = rb_first(&g->watches)) && i++ < STRETCH) {
        struct inotify_watch *w = rb_entry(n, struct inotify_watch, by_group);

        watch_unlink_locked(w);
        list_add_tail(&dead, &w->by_super);
    }
    spin_unlock(&inotify_lock);
    watches_put(&dead);
    cond_yield();
    return n;
}

void inotify_drop_watches(struct inotify_group *g)
{
    while (group_drop_some(g))
        ;
}

static struct inotify_watch *group_find_locked(struct inotify_group *g, const struct inode *inode)
    REQUIRES(inotify_lock)
{
    struct inotify_watch *w = watch_from_locked(inode, g);

    ASSERT_HELD(&inotify_lock);
    return w && w->inode == inode && w->group == g ? w : NULL;
}

/* Changes the group's watch of the inode or puts `fresh` in; *used tells which. */
static int group_set(struct inotify_group *g, struct inotify_watch *fresh, u32 mask, bool *used)
{
    struct inotify_watch *w;
    int wd;

    spin_lock(&inotify_lock);
    w = group_find_locked(g, fresh->inode);
    *used = false;
    if (w) {
        wd = mask & IN_MASK_CREATE ? -EEXIST : w->wd;
        if (wd > 0)
            w->mask = mask & IN_MASK_ADD ? w->mask | mask : mask;
    } else if (g->user->watches >= INOTIFY_WATCHES_MAX || g->last_wd == INT32_MAX) {
        wd = -ENOSPC;
    } else {
        wd = fresh->wd = ++g->last_wd;
        rb_insert(&watch_tree, &fresh->by_inode, watch_less);
        rb_insert(&g->watches, &fresh->by_group, watch_wd_less);
        list_add_tail(&fresh->inode->super->watches, &fresh->by_super);
        g->nr_watches++;
        g->user->watches++;
        WRITE_ONCE(fresh->inode->watches, fresh->inode->watches + 1);
        WRITE_ONCE(inotify_watches, inotify_watches + 1);
        *used = true;
    }
    spin_unlock(&inotify_lock);
    return wd;
}

int inotify_add(struct file *f, const struct path *p, u32 mask, const struct cred *cred)
{
    struct inode *inode = dentry_inode(p->dentry);
    struct inotify_watch *w;
    bool used;
    int err;

    if (f->ops != &inotify_fops || !mask || ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE)))
        return -EINVAL;
    if ((mask & IN_ONLYDIR) && !S_ISDIR(inode->mode))
        return -ENOTDIR;
    err = inode_permission(inode, cred, 4);
    if (!err && inode->ops->watched)
        err = inode->ops->watched(inode);
    if (err)
        return err;
    w = kzalloc(sizeof(*w));
    if (!w)
        return -ENOMEM;
    dentry_get(p->dentry);
    *w = (struct inotify_watch){.group = f->priv, .d = p->dentry, .inode = inode, .mask = mask};
    err = group_set(f->priv, w, mask, &used);
    smp_mb(); /* unlinking counts the last name, then looks for watches */
    if (!used) {
        dentry_put(w->d);
        kfree(w);
    } else if (path_has_no_links(p)) { /* by a descriptor, or it went just now */
        inotify_tell_unlinked(p->dentry);
    }
    return err;
}

int inotify_remove(struct file *f, int wd)
{
    struct inotify_group *g = f->priv;
    LIST_HEAD(dead);

    if (f->ops != &inotify_fops)
        return -EINVAL;
    spin_lock(&inotify_lock);
    for (struct rb_node *n = g->watches.node; n;) {
        struct inotify_watch *w = rb_entry(n, struct inotify_watch, by_group);

        if (w->wd == wd) {
            watch_end_locked(w, 0, &dead);
            break;
        }
        n = wd < w->wd ? n->left : n->right;
    }
    spin_unlock(&inotify_lock);
    if (list_empty(&dead))
        return -EINVAL;
    watches_put(&dead);
    return 0;
}
