/* SPDX-License-Identifier: MIT
 *
 * The text files of /proc/<pid>, in the formats of proc(5).
 */
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/procfs.h"
#include "proc/up.h"

#define TICK 10000000UL /* ns per clock tick */

/* One letter as ps shows it. */
static char task_state(struct task *t)
{
    struct process *p = t->process;

    if (p->state != PROCESS_LIVE)
        return 'Z';
    if (t->exiting)
        return 'X';
    if (task_is_stopped(t))
        return 'T';
    switch (t->thread->state) {
    case THREAD_SLEEPING:
        return t->thread->sleep_kind == SLEEP_INTERRUPTIBLE ? 'S' : 'D';
    case THREAD_DEAD:
        return 'Z';
    default:
        return 'R';
    }
}

static const char *task_state_name(char c)
{
    switch (c) {
    case 'R':
        return "running";
    case 'S':
        return "sleeping";
    case 'D':
        return "disk sleep";
    case 'T':
        return "stopped";
    case 'Z':
        return "zombie";
    default:
        return "dead";
    }
}

/* Numbers of the tree around p, in the mount's namespace. */
struct pid_family {
    u32 ppid, pgrp, session;
    s32 tty_nr, tpgid;
};

static struct pid_family pid_family(struct process *p, const struct pid_ns *ns)
{
    struct pid_family f = {.tpgid = -1};
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    f.ppid = p->parent ? pid_nr(p->parent->pid, ns) : 0;
    f.pgrp = p->pgrp ? pid_nr(p->pgrp, ns) : 0;
    f.session = p->session ? pid_nr(p->session, ns) : 0;
    if (p->tty)
        f.tty_nr = (s32)up_tty_number(p->tty, &f.tpgid);
    spin_unlock_irqrestore(&proc_lock, flags);
    return f;
}

/* The addresses of stat, which tell where things were put: for a reader that may look into the
 * process; for others, only that there are any. */
struct stat_addresses {
    u64 code[2], stack, data[2], brk, arg[2], env[2];
};

static struct stat_addresses stat_addresses(struct process *p, const struct aspace *as)
{
    if (!as)
        return (struct stat_addresses){0};
    if (!process_may_inspect(p))
        return (struct stat_addresses){.code = {1, 1}};
    return (struct stat_addresses){
        .code = {as->code_start, as->code_end},
        .stack = as->stack_start,
        .data = {as->data_start, as->data_end},
        .brk = as->brk_start,
        .arg = {as->arg_start, as->arg_end},
        .env = {as->env_start, as->env_end},
    };
}

static int stat_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct pid_node *pn = node->priv;
    struct task *t = pn->task;
    struct process *p = t->process;
    struct pid_family fam = pid_family(p, pn->ns);
    struct process_times times = {0};
    struct aspace *as = process_aspace(p);
    struct stat_addresses at = stat_addresses(p, as);

    if (pn->number == PID_NODE_THREAD)
        sched_thread_times(t->thread, &times.utime, &times.stime);
    else
        process_times_get(p, &times);
    seq_printf(out, "%u (%s) %c %u %u %u %d %d 0 %lu %lu %lu %lu %lu %lu %ld %ld %d %d %u 0 %lu ",
               pid_nr(t->pid, pn->ns), t->thread->name, task_state(t), fam.ppid, fam.pgrp,
               fam.session, fam.tty_nr, fam.tpgid, times.min_faults, p->child_times.min_faults,
               times.maj_faults, p->child_times.maj_faults, times.utime / TICK, times.stime / TICK,
               p->child_times.utime / TICK, p->child_times.stime / TICK, 20 + t->thread->nice,
               t->thread->nice, p->nr_tasks, t->start_time / TICK);
    seq_printf(out, "%lu %lu %lu %lu %lu %lu 0 0 %lu %lu 0 0 0 0 0 %d %u 0 0 0 0 0 ",
               as ? as->total_pages << PAGE_SHIFT : 0, as ? as->rss_anon + as->rss_file : 0,
               p->rlimits[RLIMIT_RSS].cur, at.code[0], at.code[1], at.stack, t->pending.set,
               t->blocked, p->exit_signal, t->thread->cpu);
    seq_printf(out, "%lu %lu %lu %lu %lu %lu %lu %d\n", at.data[0], at.data[1], at.brk, at.arg[0],
               at.arg[1], at.env[0], at.env[1], p->state == PROCESS_LIVE ? 0 : p->exit_status);
    if (as)
        aspace_put(as);
    return 0;
}

static void status_signals(struct seq *out, struct task *t)
{
    struct process *p = t->process;
    sigset_t ignored = 0, caught = 0;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags); /* exec replaces a shared table */
    for (int i = 0; i < NSIG; i++) {
        u64 h = READ_ONCE(p->actions[i].handler);
        if (h == SIG_IGN)
            ignored |= 1ULL << i;
        else if (h != SIG_DFL)
            caught |= 1ULL << i;
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    seq_printf(out,
               "SigQ:\t%d/%lu\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\n"
               "SigCgt:\t%016lx\n",
               atomic_read(&p->sigqueue_count), p->rlimits[RLIMIT_SIGPENDING].cur, t->pending.set,
               p->pending.set, t->blocked, ignored, caught);
}

static void status_ids(struct seq *out, const struct cred *c)
{
    const struct user_ns *ns = current_cred()->user_ns;

    seq_printf(out, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", user_ns_uid(ns, c->uid),
               user_ns_uid(ns, c->euid), user_ns_uid(ns, c->suid), user_ns_uid(ns, c->fsuid),
               user_ns_gid(ns, c->gid), user_ns_gid(ns, c->egid), user_ns_gid(ns, c->sgid),
               user_ns_gid(ns, c->fsgid));
}

static void status_memory(struct seq *out, struct aspace *as)
{
    u64 rss = as->rss_anon + as->rss_file;

    seq_printf(out,
               "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t%8lu kB\nVmPin:\t       0 kB\n"
               "VmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\nRssAnon:\t%8lu kB\nRssFile:\t%8lu kB\n"
               "RssShmem:\t       0 kB\nVmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmExe:\t%8lu kB\n"
               "VmLib:\t       0 kB\nVmPTE:\t%8lu kB\nVmSwap:\t       0 kB\n",
               as->total_pages * 4, as->total_pages * 4, as->locked_pages * 4,
               aspace_rss_peak(as) * 4, rss * 4, as->rss_anon * 4, as->rss_file * 4,
               as->data_pages * 4, 132UL, (as->code_end - as->code_start) / 1024,
               as->pt.tables * 4);
}

static int status_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct pid_node *pn = node->priv;
    struct task *t = pn->task;
    struct process *p = t->process;
    const struct cred *c = task_cred(t);
    struct pid_family fam = pid_family(p, pn->ns);
    struct aspace *as = process_aspace(p);
    struct fs_context *fs = task_fs(t);
    char st = task_state(t);

    seq_printf(out, "Name:\t%s\n", t->thread->name);
    if (fs)
        seq_printf(out, "Umask:\t%04o\n", fs->umask);
    seq_printf(out, "State:\t%c (%s)\nTgid:\t%u\nNgid:\t0\nPid:\t%u\nPPid:\t%u\nTracerPid:\t0\n",
               st, task_state_name(st), pid_nr(p->pid, pn->ns), pid_nr(t->pid, pn->ns), fam.ppid);
    status_ids(out, c);
    seq_printf(out, "FDSize:\t64\nGroups:\t");
    for (u32 i = 0; i < c->nr_groups; i++, cond_yield())
        seq_printf(out, "%u ", user_ns_gid(current_cred()->user_ns, c->groups[i]));
    seq_printf(out, "\nNStgid:");
    for (unsigned i = pn->ns->level; i <= p->pid->level; i++)
        seq_printf(out, "\t%u", p->pid->numbers[i].nr);
    seq_printf(out, "\nNSpid:");
    for (unsigned i = pn->ns->level; i <= t->pid->level; i++)
        seq_printf(out, "\t%u", t->pid->numbers[i].nr);
    seq_printf(out, "\nNSpgid:\t%u\nNSsid:\t%u\n", fam.pgrp, fam.session);
    if (as)
        status_memory(out, as);
    seq_printf(out, "Threads:\t%u\n", p->nr_tasks);
    status_signals(out, t);
    seq_printf(
        out,
        "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\n"
        "NoNewPrivs:\t%d\nSeccomp:\t%d\n",
        c->cap_inheritable, c->cap_permitted, c->cap_effective, c->cap_bounding, c->cap_ambient,
        t->no_new_privs,
        t->entry_work & ENTRY_STRICT ? 1
        : t->seccomp                 ? 2
                                     : 0);
    seq_printf(out, "Cpus_allowed:\t");
    procfs_cpumask(out, t->thread->allowed);
    seq_printf(out, "Cpus_allowed_list:\t");
    procfs_cpulist(out, t->thread->allowed);
    seq_printf(out,
               "Mems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t%lu\n"
               "nonvoluntary_ctxt_switches:\t%lu\n",
               t->thread->nvcsw, t->thread->nivcsw);
    if (fs)
        fs_context_put(fs);
    if (as)
        aspace_put(as);
    cred_put(c);
    return 0;
}

static int statm_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct aspace *as = process_aspace(pid_node_task(node)->process);

    if (!as) {
        seq_printf(out, "0 0 0 0 0 0 0\n");
        return 0;
    }
    seq_printf(out, "%lu %lu %lu %lu 0 %lu 0\n", as->total_pages, as->rss_anon + as->rss_file,
               as->rss_file, (as->code_end - as->code_start) >> PAGE_SHIFT, as->data_pages);
    aspace_put(as);
    return 0;
}

/* [at, end) of a process's memory, at most 1 MiB; `text`: no further than past the first NUL. */
static int memory_show(struct aspace *as, u64 at, u64 end, bool text, struct seq *out)
{
    char *page = page_alloc_virt(0, 0);

    if (!page)
        return -ENOMEM;
    end = MIN(end, at + (1UL << 20));
    while (at < end) {
        ssize_t n = aspace_read(as, at, page, MIN(end - at, PAGE_SIZE), true);
        char *nul = text && n > 0 ? memchr(page, '\0', (size_t)n) : NULL;

        if (n <= 0)
            break;
        seq_write(out, page, nul ? (size_t)(nul + 1 - page) : (size_t)n);
        if (nul)
            break;
        at += (u64)n;
    }
    page_free_virt(page, 0);
    return 0;
}

/* A program shows a title of its own by writing over its arguments: one that runs on into the
 * environment is read as one string. */
static int cmdline_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct aspace *as = process_aspace(pid_node_task(node)->process);
    char last = 0;
    int err;

    if (!as)
        return 0;
    if (as->env_start == as->arg_end && as->arg_start < as->arg_end &&
        aspace_read(as, as->arg_end - 1, &last, 1, true) == 1 && last)
        err = memory_show(as, as->arg_start, as->arg_start + PAGE_SIZE, true, out);
    else
        err = memory_show(as, as->arg_start, as->arg_end, false, out);
    aspace_put(as);
    return err;
}

static int environ_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct aspace *as = process_inspect_aspace_as(pid_node_task(node)->process, cred);
    int err = 0;

    if (IS_ERR(as))
        return -EACCES;
    if (as) {
        err = memory_show(as, as->env_start, as->env_end, false, out);
        aspace_put(as);
    }
    return err;
}

static int auxv_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct aspace *as = process_inspect_aspace_as(pid_node_task(node)->process, cred);

    if (!as || IS_ERR(as))
        return 0;
    seq_write(out, as->auxv, sizeof(as->auxv));
    aspace_put(as);
    return 0;
}

static int comm_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "%s\n", pid_node_task(node)->thread->name);
    return 0;
}

static ssize_t comm_store(struct pseudo_node *node, char *text, size_t n, const struct cred *cred)
{
    struct task *t = pid_node_task(node);

    if (t->process != current_process())
        return -EINVAL;
    strlcpy(t->thread->name, text, sizeof(t->thread->name));
    char *nl = strchr(t->thread->name, '\n');
    if (nl)
        *nl = 0;
    return (ssize_t)n;
}

static int cgroup_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct process *p = pid_node_task(node)->process;
    char *path = kmalloc(PATH_MAX);

    if (!path)
        return -ENOMEM;
    if (p->state == PROCESS_REAPED || !p->cgroup.group) {
        kfree(path);
        return 0;
    }
    struct cgroup *cg = cgroup_of(&p->cgroup);
    int err = cgroup_path(cg, current_task()->ns->cgroup->root, path, PATH_MAX);
    cgroup_put(cg);
    if (!err)
        seq_printf(out, "0::%s\n", path);
    kfree(path);
    return err;
}

static int limits_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    static const struct {
        const char *name, *unit;
    } rows[RLIM_NLIMITS] = {{"Max cpu time", "seconds"},     {"Max file size", "bytes"},
                            {"Max data size", "bytes"},      {"Max stack size", "bytes"},
                            {"Max core file size", "bytes"}, {"Max resident set", "bytes"},
                            {"Max processes", "processes"},  {"Max open files", "files"},
                            {"Max locked memory", "bytes"},  {"Max address space", "bytes"},
                            {"Max file locks", "locks"},     {"Max pending signals", "signals"},
                            {"Max msgqueue size", "bytes"},  {"Max nice priority", ""},
                            {"Max realtime priority", ""},   {"Max realtime timeout", "us"}};
    struct process *p = pid_node_task(node)->process;
    char text[2][24];

    seq_printf(out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (unsigned i = 0; i < RLIM_NLIMITS; i++) {
        u64 v[2] = {p->rlimits[i].cur, p->rlimits[i].max};
        for (int k = 0; k < 2; k++) {
            if (v[k] == RLIM_INFINITY)
                strlcpy(text[k], "unlimited", sizeof(text[k]));
            else
                snprintf(text[k], sizeof(text[k]), "%lu", v[k]);
        }
        seq_printf(out, "%-25s %-20s %-20s %-10s\n", rows[i].name, text[0], text[1], rows[i].unit);
    }
    return 0;
}

static int oom_adj_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "%d\n", pid_node_task(node)->process->oom_score_adj);
    return 0;
}

int procfs_set_oom_adj(struct process *p, s64 value, const struct cred *opener)
{
    bool privileged = cred_capable(opener, &user_ns_init, CAP_SYS_RESOURCE);

    if (value < -1000 || value > 1000)
        return -EINVAL;
    if (value < p->oom_score_adj_min && !privileged)
        return -EACCES;
    p->oom_score_adj = (s16)value;
    if (privileged)
        p->oom_score_adj_min = (s16)value;
    return 0;
}

static ssize_t oom_adj_store(struct pseudo_node *node, char *text, size_t n,
                             const struct cred *cred)
{
    s64 v;
    int err = parse_s64(text, 10, &v) ? -EINVAL : 0;

    if (!err)
        err = procfs_set_oom_adj(pid_node_task(node)->process, v, cred);
    return err ? err : (ssize_t)n;
}

static int oom_score_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct process *p = pid_node_task(node)->process;

    seq_printf(out, "%d\n", MAX(0, 666 + p->oom_score_adj * 2 / 3));
    return 0;
}

static int wchan_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "0");
    return 0;
}

#define FILE_POLL(name_, mode_, fn, poll_fn)                                                  \
    {                                                                                         \
        name_, mode_,                                                                         \
        {                                                                                     \
            .show = fn, .poll = poll_fn, .owner = pid_node_owner, .destroy = pid_node_destroy \
        }                                                                                     \
    }
#define FILE_RO(name_, mode_, fn)                                            \
    {                                                                        \
        name_, mode_,                                                        \
        {                                                                    \
            .show = fn, .owner = pid_node_owner, .destroy = pid_node_destroy \
        }                                                                    \
    }
#define FILE_PARTS(name_, mode_, fn)                                              \
    {                                                                             \
        name_, mode_,                                                             \
        {                                                                         \
            .show_part = fn, .owner = pid_node_owner, .destroy = pid_node_destroy \
        }                                                                         \
    }
#define FILE_RW(name_, mode_, fn, fs)                                                     \
    {                                                                                     \
        name_, mode_,                                                                     \
        {                                                                                 \
            .show = fn, .store = fs, .owner = pid_node_owner, .destroy = pid_node_destroy \
        }                                                                                 \
    }
#define FILE_OPS(name_, mode_, ops_)                                           \
    {                                                                          \
        name_, mode_,                                                          \
        {                                                                      \
            .fops = ops_, .owner = pid_node_owner, .destroy = pid_node_destroy \
        }                                                                      \
    }
const struct pid_file pid_files[] = {
    FILE_RO("auxv", 0400, auxv_show),
    FILE_RO("cgroup", 0444, cgroup_show),
    FILE_RO("cmdline", 0444, cmdline_show),
    FILE_RW("comm", 0644, comm_show, comm_store),
    FILE_RO("environ", 0400, environ_show),
    FILE_RW("gid_map", 0644, procfs_gid_map_show, procfs_gid_map_store),
    FILE_RO("io", 0400, procfs_io_show),
    FILE_RO("limits", 0444, limits_show),
    FILE_RW("loginuid", 0644, procfs_loginuid_show, procfs_loginuid_store),
    FILE_PARTS("maps", 0444, procfs_maps_show),
    FILE_OPS("mem", 0600, &procfs_mem_fops),
    FILE_POLL("mountinfo", 0444, procfs_mountinfo_show, procfs_mounts_poll),
    FILE_POLL("mounts", 0444, procfs_mounts_show, procfs_mounts_poll),
    FILE_RW("oom_adj", 0644, procfs_oom_adj_old_show, procfs_oom_adj_old_store),
    FILE_RO("oom_score", 0444, oom_score_show),
    FILE_RW("oom_score_adj", 0644, oom_adj_show, oom_adj_store),
    FILE_OPS("pagemap", 0400, &procfs_pagemap_fops),
    FILE_RO("personality", 0400, procfs_personality_show),
    FILE_RO("sched", 0644, procfs_schedule_show),
    FILE_RO("sessionid", 0444, procfs_sessionid_show),
    FILE_RW("setgroups", 0644, procfs_setgroups_show, procfs_setgroups_store),
    FILE_PARTS("smaps", 0444, procfs_smaps_show),
    FILE_RO("smaps_rollup", 0444, procfs_smaps_rollup_show),
    FILE_RO("stat", 0444, stat_show),
    FILE_RO("statm", 0444, statm_show),
    FILE_RO("status", 0444, status_show),
    FILE_RW("timens_offsets", 0644, procfs_timens_show, procfs_timens_store),
    FILE_RW("uid_map", 0644, procfs_uid_map_show, procfs_uid_map_store),
    FILE_RO("wchan", 0444, wchan_show),
};
const unsigned pid_file_count = ARRAY_SIZE(pid_files);
