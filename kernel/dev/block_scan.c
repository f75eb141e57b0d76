/* SPDX-License-Identifier: MIT
 *
 * Partitions of a disk, as its table has them (dev/partition.h), made when the disk comes: by the
 * disk's own worker, which may wait for it.
 */
#include "dev/block_priv.h"
#include "dev/partition.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/page.h"

#define SCAN_ORDER 3 /* pages of the head */
static_assert(PAGE_SIZE << SCAN_ORDER == PARTITION_HEAD, "one block of pages");

static int scan_read(struct block_disk *disk, struct page *page, u64 bytes)
{
    struct block_segment segment = {page, 0, (u32)bytes};
    struct block_request r = {
        .op = BLOCK_READ, .nr_segments = 1, .segments = &segment, .sectors = bytes >> SECTOR_SHIFT};

    return block_submit_wait(&disk->dev, &r);
}

static void scan_add(struct block_disk *disk, const struct partition *found, int n)
{
    for (int i = 0; i < n; i++) {
        int err = block_partition_add(disk, found[i].number, found[i].start, found[i].sectors);

        if (err)
            log_warn("%s: partition %u: error %d", disk->dev.name, found[i].number, err);
    }
}

static int block_scan_locked(struct block_disk *disk) REQUIRES(disk->scan_lock)
{
    u64 sectors = READ_ONCE(disk->dev.sectors), bytes;
    struct partition found[PARTITIONS_MAX];
    struct page *page;
    int n, err;

    ASSERT_HELD(&disk->scan_lock);
    bytes = MIN(sectors << SECTOR_SHIFT, (u64)PARTITION_HEAD);
    if (!bytes)
        return 0;
    page = page_alloc(SCAN_ORDER, 0);
    if (!page)
        return -ENOMEM;
    err = scan_read(disk, page, bytes);
    n = err ? err
            : partition_parse(page_virt(page), bytes, disk->dev.limits.logical_size, sectors,
                              found);
    page_put(page);
    if (n == -EINVAL) {
        log_warn("%s: its partition table is damaged", disk->dev.name);
        n = 0;
    }
    scan_add(disk, found, n);
    return MIN(n, 0);
}

static void block_scan_run(struct work *w)
{
    struct block_disk *disk = container_of(w, struct block_disk, scan_work);
    int err;

    mutex_lock(&disk->scan_lock);
    err = block_scan_locked(disk);
    mutex_unlock(&disk->scan_lock);
    if (err)
        log_warn("%s: its partition table was not read: error %d", disk->dev.name, err);
}

void block_scan_init(struct block_disk *disk)
{
    work_init(&disk->scan_work, block_scan_run);
    work_init(&disk->resize_work, block_resize_run);
    mutex_init(&disk->scan_lock, RANK_DEV, BLOCK_SCAN_ORDER, "block scan");
}

void block_scan_soon(struct block_disk *disk)
{
    work_queue(disk->worker, &disk->scan_work);
}

void block_resize_soon(struct block_disk *disk)
{
    work_queue(disk->worker, &disk->resize_work);
}

void block_scan_end(struct block_disk *disk)
{
    work_flush(disk->worker, &disk->scan_work);
    work_flush(disk->worker, &disk->resize_work);
}

int block_rescan(struct block_disk *disk)
{
    int err = 0;

    block_scan_end(disk);
    mutex_lock(&disk->scan_lock);
    for (u32 i = 1; i <= BLOCK_PARTITIONS && !err; i++) {
        err = block_partition_remove(disk, i);
        if (err == -ENOENT)
            err = 0;
    }
    if (!err)
        err = block_scan_locked(disk);
    mutex_unlock(&disk->scan_lock);
    return err;
}
