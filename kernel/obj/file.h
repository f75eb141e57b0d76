/* SPDX-License-Identifier: MIT
 *
 * struct file: all that a descriptor can name. A layer that makes one fills file_ops; NULL members
 * get the error that Linux gives (-EINVAL, -ENOTTY, -ESPIPE...), never success.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"
#include "obj/cred.h"
#include "obj/poll.h"
#include "sched/mutex.h"
#include "sync/rcu.h"
#include "sync/refcount.h"
#include "vm/iov.h"
#include "vm/object.h"

struct file;
struct path;
struct dentry;
struct mount;
struct inode;
struct cred;
struct map_request;
struct kstat;
struct pid;

enum { /* sync_file_range(2) */
       SYNC_FILE_RANGE_WAIT_BEFORE = 1,
       SYNC_FILE_RANGE_WRITE = 2,
       SYNC_FILE_RANGE_WAIT_AFTER = 4,
};

enum { /* posix_fadvise(2) */
       FADVISE_NORMAL,
       FADVISE_RANDOM,
       FADVISE_SEQUENTIAL,
       FADVISE_WILLNEED,
       FADVISE_DONTNEED,
       FADVISE_NOREUSE,
};

/* As F_SETOWN_EX numbers them. */
enum file_owner { FILE_OWNER_THREAD, FILE_OWNER_PROCESS, FILE_OWNER_GROUP };

struct dir_context {
    /* Adds one entry; false: the buffer is full, stop. type: DT_*. */
    bool (*emit)(struct dir_context *ctx, const char *name, size_t len, u64 ino, unsigned type);
    loff_t pos;
};

struct file_ops {
    const char *name; /* "pipe", "socket": how /proc/<pid>/fd shows it when it has no path */
    u32 anon_mode;    /* st_mode of a file without a name; 0: 0600 */
    /* Where the object keeps its inode, once made, if several files are of one object. */
    struct inode **(*inode_slot)(struct file *f);
    /* pos: points to file->pos, or to a private copy (pread); a stream ignores it. May sleep. */
    ssize_t (*read)(struct file *f, struct iov_iter *to, loff_t *pos);
    ssize_t (*write)(struct file *f, struct iov_iter *from, loff_t *pos);
    /* The pages with up to n bytes from pos on, instead of a copy: as mem_object_parts. NULL: there
     * are none. */
    int (*parts)(struct file *f, struct page_part *out, unsigned nr, loff_t pos, u64 n);
    loff_t (*seek)(struct file *f, loff_t off, int whence);
    /* Registers with pt's queues (pt may be NULL) and returns the POLL* bits that hold now. */
    u32 (*poll)(struct file *f, struct poll_table *pt);
    /* -ENOTTY for an unknown command. arg is a user address or a number. */
    s64 (*ioctl)(struct file *f, unsigned cmd, u64 arg);
    /* Fills req->object (a reference), offset, max_prot; sees prot and AREA_SHARED. */
    int (*mmap)(struct file *f, struct map_request *req);
    int (*readdir)(struct file *f, struct dir_context *ctx);
    /* What the file holds is on its store; an error that this descriptor has not reported yet.
     * NULL: -EINVAL. Context: may sleep. */
    int (*fsync)(struct file *f, bool data_only);
    /* sync_file_range(2) of bytes [from, to); flags: SYNC_FILE_RANGE_*. NULL: as fsync. */
    int (*sync_range)(struct file *f, u64 from, u64 to, unsigned flags);
    /* posix_fadvise(2) about bytes [from, to); advice: FADVISE_*. NULL: it changes nothing. */
    void (*advise)(struct file *f, u64 from, u64 to, unsigned advice);
    int (*truncate)(struct file *f, u64 size);
    int (*fallocate)(struct file *f, int mode, u64 off, u64 len);
    int (*lock_flush)(struct file *f, void *owner); /* each close(2) */
    int (*set_flags)(struct file *f,
                     unsigned flags); /* fcntl F_SETFL changed O_NONBLOCK|O_ASYNC... */
    void (*release)(struct file *f);  /* the last reference is gone */
    int (*stat)(struct file *f, struct kstat *out);     /* files without an inode */
    int (*fdinfo)(struct file *f, char *buf, size_t n); /* extra lines of /proc/<pid>/fdinfo/<fd> */
};

/* I immutable · p pos_lock · a atomic */
struct file {
    const struct file_ops *ops; /* I */
    refcount_t ref;             /* a */
    u32 flags;                  /* a  O_* of open(2); the access mode is immutable */
    struct mutex pos_lock;      /*    read/write/lseek of seekable files */
    loff_t pos;                 /* p */
    struct dentry *dentry;      /* I  vfs: a reference, NULL for anonymous files */
    struct mount *mount;        /* I  vfs: a reference */
    struct inode *inode;        /* I  vfs: borrowed from dentry */
    const struct cred *cred;    /* I  the opener's; a reference */
    bool counts_writer;         /* I  vfs: inode->writers counts it */
    bool counts_reader;         /* I  vfs: inode->readers counts it */
    bool denies_writers;        /* o  vfs: counted the other way, it is being executed */
    u32 version;                /* I  a pipe's reader: writers that had opened it before */
    u32 data_error;             /* watch_lock  errors of write-back that it has seen */
    u32 super_error;            /* watch_lock  the same of all of the file system */
    struct read_ahead ahead;    /* a  of a file with a store */
    void *priv;                 /* I  the layer's object */
    struct list_node watchers;  /*    watch_lock  epoll items; obj/epoll.c */
    u32 nr_watchers;            /*    watch_lock */
    struct spinlock watch_lock;
    struct inode *anon_inode; /* a  of a file without a name, once asked for; a reference */
    u64 anon_ino;             /* I  number of such a file: pipe:[N]; 0: none */
    u64 anon_born;            /* I  time_ns() */
    kuid_t anon_uid;          /* I  its maker's */
    kgid_t anon_gid;          /* I */
    union {
        struct rcu_head rcu;
        struct file *closing_next; /* its last reference has gone: file_put */
    };
    struct pid *owner;            /* watch_lock  F_SETOWN: a reference, or NULL */
    u32 owner_type;               /* watch_lock  enum file_owner */
    u32 owner_sig;                /* a  F_SETSIG */
    kuid_t owner_uid, owner_euid; /* watch_lock  who named the owner, and signals in that right */
};

/* Whom a file's signals are for, and in whose right. */
struct file_owner_ref {
    struct pid *pid; /* a reference */
    u32 type;        /* enum file_owner */
    kuid_t uid, euid;
};
/* False: no owner was named. */
bool file_owner_hold(struct file *f, struct file_owner_ref *out);

/* A file with one reference and nothing named; ops->release runs at the last put. NULL: no memory.
 */
struct file *file_create(const struct file_ops *ops, u32 flags, void *priv) __must_check;
/* A file without a name is made now, by the current thread. */
void file_born(struct file *f);
static inline void file_get(struct file *f)
{
    refcount_get(&f->ref);
}
/* May run release; Context: may sleep. */
void file_put(struct file *f);
static inline bool file_readable(const struct file *f)
{
    return (f->flags & 3) != 1;
}
static inline bool file_writable(const struct file *f)
{
    return (f->flags & 3) != 0;
}
/* For look-ups under RCU: false when the last reference is gone. */
static inline __must_check bool file_get_unless_zero(struct file *f)
{
    return refcount_get_unless_zero(&f->ref);
}
/* What the system calls use: check mode and position rules, then call ops. pos NULL: the file's own
 * position, moved under pos_lock; else a private one (pread), -ESPIPE where there is none. */
ssize_t file_read(struct file *f, struct iov_iter *to, loff_t *pos);
ssize_t file_write(struct file *f, struct iov_iter *from, loff_t *pos);
ssize_t file_read_kernel(struct file *f, void *buf, size_t n, loff_t pos);
ssize_t file_write_kernel(struct file *f, const void *buf, size_t n, loff_t pos);
u64 file_open_count(void); /* all open files of the system */

/* O_* as x86-64 Linux has them (asm-generic/fcntl.h). */
#define O_ACCMODE 3
#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#define O_CREAT 0100
#define O_EXCL 0200
#define O_NOCTTY 0400
#define O_TRUNC 01000
#define O_APPEND 02000
#define O_NONBLOCK 04000
#define O_DSYNC 010000
#define O_ASYNC 020000
#define O_DIRECT 040000
#define O_LARGEFILE 0100000
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000
#define O_NOATIME 01000000
#define O_CLOEXEC 02000000
#define O_SYNC 04010000
#define O_PATH 010000000
#define O_TMPFILE 020200000
