/* SPDX-License-Identifier: MIT
 *
 * Promises of kernel/sched. Each test makes its own threads and waits until they have gone.
 */
#include "arch/x86/regs.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sync/percpu.h"
#include "sync/rcu.h"

#define THREADS_MAX 16

struct sched_job {
    void (*fn)(struct sched_job *job);
    struct thread *thread;
    u64 count, arg;
    struct completion done;
};
static struct sched_job sched_jobs[THREADS_MAX];
static struct mutex sched_mutex;
static u64 sched_shared;
static u8 sched_stop;

static void sched_job_run(void *arg)
{
    struct sched_job *job = arg;

    job->fn(job);
    completion_signal(&job->done);
}

static bool sched_job_make(unsigned i, void (*fn)(struct sched_job *job), u64 arg)
{
    struct sched_job *job = &sched_jobs[i];

    job->fn = fn;
    job->count = 0;
    job->arg = arg;
    completion_init(&job->done);
    job->thread = thread_create("selftest", sched_job_run, job);
    return job->thread;
}

static bool sched_jobs_make(unsigned n, void (*fn)(struct sched_job *job))
{
    WRITE_ONCE(sched_stop, 0);
    for (unsigned i = 0; i < n; i++)
        if (!sched_job_make(i, fn, i))
            return false;
    return true;
}

static void sched_jobs_start(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        thread_start(sched_jobs[i].thread);
}

static void sched_jobs_wait(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        completion_wait(&sched_jobs[i].done);
        thread_put(sched_jobs[i].thread);
    }
}

static void sched_lock_often(struct sched_job *job)
{
    for (unsigned i = 0; i < 2000; i++) {
        u64 seen;

        mutex_lock(&sched_mutex);
        seen = READ_ONCE(sched_shared);
        if (i % 64 == 0)
            sched_yield_current();
        WRITE_ONCE(sched_shared, seen + 1);
        mutex_unlock(&sched_mutex);
        job->count++;
    }
}

SELFTEST(mutex_keeps_all_cpus_apart)
{
    mutex_init(&sched_mutex, RANK_PROC, 0, "selftest");
    sched_shared = 0;
    CHECK(sched_jobs_make(8, sched_lock_often));
    sched_jobs_start(8);
    sched_jobs_wait(8);
    CHECK(sched_shared == 8 * 2000);
    CHECK(mutex_trylock(&sched_mutex) && !mutex_trylock(&sched_mutex));
    mutex_unlock(&sched_mutex);
}

static struct rwlock sched_written;

static void sched_write_beside(struct sched_job *job)
{
    rwlock_write_lock(&sched_written);
    rwlock_write_unlock(&sched_written);
}

static u64 sched_spins(void)
{
    TABLE_DECLARE(struct counter, counters);
    const struct counter *c;
    u64 n = 0;
    unsigned cpu;

    TABLE_FOR_EACH(c, counters)
    {
        cpu_for_each (cpu)
            if (!strcmp(c->name, "rwlock_spins"))
                n += READ_ONCE(*(u64 *)((u64)c->value + percpu_delta[cpu]));
    }
    return n;
}

SELFTEST(rwlock_waits_awake_first_for_a_writer_that_runs)
{
    u64 before = sched_spins();

    if (cpu_count() == 1)
        return;
    rwlock_init(&sched_written, RANK_PROC, 0, "selftest");
    CHECK(sched_jobs_make(1, sched_write_beside));
    rwlock_write_lock(&sched_written);
    CHECK(!thread_set_affinity(sched_jobs[0].thread, ~(1UL << cpu_id())));
    sched_jobs_start(1);
    while (sched_spins() == before)
        cpu_relax();
    rwlock_write_unlock(&sched_written);
    sched_jobs_wait(1);
}

static int sched_take_the_wake(struct waiter *w, u32 events)
{
    return 1;
}

static void sched_lock_once(struct sched_job *job)
{
    mutex_lock(&sched_mutex);
    mutex_unlock(&sched_mutex);
    WRITE_ONCE(job->count, 1);
}

/* Before it in the queue stands one that is woken and does not come to run. */
SELFTEST(mutex_waiter_does_not_hang_on_the_one_before_it)
{
    struct waiter stuck = {.wake = sched_take_the_wake, .exclusive = true};
    u64 until;
    bool got;

    mutex_init(&sched_mutex, RANK_PROC, 0, "selftest");
    CHECK(sched_jobs_make(1, sched_lock_once));
    mutex_lock(&sched_mutex);
    waitq_add(&sched_mutex.waiters, &stuck);
    sched_jobs_start(1);
    while (READ_ONCE(sched_jobs[0].thread->state) != THREAD_SLEEPING)
        sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    mutex_unlock(&sched_mutex);
    until = time_ns() + 60 * NSEC_PER_SEC;
    while (!(got = READ_ONCE(sched_jobs[0].count)) && time_ns() < until)
        sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    waitq_remove(&sched_mutex.waiters, &stuck);
    waitq_wake_all(&sched_mutex.waiters);
    sched_jobs_wait(1);
    CHECK(got);
}

static struct rwlock sched_rwlock;
static atomic_t sched_readers;
static u64 sched_bad;

static void sched_read_or_write(struct sched_job *job)
{
    for (unsigned i = 0; i < 500; i++) {
        if (job->arg % 4 == 0) {
            rwlock_write_lock(&sched_rwlock);
            if (atomic_read(&sched_readers))
                sched_bad++;
            sched_shared++;
            if (i % 16 == 0)
                sched_yield_current();
            rwlock_write_unlock(&sched_rwlock);
        } else {
            rwlock_read_lock(&sched_rwlock);
            atomic_inc(&sched_readers);
            if (i % 16 == 0)
                sched_yield_current();
            atomic_dec(&sched_readers);
            rwlock_read_unlock(&sched_rwlock);
        }
    }
}

SELFTEST(rwlock_writers_are_alone_and_not_starved)
{
    rwlock_init(&sched_rwlock, RANK_PROC, 0, "selftest");
    sched_shared = sched_bad = 0;
    CHECK(sched_jobs_make(8, sched_read_or_write));
    sched_jobs_start(8);
    sched_jobs_wait(8);
    CHECK(sched_bad == 0 && sched_shared == 2 * 500);
}

#define READER_TURNS 200

static u32 sched_writers, sched_turns; /* a */
static u32 sched_passes, sched_worst; /* under the lock: writers, while a reader waits for a turn */

/* Whenever the lock is let go by one of two, the other waits for it. */
static void sched_hand_over(struct sched_job *job)
{
    while (READ_ONCE(sched_turns) < READER_TURNS) {
        rwlock_write_lock(&sched_rwlock);
        sched_passes += atomic_read(&sched_rwlock.readers_waiting);
        while (!atomic_read(&sched_rwlock.writers_waiting) && READ_ONCE(sched_writers) == 2)
            sched_yield_current();
        rwlock_write_unlock(&sched_rwlock);
    }
    __atomic_sub_fetch(&sched_writers, 1, __ATOMIC_SEQ_CST);
}

static void sched_read_between(struct sched_job *job)
{
    if (job->arg < 2) {
        sched_hand_over(job);
        return;
    }
    for (unsigned i = 0; i < READER_TURNS; i++) {
        while (!atomic_read(&sched_rwlock.writers_waiting))
            sched_yield_current();
        rwlock_read_lock(&sched_rwlock);
        sched_worst = MAX(sched_worst, sched_passes);
        sched_passes = 0;
        WRITE_ONCE(sched_turns, i + 1);
        rwlock_read_unlock(&sched_rwlock);
    }
}

/* However late it comes to its processor. Each writer may be past its look at whose turn it is. */
SELFTEST(rwlock_readers_have_a_turn_among_many_writers)
{
    rwlock_init(&sched_rwlock, RANK_PROC, 0, "selftest");
    sched_writers = 2;
    sched_turns = sched_passes = sched_worst = 0;
    CHECK(sched_jobs_make(3, sched_read_between));
    sched_jobs_start(3);
    sched_jobs_wait(3);
    CHECK(sched_worst <= RWLOCK_PASS + 2);
}

/* Two threads hand a token to and fro: every wake-up counts. */
static struct waitq sched_ping;
static u64 sched_turn;

static void sched_pingpong(struct sched_job *job)
{
    for (unsigned i = 0; i < 2000; i++) {
        wait_event(&sched_ping, READ_ONCE(sched_turn) % 2 == job->arg);
        WRITE_ONCE(sched_turn, sched_turn + 1);
        waitq_wake_all(&sched_ping);
        job->count++;
    }
}

SELFTEST(wake_is_never_lost_between_cpus)
{
    waitq_init(&sched_ping);
    sched_turn = 0;
    CHECK(sched_jobs_make(2, sched_pingpong));
    if (cpu_count() > 1)
        thread_set_affinity(sched_jobs[1].thread, 2);
    sched_jobs_start(2);
    sched_jobs_wait(2);
    CHECK(sched_turn == 4000);
}

static struct timer sched_timers[1];

static u8 sched_slow_entered, sched_slow_finished;

static void sched_slow_fire(struct timer *t)
{
    u64 until = time_ns() + 5 * NSEC_PER_MSEC;

    WRITE_ONCE(sched_slow_entered, 1);
    while (time_ns() < until)
        cpu_relax();
    WRITE_ONCE(sched_slow_finished, 1);
}

static void sched_start_slow(struct sched_job *job)
{
    timer_start(&sched_timers[0], time_ns() + NSEC_PER_MSEC);
}

/* Though it has been started anew here meanwhile. */
SELFTEST(timer_cancel_waits_for_a_callback_on_another_cpu)
{
    u64 affinity = current_thread()->affinity, until;

    if (cpu_count() < 2)
        return;
    CHECK(thread_set_affinity(current_thread(), 1) == 0);
    sched_slow_entered = sched_slow_finished = 0;
    timer_init(&sched_timers[0], sched_slow_fire);
    CHECK(sched_job_make(0, sched_start_slow, 0));
    CHECK(thread_set_affinity(sched_jobs[0].thread, 2) == 0);
    sched_jobs_start(1);
    until = time_ns() + 60 * NSEC_PER_SEC;
    while (!READ_ONCE(sched_slow_entered) && time_ns() < until)
        cpu_relax();
    timer_start(&sched_timers[0], time_ns() + NSEC_PER_SEC);
    CHECK(timer_cancel(&sched_timers[0]));
    CHECK(READ_ONCE(sched_slow_finished));
    sched_jobs_wait(1);
    CHECK(thread_set_affinity(current_thread(), affinity) == 0);
}

SELFTEST(wait_deadline_is_kept)
{
    struct waitq q;
    u64 start = time_ns();
    int err;

    waitq_init(&q);
    err = wait_event_deadline(&q, false, SLEEP_UNINTERRUPTIBLE, start + 3 * NSEC_PER_MSEC);
    CHECK(err == -ETIMEDOUT && time_ns() - start >= 3 * NSEC_PER_MSEC);
    CHECK(wait_event_deadline(&q, true, SLEEP_UNINTERRUPTIBLE, start) == 0);
    CHECK(list_empty(&q.waiters));
}

static void sched_wait_interrupted(struct sched_job *job)
{
    job->count = (u64)-wait_event_interruptible(&sched_ping, false);
    thread_work_clear(current_thread(), WORK_SIGNAL);
    job->arg = (u64)-wait_event_killable(&sched_ping, false);
}

SELFTEST(sleep_ends_by_its_kind_only)
{
    waitq_init(&sched_ping);
    CHECK(sched_jobs_make(1, sched_wait_interrupted));
    sched_jobs_start(1);
    sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(sched_jobs[0].count == 0);
    thread_work_set(sched_jobs[0].thread, WORK_SIGNAL);
    sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    thread_work_set(sched_jobs[0].thread, WORK_SIGNAL); /* killable: must not end it */
    sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(!sched_jobs[0].done.done);
    thread_work_set(sched_jobs[0].thread, WORK_KILL);
    sched_jobs_wait(1);
    CHECK(sched_jobs[0].count == ERESTARTSYS && sched_jobs[0].arg == ERESTARTSYS);
}

static void sched_burn(struct sched_job *job)
{
    while (!READ_ONCE(sched_stop)) {
        job->count++;
        cond_yield();
    }
}

static u64 sched_result[THREADS_MAX]; /* ns that each ran */

/* Runs n burners on one CPU, not ours if there is another, for ms. */
static void sched_burn_together(unsigned n, u64 ms)
{
    for (unsigned i = 0; i < n; i++)
        thread_set_affinity(sched_jobs[i].thread, 1UL << (cpu_count() - 1));
    sched_jobs_start(n);
    sleep_until(time_ns() + ms * NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    WRITE_ONCE(sched_stop, 1);
    for (unsigned i = 0; i < n; i++) {
        completion_wait(&sched_jobs[i].done);
        sched_result[i] = sched_jobs[i].thread->sum_exec;
    }
}

/* a is this percentage of b, to within a twentieth: shares are exact to a slice. */
static bool sched_ratio_is(u64 a, u64 b, u64 percent)
{
    return a * 100 > b * (percent * 95 / 100) && a * 100 < b * (percent * 105 / 100);
}

SELFTEST_TIMED(fair_share_follows_nice)
{
    CHECK(sched_jobs_make(3, sched_burn));
    thread_set_nice(sched_jobs[2].thread, 5); /* a third */
    sched_burn_together(3, 400);
    sched_jobs_wait(3);
    CHECK(sched_ratio_is(sched_result[0], sched_result[1], 100));
    CHECK(sched_ratio_is(sched_result[0], sched_result[2], 305));
}

SELFTEST_TIMED(fair_share_is_by_group_then_by_thread)
{
    struct sched_group *a = sched_group_create(&sched_group_root);
    struct sched_group *b = sched_group_create(&sched_group_root);
    struct sched_group_stat stat;

    CHECK(a && b && sched_jobs_make(4, sched_burn));
    sched_group_set_weight(b, 200);
    for (unsigned i = 0; i < 3; i++)
        thread_set_group(sched_jobs[i].thread, a);
    thread_set_group(sched_jobs[3].thread, b);
    sched_burn_together(4, 400);
    sched_jobs_wait(4);
    sched_group_stat(b, &stat);
    sched_group_destroy(a);
    sched_group_destroy(b);
    CHECK(
        sched_ratio_is(sched_result[3], sched_result[0] + sched_result[1] + sched_result[2], 200));
    CHECK(sched_ratio_is(sched_result[0], sched_result[1], 100));
    CHECK(stat.usage_ns >= sched_result[3]);
}

#define SCHED_SHARE (20 * NSEC_PER_MSEC)

/* Two never are without a lock, each its own. */
static void sched_burn_with_locks(struct sched_job *job)
{
    static struct mutex own[2];

    if (job->arg < 2) {
        mutex_init(&own[job->arg], RANK_PROC, 0, "selftest");
        mutex_lock(&own[job->arg]);
    }
    while (!READ_ONCE(sched_stop) && (job->arg < 2 || current_thread()->sum_exec < SCHED_SHARE))
        cond_yield();
    WRITE_ONCE(job->count, current_thread()->sum_exec);
    if (job->arg < 2)
        mutex_unlock(&own[job->arg]);
}

SELFTEST(locks_that_others_have_cost_no_thread_its_share)
{
    struct sched_group *g = sched_group_create(&sched_group_root);
    u64 until = time_ns() + 60 * NSEC_PER_SEC;

    CHECK(g && sched_jobs_make(3, sched_burn_with_locks));
    for (unsigned i = 0; i < 3; i++) {
        thread_set_group(sched_jobs[i].thread, g);
        CHECK(thread_set_affinity(sched_jobs[i].thread, 1) == 0);
    }
    sched_jobs_start(3);
    while (!READ_ONCE(sched_jobs[2].count) && time_ns() < until)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    WRITE_ONCE(sched_stop, 1);
    sched_jobs_wait(3);
    sched_group_destroy(g);
    CHECK(sched_jobs[2].count >= SCHED_SHARE);
}

/* A kernel thread does not return to user mode, so it asks for what would be done there. */
static void sched_burn_throttled(struct sched_job *job)
{
    while (!READ_ONCE(sched_stop)) {
        if (READ_ONCE(current_thread()->work) & (WORK_THROTTLE | WORK_RESCHED))
            sched_user_work();
    }
}

SELFTEST_TIMED(quota_is_kept_within_a_slice)
{
    struct sched_group *g = sched_group_create(&sched_group_root);
    struct sched_group_stat stat;

    CHECK(g && sched_jobs_make(1, sched_burn_throttled));
    sched_group_set_quota(g, 4 * NSEC_PER_MSEC, 20 * NSEC_PER_MSEC);
    thread_set_group(sched_jobs[0].thread, g);
    sched_burn_together(1, 200); /* 10 periods: 40 ms */
    sched_jobs_wait(1);
    sched_group_stat(g, &stat);
    sched_group_destroy(g);
    CHECK(stat.usage_ns > 36 * NSEC_PER_MSEC && stat.usage_ns < 46 * NSEC_PER_MSEC);
    CHECK(stat.nr_throttled >= 9 && stat.nr_periods >= stat.nr_throttled);
}

/* Holds its CPU without ever yielding it until the jobs have been seen on two, or given up. */
static void sched_note_cpu(struct sched_job *job)
{
    u64 give_up = time_ns() + 60 * NSEC_PER_SEC, seen;

    do
        seen = __atomic_or_fetch(&sched_shared, 1UL << cpu_id(), __ATOMIC_RELAXED);
    while ((seen & (seen - 1)) == 0 && time_ns() < give_up);
}

SELFTEST(idle_cpus_take_waiting_threads)
{
    unsigned cpus = cpu_count() < THREADS_MAX ? cpu_count() : THREADS_MAX;

    sched_shared = 0;
    CHECK(sched_jobs_make(cpus, sched_note_cpu));
    sched_jobs_start(cpus);
    sched_jobs_wait(cpus);
    CHECK(cpus == 1 || (sched_shared & (sched_shared - 1)) != 0);
}

SELFTEST(affinity_moves_a_running_thread)
{
    CHECK(sched_jobs_make(1, sched_burn));
    sched_jobs_start(1);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        CHECK(thread_set_affinity(sched_jobs[0].thread, 1UL << cpu) == 0);
        for (unsigned i = 0; i < 30000 && READ_ONCE(sched_jobs[0].thread->cpu) != cpu; i++)
            sleep_until(time_ns() + 2 * NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
        CHECK(READ_ONCE(sched_jobs[0].thread->cpu) == cpu);
    }
    CHECK(thread_set_affinity(sched_jobs[0].thread, 0) == -EINVAL);
    WRITE_ONCE(sched_stop, 1);
    sched_jobs_wait(1);
}

static struct rcu_head sched_rcu_head;
static u64 sched_rcu_ran;
static void sched_rcu_callback(struct rcu_head *head)
{
    WRITE_ONCE(sched_rcu_ran, 1);
}

SELFTEST(rcu_synchronize_waits_for_callbacks)
{
    for (unsigned i = 0; i < 20; i++) {
        sched_rcu_ran = 0;
        rcu_call(&sched_rcu_head, sched_rcu_callback);
        rcu_synchronize();
        CHECK(READ_ONCE(sched_rcu_ran));
    }
}

static struct rwlock sched_rwlock;

static void sched_write_once(struct sched_job *job)
{
    rwlock_write_lock(&sched_rwlock);
    sched_shared++;
    rwlock_write_unlock(&sched_rwlock);
}

static bool sched_jobs_sleep(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (READ_ONCE(sched_jobs[i].thread->state) != THREAD_SLEEPING)
            return false;
    return true;
}

/* Writers that wait are woken one after the other, not all by each: a switch to sleep for each, and
 * some that find the lock taken again. */
SELFTEST(rwlock_wakes_one_writer)
{
    enum { N = THREADS_MAX };
    u64 switches = 0;

    rwlock_init(&sched_rwlock, RANK_PROC, 0, "selftest");
    sched_shared = 0;
    CHECK(sched_jobs_make(N, sched_write_once));
    rwlock_write_lock(&sched_rwlock);
    sched_jobs_start(N);
    while (!sched_jobs_sleep(N))
        sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    rwlock_write_unlock(&sched_rwlock);
    for (unsigned i = 0; i < N; i++) {
        completion_wait(&sched_jobs[i].done);
        switches += sched_jobs[i].thread->nvcsw;
        thread_put(sched_jobs[i].thread);
    }
    CHECK(sched_shared == N);
    CHECK(switches <= 3 * N);
}

static void sched_nothing(struct sched_job *job)
{
}

/* Threads that there are, and pages that are free. */
static void sched_count(u64 *threads, u64 *free)
{
    struct mem_info info;

    rcu_synchronize();
    slab_shrink_all();
    mem_info_get(&info);
    *threads = sched_nr_threads();
    *free = info.free;
}

/* Whether threads that have ended leave as many threads and free pages as there were: in the end,
 * since the last word of a thread is its CPU's, until it has switched away. */
static bool sched_round_leaves_nothing(void)
{
    u64 threads, free, threads_now, free_now;

    sched_count(&threads, &free);
    if (!sched_jobs_make(THREADS_MAX, sched_nothing))
        return false;
    sched_jobs_start(THREADS_MAX);
    sched_jobs_wait(THREADS_MAX);
    for (unsigned i = 0; i < 500; i++) {
        sched_count(&threads_now, &free_now);
        if (threads_now <= threads && free_now >= free)
            return true;
        sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    }
    return false;
}

/* Other threads may come meanwhile, and take pages: not in every round. */
SELFTEST(threads_that_end_leave_nothing)
{
    unsigned clean = 0;

    for (unsigned round = 0; round < 12; round++)
        clean += sched_round_leaves_nothing();
    CHECK(clean >= 6);
}
