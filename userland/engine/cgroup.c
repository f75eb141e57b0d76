// SPDX-License-Identifier: MIT
// Control groups: one directory <root>/bothy/<id> per container, job-PID-N for a worker; cgroup v2
// files only. A container with privileges may have made groups below its own: they go with it.
//
// A controller that the root does not have (a development machine may bind it elsewhere) is left
// out with a line in the log; a controller that is there and refuses a value fails the start.
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/job.h"
#include "runtime/devices.h"
#include "lib/str.h"
#include "uapi/bpf.h"

#define CGROUP_VMM_MEMORY (16ll << 20) /* what a VM may take beyond its RAM */

static bool cgroup_off;     /* there is no cgroup2 at all */
static int cgroup_top = -1; /* <root>/bothy */
static bool cgroup_any_device;
enum { CG_MEMORY, CG_CPU, CG_PIDS, CG_CPUSET, CG_CONTROLLERS };

static bool cgroup_has[CG_CONTROLLERS];
static const char *const cgroup_controllers[CG_CONTROLLERS] = {"memory", "cpu", "pids", "cpuset"};

/* A group that could not be removed at once keeps its name: the next start has another. */
char *cgroup_name(const struct container *c)
{
    return c->group ? str_fmt("%s-%u", c->id, c->group) : str_dup(c->id);
}

static char *cgroup_path(const struct container *c, const char *file)
{
    char *name = cgroup_name(c);
    char *path =
        str_fmt("%s/bothy/%s%s%s", engine.cgroup_root, name, file ? "/" : "", file ? file : "");

    free(name);
    return path;
}

static int cgroup_write(const struct container *c, const char *file, const char *text)
{
    char *path = cgroup_path(c, file);
    int err = file_put(path, text);

    free(path);
    return err;
}

static int cgroup_read(const struct container *c, const char *file, struct buf *out)
{
    char *path = cgroup_path(c, file);
    int err = file_read(path, 65536, out);

    free(path);
    return err;
}

static bool cgroup_word(const char *text, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = text; (p = strstr(p, word)); p += n)
        if ((p == text || p[-1] == ' ') && (!p[n] || p[n] == ' ' || p[n] == '\n'))
            return true;
    return false;
}

/* Turns the controllers on for the children of `dir`. */
static void cgroup_enable(const char *dir)
{
    char path[512], text[32];

    snprintf(path, sizeof(path), "%s/cgroup.subtree_control", dir);
    for (int i = 0; i < CG_CONTROLLERS; i++) {
        int err;

        if (!cgroup_has[i])
            continue;
        snprintf(text, sizeof(text), "+%s", cgroup_controllers[i]);
        err = file_put(path, text);
        if (err)
            engine_log("cannot enable the %s controller in %s: %s", cgroup_controllers[i], dir,
                       strerror(-err));
    }
}

int cgroup_init(void)
{
    struct buf b = {0};
    char path[512];
    int err;

    snprintf(path, sizeof(path), "%s/cgroup.controllers", engine.cgroup_root);
    err = file_read(path, 4096, &b);
    engine_check_read(path, err);
    if (err) {
        engine_log("%s: %s: containers run without control groups, and with no limits", path,
                   strerror(-err));
        cgroup_off = true;
        buf_free(&b);
        return 0;
    }
    for (int i = 0; i < CG_CONTROLLERS; i++) {
        cgroup_has[i] = cgroup_word(b.data, cgroup_controllers[i]);
        if (!cgroup_has[i])
            engine_log("%s has no %s controller: its limits are not enforced", engine.cgroup_root,
                       cgroup_controllers[i]);
    }
    buf_free(&b);
    err = devices_prepare();
    cgroup_any_device = err == -ENOSYS || err == -EINVAL || err == -EPERM;
    if (cgroup_any_device)
        engine_log("this kernel has no device filters (%s): containers may use any device",
                   strerror(-err));
    cgroup_enable(engine.cgroup_root);
    snprintf(path, sizeof(path), "%s/bothy", engine.cgroup_root);
    err = dir_make(path, 0755);
    if (!err)
        cgroup_enable(path);
    if (!err)
        cgroup_top = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return !err && cgroup_top < 0 ? -errno : err;
}

static struct device_rule device_rule_of(const struct stat *st, unsigned access)
{
    return (struct device_rule){S_ISBLK(st->st_mode) ? DEVICE_BLOCK : DEVICE_CHAR,
                                major(st->st_rdev), minor(st->st_rdev), access};
}

/* The devices of a container, whose group is open as fd: Docker's list and what was asked for; a
 * VMM's are /dev/kvm too. NULL, or why not. */
static char *cgroup_devices(const struct container *c, int fd)
{
    struct device_rule *more = mem_alloc(((size_t)c->ndevices + 1) * sizeof(*more));
    int n = 0, err;
    struct stat st;

    for (int i = 0; i < c->ndevices; i++)
        if (stat(c->devices[i].host, &st) == 0) /* the child says what is wrong with it */
            more[n++] = device_rule_of(&st, c->devices[i].access);
    if (c->runtime == RUNTIME_VM && stat("/dev/kvm", &st) == 0)
        more[n++] = device_rule_of(&st, DEVICE_MKNOD | DEVICE_READ | DEVICE_WRITE);
    err = devices_confine(fd, more, n);
    free(more);
    return err ? str_fmt("cannot confine devices: %s", strerror(-err)) : NULL;
}

static char *cgroup_limit(const struct container *c, int controller, const char *file,
                          const char *text)
{
    int err = cgroup_has[controller] ? cgroup_write(c, file, text) : 0;

    return err ? str_fmt("cannot set %s to %s: %s", file, text, strerror(-err)) : NULL;
}

int cgroup_weight(int64_t shares)
{
    return (int)(1 + (shares - 2) * 9999 / 262142);
}

/* A number, or "max" for 0 and less. */
static char *cgroup_limit_max(const struct container *c, int controller, const char *file,
                              int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    return cgroup_limit(c, controller, file, value > 0 ? text : "max");
}

void cgroup_cpu_text(const struct container *c, char *text, size_t size)
{
    const struct limits *l = &c->limits;
    int64_t period = l->cpu_period ? l->cpu_period : 100000;
    int64_t quota = l->nano_cpus ? l->nano_cpus * (period / 1000) / 1000000 : l->cpu_quota;

    if (quota > 0)
        snprintf(text, size, "%lld %lld", (long long)(quota < 1000 ? 1000 : quota),
                 (long long)period);
    else
        snprintf(text, size, "max %lld", (long long)period);
}

static char *cgroup_limit_cpu(const struct container *c)
{
    char text[64];

    cgroup_cpu_text(c, text, sizeof(text));
    return cgroup_limit(c, CG_CPU, "cpu.max", text);
}

/* What a group may keep is bounded by what the one above it may: that is the sum of those below. */
static int cgroup_reserve_all(void)
{
    char text[32], *path = str_fmt("%s/bothy/memory.low", engine.cgroup_root);
    int64_t total = 0;
    bool all = false; /* the sum is more than any number */
    int err;

    for (const struct container *c = container_first(); c; c = c->next)
        if (container_running(c))
            all = __builtin_add_overflow(total, c->limits.reservation, &total) || all;
    snprintf(text, sizeof(text), "%lld", (long long)total);
    err = cgroup_has[CG_MEMORY] ? file_put(path, all ? "max" : text) : 0;
    free(path);
    return err;
}

static char *cgroup_reserve(const struct container *c)
{
    char text[32], *why;
    int err;

    snprintf(text, sizeof(text), "%lld", (long long)c->limits.reservation);
    why = cgroup_limit(c, CG_MEMORY, "memory.low", text);
    err = why ? 0 : cgroup_reserve_all();
    return err ? str_fmt("cannot reserve memory: %s", strerror(-err)) : why;
}

/* A list, or all that there are. */
static char *cgroup_limit_list(const struct container *c, const char *file, const char *list)
{
    char text[CPUSET_MAX + 1];

    snprintf(text, sizeof(text), "%s\n", list);
    return cgroup_limit(c, CG_CPUSET, file, text);
}

/* What a file of the root's says, or one for each that is there by another way. */
void cgroup_available(bool mems, char *text, size_t size)
{
    char *path = str_fmt("%s/cpuset.%s.effective", engine.cgroup_root, mems ? "mems" : "cpus");
    struct buf b = {0};

    if (file_read(path, 4096, &b) == 0 && b.len > 1)
        snprintf(text, size, "%.*s", (int)strcspn(b.data, "\n"), b.data);
    else
        snprintf(text, size, "0-%ld", mems ? 0 : sysconf(_SC_NPROCESSORS_CONF) - 1);
    buf_free(&b);
    free(path);
}

/* Every limit as it is to be; a group that is new has all at their defaults. */
static char *cgroup_set(const struct container *c, bool fresh)
{
    const struct limits *l = &c->limits;
    bool vm = c->runtime == RUNTIME_VM;
    char *why = NULL, text[16];

    if (l->memory || !fresh)
        why = cgroup_limit_max(c, CG_MEMORY, "memory.max",
                               l->memory && vm ? l->memory + CGROUP_VMM_MEMORY : l->memory);
    if (!why && (l->reservation || !fresh))
        why = cgroup_reserve(c);
    if (!why && (*l->cpus || !fresh))
        why = cgroup_limit_list(c, "cpuset.cpus", l->cpus);
    if (!why && (*l->mems || !fresh))
        why = cgroup_limit_list(c, "cpuset.mems", l->mems);
    if (!why && (l->nano_cpus || l->cpu_quota > 0 || !fresh))
        why = cgroup_limit_cpu(c);
    if (!why && (l->cpu_shares || !fresh)) {
        snprintf(text, sizeof(text), "%d", l->cpu_shares ? cgroup_weight(l->cpu_shares) : 100);
        why = cgroup_limit(c, CG_CPU, "cpu.weight", text);
    }
    if (!why && (l->pids > 0 || !fresh) && !vm) /* a VM's tasks are the guest's */
        why = cgroup_limit_max(c, CG_PIDS, "pids.max", l->pids);
    return why;
}

char *cgroup_apply(const struct container *c)
{
    return cgroup_off ? NULL : cgroup_set(c, false);
}

char *cgroup_create(struct container *c, int *group)
{
    char *name, *why = NULL;

    *group = -1;
    if (cgroup_off)
        return limits_any(&c->limits)
                   ? str_dup("limits need control groups, which this kernel does not have")
                   : NULL;
    name = cgroup_name(c);
    if (mkdirat(cgroup_top, name, 0755) < 0) {
        why = str_fmt("cannot create control group %s: %s", name, str_error(errno));
        free(name);
        return why;
    }
    *group = openat(cgroup_top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    why = *group < 0 ? str_fmt("cannot open %s: %s", name, str_error(errno)) : cgroup_set(c, true);
    free(name);
    if (!why && !c->spec.privileged && !cgroup_any_device)
        why = cgroup_devices(c, *group);
    if (!why)
        return NULL;
    if (*group >= 0)
        close(*group);
    *group = -1;
    cgroup_remove(c);
    return why;
}

int cgroup_open(const struct container *c)
{
    char *path = cgroup_path(c, NULL);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    free(path);
    return fd < 0 ? -errno : fd;
}

/* The group of a process as a path below the one of that name, "" for that itself, or NULL when it
 * is elsewhere. Programs choose the names of groups that they make below their own: the first part
 * counts. The caller frees. */
static char *cgroup_of(const char *name, pid_t pid)
{
    static const char top[] = "/bothy/";
    char path[64], *at, *found = NULL;
    size_t n = strlen(name);
    struct buf b = {0};

    snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    /* the engine's own root may lie below the mount's */
    if (file_read(path, 65536, &b) == 0 && (at = strstr(b.data, "0::")) && (at = strstr(at, top))) {
        at += sizeof(top) - 1;
        at[strcspn(at, "\n")] = '\0';
        if (!strncmp(at, name, n) && (!at[n] || at[n] == '/'))
            found = str_dup(at + n);
    }
    buf_free(&b);
    return found;
}

bool cgroup_holds(const char *name, pid_t pid)
{
    char *group = cgroup_of(name, pid);

    free(group);
    return group != NULL;
}

/* A group whose children have controllers takes no processes: PID 1, that made them, sits in one of
 * those, and an exec goes there too. */
int cgroup_add(const struct container *c, pid_t pid)
{
    char text[16], *name, *group, *file;
    int err;

    if (cgroup_off)
        return 0;
    snprintf(text, sizeof(text), "%d", (int)pid);
    err = cgroup_write(c, "cgroup.procs", text);
    name = cgroup_name(c);
    group = err == -EBUSY && c->pid > 0 ? cgroup_of(name, c->pid) : NULL;
    free(name);
    if (group) {
        file = str_fmt("%s/cgroup.procs", *group ? group + 1 : ".");
        err = cgroup_write(c, file, text);
        free(file);
        free(group);
    }
    return err;
}

/* At once when it is empty, as it nearly always is; else by a worker: false. */
static bool cgroup_path_remove(const char *path)
{
    if (rmdir(path) == 0 || errno == ENOENT)
        return true;
    group_discard(path);
    return false;
}

void cgroup_remove(struct container *c)
{
    char *path = cgroup_path(c, NULL);

    if (!cgroup_off && !cgroup_path_remove(path))
        c->group++; /* the worker kills what is in there: nothing may be born in it any more */
    free(path);
    if (!cgroup_off && c->limits.reservation && cgroup_reserve_all())
        engine_log("cannot give back what %.12s has reserved", c->id);
}

void cgroup_close(void)
{
    if (!cgroup_off)
        cgroup_sweep(NULL, NULL);
}

/* A container's that a keeper has, or of a worker of ours: everything else is a dead engine's. */
static bool cgroup_is_kept(const char *group)
{
    char own[32];

    snprintf(own, sizeof(own), "job-%d-", (int)getpid());
    if (str_starts(group, own) || container_left_out(group))
        return true;
    for (struct container *c = container_first(); c; c = c->next) {
        char *name = container_running(c) ? cgroup_name(c) : NULL;
        bool same = name && !strcmp(name, group);

        free(name);
        if (same)
            return true;
    }
    return false;
}

/* What is in there takes its time to die: a worker waits for that, and the next start of its
 * container has another group. */
static void cgroup_stays(const char *group, const char *path)
{
    group_discard(path);
    for (struct container *c = container_first(); c; c = c->next) {
        char *name = cgroup_name(c);

        c->group += !strcmp(name, group);
        free(name);
    }
}

void cgroup_open_all(void)
{
    if (!cgroup_off)
        cgroup_sweep(cgroup_is_kept, cgroup_stays);
}

/* ---- a worker's group ----------------------------------------------------------------------- */

static char *cgroup_job_path(unsigned n, const char *file)
{
    return str_fmt("%s/bothy/job-%d-%u%s%s", engine.cgroup_root, (int)getpid(), n, file ? "/" : "",
                   file ? file : "");
}

/* What unpacks is in nobody's way: a container has 100. */
#define CGROUP_JOB_WEIGHT "20"

int cgroup_job_create(unsigned n, int64_t memory)
{
    char *path = cgroup_job_path(n, NULL), *file = cgroup_job_path(n, "memory.max"), text[32];
    char *weight = cgroup_job_path(n, "cpu.weight");
    int fd = -1;

    if (!cgroup_off && (mkdir(path, 0755) == 0 || errno == EEXIST)) {
        snprintf(text, sizeof(text), "%lld", (long long)memory);
        if (memory && cgroup_has[CG_MEMORY])
            file_put(file, text);
        if (cgroup_has[CG_CPU])
            file_put(weight, CGROUP_JOB_WEIGHT);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            rmdir(path);
    }
    free(path);
    free(file);
    free(weight);
    return fd;
}

static void cgroup_job_put(unsigned n, const char *file, const char *text)
{
    char *path = cgroup_job_path(n, file);

    file_put(path, text);
    free(path);
}

void cgroup_job_add(unsigned n, pid_t pid)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", (int)pid);
    cgroup_job_put(n, "cgroup.procs", text);
}

void cgroup_job_kill(unsigned n)
{
    cgroup_job_put(n, "cgroup.kill", "1");
}

void cgroup_job_remove(unsigned n)
{
    char *path = cgroup_job_path(n, NULL);

    cgroup_path_remove(path);
    free(path);
}

int64_t cgroup_number(const struct container *c, const char *file, const char *key)
{
    struct buf b = {0};
    int64_t v = -1;
    const char *p = NULL;

    if (cgroup_read(c, file, &b) == 0)
        p = b.data;
    if (p && key) {
        size_t n = strlen(key);

        while (p && !(str_starts(p, key) && p[n] == ' ')) {
            p = strchr(p, '\n');
            p = p ? p + 1 : NULL;
        }
        p = p ? p + n + 1 : NULL;
    }
    if (p && *p >= '0' && *p <= '9')
        v = strtoll(p, NULL, 10);
    buf_free(&b);
    return v;
}

bool cgroup_oom(const struct container *c)
{
    return cgroup_number(c, "memory.events", "oom_kill") > 0;
}

int cgroup_kill(const struct container *c)
{
    return cgroup_write(c, "cgroup.kill", "1");
}

bool cgroup_frozen(const struct container *c)
{
    return cgroup_number(c, "cgroup.freeze", NULL) == 1;
}

int cgroup_freeze(const struct container *c, bool frozen)
{
    return cgroup_write(c, "cgroup.freeze", frozen ? "1" : "0");
}
