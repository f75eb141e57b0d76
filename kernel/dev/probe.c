/* SPDX-License-Identifier: MIT
 *
 * Bringing devices and their drivers together. A device that some driver matches waits in a queue;
 * up to PROBE_THREADS threads take from it and end when it is empty. While some wait, one thread at
 * least is on its way to the queue, so that a probe that sleeps holds up no other.
 *
 * Lock order: a device's lock, then devices_lock, which guards the queue and the counts too.
 * Neither is held when a driver is looked for; the first is held while it is called.
 */
#include "dev/device_priv.h"
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/timer.h"
#include "sched/work.h"

#define PROBE_THREADS 8
#define PROBE_RETRY (NSEC_PER_SEC / 4)

TABLE_DECLARE(struct driver, drivers);

static LIST_HEAD(probe_queue);   /* devices_lock  through dev->probe_node; each a reference */
static unsigned probe_threads;   /* devices_lock */
static unsigned probe_busy;      /* devices_lock  of them, those inside a probe */
static unsigned probe_pending;   /* devices_lock  queued, or its probe runs */
static struct waitq probe_waitq; /* woken whenever a probe has ended */

static struct timer probe_retry_timer;
static struct work probe_retry_work;

static void probe_retry_fire(struct timer *t);
static void probe_retry(struct work *w);

static void probe_init(void)
{
    waitq_init(&probe_waitq);
    timer_init(&probe_retry_timer, probe_retry_fire);
    work_init(&probe_retry_work, probe_retry);
}
INIT_HOOK(probe_init, INIT_CORE);

static const struct device_id *probe_match(const struct device *dev, const struct driver *drv)
{
    for (unsigned i = 0; drv->bus == dev->bus && i < drv->nr_ids; i++)
        if (dev->bus->match(dev, &drv->ids[i]))
            return &drv->ids[i];
    return NULL;
}

/* Whether a driver matches, or (early) one that is to be probed at once. */
static bool probe_wanted(const struct device *dev, bool early)
{
    const struct driver *drv;

    TABLE_FOR_EACH(drv, drivers)
    if ((!early || drv->flags & DRIVER_EARLY) && probe_match(dev, drv))
        return true;
    return false;
}

bool device_is_wanted(const struct device *dev)
{
    return dev->bus && probe_wanted(dev, false);
}

static void probe_publish(struct device *dev, const struct driver *drv, int err)
{
    u64 flags;

    spin_lock_irqsave(&devices_lock, &flags);
    dev->driver = drv;
    dev->probe_error = err;
    if (dev->state != DEVICE_GONE)
        dev->state = drv ? DEVICE_BOUND : DEVICE_REGISTERED;
    spin_unlock_irqrestore(&devices_lock, flags);
}

/* dev->lock held. One driver's try. */
static int probe_try(struct device *dev, const struct driver *drv, const struct device_id *id)
    REQUIRES(dev->lock)
{
    int err = dev->bus->prepare ? dev->bus->prepare(dev) : 0;

    ASSERT_HELD(&dev->lock);
    if (err)
        return err;
    __atomic_store_n(&dev->gate.state, 0, __ATOMIC_SEQ_CST);
    err = drv->probe(dev, id);
    if (err) {
        device_gate_shut(dev);
        dev->driver_data = NULL;
        dev->dma_mask = ~0ULL;
        if (dev->bus->finish)
            dev->bus->finish(dev);
    }
    return err;
}

/* dev->lock held: asks each driver that matches until one takes it. */
static int probe_locked(struct device *dev) REQUIRES(dev->lock)
{
    const struct driver *drv;
    int err = -ENODEV;

    ASSERT_HELD(&dev->lock);
    TABLE_FOR_EACH(drv, drivers)
    {
        const struct device_id *id = probe_match(dev, drv);

        if (!id)
            continue;
        err = probe_try(dev, drv, id);
        if (!err) {
            probe_publish(dev, drv, 0);
            return 0;
        }
        if (err != -ENODEV) {
            log_warn("%s: driver %s: error %d", dev->name, drv->name, -err);
            break;
        }
    }
    probe_publish(dev, NULL, err);
    return err;
}

int device_bind(struct device *dev)
{
    int err = -ENODEV;

    mutex_lock(&dev->lock);
    if (READ_ONCE(dev->state) == DEVICE_REGISTERED)
        err = probe_locked(dev);
    else if (device_is_bound(dev))
        err = 0;
    mutex_unlock(&dev->lock);
    return err;
}

void probe_remove_driver(struct device *dev)
{
    ASSERT_HELD(&dev->lock);
    if (!dev->driver)
        return;
    ASSERT(dev->driver->remove);
    device_unregister_children(dev);
    device_gate_shut(dev);
    dev->driver->remove(dev);
    device_gate_close(dev);
    dev->driver_data = NULL;
    dev->dma_mask = ~0ULL;
    if (dev->bus->finish)
        dev->bus->finish(dev);
    probe_publish(dev, NULL, -ENODEV);
}

int device_unbind(struct device *dev)
{
    int err;

    mutex_lock(&dev->lock);
    err = !dev->driver ? -ENODEV : !dev->driver->remove ? -EBUSY : 0;
    if (!err)
        probe_remove_driver(dev);
    mutex_unlock(&dev->lock);
    return err;
}

/* ------------------------------------------------------------- the threads */

static void probe_thread(void *arg);

/* devices_lock held. True: a further thread is to be started, and is counted already. */
static bool probe_needs_thread_locked(void) REQUIRES(devices_lock)
{
    ASSERT_HELD(&devices_lock);
    if (list_empty(&probe_queue) || probe_threads > probe_busy || probe_threads == PROBE_THREADS)
        return false;
    probe_threads++;
    return true;
}

/* The next of the queue; NULL: there is none, and the thread is counted no more. */
static struct device *probe_take(bool *more)
{
    struct device *dev;
    u64 flags;

    spin_lock_irqsave(&devices_lock, &flags);
    dev = list_first(&probe_queue, struct device, probe_node);
    if (dev) {
        list_del(&dev->probe_node);
        dev->queued = false;
        probe_busy++;
    } else {
        probe_threads--;
    }
    *more = probe_needs_thread_locked();
    spin_unlock_irqrestore(&devices_lock, flags);
    return dev;
}

/* Who waits for the end of probing finds that the thread holds nothing any more. */
static void probe_done(struct device *dev)
{
    u64 flags;

    device_put(dev);
    spin_lock_irqsave(&devices_lock, &flags);
    probe_busy--;
    probe_pending--;
    spin_unlock_irqrestore(&devices_lock, flags);
    waitq_wake_all(&probe_waitq);
}

/* A thread that is counted already. */
static void probe_start_thread(void)
{
    struct thread *t = thread_create("probe", probe_thread, NULL);
    u64 flags;

    if (t) {
        thread_start(t);
        thread_put(t);
        return;
    }
    log_err("devices: no memory for a thread that probes");
    spin_lock_irqsave(&devices_lock, &flags);
    probe_threads--;
    spin_unlock_irqrestore(&devices_lock, flags);
    timer_start(&probe_retry_timer, time_ns() + PROBE_RETRY);
}

static void probe_retry_fire(struct timer *t)
{
    work_queue(workq_system, &probe_retry_work);
}

/* What is in the queue may wait for a thread that could not be made. */
static void probe_retry(struct work *w)
{
    bool start;
    u64 flags;

    spin_lock_irqsave(&devices_lock, &flags);
    start = probe_needs_thread_locked();
    spin_unlock_irqrestore(&devices_lock, flags);
    if (start)
        probe_start_thread();
}

static void probe_thread(void *arg)
{
    struct device *dev;
    bool more;

    while ((dev = probe_take(&more)) != NULL) {
        if (more)
            probe_start_thread();
        device_bind(dev); /* its error is in probe_error */
        probe_done(dev);
        cond_yield();
    }
}

static void probe_enqueue(struct device *dev)
{
    bool start = false;
    u64 flags;

    spin_lock_irqsave(&devices_lock, &flags);
    if (!dev->queued && dev->state != DEVICE_GONE) {
        device_get(dev);
        dev->queued = true;
        probe_pending++;
        list_add_tail(&probe_queue, &dev->probe_node);
        start = probe_needs_thread_locked();
    }
    spin_unlock_irqrestore(&devices_lock, flags);
    if (start)
        probe_start_thread();
}

void probe_new(struct device *dev)
{
    if (!dev->bus)
        return;
    if (probe_wanted(dev, true))
        device_bind(dev);
    else if (probe_wanted(dev, false))
        probe_enqueue(dev);
}

void probe_cancel_locked(struct device *dev)
{
    ASSERT_HELD(&devices_lock);
    if (!dev->queued)
        return;
    list_del(&dev->probe_node);
    dev->queued = false;
    probe_pending--;
    (void)refcount_put(&dev->ref); /* the queue's: never the last */
}

/* ------------------------------------------------------------- waiting */

int device_settle(u64 deadline)
{
    return wait_event_deadline(&probe_waitq, READ_ONCE(probe_pending) == 0, SLEEP_UNINTERRUPTIBLE,
                               deadline);
}

/* True: found bound (*out), or it will not come. */
static bool probe_decided(const struct bus *bus, const char *name, struct device **out)
{
    bool settled = READ_ONCE(probe_pending) == 0; /* before the look */
    struct device *dev = device_find(bus, name);

    if (dev && device_is_bound(dev)) {
        *out = dev;
        return true;
    }
    if (dev)
        device_put(dev);
    *out = NULL;
    return settled;
}

struct device *device_wait(const struct bus *bus, const char *name, u64 deadline)
{
    struct device *dev = NULL;
    int err = wait_event_deadline(&probe_waitq, probe_decided(bus, name, &dev),
                                  SLEEP_UNINTERRUPTIBLE, deadline);

    return err ? ERR_PTR(err) : dev ? dev : ERR_PTR(-ENODEV);
}
