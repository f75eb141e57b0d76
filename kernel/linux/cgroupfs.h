/* SPDX-License-Identifier: MIT
 *
 * Shared between the directories and the files of cgroup v2. A node's priv is a reference to its
 * group.
 */
#pragma once

#include "container/cgroup.h"
#include "vfs/pseudo.h"

struct cgroup_file {
    const char *name;
    u32 mode;
    u32 controller; /* 0: core */
    bool not_root;
    struct pseudo_ops ops;
};
extern const struct cgroup_file cgroup_files[];
extern const unsigned cgroup_file_count;

static inline struct cgroup *cg_of(struct pseudo_node *node)
{
    return node->priv;
}

void cg_destroy(struct pseudo_node *node); /* a node's destroy */

#define CGROUP_SHOW(fn) int fn(struct pseudo_node *node, struct seq *out, const struct cred *cred)
#define CGROUP_STORE(fn) \
    ssize_t fn(struct pseudo_node *node, char *text, size_t n, const struct cred *cred)
/* cgroupfs_files.c: "max" (U64_MAX) or a number; bytes, with a suffix, as pages. -EINVAL, -ERANGE.
 */
int cg_parse(const char *text, u64 *out) __must_check;
int cg_parse_bytes(char *text, u64 *pages) __must_check;
void cg_show_limit(struct seq *out, u64 value, u64 unit);
/* cgroupfs_memory.c */
CGROUP_SHOW(cgroupfs_memory_current_show);
CGROUP_SHOW(cgroupfs_memory_peak_show);
CGROUP_SHOW(cgroupfs_memory_min_show);
CGROUP_STORE(cgroupfs_memory_min_store);
CGROUP_SHOW(cgroupfs_memory_low_show);
CGROUP_STORE(cgroupfs_memory_low_store);
CGROUP_SHOW(cgroupfs_memory_high_show);
CGROUP_STORE(cgroupfs_memory_high_store);
CGROUP_SHOW(cgroupfs_memory_max_show);
CGROUP_STORE(cgroupfs_memory_max_store);
CGROUP_SHOW(cgroupfs_memory_events_show);
CGROUP_SHOW(cgroupfs_memory_events_local_show);
CGROUP_SHOW(cgroupfs_memory_stat_show);
CGROUP_SHOW(cgroupfs_memory_oom_group_show);
CGROUP_STORE(cgroupfs_memory_oom_group_store);
CGROUP_SHOW(cgroupfs_memory_swap_current_show);
CGROUP_SHOW(cgroupfs_memory_swap_max_show);
CGROUP_STORE(cgroupfs_memory_swap_max_store);
/* cgroupfs_cpuset.c */
/* "0-2,5": a bit each. Empty: 0. -EINVAL: no list, or a processor that is not there. */
int cpuset_parse(const char *s, u64 *mask);
CGROUP_SHOW(cgroupfs_cpus_show);
CGROUP_STORE(cgroupfs_cpus_store);
CGROUP_SHOW(cgroupfs_cpus_effective_show);
CGROUP_SHOW(cgroupfs_mems_show);
CGROUP_STORE(cgroupfs_mems_store);
CGROUP_SHOW(cgroupfs_mems_effective_show);
