/* SPDX-License-Identifier: MIT
 *
 * Taps: there are as many as there may be, and together they run a bounded number of a filter's
 * instructions for one packet.
 */
#include "dev/packet.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/core/filter.h"
#include "net/core/tap.h"
#include "net/link/dummy.h"
#include "obj/cred.h"

#define FILTER 4000U

static u32 taps_served, taps_passed;

static void tap_take(struct net_tap *t, const struct packet *p, bool sent, u32 *budget)
{
    if (filter_pay(budget, TAP_STEP + FILTER))
        taps_served++;
    else
        taps_passed++;
}

/* n taps of that device, or all; how many were taken. */
static u32 taps_add(struct net_ns *ns, struct net_tap *taps, u32 n, u32 device)
{
    u32 added = 0;

    for (u32 i = 0; i < n; i++) {
        taps[i] = (struct net_tap){.ns = ns, .device = device, .packet = tap_take};
        if (!net_tap_add(&taps[i]))
            added++;
    }
    return added;
}

static void taps_remove(struct net_tap *taps, u32 n)
{
    for (u32 i = 0; i < n; i++)
        net_tap_remove(&taps[i]);
}

SELFTEST(net_taps_of_a_namespace_are_bounded)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);
    struct net_tap *taps = kzalloc((TAPS_SEE + 1) * sizeof(*taps));
    struct netdev *dev = NULL;
    struct packet *p = packet_alloc();

    CHECK(ns && taps && p);
    if (!ns || !taps || !p || dummy_create(ns, "d0", NULL, 0))
        return;
    dev = net_device_by_name(ns, "d0");
    CHECK(dev && dev->taps == 0);
    CHECK(taps_add(ns, taps, TAPS_SEE + 1, 0) == TAPS_SEE && dev->taps == TAPS_SEE);
    taps_remove(taps, TAPS_SEE);
    CHECK(taps_add(ns, taps, TAPS_SEE + 1, dev->index) == TAPS_SEE && dev->taps == TAPS_SEE);
    p->dev = dev;
    CHECK(packet_append(p, 60));
    taps_served = taps_passed = 0;
    net_tap_show(ns, p, false);
    CHECK(taps_served == FILTER_BUDGET / (FILTER + TAP_STEP));
    CHECK(taps_served + taps_passed == TAPS_SEE);
    taps_remove(taps, TAPS_SEE);
    CHECK(dev->taps == 0);
    packet_free(p);
    netdev_put(dev);
    kfree(taps);
    net_ns_put(ns);
}
