// SPDX-License-Identifier: MIT
// Decoders: what the real tools wrote comes out again, whole or byte by byte; what is damaged
// anywhere is an error or the same text, never a fault.
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/checksum.h"
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

/* A pipe that gives its first part, then nothing, then the rest. */
struct piped {
    struct source src;
    int in, out;
    const uint8_t *rest;
    size_t left;
};

static ssize_t piped_read(struct source *s, void *data, size_t len)
{
    struct piped *p = (struct piped *)s;
    ssize_t n = read(p->in, data, len);

    if (n >= 0 || errno != EAGAIN)
        return n;
    if (write(p->out, p->rest, p->left) != (ssize_t)p->left)
        return -EIO;
    close(p->out);
    p->out = -1;
    return read(p->in, data, len);
}

/* Whether the sample, cut in two at `cut`, is decoded whole. */
static bool piped_decodes(const struct sample *s, size_t cut)
{
    struct piped p = {{.read = piped_read}, -1, -1, s->data + cut, s->len - cut};
    static uint8_t out[TEXT + 100];
    struct source *decoder;
    int fd[2];
    ssize_t n;
    bool end;

    if (pipe2(fd, O_NONBLOCK) < 0 || write(fd[1], s->data, cut) != (ssize_t)cut)
        return false;
    p.in = fd[0];
    p.out = fd[1];
    decoder = decode_new(s->kind, &p.src);
    n = source_full(decoder, out, sizeof(out));
    end = p.out < 0 && read(p.in, out + TEXT, 1) == 0;
    source_free(decoder);
    close(p.in);
    return n == TEXT && end && !memcmp(out, sample_text(), TEXT);
}

TEST(decoders_do_not_mind_where_a_pipe_s_bytes_are_cut)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        /* all cuts where members meet; elsewhere as many as the time allows */
        size_t step = samples[i].kind == DECODE_GZIP || unit_times() > 1 ? 1 : 3;

        for (size_t cut = 0; cut < samples[i].len; cut += step) {
            bool whole = piped_decodes(&samples[i], cut);

            if (!whole)
                printf("%s: cut at %zu\n", samples[i].name, cut);
            EXPECT(whole);
        }
    }
}

/* The window's end, the buffer's end and a member's end fall together in all ways. */
TEST(gzip_members_may_end_at_any_byte_of_the_input_buffer)
{
    enum { BUFFER = 16384, NEAR = 40 };
    static uint8_t data[2 * BUFFER + 1024], out[3 * BUFFER], want[3 * BUFFER];
    static const uint8_t head[10] = {0x1f, 0x8b, 8};
    uint32_t table[256], crc;

    crc32_table(table);
    for (size_t i = 0; i < sizeof(want); i++)
        want[i] = (uint8_t)(i * i >> 3);
    for (size_t end = BUFFER - NEAR; end < BUFFER + NEAR; end++) {
        size_t len = end - 10 - 5 - 8, at = 0, made = 0;

        for (int member = 0; member < 2; member++) { /* one stored block each */
            uint8_t block[5] = {1, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)~len,
                                (uint8_t)(~len >> 8)};
            uint32_t tail[2] = {0, (uint32_t)len};

            crc = ~crc32_add(table, ~0u, want + made, len);
            tail[0] = crc;
            memcpy(data + at, head, 10);
            memcpy(data + at + 10, block, 5);
            memcpy(data + at + 15, want + made, len);
            memcpy(data + at + 15 + len, tail, 8);
            at += 23 + len;
            made += len;
        }
        EXPECT(decode_all(DECODE_GZIP, data, at, 1 << 20, out, sizeof(out)) == (ssize_t)made);
        EXPECT(!memcmp(out, want, made));
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
