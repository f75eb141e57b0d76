/* SPDX-License-Identifier: MIT
 *
 * File systems on block devices: the device of a mount, and pages that come from it. A file system
 * says where a stretch of an object lies; requests are made and ended here.
 */
#pragma once

#include "dev/block.h"
#include "vfs/vfs.h"

/* Where bytes of an object lie: `len` > 0 of them at byte `at` of the device, both multiples of
 * 512; or nowhere, and they are zero. */
struct block_place {
    u64 at, len;
    bool hole;
};
/* For the bytes of obj at pos, up to len, which do not leave a page: 0 with all or the first of
 * them in *out, or -errno. Context: may sleep, as read_run. */
typedef int (*block_place_fn)(struct mem_object *obj, u64 pos, u64 len, struct block_place *out);

/* The body of a read_run. page->private is its own until page_read_end. */
void block_pages_read(struct block_device *dev, struct mem_object *obj, const struct page_run *run,
                      block_place_fn place);

/* All of a device, read through a page cache: what a file system keeps there beside the contents of
 * files. */
struct block_pages {
    struct mem_object obj;
    struct block_device *dev; /* borrowed */
};
/* NULL: no memory. */
struct block_pages *block_pages_create(struct block_device *dev) __must_check;
/* Waits for inputs; the device may go afterwards. */
void block_pages_destroy(struct block_pages *p);
/* n bytes at `at`: 0, -EIO (also past the end), -ENOMEM, -EINTR. Context: may sleep. */
int block_pages_copy(struct block_pages *p, u64 at, void *buf, u64 n) __must_check;

/* The mount of a type that lies on a device: finds what source names, and shares a super that is
 * mounted from it already, or claims the device and calls fill, which sets everything of the new
 * super but type, flags, dev and references. 0; -ENOTBLK: it is no block special file; -EACCES:
 * such are not to be used there (nodev); -ENXIO: there is no such device; -EROFS: it cannot be
 * written; -EBUSY: another user has it, or it is mounted the other way as far as writing goes; what
 * fill says. The super's memory is the type's: its struct begins with struct super. */
int super_mount_device(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                       unsigned flags, size_t super_size, int (*fill)(struct super *s),
                       struct super **out) __must_check;
/* For `destroy`, last: the device is free again, the memory goes. */
void super_free_device(struct super *s);
