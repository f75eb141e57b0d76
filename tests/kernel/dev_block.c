/* SPDX-License-Identifier: MIT
 *
 * Block devices over a disk in memory (ram_disk.h): requests to commands and back, durability,
 * errors, partitions, names.
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

DISK_TEST(block_merges_what_adjoins_in_a_plug, NULL, 0)
{
    static const u8 order[] = {3, 0, 2, 5, 1, 4, 7, 6};
    struct block_plug plug;

    block_plug_start(&plug);
    for (u32 i = 0; i < 8; i++) {
        EXPECT(ask_make(&asks[i], BLOCK_WRITE, order[i] * PAGE_SECTORS, 1, false));
        block_plug_add(&plug, ram->dev, &asks[i].r);
    }
    EXPECT(ram->n == 0);
    block_plug_finish(&plug);
    EXPECT(ram->n == 1 && ram->kicks == 1 && ram->under_way[0]->sectors == 8 * PAGE_SECTORS);
    ram_answer(ram, 0, 0);
    for (u32 i = 0; i < 8; i++)
        EXPECT(asks[i].done == 1 && asks[i].r.error == 0);
    EXPECT(ram_holds(ram, 0, 8) && ram->crossed == 0);
    return NULL;
}

DISK_TEST(block_merges_what_had_to_wait, NULL, 0)
{
    /* The device takes no second request; the others gather behind it. */
    ram->capacity = 1;
    for (u32 i = 0; i < 6; i++) {
        EXPECT(ask_make(&asks[i], BLOCK_WRITE, i * PAGE_SECTORS, 1, false));
        block_submit(ram->dev, &asks[i].r);
    }
    EXPECT(ram->n == 1);
    ram_answer(ram, 0, 0);
    ram_answer(ram, 0, 0);
    EXPECT(ram->n == 1 && ram->under_way[0]->sectors == 4 * PAGE_SECTORS);
    ram_answer(ram, 0, 0);
    EXPECT(ram_holds(ram, 0, 6) && ram->n == 0);
    return NULL;
}

DISK_TEST(block_splits_what_is_larger_than_a_command, NULL, 0)
{
    EXPECT(ask_make(&asks[0], BLOCK_WRITE, 16 * PAGE_SECTORS, 16, true));
    block_submit(ram->dev, &asks[0].r);
    EXPECT(ram->n == 2 && ram->largest_pieces == 8 && asks[0].done == 0);
    ram_answer(ram, 1, 0);
    EXPECT(asks[0].done == 0);
    ram_answer(ram, 0, 0);
    EXPECT(asks[0].done == 1 && asks[0].r.error == 0 && ram_holds(ram, 16, 32));
    EXPECT(ask_make(&asks[1], BLOCK_READ, 16 * PAGE_SECTORS, 16, true));
    memset(page_virt(asks[1].page), 0, 16 * PAGE_SIZE);
    block_submit(ram->dev, &asks[1].r);
    ram_answer_all(ram);
    EXPECT(asks[1].done == 1);
    EXPECT(memcmp(page_virt(asks[0].page), page_virt(asks[1].page), 16 * PAGE_SIZE) == 0);
    return NULL;
}

static const struct block_limits narrow = {.logical_size = 4096,
                                           .physical_size = 4096,
                                           .max_sectors = 64 * PAGE_SECTORS,
                                           .max_pieces = 3,
                                           .max_piece = 2 * PAGE_SIZE,
                                           .boundary = 4 * PAGE_SIZE};
DISK_TEST(block_keeps_pieces_within_the_limits, &narrow, 0)
{
    EXPECT(ask_make(&asks[0], BLOCK_WRITE, 0, 16, false));
    block_submit(ram->dev, &asks[0].r);
    ram_answer_all(ram);
    EXPECT(asks[0].done == 1 && asks[0].r.error == 0 && ram_holds(ram, 0, 16));
    EXPECT(ram->largest_piece == 2 * PAGE_SIZE && ram->largest_pieces == 3 && ram->crossed == 0);
    EXPECT(ram->commands[BLOCK_WRITE] == 3);
    return NULL;
}

DISK_TEST(block_refuses_what_cannot_be, &narrow, 0)
{
    static const struct {
        u8 op;
        u64 sector, sectors;
        int error;
    } cases[] = {
        {BLOCK_DISCARD, RAM_SECTORS, 8, -EINVAL}, {BLOCK_DISCARD, 0, RAM_SECTORS + 8, -EINVAL},
        {BLOCK_DISCARD, ~0ULL - 7, 16, -EINVAL},  {BLOCK_DISCARD, 1, 8, -EINVAL},
        {BLOCK_DISCARD, 8, 4, -EINVAL},           {BLOCK_DISCARD, 8, 8, -EOPNOTSUPP},
        {BLOCK_ZERO, 8, 8, -EOPNOTSUPP},          {BLOCK_DISCARD, ~0ULL, 8, -EINVAL},
    };

    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        asks[0] = (struct ask){.r = {.op = cases[i].op,
                                     .sector = cases[i].sector,
                                     .sectors = cases[i].sectors,
                                     .done = ask_done,
                                     .owner = &asks[0]}};
        block_submit(ram->dev, &asks[0].r);
        EXPECT(asks[0].done == 1 && asks[0].r.error == cases[i].error);
    }
    ram->dev->read_only = true;
    EXPECT(ask_make(&asks[1], BLOCK_WRITE, 0, 1, false));
    block_submit(ram->dev, &asks[1].r);
    EXPECT(asks[1].done == 1 && asks[1].r.error == -EROFS && ram->n == 0);
    return NULL;
}

/* ---- durability ---- */

static void flush_ask(struct ask *a)
{
    *a = (struct ask){.r = {.op = BLOCK_FLUSH, .done = ask_done, .owner = a}};
}

DISK_TEST(block_serves_all_flushes_that_wait_by_one, NULL, 0)
{
    for (u32 i = 0; i < 6; i++) {
        flush_ask(&asks[i]);
        block_submit(ram->dev, &asks[i].r);
    }
    /* The first is under way; the others came while it was, and may rely on what it does not. */
    EXPECT(ram->n == 1);
    ram_answer(ram, 0, 0);
    EXPECT(asks[0].done == 1 && asks[1].done == 0 && ram->n == 1);
    ram_answer(ram, 0, -EIO);
    for (u32 i = 1; i < 6; i++)
        EXPECT(asks[i].done == 1 && asks[i].r.error == -EIO);
    EXPECT(ram->commands[BLOCK_FLUSH] == 2 && ram->n == 0);
    return NULL;
}

DISK_TEST(block_fua_is_a_flush_behind_the_write, NULL, 0)
{
    EXPECT(ask_make(&asks[0], BLOCK_WRITE, 0, 1, false));
    asks[0].r.flags = BLOCK_FUA;
    block_submit(ram->dev, &asks[0].r);
    EXPECT(ram->n == 1 && ram->under_way[0]->op == BLOCK_WRITE && !ram->under_way[0]->fua);
    ram_answer(ram, 0, 0);
    EXPECT(asks[0].done == 0 && ram->n == 1 && ram->under_way[0]->op == BLOCK_FLUSH);
    ram_answer(ram, 0, 0);
    EXPECT(asks[0].done == 1 && asks[0].r.error == 0);
    return NULL;
}

DISK_TEST(block_preflush_comes_before_the_data, NULL, 0)
{
    EXPECT(ask_make(&asks[0], BLOCK_WRITE, 0, 1, false));
    asks[0].r.flags = BLOCK_PREFLUSH | BLOCK_FUA;
    block_submit(ram->dev, &asks[0].r);
    EXPECT(ram->n == 1 && ram->under_way[0]->op == BLOCK_FLUSH);
    ram_answer(ram, 0, 0);
    EXPECT(ram->n == 1 && ram->under_way[0]->op == BLOCK_WRITE && asks[0].done == 0);
    ram_answer(ram, 0, 0);
    EXPECT(ram->n == 1 && ram->under_way[0]->op == BLOCK_FLUSH && asks[0].done == 0);
    ram_answer(ram, 0, 0);
    EXPECT(asks[0].done == 1);
    /* Where it fails nothing is written. */
    block_submit(ram->dev, &asks[0].r);
    ram_answer(ram, 0, -EIO);
    EXPECT(asks[0].done == 2 && asks[0].r.error == -EIO && ram->commands[BLOCK_WRITE] == 1);
    return NULL;
}

static const struct block_limits with_fua = {.logical_size = 512,
                                             .physical_size = 512,
                                             .max_sectors = 64,
                                             .max_pieces = 8,
                                             .max_piece = 1 << 20,
                                             .write_cache = true,
                                             .fua = true};
DISK_TEST(block_fua_is_the_device_s_where_it_has_it, &with_fua, 0)
{
    EXPECT(ask_make(&asks[0], BLOCK_WRITE, 0, 1, false));
    asks[0].r.flags = BLOCK_FUA;
    block_submit(ram->dev, &asks[0].r);
    EXPECT(ram->n == 1 && ram->under_way[0]->fua);
    ram_answer(ram, 0, 0);
    EXPECT(asks[0].done == 1 && ram->commands[BLOCK_FLUSH] == 0);
    return NULL;
}

static const struct block_limits write_through = {.logical_size = 512,
                                                  .physical_size = 512,
                                                  .max_sectors = 64,
                                                  .max_pieces = 8,
                                                  .max_piece = 8192};
DISK_TEST(block_flush_costs_nothing_without_a_cache, &write_through, 0)
{
    flush_ask(&asks[0]);
    block_submit(ram->dev, &asks[0].r);
    EXPECT(asks[0].done == 1 && asks[0].r.error == 0 && ram->n == 0);
    EXPECT(ask_make(&asks[1], BLOCK_WRITE, 0, 1, false));
    asks[1].r.flags = BLOCK_FUA | BLOCK_PREFLUSH;
    block_submit(ram->dev, &asks[1].r);
    ram_answer(ram, 0, 0);
    EXPECT(asks[1].done == 1 && ram->commands[BLOCK_FLUSH] == 0);
    return NULL;
}

/* ---- errors, order, the end ---- */

DISK_TEST(block_error_reaches_each_request_once, NULL, 0)
{
    struct block_plug plug;

    block_plug_start(&plug);
    for (u32 i = 0; i < 3; i++) {
        EXPECT(ask_make(&asks[i], BLOCK_READ, i * PAGE_SECTORS, 1, false));
        block_plug_add(&plug, ram->dev, &asks[i].r);
    }
    block_plug_finish(&plug);
    ram_answer(ram, 0, -EIO);
    for (u32 i = 0; i < 3; i++)
        EXPECT(asks[i].done == 1 && asks[i].r.error == -EIO);
    /* Of one that was split the first error counts, and no more of it is begun. */
    ram->capacity = 1;
    EXPECT(ask_make(&asks[3], BLOCK_READ, 0, 16, true));
    block_submit(ram->dev, &asks[3].r);
    ram_answer(ram, 0, -EIO);
    ram_answer_all(ram);
    EXPECT(asks[3].done == 1 && asks[3].r.error == -EIO);
    return NULL;
}

DISK_TEST(block_answers_come_in_any_order, NULL, 0)
{
    for (u32 i = 0; i < RAM_DEPTH + 4; i++) {
        EXPECT(ask_make(&asks[i], BLOCK_WRITE, 2 * i * PAGE_SECTORS, 1, false));
        block_submit(ram->dev, &asks[i].r);
    }
    EXPECT(ram->n == RAM_DEPTH); /* the rest waits for commands */
    for (u32 n = 0; ram->n; n++) {
        ram_answer(ram, ram->n - 1 - n % 2 * (ram->n > 1), 0);
    }
    for (u32 i = 0; i < RAM_DEPTH + 4; i++)
        EXPECT(asks[i].done == 1 && ram_holds(ram, 2 * i, 2 * i + 1));
    return NULL;
}

DISK_TEST(block_disk_that_stops_fails_what_it_has_and_what_comes, NULL, 0)
{
    struct block_device *dev = ram->dev;

    ram->capacity = 2;
    for (u32 i = 0; i < 5; i++) {
        EXPECT(ask_make(&asks[i], BLOCK_WRITE, 2 * i * PAGE_SECTORS, 1, false));
        block_submit(dev, &asks[i].r);
    }
    flush_ask(&asks[5]);
    block_submit(dev, &asks[5].r);
    block_disk_stop(ram->disk);
    EXPECT(asks[0].done == 0 && asks[1].done == 0 && ram->n == 2);
    for (u32 i = 2; i < 6; i++)
        EXPECT(asks[i].done == 1 && asks[i].r.error == -EIO);
    ram_answer(ram, 0, -EIO);
    ram_answer(ram, 0, -EIO);
    EXPECT(asks[0].r.error == -EIO && asks[1].done == 1 && ram->n == 0);
    block_submit(dev, &asks[0].r);
    EXPECT(asks[0].done == 2 && asks[0].r.error == -EIO);
    return NULL;
}

SELFTEST(block_device_outlives_its_disk_while_it_is_referenced)
{
    struct ram *ram = ram_make(NULL, 0);
    struct block_device *dev;
    bool released;
    int error;

    CHECK(ram);
    dev = block_find(ram->dev->major, ram->dev->minor);
    block_disk_remove(ram->disk);
    released = ram->released;
    flush_ask(&asks[0]);
    block_submit(dev, &asks[0].r);
    error = asks[0].r.error;
    block_put(dev);
    CHECK(!released && error == -EIO && ram->released);
    kfree(ram->data);
    kfree(ram);
}

DISK_TEST(block_late_command_is_told_to_the_driver_and_waited_for, NULL, 2 * NSEC_PER_MSEC)
{
    EXPECT(ask_make(&asks[0], BLOCK_WRITE, 0, 1, false));
    block_submit(ram->dev, &asks[0].r);
    for (u32 i = 0; i < 5000 && READ_ONCE(ram->late) < 2; i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    EXPECT(ram->late >= 2 && asks[0].done == 0);
    ram_answer(ram, 0, 0);
    EXPECT(asks[0].done == 1 && asks[0].r.error == 0);
    return NULL;
}

/* ---- devices ---- */

DISK_TEST(block_partition_is_a_device_over_the_whole, NULL, 0)
{
    struct block_device *part;
    const char *wrong = NULL;

    EXPECT(block_partition_add(ram->disk, 1, 8, RAM_SECTORS) == -EINVAL);
    EXPECT(block_partition_add(ram->disk, 16, 8, 8) == -EINVAL);
    EXPECT(block_partition_add(ram->disk, 1, 2 * PAGE_SECTORS, 4 * PAGE_SECTORS) == 0);
    EXPECT(block_partition_add(ram->disk, 1, 0, 8) == -EEXIST);
    part = block_find(ram->dev->major, ram->dev->minor + 1);
    EXPECT(part);
    EXPECT(ask_make(&asks[0], BLOCK_WRITE, PAGE_SECTORS, 1, false));
    block_submit(part, &asks[0].r);
    if (ram->n != 1 || ram->under_way[0]->sector != 3 * PAGE_SECTORS)
        wrong = "a request to a partition goes behind its start";
    ram_answer_all(ram);
    EXPECT(ask_make(&asks[1], BLOCK_READ, 4 * PAGE_SECTORS, 1, false));
    block_submit(part, &asks[1].r);
    if (asks[1].r.error != -EINVAL)
        wrong = "a request stays inside its partition";
    if (block_claim(part, ram) || block_claim(ram->dev, ram) != -EBUSY ||
        block_claim(part, part) != -EBUSY)
        wrong = "what claims a part holds the whole off";
    if (block_partition_remove(ram->disk, 1) != -EBUSY)
        wrong = "a claimed partition stays";
    block_release(part, ram);
    if (block_claim(ram->dev, ram) || block_claim(part, part) != -EBUSY)
        wrong = "what claims the whole holds its parts off";
    block_release(ram->dev, ram);
    block_put(part);
    EXPECT(block_partition_remove(ram->disk, 1) == 0);
    return wrong;
}

DISK_TEST(block_io_is_counted_to_its_account, NULL, 0)
{
    struct account top, below;

    account_init(&top, NULL, NULL);
    account_init(&below, &top, NULL);
    for (u32 i = 0; i < 3; i++) {
        EXPECT(ask_make(&asks[i], i ? BLOCK_WRITE : BLOCK_READ, 0, i + 1, false));
        asks[i].r.account = &below;
        block_submit(ram->dev, &asks[i].r);
        ram_answer(ram, 0, i == 2 ? -EIO : 0);
    }
    EXPECT(atomic_read(&top.io[0].bytes) == (s64)PAGE_SIZE);
    EXPECT(atomic_read(&below.io[1].bytes) == 2 * (s64)PAGE_SIZE);
    EXPECT(atomic_read(&top.io[1].requests) == 1);
    return NULL;
}

SELFTEST(block_names_go_on_behind_the_last_letter)
{
    struct ram *many[28] = {NULL};
    bool ok = true;

    for (u32 i = 0; i < ARRAY_SIZE(many); i++) {
        many[i] = ram_make(NULL, 0);
        ok = ok && many[i];
    }
    if (ok)
        ok = strcmp(many[0]->dev->name, "rama") == 0 && strcmp(many[25]->dev->name, "ramz") == 0 &&
             strcmp(many[26]->dev->name, "ramaa") == 0 && many[27]->dev->minor == 27 * 16;
    for (u32 i = 0; i < ARRAY_SIZE(many); i++)
        if (many[i])
            ram_free(many[i]);
    CHECK(ok);
}
