// SPDX-License-Identifier: MIT
// SHA-256 (FIPS 180-4), incremental.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_HEX (2 * SHA256_SIZE + 1)

struct sha256 {
    uint32_t state[8];
    uint64_t total; /* bytes taken so far */
    uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);
void sha256_end(struct sha256 *s, char hex[SHA256_HEX]);
