/* SPDX-License-Identifier: MIT
 *
 * Readers of the master boot record and of the GUID partition table. Numbers are little-endian and
 * lie at any alignment.
 *
 * MBR: 4 entries of 16 bytes at 446, {status, CHS 3, type at 4, CHS 3, first block at 8, blocks at
 * 12}; 0x55 0xaa at 510. GPT header, in block 1: "EFI PART", header's size at 12 (32 bits), its CRC
 * at 16, its own block at 24, first and last block for use at 40 and 48, block of the entries at
 * 72, how many at 80, size of each at 84, CRC of them at 88. An entry: type (16 bytes, all zero:
 * unused), first and last block at 32 and 40.
 */
#include "dev/partition.h"

#include "lib/crc.h"
#include "lib/errno.h"
#include "lib/string.h"

#define MBR_ENTRIES 446
#define MBR_GPT 0xee
#define GPT_HEADER_MIN 92
#define GPT_ENTRY_MIN 128

static u32 get32(const u8 *p)
{
    u32 v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static u64 get64(const u8 *p)
{
    u64 v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* What is found so far, and the disk's bounds in blocks. */
struct partition_list {
    struct partition *out;
    u32 n;
    u32 ratio;  /* sectors of a block */
    u64 blocks; /* of the disk */
};

/* Blocks [first, first + count): left out when they are not on the disk, or another's. */
static void partition_add(struct partition_list *l, u32 number, u64 first, u64 count)
{
    struct partition p = {number, first * l->ratio, count * l->ratio};

    if (!count || !first || first >= l->blocks || count > l->blocks - first ||
        l->n == PARTITIONS_MAX || number > PARTITIONS_MAX)
        return;
    for (u32 i = 0; i < l->n; i++)
        if (p.start < l->out[i].start + l->out[i].sectors && l->out[i].start < p.start + p.sectors)
            return;
    l->out[l->n++] = p;
}

static bool mbr_is_extended(u8 type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

static void mbr_parse(struct partition_list *l, const u8 *mbr)
{
    for (u32 i = 0; i < 4; i++) {
        const u8 *e = mbr + MBR_ENTRIES + 16 * i;

        if (e[4] && !mbr_is_extended(e[4]))
            partition_add(l, i + 1, get32(e + 8), get32(e + 12));
    }
}

/* The header's own words make sense, and it lies whole in head. */
static bool gpt_header_sound(const u8 *h, size_t len)
{
    u8 copy[512];
    u32 size;

    if (len < sizeof(copy) || memcmp(h, "EFI PART", 8) != 0)
        return false;
    size = get32(h + 12);
    if (size < GPT_HEADER_MIN || size > sizeof(copy) || get64(h + 24) != 1)
        return false;
    memcpy(copy, h, size);
    memset(copy + 16, 0, 4);
    return crc32(0, copy, size) == get32(h + 16);
}

static int gpt_parse(struct partition_list *l, const u8 *head, size_t n, u32 block_size)
{
    static const u8 unused[16];
    const u8 *h = head + block_size;
    u64 at, first, last, entries, size, bytes;

    if (n < 2UL * block_size || !gpt_header_sound(h, n - block_size))
        return -EINVAL;
    first = get64(h + 40);
    last = get64(h + 48);
    entries = get32(h + 80);
    size = get32(h + 84);
    if (mul_overflows(get64(h + 72), (u64)block_size, &at) || at > n || size < GPT_ENTRY_MIN ||
        mul_overflows(entries, size, &bytes) || bytes > n - at ||
        crc32(0, head + at, bytes) != get32(h + 88))
        return -EINVAL;
    for (u64 i = 0; i < entries && i < PARTITIONS_MAX; i++) {
        const u8 *e = head + at + i * size;
        u64 from = get64(e + 32), to = get64(e + 40);

        if (memcmp(e, unused, sizeof(unused)) != 0 && from >= first && to <= last && from <= to)
            partition_add(l, (u32)i + 1, from, to - from + 1);
    }
    return 0;
}

int partition_parse(const void *head, size_t n, u32 block_size, u64 sectors, struct partition *out)
{
    const u8 *mbr = head;
    struct partition_list l = {.out = out, .ratio = block_size / 512};
    int err = 0;

    l.blocks = sectors / l.ratio;
    if (n < 512 || mbr[510] != 0x55 || mbr[511] != 0xaa)
        return 0;
    if (mbr[MBR_ENTRIES + 4] == MBR_GPT)
        err = gpt_parse(&l, head, n, block_size);
    else
        mbr_parse(&l, mbr);
    return err ? err : (int)l.n;
}
