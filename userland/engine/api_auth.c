// SPDX-License-Identifier: MIT
// Short questions to a registry: POST /auth (docker login) and GET /distribution/NAME/json. One
// worker each, whose only line is the answer.
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/held.h"
#include "engine/job.h"
#include "engine/registry.h"
#include "lib/str.h"

#define QUESTION_MEMORY (64ll << 20)

struct question {
    struct http_conn *conn; /* NULL when the client has gone */
    struct job *job;
    struct held held;
    struct json *report;
};

static void question_free(struct question *q)
{
    json_free(q->report);
    free(q);
}

static void question_cancelled(void *owner)
{
    struct question *q = owner;

    held_end(&q->held, NULL);
    question_free(q);
}

static void question_client_gone(struct http_conn *conn)
{
    struct question *q = conn->owner;

    q->conn = NULL;
    if (q->job)
        job_cancel(q->job, question_cancelled);
}

/* What the worker left has been removed. */
static void question_answered(void *arg, const char *error)
{
    struct question *q = arg;
    const struct json *answer = json_get(q->report, "answer");
    const char *why = json_str(q->report, "error");
    int64_t code = json_int(q->report, "code", 500);
    struct buf b = {0};

    if (q->conn)
        http_disown(q->conn);
    if (q->conn && answer) {
        json_write(&b, answer);
        api_json(q->conn, 200, &b);
    } else if (q->conn) {
        api_error(q->conn, code >= 400 && code < 600 ? (int)code : 500, "%s",
                  why     ? why
                  : error ? error
                          : "the worker's report is bad");
    }
    question_free(q);
}

static void question_done(struct job *j, const char *error)
{
    struct question *q = j->owner;
    struct answer *a = answer_for(question_answered, q);

    q->report = j->report.len ? json_parse(j->report.data, j->report.len, NULL) : NULL;
    q->job = NULL;
    held_end(&q->held, a);
    answer_done(a, error);
}

static void question_ask(struct http_conn *conn, const struct registry_name *n,
                         const struct json *auth)
{
    struct question *q = mem_alloc(sizeof(*q));
    struct buf b = {0};
    struct jw w = {.out = &b};

    q->conn = conn;
    held_begin(&q->held, "ask");
    q->job = job_new(q, question_done, QUESTION_MEMORY, "registry", q->held.dir, NULL);
    registry_order_auth(&b, auth);
    jw_object(&w, NULL);
    registry_order(&w, n);
    jw_object_end(&w);
    job_feed(q->job, b.data, b.len);
    job_feed_end(q->job);
    buf_free(&b);
    conn->owner = q;
    conn->on_close = question_client_gone;
}

/* "https://index.docker.io/v1/" and "localhost:5000" name the registry that a pull would. */
static char *auth_host(const char *address)
{
    const char *host = str_starts(address, "https://")  ? address + 8
                       : str_starts(address, "http://") ? address + 7
                                                        : address;
    char *name = str_dupn(host, strcspn(host, "/"));

    if (*name && strcmp(name, "index.docker.io") && strcmp(name, "registry-1.docker.io"))
        return name;
    free(name);
    return str_dup("docker.io");
}

API(api_auth)
{
    const char *address = json_str(call->body, "serveraddress");
    struct registry_name n = {.host = auth_host(address ? address : "")};
    char *ref = str_fmt("%s/x", n.host), *ok = image_ref_normalize(ref);

    if (!call->body || call->body->type != JSON_OBJECT)
        api_error(call->conn, 400, "the request has no credentials");
    else if (!ok)
        api_error(call->conn, 400, "invalid registry address: %.300s", address);
    else
        question_ask(call->conn, &n, call->body);
    free(ok);
    free(ref);
    registry_name_free(&n);
}

API(api_distribution)
{
    char *ref = image_ref_normalize(call->name);
    struct registry_name n;
    struct json *auth = NULL;

    if (!ref) {
        api_error(call->conn, 400, "invalid reference format: %.300s", call->name);
        return;
    }
    registry_name_parse(&n, ref);
    if (registry_auth(call->req, &auth))
        question_ask(call->conn, &n, auth);
    else
        api_error(call->conn, 400, "the X-Registry-Auth header is unreadable");
    json_free(auth);
    registry_name_free(&n);
    free(ref);
}
