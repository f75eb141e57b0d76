/* SPDX-License-Identifier: MIT
 *
 * Net workers: the urgent work queue's.
 */
#include "net/core/worker.h"

bool net_worker_queue(struct work *w)
{
    return work_queue(workq_urgent, w);
}

void net_worker_flush(struct work *w)
{
    work_flush(workq_urgent, w);
}
