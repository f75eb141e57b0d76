/* SPDX-License-Identifier: MIT
 *
 * epoll, inside. An item stands for one (file, fd) in one epoll. Its wake-up callback puts it on
 * the ready list if it is not there: O(1).
 *
 * Lifetime: an epoll is counted, by its file and by each look at it through an item. Two
 * parties end an item: the epoll's release and the last put of the file that is watched; both do it
 * under ep->lock, and an item in the file's list keeps its epoll's memory there.
 *
 * Bounds: a wake-up calls some watchers of a file at once, with those of epolls that they wake, and
 * the rest a little later (sched/waitq.c). A file takes at most EPOLL_WATCHERS items, and what
 * follows from epolls that are watched themselves is bounded by epoll_nest.c.
 *
 * Locks, outermost first: ep->lock (items; held over file_poll, so that of an epoll before those it
 * watches), epoll_nest_lock (items that watch epolls; only they need it; under it ep->lock is only
 * tried), file->watch_lock, then the waitq of a file, ep->ready_lock, ep->wait. The last two are
 * taken in wake-up callbacks, under other queues' locks: the rank checker leaves them out.
 */
#pragma once

#include "lib/rbtree.h"
#include "obj/file.h"
#include "obj/poll.h"
#include "sched/mutex.h"
#include "sync/refcount.h"

#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3
#define EPOLLEXCLUSIVE (1U << 28)
#define EPOLLWAKEUP (1U << 29)
#define EPOLLONESHOT (1U << 30)
#define EPOLLET (1U << 31)
#define EPOLL_BITS (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)
#define EPOLL_QUEUES 3      /* most queues that one file's poll registers with */
#define EPOLL_WATCHERS 2048 /* most items of one file */

struct epoll {
    refcount_t ref;       /* a */
    struct mutex lock;    /* */
    struct file *file;    /* I  borrowed: the epoll's own, valid while it has items */
    struct rb_root items; /* lock  by (file, fd) */
    bool was_watched;     /* lock  by another epoll, once; set before that looks at items; stays */
    struct list_node nested; /* epoll_nest_lock  items that watch epolls */
    u64 nest_mark;           /* epoll_nest_lock  the round that nest_below is of */
    int nest_below;          /* epoll_nest_lock */
    struct spinlock ready_lock;
    struct list_node ready; /* ready_lock */
    struct waitq wait;
};

struct epoll_item {
    struct rb_node node;          /* ep->lock */
    struct list_node ready_node;  /* ep->ready_lock; empty: not on a list */
    struct list_node watch_node;  /* file->watch_lock */
    struct list_node nested_node; /* epoll_nest_lock */
    struct epoll *ep;             /* I */
    struct file *file;            /* I  borrowed: its last put takes the item away */
    int fd;                       /* I */
    u32 events;                   /* ep->lock; read by callbacks */
    u64 data;                     /* ep->lock */
    unsigned queues;              /* I after add */
    bool overflow;                /*   more queues than there is space for */
    struct epoll_hook {
        struct waiter waiter;
        struct waitq *queue; /* a  NULL: it has gone (POLLFREE) */
    } waits[EPOLL_QUEUES];
};

extern const struct file_ops epoll_ops;
extern struct mutex epoll_nest_lock;

static inline bool epoll_is(const struct file *f)
{
    return f->ops == &epoll_ops;
}

/* epoll_wait.c */
u32 epoll_poll(struct file *f, struct poll_table *pt);
/* epoll_nest.c: may ep, which is locked, watch target, an epoll, or a file while others watch ep?
 * Under epoll_nest_lock. 0, -ELOOP (a circle, or too deep), -EINVAL (too many paths). *busy: not
 * known, as that epoll is locked; a reference. */
int epoll_nest_check(struct epoll *ep, struct file *target, struct epoll **busy);
