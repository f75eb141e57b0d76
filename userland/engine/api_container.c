// SPDX-License-Identifier: MIT
// The API's actions on containers: create, start, stop, kill, wait, attach, remove and the like.
#include "engine/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

static void api_no_content(struct http_conn *conn)
{
    http_reply(conn, 204, NULL, "", 0);
}

static void api_internal(struct http_conn *conn, char *why)
{
    api_error(conn, 500, "%s", why);
    free(why);
}

API(api_container_create)
{
    struct container *c;
    struct buf b = {0};
    char *why;
    int status;

    if (!call->body || call->body->type != JSON_OBJECT) {
        api_error(call->conn, 400, "the request body must be a JSON object");
        return;
    }
    c = container_create(http_query(call->req, "name"), call->body, &status, &why);
    if (!c) {
        api_error(call->conn, status, "%s", why);
        free(why);
        return;
    }
    buf_fmt(&b, "{\"Id\":\"%s\",\"Warnings\":[]}\n", c->id);
    api_json(call->conn, 201, &b);
}

/* ---- start ----------------------------------------------------------------------------------- */

static void starter_gone(struct http_conn *conn)
{
    for (struct container *c = container_first(); c; c = c->next) {
        if (c->starter == conn)
            c->starter = NULL;
        for (struct exec *x = c->execs; x; x = x->next)
            if (x->starter == conn)
                x->starter = NULL;
    }
}

static int start_exit_code(const char *error)
{
    if (strstr(error, "permission denied"))
        return 126;
    return strstr(error, "executable file not found") || strstr(error, "no such file") ? 127 : 128;
}

static void start_failed(struct container *c, const char *error)
{
    struct http_conn *conn = c->starter;
    struct process *p = c->proc;
    char *text = str_fmt("failed to create task for container: failed to create shim task: OCI "
                         "runtime create failed: unable to start container process: %s",
                         error);

    c->starter = NULL;
    c->proc = NULL;
    c->pid = 0;
    c->state = C_CREATED;
    c->exit_code = start_exit_code(error);
    free(c->error);
    c->error = text;
    if (p)
        process_free(p);
    cgroup_remove(c);
    log_end(c);
    text = str_dup(text);
    if (c->auto_remove)
        container_remove(c);
    if (conn) {
        conn->on_close = NULL;
        api_error(conn, start_exit_code(text) == 128 ? 500 : 400, "%s", text);
    }
    free(text);
}

/* Upcall from start.c. */
void start_done(struct process *p, const char *error)
{
    struct container *c = p->c;
    struct http_conn *conn = c->starter;

    if (error) {
        start_failed(c, error);
        return;
    }
    c->state = C_RUNNING;
    c->starter = NULL;
    c->exit_code = 0;
    engine_now(&c->started);
    event_container(c, "start", NULL, NULL);
    if (!conn)
        return;
    conn->on_close = NULL;
    api_no_content(conn);
}

static void start_begin(struct container *c, struct http_conn *conn)
{
    char *why;

    c->starter = conn;
    conn->on_close = starter_gone;
    why = container_start(c);
    if (why)
        start_failed(c, why);
    free(why);
}

API(api_container_start)
{
    struct container *c = api_container(call);

    if (!c)
        return;
    if (c->state == C_STARTING || c->state == C_RUNNING) {
        http_reply(call->conn, 304, NULL, "", 0);
        return;
    }
    if (c->state == C_PAUSED) {
        api_error(call->conn, 409, "cannot start a paused container, try unpause instead");
        return;
    }
    start_begin(c, call->conn);
}

/* ---- stop ------------------------------------------------------------------------------------ */

static void stopper_gone(struct http_conn *conn)
{
    for (struct container *c = container_first(); c; c = c->next)
        for (int i = 0; i < c->nstoppers; i++)
            if (c->stopper[i] == conn) {
                c->stopper[i] = c->stopper[--c->nstoppers];
                c->stopped[i] = c->stopped[c->nstoppers];
                i--;
            }
}

static bool stopper_add(struct container *c, struct http_conn *conn, stopped_fn done)
{
    if (c->nstoppers == 8) {
        api_error(conn, 409, "too many clients wait for container %s to stop", c->name);
        return false;
    }
    c->stopper[c->nstoppers] = conn;
    c->stopped[c->nstoppers++] = done;
    conn->on_close = stopper_gone;
    return true;
}

static void container_kill_all(struct container *c)
{
    if (cgroup_kill(c) && c->pid > 0)
        kill(c->pid, SIGKILL); /* the rest of its pid namespace goes with it */
}

static void stop_timeout(struct ev_timer *t)
{
    struct container *c = (struct container *)((char *)t - offsetof(struct container, stop_timer));

    event_container(c, "kill", "signal", "9");
    container_kill_all(c);
}

static bool stopped_reply(struct http_conn *conn, struct container *c)
{
    api_no_content(conn);
    return false;
}

static bool stopped_start(struct http_conn *conn, struct container *c)
{
    start_begin(c, conn);
    return false;
}

static bool stop_begin(struct call *call, struct container *c, stopped_fn done)
{
    const char *t = http_query(call->req, "t"), *s = http_query(call->req, "signal");
    int sig = s && *s ? signal_parse(s) : c->stop_signal;
    int64_t seconds = c->stop_timeout;
    char number[16];

    if (sig < 0) {
        api_error(call->conn, 400, "Invalid signal: %s", s);
        return false;
    }
    if (t && *t && !str_i64(t, &seconds)) {
        api_error(call->conn, 400, "invalid timeout: %s", t);
        return false;
    }
    if (!stopper_add(c, call->conn, done))
        return false;
    snprintf(number, sizeof(number), "%d", sig);
    event_container(c, "kill", "signal", number);
    if (c->state == C_PAUSED && cgroup_freeze(c, false) == 0)
        c->state = C_RUNNING;
    if (c->pid > 0)
        kill(c->pid, sig);
    if (seconds >= 0)
        ev_timer_set(&c->stop_timer, (uint64_t)seconds * 1000);
    c->stop_timer.fn = stop_timeout;
    return true;
}

API(api_container_stop)
{
    struct container *c = api_container(call);

    if (!c)
        return;
    if (!container_running(c))
        http_reply(call->conn, 304, NULL, "", 0);
    else
        stop_begin(call, c, stopped_reply);
}

API(api_container_restart)
{
    struct container *c = api_container(call);

    if (!c)
        return;
    if (!container_running(c))
        start_begin(c, call->conn);
    else
        stop_begin(call, c, stopped_start);
}

API(api_container_kill)
{
    struct container *c = api_container(call);
    const char *s = http_query(call->req, "signal");
    int sig = s && *s ? signal_parse(s) : SIGKILL;
    char number[16];

    if (!c)
        return;
    if (sig < 0) {
        api_error(call->conn, 400, "Invalid signal: %s", s);
        return;
    }
    if (!container_running(c) || c->pid <= 0) {
        api_error(call->conn, 409, "cannot kill container: %s: container %s is not running",
                  call->name, c->id);
        return;
    }
    snprintf(number, sizeof(number), "%d", sig);
    event_container(c, "kill", "signal", number);
    if (sig != SIGKILL) {
        kill(c->pid, sig);
        api_no_content(call->conn);
    } else if (stopper_add(c, call->conn, stopped_reply)) {
        container_kill_all(c); /* answered when it is really gone */
    }
}

static void api_freeze(struct call *call, bool frozen)
{
    struct container *c = api_container(call);
    int err;

    if (!c)
        return;
    if (frozen ? c->state != C_RUNNING : c->state != C_PAUSED) {
        api_error(call->conn, 409, "Container %s is %s", c->id,
                  frozen ? (c->state == C_PAUSED ? "already paused" : "not running")
                         : "not paused");
        return;
    }
    err = cgroup_freeze(c, frozen);
    if (err) {
        api_error(call->conn, 500, "cannot %s: %s", frozen ? "pause" : "unpause", strerror(-err));
        return;
    }
    c->state = frozen ? C_PAUSED : C_RUNNING;
    event_container(c, frozen ? "pause" : "unpause", NULL, NULL);
    api_no_content(call->conn);
}

API(api_container_pause)
{
    api_freeze(call, true);
}

API(api_container_unpause)
{
    api_freeze(call, false);
}

/* ---- wait ------------------------------------------------------------------------------------ */

static void waiter_gone(struct http_conn *conn)
{
    struct container *c = conn->owner;

    for (struct waiter **at = &c->waiters; *at; at = &(*at)->next) {
        struct waiter *w = *at;

        if (w->conn != conn)
            continue;
        *at = w->next;
        free(w);
        return;
    }
}

API(api_container_wait)
{
    struct container *c = api_container(call);
    const char *text = http_query(call->req, "condition");
    struct waiter *w;
    char line[64];
    int condition, n;

    if (!c)
        return;
    if (!text || !*text || !strcmp(text, "not-running")) {
        condition = WAIT_NOT_RUNNING;
    } else if (!strcmp(text, "next-exit")) {
        condition = WAIT_NEXT_EXIT;
    } else if (!strcmp(text, "removed")) {
        condition = WAIT_REMOVED;
    } else {
        api_error(call->conn, 400, "invalid condition: \"%s\"", text);
        return;
    }
    if (condition == WAIT_NOT_RUNNING && !container_running(c)) {
        http_stream(call->conn, 200, "application/json");
        n = snprintf(line, sizeof(line), "{\"StatusCode\":%d}\n", c->exit_code);
        http_stream_data(call->conn, line, (size_t)n);
        http_stream_end(call->conn);
        return;
    }
    w = mem_alloc(sizeof(*w));
    w->conn = call->conn;
    w->condition = condition;
    w->next = c->waiters;
    c->waiters = w;
    call->conn->owner = c;
    call->conn->on_close = waiter_gone;
    /* clients wait for this head before they start the container */
    http_stream(call->conn, 200, "application/json");
}

/* ---- streams --------------------------------------------------------------------------------- */

API(api_container_attach)
{
    struct container *c = api_container(call);
    const struct http_head *q = call->req;
    bool stream = http_query_bool(q, "stream", false);

    if (!c)
        return;
    if (http_query_bool(q, "logs", false) && !stream) {
        log_serve(c, call->conn);
        return;
    }
    if (c->state == C_PAUSED) {
        api_error(call->conn, 409, "container %s is paused, unpause the container before attach",
                  c->name);
        return;
    }
    if (!c->proc)
        c->proc = process_new(c, NULL);
    process_attach(c->proc, call->conn, http_query_bool(q, "stdin", false) && c->spec.open_stdin,
                   http_query_bool(q, "stdout", false), http_query_bool(q, "stderr", false));
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

static bool resize_query(struct call *call, uint64_t *rows, uint64_t *cols)
{
    const char *h = http_query(call->req, "h"), *w = http_query(call->req, "w");

    if (h && w && str_u64(h, rows) && str_u64(w, cols) && *rows < 65536 && *cols < 65536)
        return true;
    api_error(call->conn, 400, "bad terminal size");
    return false;
}

API(api_container_resize)
{
    struct container *c = api_container(call);
    uint64_t rows, cols;

    if (!c || !resize_query(call, &rows, &cols))
        return;
    if (!c->proc || !container_running(c)) {
        api_error(call->conn, 409, "container %s is not running", c->id);
        return;
    }
    process_resize(c->proc, (unsigned)rows, (unsigned)cols);
    http_reply(call->conn, 200, NULL, "", 0);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static bool removed_reply(struct http_conn *conn, struct container *c)
{
    return true;
}

API(api_container_remove)
{
    struct container *c = api_container(call);

    if (!c)
        return;
    if (!container_running(c)) {
        if (c->proc)
            process_free(c->proc); /* attached to before any start */
        c->proc = NULL;
        container_remove(c);
        api_no_content(call->conn);
        return;
    }
    if (!http_query_bool(call->req, "force", false)) {
        api_error(call->conn, 409,
                  "cannot remove container \"/%s\": container is %s: stop the container before "
                  "removing or force remove",
                  c->name, container_state_name(c));
        return;
    }
    if (stopper_add(c, call->conn, removed_reply))
        container_kill_all(c);
}

API(api_container_rename)
{
    struct container *c = api_container(call), *clash;
    const char *name = http_query(call->req, "name");
    bool ambiguous;
    size_t n;

    if (!c)
        return;
    name = name && *name == '/' ? name + 1 : name;
    n = name ? strlen(name) : 0;
    if (n < 2 || n > 255 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != n) {
        api_error(call->conn, 400,
                  "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] "
                  "are allowed",
                  name ? name : "");
        return;
    }
    clash = container_find(name, &ambiguous);
    if (clash && !strcmp(clash->name, name)) {
        api_error(call->conn, 409,
                  "Conflict. The container name \"/%s\" is already in use by container \"%s\".",
                  name, clash->id);
        return;
    }
    free(c->name);
    c->name = str_dup(name);
    event_container(c, "rename", NULL, NULL);
    api_no_content(call->conn);
}

API(api_container_update)
{
    struct container *c = api_container(call);
    struct limits old;
    char *why = NULL;

    if (!c)
        return;
    old = c->limits;
    c->limits.memory =
        json_int(call->body, "Memory", 0) ? json_int(call->body, "Memory", 0) : old.memory;
    if (json_int(call->body, "NanoCpus", 0))
        c->limits.nano_cpus = json_int(call->body, "NanoCpus", 0);
    if (json_int(call->body, "CpuShares", 0))
        c->limits.cpu_shares = json_int(call->body, "CpuShares", 0);
    if (json_int(call->body, "PidsLimit", 0))
        c->limits.pids = json_int(call->body, "PidsLimit", 0);
    if (container_running(c) && c->runtime == RUNTIME_VM)
        why = str_dup("a running VM's limits cannot be changed");
    else if (container_running(c))
        why = cgroup_apply(c);
    if (why) {
        c->limits = old;
        api_internal(call->conn, why);
        return;
    }
    event_container(c, "update", NULL, NULL);
    http_reply(call->conn, 200, "application/json", "{\"Warnings\":[]}\n", 16);
}

API(api_container_prune)
{
    struct container *c = container_first(), *next;
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    jw_array(&w, "ContainersDeleted");
    for (; c; c = next) {
        next = c->next;
        if (container_running(c))
            continue;
        jw_str(&w, NULL, c->id);
        if (c->proc)
            process_free(c->proc);
        c->proc = NULL;
        container_remove(c);
    }
    jw_array_end(&w);
    jw_int(&w, "SpaceReclaimed", 0);
    jw_object_end(&w);
    api_json(call->conn, 200, &b);
}
