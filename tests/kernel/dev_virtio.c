/* SPDX-License-Identifier: MIT
 *
 * The virtio bus over a device that stands here: a transport of memory words, whose queues the test
 * serves by hand, well or badly. Its first kind has a driver here, its second is a disk for the
 * real driver.
 */
#include "dev/block.h"
#include "dev/virtio.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sched/timer.h"
#include "uapi/virtio_mmio.h"

#define FAKE_ID 0x7ffe
#define QUEUES 4
#define CONFIG_SIZE 64
#define DISK_SECTORS 31337 * 8UL /* no other disk has as many */
#define SETTLE (10 * NSEC_PER_SEC)

struct fake {
    struct virtio_device vdev;
    struct device parent;
    u64 features, accepted;
    u8 status, history[16];
    u32 nr_history;
    bool refuses; /* the features */
    bool hasty;   /* says that it used a buffer as soon as it has a queue */
    u8 config[CONFIG_SIZE];
    u32 generation;
    u32 change_at; /* a read of that offset changes the word behind it; 0: none */
    u32 vectors;
    struct irq_handler *handlers[QUEUES + 1];
    u32 queue_max;
    struct virtio_queue *queues[QUEUES];
    u16 seen[QUEUES];
    u32 notified;
};

/* What the driver here was told. */
static struct {
    struct fake *fake;
    u64 wanted, needed;
    u32 nr_queues, tables;
    struct virtio_queue *queues[QUEUES];
    int probe_error;
    u32 works[QUEUES], configs, broken, status_when_broken;
    u32 calls;    /* of a queue's work */
    bool endless; /* it always has more to do; the device is being stopped from the third call on */
    u32 taken;
    void *last;
} driver;

static struct fake *fake_of(struct virtio_device *vdev)
{
    return container_of(vdev, struct fake, vdev);
}

static u8 fake_status(struct virtio_device *vdev)
{
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

static void fake_interrupt(struct fake *f, unsigned index);
static void fake_return(struct fake *f, u32 queue, u32 id, u32 len);

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

static void fake_interrupt(struct fake *f, unsigned index)
{
    if (f->handlers[index])
        f->handlers[index]->thread_fn(f->handlers[index]->arg);
}

/* Entries of the queue that the device has not seen yet. */
static u16 fake_waiting(struct fake *f, u32 queue)
{
    struct virtq *q = &f->queues[queue]->ring;

    return (u16)(load_acquire((u16 *)&q->avail[1]) - f->seen[queue]);
}

static u16 fake_next(struct fake *f, u32 queue)
{
    struct virtq *q = &f->queues[queue]->ring;

    return q->avail[2 + f->seen[queue]++ % q->num];
}

/* The pieces of a request; how many. */
static u32 fake_pieces(struct fake *f, u32 queue, u16 head, struct virtq_desc *out, u32 max)
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

static void fake_return(struct fake *f, u32 queue, u32 id, u32 len)
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

    driver.calls++;
    if (driver.endless) {
        if (driver.calls == 3)
            store_release(&vq->dev->running, false);
        if (driver.calls < 6)
            virtio_again(vq);
        return;
    }
    for (u32 i = 0; i < QUEUES; i++)
        driver.works[i] += driver.queues[i] == vq;
    do {
        while ((token = virtq_take(&vq->ring, &written))) {
            driver.taken++;
            driver.last = token;
        }
    } while (!virtq_arm(&vq->ring, 1));
    if (vq->ring.broken)
        virtio_break(vq->dev, vq->ring.why);
}

static void probe_config(struct virtio_device *vdev)
{
    __atomic_fetch_add(&driver.configs, 1, __ATOMIC_SEQ_CST);
}

static void probe_broken(struct virtio_device *vdev)
{
    driver.status_when_broken = vdev->ops->status(vdev);
    __atomic_fetch_add(&driver.broken, 1, __ATOMIC_SEQ_CST);
}

static const struct virtio_events probe_events = {.config = probe_config, .broken = probe_broken};

static int fake_probe(struct device *dev, const struct device_id *id)
{
    struct virtio_device *vdev = virtio_device_of(dev);
    struct virtio_queue_config configs[QUEUES];
    int err = virtio_negotiate(vdev, &probe_events, driver.wanted, driver.needed);

    for (u32 i = 0; i < driver.nr_queues; i++)
        configs[i] = (struct virtio_queue_config){
            .name = "fake", .index = i, .size = 100, .pieces = driver.tables, .work = probe_work};
    if (!err)
        err = virtio_queues_create(vdev, configs, driver.nr_queues, driver.queues);
    if (!err)
        virtio_start(vdev);
    driver.probe_error = err;
    return err;
}

static void fake_remove(struct device *dev)
{
    struct virtio_device *vdev = virtio_device_of(dev);

    virtio_stop(vdev);
    for (u32 i = 0; i < driver.nr_queues; i++)
        while (virtq_detach(&driver.queues[i]->ring))
            driver.taken++;
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

static struct fake *fake_make(u32 id)
{
    struct fake *f = kzalloc(sizeof(*f));

    if (!f)
        return NULL;
    driver = (__typeof__(driver)){.fake = f, .nr_queues = 1};
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

/* Registered and probed. */
static bool fake_start(struct fake *f)
{
    return device_register(&f->parent) == 0 && virtio_device_register(&f->vdev) == 0 &&
           device_settle(time_ns() + SETTLE) == 0;
}

/* The parent lies in the child's struct, whose last reference is ours. */
static void fake_end(struct fake *f)
{
    device_unregister(&f->parent);
    device_put(&f->vdev.dev);
}

static bool wait_until(u32 *what, u32 n)
{
    for (u32 i = 0; i < 10000 && __atomic_load_n(what, __ATOMIC_SEQ_CST) < n; i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    return __atomic_load_n(what, __ATOMIC_SEQ_CST) >= n;
}

/* Each test's body returns what was wrong, or NULL; the frame around it frees all. */
#define FAKE_TEST(name, id)                                   \
    static const char *fake_test_##name(struct fake *f);      \
    SELFTEST(name)                                            \
    {                                                         \
        struct fake *f = fake_make(id);                       \
        const char *wrong = f ? fake_test_##name(f) : "made"; \
                                                              \
        if (f)                                                \
            fake_end(f);                                      \
        if (wrong)                                            \
            selftest_fail(__FILE__, __LINE__, wrong);         \
    }                                                         \
    static const char *fake_test_##name(struct fake *f)
#define EXPECT(cond)      \
    do {                  \
        if (!(cond))      \
            return #cond; \
    } while (0)

FAKE_TEST(virtio_device_is_brought_up_in_the_steps_of_the_standard, FAKE_ID)
{
    static const u8 steps[] = {0, 3, 3 | 8, 3 | 8 | 4};

    driver.wanted = 1 << 3;
    f->features |= 1 << 3 | 1 << 4 | VIRTIO_F_EVENT_IDX;
    EXPECT(fake_start(f) && driver.probe_error == 0);
    EXPECT(f->accepted == (VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | 1 << 3));
    EXPECT(f->nr_history == 4 && memcmp(f->history, steps, 4) == 0);
    EXPECT(driver.queues[0]->ring.num == 64 && driver.queues[0]->ring.event_idx);
    return NULL;
}

FAKE_TEST(virtio_legacy_device_is_refused, FAKE_ID)
{
    f->features = 1;
    EXPECT(fake_start(f) && driver.probe_error == -ENODEV && (f->status & STATUS_FAILED));
    return NULL;
}

FAKE_TEST(virtio_device_that_refuses_the_features_is_refused, FAKE_ID)
{
    f->refuses = true;
    EXPECT(fake_start(f) && driver.probe_error == -EIO && !(f->status & STATUS_DRIVER_OK));
    return NULL;
}

FAKE_TEST(virtio_queue_that_is_not_there_is_refused, FAKE_ID)
{
    f->queue_max = 0;
    EXPECT(fake_start(f) && driver.probe_error == -ENOENT);
    return NULL;
}

FAKE_TEST(virtio_configuration_is_read_as_it_was_at_one_time, FAKE_ID)
{
    u8 bytes[16];

    EXPECT(fake_start(f) && driver.probe_error == 0);
    memset(f->config, 0x11, sizeof(f->config));
    f->change_at = 4;
    virtio_config_read(&f->vdev, 0, bytes, sizeof(bytes));
    for (u32 i = 0; i < sizeof(bytes); i++)
        EXPECT(bytes[i] == 0x55);
    /* What lies behind its end is zero. */
    virtio_config_read(&f->vdev, CONFIG_SIZE - 3, bytes, 8);
    EXPECT(bytes[2] == 0x11 && bytes[3] == 0 && bytes[7] == 0);
    virtio_config_read(&f->vdev, 100 * CONFIG_SIZE, bytes, 8);
    EXPECT(bytes[0] == 0 && bytes[7] == 0);
    return NULL;
}

FAKE_TEST(virtio_requests_go_through_tables_and_come_back, FAKE_ID)
{
    struct virtq_piece pieces[5] = {{1000, 1}, {2000, 2}, {3000, 3}, {4000, 4}, {5000, 5}};
    struct virtq_desc seen[8];
    char tokens[3];
    u16 heads[3];

    driver.tables = 6;
    f->features |= VIRTIO_F_INDIRECT_DESC;
    EXPECT(fake_start(f) && driver.probe_error == 0);
    for (u32 i = 0; i < 3; i++)
        EXPECT(virtq_add(&driver.queues[0]->ring, pieces, 3, 2, &tokens[i]) == 0);
    EXPECT(f->notified == 0);
    virtio_kick(driver.queues[0]);
    EXPECT(f->notified == 1 && fake_waiting(f, 0) == 3);
    for (u32 i = 0; i < 3; i++)
        heads[i] = fake_next(f, 0);
    EXPECT(fake_pieces(f, 0, heads[1], seen, 8) == 5);
    for (u32 i = 0; i < 5; i++)
        EXPECT(seen[i].addr == pieces[i].addr && seen[i].len == pieces[i].len &&
               !!(seen[i].flags & 2) == (i >= 3));
    fake_return(f, 0, heads[1], 9);
    fake_interrupt(f, 1);
    EXPECT(driver.taken == 1 && driver.last == &tokens[1] && driver.works[0] == 1);
    fake_interrupt(f, 1);
    EXPECT(driver.works[0] == 1); /* nothing came */
    return NULL;
}

FAKE_TEST(virtio_device_that_is_hasty_is_not_heard_before_the_start, FAKE_ID)
{
    f->hasty = true;
    EXPECT(fake_start(f) && driver.probe_error == 0 && driver.calls == 0);
    fake_interrupt(f, 1); /* now it is, and has used what it never got */
    EXPECT(driver.calls == 1 && wait_until(&driver.broken, 1));
    return NULL;
}

FAKE_TEST(virtio_device_that_goes_on_for_ever_can_be_stopped, FAKE_ID)
{
    EXPECT(fake_start(f) && driver.probe_error == 0);
    driver.endless = true;
    virtio_again(driver.queues[0]);
    fake_interrupt(f, 1);
    EXPECT(driver.calls == 3);
    return NULL;
}

FAKE_TEST(virtio_queues_share_interrupts_where_there_are_few, FAKE_ID)
{
    struct virtq_piece piece = {1000, 16};
    char token;

    driver.nr_queues = 3;
    f->vectors = 2;
    EXPECT(fake_start(f) && driver.probe_error == 0);
    EXPECT(f->handlers[0] && f->handlers[1] && !f->handlers[2]);
    EXPECT(virtq_add(&driver.queues[2]->ring, &piece, 0, 1, &token) == 0);
    virtio_kick(driver.queues[2]);
    fake_return(f, 2, fake_next(f, 2), 16);
    fake_interrupt(f, 1);
    EXPECT(driver.taken == 1 && driver.works[2] == 1 && driver.works[0] == 0);
    EXPECT(driver.configs == 0);
    return NULL;
}

FAKE_TEST(virtio_change_of_the_configuration_is_told, FAKE_ID)
{
    EXPECT(fake_start(f) && driver.probe_error == 0);
    fake_interrupt(f, 0);
    EXPECT(wait_until(&driver.configs, 1) && driver.broken == 0);
    return NULL;
}

FAKE_TEST(virtio_device_that_breaks_the_rules_is_reset_and_told_once, FAKE_ID)
{
    struct virtq_piece piece = {1000, 16};
    char tokens[4];

    driver.nr_queues = 2;
    EXPECT(fake_start(f) && driver.probe_error == 0);
    for (u32 i = 0; i < 4; i++)
        EXPECT(virtq_add(&driver.queues[i % 2]->ring, &piece, 0, 1, &tokens[i]) == 0);
    virtio_kick(driver.queues[0]);
    virtio_kick(driver.queues[1]);
    fake_return(f, 0, 63, 16); /* which was never added */
    fake_interrupt(f, 1);
    virtio_break(&f->vdev, "again");
    EXPECT(wait_until(&driver.broken, 1) && driver.taken == 0);
    EXPECT(driver.status_when_broken == 0 && f->status == 0);
    EXPECT(virtq_add(&driver.queues[0]->ring, &piece, 0, 1, tokens) == -EIO);
    EXPECT(!f->handlers[0] && !f->handlers[1] && driver.broken == 1);
    device_unregister(&f->vdev.dev);
    EXPECT(driver.taken == 4); /* all came back */
    return NULL;
}

FAKE_TEST(virtio_device_that_needs_a_reset_is_given_up, FAKE_ID)
{
    EXPECT(fake_start(f) && driver.probe_error == 0);
    f->status |= STATUS_NEEDS_RESET;
    fake_interrupt(f, 0);
    EXPECT(wait_until(&driver.broken, 1) && driver.configs == 0 && f->status == 0);
    return NULL;
}

/* ---- the disk's driver over a device that may be bad ---- */

static void disk_config(struct fake *f, u32 offset, u64 value, u32 n)
{
    memcpy(f->config + offset, &value, n);
}

static struct block_device *disk_found;

static bool disk_is_ours(struct block_device *dev, void *arg)
{
    if (dev->sectors != DISK_SECTORS)
        return true;
    block_get(dev);
    disk_found = dev;
    return false;
}

static struct block_device *disk_find(void)
{
    disk_found = NULL;
    block_for_each(disk_is_ours, NULL);
    return disk_found;
}

static u32 disk_waiting(struct fake *f)
{
    return fake_waiting(f, 0) + (f->queues[1] ? fake_waiting(f, 1) : 0);
}

/* Passes over the request for its name, on the first queue, and answers the one for its partition
 * table, which came from any processor. */
static struct block_device *disk_start(struct fake *f)
{
    struct virtq_desc seen[4];
    u32 n, queue;
    u16 head;

    disk_config(f, 0, DISK_SECTORS, 8);
    if (!fake_start(f) || !f->queues[0])
        return NULL;
    for (u32 i = 0; i < 10000 && disk_waiting(f) < 2; i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    if (disk_waiting(f) != 2)
        return NULL;
    (void)fake_next(f, 0);
    queue = !fake_waiting(f, 0);
    head = fake_next(f, queue);
    n = fake_pieces(f, queue, head, seen, 4);
    memset(hpa_virt(HPA(seen[1].addr)), 0, seen[1].len);
    *(u8 *)hpa_virt(HPA(seen[n - 1].addr)) = 0;
    fake_return(f, queue, head, seen[1].len + 1);
    fake_interrupt(f, f->vectors == 2 ? 1 : queue + 1);
    return disk_find();
}

static void disk_done(struct block_request *r)
{
    __atomic_fetch_add((u32 *)r->owner, 1, __ATOMIC_SEQ_CST);
}

FAKE_TEST(virtio_disk_that_does_not_answer_in_full_is_an_error, VIRTIO_BLOCK)
{
    struct block_device *dev = disk_start(f);
    struct page *page = page_alloc(0, PA_ZERO);
    struct block_segment segment = {page, 0, PAGE_SIZE};
    u32 done = 0;
    struct block_request r = {.op = BLOCK_READ,
                              .nr_segments = 1,
                              .segments = &segment,
                              .sectors = PAGE_SIZE / SECTOR_SIZE,
                              .done = disk_done,
                              .owner = &done};
    const char *wrong = dev && page ? NULL : "the disk is there";
    struct virtq_desc seen[4];
    u16 head;

    if (!wrong) {
        block_submit(dev, &r);
        head = fake_next(f, 0);
        if (fake_pieces(f, 0, head, seen, 4) != 3 || seen[1].len != PAGE_SIZE)
            wrong = "a header, the page, the status";
        fake_return(f, 0, head, PAGE_SIZE + 1); /* and no status is written */
        fake_interrupt(f, 1);
        if (done != 1 || r.error != -EIO)
            wrong = "a status that was not written is an error";
    }
    if (!wrong) {
        block_submit(dev, &r);
        head = fake_next(f, 0);
        (void)fake_pieces(f, 0, head, seen, 4);
        *(u8 *)hpa_virt(HPA(seen[2].addr)) = 0;
        fake_return(f, 0, head, PAGE_SIZE + 1);
        fake_interrupt(f, 1);
        if (done != 2 || r.error != 0)
            wrong = "a good answer is good";
    }
    if (!wrong) {
        block_submit(dev, &r);
        head = fake_next(f, 0);
        (void)fake_pieces(f, 0, head, seen, 4);
        *(u8 *)hpa_virt(HPA(seen[2].addr)) = 0;
        fake_return(f, 0, head, PAGE_SIZE);
        fake_interrupt(f, 1);
        if (done != 3 || r.error != -EIO)
            wrong = "a read of fewer bytes than were asked for is an error";
    }
    if (!wrong) {
        block_submit(dev, &r);
        fake_return(f, 0, 63, 1);
        fake_interrupt(f, 1);
        if (!wait_until(&done, 4) || r.error != -EIO)
            wrong = "a disk that breaks fails what it had";
    }
    if (!wrong) {
        block_submit(dev, &r);
        if (done != 5 || r.error != -EIO)
            wrong = "a broken disk fails what comes";
    }
    if (dev)
        block_put(dev);
    if (page)
        page_put(page);
    return wrong;
}

/* Its work would take a lock that is not there yet. */
FAKE_TEST(virtio_disk_that_is_hasty_is_not_heard_before_it_is_ready, VIRTIO_BLOCK)
{
    struct block_device *dev;

    f->hasty = true;
    disk_config(f, 0, DISK_SECTORS, 8);
    EXPECT(fake_start(f) && f->vdev.running);
    fake_interrupt(f, 1);
    dev = disk_find();
    if (dev)
        block_put(dev);
    EXPECT(dev);
    return NULL;
}

/* Words of a configuration that make no sense: the disk is refused, or works within bounds. */
FAKE_TEST(virtio_disk_whose_words_make_no_sense_is_refused, VIRTIO_BLOCK)
{
    static const struct {
        u64 feature;
        u32 offset, n;
        u64 value;
    } bad[] = {
        {1 << 6, 20, 4, 0}, {1 << 6, 20, 4, 3}, {1 << 6, 20, 4, 1 << 20}, {1 << 6, 20, 4, ~0U},
        {1 << 1, 8, 4, 1},  {1 << 1, 8, 4, 0},  {0, 0, 8, ~0ULL},
    };

    EXPECT(disk_start(f));
    block_put(disk_found);
    EXPECT(device_unbind(&f->vdev.dev) == 0 && !disk_find());
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        memset(f->config, 0, sizeof(f->config));
        disk_config(f, 0, DISK_SECTORS, 8);
        disk_config(f, bad[i].offset, bad[i].value, bad[i].n);
        f->features = VIRTIO_F_VERSION_1 | bad[i].feature;
        EXPECT(device_bind(&f->vdev.dev) == -EINVAL && !disk_find());
    }
    return NULL;
}

FAKE_TEST(virtio_disk_with_wild_hints_works_within_bounds, VIRTIO_BLOCK)
{
    struct block_device *dev;
    bool ok;

    memset(f->config, 0xff, sizeof(f->config));
    disk_config(f, 20, 4096, 4);
    disk_config(f, 12, 0, 4);
    disk_config(f, 34, 2, 2); /* queues: as many as disk_start looks at */
    f->features |= 1 << 1 | 1 << 2 | 1 << 6 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 14;
    f->vectors = 2;
    dev = disk_start(f);
    EXPECT(dev);
    ok = dev->limits.max_pieces == 1 && dev->limits.logical_size == 4096 &&
         dev->limits.physical_size >= 4096 && dev->limits.max_piece % PAGE_SIZE == 0;
    block_put(dev);
    EXPECT(ok);
    return NULL;
}
