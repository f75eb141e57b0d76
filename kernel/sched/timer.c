/* SPDX-License-Identifier: MIT
 *
 * Timers of each CPU, and the one programmed deadline of its hardware timer. The hardware is set
 * earlier when someone wants so, and never later: an interrupt that finds nothing to do costs less
 * than a reprogramming at every change.
 *
 * Three trees: timers that wake a sleeping thread or serve the kernel; those of virtual machines,
 * each of which may reach many vCPUs (timer_init_guest); and those that programs make in numbers
 * (timer_init_bulk). Of each an interrupt runs some and comes back a little later for the rest, of
 * the latter two fewer, so that a hoard of them that expire together keeps no sleeper waiting; nor
 * does a hoard of sleepers keep the processor's interrupts off for long. One of the bulk may wake
 * thousands: after TIMER_LONG no other follows, and what took long is followed by a pause as long,
 * so that they have half of the processor at most.
 *
 * A timer whose callback runs stays with that CPU, whoever starts it again: `cpu` always tells
 * where a callback may be running.
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
enum { TIMER_SINGLE, TIMER_GUEST, TIMER_BULK, TIMER_TREES };
static const struct {
    unsigned at_once;
    u64 pause; /* ns */
} timer_batch[TIMER_TREES] = {
    [TIMER_SINGLE] = {64, 10 * NSEC_PER_USEC},
    [TIMER_GUEST] = {16, 20 * NSEC_PER_USEC},
    [TIMER_BULK] = {16, 100 * NSEC_PER_USEC},
};

#define TIMER_LONG (15 * NSEC_PER_USEC)
#define TIMER_PAUSE_MAX (5 * NSEC_PER_MSEC)

struct timer_cpu {
    struct spinlock lock;
    struct rb_root tree[TIMER_TREES]; /* by deadline */
    struct timer *running;            /* its callback is being called */
    u64 from[TIMER_TREES];            /* own CPU only: when the next of a tree may run */
    u64 armed;                        /* own CPU only: what the hardware is set to */
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
    *t = (struct timer){.fire = fire, .tree = TIMER_GUEST};
}

void timer_init_bulk(struct timer *t, void (*fire)(struct timer *t))
{
    *t = (struct timer){.fire = fire, .tree = TIMER_BULK};
}

/* Interrupts off. */
void timer_want(u64 deadline)
{
    struct timer_cpu *tc = this_cpu_ptr(timer_cpus);

    if (deadline >= tc->armed)
        return;
    tc->armed = deadline;
    timer_program(deadline);
}

static void timer_insert(struct timer_cpu *tc, struct timer *t)
{
    struct rb_node **link = &tc->tree[t->tree].node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = t->deadline < rb_entry(parent, struct timer, node)->deadline ? &parent->left
                                                                            : &parent->right;
    }
    rb_link(&tc->tree[t->tree], &t->node, parent, link);
}

/* The tree that t is or was last in, locked. Interrupts off. */
static struct timer_cpu *timer_lock(struct timer *t) NO_THREAD_SAFETY /* returns it locked */
{
    for (;;) {
        u16 cpu = READ_ONCE(t->cpu);
        struct timer_cpu *tc = per_cpu_ptr(timer_cpus, cpu);

        spin_lock(&tc->lock);
        if (likely(READ_ONCE(t->cpu) == cpu))
            return tc;
        spin_unlock(&tc->lock);
    }
}

static bool timer_remove(struct timer_cpu *tc, struct timer *t)
{
    if (!t->armed)
        return false;
    rb_erase(&tc->tree[t->tree], &t->node);
    t->armed = false;
    return true;
}

/* Takes t, out of any tree, to this CPU, or leaves it where its callback is running: that CPU looks
 * at its timers again afterwards. Returns with the tree locked. Interrupts off. */
static struct timer_cpu *timer_take(struct timer *t) NO_THREAD_SAFETY /* returns it locked */
{
    for (;;) {
        struct timer_cpu *tc = timer_lock(t);

        timer_remove(tc, t);
        if (likely(t->cpu == cpu_id()) || tc->running == t)
            return tc;
        t->cpu = (u16)cpu_id();
        spin_unlock(&tc->lock);
    }
}

void timer_start(struct timer *t, u64 deadline)
{
    u64 flags = irq_save();
    struct timer_cpu *tc = timer_take(t);

    ASSERT_HELD(&tc->lock);
    t->deadline = deadline;
    t->armed = true;
    timer_insert(tc, t);
    spin_unlock(&tc->lock);
    if (likely(tc == this_cpu_ptr(timer_cpus)))
        timer_want(deadline);
    irq_restore(flags);
}

bool timer_cancel_nowait(struct timer *t)
{
    u64 flags = irq_save();
    struct timer_cpu *tc = timer_lock(t);
    bool was = timer_remove(tc, t);

    ASSERT_HELD(&tc->lock);
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

static struct timer *timer_first(const struct timer_cpu *tc, unsigned tree)
{
    struct rb_node *n = rb_first(&tc->tree[tree]);

    return n ? rb_entry(n, struct timer, node) : NULL;
}

/* The next that has expired, tree by tree, of each as many as are left. */
static struct timer *timer_next_expired(const struct timer_cpu *tc, u64 now, const unsigned *left)
{
    for (unsigned i = 0; i < TIMER_TREES; i++) {
        struct timer *t = left[i] ? timer_first(tc, i) : NULL;

        if (t && t->deadline <= now)
            return t;
    }
    return NULL;
}

/* Timers that may take long have been run since `start`. */
static void timer_pause(struct timer_cpu *tc, unsigned tree, u64 start, unsigned *left)
{
    u64 now = time_ns(), spent = now - start;

    if (--*left && spent < TIMER_LONG)
        return;
    *left = 0;
    tc->from[tree] = now + MAX(timer_batch[tree].pause, MIN(spent, TIMER_PAUSE_MAX));
}

/* From the timer interrupt. */
void timer_run(u64 now)
{
    struct timer_cpu *tc = this_cpu_ptr(timer_cpus);
    unsigned left[TIMER_TREES];
    struct timer *t;

    for (unsigned i = 0; i < TIMER_TREES; i++)
        left[i] = now >= tc->from[i] ? timer_batch[i].at_once : 0;
    tc->armed = U64_MAX;
    spin_lock(&tc->lock);
    while ((t = timer_next_expired(tc, now, left)) != NULL) {
        unsigned tree = t->tree;

        timer_remove(tc, t);
        tc->running = t;
        if (tree == TIMER_SINGLE && --left[TIMER_SINGLE] == 0)
            tc->from[TIMER_SINGLE] = time_ns() + timer_batch[TIMER_SINGLE].pause;
        spin_unlock(&tc->lock);
        t->fire(t);
        if (tree != TIMER_SINGLE)
            timer_pause(tc, tree, now, &left[tree]);
        spin_lock(&tc->lock);
        WRITE_ONCE(tc->running, NULL);
    }
    spin_unlock(&tc->lock);
}

void timer_reprogram(void)
{
    struct timer_cpu *tc = this_cpu_ptr(timer_cpus);
    struct timer *t;

    spin_lock(&tc->lock);
    for (unsigned i = 0; i < TIMER_TREES; i++)
        if ((t = timer_first(tc, i)) != NULL)
            timer_want(MAX(t->deadline, tc->from[i]));
    spin_unlock(&tc->lock);
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
        timer_start(&s.timer, deadline);
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
