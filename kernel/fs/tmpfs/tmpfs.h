/* SPDX-License-Identifier: MIT
 *
 * tmpfs: files in memory. A directory's contents are its dentries, which tmpfs pins, with an index
 * by cookie for readdir; so a look-up that misses the cache is a name that does not exist.
 */
#pragma once

#include "lib/rbtree.h"
#include "sched/mutex.h"
#include "vfs/dentry.h"
#include "vm/object.h"

/* Per file system. Limits of U64_MAX: none. */
struct tmpfs_super {
    struct super super;
    struct mem_bound pages; /* of its files, however they come */
    u64 max_inodes;
    atomic64_t inodes;
    u32 root_mode;
    kuid_t uid;
    kgid_t gid;
};

struct tmpfs_xattr {
    struct list_node node;
    char *name;
    void *value;
    size_t size;
};

/* inode->priv. k the inode's lock */
/* fcntl(2), F_ADD_SEALS */
enum {
    F_SEAL_SEAL = 1,
    F_SEAL_SHRINK = 2,
    F_SEAL_GROW = 4,
    F_SEAL_WRITE = 8,
    F_SEAL_FUTURE_WRITE = 16,
    F_SEALS = 31,
};

struct tmpfs_inode {
    struct list_node xattrs; /* k */
    union {
        struct {                    /* directories */
            struct rb_root entries; /* k  dentries by cookie */
            u64 last_cookie;        /* k */
            u64 nr_entries;         /* k; a to read */
        };
        struct mutex
            append;   /* files: appenders take turns; the user's pages are faulted in under it */
        char *target; /* I  symbolic links */
    };
    u32 seals;     /* k  memfd */
    bool nameless; /* a  made by O_TMPFILE: may get its first name */
};

/* Also mounts devfs: a tmpfs with nodes in it. */
int tmpfs_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                unsigned flags, const char *options, struct super **out);
ssize_t tmpfs_getxattr(struct inode *inode, const char *name, void *buf, size_t n);
int tmpfs_setxattr(struct inode *inode, const char *name, const void *val, size_t n, int flags);
int tmpfs_removexattr(struct inode *inode, const char *name);
ssize_t tmpfs_listxattr(struct inode *inode, char *buf, size_t n);
void tmpfs_xattrs_free(struct tmpfs_inode *t);
#define TMPFS_XATTR_OPS                                                                       \
    .getxattr = tmpfs_getxattr, .setxattr = tmpfs_setxattr, .removexattr = tmpfs_removexattr, \
    .listxattr = tmpfs_listxattr

static inline struct tmpfs_super *tmpfs_of(const struct inode *i)
{
    return container_of(i->super, struct tmpfs_super, super);
}

/* n more, if that stays within max. It is never beyond, not for a moment, in which others would be
 * refused what there is. */
static inline bool tmpfs_take(atomic64_t *used, u64 n, u64 max)
{
    s64 now = atomic_read(used);

    do {
        if ((u64)now > max || n > max - (u64)now)
            return false;
    } while (!atomic_cas(used, &now, now + (s64)n));
    return true;
}

/* inode.c: mode with its type; dir (or NULL) for set-group-id, cred (or NULL: root) for the owner.
 * NULL: no memory, or too many. */
struct inode *tmpfs_inode(struct tmpfs_super *ts, u32 mode, const struct inode *dir,
                          const struct cred *cred);
void tmpfs_evict(struct inode *i);
void tmpfs_empty(struct inode *top); /* drops what pins each name below */

/* file.c */
extern const struct inode_ops tmpfs_file_iops;
extern const struct file_ops tmpfs_file_fops;
int tmpfs_fsync(struct file *f, bool data_only);
