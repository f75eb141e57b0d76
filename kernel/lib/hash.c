/* SPDX-License-Identifier: MIT
 *
 * SipHash-2-4 (Aumasson and Bernstein, 2012): two rounds per word, four to finish.
 */
#include "lib/hash.h"
#include "lib/string.h"

struct hash_sip_state {
    u64 v0, v1, v2, v3;
};

static inline u64 hash_rotl(u64 x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void hash_sip_round(struct hash_sip_state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = hash_rotl(s->v1, 13) ^ s->v0;
    s->v3 = hash_rotl(s->v3, 16) ^ s->v2;
    s->v0 = hash_rotl(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = hash_rotl(s->v1, 17) ^ s->v2;
    s->v3 = hash_rotl(s->v3, 21) ^ s->v0;
    s->v2 = hash_rotl(s->v2, 32);
}

static inline void hash_sip_word(struct hash_sip_state *s, u64 m)
{
    s->v3 ^= m;
    hash_sip_round(s);
    hash_sip_round(s);
    s->v0 ^= m;
}

u64 hash_sip(const struct hash_key *key, const void *data, size_t n)
{
    struct hash_sip_state s = {
        .v0 = key->k0 ^ 0x736f6d6570736575ull,
        .v1 = key->k1 ^ 0x646f72616e646f6dull,
        .v2 = key->k0 ^ 0x6c7967656e657261ull,
        .v3 = key->k1 ^ 0x7465646279746573ull,
    };
    const u8 *p = data;
    u64 last = (u64)n << 56;
    u64 m;

    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&m, p, 8);
        hash_sip_word(&s, m);
    }
    m = 0;
    memcpy(&m, p, n);
    hash_sip_word(&s, last | m);
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        hash_sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
