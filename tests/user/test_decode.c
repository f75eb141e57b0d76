// SPDX-License-Identifier: MIT
// Decoders: what the real tools wrote comes out again, whole or byte by byte; what is damaged
// anywhere is an error or the same text, never a fault.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/decode.h"
#include "samples.h"

#define TEXT 3300

struct memory {
    struct source src;
    const uint8_t *data;
    size_t len, at, step; /* step: bytes a read gives at most */
};

static ssize_t memory_read(struct source *s, void *data, size_t len)
{
    struct memory *m = (struct memory *)s;
    size_t n = m->len - m->at;

    n = n < len ? n : len;
    n = n < m->step ? n : m->step;
    memcpy(data, m->data + m->at, n);
    m->at += n;
    return (ssize_t)n;
}

static const struct sample {
    const char *name;
    const uint8_t *data;
    size_t len;
    enum decode_kind kind;
} samples[] = {{"gzip", sample_gzip, sizeof(sample_gzip), DECODE_GZIP},
               {"bzip2", sample_bzip2, sizeof(sample_bzip2), DECODE_BZIP2},
               {"xz", sample_xz, sizeof(sample_xz), DECODE_XZ},
               {"xz, two streams", sample_xz_sha, sizeof(sample_xz_sha), DECODE_XZ},
               {"zstd", sample_zstd, sizeof(sample_zstd), DECODE_ZSTD},
               {"zstd, skippable", sample_zstd_fast, sizeof(sample_zstd_fast), DECODE_ZSTD}};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/* The text that the samples hold. */
static const uint8_t *sample_text(void)
{
    static const char *const words[] = {"the",   "mount",     "of",    "a",     "layer", "is",
                                        "not",   "what",      "its",   "image", "says",  "but",
                                        "where", "container", "names", "end"};
    static uint8_t text[TEXT + 16];
    uint32_t s = 1;
    size_t n = 0;

    if (text[0])
        return text;
    while (n < 3000) {
        const char *w;

        s = (s * 1103515245u + 12345u) & 0x7fffffff;
        w = words[(s >> 16) % 16];
        n += (size_t)sprintf((char *)text + n, "%s%c", w,
                             s >> 8 & 7 ? ' ' : (int)(33 + (s >> 11 & 63)));
    }
    memset(text + 3000, 0, sizeof(text) - 3000);
    return text;
}

/* Decodes all of it into `out`: the length, or -errno. */
static ssize_t decode_all(enum decode_kind kind, const uint8_t *data, size_t len, size_t step,
                          uint8_t *out, size_t max)
{
    struct memory m = {{.read = memory_read}, data, len, 0, step};
    struct source *s = decode_new(kind, &m.src);
    size_t at = 0;
    ssize_t n;

    while ((n = s->read(s, out + at, max - at < step ? max - at : step)) > 0 && at < max)
        at += (size_t)n;
    if (n < 0 && !s->why)
        n = -1000; /* an error without a sentence */
    source_free(s);
    return n < 0 ? n : (ssize_t)at;
}

TEST(decoders_are_told_by_the_first_bytes)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        EXPECT(decode_detect(samples[i].data, 6) == samples[i].kind);
        EXPECT(decode_detect(samples[i].data, 2) == DECODE_PLAIN);
    }
    EXPECT(decode_detect((const uint8_t *)"ustar.", 6) == DECODE_PLAIN);
}

TEST(decoders_give_back_what_the_tools_were_given)
{
    static const size_t steps[] = {1, 7, 4096, 100000};
    uint8_t out[TEXT + 100];

    for (size_t i = 0; i < SAMPLES; i++) {
        for (size_t k = 0; k < 4; k++) {
            ssize_t n = decode_all(samples[i].kind, samples[i].data, samples[i].len, steps[k], out,
                                   sizeof(out));

            if (n != TEXT)
                printf("%s: %zd\n", samples[i].name, n);
            EXPECT(n == TEXT);
            EXPECT(!memcmp(out, sample_text(), TEXT));
        }
    }
}

TEST(decoders_refuse_data_that_is_cut)
{
    uint8_t out[TEXT + 100];

    for (size_t i = 0; i < SAMPLES; i++) {
        for (size_t len = 1; len < samples[i].len; len++) {
            ssize_t n = decode_all(samples[i].kind, samples[i].data, len, 100, out, sizeof(out));

            /* between two members or streams the data is whole */
            EXPECT(n < 0 || n == 1000 || n == 100 || n == 0);
            EXPECT(n != -1000);
        }
    }
}

/* The check of most formats sees any damage; zstd without one may give other bytes. */
TEST(decoders_survive_damage_anywhere)
{
    uint64_t seed = 7;
    uint8_t out[TEXT + 100], *copy;

    for (unsigned round = 0; round < 1500 * unit_times(); round++) {
        const struct sample *s = &samples[round % SAMPLES];
        ssize_t n;

        copy = malloc(s->len);
        memcpy(copy, s->data, s->len);
        for (uint64_t k = unit_rand(&seed) % 4 + 1; k; k--)
            copy[unit_rand(&seed) % s->len] = (uint8_t)unit_rand(&seed);
        n = decode_all(s->kind, copy, s->len, 1 + unit_rand(&seed) % 5000, out, sizeof(out));
        free(copy);
        EXPECT(n != -1000);
        if (n > 0 && s->data != sample_zstd_fast && s->data != sample_gzip &&
            s->data != sample_xz_sha)
            EXPECT(n != TEXT || !memcmp(out, sample_text(), TEXT));
    }
}

TEST(decoders_survive_noise)
{
    uint64_t seed = 11;
    uint8_t data[600], out[TEXT];

    for (unsigned round = 0; round < 1000 * unit_times(); round++) {
        const struct sample *s = &samples[round % SAMPLES];
        size_t keep = unit_rand(&seed) % 80;

        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = (uint8_t)unit_rand(&seed);
        memcpy(data, s->data, keep);
        EXPECT(decode_all(s->kind, data, sizeof(data), 1 + round % 700, out, sizeof(out)) != -1000);
    }
}

TEST(gzip_may_be_followed_by_zeros_and_by_nothing_else)
{
    uint8_t data[sizeof(sample_gzip) + 600], out[TEXT + 100];

    memcpy(data, sample_gzip, sizeof(sample_gzip));
    memset(data + sizeof(sample_gzip), 0, 600);
    EXPECT(decode_all(DECODE_GZIP, data, sizeof(data), 4096, out, sizeof(out)) == TEXT);
    data[sizeof(sample_gzip) + 400] = 'x';
    EXPECT(decode_all(DECODE_GZIP, data, sizeof(data), 4096, out, sizeof(out)) == -22);
}
