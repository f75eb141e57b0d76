/* SPDX-License-Identifier: MIT
 *
 * What the files of block special files share.
 */
#pragma once

#include "dev/block_priv.h"
#include "obj/file.h"

/* priv of an open block special file. o the file's own */
struct block_opened {
    struct block_device *dev; /* a reference */
    bool exclusive;           /* it has a claim, by this */
};

/* Bytes between the iterator and the device from pos on, past no cache; the whole range is inside
 * the device. With O_DIRECT -EINVAL unless all is in whole blocks; else the blocks at both ends are
 * read and written whole. Bytes done, or -errno when none. Context: sleeps. */
ssize_t block_direct(struct file *f, struct block_device *dev, struct iov_iter *it, u64 pos,
                     bool write);
