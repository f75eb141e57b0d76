// SPDX-License-Identifier: MIT
// create, and the first half of run: from a command line to the engine's request.
#include "cli/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

struct create_flags {
    bool rm, detach, in, tty, readonly, privileged, init, oom_kill_disable;
    const char *name, *hostname, *cwd, *user, *memory, *swap, *cpus, *shares, *pids, *entrypoint;
    const char *runtime, *network, *stop_signal, *stop_timeout, *shm, *restart, *platform, *pull;
    struct opt_list env, volumes, devices, cap_add, cap_drop, security, labels, tmpfs, ports;
    struct opt_list ulimits, sysctls, attach;
};

static void create_labels(struct jw *w, const char *key, const struct opt_list *l)
{
    jw_object(w, key);
    for (int i = 0; i < l->n; i++) {
        const char *equals = strchr(l->item[i], '=');
        char *name =
            equals ? str_dupn(l->item[i], (size_t)(equals - l->item[i])) : str_dup(l->item[i]);

        jw_str(w, name, equals ? equals + 1 : "");
        free(name);
    }
    jw_object_end(w);
}

static void create_list(struct jw *w, const char *key, const struct opt_list *l)
{
    jw_array(w, key);
    for (int i = 0; i < l->n; i++)
        jw_str(w, NULL, l->item[i]);
    jw_array_end(w);
}

static void create_size(struct jw *w, const char *key, const char *flag, const char *value)
{
    uint64_t v;

    if (!value)
        return;
    if (!str_size(value, &v))
        cli_usage("invalid argument \"%s\" for \"--%s\" flag: invalid size: '%s'", value, flag,
                  value);
    jw_int(w, key, (int64_t)v);
}

static void create_number(struct jw *w, const char *key, const char *flag, const char *value)
{
    int64_t v;

    if (!value)
        return;
    if (!str_i64(value, &v))
        cli_usage("invalid argument \"%s\" for \"--%s\" flag: parse error", value, flag);
    jw_int(w, key, v);
}

static void create_cpus(struct jw *w, const char *value)
{
    char *end;
    double v;

    if (!value)
        return;
    v = strtod(value, &end);
    if (end == value || *end || v < 0 || v > 1e6)
        cli_usage("invalid argument \"%s\" for \"--cpus\" flag: failed to parse %s as a rational "
                  "number",
                  value, value);
    jw_int(w, "NanoCpus", (int64_t)(v * 1e9 + 0.5));
}

static void create_devices(struct jw *w, const struct opt_list *l)
{
    jw_array(w, "Devices");
    for (int i = 0; i < l->n; i++) {
        char *host = str_dup(l->item[i]), *target = strchr(host, ':'), *perms = NULL;

        if (target) {
            *target++ = 0;
            perms = strchr(target, ':');
            if (perms)
                *perms++ = 0;
        }
        jw_object(w, NULL);
        jw_str(w, "PathOnHost", host);
        jw_str(w, "PathInContainer", target && *target == '/' ? target : host);
        jw_str(w, "CgroupPermissions", perms ? perms : "rwm");
        jw_object_end(w);
        free(host);
    }
    jw_array_end(w);
}

static void create_tmpfs(struct jw *w, const struct opt_list *l)
{
    jw_object(w, "Tmpfs");
    for (int i = 0; i < l->n; i++) {
        char *target = str_dup(l->item[i]), *options = strchr(target, ':');

        if (options)
            *options++ = 0;
        jw_str(w, target, options);
        free(target);
    }
    jw_object_end(w);
}

static void create_ulimits(struct jw *w, const struct opt_list *l)
{
    jw_array(w, "Ulimits");
    for (int i = 0; i < l->n; i++) {
        char *name = str_dup(l->item[i]), *soft = strchr(name, '='), *hard;
        int64_t s, h;

        if (!soft)
            cli_usage("invalid argument \"%s\" for \"--ulimit\" flag", l->item[i]);
        *soft++ = 0;
        hard = strchr(soft, ':');
        if (hard)
            *hard++ = 0;
        if (!str_i64(soft, &s) || !str_i64(hard ? hard : soft, &h))
            cli_usage("invalid argument \"%s\" for \"--ulimit\" flag", l->item[i]);
        jw_object(w, NULL);
        jw_str(w, "Name", name);
        jw_int(w, "Soft", s);
        jw_int(w, "Hard", h);
        jw_object_end(w);
        free(name);
    }
    jw_array_end(w);
}

static void create_ports(struct jw *w, const struct opt_list *l)
{
    jw_object(w, "PortBindings");
    for (int i = 0; i < l->n; i++) {
        const char *colon = strrchr(l->item[i], ':');
        const char *port = colon ? colon + 1 : l->item[i];
        char *key = str_fmt("%s%s", port, strchr(port, '/') ? "" : "/tcp");

        jw_array(w, key);
        jw_object(w, NULL);
        jw_strn(w, "HostPort", l->item[i], colon ? (size_t)(colon - l->item[i]) : 0);
        jw_object_end(w);
        jw_array_end(w);
        free(key);
    }
    jw_object_end(w);
}

static void create_host(struct jw *w, const struct create_flags *f)
{
    jw_object(w, "HostConfig");
    create_list(w, "Binds", &f->volumes);
    create_devices(w, &f->devices);
    create_list(w, "CapAdd", &f->cap_add);
    create_list(w, "CapDrop", &f->cap_drop);
    create_list(w, "SecurityOpt", &f->security);
    create_tmpfs(w, &f->tmpfs);
    create_ulimits(w, &f->ulimits);
    create_ports(w, &f->ports);
    create_labels(w, "Sysctls", &f->sysctls);
    create_size(w, "Memory", "memory", f->memory);
    create_size(w, "MemorySwap", "memory-swap", f->swap);
    create_size(w, "ShmSize", "shm-size", f->shm);
    create_cpus(w, f->cpus);
    create_number(w, "CpuShares", "cpu-shares", f->shares);
    create_number(w, "PidsLimit", "pids-limit", f->pids);
    jw_bool(w, "ReadonlyRootfs", f->readonly);
    jw_bool(w, "Privileged", f->privileged);
    jw_bool(w, "AutoRemove", f->rm);
    jw_bool(w, "Init", f->init);
    jw_str(w, "Runtime", f->runtime);
    jw_str(w, "NetworkMode", f->network ? f->network : "default");
    jw_object(w, "RestartPolicy");
    jw_str(w, "Name", f->restart ? f->restart : "no");
    jw_object_end(w);
    jw_object_end(w);
}

void create_env(struct jw *w, const struct opt_list *l)
{
    jw_array(w, "Env");
    for (int i = 0; i < l->n; i++) {
        const char *own = strchr(l->item[i], '=') ? NULL : getenv(l->item[i]);

        if (own)
            jw_fmt(w, NULL, "%s=%s", l->item[i], own);
        else if (strchr(l->item[i], '='))
            jw_str(w, NULL, l->item[i]);
    }
    jw_array_end(w);
}

static char *create_json(const struct create_flags *f, int argc, char **argv)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    jw_str(&w, "Image", argv[0]);
    jw_str(&w, "Hostname", f->hostname);
    jw_str(&w, "User", f->user);
    jw_str(&w, "WorkingDir", f->cwd);
    jw_bool(&w, "AttachStdin", f->in && !f->detach);
    jw_bool(&w, "AttachStdout", !f->detach);
    jw_bool(&w, "AttachStderr", !f->detach);
    jw_bool(&w, "Tty", f->tty);
    jw_bool(&w, "OpenStdin", f->in);
    jw_bool(&w, "StdinOnce", f->in && !f->detach);
    create_env(&w, &f->env);
    create_labels(&w, "Labels", &f->labels);
    if (f->entrypoint) {
        jw_array(&w, "Entrypoint");
        jw_str(&w, NULL, f->entrypoint);
        jw_array_end(&w);
    }
    if (argc > 1) {
        jw_array(&w, "Cmd");
        for (int i = 1; i < argc; i++)
            jw_str(&w, NULL, argv[i]);
        jw_array_end(&w);
    }
    if (f->stop_signal)
        jw_str(&w, "StopSignal", f->stop_signal);
    create_number(&w, "StopTimeout", "stop-timeout", f->stop_timeout);
    create_host(&w, f);
    jw_object_end(&w);
    return buf_take(&b);
}

/* Reads the options of `run` and `create`: the request body, and *run. */
static char *create_parse(int argc, char **argv, struct run *run)
{
    static struct create_flags f;
    const struct opt opts[] = {
        {0, "rm", OPT_BOOL, &f.rm},
        {'d', "detach", OPT_BOOL, &f.detach},
        {'i', "interactive", OPT_BOOL, &f.in},
        {'t', "tty", OPT_BOOL, &f.tty},
        {'a', "attach", OPT_LIST, &f.attach},
        {0, "name", OPT_STR, &f.name},
        {'e', "env", OPT_LIST, &f.env},
        {'h', "hostname", OPT_STR, &f.hostname},
        {'w', "workdir", OPT_STR, &f.cwd},
        {'u', "user", OPT_STR, &f.user},
        {'m', "memory", OPT_STR, &f.memory},
        {0, "memory-swap", OPT_STR, &f.swap},
        {0, "cpus", OPT_STR, &f.cpus},
        {'c', "cpu-shares", OPT_STR, &f.shares},
        {0, "pids-limit", OPT_STR, &f.pids},
        {0, "read-only", OPT_BOOL, &f.readonly},
        {0, "privileged", OPT_BOOL, &f.privileged},
        {0, "init", OPT_BOOL, &f.init},
        {0, "device", OPT_LIST, &f.devices},
        {0, "entrypoint", OPT_STR, &f.entrypoint},
        {'v', "volume", OPT_LIST, &f.volumes},
        {'p', "publish", OPT_LIST, &f.ports},
        {'l', "label", OPT_LIST, &f.labels},
        {0, "tmpfs", OPT_LIST, &f.tmpfs},
        {0, "ulimit", OPT_LIST, &f.ulimits},
        {0, "sysctl", OPT_LIST, &f.sysctls},
        {0, "cap-add", OPT_LIST, &f.cap_add},
        {0, "cap-drop", OPT_LIST, &f.cap_drop},
        {0, "security-opt", OPT_LIST, &f.security},
        {0, "runtime", OPT_STR, &f.runtime},
        {0, "network", OPT_STR, &f.network},
        {0, "net", OPT_STR, &f.network},
        {0, "restart", OPT_STR, &f.restart},
        {0, "shm-size", OPT_STR, &f.shm},
        {0, "stop-signal", OPT_STR, &f.stop_signal},
        {0, "stop-timeout", OPT_STR, &f.stop_timeout},
        {0, "sig-proxy", OPT_STR, &run->sig_proxy},
    };
    int first = opt_parse(argv[0], opts, sizeof(opts) / sizeof(opts[0]), argc, argv, false);

    opt_operands(argv[0], argc - first, 1, -1);
    run->rm = f.rm;
    run->detach = f.detach;
    run->stdin_open = f.in;
    run->tty = f.tty;
    run->name = f.name;
    if (f.tty && f.in && !f.detach && !strcmp(argv[0], "run") && !isatty(0)) {
        fprintf(stderr, "the input device is not a TTY\n");
        exit(1);
    }
    return create_json(&f, argc - first, argv + first);
}

char *create_container(int argc, char **argv, struct run *run)
{
    char *body = create_parse(argc, argv, run), *name = run->name ? cli_encode(run->name) : NULL;
    char *id;
    struct buf answer = {0};
    struct json *j;
    int status = cli_call("POST",
                          name ? cli_path("/containers/create?name=%s", name)
                               : cli_path("/containers/create"),
                          body, &answer);

    if (status != 201)
        exit(run_error(&answer));
    j = cli_json(&answer);
    id = str_dup(json_str(j, "Id"));
    json_free(j);
    buf_free(&answer);
    free(body);
    free(name);
    if (!id)
        exit(CLI_USAGE);
    return id;
}

int verb_create(int argc, char **argv)
{
    struct run run = {0};

    puts(create_container(argc, argv, &run));
    return 0;
}
