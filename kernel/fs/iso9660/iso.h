/* SPDX-License-Identifier: MIT
 *
 * What the bytes of a CD's image mean (ISO 9660 = ECMA-119; SUSP and Rock Ridge, IEEE P1281 and
 * P1282; Joliet). A pure core: it takes bytes by way of a source and says what is there; it has no
 * locks, no clock and no memory of its own, and builds on the host as well.
 *
 * An image may come from anywhere. All that it says is checked: where it leads, that sums do not
 * wrap, that records stay inside their sector, that continuations and extents come to an end. Work
 * is bounded by what is asked for: an entry costs at most ISO_CONTINUATIONS areas and
 * ISO_EXTENTS_MAX records; a directory no more than its sectors, of which there are not more than
 * on the volume.
 *
 * Errors: -EIO: the image contradicts itself, or the source failed so; -EINVAL (iso_open): no such
 * image; -EOPNOTSUPP: interleaved files, block sizes beyond 2048; -EFBIG: too many extents. What
 * else the source says is passed on.
 */
#pragma once

#include "lib/types.h"

#define ISO_SECTOR 2048U
#define ISO_NAME_MAX 255
#define ISO_LINK_MAX 1023
#define ISO_CONTINUATIONS 32 /* of an entry's system use area */
#define ISO_EXTENTS_MAX 1024 /* of a file */

/* Where bytes come from: n of them at `at`, which lie inside size. 0 or -errno. May wait. */
struct iso_source {
    int (*read)(struct iso_source *src, u64 at, void *buf, u32 n);
    u64 size;
};

enum iso_names { ISO_PLAIN, ISO_JOLIET, ISO_ROCK };

struct iso_volume {
    struct iso_source *src; /* borrowed */
    u32 block_size;         /* 512, 1024 or 2048 */
    u64 size;               /* bytes of the volume; not more than the source has */
    enum iso_names names;
    u8 skip;        /* SUSP: bytes before the entries of each system use area */
    u64 root;       /* where the root's first record lies */
    char label[33]; /* what ends with a NUL */
};

struct iso_extent {
    u64 at, len; /* bytes */
};

struct iso_entry {
    u64 number; /* what names the inode: where its record lies; of a directory its own first */
    u64 next;   /* position in the directory behind it */
    u32 mode;   /* with type */
    u32 nlink, uid, gid;
    u32 major, minor;        /* of device nodes */
    s64 atime, mtime, ctime; /* seconds since 1970 */
    u64 size;
    u32 nr_extents; /* a directory has one */
    bool special;   /* "." or ".." */
    bool hidden;    /* a name that is not to be shown: moved away, or no name at all */
    int damaged;    /* iso_next: -errno, the record is no good: nothing else of it counts */
    u16 name_len, link_len;
    char name[ISO_NAME_MAX + 1];
    char link[ISO_LINK_MAX + 1]; /* where a symbolic link leads */
};

/* Finds the volume: 0, -EINVAL (no ISO 9660), -EIO, -EOPNOTSUPP. */
int iso_open(struct iso_source *src, struct iso_volume *v) __must_check;
/* The entry of an inode by its number, which came from an iso_entry. extents may be NULL; else an
 * array of `capacity`, of which e->nr_extents are filled. */
int iso_inode(const struct iso_volume *v, u64 number, struct iso_entry *e,
              struct iso_extent *extents, u32 capacity) __must_check;
/* The next entry at or behind position `at` (0 first) of a directory with that extent. 1, also of
 * one that is damaged while the way behind it is known; 0: there is none; -errno. */
int iso_next(const struct iso_volume *v, const struct iso_extent *dir, u64 at,
             struct iso_entry *e) __must_check;
