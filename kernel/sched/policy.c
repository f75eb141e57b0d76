/* SPDX-License-Identifier: MIT
 *
 * Changing a thread's group, CPUs and weight while it runs, waits or sleeps.
 */
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "lib/errno.h"
#include "sched/rq_priv.h"

#define POLICY_NORMAL 0
#define POLICY_BATCH 3
#define POLICY_IDLE 5
#define WEIGHT_IDLE 3

/* rq->lock held; t is in no tree and not counted. */
static void policy_change_group(struct thread *t, struct sched_group *g)
{
    struct group_rq *to = g->cpu[t->cpu];

    t->se.vruntime += to->min_vruntime - t->se.parent->min_vruntime;
    t->se.parent = to;
    t->group = g;
}

void thread_set_group(struct thread *t, struct sched_group *g)
{
    u64 flags = irq_save();
    struct rq *rq = rq_lock_thread(t);
    struct sched_group *old = t->group;

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
    group_put(old);
}

int thread_set_affinity(struct thread *t, u64 mask)
{
    u64 online = cpu_count() == MAX_CPUS ? U64_MAX : (1UL << cpu_count()) - 1, flags;
    struct rq *rq;
    bool waits, here;

    if (!(mask & online))
        return -EINVAL;
    flags = irq_save();
    rq = rq_lock_thread(t);
    t->affinity = mask;
    here = mask >> rq->cpu & 1;
    waits = !here && t->se.queued && rq->curr != t;
    if (waits)
        rq_dequeue(rq, t);
    spin_unlock(&rq->lock);
    if (waits)
        sched_activate(t, false);
    else if (!here && rq->curr == t)
        thread_work_set(t, WORK_RESCHED);
    irq_restore(flags);
    if (!here && t == current_thread())
        schedule();
    return 0;
}

static void policy_set_weight(struct thread *t)
{
    t->se.weight = t->policy == POLICY_IDLE ? WEIGHT_IDLE : group_weight_of_nice(t->nice);
}

void thread_set_nice(struct thread *t, int nice)
{
    u64 flags = irq_save();
    struct rq *rq = rq_lock_thread(t);

    if (rq->curr == t)
        rq_account(rq, time_ns());
    t->nice = (s8)MAX(MIN(nice, 19), -20);
    policy_set_weight(t);
    spin_unlock(&rq->lock);
    irq_restore(flags);
}

int thread_set_policy(struct thread *t, int policy)
{
    u64 flags;
    struct rq *rq;

    if (policy != POLICY_NORMAL && policy != POLICY_BATCH && policy != POLICY_IDLE)
        return -EINVAL;
    flags = irq_save();
    rq = rq_lock_thread(t);
    t->policy = (u8)policy;
    policy_set_weight(t);
    spin_unlock(&rq->lock);
    irq_restore(flags);
    return 0;
}
