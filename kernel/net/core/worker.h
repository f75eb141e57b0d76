/* SPDX-License-Identifier: MIT
 *
 * Net workers: a thread on each CPU, made on first use, in the scheduler's urgent class (before the
 * fair threads for a bounded budget, then among them: sched/thread.h), for what neither a sender
 * nor a device's interrupt thread does itself: protocols' timers, packets of lo and of software
 * devices beyond a sender's own share, packets that were queued while their path was too deep. A
 * job runs without locks, never twice at once, and gives the CPU away (cond_yield) at least every
 * NETDEV_BUDGET packets.
 */
#pragma once

#include "sched/work.h"

/* Queues w at this CPU's worker; false when it was queued already. irq-safe. */
bool net_worker_queue(struct work *w);
/* Waits until w neither runs nor is queued. May sleep; not from a job. */
void net_worker_flush(struct work *w);
