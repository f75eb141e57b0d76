// SPDX-License-Identifier: MIT
// Zstandard's entropy coding; see fse.h.
#include "lib/fse.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static unsigned high_bit(uint32_t v)
{
    return 31u - (unsigned)__builtin_clz(v);
}

int bits_open(struct bits *b, const uint8_t *data, size_t len)
{
    if (!len || !data[len - 1])
        return -EINVAL; /* the highest set bit of the last byte marks the end */
    b->data = data;
    b->pos = (int64_t)len * 8 - 8 + high_bit(data[len - 1]);
    return 0;
}

/* n <= 32 */
static uint32_t bits_peek(const struct bits *b, unsigned n)
{
    int64_t from = b->pos - n;
    unsigned missing = 0;
    uint64_t v;

    if (!n || b->pos <= 0)
        return 0;
    if (from < 0) {
        missing = (unsigned)-from;
        from = 0;
    }
    memcpy(&v, b->data + from / 8, 8); /* x86-64: little-endian */
    v = v >> (from & 7) & ((1ull << (n - missing)) - 1);
    return (uint32_t)(v << missing);
}

uint32_t bits_take(struct bits *b, unsigned n)
{
    uint32_t v = bits_peek(b, n);

    b->pos -= n;
    return v;
}

/* ---- FSE ------------------------------------------------------------------------------------- */

/* Bits of a table's description, which is read forwards: up to 16, zeros after its end. */
static uint32_t fse_bits(const uint8_t *data, size_t len, size_t at, unsigned n)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < 4; i++)
        if (at / 8 + i < len)
            v |= (uint32_t)data[at / 8 + i] << (8 * i);
    return v >> (at & 7) & ((1u << n) - 1);
}

/* One share: its value, and the bits it took in *at. Small values are a bit shorter. */
static int fse_share(const uint8_t *data, size_t len, size_t *at, uint32_t left)
{
    unsigned n = high_bit(left + 1) + 1;
    uint32_t v = fse_bits(data, len, *at, n), spare = (1u << n) - 1 - (left + 1);
    uint32_t low = v & ((1u << (n - 1)) - 1);

    if (low < spare) {
        *at += n - 1;
        return (int)low - 1;
    }
    *at += n;
    return (int)(v >> (n - 1) ? v - spare : v) - 1;
}

int fse_read(struct fse_table *t, const uint8_t *data, size_t len, unsigned max, unsigned log_max)
{
    int16_t share[FSE_SYMBOLS_MAX] = {0};
    unsigned log = 5 + fse_bits(data, len, 0, 4), symbol = 0;
    size_t at = 4;
    uint32_t left = 1u << log;

    if (log > log_max)
        return -EINVAL;
    while (left && symbol <= max) {
        int v = fse_share(data, len, &at, left);

        share[symbol++] = (int16_t)v;
        if (v) {
            left -= v < 0 ? 1 : (uint32_t)v;
            continue;
        }
        for (uint32_t more = 3; more == 3; symbol += more) {
            more = fse_bits(data, len, at, 2);
            at += 2;
            if (symbol + more > max || at > len * 8)
                return -EINVAL;
        }
    }
    if (left || at > len * 8)
        return -EINVAL;
    fse_build(t, share, symbol, log);
    return (int)((at + 7) / 8);
}

void fse_build(struct fse_table *t, const int16_t *share, unsigned symbols, unsigned log)
{
    uint32_t size = 1u << log, high = size, pos = 0, step = (size >> 1) + (size >> 3) + 3;
    uint16_t next[FSE_SYMBOLS_MAX];

    t->log = log;
    for (unsigned s = 0; s < symbols; s++) {
        next[s] = share[s] < 0 ? 1 : (uint16_t)share[s];
        if (share[s] < 0) /* less than one cell's worth: one at the end */
            t->cell[--high].symbol = (uint8_t)s;
    }
    for (unsigned s = 0; s < symbols; s++) {
        for (int i = 0; i < share[s]; i++) {
            t->cell[pos].symbol = (uint8_t)s;
            do
                pos = (pos + step) & (size - 1);
            while (pos >= high);
        }
    }
    for (uint32_t i = 0; i < size; i++) {
        uint16_t x = next[t->cell[i].symbol]++;

        t->cell[i].bits = (uint8_t)(log - high_bit(x));
        t->cell[i].base = (uint16_t)(((uint32_t)x << t->cell[i].bits) - size);
    }
}

void fse_single(struct fse_table *t, uint8_t symbol)
{
    t->log = 0;
    t->cell[0] = (struct fse_cell){.symbol = symbol};
}

/* ---- Huffman --------------------------------------------------------------------------------- */

/* Weights written by FSE, two states in turn, until the bits run out: how many, or -EINVAL. */
static int huf_weights_fse(uint8_t *weight, const uint8_t *data, size_t len)
{
    struct fse_table t;
    struct bits b;
    uint32_t state[2];
    int head = fse_read(&t, data, len, FSE_SYMBOLS_MAX - 1, 6), n = 0;

    if (head < 0 || (size_t)head >= len || bits_open(&b, data + head, len - (size_t)head))
        return -EINVAL;
    state[0] = bits_take(&b, t.log);
    state[1] = bits_take(&b, t.log);
    if (b.pos < 0)
        return -EINVAL;
    for (;; n++) {
        const struct fse_cell *c = &t.cell[state[n & 1]];

        if (n == 254)
            return -EINVAL;
        weight[n] = c->symbol;
        if (b.pos < c->bits) {
            weight[n + 1] = t.cell[state[~n & 1]].symbol;
            return n + 2;
        }
        state[n & 1] = c->base + bits_take(&b, c->bits);
    }
}

/* The weights as they are written: how many; *took bytes. */
static int huf_weights(uint8_t weight[256], const uint8_t *data, size_t len, int *took)
{
    int n;

    if (!len)
        return -EINVAL;
    if (data[0] < 128) {
        *took = 1 + data[0];
        return (size_t)*took > len ? -EINVAL : huf_weights_fse(weight, data + 1, data[0]);
    }
    n = data[0] - 127;
    *took = 1 + (n + 1) / 2;
    if ((size_t)*took > len)
        return -EINVAL;
    for (int i = 0; i < n; i++)
        weight[i] = i & 1 ? data[1 + i / 2] & 15 : data[1 + i / 2] >> 4;
    return n;
}

/* Symbols of small weight have the long codes, which come first. */
static void huf_build(struct huf_table *t, const uint8_t *weight, int n)
{
    uint32_t pos = 0;

    for (unsigned w = 1; w <= t->bits; w++)
        for (int s = 0; s < n; s++)
            for (uint32_t i = 0; weight[s] == w && i < 1u << (w - 1); i++)
                t->cell[pos++] = (struct huf_cell){(uint8_t)s, (uint8_t)(t->bits + 1 - w)};
}

int huf_read(struct huf_table *t, const uint8_t *data, size_t len)
{
    uint8_t weight[257] = {0};
    uint32_t sum = 0, rest;
    int took = 0, n = huf_weights(weight, data, len, &took);

    t->bits = 0;
    for (int i = 0; i < n; i++) {
        if (weight[i] > HUF_BITS_MAX)
            return -EINVAL;
        sum += weight[i] ? 1u << (weight[i] - 1) : 0;
    }
    if (n < 0 || !sum || sum >= 1u << HUF_BITS_MAX)
        return -EINVAL;
    /* the last weight is what is missing to a power of two */
    rest = (2u << high_bit(sum)) - sum;
    if (rest & (rest - 1))
        return -EINVAL;
    weight[n] = (uint8_t)(high_bit(rest) + 1);
    t->bits = high_bit(sum) + 1;
    huf_build(t, weight, n + 1);
    return took;
}

int huf_decode(const struct huf_table *t, const uint8_t *data, size_t len, uint8_t *out,
               size_t made)
{
    struct bits b;

    if (bits_open(&b, data, len))
        return -EINVAL;
    for (size_t i = 0; i < made; i++) {
        const struct huf_cell *c = &t->cell[bits_peek(&b, t->bits)];

        out[i] = c->symbol;
        b.pos -= c->bits;
        if (b.pos < 0)
            return -EINVAL;
    }
    return b.pos ? -EINVAL : 0;
}
