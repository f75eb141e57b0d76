/* SPDX-License-Identifier: MIT
 *
 * Promises of interrupts and their threads: messages whose source is the test itself, which sends
 * what it was told to send by an interrupt between processors.
 */
#include "arch/x86/apic.h"
#include "arch/x86/regs.h"
#include "dev/irq.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sync/percpu.h"

#define LONG (60 * NSEC_PER_SEC) /* only a broken kernel takes it */

struct source {
    struct irq_handler handler;
    u64 address;
    u32 data, writes;
    bool masked;
    unsigned hard_cpu, thread_cpu;
    u32 hard, threaded; /* a  calls */
    u64 ran;            /* when its thread did */
    u8 quiet;           /* the hard handler says that it had not asked */
    struct completion inside, go;
};

static void source_write(void *arg, u64 address, u32 data)
{
    struct source *s = arg;

    s->address = address;
    s->data = data;
    s->writes++;
}

static void source_mask(void *arg, bool masked)
{
    ((struct source *)arg)->masked = masked;
}

static const struct irq_message_ops source_ops = {source_write, source_mask};
static const struct irq_message_ops source_ops_fixed = {source_write, NULL};

static bool source_hard(void *arg)
{
    struct source *s = arg;

    s->hard_cpu = cpu_id();
    __atomic_fetch_add(&s->hard, 1, __ATOMIC_SEQ_CST);
    return !s->quiet;
}

static void source_thread(void *arg)
{
    struct source *s = arg;

    s->thread_cpu = cpu_id();
    s->ran = time_ns();
    __atomic_fetch_add(&s->threaded, 1, __ATOMIC_SEQ_CST);
}

static void source_thread_waits(void *arg)
{
    struct source *s = arg;

    completion_signal(&s->inside);
    completion_wait(&s->go);
    source_thread(arg);
}

static void source_init(struct source *s, void (*thread_fn)(void *arg))
{
    *s = (struct source){.handler = {source_hard, thread_fn, s, "selftest", 0, 0, false}};
    completion_init(&s->inside);
    completion_init(&s->go);
}

/* What the device would do: nothing while it is masked. */
static void source_send(const struct source *s)
{
    struct irq_info info;

    if (!s->masked && irq_info_next(s->handler.irq, &info) && info.irq == s->handler.irq &&
        (u8)s->data == info.vector)
        apic_send_ipi(info.cpu, info.vector);
}

static bool soon(const u32 *count, u32 least)
{
    u64 until = time_ns() + LONG;

    while (__atomic_load_n(count, __ATOMIC_SEQ_CST) < least && time_ns() < until)
        (void)sleep_until(time_ns() + 50 * NSEC_PER_USEC, SLEEP_UNINTERRUPTIBLE);
    return __atomic_load_n(count, __ATOMIC_SEQ_CST) >= least;
}

SELFTEST(irq_message_reaches_its_handler_and_then_its_thread)
{
    static struct source s;
    struct irq_info info;
    u64 before;

    source_init(&s, source_thread);
    CHECK(irq_request_message(&s.handler, 0, &source_ops, &s) == 0);
    CHECK(!s.masked && s.address >> 20 == 0xfee && s.data == s.handler.vector);
    CHECK(irq_info_next(s.handler.irq, &info) && info.irq == s.handler.irq && info.cpu == 0);
    before = irq_count(s.handler.irq, 0);
    source_send(&s);
    CHECK(soon(&s.threaded, 1) && s.hard == 1 && s.hard_cpu == 0 && s.thread_cpu == 0);
    CHECK(irq_count(s.handler.irq, 0) == before + 1);
    s.quiet = 1; /* not the device's: its thread is left alone */
    source_send(&s);
    CHECK(soon(&s.hard, 2) && s.threaded == 1);
    irq_release(&s.handler);
    CHECK(s.masked);
    CHECK(!irq_info_next(s.handler.irq, &info) || info.irq != s.handler.irq);
}

SELFTEST(irq_and_its_thread_move_to_another_cpu)
{
    static struct source s;
    struct irq_info info;
    u32 writes, hard;

    if (cpu_count() < 2)
        return;
    source_init(&s, source_thread);
    CHECK(irq_request_message(&s.handler, 0, &source_ops, &s) == 0);
    writes = s.writes;
    CHECK(irq_set_affinity(s.handler.irq, 1UL << 1) == 0);
    CHECK(s.writes > writes && !s.masked && soon(&s.threaded, 1)); /* once more after the move */
    CHECK(irq_info_next(s.handler.irq, &info) && info.cpu == 1 && info.affinity == 1UL << 1);
    hard = s.hard;
    source_send(&s);
    CHECK(soon(&s.hard, hard + 1) && s.hard_cpu == 1 && soon(&s.threaded, 2) && s.thread_cpu == 1);
    CHECK(irq_set_affinity(s.handler.irq, 0) == -EINVAL);
    CHECK(cpu_count() == 64 || irq_set_affinity(s.handler.irq, 1UL << 63) == -EINVAL);
    CHECK(irq_set_affinity(s.handler.irq + 100000, 1) == -ENOENT);
    irq_release(&s.handler);
}

SELFTEST(irq_that_cannot_be_masked_keeps_its_vector_when_it_moves)
{
    static struct source s;
    u32 data;

    if (cpu_count() < 2)
        return;
    source_init(&s, NULL);
    CHECK(irq_request_message(&s.handler, 0, &source_ops_fixed, &s) == 0);
    data = s.data;
    CHECK(irq_set_affinity(s.handler.irq, 1UL << 1) == 0 && s.data == data);
    CHECK(soon(&s.hard, 1) && s.hard_cpu == 1);
    irq_release(&s.handler);
}

static void release_run(void *arg)
{
    struct source *s = arg;

    irq_release(&s->handler);
    completion_signal(&s->go); /* a second time: the test waits for this one */
}

SELFTEST(irq_release_waits_for_its_thread)
{
    static struct source s;
    struct thread *t;

    source_init(&s, source_thread_waits);
    CHECK(irq_request_message(&s.handler, 0, &source_ops, &s) == 0);
    source_send(&s);
    completion_wait(&s.inside);
    t = thread_create("selftest", release_run, &s);
    CHECK(t);
    thread_start(t);
    (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(!s.threaded && !s.go.done);
    completion_signal(&s.go);
    CHECK(soon(&s.threaded, 1));
    while (READ_ONCE(t->state) != THREAD_DEAD)
        (void)sleep_until(time_ns() + 50 * NSEC_PER_USEC, SLEEP_UNINTERRUPTIBLE);
    thread_put(t);
    CHECK(s.threaded == 1);
}

/* More than one CPU has vectors for, if there are more CPUs. */
SELFTEST(irq_vectors_are_each_cpu_s_own)
{
    unsigned n = 0, each = 150, cpus = MIN(cpu_count(), 4U);
    struct source *s = kcalloc(each * cpus, sizeof(*s));
    int err = 0;

    CHECK(s);
    for (; n < each * cpus && !err; n++) {
        source_init(&s[n], NULL);
        err = irq_request_message(&s[n].handler, n % cpus, &source_ops, &s[n]);
    }
    if (!err)
        source_send(&s[n - 1]);
    err = err ? err : soon(&s[n - 1].hard, 1) ? 0 : -EIO;
    while (n-- > 0)
        irq_release(&s[n].handler);
    kfree(s);
    CHECK(err == 0);
}

SELFTEST(irq_beyond_the_last_vector_is_refused)
{
    unsigned n = 0, most = 256;
    struct source *s = kcalloc(most, sizeof(*s));
    int err = 0;

    CHECK(s);
    while (n < most && !err) {
        source_init(&s[n], NULL);
        err = irq_request_message(&s[n].handler, 0, &source_ops, &s[n]);
        n += !err;
    }
    CHECK(err == -ENOSPC && n > 150);
    while (n-- > 0)
        irq_release(&s[n].handler);
    kfree(s);
}

SELFTEST(irq_line_without_a_handler_is_refused)
{
    static struct source s;

    source_init(&s, source_thread);
    s.handler.fn = NULL;
    CHECK(irq_request_gsi(0, true, true, &s.handler) == -EINVAL);
    s.handler.fn = source_hard;
    CHECK(irq_request_gsi(100000, true, true, &s.handler) == -EINVAL);
}

/* ---- the urgent class ---- */

#define STORM_FOR (200 * NSEC_PER_MSEC)
#define BUSY_THREADS 3

static u8 storm_stop;
static u64 storm_ns, busy_ns[BUSY_THREADS]; /* run */
static struct completion busy_gone[BUSY_THREADS];

/* Never without work: it asks for its next call before it is done. */
static void storm_thread(void *arg)
{
    struct source *s = arg;
    u64 start = time_ns();

    while (time_ns() - start < 100 * NSEC_PER_USEC)
        cpu_relax();
    storm_ns += time_ns() - start;
    if (!READ_ONCE(storm_stop))
        source_send(s);
    source_thread(arg);
}

static void busy_run(void *arg)
{
    unsigned i = (unsigned)(u64)arg;

    while (!READ_ONCE(storm_stop)) {
        u64 start = time_ns();

        while (time_ns() - start < 20 * NSEC_PER_USEC)
            cpu_relax();
        busy_ns[i] += time_ns() - start;
        cond_yield();
    }
    completion_signal(&busy_gone[i]);
}

static bool busy_start(unsigned i)
{
    struct thread *t;

    completion_init(&busy_gone[i]);
    busy_ns[i] = 0;
    t = thread_create("selftest busy", busy_run, (void *)(u64)i);
    if (!t)
        return false;
    t->affinity = t->allowed = 1;
    thread_start(t);
    thread_put(t);
    return true;
}

/* The storm has its budget of each period and no more; the others share the rest. */
SELFTEST_TIMED(irq_storm_has_its_budget_and_starves_nobody)
{
    static struct source s;
    u64 others = 0;

    source_init(&s, storm_thread);
    storm_ns = 0;
    WRITE_ONCE(storm_stop, 0);
    CHECK(irq_request_message(&s.handler, 0, &source_ops, &s) == 0);
    for (unsigned i = 0; i < BUSY_THREADS; i++)
        CHECK(busy_start(i));
    source_send(&s);
    (void)sleep_until(time_ns() + STORM_FOR, SLEEP_UNINTERRUPTIBLE);
    WRITE_ONCE(storm_stop, 1);
    for (unsigned i = 0; i < BUSY_THREADS; i++) {
        completion_wait(&busy_gone[i]);
        CHECK(busy_ns[i] > STORM_FOR / 10);
        others += busy_ns[i];
    }
    irq_release(&s.handler);
    CHECK(storm_ns > STORM_FOR * 42 / 100 && storm_ns < STORM_FOR * 58 / 100);
    CHECK(others > STORM_FOR * 38 / 100);
}

static void source_thread_works(void *arg)
{
    u64 start;

    source_thread(arg);
    start = time_ns();
    while (time_ns() - start < 60 * NSEC_PER_USEC)
        cpu_relax();
}

/* A thread that has had more than its share of late is before the fair ones all the same. */
SELFTEST_TIMED(irq_thread_within_its_budget_waits_for_no_busy_thread)
{
    static struct source s;
    u64 worst = 0;

    source_init(&s, source_thread_works);
    (void)sleep_until(time_ns() + 2 * URGENT_PERIOD, SLEEP_UNINTERRUPTIBLE); /* a whole budget */
    WRITE_ONCE(storm_stop, 0);
    CHECK(irq_request_message(&s.handler, 0, &source_ops, &s) == 0);
    for (unsigned i = 0; i < BUSY_THREADS; i++)
        CHECK(busy_start(i));
    for (u32 n = 0; n < 50; n++) {
        u64 start = time_ns();

        source_send(&s);
        CHECK(soon(&s.threaded, n + 1));
        worst = MAX(worst, s.ran - start);
    }
    WRITE_ONCE(storm_stop, 1);
    for (unsigned i = 0; i < BUSY_THREADS; i++)
        completion_wait(&busy_gone[i]);
    irq_release(&s.handler);
    CHECK(worst < 100 * NSEC_PER_USEC);
}
