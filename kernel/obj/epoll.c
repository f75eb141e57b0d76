/* SPDX-License-Identifier: MIT
 *
 * epoll. An item stands for one (file, fd) in one epoll. Its wake-up callback puts it on the ready
 * list if it is not there: O(1). epoll_wait takes the ready items off one by one, asks each file,
 * and puts those that are level-triggered and still ready back at the end.
 *
 * An epoll may watch an epoll that watches none itself; deeper nesting is -ELOOP, so there are no
 * cycles.
 *
 * Locks, outermost first: epoll_gone_lock (files and epolls that die, epolls that come to watch
 * epolls), ep->lock (items; held over
 * file_poll), file->watch_lock, then the waitq of a file, ep->ready_lock, ep->wait. The last two
 * are taken in wake-up callbacks, under other queues' locks: the rank checker leaves them out.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/rbtree.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "obj/obj_priv.h"
#include "obj/poll.h"
#include "sync/rcu.h"

#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3
#define EPOLLEXCLUSIVE (1U << 28)
#define EPOLLWAKEUP (1U << 29)
#define EPOLLONESHOT (1U << 30)
#define EPOLLET (1U << 31)
#define EPOLL_BITS (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)
#define EPOLL_QUEUES 3 /* most queues that one file's poll registers with */

struct epoll {
    struct mutex lock;
    struct rb_root items; /* lock  by (file, fd) */
    u32 nested;           /* lock  items that are epolls */
    struct spinlock ready_lock;
    struct list_node ready; /* ready_lock */
    struct waitq wait;
};

struct epoll_item {
    struct rb_node node;         /* ep->lock */
    struct list_node ready_node; /* ep->ready_lock; empty: not on a list */
    struct list_node watch_node; /* file->watch_lock */
    struct epoll *ep;            /* I */
    struct file *file;           /* I  borrowed: its last put takes the item away */
    int fd;                      /* I */
    u32 events;                  /* ep->lock; read by callbacks */
    u64 data;                    /* ep->lock */
    unsigned queues;             /* I after add */
    bool overflow;               /*   more queues than there is room for */
    struct epoll_hook {
        struct waiter waiter;
        struct waitq *queue; /* a  NULL: it has gone (POLLFREE) */
    } waits[EPOLL_QUEUES];
};

static const struct file_ops epoll_ops;
static struct mutex epoll_gone_lock;
static struct slab_cache *epoll_item_cache;

static void epoll_init(void)
{
    mutex_init(&epoll_gone_lock, RANK_NONE, 0, "epoll_gone");
    epoll_item_cache = slab_cache_create("epoll_item", sizeof(struct epoll_item), 0);
}
INIT_HOOK(epoll_init, INIT_CORE);

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

static bool epoll_wake(struct waiter *w, u32 events)
{
    struct epoll_item *item = w->arg;
    u32 wants = READ_ONCE(item->events);

    if (unlikely(events & POLLFREE)) {
        list_del(&w->node);
        /* The last access: epoll_unhook does not wait for this callback any more. */
        store_release(&container_of(w, struct epoll_hook, waiter)->queue, NULL);
        return false;
    }
    if (!(wants & ~EPOLL_BITS) || (events && !(events & wants)))
        return false;
    epoll_make_ready(item);
    obj_wake(&item->ep->wait, POLLIN | POLLRDNORM, 1);
    return w->exclusive;
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
{
    for (unsigned i = 0; i < item->queues; i++)
        epoll_unhook(&item->waits[i]);
    spin_lock(&item->file->watch_lock);
    list_del(&item->watch_node);
    spin_unlock(&item->file->watch_lock);
    epoll_unready(item);
    rb_erase(&ep->items, &item->node);
    if (item->file->ops == &epoll_ops)
        ep->nested--;
    slab_free(epoll_item_cache, item);
}

/* May ep watch target? Both are epolls. */
static int epoll_check_nested(const struct file *ep_file, const struct file *target)
{
    struct epoll *inner = target->priv;

    return READ_ONCE(inner->nested) || !list_empty(&ep_file->watchers) ? -ELOOP : 0;
}

static int epoll_add(struct file *f, int fd, struct file *target, const struct epoll_event_k *ev)
{
    struct epoll *ep = f->priv;
    struct epoll_table pt = {.table.queue = epoll_queue};
    struct epoll_item *item;
    u32 now;

    if (!target->ops->poll)
        return -EPERM;
    if (target->ops == &epoll_ops && epoll_check_nested(f, target))
        return -ELOOP;
    if ((ev->events & EPOLLEXCLUSIVE) && (target->ops == &epoll_ops || (ev->events & EPOLLONESHOT)))
        return -EINVAL;
    item = slab_zalloc(epoll_item_cache);
    if (!item)
        return -ENOMEM;
    list_init(&item->ready_node);
    item->ep = ep;
    item->file = target;
    item->fd = fd;
    item->events = ev->events | POLLERR | POLLHUP;
    item->data = ev->data;
    epoll_insert(ep, item);
    spin_lock(&target->watch_lock);
    list_add_tail(&target->watchers, &item->watch_node);
    spin_unlock(&target->watch_lock);
    if (target->ops == &epoll_ops)
        ep->nested++;
    pt.item = item;
    now = file_poll(target, &pt.table) & item->events;
    if (item->overflow) {
        epoll_remove(ep, item);
        return -ENOSPC;
    }
    if (now && epoll_make_ready(item))
        obj_wake(&ep->wait, POLLIN | POLLRDNORM, 1);
    return 0;
}

static int epoll_modify(struct epoll *ep, struct epoll_item *item, const struct epoll_event_k *ev)
{
    if ((ev->events | item->events) & EPOLLEXCLUSIVE)
        return -EINVAL;
    WRITE_ONCE(item->events, ev->events | POLLERR | POLLHUP);
    item->data = ev->data;
    smp_mb(); /* events first, then look: pairs with the callback, which reads events */
    if ((file_poll(item->file, NULL) & item->events) && epoll_make_ready(item))
        obj_wake(&ep->wait, POLLIN | POLLRDNORM, 1);
    return 0;
}

int epoll_ctl(struct file *f, int op, int fd, struct file *target, const struct epoll_event_k *ev)
{
    struct epoll *ep = f->priv;
    struct epoll_item *item;
    bool nests = op == EPOLL_CTL_ADD && target->ops == &epoll_ops;
    int err;

    if (f->ops != &epoll_ops || target == f)
        return -EINVAL;
    if (nests) /* two that watch each other would each see that neither is watched */
        mutex_lock(&epoll_gone_lock);
    mutex_lock(&ep->lock);
    item = epoll_find(ep, target, fd);
    switch (op) {
    case EPOLL_CTL_ADD:
        err = item ? -EEXIST : epoll_add(f, fd, target, ev);
        break;
    case EPOLL_CTL_MOD:
        err = item ? epoll_modify(ep, item, ev) : -ENOENT;
        break;
    case EPOLL_CTL_DEL:
        err = item ? 0 : -ENOENT;
        if (item)
            epoll_remove(ep, item);
        break;
    default:
        err = -EINVAL;
    }
    mutex_unlock(&ep->lock);
    if (nests)
        mutex_unlock(&epoll_gone_lock);
    return err;
}

/* The first ready item, off the list; NULL: none. */
static struct epoll_item *epoll_pop(struct epoll *ep, struct list_node *from)
{
    struct epoll_item *item;
    u64 flags;

    spin_lock_irqsave(&ep->ready_lock, &flags);
    item = list_first(from, struct epoll_item, ready_node);
    if (item)
        list_del(&item->ready_node);
    spin_unlock_irqrestore(&ep->ready_lock, flags);
    return item;
}

/* Fills out with what is ready. Items looked at in this call are not looked at twice. */
static int epoll_collect(struct epoll *ep, struct epoll_event_k *out, int max)
{
    struct epoll_item *item;
    LIST_HEAD(scan);
    u64 flags;
    int n = 0;

    mutex_lock(&ep->lock);
    spin_lock_irqsave(&ep->ready_lock, &flags);
    list_splice_tail(&scan, &ep->ready);
    spin_unlock_irqrestore(&ep->ready_lock, flags);
    while (n < max && (item = epoll_pop(ep, &scan))) {
        u32 now = file_poll(item->file, NULL) & item->events & ~EPOLL_BITS;

        if (!now)
            continue;
        out[n++] = (struct epoll_event_k){.events = now, .data = item->data};
        if (item->events & EPOLLONESHOT)
            WRITE_ONCE(item->events, item->events & EPOLL_BITS);
        else if (!(item->events & EPOLLET))
            epoll_make_ready(item);
    }
    /* What was not looked at comes first the next time. */
    spin_lock_irqsave(&ep->ready_lock, &flags);
    list_splice_tail(&scan, &ep->ready);
    list_splice_tail(&ep->ready, &scan);
    spin_unlock_irqrestore(&ep->ready_lock, flags);
    mutex_unlock(&ep->lock);
    return n;
}

static bool epoll_has_ready(struct epoll *ep)
{
    return !list_empty(&ep->ready);
}

/* 0, -ETIMEDOUT, -EINTR. Waiters are exclusive: one event wakes one of them. */
static int epoll_sleep(struct epoll *ep, u64 deadline)
{
    struct wait_thread w = {0};
    int err = 0;

    while (!err) {
        wait_begin_exclusive(&w, &ep->wait, SLEEP_INTERRUPTIBLE);
        if (epoll_has_ready(ep))
            break;
        err = wait_commit(&w, deadline);
    }
    wait_end(&w);
    return err;
}

int epoll_wait(struct file *f, struct epoll_event_k *out, int max, bool block, u64 deadline)
{
    struct epoll *ep = f->priv;
    int n, err;

    if (f->ops != &epoll_ops || max <= 0)
        return -EINVAL;
    for (;;) {
        n = epoll_has_ready(ep) ? epoll_collect(ep, out, max) : 0;
        if (n || !block) {
            if (n == max && epoll_has_ready(ep)) /* more for another waiter */
                obj_wake(&ep->wait, POLLIN | POLLRDNORM, 1);
            return n;
        }
        err = epoll_sleep(ep, deadline);
        if (err == -ETIMEDOUT)
            return epoll_has_ready(ep) ? epoll_collect(ep, out, max) : 0;
        if (err)
            return -EINTR;
    }
}

static u32 epoll_poll(struct file *f, struct poll_table *pt)
{
    struct epoll *ep = f->priv;
    struct epoll_item *item;
    u32 mask = 0;
    LIST_HEAD(scan);
    u64 flags;

    poll_wait(pt, &ep->wait);
    if (!epoll_has_ready(ep))
        return 0;
    /* Level-triggered items stay listed after they were served: ask until one is truly ready. */
    mutex_lock(&ep->lock);
    spin_lock_irqsave(&ep->ready_lock, &flags);
    list_splice_tail(&scan, &ep->ready);
    spin_unlock_irqrestore(&ep->ready_lock, flags);
    while (!mask && (item = epoll_pop(ep, &scan)))
        if (file_poll(item->file, NULL) & item->events & ~EPOLL_BITS) {
            epoll_make_ready(item);
            mask = POLLIN | POLLRDNORM;
        }
    spin_lock_irqsave(&ep->ready_lock, &flags);
    list_splice_tail(&ep->ready, &scan);
    spin_unlock_irqrestore(&ep->ready_lock, flags);
    mutex_unlock(&ep->lock);
    return mask;
}

static void epoll_release(struct file *f)
{
    struct epoll *ep = f->priv;
    struct rb_node *n;

    mutex_lock(&epoll_gone_lock);
    mutex_lock(&ep->lock);
    while ((n = rb_first(&ep->items)))
        epoll_remove(ep, rb_entry(n, struct epoll_item, node));
    mutex_unlock(&ep->lock);
    mutex_unlock(&epoll_gone_lock);
    kfree(ep);
}

void epoll_file_gone(struct file *f)
{
    struct epoll_item *item;
    struct epoll *ep;

    /* epoll_gone_lock keeps the epolls; only we add to or take from the list of a dying file, and
     * epoll_ctl, which takes ep->lock. */
    mutex_lock(&epoll_gone_lock);
    for (;;) {
        spin_lock(&f->watch_lock);
        item = list_first(&f->watchers, struct epoll_item, watch_node);
        ep = item ? item->ep : NULL;
        spin_unlock(&f->watch_lock);
        if (!ep)
            break;
        mutex_lock(&ep->lock);
        spin_lock(&f->watch_lock);
        item = list_first(&f->watchers, struct epoll_item, watch_node);
        if (item && item->ep != ep)
            item = NULL;
        spin_unlock(&f->watch_lock);
        if (item)
            epoll_remove(ep, item);
        mutex_unlock(&ep->lock);
    }
    mutex_unlock(&epoll_gone_lock);
}

static const struct file_ops epoll_ops = {
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
    mutex_init(&ep->lock, RANK_NONE, 0, "epoll");
    spinlock_init(&ep->ready_lock, RANK_NONE, 0, "epoll->ready");
    list_init(&ep->ready);
    obj_waitq_init_nested(&ep->wait);
    f = file_create(&epoll_ops, O_RDWR, ep);
    if (!f) {
        kfree(ep);
        return ERR_PTR(-ENFILE);
    }
    return f;
}
