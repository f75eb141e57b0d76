// SPDX-License-Identifier: MIT
// Zstandard; see zstd.h, and fse.h for its entropy coding. A block, at most 128 KiB, is read whole
// and then decoded whole into the window.
#include "lib/zstd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/checksum.h"
#include "lib/fse.h"
#include "lib/window.h"

#define ZSTD_WINDOW_MAX (128ull << 20)
#define ZSTD_BLOCK_MAX (128u * 1024)
#define ZSTD_MAGIC 0xfd2fb528u
#define ZSTD_SKIP 0x184d2a50u
#define ZSTD_CUT "zstd data is truncated"
#define ZSTD_BAD "zstd data is corrupt"

enum { ZSTD_LL, ZSTD_OF, ZSTD_ML };
enum zstd_state { ZSTD_FRAME, ZSTD_BLOCK, ZSTD_END, ZSTD_DONE };

struct zstd {
    struct source src;
    struct source_bytes in;
    enum zstd_state state;
    bool any; /* a frame has been read */
    bool checksum;
    bool last; /* the block at hand is the frame's last */
    bool sized;
    uint64_t content; /* of the frame, when sized */
    uint64_t window;
    uint32_t block_max;
    struct xxh64 sum;
    struct window out;
    /* what blocks of a frame hand on */
    struct huf_table huf;
    struct fse_table table[3];
    bool have[3];
    uint32_t rep[3];
    /* the block at hand */
    size_t len;
    uint8_t data[ZSTD_BLOCK_MAX + BITS_PAD];
    size_t literals, literal_at;
    uint8_t literal[ZSTD_BLOCK_MAX];
};

static const uint32_t zstd_ll_base[36] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,   9,   10,  11,   12,   13,   14,   15,    16,    18,
    20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536};
static const uint8_t zstd_ll_bits[36] = {0, 0, 0, 0, 0, 0,  0,  0,  0,  0,  0,  0,
                                         0, 0, 0, 0, 1, 1,  1,  1,  2,  2,  3,  3,
                                         4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const uint8_t zstd_ml_bits[53] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0,  0,  0,  0,  0,  0, 0,
                                         0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0,  0,  0,  1,  1,  1, 1,
                                         2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const uint32_t zstd_ml_base[53] = {
    3,  4,  5,  6,  7,  8,  9,  10,  11,  12,  13,   14,   15,   16,   17,    18,    19,   20,
    21, 22, 23, 24, 25, 26, 27, 28,  29,  30,  31,   32,   33,   34,   35,    37,    39,   41,
    43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16387, 32771, 65539};

/* The tables of a block that brings none of its own (RFC 8878, 3.1.1.3.2.2). */
static const int16_t zstd_ll_default[36] = {4, 3, 2, 2, 2, 2, 2, 2, 2,  2,  2,  2,
                                            2, 1, 1, 1, 2, 2, 2, 2, 2,  2,  2,  2,
                                            2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1};
static const int16_t zstd_ml_default[53] = {
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,  1,  1,  1,  1,  1,  1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1};
static const int16_t zstd_of_default[29] = {1, 1, 1, 1, 1, 1, 2, 2, 2, 1,  1,  1,  1,  1, 1,
                                            1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1};

static const struct {
    const int16_t *share;
    unsigned symbols, log; /* of the default */
    unsigned max, log_max; /* what a table may have */
} zstd_kind[3] = {{zstd_ll_default, 36, 6, 35, 9},
                  {zstd_of_default, 29, 5, 31, 8},
                  {zstd_ml_default, 53, 6, 52, 9}};

static int zstd_fail(struct zstd *z, const char *why)
{
    z->src.why = why;
    return -EINVAL;
}

static int zstd_get(struct zstd *z, void *data, size_t len)
{
    return source_exact(&z->in, data, len, ZSTD_CUT, &z->src.why);
}

static uint64_t zstd_number(const uint8_t *p, size_t len)
{
    uint64_t v = 0;

    while (len--)
        v = v << 8 | p[len];
    return v;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static int zstd_skip(struct zstd *z)
{
    uint8_t h[4], waste[4096];
    int err = zstd_get(z, h, 4);
    uint64_t left = err ? 0 : zstd_number(h, 4);

    while (!err && left) {
        size_t n = left < sizeof(waste) ? left : sizeof(waste);

        err = zstd_get(z, waste, n);
        left -= n;
    }
    z->any = true;
    return err;
}

static int zstd_window(struct zstd *z, bool single)
{
    size_t size;

    if (single)
        z->window = z->content;
    if (z->window > ZSTD_WINDOW_MAX)
        return zstd_fail(z, "zstd data needs a window of more than 128 MiB");
    if (z->window < 1024)
        z->window = 1024;
    z->block_max = z->window < ZSTD_BLOCK_MAX ? (uint32_t)z->window : ZSTD_BLOCK_MAX;
    size = z->window + z->block_max;
    if (size > z->out.size) {
        free(z->out.data);
        z->out.data = mem_alloc(size);
        z->out.size = size;
        z->out.head = 0;
    }
    z->out.base = z->out.made;
    return 0;
}

/* A frame's header after its magic number. */
static int zstd_header(struct zstd *z)
{
    static const uint8_t id_size[4] = {0, 1, 2, 4}, content_size[4] = {0, 2, 4, 8};
    uint8_t flags, h[8];
    int err = zstd_get(z, &flags, 1);
    bool single = flags & 0x20;
    size_t n = content_size[flags >> 6];

    if (err)
        return err;
    if (flags & 8)
        return zstd_fail(z, ZSTD_BAD);
    if (!single) {
        err = zstd_get(z, h, 1);
        if (err)
            return err;
        z->window = 1ull << (10 + (h[0] >> 3));
        z->window += z->window / 8 * (h[0] & 7);
    }
    err = zstd_get(z, h, id_size[flags & 3]);
    if (err)
        return err;
    if (zstd_number(h, id_size[flags & 3]))
        return zstd_fail(z, "zstd data needs a dictionary");
    n = !n && single ? 1 : n;
    err = zstd_get(z, h, n);
    if (err)
        return err;
    z->content = zstd_number(h, n) + (n == 2 ? 256 : 0);
    z->sized = n;
    z->checksum = flags & 4;
    return zstd_window(z, single);
}

/* The next frame, or the end. */
static int zstd_frame(struct zstd *z)
{
    uint8_t h[4];
    int c = source_byte(&z->in, &z->src.why), err;
    uint32_t magic;

    if (c == -1 && z->any) {
        z->state = ZSTD_DONE;
        return 0;
    }
    if (c < -1)
        return c;
    h[0] = (uint8_t)c;
    err = c < 0 ? zstd_fail(z, ZSTD_CUT) : zstd_get(z, h + 1, 3);
    if (err)
        return err;
    magic = (uint32_t)zstd_number(h, 4);
    if ((magic & ~15u) == ZSTD_SKIP)
        return zstd_skip(z);
    if (magic != ZSTD_MAGIC)
        return zstd_fail(z, "not zstd data");
    err = zstd_header(z);
    if (err)
        return err;
    z->any = true;
    z->huf.bits = 0;
    memset(z->have, 0, sizeof(z->have));
    z->rep[0] = 1;
    z->rep[1] = 4;
    z->rep[2] = 8;
    xxh64_init(&z->sum);
    z->state = ZSTD_BLOCK;
    return 0;
}

static int zstd_end(struct zstd *z)
{
    uint8_t h[4];
    int err = z->checksum ? zstd_get(z, h, 4) : 0;

    if (err)
        return err;
    if (z->sized && z->content != z->out.made - z->out.base)
        return zstd_fail(z, "zstd data is corrupt: size does not match");
    if (z->checksum && zstd_number(h, 4) != (xxh64_end(&z->sum) & 0xffffffff))
        return zstd_fail(z, "zstd data is corrupt: checksum does not match");
    z->state = ZSTD_FRAME;
    return 0;
}

/* ---- literals -------------------------------------------------------------------------------- */

/* Literals as they are, or one byte repeated: the bytes the section took. */
static int zstd_literals_plain(struct zstd *z)
{
    static const uint8_t head_size[4] = {1, 2, 1, 3};
    const uint8_t *p = z->data;
    unsigned form = p[0] >> 2 & 3;
    size_t head = head_size[form];
    bool run = p[0] & 1;
    uint64_t n;

    if (z->len < head)
        return -EINVAL;
    n = zstd_number(p, head) >> (head == 1 ? 3 : 4);
    if (n > ZSTD_BLOCK_MAX || z->len - head < (run ? 1 : n))
        return -EINVAL;
    z->literals = n;
    if (run)
        memset(z->literal, p[head], n);
    else
        memcpy(z->literal, p + head, n);
    return (int)(head + (run ? 1 : n));
}

/* Four streams, each but the last of a quarter, rounded up. */
static int zstd_literals_four(struct zstd *z, const uint8_t *p, size_t len)
{
    size_t part = (z->literals + 3) / 4, at = 6;

    if (len < 10 || z->literals < 6)
        return -EINVAL;
    for (int i = 0; i < 4; i++) {
        size_t n = i < 3 ? zstd_number(p + 2 * i, 2) : len - at, done = (size_t)i * part;

        if (n > len - at || done > z->literals ||
            huf_decode(&z->huf, p + at, n, z->literal + done,
                       i < 3 && z->literals - done > part ? part : z->literals - done))
            return -EINVAL;
        at += n;
    }
    return 0;
}

static int zstd_literals_coded(struct zstd *z)
{
    static const uint8_t head_size[4] = {3, 3, 4, 5}, size_bits[4] = {10, 10, 14, 18};
    const uint8_t *p = z->data;
    unsigned form = p[0] >> 2 & 3;
    size_t head = head_size[form], bits = size_bits[form], packed;
    uint64_t v;
    int tree = 0, err;

    if (z->len < head)
        return -EINVAL;
    v = zstd_number(p, head) >> 4;
    z->literals = v & ((1u << bits) - 1);
    packed = v >> bits & ((1u << bits) - 1);
    if (z->literals > ZSTD_BLOCK_MAX || packed > z->len - head)
        return -EINVAL;
    p += head;
    if ((z->data[0] & 3) == 2)
        tree = huf_read(&z->huf, p, packed);
    if (tree < 0 || !z->huf.bits)
        return -EINVAL;
    p += tree;
    err = form ? zstd_literals_four(z, p, packed - (size_t)tree)
               : huf_decode(&z->huf, p, packed - (size_t)tree, z->literal, z->literals);
    return err ? err : (int)(head + packed);
}

/* ---- sequences ------------------------------------------------------------------------------- */

/* One of the three tables: the bytes it took, or -EINVAL. */
static int zstd_table(struct zstd *z, int kind, unsigned mode, const uint8_t *p, size_t len)
{
    struct fse_table *t = &z->table[kind];
    int took = 0;

    if (mode == 0) {
        fse_build(t, zstd_kind[kind].share, zstd_kind[kind].symbols, zstd_kind[kind].log);
    } else if (mode == 1) {
        if (!len || p[0] > zstd_kind[kind].max)
            return -EINVAL;
        fse_single(t, p[0]);
        took = 1;
    } else if (mode == 2) {
        took = fse_read(t, p, len, zstd_kind[kind].max, zstd_kind[kind].log_max);
    } else if (!z->have[kind]) {
        return -EINVAL;
    }
    z->have[kind] = took >= 0;
    return took;
}

/* What an offset's value means: 1 to 3 are earlier offsets. 0 when it means nothing. */
static uint32_t zstd_offset(struct zstd *z, uint32_t value, bool no_literals)
{
    uint32_t offset, which = value - 1 + no_literals;

    if (value > 3) {
        offset = value - 3;
        which = 2;
    } else if (which == 0) {
        return z->rep[0];
    } else {
        offset = which == 3 ? z->rep[0] - 1 : z->rep[which];
    }
    if (which != 1)
        z->rep[2] = z->rep[1];
    z->rep[1] = z->rep[0];
    z->rep[0] = offset;
    return offset;
}

static int zstd_execute(struct zstd *z, uint32_t literals, uint32_t offset, uint32_t match,
                        uint64_t limit)
{
    uint64_t space = limit - z->out.made;

    if (literals > z->literals - z->literal_at || (uint64_t)literals + match > space)
        return -EINVAL;
    window_add(&z->out, z->literal + z->literal_at, literals);
    z->literal_at += literals;
    if (!window_reaches(&z->out, offset, z->window))
        return -EINVAL;
    window_copy(&z->out, offset, match);
    return 0;
}

static int zstd_sequences_run(struct zstd *z, uint32_t count, struct bits *b)
{
    uint64_t limit = z->out.made + z->block_max;
    uint32_t state[3];

    for (int k = 0; k < 3; k++)
        state[k] = bits_take(b, z->table[k].log);
    for (uint32_t i = 0; i < count; i++) {
        static const uint8_t order[3] = {ZSTD_LL, ZSTD_ML, ZSTD_OF};
        const struct fse_cell *c[3];
        uint32_t offset, match, literals;

        for (int k = 0; k < 3; k++)
            c[k] = &z->table[k].cell[state[k]];
        offset = (1u << c[ZSTD_OF]->symbol) + bits_take(b, c[ZSTD_OF]->symbol);
        match = zstd_ml_base[c[ZSTD_ML]->symbol] + bits_take(b, zstd_ml_bits[c[ZSTD_ML]->symbol]);
        literals =
            zstd_ll_base[c[ZSTD_LL]->symbol] + bits_take(b, zstd_ll_bits[c[ZSTD_LL]->symbol]);
        offset = zstd_offset(z, offset, literals == 0);
        if (b->pos < 0 || zstd_execute(z, literals, offset, match, limit))
            return -EINVAL;
        for (int k = 0; k < 3 && i + 1 < count; k++)
            state[order[k]] = c[order[k]]->base + bits_take(b, c[order[k]]->bits);
    }
    return b->pos ? -EINVAL : 0;
}

/* The block's sequences, which begin at p. */
static int zstd_sequences(struct zstd *z, const uint8_t *p, size_t len)
{
    uint32_t count;
    struct bits b;
    unsigned modes;
    size_t at;

    if (!len)
        return -EINVAL;
    at = p[0] < 128 ? 1 : p[0] < 255 ? 2 : 3;
    if (len < at)
        return -EINVAL;
    count = at == 1   ? p[0]
            : at == 2 ? ((uint32_t)(p[0] - 128) << 8) + p[1]
                      : p[1] + ((uint32_t)p[2] << 8) + 0x7f00;
    if (!count)
        return len == at ? 0 : -EINVAL;
    if (len == at || p[at] & 3)
        return -EINVAL;
    modes = p[at++];
    for (int k = 0; k < 3; k++) {
        int took = zstd_table(z, k, modes >> (6 - 2 * k) & 3, p + at, len - at);

        if (took < 0)
            return took;
        at += (size_t)took;
    }
    if (bits_open(&b, p + at, len - at))
        return -EINVAL;
    return zstd_sequences_run(z, count, &b);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static int zstd_coded(struct zstd *z)
{
    uint64_t limit = z->out.made + z->block_max;
    size_t rest;
    int took;

    if (!z->len)
        return -EINVAL;
    z->literal_at = 0;
    took = z->data[0] & 2 ? zstd_literals_coded(z) : zstd_literals_plain(z);
    if (took < 0 || zstd_sequences(z, z->data + took, z->len - (size_t)took))
        return -EINVAL;
    rest = z->literals - z->literal_at;
    if (rest > limit - z->out.made)
        return -EINVAL;
    window_add(&z->out, z->literal + z->literal_at, rest);
    return 0;
}

static int zstd_block(struct zstd *z)
{
    uint8_t h[3], c;
    uint32_t v, size;
    int err;

    if (z->last) {
        z->last = false;
        z->state = ZSTD_END;
        return 0;
    }
    err = zstd_get(z, h, 3);
    if (err)
        return err;
    v = (uint32_t)zstd_number(h, 3);
    size = v >> 3;
    z->last = v & 1;
    if (size > z->block_max || (v >> 1 & 3) == 3)
        return zstd_fail(z, ZSTD_BAD);
    if ((v >> 1 & 3) == 1) {
        err = zstd_get(z, &c, 1);
        while (!err && size--)
            window_put(&z->out, c);
        return err;
    }
    z->len = size;
    err = zstd_get(z, z->data, size);
    if (err)
        return err;
    if (v >> 1 & 3)
        return zstd_coded(z) ? zstd_fail(z, ZSTD_BAD) : 0;
    window_add(&z->out, z->data, size);
    return 0;
}

static ssize_t zstd_read(struct source *s, void *data, size_t len)
{
    struct zstd *z = (struct zstd *)s;
    size_t n;

    while (!window_pending(&z->out) && z->state != ZSTD_DONE) {
        int err = z->state == ZSTD_FRAME   ? zstd_frame(z)
                  : z->state == ZSTD_BLOCK ? zstd_block(z)
                                           : zstd_end(z);

        if (err)
            return err;
    }
    n = window_take(&z->out, data, len);
    if (z->checksum)
        xxh64_add(&z->sum, data, n);
    return (ssize_t)n;
}

static void zstd_free(struct source *s)
{
    struct zstd *z = (struct zstd *)s;

    free(z->out.data);
    free(z);
}

struct source *zstd_new(struct source *from)
{
    struct zstd *z = mem_alloc(sizeof(*z));

    z->src.read = zstd_read;
    z->src.free = zstd_free;
    z->in.from = from;
    return &z->src;
}
