/* SPDX-License-Identifier: MIT
 *
 * Wait queues. A waiter is a callback: for a sleeping thread it wakes the thread, for poll it marks
 * an entry ready. Callbacks run under the queue's lock with interrupts off: they set bits and wake,
 * no more. A crowd is woken some at a time: those that a wake-up does not reach at once are called
 * by a worker soon after, so that no waker keeps its processor for as long as there are waiters.
 */
#pragma once

#include "lib/errno.h"
#include "lib/list.h"
#include "sched/thread.h"
#include "sync/spinlock.h"

/* Order of the queue's lock within RANK_SCHED. A queue that is woken from another's callback
 * (epoll's) takes a lower one, 8 at the least. */
#define WAITQ_ORDER 15

struct waitq {
    struct spinlock lock; /* RANK_SCHED */
    struct list_node waiters;
    struct waitq_rest *rest; /* lock  what is left to do of a wake-up, or NULL */
};

struct waiter {
    struct list_node node; /* waitq lock */
    /* events: what the waker says happened (POLLIN...), 0 = anything. Returns 1 when this waiter
     * consumed an exclusive wake-up, else 0. One that went on to other queues' waiters says how
     * many: 1 + n, or -n. */
    int (*wake)(struct waiter *w, u32 events);
    void *arg;
    bool exclusive;
};

void waitq_init(struct waitq *q);
void waitq_init_order(struct waitq *q, unsigned order);
void waitq_add(struct waitq *q, struct waiter *w);
void waitq_remove(struct waitq *q, struct waiter *w);
/* Wakes all non-exclusive waiters and up to n exclusive ones: of a crowd the first few, and the
 * rest a little later. irq-safe. */
void waitq_wake(struct waitq *q, u32 events, unsigned n);
/* The same where the caller has looked, after a full barrier, whether there are waiters. How many
 * it called, those included that they went on to. */
unsigned waitq_wake_waiters(struct waitq *q, u32 events, unsigned n);
/* waitq_wake for where events are frequent. The caller changed its condition before; the waiter
 * queues itself, then tests it. */
static inline void waitq_wake_inline(struct waitq *q, u32 events, unsigned n)
{
    smp_mb(); /* pairs with waitq_add's */
    if (!list_empty(&q->waiters))
        (void)waitq_wake_waiters(q, events, n);
}
/* For callbacks that take themselves off: returns when none is left, and lets interrupts in
 * between. */
void waitq_dismiss(struct waitq *q, u32 events);
#define waitq_wake_all(q) waitq_wake(q, 0, ~0U)
#define waitq_wake_one(q) waitq_wake(q, 0, 1)

/* The two halves of a sleep: begin marks the current thread sleeping and queues it; the caller then
 * tests its condition and calls wait_commit (schedules; deadline in ns of time_ns(), 0 none), and
 * at last wait_end. In a loop, begin again before each test: it queues once. wait_commit: 0 woken,
 * -ETIMEDOUT, -EINTR (by the sleep kind). */
struct wait_thread {
    struct waiter waiter;
    struct thread *thread;
    struct waitq *queue;
};
void wait_begin(struct wait_thread *w, struct waitq *q, enum sleep_kind kind);
void wait_begin_exclusive(struct wait_thread *w, struct waitq *q, enum sleep_kind kind);
int wait_commit(struct wait_thread *w, u64 deadline);
/* The same; its time-out may be late by so many ns, not by the thread's slack. */
int wait_commit_within(struct wait_thread *w, u64 deadline, u64 slack);
void wait_end(struct wait_thread *w);

/* Sleeps until cond; 0, -ETIMEDOUT or -ERESTARTSYS. */
#define wait_event_by(begin, q, cond, kind, deadline) \
    ({                                                \
        int err_ = 0;                                 \
        might_sleep();                                \
        if (!(cond)) {                                \
            struct wait_thread w_ = {.queue = NULL};  \
            for (;;) {                                \
                begin(&w_, (q), (kind));              \
                if (cond) {                           \
                    err_ = 0;                         \
                    break;                            \
                }                                     \
                if (err_)                             \
                    break;                            \
                err_ = wait_commit(&w_, (deadline));  \
            }                                         \
            wait_end(&w_);                            \
        }                                             \
        err_ == -EINTR ? -ERESTARTSYS : err_;         \
    })
#define wait_event_deadline(q, cond, kind, deadline) \
    wait_event_by(wait_begin, q, cond, kind, deadline)
/* The same as an exclusive waiter. On an error cond may hold all the same, by a wake-up that this
 * waiter used up: the caller looks, and wakes the next one. */
#define wait_event_exclusive(q, cond, deadline) \
    wait_event_by(wait_begin_exclusive, q, cond, SLEEP_INTERRUPTIBLE, deadline)
#define wait_event(q, cond) ((void)wait_event_deadline(q, cond, SLEEP_UNINTERRUPTIBLE, 0))
#define wait_event_interruptible(q, cond) wait_event_deadline(q, cond, SLEEP_INTERRUPTIBLE, 0)
#define wait_event_killable(q, cond) wait_event_deadline(q, cond, SLEEP_KILLABLE, 0)
