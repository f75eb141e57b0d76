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
/* cgroupfs_cpuset.c */
CGROUP_SHOW(cgroupfs_cpus_show);
CGROUP_STORE(cgroupfs_cpus_store);
CGROUP_SHOW(cgroupfs_cpus_effective_show);
CGROUP_SHOW(cgroupfs_mems_show);
CGROUP_STORE(cgroupfs_mems_store);
CGROUP_SHOW(cgroupfs_mems_effective_show);
