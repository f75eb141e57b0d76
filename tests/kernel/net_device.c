/* SPDX-License-Identifier: MIT
 *
 * The devices of namespaces that a test makes: in which order changes of their links are told, and
 * how they go.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/device.h"
#include "net/link/dummy.h"
#include "obj/cred.h"
#include "sched/thread.h"
#include "sched/timer.h"

enum { TURNS = 8 };
/* Devices in the order in which their changes were told, of those that a test makes. */
static struct {
    struct net_ns *many, *other;
    bool on;              /* a */
    struct netdev *first; /* a  who tells of it waits for `go` */
    struct completion begun, go;
    struct netdev *order[TURNS + 1]; /* the worker's */
    u32 nr;                          /* a */
} told;

static void told_hear(struct netdev *dev)
{
    u32 n = told.nr;

    if (!READ_ONCE(told.on) || (dev->ns != told.many && dev->ns != told.other) ||
        n == ARRAY_SIZE(told.order))
        return;
    told.order[n] = dev;
    store_release(&told.nr, n + 1);
    if (dev != told.first)
        return;
    told.first = NULL;
    completion_signal(&told.begun);
    completion_wait(&told.go);
}

/* a  A device that goes, and whether it is found by its name from then on. */
static struct {
    struct netdev *dev;
    struct net_ns *ns;
    char name[NETDEV_NAME];
    struct work work;
    bool found;
} ghost;

static void ghost_seek(struct work *w)
{
    struct netdev *dev;

    net_config_lock(ghost.ns);
    dev = net_device_by_name(ghost.ns, ghost.name);
    net_config_unlock(ghost.ns);
    ghost.found = dev;
    if (dev)
        netdev_put(dev);
}

static int device_hear(struct netdev *dev, enum net_device_event event)
{
    if (event == NET_DEVICE_CHANGED)
        told_hear(dev);
    if (event == NET_DEVICE_GONE && dev == READ_ONCE(ghost.dev))
        work_queue(workq_system, &ghost.work);
    return 0;
}
NET_DEVICE_HOOK(device_test) = {device_hear};

/* Borrowed: it goes with ns. NULL: it could not be made. */
static struct netdev *device_make(struct net_ns *ns, const char *name)
{
    struct netdev *dev = NULL;

    if (ns && !dummy_create(ns, name, NULL, 0))
        dev = net_device_by_name(ns, name);
    if (dev)
        netdev_put(dev);
    return dev;
}

static void carrier_turn(struct netdev *dev)
{
    netdev_set_carrier(dev, !(READ_ONCE(dev->flags) & NETDEV_CARRIER));
}

/* Many links that change in one namespace delay another's by one of them. */
SELFTEST(links_that_change_are_told_of_in_turns_of_their_namespaces)
{
    struct netdev *many[TURNS], *one;
    char name[] = "d0";

    memset(&told, 0, sizeof(told));
    told.many = net_ns_create(&user_ns_init);
    told.other = net_ns_create(&user_ns_init);
    CHECK((one = device_make(told.other, name)));
    for (u32 i = 0; i < TURNS; i++) {
        name[1] = (char)('0' + i);
        CHECK((many[i] = device_make(told.many, name)));
    }
    completion_init(&told.begun);
    completion_init(&told.go);
    told.first = many[0];
    WRITE_ONCE(told.on, true);
    carrier_turn(many[0]);
    completion_wait(&told.begun);
    for (u32 i = 1; i < TURNS; i++)
        carrier_turn(many[i]);
    carrier_turn(one);
    completion_signal(&told.go);
    while (load_acquire(&told.nr) < TURNS + 1)
        CHECK(!sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_KILLABLE));
    WRITE_ONCE(told.on, false);
    CHECK(told.order[0] == many[0] && told.order[2] == one);
    net_ns_put(told.many);
    net_ns_put(told.other);
}

/* Who is told that a device has gone finds neither it nor its name taken. */
SELFTEST(device_that_has_gone_leaves_its_name)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);
    struct netdev *dev = device_make(ns, "d0");

    CHECK(dev);
    memset(&ghost, 0, sizeof(ghost));
    work_init(&ghost.work, ghost_seek);
    ghost.ns = ns;
    strlcpy(ghost.name, "d0", NETDEV_NAME);
    WRITE_ONCE(ghost.dev, dev);
    CHECK(!net_device_delete(dev));
    WRITE_ONCE(ghost.dev, NULL);
    work_flush(workq_system, &ghost.work);
    CHECK(!ghost.found);
    net_ns_put(ns);
}
