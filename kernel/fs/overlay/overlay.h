/* SPDX-License-Identifier: MIT
 *
 * overlay: several directory trees shown as one. Lower layers are never changed; what is changed is
 * first copied up into the upper layer. A name removed that a lower layer has is covered by a
 * whiteout in the upper one: a character device 0:0. A directory of the upper layer that hides what
 * lies below bears the attribute trusted.overlay.opaque = "y". These are Linux's formats, so layers
 * unpacked by either system serve both.
 *
 * An overlay inode has the attributes (owner, mode) of the real inode it stands for, kept equal,
 * since permissions are checked on it; size, times and contents are the real inode's. An overlay
 * file holds an open file of the real inode, and maps its pages: all containers of one image share
 * them.
 *
 * The content of layers is the overlay's alone while it is mounted; changes past the overlay are
 * seen or not, but harm nothing.
 *
 * Lock order: the overlay's movers, locks of its inodes, its renames, node->lock, locks of real
 * inodes, the upper file system's renames. Under either renames the locks of inodes of the same
 * file system are only tried.
 */
#pragma once

#include "lib/list.h"
#include "vfs/dentry.h"
#include "vfs/vfs_priv.h"

#define OVERLAY_LOWER_MAX 128
#define OVERLAY_PREFIX "trusted.overlay."
#define OVERLAY_OPAQUE "trusted.overlay.opaque"

/* All immutable but for the tree. Layer 0 is the upper one, or unused. */
struct overlay {
    struct super super;
    struct spinlock uppers_lock;
    struct rb_root uppers; /* uppers_lock  nodes of upper non-directories, by real inode */
    bool has_upper;
    bool one_dev;            /* all layers in one file system: its inode numbers serve */
    u32 nr_lower, max_lower; /* there are; there is space for */
    struct path work;
    char *options;       /* as mounted, for /proc/mounts */
    struct path layer[]; /* references: the upper one, or none, then the lower ones from the top */
};

struct overlay_lower {
    u32 layer;
    struct dentry *d; /* a reference */
};

/* inode->priv. I immutable · k lock · a atomic */
struct overlay_node {
    struct mutex lock;   /*    copying up, and unlinking against it */
    struct inode *inode; /* I  back */
    struct dentry
        *name; /* k  the overlay's dentry while it is not copied up: exactly one; borrowed */
    struct dentry *upper;   /* a  set once, under lock; a reference */
    bool unlinked;          /* k  no name left to copy up to */
    struct rb_node by_real; /* o->uppers_lock; clear: not in the tree */
    bool opaque;            /* the inode's lock  what is below shows no more, though it did */
    u32 nr_lower; /* I  directories: the merged ones, topmost first; others: at most one */
    struct overlay_lower lower[];
};

static inline struct overlay *overlay_of(const struct inode *i)
{
    return container_of(i->super, struct overlay, super);
}

static inline struct overlay_node *overlay_node(const struct inode *i)
{
    return i->priv;
}

static inline struct dentry *overlay_upper(const struct inode *i)
{
    return __atomic_load_n(&overlay_node(i)->upper, __ATOMIC_ACQUIRE);
}

/* How many of a directory's lower ones show. */
static inline u32 overlay_nr_shown(const struct overlay_node *node)
{
    return node->opaque ? 0 : node->nr_lower;
}

/* ---- inode.c ---- */
/* The inode that stands for `upper` (consumed, may be NULL) over `lower` (n of them, consumed). */
struct inode *overlay_inode(struct overlay *o, struct dentry *upper,
                            const struct overlay_lower *lower, u32 n, int *err);
/* The same in two steps, for what must not fail once there is an upper: an inode that stands for
 * nothing yet, with space for n lowers (NULL: no memory), then what overlay_inode returns; i is
 * consumed. */
struct inode *overlay_inode_alloc(struct overlay *o, u32 n) __must_check;
struct inode *overlay_inode_settle(struct inode *i, struct dentry *upper,
                                   const struct overlay_lower *lower, u32 n);
/* What the inode's content is now: borrowed references. */
struct path overlay_real(const struct inode *i);
struct inode *overlay_real_inode(const struct inode *i);
void overlay_evict(struct inode *i);
/* A node was copied up: from now on other links of the real inode find it, which by now has the one
 * name that was just made. */
void overlay_hash_upper(struct inode *i);
int overlay_getattr(struct inode *i, struct kstat *out);
bool overlay_peekattr(const struct inode *i, struct kstat *out);
int overlay_setattr(struct inode *i, const struct attr_change *ch);
ssize_t overlay_getxattr(struct inode *i, const char *name, void *buf, size_t n);
int overlay_setxattr(struct inode *i, const char *name, const void *val, size_t n, int flags);
int overlay_removexattr(struct inode *i, const char *name);
ssize_t overlay_listxattr(struct inode *i, char *buf, size_t n);
#define OVERLAY_ATTR_OPS                                                                  \
    .getattr = overlay_getattr, .peekattr = overlay_peekattr, .setattr = overlay_setattr, \
    .getxattr = overlay_getxattr, .setxattr = overlay_setxattr,                           \
    .removexattr = overlay_removexattr, .listxattr = overlay_listxattr

/* ---- lookup.c ---- */
bool overlay_is_whiteout(const struct dentry *d);
int overlay_lookup(struct inode *dir, struct dentry *d);
/* Would `name` show if the upper layer had nothing of that name? 1, 0 or -errno. */
int overlay_lower_has(struct inode *dir, const char *name, size_t len);

/* ---- copyup.c ---- */
/* After it returns 0 the inode has an upper. d: one of its names. */
int overlay_copy_up(struct dentry *d) __must_check;
int overlay_copy_up_inode(struct inode *i) __must_check;

/* ---- dir.c ---- */
extern const struct inode_ops overlay_dir_iops;
/* A whiteout in a locked upper directory for a name that is still there: not hashed, so not
 * visible, until overlay_show_hidden, which takes the reference, once that name is gone; or removed
 * again. ERR_PTR. */
struct dentry *overlay_whiteout_hidden(struct dentry *upper, const char *name, size_t len);
void overlay_show_hidden(struct dentry *hidden);
void overlay_undo_hidden(struct inode *dir, struct dentry *hidden) REQUIRES(dir->lock);
/* An upper directory hides what lower layers have below its name. 0 or -errno. */
int overlay_set_opaque(struct dentry *upper);
/* Whether the inode may still be copied up to its name. */
void overlay_mark_unlinked(struct inode *i, bool unlinked);
/* The name is removed: the link count of an inode whose links are not counted becomes 0. */
void overlay_count_unlinked(struct inode *i);
/* Before a directory that shows nothing is removed or replaced: it becomes opaque, and its
 * whiteouts go. The victim is locked. 0 or -errno. */
int overlay_strip(struct inode *victim);

/* ---- rename.c ---- */
int overlay_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                   struct dentry *new, unsigned flags);

/* ---- readdir.c ---- */
extern const struct file_ops overlay_dir_fops;
void overlay_list_init(void);
int overlay_dir_open(struct inode *i, struct file *f);
/* 0, or -ENOTEMPTY when the merged directory shows anything. */
int overlay_check_empty(struct inode *dir);
/* An upper directory has no names, whiteouts neither: 1, 0 or -errno. */
int overlay_is_bare(struct dentry *upper_dir);
/* Removes the whiteouts from an upper directory that shows nothing. Takes its lock for one at a
 * time: others wait for the locks of upper directories, and there may be many. */
int overlay_clear_whiteouts(struct dentry *upper_dir);

/* ---- file.c ---- */
extern const struct file_ops overlay_file_fops;
int overlay_open(struct inode *i, struct file *f);
void overlay_file_init(void);
