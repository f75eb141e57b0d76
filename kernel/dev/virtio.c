/* SPDX-License-Identifier: MIT
 *
 * The virtio bus: what lies between drivers and transports. Matching, the steps of initialisation
 * (virtio 1.2, 3.1), consistent reads of the configuration space, memory and interrupts of queues,
 * events, and the ways a device stops.
 *
 * event_lock (sleeping; below a device's lock, above those of drivers) serialises events with each
 * other and with virtio_stop. An interrupt never takes it: it queues event_work.
 */
#include "dev/virtio.h"

#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/timer.h"
#include "uapi/virtio_mmio.h"

#define EVENT_LOCK_ORDER 33
#define RESET_READS 1000 /* looks at once; then one each millisecond */
#define RESET_NS NSEC_PER_SEC
#define CONFIG_TRIES 16
#define TABLES_MAX (1UL << 20) /* bytes of one queue's indirect tables */

enum { VIRTIO_EVENT_CONFIG = 1, VIRTIO_EVENT_BREAK = 2 };

struct virtio_irq {
    struct irq_handler handler;
    struct virtio_device *dev;
    struct virtio_queue *queues; /* by next */
    bool config;                 /* also tells of the configuration */
    bool requested;
};

/* ---- events ---- */

static void virtio_event(struct virtio_device *dev, u32 what)
{
    __atomic_fetch_or(&dev->pending, what, __ATOMIC_SEQ_CST);
    work_queue(workq_system, &dev->event_work);
}

void virtio_break(struct virtio_device *dev, const char *why)
{
    const char *none = NULL;

    if (!__atomic_compare_exchange_n(&dev->why, &none, why, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return;
    log_err("%s: given up: %s", dev->dev.name, why);
    virtio_event(dev, VIRTIO_EVENT_BREAK);
}

void virtio_look(struct virtio_device *dev)
{
    virtio_event(dev, VIRTIO_EVENT_CONFIG);
}

/* Why the device does not work any more, or NULL. One that has left its bus reads as ones. */
static const char *virtio_illness(struct virtio_device *dev)
{
    u8 status = dev->ops->status(dev);

    if (status == 0xff)
        return "it does not answer any more";
    return status & STATUS_NEEDS_RESET ? "it needs a reset" : NULL;
}

static void virtio_stop_locked(struct virtio_device *dev);

static void virtio_event_run(struct work *w)
{
    struct virtio_device *dev = container_of(w, struct virtio_device, event_work);
    u32 what = __atomic_exchange_n(&dev->pending, 0, __ATOMIC_SEQ_CST);
    const char *ill = NULL;

    mutex_lock(&dev->event_lock);
    if (dev->running && (what & VIRTIO_EVENT_CONFIG))
        ill = virtio_illness(dev);
    if (ill) {
        virtio_break(dev, ill);
        what |= VIRTIO_EVENT_BREAK;
    }
    if (dev->running && (what & VIRTIO_EVENT_BREAK)) {
        virtio_stop_locked(dev);
        if (dev->events && dev->events->broken)
            dev->events->broken(dev);
    } else if (dev->running && (what & VIRTIO_EVENT_CONFIG)) {
        if (dev->events && dev->events->config)
            dev->events->config(dev);
    }
    mutex_unlock(&dev->event_lock);
}

/* ---- interrupts ---- */

/* The used index is the device's word: before its driver is ready, and after the device was
 * stopped, it is not looked at. */
static void virtio_irq_thread(void *arg)
{
    struct virtio_irq *irq = arg;
    bool again;

    if (irq->config && !irq->dev->line)
        virtio_event(irq->dev, VIRTIO_EVENT_CONFIG);
    do {
        again = false;
        for (struct virtio_queue *vq = load_acquire(&irq->queues); vq; vq = vq->next) {
            if (!load_acquire(&irq->dev->running))
                return;
            if (__atomic_exchange_n(&vq->again, false, __ATOMIC_RELAXED) ||
                virtq_has_used(&vq->ring))
                vq->work(vq);
            again |= READ_ONCE(vq->again);
        }
        if (again)
            cond_yield();
    } while (again);
}

static bool virtio_irq_line(void *arg)
{
    struct virtio_irq *irq = arg;
    u32 why = irq->dev->ops->interrupt(irq->dev);

    if (why & VIRTIO_INT_CONFIG)
        virtio_event(irq->dev, VIRTIO_EVENT_CONFIG);
    return why;
}

void virtio_again(struct virtio_queue *vq)
{
    __atomic_store_n(&vq->again, true, __ATOMIC_RELAXED);
}

/* ---- the bus ---- */

static bool virtio_match(const struct device *dev, const struct device_id *id)
{
    const struct virtio_device *v = container_of(dev, struct virtio_device, dev);

    return (id->device == ID_ANY || id->device == v->id) &&
           (id->vendor == ID_ANY || id->vendor == v->vendor);
}

/* Begins a reset and waits for its end: 0, or -EIO. A device that has left its bus reads as ones:
 * it touches no memory either. */
static int virtio_reset(struct virtio_device *dev)
{
    u64 until = 0;

    dev->ops->set_status(dev, 0);
    for (unsigned i = 0;; i++) {
        u8 status = dev->ops->status(dev);

        if (status == 0 || status == 0xff)
            return 0;
        if (i < RESET_READS) {
            cpu_relax();
            continue;
        }
        if (!until)
            until = time_ns() + RESET_NS;
        if (time_ns() > until)
            return -EIO;
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    }
}

static int virtio_prepare(struct device *d)
{
    struct virtio_device *dev = virtio_device_of(d);

    if (virtio_reset(dev)) {
        log_err("%s: no reset", d->name);
        return -EIO;
    }
    dev->why = NULL;
    dev->pending = 0;
    dev->features = 0;
    dev->stuck = false;
    dev->ops->set_status(dev, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    return 0;
}

static void virtio_finish(struct device *d)
{
    struct virtio_device *dev = virtio_device_of(d);

    virtio_stop(dev);
    work_flush(workq_system, &dev->event_work);
    virtio_queues_destroy(dev);
    dev->events = NULL;
}

static ssize_t virtio_modalias(const struct device *d, char *buf, size_t size)
{
    const struct virtio_device *dev = container_of(d, struct virtio_device, dev);

    return scnprintf(buf, size, "virtio:d%08Xv%08X", dev->id, dev->vendor);
}

static ssize_t virtio_show_device(struct device *d, char *buf, size_t size)
{
    return scnprintf(buf, size, "0x%04x\n", virtio_device_of(d)->id);
}

static ssize_t virtio_show_vendor(struct device *d, char *buf, size_t size)
{
    return scnprintf(buf, size, "0x%04x\n", virtio_device_of(d)->vendor);
}

static ssize_t virtio_show_features(struct device *d, char *buf, size_t size)
{
    u64 features = virtio_device_of(d)->features;
    char text[66];

    for (unsigned i = 0; i < 64; i++)
        text[i] = features >> i & 1 ? '1' : '0';
    text[64] = '\n';
    text[65] = '\0';
    return scnprintf(buf, size, "%s", text);
}

static ssize_t virtio_show_status(struct device *d, char *buf, size_t size)
{
    struct virtio_device *dev = virtio_device_of(d);

    return scnprintf(buf, size, "0x%08x\n", dev->ops->status(dev));
}

static const struct device_attr virtio_attrs[] = {
    {.name = "device", .mode = 0444, .show = virtio_show_device},
    {.name = "vendor", .mode = 0444, .show = virtio_show_vendor},
    {.name = "features", .mode = 0444, .show = virtio_show_features},
    {.name = "status", .mode = 0444, .show = virtio_show_status},
};

const struct bus virtio_bus = {
    .name = "virtio",
    .match = virtio_match,
    .prepare = virtio_prepare,
    .finish = virtio_finish,
    .modalias = virtio_modalias,
    .attrs = virtio_attrs,
    .nr_attrs = ARRAY_SIZE(virtio_attrs),
};
BUS(virtio) = {&virtio_bus};

void virtio_device_init(struct virtio_device *dev, const struct virtio_transport_ops *ops,
                        struct device *parent, void (*release)(struct device *dev))
{
    memset(dev, 0, sizeof(*dev));
    device_init(&dev->dev, &virtio_bus, parent, release);
    dev->ops = ops;
    mutex_init(&dev->event_lock, RANK_DRIVER, EVENT_LOCK_ORDER, "virtio events");
    work_init(&dev->event_work, virtio_event_run);
}

int virtio_device_register(struct virtio_device *dev)
{
    static u32 number;

    scnprintf(dev->dev.name, sizeof(dev->dev.name), "virtio%u",
              __atomic_fetch_add(&number, 1, __ATOMIC_RELAXED));
    return device_register(&dev->dev);
}

/* ---- features and configuration ---- */

int virtio_negotiate(struct virtio_device *dev, const struct virtio_events *events, u64 wanted,
                     u64 needed)
{
    u8 status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;

    wanted |= needed | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |
              VIRTIO_F_ACCESS_PLATFORM;
    needed |= VIRTIO_F_VERSION_1;
    dev->events = events;
    dev->offered = dev->ops->features(dev);
    dev->features = dev->offered & wanted;
    if ((dev->offered & needed) != needed) {
        log_warn("%s: of the features %lx it lacks %lx", dev->dev.name, needed,
                 needed & ~dev->offered);
        dev->ops->set_status(dev, status | STATUS_FAILED);
        return -ENODEV;
    }
    dev->ops->set_features(dev, dev->features);
    dev->ops->set_status(dev, status | STATUS_FEATURES_OK);
    if (dev->ops->status(dev) & STATUS_FEATURES_OK)
        return 0;
    log_warn("%s: it refuses the features %lx", dev->dev.name, dev->features);
    dev->ops->set_status(dev, status | STATUS_FAILED);
    return -EIO;
}

static void virtio_config_read_once(struct virtio_device *dev, u32 offset, u8 *out, u32 n)
{
    while (n > 0) {
        u32 width = !(offset & 3) && n >= 4 ? 4 : !(offset & 1) && n >= 2 ? 2 : 1, v = 0;

        if (width <= dev->config_size && offset <= dev->config_size - width)
            v = dev->ops->config_read(dev, offset, width);
        memcpy(out, &v, width);
        out += width;
        offset += width;
        n -= width;
    }
}

void virtio_config_read(struct virtio_device *dev, u32 offset, void *buf, u32 n)
{
    u32 before, after;
    unsigned tries = 0;

    /* One access sees no half of a change. */
    if (n == 1 || (n <= 4 && !(n & (n - 1)) && !(offset & (n - 1)))) {
        virtio_config_read_once(dev, offset, buf, n);
        return;
    }
    after = dev->ops->config_generation(dev);
    /* The generation moves with the contents (2.5.1). A device that moves it all the time gets the
     * last look believed, whose values are checked like any others. */
    do {
        before = after;
        virtio_config_read_once(dev, offset, buf, n);
        after = dev->ops->config_generation(dev);
    } while (before != after && ++tries < CONFIG_TRIES);
}

/* ---- queues ---- */

static void virtio_queue_free(struct virtio_queue *vq)
{
    struct device *dma = virtio_dma(vq->dev);
    u32 num = vq->ring.num;

    if (vq->tables)
        dma_free_coherent(dma, vq->tables, virtq_tables_size(num, vq->ring.table_len),
                          vq->tables_addr);
    if (vq->memory)
        dma_free_coherent(dma, vq->memory, virtq_layout(num).size, vq->memory_addr);
    kfree(vq->ring.slots);
    kfree(vq);
}

static int virtio_queue_tables(struct virtio_queue *vq, u32 pieces)
{
    size_t size;

    if (pieces < 2 || !virtio_has(vq->dev, VIRTIO_F_INDIRECT_DESC))
        return 0;
    pieces = MIN(pieces, (u32)(TABLES_MAX / virtq_tables_size(vq->ring.num, 1)));
    if (pieces < 2)
        return 0;
    size = virtq_tables_size(vq->ring.num, pieces);
    vq->tables = dma_alloc_coherent(virtio_dma(vq->dev), size, &vq->tables_addr);
    if (!vq->tables)
        return -ENOMEM;
    virtq_set_tables(&vq->ring, vq->tables, vq->tables_addr.v, pieces);
    return 0;
}

static int virtio_queue_make(struct virtio_device *dev, const struct virtio_queue_config *config,
                             struct virtio_queue **out)
{
    u32 max = dev->ops->queue_max(dev, config->index), num = 1;
    struct virtio_queue *vq;
    void *shadow;
    int err;

    if (max == 0)
        return -ENOENT;
    while (num * 2 <= MIN(MIN(max, config->size), (u32)VIRTQ_NUM_MAX))
        num *= 2;
    vq = kzalloc(sizeof(*vq));
    shadow = kzalloc(virtq_shadow_size(num));
    if (!vq || !shadow) {
        kfree(vq);
        kfree(shadow);
        return -ENOMEM;
    }
    vq->dev = dev;
    vq->index = config->index;
    vq->work = config->work;
    vq->driver = config->driver;
    vq->ring.num = num;
    vq->ring.slots = shadow;
    vq->memory = dma_alloc_coherent(virtio_dma(dev), virtq_layout(num).size, &vq->memory_addr);
    err = vq->memory ? 0 : -ENOMEM;
    if (!err) {
        virtq_init(&vq->ring, num, virtio_has(dev, VIRTIO_F_EVENT_IDX), vq->memory, shadow);
        err = virtio_queue_tables(vq, config->pieces);
    }
    if (err) {
        virtio_queue_free(vq);
        return err;
    }
    *out = vq;
    return 0;
}

/* Which of the n interrupts the work-th queue with a work has. The first is the configuration's
 * alone when there are others. */
static unsigned virtio_irq_of(unsigned work, unsigned n)
{
    return n == 1 ? 0 : 1 + work % (n - 1);
}

static int virtio_irq_start(struct virtio_device *dev, unsigned i, const char *name, unsigned cpu)
{
    struct virtio_irq *irq = &dev->irqs[i];
    int err;

    irq->dev = dev;
    irq->config = i == 0;
    irq->handler = (struct irq_handler){.fn = dev->line ? virtio_irq_line : NULL,
                                        .thread_fn = virtio_irq_thread,
                                        .arg = irq,
                                        .name = name};
    err = dev->ops->irq_request(dev, i, &irq->handler, cpu);
    irq->requested = !err;
    return err;
}

/* Interrupts for the queues that have a work: which one each has is known by virtio_irq_of. */
static int virtio_irqs_make(struct virtio_device *dev, const struct virtio_queue_config *configs,
                            unsigned n)
{
    unsigned works = 0;
    int got, err = 0;

    for (unsigned i = 0; i < n; i++)
        works += configs[i].work != NULL;
    got = dev->ops->irq_setup(dev, works + 1);
    if (got < 0)
        return got;
    dev->irqs = kcalloc((size_t)got, sizeof(*dev->irqs));
    if (!dev->irqs) {
        dev->ops->irq_teardown(dev);
        return -ENOMEM;
    }
    dev->nr_irqs = (unsigned)got;
    err = virtio_irq_start(dev, 0, dev->dev.name, 0);
    works = 0;
    for (unsigned i = 0; i < n && !err; i++) {
        unsigned irq;

        if (!configs[i].work)
            continue;
        irq = virtio_irq_of(works++, dev->nr_irqs);
        if (!dev->irqs[irq].requested)
            err = virtio_irq_start(dev, irq, configs[i].name, configs[i].cpu);
    }
    return err ? err : dev->ops->config_irq(dev, 0);
}

/* Its interrupt may come already, and then finds the queue or not. */
static void virtio_queue_join(struct virtio_queue *vq, unsigned irq)
{
    vq->vector = (u16)irq;
    vq->irq = &vq->dev->irqs[irq];
    vq->next = vq->irq->queues;
    store_release(&vq->irq->queues, vq);
}

static int virtio_queue_enable(struct virtio_queue *vq)
{
    struct virtq_layout l = virtq_layout(vq->ring.num);

    return vq->dev->ops->queue_enable(vq, vq->memory_addr, dma_add(vq->memory_addr, l.avail),
                                      dma_add(vq->memory_addr, l.used));
}

int virtio_queues_create(struct virtio_device *dev, const struct virtio_queue_config *configs,
                         unsigned n, struct virtio_queue **out)
{
    unsigned works = 0;
    int err;

    ASSERT(!dev->queues && n > 0);
    dev->queues = kcalloc(n, sizeof(*dev->queues));
    if (!dev->queues)
        return -ENOMEM;
    err = virtio_irqs_make(dev, configs, n);
    for (unsigned i = 0; i < n && !err; i++) {
        err = virtio_queue_make(dev, &configs[i], &dev->queues[i]);
        if (err)
            break;
        dev->nr_queues++;
        if (configs[i].work)
            virtio_queue_join(dev->queues[i], virtio_irq_of(works++, dev->nr_irqs));
        err = virtio_queue_enable(dev->queues[i]);
    }
    if (err) {
        virtio_stop(dev);
        virtio_queues_destroy(dev);
        return err;
    }
    memcpy(out, dev->queues, n * sizeof(*out));
    return 0;
}

void virtio_kick(struct virtio_queue *vq)
{
    if (virtq_publish(&vq->ring))
        vq->dev->ops->notify(vq);
}

/* ---- start and stop ---- */

void virtio_start(struct virtio_device *dev)
{
    mutex_lock(&dev->event_lock);
    store_release(&dev->running, true);
    mutex_unlock(&dev->event_lock);
    dev->ops->set_status(dev, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK |
                                  STATUS_DRIVER_OK);
}

static void virtio_stop_locked(struct virtio_device *dev) REQUIRES(dev->event_lock)
{
    ASSERT_HELD(&dev->event_lock);
    store_release(&dev->running, false);
    if (virtio_reset(dev)) {
        log_err("%s: no reset; the memory of its queues stays with it", dev->dev.name);
        dev->stuck = true;
        if (dev->ops->cut)
            dev->ops->cut(dev);
    }
    if (!dev->irqs)
        return;
    for (unsigned i = 0; i < dev->nr_irqs; i++)
        if (dev->irqs[i].requested)
            dev->ops->irq_release(dev, i, &dev->irqs[i].handler);
    dev->ops->irq_teardown(dev);
    for (unsigned i = 0; i < dev->nr_queues; i++)
        dev->queues[i]->irq = NULL;
    kfree(dev->irqs);
    dev->irqs = NULL;
    dev->nr_irqs = 0;
}

void virtio_stop(struct virtio_device *dev)
{
    mutex_lock(&dev->event_lock);
    if (dev->running || dev->irqs)
        virtio_stop_locked(dev);
    mutex_unlock(&dev->event_lock);
}

void virtio_queues_destroy(struct virtio_device *dev)
{
    for (unsigned i = 0; i < dev->nr_queues; i++)
        if (!dev->stuck)
            virtio_queue_free(dev->queues[i]);
    kfree(dev->queues);
    dev->queues = NULL;
    dev->nr_queues = 0;
}
