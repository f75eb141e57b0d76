/* SPDX-License-Identifier: MIT
 *
 * Names in /dev of devices that come and go. What is fixed stands in a table (dev/chrdev.h); these
 * are listed while their device is there. devfs (kernel/fs/devfs) shows them: those that are listed
 * when it is first mounted, and from then on each soon after it comes or goes, by a worker, so that
 * no driver waits for a directory's lock.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

#define NODE_GID_DISK 6 /* as Debian numbers it */
#define NODE_CHAR 0020000
#define NODE_BLOCK 0060000

/* I immutable · n dev_node_lock */
struct dev_node {
    char name[32];            /* I  under /dev; may contain '/' */
    u32 mode;                 /* I  NODE_CHAR or NODE_BLOCK, and permissions */
    u32 gid;                  /* I */
    u32 major, minor;         /* I */
    u64 order;                /* I  of coming */
    bool gone;                /* n */
    struct list_node node;    /* n  all that are not gone */
    struct list_node changed; /* n  devfs is to be notified */
};

/* Lists a copy of *what, whose name no other has. NULL: no memory, there will be none in /dev.
 * Context: never sleeps. */
struct dev_node *dev_node_add(const struct dev_node *what) __must_check;
/* n, which may be NULL, is freed in time. Context: never sleeps. */
void dev_node_remove(struct dev_node *n);
/* Those that are listed. fn has a copy, and may sleep. */
void dev_node_for_each(void (*fn)(const struct dev_node *n, void *arg), void *arg);
