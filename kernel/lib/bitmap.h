/* SPDX-License-Identifier: MIT
 *
 * Bitmaps: arrays of u64, bit n in word n / 64. Not atomic: the caller locks.
 * Searches return a bit number, or `size` (the number of bits) if there is none.
 */
#pragma once

#include "lib/types.h"

#define BITMAP_WORDS(bits) (((bits) + 63) / 64)
#define BITMAP_DECLARE(name, bits) u64 name[BITMAP_WORDS(bits)]

static inline bool bitmap_test(const u64 *map, size_t bit)
{
    return map[bit / 64] >> (bit % 64) & 1;
}

static inline void bitmap_set(u64 *map, size_t bit)
{
    map[bit / 64] |= 1ull << (bit % 64);
}

static inline void bitmap_clear(u64 *map, size_t bit)
{
    map[bit / 64] &= ~(1ull << (bit % 64));
}

/* Set or clear `count` bits from `start`. */
void bitmap_set_range(u64 *map, size_t start, size_t count);
void bitmap_clear_range(u64 *map, size_t start, size_t count);

/* First set (clear) bit at or after `start`. */
size_t bitmap_next_set(const u64 *map, size_t size, size_t start);
size_t bitmap_next_zero(const u64 *map, size_t size, size_t start);

static inline size_t bitmap_first_set(const u64 *map, size_t size)
{
    return bitmap_next_set(map, size, 0);
}

static inline size_t bitmap_first_zero(const u64 *map, size_t size)
{
    return bitmap_next_zero(map, size, 0);
}

/* First run of `count` clear bits at or after `start` whose first bit is a multiple of `align`. */
size_t bitmap_find_zero_run(const u64 *map, size_t size, size_t start, size_t count, size_t align);

/* Number of set bits among the first `size`. */
size_t bitmap_weight(const u64 *map, size_t size);
