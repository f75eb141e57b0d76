/* SPDX-License-Identifier: MIT
 *
 * A watch over a network device that may stop sending. While frames are under way its driver's
 * `look` is called every NETDEV_WATCH_NS, and finds out whether one has been sent since; an idle
 * device has no timer.
 *
 * Rules. netdev_watch_sent is called under one lock of the driver's (a spinlock; look's worker
 * takes it, too) whenever frames are under way. look returns whether there still are some.
 */
#pragma once

#include "sched/timer.h"
#include "sched/work.h"

#define NETDEV_WATCH_NS (5 * NSEC_PER_SEC)

struct netdev_watch {
    struct timer timer;
    struct work work;
    /* Context: a worker; may sleep. */
    void (*look)(struct netdev_watch *w);
};

void netdev_watch_init(struct netdev_watch *w, void (*look)(struct netdev_watch *w));
static inline void netdev_watch_sent(struct netdev_watch *w)
{
    if (!timer_is_armed(&w->timer))
        timer_start_within(&w->timer, time_ns() + NETDEV_WATCH_NS, NSEC_PER_SEC);
}
/* look does not run any more, and netdev_watch_sent is not called. Context: may sleep; not under a
 * lock that look takes. */
void netdev_watch_stop(struct netdev_watch *w);
