/* SPDX-License-Identifier: MIT
 *
 * The pseudo-file tree: how any layer gives itself files under /proc, /sys and the cgroup tree. A
 * node is a constant template in a linker table (PSEUDO_FILE) or is made at run time
 * (pseudo_create). Text is produced whole, into a growing buffer, at the first read; so what a
 * reader sees is consistent. Only what grows with a program's doings comes in parts (show_part).
 */
#pragma once

#include "lib/types.h"
#include "vfs/up.h"
#include "vfs/vfs.h"

/* A growing text buffer; past 16 MiB, or on no memory, it is marked failed. */
struct seq {
    char *buf;
    size_t len, cap;
    bool failed;
};
void seq_printf(struct seq *s, const char *fmt, ...) __printf(2, 3);
void seq_write(struct seq *s, const void *data, size_t n);

#define PSEUDO_ALL_SHOWN U64_MAX

/* That a text has changed: how often, and those who wait for it. */
struct pseudo_changes {
    u64 count; /* a  from 1 on */
    struct waitq wait;
};
void pseudo_changes_init(struct pseudo_changes *c);
void pseudo_changed(struct pseudo_changes *c); /* irq-safe */

struct device;
struct pseudo_node;
struct pseudo_ops {
    int (*show)(struct pseudo_node *node, struct seq *out, const struct cred *cred);
    /* Instead of show, for text that may be long: appends what comes at *from (0: the start), some
     * pages of it, and moves *from on; PSEUDO_ALL_SHOWN: that was the rest. */
    int (*show_part)(struct pseudo_node *node, u64 *from, struct seq *out, const struct cred *cred);
    /* One write(2), copied and NUL-terminated, at most 4095 bytes; cred: the opener's. Bytes taken
     * or -errno. */
    ssize_t (*store)(struct pseudo_node *node, char *text, size_t n, const struct cred *cred);
    const struct file_ops *fops; /* instead of show and store: full control */
    ssize_t (*readlink)(struct pseudo_node *node, char *buf, size_t n);
    int (*follow)(struct pseudo_node *node, const struct cred *cred, struct path *out);
    /* Computed directory (/proc/<pid>): finds or makes a child (a reference, or ERR_PTR); lists. */
    struct pseudo_node *(*lookup)(struct pseudo_node *dir, const char *name, size_t len);
    int (*list)(struct pseudo_node *dir, struct dir_context *ctx);
    /* The same, of a directory that has other names in other mounts: s->priv says which mount. */
    struct pseudo_node *(*lookup_in)(const struct super *s, struct pseudo_node *dir,
                                     const char *name, size_t len);
    int (*list_in)(const struct super *s, struct pseudo_node *dir, struct dir_context *ctx);
    int (*mkdir)(struct pseudo_node *dir, const char *name, u32 mode); /* cgroup */
    int (*rmdir)(struct pseudo_node *dir, struct pseudo_node *child);
    u32 (*poll)(struct pseudo_node *node, struct file *f, struct poll_table *pt);
    /* Instead of poll, of a file that is looked up anew each time: polls tell POLLERR and POLLPRI
     * from a change until the next read, and inotify tells IN_MODIFY. Lives as long as the node. */
    struct pseudo_changes *(*changes)(struct pseudo_node *node);
    int (*permission)(struct pseudo_node *node, const struct cred *cred, int mask);
    void (*owner)(struct pseudo_node *node, kuid_t *uid, kgid_t *gid);
    void (*destroy)(struct pseudo_node *node); /* the last reference: drop priv */
    /* Of nodes that are looked up anew and have a priv of their own each time: whether two of these
     * ops mean the same thing. NULL: when their priv is one. */
    bool (*same)(const struct pseudo_node *a, const struct pseudo_node *b);
};

struct pseudo_node {
    const char *name; /* a copy (made at run time) or static */
    u32 mode;         /* S_IF* | permissions */
    const struct pseudo_ops *ops;
    void *priv;
    refcount_t ref;
    u64 ino;
    struct pseudo_node *parent;
    struct list_node children, sibling; /* tree lock */
    struct pseudo_node *base; /* I  its fixed children are seen here too (never freed); or NULL */
    bool revalidate;          /* looked up anew each time: it may vanish (/proc/<pid>) */
    struct pseudo_teller *teller; /* a  pseudo_changes.c; or NULL */
};

/* PSEUDO_FILE(ostype) = {"proc", "sys/kernel/ostype", 0444, &ops}: directories on the way are made.
 * Trees: "proc", "sysfs". */
struct pseudo_file {
    const char *tree, *path;
    u32 mode; /* type bits optional: a regular file; with lookup a directory; with readlink a link
               */
    const struct pseudo_ops *ops;
    void *priv;
};
#define PSEUDO_FILE(id) TABLE_ENTRY(struct pseudo_file, pseudo_files, #id)

/* A child with one reference for the caller and one for the tree; NULL: no memory, or the name is
 * taken. parent NULL: a loose node, for computed directories and new roots. */
struct pseudo_node *pseudo_create(struct pseudo_node *parent, const char *name, u32 mode,
                                  const struct pseudo_ops *ops, void *priv) __must_check;
void pseudo_clear(struct pseudo_node *node); /* all below it */
void pseudo_get(struct pseudo_node *node);
/* What mode and owner allow: 0 or -EACCES. */
int pseudo_may(struct pseudo_node *node, const struct cred *cred, int mask);
void pseudo_put(struct pseudo_node *node);
/* The root node of a tree: made at INIT_VFS. */
struct pseudo_node *pseudo_root(const char *tree);
/* For fs types over such a tree (proc, sysfs, cgroup2): a super whose root is `root`. */
int pseudo_super(const struct fs_type *type, struct pseudo_node *root, void *priv,
                 struct super **out) __must_check;
struct pseudo_node *pseudo_of_file(const struct file *f);

/* Directories of a class below devices, whose names differ from mount to mount: network interfaces
 * of a namespace in /sys/devices/.../net. */
struct sys_class {
    const char *name;
    /* The directory of those below parent, a struct device: a loose node, NULL (there are none), or
     * ERR_PTR. Context: may sleep. */
    struct pseudo_node *(*below)(const struct super *s, struct device *parent);
};
#define SYS_CLASS(id) TABLE_ENTRY(struct sys_class, sys_classes, #id)
/* Any file: is it one over a node with these ops? */
bool pseudo_file_is(const struct file *f, const struct pseudo_ops *ops);
/* The mounts of ns that are reachable from root, as /proc/<pid>/mounts, or as mountinfo has them.
 */
int mount_ns_show(struct mount_ns *ns, const struct path *root, struct seq *out, bool info);
/* ops->poll of such a file: POLLERR and POLLPRI once after mounts have changed. The file keeps the
 * namespace of its first poll. */
u32 mount_ns_poll(struct mount_ns *ns, struct file *f, struct poll_table *pt);
