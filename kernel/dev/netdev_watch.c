/* SPDX-License-Identifier: MIT
 *
 * The watch over what a network device sends. netdev_watch.h has the rules.
 */
#include "dev/netdev_watch.h"
#include "lib/list.h"
#include "lib/log.h"

#define SOON (20 * NSEC_PER_MSEC)

static void netdev_watch_fire(struct timer *t)
{
    struct netdev_watch *w = container_of(t, struct netdev_watch, timer);

    (void)work_queue(workq_system, &w->work);
}

static void netdev_watch_run(struct work *work)
{
    struct netdev_watch *w = container_of(work, struct netdev_watch, work);

    w->look(w);
}

void netdev_watch_init(struct netdev_watch *w, u64 ns, void (*look)(struct netdev_watch *w))
{
    timer_init(&w->timer, netdev_watch_fire);
    work_init(&w->work, netdev_watch_run);
    w->ns = ns;
    w->look = look;
}

void netdev_watch_begin(struct netdev_watch *w)
{
    u64 ns = FAILPOINT_APART(netdev_watch_soon) ? MIN(w->ns, SOON) : w->ns;

    timer_start_within(&w->timer, time_ns() + ns, ns / 4);
}

void netdev_watch_stop(struct netdev_watch *w)
{
    timer_cancel(&w->timer);
    work_flush(workq_system, &w->work);
}
