// SPDX-License-Identifier: MIT
// Answers that wait for work: a worker that removes a tree or writes the store.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/job.h"
#include "lib/str.h"

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
    buf_free(&a->body);
    free(a->error);
    free(a);
}
