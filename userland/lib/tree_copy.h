// SPDX-License-Identifier: MIT
// Copies of trees, with owners, modes, times, attributes, devices and hard links.
#pragma once

/* Makes the directory `to`, unless there is something in it, a copy of the one behind `from`, which
 * may be O_PATH. No link is followed. 0 or -errno: -ENAMETOOLONG for a tree that is too deep. */
int tree_fill(int from, const char *to);
