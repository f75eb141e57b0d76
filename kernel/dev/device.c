/* SPDX-License-Identifier: MIT
 *
 * The registry: one list of all devices, in the order of their registration, and the look-ups over
 * it. A machine has some dozens, hundreds at most: the list is walked.
 *
 * Bringing devices and drivers together is probe.c.
 */
#include "dev/device_priv.h"
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

struct spinlock devices_lock = SPINLOCK_INIT(RANK_DEV, 12, "devices");
static LIST_HEAD(devices_all);  /* l */
static u64 devices_last_serial; /* l */

TABLE_DECLARE(struct bus_entry, buses);
TABLE_DECLARE(struct driver, drivers);

void device_init(struct device *dev, const struct bus *bus, struct device *parent,
                 void (*release)(struct device *dev))
{
    memset(dev, 0, sizeof(*dev));
    dev->bus = bus;
    dev->parent = parent;
    dev->release = release;
    dev->dma_mask = ~0ULL;
    dev->depth = parent ? (u8)(parent->depth + 1) : 0;
    dev->probe_error = -ENODEV;
    refcount_init(&dev->ref, 1);
    mutex_init(&dev->lock, RANK_OPS, ORDER_DEVICE - dev->depth, "device");
    waitq_init(&dev->gate.waitq);
    dev->gate.state = GATE_CLOSED;
    list_init(&dev->all);
    list_init(&dev->probe_node);
    if (parent)
        device_get(parent);
}

void device_put(struct device *dev)
{
    struct device *parent = dev->parent;

    if (!refcount_put(&dev->ref))
        return;
    dev->release(dev);
    if (parent)
        device_put(parent);
}

static struct device *device_find_locked(const struct bus *bus, const char *name)
    REQUIRES(devices_lock)
{
    struct device *dev;

    ASSERT_HELD(&devices_lock);
    list_for_each (dev, &devices_all, all)
        if (dev->bus == bus && strcmp(dev->name, name) == 0)
            return dev;
    return NULL;
}

static int device_add_locked(struct device *dev) REQUIRES(devices_lock)
{
    ASSERT_HELD(&devices_lock);
    if (dev->parent && dev->parent->state == DEVICE_GONE)
        return -ENODEV;
    if (dev->bus && device_find_locked(dev->bus, dev->name))
        return -EEXIST;
    dev->serial = ++devices_last_serial;
    dev->state = DEVICE_REGISTERED;
    list_add_tail(&devices_all, &dev->all);
    return 0;
}

int device_register(struct device *dev)
{
    u64 flags;
    int err;

    ASSERT(dev->state == DEVICE_NEW && dev->name[0]);
    if (dev->depth > DEVICE_DEPTH_MAX)
        return -ELOOP;
    spin_lock_irqsave(&devices_lock, &flags);
    err = device_add_locked(dev);
    spin_unlock_irqrestore(&devices_lock, flags);
    if (!err)
        probe_new(dev);
    return err;
}

/* A child of dev, as a reference; the newest, so that what depends on others goes before them. */
static struct device *device_child(struct device *parent)
{
    struct device *dev, *found = NULL;
    u64 flags;

    spin_lock_irqsave(&devices_lock, &flags);
    list_for_each (dev, &devices_all, all)
        if (dev->parent == parent)
            found = dev;
    if (found)
        device_get(found);
    spin_unlock_irqrestore(&devices_lock, flags);
    return found;
}

void device_unregister_children(struct device *dev)
{
    struct device *child;

    while ((child = device_child(dev)) != NULL) {
        device_unregister(child);
        device_put(child);
    }
}

void device_unregister(struct device *dev)
{
    u64 flags;
    bool mine;

    spin_lock_irqsave(&devices_lock, &flags);
    mine = dev->state == DEVICE_REGISTERED || dev->state == DEVICE_BOUND;
    if (mine)
        dev->state = DEVICE_GONE; /* no probe begins, and no child comes, from here on */
    probe_cancel_locked(dev);
    spin_unlock_irqrestore(&devices_lock, flags);
    if (!mine)
        return;
    mutex_lock(&dev->lock);          /* a probe that runs has ended now */
    device_unregister_children(dev); /* those without a driver have some too: bridges */
    probe_remove_driver(dev);
    mutex_unlock(&dev->lock);
    spin_lock_irqsave(&devices_lock, &flags);
    list_del(&dev->all);
    spin_unlock_irqrestore(&devices_lock, flags);
    device_put(dev);
}

/* ------------------------------------------------------------- look-ups */

struct device *device_find(const struct bus *bus, const char *name)
{
    struct device *dev;
    u64 flags;

    spin_lock_irqsave(&devices_lock, &flags);
    dev = device_find_locked(bus, name);
    if (dev)
        device_get(dev);
    spin_unlock_irqrestore(&devices_lock, flags);
    return dev;
}

struct device *device_next(u64 serial)
{
    struct device *dev, *found = NULL;
    u64 flags;

    spin_lock_irqsave(&devices_lock, &flags);
    list_for_each (dev, &devices_all, all)
        if (dev->serial > serial && dev->state != DEVICE_GONE) {
            found = dev;
            break;
        }
    if (found)
        device_get(found);
    spin_unlock_irqrestore(&devices_lock, flags);
    return found;
}

const struct driver *device_driver(struct device *dev)
{
    const struct driver *drv;
    u64 flags;

    spin_lock_irqsave(&devices_lock, &flags);
    drv = dev->driver;
    spin_unlock_irqrestore(&devices_lock, flags);
    return drv;
}

bool device_is_bound(struct device *dev)
{
    return READ_ONCE(dev->state) == DEVICE_BOUND;
}

const struct resource *device_resource(const struct device *dev, u32 flags, unsigned index)
{
    for (unsigned i = 0; i < dev->nr_resources; i++) {
        const struct resource *res = &dev->resources[i];

        if (res->size && (res->flags & flags) == flags && index-- == 0)
            return res;
    }
    return NULL;
}

const struct bus *bus_at(unsigned index)
{
    /* Compared as a number: an address that far behind the table would wrap. */
    size_t count = (size_t)(__table_buses_end - __table_buses);

    return index < count ? __table_buses[index].bus : NULL;
}

const struct driver *driver_at(const struct bus *bus, unsigned index)
{
    const struct driver *drv;

    TABLE_FOR_EACH(drv, drivers)
    if (drv->bus == bus && index-- == 0)
        return drv;
    return NULL;
}

/* ------------------------------------------------------------- the gate */

bool device_enter(struct device *dev)
{
    u32 old = __atomic_load_n(&dev->gate.state, __ATOMIC_RELAXED);

    do {
        if (old & GATE_CLOSED)
            return false;
    } while (!__atomic_compare_exchange_n(&dev->gate.state, &old, old + 1, true, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    return true;
}

void device_leave(struct device *dev)
{
    if (__atomic_sub_fetch(&dev->gate.state, 1, __ATOMIC_SEQ_CST) == GATE_CLOSED)
        waitq_wake_all(&dev->gate.waitq);
}

void device_gate_shut(struct device *dev)
{
    __atomic_fetch_or(&dev->gate.state, GATE_CLOSED, __ATOMIC_SEQ_CST);
}

void device_gate_close(struct device *dev)
{
    wait_event(&dev->gate.waitq,
               __atomic_load_n(&dev->gate.state, __ATOMIC_SEQ_CST) == GATE_CLOSED);
}

/* ------------------------------------------------------------- the console's view */

static int cmd_devices(int argc, char **argv, void (*emit)(const char *fmt, ...))
{
    struct device *dev, *next;

    for (dev = device_next(0); dev; dev = next) {
        const struct driver *drv = device_driver(dev);

        emit("%*s%-24s %-9s %s\n", 2 * dev->depth, "", dev->name, dev->bus ? dev->bus->name : "",
             drv ? drv->name : "");
        next = device_next(dev->serial);
        device_put(dev);
    }
    return 0;
}
CONSOLE_CMD(devices)
= {"devices", "all devices, their buses and drivers", cmd_devices, false};
