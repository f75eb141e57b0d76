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
