/* SPDX-License-Identifier: MIT
 *
 * poll(2) over files. The first pass registers with every queue until something is ready; later
 * passes only look. Each registration's wake-up sets a flag and wakes the sleeper through a queue
 * of its own. A queue is registered with once, however often its file is in the list: what an event
 * costs grows with the threads that wait for it, not with what they name.
 */
#include "obj/poll.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/rbtree.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "obj/obj_priv.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sync/percpu.h"

#define POLL_INLINE 8 /* registrations without an allocation */
#define POLL_SLACK_MAX (100 * NSEC_PER_MSEC)

struct poll_entry {
    struct waiter waiter;
    struct waitq *queue;
    struct rb_node node; /* of all that were allocated, by queue */
};

struct poll_wait {
    struct poll_table table;
    struct waitq sleeper;
    bool triggered; /* a */
    bool no_memory;
    unsigned used;
    struct poll_entry entries[POLL_INLINE];
    struct rb_root more;
};

u32 file_poll(struct file *f, struct poll_table *pt)
{
    if (!f->ops->poll) /* a regular file is always ready */
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    return f->ops->poll(f, pt);
}

static int poll_wake(struct waiter *w, u32 events)
{
    struct poll_wait *pw = w->arg;

    WRITE_ONCE(pw->triggered, true);
    waitq_wake_all(&pw->sleeper);
    return 0;
}

/* Where an entry for q belongs among those allocated; false: there is one. */
static bool poll_place(struct poll_wait *pw, const struct waitq *q, struct rb_node **parent,
                       struct rb_node ***link)
{
    for (unsigned i = 0; i < pw->used; i++)
        if (pw->entries[i].queue == q)
            return false;
    *parent = NULL;
    *link = &pw->more.node;
    while (**link) {
        struct poll_entry *e = rb_entry(**link, struct poll_entry, node);

        if (e->queue == q)
            return false;
        *parent = **link;
        *link = q < e->queue ? &e->node.left : &e->node.right;
    }
    return true;
}

static void poll_queue(struct poll_table *pt, struct waitq *q)
{
    struct poll_wait *pw = container_of(pt, struct poll_wait, table);
    struct rb_node *parent, **link;
    struct poll_entry *e;

    if (!poll_place(pw, q, &parent, &link))
        return;
    if (pw->used < POLL_INLINE) {
        e = &pw->entries[pw->used++];
    } else {
        e = kmalloc(sizeof(*e));
        if (!e) {
            pw->no_memory = true;
            return;
        }
        rb_link(&pw->more, &e->node, parent, link);
    }
    e->waiter = (struct waiter){.wake = poll_wake, .arg = pw};
    e->queue = q;
    waitq_add(q, &e->waiter);
}

static void poll_unqueue(struct poll_wait *pw)
{
    struct rb_node *n;

    for (unsigned i = 0; i < pw->used; i++)
        waitq_remove(pw->entries[i].queue, &pw->entries[i].waiter);
    for (unsigned i = 0; (n = rb_first(&pw->more)); i++) {
        struct poll_entry *e = rb_entry(n, struct poll_entry, node);

        rb_erase(&pw->more, n);
        waitq_remove(e->queue, &e->waiter);
        kfree(e);
        if (i % 64 == 63)
            cond_yield();
    }
}

/* pw: registers, until one is ready: then there will be no sleep. */
static int poll_pass(struct poll_list *list, struct poll_wait *pw)
{
    struct poll_table *pt = pw ? &pw->table : NULL;
    int ready = 0;

    for (; list; list = list->next) {
        for (unsigned i = 0; i < list->n; i++) {
            struct poll_item *it = &list->items[i];

            if (!it->file)
                continue;
            it->revents = file_poll(it->file, pt) & (it->events | POLLERR | POLLHUP);
            if (it->revents) {
                ready++;
                pt = NULL;
            }
            if (unlikely(i % 64 == 63))
                cond_yield();
        }
    }
    return ready;
}

/* Linux's figures, by select_estimate_accuracy (fs/select.c): a thousandth of the wait, five for
 * one that is nice, and 100 ms at most; or the thread's slack, if that is more. */
u64 poll_slack(u64 deadline)
{
    const struct thread *t = current_thread();
    u64 now = deadline ? time_ns() : 0;

    if (deadline <= now)
        return t->timer_slack;
    return MAX(MIN((deadline - now) / (t->nice > 0 ? 200 : 1000), POLL_SLACK_MAX), t->timer_slack);
}

/* 0, -ETIMEDOUT, -EINTR. */
static int poll_sleep(struct poll_wait *pw, u64 deadline, u64 slack)
{
    struct wait_thread w = {0};
    int err = 0;

    if (READ_ONCE(pw->triggered))
        return 0;
    while (!err) {
        wait_begin(&w, &pw->sleeper, SLEEP_INTERRUPTIBLE);
        if (READ_ONCE(pw->triggered))
            break;
        err = wait_commit_within(&w, deadline, slack);
    }
    wait_end(&w);
    return err;
}

int poll_files(struct poll_list *list, bool block, u64 deadline)
{
    struct poll_wait pw;
    int ready, err;
    u64 slack;

    if (!block)
        return poll_pass(list, NULL);
    pw.table.queue = poll_queue;
    pw.triggered = pw.no_memory = false;
    pw.used = 0;
    pw.more = RB_ROOT;
    obj_waitq_init_nested(&pw.sleeper);
    ready = poll_pass(list, &pw);
    slack = poll_slack(deadline);
    while (!ready && !pw.no_memory) {
        err = poll_sleep(&pw, deadline, slack);
        WRITE_ONCE(pw.triggered, false);
        smp_mb(); /* cleared before looking: a wake-up in between is seen by the next sleep */
        ready = poll_pass(list, NULL);
        if (ready || err == -ETIMEDOUT)
            break;
        if (err) {
            ready = -EINTR;
            break;
        }
    }
    poll_unqueue(&pw);
    return !ready && pw.no_memory ? -ENOMEM : ready;
}
