// SPDX-License-Identifier: MIT
// A tar reader: ustar, pax headers (path, linkpath, size, uid, gid, mtime, SCHILY.xattr.*), GNU
// long names, base-256 numbers, and sparse files in all four forms (GNU's own, pax 0.0, 0.1, 1.0).
//
// The stream is untrusted. Names come out exactly as they stand; tar_name_clean() makes them names
// below a root. Header and name sizes are bounded; sizes are checked before use; multi-volume
// members and unknown types are refused by name. Times before 1970 become 1970, as Docker has it.
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
    uint32_t major, minor; /* of a device */
    uint64_t size;         /* of a file's content, holes included */
    uint64_t packed;       /* what the stream holds of it */
    uint64_t offset;       /* of the content within the stream */
    bool sparse;
    struct timespec mtime;
    int xattrs;
    struct {
        char *name;
        char *value;
        size_t len;
    } xattr[TAR_XATTR_MAX];
};

/* A stretch of a sparse file that is not a hole. */
struct tar_part {
    uint64_t offset, len;
};

struct tar {
    struct source *from;
    uint64_t at;   /* position in the stream */
    uint64_t left; /* unread content of the current entry */
    uint64_t pad;  /* after it */
    struct tar_entry entry;
    struct tar_part *parts; /* of a sparse entry, in order */
    size_t nparts, part;    /* part: the one being read */
    uint64_t done;          /* of that part; of a file without holes, all of it */
    char why[128];          /* after an error: what is wrong */
};

void tar_init(struct tar *t, struct source *from);
void tar_free(struct tar *t);
/* The next entry, after skipping what was not read of the last: 1, 0 at the end, or -errno. */
int tar_next(struct tar *t);
/* Content of the current entry, which belongs at *offset of the file: bytes, 0 at its end, or
 * -errno. */
ssize_t tar_read(struct tar *t, void *data, size_t len, uint64_t *offset);
/* Turns a name into one below the root, in place, as a walk from there would read it without any
 * links: "./a//b/" and "/a/b" and "../a/x/../b" become "a/b". The root itself becomes "". */
void tar_name_clean(char *name);
