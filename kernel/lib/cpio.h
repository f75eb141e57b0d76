/* SPDX-License-Identifier: MIT
 *
 * Iterator over a cpio archive in "newc" form (magic 070701 or 070702) in memory that is not
 * trusted. Every field is bounded by the archive before it is used; nothing is copied.
 *
 * Layout of an entry: 110 bytes of header (magic, then 13 fields of eight hex digits), the name
 * with its terminator, padding to 4, the data, padding to 4. The name "TRAILER!!!" ends it; zero
 * bytes may follow, and then another archive.
 */
#pragma once

#include "lib/types.h"

struct cpio_entry {
    const char *name; /* terminated, inside the archive; no leading slash is stripped */
    const u8 *data;
    u32 size;
    u32 ino, mode, uid, gid, nlink, mtime;
    u32 dev_major, dev_minor;   /* of the file system it came from: with ino, names hard links */
    u32 rdev_major, rdev_minor; /* of a device node */
};

struct cpio_iter {
    const u8 *base;
    size_t size;
    size_t at;
};

static inline void cpio_init(struct cpio_iter *iter, const void *base, size_t size)
{
    *iter = (struct cpio_iter){.base = base, .size = size};
}

/* Returns 1 with *entry filled, 0 at the end, -EINVAL if the archive is malformed at iter->at. */
int cpio_next(struct cpio_iter *iter, struct cpio_entry *entry);
