// SPDX-License-Identifier: MIT
// The API's views of containers: list and inspect.
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/str.h"

static void write_time(struct jw *w, const char *key, const struct timespec *ts)
{
    char text[48] = "0001-01-01T00:00:00Z";

    if (ts->tv_sec)
        time_rfc3339(text, ts);
    jw_str(w, key, text);
}

static void command_text(const struct container *c, struct buf *b)
{
    for (char **a = c->spec.argv; *a; a++)
        buf_fmt(b, "%s%s", a == c->spec.argv ? "" : " ", *a);
}

/* ---- list ------------------------------------------------------------------------------------ */

typedef bool (*filter_fn)(const struct container *c, const char *value);

static bool filter_id(const struct container *c, const char *v)
{
    return str_starts(c->id, v);
}

static bool filter_name(const struct container *c, const char *v)
{
    char *full = str_fmt("/%s", c->name);
    bool anchored = *v == '^', hit;
    size_t n;

    v += anchored;
    n = strlen(v);
    if (n && v[n - 1] == '$')
        hit = anchored && ((strlen(c->name) == n - 1 && !strncmp(c->name, v, n - 1)) ||
                           (strlen(full) == n - 1 && !strncmp(full, v, n - 1)));
    else
        hit = anchored ? str_starts(c->name, v) || str_starts(full, v) : strstr(full, v) != NULL;
    free(full);
    return hit;
}

static bool filter_status(const struct container *c, const char *v)
{
    return !strcmp(container_state_name(c), v);
}

static bool filter_label(const struct container *c, const char *v)
{
    const char *equals = strchr(v, '=');
    char *key = equals ? str_dupn(v, (size_t)(equals - v)) : str_dup(v);
    const char *have = container_label(c, key);

    free(key);
    return have && (!equals || !strcmp(have, equals + 1));
}

static bool filter_ancestor(const struct container *c, const char *v)
{
    return image_find(v) == c->image;
}

static bool filter_exited(const struct container *c, const char *v)
{
    int64_t code;

    return c->state == C_STOPPED && c->started.tv_sec && str_i64(v, &code) && code == c->exit_code;
}

static const struct {
    const char *name;
    filter_fn fn;
    bool all; /* every value must match, not just one */
} filters_known[] = {
    {"id", filter_id, false},
    {"name", filter_name, false},
    {"status", filter_status, false},
    {"label", filter_label, true},
    {"ancestor", filter_ancestor, false},
    {"exited", filter_exited, false},
};

static bool filter_pass(const struct container *c, const struct json *f)
{
    for (size_t i = 0; i < sizeof(filters_known) / sizeof(filters_known[0]); i++) {
        size_t hits = 0;

        if (strcmp(filters_known[i].name, f->key))
            continue;
        for (struct json *v = f->child; v; v = v->next) {
            const char *text = f->type == JSON_OBJECT ? v->key : v->str;

            hits += text && filters_known[i].fn(c, text);
        }
        return !f->child || (filters_known[i].all ? hits == json_count(f) : hits > 0);
    }
    return false;
}

static bool filters_valid(struct http_conn *conn, const struct json *filters)
{
    for (struct json *f = filters ? filters->child : NULL; f; f = f->next) {
        bool known = false;

        for (size_t i = 0; i < sizeof(filters_known) / sizeof(filters_known[0]); i++)
            known = known || !strcmp(filters_known[i].name, f->key);
        if (known)
            continue;
        api_error(conn, 400, "invalid filter '%s'", f->key);
        return false;
    }
    return true;
}

static void list_entry(struct jw *w, const struct container *c)
{
    struct buf command = {0};
    char status[96];

    command_text(c, &command);
    container_status_text(c, status, sizeof(status));
    jw_object(w, NULL);
    jw_str(w, "Id", c->id);
    jw_array(w, "Names");
    jw_fmt(w, NULL, "/%s", c->name);
    jw_array_end(w);
    jw_str(w, "Image", c->image_name);
    jw_fmt(w, "ImageID", "sha256:%s", c->image->id);
    jw_str(w, "Command", command.data);
    jw_int(w, "Created", c->created.tv_sec);
    jw_array(w, "Ports");
    jw_array_end(w);
    jw_object(w, "Labels");
    container_labels(c, w, SIZE_MAX);
    jw_object_end(w);
    jw_str(w, "State", container_state_name(c));
    jw_str(w, "Status", status);
    jw_object(w, "HostConfig");
    jw_str(w, "NetworkMode", "default");
    jw_object_end(w);
    jw_object(w, "NetworkSettings");
    jw_object(w, "Networks");
    jw_object_end(w);
    jw_object_end(w);
    jw_array(w, "Mounts");
    jw_array_end(w);
    jw_object_end(w);
    buf_free(&command);
}

API(api_container_list)
{
    const char *text = http_query(call->req, "filters"), *limit = http_query(call->req, "limit");
    struct json *filters = text && *text ? json_parse(text, strlen(text), NULL) : NULL;
    bool all = http_query_bool(call->req, "all", false);
    int64_t left = 0;
    struct buf b = {0};
    struct jw w = {.out = &b};

    if (!filters_valid(call->conn, filters)) {
        json_free(filters);
        return;
    }
    if (limit && (!str_i64(limit, &left) || left < 0))
        left = 0;
    all = all || left > 0 || json_get(filters, "status") || json_get(filters, "exited");
    if (!left)
        left = INT64_MAX;
    jw_array(&w, NULL);
    for (struct container *c = container_first(); c && left; c = c->next) {
        bool pass = all || container_running(c);

        for (struct json *f = filters ? filters->child : NULL; f && pass; f = f->next)
            pass = filter_pass(c, f);
        if (!pass)
            continue;
        list_entry(&w, c);
        left--;
    }
    jw_array_end(&w);
    json_free(filters);
    api_json(call->conn, 200, &b);
}

/* ---- inspect --------------------------------------------------------------------------------- */

static void inspect_state(struct jw *w, const struct container *c)
{
    jw_object(w, "State");
    jw_str(w, "Status", container_state_name(c));
    jw_bool(w, "Running", c->state == C_RUNNING || c->state == C_PAUSED);
    jw_bool(w, "Paused", c->state == C_PAUSED);
    jw_bool(w, "Restarting", false);
    jw_bool(w, "OOMKilled", c->oom_killed);
    jw_bool(w, "Dead", false);
    jw_int(w, "Pid", c->pid);
    jw_int(w, "ExitCode", c->exit_code);
    jw_str(w, "Error", c->error);
    write_time(w, "StartedAt", &c->started);
    write_time(w, "FinishedAt", &c->finished);
    jw_object_end(w);
}

/* HostConfig as it came, with what clients rely on filled in. */
static void inspect_host(struct jw *w, const struct container *c)
{
    static const char *const own[] = {"NetworkMode",   "Runtime", "LogConfig",
                                      "RestartPolicy", "ShmSize", "MemorySwappiness"};

    jw_object(w, "HostConfig");
    for (struct json *j = c->host->child; j; j = j->next) {
        bool skip = false;

        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
            skip = skip || !strcmp(own[i], j->key);
        if (!skip)
            jw_json(w, j->key, j);
    }
    jw_str(w, "NetworkMode",
           json_str(c->host, "NetworkMode") ? json_str(c->host, "NetworkMode") : "default");
    jw_str(w, "Runtime", c->runtime == RUNTIME_VM ? "vm" : "domain");
    jw_object(w, "LogConfig");
    jw_str(w, "Type", "json-file");
    jw_object(w, "Config");
    jw_object_end(w);
    jw_object_end(w);
    jw_object(w, "RestartPolicy");
    jw_str(w, "Name", "no");
    jw_int(w, "MaximumRetryCount", 0);
    jw_object_end(w);
    jw_int(w, "ShmSize", c->room.shm_size);
    jw_null(w, "MemorySwappiness");
    jw_object_end(w);
}

static void inspect_mounts(struct jw *w, const struct container *c)
{
    jw_array(w, "Mounts");
    for (int i = 0; i < c->room.nmounts; i++) {
        const struct mount_spec *m = &c->room.mounts[i];

        jw_object(w, NULL);
        jw_str(w, "Type", m->volume ? "volume" : m->source ? "bind" : "tmpfs");
        if (m->volume)
            jw_str(w, "Name", m->volume);
        jw_str(w, "Source", m->source);
        jw_str(w, "Destination", m->target);
        if (m->volume)
            jw_str(w, "Driver", "local");
        jw_str(w, "Mode", m->mode);
        jw_bool(w, "RW", !(m->flags & 1)); /* MS_RDONLY */
        jw_str(w, "Propagation", m->source && !m->volume ? "rprivate" : "");
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void inspect_network(struct jw *w)
{
    jw_object(w, "NetworkSettings");
    jw_str(w, "IPAddress", "");
    jw_object(w, "Ports");
    jw_object_end(w);
    jw_object(w, "Networks");
    jw_object_end(w);
    jw_object_end(w);
}

/* Config, with the image's labels among its own. */
static void inspect_config(struct jw *w, const struct container *c)
{
    jw_object(w, "Config");
    for (struct json *j = c->config->child; j; j = j->next) {
        if (strcmp(j->key, "Labels")) {
            jw_json(w, j->key, j);
            continue;
        }
        jw_object(w, "Labels");
        container_labels(c, w, SIZE_MAX);
        jw_object_end(w);
    }
    jw_object_end(w);
}

API(api_container_inspect)
{
    struct container *c = api_container(call);
    struct buf b = {0};
    struct jw w = {.out = &b};
    char *log, *file;

    if (!c)
        return;
    log = container_path(c, "log");
    file = container_path(c, "hostname");
    jw_object(&w, NULL);
    jw_str(&w, "Id", c->id);
    write_time(&w, "Created", &c->created);
    jw_str(&w, "Path", c->spec.argv[0]);
    jw_array(&w, "Args");
    for (char **a = c->spec.argv + 1; *a; a++)
        jw_str(&w, NULL, *a);
    jw_array_end(&w);
    inspect_state(&w, c);
    jw_fmt(&w, "Image", "sha256:%s", c->image->id);
    jw_str(&w, "HostnamePath", file);
    jw_str(&w, "LogPath", log);
    jw_fmt(&w, "Name", "/%s", c->name);
    jw_int(&w, "RestartCount", c->restarts);
    jw_str(&w, "Driver", "overlay");
    jw_str(&w, "Platform", "linux");
    jw_str(&w, "MountLabel", "");
    jw_str(&w, "ProcessLabel", "");
    jw_str(&w, "AppArmorProfile", "");
    jw_array(&w, "ExecIDs");
    for (struct exec *x = c->execs; x; x = x->next)
        jw_str(&w, NULL, x->id);
    jw_array_end(&w);
    inspect_host(&w, c);
    inspect_mounts(&w, c);
    inspect_config(&w, c);
    inspect_network(&w);
    jw_object_end(&w);
    free(log);
    free(file);
    api_json(call->conn, 200, &b);
}
