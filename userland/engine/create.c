// SPDX-License-Identifier: MIT
// A create request becomes a container's spec: the image's defaults merged in, every option that
// this engine cannot honour refused by name.
#include "engine/create_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/constants.h"
#include "lib/str.h"

void spec_free(struct spec *s)
{
    strv_free(s->argv);
    strv_free(s->env);
    strv_free(s->groups);
    free(s->cwd);
    free(s->user);
}

static void *grow(void *array, int n, size_t size)
{
    char *grown = mem_resize(array, (size_t)(n + 1) * size);

    memset(grown + (size_t)n * size, 0, size);
    return grown;
}

/* One of Cmd/Entrypoint: an array, or a string, which is an array of itself. NULL when it is not
 * there; an empty array is. */
static struct json *config_args(const struct json *from, const char *key)
{
    const struct json *j = json_get(from, key);
    struct json *list, **tail;

    if (!j || (j->type != JSON_ARRAY && j->type != JSON_STRING))
        return NULL;
    if (j->type == JSON_ARRAY)
        return json_copy(j);
    list = json_new(JSON_ARRAY);
    tail = &list->child;
    json_append(&tail, NULL, json_new_str(j->str));
    return list;
}

/* The image's, when the request has none of its own. */
static void config_args_inherit(struct json **args, const struct json *image, const char *key)
{
    json_free(*args);
    *args = config_args(image, key);
}

/* Entry point and command, as Docker merges them: an own entry point takes the image's command
 * away; an empty one takes the image's entry point away, and so does [""] with its command. */
static void config_command(const struct json *image, const struct json *req, struct json **entry,
                           struct json **cmd)
{
    bool own;

    *entry = config_args(req, "Entrypoint");
    *cmd = config_args(req, "Cmd");
    own = *entry && (*entry)->child;
    if (!own && !json_count(*cmd))
        config_args_inherit(cmd, image, "Cmd");
    if (!*entry)
        config_args_inherit(entry, image, "Entrypoint");
    if (json_count(*entry) != 1 || (*entry)->child->type != JSON_STRING || *(*entry)->child->str)
        return;
    json_free(*entry);
    *entry = NULL;
}

/* The request's variables, then those of the image that it has not named. A name without a value
 * takes the image's away. */
static struct json *merge_env(const struct json *image, const struct json *req)
{
    struct json *mine = json_list(req, "Env"), *theirs = json_list(image, "Env");
    size_t all = json_count(json_get(req, "Env")) + json_count(json_get(image, "Env")), n = 0, own;
    struct json *merged = json_new(JSON_ARRAY), **tail = &merged->child;
    const char **list = mem_alloc(all * sizeof(char *));
    bool path = false;
    size_t *first;

    for (; mine; mine = mine->next)
        if (mine->type == JSON_STRING)
            list[n++] = mine->str;
    own = n;
    for (; theirs; theirs = theirs->next)
        if (theirs->type == JSON_STRING)
            list[n++] = theirs->str;
    first = env_firsts(list, n);
    for (size_t i = 0; i < n; i++) {
        if (i < own ? !strchr(list[i], '=') : first[i] < own)
            continue;
        path = path || env_same(list[i], "PATH=");
        json_append(&tail, NULL, json_new_str(list[i]));
    }
    if (!path)
        json_append(
            &tail, NULL,
            json_new_str("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    free(first);
    free(list);
    return merged;
}

static const char *pick(const struct json *req, const struct json *image, const char *key)
{
    const char *v = json_str(req, key);

    return v && *v ? v : json_str(image, key);
}

/* What is the request's alone, copied where it is there. */
static void merge_own(struct json ***tail, const struct json *req, const char *key)
{
    if (json_get(req, key))
        json_append_constant(tail, key, json_copy(json_get(req, key)));
}

/* The request's own; the image's are kept once, with the image: container_labels(). */
static struct json *merge_labels(const struct json *req)
{
    const struct json *own = json_get(req, "Labels");

    return own && own->type == JSON_OBJECT ? json_copy(own) : json_new(JSON_OBJECT);
}

/* Config as inspect shows it: request over image. */
static struct json *config_merge(struct container *c, const struct json *req)
{
    static const char *const flags[] = {"AttachStdin", "AttachStdout", "AttachStderr",
                                        "Tty",         "OpenStdin",    "StdinOnce"};
    const struct json *image = json_get(c->image->config, "config");
    const char *stop = pick(req, image, "StopSignal");
    struct json *merged = json_new(JSON_OBJECT), **tail = &merged->child, *entry, *cmd;

    config_command(image, req, &entry, &cmd);
    json_append_constant(&tail, "Hostname", json_new_str(c->shared.hostname));
    json_append_constant(&tail, "Domainname", json_new_str(json_str(req, "Domainname")));
    json_append_constant(&tail, "User", json_new_str(pick(req, image, "User")));
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        json_append_constant(&tail, flags[i], json_new_bool(json_bool(req, flags[i])));
    merge_own(&tail, req, "ExposedPorts");
    json_append_constant(&tail, "Env", merge_env(image, req));
    json_append_constant(&tail, "Cmd", cmd ? cmd : json_new(JSON_NULL));
    json_append_constant(&tail, "Image", json_new_str(c->image_name));
    json_append_constant(&tail, "Volumes", json_copy(json_get(req, "Volumes")));
    json_append_constant(&tail, "WorkingDir", json_new_str(pick(req, image, "WorkingDir")));
    json_append_constant(&tail, "Entrypoint", entry ? entry : json_new(JSON_NULL));
    json_append_constant(&tail, "OnBuild", json_new(JSON_NULL));
    json_append_constant(&tail, "Labels", merge_labels(req));
    if (stop && *stop)
        json_append_constant(&tail, "StopSignal", json_new_str(stop));
    merge_own(&tail, req, "StopTimeout");
    return merged;
}

static void env_add(char ***env, size_t *n, char *text)
{
    *env = mem_resize(*env, (*n + 2) * sizeof(char *));
    (*env)[(*n)++] = text;
    (*env)[*n] = NULL;
}

/* [rows, columns] of the client's terminal. */
static void spec_console(struct spec *s, const struct json *size)
{
    const struct json *rows = size && size->type == JSON_ARRAY ? size->child : NULL;
    const struct json *cols = rows ? rows->next : NULL;

    if (!cols || rows->num < 1 || cols->num < 1 || rows->num > 65535 || cols->num > 65535)
        return;
    s->rows = (unsigned)rows->num;
    s->cols = (unsigned)cols->num;
}

static char *spec_process(struct container *c)
{
    struct spec *s = &c->spec;
    char **entry = strv_from_json(json_get(c->config, "Entrypoint"));
    char **cmd = strv_from_json(json_get(c->config, "Cmd"));
    size_t ne = strv_count(entry), nc = strv_count(cmd), n;
    bool hostname = false, term = false;

    s->argv = mem_alloc((ne + nc + 1) * sizeof(char *));
    memcpy(s->argv, entry, ne * sizeof(char *));
    memcpy(s->argv + ne, cmd, nc * sizeof(char *));
    free(entry);
    free(cmd);
    if (ne + nc == 0)
        return str_dup("no command specified");
    s->tty = json_bool(c->config, "Tty");
    s->open_stdin = json_bool(c->config, "OpenStdin");
    s->stdin_once = json_bool(c->config, "StdinOnce");
    spec_console(s, json_get(c->host, "ConsoleSize"));
    s->cwd = str_dup(json_str(c->config, "WorkingDir"));
    s->user = str_dup(json_str(c->config, "User"));
    if (*s->cwd && *s->cwd != '/')
        return str_fmt("the working directory '%s' is invalid, it needs to be an absolute path",
                       s->cwd);
    s->env = strv_from_json(json_get(c->config, "Env"));
    n = strv_count(s->env);
    for (size_t i = 0; i < n; i++)
        hostname = hostname || env_same(s->env[i], "HOSTNAME="),
        term = term || env_same(s->env[i], "TERM=");
    if (!hostname)
        env_add(&s->env, &n, str_fmt("HOSTNAME=%s", c->shared.hostname));
    if (s->tty && !term)
        env_add(&s->env, &n, str_dup("TERM=xterm"));
    return NULL;
}

/* "rwm" in any order, without the rest. */
static bool device_access(const char *text, unsigned *access)
{
    static const char letters[] = "mrw"; /* DEVICE_MKNOD 1, DEVICE_READ 2, DEVICE_WRITE 4 */

    for (*access = 0; *text; text++) {
        const char *at = strchr(letters, *text);

        if (!at || *access & 1u << (at - letters))
            return false;
        *access |= 1u << (at - letters);
    }
    return true;
}

static char *parse_device(struct container *c, const struct json *j)
{
    const char *host = json_str(j, "PathOnHost"), *target = json_str(j, "PathInContainer");
    const char *perms = json_str(j, "CgroupPermissions");
    struct device_spec d = {0};

    if (!host || *host != '/')
        return str_fmt("bad device specification \"%s\"", host ? host : "");
    target = target && *target ? target : host;
    if (*target != '/' || !target[1])
        return str_fmt("bad device specification \"%s\"", target);
    if (!device_access(perms && *perms ? perms : "rwm", &d.access))
        return str_fmt("invalid device mode: %s", perms);
    d.host = str_dup(host);
    d.target = str_dup(target);
    c->devices = grow(c->devices, c->ndevices, sizeof(*c->devices));
    c->devices[c->ndevices++] = d;
    return NULL;
}

static char *parse_ulimit(struct container *c, const struct json *j)
{
    const char *name = json_str(j, "Name");
    int resource = name ? rlimit_parse(name) : -1;
    struct rlimit_spec *r;

    if (resource < 0)
        return str_fmt("invalid ulimit type: %s", name ? name : "");
    c->shared.rlimits = grow(c->shared.rlimits, c->shared.nrlimits, sizeof(*c->shared.rlimits));
    r = &c->shared.rlimits[c->shared.nrlimits++];
    r->resource = resource;
    r->soft = (uint64_t)json_int(j, "Soft", -1);
    r->hard = (uint64_t)json_int(j, "Hard", -1);
    return r->soft > r->hard ? str_fmt("ulimit soft limit must be less than or equal to hard "
                                       "limit: %s",
                                       name)
                             : NULL;
}

typedef char *(*item_fn)(struct container *c, const struct json *j);

static char *each_item(struct container *c, const char *key, item_fn fn)
{
    char *why = NULL;
    int n = 0;

    for (struct json *j = json_list(c->host, key); j && !why; j = j->next)
        why = ++n > LIST_MAX ? str_fmt("too many %s", key) : fn(c, j);
    return why;
}

static char *parse_security(struct container *c)
{
    for (struct json *j = json_list(c->host, "SecurityOpt"); j; j = j->next) {
        const char *o = j->type == JSON_STRING ? j->str : "";

        if (!strcmp(o, "no-new-privileges") || !strcmp(o, "no-new-privileges:true") ||
            !strcmp(o, "no-new-privileges=true"))
            c->spec.no_new_privs = true;
        else if (!strcmp(o, "seccomp=unconfined") || !strcmp(o, "seccomp:unconfined"))
            c->spec.seccomp_off = true;
        else if (!str_starts(o, "label") && !str_starts(o, "apparmor") &&
                 strcmp(o, "no-new-privileges:false") && strcmp(o, "no-new-privileges=false"))
            return str_fmt("invalid --security-opt: \"%s\"", o);
    }
    return NULL;
}

static char *parse_limits(struct container *c)
{
    char *why = limits_read(&c->limits, c->host);

    return why ? why : limits_judge(&c->limits);
}

static char *parse_runtime(struct container *c)
{
    const char *name = json_str(c->host, "Runtime");

    if (!name || !*name || !strcmp(name, "domain") || !strcmp(name, "runc"))
        return NULL;
    if (strcmp(name, "vm"))
        return str_fmt("unknown or invalid runtime name: %s", name);
    c->runtime = RUNTIME_VM;
    return NULL;
}

/* Which names have a value of the container's own, the child knows; here what it cannot see. */
static char *parse_sysctls(struct container *c)
{
    const char *net = json_str(c->host, "NetworkMode");

    struct json *list = json_list(c->host, "Sysctls");
    size_t n = 0;

    if (!list)
        return NULL;
    c->shared.sysctls = mem_alloc((json_count(json_get(c->host, "Sysctls")) + 1) * sizeof(char *));
    for (struct json *j = list; j; j = j->next) {
        if (!j->key || j->type != JSON_STRING)
            return str_dup("Sysctls must be an object of strings");
        if (net && !strcmp(net, "host") && str_starts(j->key, "net."))
            return str_fmt("sysctl \"%s\" not allowed in host network namespace", j->key);
        c->shared.sysctls[n++] = str_fmt("%s=%s", j->key, j->str);
    }
    return NULL;
}

/* What is only looked at when a container is made: where its mounts come from, and whether this
 * machine can have it. */
static char *parse_new(struct container *c)
{
    char *why = c->runtime == RUNTIME_VM ? runtime_vm_refuse(c->host) : NULL;

    why = why || c->runtime != RUNTIME_VM ? why : runtime_vm_check();
    why = why ? why : each_item(c, "Binds", parse_bind);
    why = why ? why : each_item(c, "Mounts", parse_mount);
    why = why ? why : each_item(c, "Tmpfs", parse_tmpfs);
    why = why ? why : parse_volumes_from(c);
    return why ? why : parse_volumes(c);
}

static char *parse_host(struct container *c)
{
    const char *ipc = json_str(c->host, "IpcMode"), *cgroup = json_str(c->host, "CgroupnsMode");
    char *why = parse_runtime(c);

    c->auto_remove = json_bool(c->host, "AutoRemove");
    why = why ? why : restart_read(&c->restart, json_get(c->host, "RestartPolicy"), c->auto_remove);
    why = why ? why : parse_limits(c);
    why = why ? why : parse_security(c);
    why = why ? why : each_item(c, "Devices", parse_device);
    why = why ? why : each_item(c, "Ulimits", parse_ulimit);
    why = why ? why : parse_sysctls(c);
    why = why ? why : parse_names(c);
    if (why)
        return why;
    c->shared.no_shm = ipc && !strcmp(ipc, "none");
    c->shared.host_cgroup = cgroup && !strcmp(cgroup, "host");
    c->shared.readonly_root = json_bool(c->host, "ReadonlyRootfs");
    c->shared.shm_size = json_int(c->host, "ShmSize", 0);
    if (c->shared.shm_size <= 0)
        c->shared.shm_size = 64 << 20;
    c->shared.oom_score_adj = (int)json_int(c->host, "OomScoreAdj", 0);
    c->spec.privileged = json_bool(c->host, "Privileged");
    c->spec.caps = c->spec.privileged ? CAPS_ALL : caps_default();
    return c->spec.privileged ? NULL : caps_apply(&c->spec.caps, c->host);
}

/* All that follows from c->config and c->host. */
static char *spec_from_config(struct container *c)
{
    const char *sig = json_str(c->config, "StopSignal");
    char *why = spec_process(c);

    why = why ? why : parse_host(c);
    c->stop_signal = sig ? signal_parse(sig) : 15;
    if (!why && c->stop_signal < 0)
        why = str_fmt("invalid signal: %s", sig);
    c->stop_timeout = json_int(c->config, "StopTimeout", 10);
    return why;
}

/* The machine's where the container has its network, else the start of its id; to be freed. */
static char *spec_own_name(const struct container *c)
{
    char name[64] = "";

    if (container_host_net(c) && gethostname(name, sizeof(name)) == 0 && *name)
        return str_dup(name);
    return str_dupn(c->id, 12);
}

static char *spec_names(struct container *c, const struct json *config)
{
    const char *hostname = json_str(config, "Hostname"), *domain = json_str(config, "Domainname");

    if (domain && *domain)
        c->shared.domainname = str_dup(domain);
    c->shared.hostname = hostname && *hostname ? str_dup(hostname) : spec_own_name(c);
    return strlen(c->shared.hostname) > 63
               ? str_fmt("invalid hostname format: %s", c->shared.hostname)
               : NULL;
}

/* What a client sends for a thing that its user has not asked for is not kept; but for the two
 * lists that mean more when they are empty. */
struct json *host_from_request(const struct json *host)
{
    struct json *kept = json_new(JSON_OBJECT), **tail = &kept->child;

    for (struct json *j = host && host->type == JSON_OBJECT ? host->child : NULL; j; j = j->next)
        if (!json_is_empty(j) || (j->type == JSON_ARRAY && (!strcmp(j->key, "MaskedPaths") ||
                                                            !strcmp(j->key, "ReadonlyPaths"))))
            json_append(&tail, j->key, json_copy(j));
    return kept;
}

bool spec_from_request(struct container *c, const struct json *req, int *status, char **why)
{
    *status = 400;
    *why = spec_names(c, req);
    *why = *why ? *why : judge_request(c, req);
    if (*why)
        return false;
    c->config = config_merge(c, req);
    *why = spec_from_config(c);
    *why = *why ? *why : parse_new(c);
    if (!*why && json_values(c->config) + json_values(c->host) > CREATE_VALUES_MAX)
        *why = str_dup("the container's configuration is too large");
    return !*why;
}

char *spec_from_stored(struct container *c)
{
    char *why = spec_names(c, c->config);

    return why ? why : spec_from_config(c);
}
