/* SPDX-License-Identifier: MIT
 *
 * Switching, waking, placing and idling.
 *
 * The run queue lock is held across the switch itself: the thread that goes on releases it. So
 * the holder of a thread's run queue lock sees it either running there or fully off the CPU, and a
 * sleeping thread's stack may be entered at once.
 *
 * Sleeping: the thread sets its state, tests its condition, then calls schedule; a waker changes
 * the state under the lock. The second of the two sees the first.
 */
#include "arch/x86/apic.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/account.h"
#include "mm/up.h"
#include "sched/rq_priv.h"
#include "sched/up.h"
#include "sync/rcu.h"

static u64 sched_idle_mask; /* a  CPUs that run their idle thread */

COUNTER(context_switches);
static struct arch_thread *arch_switch_traced(struct arch_thread *prev, struct arch_thread *next,
                                              u64 stack_top);
TRACE_POINT(sched_switch, arch_switch, "from %lx to %lx, top of stack %lx");
static bool thread_wake_traced(struct thread *t);
TRACE_POINT(sched_wake, thread_wake, "%lx of cpu%lu: %lu");

struct rq *rq_lock_thread(struct thread *t) NO_THREAD_SAFETY /* returns it locked */
{
    ASSERT_IRQS_OFF();
    for (;;) {
        struct rq *rq = rq_of(READ_ONCE(t->cpu));

        spin_lock(&rq->lock);
        if (likely(rq->cpu == t->cpu))
            return rq;
        spin_unlock(&rq->lock);
    }
}

void sched_kick_cpu(unsigned cpu)
{
    if (cpu != cpu_id())
        apic_send_ipi(cpu, VEC_RESCHED);
}

static inline void sched_work_or(struct thread *t, u32 bits)
{
    __atomic_fetch_or(&t->work, bits, __ATOMIC_SEQ_CST);
}

/* rq->lock held: the CPU should choose again. */
static void sched_resched(struct rq *rq) REQUIRES(rq->lock)
{
    ASSERT_HELD(&rq->lock);
    if (rq->curr->work & WORK_RESCHED)
        return; /* it has been told */
    sched_work_or(rq->curr, WORK_RESCHED);
    sched_kick_cpu(rq->cpu);
}

/* The last idle CPU is preferred: its caches and tables are warm; then any idle one. */
static unsigned sched_select_cpu(const struct thread *t)
{
    u64 online = cpu_count() == MAX_CPUS ? U64_MAX : (1UL << cpu_count()) - 1;
    u64 allowed = t->allowed & online, idle;
    unsigned cpu = t->cpu;

    if (online == 1)
        return 0;
    if (!allowed)
        allowed = online;
    idle = __atomic_load_n(&sched_idle_mask, __ATOMIC_RELAXED) & allowed;
    if (idle >> cpu & 1)
        return cpu;
    if (idle)
        return idle >> cpu_id() & 1 ? cpu_id() : (unsigned)__builtin_ctzll(idle);
    return allowed >> cpu & 1 ? cpu : (unsigned)__builtin_ctzll(allowed);
}

/* Its virtual time goes along: the distance to the others' stays. */
static void sched_move(struct thread *t, unsigned cpu)
{
    struct group_rq *to = t->group->cpu[cpu];

    if (t->cpu == cpu)
        return;
    t->se.vruntime += to->min_vruntime - t->se.parent->min_vruntime;
    t->se.parent = to;
    store_release(&t->cpu, (u16)cpu);
}

/* rq is t's, locked, and t is on no queue. */
static void sched_enqueue_locked(struct rq *rq, struct thread *t, bool fresh) REQUIRES(rq->lock)
{
    u64 now = time_ns();

    ASSERT_HELD(&rq->lock);
    if (rq->curr != rq->idle)
        rq_account(rq, now);
    t->state = THREAD_RUNNABLE;
    rq_enqueue(rq, t, fresh);
    if (rq_should_preempt(rq, t))
        sched_resched(rq);
    else if (rq->nr == 2 && rq->cpu == cpu_id())
        timer_want(MAX(rq->slice_start + rq_slice(rq), now));
    else if (rq->nr == 2)
        sched_kick_cpu(rq->cpu); /* it runs one thread without a timer: let it start one */
}

/* rq: t's, locked; unlocked on return. t's state is RUNNABLE by us, so no other CPU moves it. */
static void sched_place_unlock(struct rq *rq, struct thread *t, bool fresh)
    RELEASES(rq->lock) NO_THREAD_SAFETY /* it may go on to another */
{
    unsigned cpu = sched_select_cpu(t);

    while (cpu != rq->cpu) {
        struct rq *to = rq_of(cpu);

        sched_move(t, cpu); /* from here on others take the new queue's lock for it */
        spin_unlock(&rq->lock);
        spin_lock(&to->lock);
        rq = to;
        if (likely(t->allowed >> cpu & 1))
            break;
        cpu = sched_select_cpu(t); /* that changed while it was on its way */
    }
    sched_enqueue_locked(rq, t, fresh);
    spin_unlock(&rq->lock);
}

bool thread_wake(struct thread *t)
{
    u64 flags = irq_save();
    struct rq *rq;
    bool woken = false;

    smp_mb(); /* what the waker changed, before the look at the state: pairs with wait_begin */
    if (READ_ONCE(t->state) != THREAD_SLEEPING)
        goto out;
    rq = rq_lock_thread(t);
    ASSERT_HELD(&rq->lock);
    if (t->state != THREAD_SLEEPING) {
        spin_unlock(&rq->lock);
    } else if (rq->curr == t) { /* between its state and its switch */
        t->state = THREAD_RUNNING;
        woken = true;
        spin_unlock(&rq->lock);
    } else {
        t->state = THREAD_RUNNABLE;
        woken = true;
        sched_place_unlock(rq, t, false);
    }
out:
    irq_restore(flags);
    return woken;
}

static bool thread_wake_traced(struct thread *t)
{
    u64 cpu = READ_ONCE(t->cpu);
    bool woken = thread_wake(t);

    TRACE(sched_wake, t, cpu, woken);
    return woken;
}

void sched_activate(struct thread *t)
{
    u64 flags = irq_save();
    struct rq *rq = rq_lock_thread(t);

    ASSERT_HELD(&rq->lock);
    t->state = THREAD_RUNNABLE;
    sched_place_unlock(rq, t, false);
    irq_restore(flags);
}

void thread_work_set(struct thread *t, u32 bits)
{
    u64 flags;
    unsigned cpu;

    sched_work_or(t, bits);
    if (t == current_thread())
        return;
    if (READ_ONCE(t->state) == THREAD_SLEEPING) {
        if (thread_sleep_interrupted(t, t->sleep_kind))
            thread_wake(t);
        return;
    }
    flags = irq_save();
    cpu = READ_ONCE(t->cpu);
    if (READ_ONCE(rq_of(cpu)->curr) == t)
        sched_kick_cpu(cpu);
    irq_restore(flags);
}

bool thread_sleep_interrupted(const struct thread *t, enum sleep_kind kind)
{
    u32 work = READ_ONCE(t->work);

    if (kind == SLEEP_INTERRUPTIBLE)
        return work & (WORK_SIGNAL | WORK_KILL);
    return kind == SLEEP_KILLABLE && (work & WORK_KILL);
}

void sched_activate_new(struct thread *t)
{
    u64 flags = irq_save();
    struct rq *rq = rq_lock_thread(t);

    ASSERT_HELD(&rq->lock);
    if (unlikely(sched_group_frozen(t->group))) /* later it is told when it is frozen or moved */
        sched_work_or(t, WORK_THROTTLE);
    t->state = THREAD_RUNNABLE;
    sched_place_unlock(rq, t, true);
    irq_restore(flags);
}

/* On next's stack, rq->lock held by the switch. */
void sched_finish_switch(struct arch_thread *prev_arch)
    NO_THREAD_SAFETY /* the thread before took it */
{
    struct thread *prev = container_of(prev_arch, struct thread, arch);
    u8 state = prev->state;
    bool moves = prev->moves;

    ASSERT_HELD(&rq_this()->lock);
    spin_unlock(&rq_this()->lock);
    watch_begin();
    if (unlikely(state == THREAD_DEAD)) {
        thread_put(prev);
    } else if (unlikely(moves)) {
        prev->moves = false;
        sched_activate(prev);
    }
}

static void sched_idle_bit(struct rq *rq, struct thread *prev, struct thread *next, u64 now)
{
    if (next == rq->idle) {
        __atomic_fetch_or(&sched_idle_mask, 1UL << rq->cpu, __ATOMIC_SEQ_CST);
    } else if (prev == rq->idle) {
        __atomic_fetch_and(&sched_idle_mask, ~(1UL << rq->cpu), __ATOMIC_SEQ_CST);
        load_update(now);
    }
}

/* The thread that goes on may have been switched away by the function that is not traced, and the
 * other way round. */
static struct arch_thread *arch_switch_traced(struct arch_thread *prev, struct arch_thread *next,
                                              u64 stack_top)
{
    TRACE(sched_switch, container_of(prev, struct thread, arch),
          container_of(next, struct thread, arch), stack_top);
    return arch_switch(prev, next, stack_top);
}

/* rq->lock held, interrupts off; the lock is released on the other side. */
static void sched_switch(struct rq *rq, struct thread *prev, struct thread *next, u64 now)
    RELEASES(rq->lock) NO_THREAD_SAFETY /* the thread that goes on does it */
{
    struct arch_thread *last;

    ASSERT_HELD(&rq->lock);
    COUNT(context_switches);
    rq->curr = next;
    rq->slice_start = now;
    next->exec_start = now;
    next->state = THREAD_RUNNING;
    if (unlikely(prev == rq->idle || next == rq->idle))
        sched_idle_bit(rq, prev, next, now);
    this_cpu_write(percpu_current, next);
    this_cpu_write(percpu_work, &next->work);
    this_cpu_write(account_of_cpu, next->account);
    lockdep_switch(&next->lockdep);
    if (next->aspace)
        up_aspace_switch(prev->aspace, next->aspace);
    last = arch_switch(&prev->arch, &next->arch, (u64)thread_stack_top(next));
    sched_finish_switch(last);
}

/* rq->lock held: when must the timer look at the thread that now runs? */
static void sched_arm_slice(struct rq *rq, u64 now) REQUIRES(rq->lock)
{
    s64 left;

    ASSERT_HELD(&rq->lock);
    if (rq->curr == rq->idle)
        return;
    left = group_quota_left(rq->curr->se.parent);
    if (unlikely(left != S64_MAX)) {
        if (left <= 0)
            sched_work_or(rq->curr, WORK_THROTTLE);
        else
            timer_want(now + (u64)left);
    }
    if (rq->nr > 1)
        timer_want(now + rq_slice(rq));
    else if (rq->curr->task)
        timer_want(now + SCHED_SAMPLE);
}

/* It may not run here any more: off the queue, and placed anew after the switch. */
static bool sched_may_leave(const struct thread *t, const struct rq *rq)
{
    return t != rq->idle &&
           (t->allowed & (cpu_count() == MAX_CPUS ? U64_MAX : (1UL << cpu_count()) - 1));
}

void schedule(void)
{
    u64 flags, now;
    struct thread *prev, *next;
    struct rq *rq;
    bool sleeps, callbacks;

    might_sleep();
    flags = irq_save();
    rq = rq_this();
    prev = rq->curr;

    callbacks = rcu_quiescent();
    spin_lock(&rq->lock);
    now = time_ns();
    rq_account(rq, now);
    if (prev->work & WORK_RESCHED)
        thread_work_clear(prev, WORK_RESCHED);
    if (unlikely(prev->switch_work))
        sched_work_or(prev, prev->switch_work);
    sleeps = prev->state >= THREAD_SLEEPING;
    if (sleeps) {
        prev->nvcsw++;
    } else {
        prev->state = THREAD_RUNNABLE;
        if (unlikely(!(prev->allowed >> rq->cpu & 1))) {
            sleeps = sched_may_leave(prev, rq);
            prev->moves = sleeps;
        }
    }
    if (!sleeps && rq->nr == (prev != rq->idle))
        next = prev; /* no other: the trees stay as they are */
    else
        next = rq_switch_curr(rq, sleeps);
    if (unlikely(callbacks))
        sched_work_or(next, WORK_RESCHED);
    if (next == prev) {
        prev->state = THREAD_RUNNING;
        rq->slice_start = now;
        sched_arm_slice(rq, now);
        spin_unlock(&rq->lock);
        watch_yield();
    } else {
        if (!sleeps)
            prev->nivcsw++;
        rq->curr = next;
        sched_arm_slice(rq, now);
        watch_end();
        sched_switch(rq, prev, next, now);
    }
    irq_restore(flags);
}

void sched_yield_current(void)
{
    struct thread *t = current_thread();
    u64 flags = irq_save();
    struct rq *rq = rq_this();

    /* Behind those that wait: as if its slice were used up. */
    spin_lock(&rq->lock);
    if (rb_first(&t->se.parent->tree))
        t->se.vruntime += rq_slice(rq) * WEIGHT_NICE_0 / t->se.weight;
    spin_unlock(&rq->lock);
    irq_restore(flags);
    schedule();
}

void sched_preempt(u64 cpus)
{
    unsigned cpu;

    cpu_for_each (cpu) {
        u64 flags;

        if (!(cpus >> cpu & 1))
            continue;
        spin_lock_irqsave(&rq_of(cpu)->lock, &flags);
        sched_resched(rq_of(cpu));
        spin_unlock_irqrestore(&rq_of(cpu)->lock, flags);
    }
}

void cond_yield(void)
{
    struct thread *t = current_thread();

    might_sleep();
    if (likely(!(READ_ONCE(t->work) & WORK_RESCHED))) {
        (void)rcu_quiescent();
        watch_yield();
        return;
    }
    /* Between wait_begin and wait_commit: not asleep yet, and the loop around them tests again. */
    WRITE_ONCE(t->state, THREAD_RUNNING);
    schedule();
}

void sched_user_work(void)
{
    struct thread *t = current_thread();
    u32 work = READ_ONCE(t->work);

    if (work & WORK_THROTTLE)
        group_throttle(t);
    if (work & WORK_RESCHED)
        schedule();
}

void up_memory_short(void)
{
    struct thread *t = current_thread();

    if (t && t->task)
        sched_work_or(t, WORK_MEMORY);
}

/* From the timer interrupt. */
static void sched_tick(u64 now)
{
    struct rq *rq = rq_this();
    struct thread *t = rq->curr;

    spin_lock(&rq->lock);
    if (t != rq->idle) {
        rq_account(rq, now);
        if (thread_is_watched(t))
            sched_work_or(t, WORK_NOTIFY);
        if (rq->nr > 1 && now - rq->slice_start >= rq_slice(rq))
            sched_work_or(t, WORK_RESCHED);
        else if (rq->nr > 1)
            timer_want(rq->slice_start + rq_slice(rq));
        if (unlikely(rq->urgent_nr) && rq_urgent_wants(rq, now))
            sched_work_or(t, WORK_RESCHED);
        sched_arm_slice(rq, now);
    }
    spin_unlock(&rq->lock);
}

/* A waiting thread of the busiest CPU, taken off it. */
static struct thread *sched_steal(unsigned self)
{
    unsigned cpu, from = self;
    struct thread *t;
    struct rq *rq;
    u32 most = 1;

    cpu_for_each (cpu) {
        u32 nr = READ_ONCE(rq_of(cpu)->nr);

        if (cpu != self && nr > most) {
            most = nr;
            from = cpu;
        }
    }
    if (from == self)
        return NULL;
    rq = rq_of(from);
    spin_lock(&rq->lock);
    t = rq->nr > 1 ? rq_find_movable(rq, self) : NULL;
    if (t) {
        rq_dequeue(rq, t);
        sched_move(t, self);
    }
    spin_unlock(&rq->lock);
    return t;
}

/* Interrupts off, on the idle thread. */
static void sched_idle_pull(struct rq *rq)
{
    struct thread *t = sched_steal(rq->cpu);

    ASSERT_IRQS_OFF();
    if (!t)
        return;
    spin_lock(&rq->lock);
    if (unlikely(!(t->allowed >> rq->cpu & 1))) { /* since it is on its way */
        sched_place_unlock(rq, t, false);
        return;
    }
    rq_enqueue(rq, t, false);
    spin_unlock(&rq->lock);
}

static inline bool sched_idle_called(const struct rq *rq)
{
    return READ_ONCE(rq->nr) || (READ_ONCE(rq->idle->work) & WORK_RESCHED);
}

void sched_idle(void)
{
    struct rq *rq = rq_this();

    lockdep_switch(&rq->idle->lockdep); /* what ran in this thread before is not checked */
    for (;;) {
        irq_disable();
        if (!READ_ONCE(rq->nr) && cpu_count() > 1)
            sched_idle_pull(rq);
        if (sched_idle_called(rq)) {
            irq_enable();
            schedule();
            continue;
        }
        rcu_idle_enter();
        /* It ran callbacks, which wake; or our own report ended a grace period. */
        watch_end();
        if (!sched_idle_called(rq) && !rcu_pending())
            irq_enable_halt();
        irq_disable();
        watch_begin();
        rcu_idle_exit();
        irq_enable();
    }
}

void sched_init_cpu(unsigned cpu)
{
    static DEFINE_PER_CPU(struct thread, sched_idle_threads);
    struct thread *t = per_cpu_ptr(sched_idle_threads, cpu);
    struct rq *rq = rq_of(cpu);

    rq_init(rq, cpu, sched_group_root.cpu[cpu]);
    timer_init_cpu(cpu);
    t->state = THREAD_RUNNING;
    t->cpu = (u16)cpu;
    t->affinity = t->allowed = 1UL << cpu;
    t->group = &sched_group_root;
    t->se.weight = WEIGHT_NICE_0;
    t->exec_start = time_ns();
    refcount_init(&t->ref, 1);
    list_init(&t->all);
    rq->idle = rq->curr = t;
    this_cpu_write(percpu_current, t);
    this_cpu_write(percpu_work, &t->work);
    __atomic_fetch_or(&sched_idle_mask, 1UL << cpu, __ATOMIC_SEQ_CST);
}

void up_resched(void)
{
    struct rq *rq = rq_this();

    cpus_answer();
    /* The work word tells the rest on the way out; a second thread here needs a timer. */
    if (READ_ONCE(rq->nr) > 1 || unlikely(group_quotas_used()))
        sched_tick(time_ns());
}

/* From here to the next sample time is user time, or is not. */
static void sched_sample(u64 now, bool user)
{
    struct rq *rq = rq_this();

    spin_lock(&rq->lock);
    rq_account(rq, now);
    rq->curr->user_mode = user;
    spin_unlock(&rq->lock);
}

void up_timer(bool user)
{
    u64 now = time_ns();

    if (rq_this()->curr == rq_this()->idle)
        rcu_idle_exit(); /* callbacks may be readers; the idle loop goes on from there */
    else if (rq_this()->curr->task)
        sched_sample(now, user);
    timer_run(now);
    rcu_tick();
    sched_tick(now);
    load_update(now);
    timer_reprogram();
}

u64 sched_switches(void)
{
    return READ_ONCE(counter_context_switches);
}
