/* SPDX-License-Identifier: MIT
 *
 * Names: inodes, dentries, mounts and path walk. vfs calls take credentials, root, working
 * directory and mount namespace explicitly (struct walk_ctx): vfs knows no process.
 *
 * A walk looks each name up in the dentry cache, under RCU and without references, as far as names
 * are there; a name that is not is asked of the file system under the directory's lock, with
 * references to where the walk stands (its mount and dentry). Unused dentries stay on their
 * account's list and go when memory is wanted.
 *
 * Lock order: README.md. No lock is held over a user copy that may fault.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"
#include "obj/cred.h"
#include "obj/file.h"
#include "sched/mutex.h"
#include "sync/rcu.h"
#include "sync/seqlock.h"
#include "vm/object.h"

#define NAME_MAX 255
#define PATH_MAX 4096
#define SYMLINKS_MAX 40

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define S_ISUID 04000
#define S_ISGID 02000
#define S_ISVTX 01000
#define S_IWOTH 00002
#define S_ISREG(m) (((m)&S_IFMT) == S_IFREG)
#define S_ISDIR(m) (((m)&S_IFMT) == S_IFDIR)
#define S_ISLNK(m) (((m)&S_IFMT) == S_IFLNK)
#define S_ISCHR(m) (((m)&S_IFMT) == S_IFCHR)
#define S_ISBLK(m) (((m)&S_IFMT) == S_IFBLK)
#define S_ISFIFO(m) (((m)&S_IFMT) == S_IFIFO)
#define S_ISSOCK(m) (((m)&S_IFMT) == S_IFSOCK)

struct timespec_k {
    s64 sec;
    s64 nsec;
};

/* All that stat(2) and statx(2) tell. */
struct kstat {
    u64 dev, ino, rdev, size, blocks; /* blocks of 512 bytes */
    u32 mode, nlink, uid, gid, blksize;
    struct timespec_k atime, mtime, ctime, btime;
    u64 mount_id;    /* vfs_stat and file_stat fill these two */
    bool mount_root; /* it is where a mount begins */
};

struct statfs_k { /* struct statfs of x86-64 */
    s64 type, bsize, blocks, bfree, bavail, files, ffree;
    s32 fsid[2];
    s64 namelen, frsize, flags, spare[4];
};

enum attr_valid {
    ATTR_MODE = 1,
    ATTR_UID = 2,
    ATTR_GID = 4,
    ATTR_SIZE = 8,
    ATTR_ATIME = 16,
    ATTR_MTIME = 32,
    ATTR_TIMES_GIVEN = 64, /* atime or mtime is not the present: the owner's to say */
    ATTR_CHOWN = 128,      /* chown(2): set-id bits go, though neither owner is given */
};
struct attr_change {
    u32 valid, mode;
    kuid_t uid;
    kgid_t gid;
    u64 size;
    struct timespec_k atime, mtime;
};

struct inode;
struct dentry;
struct super;
struct mount;
struct mount_ns;

struct path {
    struct mount *mount;
    struct dentry *dentry;
};
void path_get(const struct path *p);
void path_put(const struct path *p);

/* What a walk goes by. All borrowed. */
struct walk_ctx {
    const struct cred *cred;
    struct path root, cwd;
    struct mount_ns *ns;
    u32 umask; /* of a name that a socket is bound to; other callers pass modes that are masked */
};

/* Directory operations get the parent's lock held for writing (lookup: for reading). vfs has
 * checked permissions. `d` is a negative dentry that the operation makes positive with
 * dentry_instantiate. */
struct inode_ops {
    int (*lookup)(struct inode *dir, struct dentry *d); /* absent: leave negative, return 0 */
    int (*create)(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred);
    int (*mkdir)(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred);
    int (*mknod)(struct inode *dir, struct dentry *d, u32 mode, u64 rdev, const struct cred *cred);
    int (*symlink)(struct inode *dir, struct dentry *d, const char *target,
                   const struct cred *cred);
    /* -ENOENT: the target has lost its last name (and is not tmpfile's, waiting for its first). */
    int (*link)(struct inode *dir, struct dentry *d, struct inode *target);
    int (*unlink)(struct inode *dir, struct dentry *d);
    int (*rmdir)(struct inode *dir, struct dentry *d);
    /* flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. new_d may be positive. */
    int (*rename)(struct inode *old_dir, struct dentry *old_d, struct inode *new_dir,
                  struct dentry *new_d, unsigned flags);
    int (*tmpfile)(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred);
    /* Copies the target into buf (n bytes, no NUL); length or -errno. */
    ssize_t (*readlink)(struct inode *inode, char *buf, size_t n);
    /* Magic links (/proc/<pid>/fd/3): the walk goes straight to *out (references). */
    int (*follow)(struct inode *inode, const struct cred *cred, struct path *out);
    int (*open)(struct inode *inode, struct file *f); /* f->ops is inode->fops already */
    int (*setattr)(struct inode *inode, const struct attr_change *ch);
    int (*getattr)(struct inode *inode, struct kstat *out); /* NULL: inode_fill_stat */
    /* getattr for an RCU reader without a reference, which does not sleep; false: it takes more. */
    bool (*peekattr)(const struct inode *inode, struct kstat *out);
    int (*permission)(struct inode *inode, const struct cred *cred, int mask); /* NULL: mode bits */
    ssize_t (*getxattr)(struct inode *inode, const char *name, void *buf, size_t n);
    int (*setxattr)(struct inode *inode, const char *name, const void *val, size_t n, int flags);
    int (*removexattr)(struct inode *inode, const char *name);
    ssize_t (*listxattr)(struct inode *inode, char *buf, size_t n);
    bool (*revalidate)(struct inode *dir, struct dentry *d); /* NULL: a cached name stays true */
    bool names_cached; /* a directory's names are all in the cache: what is not there is absent */
    int (*watched)(struct inode *inode); /* by inotify, from now on, maybe again. -ENOMEM */
};

/* I immutable · k lock · a atomic */
struct inode {
    const struct inode_ops *ops;                  /* I */
    const struct file_ops *fops;                  /* I */
    struct super *super;                          /* I */
    refcount_t ref;                               /* a */
    u64 ino;                                      /* I */
    u32 mode;                                     /* k  type bits are immutable */
    kuid_t uid;                                   /* k */
    kgid_t gid;                                   /* k */
    u32 nlink;                                    /* k */
    u64 rdev;                                     /* I */
    struct timespec_k atime, mtime, ctime, btime; /* k */
    struct rwlock lock;
    struct mem_object *object; /* I  page cache of a regular file */
    void *priv;                /* I  the file system's */
    void *pipe;                /* k  FIFO: obj's pipe while open */
    void *socket;              /* k  unix socket bound here (kernel/net) */
    void *locks;               /*    flock and record locks, leases (vfs/lock.c) */
    bool cached;               /* I  a cached_inode: vfs/cached_inode.h */
    bool never_linked;         /* I  O_TMPFILE with O_EXCL: gets no name */
    bool file_caps;            /* k  security.capability may be among the attributes */
    bool unlinked;             /* the inotify lock: watched, and without a name */
    atomic_t writers;          /* a  opens for writing; negative: being executed (ETXTBSY) */
    atomic_t readers;          /* a  opens of a regular file for reading only */
    u32 watches;               /* the inotify lock; a to read: how many inotify watches */
    struct rcu_head rcu;
};

struct cached_inode;
enum write_why;
struct super_ops {
    /* The inode goes; its pages are gone. Without a name (nlink 0) it goes from the store, too. May
     * sleep, begin a transaction, wait for the store. */
    void (*evict)(struct inode *inode);
    int (*statfs)(struct super *s, struct statfs_k *out);
    /* What was written is safe on the store when it returns: a commit, a flush of the device. Dirty
     * inodes and pages have been written before (super_sync). 0 or -errno. NULL: nothing to do. */
    int (*sync)(struct super *s);
    /* Of supers with cached inodes. Memory for one, zeroed but for what is the file system's;
     * NULL: none. */
    struct cached_inode *(*alloc_inode)(struct super *s);
    /* Gives that memory back, a grace period after the last use; the super may be gone. Never
     * sleeps. */
    void (*free_inode)(struct inode *inode);
    /* Fills it (ops, fops, mode, owner, times, object, priv) from the store by its number: 0;
     * -ESTALE: there is none of that number; -EIO, -ENOMEM. May sleep. */
    int (*read_inode)(struct inode *inode);
    /* Brings the inode, without its pages, to the store, or into a transaction: 0 or -errno. May
     * sleep; takes from the reserves. NULL: nothing to bring. */
    int (*write_inode)(struct inode *inode, enum write_why why);
    void (*unmount)(struct super *s); /* no mount left: drop what pins names; NULL allowed */
    void (*destroy)(struct super *s);
    int (*show_options)(struct super *s, char *buf, size_t n); /* for /proc/mounts: ",size=64k" */
    int (*remount)(struct super *s, unsigned flags, const char *options);
};

struct fs_type;
struct super {
    const struct fs_type *type;
    const struct super_ops *ops;
    refcount_t ref;
    u64 dev; /* st_dev */
    u32 flags;
    atomic_t writers;         /* a  files open for writing, through any mount */
    struct dentry *root;      /* a reference */
    struct list_node cached;  /* unused dentries; the LRU lock; made with the root */
    struct list_node watches; /* the inotify lock; made with the root */
    /* One rename at a time between two directories, so that "is an ancestor of" holds still; made
     * with the root. */
    struct mutex renames;
    /* Where one takes long, as it copies: taken first, with nothing locked. */
    bool moves_long;       /* I */
    struct mutex movers;   /*   */
    struct seqcount moved; /* written under the rename lock, where a dentry gets another parent */
    atomic_t pins;         /* a  dentries taken off those lists and not put yet: super_pin */
    bool told;             /* pseudo files have watchers that are notified of changes, or had */
    struct user_ns *user_ns;
    u32 stacked; /* I  how many file systems lie below one another here: overlay bounds it */
    struct flusher *flusher;     /* I  writes it back; NULL: it is in memory, or read-only */
    struct spinlock inodes_lock; /*    cached_inode.h */
    struct xarray inodes;        /* c  by number, RCU to read; of supers with cached inodes */
    struct block_device *device; /* I  what it lies on, claimed (block_pages.h); or NULL */
    struct list_node on_device;  /*    super_device.c's lock */
    void *priv;
};

/* The order within RANK_OPS of a lock whose order is `order` where nothing is stacked. */
static inline unsigned super_lock_order(const struct super *s, unsigned order)
{
    return order + (s ? s->stacked : 0) * ORDER_STACKED_STEP;
}

/* A file system type registers itself: FS_TYPE(tmpfs) = {"tmpfs", ...}. */
struct fs_type {
    const char *name;
    /* source may be NULL; options: the mount(2) data string, copied, at most 4095 bytes. ctx
     * resolves paths in options (overlay). On success *out has one reference. */
    int (*mount)(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                 unsigned flags, const char *options, struct super **out);
    bool user_ns_ok;   /* may be mounted in a user namespace */
    bool needs_device; /* not "nodev" in /proc/filesystems */
};
#define FS_TYPE(id) TABLE_ENTRY(struct fs_type, fs_types, #id)
const struct fs_type *fs_type_find(const char *name); /* NULL: no such type */
/* The last reference ends it: what is dirty is written, inodes go, then `destroy`. May sleep. */
void super_put(struct super *s);
/* What was dirty at the call is on the store when it returns. 0 or -errno; what went wrong with
 * pages is told to those who have files open (file_sync_super). May sleep. */
int super_sync(struct super *s);
/* syncfs(2): the same, and errors that f's descriptor has not seen yet. */
int file_sync_super(struct file *f);
/* sync(2): all there are. */
void vfs_sync_all(void);
/* For types that know no options: 0, or -EINVAL when there is one. */
int fs_no_options(const char *options);

enum walk_flags {
    WALK_FOLLOW = 1 << 0,    /* follow a symlink in the last component */
    WALK_DIRECTORY = 1 << 1, /* the result must be a directory */
    WALK_EMPTY = 1 << 2,     /* AT_EMPTY_PATH */
    WALK_NO_XDEV = 1 << 3,   /* openat2's RESOLVE_*, from here on */
    WALK_BENEATH = 1 << 4,
    WALK_IN_ROOT = 1 << 5,
    WALK_NO_SYMLINKS = 1 << 6,
    WALK_NO_MAGIC = 1 << 7,
    WALK_SCOPED = WALK_BENEATH | WALK_IN_ROOT,
    WALK_CREATE = 1 << 8, /* no slash behind the last name, the path's or a link's: -EISDIR */
};

/* `at` NULL: from ctx->cwd. name is in kernel memory, NUL-terminated. Each returns 0 or -errno with
 * the meaning of the system call. May sleep. */
int vfs_lookup(const struct walk_ctx *ctx, const struct path *at, const char *name, unsigned flags,
               struct path *out) __must_check;
int vfs_open(const struct walk_ctx *ctx, const struct path *at, const char *name, unsigned o_flags,
             u32 mode, unsigned walk_flags, struct file **out) __must_check;
/* Opens what is already found (O_PATH descriptors, exec, magic links). */
int vfs_open_path(const struct path *p, unsigned o_flags, const struct cred *cred,
                  struct file **out) __must_check;
int vfs_mkdir(const struct walk_ctx *ctx, const struct path *at, const char *name, u32 mode);
int vfs_mknod(const struct walk_ctx *ctx, const struct path *at, const char *name, u32 mode,
              u64 rdev);
/* As mknod(S_IFSOCK); *out holds references to the new name. */
int vfs_bind_socket(const struct walk_ctx *ctx, const char *name, u32 mode, struct path *out);
int vfs_symlink(const struct walk_ctx *ctx, const char *target, const struct path *at,
                const char *name);
int vfs_link(const struct walk_ctx *ctx, const struct path *old, const struct path *at,
             const char *name);
int vfs_unlink(const struct walk_ctx *ctx, const struct path *at, const char *name);
int vfs_rmdir(const struct walk_ctx *ctx, const struct path *at, const char *name);
int vfs_rename(const struct walk_ctx *ctx, const struct path *old_at, const char *old_name,
               const struct path *new_at, const char *new_name, unsigned flags);
int vfs_stat(const struct path *p, struct kstat *out);
/* The same of a name. */
int vfs_stat_at(const struct walk_ctx *ctx, const struct path *at, const char *name, unsigned flags,
                struct kstat *out);
/* While f lives (it is executed) its inode cannot be opened for writing: 0, or -ETXTBSY when it is
 * open for writing. The file is not shared yet. */
int file_deny_writers(struct file *f) __must_check;
void file_allow_writers(struct file *f);
/* The inode of any file, made if need be; borrowed from it. NULL: no memory. */
struct inode *file_inode(struct file *f);
/* NULL: it has not been asked for through f yet. */
static inline struct inode *file_inode_made(struct file *f)
{
    return f->inode ? f->inode : __atomic_load_n(&f->anon_inode, __ATOMIC_ACQUIRE);
}
/* A path to what any descriptor names, with references. -ENOMEM. */
int file_get_path(struct file *f, struct path *out) __must_check;
/* What /proc shows of a file without a name: "pipe:[N]"; its length. */
size_t file_anon_text(struct file *f, char *text, size_t n);
/* read(2) of every directory: -EISDIR. */
ssize_t vfs_read_dir(struct file *f, struct iov_iter *to, loff_t *pos);
/* The contents of i, locked for writing, change by current's doing: its set-id bits go, unless
 * current has CAP_FSETID, and so do its file capabilities. */
void inode_drop_privileges_locked(struct inode *i) REQUIRES(i->lock);
int file_stat(struct file *f, struct kstat *out);
/* Current owns f's inode, or may act as its owner. */
bool file_is_owners(const struct file *f);
/* Bytes in a regular file, wherever its file system keeps them (an overlay's inode has none of its
 * own); 0 for others. */
u64 file_size(struct file *f);
int vfs_setattr(const struct path *p, const struct cred *cred, const struct attr_change *ch);
/* May cred do mask (4 read, 2 write, 1 execute) to it? */
int inode_permission(struct inode *inode, const struct cred *cred, int mask);
ssize_t vfs_readlink(const struct path *p, char *buf, size_t n);
int file_readdir(struct file *f, struct dir_context *ctx);
int file_truncate(struct file *f, u64 size);
/* The path as seen from root: writes the end of buf, returns its start or ERR_PTR(-ENAMETOOLONG).
 * " (deleted)" behind a name that is gone. What does not lie under root is shown from the top of
 * its own tree; *reached is false then. */
char *path_name(const struct path *p, const struct path *root, char *buf, size_t n);
char *path_name_reached(const struct path *p, const struct path *root, char *buf, size_t n,
                        bool *reached);
/* The name is gone. */
bool path_is_unlinked(const struct path *p);
/* MS_* of mount(2) that hold there, of the mount and of its file system. */
u32 path_mount_flags(const struct path *p);
/* May set-id bits and capabilities of the file count for a program started in mount namespace ns
 * and user namespace u: no nosuid, mounted there, from a file system of u or of one above it. */
bool path_gives_rights(const struct path *p, const struct mount_ns *ns, const struct user_ns *u);
#define XATTR_CAPABILITY "security.capability"
ssize_t vfs_getxattr(const struct path *p, const struct cred *cred, const char *name, void *buf,
                     size_t n);
int vfs_setxattr(const struct path *p, const struct cred *cred, const char *name, const void *val,
                 size_t n, int flags);
int vfs_removexattr(const struct path *p, const struct cred *cred, const char *name);
ssize_t vfs_listxattr(const struct path *p, char *buf, size_t n);
int vfs_statfs(const struct path *p, struct statfs_k *out);
/* Creates and opens an inode without a name: memfd, shared memory. ERR_PTR on error. */
struct file *tmpfs_create_unlinked(const char *name, u64 size, unsigned o_flags, bool sealable);
/* Adds seals (F_SEAL_*); what then holds, or -EINVAL (no file in memory, no such seal), -EPERM,
 * -EBUSY. */
s64 tmpfs_seals(struct file *f, u32 add);

/* flock(2) and fcntl(2) record locks; owner: the descriptor table for POSIX locks. May sleep. */
int file_flock(struct file *f, int op);
enum { F_RDLCK, F_WRLCK, F_UNLCK }; /* types of locks and leases */
struct flock_k {
    s16 type, whence;
    s64 start, len;
    s32 pid;
};
int file_lock(struct file *f, void *owner, int cmd, struct flock_k *fl);
void file_lock_release(struct file *f, void *owner);
/* F_SETLEASE by the descriptor fd. 0; -EINVAL: no such lease, or no file that holds data; -EACCES:
 * another's file; -EAGAIN: it is open otherwise, or there is none to give back; -ENOLCK; -ENOMEM.
 */
int file_lease_set(struct file *f, s32 fd, s32 type);
/* F_GETLEASE: what f has, or what it will have after the break under way. */
int file_lease_get(struct file *f);
extern u32 lease_break_seconds; /* a  /proc/sys/fs/lease-break-time */

/* Mounts and mount namespaces. flags: MS_* of mount(2). */
int vfs_mount(const struct walk_ctx *ctx, const char *source, const struct path *target,
              const char *type, unsigned long flags, const char *options);
/* Takes target's references in any case: another one of a path in the mount is what makes it busy.
 */
int vfs_umount(const struct walk_ctx *ctx, const struct path *target, int flags);
int vfs_pivot_root(const struct walk_ctx *ctx, const struct path *new_root,
                   const struct path *put_old);
/* pivot_root(2) and chroot move other processes' roots: kernel/proc defines it (vfs/up.h). */
void up_move_roots(const struct path *from, const struct path *to);
/* Rewrites *root and *cwd (NULL allowed) to the copies. */
struct mount_ns *mount_ns_copy(struct mount_ns *ns, struct user_ns *user_ns, struct path *root,
                               struct path *cwd) __must_check;
void mount_ns_get(struct mount_ns *ns);
void mount_ns_put(struct mount_ns *ns);
u64 mount_ns_inum(const struct mount_ns *ns);
struct user_ns *mount_ns_owner(const struct mount_ns *ns); /* borrowed */
void mount_ns_root(struct mount_ns *ns, struct path *out); /* references: for setns */
extern struct mount_ns *mount_ns_init;                     /* rootfs is mounted by INIT_VFS */
/* Calls fn for every mount of ns: /proc/<pid>/mounts, mountinfo. */
struct mount_info {
    u64 id, parent_id, dev;
    const char *type, *source;
    struct path where;   /* the mount point, in the parent mount */
    struct path root_of; /* what of the file system is shown */
    u32 flags;           /* MS_* of this mount */
    struct super *super;
};
int mount_ns_for_each(struct mount_ns *ns, int (*fn)(const struct mount_info *mi, void *arg),
                      void *arg);
struct waitq *mount_ns_waitq(struct mount_ns *ns); /* woken by each change */
u64 mount_ns_changes(const struct mount_ns *ns);

/* For file systems. Those with a store have cached inodes instead: vfs/cached_inode.h. */
struct inode *inode_create(struct super *s, u32 mode, const struct inode_ops *ops,
                           const struct file_ops *fops) __must_check; /* ref 1; times now */
/* A device number (st_dev) for a file system without a device: major 0, never given out again. */
u64 super_dev_alloc(void);
void inode_get(struct inode *i);
void inode_put(struct inode *i);
/* Mode and owner as they were together at one moment. May sleep. */
struct inode_owner {
    u32 mode;
    kuid_t uid;
    kgid_t gid;
};
void inode_get_owner(struct inode *i, struct inode_owner *out);
/* For an RCU reader; false: vfs_stat, with a reference, can tell. */
bool inode_peek_stat(const struct inode *i, struct kstat *out) __must_check;
void inode_fill_stat(const struct inode *i, struct kstat *out);
void dentry_instantiate(struct dentry *d, struct inode *i); /* takes the reference */
const char *dentry_name(const struct dentry *d, size_t *len);
struct inode *dentry_inode(const struct dentry *d); /* NULL: negative */
/* The parent at this moment, with a reference; d itself at a root. d is referenced. */
struct dentry *dentry_get_parent(struct dentry *d);
u64 dentry_parent_ino(struct dentry *d); /* for readdir's ".." */
struct dentry *dentry_create_root(struct inode *root) __must_check;
struct timespec_k vfs_now(void);
struct timespec_k vfs_time(u64 ns); /* of time_ns() */
