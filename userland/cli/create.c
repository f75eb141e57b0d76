// SPDX-License-Identifier: MIT
// create, and the first half of run: from a command line to the engine's request.
#include "cli/registry.h"
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

struct create_flags {
    bool rm, detach, in, tty, readonly, privileged, init, oom_kill_disable, publish_all, no_health;
    const char *name, *hostname, *domainname, *cwd, *user, *entrypoint, *stop_signal, *stop_timeout;
    const char *runtime, *network, *restart, *platform, *pull, *cidfile, *mac, *sig_proxy;
    const char *health_cmd;
    const char *memory, *swap, *reservation, *kernel_memory, *shm, *swappiness;
    const char *cpus, *shares, *period, *quota, *rt_period, *rt_runtime, *cpuset, *mems, *pids;
    const char *blkio, *oom_adj, *cgroup_parent, *cgroupns, *ipc, *pid, *uts, *userns, *isolation;
    const char *log_driver, *volume_driver, *gpus;
    struct opt_list env, env_files, volumes, devices, cap_add, cap_drop, security, labels, tmpfs,
        ports;
    struct opt_list ulimits, sysctls, attach, mounts, groups, hosts, dns, dns_search, dns_options;
    struct opt_list expose, links, volumes_from, device_rules, log_opts, storage_opts, annotations;
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
    jw_strings(w, key, l->item, (size_t)l->n);
}

static void create_size(struct jw *w, const char *key, const char *flag, const char *value)
{
    uint64_t v;

    if (!value)
        return;
    if (!strcmp(value, "-1")) { /* --memory-swap: as much as there is */
        jw_int(w, key, -1);
        return;
    }
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
    if (end == value || *end || !(v >= 0 && v <= 1e6)) /* nor what is no number */
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

/* -v: with a source it is a bind or a named volume, else a volume without a name. */
static void create_binds(struct jw *w, const struct opt_list *l)
{
    jw_array(w, "Binds");
    for (int i = 0; i < l->n; i++) {
        char cwd[4096];

        if (!strchr(l->item[i], ':'))
            continue;
        if (l->item[i][0] == '.' && getcwd(cwd, sizeof(cwd)))
            jw_fmt(w, NULL, "%s/%s", cwd, l->item[i]);
        else
            jw_str(w, NULL, l->item[i]);
    }
    jw_array_end(w);
}

static void create_set(struct jw *w, const char *key, const struct opt_list *l, bool volumes)
{
    jw_object(w, key);
    for (int i = 0; i < l->n; i++) {
        if (volumes && strchr(l->item[i], ':'))
            continue;
        jw_object(w, l->item[i]);
        jw_object_end(w);
    }
    jw_object_end(w);
}

static void create_words(struct jw *w, const char *key, const char *value)
{
    if (value)
        jw_str(w, key, value);
}

static void create_limits(struct jw *w, const struct create_flags *f)
{
    create_size(w, "Memory", "memory", f->memory);
    create_size(w, "MemorySwap", "memory-swap", f->swap);
    create_size(w, "MemoryReservation", "memory-reservation", f->reservation);
    create_size(w, "KernelMemory", "kernel-memory", f->kernel_memory);
    create_size(w, "ShmSize", "shm-size", f->shm);
    create_number(w, "MemorySwappiness", "memory-swappiness", f->swappiness);
    create_cpus(w, f->cpus);
    create_number(w, "CpuShares", "cpu-shares", f->shares);
    create_number(w, "CpuPeriod", "cpu-period", f->period);
    create_number(w, "CpuQuota", "cpu-quota", f->quota);
    create_number(w, "CpuRealtimePeriod", "cpu-rt-period", f->rt_period);
    create_number(w, "CpuRealtimeRuntime", "cpu-rt-runtime", f->rt_runtime);
    create_words(w, "CpusetCpus", f->cpuset);
    create_words(w, "CpusetMems", f->mems);
    create_number(w, "BlkioWeight", "blkio-weight", f->blkio);
    create_number(w, "PidsLimit", "pids-limit", f->pids);
    create_number(w, "OomScoreAdj", "oom-score-adj", f->oom_adj);
    jw_bool(w, "OomKillDisable", f->oom_kill_disable);
}

static void create_namespaces(struct jw *w, const struct create_flags *f)
{
    jw_str(w, "NetworkMode", f->network ? f->network : "default");
    create_words(w, "IpcMode", f->ipc);
    create_words(w, "PidMode", f->pid);
    create_words(w, "UTSMode", f->uts);
    create_words(w, "UsernsMode", f->userns);
    create_words(w, "CgroupnsMode", f->cgroupns);
    create_words(w, "CgroupParent", f->cgroup_parent);
    create_words(w, "Isolation", f->isolation);
}

/* NAME[:COUNT] */
static void create_restart(struct jw *w, const char *policy)
{
    const char *colon = policy ? strchr(policy, ':') : NULL;
    int64_t count = 0;

    if (colon && !str_i64(colon + 1, &count))
        cli_usage("invalid restart policy format: maximum retry count must be an integer");
    jw_object(w, "RestartPolicy");
    jw_strn(w, "Name", policy ? policy : "no",
            colon ? (size_t)(colon - policy) : strlen(policy ? policy : "no"));
    jw_int(w, "MaximumRetryCount", count);
    jw_object_end(w);
}

static void create_log(struct jw *w, const struct create_flags *f)
{
    jw_object(w, "LogConfig");
    jw_str(w, "Type", f->log_driver);
    create_labels(w, "Config", &f->log_opts);
    jw_object_end(w);
}

static void create_host(struct jw *w, const struct create_flags *f)
{
    jw_object(w, "HostConfig");
    create_binds(w, &f->volumes);
    create_mounts(w, &f->mounts);
    create_devices(w, &f->devices);
    create_list(w, "DeviceCgroupRules", &f->device_rules);
    if (f->gpus)
        jw_json(w, "DeviceRequests", json_parse("[{\"Driver\":\"\"}]", 15, NULL));
    create_list(w, "CapAdd", &f->cap_add);
    create_list(w, "CapDrop", &f->cap_drop);
    create_list(w, "SecurityOpt", &f->security);
    create_list(w, "GroupAdd", &f->groups);
    create_list(w, "ExtraHosts", &f->hosts);
    create_list(w, "Dns", &f->dns);
    create_list(w, "DnsSearch", &f->dns_search);
    create_list(w, "DnsOptions", &f->dns_options);
    create_list(w, "Links", &f->links);
    create_list(w, "VolumesFrom", &f->volumes_from);
    create_words(w, "VolumeDriver", f->volume_driver);
    create_tmpfs(w, &f->tmpfs);
    create_ulimits(w, &f->ulimits);
    create_ports(w, &f->ports);
    create_labels(w, "Sysctls", &f->sysctls);
    create_labels(w, "StorageOpt", &f->storage_opts);
    create_labels(w, "Annotations", &f->annotations);
    create_limits(w, f);
    create_namespaces(w, f);
    create_restart(w, f->restart);
    create_log(w, f);
    jw_bool(w, "ReadonlyRootfs", f->readonly);
    jw_bool(w, "Privileged", f->privileged);
    jw_bool(w, "PublishAllPorts", f->publish_all);
    jw_bool(w, "AutoRemove", f->rm);
    jw_bool(w, "Init", f->init);
    jw_str(w, "Runtime", f->runtime);
    jw_object_end(w);
}

static void create_env_one(struct jw *w, const char *text)
{
    const char *own = strchr(text, '=') ? NULL : getenv(text);

    if (!*text || *text == '=')
        cli_usage(
            "invalid argument \"%s\" for \"-e, --env\" flag: invalid environment variable: %s",
            text, text);
    if (own)
        jw_fmt(w, NULL, "%s=%s", text, own);
    else if (strchr(text, '='))
        jw_str(w, NULL, text);
}

/* Lines of NAME or NAME=VALUE; blank ones and comments aside. */
static void create_env_file(struct jw *w, const char *path)
{
    struct buf text = {0};
    char *save, *line;
    int err = file_read(path, 1 << 20, &text);

    if (err)
        cli_usage("open %s: %s", path, str_error(-err));
    for (line = strtok_r(text.data, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        line += strspn(line, " \t");
        if (*line && *line != '#')
            create_env_one(w, line);
    }
    buf_free(&text);
}

void create_env(struct jw *w, const struct opt_list *files, const struct opt_list *l)
{
    jw_array(w, "Env");
    for (int i = 0; files && i < files->n; i++)
        create_env_file(w, files->item[i]);
    for (int i = 0; i < l->n; i++)
        create_env_one(w, l->item[i]);
    jw_array_end(w);
}

static void create_health(struct jw *w, const struct create_flags *f)
{
    if (!f->health_cmd && !f->no_health)
        return;
    jw_object(w, "Healthcheck");
    jw_array(w, "Test");
    jw_str(w, NULL, f->no_health ? "NONE" : "CMD-SHELL");
    if (!f->no_health)
        jw_str(w, NULL, f->health_cmd);
    jw_array_end(w);
    jw_object_end(w);
}

/* Whether -a names the stream, or there is no -a. */
static bool create_attaches(const struct create_flags *f, const char *stream)
{
    for (int i = 0; i < f->attach.n; i++)
        if (str_case_eq(f->attach.item[i], stream))
            return true;
    return !f->attach.n;
}

static void create_attach_judge(const struct create_flags *f)
{
    for (int i = 0; i < f->attach.n; i++)
        if (!str_case_eq(f->attach.item[i], "stdin") && !str_case_eq(f->attach.item[i], "stdout") &&
            !str_case_eq(f->attach.item[i], "stderr"))
            cli_usage("invalid argument \"%s\" for \"-a, --attach\" flag: valid streams are STDIN, "
                      "STDOUT and STDERR",
                      f->attach.item[i]);
    if (f->attach.n && f->detach)
        cli_usage("conflicting options: cannot specify both --attach and --detach");
}

static char *create_json(const struct create_flags *f, int argc, char **argv)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    jw_str(&w, "Image", argv[0]);
    jw_str(&w, "Hostname", f->hostname);
    jw_str(&w, "Domainname", f->domainname);
    jw_str(&w, "MacAddress", f->mac);
    jw_str(&w, "User", f->user);
    jw_str(&w, "WorkingDir", f->cwd);
    jw_bool(&w, "AttachStdin", f->in && !f->detach);
    jw_bool(&w, "AttachStdout", !f->detach && create_attaches(f, "stdout"));
    jw_bool(&w, "AttachStderr", !f->detach && create_attaches(f, "stderr"));
    jw_bool(&w, "Tty", f->tty);
    jw_bool(&w, "OpenStdin", f->in);
    jw_bool(&w, "StdinOnce", f->in && !f->detach);
    create_env(&w, &f->env_files, &f->env);
    create_set(&w, "Volumes", &f->volumes, true);
    create_set(&w, "ExposedPorts", &f->expose, false);
    create_health(&w, f);
    create_labels(&w, "Labels", &f->labels);
    if (f->entrypoint)
        jw_strings(&w, "Entrypoint", &f->entrypoint, 1);
    if (argc > 1)
        jw_strings(&w, "Cmd", (const char *const *)argv + 1, (size_t)argc - 1);
    if (f->stop_signal)
        jw_str(&w, "StopSignal", f->stop_signal);
    create_number(&w, "StopTimeout", "stop-timeout", f->stop_timeout);
    create_host(&w, f);
    jw_object_end(&w);
    return buf_take(&b);
}

/* Of `run` and `create`: this process reads one command line. */
static struct create_flags flags;

static const struct opt create_opts[] = {
    {0, "rm", OPT_BOOL, &flags.rm},
    {'d', "detach", OPT_BOOL, &flags.detach},
    {'i', "interactive", OPT_BOOL, &flags.in},
    {'t', "tty", OPT_BOOL, &flags.tty},
    {'a', "attach", OPT_LIST, &flags.attach},
    {0, "name", OPT_STR, &flags.name},
    {'e', "env", OPT_LIST, &flags.env},
    {'h', "hostname", OPT_STR, &flags.hostname},
    {'w', "workdir", OPT_STR, &flags.cwd},
    {'u', "user", OPT_STR, &flags.user},
    {'m', "memory", OPT_STR, &flags.memory},
    {0, "memory-swap", OPT_STR, &flags.swap},
    {0, "memory-reservation", OPT_STR, &flags.reservation},
    {0, "memory-swappiness", OPT_STR, &flags.swappiness},
    {0, "kernel-memory", OPT_STR, &flags.kernel_memory},
    {0, "oom-kill-disable", OPT_BOOL, &flags.oom_kill_disable},
    {0, "oom-score-adj", OPT_STR, &flags.oom_adj},
    {0, "cpus", OPT_STR, &flags.cpus},
    {'c', "cpu-shares", OPT_STR, &flags.shares},
    {0, "cpu-period", OPT_STR, &flags.period},
    {0, "cpu-quota", OPT_STR, &flags.quota},
    {0, "cpu-rt-period", OPT_STR, &flags.rt_period},
    {0, "cpu-rt-runtime", OPT_STR, &flags.rt_runtime},
    {0, "cpuset-cpus", OPT_STR, &flags.cpuset},
    {0, "cpuset-mems", OPT_STR, &flags.mems},
    {0, "blkio-weight", OPT_STR, &flags.blkio},
    {0, "pids-limit", OPT_STR, &flags.pids},
    {0, "read-only", OPT_BOOL, &flags.readonly},
    {0, "privileged", OPT_BOOL, &flags.privileged},
    {0, "init", OPT_BOOL, &flags.init},
    {0, "device", OPT_LIST, &flags.devices},
    {0, "device-cgroup-rule", OPT_LIST, &flags.device_rules},
    {0, "gpus", OPT_STR, &flags.gpus},
    {0, "entrypoint", OPT_STR, &flags.entrypoint},
    {'v', "volume", OPT_LIST, &flags.volumes},
    {0, "volumes-from", OPT_LIST, &flags.volumes_from},
    {0, "volume-driver", OPT_STR, &flags.volume_driver},
    {0, "mount", OPT_LIST, &flags.mounts},
    {'p', "publish", OPT_LIST, &flags.ports},
    {'P', "publish-all", OPT_BOOL, &flags.publish_all},
    {0, "expose", OPT_LIST, &flags.expose},
    {'l', "label", OPT_LIST, &flags.labels},
    {0, "annotation", OPT_LIST, &flags.annotations},
    {0, "env-file", OPT_LIST, &flags.env_files},
    {0, "tmpfs", OPT_LIST, &flags.tmpfs},
    {0, "ulimit", OPT_LIST, &flags.ulimits},
    {0, "sysctl", OPT_LIST, &flags.sysctls},
    {0, "storage-opt", OPT_LIST, &flags.storage_opts},
    {0, "cap-add", OPT_LIST, &flags.cap_add},
    {0, "cap-drop", OPT_LIST, &flags.cap_drop},
    {0, "security-opt", OPT_LIST, &flags.security},
    {0, "group-add", OPT_LIST, &flags.groups},
    {0, "runtime", OPT_STR, &flags.runtime},
    {0, "network", OPT_STR, &flags.network},
    {0, "net", OPT_STR, &flags.network},
    {0, "link", OPT_LIST, &flags.links},
    {0, "mac-address", OPT_STR, &flags.mac},
    {0, "add-host", OPT_LIST, &flags.hosts},
    {0, "dns", OPT_LIST, &flags.dns},
    {0, "dns-search", OPT_LIST, &flags.dns_search},
    {0, "dns-option", OPT_LIST, &flags.dns_options},
    {0, "dns-opt", OPT_LIST, &flags.dns_options},
    {0, "domainname", OPT_STR, &flags.domainname},
    {0, "pid", OPT_STR, &flags.pid},
    {0, "ipc", OPT_STR, &flags.ipc},
    {0, "uts", OPT_STR, &flags.uts},
    {0, "userns", OPT_STR, &flags.userns},
    {0, "cgroupns", OPT_STR, &flags.cgroupns},
    {0, "cgroup-parent", OPT_STR, &flags.cgroup_parent},
    {0, "isolation", OPT_STR, &flags.isolation},
    {0, "restart", OPT_STR, &flags.restart},
    {0, "shm-size", OPT_STR, &flags.shm},
    {0, "log-driver", OPT_STR, &flags.log_driver},
    {0, "log-opt", OPT_LIST, &flags.log_opts},
    {0, "health-cmd", OPT_STR, &flags.health_cmd},
    {0, "no-healthcheck", OPT_BOOL, &flags.no_health},
    {0, "stop-signal", OPT_STR, &flags.stop_signal},
    {0, "stop-timeout", OPT_STR, &flags.stop_timeout},
    {0, "platform", OPT_STR, &flags.platform},
    {0, "pull", OPT_STR, &flags.pull},
    {0, "cidfile", OPT_STR, &flags.cidfile},
    {0, "sig-proxy", OPT_STR, &flags.sig_proxy},
};

void create_help(void)
{
    char text[64];
    int column = 0;

    for (size_t i = 0; i < sizeof(create_opts) / sizeof(create_opts[0]); i++) {
        const struct opt *o = &create_opts[i];
        char letter[] = {'-', o->letter, '|', 0};
        int n = snprintf(text, sizeof(text), " [%s--%s%s]%s", o->letter ? letter : "", o->name,
                         o->type == OPT_BOOL ? "" : " V", o->type == OPT_LIST ? "..." : "");

        column = column + n > 80 ? 0 : column;
        printf("%s%s", column ? "" : i ? "\n    " : "    ", text);
        column += column ? n : n + 4;
    }
    putchar('\n');
}

/* Reads the options: the request body, and *run. */
static char *create_parse(int argc, char **argv, struct run *run)
{
    const struct create_flags *f = &flags;
    int first = opt_parse(argv[0], create_opts, sizeof(create_opts) / sizeof(create_opts[0]), argc,
                          argv, false);

    opt_operands(argv[0], argc - first, 1, -1);
    *run = (struct run){.rm = f->rm,
                        .detach = f->detach,
                        .stdin_open = f->in,
                        .tty = f->tty,
                        .name = f->name,
                        .sig_proxy = f->sig_proxy,
                        .platform = f->platform,
                        .cidfile = f->cidfile,
                        .pull = f->pull ? f->pull : "missing",
                        .out = create_attaches(f, "stdout"),
                        .err = create_attaches(f, "stderr")};
    create_attach_judge(f);
    if (strcmp(run->pull, "always") && strcmp(run->pull, "missing") && strcmp(run->pull, "never"))
        cli_usage("invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"",
                  run->pull);
    if (f->tty && f->in && !f->detach && !strcmp(argv[0], "run") && !isatty(0)) {
        fprintf(stderr, "the input device is not a TTY\n");
        exit(1);
    }
    return create_json(f, argc - first, argv + first);
}

/* --cidfile: the id for scripts; never over one that is there. */
static void create_cidfile(const char *path, const char *id)
{
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;

    if (!path)
        return;
    if (fd < 0 || write_all(fd, id, strlen(id)))
        cli_usage("failed to write the container ID to %s: %s", path, str_error(errno));
    close(fd);
}

static int create_call(const struct run *run, const char *body, struct buf *answer)
{
    return cli_call("POST",
                    cli_path("/containers/create?name=%s&platform=%s",
                             run->name ? cli_encode(run->name) : "",
                             run->platform ? cli_encode(run->platform) : ""),
                    body, answer);
}

char *create_container(int argc, char **argv, struct run *run)
{
    char *body = create_parse(argc, argv, run), *id;
    struct buf answer = {0};
    struct json *j;
    int status;

    if (run->cidfile && access(run->cidfile, F_OK) == 0)
        cli_usage(
            "container ID file found, make sure the other container isn't running or delete %s",
            run->cidfile);
    if (!strcmp(run->pull, "always") && registry_pull_for(body, run->platform, false))
        exit(CLI_USAGE);
    status = create_call(run, body, &answer);
    if (status == 404 && str_starts(cli_message(&answer), "No such image") &&
        !strcmp(run->pull, "missing")) {
        if (registry_pull_for(body, run->platform, true))
            exit(CLI_USAGE);
        buf_clear(&answer);
        status = create_call(run, body, &answer);
    }
    if (status != 201)
        exit(run_error(&answer));
    j = cli_json(&answer);
    for (struct json *w = json_list(j, "Warnings"); w; w = w->next)
        fprintf(stderr, "WARNING: %s\n", w->str ? w->str : "");
    id = str_dup(json_str(j, "Id"));
    json_free(j);
    buf_free(&answer);
    free(body);
    if (!*id)
        exit(CLI_USAGE);
    create_cidfile(run->cidfile, id);
    return id;
}

int verb_create(int argc, char **argv)
{
    struct run run = {0};

    puts(create_container(argc, argv, &run));
    return 0;
}
