/* SPDX-License-Identifier: MIT
 *
 * rcu_synchronize, which sleeps and so cannot live in sync: a callback goes to the end of every
 * CPU's queue, and the last of them to run ends the wait. Each call has its callbacks on its own
 * stack and holds no lock while it sleeps: a thread that seldom gets a processor (SCHED_IDLE among
 * many others) would keep all others from a grace period.
 */
#include "lib/log.h"
#include "mm/up.h"
#include "sched/mutex.h"
#include "sched/rq_priv.h"
#include "sync/rcu.h"

struct rcu_wait {
    struct rcu_head heads[MAX_CPUS]; /* each its CPU's */
    atomic_t left;
    struct completion done;
};

/* The call that the CPUs are asked for. Interrupts stay on: its holder may wait for us. */
static struct spinlock rcu_wait_lock = SPINLOCK_INIT(RANK_NONE, 0, "rcu_synchronize");
static struct rcu_wait *rcu_wait_asked; /* rcu_wait_lock */

/* On the CPU that queued it. */
static void rcu_wait_called(struct rcu_head *head)
{
    struct rcu_wait *w = container_of(head - cpu_id(), struct rcu_wait, heads[0]);

    if (atomic_dec(&w->left) == 0)
        completion_signal(&w->done);
}

static void rcu_wait_queue(void)
{
    struct rcu_wait *w = rcu_wait_asked;

    atomic_inc(&w->left);
    rcu_call_soon(&w->heads[cpu_id()], rcu_wait_called);
}

void rcu_synchronize(void)
{
    struct rcu_wait w;

    might_sleep();
    completion_init(&w.done);
    atomic_set(&w.left, 1); /* ours, until all have been queued */
    spin_lock(&rcu_wait_lock);
    rcu_wait_asked = &w;
    up_run_on_each_cpu(rcu_wait_queue);
    spin_unlock(&rcu_wait_lock);
    if (atomic_dec(&w.left))
        completion_wait(&w.done);
}
