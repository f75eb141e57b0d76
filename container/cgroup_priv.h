/* SPDX-License-Identifier: MIT
 *
 * Shared between the files of the control-group tree.
 */
#pragma once

#include "container/cgroup.h"

extern struct mutex cgroup_tree_lock; /* the tree's shape, limits, and who moves */
