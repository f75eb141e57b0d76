// SPDX-License-Identifier: MIT
// Clients that wait for something to happen to a container.
//
// A request refers to its container; the container lists its requests. It ends in one of three
// ways: what it waits for happens, the container goes, or the client does. Nothing here starts or
// removes anything but through container_raise().
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "lib/str.h"

static void request_client_gone(struct http_conn *conn)
{
    request_free(conn->owner);
}

void request_init(struct request *r, struct container *c, struct http_conn *conn,
                  enum request_kind kind)
{
    struct request **tail;

    r->kind = kind;
    r->c = container_get(c);
    r->conn = conn;
    for (tail = &c->requests; *tail; tail = &(*tail)->next)
        ;
    *tail = r;
    if (!conn)
        return;
    conn->owner = r;
    conn->on_close = request_client_gone;
}

struct request *request_add(struct container *c, struct http_conn *conn, enum request_kind kind)
{
    struct request *r = mem_alloc(sizeof(*r));

    request_init(r, c, conn, kind);
    return r;
}

void request_free(struct request *r)
{
    for (struct request **at = &r->c->requests; *at; at = &(*at)->next) {
        if (*at != r)
            continue;
        *at = r->next;
        break;
    }
    if (r->gone)
        r->gone(r);
    if (r->conn && r->conn->owner == r)
        http_disown(r->conn);
    container_put(r->c);
    free(r);
}

static bool request_pending(const struct container *c, enum request_kind kind)
{
    for (const struct request *r = c->requests; r; r = r->next)
        if (r->kind == kind)
            return true;
    return false;
}

/* ---- answers; each ends the request ---------------------------------------------------------- */

static void request_ok(struct request *r)
{
    http_reply(r->conn, 204, NULL, "", 0);
    request_free(r);
}

static void request_status(struct request *r)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "{\"StatusCode\":%d}\n", r->c->exit_code);

    http_stream_data(r->conn, text, (size_t)n);
    http_stream_end(r->conn);
    request_free(r);
}

static void request_removed(struct request *r)
{
    answer_done(r->answer, NULL);
    request_free(r);
}

static void request_not_running(struct request *r)
{
    api_error(r->conn, 409, "cannot kill container: %s: container %s is not running", r->c->name,
              r->c->id);
    request_free(r);
}

/* ---- what has happened ----------------------------------------------------------------------- */

void requests_started(struct container *c)
{
    struct request *next;

    for (struct request *r = c->requests; r; r = next) {
        next = r->next;
        if (r->kind == REQ_SIGNAL) {
            container_signal(c, r->signal);
            request_ok(r);
        } else if (r->signal) {
            container_stop_begin(c, r);
        }
    }
}

void requests_start_done(struct container *c)
{
    struct request *next;

    for (struct request *r = c->requests; r; r = next) {
        next = r->next;
        if (r->kind != REQ_START)
            continue;
        if (r->restarts)
            event_container(c, "restart", NULL);
        request_ok(r);
    }
}

/* The container is stopped. What its requests want next: its removal before its restart. */
void requests_stopped(struct container *c)
{
    bool remove = c->auto_remove, restart = false;
    struct request *next;

    for (struct request *r = c->requests; r; r = next) {
        next = r->next;
        switch (r->kind) {
        case REQ_STOP:
            event_container(c, "stop", NULL);
            request_ok(r);
            break;
        case REQ_SIGNAL:
            request_not_running(r);
            break;
        case REQ_RESTART:
            event_container(c, "stop", NULL);
            r->kind = REQ_START;
            r->restarts = true;
            r->signal = 0;
            restart = true;
            remove = false;
            restart_reset(&c->restart);
            break;
        case REQ_WAIT_NOT_RUNNING:
            request_status(r);
            break;
        default:
            break;
        }
    }
    if (remove || request_pending(c, REQ_REMOVE))
        container_raise(c, CE_REMOVE);
    else if (restart)
        container_raise(c, CE_START);
}

static void request_failed(struct request *r)
{
    api_error(r->conn, r->status, "%s", r->c->error);
    request_free(r);
}

/* A container that is removed with its failure is gone when that is told. */
void requests_failed(struct container *c, int status)
{
    bool removed = c->auto_remove && !request_pending(c, REQ_RESTART);
    struct request *next;

    for (struct request *r = c->requests; r; r = next) {
        next = r->next;
        if (r->kind != REQ_START)
            continue;
        r->kind = REQ_FAILED;
        r->status = status;
        if (!removed)
            request_failed(r);
    }
    requests_stopped(c);
}

void requests_exited(struct container *c)
{
    struct request *next;

    for (struct request *r = c->requests; r; r = next) {
        next = r->next;
        if (r->kind == REQ_WAIT_NEXT_EXIT)
            request_status(r);
    }
    requests_stopped(c);
}

void requests_removed(struct container *c)
{
    while (c->requests) {
        struct request *r = c->requests;

        switch (r->kind) {
        case REQ_REMOVE:
            request_removed(r);
            break;
        case REQ_WAIT_NOT_RUNNING:
        case REQ_WAIT_NEXT_EXIT:
        case REQ_WAIT_REMOVED:
            request_status(r);
            break;
        case REQ_FAILED:
            request_failed(r);
            break;
        case REQ_WATCH:
            http_stream_end(r->conn);
            request_free(r);
            break;
        default:
            api_error(r->conn, 409, "container %s is marked for removal and cannot be started",
                      c->id);
            request_free(r);
        }
    }
}
