// SPDX-License-Identifier: MIT
// A source of bytes that is pulled: a stretch of a file, or another source decompressed.
//
// read() gives 1..len bytes, 0 at the end, or -errno; after an error `why` says what is wrong in a
// static sentence. Readers stack: file -> gunzip -> hash -> tar.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct source {
    ssize_t (*read)(struct source *s, void *data, size_t len);
    const char *why;
};

/* Reads until `len` bytes came or the source ended. */
ssize_t source_full(struct source *s, void *data, size_t len);

/* Bytes [offset, offset + size) of a file, read with pread: many may share one descriptor. */
struct source_file {
    struct source src;
    int fd;
    uint64_t at;
    uint64_t end;
};
void source_file_init(struct source_file *s, int fd, uint64_t offset, uint64_t size);
