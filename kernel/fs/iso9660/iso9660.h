/* SPDX-License-Identifier: MIT
 *
 * iso9660 in the kernel: the shell around the core (iso.h), read-only. Records are read through a
 * page cache of the device, contents of files through each file's own. super.c: mount and inodes;
 * dir.c: names.
 */
#pragma once

#include "fs/iso9660/iso.h"
#include "vfs/block_pages.h"
#include "vfs/cached_inode.h"

/* All immutable once mounted. */
struct iso9660 {
    struct super super;
    struct iso_source src;
    struct iso_volume volume;
    struct block_pages *records;
};

/* All immutable once filled. */
struct iso9660_inode {
    struct cached_inode cached;
    struct mem_object object; /* of a regular file */
    u32 nr_extents;
    struct iso_extent first;    /* of a directory the only one */
    struct iso_extent *extents; /* nr_extents; NULL: the first is all */
    char *link;                 /* of a symbolic link */
};

static inline struct iso9660 *iso9660_of(const struct super *s)
{
    return container_of(s, struct iso9660, super);
}
static inline struct iso9660_inode *iso9660_inode_of(const struct inode *i)
{
    return container_of(i, struct iso9660_inode, cached.inode);
}

int iso9660_getattr(struct inode *i, struct kstat *out);
extern const struct inode_ops iso9660_dir_iops;
extern const struct file_ops iso9660_dir_fops;
