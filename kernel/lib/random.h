/* SPDX-License-Identifier: MIT
 *
 * Random numbers: one ChaCha20 generator for the whole kernel, with fast key erasure (each request
 * replaces the key, so that a later leak of the state reveals nothing already handed out).
 *
 * Entropy comes from the CPU's instructions through up.h, from the boot loader's seed and from the
 * timing of interrupts, all through random_mix. Context: any, interrupts included.
 */
#pragma once

#include "lib/types.h"

/* Stirs `data` into the state; never makes it worse, for any data. */
void random_mix(const void *data, size_t size);

/* Declares that what was mixed in lately holds this much entropy. */
void random_credit(unsigned bits);

/* True once 128 bits have been credited, the CPU's own instruction included: until then the
 * numbers are fit for hash keys, not for cryptography. */
bool random_ready(void);

void random_bytes(void *out, size_t size);

static inline u64 random_u64(void)
{
    u64 v;

    random_bytes(&v, sizeof(v));
    return v;
}

/* The core, for tests: the 64-byte block of RFC 8439 for a 32-byte key. */
void random_chacha20_block(const u32 key[8], u32 counter, const u32 nonce[3], u8 out[64]);
