/* SPDX-License-Identifier: MIT
 *
 * epoll: what is watched. epoll_priv.h has the rules, epoll_wait.c the waiting.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "obj/epoll_priv.h"
#include "obj/obj_priv.h"
#include "sched/thread.h"
#include "sync/rcu.h"

#define EPOLL_FEW 64 /* items ended under one hold of the lock */

static struct slab_cache *epoll_item_cache;

static void epoll_init(void)
{
    epoll_item_cache = slab_cache_create("epoll_item", sizeof(struct epoll_item), 0);
}
INIT_HOOK(epoll_init, INIT_CORE);

static void epoll_put(struct epoll *ep)
{
    if (refcount_put(&ep->ref))
        kfree(ep);
}

/* Puts the item on the ready list; true when it was not there. */
static bool epoll_make_ready(struct epoll_item *item)
{
    struct epoll *ep = item->ep;
    bool fresh;
    u64 flags;

    spin_lock_irqsave(&ep->ready_lock, &flags);
    fresh = list_empty(&item->ready_node);
    if (fresh)
        list_add_tail(&ep->ready, &item->ready_node);
    spin_unlock_irqrestore(&ep->ready_lock, flags);
    return fresh;
}

static void epoll_unready(struct epoll_item *item)
{
    u64 flags;

    spin_lock_irqsave(&item->ep->ready_lock, &flags);
    list_del(&item->ready_node);
    spin_unlock_irqrestore(&item->ep->ready_lock, flags);
}

/* Of the exclusive ones an event is for one that can act on it: that has a waiter, and asked for
 * just this. Else the next one is notified of it, too. */
static bool epoll_takes(const struct epoll_item *item, u32 events)
{
    u32 way = events & (POLLIN | POLLOUT);

    return way != (POLLIN | POLLOUT) && (item->events & way) == way;
}

static int epoll_wake(struct waiter *w, u32 events)
{
    struct epoll_item *item = w->arg;
    u32 wants = READ_ONCE(item->events);
    int calls;

    if (unlikely(events & POLLFREE)) {
        list_del(&w->node);
        /* The last access: epoll_unhook does not wait for this callback any more. */
        store_release(&container_of(w, struct epoll_hook, waiter)->queue, NULL);
        return 0;
    }
    if (!(wants & ~EPOLL_BITS) || (events && !(events & wants)))
        return 0;
    epoll_make_ready(item);
    smp_mb(); /* pairs with a waiter that queues itself, then looks at the ready list */
    if (list_empty(&item->ep->wait.waiters))
        return 0;
    calls = (int)waitq_wake_waiters(&item->ep->wait, POLLIN | POLLRDNORM, 1);
    return w->exclusive && epoll_takes(item, events) ? 1 + calls : -calls;
}

/* The one table is on the adder's stack. */
struct epoll_table {
    struct poll_table table;
    struct epoll_item *item;
};

static void epoll_queue(struct poll_table *pt, struct waitq *q)
{
    struct epoll_item *item = container_of(pt, struct epoll_table, table)->item;
    unsigned i = item->queues;

    if (i == EPOLL_QUEUES) {
        item->overflow = true;
        return;
    }
    item->queues = i + 1;
    item->waits[i].queue = q;
    item->waits[i].waiter = (struct waiter){
        .wake = epoll_wake,
        .arg = item,
        .exclusive = item->events & EPOLLEXCLUSIVE,
    };
    waitq_add(q, &item->waits[i].waiter);
}

static int epoll_compare(const struct file *file, int fd, const struct epoll_item *item)
{
    if (file != item->file)
        return file < item->file ? -1 : 1;
    return fd < item->fd ? -1 : fd > item->fd;
}

static struct epoll_item *epoll_find(struct epoll *ep, const struct file *file, int fd)
{
    for (struct rb_node *n = ep->items.node; n;) {
        struct epoll_item *item = rb_entry(n, struct epoll_item, node);
        int cmp = epoll_compare(file, fd, item);

        if (!cmp)
            return item;
        n = cmp < 0 ? n->left : n->right;
    }
    return NULL;
}

static void epoll_insert(struct epoll *ep, struct epoll_item *item)
{
    struct rb_node **link = &ep->items.node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = epoll_compare(item->file, item->fd, rb_entry(parent, struct epoll_item, node)) < 0
                   ? &parent->left
                   : &parent->right;
    }
    rb_link(&ep->items, &item->node, parent, link);
}

/* A queue that goes away meanwhile stays in memory until we are through: RCU. */
static void epoll_unhook(struct epoll_hook *hook)
{
    struct waitq *q;

    rcu_read_lock();
    q = load_acquire(&hook->queue);
    if (q)
        waitq_remove(q, &hook->waiter);
    rcu_read_unlock();
}

/* ep->lock held. */
static void epoll_remove(struct epoll *ep, struct epoll_item *item)
    NO_THREAD_SAFETY /* epoll_nest_lock for an epoll only */
{
    struct file *f = item->file;
    bool nests = epoll_is(f);

    ASSERT_HELD(&ep->lock);
    for (unsigned i = 0; i < item->queues; i++)
        epoll_unhook(&item->waits[i]);
    epoll_unready(item);
    rb_erase(&ep->items, &item->node);
    if (nests) {
        mutex_lock(&epoll_nest_lock);
        list_del(&item->nested_node);
    }
    /* The last: when it is in no list the file may go. */
    spin_lock(&f->watch_lock);
    list_del(&item->watch_node);
    f->nr_watchers--;
    spin_unlock(&f->watch_lock);
    if (nests)
        mutex_unlock(&epoll_nest_lock);
    slab_free(epoll_item_cache, item);
}

/* Into the list of those that watch the file: -ENOSPC: there are many. */
static int epoll_watch(struct epoll_item *item)
{
    struct file *f = item->file;
    bool fits;

    spin_lock(&f->watch_lock);
    fits = f->nr_watchers < EPOLL_WATCHERS;
    if (fits) {
        list_add_tail(&f->watchers, &item->watch_node);
        f->nr_watchers++;
    }
    spin_unlock(&f->watch_lock);
    return fits ? 0 : -ENOSPC;
}

static struct epoll_item *epoll_item_create(struct epoll *ep, int fd, struct file *target,
                                            const struct epoll_event_k *ev)
{
    struct epoll_item *item = slab_zalloc(epoll_item_cache);

    if (!item)
        return NULL;
    list_init(&item->ready_node);
    list_init(&item->nested_node);
    item->ep = ep;
    item->file = target;
    item->fd = fd;
    item->events = ev->events | POLLERR | POLLHUP;
    item->data = ev->data;
    return item;
}

/* Of an epoll under epoll_nest_lock. */
static int epoll_link(struct epoll *ep, int fd, struct file *target, const struct epoll_event_k *ev,
                      struct epoll_item **out)
{
    struct epoll_item *item;

    if (epoll_find(ep, target, fd))
        return -EEXIST;
    item = epoll_item_create(ep, fd, target, ev);
    if (!item)
        return -ENOMEM;
    if (epoll_watch(item)) {
        slab_free(epoll_item_cache, item);
        return -ENOSPC;
    }
    epoll_insert(ep, item);
    if (epoll_is(target))
        list_add_tail(&ep->nested, &item->nested_node);
    *out = item;
    return 0;
}

/* Where epolls are watched, both files are looked at with their neighbours. */
static int epoll_link_checked(struct epoll *ep, int fd, struct file *target,
                              const struct epoll_event_k *ev, struct epoll_item **out,
                              struct epoll **busy)
{
    int err;

    if (!epoll_is(target) && !ep->was_watched)
        return epoll_link(ep, fd, target, ev, out);
    mutex_lock(&epoll_nest_lock);
    err = epoll_nest_check(ep, target, busy);
    if (!err)
        err = epoll_link(ep, fd, target, ev, out);
    mutex_unlock(&epoll_nest_lock);
    return err;
}

static int epoll_add(struct epoll *ep, int fd, struct file *target, const struct epoll_event_k *ev,
                     struct epoll **busy)
{
    struct epoll_table pt = {.table.queue = epoll_queue};
    u32 now;
    int err = epoll_link_checked(ep, fd, target, ev, &pt.item, busy);

    if (err)
        return err;
    now = file_poll(target, &pt.table) & pt.item->events;
    if (pt.item->overflow) {
        epoll_remove(ep, pt.item);
        return -ENOSPC;
    }
    if (now && epoll_make_ready(pt.item))
        obj_wake(&ep->wait, POLLIN | POLLRDNORM, 1);
    return 0;
}

static int epoll_modify(struct epoll *ep, struct epoll_item *item, const struct epoll_event_k *ev)
{
    if (item->events & EPOLLEXCLUSIVE)
        return -EINVAL;
    WRITE_ONCE(item->events, ev->events | POLLERR | POLLHUP);
    item->data = ev->data;
    smp_mb(); /* events first, then look: pairs with the callback, which reads events */
    if ((file_poll(item->file, NULL) & item->events) && epoll_make_ready(item))
        obj_wake(&ep->wait, POLLIN | POLLRDNORM, 1);
    return 0;
}

/* *busy: a reference to another epoll, which is to be waited for. */
static int epoll_ctl_locked(struct epoll *ep, int op, int fd, struct file *target,
                            const struct epoll_event_k *ev, struct epoll **busy) REQUIRES(ep->lock)
{
    struct epoll_item *item;

    ASSERT_HELD(&ep->lock);
    if (op == EPOLL_CTL_ADD)
        return epoll_add(ep, fd, target, ev, busy);
    if (op != EPOLL_CTL_MOD && op != EPOLL_CTL_DEL)
        return -EINVAL;
    item = epoll_find(ep, target, fd);
    if (!item)
        return -ENOENT;
    if (op == EPOLL_CTL_MOD)
        return epoll_modify(ep, item, ev);
    epoll_remove(ep, item);
    return 0;
}

/* What the arguments alone tell, in Linux's order. */
static int epoll_ctl_check(const struct file *f, int op, const struct file *target,
                           const struct epoll_event_k *ev)
{
    const u32 with_exclusive =
        POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

    if (!target->ops->poll)
        return -EPERM;
    if (f == target || !epoll_is(f))
        return -EINVAL;
    if (op == EPOLL_CTL_DEL || !(ev->events & EPOLLEXCLUSIVE))
        return 0;
    if (op == EPOLL_CTL_MOD ||
        (op == EPOLL_CTL_ADD && (epoll_is(target) || (ev->events & ~with_exclusive))))
        return -EINVAL;
    return 0;
}

/* Until ep is, or was just now, not locked; consumes the reference. 0 or -EINTR. It is, or is about
 * to be, watched: now that it is locked it is marked, so that this is waited for once. */
static int epoll_wait_unlocked(struct epoll *ep)
{
    int err = mutex_lock_killable(&ep->lock);

    if (!err) {
        WRITE_ONCE(ep->was_watched, true);
        mutex_unlock(&ep->lock);
    }
    epoll_put(ep);
    return err;
}

int epoll_ctl(struct file *f, int op, int fd, struct file *target, const struct epoll_event_k *ev)
{
    struct epoll *ep = f->priv, *busy;
    int err = epoll_ctl_check(f, op, target, ev);

    if (err)
        return err;
    for (;;) {
        busy = NULL;
        mutex_lock(&ep->lock);
        err = epoll_ctl_locked(ep, op, fd, target, ev, &busy);
        mutex_unlock(&ep->lock);
        if (likely(!busy))
            return err;
        err = epoll_wait_unlocked(busy);
        if (err)
            return err;
        cond_yield();
    }
}

/* Ends up to EPOLL_FEW items. False: that was all. */
static bool epoll_release_few(struct epoll *ep)
{
    struct rb_node *n, *next;
    unsigned done = 0;

    mutex_lock(&ep->lock);
    for (n = rb_first(&ep->items); n && done < EPOLL_FEW; n = next) {
        struct epoll_item *item = rb_entry(n, struct epoll_item, node);

        next = rb_next(n);
        epoll_remove(ep, item);
        done++;
    }
    mutex_unlock(&ep->lock);
    return n;
}

static void epoll_release(struct file *f)
{
    struct epoll *ep = f->priv;

    while (epoll_release_few(ep))
        cond_yield();
    epoll_put(ep);
}

/* The epoll of the first item that watches f, with a reference; NULL: there is none any more. */
static struct epoll *epoll_first_watcher(struct file *f)
{
    struct epoll_item *item;
    struct epoll *ep = NULL;

    spin_lock(&f->watch_lock);
    item = list_first(&f->watchers, struct epoll_item, watch_node);
    if (item) {
        ep = item->ep;
        refcount_get(&ep->ref);
    }
    spin_unlock(&f->watch_lock);
    return ep;
}

/* Items of a file come by epoll_ctl, which holds the file; so none comes any more. */
void epoll_file_gone(struct file *f)
{
    struct epoll_item *item;
    struct epoll *ep;

    while ((ep = epoll_first_watcher(f))) {
        mutex_lock(&ep->lock);
        spin_lock(&f->watch_lock);
        item = list_first(&f->watchers, struct epoll_item, watch_node);
        if (item && item->ep != ep)
            item = NULL; /* its epoll ended it meanwhile */
        spin_unlock(&f->watch_lock);
        if (item)
            epoll_remove(ep, item);
        mutex_unlock(&ep->lock);
        epoll_put(ep);
        cond_yield();
    }
}

const struct file_ops epoll_ops = {
    .name = "[eventpoll]",
    .poll = epoll_poll,
    .release = epoll_release,
};

struct file *epoll_create(unsigned flags)
{
    struct epoll *ep;
    struct file *f;

    if (flags & ~(unsigned)O_CLOEXEC)
        return ERR_PTR(-EINVAL);
    ep = kzalloc(sizeof(*ep));
    if (!ep)
        return ERR_PTR(-ENOMEM);
    refcount_init(&ep->ref, 1);
    mutex_init(&ep->lock, RANK_OPS, ORDER_EPOLL, "epoll");
    list_init(&ep->nested);
    spinlock_init(&ep->ready_lock, RANK_NONE, 0, "epoll->ready");
    list_init(&ep->ready);
    obj_waitq_init_nested(&ep->wait);
    f = file_create(&epoll_ops, O_RDWR, ep);
    if (!f) {
        kfree(ep);
        return ERR_PTR(-ENFILE);
    }
    ep->file = f;
    return f;
}
