// SPDX-License-Identifier: MIT
// Compressed formats by their first bytes; see decode.h.
#include "lib/decode.h"

#include <string.h>

#include "lib/bzip2.h"
#include "lib/inflate.h"
#include "lib/xz.h"
#include "lib/zstd.h"

static struct source *decode_none(struct source *from)
{
    return NULL;
}

static const struct {
    uint8_t magic[DECODE_HEAD];
    uint8_t len;
    enum decode_kind kind;
} decode_heads[] = {{{0x1f, 0x8b, 8}, 3, DECODE_GZIP},
                    {{'B', 'Z', 'h'}, 3, DECODE_BZIP2},
                    {{0xfd, '7', 'z', 'X', 'Z', 0}, 6, DECODE_XZ},
                    {{0x28, 0xb5, 0x2f, 0xfd}, 4, DECODE_ZSTD}};

enum decode_kind decode_detect(const uint8_t *head, size_t len)
{
    for (size_t i = 0; i < sizeof(decode_heads) / sizeof(decode_heads[0]); i++)
        if (len >= decode_heads[i].len && !memcmp(head, decode_heads[i].magic, decode_heads[i].len))
            return decode_heads[i].kind;
    /* a skippable frame of zstd: 0x184d2a50 to 0x184d2a5f */
    if (len >= 4 && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d &&
        head[3] == 0x18)
        return DECODE_ZSTD;
    return DECODE_PLAIN;
}

struct source *decode_new(enum decode_kind kind, struct source *from)
{
    static struct source *(*const makers[])(struct source *) = {
        [DECODE_PLAIN] = decode_none, [DECODE_GZIP] = inflate_new, [DECODE_BZIP2] = bzip2_new,
        [DECODE_XZ] = xz_new,         [DECODE_ZSTD] = zstd_new,
    };

    return makers[kind](from);
}
