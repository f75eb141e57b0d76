/* SPDX-License-Identifier: MIT
 *
 * epoll_wait. The ready items are taken off one by one, each file is asked, and those that are
 * level-triggered and still ready go back to the end. While one collects, the items are on lists of
 * its own, which epoll_remove knows as well as the ready list: all are under ready_lock.
 *
 * Events go to the user under ep->lock, so these copies fault nothing in: a page that is not there
 * is touched between two holds of the lock.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "obj/epoll_priv.h"
#include "obj/obj_priv.h"
#include "sched/thread.h"

#define EPOLL_BATCH 16

struct epoll_scan {
    struct list_node todo;  /* not looked at yet */
    struct list_node again; /* level-triggered, reported: ready the next time */
};

struct epoll_batch {
    unsigned n;
    struct epoll_item *items[EPOLL_BATCH];
    struct epoll_event_k events[EPOLL_BATCH];
};

/* The first item of a list, off it; NULL: none. */
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

static void epoll_push(struct epoll *ep, struct list_node *to, struct epoll_item *item, bool first)
{
    u64 flags;

    spin_lock_irqsave(&ep->ready_lock, &flags);
    if (list_empty(&item->ready_node)) /* an event meanwhile: it is on the ready list */
        first ? list_add(to, &item->ready_node) : list_add_tail(to, &item->ready_node);
    spin_unlock_irqrestore(&ep->ready_lock, flags);
}

static void epoll_scan_begin(struct epoll *ep, struct epoll_scan *scan)
{
    u64 flags;

    list_init(&scan->todo);
    list_init(&scan->again);
    spin_lock_irqsave(&ep->ready_lock, &flags);
    list_splice_tail(&scan->todo, &ep->ready);
    spin_unlock_irqrestore(&ep->ready_lock, flags);
}

/* What was not looked at comes first the next time, then what came meanwhile. */
static void epoll_scan_end(struct epoll *ep, struct epoll_scan *scan)
{
    u64 flags;

    spin_lock_irqsave(&ep->ready_lock, &flags);
    list_splice_tail(&scan->todo, &ep->ready);
    list_splice_tail(&scan->todo, &scan->again);
    list_splice_tail(&ep->ready, &scan->todo);
    spin_unlock_irqrestore(&ep->ready_lock, flags);
}

static u32 epoll_ask(const struct epoll_item *item)
{
    return file_poll(item->file, NULL) & item->events & ~EPOLL_BITS;
}

static void epoll_fill(struct epoll *ep, struct epoll_scan *scan, struct epoll_batch *b, int max)
{
    struct epoll_item *item;
    unsigned looks = 0;

    b->n = 0;
    while (b->n < (unsigned)MIN(max, EPOLL_BATCH) && (item = epoll_pop(ep, &scan->todo))) {
        u32 now = epoll_ask(item);

        if (now) {
            b->items[b->n] = item;
            b->events[b->n++] = (struct epoll_event_k){.events = now, .data = item->data};
        }
        if (++looks % 64 == 0)
            cond_yield();
    }
}

/* They were reported, or could not be: then all is as before. */
static void epoll_settle(struct epoll *ep, struct epoll_scan *scan, struct epoll_batch *b,
                         bool told)
{
    for (unsigned i = 0; told && i < b->n; i++) {
        struct epoll_item *item = b->items[i];

        if (item->events & EPOLLONESHOT)
            WRITE_ONCE(item->events, item->events & EPOLL_BITS);
        else if (!(item->events & EPOLLET))
            epoll_push(ep, &scan->again, item, false);
    }
    for (unsigned i = b->n; !told && i-- > 0;)
        epoll_push(ep, &scan->todo, b->items[i], true);
}

/* Tells events until there are no more or max; false: a page is not there. */
static bool epoll_tell(struct epoll *ep, struct epoll_scan *scan, struct iov_iter *out, int max,
                       int *told)
{
    struct epoll_batch b;
    bool fits = true;

    while (fits && *told < max) {
        epoll_fill(ep, scan, &b, max - *told);
        if (!b.n)
            break;
        fits = iov_put_whole(out, b.events, b.n * sizeof(b.events[0]));
        if (fits)
            *told += (int)b.n;
        epoll_settle(ep, scan, &b, fits);
    }
    return fits;
}

/* How many events were reported; -EFAULT: none, since the buffer cannot be written. */
static int epoll_collect(struct epoll *ep, struct iov_iter *out, int max)
{
    struct epoll_scan scan;
    int told = 0, err = 0;
    bool fits;

    mutex_lock(&ep->lock);
    epoll_scan_begin(ep, &scan);
    while (!(fits = epoll_tell(ep, &scan, out, max, &told)) && !err) {
        mutex_unlock(&ep->lock);
        err = iov_fault_in(out,
                           MIN((u64)(max - told) * sizeof(struct epoll_event_k),
                               EPOLL_BATCH * sizeof(struct epoll_event_k)),
                           true);
        mutex_lock(&ep->lock);
    }
    epoll_scan_end(ep, &scan);
    mutex_unlock(&ep->lock);
    if (!list_empty(&ep->ready)) /* for another waiter */
        obj_wake(&ep->wait, POLLIN | POLLRDNORM, 1);
    return told || !err ? told : err;
}

static bool epoll_has_ready(struct epoll *ep)
{
    return !list_empty(&ep->ready);
}

/* 0, -ETIMEDOUT, -EINTR. Waiters are exclusive: one event wakes one of them. */
static int epoll_sleep(struct epoll *ep, u64 deadline)
{
    u64 slack = poll_slack(deadline);
    struct wait_thread w = {0};
    int err = 0;

    while (!err) {
        wait_begin_exclusive(&w, &ep->wait, SLEEP_INTERRUPTIBLE);
        if (epoll_has_ready(ep))
            break;
        err = wait_commit_within(&w, deadline, slack);
    }
    wait_end(&w);
    return err;
}

int epoll_wait(struct file *f, struct iov_iter *out, int max, bool block, u64 deadline)
{
    struct epoll *ep = f->priv;
    int n, err;

    if (!epoll_is(f) || max <= 0)
        return -EINVAL;
    for (;;) {
        n = epoll_has_ready(ep) ? epoll_collect(ep, out, max) : 0;
        if (n || !block)
            return n;
        err = epoll_sleep(ep, deadline);
        if (err == -ETIMEDOUT)
            return epoll_has_ready(ep) ? epoll_collect(ep, out, max) : 0;
        if (err) {
            if (epoll_has_ready(ep)) /* the event that woke us is another's */
                obj_wake(&ep->wait, POLLIN | POLLRDNORM, 1);
            return -EINTR;
        }
    }
}

/* Level-triggered items stay listed after they were served: asks until one is truly ready. */
u32 epoll_poll(struct file *f, struct poll_table *pt)
{
    struct epoll *ep = f->priv;
    struct epoll_scan scan;
    struct epoll_item *item;
    unsigned looks = 0;
    u32 mask = 0;

    poll_wait(pt, &ep->wait);
    if (!epoll_has_ready(ep))
        return 0;
    mutex_lock_nested(&ep->lock); /* of an epoll that watches this one: epoll_nest.c */
    epoll_scan_begin(ep, &scan);
    while (!mask && (item = epoll_pop(ep, &scan.todo))) {
        if (epoll_ask(item)) {
            epoll_push(ep, &scan.todo, item, true);
            mask = POLLIN | POLLRDNORM;
        }
        if (++looks % 64 == 0)
            cond_yield();
    }
    epoll_scan_end(ep, &scan);
    mutex_unlock(&ep->lock);
    return mask;
}
