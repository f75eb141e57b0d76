/* SPDX-License-Identifier: MIT
 *
 * Watches are found by inode in a table. A watch keeps its dentry, so that the inode stays the one
 * that further look-ups find (overlay makes them anew); it goes when it is removed, when the last
 * name of the inode does, with its inotify file, or with the file system.
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
#include "vfs/vfs_priv.h"

#define FIONREAD 0x541b

struct inotify_event_k { /* struct inotify_event */
    s32 wd;
    u32 mask, cookie, len;
};

struct inotify_event {
    struct list_node node;
    struct inotify_event_k head;
    char name[]; /* padded with NULs to head.len */
};

/* l lock · I immutable */
struct inotify_group {
    struct spinlock lock;
    struct list_node events; /* l */
    u32 nr_events, bytes;    /* l */
    struct waitq wait;
    struct rb_root watches; /* inotify_lock: by number */
    u32 nr_watches;         /* inotify_lock */
    s32 last_wd;            /* inotify_lock */
};

struct inotify_watch {
    struct rb_node by_inode, by_group; /* inotify_lock */
    struct list_node by_super;         /* inotify_lock; a list of the dead afterwards */
    struct inotify_group *group;       /* I */
    struct dentry *d;                  /* I  a reference */
    struct inode *inode;               /* I  of d */
    s32 wd;                            /* I */
    u32 mask;                          /* inotify_lock */
};

u32 inotify_watches;
static struct spinlock inotify_lock = SPINLOCK_INIT(RANK_VFS, 7, "inotify");
static struct rb_root watch_tree; /* inotify_lock: by inode and group */

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
                                               const struct inotify_group *g)
{
    struct inotify_watch *found = NULL;

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
static struct inotify_watch *watch_next_locked(const struct inotify_watch *w)
{
    struct inotify_watch *next = watch_at(rb_next(&w->by_inode));

    return next && next->inode == w->inode ? next : NULL;
}

static struct inotify_watch *watch_first_locked(const struct inode *inode)
{
    struct inotify_watch *w = watch_from_locked(inode, NULL);

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

/* ------------------------------------------------------------- events */

static void event_free(struct inotify_event *e)
{
    kfree(e);
}

static struct inotify_event *event_alloc(s32 wd, u32 mask, u32 cookie, const char *name, size_t len)
{
    u32 padded;
    struct inotify_event *e;

    len = strnlen(name ? name : "", len); /* a rename beside us may have made it shorter */
    padded = len ? ALIGN_UP((u32)len + 1, (u32)sizeof(struct inotify_event_k)) : 0;
    e = kzalloc(sizeof(*e) + padded);
    if (!e)
        return NULL;
    e->head = (struct inotify_event_k){wd, mask, cookie, padded};
    if (len)
        memcpy(e->name, name, len);
    return e;
}

static bool event_equal(const struct inotify_event *a, const struct inotify_event *b)
{
    return memcmp(&a->head, &b->head, sizeof(a->head)) == 0 &&
           memcmp(a->name, b->name, a->head.len) == 0;
}

/* One like the last is left out; when there are too many, one overflow event stands for the rest.
 */
static void group_queue(struct inotify_group *g, struct inotify_event *e)
{
    struct inotify_event *last;

    spin_lock(&g->lock);
    last = list_last(&g->events, struct inotify_event, node);
    if (e && g->nr_events == INOTIFY_EVENTS_MAX) {
        event_free(e);
        e = event_alloc(-1, IN_Q_OVERFLOW, 0, NULL, 0);
    }
    if (!e || g->nr_events > INOTIFY_EVENTS_MAX || (last && event_equal(last, e))) {
        spin_unlock(&g->lock);
        kfree(e);
        return;
    }
    list_add_tail(&g->events, &e->node);
    g->nr_events++;
    g->bytes += (u32)sizeof(e->head) + e->head.len;
    spin_unlock(&g->lock);
    waitq_wake(&g->wait, POLLIN | POLLRDNORM, ~0U);
}

/* ------------------------------------------------------------- watches; inotify_lock held */

static void watch_unlink_locked(struct inotify_watch *w)
{
    rb_erase(&watch_tree, &w->by_inode);
    rb_erase(&w->group->watches, &w->by_group);
    list_del(&w->by_super);
    w->group->nr_watches--;
    WRITE_ONCE(w->inode->watches, w->inode->watches - 1);
    WRITE_ONCE(inotify_watches, inotify_watches - 1);
}

/* Takes the watch out and tells so; the caller puts it (watch_put) outside the lock. */
static void watch_end_locked(struct inotify_watch *w, u32 mask, struct list_node *dead)
{
    if (mask)
        group_queue(w->group, event_alloc(w->wd, mask, 0, NULL, 0));
    group_queue(w->group, event_alloc(w->wd, IN_IGNORED, 0, NULL, 0));
    watch_unlink_locked(w);
    list_add_tail(dead, &w->by_super);
}

static void watches_put(struct list_node *dead)
{
    struct inotify_watch *w, *next;

    list_for_each_safe (w, next, dead, by_super) {
        dentry_put(w->d);
        kfree(w);
    }
}

static void watches_tell_locked(const struct inode *inode, u32 mask, u32 cookie, const char *name,
                                size_t len, bool unlinked, struct list_node *dead)
{
    struct inotify_watch *w, *next;

    for (w = watch_first_locked(inode); w; w = next) {
        next = watch_next_locked(w);
        if (!(w->mask & mask & IN_ALL_EVENTS))
            continue;
        if (unlinked && (w->mask & IN_EXCL_UNLINK))
            continue;
        group_queue(w->group, event_alloc(w->wd, mask, cookie, name, len));
        if (w->mask & IN_ONESHOT)
            watch_end_locked(w, 0, dead);
    }
}

static void watches_tell(const struct inode *inode, u32 mask, u32 cookie, const char *name,
                         size_t len, bool unlinked)
{
    LIST_HEAD(dead);

    if (likely(!READ_ONCE(inode->watches)))
        return;
    spin_lock(&inotify_lock);
    watches_tell_locked(inode, mask, cookie, name, len, unlinked, &dead);
    spin_unlock(&inotify_lock);
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

        watches_tell(dir_inode, mask, 0, name, len, d->flags & DENTRY_UNLINKED);
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
    watches_tell(inode, notify_mask(mask, inode), 0, NULL, 0, false);
}

/* The inode has no name any more: mask is told, and its watches end. */
void inotify_tell_gone(struct inode *inode, u32 mask)
{
    struct inotify_watch *w, *next;
    LIST_HEAD(dead);

    spin_lock(&inotify_lock);
    for (w = watch_first_locked(inode); w; w = next) {
        next = watch_next_locked(w);
        watch_end_locked(w, w->mask & mask, &dead);
    }
    spin_unlock(&inotify_lock);
    watches_put(&dead);
}

u32 inotify_cookie(void)
{
    static u32 last; /* a */

    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

void inotify_super_gone(struct super *s)
{
    struct inotify_watch *w, *next;
    LIST_HEAD(dead);

    if (!READ_ONCE(inotify_watches))
        return;
    spin_lock(&inotify_lock);
    list_for_each_safe (w, next, &s->watches, by_super)
        watch_end_locked(w, IN_UNMOUNT, &dead);
    spin_unlock(&inotify_lock);
    watches_put(&dead);
}

/* ------------------------------------------------------------- the file */

/* The next event, if n bytes hold it; NULL with *err 0: there is none. */
static struct inotify_event *group_take(struct inotify_group *g, u64 n, int *err)
{
    struct inotify_event *e;

    *err = 0;
    spin_lock(&g->lock);
    e = list_first(&g->events, struct inotify_event, node);
    if (e && sizeof(e->head) + e->head.len > n) {
        *err = -EINVAL;
        e = NULL;
    }
    if (e) {
        list_del(&e->node);
        g->nr_events--;
        g->bytes -= (u32)sizeof(e->head) + e->head.len;
    }
    spin_unlock(&g->lock);
    return e;
}

static ssize_t inotify_copy(struct inotify_group *g, struct iov_iter *to)
{
    struct inotify_event *e;
    ssize_t done = 0;
    int err;

    while ((e = group_take(g, to->count, &err))) {
        u64 n = sizeof(e->head) + e->head.len;
        bool ok = iov_copy_to(to, &e->head, sizeof(e->head)) == sizeof(e->head) &&
                  iov_copy_to(to, e->name, e->head.len) == e->head.len;

        event_free(e);
        if (!ok)
            return -EFAULT;
        done += (ssize_t)n;
    }
    return done ? done : err;
}

static ssize_t inotify_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct inotify_group *g = f->priv;

    for (;;) {
        ssize_t n = inotify_copy(g, to);
        int err;

        if (n)
            return n;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        err = wait_event_interruptible(&g->wait, READ_ONCE(g->nr_events));
        if (err)
            return err;
    }
}

static u32 inotify_poll(struct file *f, struct poll_table *pt)
{
    struct inotify_group *g = f->priv;

    poll_wait(pt, &g->wait);
    return READ_ONCE(g->nr_events) ? POLLIN | POLLRDNORM : 0;
}

static s64 inotify_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct inotify_group *g = f->priv;
    u32 bytes = READ_ONCE(g->bytes);

    if (cmd != FIONREAD)
        return -ENOTTY;
    return copy_out((void __user *)arg, &bytes, sizeof(bytes));
}

static void inotify_release(struct file *f)
{
    struct inotify_group *g = f->priv;
    struct inotify_event *e, *next_e;
    struct rb_node *n;
    LIST_HEAD(dead);

    spin_lock(&inotify_lock);
    while ((n = rb_first(&g->watches))) {
        struct inotify_watch *w = rb_entry(n, struct inotify_watch, by_group);

        watch_unlink_locked(w);
        list_add_tail(&dead, &w->by_super);
    }
    spin_unlock(&inotify_lock);
    watches_put(&dead);
    list_for_each_safe (e, next_e, &g->events, node)
        event_free(e);
    kfree(g);
}

static const struct file_ops inotify_fops = {
    .name = "anon_inode:inotify",
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
};

struct file *inotify_create(unsigned flags)
{
    struct inotify_group *g = kzalloc(sizeof(*g));
    struct file *f;

    if (!g)
        return ERR_PTR(-ENOMEM);
    spinlock_init(&g->lock, RANK_VFS, 5, "inotify events");
    list_init(&g->events);
    g->watches = RB_ROOT;
    waitq_init(&g->wait);
    f = file_create(&inotify_fops, O_RDONLY | (flags & O_NONBLOCK), g);
    if (f)
        return f;
    kfree(g);
    return ERR_PTR(-ENFILE);
}

static struct inotify_watch *group_find_locked(struct inotify_group *g, const struct inode *inode)
{
    struct inotify_watch *w = watch_from_locked(inode, g);

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
    } else if (g->nr_watches >= INOTIFY_WATCHES_MAX || g->last_wd == INT32_MAX) {
        wd = -ENOSPC;
    } else {
        wd = fresh->wd = ++g->last_wd;
        rb_insert(&watch_tree, &fresh->by_inode, watch_less);
        rb_insert(&g->watches, &fresh->by_group, watch_wd_less);
        list_add_tail(&fresh->inode->super->watches, &fresh->by_super);
        g->nr_watches++;
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

    if (f->ops != &inotify_fops || !(mask & IN_ALL_EVENTS) ||
        ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE)))
        return -EINVAL;
    if ((mask & IN_ONLYDIR) && !S_ISDIR(inode->mode))
        return -ENOTDIR;
    err = inode_permission(inode, cred, 4);
    if (err)
        return err;
    w = kzalloc(sizeof(*w));
    if (!w)
        return -ENOMEM;
    dentry_get(p->dentry);
    *w = (struct inotify_watch){.group = f->priv, .d = p->dentry, .inode = inode, .mask = mask};
    err = group_set(f->priv, w, mask, &used);
    if (!used) {
        dentry_put(w->d);
        kfree(w);
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
