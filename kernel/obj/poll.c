/* SPDX-License-Identifier: MIT
 *
 * poll(2) over files. The first pass registers with every queue until something is ready; later
 * passes only look. Each registration's wake-up sets a flag and wakes the sleeper through a queue
 * of its own.
 */
#include "obj/poll.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "obj/obj_priv.h"

#define POLL_INLINE 8 /* registrations without an allocation */

struct poll_entry {
    struct waiter waiter;
    struct waitq *queue;
    struct poll_entry *next; /* of all that were allocated */
};

struct poll_wait {
    struct poll_table table;
    struct waitq sleeper;
    bool triggered; /* a */
    bool no_memory;
    unsigned used;
    struct poll_entry entries[POLL_INLINE];
    struct poll_entry *more;
};

u32 file_poll(struct file *f, struct poll_table *pt)
{
    if (!f->ops->poll) /* a regular file is always ready */
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    return f->ops->poll(f, pt);
}

static bool poll_wake(struct waiter *w, u32 events)
{
    struct poll_wait *pw = w->arg;

    WRITE_ONCE(pw->triggered, true);
    waitq_wake_all(&pw->sleeper);
    return false;
}

static void poll_queue(struct poll_table *pt, struct waitq *q)
{
    struct poll_wait *pw = container_of(pt, struct poll_wait, table);
    struct poll_entry *e;

    if (pw->used < POLL_INLINE) {
        e = &pw->entries[pw->used++];
    } else {
        e = kmalloc(sizeof(*e));
        if (!e) {
            pw->no_memory = true;
            return;
        }
        e->next = pw->more;
        pw->more = e;
    }
    e->waiter = (struct waiter){.wake = poll_wake, .arg = pw};
    e->queue = q;
    waitq_add(q, &e->waiter);
}

static void poll_unqueue(struct poll_wait *pw)
{
    struct poll_entry *e;

    for (unsigned i = 0; i < pw->used; i++)
        waitq_remove(pw->entries[i].queue, &pw->entries[i].waiter);
    while ((e = pw->more)) {
        pw->more = e->next;
        waitq_remove(e->queue, &e->waiter);
        kfree(e);
    }
}

static int poll_pass(struct poll_item *items, unsigned n, struct poll_wait *pw)
{
    struct poll_table *pt = pw ? &pw->table : NULL;
    int ready = 0;

    for (unsigned i = 0; i < n; i++) {
        struct poll_item *it = &items[i];

        if (!it->file)
            continue;
        it->revents = file_poll(it->file, pt) & (it->events | POLLERR | POLLHUP);
        if (it->revents) {
            ready++;
            pt = NULL; /* there will be no sleep */
        }
    }
    return ready;
}

int poll_files(struct poll_item *items, unsigned n, bool block, u64 deadline)
{
    struct poll_wait pw;
    int ready, err;

    if (!block)
        return poll_pass(items, n, NULL);
    pw.table.queue = poll_queue;
    pw.triggered = pw.no_memory = false;
    pw.used = 0;
    pw.more = NULL;
    obj_waitq_init_nested(&pw.sleeper);
    ready = poll_pass(items, n, &pw);
    while (!ready && !pw.no_memory) {
        err = wait_event_deadline(&pw.sleeper, READ_ONCE(pw.triggered), SLEEP_INTERRUPTIBLE,
                                  deadline);
        WRITE_ONCE(pw.triggered, false);
        smp_mb(); /* cleared before looking: a wake-up in between is seen by the next sleep */
        ready = poll_pass(items, n, NULL);
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
