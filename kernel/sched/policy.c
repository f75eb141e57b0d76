/* SPDX-License-Identifier: MIT
 *
 * Changing a thread's group, CPUs and weight while it runs, waits or sleeps.
 */
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "lib/errno.h"
#include "sched/rq_priv.h"

#define WEIGHT_IDLE 3

/* rq->lock held; t is in no tree and not counted. */
static void policy_change_group(struct thread *t, struct sched_group *g)
{
    struct group_rq *to = g->cpu[t->cpu];

    ASSERT_HELD(&rq_of(t->cpu)->lock);
    t->se.vruntime += to->min_vruntime - t->se.parent->min_vruntime;
    t->se.parent = to;
    t->group = g;
}

void thread_set_group(struct thread *t, struct sched_group *g)
{
    u64 flags = irq_save();
    struct rq *rq = rq_lock_thread(t);
    struct sched_group *old = t->group;

    ASSERT_HELD(&rq->lock);
    if (old == g) {
        spin_unlock(&rq->lock);
        irq_restore(flags);
        return;
    }
    group_get(g);
    if (rq->curr == t) {
        rq_account(rq, time_ns());
        rq_put_curr(rq, true);
        policy_change_group(t, g);
        rq_adopt_curr(rq, t);
    } else if (t->se.queued) {
        rq_dequeue(rq, t);
        policy_change_group(t, g);
        rq_enqueue(rq, t, false);
    } else {
        policy_change_group(t, g);
    }
    spin_unlock(&rq->lock);
    irq_restore(flags);
    if (READ_ONCE(old->frozen))
        waitq_wake_all(&old->throttled); /* it may wait there: it looks again */
    if (READ_ONCE(g->frozen))
        thread_work_set(t, WORK_THROTTLE);
    group_put(old);
    thread_apply_cpus(t);
}

/* Where t may run of what it asked for; all of its group's where it asked for none of them. */
static u64 policy_allowed(const struct thread *t, u64 affinity)
{
    u64 online = cpu_count() == MAX_CPUS ? U64_MAX : (1UL << cpu_count()) - 1;
    u64 cpus = READ_ONCE(t->group->cpus);

    return affinity & cpus & online ? affinity & cpus : cpus & online ? cpus : U64_MAX;
}

/* t's affinity becomes *mask (NULL: it stays), and it leaves where it may not run. -EINVAL: none of
 * *mask can be had. */
static int policy_set_affinity(struct thread *t, const u64 *mask)
{
    u64 online = cpu_count() == MAX_CPUS ? U64_MAX : (1UL << cpu_count()) - 1;
    u64 flags = irq_save();
    struct rq *rq = rq_lock_thread(t);
    bool here, runs = rq->curr == t, waits;

    ASSERT_HELD(&rq->lock);
    if (mask && !(*mask & online & READ_ONCE(t->group->cpus))) {
        spin_unlock(&rq->lock);
        irq_restore(flags);
        return -EINVAL;
    }
    if (mask)
        t->affinity = *mask;
    t->allowed = policy_allowed(t, t->affinity);
    here = t->allowed >> rq->cpu & 1;
    waits = !here && t->se.queued && !runs;
    if (waits)
        rq_dequeue(rq, t);
    spin_unlock(&rq->lock);
    if (waits)
        sched_activate(t);
    else if (!here && runs)
        thread_work_set(t, WORK_RESCHED);
    irq_restore(flags);
    return 0;
}

int thread_set_affinity(struct thread *t, u64 mask)
{
    int err = policy_set_affinity(t, &mask);

    if (!err && t == current_thread() && !(t->allowed >> cpu_id() & 1))
        schedule();
    return err;
}

void thread_apply_cpus(struct thread *t)
{
    (void)policy_set_affinity(t, NULL);
}

u32 policy_weight(const struct thread *t)
{
    return t->policy == SCHED_IDLE ? WEIGHT_IDLE : group_weight_of_nice(t->nice);
}

void thread_set_nice(struct thread *t, int nice)
{
    u64 flags = irq_save();
    struct rq *rq = rq_lock_thread(t);

    ASSERT_HELD(&rq->lock);
    if (rq->curr == t)
        rq_account(rq, time_ns());
    t->nice = (s8)MAX(MIN(nice, 19), -20);
    t->se.weight = policy_weight(t);
    spin_unlock(&rq->lock);
    irq_restore(flags);
}

int thread_set_policy(struct thread *t, int policy)
{
    u64 flags;
    struct rq *rq;

    if (policy != SCHED_NORMAL && policy != SCHED_BATCH && policy != SCHED_IDLE)
        return -EINVAL;
    flags = irq_save();
    rq = rq_lock_thread(t);
    ASSERT_HELD(&rq->lock);
    if (rq->curr == t)
        rq_account(rq, time_ns());
    t->policy = (u8)policy;
    t->se.weight = policy_weight(t);
    spin_unlock(&rq->lock);
    irq_restore(flags);
    return 0;
}

void thread_set_urgent(struct thread *t, unsigned cpu)
{
    list_init(&t->urgent_node);
    t->urgent = URGENT_READY;
    t->policy = SCHED_URGENT;
    t->affinity = t->allowed = 1UL << cpu;
}
