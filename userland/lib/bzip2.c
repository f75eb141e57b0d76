// SPDX-License-Identifier: MIT
// bzip2; see bzip2.h.
//
// A stream is "BZh" and a level, blocks, an end mark and a checksum of the blocks' checksums. A
// block undoes, in this order: Huffman codes in groups of 50 symbols, a run-length code of zeros
// over move-to-front indexes, the Burrows-Wheeler transform, and a run-length code of bytes. The
// last one is undone while the reader takes bytes.
#include "lib/bzip2.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/checksum.h"

#define BZ_BLOCK_MAX 900000u
#define BZ_CODE_MAX 20
#define BZ_SYMBOLS 258
#define BZ_GROUP 50
#define BZ_SELECTORS 18002
#define BZ_BAD "bzip2 data is corrupt"
#define BZ_BLOCK_MARK 0x314159265359ull
#define BZ_END_MARK 0x177245385090ull

struct bz_code {
    int shortest;
    uint32_t limit[BZ_CODE_MAX + 2]; /* of codes of each length: the first that is longer */
    uint32_t first[BZ_CODE_MAX + 2]; /* the first code of each length */
    uint16_t index[BZ_CODE_MAX + 2]; /* where its symbols begin */
    uint16_t symbol[BZ_SYMBOLS];
};

enum bz_state { BZ_STREAM, BZ_BLOCK, BZ_OUTPUT, BZ_DONE };

struct bz {
    struct source src;
    struct source_bytes in;
    enum bz_state state;
    bool any; /* a stream has been read */
    uint64_t bits;
    int nbits;
    uint32_t level;
    uint32_t crc, crc_want, crc_stream;
    /* the block at hand */
    uint8_t used[256];
    int nused;
    uint8_t selector[BZ_SELECTORS];
    uint32_t nselectors, ngroups;
    struct bz_code code[6];
    uint32_t size, left, at; /* bytes before the last run-length code */
    int last, same;          /* the byte before, how often it came; -1 */
    uint32_t repeat;         /* of `last`, still to be handed out */
    uint32_t table[256];
    uint32_t back[BZ_BLOCK_MAX]; /* byte, and above it where the next one is */
};

static int bz_fail(struct bz *z, const char *why)
{
    z->src.why = why;
    return -EINVAL;
}

/* `n` <= 32 bits. */
static int bz_get(struct bz *z, int n, uint32_t *out)
{
    while (z->nbits < n) {
        int c = source_byte(&z->in, &z->src.why);

        if (c < 0)
            return c == -1 ? bz_fail(z, "bzip2 data is truncated") : c;
        z->bits = z->bits << 8 | (uint32_t)c;
        z->nbits += 8;
    }
    z->nbits -= n;
    *out = (uint32_t)(z->bits >> z->nbits & ((1ull << n) - 1));
    return 0;
}

/* A stream's header, or the end. */
static int bz_stream(struct bz *z)
{
    uint8_t h[3];
    int c = source_byte(&z->in, &z->src.why), err;

    if (c == -1 && z->any) {
        z->state = BZ_DONE;
        return 0;
    }
    if (c < -1)
        return c;
    err = source_exact(&z->in, h, 3, "bzip2 data is truncated", &z->src.why);
    if (err)
        return err;
    if (c != 'B' || h[0] != 'Z' || h[1] != 'h' || h[2] < '1' || h[2] > '9')
        return bz_fail(z, "not bzip2 data");
    z->level = h[2] - '0';
    z->any = true;
    z->crc_stream = 0;
    z->state = BZ_BLOCK;
    return 0;
}

/* Which bytes the block has. */
static int bz_used(struct bz *z)
{
    uint32_t rows, row;
    int err = bz_get(z, 16, &rows);

    z->nused = 0;
    for (int i = 0; i < 16 && !err; i++) {
        if (!(rows >> (15 - i) & 1))
            continue;
        err = bz_get(z, 16, &row);
        for (int k = 0; k < 16 && !err; k++)
            if (row >> (15 - k) & 1)
                z->used[z->nused++] = (uint8_t)(16 * i + k);
    }
    return !err && !z->nused ? bz_fail(z, BZ_BAD) : err;
}

/* Which code each group of symbols uses, by move-to-front. */
static int bz_selectors(struct bz *z)
{
    uint8_t front[6] = {0, 1, 2, 3, 4, 5};
    int err = bz_get(z, 3, &z->ngroups);
    uint32_t bit = 0;

    err = err ? err : bz_get(z, 15, &z->nselectors);
    if (err)
        return err;
    if (z->ngroups < 2 || z->ngroups > 6 || !z->nselectors)
        return bz_fail(z, BZ_BAD);
    for (uint32_t i = 0; i < z->nselectors; i++) {
        uint32_t n = 0;
        uint8_t which;

        while ((err = bz_get(z, 1, &bit)) == 0 && bit)
            if (++n == z->ngroups)
                return bz_fail(z, BZ_BAD);
        if (err)
            return err;
        which = front[n];
        memmove(front + 1, front, n);
        front[0] = which;
        if (i < BZ_SELECTORS) /* some writers give more than a block can use */
            z->selector[i] = which;
    }
    z->nselectors = z->nselectors < BZ_SELECTORS ? z->nselectors : BZ_SELECTORS;
    return 0;
}

static int bz_code_build(struct bz *z, struct bz_code *c, const uint8_t *len, int n)
{
    uint32_t count[BZ_CODE_MAX + 2] = {0}, code = 0;
    uint16_t index = 0;

    for (int i = 0; i < n; i++)
        count[len[i]]++;
    for (c->shortest = 1; !count[c->shortest]; c->shortest++)
        ;
    for (int l = 1; l <= BZ_CODE_MAX; l++) {
        c->first[l] = code;
        c->index[l] = index;
        for (int i = 0; i < n; i++)
            if (len[i] == l)
                c->symbol[index++] = (uint16_t)i;
        code += count[l];
        c->limit[l] = code;
        if (code > 1u << l)
            return bz_fail(z, BZ_BAD);
        code <<= 1;
    }
    return 0;
}

/* A code's lengths, each as a difference from the one before. */
static int bz_code_read(struct bz *z, struct bz_code *c, int n)
{
    uint8_t len[BZ_SYMBOLS];
    uint32_t now, bit;
    int err = bz_get(z, 5, &now);

    for (int i = 0; i < n && !err; i++) {
        for (;;) {
            if (now < 1 || now > BZ_CODE_MAX)
                return bz_fail(z, BZ_BAD);
            err = bz_get(z, 1, &bit);
            if (err || !bit)
                break;
            err = bz_get(z, 1, &bit);
            if (err)
                break;
            now += bit ? -1u : 1;
        }
        len[i] = (uint8_t)now;
    }
    return err ? err : bz_code_build(z, c, len, n);
}

static int bz_symbol(struct bz *z, const struct bz_code *c)
{
    uint32_t v, bit;
    int err = bz_get(z, c->shortest, &v);

    for (int l = c->shortest; !err && l <= BZ_CODE_MAX; l++) {
        if (v < c->limit[l] && v >= c->first[l])
            return c->symbol[c->index[l] + (v - c->first[l])];
        err = bz_get(z, 1, &bit);
        v = v << 1 | (err ? 0 : bit);
    }
    return err ? err : bz_fail(z, BZ_BAD);
}

/* The block's bytes before the transform, into the low bytes of z->back. */
static int bz_symbols(struct bz *z)
{
    uint32_t max = z->level * 100000, group = 0, left = 0, run = 0, weight = 1;
    uint8_t front[256];

    memcpy(front, z->used, (size_t)z->nused);
    for (z->size = 0;;) {
        int s;
        uint8_t c;

        if (!left--) {
            if (group == z->nselectors)
                return bz_fail(z, BZ_BAD);
            group++;
            left = BZ_GROUP - 1;
        }
        s = bz_symbol(z, &z->code[z->selector[group - 1]]);
        if (s < 0)
            return s;
        if (s <= 1) { /* digits of a run of the front byte, in a base-2 code without a zero */
            run += weight << s;
            weight <<= 1;
            if (run > max - z->size)
                return bz_fail(z, BZ_BAD);
            continue;
        }
        while (run) {
            z->back[z->size++] = front[0];
            run--;
        }
        weight = 1;
        if (s == z->nused + 1)
            return 0;
        if (z->size == max)
            return bz_fail(z, BZ_BAD);
        c = front[s - 1];
        memmove(front + 1, front, (size_t)s - 1);
        front[0] = c;
        z->back[z->size++] = c;
    }
}

/* Makes z->back a list: each byte, and where the byte after it is. */
static int bz_transform(struct bz *z, uint32_t origin)
{
    uint32_t count[256] = {0}, sum = 0;

    if (origin >= z->size)
        return bz_fail(z, BZ_BAD);
    for (uint32_t i = 0; i < z->size; i++)
        count[z->back[i] & 0xff]++;
    for (int i = 0; i < 256; i++) {
        uint32_t n = count[i];

        count[i] = sum;
        sum += n;
    }
    for (uint32_t i = 0; i < z->size; i++)
        z->back[count[z->back[i] & 0xff]++] |= i << 8;
    z->at = z->back[origin] >> 8;
    z->left = z->size;
    z->last = -1;
    z->same = 0;
    z->repeat = 0;
    z->crc = ~0u;
    return 0;
}

static int bz_stream_end(struct bz *z)
{
    uint32_t crc, pad;
    int err = bz_get(z, 16, &crc);
    uint32_t high = crc;

    err = err ? err : bz_get(z, 16, &crc);
    err = err ? err : bz_get(z, z->nbits & 7, &pad);
    if (err)
        return err;
    if ((high << 16 | crc) != z->crc_stream)
        return bz_fail(z, "bzip2 data is corrupt: checksum does not match");
    /* fewer than eight bits are ever held, so nothing of what follows has been taken */
    z->state = BZ_STREAM;
    return 0;
}

/* A block's header and all of its symbols; or the stream's end. */
static int bz_block(struct bz *z)
{
    uint32_t high, low, randomised, origin;
    uint64_t mark;
    int err = bz_get(z, 24, &high);

    err = err ? err : bz_get(z, 24, &low);
    if (err)
        return err;
    mark = (uint64_t)high << 24 | low;
    if (mark == BZ_END_MARK)
        return bz_stream_end(z);
    if (mark != BZ_BLOCK_MARK)
        return bz_fail(z, BZ_BAD);
    err = bz_get(z, 32, &z->crc_want);
    err = err ? err : bz_get(z, 1, &randomised);
    err = err ? err : bz_get(z, 24, &origin);
    if (!err && randomised)
        return bz_fail(z, "randomised bzip2 blocks are not supported");
    err = err ? err : bz_used(z);
    err = err ? err : bz_selectors(z);
    for (uint32_t i = 0; i < z->ngroups && !err; i++)
        err = bz_code_read(z, &z->code[i], z->nused + 2);
    err = err ? err : bz_symbols(z);
    err = err ? err : bz_transform(z, origin);
    z->state = err ? z->state : BZ_OUTPUT;
    return err;
}

/* The next byte of the block before its last run-length code. */
static int bz_next(struct bz *z)
{
    uint32_t entry = z->back[z->at];

    z->at = entry >> 8;
    z->left--;
    return (int)(entry & 0xff);
}

/* Hands out bytes of the block: four equal ones are followed by a count of further ones. */
static size_t bz_output(struct bz *z, uint8_t *out, size_t len)
{
    size_t n = 0;

    while (n < len && (z->repeat || z->left)) {
        if (z->repeat) {
            z->repeat--;
        } else {
            int c = bz_next(z);

            if (z->same == 4) {
                z->repeat = (uint32_t)c;
                z->same = 0;
                continue;
            }
            z->same = c == z->last ? z->same + 1 : 1;
            z->last = c;
        }
        out[n++] = (uint8_t)z->last;
    }
    for (size_t i = 0; i < n; i++)
        z->crc = z->table[z->crc >> 24 ^ out[i]] ^ z->crc << 8;
    return n;
}

static int bz_block_end(struct bz *z)
{
    if (~z->crc != z->crc_want)
        return bz_fail(z, "bzip2 data is corrupt: checksum does not match");
    z->crc_stream = (z->crc_stream << 1 | z->crc_stream >> 31) ^ z->crc_want;
    z->state = BZ_BLOCK;
    return 0;
}

static ssize_t bz_read(struct source *s, void *data, size_t len)
{
    struct bz *z = (struct bz *)s;

    while (z->state != BZ_DONE) {
        int err;

        if (z->state == BZ_OUTPUT) {
            size_t n = bz_output(z, data, len);

            if (n)
                return (ssize_t)n;
            err = bz_block_end(z);
        } else {
            err = z->state == BZ_STREAM ? bz_stream(z) : bz_block(z);
        }
        if (err)
            return err;
    }
    return 0;
}

static void bz_free(struct source *s)
{
    free(s);
}

struct source *bzip2_new(struct source *from)
{
    struct bz *z = mem_alloc(sizeof(*z));

    z->src.read = bz_read;
    z->src.free = bz_free;
    z->in.from = from;
    crc32_msb_table(z->table);
    return &z->src;
}
