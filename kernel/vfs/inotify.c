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
#include "lib/format.h"
#include "lib/rbtree.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
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

/* How many a user has in a control group: the roots of two containers are one user, but what the
 * one has does not count for the other. inotify_lock. */
struct inotify_user {
    struct rb_node node; /* by uid and payer */
    kuid_t uid;
    struct account *payer; /* what this is charged to: it stays as long; NULL: none */
    u32 instances, watches;
};

/* l lock · I immutable */
struct inotify_group {
    struct inotify_user *user;      /* I */
    struct account *payer;          /* I  what the group itself is charged to: it stays as long */
    struct inotify_event *overflow; /* I  the one event for all that are lost */
    bool lost;                      /* l  it is among the events */
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
    struct dentry *d;                  /* inotify_lock  a reference, or NULL */
    struct inode *inode;               /* I  of d; a reference without d */
    s32 wd;                            /* I */
    u32 mask;                          /* inotify_lock */
};

u32 inotify_watches;
static struct spinlock inotify_lock = SPINLOCK_INIT(RANK_VFS, 7, "inotify");
static struct rb_root watch_tree;    /* inotify_lock: by inode and group */
static struct rb_root inotify_users; /* inotify_lock: by uid */

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

/* NULL: no memory. */
static struct inotify_event *event_alloc(const struct inotify_group *g, s32 wd, u32 mask,
                                         u32 cookie, const char *name, size_t len)
{
    struct account *former;
    struct inotify_event *e;
    u32 padded;

    len = strnlen(name ? name : "", len); /* a rename beside us may have made it shorter */
    padded = len ? ALIGN_UP((u32)len + 1, (u32)sizeof(struct inotify_event_k)) : 0;
    former = account_swap(g->payer);
    e = FAILPOINT(inotify_event) ? NULL : kzalloc(sizeof(*e) + padded);
    (void)account_swap(former);
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

/* What is to be queued for e: nothing for one like the last; when there are too many, or there was
 * no memory for e, the overflow event, unless it waits to be read already. */
static struct inotify_event *group_choose_locked(struct inotify_group *g, struct inotify_event *e)
{
    struct inotify_event *last = list_last(&g->events, struct inotify_event, node);
    bool lost = !e || g->nr_events >= INOTIFY_EVENTS_MAX;

    if (!lost && !(last && event_equal(last, e)))
        return e;
    event_free(e);
    e = lost && !g->lost ? g->overflow : NULL;
    g->lost |= lost;
    return e;
}

/* e NULL: it is lost. */
static void group_queue(struct inotify_group *g, struct inotify_event *e)
{
    spin_lock(&g->lock);
    e = group_choose_locked(g, e);
    if (e) {
        list_add_tail(&g->events, &e->node);
        g->nr_events++;
        g->bytes += (u32)sizeof(e->head) + e->head.len;
    }
    spin_unlock(&g->lock);
    if (!e)
        return;
    waitq_wake(&g->wait, POLLIN | POLLRDNORM, ~0U);
}

/* ------------------------------------------------------------- watches; inotify_lock held */

/* What it holds of its file system is put outside of the lock (watches_put): that stays so long. */
static void watch_unlink_locked(struct inotify_watch *w)
{
    super_pin(w->inode->super);
    rb_erase(&watch_tree, &w->by_inode);
    rb_erase(&w->group->watches, &w->by_group);
    list_del(&w->by_super);
    w->group->nr_watches--;
    w->group->user->watches--;
    WRITE_ONCE(w->inode->watches, w->inode->watches - 1);
    WRITE_ONCE(inotify_watches, inotify_watches - 1);
}

/* Takes the watch out and tells so; the caller puts it (watch_put) outside the lock. */
static void watch_end_locked(struct inotify_watch *w, u32 mask, struct list_node *dead)
{
    if (mask)
        group_queue(w->group, event_alloc(w->group, w->wd, mask, 0, NULL, 0));
    group_queue(w->group, event_alloc(w->group, w->wd, IN_IGNORED, 0, NULL, 0));
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
                                                 struct list_node *dead)
{
    struct inotify_watch *next;

    for (unsigned i = 0, cost; w && i < STRETCH; w = next, i += cost) {
        next = watch_next_locked(w);
        cost = 1;
        if (!(w->mask & head->mask & IN_ALL_EVENTS))
            continue;
        if (unlinked && (w->mask & IN_EXCL_UNLINK))
            continue;
        cost = watch_cost(w);
        group_queue(w->group, event_alloc(w->group, w->wd, head->mask, head->cookie, name, len));
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

/* ------------------------------------------------------------- users */

static int user_compare(const struct inotify_user *a, const struct inotify_user *b)
{
    if (a->uid != b->uid)
        return a->uid < b->uid ? -1 : 1;
    return a->payer < b->payer ? -1 : a->payer > b->payer;
}

static struct inotify_user *user_find_locked(const struct inotify_user *like)
{
    for (struct rb_node *n = inotify_users.node; n;) {
        struct inotify_user *u = rb_entry(n, struct inotify_user, node);
        int diff = user_compare(like, u);

        if (diff == 0)
            return u;
        n = diff < 0 ? n->left : n->right;
    }
    return NULL;
}

static bool user_less(const struct rb_node *a, const struct rb_node *b)
{
    return user_compare(rb_entry(a, struct inotify_user, node),
                        rb_entry(b, struct inotify_user, node)) < 0;
}

/* One instance more for the user. ERR_PTR(-EMFILE), ERR_PTR(-ENOMEM). */
static struct inotify_user *user_take(kuid_t uid)
{
    struct inotify_user *fresh = kzalloc(sizeof(*fresh)), *u;

    if (!fresh)
        return ERR_PTR(-ENOMEM);
    fresh->uid = uid;
    fresh->payer = slab_account(fresh);
    spin_lock(&inotify_lock);
    u = user_find_locked(fresh);
    if (!u) {
        rb_insert(&inotify_users, &fresh->node, user_less);
        u = fresh;
        fresh = NULL;
    }
    if (u->instances >= INOTIFY_INSTANCES_MAX)
        u = ERR_PTR(-EMFILE);
    else
        u->instances++;
    spin_unlock(&inotify_lock);
    kfree(fresh);
    return u;
}

static void user_put(struct inotify_user *u)
{
    bool last;

    spin_lock(&inotify_lock);
    last = --u->instances == 0;
    if (last)
        rb_erase(&inotify_users, &u->node);
    spin_unlock(&inotify_lock);
    if (last)
        kfree(u);
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
        g->lost &= e != g->overflow;
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

        if (e != g->overflow)
            event_free(e);
        if (!ok)
            return -EFAULT;
        done += (ssize_t)n;
        cond_yield();
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

static void group_free(struct inotify_group *g)
{
    event_free(g->overflow);
    user_put(g->user);
    kfree(g);
}

static void inotify_release(struct file *f)
{
    struct inotify_group *g = f->priv;
    struct inotify_event *e, *next;

    while (group_drop_some(g))
        ;
    list_for_each_safe (e, next, &g->events, node) {
        if (e != g->overflow)
            event_free(e);
        cond_yield();
    }
    group_free(g);
}

/* proc(5): a line for each watch, as far as they fit. */
static int inotify_fdinfo(struct file *f, char *buf, size_t n)
{
    struct inotify_group *g = f->priv;
    size_t at = 0;

    spin_lock(&inotify_lock);
    for (struct rb_node *node = rb_first(&g->watches); node && n - at > 100; node = rb_next(node)) {
        const struct inotify_watch *w = rb_entry(node, struct inotify_watch, by_group);
        u64 dev = w->inode->super->dev;

        at += scnprintf(buf + at, n - at, "inotify wd:%x ino:%lx sdev:%lx mask:%x ignored_mask:0\n",
                        (u32)w->wd, w->inode->ino, (dev & 0xff) | (dev >> 12 & 0xfff00),
                        w->mask & IN_ALL_EVENTS);
    }
    spin_unlock(&inotify_lock);
    return (int)at;
}

static const struct file_ops inotify_fops = {
    .name = "anon_inode:inotify",
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .fdinfo = inotify_fdinfo,
    .release = inotify_release,
};

/* For a user who has one instance more; NULL: no memory. */
static struct inotify_group *group_create(struct inotify_user *u)
{
    struct inotify_group *g = kzalloc(sizeof(*g));

    if (!g)
        return NULL;
    g->payer = slab_account(g);
    g->overflow = event_alloc(g, -1, IN_Q_OVERFLOW, 0, NULL, 0);
    if (!g->overflow) {
        kfree(g);
        return NULL;
    }
    g->user = u;
    spinlock_init(&g->lock, RANK_VFS, 5, "inotify events");
    list_init(&g->events);
    g->watches = RB_ROOT;
    waitq_init(&g->wait);
    return g;
}

struct file *inotify_create(unsigned flags)
{
    struct inotify_user *u = user_take(current_cred()->uid);
    struct inotify_group *g = IS_ERR(u) ? NULL : group_create(u);
    struct file *f;

    if (IS_ERR(u))
        return (void *)u;
    if (!g) {
        user_put(u);
        return ERR_PTR(-ENOMEM);
    }
    f = file_create(&inotify_fops, O_RDONLY | (flags & O_NONBLOCK), g);
    if (f)
        return f;
    group_free(g);
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
    smp_mb(); /* who takes the last name away counts, then looks for watches */
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
