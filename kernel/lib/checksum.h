/* SPDX-License-Identifier: MIT
 *
 * The internet checksum (RFC 1071): the ones' complement sum of 16-bit words as they lie in memory.
 * Sums add up; a part that begins at an odd byte of the whole goes in through checksum_odd.
 */
#pragma once

#include "lib/types.h"

/* Not folded. sum: of what came before, an even number of bytes. */
u64 checksum_add(u64 sum, const void *data, size_t n);
static inline u16 checksum_fold(u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    return (u16)((sum & 0xffff) + (sum >> 16));
}
/* The sum of a part, as one that begins at an odd byte. */
static inline u64 checksum_odd(u64 sum)
{
    return __builtin_bswap16(checksum_fold(sum));
}
/* What to store in a header so that all sums to 0xffff; 0 of all right data that holds it. */
static inline u16 checksum_of(const void *data, size_t n)
{
    return (u16)~checksum_fold(checksum_add(0, data, n));
}
