/* SPDX-License-Identifier: MIT
 *
 * Work queues: small jobs for a thread, queued from any context. The system queue and the urgent
 * one have a worker per CPU each, made on first use. A job may sleep, but one that may sleep long
 * has a queue of its own. The urgent queue's workers are of the scheduler's urgent class
 * (sched/thread.h): a job there is short between two yields, and sleeps not at all.
 *
 * A job never runs twice at once in one queue: queued while it runs, it runs again behind itself,
 * on the same worker.
 */
#pragma once

#include "lib/list.h"

struct work {
    struct list_node node;
    void (*run)(struct work *w);
    struct worker *worker; /* whose list it was last on; changed by the one that has set pending */
    u8 pending;            /* a */
};
struct workq;
extern struct workq *workq_system, *workq_urgent;
/* A queue with one worker; NULL: no memory. name is copied. Context: may sleep. */
struct workq *workq_create(const char *name) __must_check;
/* Runs what is still queued, then ends the worker; NULL does nothing. No job is queued there or
 * waited for any more. Context: may sleep; not from a job of its own. */
void workq_destroy(struct workq *q);
void work_init(struct work *w, void (*run)(struct work *w));
/* False when it was queued already. irq-safe. */
bool work_queue(struct workq *q, struct work *w);
/* Waits until w neither runs nor is queued. Context: may sleep. */
void work_flush(struct workq *q, struct work *w);
