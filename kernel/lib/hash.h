/* SPDX-License-Identifier: MIT
 *
 * Hash functions. hash_u64 and hash_fnv1a are fast and predictable: for tables whose keys no
 * adversary chooses. hash_sip is SipHash-2-4 under a secret key: for names, addresses and
 * everything else that comes from users or the wire.
 */
#pragma once

#include "lib/types.h"

/* A bijective mix of all 64 bits (the finalizer of splitmix64). */
static inline u64 hash_u64(u64 x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

#define HASH_FNV1A_INIT 0xcbf29ce484222325ull

/* FNV-1a over `n` bytes; feed the result back as `h` to continue. */
static inline u64 hash_fnv1a(u64 h, const void *data, size_t n)
{
    const u8 *p = data;

    for (; n; n--)
        h = (h ^ *p++) * 0x100000001b3ull;
    return h;
}

struct hash_key {
    u64 k0, k1;
};

u64 hash_sip(const struct hash_key *key, const void *data, size_t n);
