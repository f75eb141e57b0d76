// SPDX-License-Identifier: MIT
// What the parts of the pull worker share: pull_worker.c (an image, and who does what of it),
// pull_manifest.c (which one), pull_blob.c (a layer's bytes).
#pragma once

#include "engine/load.h"
#include "engine/registry.h"

#define PULL_AT_ONCE 3

/* Where from: the endpoints of the order, of which those before `endpoint` have failed. */
struct pull_from {
    struct registry r;
    const struct json *endpoint;
};

/* ---- pull_manifest.c ---- */

/* The manifest of an image for this machine. */
struct pull_manifest {
    struct json *json;
    struct buf text; /* the image's own, as it came */
    struct manifest m;
    char digest[SHA256_HEX]; /* of what the reference names: a list's, if it is one */
};
/* Of a tag, or of "sha256:...", at the first endpoint that has it; ends the worker otherwise. */
void pull_find_manifest(struct pull_from *from, const char *reference, struct pull_manifest *out);
/* What a reference names, list or image, as it stands; ends the worker when there is none. */
struct pull_top {
    struct json *json;
    char *type; /* its media type */
    char digest[SHA256_HEX];
    size_t size;
};
void pull_find_top(struct pull_from *from, const char *reference, struct pull_top *out);
/* A blob that is a text of at most `max` bytes: 0, or -1 with from->r.why. */
int pull_text_of(struct pull_from *from, const struct manifest_blob *b, size_t max,
                 struct buf *out);
/* All tags of the repository: a list that ends with a NULL. */
char **pull_find_tags(struct pull_from *from);
/* Opens the endpoint `from` is at; its successor: false when there is none. */
void pull_open(struct pull_from *from);
bool pull_next(struct pull_from *from);
/* What came is not what was asked for: from->r.why says so, and the next endpoint may be better.
 * Always -1. */
int pull_unfit(struct pull_from *from, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What `from->r` has failed with is the end of the pull of `what`. */
_Noreturn void pull_refused(const struct pull_from *from, const char *what);

/* ---- pull_blob.c ---- */

/* In a process of its own: the blob's bytes go to `fd`, lines about it to standard output: "D n"
 * bytes are there, "R n" it is tried again in n seconds, "V" they are verified, "C" complete, "F
 * code why". */
_Noreturn void pull_blob(struct pull_from *from, const struct manifest_blob *b, int fd);
