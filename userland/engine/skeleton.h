// SPDX-License-Identifier: MIT
// A layer's skeleton: all bytes of its tar but the files' content, so that the tar can be made
// again, byte for byte, from the directory that it was unpacked to. Its digest shows whether that
// is so.
//
// Format, in a file `tars/<directory of the layer>`: records of a kind, a length and what that
// many bytes are: 0 bytes as they stand, 1 zeros, 2 the length of a name, which follows, and the
// size of the file of that name. Numbers are 7 bits a byte, the low ones first.
#pragma once

#include <stdbool.h>

#include "lib/buf.h"
#include "lib/source.h"

/* Makes one: a source through which the tar's bytes pass. */
struct skeleton {
    struct source src;
    struct source *from;
    int fd;
    void (*take)(uint64_t bytes); /* told of what is about to be written; or NULL */
    struct buf plain, out;
    uint64_t zeros, content; /* content: bytes that pass and are the last named file's */
    bool spoiled;            /* the directory does not hold what passed */
    int err;                 /* -errno of its file */
};

void skeleton_begin(struct skeleton *s, struct source *from, int fd); /* borrows both */
/* The next `size` bytes are the content of the file `name`. */
void skeleton_file(struct skeleton *s, const char *name, uint64_t size);
/* 0, or -errno: there is none. */
int skeleton_end(struct skeleton *s);

/* The tar again, as a source. */
struct skeleton_tar {
    struct source src;
    struct source_bytes *in;
    struct source_file file;
    int dir;       /* the layer's */
    int kind;      /* of the record at hand */
    uint64_t left; /* of it */
    int content;   /* its file, or -1 */
};
/* Borrows both descriptors, the skeleton's and the layer's directory. -errno. */
int skeleton_tar_open(struct skeleton_tar *t, int fd, int dir);
void skeleton_tar_close(struct skeleton_tar *t);
/* How long the tar is; false when the skeleton is none. */
bool skeleton_tar_size(int fd, uint64_t *size);
