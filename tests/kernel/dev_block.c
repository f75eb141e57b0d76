/* SPDX-License-Identifier: MIT
 *
 * Block devices over a disk in memory, whose driver stands here: it answers when it is told to, in
 * any order, or not at all.
 */
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

#define RAM_PAGES 64
#define RAM_SECTORS (RAM_PAGES * PAGE_SIZE / SECTOR_SIZE)
#define RAM_DEPTH 8
#define PAGE_SECTORS (PAGE_SIZE / SECTOR_SIZE)

/* q the queue's lock (there is one) */
struct ram {
    struct block_disk *disk;
    struct block_device *dev;
    char *data;
    struct block_command *under_way[RAM_DEPTH]; /* q */
    u32 n;                                      /* q */
    u32 capacity;                               /* q  how many it takes; more get -EAGAIN */
    u32 kicks;                                  /* q */
    u32 commands[BLOCK_OPS], fua, largest_pieces;
    u64 largest_piece, crossed; /* pieces that cross the boundary */
    u32 late;
    bool lost; /* what late says */
    bool released;
};

static struct ram *ram_of(struct block_queue *q)
{
    return block_disk_driver(q->disk);
}

static void ram_look(struct ram *ram, const struct block_command *cmd)
{
    const struct block_limits *l = &ram->dev->limits;
    struct block_cursor c;
    struct block_piece p;
    u32 n = 0;

    block_cursor_init(&c, cmd);
    while (block_cursor_next(&c, l, &p)) {
        n++;
        ram->largest_piece = MAX(ram->largest_piece, p.len);
        if (l->boundary && p.addr.v / l->boundary != (p.addr.v + p.len - 1) / l->boundary)
            ram->crossed++;
    }
    if (n != cmd->pieces)
        ram->crossed++;
    ram->largest_pieces = MAX(ram->largest_pieces, n);
}

static int ram_start(struct block_queue *q, struct block_command *cmd)
{
    struct ram *ram = ram_of(q);

    if (ram->n == ram->capacity)
        return -EAGAIN;
    ram_look(ram, cmd);
    ram->commands[cmd->op]++;
    ram->fua += cmd->fua;
    ram->under_way[ram->n++] = cmd;
    return 0;
}

static void ram_kick(struct block_queue *q)
{
    ram_of(q)->kicks++;
}

static enum block_late ram_late(struct block_queue *q, struct block_command *cmd)
{
    struct ram *ram = ram_of(q);

    __atomic_fetch_add(&ram->late, 1, __ATOMIC_SEQ_CST);
    return ram->lost ? BLOCK_LATE_LOST : BLOCK_LATE_WAIT;
}

static void ram_release(struct block_disk *disk)
{
    struct ram *ram = block_disk_driver(disk);

    ram->released = true;
}

static const struct block_ops ram_ops = {
    .start = ram_start, .kick = ram_kick, .late = ram_late, .release = ram_release};

static void ram_copy(struct ram *ram, const struct block_command *cmd)
{
    char *at = ram->data + cmd->sector * SECTOR_SIZE;
    struct block_cursor c;
    struct block_piece p;

    if (cmd->op == BLOCK_ZERO)
        memset(at, 0, cmd->sectors * SECTOR_SIZE);
    block_cursor_init(&c, cmd);
    while (block_cursor_next(&c, &ram->dev->limits, &p)) {
        if (cmd->op == BLOCK_READ)
            memcpy(hpa_virt(p.addr), at, p.len);
        else
            memcpy(at, hpa_virt(p.addr), p.len);
        at += p.len;
    }
}

/* The device answers the which-th command that it has. */
static void ram_answer(struct ram *ram, u32 which, int error)
{
    struct block_queue *q = block_disk_queue(ram->disk, 0);
    struct block_command *cmd;

    block_queue_lock(q);
    cmd = ram->under_way[which];
    ram->under_way[which] = ram->under_way[--ram->n];
    if (!error)
        ram_copy(ram, cmd);
    block_command_done(cmd, error);
    block_queue_unlock(q);
}

static void ram_answer_all(struct ram *ram)
{
    while (READ_ONCE(ram->n))
        ram_answer(ram, 0, 0);
}

/* A disk; limits may be NULL. */
static struct ram *ram_make(const struct block_limits *limits, u64 time_out)
{
    static const struct block_limits plain = {.logical_size = 512,
                                              .physical_size = 512,
                                              .max_sectors = 8 * PAGE_SECTORS,
                                              .max_pieces = 8,
                                              .max_piece = 4 << 20,
                                              .max_discard = 64,
                                              .write_cache = true};
    struct ram *ram = kzalloc(sizeof(*ram));
    struct block_disk_config config = {.stem = "ram",
                                       .family = "ramdisk",
                                       .major = 1000,
                                       .ops = &ram_ops,
                                       .limits = limits ? *limits : plain,
                                       .sectors = RAM_SECTORS,
                                       .nr_queues = 1,
                                       .depth = RAM_DEPTH,
                                       .unscanned = true,
                                       .time_out = time_out,
                                       .driver = ram};

    if (!ram)
        return NULL;
    ram->data = kzalloc(RAM_PAGES * PAGE_SIZE);
    ram->capacity = RAM_DEPTH;
    if (!ram->data || block_disk_create(&config, &ram->disk)) {
        kfree(ram->data);
        kfree(ram);
        return NULL;
    }
    ram->dev = block_disk_device(ram->disk);
    block_disk_add(ram->disk);
    return ram;
}

static void ram_free(struct ram *ram)
{
    ram_answer_all(ram);
    block_disk_remove(ram->disk);
    if (!ram->released)
        panic("a disk without users was not released");
    kfree(ram->data);
    kfree(ram);
}

/* ---- requests ---- */

struct ask {
    struct block_request r;
    struct block_segment segments[16];
    struct page *page; /* a block of 16 pages; segment i is its page `order[i]` */
    u32 done;
};

static void ask_done(struct block_request *r)
{
    __atomic_fetch_add(&((struct ask *)r->owner)->done, 1, __ATOMIC_SEQ_CST);
}

/* n pages at sector; scattered: no two of them adjoin in memory. */
static bool ask_make(struct ask *a, enum block_op op, u64 sector, u32 n, bool scattered)
{
    memset(a, 0, sizeof(*a));
    a->page = page_alloc(4, PA_ZERO);
    if (!a->page)
        return false;
    for (u32 i = 0; i < n; i++) {
        u32 which = scattered ? i * 7 % 16 : i;

        a->segments[i] = (struct block_segment){a->page, which * (u32)PAGE_SIZE, (u32)PAGE_SIZE};
        memset((char *)page_virt(a->page) + which * PAGE_SIZE, (int)(sector / PAGE_SECTORS + i + 1),
               PAGE_SIZE);
    }
    a->r = (struct block_request){.op = (u8)op,
                                  .nr_segments = n,
                                  .segments = a->segments,
                                  .sector = sector,
                                  .sectors = n * PAGE_SECTORS,
                                  .done = ask_done,
                                  .owner = a};
    return true;
}

static void ask_free(struct ask *a)
{
    if (a->page)
        page_put(a->page);
    a->page = NULL;
}

/* Pages [from, to) of the disk hold what ask_make wrote for them. */
static bool ram_holds(const struct ram *ram, u64 from, u64 to)
{
    for (u64 i = from * PAGE_SIZE; i < to * PAGE_SIZE; i++)
        if ((u8)ram->data[i] != i / PAGE_SIZE + 1)
            return false;
    return true;
}

static struct ask asks[RAM_DEPTH + 4]; /* tests run one at a time */

static void asks_free(void)
{
    for (u32 i = 0; i < ARRAY_SIZE(asks); i++)
        ask_free(&asks[i]);
}

/* Each test's body returns what was wrong, or NULL; the frame around it frees all. */
#define DISK_TEST(name, limits, time_out)                         \
    static const char *disk_test_##name(struct ram *ram);         \
    SELFTEST(name)                                                \
    {                                                             \
        struct ram *ram = ram_make(limits, time_out);             \
        const char *wrong = ram ? disk_test_##name(ram) : "made"; \
                                                                  \
        if (ram)                                                  \
            ram_free(ram);                                        \
        asks_free();                                              \
        if (wrong)                                                \
            selftest_fail(__FILE__, __LINE__, wrong);             \
    }                                                             \
    static const char *disk_test_##name(struct ram *ram)
#define EXPECT(cond)      \
    do {                  \
        if (!(cond))      \
            return #cond; \
    } while (0)

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
    while (!READ_ONCE(ram->n) && time_ns() < began + NSEC_PER_SEC)
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
