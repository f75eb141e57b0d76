// SPDX-License-Identifier: MIT
// What the parts of the push worker share: push_worker.c (what goes to the registry, and talks to
// it), push_read.c (a process that reads the store for it).
#pragma once

#include "engine/load.h"
#include "engine/registry.h"

/* Of an image of the order, or of a layer of it: by their numbers there. */
enum push_kind {
    PUSH_STOP, /* push_read_stop()'s */
    PUSH_CONFIG,
    PUSH_MANIFEST, /* that it was pulled with */
    PUSH_SIZE,     /* a uint64_t, of the layer's tar */
    PUSH_LAYER,    /* the tar */
};

void push_read_open(const char *dir); /* the store, while it can be seen from the worker's `dir` */
/* Makes the process that reads, when the order is there. Its socket, which is all that the worker
 * needs from then on. */
int push_read_start(void);
/* One thing at a time: push_read_more() gives bytes, 0 at the end, -1 with why. */
void push_read_begin(enum push_kind kind, size_t image, size_t layer);
ssize_t push_read_more(void *data, size_t len, const char **why);
void push_read_stop(void); /* what is left of it is not wanted */
/* All of it, at most `max` bytes: 0, or -1 when it is longer or not there. */
int push_read_all(enum push_kind kind, size_t image, size_t layer, struct buf *out, size_t max);
