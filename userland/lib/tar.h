// SPDX-License-Identifier: MIT
// A tar reader: ustar, pax headers (path, linkpath, size, uid, gid, mtime, SCHILY.xattr.*), GNU
// long names and base-256 numbers.
//
// The stream is untrusted. Names come out exactly as they stand; tar_name_check() judges them.
// Header and name sizes are bounded; sizes are checked before use; sparse files, multi-volume
// members and unknown types are refused by name.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/source.h"

enum tar_type {
    TAR_FILE = '0',
    TAR_HARDLINK = '1',
    TAR_SYMLINK = '2',
    TAR_CHAR = '3',
    TAR_BLOCK = '4',
    TAR_DIR = '5',
    TAR_FIFO = '6',
};

#define TAR_XATTR_MAX 16

struct tar_entry {
    char *name;
    char *link;
    enum tar_type type;
    uint32_t mode; /* permission bits only */
    uint32_t uid, gid;
    uint64_t size;   /* of a file's content */
    uint64_t offset; /* of the content within the stream */
    struct timespec mtime;
    int xattrs;
    struct {
        char *name;
        char *value;
        size_t len;
    } xattr[TAR_XATTR_MAX];
};

struct tar {
    struct source *from;
    uint64_t at;   /* position in the stream */
    uint64_t left; /* unread content of the current entry */
    uint64_t pad;  /* after it */
    struct tar_entry entry;
    char why[128]; /* after an error: what is wrong */
};

void tar_init(struct tar *t, struct source *from);
void tar_free(struct tar *t);
/* The next entry, after skipping what was not read of the last: 1, 0 at the end, or -errno. */
int tar_next(struct tar *t);
/* Content of the current entry: bytes, 0 at its end, or -errno. */
ssize_t tar_read(struct tar *t, void *data, size_t len);
/* Turns "./a//b/" into "a/b" in place. NULL when it may be used, or the reason why it may not:
 * empty components are fine, ".." and a leading "/" are not. */
const char *tar_name_check(char *name);
