// SPDX-License-Identifier: MIT
// A pulled stream of bytes: sources stack, each reading from the one below: file -> decoder ->
// hash -> tar.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct source {
    /* Bytes, at least one; 0 at the end; or -errno with a sentence in `why`. */
    ssize_t (*read)(struct source *s, void *data, size_t len);
    void (*free)(struct source *s); /* NULL: its owner keeps it */
    const char *why;
};

/* Reads until `len` bytes came or the source ended. */
ssize_t source_full(struct source *s, void *data, size_t len);
void source_free(struct source *s); /* NULL is fine */

/* Bytes [offset, offset + size) of a file, read with pread: many may share one descriptor. */
struct source_file {
    struct source src;
    int fd;
    uint64_t at;
    uint64_t end;
    uint64_t kept;                 /* what was read before this has been given back */
    void (*spent)(uint64_t bytes); /* set: see source_file_spend() */
};
void source_file_init(struct source_file *s, int fd, uint64_t offset, uint64_t size);
/* What has been read of it is not read again: from now on it is given back to the file system,
 * piece by piece, where that can be. Then `spent` is told how much. */
void source_file_spend(struct source_file *s, void (*spent)(uint64_t bytes));
/* Gives back what has been read since the last piece. */
void source_file_spent(struct source_file *s);

/* A source's bytes one at a time, as decoders want them. */
struct source_bytes {
    struct source *from;
    size_t at, len;
    uint8_t data[16384];
};
/* 0..255; -1 at the end; another -errno with *why. */
int source_byte(struct source_bytes *b, const char **why);
/* Exactly `len` bytes: 0; else -errno with *why, which is `cut` when the source ended. */
int source_exact(struct source_bytes *b, void *data, size_t len, const char *cut, const char **why);
