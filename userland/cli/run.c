// SPDX-License-Identifier: MIT
// run, create, start, attach and exec: the verbs that hold a stream.
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

/* What of `run` concerns the client itself. */
static struct {
    bool detach, rm, stdin_open, tty;
    const char *name, *sig_proxy;
} run;

static int run_error(const struct buf *answer)
{
    fprintf(stderr, "bothy: Error response from daemon: %s\n", cli_message(answer));
    return CLI_USAGE;
}

/* The exit status for a start that failed, by the engine's words. */
static int start_status(const struct buf *answer)
{
    const char *m = cli_message(answer);

    if (strstr(m, "permission denied"))
        return 126;
    return strstr(m, "executable file not found") || strstr(m, "no such file or directory") ? 127
                                                                                            : 125;
}

struct run_flags {
    bool rm, detach, in, tty, readonly, privileged, init, oom_kill_disable;
    const char *name, *hostname, *cwd, *user, *memory, *swap, *cpus, *shares, *pids, *entrypoint;
    const char *runtime, *network, *stop_signal, *stop_timeout, *shm, *restart, *platform, *pull;
    struct opt_list env, volumes, devices, cap_add, cap_drop, security, labels, tmpfs, ports;
    struct opt_list ulimits, sysctls, attach;
};

static void run_labels(struct jw *w, const char *key, const struct opt_list *l)
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

static void run_list(struct jw *w, const char *key, const struct opt_list *l)
{
    jw_array(w, key);
    for (int i = 0; i < l->n; i++)
        jw_str(w, NULL, l->item[i]);
    jw_array_end(w);
}

static void run_size(struct jw *w, const char *key, const char *flag, const char *value)
{
    uint64_t v;

    if (!value)
        return;
    if (!str_size(value, &v))
        cli_usage("invalid argument \"%s\" for \"--%s\" flag: invalid size: '%s'", value, flag,
                  value);
    jw_int(w, key, (int64_t)v);
}

static void run_number(struct jw *w, const char *key, const char *flag, const char *value)
{
    int64_t v;

    if (!value)
        return;
    if (!str_i64(value, &v))
        cli_usage("invalid argument \"%s\" for \"--%s\" flag: parse error", value, flag);
    jw_int(w, key, v);
}

static void run_cpus(struct jw *w, const char *value)
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

static void run_devices(struct jw *w, const struct opt_list *l)
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

static void run_tmpfs(struct jw *w, const struct opt_list *l)
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

static void run_ulimits(struct jw *w, const struct opt_list *l)
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

static void run_ports(struct jw *w, const struct opt_list *l)
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

static void run_host(struct jw *w, const struct run_flags *f)
{
    jw_object(w, "HostConfig");
    run_list(w, "Binds", &f->volumes);
    run_devices(w, &f->devices);
    run_list(w, "CapAdd", &f->cap_add);
    run_list(w, "CapDrop", &f->cap_drop);
    run_list(w, "SecurityOpt", &f->security);
    run_tmpfs(w, &f->tmpfs);
    run_ulimits(w, &f->ulimits);
    run_ports(w, &f->ports);
    run_labels(w, "Sysctls", &f->sysctls);
    run_size(w, "Memory", "memory", f->memory);
    run_size(w, "MemorySwap", "memory-swap", f->swap);
    run_size(w, "ShmSize", "shm-size", f->shm);
    run_cpus(w, f->cpus);
    run_number(w, "CpuShares", "cpu-shares", f->shares);
    run_number(w, "PidsLimit", "pids-limit", f->pids);
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

static void run_env(struct jw *w, const struct opt_list *l)
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

static char *run_json(const struct run_flags *f, int argc, char **argv)
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
    run_env(&w, &f->env);
    run_labels(&w, "Labels", &f->labels);
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
    run_number(&w, "StopTimeout", "stop-timeout", f->stop_timeout);
    run_host(&w, f);
    jw_object_end(&w);
    return buf_take(&b);
}

/* Reads the options of `run` and `create`: the request body, and `run`. */
static char *run_parse(int argc, char **argv)
{
    static struct run_flags f;
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
        {0, "sig-proxy", OPT_STR, &run.sig_proxy},
    };
    int first = opt_parse(argv[0], opts, sizeof(opts) / sizeof(opts[0]), argc, argv, false);

    opt_operands(argv[0], argc - first, 1, -1);
    run.rm = f.rm;
    run.detach = f.detach;
    run.stdin_open = f.in;
    run.tty = f.tty;
    run.name = f.name;
    if (f.tty && f.in && !f.detach && !strcmp(argv[0], "run") && !isatty(0)) {
        fprintf(stderr, "the input device is not a TTY\n");
        exit(1);
    }
    return run_json(&f, argc - first, argv + first);
}

/* Creates the container: its id, or exits. */
static char *run_create(int argc, char **argv)
{
    char *body = run_parse(argc, argv), *name = run.name ? cli_encode(run.name) : NULL, *id;
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
    puts(run_create(argc, argv));
    return 0;
}

/* An attached stream to a container, before or after its start. */
static void attach_open(struct client *c, const char *id, bool in)
{
    struct buf answer = {0};
    int status;

    cli_connect(c);
    client_send(
        c, "POST",
        cli_path("/containers/%s/attach?stream=1&stdout=1&stderr=1%s", id, in ? "&stdin=1" : ""),
        NULL, true);
    status = client_wait_head(c);
    if (status == 101)
        return;
    client_read_all(c, &answer, 65536);
    exit(run_error(&answer));
}

/* Asks for the exit status and returns when the engine has noted it. */
static void wait_open(struct client *c, const char *id, const char *condition)
{
    int status;

    cli_connect(c);
    client_send(c, "POST", cli_path("/containers/%s/wait?condition=%s", id, condition), NULL,
                false);
    status = client_wait_head(c);
    if (status != 200) {
        fprintf(stderr, "bothy: cannot wait for the container: status %d\n", status);
        exit(CLI_USAGE);
    }
}

static int wait_status(struct client *c)
{
    struct buf answer = {0};
    struct json *j;
    int code;

    if (client_read_all(c, &answer, 65536) < 0) {
        fprintf(stderr, "bothy: lost the engine while waiting\n");
        return CLI_USAGE;
    }
    j = cli_json(&answer);
    code = (int)json_int(j, "StatusCode", CLI_USAGE);
    json_free(j);
    buf_free(&answer);
    client_close(c);
    return code;
}

int verb_run(int argc, char **argv)
{
    char *id = run_create(argc, argv);
    struct client stream, wait;
    struct buf answer = {0};
    struct stream s = {.c = &stream, .tty = run.tty, .in = run.stdin_open};
    bool proxy = !run.sig_proxy || strcmp(run.sig_proxy, "false");

    if (!run.detach) {
        stream_prepare(proxy);
        attach_open(&stream, id, run.stdin_open);
        wait_open(&wait, id, run.rm ? "removed" : "next-exit");
    }
    if (cli_call("POST", cli_path("/containers/%s/start", id), NULL, &answer) != 204) {
        run_error(&answer);
        return start_status(&answer);
    }
    if (run.detach) {
        puts(id);
        return 0;
    }
    s.target = cli_path("containers/%s", id);
    s.kill = proxy ? id : NULL;
    stream_resize(&s);
    stream_run(&s);
    if (s.detached)
        return 0;
    client_close(&stream);
    return wait_status(&wait);
}

static bool container_tty(const char *name, bool *in)
{
    struct buf answer = {0};
    struct json *j, *config;
    bool tty;

    if (cli_call("GET", cli_path("/containers/%s/json", cli_encode(name)), NULL, &answer) != 200) {
        cli_error(&answer);
        exit(1);
    }
    j = cli_json(&answer);
    config = json_get(j, "Config");
    tty = json_bool(config, "Tty");
    if (in)
        *in = *in && json_bool(config, "OpenStdin");
    json_free(j);
    buf_free(&answer);
    return tty;
}

static int start_attached(const char *name, bool in)
{
    struct client stream, wait;
    struct buf answer = {0};
    struct stream s = {.c = &stream, .in = in, .kill = name};

    s.tty = container_tty(name, &s.in);
    stream_prepare(true);
    attach_open(&stream, name, s.in);
    wait_open(&wait, name, "next-exit");
    if (cli_call("POST", cli_path("/containers/%s/start", name), NULL, &answer) >= 400) {
        cli_error(&answer);
        return 1;
    }
    s.target = cli_path("containers/%s", name);
    stream_resize(&s);
    stream_run(&s);
    return s.detached ? 0 : wait_status(&wait);
}

int verb_start(int argc, char **argv)
{
    bool attach = false, in = false;
    const struct opt opts[] = {{'a', "attach", OPT_BOOL, &attach},
                               {'i', "interactive", OPT_BOOL, &in}};
    int first = opt_parse("start", opts, 2, argc, argv, true), rc = 0;

    opt_operands("start", argc - first, 1, -1);
    if (attach || in)
        return start_attached(argv[first], in);
    for (int i = first; i < argc; i++) {
        struct buf answer = {0};

        if (cli_call("POST", cli_path("/containers/%s/start", cli_encode(argv[i])), NULL,
                     &answer) >= 400) {
            cli_error(&answer);
            rc = 1;
        } else {
            puts(argv[i]);
        }
        buf_free(&answer);
    }
    return rc;
}

int verb_attach(int argc, char **argv)
{
    struct client stream, wait;
    struct stream s = {.c = &stream, .in = true};

    opt_parse("attach", NULL, 0, argc, argv, true);
    opt_operands("attach", argc - 1, 1, 1);
    s.tty = container_tty(argv[1], &s.in);
    s.kill = argv[1];
    s.target = cli_path("containers/%s", argv[1]);
    stream_prepare(true);
    wait_open(&wait, argv[1], "");
    attach_open(&stream, argv[1], s.in);
    stream_resize(&s);
    stream_run(&s);
    return s.detached ? 0 : wait_status(&wait);
}

static char *exec_json(int argc, char **argv, bool in, bool tty, bool detach, bool privileged,
                       const char *cwd, const char *user, const struct opt_list *env)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    jw_bool(&w, "AttachStdin", in && !detach);
    jw_bool(&w, "AttachStdout", !detach);
    jw_bool(&w, "AttachStderr", !detach);
    jw_bool(&w, "Tty", tty);
    jw_bool(&w, "Detach", detach);
    jw_bool(&w, "Privileged", privileged);
    jw_str(&w, "WorkingDir", cwd);
    jw_str(&w, "User", user);
    run_env(&w, env);
    jw_array(&w, "Cmd");
    for (int i = 1; i < argc; i++)
        jw_str(&w, NULL, argv[i]);
    jw_array_end(&w);
    jw_object_end(&w);
    return buf_take(&b);
}

static int exec_run(const char *id, bool in, bool tty, bool detach)
{
    struct client c;
    struct buf answer = {0};
    struct stream s = {.c = &c, .tty = tty, .in = in, .target = cli_path("exec/%s", id)};
    int status, code;
    struct json *j;

    cli_connect(&c);
    stream_prepare(false);
    client_send(&c, "POST", cli_path("/exec/%s/start", id),
                detach ? "{\"Detach\":true}"
                : tty  ? "{\"Tty\":true}"
                       : "{}",
                !detach);
    status = client_wait_head(&c);
    if (status != (detach ? 200 : 101)) {
        client_read_all(&c, &answer, 65536);
        cli_error(&answer);
        return start_status(&answer) == 125 ? 1 : start_status(&answer);
    }
    if (detach)
        return 0;
    stream_resize(&s);
    stream_run(&s);
    if (cli_call("GET", cli_path("/exec/%s/json", id), NULL, &answer) != 200) {
        cli_error(&answer);
        return 1;
    }
    j = cli_json(&answer);
    code = (int)json_int(j, "ExitCode", 0);
    json_free(j);
    return code;
}

int verb_exec(int argc, char **argv)
{
    bool in = false, tty = false, detach = false, privileged = false;
    const char *cwd = NULL, *user = NULL;
    struct opt_list env = {0};
    const struct opt opts[] = {
        {'i', "interactive", OPT_BOOL, &in}, {'t', "tty", OPT_BOOL, &tty},
        {'d', "detach", OPT_BOOL, &detach},  {0, "privileged", OPT_BOOL, &privileged},
        {'w', "workdir", OPT_STR, &cwd},     {'u', "user", OPT_STR, &user},
        {'e', "env", OPT_LIST, &env},
    };
    int first = opt_parse("exec", opts, 7, argc, argv, false);
    struct buf answer = {0};
    struct json *j;
    char *body;

    opt_operands("exec", argc - first, 2, -1);
    if (tty && in && !detach && !isatty(0)) {
        fprintf(stderr, "the input device is not a TTY\n");
        return 1;
    }
    body = exec_json(argc - first, argv + first, in, tty, detach, privileged, cwd, user, &env);
    if (cli_call("POST", cli_path("/containers/%s/exec", cli_encode(argv[first])), body, &answer) !=
        201) {
        cli_error(&answer);
        return 1;
    }
    j = cli_json(&answer);
    return exec_run(json_str(j, "Id"), in, tty, detach);
}
