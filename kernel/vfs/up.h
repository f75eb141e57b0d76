/* SPDX-License-Identifier: MIT
 *
 * What vfs asks of the layers above.
 */
#pragma once

#include "lib/types.h"

struct path;

/* kernel/proc: pivot_root(2) moves every root and working directory that is `from` to `to`. */
void up_move_roots(const struct path *from, const struct path *to);
/* A mount of the proc type shows the pid namespace that kernel/proc names at mount time. */
void *up_proc_mount_ns(void);
