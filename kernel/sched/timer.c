/* SPDX-License-Identifier: MIT
 *
 * Timers of each CPU, and the one programmed deadline of its hardware timer. The hardware is set
 * earlier for an earlier timer, and never later: an interrupt that finds nothing to do costs less
 * than a reprogramming at every change. While the interrupt is dealt with it is not set at all, but
 * once at the end.
 *
 * Three wheels (wheel.h): timers that wake a sleeping thread or serve the kernel; those of virtual
 * machines, each of which may reach many vCPUs (timer_init_guest); and those that programs make in
 * numbers (timer_init_bulk). Of each an interrupt runs some and comes back a little later for the
 * rest, of the latter two fewer, so that a hoard of them that expire together keeps no sleeper
 * waiting; nor does a hoard of sleepers keep the processor's interrupts off for long. One of the
 * bulk may wake thousands: after TIMER_LONG no other follows, and what took long is followed by a
 * pause as long, so that they have half of the processor at most.
 *
 * A timer whose callback runs stays with that CPU, from whichever CPU it is started again: `cpu`
 * always tells where a callback may be running. One that is made later stays where it is, too.
 *
 * Lock order: a CPU's timer lock lies below run queue locks; callbacks run without it.
 */
#include "sched/timer.h"

#include "arch/x86/apic.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "sched/clock_page.h"
#include "sched/rq_priv.h"

/* In the order in which they run. */
enum { TIMER_SINGLE, TIMER_GUEST, TIMER_BULK, TIMER_CLASSES };
static const struct {
    unsigned
        steps; /* of one interrupt; a callback is TIMER_FIRE of them, a move in the wheel one */
    u64 pause; /* ns */
} timer_batch[TIMER_CLASSES] = {
    [TIMER_SINGLE] = {224, 5 * NSEC_PER_USEC},
    [TIMER_GUEST] = {64, 20 * NSEC_PER_USEC},
    [TIMER_BULK] = {64, 100 * NSEC_PER_USEC},
};

#define TIMER_FIRE 4
#define TIMER_LAST (U64_MAX - 32) /* as far as wheels go */
#define TIMER_LONG (15 * NSEC_PER_USEC)
#define TIMER_PAUSE_MAX (5 * NSEC_PER_MSEC)

/* l lock · c this CPU, interrupts off: ASSERT_IRQS_OFF */
struct timer_cpu {
    struct spinlock lock;
    struct wheel wheel[TIMER_CLASSES]; /* l */
    struct timer *running;             /* l  its callback is being called */
    u64 from[TIMER_CLASSES];           /* c  when the next of a class may run */
    u64 armed;                         /* c  what the hardware is set to, or will be */
    bool interrupt;                    /* c  from timer_run until timer_reprogram */
    u64 interrupts;                    /* c */
};
static DEFINE_PER_CPU(struct timer_cpu, timer_cpus);

void timer_init_cpu(unsigned cpu)
{
    struct timer_cpu *tc = per_cpu_ptr(timer_cpus, cpu);

    spinlock_init(&tc->lock, RANK_SCHED, TIMER_ORDER, "timers");
    tc->armed = U64_MAX;
}

void timer_init(struct timer *t, void (*fire)(struct timer *t))
{
    *t = (struct timer){.fire = fire};
}

void timer_init_guest(struct timer *t, void (*fire)(struct timer *t))
{
    *t = (struct timer){.fire = fire, .class = TIMER_GUEST};
}

void timer_init_bulk(struct timer *t, void (*fire)(struct timer *t))
{
    *t = (struct timer){.fire = fire, .class = TIMER_BULK};
}

/* Interrupts off. */
void timer_want(u64 deadline)
{
    struct timer_cpu *tc = this_cpu_ptr(timer_cpus);

    ASSERT_IRQS_OFF();
    if (deadline >= tc->armed)
        return;
    tc->armed = deadline;
    if (!tc->interrupt)
        timer_program(deadline);
}

/* The CPU that t is or was last at, locked. Interrupts off. */
static struct timer_cpu *timer_lock(struct timer *t) NO_THREAD_SAFETY /* returns it locked */
{
    ASSERT_IRQS_OFF();
    for (;;) {
        u16 cpu = READ_ONCE(t->cpu);
        struct timer_cpu *tc = per_cpu_ptr(timer_cpus, cpu);

        spin_lock(&tc->lock);
        if (likely(READ_ONCE(t->cpu) == cpu))
            return tc;
        spin_unlock(&tc->lock);
    }
}

static bool timer_remove_locked(struct timer_cpu *tc, struct timer *t) REQUIRES(tc->lock)
{
    ASSERT_HELD(&tc->lock);
    if (!wheel_has(&t->entry))
        return false;
    wheel_remove(&tc->wheel[t->class], &t->entry);
    return true;
}

/* t is armed, and for no later: it stays in its wheel and is looked at when its time comes there.
 */
static bool timer_is_later(const struct timer *t, u64 deadline, u32 slack)
{
    return wheel_has(&t->entry) && deadline >= t->entry.deadline && slack == t->entry.slack;
}

/* Takes t, out of any wheel, to this CPU, or leaves it where its callback is running: that CPU
 * looks at its timers again afterwards. Returns with tc, t's until now, or this one locked. */
static struct timer_cpu *timer_take(struct timer_cpu *tc,
                                    struct timer *t) NO_THREAD_SAFETY /* returns it locked */
{
    ASSERT_IRQS_OFF();
    for (;;) {
        timer_remove_locked(tc, t);
        if (likely(t->cpu == cpu_id()) || tc->running == t)
            return tc;
        t->cpu = (u16)cpu_id();
        spin_unlock(&tc->lock);
        tc = timer_lock(t);
    }
}

void timer_start_within(struct timer *t, u64 deadline, u64 slack)
{
    u64 flags = irq_save(), at = U64_MAX;
    u32 slack_ns = (u32)MIN(slack, (u64)U32_MAX);
    struct timer_cpu *tc = timer_lock(t);

    ASSERT_HELD(&tc->lock);
    deadline = MIN(deadline, TIMER_LAST);
    if (timer_is_later(t, deadline, slack_ns)) {
        t->entry.deadline = deadline;
    } else {
        tc = timer_take(tc, t);
        t->entry.deadline = deadline;
        t->entry.slack = slack_ns;
        at = wheel_add(&tc->wheel[t->class], &t->entry);
    }
    spin_unlock(&tc->lock);
    if (likely(tc == this_cpu_ptr(timer_cpus)))
        timer_want(at);
    irq_restore(flags);
}

void timer_start(struct timer *t, u64 deadline)
{
    timer_start_within(t, deadline, 0);
}

bool timer_cancel_nowait(struct timer *t)
{
    u64 flags = irq_save();
    struct timer_cpu *tc = timer_lock(t);
    bool was;

    ASSERT_HELD(&tc->lock);
    was = timer_remove_locked(tc, t);
    spin_unlock(&tc->lock);
    irq_restore(flags);
    return was;
}

bool timer_cancel(struct timer *t)
{
    bool was = timer_cancel_nowait(t);

    while (unlikely(READ_ONCE(per_cpu_ptr(timer_cpus, READ_ONCE(t->cpu))->running) == t)) {
        cpu_relax();
        was |= timer_cancel_nowait(t); /* the callback may have started it again */
    }
    return was;
}

/* The next that has expired, class by class, of each as many as have steps left. */
static struct timer *timer_next_expired_locked(struct timer_cpu *tc, u64 now, unsigned *left)
    REQUIRES(tc->lock)
{
    ASSERT_HELD(&tc->lock);
    for (unsigned i = 0; i < TIMER_CLASSES; i++) {
        struct wheel_entry *e = left[i] ? wheel_expired(&tc->wheel[i], now, &left[i]) : NULL;

        if (e)
            return container_of(e, struct timer, entry);
    }
    return NULL;
}

/* A callback of that class has run. What may take long ends its class's turn. */
static void timer_spend(unsigned class, u64 start, unsigned *left)
{
    if (class != TIMER_SINGLE && time_ns() - start >= TIMER_LONG)
        *left = 0;
    else
        *left -= MIN(*left, TIMER_FIRE - 1U);
}

/* When the classes that have used up their steps go on. */
static void timer_pause(struct timer_cpu *tc, u64 start, const unsigned *left)
{
    for (unsigned i = 0; i < TIMER_CLASSES; i++) {
        u64 now, spent;

        if (likely(left[i]) || tc->from[i] > start)
            continue;
        now = time_ns();
        spent = i == TIMER_SINGLE ? 0 : MIN(now - start, TIMER_PAUSE_MAX);
        tc->from[i] = now + MAX(timer_batch[i].pause, spent);
    }
}

/* From the timer interrupt. */
void timer_run(u64 now)
{
    struct timer_cpu *tc = this_cpu_ptr(timer_cpus);
    unsigned left[TIMER_CLASSES];
    struct timer *t;

    for (unsigned i = 0; i < TIMER_CLASSES; i++)
        left[i] = now >= tc->from[i] ? timer_batch[i].steps : 0;
    tc->armed = U64_MAX;
    tc->interrupt = true;
    tc->interrupts++;
    spin_lock(&tc->lock);
    while ((t = timer_next_expired_locked(tc, now, left)) != NULL) {
        unsigned class = t->class;

        tc->running = t;
        spin_unlock(&tc->lock);
        t->fire(t);
        timer_spend(class, now, &left[class]);
        spin_lock(&tc->lock);
        WRITE_ONCE(tc->running, NULL);
    }
    spin_unlock(&tc->lock);
    timer_pause(tc, now, left);
}

void timer_reprogram(void)
{
    struct timer_cpu *tc = this_cpu_ptr(timer_cpus);

    spin_lock(&tc->lock);
    for (unsigned i = 0; i < TIMER_CLASSES; i++) {
        u64 next = wheel_next(&tc->wheel[i]);

        if (next != U64_MAX)
            timer_want(MAX(next, tc->from[i]));
    }
    spin_unlock(&tc->lock);
    tc->interrupt = false;
    if (tc->armed != U64_MAX)
        timer_program(tc->armed);
}

u64 timer_interrupts(unsigned cpu)
{
    return READ_ONCE(per_cpu_ptr(timer_cpus, cpu)->interrupts);
}

struct timer_sleep {
    struct timer timer;
    struct thread *thread;
};

static void timer_sleep_fire(struct timer *t)
{
    thread_wake(container_of(t, struct timer_sleep, timer)->thread);
}

int sleep_until(u64 deadline, int kind)
{
    struct timer_sleep s = {.thread = current_thread()};
    int err = 0;

    timer_init(&s.timer, timer_sleep_fire);
    s.thread->sleep_kind = (u8)kind;
    while (time_ns() < deadline) {
        __atomic_store_n(&s.thread->state, THREAD_SLEEPING, __ATOMIC_SEQ_CST);
        if (thread_sleep_interrupted(s.thread, kind)) {
            err = -EINTR;
            break;
        }
        timer_start_within(&s.timer, deadline, s.thread->timer_slack);
        schedule();
        timer_cancel(&s.timer);
    }
    WRITE_ONCE(s.thread->state, THREAD_RUNNING);
    return err;
}

static union {
    struct clock_page page;
    u8 bytes[PAGE_SIZE];
} timer_page __aligned(PAGE_SIZE);

const struct clock_page *const clock_page = &timer_page.page;

void clock_page_init(void)
{
    tsc_clock_params(&timer_page.page.tsc_base, &timer_page.page.tsc_mul);
    (void)time_wall_offset();
}

u64 time_wall_offset(void)
{
    u64 offset = __atomic_load_n(&timer_page.page.wall, __ATOMIC_RELAXED);

    if (unlikely(!offset)) {
        u64 wall;

        time_set_wall(kvmclock_wall_ns(&wall) ? wall : rtc_read() * NSEC_PER_SEC);
        offset = __atomic_load_n(&timer_page.page.wall, __ATOMIC_RELAXED);
    }
    return offset;
}

void time_set_wall(u64 wall_ns)
{
    u64 offset = wall_ns - time_ns();

    __atomic_store_n(&timer_page.page.wall, offset ? offset : 1, __ATOMIC_RELAXED);
}
