/* SPDX-License-Identifier: MIT
 *
 * The files of a control group: what they show and what may be written to them (Linux
 * Documentation/admin-guide/cgroup-v2).
 */
#include "lib/format.h"
#include "lib/string.h"
#include "linux/cgroupfs.h"
#include "proc/proc.h"
#include "proc/up.h"

#define USEC(ns) ((ns) / 1000)

/* ------------------------------------------------------------- values */

/* "max" or a number; a trailing newline is allowed. */
int cg_parse(const char *text, u64 *out)
{
    char word[32];
    size_t len = strlen(text);

    while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
        len--;
    if (len == 0 || len >= sizeof(word))
        return -EINVAL;
    memcpy(word, text, len);
    word[len] = '\0';
    if (strcmp(word, "max") == 0) {
        *out = U64_MAX;
        return 0;
    }
    return parse_u64(word, 10, out);
}

/* Bytes, with the suffixes that memory files take. */
int cg_parse_bytes(char *text, u64 *pages)
{
    size_t len = strlen(text);
    unsigned shift = 0;
    u64 value;
    int err;

    while (len && text[len - 1] == '\n')
        text[--len] = '\0';
    if (len && strcmp(text, "max") != 0) {
        static const char units[] = "kmgt";
        const char *u = strchr(units, text[len - 1] | 0x20);

        if (u && *u) {
            shift = 10 * (unsigned)(u - units + 1);
            text[len - 1] = '\0';
        }
    }
    err = cg_parse(text, &value);
    if (err)
        return err;
    *pages = value > U64_MAX >> shift ? U64_MAX : (value << shift) / PAGE_SIZE;
    if (value == U64_MAX)
        *pages = U64_MAX;
    return 0;
}

void cg_show_limit(struct seq *out, u64 value, u64 unit)
{
    if (value >= (u64)S64_MAX / unit)
        seq_printf(out, "max\n");
    else
        seq_printf(out, "%lu\n", value * unit);
}

/* ------------------------------------------------------------- core files */

/* In Linux's order. */
static const struct {
    const char *name;
    u32 bit;
} cg_controllers[] = {
    {"cpuset", CG_CPUSET}, {"cpu", CG_CPU}, {"memory", CG_MEMORY}, {"pids", CG_PIDS}};

static int cg_show_controllers(struct seq *out, u32 bits)
{
    const char *space = "";

    for (unsigned i = 0; i < ARRAY_SIZE(cg_controllers); i++)
        if (bits & cg_controllers[i].bit) {
            seq_printf(out, "%s%s", space, cg_controllers[i].name);
            space = " ";
        }
    seq_printf(out, "\n");
    return 0;
}

static int cg_controllers_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct cgroup *cg = cg_of(node);

    return cg_show_controllers(out, cg->parent ? READ_ONCE(cg->parent->subtree_control) : CG_ALL);
}

static int cg_subtree_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    return cg_show_controllers(out, READ_ONCE(cg_of(node)->subtree_control));
}

static u32 cg_controller_bit(const char *name, size_t len)
{
    for (unsigned i = 0; i < ARRAY_SIZE(cg_controllers); i++)
        if (str_is(cg_controllers[i].name, name, len))
            return cg_controllers[i].bit;
    return 0;
}

/* "+memory -cpu": all or nothing. */
static ssize_t cg_subtree_store(struct pseudo_node *node, char *text, size_t n,
                                const struct cred *cred)
{
    u32 on = 0, off = 0;
    int err;

    for (char *p = text; *p;) {
        size_t len = 0;
        u32 bit;

        while (*p == ' ' || *p == '\n')
            p++;
        while (p[len] && p[len] != ' ' && p[len] != '\n')
            len++;
        if (len == 0)
            break;
        bit = cg_controller_bit(p + 1, len - 1);
        if (!bit || (*p != '+' && *p != '-'))
            return -EINVAL;
        if (*p == '+')
            on |= bit;
        else
            off |= bit;
        p += len;
    }
    err = cgroup_set_subtree_control(cg_of(node), on, off);
    return err ? err : (ssize_t)n;
}

static int cg_procs_one(struct cgroup_member *m, void *out)
{
    struct process *p = container_of(m, struct process, cgroup);
    struct pid *pid = READ_ONCE(p->pid);
    u32 nr = pid ? pid_nr(pid, current_pid_ns()) : 0;

    if (pid && p->state == PROCESS_LIVE) /* without: it is still being made */
        seq_printf(out, "%u\n", nr);
    return 0;
}

static int cg_procs_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    cgroup_for_each_member(cg_of(node), cg_procs_one, out);
    return 0;
}

static int cg_threads_one(struct task *t, void *out)
{
    if (!t->exiting)
        seq_printf(out, "%u\n", pid_nr(t->pid, current_pid_ns()));
    return 0;
}

static int cg_threads_of(struct cgroup_member *m, void *out)
{
    return process_for_each_task(container_of(m, struct process, cgroup), cg_threads_one, out);
}

static int cg_threads_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    cgroup_for_each_member(cg_of(node), cg_threads_of, out);
    return 0;
}

static int cg_stat_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct cgroup *cg = cg_of(node);

    seq_printf(out, "nr_descendants %lu\nnr_dying_descendants %lu\n", READ_ONCE(cg->nr_below),
               READ_ONCE(cg->nr_dying));
    return 0;
}

static int cg_max_depth_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    cg_show_limit(out, READ_ONCE(cg_of(node)->depth_max), 1);
    return 0;
}

static int cg_max_below_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    cg_show_limit(out, READ_ONCE(cg_of(node)->below_max), 1);
    return 0;
}

/* "max" or a number of groups. */
static ssize_t cg_max_store(char *text, size_t n, u64 *limit)
{
    u64 value;
    int err = cg_parse(text, &value);

    if (!err && value != U64_MAX && value > U32_MAX / 2)
        err = -ERANGE;
    if (err)
        return err;
    WRITE_ONCE(*limit, value);
    return (ssize_t)n;
}

static ssize_t cg_max_depth_store(struct pseudo_node *node, char *text, size_t n,
                                  const struct cred *cred)
{
    return cg_max_store(text, n, &cg_of(node)->depth_max);
}

static ssize_t cg_max_below_store(struct pseudo_node *node, char *text, size_t n,
                                  const struct cred *cred)
{
    return cg_max_store(text, n, &cg_of(node)->below_max);
}

static ssize_t cg_procs_store(struct pseudo_node *node, char *text, size_t n,
                              const struct cred *cred)
{
    struct process *p;
    u64 nr;
    int err = cg_parse(text, &nr);

    if (err || nr > PID_MAX)
        return -EINVAL;
    p = process_find(current_pid_ns(),
                     nr ? (u32)nr : pid_nr(current_process()->pid, current_pid_ns()));
    if (!p)
        return -ESRCH;
    err = process_move_to_cgroup(p, cg_of(node));
    process_put(p);
    return err ? err : (ssize_t)n;
}

static int cg_events_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct cgroup *cg = cg_of(node);

    seq_printf(out, "populated %d\nfrozen %d\n", cgroup_populated(cg), cgroup_is_frozen(cg));
    return 0;
}

static struct pseudo_changes *cg_changes(struct pseudo_node *node)
{
    return &cg_of(node)->changes;
}

static int cg_freeze_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "%d\n", READ_ONCE(cg_of(node)->frozen));
    return 0;
}

static ssize_t cg_freeze_store(struct pseudo_node *node, char *text, size_t n,
                               const struct cred *cred)
{
    u64 freeze;
    int err = cg_parse(text, &freeze);

    if (!err && freeze > 1)
        err = -ERANGE;
    if (!err)
        err = cgroup_freeze(cg_of(node), freeze);
    return err ? err : (ssize_t)n;
}

static int cg_type_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "domain\n");
    return 0;
}

static ssize_t cg_kill_store(struct pseudo_node *node, char *text, size_t n,
                             const struct cred *cred)
{
    u64 one;

    if (cg_parse(text, &one) || one != 1)
        return -ERANGE;
    cgroup_kill(cg_of(node));
    return (ssize_t)n;
}

/* ------------------------------------------------------------- cpu */

static int cpu_weight_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "%u\n", READ_ONCE(cg_of(node)->cpu_weight));
    return 0;
}

static ssize_t cpu_weight_store(struct pseudo_node *node, char *text, size_t n,
                                const struct cred *cred)
{
    u64 weight;
    int err = cg_parse(text, &weight);

    if (!err)
        err = cgroup_set_weight(cg_of(node), weight);
    return err == -EINVAL ? -ERANGE : err ? err : (ssize_t)n;
}

static int cpu_max_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct cgroup *cg = cg_of(node);

    if (cg->quota_us == U64_MAX)
        seq_printf(out, "max %lu\n", cg->period_us);
    else
        seq_printf(out, "%lu %lu\n", cg->quota_us, cg->period_us);
    return 0;
}

static ssize_t cpu_max_store(struct pseudo_node *node, char *text, size_t n,
                             const struct cred *cred)
{
    struct cgroup *cg = cg_of(node);
    char *space = strchr(text, ' ');
    u64 quota, period = cg->period_us;
    int err;

    if (space) {
        *space = '\0';
        err = cg_parse(space + 1, &period);
        if (err)
            return err;
    }
    err = cg_parse(text, &quota);
    if (!err)
        err = cgroup_set_quota(cg, quota, period);
    return err ? err : (ssize_t)n;
}

static int cpu_stat_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct sched_group_stat st;

    sched_group_stat(cg_of(node)->sched, &st);
    seq_printf(out, "usage_usec %lu\nuser_usec %lu\nsystem_usec %lu\n", USEC(st.usage_ns),
               USEC(st.user_ns), USEC(st.system_ns));
    seq_printf(out, "nr_periods %lu\nnr_throttled %lu\nthrottled_usec %lu\n", st.nr_periods,
               st.nr_throttled, USEC(st.throttled_ns));
    return 0;
}

/* ------------------------------------------------------------- pids */

static int pids_current_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "%lu\n", (u64)atomic_read(&cg_of(node)->pids.used));
    return 0;
}

static int pids_max_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    cg_show_limit(out, (u64)READ_ONCE(cg_of(node)->pids.limit), 1);
    return 0;
}

static ssize_t pids_max_store(struct pseudo_node *node, char *text, size_t n,
                              const struct cred *cred)
{
    u64 max;

    if (cg_parse(text, &max) || (max != U64_MAX && max > PID_MAX))
        return -EINVAL;
    WRITE_ONCE(cg_of(node)->pids.limit, max == U64_MAX ? S64_MAX : (s64)max);
    return (ssize_t)n;
}

static int pids_events_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "max %lu\n", READ_ONCE(cg_of(node)->events_pids_max));
    return 0;
}

/* ------------------------------------------------------------- the table */

#define CG_RO(file, ctl, nr, show_fn, ...)                        \
    {                                                             \
        file, 0444, ctl, nr,                                      \
        {                                                         \
            .show = show_fn, .destroy = cg_destroy, ##__VA_ARGS__ \
        }                                                         \
    }
#define CG_RW(file, ctl, nr, show_fn, store_fn)                       \
    {                                                                 \
        file, 0644, ctl, nr,                                          \
        {                                                             \
            .show = show_fn, .store = store_fn, .destroy = cg_destroy \
        }                                                             \
    }
#define CG_WO(file, ctl, nr, store_fn)               \
    {                                                \
        file, 0200, ctl, nr,                         \
        {                                            \
            .store = store_fn, .destroy = cg_destroy \
        }                                            \
    }

const struct cgroup_file cgroup_files[] = {
    CG_RO("cgroup.controllers", 0, false, cg_controllers_show),
    CG_RW("cgroup.subtree_control", 0, false, cg_subtree_show, cg_subtree_store),
    CG_RW("cgroup.procs", 0, false, cg_procs_show, cg_procs_store),
    CG_RO("cgroup.threads", 0, false, cg_threads_show),
    CG_RO("cgroup.stat", 0, false, cg_stat_show),
    CG_RW("cgroup.max.depth", 0, false, cg_max_depth_show, cg_max_depth_store),
    CG_RW("cgroup.max.descendants", 0, false, cg_max_below_show, cg_max_below_store),
    CG_RO("cgroup.events", 0, true, cg_events_show, .changes = cg_changes),
    CG_RO("cgroup.type", 0, true, cg_type_show),
    CG_RW("cgroup.freeze", 0, true, cg_freeze_show, cg_freeze_store),
    CG_WO("cgroup.kill", 0, true, cg_kill_store),
    CG_RO("memory.current", CG_MEMORY, true, cgroupfs_memory_current_show),
    CG_RO("memory.peak", CG_MEMORY, true, cgroupfs_memory_peak_show),
    CG_RW("memory.min", CG_MEMORY, true, cgroupfs_memory_min_show, cgroupfs_memory_min_store),
    CG_RW("memory.low", CG_MEMORY, true, cgroupfs_memory_low_show, cgroupfs_memory_low_store),
    CG_RW("memory.high", CG_MEMORY, true, cgroupfs_memory_high_show, cgroupfs_memory_high_store),
    CG_RW("memory.max", CG_MEMORY, true, cgroupfs_memory_max_show, cgroupfs_memory_max_store),
    CG_RO("memory.events", CG_MEMORY, true, cgroupfs_memory_events_show, .changes = cg_changes),
    CG_RO("memory.events.local", CG_MEMORY, true, cgroupfs_memory_events_local_show,
          .changes = cg_changes),
    CG_RO("memory.stat", CG_MEMORY, false, cgroupfs_memory_stat_show),
    CG_RW("memory.oom.group", CG_MEMORY, true, cgroupfs_memory_oom_group_show,
          cgroupfs_memory_oom_group_store),
    CG_RO("memory.swap.current", CG_MEMORY, true, cgroupfs_memory_swap_current_show),
    CG_RW("memory.swap.max", CG_MEMORY, true, cgroupfs_memory_swap_max_show,
          cgroupfs_memory_swap_max_store),
    CG_RW("cpu.weight", CG_CPU, true, cpu_weight_show, cpu_weight_store),
    CG_RW("cpu.max", CG_CPU, true, cpu_max_show, cpu_max_store),
    CG_RO("cpu.stat", 0, false, cpu_stat_show),
    CG_RW("cpuset.cpus", CG_CPUSET, true, cgroupfs_cpus_show, cgroupfs_cpus_store),
    CG_RO("cpuset.cpus.effective", CG_CPUSET, false, cgroupfs_cpus_effective_show),
    CG_RW("cpuset.mems", CG_CPUSET, true, cgroupfs_mems_show, cgroupfs_mems_store),
    CG_RO("cpuset.mems.effective", CG_CPUSET, false, cgroupfs_mems_effective_show),
    CG_RO("pids.current", CG_PIDS, true, pids_current_show),
    CG_RW("pids.max", CG_PIDS, true, pids_max_show, pids_max_store),
    CG_RO("pids.events", CG_PIDS, true, pids_events_show, .changes = cg_changes),
};
const unsigned cgroup_file_count = ARRAY_SIZE(cgroup_files);
