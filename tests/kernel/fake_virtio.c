/* SPDX-License-Identifier: MIT */
#include "tests/kernel/fake_virtio.h"

#include "lib/errno.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sched/timer.h"

#define SETTLE (60 * NSEC_PER_SEC)

struct fake_driver fake_driver;

static struct fake *fake_of(struct virtio_device *vdev)
{
    return container_of(vdev, struct fake, vdev);
}

static u8 fake_status(struct virtio_device *vdev)
{
    __atomic_fetch_add(&fake_of(vdev)->asked, 1, __ATOMIC_SEQ_CST);
    return fake_of(vdev)->status;
}

static void fake_set_status(struct virtio_device *vdev, u8 status)
{
    struct fake *f = fake_of(vdev);

    if (f->nr_history < ARRAY_SIZE(f->history))
        f->history[f->nr_history++] = status;
    if (f->refuses)
        status &= (u8)~STATUS_FEATURES_OK;
    f->status = status;
    if (status == 0)
        memset(f->queues, 0, sizeof(f->queues));
}

static u64 fake_features(struct virtio_device *vdev)
{
    return fake_of(vdev)->features;
}

static void fake_set_features(struct virtio_device *vdev, u64 features)
{
    fake_of(vdev)->accepted = features;
}

static u32 fake_config_read(struct virtio_device *vdev, u32 offset, u32 n)
{
    struct fake *f = fake_of(vdev);
    u32 v = 0;

    memcpy(&v, f->config + offset, n);
    if (f->change_at && f->change_at == offset) {
        f->change_at = 0;
        memset(f->config, 0x55, 16);
        f->generation++;
    }
    return v;
}

static u32 fake_generation(struct virtio_device *vdev)
{
    return fake_of(vdev)->generation;
}

static u32 fake_queue_max(struct virtio_device *vdev, u32 index)
{
    return index < QUEUES ? fake_of(vdev)->queue_max : 0;
}

static int fake_queue_enable(struct virtio_queue *vq, dma_addr_t desc, dma_addr_t avail,
                             dma_addr_t used)
{
    struct fake *f = fake_of(vq->dev);

    f->queues[vq->index] = vq;
    f->seen[vq->index] = 0;
    if (f->hasty) {
        fake_return(f, vq->index, 0, 16);
        fake_interrupt(f, 1);
    }
    return 0;
}

static void fake_notify(struct virtio_queue *vq)
{
    fake_of(vq->dev)->notified++;
}

static int fake_irq_setup(struct virtio_device *vdev, unsigned wanted)
{
    return (int)MIN(wanted, fake_of(vdev)->vectors);
}

static int fake_irq_request(struct virtio_device *vdev, unsigned index, struct irq_handler *handler,
                            unsigned cpu)
{
    fake_of(vdev)->handlers[index] = handler;
    return 0;
}

static int fake_config_irq(struct virtio_device *vdev, unsigned index)
{
    return 0;
}

static void fake_irq_release(struct virtio_device *vdev, unsigned index,
                             struct irq_handler *handler)
{
    fake_of(vdev)->handlers[index] = NULL;
}

static void fake_irq_teardown(struct virtio_device *vdev)
{
}

static const struct virtio_transport_ops fake_ops = {
    .status = fake_status,
    .set_status = fake_set_status,
    .features = fake_features,
    .set_features = fake_set_features,
    .config_read = fake_config_read,
    .config_generation = fake_generation,
    .queue_max = fake_queue_max,
    .queue_enable = fake_queue_enable,
    .notify = fake_notify,
    .irq_setup = fake_irq_setup,
    .irq_request = fake_irq_request,
    .config_irq = fake_config_irq,
    .irq_release = fake_irq_release,
    .irq_teardown = fake_irq_teardown,
};

/* ---- the device's side of a queue ---- */

void fake_interrupt(struct fake *f, unsigned index)
{
    if (f->handlers[index])
        f->handlers[index]->thread_fn(f->handlers[index]->arg);
}

u16 fake_waiting(struct fake *f, u32 queue)
{
    struct virtq *q = &f->queues[queue]->ring;

    return (u16)(load_acquire((u16 *)&q->avail[1]) - f->seen[queue]);
}

u16 fake_next(struct fake *f, u32 queue)
{
    struct virtq *q = &f->queues[queue]->ring;

    return q->avail[2 + f->seen[queue]++ % q->num];
}

u32 fake_pieces(struct fake *f, u32 queue, u16 head, struct virtq_desc *out, u32 max)
{
    struct virtq_desc *table = f->queues[queue]->ring.desc, *d = &table[head];
    u32 n = 0;

    if (d->flags & 4) {
        table = hpa_virt(HPA(d->addr));
        d = table;
    }
    for (; n < max; d = &table[d->next]) {
        out[n++] = *d;
        if (!(d->flags & 1))
            break;
    }
    return n;
}

void fake_return(struct fake *f, u32 queue, u32 id, u32 len)
{
    struct virtq *q = &f->queues[queue]->ring;
    u16 at = q->used[1];
    volatile u32 *element = (volatile u32 *)&q->used[2 + 4 * (at % q->num)];

    element[0] = id;
    element[1] = len;
    store_release((u16 *)&q->used[1], (u16)(at + 1));
}

/* ---- the driver ---- */

static void probe_work(struct virtio_queue *vq)
{
    u32 written;
    void *token;

    fake_driver.calls++;
    if (fake_driver.endless) {
        if (fake_driver.calls == 3)
            store_release(&vq->dev->running, false);
        if (fake_driver.calls < 6)
            virtio_again(vq);
        return;
    }
    for (u32 i = 0; i < QUEUES; i++)
        fake_driver.works[i] += fake_driver.queues[i] == vq;
    do {
        while ((token = virtq_take(&vq->ring, &written))) {
            fake_driver.taken++;
            fake_driver.last = token;
        }
    } while (!virtq_arm(&vq->ring, 1));
    if (vq->ring.broken)
        virtio_break(vq->dev, vq->ring.why);
}

static void probe_config(struct virtio_device *vdev)
{
    __atomic_fetch_add(&fake_driver.configs, 1, __ATOMIC_SEQ_CST);
}

static void probe_broken(struct virtio_device *vdev)
{
    fake_driver.status_when_broken = vdev->ops->status(vdev);
    __atomic_fetch_add(&fake_driver.broken, 1, __ATOMIC_SEQ_CST);
}

static const struct virtio_events probe_events = {.config = probe_config, .broken = probe_broken};

static int fake_probe(struct device *dev, const struct device_id *id)
{
    struct virtio_device *vdev = virtio_device_of(dev);
    struct virtio_queue_config configs[QUEUES];
    int err = virtio_negotiate(vdev, &probe_events, fake_driver.wanted, fake_driver.needed);

    for (u32 i = 0; i < fake_driver.nr_queues; i++)
        configs[i] = (struct virtio_queue_config){.name = "fake",
                                                  .index = i,
                                                  .size = 100,
                                                  .pieces = fake_driver.tables,
                                                  .work = probe_work};
    if (!err)
        err = virtio_queues_create(vdev, configs, fake_driver.nr_queues, fake_driver.queues);
    if (!err)
        virtio_start(vdev);
    fake_driver.probe_error = err;
    return err;
}

static void fake_remove(struct device *dev)
{
    struct virtio_device *vdev = virtio_device_of(dev);

    virtio_stop(vdev);
    for (u32 i = 0; i < fake_driver.nr_queues; i++)
        while (virtq_detach(&fake_driver.queues[i]->ring))
            fake_driver.taken++;
    virtio_queues_destroy(vdev);
}

static const struct device_id fake_ids[] = {VIRTIO_ID(FAKE_ID)};
DRIVER(fake_virtio)
= {.name = "fake_virtio",
   .bus = &virtio_bus,
   DRIVER_IDS(fake_ids),
   .probe = fake_probe,
   .remove = fake_remove};

/* ---- making ---- */

static void fake_release(struct device *dev)
{
    kfree(fake_of(virtio_device_of(dev)));
}

static void fake_parent_release(struct device *dev)
{
}

struct fake *fake_make(u32 id)
{
    struct fake *f = kzalloc(sizeof(*f));

    if (!f)
        return NULL;
    fake_driver = (struct fake_driver){.fake = f, .nr_queues = 1};
    device_init(&f->parent, NULL, NULL, fake_parent_release);
    strlcpy(f->parent.name, "fake-parent", sizeof(f->parent.name));
    virtio_device_init(&f->vdev, &fake_ops, &f->parent, fake_release);
    f->vdev.id = id;
    f->vdev.config_size = CONFIG_SIZE;
    f->features = VIRTIO_F_VERSION_1;
    f->vectors = QUEUES + 1;
    f->queue_max = 64;
    device_get(&f->vdev.dev); /* until fake_end */
    return f;
}

bool fake_start(struct fake *f)
{
    return device_register(&f->parent) == 0 && virtio_device_register(&f->vdev) == 0 &&
           device_settle(time_ns() + SETTLE) == 0;
}

/* The parent lies in the child's struct, whose last reference is ours. */
void fake_end(struct fake *f)
{
    device_unregister(&f->parent);
    device_put(&f->vdev.dev);
}

bool fake_wait(u32 *what, u32 n)
{
    for (u32 i = 0; i < 60000 && __atomic_load_n(what, __ATOMIC_SEQ_CST) < n; i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    return __atomic_load_n(what, __ATOMIC_SEQ_CST) >= n;
}
