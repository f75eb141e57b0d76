/* SPDX-License-Identifier: MIT
 *
 * The sleeping half of RCU: declared in sync/rcu.h, here because it needs a completion.
 */
#include "sync/rcu.h"

#include "sched/mutex.h"

struct rcu_wait {
    struct rcu_head head;
    struct completion done;
};

static void rcu_wait_done(struct rcu_head *head)
{
    completion_signal(&container_of(head, struct rcu_wait, head)->done);
}

/* Callbacks of a CPU run in the order they were queued, so ours is the last of this CPU's. */
void rcu_synchronize(void)
{
    struct rcu_wait w;

    completion_init(&w.done);
    rcu_call(&w.head, rcu_wait_done);
    completion_wait(&w.done);
}
