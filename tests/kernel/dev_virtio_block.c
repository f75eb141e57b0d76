/* SPDX-License-Identifier: MIT
 *
 * The driver of virtio disks over a device that may be bad (fake_virtio.h).
 */
#include "tests/kernel/fake_virtio.h"

#include "dev/block.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/page.h"
#include "sched/timer.h"

#define DISK_SECTORS 31337 * 8UL /* no other disk has as many */

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
    for (u32 i = 0; i < 60000 && disk_waiting(f) < 2; i++)
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
        if (!fake_wait(&done, 4) || r.error != -EIO)
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
