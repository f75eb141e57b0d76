// SPDX-License-Identifier: MIT
// The two ways to take whole blocks into a SHA-256: in C, and by the processor's own instructions.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const uint32_t sha256_k[64];

void sha256_blocks_plain(uint32_t state[8], const uint8_t *p, size_t blocks);
/* Only where sha256_ni_there(). */
void sha256_blocks_ni(uint32_t state[8], const uint8_t *p, size_t blocks);
bool sha256_ni_there(void);
