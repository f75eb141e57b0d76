// SPDX-License-Identifier: MIT
// The API's view of one container: inspect.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/network.h"
#include "lib/str.h"

static void write_time(struct jw *w, const char *key, const struct timespec *ts)
{
    char text[48] = "0001-01-01T00:00:00Z";

    if (ts->tv_sec)
        time_rfc3339(text, ts);
    jw_str(w, key, text);
}

static void inspect_state(struct jw *w, const struct container *c)
{
    jw_object(w, "State");
    jw_str(w, "Status", container_state_name(c));
    jw_bool(w, "Running", c->state == C_RUNNING || c->state == C_PAUSED || container_restarting(c));
    jw_bool(w, "Paused", c->state == C_PAUSED);
    jw_bool(w, "Restarting", container_restarting(c));
    jw_bool(w, "OOMKilled", c->oom_killed);
    jw_bool(w, "Dead", false);
    jw_int(w, "Pid", c->pid);
    jw_int(w, "ExitCode", c->exit_code);
    jw_str(w, "Error", c->error);
    write_time(w, "StartedAt", &c->started);
    write_time(w, "FinishedAt", &c->finished);
    jw_object_end(w);
}

/* HostConfig as it came, with what clients rely on filled in, and the limits as they are now. */
static void inspect_host(struct jw *w, const struct container *c)
{
    static const char *const own[] = {"NetworkMode",   "Runtime", "LogConfig",
                                      "RestartPolicy", "ShmSize", "MemorySwappiness"};

    jw_object(w, "HostConfig");
    for (struct json *j = c->host->child; j; j = j->next) {
        bool skip = limits_name(j->key);

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
    jw_str(w, "Name", restart_name(c->restart.kind));
    jw_int(w, "MaximumRetryCount", c->restart.max);
    jw_object_end(w);
    limits_write(w, &c->limits);
    jw_int(w, "ShmSize", c->shared.shm_size);
    jw_null(w, "MemorySwappiness");
    jw_object_end(w);
}

void container_mounts(struct jw *w, const struct container *c, size_t max)
{
    size_t begun = w->out->len;

    jw_array(w, "Mounts");
    for (int i = 0; i < c->shared.nmounts && w->out->len - begun < max; i++) {
        const struct mount_spec *m = &c->shared.mounts[i];

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

static void inspect_network(struct jw *w, const struct container *c)
{
    jw_object(w, "NetworkSettings");
    jw_str(w, "IPAddress", "");
    jw_object(w, "Ports");
    jw_object_end(w);
    network_write_endpoint(w, c);
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
    jw_int(&w, "RestartCount", c->restart.count);
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
    container_mounts(&w, c, SIZE_MAX);
    inspect_config(&w, c);
    inspect_network(&w, c);
    jw_object_end(&w);
    free(log);
    free(file);
    api_json(call->conn, 200, &b);
}
