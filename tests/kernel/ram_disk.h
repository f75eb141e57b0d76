/* SPDX-License-Identifier: MIT
 *
 * A disk in memory for tests of block devices, whose driver answers when it is told to, in any
 * order, or not at all; and requests for it. Tests run one at a time.
 */
#pragma once

#include "dev/block_driver.h"
#include "lib/log.h"
#include "mm/page.h"

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

/* A disk, whose table of partitions is not looked at; limits may be NULL. NULL: no memory. */
struct ram *ram_make(const struct block_limits *limits, u64 time_out) __must_check;
/* One whose table is looked at: its first command. */
struct ram *ram_make_scanned(void) __must_check;
/* Answers what it has, and removes it; it has no users. */
void ram_free(struct ram *ram);
/* The device answers the which-th command that it has, or all. */
void ram_answer(struct ram *ram, u32 which, int error);
void ram_answer_all(struct ram *ram);
/* Waits, for ten seconds at most, until it has so many. */
bool ram_wait(const struct ram *ram, u32 n) __must_check;
/* Pages [from, to) of the disk hold what ask_make wrote for them. */
bool ram_holds(const struct ram *ram, u64 from, u64 to);

/* ---- requests ---- */

struct ask {
    struct block_request r;
    struct block_segment segments[16];
    struct page *page; /* a block of 16 pages; segment i is its page `order[i]` */
    u32 done;
};

extern struct ask asks[RAM_DEPTH + 4];

void ask_done(struct block_request *r);
/* n pages at sector; scattered: no two of them adjoin in memory. */
bool ask_make(struct ask *a, enum block_op op, u64 sector, u32 n, bool scattered) __must_check;
void asks_free(void);

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
