// SPDX-License-Identifier: MIT
// The checksums of compressed formats. Tables belong to the caller: nothing here keeps state.
#pragma once

#include <stddef.h>
#include <stdint.h>

/* CRC-32 of gzip and xz (IEEE 802.3, reflected): starts as ~0 and is inverted at the end. */
void crc32_table(uint32_t table[256]);
uint32_t crc32_add(const uint32_t table[256], uint32_t crc, const void *data, size_t len);
/* CRC-64 of xz (ECMA-182, reflected): likewise. */
void crc64_table(uint64_t table[256]);
uint64_t crc64_add(const uint64_t table[256], uint64_t crc, const void *data, size_t len);
/* CRC-32 of bzip2: the same polynomial, most significant bit first. */
void crc32_msb_table(uint32_t table[256]);

/* xxHash, 64 bits, seed 0. */
struct xxh64 {
    uint64_t lane[4];
    uint64_t total;
    uint8_t held[32];
};
void xxh64_init(struct xxh64 *h);
void xxh64_add(struct xxh64 *h, const void *data, size_t len);
uint64_t xxh64_end(const struct xxh64 *h);
