// SPDX-License-Identifier: MIT
// Transfers and their watchers; see transfer.h.
#include "engine/transfer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

#define TRANSFER_LINES_MAX 512 /* what one who joins is told first */
#define TRANSFER_ID_MAX 160

struct watcher {
    struct watcher *next;
    struct transfer *transfer;
    struct http_conn *conn;
    bool told; /* the answer's head has gone */
};

/* The last that was said of a layer or a tag. */
struct transfer_line {
    char *id;
    struct buf text;
};

static struct transfer *transfer_list;

/* ---- what clients are told ------------------------------------------------------------------- */

static void watcher_send(struct watcher *w, const struct buf *text)
{
    if (!w->told)
        http_stream(w->conn, 200, "application/json");
    w->told = true;
    http_stream_data(w->conn, text->data, text->len);
}

void transfer_tell(struct transfer *t, const struct buf *text, bool progress)
{
    for (struct watcher *w = t->watchers; w; w = w->next)
        if (!progress || http_backlog(w->conn) < HTTP_BACKLOG) /* who reads slowly misses some */
            watcher_send(w, text);
}

static void transfer_write(struct buf *b, const char *id, const char *status, int64_t current,
                           int64_t total)
{
    struct jw w = {.out = b};

    jw_object(&w, NULL);
    jw_str(&w, "status", status);
    if (id) {
        jw_object(&w, "progressDetail");
        if (total > 0) {
            jw_int(&w, "current", current);
            jw_int(&w, "total", total);
        }
        jw_object_end(&w);
        jw_str(&w, "id", id);
    }
    jw_object_end(&w);
    buf_str(b, "\r\n");
}

static void transfer_keep(struct transfer *t, const char *id, const struct buf *text)
{
    size_t i = 0;

    while (i < t->nlines && strcmp(t->lines[i].id, id))
        i++;
    if (i == TRANSFER_LINES_MAX)
        return;
    if (i == t->nlines) {
        t->lines = mem_resize(t->lines, ++t->nlines * sizeof(*t->lines));
        t->lines[i] = (struct transfer_line){.id = str_dup(id)};
    }
    buf_clear(&t->lines[i].text);
    buf_add(&t->lines[i].text, text->data, text->len);
}

void transfer_status(struct transfer *t, const char *id, const char *status, int64_t current,
                     int64_t total)
{
    struct buf b = {0};

    transfer_write(&b, id, status, current, total);
    if (id && strlen(id) <= TRANSFER_ID_MAX)
        transfer_keep(t, id, &b);
    transfer_tell(t, &b, total > 0);
    buf_free(&b);
}

static void watcher_error(struct watcher *w, int code, const char *error)
{
    struct buf b = {0};
    struct jw j = {.out = &b};

    if (!w->told) {
        api_error(w->conn, code, "%s", error);
        return;
    }
    jw_object(&j, NULL);
    jw_object(&j, "errorDetail");
    jw_str(&j, "message", error);
    jw_object_end(&j);
    jw_str(&j, "error", error);
    jw_object_end(&j);
    buf_str(&b, "\r\n");
    watcher_send(w, &b);
    http_stream_end(w->conn);
    buf_free(&b);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void transfer_unlist(struct transfer *t)
{
    for (struct transfer **at = &transfer_list; *at; at = &(*at)->next)
        if (*at == t) {
            *at = t->next;
            return;
        }
}

static void transfer_free(struct transfer *t)
{
    for (size_t i = 0; i < t->nlines; i++) {
        buf_free(&t->lines[i].text);
        free(t->lines[i].id);
    }
    if (t->image)
        image_put(t->image);
    free(t->lines);
    free(t->key);
    free(t->name);
    free(t->error);
    free(t);
}

/* All is written and removed. */
static void transfer_answered(void *arg, const char *error)
{
    struct transfer *t = arg;

    if (!error && t->kind->well)
        t->kind->well(t);
    while (t->watchers) {
        struct watcher *w = t->watchers;

        t->watchers = w->next;
        http_disown(w->conn);
        if (error)
            watcher_error(w, t->code ? t->code : 500, error);
        else
            http_stream_end(w->conn);
        free(w);
    }
    transfer_free(t);
}

static void transfer_end(struct transfer *t, const char *error)
{
    transfer_unlist(t);
    t->ended = true;
    t->job = NULL;
    held_end(&t->held, t->answer);
    answer_done(t->answer, error);
}

static void transfer_cancelled(void *owner)
{
    transfer_end(owner, "cancelled");
}

static void transfer_client_gone(struct http_conn *conn)
{
    struct watcher *gone = conn->owner;
    struct transfer *t = gone->transfer;

    for (struct watcher **at = &t->watchers; *at; at = &(*at)->next)
        if (*at == gone) {
            *at = gone->next;
            break;
        }
    free(gone);
    if (t->watchers || t->ended)
        return;
    t->ended = true;
    transfer_unlist(t); /* who asks for the same now begins anew */
    job_cancel(t->job, transfer_cancelled);
}

/* A worker whose report failed here does not go on. */
static void transfer_end_worker(const struct transfer *t)
{
    if (t->error && t->job->pid > 0)
        kill(t->job->pid, SIGKILL);
}

static void transfer_bad(struct transfer *t)
{
    t->error = t->error ? t->error : str_dup("the worker's report is bad");
    transfer_end_worker(t);
}

static void transfer_judge_line(struct transfer *t, const struct json *j)
{
    const char *error = json_str(j, "error"), *status = json_str(j, "status");
    int64_t code = json_int(j, "code", 500);

    if (error) {
        t->error = str_dup(error);
        t->code = code >= 400 && code < 600 ? (int)code : 500;
    } else if (status) {
        transfer_status(t, json_str(j, "id"), status, json_int(j, "current", 0),
                        json_int(j, "total", 0));
    } else {
        t->error = t->kind->line(t, j);
        transfer_end_worker(t);
    }
}

static void transfer_heard(struct job *job)
{
    struct transfer *t = job->owner;
    char *end;

    if (t->ended)
        return;
    while (job->report.len && (end = memchr(job->report.data, '\n', job->report.len))) {
        size_t n = (size_t)(end - job->report.data);
        struct json *j = json_parse(job->report.data, n, NULL);

        if (j && !t->error)
            transfer_judge_line(t, j);
        else if (!j && !t->error)
            transfer_bad(t);
        json_free(j);
        buf_drop(&job->report, n + 1);
    }
    if (job->report.len >= JOB_REPORT_MAX) /* a line without an end */
        transfer_bad(t);
}

static void transfer_done(struct job *job, const char *error)
{
    struct transfer *t = job->owner;

    transfer_heard(job);
    transfer_end(t, t->error ? t->error : error);
}

void transfer_watch(struct transfer *t, struct http_conn *conn)
{
    struct watcher *w = mem_alloc(sizeof(*w)), **at = &t->watchers;

    *w = (struct watcher){.transfer = t, .conn = conn};
    while (*at)
        at = &(*at)->next;
    *at = w;
    conn->owner = w;
    conn->on_close = transfer_client_gone;
    for (size_t i = 0; i < t->nlines; i++)
        watcher_send(w, &t->lines[i].text);
}

struct transfer *transfer_find(const char *key)
{
    for (struct transfer *t = transfer_list; t; t = t->next)
        if (t->key && !strcmp(t->key, key))
            return t;
    return NULL;
}

struct transfer *transfer_new(const struct transfer_kind *kind, char *key, char *name)
{
    struct transfer *t = mem_alloc(sizeof(*t));

    t->kind = kind;
    t->key = key;
    t->name = name;
    t->answer = answer_for(transfer_answered, t);
    t->next = transfer_list;
    transfer_list = t;
    held_begin(&t->held, kind->role);
    t->job = job_new(t, transfer_done, job_memory_bound(), kind->role, t->held.dir, NULL);
    t->job->heard = transfer_heard;
    return t;
}
