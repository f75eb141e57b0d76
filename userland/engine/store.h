// SPDX-License-Identifier: MIT
// What must survive the engine: one file per object, written by a worker that stays (store.c), so
// that the event loop never waits for a disk. A file has the old content or the new one at any
// moment; when its `done` is called, the new one is on the disk.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"

/* NULL, or a sentence why it was not written. */
typedef void (*store_fn)(void *arg, const char *why);

/* Puts `text`, which stays the caller's, in the file's place. With `all`, after everything that is
 * below the engine's root is on the disk. Writes happen in the order of the calls. */
void store_put(const char *path, const struct buf *text, bool all, store_fn done, void *arg);
/* What the engine and the worker say: a head, a path and a text; an error number for each. */
struct store_head {
    uint32_t path, text, all;
};

bool store_idle(void);
void store_open(void);      /* what the root lies on is looked at */
bool store_is_memory(void); /* then an object's empty file is one that its engine died over */
void store_begin(void); /* the worker is there from now on: the first write waits for no start */

/* The file of one object, of which at most one write is under way: what changes meanwhile is
 * written once by the next. The object must live until `idle` says so. */
struct store_file {
    bool writing;
    bool fresh; /* it has no file yet; its owner says so before the first write */
    struct store_wait *now, *next, **next_tail; /* those told of the write under way; of the next */
    void (*text)(struct store_file *f, struct buf *out, char **path); /* both the caller's */
    void (*idle)(struct store_file *f); /* no write is under way any more */
};

/* The object as it is now, or as it is soon, is written. `done` may be NULL. True when no write was
 * under way before: `idle` follows. */
bool store_save(struct store_file *f, store_fn done, void *arg);
