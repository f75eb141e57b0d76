/* SPDX-License-Identifier: MIT
 *
 * Root, working directory and umask: what CLONE_FS shares. Every holder is on a list, so that
 * pivot_root can move them (up_move_roots).
 */
#pragma once

#include "lib/list.h"
#include "sync/refcount.h"
#include "sync/spinlock.h"
#include "vfs/vfs.h"

struct fs_context {
    refcount_t ref;
    struct spinlock lock;
    struct path root, cwd; /* lock; references */
    u32 umask;             /* a */
    struct list_node all;  /* the list's lock */
};

struct fs_context *fs_context_create(const struct path *root, const struct path *cwd,
                                     u32 umask) __must_check;
struct fs_context *fs_context_copy(struct fs_context *from) __must_check;
void fs_context_get(struct fs_context *fs);
void fs_context_put(struct fs_context *fs);
/* References to both. */
void fs_context_paths(struct fs_context *fs, struct path *root, struct path *cwd);
void fs_set_cwd(struct fs_context *fs, const struct path *p);  /* borrows */
void fs_set_root(struct fs_context *fs, const struct path *p); /* borrows */

/* Current's eyes for a walk: begin takes references to root and cwd, end gives them back.
 * Credentials and mount namespace are borrowed: only current changes them. */
struct walk_hold {
    struct walk_ctx ctx;
};
void walk_begin(struct walk_hold *h);
void walk_end(struct walk_hold *h);
