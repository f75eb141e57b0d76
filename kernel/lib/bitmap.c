/* SPDX-License-Identifier: MIT
 *
 * Bitmap ranges and searches, a word at a time.
 */
#include "lib/bitmap.h"

/* The bits of word `word` that belong to [start, end). */
static u64 bitmap_word_mask(size_t word, size_t start, size_t end)
{
    u64 mask = ~0ull;

    if (word == start / 64)
        mask &= ~0ull << (start % 64);
    if (word == end / 64)
        mask &= ~(~0ull << (end % 64));
    return mask;
}

void bitmap_set_range(u64 *map, size_t start, size_t count)
{
    size_t end = start + count;

    for (size_t w = start / 64; w * 64 < end; w++)
        map[w] |= bitmap_word_mask(w, start, end);
}

void bitmap_clear_range(u64 *map, size_t start, size_t count)
{
    size_t end = start + count;

    for (size_t w = start / 64; w * 64 < end; w++)
        map[w] &= ~bitmap_word_mask(w, start, end);
}

/* First bit at or after `start` that is set in `map ^ flip`. */
static size_t bitmap_search(const u64 *map, size_t size, size_t start, u64 flip)
{
    if (start >= size)
        return size;

    size_t w = start / 64;
    u64 word = (map[w] ^ flip) & (~0ull << (start % 64));

    while (!word) {
        if (++w * 64 >= size)
            return size;
        word = map[w] ^ flip;
    }

    size_t bit = w * 64 + (size_t)__builtin_ctzll(word);

    return bit < size ? bit : size;
}

size_t bitmap_next_set(const u64 *map, size_t size, size_t start)
{
    return bitmap_search(map, size, start, 0);
}

size_t bitmap_next_zero(const u64 *map, size_t size, size_t start)
{
    return bitmap_search(map, size, start, ~0ull);
}

size_t bitmap_find_zero_run(const u64 *map, size_t size, size_t start, size_t count, size_t align)
{
    if (!count || count > size || !align)
        return size;
    while (start < size) {
        size_t bit = bitmap_next_zero(map, size, start);
        size_t pad = bit % align ? align - bit % align : 0;

        if (pad >= size - bit || count > size - bit - pad)
            return size;
        bit += pad;
        size_t busy = bitmap_next_set(map, bit + count, bit);

        if (busy == bit + count)
            return bit;
        start = busy + 1;
    }
    return size;
}

/* The SWAR sum: the baseline CPU has no POPCNT and the kernel links no compiler library. */
static u64 bitmap_popcount(u64 x)
{
    x -= x >> 1 & 0x5555555555555555ull;
    x = (x & 0x3333333333333333ull) + (x >> 2 & 0x3333333333333333ull);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return x * 0x0101010101010101ull >> 56;
}

size_t bitmap_weight(const u64 *map, size_t size)
{
    size_t weight = 0;

    for (size_t w = 0; w * 64 < size; w++)
        weight += bitmap_popcount(map[w] & bitmap_word_mask(w, 0, size));
    return weight;
}
