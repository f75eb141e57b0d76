// SPDX-License-Identifier: MIT
// SHA-256's blocks in C. Names follow FIPS 180-4.
#include "lib/sha256_priv.h"

const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t sha256_ror(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* The words of eight names move one place in each round: here the names do. */
#define SHA256_ROUND(a, b, c, d, e, f, g, h, i)                                         \
    do {                                                                                \
        uint32_t t = (h) + (sha256_ror(e, 6) ^ sha256_ror(e, 11) ^ sha256_ror(e, 25)) + \
                     ((g) ^ ((e) & ((f) ^ (g)))) + sha256_k[i] + w[(i) % 16];           \
        (d) += t;                                                                       \
        (h) = t + (sha256_ror(a, 2) ^ sha256_ror(a, 13) ^ sha256_ror(a, 22)) +          \
              (((a) & (b)) | ((c) & ((a) | (b))));                                      \
    } while (0)

/* Sixteen words of the schedule at a time, each in the place of the one sixteen before. */
static inline void sha256_schedule(uint32_t w[16])
{
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        uint32_t x = w[(i + 1) % 16], y = w[(i + 14) % 16];

        w[i] += w[(i + 9) % 16] + (sha256_ror(x, 7) ^ sha256_ror(x, 18) ^ x >> 3) +
                (sha256_ror(y, 17) ^ sha256_ror(y, 19) ^ y >> 10);
    }
}

static void sha256_block(uint32_t state[8], const uint8_t *p)
{
    uint32_t w[16], a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

    for (int i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (int i = 0; i < 64; i += 16) {
        if (i)
            sha256_schedule(w);
#pragma GCC unroll 2
        for (int k = i; k < i + 16; k += 8) {
            SHA256_ROUND(a, b, c, d, e, f, g, h, k);
            SHA256_ROUND(h, a, b, c, d, e, f, g, k + 1);
            SHA256_ROUND(g, h, a, b, c, d, e, f, k + 2);
            SHA256_ROUND(f, g, h, a, b, c, d, e, k + 3);
            SHA256_ROUND(e, f, g, h, a, b, c, d, k + 4);
            SHA256_ROUND(d, e, f, g, h, a, b, c, k + 5);
            SHA256_ROUND(c, d, e, f, g, h, a, b, k + 6);
            SHA256_ROUND(b, c, d, e, f, g, h, a, k + 7);
        }
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

void sha256_blocks_plain(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    for (; blocks; blocks--, p += 64)
        sha256_block(state, p);
}
