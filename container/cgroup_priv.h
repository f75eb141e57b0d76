/* SPDX-License-Identifier: MIT
 *
 * Shared between the files of the control-group tree.
 */
#pragma once

#include "container/cgroup.h"

extern struct mutex cgroup_tree_lock; /* the tree's shape, limits, and moves of processes */
/* The next group below top, parents before children; NULL at the end. Tree lock held. */
struct cgroup *cgroup_next_locked(struct cgroup *cg, struct cgroup *top) REQUIRES(cgroup_tree_lock);

/* No internal processes: a group that hands a domain controller down has no members. Under the
 * group's own lock, where members join too; or the tree's. */
static inline bool cgroup_is_inner(const struct cgroup *cg)
{
    return cg->parent && (cg->subtree_control & CG_MEMORY);
}
