/* SPDX-License-Identifier: MIT
 *
 * Shared between the files of kernel/vfs.
 */
#pragma once

#include "vfs/dentry.h"
#include "vfs/vfs.h"

void dentry_init(void);
void inode_init(void);
/* Fills in a zeroed inode: one reference, the present time in all its times. */
void inode_setup(struct inode *i, struct super *s, u64 ino, u32 mode);
/* What a kstat says of the mount. p may be an RCU reader's, without references. */
void stat_set_mount(struct kstat *st, const struct path *p);
void inode_cache_init(void);
void super_init(void);
void super_device_init(void);
/* True: the inode of p, which exists, has lost its last name, here or in the file system below a
 * stacking one. */
bool path_has_no_links(const struct path *p);
void mount_calls_init(void);
void pseudo_init(void);
void mount_init(void);
void anon_init(void);
/* fstat of a file without a name. */
int anon_stat(struct file *f, struct kstat *out);
/* Of anon.c: reached by descriptor only. */
bool inode_is_anon(const struct inode *i);

/* A mount: a file system's subtree shown at a place. t mount_lock, and
 * mount_trees to change it · I immutable · a atomic */
struct mount {
    refcount_t ref;            /* a */
    struct mount *parent;      /* t  NULL: the root of its namespace, or detached */
    struct dentry *point;      /* t  in parent; a reference */
    struct dentry *root;       /* I  a reference */
    struct super *super;       /* I  a reference */
    struct mount_ns *ns;       /* t  NULL: detached */
    u32 flags;                 /* a  MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME... */
    u64 id;                    /* I */
    char *source;              /* I */
    struct list_node children; /* t */
    struct list_node sibling;  /* t */
    struct rb_node place;      /* t  while it has a parent */
    u64 nr;                    /* t  while a tree is being gathered: in the list */
    atomic_t writers;          /* a  files open for writing through it */
    struct rcu_head rcu;
};

/* A caller that takes a dentry off a list of its super, without a mount of it, pins the super under
 * the list's lock until it has put the dentry: the super does not go before. */
void super_pin(struct super *s);
void super_unpin(struct super *s);

extern struct spinlock mount_lock; /* with mount_trees: the shape of all mount trees */
/* The mount that stands on (mount, dentry), with a reference; NULL: none. */
struct mount *mount_lookup(const struct mount *m, const struct dentry *d);
/* The same for an RCU reader, without a reference. */
struct mount *mount_peek(const struct mount *m, const struct dentry *d);
/* Where m is mounted: references; false for a namespace's root. */
bool mount_parent(struct mount *m, struct path *out);
/* Whether a mount of ns stands on that name. */
bool mount_stands_on(const struct mount_ns *ns, const struct dentry *point);
/* A name, marked as gone, goes: with it the mounts on it, in all namespaces. May sleep. */
void mount_drop_on(struct dentry *point);
/* After a mount was attached to a name, which may have been removed meanwhile: a removal marks the
 * name, then looks for mounts, so that one of the two sees the other. May sleep. */
void mount_placed(struct dentry *point);
/* Frees one without references. May sleep. */
void mount_destroy(struct mount *m);
static inline void mount_get(struct mount *m)
{
    refcount_get(&m->ref);
}
/* For an RCU reader: false when there are no references any more. umount of a mount in no use ends
 * them at once (umount_topmost), so that none is taken of one that it has found unused. */
static inline __must_check bool mount_get_live(struct mount *m)
{
    return refcount_get_unless_zero(&m->ref);
}
static inline void mount_put(struct mount *m)
{
    if (unlikely(refcount_put(&m->ref)))
        mount_destroy(m);
}
/* -EROFS when the mount is read-only; the super's own state is not looked at. */
int mount_may_write(const struct mount *m);
/* A file is open for writing through m: it does not become read-only meanwhile. 0 or -EROFS. */
int mount_write_begin(struct mount *m) __must_check;
void mount_write_end(struct mount *m);

/* The last component of a walk, and the directory it is looked up in. */
struct walk_last {
    struct path dir; /* references */
    const char *name;
    size_t len;
    bool slash; /* trailing slashes: must be a directory */
    enum { LAST_NAME, LAST_DOT, LAST_DOTDOT, LAST_ROOT } kind;
};
int walk_to_last(const struct walk_ctx *ctx, const struct path *at, const char *name,
                 unsigned flags, struct walk_last *out);
static inline void walk_last_put(struct walk_last *last)
{
    path_put(&last->dir);
}
/* The child of a directory, positive or negative; asks the file system. dir's lock must not be
 * held, or be held by the caller with `locked`. ERR_PTR on error; without `locked` -ENOENT, too,
 * where a negative one would be good for nothing (names_cached). */
struct dentry *walk_child(struct dentry *dir, const char *name, size_t len, bool locked);
#define MS_NOSYMFOLLOW 256 /* a mount's */
/* protected_symlinks: may the link at a path's end be followed? */
bool walk_may_follow(const struct cred *cred, const struct inode *dir, const struct inode *link);
/* Create in dir: write and search permission, not dead. Delete: also the sticky bit. */
int walk_may_create(const struct path *dir, const struct cred *cred);
int walk_may_delete(const struct walk_ctx *ctx, const struct path *dir, struct dentry *victim,
                    bool is_dir);
/* dir is locked: its file system removes the directory d, which is locked for it, so that no name
 * is made in it between "it is empty" and its end. */
int inode_rmdir_locked(struct inode *dir, struct dentry *d) REQUIRES(dir->lock);
/* The mode of something new in dir, which may be a set-group-id directory that gives its group. */
u32 inode_new_mode(const struct inode *dir, u32 mode, const struct cred *cred);
bool inode_capable(const struct inode *i, const struct cred *cred, int cap);
bool inode_owner_or_capable(const struct inode *i, const struct cred *cred);
/* Opens a found inode. */
int open_dentry(const struct path *p, unsigned o_flags, const struct cred *cred, struct file **out);
/* lock.c, lease.c: the advisory locks and leases of an inode. */
struct inode_locks {
    struct mutex lock;
    struct list_node flocks, records, leases; /* lock */
    u32 nr_flocks, nr_records;                /* lock */
    u32 nr_leases;                            /* lock; a to read */
    u32 changes;                              /* lock  counts what may let a waiter in */
    struct waitq waiters;
};
/* NULL: no memory. */
struct inode_locks *lock_of_inode(struct inode *i);
/* NULL: nothing has ever been locked. */
static inline struct inode_locks *lock_of_inode_made(const struct inode *i)
{
    return __atomic_load_n(&i->locks, __ATOMIC_ACQUIRE);
}
/* REQUIRES(l->lock) */
void lock_changed_locked(struct inode_locks *l) REQUIRES(l->lock);
/* The lists of locks of an inode that goes. */
void lock_inode_free(struct inode *i);
/* The open file goes, and its lease with it. */
void lease_release(struct inode_locks *l, const struct file *f);
/* An open of i for reading, or for more, which is counted already: waits until no lease is in its
 * way. -EAGAIN: it would wait and may not; -ERESTARTSYS. */
int lease_break(struct inode *i, bool writes, bool nonblock);
