/* SPDX-License-Identifier: MIT
 *
 * The namespaces of a task, as one immutable counted set: clone shares the set, unshare and setns
 * replace it. The user namespace is in the credentials, the task's own pid namespace in its pid.
 */
#pragma once

#include "lib/types.h"
#include "proc/sysv/sysv.h"
#include "proc/time_ns.h"
#include "sync/refcount.h"

struct cgroup_ns;
struct cred;
struct file;
struct mount_ns;
struct net_ns;
struct path;
struct pid_ns;
struct task;
struct user_ns;

#define CLONE_NEWTIME 0x00000080UL
#define CLONE_VM 0x00000100UL
#define CLONE_FS 0x00000200UL
#define CLONE_FILES 0x00000400UL
#define CLONE_SIGHAND 0x00000800UL
#define CLONE_PIDFD 0x00001000UL
#define CLONE_PTRACE 0x00002000UL
#define CLONE_VFORK 0x00004000UL
#define CLONE_PARENT 0x00008000UL
#define CLONE_THREAD 0x00010000UL
#define CLONE_NEWNS 0x00020000UL
#define CLONE_SYSVSEM 0x00040000UL
#define CLONE_SETTLS 0x00080000UL
#define CLONE_PARENT_SETTID 0x00100000UL
#define CLONE_CHILD_CLEARTID 0x00200000UL
#define CLONE_DETACHED 0x00400000UL
#define CLONE_UNTRACED 0x00800000UL
#define CLONE_CHILD_SETTID 0x01000000UL
#define CLONE_NEWCGROUP 0x02000000UL
#define CLONE_NEWUTS 0x04000000UL
#define CLONE_NEWIPC 0x08000000UL
#define CLONE_NEWUSER 0x10000000UL
#define CLONE_NEWPID 0x20000000UL
#define CLONE_NEWNET 0x40000000UL
#define CLONE_IO 0x80000000UL
#define CLONE_CLEAR_SIGHAND 0x100000000UL
#define CLONE_INTO_CGROUP 0x200000000UL
#define CLONE_NS_FLAGS                                                                             \
    (CLONE_NEWTIME | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
     CLONE_NEWPID | CLONE_NEWNET)

#define UTS_LEN 65
struct uts_ns {
    refcount_t ref;
    u64 inum;
    struct user_ns *user_ns;
    char nodename[UTS_LEN], domainname[UTS_LEN]; /* words torn by a race are harmless */
};

struct nsset {
    refcount_t ref;
    struct mount_ns *mount;
    struct uts_ns *uts;
    struct ipc_ns *ipc;
    struct net_ns *net;
    struct pid_ns *pid_for_children;
    struct cgroup_ns *cgroup;
    struct time_ns *time, *time_for_children;
};

extern struct nsset nsset_init;
/* Before PID 1: the parts that are made at run time. */
void nsset_init_boot(void);
/* A child enters the time namespace its parent prepared. The set is still private. */
void nsset_enter_time(struct nsset *ns);
void nsset_get(struct nsset *ns);
void nsset_put(struct nsset *ns);
/* A set with new namespaces where flags has CLONE_NEW*, the others shared. With CLONE_NEWNS fs is
 * no other task's: its paths are moved to the copied mount namespace; else it is left alone.
 * Privilege is checked. ERR_PTR on error. May sleep. */
struct fs_context;
struct nsset *nsset_copy(struct nsset *from, u64 flags, const struct cred *cred,
                         struct fs_context *fs) __must_check;
/* unshare(2) and setns(2) for current. */
int ns_unshare(u64 flags);
/* Current's credentials in a new user namespace. ERR_PTR: those of user_ns_create, or -EPERM:
 * current's root is not its mount namespace's (user_namespaces(7)), and it could leave that root
 * again by chroot(2). */
struct cred *ns_new_user(void) __must_check;
int ns_setns(struct file *f, u64 nstype);
/* The entries of /proc/<pid>/ns by number. */
#define NS_KINDS 10
const char *ns_name(unsigned kind); /* NULL past the last */
/* The file that setns(2) takes: a reference, or ERR_PTR: -ESRCH t has exited, -ENOMEM. */
struct file *ns_open(struct task *t, unsigned kind);
/* The link's text, "mnt:[4026531841]": its length, or -ENOENT: t has exited. */
int ns_link(struct task *t, unsigned kind, char *buf, size_t n);
/* The same of a file that ns_open has made. */
int ns_file_name(struct file *f, char *buf, size_t n);
