/* SPDX-License-Identifier: MIT
 *
 * What vfs asks of others: of layers above, and of obj below, where obj's header would need vfs types.
 */
#pragma once

#include "lib/types.h"

struct file;
struct inode;
struct path;

/* kernel/obj: opens a FIFO's end: sets f->ops and f->priv; blocks for the peer as fifo(7) says. */
int up_open_fifo(struct file *f, struct inode *inode);
/* kernel/proc: pivot_root(2) moves every root and working directory that is `from` to `to`. */
void up_move_roots(const struct path *from, const struct path *to);
