/* SPDX-License-Identifier: MIT
 *
 * The cpuset controller: on which processors a group's threads may run. There is one memory node.
 */
#include "arch/x86/percpu.h"
#include "lib/format.h"
#include "linux/cgroupfs.h"
#include "proc/procfs.h"

static const char *cpuset_number(const char *s, u64 *out)
{
    return parse_u64_prefix(s, 10, out, &s) || *out >= cpu_count() ? NULL : s;
}

int cpuset_parse(const char *s, u64 *mask)
{
    u64 first, last;

    *mask = 0;
    while (*s && *s != '\n') {
        s = cpuset_number(s, &first);
        last = first;
        if (s && *s == '-')
            s = cpuset_number(s + 1, &last);
        if (!s || last < first || (*s && *s != ',' && *s != '\n'))
            return -EINVAL;
        for (u64 cpu = first; cpu <= last; cpu++)
            *mask |= 1ULL << cpu;
        s += *s == ',';
    }
    return 0;
}

CGROUP_SHOW(cgroupfs_cpus_show)
{
    procfs_cpulist(out, READ_ONCE(cg_of(node)->cpus));
    return 0;
}

CGROUP_STORE(cgroupfs_cpus_store)
{
    u64 mask;
    int err = cpuset_parse(text, &mask);

    if (!err)
        err = cgroup_set_cpus(cg_of(node), mask);
    return err ? err : (ssize_t)n;
}

CGROUP_SHOW(cgroupfs_cpus_effective_show)
{
    procfs_cpulist(out, READ_ONCE(cg_of(node)->cpus_effective));
    return 0;
}

CGROUP_SHOW(cgroupfs_mems_show)
{
    seq_printf(out, READ_ONCE(cg_of(node)->mems) ? "0\n" : "\n");
    return 0;
}

CGROUP_STORE(cgroupfs_mems_store)
{
    u64 mask;

    if (cpuset_parse(text, &mask) || mask > 1)
        return -EINVAL;
    WRITE_ONCE(cg_of(node)->mems, mask);
    return (ssize_t)n;
}

CGROUP_SHOW(cgroupfs_mems_effective_show)
{
    seq_printf(out, "0\n");
    return 0;
}
