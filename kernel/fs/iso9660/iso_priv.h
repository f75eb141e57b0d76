/* SPDX-License-Identifier: MIT
 *
 * Between iso.c (records, directories) and iso_rock.c (the system use area).
 */
#pragma once

#include "fs/iso9660/iso.h"

/* Numbers are in the image twice, little endian first. */
static inline u32 iso_u16(const u8 *p)
{
    return p[0] | (u32)p[1] << 8;
}
static inline u32 iso_u32(const u8 *p)
{
    return iso_u16(p) | iso_u16(p + 2) << 16;
}

/* All n bytes at `at` lie on the volume: they are read. 0 or -errno. */
int iso_read(const struct iso_volume *v, u64 at, void *buf, u32 n) __must_check;
/* Seconds since 1970 of the seven bytes of ECMA-119 9.1.5; 0: they make no sense. */
s64 iso_time7(const u8 *p);
/* The same of the seventeen of 8.4.26.1. */
s64 iso_time17(const u8 *p);
/* Brings what Rock Ridge says of an entry into it. area: the system use area of its record, n
 * bytes. *moved: the directory it stands for lies at that byte; 0: none. 0 or -errno. */
int iso_rock(const struct iso_volume *v, const u8 *area, u32 n, struct iso_entry *e,
             u64 *moved) __must_check;
/* Whether the root's first record says that there is SUSP; its skip in *skip. */
bool iso_rock_begins(const u8 *area, u32 n, u8 *skip);
