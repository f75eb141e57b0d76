/* SPDX-License-Identifier: MIT
 *
 * The memory controller's files. There is no swap: its limits are kept and never met.
 */
#include "linux/cgroupfs.h"
#include "proc/proc.h"

CGROUP_SHOW(cgroupfs_memory_current_show)
{
    seq_printf(out, "%lu\n", (u64)atomic_read(&cg_of(node)->memory.used) * PAGE_SIZE);
    return 0;
}

CGROUP_SHOW(cgroupfs_memory_peak_show)
{
    seq_printf(out, "%lu\n", (u64)atomic_read(&cg_of(node)->memory.peak) * PAGE_SIZE);
    return 0;
}

CGROUP_SHOW(cgroupfs_memory_max_show)
{
    cg_show_limit(out, (u64)READ_ONCE(cg_of(node)->memory.limit), PAGE_SIZE);
    return 0;
}

CGROUP_STORE(cgroupfs_memory_max_store)
{
    u64 pages;
    int err = cg_parse_bytes(text, &pages);

    if (!err)
        err = cgroup_set_memory_max(cg_of(node), pages);
    return err ? err : (ssize_t)n;
}

/* Marks: a number of pages of the group's account. */
static ssize_t memory_mark_store(char *text, size_t n, s64 *mark)
{
    u64 pages;
    int err = cg_parse_bytes(text, &pages);

    if (err)
        return err;
    WRITE_ONCE(*mark, pages > (u64)S64_MAX ? S64_MAX : (s64)pages);
    return (ssize_t)n;
}

CGROUP_SHOW(cgroupfs_memory_high_show)
{
    cg_show_limit(out, (u64)READ_ONCE(cg_of(node)->memory.high), PAGE_SIZE);
    return 0;
}

CGROUP_STORE(cgroupfs_memory_high_store)
{
    return memory_mark_store(text, n, &cg_of(node)->memory.high);
}

CGROUP_SHOW(cgroupfs_memory_low_show)
{
    cg_show_limit(out, (u64)READ_ONCE(cg_of(node)->memory.low), PAGE_SIZE);
    return 0;
}

CGROUP_STORE(cgroupfs_memory_low_store)
{
    return memory_mark_store(text, n, &cg_of(node)->memory.low);
}

CGROUP_SHOW(cgroupfs_memory_min_show)
{
    cg_show_limit(out, (u64)READ_ONCE(cg_of(node)->memory.min), PAGE_SIZE);
    return 0;
}

CGROUP_STORE(cgroupfs_memory_min_store)
{
    return memory_mark_store(text, n, &cg_of(node)->memory.min);
}

static void memory_events(struct seq *out, const u64 *events)
{
    static const char *const names[CGROUP_EVENTS] = {
        [CGROUP_EVENT_HIGH] = "high",
        [CGROUP_EVENT_MAX] = "max",
        [CGROUP_EVENT_OOM] = "oom",
        [CGROUP_EVENT_OOM_KILL] = "oom_kill",
        [CGROUP_EVENT_OOM_GROUP_KILL] = "oom_group_kill",
    };

    seq_printf(out, "low 0\n");
    for (unsigned i = 0; i < CGROUP_EVENTS; i++)
        seq_printf(out, "%s %lu\n", names[i], READ_ONCE(events[i]));
}

/* Of the group and all below it. */
CGROUP_SHOW(cgroupfs_memory_events_show)
{
    memory_events(out, cg_of(node)->events);
    return 0;
}

CGROUP_SHOW(cgroupfs_memory_events_local_show)
{
    memory_events(out, cg_of(node)->events_local);
    return 0;
}

/* Of the group and all below it. */
CGROUP_SHOW(cgroupfs_memory_stat_show)
{
    struct cgroup *cg = cg_of(node);
    s64 used = atomic_read(&cg->memory.used);
    s64 uses[ACCOUNT_USES];

    cgroup_memory_uses(cg, uses);
    s64 anon = MAX(used - uses[ACCOUNT_FILE] - uses[ACCOUNT_SHARED] - uses[ACCOUNT_KERNEL], 0L);
    const struct {
        const char *name;
        s64 pages;
    } rows[] = {
        {"anon", anon},
        {"file", uses[ACCOUNT_FILE] + uses[ACCOUNT_SHARED]},
        {"kernel", uses[ACCOUNT_KERNEL]},
        {"shmem", uses[ACCOUNT_SHARED]},
        {"file_dirty", MAX(atomic_read(&cg->memory.dirty), 0L)},
        {"file_writeback", MAX(atomic_read(&cg->memory.writing), 0L)},
        {"inactive_anon", 0},
        {"active_anon", anon + uses[ACCOUNT_SHARED]},
        {"inactive_file", uses[ACCOUNT_FILE]},
        {"active_file", 0},
        {"unevictable", 0},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        seq_printf(out, "%s %lu\n", rows[i].name, (u64)rows[i].pages * PAGE_SIZE);
    return 0;
}

CGROUP_SHOW(cgroupfs_memory_oom_group_show)
{
    seq_printf(out, "%d\n", READ_ONCE(cg_of(node)->oom_group));
    return 0;
}

CGROUP_STORE(cgroupfs_memory_oom_group_store)
{
    u64 on;

    if (cg_parse(text, &on) || on > 1)
        return -EINVAL;
    WRITE_ONCE(cg_of(node)->oom_group, on);
    return (ssize_t)n;
}

CGROUP_SHOW(cgroupfs_memory_swap_current_show)
{
    seq_printf(out, "0\n");
    return 0;
}

CGROUP_SHOW(cgroupfs_memory_swap_max_show)
{
    cg_show_limit(out, READ_ONCE(cg_of(node)->swap_max), PAGE_SIZE);
    return 0;
}

CGROUP_STORE(cgroupfs_memory_swap_max_store)
{
    u64 pages;
    int err = cg_parse_bytes(text, &pages);

    if (err)
        return err;
    WRITE_ONCE(cg_of(node)->swap_max, pages);
    return (ssize_t)n;
}
