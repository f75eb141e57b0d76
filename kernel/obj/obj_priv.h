/* SPDX-License-Identifier: MIT
 *
 * What the files of obj share with each other.
 */
#pragma once

#include "lib/types.h"
#include "sched/wait.h"

struct file;

/* The last reference of f is gone and epolls watch it: they forget it. Context: may sleep. */
void epoll_file_gone(struct file *f);

/* A queue whose wakers may hold another queue's lock: the rank checker knows no order among them.
 */
static inline void obj_waitq_init_nested(struct waitq *q)
{
    waitq_init(q);
    spinlock_init(&q->lock, RANK_NONE, 0, "waitq (nested)");
}

/* Wakes only if there are waiters. The caller changed what they wait for under a lock or a full
 * barrier, which pairs with the waiter's queueing itself before it looks. */
static inline void obj_wake(struct waitq *q, u32 events, unsigned n)
{
    waitq_wake_inline(q, events, n);
}
