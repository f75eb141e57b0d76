/* SPDX-License-Identifier: MIT
 *
 * A watch over what a network device sends. While frames are under way its driver's `look` is
 * called every `ns`: it finds out whether the device still sends, or takes back what was sent where
 * no interrupt tells; an idle device has no timer.
 *
 * Rules. netdev_watch_sent is called under one lock of the driver's (a spinlock; look's worker
 * takes it, too) whenever frames are under way; look calls it as well, as long as there still are
 * some. `ns`, the time to the next look, may be changed under that lock.
 *
 * Fail points of the drivers, for tests: netdev_deaf (the device is not told what there is to
 * send), netdev_gone (it does not come back from its reset), netdev_watch_soon (its time is up at
 * once).
 */
#pragma once

#include "sched/timer.h"
#include "sched/work.h"

#define NETDEV_STUCK_NS (5 * NSEC_PER_SEC) /* a device that has sent nothing for so long */

struct netdev_watch {
    struct timer timer;
    struct work work;
    u64 ns;
    /* Context: a worker; may sleep. */
    void (*look)(struct netdev_watch *w);
};

void netdev_watch_init(struct netdev_watch *w, u64 ns, void (*look)(struct netdev_watch *w));
/* Starts the timer, or sets it to `ns` from now: for netdev_watch_sent, or where `ns` is less. */
void netdev_watch_begin(struct netdev_watch *w);
static inline void netdev_watch_sent(struct netdev_watch *w)
{
    if (!timer_is_armed(&w->timer))
        netdev_watch_begin(w);
}
/* look does not run any more, and netdev_watch_sent is not called. Context: may sleep; not under a
 * lock that look takes. */
void netdev_watch_stop(struct netdev_watch *w);
