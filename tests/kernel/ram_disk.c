/* SPDX-License-Identifier: MIT */
#include "tests/kernel/ram_disk.h"

#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/timer.h"

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

void ram_answer(struct ram *ram, u32 which, int error)
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

void ram_answer_all(struct ram *ram)
{
    while (READ_ONCE(ram->n))
        ram_answer(ram, 0, 0);
}

static struct ram *ram_create(const struct block_limits *limits, u64 time_out, bool scanned)
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
                                       .unscanned = !scanned,
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

struct ram *ram_make(const struct block_limits *limits, u64 time_out)
{
    return ram_create(limits, time_out, false);
}

struct ram *ram_make_scanned(void)
{
    return ram_create(NULL, 0, true);
}

bool ram_wait(const struct ram *ram, u32 n)
{
    for (u32 i = 0; i < 60000 && READ_ONCE(ram->n) < n; i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    return READ_ONCE(ram->n) >= n;
}

void ram_free(struct ram *ram)
{
    ram_answer_all(ram);
    block_disk_remove(ram->disk);
    if (!ram->released)
        panic("a disk without users was not released");
    kfree(ram->data);
    kfree(ram);
}

/* ---- requests ---- */

void ask_done(struct block_request *r)
{
    __atomic_fetch_add(&((struct ask *)r->owner)->done, 1, __ATOMIC_SEQ_CST);
}

bool ask_make(struct ask *a, enum block_op op, u64 sector, u32 n, bool scattered)
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

bool ram_holds(const struct ram *ram, u64 from, u64 to)
{
    for (u64 i = from * PAGE_SIZE; i < to * PAGE_SIZE; i++)
        if ((u8)ram->data[i] != i / PAGE_SIZE + 1)
            return false;
    return true;
}

struct ask asks[RAM_DEPTH + 4];

void asks_free(void)
{
    for (u32 i = 0; i < ARRAY_SIZE(asks); i++)
        ask_free(&asks[i]);
}
