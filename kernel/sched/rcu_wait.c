/* SPDX-License-Identifier: MIT
 *
 * rcu_synchronize, which sleeps and so cannot live in sync: a callback goes to the end of every
 * CPU's queue, and the last of them to run ends the wait.
 */
#include "lib/log.h"
#include "mm/up.h"
#include "sched/mutex.h"
#include "sched/rq_priv.h"
#include "sync/rcu.h"

static struct mutex rcu_wait_lock; /* one at a time: zero is an unlocked mutex, but for its queue */
static struct rcu_head rcu_wait_heads[MAX_CPUS]; /* rcu_wait_lock */
static atomic_t rcu_wait_left;
static struct completion rcu_wait_done;

static void rcu_wait_called(struct rcu_head *head)
{
    if (atomic_dec(&rcu_wait_left) == 0)
        completion_signal(&rcu_wait_done);
}

static void rcu_wait_queue(void)
{
    atomic_inc(&rcu_wait_left);
    rcu_call(&rcu_wait_heads[cpu_id()], rcu_wait_called);
}

void rcu_synchronize(void)
{
    mutex_lock(&rcu_wait_lock);
    completion_init(&rcu_wait_done);
    atomic_set(&rcu_wait_left, 1); /* ours, until all have been queued */
    up_run_on_each_cpu(rcu_wait_queue);
    if (atomic_dec(&rcu_wait_left))
        completion_wait(&rcu_wait_done);
    mutex_unlock(&rcu_wait_lock);
}

static void rcu_wait_init(void)
{
    mutex_init(&rcu_wait_lock, RANK_SCHED, 0, "rcu_synchronize");
}
INIT_HOOK(rcu_wait_init, INIT_SCHED);
