/* SPDX-License-Identifier: MIT
 *
 * Promises of kernel/sync: counts saturate, sequences notice writers, grace periods wait for
 * readers on every CPU.
 */
#include "arch/x86/percpu.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sync/rcu.h"
#include "sync/refcount.h"
#include "sync/seqlock.h"
#include "sync/spinlock.h"

SELFTEST(refcount_saturates_and_never_comes_back)
{
    refcount_t r;

    refcount_init(&r, 2);
    CHECK(!refcount_put(&r));
    CHECK(refcount_get_unless_zero(&r));
    CHECK(!refcount_put(&r));
    CHECK(refcount_put(&r));
    CHECK(!refcount_get_unless_zero(&r));
    refcount_get(&r); /* a bug elsewhere: the object leaks from now on */
    CHECK(!refcount_put(&r) && refcount_read(&r) == REFCOUNT_SATURATED);
}

SELFTEST(seqcount_reader_sees_a_writer)
{
    struct seqcount s = {0};
    u32 begin = seqcount_read_begin(&s);

    CHECK(!seqcount_read_retry(&s, begin));
    seqcount_write_begin(&s);
    seqcount_write_end(&s);
    CHECK(seqcount_read_retry(&s, begin));
}

static struct spinlock sync_high = SPINLOCK_INIT(RANK_PROC, 0, "test in a handler");
static bool sync_fired;

static void sync_fire(struct timer *t)
{
    u64 flags;

    spin_lock_irqsave(&sync_high, &flags);
    WRITE_ONCE(sync_fired, true);
    spin_unlock_irqrestore(&sync_high, flags);
}

SELFTEST(handlers_take_locks_whatever_the_interrupted_code_holds)
{
    static struct spinlock low = SPINLOCK_INIT(RANK_VM, 0, "test");
    struct timer timer;

    sync_fired = false;
    timer_init(&timer, sync_fire);
    spin_lock(&low); /* no lock that handlers take: interrupts stay on */
    timer_start(&timer, time_ns() + NSEC_PER_MSEC);
    while (!READ_ONCE(sync_fired))
        cpu_relax();
    spin_unlock(&low);
    timer_cancel(&timer);
}

SELFTEST(spin_trylock_fails_when_held)
{
    static struct spinlock lock = SPINLOCK_INIT(RANK_NONE, 0, "test");

    spin_lock(&lock);
    CHECK(spin_is_locked(&lock) && !spin_trylock(&lock));
    spin_unlock(&lock);
    CHECK(!spin_is_locked(&lock) && spin_trylock(&lock));
    spin_unlock(&lock);
}

#define LOCK_ROUNDS 300 /* a hand-over may cost an emulator a time slice */
static struct spinlock count_lock = SPINLOCK_INIT(RANK_NONE, 0, "test count");
static u64 count_value;
static u32 count_threads; /* a  still at it */

static void count_thread(void *arg)
{
    for (unsigned i = 0; i < LOCK_ROUNDS; i++) {
        spin_lock(&count_lock);
        count_value++;
        spin_unlock(&count_lock);
        cond_yield();
    }
    __atomic_fetch_sub(&count_threads, 1, __ATOMIC_SEQ_CST);
}

/* False when threads cannot be made. */
static bool run_on_all(void (*fn)(void *), void *arg, u32 *left)
{
    unsigned cpu;

    *left = cpu_count();
    cpu_for_each (cpu) {
        struct thread *t = thread_create("selftest", fn, arg);

        if (!t)
            return false;
        (void)thread_set_affinity(t, 1ULL << cpu);
        thread_start(t);
        thread_put(t);
    }
    return true;
}

static bool wait_zero(const u32 *left)
{
    for (unsigned i = 0; i < 60000 && READ_ONCE(*left); i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    return READ_ONCE(*left) == 0;
}

SELFTEST(spinlock_excludes_all_cpus)
{
    count_value = 0;
    CHECK(run_on_all(count_thread, NULL, &count_threads));
    CHECK(wait_zero(&count_threads));
    CHECK(count_value == (u64)LOCK_ROUNDS * cpu_count());
}

static u32 rcu_calls; /* a */

static void rcu_called(struct rcu_head *head)
{
    __atomic_fetch_add(&rcu_calls, 1, __ATOMIC_SEQ_CST);
}

SELFTEST(rcu_synchronize_runs_earlier_callbacks)
{
    static struct rcu_head heads[8];

    rcu_calls = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(heads); i++)
        rcu_call(&heads[i], rcu_called);
    rcu_synchronize();
    CHECK(rcu_calls == ARRAY_SIZE(heads));
}

/* A CPU that goes idle starts a grace period for a single callback, without being asked to. */
SELFTEST(rcu_callbacks_of_an_idle_cpu_run)
{
    static struct rcu_head head;

    rcu_calls = 0;
    rcu_call(&head, rcu_called);
    for (unsigned i = 0; i < 60000 && !READ_ONCE(rcu_calls); i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(READ_ONCE(rcu_calls) == 1);
}

/* A thread that neither sleeps nor goes to user mode queues them, one after the other, and does not
 * end before the first has run. */
#define RCU_CROWD 600
static struct rcu_head rcu_crowd[RCU_CROWD];
static u32 rcu_crowd_threads; /* a */

static void rcu_queue_many(void *arg)
{
    for (unsigned i = 0; i < RCU_CROWD; i++) {
        rcu_call(&rcu_crowd[i], rcu_called);
        cond_yield();
    }
    while (!READ_ONCE(rcu_calls))
        cond_yield();
    __atomic_fetch_sub(&rcu_crowd_threads, 1, __ATOMIC_SEQ_CST);
}

SELFTEST(rcu_callbacks_of_a_busy_cpu_run_when_they_are_many)
{
    struct thread *t = thread_create("selftest", rcu_queue_many, NULL);

    rcu_calls = 0;
    rcu_crowd_threads = 1;
    CHECK(t);
    (void)thread_set_affinity(t, 1ULL << (cpu_count() - 1));
    thread_start(t);
    thread_put(t);
    CHECK(wait_zero(&rcu_crowd_threads));
    rcu_synchronize();
    CHECK(rcu_calls == RCU_CROWD);
}

/* Readers on every CPU look at what the updater poisons once a grace period is over. */
struct rcu_item {
    u64 value;
};
static struct rcu_item rcu_items[2] = {{1}, {1}};
static struct rcu_item *rcu_published = &rcu_items[0];
static u32 rcu_readers, rcu_stop, rcu_torn; /* a */

static void rcu_reader(void *arg)
{
    while (!READ_ONCE(rcu_stop)) {
        rcu_read_lock();
        for (unsigned i = 0; i < 50; i++) {
            struct rcu_item *item = rcu_dereference(rcu_published);

            cpu_relax();
            if (READ_ONCE(item->value) != 1)
                WRITE_ONCE(rcu_torn, 1);
        }
        rcu_read_unlock();
        sched_yield_current();
    }
    __atomic_fetch_sub(&rcu_readers, 1, __ATOMIC_SEQ_CST);
}

SELFTEST(rcu_grace_period_waits_for_readers)
{
    rcu_stop = rcu_torn = 0;
    CHECK(run_on_all(rcu_reader, NULL, &rcu_readers));
    for (unsigned i = 0; i < 50; i++) {
        struct rcu_item *old = rcu_published, *new = &rcu_items[(i + 1) % 2];

        new->value = 1;
        rcu_assign(rcu_published, new);
        rcu_synchronize();
        WRITE_ONCE(old->value, 0xdead);
    }
    WRITE_ONCE(rcu_stop, 1);
    CHECK(wait_zero(&rcu_readers));
    CHECK(!rcu_torn);
}
