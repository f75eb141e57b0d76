/* SPDX-License-Identifier: MIT
 *
 * Partition tables: which stretches of a disk are partitions. A pure core over the first bytes of
 * the disk: the master boot record's four entries, or a GPT (UEFI 2.9, 5.3), which a protective MBR
 * announces. Nothing that it says is trusted: what lies outside the disk or overlaps another is
 * left out; a GPT whose checksums are wrong has no partitions.
 *
 * Not here: logical partitions in an extended one, the backup of a GPT.
 */
#pragma once

#include "lib/types.h"

#define PARTITION_HEAD 32768 /* bytes of the disk that are looked at; both tables lie there */
#define PARTITIONS_MAX 15

/* Sectors of 512 bytes. number: as the table numbers it, from 1. */
struct partition {
    u32 number;
    u64 start, sectors;
};

/* head: the first n bytes of a disk of `sectors` sectors and blocks of block_size bytes. How many
 * partitions, in the table's order, into out (PARTITIONS_MAX of them); 0: no table, or an empty
 * one; -EINVAL: a GPT that is damaged, or not where it is looked for. */
int partition_parse(const void *head, size_t n, u32 block_size, u64 sectors,
                    struct partition *out) __must_check;
