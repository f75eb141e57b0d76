// SPDX-License-Identifier: MIT
// The engine's side of a load: the body goes to a worker as it comes, the worker's report to the
// store. The client's end is the worker's.
//
// The worker is told which layers there are and does not unpack those again: the load holds them
// until it is over.
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/held.h"
#include "engine/job.h"
#include "lib/str.h"

struct load {
    struct http_conn *conn; /* until it is answered or gone */
    struct job *job;
    struct held held;
};

static void load_end(struct load *l, struct answer *a)
{
    held_end(&l->held, a);
    free(l);
}

static void load_free(void *owner)
{
    load_end(owner, NULL);
}

static void load_client_gone(struct http_conn *conn)
{
    struct load *l = conn->owner;

    job_cancel(l->job, load_free);
}

static char *load_publish(struct load *l, const char *error, struct buf *lines)
{
    const struct buf *text = &l->job->report;
    struct json *report = text->len ? json_parse(text->data, text->len, NULL) : NULL;
    char *why = NULL;

    if (report && json_str(report, "error"))
        why = str_dup(json_str(report, "error"));
    else if (error || !report)
        why = str_fmt("the archive could not be read: %s", error ? error : "no report");
    else
        why = image_publish(l->held.dir, report, lines);
    json_free(report);
    return why;
}

/* Docker answers 200 and puts failures in the stream. */
static void load_done(struct job *j, const char *error)
{
    struct load *l = j->owner;
    struct answer *a = answer_new(l->conn, 200, "application/json");
    char *why;

    a->error_in_stream = true;
    why = load_publish(l, error, &a->body);
    if (!why || a->body.len) /* some images may be there all the same */
        image_store_save(a, NULL);
    load_end(l, a);
    answer_done(a, why);
    free(why);
}

static void load_drained(struct job *j)
{
    struct load *l = j->owner;

    http_hold_input(l->conn, false);
}

static void load_body(struct http_conn *conn, const char *data, size_t len)
{
    struct load *l = conn->owner;

    job_feed(l->job, data, len);
    if (job_full(l->job))
        http_hold_input(conn, true);
}

void load_complete(struct http_conn *conn)
{
    struct load *l = conn->owner;

    if (conn->on_body != load_body)
        return; /* the worker did not need all of it: the answer is under way */
    conn->on_body = NULL;
    job_feed_end(l->job);
}

void api_image_load(struct http_conn *conn)
{
    struct load *l = mem_alloc(sizeof(*l));
    bool sized = conn->framing.kind == HTTP_BODY_LENGTH;
    char *size = str_fmt("%llu", sized ? (unsigned long long)conn->framing.left : 0);

    l->conn = conn;
    held_begin(&l->held, "load");
    l->job = job_new(l, load_done, job_memory_bound(), "load", l->held.dir, size, NULL);
    free(size);
    l->job->drained = load_drained;
    held_layers(&l->held, l->job, "");
    job_feed(l->job, "\n", 1);
    conn->owner = l;
    conn->on_body = load_body;
    conn->on_close = load_client_gone;
}
