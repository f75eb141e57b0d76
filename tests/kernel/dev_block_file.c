/* SPDX-License-Identifier: MIT
 *
 * Block special files over a disk in memory (ram_disk.h), and what two sides do at once.
 */
#include "tests/kernel/ram_disk.h"

#include "dev/block_driver.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sched/work.h"
#include "uapi/blkio.h"

DISK_TEST(block_special_file_knows_its_end_and_its_blocks, NULL, 0)
{
    static const struct file_ops none = {.name = "none"};
    struct file *f = file_create(&none, O_RDWR | O_DIRECT, NULL), *other;
    const char *wrong = NULL;
    char byte = 0;

    EXPECT(f && block_open_file(f, ram->dev->major, ram->dev->minor, true) == 0);
    other = file_create(&none, O_RDONLY, NULL);
    if (!other || block_open_file(other, ram->dev->major, ram->dev->minor, true) != -EBUSY)
        wrong = "a device that is claimed is not claimed twice";
    if (file_write_kernel(f, &byte, 1, 0) != -EINVAL ||
        file_read_kernel(f, &byte, 1, 512) != -EINVAL)
        wrong = "O_DIRECT is for whole blocks";
    if (file_read_kernel(f, &byte, 1, RAM_SECTORS * SECTOR_SIZE) != 0)
        wrong = "behind its end nothing is read";
    if (file_write_kernel(f, &byte, 1, RAM_SECTORS * SECTOR_SIZE) != -ENOSPC)
        wrong = "behind its end nothing is written";
    if (f->ops->seek(f, 0, 2) != (loff_t)(RAM_SECTORS * SECTOR_SIZE) ||
        f->ops->seek(f, 1, 1) != -EINVAL)
        wrong = "its end is the last position";
    if (ram->n)
        wrong = "none of this asks the device";
    file_put(f);
    if (other)
        file_put(other);
    return wrong;
}

/* ---- from two sides ---- */

static struct {
    struct ram *ram;
    struct file *f;
    int result;
    u32 written; /* pages */
    u8 over;
    struct completion done;
} side;

static void side_start(void (*fn)(void *arg))
{
    struct thread *t;

    side.over = 0;
    completion_init(&side.done);
    t = thread_create("selftest", fn, NULL);
    if (!t)
        panic("no memory for a test's thread");
    thread_start(t);
    thread_put(t);
}

static void side_end(void)
{
    WRITE_ONCE(side.over, 1);
    completion_signal(&side.done);
}

static void side_remove_partitions(void *arg)
{
    while (!READ_ONCE(side.over)) {
        (void)!block_partition_remove(side.ram->disk, 1);
        cond_yield();
    }
    completion_signal(&side.done);
}

DISK_TEST(block_partitions_come_and_go_from_two_sides, NULL, 0)
{
    struct block_device *part;

    side.ram = ram;
    side_start(side_remove_partitions);
    for (u32 i = 0; i < 2000; i++) {
        (void)!block_partition_add(ram->disk, 1, 8, 8);
        if (i % 16 == 0)
            cond_yield();
    }
    WRITE_ONCE(side.over, 1);
    completion_wait(&side.done);
    (void)!block_partition_remove(ram->disk, 1);
    part = block_find(ram->dev->major, ram->dev->minor + 1);
    if (part)
        block_put(part);
    EXPECT(!part);
    return NULL;
}

static bool file_fill(struct file *f, int byte, u64 pos, u64 n)
{
    char *buf = kmalloc(PAGE_SIZE);
    bool ok;

    if (!buf)
        return false;
    memset(buf, byte, PAGE_SIZE);
    ok = file_write_kernel(f, buf, n, pos) == (ssize_t)n;
    kfree(buf);
    return ok;
}

static struct file *disk_file(struct ram *ram, unsigned flags)
{
    static const struct file_ops none = {.name = "none"};
    struct file *f = file_create(&none, flags, NULL);

    if (f && block_open_file(f, ram->dev->major, ram->dev->minor, false)) {
        file_put(f);
        return NULL;
    }
    return f;
}

/* Answers what the other thread makes the disk do; before each answer `meanwhile` is told. */
static void side_serve(struct ram *ram, bool (*meanwhile)(u32 turn))
{
    for (u32 turn = 0; !READ_ONCE(side.over);) {
        if (!READ_ONCE(ram->n)) {
            (void)sleep_until(time_ns() + NSEC_PER_MSEC / 10, SLEEP_UNINTERRUPTIBLE);
            continue;
        }
        if (meanwhile && !meanwhile(turn++))
            side.result = -EIO;
        ram_answer(ram, 0, 0);
    }
    completion_wait(&side.done);
}

static void side_fsync(void *arg)
{
    if (side.f->ops->fsync(side.f, false))
        side.result = -EIO;
    side_end();
}

static void side_put(void *arg)
{
    file_put(side.f);
    side_end();
}

/* All that was written is on the disk, and the file closed. */
static void side_finish(struct ram *ram)
{
    side_start(side_fsync);
    side_serve(ram, NULL);
    side_start(side_put);
    side_serve(ram, NULL);
}

static void side_flush(void *arg)
{
    side.result = (int)side.f->ops->ioctl(side.f, BLKFLSBUF, 0);
    side_end();
}

static bool side_write_next(u32 turn)
{
    if (turn > 6)
        return true;
    side.written++;
    return file_fill(side.f, (int)turn + 2, (turn + 1) * PAGE_SIZE, PAGE_SIZE);
}

DISK_TEST(block_flush_of_the_cache_loses_nothing_that_is_written_meanwhile, NULL, 0)
{
    side.f = disk_file(ram, O_RDWR);
    side.ram = ram;
    side.written = 0;
    EXPECT(side.f);
    EXPECT(file_fill(side.f, 1, 0, PAGE_SIZE));
    side_start(side_flush);
    side_serve(ram, side_write_next);
    side_finish(ram);
    EXPECT(side.result == 0 && side.written && ram_holds(ram, 0, 1 + side.written));
    return NULL;
}

static char *side_block; /* 512 bytes, aligned */

static void side_direct(void *arg)
{
    struct file *f = disk_file(side.ram, O_RDWR | O_DIRECT);

    side.result = f ? (int)file_write_kernel(f, side_block, 512, 0) : -ENOMEM;
    if (f)
        file_put(f); /* not the last */
    side_end();
}

/* The first turns are of the write before it. */
static bool side_write_beside(u32 turn)
{
    return turn > 0 || file_fill(side.f, 0xbb, 512, 512);
}

DISK_TEST(block_direct_write_keeps_what_is_written_beside_it, NULL, 0)
{
    struct page *page = page_alloc(0, PA_ZERO);

    EXPECT(page);
    side_block = page_virt(page);
    memset(side_block, 0xcc, 512);
    side.f = disk_file(ram, O_RDWR);
    side.ram = ram;
    if (side.f && file_fill(side.f, 0xaa, 0, PAGE_SIZE)) {
        side_start(side_direct);
        side_serve(ram, side_write_beside);
        side_finish(ram);
    }
    page_put(page);
    EXPECT(side.f && side.result == 512);
    EXPECT((u8)ram->data[0] == 0xcc && (u8)ram->data[511] == 0xcc);
    EXPECT((u8)ram->data[512] == 0xbb && (u8)ram->data[1023] == 0xbb);
    EXPECT((u8)ram->data[1024] == 0xaa);
    return NULL;
}

static void side_zero(void *arg)
{
    side.result = side.f->ops->fallocate(side.f, 16 /* zeros */, 512, 3 * PAGE_SIZE);
    side_end();
}

static bool side_write_edge(u32 turn)
{
    return turn > 1 || file_fill(side.f, 0xbb, 0, 512);
}

DISK_TEST(block_zeroing_keeps_what_lies_beside_the_range, NULL, 0)
{
    side.f = disk_file(ram, O_RDWR);
    side.ram = ram;
    EXPECT(side.f);
    for (u32 i = 0; i < 4; i++)
        EXPECT(file_fill(side.f, 0xaa, i * PAGE_SIZE, PAGE_SIZE));
    side_start(side_zero);
    side_serve(ram, side_write_edge);
    side_finish(ram);
    EXPECT(side.result == 0 && (u8)ram->data[511] == 0xbb);
    for (u64 i = 512; i < 512 + 3 * PAGE_SIZE; i++)
        EXPECT(ram->data[i] == 0);
    EXPECT((u8)ram->data[512 + 3 * PAGE_SIZE] == 0xaa);
    return NULL;
}

/* A page under input holds the shrinking up, and that none of the machine's work. */
static void side_read(void *arg)
{
    char byte;

    side.result = (int)file_read_kernel(side.f, &byte, 1, 40 * PAGE_SIZE);
    side_end();
}

static void side_nothing(struct work *w)
{
}

DISK_TEST(block_disk_that_shrinks_and_does_not_answer_holds_no_worker_up, NULL, 0)
{
    struct work other;
    u64 began = time_ns();

    side.f = disk_file(ram, O_RDWR);
    side.ram = ram;
    EXPECT(side.f);
    side_start(side_read);
    while (!READ_ONCE(ram->n) && time_ns() < began + 60 * NSEC_PER_SEC)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    block_disk_resize(ram->disk, 8 * PAGE_SECTORS); /* returns */
    work_init(&other, side_nothing);
    (void)work_queue(workq_system, &other);
    work_flush(workq_system, &other);
    if (ram->dev->sectors != 8 * PAGE_SECTORS)
        side.result = -EIO;
    side_serve(ram, NULL);
    side_finish(ram);
    EXPECT(side.result >= 0);
    return NULL;
}

/* ---- disks side by side ---- */

TABLE_DECLARE(struct fail_point, failpoints);

/* Each request for pages goes without memory of its own; in the debug build, which has the point.
 */
static void side_starve(bool on)
{
    const struct fail_point *fp;

    TABLE_FOR_EACH(fp, failpoints)
    if (strcmp(fp->name, "block_cache_io") == 0)
        WRITE_ONCE(*fp->every, on);
}

/* What is dirty is begun to be written, by the disk's worker. */
static void side_want_written(struct ram *ram)
{
    ram->dev->cache->ops->write_wanted(ram->dev->cache);
}

/* Without memory the first run has the cache's own request, for which the worker then waits. */
static bool side_stall(struct ram *ram, struct file *f)
{
    if (!f || !file_fill(f, 1, 0, PAGE_SIZE) || !file_fill(f, 3, 2 * PAGE_SIZE, PAGE_SIZE))
        return false;
    side_want_written(ram);
    return ram_wait(ram, 1);
}

static void side_close(struct ram *ram, struct file *f)
{
    side.f = f;
    if (f)
        side_finish(ram);
}

DISK_TEST(block_disk_that_does_not_answer_delays_no_write_of_another, NULL, 0)
{
    struct ram *other = ram_make(NULL, 0);
    struct file *f = disk_file(ram, O_RDWR), *g = other ? disk_file(other, O_RDWR) : NULL;
    bool stalled, filled, came;

    side.result = 0;
    side_starve(true);
    stalled = side_stall(ram, f);
    filled = g && file_fill(g, 1, 0, PAGE_SIZE);
    if (filled)
        side_want_written(other);
    came = filled && ram_wait(other, 1);
    side_starve(false);
    side_close(ram, f);
    if (other) {
        side_close(other, g);
        ram_free(other);
    }
    EXPECT(stalled && filled && came && side.result == 0);
    EXPECT(ram_holds(ram, 0, 1) && ram_holds(ram, 2, 3));
    return NULL;
}

SELFTEST(block_disk_that_does_not_answer_delays_no_scan_of_another)
{
    struct ram *first = ram_make_scanned(), *second = ram_make_scanned();
    bool came = first && second && ram_wait(first, 1) && ram_wait(second, 1);

    if (first)
        ram_free(first);
    if (second && ram_wait(second, 1))
        ram_free(second);
    CHECK(came);
}
