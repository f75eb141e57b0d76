/* SPDX-License-Identifier: MIT
 *
 * Quiescent-state RCU. Kernel code is not preempted, so a reader is any stretch of kernel code that
 * does not block, yield or leave for user or guest mode; each CPU that has passed such a point
 * since a grace period began has no reader left from before it. User mode, guest mode and idle are
 * quiescent.
 *
 * The read-side markers cost nothing; debug builds check that nothing sleeps between them.
 */
#pragma once

#include "lib/types.h"

struct rcu_head {
    struct rcu_head *next;
    void (*func)(struct rcu_head *head);
};

#ifdef DEBUG
void rcu_read_lock(void);
void rcu_read_unlock(void);
bool rcu_read_held(void);
#else
static inline void rcu_read_lock(void)
{
    barrier();
}
static inline void rcu_read_unlock(void)
{
    barrier();
}
#endif

#define rcu_dereference(p) READ_ONCE(p) /* x86 orders dependent loads */
#define rcu_assign(p, v) store_release(&(p), v)

/* Calls func(head) after a grace period, from a context that may not sleep. irq-safe. A busy CPU
 * may gather callbacks until its next timer tick; _soon: it is waited for, with all before it. */
void rcu_call(struct rcu_head *head, void (*func)(struct rcu_head *head));
void rcu_call_soon(struct rcu_head *head, void (*func)(struct rcu_head *head));
/* Waits for a grace period and for all callbacks that this CPU queued before it. May sleep (sched).
 */
void rcu_synchronize(void);

/* For sched: this CPU switches context, idles, or goes to or comes from user or guest mode. */
bool rcu_quiescent(void);  /* true: callbacks are left for the next time, to be soon */
void rcu_tick(void);       /* from the timer interrupt */
void rcu_idle_enter(void); /* until rcu_idle_exit this CPU is quiescent all the time */
void rcu_idle_exit(void);
/* Callbacks are waiting on this CPU: it should not sleep without a timer. */
bool rcu_pending(void);
