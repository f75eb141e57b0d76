// SPDX-License-Identifier: MIT
// The API's execs: further processes inside a running container.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/process.h"
#include "lib/str.h"

#define EXECS_KEPT 64               /* per container; the oldest finished one gives way */
#define EXEC_NOTE_ARGS 2048         /* bytes of its arguments that a later engine can show */
#define EXEC_EVENT_ARGS 1024        /* of its arguments that an event has, and at most one more */
#define EXECS_MAX 1024              /* then one that was never started does */
#define EXECS_BYTES (8u << 20)      /* of the arguments and variables of both, per container */
#define EXECS_ALL_BYTES (64u << 20) /* in all, with those that run: the first containers' go */

static size_t exec_bytes;

static struct exec *exec_find(struct call *call)
{
    for (struct container *c = container_first(); c; c = c->next)
        for (struct exec *x = c->execs; x; x = x->next)
            if (!strcmp(x->id, call->name))
                return x;
    api_error(call->conn, 404, "No such exec instance: %s", call->name);
    return NULL;
}

static bool exec_is_idle(const struct exec *x)
{
    return !x->started || (!x->running && !x->proc);
}

static size_t strv_bytes(char *const *v)
{
    size_t n = 0;

    for (; v && *v; v++)
        n += strlen(*v) + 1 + sizeof(*v);
    return n;
}

/* What a container's execs hold that do not run. */
struct idle {
    struct exec **finished, **unused; /* the oldest of each, or NULL */
    int all;                          /* running ones too */
    size_t bytes;
};

static struct idle exec_idle(struct container *c)
{
    struct idle i = {0};

    for (struct exec **at = &c->execs; *at; at = &(*at)->next, i.all++) {
        if (!exec_is_idle(*at))
            continue;
        if ((*at)->started)
            i.finished = at;
        else
            i.unused = at;
        i.bytes += (*at)->bytes;
    }
    return i;
}

/* False when it is the one that stays. */
static bool exec_drop(struct exec **at, const struct exec *stays)
{
    struct exec *x = at ? *at : NULL;

    if (!x || x == stays)
        return false;
    *at = x->next;
    exec_put(x);
    return true;
}

/* There is a new one, which stays. */
static void exec_forget_old(struct exec *new)
{
    struct idle i = exec_idle(new->c);

    while ((i.finished && (i.all > EXECS_KEPT || i.bytes > EXECS_BYTES) &&
            exec_drop(i.finished, new)) ||
           ((i.all > EXECS_MAX || i.bytes > EXECS_BYTES) && exec_drop(i.unused, new)))
        i = exec_idle(new->c);
    for (struct container *c = container_first(); c && exec_bytes > EXECS_ALL_BYTES; c = c->next)
        while (exec_bytes > EXECS_ALL_BYTES &&
               (i = exec_idle(c), exec_drop(i.finished ? i.finished : i.unused, new)))
            ;
}

struct exec *exec_get(struct exec *x)
{
    x->refs++;
    return x;
}

void exec_put(struct exec *x)
{
    if (--x->refs)
        return;
    keeper_forget(x->id, x->run);
    exec_bytes -= x->bytes;
    spec_free(&x->spec);
    container_put(x->c);
    free(x);
}

/* The container's variables, with values and further ones from `extra`. */
static char **exec_env(const struct container *c, const struct json *extra, bool tty)
{
    size_t n = 0, at = 0, *first;
    const char **list;
    char **env;

    while (c->spec.env[n])
        n++;
    list = mem_alloc((n + json_count(extra)) * sizeof(char *));
    memcpy(list, c->spec.env, n * sizeof(char *));
    for (struct json *j = extra ? extra->child : NULL; j; j = j->next)
        if (j->type == JSON_STRING && *j->str != '=' && strchr(j->str, '='))
            list[n++] = j->str;
    first = env_firsts(list, n);
    for (size_t i = 0; i < n; i++)
        list[first[i]] = list[i]; /* the last value, where the first stood */
    env = mem_alloc((n + 2) * sizeof(char *));
    for (size_t i = 0; i < n; i++)
        if (first[i] == i)
            env[at++] = str_dup(list[i]);
    free(first);
    free(list);
    for (size_t i = 0; i < at && tty; i++)
        tty = !str_starts(env[i], "TERM=");
    if (tty)
        env[at++] = str_dup("TERM=xterm");
    return env;
}

/* False, and an error to the client, when there can be no such exec. */
static bool exec_judge(struct call *call, const struct container *c)
{
    const struct json *cmd = json_get(call->body, "Cmd");
    char *why = judge_exec(call->body);
    bool ok = false;

    if (c->state != C_RUNNING)
        api_error(call->conn, 409,
                  c->state == C_PAUSED ? "Container %s is paused, unpause the container before exec"
                  : c->state == C_RESTARTING
                      ? "Container %s is restarting, wait until the container is running"
                      : "container %s is not running",
                  c->id);
    else if (c->runtime == RUNTIME_VM)
        api_error(call->conn, 501, "exec is not supported with --runtime vm");
    else if (why)
        api_error(call->conn, 400, "%s", why);
    else if (!json_count(cmd) || !*cmd->child->str)
        api_error(call->conn, 400, "No exec command specified");
    else if (json_str(call->body, "WorkingDir") && *json_str(call->body, "WorkingDir") &&
             *json_str(call->body, "WorkingDir") != '/')
        api_error(call->conn, 400,
                  "the working directory '%s' is invalid, it needs to be an "
                  "absolute path",
                  json_str(call->body, "WorkingDir"));
    else
        ok = true;
    free(why);
    return ok;
}

static const char *exec_text(const struct json *body, const char *key, const char *otherwise)
{
    const char *text = json_str(body, key);

    return text && *text ? text : otherwise;
}

static struct exec *exec_add(struct container *c)
{
    struct exec *x = mem_alloc(sizeof(*x));

    x->refs = 1;
    x->c = container_get(c);
    x->next = c->execs;
    c->execs = x;
    return x;
}

/* ---- a later engine -------------------------------------------------------------------------- */

/* As many arguments as there is space for. */
char *exec_note(const struct exec *x)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    size_t n = 0, left = EXEC_NOTE_ARGS;

    while (x->spec.argv[n] && strlen(x->spec.argv[n]) < left)
        left -= strlen(x->spec.argv[n++]) + 1;
    jw_object(&w, NULL);
    jw_strings(&w, "Cmd", (const char *const *)x->spec.argv, n);
    jw_bool(&w, "Privileged", x->spec.privileged);
    jw_bool(&w, "In", x->attach_in);
    jw_bool(&w, "Out", x->attach_out);
    jw_bool(&w, "Err", x->attach_err);
    jw_object_end(&w);
    if (b.len > KEEP_NOTE_MAX) /* escapes: it is shown without its arguments */
        buf_clear(&b);
    return buf_take(&b);
}

static struct exec *exec_restore(struct container *c, const struct keep_message *m)
{
    const char *why;
    struct json *note = json_parse(m->note, m->head.note, &why);
    struct exec *x = exec_add(c);

    memcpy(x->id, m->head.id, ID_LEN);
    x->started = true;
    x->run = m->head.run;
    x->spec.argv = strv_from_json(json_get(note, "Cmd"));
    x->spec.tty = m->head.flags & KEEP_TTY;
    x->spec.privileged = json_bool(note, "Privileged");
    x->attach_in = json_bool(note, "In");
    x->attach_out = json_bool(note, "Out");
    x->attach_err = json_bool(note, "Err");
    json_free(note);
    return x;
}

/* Its clients have gone with the last engine: what it still writes is read and dropped, so that
 * it goes on. */
struct process *exec_found(const struct keep_message *m)
{
    char id[ID_LEN + 1] = {0};
    struct container *c;
    bool ambiguous;
    struct exec *x;

    memcpy(id, m->head.owner, ID_LEN);
    c = container_find(id, &ambiguous);
    if (!c || strcmp(c->id, id))
        return NULL;
    x = exec_restore(c, m);
    x->proc = process_new(c, x);
    return x->proc;
}

/* Its name has the command in it, as Docker's has. */
static void exec_event(const struct exec *x, const char *action)
{
    struct buf b = {0};
    char *text;

    buf_fmt(&b, "%s: ", action);
    for (char **a = x->spec.argv; *a && b.len < EXEC_EVENT_ARGS; a++)
        buf_fmt(&b, "%.*s%s", EXEC_EVENT_ARGS, *a, a == x->spec.argv || a[1] ? " " : "");
    text = buf_take(&b);
    event_container(x->c, text, EVENT_MORE("execID", x->id));
    free(text);
}

static struct exec *exec_new(struct container *c, const struct json *body)
{
    struct exec *x = exec_add(c);

    random_hex(x->id, ID_LEN);
    x->attach_in = json_bool(body, "AttachStdin");
    x->attach_out = json_bool(body, "AttachStdout");
    x->attach_err = json_bool(body, "AttachStderr");
    x->spec.argv = strv_from_json(json_get(body, "Cmd"));
    x->spec.tty = json_bool(body, "Tty");
    x->spec.env = exec_env(c, json_get(body, "Env"), x->spec.tty);
    x->spec.cwd = str_dup(exec_text(body, "WorkingDir", c->spec.cwd));
    x->spec.user = str_dup(exec_text(body, "User", c->spec.user));
    x->spec.privileged = json_bool(body, "Privileged") || c->spec.privileged;
    x->spec.caps = x->spec.privileged ? ~0ull >> 23 : c->spec.caps;
    x->spec.no_new_privs = c->spec.no_new_privs;
    x->spec.seccomp_off = c->spec.seccomp_off;
    x->bytes = strv_bytes(x->spec.argv) + strv_bytes(x->spec.env);
    exec_bytes += x->bytes;
    return x;
}

API(api_exec_create)
{
    struct container *c = api_container(call);
    struct buf b = {0};
    struct detach_keys keys;
    struct exec *x;

    if (!c || !exec_judge(call, c))
        return;
    if (!detach_keys_parse(&keys, json_str(call->body, "DetachKeys"))) {
        api_error(call->conn, 400, "Invalid detach keys (%.100s) provided",
                  json_str(call->body, "DetachKeys"));
        return;
    }
    x = exec_new(c, call->body);
    x->keys = keys;
    exec_forget_old(x);
    exec_event(x, "exec_create");
    buf_fmt(&b, "{\"Id\":\"%s\"}\n", x->id);
    api_json(call->conn, 201, &b);
}

static void exec_starter_gone(struct http_conn *conn)
{
    struct exec *x = conn->owner;

    x->starter = NULL;
    exec_put(x);
}

/* The client that waits for a detached start has its answer. */
static void exec_starter_answer(struct exec *x, const char *error)
{
    struct http_conn *conn = x->starter;

    if (!conn)
        return;
    x->starter = NULL;
    if (error)
        api_error(conn, 400,
                  "OCI runtime exec failed: exec failed: unable to start container process: %s",
                  error);
    else
        http_reply(conn, 200, NULL, "", 0);
    exec_put(x);
}

static void exec_failed(struct process *p, const char *error)
{
    struct exec *x = p->x;
    char *text = str_fmt("OCI runtime exec failed: exec failed: unable to start container "
                         "process: %s\r\n",
                         error);
    size_t n = strlen(text);
    uint8_t head[8] = {1, 0, 0, 0, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

    x->exit_code = strstr(error, "permission denied")                            ? 126
                   : strstr(error, "not found") || strstr(error, "no such file") ? 127
                                                                                 : 128;
    keeper_close_out(p);
    x->proc = NULL;
    x->run = p->run;
    if (p->attaches)
        http_raw_frame(p->attaches->conn, head, p->tty ? 0 : sizeof(head), text, n);
    free(text);
    exec_starter_answer(x, error);
    process_free(p);
}

/* Upcall from start.c. */
void exec_started(struct process *p, const char *error)
{
    struct exec *x = p->x;

    if (error) {
        exec_failed(p, error);
        return;
    }
    x->running = true;
    exec_event(x, "exec_start");
    exec_starter_answer(x, NULL);
}

static void exec_console_size(struct exec *x, const struct json *body)
{
    struct json *size = json_list(body, "ConsoleSize");

    if (!size || !size->next || size->num <= 0 || size->num > 65535 || size->next->num <= 0 ||
        size->next->num > 65535)
        return;
    x->spec.rows = (unsigned)size->num;
    x->spec.cols = (unsigned)size->next->num;
}

API(api_exec_start)
{
    struct exec *x = exec_find(call);
    char *why;

    if (!x)
        return;
    if (x->started) {
        api_error(call->conn, 409, "exec instance %s has already run", x->id);
        return;
    }
    if (x->c->state != C_RUNNING) {
        api_error(call->conn, 409, "container %s is not running", x->c->id);
        return;
    }
    x->started = true;
    x->detach = json_bool(call->body, "Detach");
    exec_console_size(x, call->body);
    if (x->detach)
        x->attach_in = false;
    x->proc = process_new(x->c, x);
    if (x->detach) {
        x->starter = call->conn;
        call->conn->owner = exec_get(x);
        call->conn->on_close = exec_starter_gone;
    } else {
        process_hijack(call->conn, x->spec.tty);
        process_attach(x->proc, call->conn, x->attach_in, x->attach_out, x->attach_err, &x->keys);
    }
    why = exec_start(x);
    if (why)
        exec_started(x->proc, why);
    free(why);
}

API(api_exec_resize)
{
    struct exec *x = exec_find(call);
    unsigned rows, cols;

    if (!x || !api_terminal_size(call, &rows, &cols))
        return;
    if (x->proc)
        process_resize(x->proc, rows, cols);
    http_reply(call->conn, 200, NULL, "", 0);
}

API(api_exec_inspect)
{
    struct exec *x = exec_find(call);
    struct buf b = {0};
    struct jw w = {.out = &b};

    if (!x)
        return;
    jw_object(&w, NULL);
    jw_str(&w, "ID", x->id);
    jw_bool(&w, "Running", x->running || (x->proc && x->started));
    if (x->started && !x->running && !x->proc)
        jw_int(&w, "ExitCode", x->exit_code);
    else
        jw_null(&w, "ExitCode");
    jw_object(&w, "ProcessConfig");
    jw_bool(&w, "tty", x->spec.tty);
    jw_str(&w, "entrypoint", x->spec.argv[0]);
    jw_array(&w, "arguments");
    for (char **a = x->spec.argv + !!x->spec.argv[0]; *a; a++)
        jw_str(&w, NULL, *a);
    jw_array_end(&w);
    jw_bool(&w, "privileged", x->spec.privileged);
    jw_object_end(&w);
    jw_bool(&w, "OpenStdin", x->attach_in);
    jw_bool(&w, "OpenStdout", x->attach_out);
    jw_bool(&w, "OpenStderr", x->attach_err);
    jw_bool(&w, "CanRemove", false);
    jw_str(&w, "ContainerID", x->c->id);
    jw_str(&w, "DetachKeys", "");
    jw_int(&w, "Pid", x->pid);
    jw_object_end(&w);
    api_json(call->conn, 200, &b);
}
