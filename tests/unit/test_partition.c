/* SPDX-License-Identifier: MIT
 *
 * Partition tables, made here by hand, whole and damaged.
 */
#include "dev/partition.h"

#include <string.h>

#include "harness.h"
#include "lib/crc.h"
#include "lib/errno.h"

#define SECTORS 20000

static u8 head[PARTITION_HEAD];
static struct partition found[PARTITIONS_MAX];

static void put(u8 *p, u64 v, size_t n)
{
    memcpy(p, &v, n);
}

static void mbr(u32 i, u8 type, u32 first, u32 count)
{
    u8 *e = head + 446 + 16 * i;

    head[510] = 0x55;
    head[511] = 0xaa;
    e[4] = type;
    put(e + 8, first, 4);
    put(e + 12, count, 4);
}

static void gpt_sums(u32 block)
{
    u8 *h = head + block;
    u64 entries = 0, at = 0;

    memcpy(&entries, h + 80, 4);
    memcpy(&at, h + 72, 8);
    if (at > sizeof(head) / block || entries > 128 || at * block + entries * 128 > sizeof(head))
        return;
    put(h + 88, crc32(0, head + at * block, entries * 128), 4);
    put(h + 16, 0, 4);
    put(h + 16, crc32(0, h, 92), 4);
}

static void gpt(u32 block)
{
    u8 *h = head + block;

    memset(head, 0, sizeof(head));
    mbr(0, 0xee, 1, ~0U);
    memcpy(h, "EFI PART", 8);
    put(h + 8, 0x10000, 4);
    put(h + 12, 92, 4);
    put(h + 24, 1, 8);
    put(h + 40, 34, 8);
    put(h + 48, SECTORS * 512 / block - 34, 8);
    put(h + 72, 2, 8);
    put(h + 80, 128, 4);
    put(h + 84, 128, 4);
    gpt_sums(block);
}

static void gpt_entry(u32 block, u32 i, u64 first, u64 last)
{
    u8 *e = head + 2 * block + 128 * i;

    e[0] = 0xaf;
    put(e + 32, first, 8);
    put(e + 40, last, 8);
    gpt_sums(block);
}

static int parse(u32 block)
{
    memset(found, 0, sizeof(found));
    return partition_parse(head, sizeof(head), block, SECTORS, found);
}

TEST(partition_disk_without_a_table_has_none)
{
    memset(head, 0, sizeof(head));
    EXPECT(parse(512) == 0);
    memset(head, 0xff, sizeof(head));
    EXPECT(parse(512) == 0);
    EXPECT(partition_parse(head, 100, 512, SECTORS, found) == 0);
}

TEST(partition_boot_record_has_four)
{
    memset(head, 0, sizeof(head));
    mbr(0, 0x83, 63, 1000);
    mbr(1, 0x05, 2000, 1000); /* extended */
    mbr(2, 0x82, 5000, 15000);
    mbr(3, 0, 4000, 10);
    EXPECT(parse(512) == 2);
    EXPECT(found[0].number == 1 && found[0].start == 63 && found[0].sectors == 1000);
    EXPECT(found[1].number == 3 && found[1].start == 5000 && found[1].sectors == 15000);
    EXPECT(parse(4096) == 1); /* the other ends behind the disk, in its blocks */
    EXPECT(found[0].start == 63 * 8 && found[0].sectors == 8000);
}

TEST(partition_outside_the_disk_or_in_another_is_left_out)
{
    memset(head, 0, sizeof(head));
    mbr(0, 0x83, 100, 1000);
    mbr(1, 0x83, 1099, 10);
    mbr(2, 0x83, SECTORS - 5, 6);
    mbr(3, 0x83, ~0U, ~0U);
    EXPECT(parse(512) == 1);
    mbr(1, 0x83, 1100, 10);
    mbr(2, 0x83, SECTORS - 5, 5);
    mbr(3, 0x83, 0, 50); /* over the table itself */
    EXPECT(parse(512) == 3);
}

TEST(partition_gpt_is_read_in_blocks_of_any_size)
{
    for (u32 block = 512; block <= 4096; block *= 8) {
        gpt(block);
        EXPECT(parse(block) == 0);
        gpt_entry(block, 0, 40, 99);
        gpt_entry(block, 4, 100, 200);
        EXPECT(parse(block) == 2);
        EXPECT(found[0].number == 1 && found[0].start == 40 * (u64)block / 512);
        EXPECT(found[0].sectors == 60 * (u64)block / 512 && found[1].number == 5);
        EXPECT(found[1].sectors == 101 * (u64)block / 512);
        gpt_entry(block, 1, 90, 110);     /* overlaps */
        gpt_entry(block, 2, 20, 30);      /* before what is for use */
        gpt_entry(block, 3, 1000, ~0ULL); /* behind it */
        gpt_entry(block, 5, 500, 400);    /* backwards */
        gpt_entry(block, 100, 300, 310);  /* a number that has no minor */
        EXPECT(parse(block) == 2);
    }
}

TEST(partition_gpt_that_is_damaged_has_none)
{
    gpt(512);
    gpt_entry(512, 0, 40, 99);
    EXPECT(parse(512) == 1);
    head[512 + 60] ^= 1;
    EXPECT(parse(512) == -EINVAL);
    head[512 + 60] ^= 1;
    head[1024 + 3000] ^= 1;
    EXPECT(parse(512) == -EINVAL);
    head[1024 + 3000] ^= 1;
    put(head + 512 + 12, 0xfffffff0, 4);
    EXPECT(parse(512) == -EINVAL);
    gpt(512);
    put(head + 512 + 72, 1ULL << 60, 8); /* entries elsewhere */
    put(head + 512 + 16, 0, 4);
    put(head + 512 + 16, crc32(0, head + 512, 92), 4);
    EXPECT(parse(512) == -EINVAL);
    EXPECT(partition_parse(head, 600, 512, SECTORS, found) == -EINVAL);
}

TEST(partition_damage_is_survived)
{
    u64 seed = 7;

    for (u64 round = 0; round < 20000 * unit_times(); round++) {
        u32 block = round % 3 ? 512 : 4096;
        int n;

        if (round % 64 == 0)
            gpt(block);
        for (u32 i = 0; i < 4; i++) {
            u64 dice = unit_rand(&seed);

            head[dice % 4 ? dice / 4 % 8192 : 446 + dice / 4 % 66] = (u8)(dice >> 40);
        }
        if (round % 2)
            gpt_sums(512);
        n = partition_parse(head, sizeof(head) - (round % 7) * 4000, block, SECTORS, found);
        EXPECT(n >= -EINVAL && n <= PARTITIONS_MAX && (n >= 0 || n == -EINVAL));
        for (int i = 0; i < n; i++)
            EXPECT(found[i].sectors && found[i].number >= 1 && found[i].number <= PARTITIONS_MAX &&
                   found[i].start < SECTORS && found[i].sectors <= SECTORS - found[i].start);
    }
}
