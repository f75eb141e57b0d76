// SPDX-License-Identifier: MIT
// Answers that wait for work: a worker that removes a tree or writes the store. And chores: what a
// worker has to have done in the end, a tree or a control group removed. One that fails, since
// there was no memory for it or a process was still dying, is tried again, after a pause that
// doubles.
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/job.h"
#include "lib/str.h"

#define CHORE_PAUSE_MS 20
#define CHORE_PAUSE_MAX_MS 60000
#define CHORE_TRIES 24 /* for ten minutes or so; what is left then is the next engine's */
#define CHORE_WAITED 5 /* tries to move a tree away, before its owner hears that it is gone */

static void answer_client_gone(struct http_conn *conn)
{
    struct answer *a = conn->owner;

    a->conn = NULL;
}

/* What still comes of a request that will be answered before it is whole. */
static void answer_body(struct http_conn *conn, const char *data, size_t len)
{
}

struct answer *answer_new(struct http_conn *conn, int status, const char *type)
{
    struct answer *a = mem_alloc(sizeof(*a));

    a->conn = conn;
    a->status = status;
    a->type = type;
    a->holds = 1;
    conn->owner = a;
    conn->on_close = answer_client_gone;
    conn->on_body = answer_body;
    return a;
}

struct answer *answer_for(void (*given)(void *arg, const char *error), void *arg)
{
    struct answer *a = mem_alloc(sizeof(*a));

    a->given = given;
    a->arg = arg;
    a->holds = 1;
    return a;
}

void answer_hold(struct answer *a)
{
    a->holds++;
}

static void answer_error(struct answer *a)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    if (!a->error_in_stream) {
        api_error(a->conn, 500, "%s", a->error);
        return;
    }
    jw_object(&w, NULL);
    jw_object(&w, "errorDetail");
    jw_str(&w, "message", a->error);
    jw_object_end(&w);
    jw_str(&w, "error", a->error);
    jw_object_end(&w);
    buf_str(&b, "\r\n");
    http_reply(a->conn, 200, "application/json", b.data, b.len);
    buf_free(&b);
}

void answer_done(struct answer *a, const char *error)
{
    if (error && !a->error)
        a->error = str_dup(error);
    if (--a->holds)
        return;
    if (a->conn && a->error)
        answer_error(a);
    else if (a->conn)
        http_reply(a->conn, a->status, a->type, a->body.data ? a->body.data : "", a->body.len);
    if (a->given)
        a->given(a->arg, a->error);
    buf_free(&a->body);
    free(a->error);
    free(a);
}

/* ---- chores ---------------------------------------------------------------------------------- */

struct chore {
    struct chore *next; /* of those with a tree to move */
    const char *role;
    char *path; /* the worker's */
    char *from; /* a tree that is not moved to `path` yet, or NULL */
    unsigned tries;
    struct ev_timer again;
    void (*done)(void *arg); /* NULL once it is called */
    void *arg;
};

static struct chore *chore_moving; /* whose `from` is a name that is still taken */

static void chore_try(struct chore *c);

static void chore_moved(struct chore *c)
{
    for (struct chore **at = &chore_moving; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    free(c->from);
    c->from = NULL;
}

static void chore_tell(struct chore *c)
{
    if (c->done)
        c->done(c->arg);
    c->done = NULL;
}

static void chore_end(struct chore *c)
{
    chore_tell(c);
    chore_moved(c);
    free(c->path);
    free(c);
}

static void chore_due(struct ev_timer *t)
{
    chore_try((struct chore *)((char *)t - offsetof(struct chore, again)));
}

static void chore_later(struct chore *c, const char *why)
{
    uint64_t pause = (uint64_t)CHORE_PAUSE_MS << (c->tries < 16 ? c->tries : 16);

    if (!c->tries || c->tries == CHORE_TRIES)
        engine_log("cannot remove all of %s: %s%s", c->from ? c->from : c->path, why,
                   c->tries ? "" : ": it is tried again");
    if (c->tries++ == CHORE_TRIES) {
        chore_end(c);
        return;
    }
    c->again.fn = chore_due;
    ev_timer_set(&c->again, pause < CHORE_PAUSE_MAX_MS ? pause : CHORE_PAUSE_MAX_MS);
}

static void chore_done(struct job *j, const char *error)
{
    struct chore *c = j->owner;

    if (!error) {
        chore_end(c);
        return;
    }
    chore_tell(c);
    chore_later(c, j->report.len ? j->report.data : error);
}

/* 0 or -errno. What stands at that name later is none of it. */
static int chore_move(struct chore *c)
{
    if (c->from && rename(c->from, c->path) < 0 && errno != ENOENT)
        return -errno;
    chore_moved(c);
    return 0;
}

static void chore_try(struct chore *c)
{
    int err = chore_move(c);

    if (err) {
        if (c->tries >= CHORE_WAITED)
            chore_tell(c);
        chore_later(c, strerror(-err));
        return;
    }
    job_new(c, chore_done, 0, c->role, c->path, NULL);
}

void tree_discard(const char *path, void (*done)(void *arg), void *arg)
{
    static unsigned count;
    struct chore *c = mem_alloc(sizeof(*c));

    *c = (struct chore){.role = "remove",
                        .path = str_fmt("%s/tmp/gone-%u", engine.root, count++),
                        .from = str_dup(path),
                        .done = done,
                        .arg = arg,
                        .next = chore_moving};
    chore_moving = c;
    chore_try(c);
}

int tree_leave(const char *path)
{
    for (struct chore *c = chore_moving; c; c = c->next)
        if (!strcmp(c->from, path))
            return chore_move(c);
    return 0;
}

void group_discard(const char *path)
{
    struct chore *c = mem_alloc(sizeof(*c));

    *c = (struct chore){.role = "groups", .path = str_dup(path)};
    chore_try(c);
}
