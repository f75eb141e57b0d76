/* SPDX-License-Identifier: MIT
 *
 * Shared between the pseudo-file tree and the file system over it.
 */
#pragma once

#include "sched/mutex.h"
#include "vfs/pseudo.h"

extern struct mutex pseudo_lock; /* the tree's shape */
/* A reference to the child in that mount, fixed or computed; NULL if there is none, or ERR_PTR. */
struct pseudo_node *pseudo_find(const struct super *s, struct pseudo_node *dir, const char *name,
                                size_t len);

/* The inode is that of a node. */
bool pseudo_is(const struct inode *i);

/* pseudo_changes.c: inotify is notified of the file's changes; until the inode ends. */
int pseudo_watch(struct inode *i);
void pseudo_unwatch(struct inode *i);
