// SPDX-License-Identifier: MIT
// Gunzip; see inflate.h.
//
// One symbol at a time into a 64 KiB ring, whose upper bound on unread bytes keeps the 32 KiB
// history intact. Codes of up to INF_FAST bits decode by one table look-up; longer ones walk the
// canonical code bit by bit (RFC 1951 3.2.2).
#include "lib/inflate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/checksum.h"

#define INF_RING 65536u
#define INF_MASK (INF_RING - 1)
#define INF_WINDOW 32768u
#define INF_FAST 11

struct inf_code {
    uint16_t count[16];           /* codes of each length */
    uint16_t symbol[288];         /* in canonical order */
    uint16_t fast[1 << INF_FAST]; /* length << 12 | symbol; 0 when longer or unused */
};

enum inf_state { INF_HEADER, INF_BLOCK, INF_STORED, INF_CODES, INF_TRAILER, INF_DONE };

struct inflate {
    struct source src;
    enum inf_state state;
    bool last;       /* the current block is the member's last */
    bool any;        /* a member has been finished */
    uint32_t stored; /* bytes left of a stored block */
    uint32_t crc;
    uint32_t size;   /* bytes of this member so far, modulo 2^32 */
    uint64_t made;   /* bytes written to the ring, ever */
    uint64_t member; /* `made` where this member began: history may not reach before it */
    uint64_t taken;  /* bytes handed to the reader, ever */
    uint64_t bits;
    int nbits;
    struct source_bytes in;
    struct inf_code lit, dist;
    uint32_t crc_table[256];
    uint8_t ring[INF_RING];
};

static const uint16_t inf_len_base[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                          15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                          67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t inf_len_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                          2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t inf_dist_base[30] = {
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t inf_dist_extra[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                           6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

static int inf_fail(struct inflate *z, const char *why)
{
    z->src.why = why;
    return -EINVAL;
}

/* The next input byte, 0..255; -1 at the end; other -errno. */
static int inf_byte(struct inflate *z)
{
    return source_byte(&z->in, &z->src.why);
}

/* Makes at least `n` <= 48 bits available; at the end of input, fails. */
static int inf_need(struct inflate *z, int n)
{
    while (z->nbits < n) {
        int c = inf_byte(z);

        if (c == -1)
            return inf_fail(z, "gzip data is truncated");
        if (c < 0)
            return c;
        z->bits |= (uint64_t)c << z->nbits;
        z->nbits += 8;
    }
    return 0;
}

static uint32_t inf_take(struct inflate *z, int n)
{
    uint32_t v = (uint32_t)(z->bits & ((1ull << n) - 1));

    z->bits >>= n;
    z->nbits -= n;
    return v;
}

static int inf_get(struct inflate *z, int n, uint32_t *out)
{
    int err = inf_need(z, n);

    if (!err)
        *out = inf_take(z, n);
    return err;
}

/* Canonical code from lengths; refuses over-subscribed sets, and incomplete ones of more than one
 * code (a single distance code of one bit is legal). */
static int inf_build(struct inflate *z, struct inf_code *c, const uint8_t *len, int n)
{
    uint16_t offset[16] = {0};
    int left = 1, used = 0;
    uint32_t code = 0, index = 0;

    memset(c, 0, sizeof(*c));
    for (int i = 0; i < n; i++)
        c->count[len[i]]++;
    c->count[0] = 0;
    for (int i = 1; i < 16; i++) {
        left = left * 2 - c->count[i];
        used += c->count[i];
        if (left < 0)
            return inf_fail(z, "gzip data is corrupt: over-subscribed code");
        if (i < 15)
            offset[i + 1] = (uint16_t)(offset[i] + c->count[i]);
    }
    if (left > 0 && used > 1)
        return inf_fail(z, "gzip data is corrupt: incomplete code");
    for (int i = 0; i < n; i++)
        if (len[i])
            c->symbol[offset[len[i]]++] = (uint16_t)i;
    for (int bits = 1; bits <= INF_FAST; bits++, code <<= 1) {
        for (int i = 0; i < c->count[bits]; i++, code++, index++) {
            uint32_t rev = 0;

            for (int b = 0; b < bits; b++)
                rev |= (code >> b & 1) << (bits - 1 - b);
            for (; rev < 1 << INF_FAST; rev += 1u << bits)
                c->fast[rev] = (uint16_t)(bits << 12 | c->symbol[index]);
        }
    }
    return 0;
}

/* Bits for a whole symbol, if the input has them: eight bytes at a time while they lie there. No
 * more is read ahead than a trailer is long, so it never reaches the next member. */
static inline int inf_fill(struct inflate *z)
{
    uint64_t more;

    if (z->nbits >= 15)
        return 0;
    if (z->in.len - z->in.at >= sizeof(more)) {
        memcpy(&more, z->in.data + z->in.at, sizeof(more));
        z->bits |= more << z->nbits;
        z->in.at += (size_t)(63 - z->nbits) / 8;
        z->nbits |= 56;
        return 0;
    }
    while (z->nbits < 15) {
        int byte = inf_byte(z);

        if (byte < 0)
            return byte == -1 ? 0 : byte;
        z->bits |= (uint64_t)byte << z->nbits;
        z->nbits += 8;
    }
    return 0;
}

/* A symbol whose code is longer than the table's. */
static int inf_symbol_long(struct inflate *z, const struct inf_code *c)
{
    int code = 0, first = 0, index = 0;

    for (int len = 1; len < 16; len++) {
        if (z->nbits < len)
            return inf_fail(z, "gzip data is truncated");
        code |= (int)(z->bits >> (len - 1) & 1);
        if (code - c->count[len] < first) {
            inf_take(z, len);
            return c->symbol[index + (code - first)];
        }
        index += c->count[len];
        first = (first + c->count[len]) << 1;
        code <<= 1;
    }
    return inf_fail(z, "gzip data is corrupt: unknown code");
}

/* One symbol, or -errno. */
static inline int inf_symbol(struct inflate *z, const struct inf_code *c)
{
    int err = inf_fill(z), fast;

    if (err)
        return err;
    fast = c->fast[z->bits & ((1 << INF_FAST) - 1)];
    if (!fast || fast >> 12 > z->nbits)
        return inf_symbol_long(z, c);
    inf_take(z, fast >> 12);
    return fast & 0xfff;
}

static void inf_put(struct inflate *z, uint8_t c)
{
    z->ring[z->made++ & INF_MASK] = c;
}

static int inf_fixed(struct inflate *z)
{
    uint8_t len[288];
    int err;

    memset(len, 8, 144);
    memset(len + 144, 9, 112);
    memset(len + 256, 7, 24);
    memset(len + 280, 8, 8);
    err = inf_build(z, &z->lit, len, 288);
    if (err)
        return err;
    memset(len, 5, 32);
    return inf_build(z, &z->dist, len, 32);
}

static int inf_dynamic(struct inflate *z)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t len[320] = {0};
    uint32_t nlit, ndist, ncode, v;
    int err = inf_need(z, 14);

    if (err)
        return err;
    nlit = inf_take(z, 5) + 257;
    ndist = inf_take(z, 5) + 1;
    ncode = inf_take(z, 4) + 4;
    if (nlit > 286 || ndist > 30)
        return inf_fail(z, "gzip data is corrupt: too many codes");
    for (uint32_t i = 0; i < ncode; i++) {
        err = inf_get(z, 3, &v);
        if (err)
            return err;
        len[order[i]] = (uint8_t)v;
    }
    err = inf_build(z, &z->lit, len, 19);
    if (err)
        return err;
    memset(len, 0, 19);
    for (uint32_t i = 0; i < nlit + ndist;) {
        int sym = inf_symbol(z, &z->lit);
        uint8_t what = 0;
        uint32_t run;

        if (sym < 0)
            return sym;
        if (sym < 16) {
            len[i++] = (uint8_t)sym;
            continue;
        }
        if (sym == 16 && i == 0)
            return inf_fail(z, "gzip data is corrupt: repeat of nothing");
        if (sym == 16)
            what = len[i - 1];
        err = inf_get(z, sym == 16 ? 2 : sym == 17 ? 3 : 7, &run);
        if (err)
            return err;
        run += sym == 18 ? 11 : 3;
        if (i + run > nlit + ndist)
            return inf_fail(z, "gzip data is corrupt: repeat too long");
        memset(len + i, what, run);
        i += run;
    }
    if (!len[256])
        return inf_fail(z, "gzip data is corrupt: no end code");
    err = inf_build(z, &z->dist, len + nlit, (int)ndist);
    return err ? err : inf_build(z, &z->lit, len, (int)nlit);
}

static int inf_block(struct inflate *z)
{
    uint32_t v;
    int err = inf_need(z, 3);

    if (err)
        return err;
    z->last = inf_take(z, 1);
    switch (inf_take(z, 2)) {
    case 0:
        inf_take(z, z->nbits & 7);
        err = inf_get(z, 32, &v);
        if (err)
            return err;
        if ((v & 0xffff) != (~v >> 16))
            return inf_fail(z, "gzip data is corrupt: bad stored length");
        z->stored = v & 0xffff;
        z->state = INF_STORED;
        return 0;
    case 1:
        z->state = INF_CODES;
        return inf_fixed(z);
    case 2:
        z->state = INF_CODES;
        return inf_dynamic(z);
    default:
        return inf_fail(z, "gzip data is corrupt: bad block type");
    }
}

/* What was made `dist` ago, again. */
static inline void inf_copy(struct inflate *z, uint32_t dist, uint32_t len)
{
    size_t to = z->made & INF_MASK, from = (z->made - dist) & INF_MASK;

    if (dist >= len && to + len <= INF_RING && from + len <= INF_RING) {
        memcpy(z->ring + to, z->ring + from, len);
        z->made += len;
        return;
    }
    while (len--)
        inf_put(z, z->ring[(z->made - dist) & INF_MASK]);
}

static int inf_match(struct inflate *z, int sym)
{
    uint32_t len, dist, extra;
    int err;

    sym -= 257;
    if (sym >= 29)
        return inf_fail(z, "gzip data is corrupt: bad length");
    err = inf_get(z, inf_len_extra[sym], &extra);
    if (err)
        return err;
    len = inf_len_base[sym] + extra;
    sym = inf_symbol(z, &z->dist);
    if (sym < 0)
        return sym;
    if (sym >= 30)
        return inf_fail(z, "gzip data is corrupt: bad distance");
    err = inf_get(z, inf_dist_extra[sym], &extra);
    if (err)
        return err;
    dist = inf_dist_base[sym] + extra;
    if (dist > z->made - z->member)
        return inf_fail(z, "gzip data is corrupt: distance before the start");
    inf_copy(z, dist, len);
    return 0;
}

/* Decodes until the ring holds enough unread bytes or the block ends. */
static int inf_codes(struct inflate *z)
{
    while (z->made - z->taken < INF_RING - INF_WINDOW - 258) {
        int sym = inf_symbol(z, &z->lit), err;

        if (sym < 0)
            return sym;
        if (sym < 256) {
            inf_put(z, (uint8_t)sym);
            continue;
        }
        if (sym == 256) {
            z->state = z->last ? INF_TRAILER : INF_BLOCK;
            return 0;
        }
        err = inf_match(z, sym);
        if (err)
            return err;
    }
    return 0;
}

static int inf_stored(struct inflate *z)
{
    uint32_t v;
    int err;

    while (z->stored && z->made - z->taken < INF_RING - INF_WINDOW) {
        err = inf_get(z, 8, &v);
        if (err)
            return err;
        inf_put(z, (uint8_t)v);
        z->stored--;
    }
    if (!z->stored)
        z->state = z->last ? INF_TRAILER : INF_BLOCK;
    return 0;
}

static int inf_skip_text(struct inflate *z)
{
    uint32_t v = 1;
    int err = 0;

    while (v && !err)
        err = inf_get(z, 8, &v);
    return err;
}

static int inf_header(struct inflate *z)
{
    int c = inf_byte(z), err;
    uint32_t v, flags, extra;
    bool padded = c == 0 && z->any;

    while (c == 0 && z->any) /* what fills the last block of a tape */
        c = inf_byte(z);
    if (padded && c >= 0)
        return inf_fail(z, "gzip data is followed by something else");
    if (c == -1 && z->any) {
        z->state = INF_DONE;
        return 0;
    }
    if (c != 0x1f)
        return c < -1 ? c : inf_fail(z, "not gzip data");
    err = inf_get(z, 24, &v);
    if (err)
        return err;
    flags = v >> 16;
    if ((v & 0xffff) != 0x088b || flags & 0xe0)
        return inf_fail(z, "not gzip data");
    err = inf_get(z, 48, &v); /* time, level, system */
    if (!err && flags & 4) {
        err = inf_get(z, 16, &extra);
        while (!err && extra--)
            err = inf_get(z, 8, &v);
    }
    if (!err && flags & 8)
        err = inf_skip_text(z);
    if (!err && flags & 16)
        err = inf_skip_text(z);
    if (!err && flags & 2)
        err = inf_get(z, 16, &v);
    z->state = INF_BLOCK;
    z->crc = 0xffffffff;
    z->size = 0;
    z->member = z->made;
    return err;
}

static int inf_trailer(struct inflate *z)
{
    uint32_t crc, size;
    int err;

    inf_take(z, z->nbits & 7);
    err = inf_get(z, 32, &crc);
    if (!err)
        err = inf_get(z, 32, &size);
    if (err)
        return err;
    if (crc != ~z->crc || size != z->size)
        return inf_fail(z, "gzip data is corrupt: checksum does not match");
    /* whole bytes that were read ahead belong to the next member */
    z->in.at -= (size_t)z->nbits / 8;
    z->bits = 0;
    z->nbits = 0;
    z->any = true;
    z->state = INF_HEADER;
    return 0;
}

static int inf_step(struct inflate *z)
{
    switch (z->state) {
    case INF_HEADER:
        return inf_header(z);
    case INF_BLOCK:
        return inf_block(z);
    case INF_STORED:
        return inf_stored(z);
    case INF_CODES:
        return inf_codes(z);
    case INF_TRAILER:
        return inf_trailer(z);
    case INF_DONE:
        return 0;
    }
    return -EINVAL;
}

static ssize_t inf_read(struct source *s, void *data, size_t len)
{
    struct inflate *z = (struct inflate *)s;
    uint8_t *out = data;
    size_t n, from, first;

    /* checksum before the trailer is judged: everything made is handed out first */
    while (z->made == z->taken && z->state != INF_DONE) {
        int err = inf_step(z);

        if (err)
            return err;
    }
    n = z->made - z->taken < len ? z->made - z->taken : len;
    from = z->taken & INF_MASK;
    first = INF_RING - from < n ? INF_RING - from : n;
    memcpy(out, z->ring + from, first);
    memcpy(out + first, z->ring, n - first);
    z->taken += n;
    z->crc = crc32_add(z->crc_table, z->crc, out, n);
    z->size += (uint32_t)n;
    return (ssize_t)n;
}

static void inf_free(struct source *s)
{
    free(s);
}

struct source *inflate_new(struct source *from)
{
    struct inflate *z = mem_alloc(sizeof(*z));

    z->src.read = inf_read;
    z->src.free = inf_free;
    z->in.from = from;
    crc32_table(z->crc_table);
    return &z->src;
}
