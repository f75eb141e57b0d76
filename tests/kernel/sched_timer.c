/* SPDX-License-Identifier: MIT
 *
 * Promises of timers. What is measured in time holds under --icount only.
 */
#include "arch/x86/regs.h"
#include "lib/log.h"
#include "mm/page.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sync/percpu.h"

#ifdef DEBUG
#define TIMER_BUILD 5 /* times as slow, at most */
#else
#define TIMER_BUILD 1
#endif

static u64 timer_fired[4];
static unsigned timer_fired_count;
static struct timer timer_few[4];

static void timer_note_fire(struct timer *t)
{
    unsigned n = timer_fired_count++;

    if (n < 4)
        timer_fired[n] = (u64)(t - timer_few);
}

SELFTEST(timer_order_is_that_of_deadlines)
{
    static const u8 order[4] = {2, 0, 3, 1}; /* which is how many ms late */
    u64 now, irq, all = current_thread()->affinity;

    /* All on one CPU: others keep time by themselves. */
    irq = irq_save(); /* none may fire before all are started */
    CHECK(thread_set_affinity(current_thread(), 1ULL << cpu_id()) == 0);
    now = time_ns();
    timer_fired_count = 0;
    for (unsigned i = 0; i < 4; i++) {
        timer_init(&timer_few[i], timer_note_fire);
        timer_start(&timer_few[i], now + (2 + 2 * (u64)order[i]) * NSEC_PER_MSEC);
    }
    irq_restore(irq);
    CHECK(sleep_until(now + 6 * NSEC_PER_MSEC + NSEC_PER_MSEC / 2, SLEEP_UNINTERRUPTIBLE) == 0);
    CHECK(timer_fired_count >= 2 && time_ns() >= now + 6 * NSEC_PER_MSEC);
    for (u32 i = 0; i < 60000 && READ_ONCE(timer_fired_count) < 4; i++)
        sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(thread_set_affinity(current_thread(), all) == 0);
    CHECK(timer_fired_count == 4);
    for (unsigned i = 0; i < 4; i++)
        CHECK(order[timer_fired[i]] == i);
    timer_start(&timer_few[0], time_ns() + NSEC_PER_SEC);
    CHECK(timer_cancel(&timer_few[0]) && !timer_cancel(&timer_few[0]));
}

static struct timer timer_bulk[100];
static u64 timer_bulk_fired, timer_bulk_before; /* all, and before the sleeper's */

static void timer_bulk_fire(struct timer *t)
{
    timer_bulk_fired++;
}

static void timer_sleeper_fire(struct timer *t)
{
    timer_bulk_before = timer_bulk_fired;
}

/* They expire first, and all of them in the end, but a few at a time. */
static void timer_check_hoard(void (*init)(struct timer *t, void (*fire)(struct timer *t)))
{
    u64 irq = irq_save(), now = time_ns();

    timer_bulk_fired = timer_bulk_before = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(timer_bulk); i++) {
        init(&timer_bulk[i], timer_bulk_fire);
        timer_start(&timer_bulk[i], now + NSEC_PER_MSEC);
    }
    timer_init(&timer_few[0], timer_sleeper_fire);
    timer_start(&timer_few[0], now + NSEC_PER_MSEC + 1);
    while (time_ns() < now + 2 * NSEC_PER_MSEC)
        cpu_relax();
    irq_restore(irq);
    for (u32 i = 0; i < 60000 && READ_ONCE(timer_bulk_fired) < ARRAY_SIZE(timer_bulk); i++)
        sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(timer_bulk_before == 0);
    CHECK(timer_bulk_fired == ARRAY_SIZE(timer_bulk));
}

SELFTEST(bulk_timers_do_not_hold_up_others)
{
    timer_check_hoard(timer_init_bulk);
}

SELFTEST(guests_timers_do_not_hold_up_others)
{
    timer_check_hoard(timer_init_guest);
}

/* ------------------------------------------------------------- a million of them */

#define MILLION 1000000U
#define TIMER_BLOCK_ORDER 10 /* of pages */
#define TIMERS_OF_BLOCK ((PAGE_SIZE << TIMER_BLOCK_ORDER) / sizeof(struct timer))
#define TIMER_BLOCKS (MILLION / TIMERS_OF_BLOCK + 1)
static struct page *timer_blocks[TIMER_BLOCKS];
static u64 timer_many_fired; /* a */

static struct timer *timer_of_many(u32 i)
{
    return (struct timer *)page_virt(timer_blocks[i / TIMERS_OF_BLOCK]) + i % TIMERS_OF_BLOCK;
}

static void timer_many_fire(struct timer *t)
{
    WRITE_ONCE(timer_many_fired, timer_many_fired + 1);
}

static bool timer_many_make(u32 n)
{
    for (u32 i = 0; i < TIMER_BLOCKS; i++)
        if (!(timer_blocks[i] = page_alloc(TIMER_BLOCK_ORDER, 0)))
            return false;
    for (u32 i = 0; i < n; i++) {
        timer_init(timer_of_many(i), timer_many_fire);
        if (i % 1024 == 0)
            cond_yield();
    }
    timer_many_fired = 0;
    return true;
}

static void timer_many_start(u32 n, u64 first, u64 step)
{
    for (u32 i = 0; i < n; i++) {
        timer_start(timer_of_many(i), first + i * step);
        if (i % 1024 == 0)
            cond_yield();
    }
}

static void timer_many_drop(u32 n)
{
    for (u32 i = 0; i < n && timer_blocks[TIMER_BLOCKS - 1]; i++) {
        timer_cancel(timer_of_many(i));
        if (i % 1024 == 0)
            cond_yield();
    }
    for (u32 i = 0; i < TIMER_BLOCKS; i++) {
        if (timer_blocks[i])
            page_put(timer_blocks[i]);
        timer_blocks[i] = NULL;
    }
}

/* ns that a thousand starts and cancellations take, at distances of all orders. */
static u64 timer_cost(void)
{
    u64 flags = irq_save(), start = time_ns();

    timer_init(&timer_few[0], timer_many_fire);
    for (u64 i = 0; i < 1000; i++) {
        timer_start(&timer_few[0], start + NSEC_PER_SEC + (NSEC_PER_MSEC << i % 20));
        timer_cancel(&timer_few[0]);
    }
    start = time_ns() - start;
    irq_restore(flags);
    return start;
}

SELFTEST_TIMED(timer_costs_the_same_with_a_million_as_with_ten)
{
    u64 far = time_ns() + 100 * NSEC_PER_SEC, ten, million;

    if (timer_many_make(MILLION)) {
        timer_many_start(10, far, NSEC_PER_MSEC);
        ten = timer_cost();
        timer_many_start(MILLION, far, 3 * NSEC_PER_USEC);
        million = timer_cost();
        timer_many_drop(MILLION);
        CHECK(million <= ten + ten / 10);
    }
    timer_many_drop(0);
}

/* A hundred thousand that are due at once: interrupts are off for no longer than ever. */
SELFTEST_TIMED(timers_that_are_due_together_leave_the_processor_to_others)
{
    enum { MANY = 100000 };
    u64 due = time_ns() + 500 * NSEC_PER_MSEC, last, now, longest = 0;

    if (timer_many_make(MANY)) {
        timer_many_start(MANY, due, 0);
        sleep_until(due - NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
        for (last = time_ns(); READ_ONCE(timer_many_fired) < MANY; last = now) {
            now = time_ns();
            longest = MAX(longest, now - last);
            cond_yield();
        }
        timer_many_drop(MANY);
        CHECK(longest < 100 * NSEC_PER_USEC * TIMER_BUILD);
    }
    timer_many_drop(0);
}

/* ------------------------------------------------------------- slack, and later times */

enum { SLACK_TIMERS = 16 };
static struct timer timer_slacks[SLACK_TIMERS];
static u64 timer_earliest[SLACK_TIMERS], timer_when[SLACK_TIMERS];

static void timer_slack_fire(struct timer *t)
{
    timer_when[t - timer_slacks] = time_ns();
}

/* Interrupts that so many timers take with that slack. They are further apart than one lasts. */
static u64 timer_interrupts_with(u64 slack)
{
    u64 affinity = current_thread()->affinity, before, due;

    if (thread_set_affinity(current_thread(), 1))
        return 0;
    sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE); /* what was programmed is over */
    before = timer_interrupts(0);
    due = time_ns() + 2 * NSEC_PER_MSEC;
    for (u64 i = 0; i < SLACK_TIMERS; i++) {
        timer_init(&timer_slacks[i], timer_slack_fire);
        timer_earliest[i] = due + i * 3 * NSEC_PER_USEC * TIMER_BUILD;
        timer_when[i] = 0;
        timer_start_within(&timer_slacks[i], timer_earliest[i], slack);
    }
    sleep_until(due + 3 * NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    before = timer_interrupts(0) - before;
    (void)thread_set_affinity(current_thread(), affinity);
    return before;
}

static bool timer_was_within(u64 slack)
{
    for (u32 i = 0; i < SLACK_TIMERS; i++)
        if (timer_when[i] < timer_earliest[i] || timer_when[i] > timer_earliest[i] + slack)
            return false;
    return true;
}

/* One for all of them, and one to end the sleep. Timers of others only add to that, now and then.
 */
SELFTEST_TIMED(timers_within_the_slack_share_an_interrupt)
{
    u64 each, together = U64_MAX;

    each = timer_interrupts_with(0);
    CHECK(timer_was_within(30 * NSEC_PER_USEC * TIMER_BUILD));
    for (unsigned i = 0; i < 3; i++) {
        together = MIN(together, timer_interrupts_with(60 * NSEC_PER_USEC * TIMER_BUILD));
        CHECK(timer_was_within(90 * NSEC_PER_USEC * TIMER_BUILD));
    }
    CHECK(together <= 3 && each > 4);
}

SELFTEST_TIMED(timer_that_is_put_off_a_thousand_times_is_looked_at_once)
{
    u64 affinity = current_thread()->affinity, start, cost, put_off, before;

    CHECK(thread_set_affinity(current_thread(), 1) == 0);
    cost = timer_cost();
    sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE); /* what was programmed is over */
    timer_init(&timer_few[0], timer_many_fire);
    before = timer_interrupts(0);
    start = time_ns();
    timer_start(&timer_few[0], start + 10 * NSEC_PER_MSEC);
    for (u64 i = 0; i < 1000; i++)
        timer_start(&timer_few[0], start + 20 * NSEC_PER_MSEC + i);
    put_off = time_ns() - start;
    timer_many_fired = 0;
    sleep_until(start + 15 * NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    before = timer_interrupts(0) - before;
    CHECK(timer_cancel(&timer_few[0]) && timer_many_fired == 0);
    CHECK(thread_set_affinity(current_thread(), affinity) == 0);
    /* It and the sleep's, each perhaps twice: a counter that runs fast is programmed again. */
    CHECK(put_off < cost / 2 && before <= 4);
}

/* Sleeps of a thread are as late as its slack, and no more. */
SELFTEST_TIMED(sleep_is_late_by_the_slack_at_most)
{
    static const u64 slacks[] = {0, 50 * NSEC_PER_USEC, NSEC_PER_MSEC};
    u64 due, end;

    for (u32 i = 0; i < ARRAY_SIZE(slacks); i++) {
        current_thread()->timer_slack = slacks[i];
        due = time_ns() + 5 * NSEC_PER_MSEC;
        sleep_until(due, SLEEP_UNINTERRUPTIBLE);
        end = time_ns();
        current_thread()->timer_slack = 0;
        CHECK(end >= due && end <= due + slacks[i] + 20 * NSEC_PER_USEC * TIMER_BUILD);
        CHECK(end >= due + slacks[i] / 2);
    }
}
