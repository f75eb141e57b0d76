// SPDX-License-Identifier: MIT
// The container of .xz; see xz.h. Its LZMA2 data is lzma2.c's.
#include "lib/xz.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/checksum.h"
#include "lib/lzma2.h"
#include "lib/sha256.h"

#define XZ_CUT "xz data is truncated"
#define XZ_BAD "xz data is corrupt"

enum xz_state { XZ_STREAM, XZ_BLOCK, XZ_DATA, XZ_CHECK, XZ_INDEX, XZ_DONE };
enum xz_check { XZ_NONE = 0, XZ_CRC32 = 1, XZ_CRC64 = 4, XZ_SHA256 = 10 };

struct xz {
    struct source src;
    struct source_bytes in;
    enum xz_state state;
    bool any;                        /* a stream has been read */
    uint8_t flags;                   /* the stream's check */
    uint64_t read;                   /* bytes of input, ever */
    uint64_t block_at;               /* `read` where the block's header began */
    uint64_t data_at;                /* ... its data */
    uint64_t made;                   /* bytes out of this block */
    uint64_t packed_want, made_want; /* by the block's header; UINT64_MAX when it is silent */
    /* of the stream's blocks, to be compared with its index */
    uint64_t blocks, sizes;
    uint32_t crc;
    uint64_t crc64;
    struct sha256 sum;
    struct lzma2 lzma;
    uint32_t table[256];
    uint64_t table64[256];
};

static int xz_fail(struct xz *z, const char *why)
{
    z->src.why = why;
    return -EINVAL;
}

static int xz_get(struct xz *z, void *data, size_t len)
{
    int err = source_exact(&z->in, data, len, XZ_CUT, &z->src.why);

    z->read += err ? 0 : len;
    return err;
}

static uint32_t xz_word(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t xz_crc(const struct xz *z, const void *data, size_t len)
{
    return ~crc32_add(z->table, ~0u, data, len);
}

/* A variable-length number from p[*at..len). */
static bool xz_number(const uint8_t *p, size_t len, size_t *at, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < 9 && *at < len; i++) {
        uint8_t c = p[(*at)++];

        *out |= (uint64_t)(c & 0x7f) << (7 * i);
        if (!(c & 0x80))
            return c || i == 0;
    }
    return false;
}

/* The same from the stream, whose bytes go into *crc. */
static int xz_number_in(struct xz *z, uint32_t *crc, uint64_t *out)
{
    uint8_t c = 0x80;

    *out = 0;
    for (int i = 0; i < 9; i++) {
        int err = xz_get(z, &c, 1);

        if (err)
            return err;
        *crc = crc32_add(z->table, *crc, &c, 1);
        *out |= (uint64_t)(c & 0x7f) << (7 * i);
        if (!(c & 0x80))
            return c || i == 0 ? 0 : xz_fail(z, XZ_BAD);
    }
    return xz_fail(z, XZ_BAD);
}

static bool xz_check_known(uint8_t check)
{
    return check == XZ_NONE || check == XZ_CRC32 || check == XZ_CRC64 || check == XZ_SHA256;
}

/* A stream's header, after the padding that may stand between streams; or the end. */
static int xz_stream(struct xz *z)
{
    static const uint8_t magic[6] = {0xfd, '7', 'z', 'X', 'Z', 0};
    uint8_t h[12] = {0};
    int c, err;

    while ((c = source_byte(&z->in, &z->src.why)) == 0 && z->any) {
        err = xz_get(z, h, 3);
        if (err || h[0] || h[1] || h[2])
            return err ? err : xz_fail(z, "xz data is corrupt: bad padding");
    }
    if (c == -1 && z->any) {
        z->state = XZ_DONE;
        return 0;
    }
    if (c < 0)
        return c == -1 ? xz_fail(z, XZ_CUT) : c;
    h[0] = (uint8_t)c;
    err = xz_get(z, h + 1, 11);
    if (err)
        return err;
    if (memcmp(h, magic, 6) || h[6] || xz_crc(z, h + 6, 2) != xz_word(h + 8))
        return xz_fail(z, "not xz data");
    z->flags = h[7];
    if (!xz_check_known(z->flags))
        return xz_fail(z, "xz data has a check of an unknown kind");
    z->any = true;
    z->blocks = z->sizes = 0;
    z->state = XZ_BLOCK;
    return 0;
}

/* The filters of a block's header: LZMA2 alone. */
static int xz_filters(struct xz *z, const uint8_t *h, size_t len, size_t at)
{
    uint64_t id, size;

    if (h[1] & 3)
        return xz_fail(z, "xz filters other than LZMA2 are not supported");
    if (!xz_number(h, len, &at, &id) || !xz_number(h, len, &at, &size))
        return xz_fail(z, XZ_BAD);
    if (id != 0x21)
        return xz_fail(z, "xz filters other than LZMA2 are not supported");
    if (size != 1 || at >= len)
        return xz_fail(z, XZ_BAD);
    if (lzma2_reset(&z->lzma, h[at++]))
        return xz_fail(z, "xz data needs a dictionary of more than 64 MiB");
    for (; at < len; at++)
        if (h[at])
            return xz_fail(z, XZ_BAD);
    return 0;
}

/* A block's header, or the index's first byte. */
static int xz_block(struct xz *z)
{
    uint8_t h[1024];
    size_t len, at = 2;
    int err;

    z->block_at = z->read;
    err = xz_get(z, h, 1);
    if (err)
        return err;
    if (!h[0]) {
        z->state = XZ_INDEX;
        return 0;
    }
    len = ((size_t)h[0] + 1) * 4;
    err = xz_get(z, h + 1, len - 1);
    if (err)
        return err;
    len -= 4;
    if (xz_crc(z, h, len) != xz_word(h + len) || h[1] & 0x3c)
        return xz_fail(z, XZ_BAD);
    z->packed_want = z->made_want = UINT64_MAX;
    if ((h[1] & 0x40 && !xz_number(h, len, &at, &z->packed_want)) ||
        (h[1] & 0x80 && !xz_number(h, len, &at, &z->made_want)))
        return xz_fail(z, XZ_BAD);
    err = xz_filters(z, h, len, at);
    if (err)
        return err;
    z->data_at = z->read;
    z->made = 0;
    z->crc = ~0u;
    z->crc64 = ~0ull;
    sha256_init(&z->sum);
    z->state = XZ_DATA;
    return 0;
}

static int xz_data(struct xz *z)
{
    int err = lzma2_step(&z->lzma, &z->in, &z->read, &z->src.why);

    if (err == 1)
        z->state = XZ_CHECK;
    return err < 0 ? err : 0;
}

static bool xz_check_same(struct xz *z, const uint8_t *want)
{
    uint64_t crc64 = ~z->crc64;
    char hex[SHA256_HEX], other[SHA256_HEX];

    switch (z->flags) {
    case XZ_CRC32:
        return xz_word(want) == ~z->crc;
    case XZ_CRC64:
        return !memcmp(want, &crc64, 8);
    case XZ_SHA256:
        sha256_end(&z->sum, hex);
        for (int i = 0; i < 32; i++) {
            other[2 * i] = "0123456789abcdef"[want[i] >> 4];
            other[2 * i + 1] = "0123456789abcdef"[want[i] & 15];
        }
        return !memcmp(hex, other, 64);
    default:
        return true;
    }
}

/* An order-dependent digest of the blocks' sizes. Not against forgers: they may write any index. */
static uint64_t xz_mix(const struct xz *z, uint64_t sizes, uint64_t unpadded, uint64_t made)
{
    sizes = crc64_add(z->table64, sizes, &unpadded, sizeof(unpadded));
    return crc64_add(z->table64, sizes, &made, sizeof(made));
}

/* The end of a block: padding to four bytes, then its check. */
static int xz_check(struct xz *z)
{
    size_t len = z->flags == XZ_SHA256  ? 32
                 : z->flags == XZ_CRC64 ? 8
                 : z->flags == XZ_CRC32 ? 4
                                        : 0;
    uint64_t packed = z->read - z->data_at, unpadded = z->read - z->block_at + len;
    uint8_t pad[3] = {0}, check[32];
    int err = xz_get(z, pad, -packed & 3);

    err = err ? err : xz_get(z, check, len);
    if (err)
        return err;
    if (pad[0] || pad[1] || pad[2] || (z->packed_want != UINT64_MAX && z->packed_want != packed) ||
        (z->made_want != UINT64_MAX && z->made_want != z->made))
        return xz_fail(z, XZ_BAD);
    if (!xz_check_same(z, check))
        return xz_fail(z, "xz data is corrupt: checksum does not match");
    z->blocks++;
    z->sizes = xz_mix(z, z->sizes, unpadded, z->made);
    z->state = XZ_BLOCK;
    return 0;
}

static int xz_footer(struct xz *z, uint64_t index_size)
{
    uint8_t f[12];
    int err = xz_get(z, f, sizeof(f));

    if (err)
        return err;
    if (f[10] != 'Y' || f[11] != 'Z' || xz_crc(z, f + 4, 6) != xz_word(f) || f[8] ||
        f[9] != z->flags || ((uint64_t)xz_word(f + 4) + 1) * 4 != index_size)
        return xz_fail(z, "xz data is corrupt: bad footer");
    z->state = XZ_STREAM;
    return 0;
}

/* The index, whose indicator has been read; then the stream's footer. */
static int xz_index(struct xz *z)
{
    uint64_t count, unpadded, made, sizes = 0;
    uint8_t pad[3] = {0}, crc[4];
    size_t n;
    uint32_t sum = crc32_add(z->table, ~0u, "", 1);
    int err = xz_number_in(z, &sum, &count);

    if (!err && count != z->blocks)
        return xz_fail(z, "xz data is corrupt: bad index");
    while (!err && count--) {
        err = xz_number_in(z, &sum, &unpadded);
        err = err ? err : xz_number_in(z, &sum, &made);
        sizes = err ? 0 : xz_mix(z, sizes, unpadded, made);
    }
    n = -(z->read - z->block_at) & 3;
    err = err ? err : xz_get(z, pad, n);
    sum = ~crc32_add(z->table, sum, pad, n);
    err = err ? err : xz_get(z, crc, sizeof(crc));
    if (err)
        return err;
    if (pad[0] || pad[1] || pad[2] || sizes != z->sizes || xz_word(crc) != sum)
        return xz_fail(z, "xz data is corrupt: bad index");
    return xz_footer(z, z->read - z->block_at);
}

static int xz_step(struct xz *z)
{
    switch (z->state) {
    case XZ_STREAM:
        return xz_stream(z);
    case XZ_BLOCK:
        return xz_block(z);
    case XZ_DATA:
        return xz_data(z);
    case XZ_CHECK:
        return xz_check(z);
    case XZ_INDEX:
        return xz_index(z);
    case XZ_DONE:
        return 0;
    }
    return -EINVAL;
}

static ssize_t xz_read(struct source *s, void *data, size_t len)
{
    struct xz *z = (struct xz *)s;
    size_t n;

    /* everything made is handed out before the check behind it is judged */
    while (!window_pending(&z->lzma.out) && z->state != XZ_DONE) {
        int err = xz_step(z);

        if (err)
            return err;
    }
    n = window_take(&z->lzma.out, data, len);
    z->made += n;
    if (z->flags == XZ_CRC32)
        z->crc = crc32_add(z->table, z->crc, data, n);
    else if (z->flags == XZ_CRC64)
        z->crc64 = crc64_add(z->table64, z->crc64, data, n);
    else if (z->flags == XZ_SHA256)
        sha256_add(&z->sum, data, n);
    return (ssize_t)n;
}

static void xz_free(struct source *s)
{
    struct xz *z = (struct xz *)s;

    free(z->lzma.out.data);
    free(z);
}

struct source *xz_new(struct source *from)
{
    struct xz *z = mem_alloc(sizeof(*z));

    z->src.read = xz_read;
    z->src.free = xz_free;
    z->in.from = from;
    crc32_table(z->table);
    crc64_table(z->table64);
    return &z->src;
}
