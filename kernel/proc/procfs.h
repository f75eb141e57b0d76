/* SPDX-License-Identifier: MIT
 *
 * Shared by the files that make /proc/<pid>.
 */
#pragma once

#include "proc/proc.h"
#include "vfs/pseudo.h"
#include "vm/aspace.h"

enum { PID_NODE_PROCESS, PID_NODE_THREAD }; /* pid_node.number of a directory and its files */
struct pid_node {
    struct task *task;    /* a reference */
    struct pid_ns *ns;    /* the mount's: whose numbers are shown; a reference */
    u32 number;           /* descriptor, kind of link or namespace */
    struct file *ns_file; /* of a node behind a link in ns/; a reference or NULL */
};
static inline struct task *pid_node_task(const struct pseudo_node *node)
{
    return ((struct pid_node *)node->priv)->task;
}
struct pseudo_node *pid_node_create(struct pid_ns *ns, const char *name, u32 mode,
                                    const struct pseudo_ops *ops, struct task *t, u32 number);
/* The directory of a process or thread, its fd and fdinfo. */
extern const struct pseudo_ops procfs_pid_ops, procfs_fd_ops, procfs_fdinfo_ops;
#define PROCFS_DIR_BASE 0x10000 /* positions of computed entries: base + number */
/* A decimal name without leading zeros; false: it is none. */
bool procfs_number(const char *name, size_t len, u32 *out);
/* A path as current sees it: bytes, or -errno. */
ssize_t procfs_path_text(const struct path *p, char *buf, size_t n);
void pid_node_destroy(struct pseudo_node *node);
void pid_node_owner(struct pseudo_node *node, kuid_t *uid, kgid_t *gid);

struct pid_file {
    const char *name;
    u32 mode;
    struct pseudo_ops ops;
};
extern const struct pid_file pid_files[];
extern const unsigned pid_file_count;
/* procfs_cpus.c: the present ones of mask, in words of 32 bits, the highest first ("3"), or as
 * ranges ("0-3,5"); with a newline. */
void procfs_cpumask(struct seq *out, u64 mask);
void procfs_cpulist(struct seq *out, u64 mask);
/* procfs_net.c: the directory net */
extern const struct pseudo_ops procfs_net_ops;
/* Between the parts of a long read: yields; true when the reader is to end. */
static inline bool procfs_interrupted(void)
{
    cond_yield();
    return thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE);
}
/* procfs_mem.c */
extern const struct file_ops procfs_mem_fops, procfs_pagemap_fops;
/* procfs_account.c */
#define PROCFS_SHOW(fn) int fn(struct pseudo_node *node, struct seq *out, const struct cred *cred)
#define PROCFS_STORE(fn) \
    ssize_t fn(struct pseudo_node *node, char *text, size_t n, const struct cred *cred)
PROCFS_SHOW(procfs_io_show);
PROCFS_SHOW(procfs_loginuid_show);
PROCFS_STORE(procfs_loginuid_store);
PROCFS_SHOW(procfs_sessionid_show);
PROCFS_SHOW(procfs_personality_show);
PROCFS_SHOW(procfs_schedule_show);
PROCFS_SHOW(procfs_oom_adj_old_show);
PROCFS_STORE(procfs_oom_adj_old_store);
/* -1000..1000. -EINVAL, -EACCES: only privilege makes a process safer. */
int procfs_set_oom_adj(struct process *p, s64 value, const struct cred *opener) __must_check;
/* procfs_maps.c */
int procfs_smaps_rollup_show(struct pseudo_node *node, struct seq *out, const struct cred *cred);
int procfs_maps_show(struct pseudo_node *node, u64 *from, struct seq *out, const struct cred *cred);
int procfs_smaps_show(struct pseudo_node *node, u64 *from, struct seq *out,
                      const struct cred *cred);
/* procfs_ids.c */
int procfs_uid_map_show(struct pseudo_node *node, struct seq *out, const struct cred *cred);
int procfs_gid_map_show(struct pseudo_node *node, struct seq *out, const struct cred *cred);
int procfs_setgroups_show(struct pseudo_node *node, struct seq *out, const struct cred *cred);
ssize_t procfs_uid_map_store(struct pseudo_node *node, char *text, size_t n,
                             const struct cred *cred);
ssize_t procfs_gid_map_store(struct pseudo_node *node, char *text, size_t n,
                             const struct cred *cred);
ssize_t procfs_setgroups_store(struct pseudo_node *node, char *text, size_t n,
                               const struct cred *cred);
int procfs_timens_show(struct pseudo_node *node, struct seq *out, const struct cred *cred);
ssize_t procfs_timens_store(struct pseudo_node *node, char *text, size_t n,
                            const struct cred *cred);
/* procfs_mounts.c */
int procfs_mounts_show(struct pseudo_node *node, struct seq *out, const struct cred *cred);
int procfs_mountinfo_show(struct pseudo_node *node, struct seq *out, const struct cred *cred);
u32 procfs_mounts_poll(struct pseudo_node *node, struct file *f, struct poll_table *pt);
/* The namespace file behind an open /proc/<pid>/ns/NAME, borrowed from it; NULL: f is none. */
struct file *procfs_ns_file(struct file *f);
/* The pid whose directory /proc/<pid> f is: a reference, or NULL. */
struct pid *procfs_pid_of_file(struct file *f);
