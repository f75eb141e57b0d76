// SPDX-License-Identifier: MIT
// SHA-256; see sha256.h.
#include "lib/sha256.h"

#include <string.h>

#include "lib/sha256_priv.h"
#include "lib/str.h"

static void sha256_blocks(struct sha256 *s, const uint8_t *p, size_t blocks)
{
    static void (*way)(uint32_t *, const uint8_t *, size_t);

    if (!way)
        way = sha256_ni_there() ? sha256_blocks_ni : sha256_blocks_plain;
    way(s->state, p, blocks);
}

void sha256_init(struct sha256 *s)
{
    *s = (struct sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                   0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_add(struct sha256 *s, const void *data, size_t len)
{
    const uint8_t *p = data;
    size_t held = s->total % 64, take;

    s->total += len;
    if (held) {
        take = len < 64 - held ? len : 64 - held;
        memcpy(s->block + held, p, take);
        p += take;
        len -= take;
        if (held + take < 64)
            return;
        sha256_blocks(s, s->block, 1);
    }
    if (len >= 64)
        sha256_blocks(s, p, len / 64);
    p += len / 64 * 64;
    memcpy(s->block, p, len % 64);
}

void sha256_end(struct sha256 *s, char hex[SHA256_HEX])
{
    uint64_t bits = s->total * 8;
    uint8_t tail[72] = {0x80}, out[SHA256_SIZE];
    size_t pad = (s->total % 64 < 56 ? 56 : 120) - s->total % 64;

    for (int i = 0; i < 8; i++)
        tail[pad + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    sha256_add(s, tail, pad + 8);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 4; j++)
            out[4 * i + j] = (uint8_t)(s->state[i] >> (24 - 8 * j));
    hex_encode(hex, out, sizeof(out));
}
