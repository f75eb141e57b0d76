/* SPDX-License-Identifier: MIT
 *
 * Shared between the files that keep mount trees.
 */
#pragma once

#include "vfs/vfs_priv.h"

#define MS_RDONLY 1
#define MS_SYNCHRONOUS 16
#define MS_DIRSYNC 128
#define MS_LAZYTIME (1 << 25)
/* Of a file system, and told of it; on what is in memory they change nothing. */
#define MS_PER_SUPER (MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME)
#define MS_RELATIME (1 << 21)
/* RDONLY NOSUID NODEV NOEXEC NOATIME NODIRATIME NOSYMFOLLOW RELATIME STRICTATIME: of the mount */
#define MS_PER_MOUNT (1 | 2 | 4 | 8 | 256 | 1024 | 2048 | MS_RELATIME | (1 << 24))

struct mount_ns {
    refcount_t ref;
    struct mount *root; /* changes with mount_trees and mount_lock; a reference */
    struct user_ns *user_ns;
    u64 inum;
    u64 count;            /* mount_lock */
    u64 changes;          /* a  how often */
    struct waitq changed; /* poll of /proc/mounts */
};

/* A mount waiting to be cloned: gathered under the lock, cloned outside. The first is the top. */
struct mount_copy {
    struct mount *old, *new; /* new NULL: not copied */
    u64 up;                  /* which one of the list the old one stood on */
    struct dentry *point;    /* where; a reference */
    bool placed;             /* new hangs on its parent's copy, which has a reference of its own */
};

/* A loose mount with one reference; consumes one of super, on failure too. NULL: no memory. */
struct mount *mount_alloc(struct super *super, struct dentry *root, const char *source, u32 flags);
/* Over walks of whole trees and over changes of their shape. Only mount_lock and slabs under it. */
extern struct mutex mount_trees;

/* Around changes of shape that look-ups see together: mount_lock, and those without it look again.
 */
void mount_change_begin(void) REQUIRES(mount_trees)
ACQUIRES(mount_lock);
void mount_change_end(void) RELEASES(mount_lock);
/* attach: the tree takes a reference of m, and m one of its place; detach hands the place's back
 * in *place, and leaves the tree's of m to the caller. */
void mount_attach_locked(struct mount *m, struct mount *parent, struct dentry *point)
    REQUIRES(mount_trees)
REQUIRES(mount_lock);
void mount_detach_locked(struct mount *m, struct path *place) REQUIRES(mount_trees)
REQUIRES(mount_lock);
/* The next mount of the tree under top, parents first. Yields: not under mount_lock. */
struct mount *mount_next_locked(struct mount *m, struct mount *top) REQUIRES(mount_trees);
/* top and all that is on it. */
u64 mount_count_locked(struct mount *top) REQUIRES(mount_trees);
void mount_set_ns_locked(struct mount *top, struct mount_ns *ns) REQUIRES(mount_trees);
void mount_ns_changed(struct mount_ns *ns);
/* Takes a whole tree apart, leaves first, and drops it with the caller's reference. top is already
 * off its parent, or a root. */
void mount_dissolve(struct mount *top);

/* Copies the tree under top (or, not deep, top alone) with `root` as its root. The list of pairs
 * serves the caller to translate paths; both are freed by mount_copies_free, also after an error.
 * Context: may sleep. */
int mount_copy_tree(struct mount *top, struct dentry *root, bool deep, struct mount_copy **out,
                    u64 *count);
/* Hangs the copies together as the originals were when they were gathered. */
void mount_copies_link(struct mount_copy *list, u64 n);
/* Drops the list's references; the first copy's goes to the caller unless `all`. The copies are in
 * their namespace by now, or never will be: names that went meanwhile take theirs along. */
void mount_copies_free(struct mount_copy *list, u64 n, bool all);

struct mount_ns *mount_ns_alloc(struct user_ns *user_ns);
