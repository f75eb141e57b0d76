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

struct fs_paths {
    struct path root, cwd;
};

struct fs_context {
    refcount_t users; /* tasks; together they hold one of ref */
    refcount_t ref;
    u32 execs; /* lock  users that start a program: none may join */
    struct spinlock lock;
    struct path root, cwd; /* lock; references */
    struct fs_paths left;  /* lock; references  of a lent path that was moved: what it was */
    bool lent;             /* lock  the only user walks from root and cwd */
    u32 umask;             /* a */
    struct list_node all;  /* the list's lock */
};

struct fs_context *fs_context_create(const struct path *root, const struct path *cwd,
                                     u32 umask) __must_check;
struct fs_context *fs_context_copy(struct fs_context *from) __must_check;
/* Users. join: false while one of them executes (-EAGAIN of clone). */
bool fs_context_join(struct fs_context *fs) __must_check;
void fs_context_leave(struct fs_context *fs);
/* For a caller that takes it off a task, under that task's siglock. True: it was the last user, and
 * the users' reference is the caller's to put. */
bool fs_context_leave_locked(struct fs_context *fs) __must_check;
static inline bool fs_context_is_own(const struct fs_context *fs)
{
    return __atomic_load_n(&fs->users.v, __ATOMIC_ACQUIRE) == 1;
}
/* A copy of current's if it shares that with others, else *own is NULL. 0, -ENOMEM. */
int fs_context_copy_shared(struct fs_context **own) __must_check;
void fs_context_change(struct fs_context *own); /* becomes current's; consumed */
/* Around current's exec: none joins meanwhile. */
void fs_context_exec_begin(struct fs_context *fs);
void fs_context_exec_end(struct fs_context *fs);
/* References of those who inspect. */
void fs_context_get(struct fs_context *fs);
void fs_context_put(struct fs_context *fs);
/* References to both. */
void fs_context_paths(struct fs_context *fs, struct path *root, struct path *cwd);
void fs_paths_put(struct fs_paths *p);
/* The paths become *to, each where it still is as in *from: pivot_root may have moved it. Borrows.
 */
void fs_context_move(struct fs_context *fs, const struct fs_paths *from, const struct fs_paths *to);
void fs_set_cwd(struct fs_context *fs, const struct path *p);  /* borrows */
void fs_set_root(struct fs_context *fs, const struct path *p); /* borrows */

/* What current's walks go by. Credentials and mount namespace are borrowed: only current changes
 * them. Root and working directory are references, or lent by a context that is current's alone:
 * if pivot_root moves one meanwhile, the context keeps the former reference till walk_end. */
struct walk_hold {
    struct walk_ctx ctx;
    bool lent;
};
void walk_begin(struct walk_hold *h);
void walk_end(struct walk_hold *h);
