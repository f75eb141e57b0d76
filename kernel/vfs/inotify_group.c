/* SPDX-License-Identifier: MIT
 *
 * An inotify file: its events, and the users that files and watches are counted for. Lock order and
 * charges: inotify.c.
 */
#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/slab.h"
#include "vfs/inotify_priv.h"

#define FIONREAD 0x541b

static struct rb_root inotify_users; /* inotify_lock: by uid */

/* ------------------------------------------------------------- events */

static void event_free(struct inotify_event *e)
{
    kfree(e);
}

/* NULL: no memory. */
struct inotify_event *inotify_event_alloc(const struct inotify_group *g, s32 wd, u32 mask,
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
    REQUIRES(g->lock)
{
    struct inotify_event *last = list_last(&g->events, struct inotify_event, node);
    bool lost = !e || g->nr_events >= INOTIFY_EVENTS_MAX;

    ASSERT_HELD(&g->lock);
    if (!lost && !(last && event_equal(last, e)))
        return e;
    event_free(e);
    e = lost && !g->lost ? g->overflow : NULL;
    g->lost |= lost;
    return e;
}

/* e NULL: it is lost. */
void inotify_queue(struct inotify_group *g, struct inotify_event *e)
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

/* ------------------------------------------------------------- users */

static int user_compare(const struct inotify_user *a, const struct inotify_user *b)
{
    if (a->uid != b->uid)
        return a->uid < b->uid ? -1 : 1;
    return a->payer < b->payer ? -1 : a->payer > b->payer;
}

static struct inotify_user *user_find_locked(const struct inotify_user *like) REQUIRES(inotify_lock)
{
    ASSERT_HELD(&inotify_lock);
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

    inotify_drop_watches(g);
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

const struct file_ops inotify_fops = {
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
    g->overflow = inotify_event_alloc(g, -1, IN_Q_OVERFLOW, 0, NULL, 0);
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
