// SPDX-License-Identifier: MIT
// The agent's application: its configuration, its control group, and its process, which is made as
// a container's is.
#include "init/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/devices.h"
#include "lib/json.h"
#include "runtime/rootfs.h"
#include "lib/str.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

#define AGENT_CONFIG "/boot/files/config.json"
#define AGENT_CONFIG_MAX (4u * 1024 * 1024)
#define AGENT_CGROUP "/sys/fs/cgroup/app"
#define AGENT_ETC "/etc"
#define AGENT_VOLUMES "/volumes"

static char *agent_string(const struct json *j, const char *key)
{
    return str_dup(json_str(j, key));
}

static void config_spec(const struct json *j)
{
    agent.spec = (struct spec){.argv = strv_from_json(json_get(j, "args")),
                               .env = strv_from_json(json_get(j, "env")),
                               .cwd = agent_string(j, "cwd"),
                               .user = agent_string(j, "user"),
                               .groups = strv_from_json(json_get(j, "groups")),
                               .tty = json_bool(j, "tty"),
                               .open_stdin = json_bool(j, "stdin"),
                               .privileged = json_bool(j, "privileged"),
                               .no_new_privs = json_bool(j, "noNewPrivs"),
                               .seccomp_off = json_bool(j, "seccompOff"),
                               .caps = (uint64_t)json_int(j, "caps", 0)};
}

/* A volume is a directory of the guest's. */
static struct mount_spec config_mount(const struct json *j, int number)
{
    struct mount_spec m = {.target = agent_string(j, "target"),
                           .options = agent_string(j, "options"),
                           .flags = (unsigned long)json_int(j, "flags", 0),
                           .fill = json_bool(j, "fill")};

    if (json_bool(j, "volume")) {
        m.source = str_fmt(AGENT_VOLUMES "/%d", number);
        dir_make(m.source, 0755);
    }
    return m;
}

/* A list, or NULL when there is no array. */
static char **config_list(const struct json *j, const char *key)
{
    const struct json *list = json_get(j, key);

    return list && list->type == JSON_ARRAY ? strv_from_json(list) : NULL;
}

static void config_lists(const struct json *j)
{
    struct shared_spec *r = &agent.shared;

    r->mounts = mem_alloc((json_count(json_get(j, "mounts")) + 1) * sizeof(*r->mounts));
    for (struct json *m = json_list(j, "mounts"); m; m = m->next, r->nmounts++)
        r->mounts[r->nmounts] = config_mount(m, r->nmounts);
    r->rlimits = mem_alloc((json_count(json_get(j, "rlimits")) + 1) * sizeof(*r->rlimits));
    for (struct json *l = json_list(j, "rlimits"); l; l = l->next)
        r->rlimits[r->nrlimits++] =
            (struct rlimit_spec){(int)json_int(l, "resource", 0), (uint64_t)json_int(l, "soft", -1),
                                 (uint64_t)json_int(l, "hard", -1)};
}

static void config_shared(const struct json *j)
{
    const char *domain = json_str(j, "domainname");

    agent.shared = (struct shared_spec){.hostname = agent_string(j, "hostname"),
                                        .domainname = domain && *domain ? str_dup(domain) : NULL,
                                        .readonly_root = json_bool(j, "readonly"),
                                        .shm_size = json_int(j, "shm", 0),
                                        .no_shm = json_bool(j, "noShm"),
                                        .oom_score_adj = (int)json_int(j, "oomScoreAdj", 0),
                                        .sysctls = config_list(j, "sysctls"),
                                        .extra_hosts = config_list(j, "hosts"),
                                        .dns = config_list(j, "dns"),
                                        .dns_search = config_list(j, "dnsSearch"),
                                        .dns_options = config_list(j, "dnsOptions"),
                                        .masked = config_list(j, "masked"),
                                        .readonly_paths = config_list(j, "readonlyPaths")};
    config_lists(j);
}

void agent_config(void)
{
    struct buf text = {0};
    const char *why = "";
    struct json *j;
    int err = file_read(AGENT_CONFIG, AGENT_CONFIG_MAX, &text), etc;

    if (err)
        agent_fail("cannot read %s: %s", AGENT_CONFIG, strerror(-err));
    j = json_parse(text.data, text.len, &why); /* lives as long as we do */
    if (!j)
        agent_fail("bad %s: %s", AGENT_CONFIG, why);
    config_spec(j);
    config_shared(j);
    agent.pids = json_int(j, "pids", 0);
    agent.memory = json_int(j, "memory", 0);
    agent.weight = json_int(j, "cpuWeight", 0);
    agent.cpu = agent_string(j, "cpuMax");
    if (!agent.spec.argv[0])
        agent_fail("bad %s: no args", AGENT_CONFIG);
    etc = open(AGENT_ETC, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err = etc < 0 ? -errno : etc_files_write(etc, &agent.shared, false);
    if (etc >= 0)
        close(etc);
    if (err)
        agent_fail("cannot write the files of /etc: %s", strerror(-err));
    buf_free(&text);
}

static void cgroup_limit(const char *file, int64_t value)
{
    char path[64], text[32];
    int err;

    if (value <= 0)
        return;
    snprintf(path, sizeof(path), AGENT_CGROUP "/%s", file);
    snprintf(text, sizeof(text), "%lld", (long long)value);
    err = file_put(path, text);
    if (err)
        agent_fail("cannot set %s to %s: %s", file, text, strerror(-err));
}

/* The application's control group, with the limits that are the guest's to keep. */
void agent_cgroup(void)
{
    int err = file_put("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids +cpu"), fd;

    if (err || mkdir(AGENT_CGROUP, 0755) < 0)
        agent_fail("cannot make a control group: %s", strerror(err ? -err : errno));
    cgroup_limit("pids.max", agent.pids);
    cgroup_limit("memory.max", agent.memory);
    cgroup_limit("cpu.weight", agent.weight);
    if (*agent.cpu && file_put(AGENT_CGROUP "/cpu.max", agent.cpu))
        agent_fail("cannot set cpu.max to %s", agent.cpu);
    if (agent.spec.privileged)
        return;
    fd = open(AGENT_CGROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err = fd < 0 ? -errno : devices_confine(fd, NULL, 0);
    if (err)
        agent_fail("cannot confine devices: %s", strerror(-err));
    close(fd);
}

/* Whether the guest killed some of the application for want of memory. */
bool agent_oom(void)
{
    struct buf b = {0};
    const char *at;
    bool oom = false;

    if (file_read(AGENT_CGROUP "/memory.events", 4096, &b) == 0) {
        at = strstr(b.data, "\noom_kill ");
        oom = at && at[10] != '0';
    }
    buf_free(&b);
    return oom;
}

/* The child: into its control group, then its root, then all that a container's process is. */
_Noreturn static void app_child(struct child *ch)
{
    char score[16];

    child_begin(ch, NULL, 0);
    snprintf(score, sizeof(score), "%d", agent.shared.oom_score_adj);
    if (file_put("/proc/self/oom_score_adj", score))
        child_fail(ch, "cannot set oom_score_adj to %s", score);
    if (file_put(AGENT_CGROUP "/cgroup.procs", "0") || unshare(CLONE_NEWCGROUP) < 0)
        child_fail(ch, "cannot enter the control group: %s", strerror(errno));
    child_names(ch);
    child_loopback(ch);
    child_mount(ch, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    agent_root(ch);
    mounts_standard(ch, AGENT_ETC);
    root_enter(ch, ".");
    child_run(ch);
}

/* What the child has to say until its program runs. */
static void agent_listen(int sync)
{
    char why[1024];
    int master;
    long n;

    while ((n = child_listen(sync, why, sizeof(why) - 1, &master, NULL)) > 0) {
        if (master < 0) {
            why[n] = 0;
            agent_fail("%s", why);
        }
        agent.master = master;
        agent_resize();
    }
    close(sync);
}

void agent_start(void)
{
    struct child ch = {.spec = &agent.spec,
                       .shared = &agent.shared,
                       .first = true,
                       .in = -1,
                       .out = -1,
                       .err = -1};
    unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
    int sync[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sync) < 0)
        agent_fail("socketpair: %s", strerror(errno));
    agent_pipes(&ch);
    ch.sync = sync[1];
    agent.app = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
    if (agent.app == 0)
        app_child(&ch);
    if (agent.app < 0)
        agent_fail("cannot clone: %s", strerror(errno));
    close(sync[1]);
    close(ch.in);
    close(ch.out);
    close(ch.err);
    agent_listen(sync[0]);
    agent_streams();
    agent_say("started");
}
