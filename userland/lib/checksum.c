// SPDX-License-Identifier: MIT
// Checksums; see checksum.h. xxHash as its specification (XXH64, version 0.1.1) has it.
#include "lib/checksum.h"

#include <string.h>

void crc32_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320 ^ c >> 1 : c >> 1;
        table[i] = c;
    }
}

uint32_t crc32_add(const uint32_t table[256], uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len--)
        crc = table[(crc ^ *p++) & 0xff] ^ crc >> 8;
    return crc;
}

void crc64_table(uint64_t table[256])
{
    for (uint64_t i = 0; i < 256; i++) {
        uint64_t c = i;

        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xc96c5795d7870f42 ^ c >> 1 : c >> 1;
        table[i] = c;
    }
}

uint64_t crc64_add(const uint64_t table[256], uint64_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len--)
        crc = table[(crc ^ *p++) & 0xff] ^ crc >> 8;
    return crc;
}

void crc32_msb_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i << 24;

        for (int k = 0; k < 8; k++)
            c = c >> 31 ? 0x04c11db7 ^ c << 1 : c << 1;
        table[i] = c;
    }
}

#define XXH_P1 0x9e3779b185ebca87ull
#define XXH_P2 0xc2b2ae3d27d4eb4full
#define XXH_P3 0x165667b19e3779f9ull
#define XXH_P4 0x85ebca77c2b2ae63ull
#define XXH_P5 0x27d4eb2f165667c5ull

static uint64_t xxh_rotate(uint64_t v, int n)
{
    return v << n | v >> (64 - n);
}

static uint64_t xxh_word(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8); /* x86-64: little-endian */
    return v;
}

static uint64_t xxh_round(uint64_t lane, uint64_t word)
{
    return xxh_rotate(lane + word * XXH_P2, 31) * XXH_P1;
}

static void xxh_block(struct xxh64 *h, const uint8_t *p)
{
    for (int i = 0; i < 4; i++)
        h->lane[i] = xxh_round(h->lane[i], xxh_word(p + 8 * i));
}

void xxh64_init(struct xxh64 *h)
{
    *h = (struct xxh64){.lane = {XXH_P1 + XXH_P2, XXH_P2, 0, 0 - XXH_P1}};
}

void xxh64_add(struct xxh64 *h, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len) {
        size_t at = h->total % 32, n = 32 - at < len ? 32 - at : len;

        if (n == 32) {
            xxh_block(h, p);
        } else {
            memcpy(h->held + at, p, n);
            if (at + n == 32)
                xxh_block(h, h->held);
        }
        h->total += n;
        p += n;
        len -= n;
    }
}

/* The four lanes as one. */
static uint64_t xxh_merge(const struct xxh64 *h)
{
    uint64_t v = xxh_rotate(h->lane[0], 1) + xxh_rotate(h->lane[1], 7) +
                 xxh_rotate(h->lane[2], 12) + xxh_rotate(h->lane[3], 18);

    for (int i = 0; i < 4; i++)
        v = (v ^ xxh_round(0, h->lane[i])) * XXH_P1 + XXH_P4;
    return v;
}

uint64_t xxh64_end(const struct xxh64 *h)
{
    const uint8_t *p = h->held, *end = p + h->total % 32;
    uint64_t v = (h->total >= 32 ? xxh_merge(h) : XXH_P5) + h->total;

    for (; end - p >= 8; p += 8)
        v = xxh_rotate(v ^ xxh_round(0, xxh_word(p)), 27) * XXH_P1 + XXH_P4;
    if (end - p >= 4) {
        uint32_t word;

        memcpy(&word, p, 4);
        v = xxh_rotate(v ^ word * XXH_P1, 23) * XXH_P2 + XXH_P3;
        p += 4;
    }
    for (; p < end; p++)
        v = xxh_rotate(v ^ *p * XXH_P5, 11) * XXH_P1;
    v = (v ^ v >> 33) * XXH_P2;
    v = (v ^ v >> 29) * XXH_P3;
    return v ^ v >> 32;
}
