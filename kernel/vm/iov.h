/* SPDX-License-Identifier: MIT
 *
 * An iterator over the memory of a read or write: user segments (readv), or one kernel buffer.
 */
#pragma once

#include "lib/types.h"

struct iovec_k {
    u64 base; /* user address */
    u64 len;
};
#define IOV_MAX 1024

struct iov_iter {
    const struct iovec_k *segs; /* borrowed; NULL: kernel buffer */
    char *kernel;
    u64 nr_segs, seg_off;
    u64 count;   /* bytes left */
    bool append; /* a write goes to the file's end, regardless of the position */
};

void iov_init_kernel(struct iov_iter *it, void *buf, u64 n);
void iov_init_user(struct iov_iter *it, struct iovec_k *seg, const void __user *buf, u64 n);
void iov_init_segs(struct iov_iter *it, const struct iovec_k *segs, u64 nr, u64 count);
/* Moves up to n bytes; how many were moved before a fault (0 when the first faults). May fault in.
 */
u64 iov_copy_to(struct iov_iter *it, const void *src, u64 n);
u64 iov_copy_from(struct iov_iter *it, void *dst, u64 n);
u64 iov_zero(struct iov_iter *it, u64 n);
/* The same, faulting nothing in: for callers that hold a lock. */
u64 iov_copy_to_nofault(struct iov_iter *it, const void *src, u64 n);
/* All of n bytes, n <= it->count, or none (then the iterator stays where it is); faults nothing in.
 */
bool iov_put_whole(struct iov_iter *it, const void *src, u64 n) __must_check;
bool iov_get_whole(struct iov_iter *it, void *dst, u64 n) __must_check;
/* Touches the next n bytes so that a nofault copy will succeed; 0 or -EFAULT. May sleep. */
int iov_fault_in(struct iov_iter *it, u64 n, bool write);
void iov_advance(struct iov_iter *it, u64 n);
