// SPDX-License-Identifier: MIT
// A pull or a push: a job, and the clients that watch it.
//
// It ends when the last of them leaves. What its worker reports is judged here and told to all: a
// line with a status as it is, an error as the end, others by the kind. A failure before anything
// was told is the request's status, afterwards a line of the stream, as with Docker. The clients
// are answered when all is written, and what the worker left removed.
#pragma once

#include "engine/engine.h"
#include "engine/held.h"
#include "engine/job.h"

struct transfer;
struct watcher;

struct transfer_kind {
    const char *role; /* the worker's */
    /* A line of the report that is neither a status nor an error: NULL, or what is wrong. */
    char *(*line)(struct transfer *t, const struct json *j);
    void (*well)(struct transfer *t); /* it went well: the last lines; or NULL */
};

struct transfer {
    struct transfer *next;
    const struct transfer_kind *kind;
    char *key;  /* who asks for the same joins; or NULL */
    char *name; /* as Docker says it */
    struct job *job;
    struct held held;
    struct image *image;   /* that is pushed: a reference, dropped at the end; or NULL */
    struct answer *answer; /* given at the end: who writes something holds it */
    bool newer;            /* a pull has brought something */

    /* transfer.c's own */
    struct watcher *watchers;
    struct transfer_line *lines;
    size_t nlines;
    bool ended;
    int code; /* of its failure */
    char *error;
};

/* Takes both strings. The caller feeds its job. */
struct transfer *transfer_new(const struct transfer_kind *kind, char *key, char *name);
struct transfer *transfer_find(const char *key); /* one that has not ended */
void transfer_watch(struct transfer *t, struct http_conn *conn);
/* Tells a status; `id` may be NULL, `total` 0. */
void transfer_status(struct transfer *t, const char *id, const char *status, int64_t current,
                     int64_t total);
/* Any text; with `progress`, which clients that read slowly may miss. */
void transfer_tell(struct transfer *t, const struct buf *text, bool progress);
