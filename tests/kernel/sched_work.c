/* SPDX-License-Identifier: MIT
 *
 * Work queues: when a job runs and on whose thread, flushing, the end of a queue.
 */
#include "arch/x86/regs.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sched/wait.h"
#include "sched/work.h"
#include "sync/percpu.h"

static u64 works_run;
static void work_sleep(struct work *w)
{
    __atomic_fetch_add(&works_run, 1, __ATOMIC_RELAXED);
    sleep_until(time_ns() + NSEC_PER_MSEC / 4, SLEEP_UNINTERRUPTIBLE);
}

SELFTEST(work_runs_once_per_queueing_and_flush_waits)
{
    struct work w;

    work_init(&w, work_sleep);
    works_run = 0;
    for (u64 i = 1; i <= 20; i++) {
        CHECK(work_queue(workq_system, &w));
        work_flush(workq_system, &w);
        CHECK(READ_ONCE(works_run) == i);
    }
}

SELFTEST(workq_that_is_destroyed_has_run_all_its_jobs)
{
    struct work works[3];

    for (u32 i = 0; i < 20; i++) {
        struct workq *q = workq_create("selftest");

        CHECK(q);
        works_run = 0;
        for (u32 k = 0; k < ARRAY_SIZE(works); k++) {
            work_init(&works[k], work_sleep);
            CHECK(work_queue(q, &works[k]));
        }
        workq_destroy(q);
        CHECK(READ_ONCE(works_run) == ARRAY_SIZE(works));
    }
}

static struct work work_once, work_other;
static struct {
    u32 inside, most, runs; /* of work_once */
    struct thread *on;      /* of work_other */
    u8 let;
    struct waitq waitq;
    bool passed;
    struct completion queued;
} work_told;

static void work_once_run(struct work *w)
{
    u32 inside = __atomic_add_fetch(&work_told.inside, 1, __ATOMIC_SEQ_CST);

    if (inside > READ_ONCE(work_told.most))
        WRITE_ONCE(work_told.most, inside);
    waitq_wake_all(&work_told.waitq);
    wait_event(&work_told.waitq, READ_ONCE(work_told.let));
    __atomic_fetch_sub(&work_told.inside, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&work_told.runs, 1, __ATOMIC_SEQ_CST);
}

static void work_other_run(struct work *w)
{
    WRITE_ONCE(work_told.on, current_thread());
}

/* Which thread runs what this CPU queues. */
static struct thread *work_thread_here(void)
{
    (void)work_queue(workq_system, &work_other);
    work_flush(workq_system, &work_other);
    return work_told.on;
}

/* CPU 1's is made when it is first wanted, by CPU 0's, which must be free for that. */
static bool work_make_other(const struct thread *first)
{
    bool made = false;

    for (u32 i = 0; i < 60000 && !made; i++) {
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
        made = work_thread_here() != first;
    }
    return made;
}

/* On CPU 1. */
static void work_queue_again(void *first)
{
    (void)work_queue(workq_system, &work_once);
    work_told.passed = work_thread_here() != first; /* work_once, if that was there */
    completion_signal(&work_told.queued);
}

SELFTEST(work_runs_once_at_a_time_and_again_when_queued_meanwhile)
{
    u64 affinity = current_thread()->affinity;
    struct thread *first, *t;

    if (cpu_count() < 2)
        return;
    work_init(&work_once, work_once_run);
    work_init(&work_other, work_other_run);
    memset(&work_told, 0, sizeof(work_told));
    waitq_init(&work_told.waitq);
    completion_init(&work_told.queued);
    CHECK(thread_set_affinity(current_thread(), 1) == 0);
    first = work_thread_here();
    CHECK(thread_set_affinity(current_thread(), 2) == 0);
    CHECK(work_make_other(first));
    CHECK(thread_set_affinity(current_thread(), 1) == 0);
    (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(work_thread_here() == first);
    (void)work_queue(workq_system, &work_once);
    wait_event(&work_told.waitq, READ_ONCE(work_told.inside));
    t = thread_create("selftest", work_queue_again, first);
    CHECK(t && thread_set_affinity(t, 2) == 0);
    thread_start(t);
    thread_put(t);
    completion_wait(&work_told.queued);
    WRITE_ONCE(work_told.let, 1);
    waitq_wake_all(&work_told.waitq);
    work_flush(workq_system, &work_once);
    CHECK(thread_set_affinity(current_thread(), affinity) == 0);
    CHECK(work_told.passed && work_told.most == 1 && work_told.runs == 2);
}
