/* SPDX-License-Identifier: MIT
 *
 * The dentry cache, as path walk, mounts and file systems see it. A dentry is a name in a
 * directory: positive (has an inode), or negative (known to be absent). It stays cached when no
 * caller refers to it, until memory is wanted.
 *
 * Lock order: inode->lock of the directory, dentry->lock (parent before child), the hash bucket,
 * the LRU. Names and parents change only in dentry_move, under the rename seqlock.
 */
#pragma once

#include "lib/rbtree.h"
#include "vfs/vfs.h"

#define DENTRY_INLINE 40

enum dentry_flags {
    DENTRY_HASHED = 1 << 0,
    DENTRY_LRU = 1 << 1,
    DENTRY_DEAD = 1 << 3,    /* being freed */
    DENTRY_NOCACHE = 1 << 4, /* goes when the last reference does */
    DENTRY_UNLINKED = 1 << 5,
    DENTRY_ANON = 1 << 6, /* in no directory: its name is all of its path (anon.c) */
};

/* I immutable · l lock · r rename seqlock and the parent's inode lock · b bucket · a atomic */
struct dentry {
    struct spinlock lock;
    u32 flags;                 /* l */
    s32 ref;                   /* l  0: cached only */
    u32 hash;                  /* r  of parent and name */
    struct dentry *hash_next;  /* b  RCU to read */
    struct dentry *parent;     /* r  a reference; itself at a root */
    struct inode *inode;       /* l  set once, or cleared by unlink of a lone name; a reference */
    const char *name;          /* r  NUL-terminated: inline_name, or a block of its own */
    u32 len;                   /* r */
    u32 mounts;                /* mount_lock: how many mounts stand on it */
    u64 cookie;                /* in-memory directories: its place in readdir order */
    struct rb_node by_cookie;  /* their index; the directory's inode lock */
    struct list_node lru;      /* the LRU lock: among its account's unused ones */
    struct list_node by_super; /* the LRU lock: among its super's */
    struct super *super;       /* I */
    struct rcu_head rcu;
    char inline_name[DENTRY_INLINE];
};

/* A new, unhashed negative dentry with one reference; NULL: no memory. */
struct dentry *dentry_alloc(struct dentry *parent, const char *name, size_t len) __must_check;
void dentry_get(struct dentry *d);
void dentry_put(struct dentry *d);
/* The cached child, positive or negative, with a reference; NULL: not cached. */
struct dentry *dentry_lookup(struct dentry *parent, const char *name, size_t len);
/* The same for an RCU reader, without a reference; NULL, too, if a rename came in between. */
struct dentry *dentry_peek(const struct dentry *parent, const char *name, size_t len);
/* For an RCU reader: a reference, unless it is being freed. */
bool dentry_get_unless_dead(struct dentry *d) __must_check;
/* Publishes a name, or returns the one that was published first (then `d` is dropped). Consumes the
 * caller's reference to d and returns one. */
struct dentry *dentry_hash_add(struct dentry *d);
void dentry_unhash(struct dentry *d);
/* A name went away (unlink, rmdir): later look-ups ask the file system again. */
void dentry_delete(struct dentry *d);
/* rename: d takes target's place and name; target (may be negative) is unhashed. */
void dentry_move(struct dentry *d, struct dentry *target);
void dentry_exchange(struct dentry *a, struct dentry *b);
/* The child of `ancestor` that d is, or lies below, however deep the tree; NULL: there is none.
 * Borrowed from d, and true only if no rename came in between: between two looks at the super's
 * `moved`. Context: may sleep, no rename mutex held. */
struct dentry *dentry_child_above(const struct dentry *ancestor, struct dentry *d);
/* The same under the super's rename mutex; false: so far up that others would wait too long.
 * Renames have spoiled so many looks already: after some it goes farther. */
#define CLIMB_LOCKED 8192                    /* some hundred microseconds */
#define CLIMB_LOCKED_MOST (8 * CLIMB_LOCKED) /* some milliseconds */
#define CLIMBS_SPOILED 16
bool dentry_child_above_locked(const struct dentry *ancestor, struct dentry *d, unsigned spoiled,
                               struct dentry **child) __must_check REQUIRES(d->super->renames);
/* Whether d is ancestor or lies below it: renames beside us may change what it says. False, too,
 * for a thread that is killed meanwhile. Context: may sleep, no rename mutex held. */
bool dentry_lies_below(struct dentry *d, struct dentry *ancestor);
/* Two different directories of one super, locked for writing, and no other move there meanwhile. */
struct dir_pair {
    struct dentry *a, *b;
    struct dentry *under_a, *under_b; /* the child of the one that the other is, or lies below */
    bool moves;                       /* the super's mutexes are held, too: no sleep, no yield */
};
/* 0, or -EINTR: the thread is to die. May sleep. */
int dir_pair_lock(struct dir_pair *p) __must_check;
/* What was to be moved is: others may move things, the directories stay locked. */
void dir_pair_end_moves(struct dir_pair *p);
void dir_pair_unlock(struct dir_pair *p);
/* The directory that a move replaces is locked, too: it is above neither. False: it is in use, and
 * the mutex is held. Then the caller unlocks all, waits and begins again. */
bool dir_pair_lock_replaced(struct dir_pair *p, struct inode *dir) __must_check;
/* That one's next try: waits until it is not locked, and holds new readers off until
 * dir_unclaim, after that try. *claimed: NULL, then dir with a reference; dir_unclaim takes either.
 * 0, or -EINTR as above. May sleep, nothing is locked. */
int dir_claim(struct inode **claimed, struct inode *dir) __must_check;
void dir_unclaim(struct inode **claimed);
/* All unused ones of a super that is going away. */
void dentry_shrink_super(struct super *s);
/* Names and parents as they are together at one moment: what is found in
 *     do { dentry_look_begin(&look); ... } while (dentry_look_again(&look));
 * holds when that ends. Renames spoil a few looks, then they wait for one; it is an RCU read
 * section and does not sleep. mount_lock may be held. */
struct dentry_look {
    u32 seq;
    unsigned spoiled;
};
void dentry_look_begin(struct dentry_look *look);
bool dentry_look_again(struct dentry_look *look);
