// SPDX-License-Identifier: MIT
// The API's actions on containers: create, start, stop, kill, wait, attach, remove and the like.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/change.h"
#include "engine/engine.h"
#include "engine/process.h"
#include "lib/str.h"

static void api_no_content(struct http_conn *conn)
{
    http_reply(conn, 204, NULL, "", 0);
}

static void api_not_modified(struct http_conn *conn)
{
    http_reply(conn, 304, NULL, "", 0);
}

/* "os[/architecture[/variant]]": whether the images here, which are all for linux/amd64, are meant.
 */
static bool platform_ok(const char *text)
{
    static const char *const fine[] = {
        "", "linux", "amd64", "linux/amd64", "linux/x86_64", "linux/amd64/v1"};

    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        if (str_case_eq(text, fine[i]))
            return true;
    return false;
}

/* A container that is made, and the client that is notified of it when that is written down. */
struct making {
    struct container *c; /* a reference */
    struct answer *answer;
};

static void create_saved(void *arg, const char *why)
{
    struct making *m = arg;

    if (why)
        container_raise(m->c, CE_REMOVE);
    answer_done(m->answer, why);
    container_put(m->c);
    free(m);
}

static void create_answer(struct container *c, struct http_conn *conn)
{
    struct making *m = mem_alloc(sizeof(*m));
    struct jw w = {0};

    *m = (struct making){container_get(c), answer_new(conn, 201, "application/json")};
    w.out = &m->answer->body;
    jw_object(&w, NULL);
    jw_str(&w, "Id", c->id);
    jw_array(&w, "Warnings");
    if (judge_warning(c))
        jw_str(&w, NULL, judge_warning(c));
    jw_array_end(&w);
    jw_object_end(&w);
    container_save(c, create_saved, m);
}

API(api_container_create)
{
    const char *platform = http_query(call->req, "platform");
    struct container *c;
    char *why;
    int status;

    why = judge_create(call->body);
    if (why) {
        api_error(call->conn, 400, "%s", why);
        free(why);
        return;
    }
    if (platform && !platform_ok(platform)) {
        api_error(call->conn, 404,
                  "image with reference %s was found but its platform (linux/amd64) does not match "
                  "the specified platform (%s)",
                  json_str(call->body, "Image") ? json_str(call->body, "Image") : "", platform);
        return;
    }
    c = container_create(http_query(call->req, "name"), call->body, &status, &why);
    if (!c) {
        api_error(call->conn, status, "%s", why);
        free(why);
        return;
    }
    create_answer(c, call->conn);
}

/* ---- start, stop ----------------------------------------------------------------------------- */

static void api_start(struct call *call, struct container *c, bool restarts)
{
    if (container_next(c->state, CE_START) == LIFE_NO) {
        api_error(call->conn, 409,
                  c->state == C_PAUSED ? "cannot start a paused container, try unpause instead"
                                       : "container %s is marked for removal and cannot be started",
                  c->id);
        return;
    }
    if (c->state == C_RUNNING || c->state == C_RESTARTING) {
        api_not_modified(call->conn);
        return;
    }
    container_start_asked(c);
    request_add(c, call->conn, REQ_START)->restarts = restarts;
    container_raise(c, CE_START);
}

API(api_container_start)
{
    struct container *c = api_container(call);

    if (c)
        api_start(call, c, false);
}

struct stop {
    int signal;
    int64_t seconds;
};

/* False, and an error to the client, when the request says nonsense. */
static bool stop_judge(struct call *call, const struct container *c, struct stop *s)
{
    const char *t = http_query(call->req, "t"), *sig = http_query(call->req, "signal");

    s->signal = sig && *sig ? signal_parse(sig) : c->stop_signal;
    s->seconds = c->stop_timeout;
    if (s->signal < 0)
        api_error(call->conn, 400, "Invalid signal: %s", sig);
    else if (t && *t && !str_i64(t, &s->seconds))
        api_error(call->conn, 400, "invalid timeout: %s", t);
    else
        return true;
    return false;
}

static void api_stop(struct call *call, struct container *c, enum request_kind kind)
{
    struct request *r;
    struct stop s;

    if (!stop_judge(call, c, &s))
        return;
    r = request_add(c, call->conn, kind);
    r->signal = s.signal;
    r->seconds = s.seconds;
    container_stop_begin(c, r);
}

API(api_container_stop)
{
    struct container *c = api_container(call);

    if (!c)
        return;
    if (container_running(c))
        api_stop(call, c, REQ_STOP);
    else
        api_not_modified(call->conn);
}

API(api_container_restart)
{
    struct container *c = api_container(call);

    if (!c)
        return;
    if (container_running(c))
        api_stop(call, c, REQ_RESTART);
    else
        api_start(call, c, true);
}

API(api_container_kill)
{
    struct container *c = api_container(call);
    const char *s = http_query(call->req, "signal");
    int sig = s && *s ? signal_parse(s) : SIGKILL;

    if (!c)
        return;
    if (sig <= 0) {
        api_error(call->conn, 400, "Invalid signal: %s", s);
        return;
    }
    if (!container_running(c)) {
        api_error(call->conn, 409, "cannot kill container: %s: container %s is not running",
                  call->name, c->id);
        return;
    }
    container_stop_asked(c, sig);
    if (c->state == C_RESTARTING) {
        request_add(c, call->conn, REQ_STOP);
        container_raise(c, CE_STOP);
    } else if (sig == SIGKILL) { /* answered when it is really gone */
        request_add(c, call->conn, REQ_STOP);
        container_kill(c);
    } else if (c->state == C_RUNNING || c->state == C_PAUSED) {
        container_signal(c, sig);
        api_no_content(call->conn);
    } else {
        request_add(c, call->conn, REQ_SIGNAL)->signal = sig;
    }
}

static void api_freeze(struct call *call, enum container_event e)
{
    struct container *c = api_container(call);
    int err;

    if (!c)
        return;
    if (container_next(c->state, e) == LIFE_NO) {
        api_error(call->conn, 409, "Container %s is %s", c->id,
                  e == CE_UNPAUSE            ? "not paused"
                  : c->state == C_PAUSED     ? "already paused"
                  : c->state == C_RESTARTING ? "restarting, wait until the container is running"
                                             : "not running");
        return;
    }
    err = cgroup_freeze(c, e == CE_PAUSE);
    if (err) {
        api_error(call->conn, 500, "cannot %s: %s", e == CE_PAUSE ? "pause" : "unpause",
                  strerror(-err));
        return;
    }
    container_raise(c, e);
    api_no_content(call->conn);
}

API(api_container_pause)
{
    api_freeze(call, CE_PAUSE);
}

API(api_container_unpause)
{
    api_freeze(call, CE_UNPAUSE);
}

/* ---- wait ------------------------------------------------------------------------------------ */

API(api_container_wait)
{
    struct container *c = api_container(call);
    const char *text = http_query(call->req, "condition");
    char line[64];
    enum request_kind condition;
    int n;

    if (!c)
        return;
    if (!text || !*text || !strcmp(text, "not-running")) {
        condition = REQ_WAIT_NOT_RUNNING;
    } else if (!strcmp(text, "next-exit")) {
        condition = REQ_WAIT_NEXT_EXIT;
    } else if (!strcmp(text, "removed")) {
        condition = REQ_WAIT_REMOVED;
    } else {
        api_error(call->conn, 400, "invalid condition: \"%s\"", text);
        return;
    }
    if (condition == REQ_WAIT_NOT_RUNNING && !container_running(c)) {
        http_stream(call->conn, 200, "application/json");
        n = snprintf(line, sizeof(line), "{\"StatusCode\":%d}\n", c->exit_code);
        http_stream_data(call->conn, line, (size_t)n);
        http_stream_end(call->conn);
        return;
    }
    request_add(c, call->conn, condition);
    /* clients wait for this head before they start the container */
    http_stream(call->conn, 200, "application/json");
}

/* ---- streams --------------------------------------------------------------------------------- */

/* False, and an error to the client, when it cannot be attached to. */
static bool attach_judge(struct http_conn *conn, const struct container *c)
{
    const char *text = http_query(&conn->req, "detachKeys");
    struct detach_keys keys;

    if (!detach_keys_parse(&keys, text))
        api_error(conn, 400, "Invalid detach keys (%.100s) provided", text);
    else if (c->state == C_PAUSED)
        api_error(conn, 409, "container %s is paused, unpause the container before attach",
                  c->name);
    else if (c->state == C_RESTARTING)
        api_error(conn, 409, "container %s is restarting, wait until the container is running",
                  c->name);
    else if (c->state == C_REMOVING)
        api_error(conn, 409, "container %s is marked for removal", c->name);
    else
        return true;
    return false;
}

/* The connection is hijacked, and its client has been judged. */
static void attach_live(struct container *c, struct http_conn *conn)
{
    const struct http_head *q = &conn->req;
    struct detach_keys keys;

    detach_keys_parse(&keys, http_query(q, "detachKeys"));
    http_hold_input(conn, false);
    if (!c->proc)
        c->proc = process_new(c, NULL);
    process_attach(c->proc, conn, http_query_bool(q, "stdin", false) && c->spec.open_stdin,
                   http_query_bool(q, "stdout", false), http_query_bool(q, "stderr", false), &keys);
}

API(api_container_attach)
{
    struct container *c = api_container(call);
    bool logs = http_query_bool(call->req, "logs", false);
    bool stream = http_query_bool(call->req, "stream", false);

    if (!c || !attach_judge(call->conn, c))
        return;
    process_hijack(call->conn, c->spec.tty);
    event_container(c, "attach", NULL);
    if (logs) {
        http_hold_input(call->conn, true); /* nobody reads it yet */
        log_replay(c, call->conn, stream ? attach_live : NULL);
    } else if (stream) {
        attach_live(c, call->conn);
    } else {
        http_raw_end(call->conn);
    }
}

API(api_container_logs)
{
    struct container *c = api_container(call);

    if (!c)
        return;
    if (!http_query_bool(call->req, "stdout", false) &&
        !http_query_bool(call->req, "stderr", false)) {
        api_error(call->conn, 400, "Bad parameters: you must choose at least one stream");
        return;
    }
    log_serve(c, call->conn);
}

static void resize_event(struct container *c, unsigned rows, unsigned cols)
{
    char height[12], width[12];

    snprintf(height, sizeof(height), "%u", rows);
    snprintf(width, sizeof(width), "%u", cols);
    event_container(c, "resize", EVENT_MORE("height", height, "width", width));
}

API(api_container_resize)
{
    struct container *c = api_container(call);
    unsigned rows, cols;

    if (!c || !api_terminal_size(call, &rows, &cols))
        return;
    if (!c->proc || !container_running(c)) {
        api_error(call->conn, 409, "container %s is not running", c->id);
        return;
    }
    process_resize(c->proc, rows, cols);
    resize_event(c, rows, cols);
    http_reply(call->conn, 200, NULL, "", 0);
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* The answer waits until the container is gone. */
static void remove_wait(struct container *c, struct answer *a)
{
    answer_hold(a);
    request_add(c, NULL, REQ_REMOVE)->answer = a;
}

void container_remove(struct container *c, struct answer *a)
{
    remove_wait(c, a);
    if (container_running(c))
        container_kill(c);
    else
        container_raise(c, CE_REMOVE);
}

API(api_container_remove)
{
    struct container *c = api_container(call);
    struct answer *a;

    if (!c)
        return;
    if (http_query_bool(call->req, "link", false)) {
        api_error(call->conn, 400, "links (rm --link) are not supported");
        return;
    }
    if (c->state == C_REMOVING) {
        api_error(call->conn, 409, "removal of container %s is already in progress", call->name);
        return;
    }
    if (container_running(c) && !http_query_bool(call->req, "force", false)) {
        api_error(call->conn, 409,
                  "cannot remove container \"/%s\": container is %s: stop the container before "
                  "removing or force remove",
                  c->name, container_state_name(c));
        return;
    }
    c->remove_volumes = http_query_bool(call->req, "v", false);
    a = answer_new(call->conn, 204, NULL);
    container_remove(c, a);
    answer_done(a, NULL);
}

API(api_container_rename)
{
    struct container *c = api_container(call);
    const char *name = http_query(call->req, "name");
    struct change *ch;
    char *why;
    int status;

    if (!c)
        return;
    why = container_name(name ? name : "", &status);
    if (why) {
        api_error(call->conn, status, "%s", why);
        free(why);
        return;
    }
    ch = change_begin(c, CHANGE_NAME);
    free(c->name);
    c->name = str_dup(*name == '/' ? name + 1 : name);
    change_save(ch, "rename", answer_new(call->conn, 204, NULL));
}
