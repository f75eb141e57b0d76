/* SPDX-License-Identifier: MIT
 *
 * Wait queues: a list of callbacks. Exclusive waiters stand behind the others, so that a wake-up of
 * one stops at the first that it satisfied.
 */
#include "sched/wait.h"

#include "arch/x86/regs.h"
#include "lib/errno.h"
#include "sched/rq_priv.h"

void waitq_init(struct waitq *q)
{
    waitq_init_order(q, WAITQ_ORDER);
}

void waitq_init_order(struct waitq *q, unsigned order)
{
    spinlock_init(&q->lock, RANK_SCHED, order, "wait queue");
    list_init(&q->waiters);
}

void waitq_add(struct waitq *q, struct waiter *w)
{
    u64 flags;

    spin_lock_irqsave(&q->lock, &flags);
    if (w->exclusive)
        list_add_tail(&q->waiters, &w->node);
    else
        list_add(&q->waiters, &w->node);
    spin_unlock_irqrestore(&q->lock, flags);
    smp_mb(); /* queued before the caller looks: pairs with waitq_wake and its callers' looks */
}

void waitq_remove(struct waitq *q, struct waiter *w)
{
    u64 flags;

    spin_lock_irqsave(&q->lock, &flags);
    list_del(&w->node);
    spin_unlock_irqrestore(&q->lock, flags);
}

void waitq_wake(struct waitq *q, u32 events, unsigned n)
{
    struct waiter *w, *next;
    u64 flags;

    /* The caller changed its condition before; the waiter queues itself, then tests it. */
    smp_mb();
    if (list_empty(&q->waiters))
        return;
    spin_lock_irqsave(&q->lock, &flags);
    list_for_each_safe (w, next, &q->waiters, node)
        if (w->wake(w, events) && w->exclusive && --n == 0)
            break;
    spin_unlock_irqrestore(&q->lock, flags);
}

static bool wait_thread_wake(struct waiter *w, u32 events)
{
    return thread_wake(container_of(w, struct wait_thread, waiter)->thread);
}

static void wait_begin_as(struct wait_thread *w, struct waitq *q, enum sleep_kind kind,
                          bool exclusive)
{
    struct thread *t = current_thread();

    /* A loop calls it once per turn: only the first queues. */
    if (w->queue != q || w->thread != t || w->waiter.wake != wait_thread_wake) {
        w->waiter = (struct waiter){.wake = wait_thread_wake, .exclusive = exclusive};
        w->thread = t;
        w->queue = q;
        waitq_add(q, &w->waiter);
    }
    t->sleep_kind = (u8)kind;
    /* Before the test of the condition: pairs with the barriers in waitq_wake and thread_wake. */
    __atomic_store_n(&t->state, THREAD_SLEEPING, __ATOMIC_SEQ_CST);
}

void wait_begin(struct wait_thread *w, struct waitq *q, enum sleep_kind kind)
{
    wait_begin_as(w, q, kind, false);
}

void wait_begin_exclusive(struct wait_thread *w, struct waitq *q, enum sleep_kind kind)
{
    wait_begin_as(w, q, kind, true);
}

struct wait_timeout {
    struct timer timer;
    struct thread *thread;
};

static void wait_timeout_fire(struct timer *t)
{
    thread_wake(container_of(t, struct wait_timeout, timer)->thread);
}

static int wait_schedule_until(struct thread *t, u64 deadline)
{
    struct wait_timeout wt = {.thread = t};

    if (time_ns() >= deadline) {
        WRITE_ONCE(t->state, THREAD_RUNNING);
        return -ETIMEDOUT;
    }
    timer_init(&wt.timer, wait_timeout_fire);
    timer_start(&wt.timer, deadline);
    schedule();
    timer_cancel(&wt.timer);
    return time_ns() >= deadline ? -ETIMEDOUT : 0;
}

int wait_commit(struct wait_thread *w, u64 deadline)
{
    struct thread *t = w->thread;

    if (t->sleep_kind != SLEEP_UNINTERRUPTIBLE && thread_sleep_interrupted(t, t->sleep_kind)) {
        WRITE_ONCE(t->state, THREAD_RUNNING);
        return -EINTR;
    }
    if (deadline)
        return wait_schedule_until(t, deadline);
    schedule();
    return 0;
}

void wait_end(struct wait_thread *w)
{
    WRITE_ONCE(w->thread->state, THREAD_RUNNING);
    waitq_remove(w->queue, &w->waiter);
    w->queue = NULL;
}
