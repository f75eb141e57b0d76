/* SPDX-License-Identifier: MIT
 *
 * Between building what clone makes (fork.c) and publishing it (fork_publish.c).
 */
#pragma once

#include "container/cgroup.h"
#include "proc/nsset.h"
#include "proc/proc_priv.h"

/* What clone is making; each member is set once it is to be undone. */
struct clone_job {
    const struct clone_args_k *args;
    struct task *task;
    struct process *process; /* new, or NULL for a thread */
    struct pid *pid;
    struct cgroup *into;
    struct file *pidfd_file;
    int pidfd;
    bool charged;
    u64 shared_signal;         /* the parent's when it began */
    struct completion started; /* CLONE_VFORK: exec or exit of the child */
};

/* The namespace that the new task has its number in. */
static inline struct pid_ns *clone_pid_ns(const struct clone_job *j)
{
    return j->process ? j->task->ns->pid_for_children : current_pid_ns();
}

/* Makes j's parts visible, whole. -ERESTARTNOINTR: the caller's signals come first; -ENOMEM: its
 * pid namespace has no init, or will not have it for long. On errors nothing is visible. */
int clone_publish(struct clone_job *j) __must_check;
