// SPDX-License-Identifier: MIT
// Zstandard's entropy coding (RFC 8878, section 4): bit streams, FSE tables, Huffman tables. Pure:
// every function judges its bytes and returns -EINVAL for what is not sound.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FSE_LOG_MAX 9
#define FSE_SYMBOLS_MAX 256
#define HUF_BITS_MAX 11
#define BITS_PAD 8 /* readable bytes that must follow a stream's last one */

/* A bit stream that is read from its end to its beginning; what lies before it reads as zeros and
 * makes `pos` negative. */
struct bits {
    const uint8_t *data;
    int64_t pos; /* bits that are left */
};

int bits_open(struct bits *b, const uint8_t *data, size_t len);
uint32_t bits_take(struct bits *b, unsigned n);

struct fse_cell {
    uint8_t symbol, bits;
    uint16_t base;
};

struct fse_table {
    unsigned log;
    struct fse_cell cell[1 << FSE_LOG_MAX];
};

/* A table as the stream writes it, of symbols 0..max: the bytes it took, or -EINVAL. */
int fse_read(struct fse_table *t, const uint8_t *data, size_t len, unsigned max, unsigned log_max);
void fse_build(struct fse_table *t, const int16_t *share, unsigned symbols, unsigned log);
void fse_single(struct fse_table *t, uint8_t symbol); /* nothing but this symbol, in no bits */

struct huf_cell {
    uint8_t symbol, bits;
};

struct huf_table {
    unsigned bits; /* 0: none has been read */
    struct huf_cell cell[1 << HUF_BITS_MAX];
};

/* The bytes that the table's description took, or -EINVAL. */
int huf_read(struct huf_table *t, const uint8_t *data, size_t len);
/* Exactly `made` symbols from one stream. */
int huf_decode(const struct huf_table *t, const uint8_t *data, size_t len, uint8_t *out,
               size_t made);
