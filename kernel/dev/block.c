/* SPDX-License-Identifier: MIT
 *
 * Block devices: their names and numbers, the list, references, claims, partitions, and how a disk
 * comes and goes.
 */
#include "dev/block.h"

#include "dev/block_priv.h"
#include "dev/device.h"
#include "dev/node.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vm/object.h"

#define STEMS_MAX 4 /* kinds of names: "vd", "nvme"... */
#define DISKS_MAX 256

static struct spinlock block_list_lock = SPINLOCK_INIT(RANK_DEV, BLOCK_LIST_ORDER, "block devices");
static LIST_HEAD(block_list); /* block_list_lock */
struct mutex block_claim_lock;

/* Letters in use, by kind of name. block_list_lock */
static struct block_stem {
    const char *stem;
    u64 used[DISKS_MAX / 64];
} block_stems[STEMS_MAX];

static void block_init(void)
{
    mutex_init(&block_claim_lock, RANK_DEV, BLOCK_CLAIM_ORDER, "block claims");
}
INIT_HOOK(block_init, INIT_CORE);

/* ---- names ---- */

static struct block_stem *block_stem_locked(const char *stem) REQUIRES(block_list_lock)
{
    ASSERT_HELD(&block_list_lock);
    for (unsigned i = 0; i < STEMS_MAX; i++) {
        if (!block_stems[i].stem)
            block_stems[i].stem = stem;
        if (block_stems[i].stem == stem)
            return &block_stems[i];
    }
    return NULL;
}

/* The wanted number, or the lowest that is free; -ENOSPC. */
static int block_number_take(const char *stem, u32 wanted)
{
    struct block_stem *s;
    int found = -ENOSPC;

    spin_lock(&block_list_lock);
    s = block_stem_locked(stem);
    if (s && wanted < DISKS_MAX && !(s->used[wanted / 64] >> (wanted % 64) & 1))
        found = (int)wanted;
    for (int i = 0; s && i < DISKS_MAX && found < 0; i++)
        if (!(s->used[i / 64] >> (i % 64) & 1))
            found = i;
    if (found >= 0)
        s->used[found / 64] |= 1ULL << (found % 64);
    spin_unlock(&block_list_lock);
    return found;
}

static void block_number_give(const struct block_disk *disk)
{
    u32 number = disk->dev.minor / (BLOCK_PARTITIONS + 1);
    struct block_stem *s;

    spin_lock(&block_list_lock);
    s = block_stem_locked(disk->stem);
    s->used[number / 64] &= ~(1ULL << (number % 64));
    spin_unlock(&block_list_lock);
}

/* vda ... vdz, vdaa ... */
static void block_name(char *name, size_t size, const char *stem, unsigned number)
{
    char letters[4], *p = letters + sizeof(letters) - 1;

    *p = '\0';
    for (unsigned n = number + 1; n; n = (n - 1) / 26)
        *--p = (char)('a' + (n - 1) % 26);
    scnprintf(name, size, "%s%s", stem, p);
}

/* ---- the list ---- */

struct block_device *block_find(u32 major, u32 minor)
{
    struct block_device *d, *found = NULL;

    spin_lock(&block_list_lock);
    list_for_each (d, &block_list, node)
        if (d->major == major && d->minor == minor) {
            found = d;
            block_get(d);
            break;
        }
    spin_unlock(&block_list_lock);
    return found;
}

void block_get(struct block_device *dev)
{
    refcount_get(&dev->ref);
}

static void block_disk_free(struct block_disk *disk)
{
    for (u32 i = 0; i < disk->nr_queues; i++)
        block_queue_free(&disk->queues[i]);
    kfree(disk->queues);
    workq_destroy(disk->worker);
    kfree(disk);
}

void block_put(struct block_device *dev)
{
    struct block_device *whole = dev->whole;

    if (!refcount_put(&dev->ref))
        return;
    if (whole != dev) {
        kfree(dev);
        block_put(whole);
        return;
    }
    if (dev->disk->ops->release)
        dev->disk->ops->release(dev->disk);
    block_number_give(dev->disk);
    block_disk_free(dev->disk);
}

/* The first device behind `last` in the list (NULL: the first), a reference; last's is put. last
 * may have left the list meanwhile. */
static struct block_device *block_next(struct block_device *last)
{
    struct block_device *d, *next = NULL;

    spin_lock(&block_list_lock);
    list_for_each (d, &block_list, node)
        if (!last || d->order > last->order) {
            next = d;
            block_get(next);
            break;
        }
    spin_unlock(&block_list_lock);
    if (last)
        block_put(last);
    return next;
}

void block_for_each(bool (*fn)(struct block_device *dev, void *arg), void *arg)
{
    struct block_device *dev = NULL;

    while ((dev = block_next(dev)))
        if (!fn(dev, arg)) {
            block_put(dev);
            return;
        }
}

struct device *block_parent(struct block_device *dev)
{
    struct device *parent;

    spin_lock(&block_list_lock);
    parent = dev->disk->parent;
    if (parent)
        device_get(parent);
    spin_unlock(&block_list_lock);
    return parent;
}

const char *block_family(const struct block_device *dev)
{
    return dev->disk->family;
}

void block_figures(struct block_device *dev, struct block_figures *out)
{
    struct block_disk *disk = dev->disk;

    *out = (struct block_figures){0};
    for (u32 i = 0; dev->whole == dev && i < disk->nr_queues; i++) {
        struct block_queue *q = &disk->queues[i];
        const struct block_figures *f = &q->figures;

        spin_lock(&q->lock);
        for (unsigned k = 0; k < 4; k++) {
            out->done[k] += f->done[k];
            out->merged[k] += f->merged[k];
            out->sectors[k] += f->sectors[k];
            out->ns[k] += f->ns[k];
        }
        out->in_flight += q->under_way;
        out->busy_ns += f->busy_ns + (q->under_way ? time_ns() - q->busy_since : 0);
        spin_unlock(&q->lock);
    }
}

/* ---- claims ---- */

int block_claim(struct block_device *dev, void *holder)
{
    struct block_device *whole = dev->whole;
    int err = 0;

    mutex_lock(&block_claim_lock);
    if (READ_ONCE(dev->gone))
        err = -ENXIO;
    else if (dev->holder || whole->holder || (dev == whole && dev->held_parts))
        err = -EBUSY;
    else
        dev->holder = holder;
    if (!err && dev != whole)
        whole->held_parts++;
    mutex_unlock(&block_claim_lock);
    return err;
}

void block_release(struct block_device *dev, void *holder)
{
    mutex_lock(&block_claim_lock);
    ASSERT(dev->holder == holder);
    dev->holder = NULL;
    if (dev->whole != dev)
        dev->whole->held_parts--;
    mutex_unlock(&block_claim_lock);
}

/* ---- coming and going ---- */

static bool block_limits_sound(const struct block_limits *l)
{
    return l->logical_size >= SECTOR_SIZE && l->logical_size <= PAGE_SIZE &&
           !(l->logical_size & (l->logical_size - 1)) && l->physical_size >= l->logical_size &&
           l->max_pieces >= 1 && l->max_piece >= PAGE_SIZE && l->max_piece % l->logical_size == 0 &&
           l->max_sectors >= PAGE_SIZE / SECTOR_SIZE && !(l->boundary & (l->boundary - 1)) &&
           (!l->boundary || l->boundary >= PAGE_SIZE);
}

static int block_disk_queues(struct block_disk *disk)
{
    char name[16];
    int err = 0;

    scnprintf(name, sizeof(name), "block-%s", disk->dev.name);
    disk->worker = workq_create(name);
    disk->queues = kcalloc(disk->nr_queues, sizeof(*disk->queues));
    if (!disk->queues || !disk->worker)
        err = -ENOMEM;
    for (u32 i = 0; i < disk->nr_queues && !err; i++) {
        block_queue_init(&disk->queues[i], disk, i);
        err = block_queue_alloc(&disk->queues[i]);
    }
    return err;
}

static void block_disk_init(struct block_disk *disk, const struct block_disk_config *config,
                            unsigned number)
{
    struct block_device *dev = &disk->dev;

    disk->stem = config->stem;
    disk->family = config->family;
    disk->unscanned = config->unscanned;
    disk->ops = config->ops;
    disk->parent = config->parent;
    disk->driver = config->driver;
    disk->nr_queues = config->nr_queues;
    disk->depth = config->depth;
    disk->command_size = config->command_size;
    disk->time_out = config->time_out;
    disk->read_only = config->read_only;
    waitq_init(&disk->idle);
    timer_init(&disk->late_timer, block_late_fire);
    work_init(&disk->late_work, block_late_run);
    block_flush_init(disk);
    block_scan_init(disk);
    block_name(dev->name, sizeof(dev->name), config->stem, number);
    dev->major = config->major;
    dev->minor = number * (BLOCK_PARTITIONS + 1);
    dev->whole = dev;
    dev->disk = disk;
    dev->sectors = config->sectors;
    dev->read_only = config->read_only;
    dev->limits = config->limits;
    refcount_init(&dev->ref, 1);
    list_init(&dev->node);
}

int block_disk_create(const struct block_disk_config *config, struct block_disk **out)
{
    struct block_disk *disk = kzalloc(sizeof(*disk));
    int number, err;

    ASSERT(config->nr_queues && config->depth && config->depth <= BLOCK_DEPTH_MAX);
    ASSERT(block_limits_sound(&config->limits));
    if (!disk)
        return -ENOMEM;
    number = block_number_take(config->stem, config->rank);
    if (number < 0) {
        kfree(disk);
        return number;
    }
    block_disk_init(disk, config, (unsigned)number);
    err = block_disk_queues(disk);
    if (err) {
        block_number_give(disk);
        disk->nr_queues = disk->queues ? disk->nr_queues : 0;
        block_disk_free(disk);
        return err;
    }
    *out = disk;
    return 0;
}

void *block_disk_driver(const struct block_disk *disk)
{
    return disk->driver;
}

void block_disk_set_serial(struct block_disk *disk, const char *serial, size_t len)
{
    size_t n = 0;

    for (; n < len && n < sizeof(disk->serial) - 1 && serial[n]; n++)
        disk->serial[n] = serial[n] > ' ' && serial[n] < 0x7f ? serial[n] : '_';
}

const char *block_disk_serial(const struct block_disk *disk)
{
    return disk->serial;
}

struct block_device *block_disk_device(struct block_disk *disk)
{
    return &disk->dev;
}

struct block_queue *block_disk_queue(struct block_disk *disk, u32 index)
{
    return &disk->queues[index];
}

static void block_publish(struct block_device *dev)
{
    struct dev_node name = {
        .mode = NODE_BLOCK | 0660, .gid = NODE_GID_DISK, .major = dev->major, .minor = dev->minor};
    static u64 order;

    strlcpy(name.name, dev->name, sizeof(name.name));
    block_get(dev); /* the list's */
    spin_lock(&block_list_lock);
    dev->order = ++order;
    list_add_tail(&block_list, &dev->node);
    spin_unlock(&block_list_lock);
    dev->name_node = dev_node_add(&name);
    if (!dev->name_node)
        log_warn("%s: no memory for a name in /dev", dev->name);
}

static void block_unpublish(struct block_device *dev)
{
    bool listed;

    WRITE_ONCE(dev->gone, true);
    spin_lock(&block_list_lock);
    listed = !list_empty(&dev->node);
    if (listed) {
        list_del(&dev->node);
        list_init(&dev->node);
    }
    spin_unlock(&block_list_lock);
    if (!listed)
        return;
    dev_node_remove(dev->name_node);
    block_put(dev);
}

void block_disk_add(struct block_disk *disk)
{
    struct block_device *dev = &disk->dev;

    log_info("%s: %lu sectors of 512 bytes%s", dev->name, dev->sectors,
             dev->read_only ? ", read-only" : "");
    block_publish(dev);
    if (!disk->unscanned)
        block_scan_soon(disk);
}

void block_disk_stop(struct block_disk *disk)
{
    if (__atomic_exchange_n(&disk->stopped, true, __ATOMIC_SEQ_CST))
        return;
    for (u32 i = 0; i < disk->nr_queues; i++)
        block_queue_stop(&disk->queues[i]);
}

static struct mem_object *block_cache_get(struct block_device *dev)
{
    struct mem_object *cache;

    mutex_lock(&block_claim_lock);
    cache = dev->cache;
    if (cache)
        mem_object_get(cache);
    mutex_unlock(&block_claim_lock);
    return cache;
}

/* The page in which the old end lies has zeros behind it, which are not what the device has there.
 */
static void block_forget_end(struct mem_object *cache, u64 end)
{
    u64 index = end >> PAGE_SHIFT;

    if (end % PAGE_SIZE == 0)
        return;
    mem_object_sync(cache, index, index + 1);
    if (!mem_object_forget(cache, index, index + 1))
        log_warn("a disk grew while its last page was in use");
}

/* Waits for pages under input and output, so for the disk. */
void block_resize_run(struct work *w)
{
    struct block_disk *disk = container_of(w, struct block_disk, resize_work);
    u64 sectors = READ_ONCE(disk->wanted), size = sectors << SECTOR_SHIFT, old;
    struct mem_object *cache = block_cache_get(&disk->dev);

    if (!cache) {
        WRITE_ONCE(disk->dev.sectors, sectors);
        return;
    }
    old = cache->size;
    if (size > old)
        block_forget_end(cache, old); /* it is written while the device ends there */
    WRITE_ONCE(disk->dev.sectors, sectors);
    if (size < old) {
        mem_object_shrink(cache, size);
    } else if (size > old) {
        WRITE_ONCE(cache->size, size);
        block_forget_end(cache, old); /* read in meanwhile */
    }
    mem_object_put(cache);
}

void block_disk_resize(struct block_disk *disk, u64 sectors)
{
    sectors = ALIGN_DOWN(sectors, (u64)disk->dev.limits.logical_size / SECTOR_SIZE);
    WRITE_ONCE(disk->wanted, sectors);
    if (sectors < READ_ONCE(disk->dev.sectors))
        WRITE_ONCE(disk->dev.sectors, sectors);
    block_resize_soon(disk);
}

static void block_partition_drop_locked(struct block_disk *disk, u32 number)
    REQUIRES(block_claim_lock)
{
    struct block_device *part = disk->parts[number - 1];

    ASSERT_HELD(&block_claim_lock);
    disk->parts[number - 1] = NULL;
    if (!part)
        return;
    block_unpublish(part);
    block_put(part);
}

void block_disk_remove(struct block_disk *disk)
{
    WRITE_ONCE(disk->dev.gone, true);
    block_disk_stop(disk);
    wait_event(&disk->idle, atomic_read(&disk->requests) == 0);
    block_scan_end(disk);
    timer_cancel(&disk->late_timer);
    work_flush(workq_system, &disk->late_work);
    mutex_lock(&block_claim_lock);
    for (u32 i = 1; i <= BLOCK_PARTITIONS; i++)
        block_partition_drop_locked(disk, i);
    mutex_unlock(&block_claim_lock);
    block_unpublish(&disk->dev);
    spin_lock(&block_list_lock);
    disk->parent = NULL;
    spin_unlock(&block_list_lock);
    block_put(&disk->dev);
}

/* ---- partitions ---- */

static struct block_device *block_partition_make(struct block_disk *disk, u32 number, u64 start,
                                                 u64 sectors)
{
    struct block_device *whole = &disk->dev, *part = kzalloc(sizeof(*part));

    if (!part)
        return NULL;
    scnprintf(part->name, sizeof(part->name), "%s%u", whole->name, number);
    part->major = whole->major;
    part->minor = whole->minor + number;
    part->whole = whole;
    part->disk = disk;
    part->start = start;
    part->sectors = sectors;
    part->read_only = whole->read_only;
    part->limits = whole->limits;
    refcount_init(&part->ref, 1);
    list_init(&part->node);
    block_get(whole);
    return part;
}

int block_partition_add(struct block_disk *disk, u32 number, u64 start, u64 sectors)
{
    struct block_device *part;
    u64 size = READ_ONCE(disk->dev.sectors);
    int err = 0;

    if (number < 1 || number > BLOCK_PARTITIONS || start > size || !sectors ||
        sectors > size - start ||
        ((start | sectors) << SECTOR_SHIFT) & (disk->dev.limits.logical_size - 1))
        return -EINVAL;
    mutex_lock(&block_claim_lock);
    if (READ_ONCE(disk->dev.gone))
        err = -ENODEV;
    else if (disk->parts[number - 1])
        err = -EEXIST;
    part = err ? NULL : block_partition_make(disk, number, start, sectors);
    if (!err && !part)
        err = -ENOMEM;
    if (part) {
        disk->parts[number - 1] = part;
        block_publish(part); /* before another may drop it */
    }
    mutex_unlock(&block_claim_lock);
    return err;
}

int block_partition_remove(struct block_disk *disk, u32 number)
{
    struct block_device *part;
    int err = -ENOENT;

    if (number < 1 || number > BLOCK_PARTITIONS)
        return err;
    mutex_lock(&block_claim_lock);
    part = disk->parts[number - 1];
    if (part)
        err = part->holder || part->openers ? -EBUSY : 0;
    if (!err)
        block_partition_drop_locked(disk, number);
    mutex_unlock(&block_claim_lock);
    return err;
}
