/* SPDX-License-Identifier: MIT
 *
 * Wait queues: a list of callbacks. Exclusive waiters stand behind the others, so that a wake-up of
 * one stops at the first that it satisfied.
 *
 * A wake-up calls AT_ONCE of them at most, counted together with those of other queues that they go
 * on to (the last one exceeds it by what its own queue's wake-up calls, which has the same bound);
 * a mark in the list, itself a waiter for nothing, tells a worker where to go on. One that comes
 * meanwhile calls the first ones again, and the worker goes round once more. A mark never stays
 * alone: the last waiter to leave a queue takes it off, as the queue may be freed then, and the
 * worker, which does not yet know, finds that by rest_lock.
 *
 * Lock order: q->lock, rest_lock; the worker only tries the former under the latter.
 */
#include "sched/wait.h"

#include "arch/x86/regs.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/account.h"
#include "mm/slab.h"
#include "sched/rq_priv.h"
#include "sched/work.h"

#define AT_ONCE 48 /* bounds the time with interrupts off */

struct waitq_rest {
    struct waiter mark; /* q->lock: in the list but while the worker holds the lock */
    struct waitq *q;    /* rest_lock; NULL: the queue is no more */
    u32 events;         /* q->lock */
    unsigned n;         /* q->lock  exclusive ones to wake */
    bool again;         /* q->lock  there was another wake-up: these are its figures */
    u32 again_events;   /* q->lock */
    unsigned again_n;   /* q->lock */
    struct work work;
};
static struct spinlock rest_lock = SPINLOCK_INIT(RANK_NONE, 0, "rest of a wait queue");

void waitq_init(struct waitq *q)
{
    waitq_init_order(q, WAITQ_ORDER);
}

void waitq_init_order(struct waitq *q, unsigned order)
{
    spinlock_init(&q->lock, RANK_SCHED, order, "wait queue");
    list_init(&q->waiters);
    q->rest = NULL;
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
    smp_mb(); /* queued before the caller looks: pairs with waitq_wake_inline and its callers' looks
               */
}

/* Is the mark all that there is? Then there is nothing left to do. REQUIRES(q->lock) */
static __noinline void waitq_rest_leave(struct waitq *q) REQUIRES(q->lock)
{
    struct list_node *mark = &q->rest->mark.node;

    ASSERT_HELD(&q->lock);
    if (q->waiters.next != mark || q->waiters.prev != mark)
        return;
    list_del(mark);
    spin_lock(&rest_lock);
    q->rest->q = NULL;
    spin_unlock(&rest_lock);
    q->rest = NULL; /* the worker frees it */
}

void waitq_remove(struct waitq *q, struct waiter *w)
{
    u64 flags;

    spin_lock_irqsave(&q->lock, &flags);
    list_del(&w->node);
    if (unlikely(q->rest))
        waitq_rest_leave(q);
    spin_unlock_irqrestore(&q->lock, flags);
}

/* What a callback came to, by what it returned. */
static inline unsigned waiter_calls(int did)
{
    return (unsigned)(did > 0 ? did : 1 - did);
}

static inline bool waiter_ends_walk(const struct waiter *w, int did, unsigned *n)
{
    return did > 0 && w->exclusive && --*n == 0;
}

/* Calls those from `at` on, until there were AT_ONCE *calls. Where it stopped; NULL: at the end, or
 * as *n exclusive ones are awake. REQUIRES(q->lock) */
static __noinline struct list_node *waitq_run(struct waitq *q, struct list_node *at, u32 events,
                                              unsigned *n, unsigned *calls) REQUIRES(q->lock)
{
    struct list_node *next;

    ASSERT_HELD(&q->lock);
    for (; at != &q->waiters; at = next) {
        struct waiter *w = list_entry(at, struct waiter, node);
        int did;

        if (unlikely(*calls >= AT_ONCE))
            return at;
        next = at->next;
        did = w->wake(w, events);
        *calls += waiter_calls(did);
        if (waiter_ends_walk(w, did, n))
            return NULL;
    }
    return NULL;
}

/* 0 with *out, the queue, locked with interrupts off; *out NULL: it is no more. -EBUSY: wakers hold
 * the lock, and may pass it on among themselves for as long as they like. */
static int waitq_rest_lock(struct waitq_rest *r, struct waitq **out, u64 *flags)
{
    struct waitq *q;
    bool locked = false;

    spin_lock_irqsave(&rest_lock, flags);
    q = r->q;
    if (q && !FAILPOINT_APART(waitq_rest_lock))
        locked = spin_trylock(&q->lock);
    spin_unlock(&rest_lock);
    if (!locked)
        irq_restore(*flags);
    *out = q;
    return q && !locked ? -EBUSY : 0;
}

/* Where the next round begins, if one was asked for. REQUIRES(q->lock) */
static struct list_node *waitq_rest_again(struct waitq *q, struct waitq_rest *r) REQUIRES(q->lock)
{
    ASSERT_HELD(&q->lock);
    if (!r->again || list_empty(&q->waiters))
        return NULL;
    r->events = r->again_events;
    r->n = r->again_n;
    r->again = false;
    return q->waiters.next;
}

/* Some more, then the worker's other jobs. */
static void waitq_rest_run(struct work *work)
{
    struct waitq_rest *r = container_of(work, struct waitq_rest, work);
    unsigned calls = 0;
    struct list_node *at;
    struct waitq *q;
    u64 flags;

    DELAYPOINT(waitq_rest);
    if (waitq_rest_lock(r, &q, &flags)) {
        (void)work_queue(workq_system, &r->work);
        return;
    }
    if (q) {
        ASSERT_HELD(&q->lock);
        at = r->mark.node.next;
        list_del(&r->mark.node);
        at = waitq_run(q, at, r->events, &r->n, &calls);
        if (!at)
            at = waitq_rest_again(q, r);
        if (at)
            list_add_tail(at, &r->mark.node);
        else
            q->rest = NULL;
        spin_unlock_irqrestore(&q->lock, flags);
        if (at) {
            (void)work_queue(workq_system, &r->work);
            return;
        }
    }
    kfree(r);
}

static int waitq_mark_wake(struct waiter *w, u32 events)
{
    return 0;
}

/* A wake-up stopped at `at`. One that cannot be put off for want of memory is done in this hold.
 * REQUIRES(q->lock) */
static __noinline void waitq_rest_begin(struct waitq *q, struct list_node *at, u32 events,
                                        unsigned n) REQUIRES(q->lock)
{
    struct account *former = account_swap(NULL);
    struct waitq_rest *r = kzalloc(sizeof(*r));

    ASSERT_HELD(&q->lock);
    (void)account_swap(former);
    if (!r) {
        while (at) {
            unsigned calls = 0;

            at = waitq_run(q, at, events, &n, &calls);
        }
        return;
    }
    r->mark.wake = waitq_mark_wake;
    r->q = q;
    r->events = events;
    r->n = n;
    work_init(&r->work, waitq_rest_run);
    list_add_tail(at, &r->mark.node); /* before it */
    q->rest = r;
    (void)work_queue(workq_system, &r->work);
}

/* The worker is at it. No events are any. REQUIRES(q->lock) */
static __noinline void waitq_rest_add(struct waitq_rest *r, u32 events, unsigned n)
{
    bool any = !events || (r->again && !r->again_events);

    ASSERT_HELD(&r->q->lock);
    if (!r->again)
        r->again_events = r->again_n = 0;
    r->again_events = any ? 0 : r->again_events | events;
    r->again_n = n > ~0U - r->again_n ? ~0U : r->again_n + n;
    r->again = true;
}

/* Those behind the first one. How many calls there were, with those before. REQUIRES(q->lock) */
static __noinline unsigned waitq_wake_more(struct waitq *q, struct list_node *at, u32 events,
                                           unsigned n, unsigned calls) REQUIRES(q->lock)
{
    ASSERT_HELD(&q->lock);
    at = waitq_run(q, at, events, &n, &calls);
    if (unlikely(at) && q->rest)
        waitq_rest_add(q->rest, events, n);
    else if (unlikely(at))
        waitq_rest_begin(q, at, events, n);
    return calls;
}

/* Most queues have one waiter. */
unsigned waitq_wake_waiters(struct waitq *q, u32 events, unsigned n)
{
    struct list_node *at, *next;
    struct waiter *w;
    unsigned calls = 0;
    u64 flags;
    int did;

    spin_lock_irqsave(&q->lock, &flags);
    at = q->waiters.next;
    if (likely(at != &q->waiters)) {
        w = list_entry(at, struct waiter, node);
        next = at->next;
        did = w->wake(w, events);
        calls = waiter_calls(did);
        if (unlikely(next != &q->waiters) && !waiter_ends_walk(w, did, &n))
            calls = waitq_wake_more(q, next, events, n, calls);
    }
    spin_unlock_irqrestore(&q->lock, flags);
    return calls;
}

void waitq_wake(struct waitq *q, u32 events, unsigned n)
{
    waitq_wake_inline(q, events, n);
}

void waitq_dismiss(struct waitq *q, u32 events)
{
    struct list_node *at;
    u64 flags;

    do {
        unsigned n = ~0U, calls = 0;

        spin_lock_irqsave(&q->lock, &flags);
        at = waitq_run(q, q->waiters.next, events, &n, &calls);
        if (unlikely(q->rest))
            waitq_rest_leave(q);
        spin_unlock_irqrestore(&q->lock, flags);
    } while (at);
}

static int wait_thread_wake(struct waiter *w, u32 events)
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

static int wait_schedule_until(struct thread *t, u64 deadline, u64 slack)
{
    struct wait_timeout wt = {.thread = t};

    if (time_ns() >= deadline) {
        WRITE_ONCE(t->state, THREAD_RUNNING);
        return -ETIMEDOUT;
    }
    timer_init(&wt.timer, wait_timeout_fire);
    timer_start_within(&wt.timer, deadline, slack);
    schedule();
    timer_cancel(&wt.timer);
    return time_ns() >= deadline ? -ETIMEDOUT : 0;
}

/* False: the sleep must not begin. */
static inline bool wait_may_sleep(struct thread *t)
{
    if (t->sleep_kind == SLEEP_UNINTERRUPTIBLE || !thread_sleep_interrupted(t, t->sleep_kind))
        return true;
    WRITE_ONCE(t->state, THREAD_RUNNING);
    return false;
}

int wait_commit_within(struct wait_thread *w, u64 deadline, u64 slack)
{
    if (!wait_may_sleep(w->thread))
        return -EINTR;
    if (deadline)
        return wait_schedule_until(w->thread, deadline, slack);
    schedule();
    return 0;
}

int wait_commit(struct wait_thread *w, u64 deadline)
{
    if (!wait_may_sleep(w->thread))
        return -EINTR;
    if (deadline)
        return wait_schedule_until(w->thread, deadline, w->thread->timer_slack);
    schedule();
    return 0;
}

void wait_end(struct wait_thread *w)
{
    WRITE_ONCE(w->thread->state, THREAD_RUNNING);
    waitq_remove(w->queue, &w->waiter);
    w->queue = NULL;
}
