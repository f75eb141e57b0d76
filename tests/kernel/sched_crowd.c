/* SPDX-License-Identifier: MIT
 *
 * Promises of wait queues with a crowd: each waiter is called, some at once and the rest by a
 * worker, and the queue may be freed as soon as the last waiter has left it.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sched/wait.h"
#include "sched/work.h"

#define CROWD 1000

struct crowd {
    struct waitq q;
    struct waiter waiters[CROWD];
    u32 events[CROWD]; /* q.lock  of all calls */
    u32 calls[CROWD];  /* q.lock */
    u32 called;        /* q.lock, a  of them */
    bool takes;        /* an exclusive one is satisfied */
};

static int crowd_wake(struct waiter *w, u32 events)
{
    struct crowd *c = w->arg;
    unsigned i = (unsigned)(w - c->waiters);

    c->events[i] |= events;
    if (!c->calls[i]++)
        WRITE_ONCE(c->called, c->called + 1);
    return c->takes;
}

static struct crowd *crowd_make(bool exclusive)
{
    struct crowd *c = kzalloc(sizeof(*c));

    if (!c)
        return NULL;
    waitq_init(&c->q);
    c->takes = exclusive;
    for (unsigned i = 0; i < CROWD; i++) {
        c->waiters[i] = (struct waiter){.wake = crowd_wake, .arg = c, .exclusive = exclusive};
        waitq_add(&c->q, &c->waiters[i]);
    }
    return c;
}

/* Those of the crowd from i on leave, and it goes. */
static void crowd_free(struct crowd *c, unsigned i)
{
    for (; i < CROWD; i++)
        waitq_remove(&c->q, &c->waiters[i]);
    memset(c, 0x5a, sizeof(*c)); /* who still uses the queue does not find one */
    kfree(c);
}

static bool crowd_is_called(struct crowd *c, u32 n)
{
    u64 end = time_ns() + 60 * NSEC_PER_SEC;

    while (READ_ONCE(c->called) < n && time_ns() < end)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    return READ_ONCE(c->called) == n;
}

SELFTEST(a_crowd_is_woken_some_at_once_and_all_in_the_end)
{
    struct crowd *c = crowd_make(false);
    u32 once;
    u64 irq;

    CHECK(c);
    irq = irq_save(); /* this processor's worker, whose job it is, does not run */
    waitq_wake_all(&c->q);
    once = READ_ONCE(c->called);
    irq_restore(irq);
    CHECK(once > 0 && once < CROWD / 2);
    CHECK(crowd_is_called(c, CROWD));
    crowd_free(c, 0);
}

static u8 crowd_worker_came; /* a */

static void crowd_other_job(struct work *w)
{
    __atomic_store_n(&crowd_worker_came, 1, __ATOMIC_RELEASE);
}

/* Wakers may hold the queue's lock, one after the other, for as long as they like. */
SELFTEST(a_crowd_whose_queue_is_never_free_keeps_no_worker_from_its_other_jobs)
{
    static struct work other;
    struct crowd *c = crowd_make(false);
    u64 irq, end;

    CHECK(c);
    work_init(&other, crowd_other_job);
    __atomic_store_n(&crowd_worker_came, 0, __ATOMIC_RELEASE);
    fail_point_arm("waitq_rest_lock", 1);
    irq = irq_save(); /* both jobs are this processor's worker's */
    waitq_wake_all(&c->q);
    (void)work_queue(workq_system, &other);
    irq_restore(irq);
    end = time_ns() + 60 * NSEC_PER_SEC;
    while (!__atomic_load_n(&crowd_worker_came, __ATOMIC_ACQUIRE) && time_ns() < end)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    fail_point_arm("waitq_rest_lock", 0);
    CHECK(__atomic_load_n(&crowd_worker_came, __ATOMIC_ACQUIRE));
    CHECK(crowd_is_called(c, CROWD));
    work_flush(workq_system, &other);
    crowd_free(c, 0);
}

/* The later events are told to those whom the earlier ones have reached, and to all others. */
SELFTEST(a_crowd_hears_of_all_that_happens_meanwhile)
{
    struct crowd *c = crowd_make(false);
    bool all = true;

    CHECK(c);
    fail_point_arm("waitq_rest", 1);
    waitq_wake(&c->q, 1, ~0U);
    waitq_wake(&c->q, 2, ~0U);
    waitq_wake(&c->q, 4, ~0U);
    for (unsigned i = 0; i < 60000 && READ_ONCE(c->q.rest); i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    fail_point_arm("waitq_rest", 0);
    for (unsigned i = 0; i < CROWD; i++)
        all &= c->events[i] == 7;
    crowd_free(c, 0);
    CHECK(all);
}

SELFTEST(of_a_crowd_as_many_are_woken_as_asked_for)
{
    struct crowd *c = crowd_make(true);

    CHECK(c);
    waitq_wake(&c->q, 0, 1);
    CHECK(c->called == 1 && c->calls[0] == 1);
    waitq_wake(&c->q, 0, 500);
    CHECK(crowd_is_called(c, 500));
    for (unsigned i = 0; i < 60000 && READ_ONCE(c->q.rest); i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(c->called == 500);
    crowd_free(c, 0);
}

/* With the worker about to go on with it, or in the middle. */
SELFTEST(a_queue_may_go_when_its_crowd_has_left)
{
    fail_point_arm("waitq_rest", 1);
    for (unsigned i = 0; i < 60; i++) {
        struct crowd *c = crowd_make(false);

        CHECK(c);
        waitq_wake_all(&c->q);
        if (i % 3)
            (void)sleep_until(time_ns() + i * NSEC_PER_MSEC / 20, SLEEP_UNINTERRUPTIBLE);
        crowd_free(c, 0);
    }
    fail_point_arm("waitq_rest", 0);
}

static int crowd_leave(struct waiter *w, u32 events)
{
    struct crowd *c = w->arg;

    if (events != 1)
        return 0;
    list_del(&w->node);
    c->called++;
    return 0;
}

SELFTEST(a_queue_that_dismisses_its_crowd_is_empty)
{
    struct crowd *c = crowd_make(false);

    CHECK(c);
    for (unsigned i = 0; i < CROWD; i++)
        c->waiters[i].wake = crowd_leave;
    fail_point_arm("waitq_rest", 1);
    waitq_wake(&c->q, 2, ~0U); /* a worker has begun */
    waitq_dismiss(&c->q, 1);
    CHECK(c->called == CROWD && list_empty(&c->q.waiters) && !c->q.rest);
    crowd_free(c, CROWD);
    (void)sleep_until(time_ns() + 5 * NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    fail_point_arm("waitq_rest", 0);
}
