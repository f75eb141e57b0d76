// SPDX-License-Identifier: MIT
// What the tar reader's two files share.
#pragma once

#include "lib/tar.h"

#define TAR_SIZE_MAX (1ull << 40)

struct tar_header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char sum[8];
    char type;
    char link[100];
    char magic[6];
    char version[2];
    char uname[32];
    char gname[32];
    char major[8];
    char minor[8];
    char prefix[155]; /* GNU: the sparse map from its 42nd byte on */
    char pad[12];
};

_Static_assert(sizeof(struct tar_header) == 512, "one block");

/* What pax records said of the entry to come. */
struct tar_pax {
    uint64_t size; /* UINT64_MAX: nothing */
    bool timed;
    bool sparse;
    uint64_t major, minor; /* of the sparse format */
    uint64_t real;         /* a sparse file's size; UINT64_MAX: nothing */
};

int tar_fail(struct tar *t, const char *why);
ssize_t tar_pull(struct tar *t, void *data, size_t len);
/* Octal with blanks around, or GNU base-256; false when neither, negative or beyond 63 bits. */
bool tar_number(const char *s, size_t len, uint64_t *out);

/* ---- tar_sparse.c ---- */

/* The record GNU.sparse.KEY. */
int tar_sparse_record(struct tar *t, struct tar_pax *pax, const char *key, const char *value);
/* The maps that stand before an entry's content, or in its records; judges the whole map. */
int tar_sparse_gnu(struct tar *t, const struct tar_header *h);
int tar_sparse_pax(struct tar *t, const struct tar_pax *pax);
void tar_sparse_drop(struct tar *t);
