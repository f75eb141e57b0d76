/* SPDX-License-Identifier: MIT
 *
 * What the files of block special files share.
 */
#pragma once

#include "dev/block_priv.h"
#include "obj/file.h"

struct mem_object;

/* priv of an open block special file. I the file's own, immutable */
struct block_opened {
    struct block_device *dev; /* I  a reference */
    struct mem_object *cache; /* I  the device's: it stays while a file is open */
    bool exclusive;           /* I  it has a claim, by this */
};

/* block_direct.c: whether position, pieces and the memory of each are in whole blocks. */
bool block_direct_fits(const struct block_device *dev, const struct iov_iter *it, u64 pos);
/* Such bytes between the iterator and the device from pos on, past the cache; the whole range is
 * inside the device. Bytes done, or -errno when none. Context: sleeps. */
ssize_t block_direct(struct block_device *dev, struct iov_iter *it, u64 pos, bool write, u8 flags);

/* block_cache.c: of a device that is opened. NULL: no memory. */
struct mem_object *block_cache_create(struct block_device *dev) __must_check;
/* Written out, and gone. Context: sleeps; no file is open. */
void block_cache_end(struct mem_object *obj);
