/* SPDX-License-Identifier: MIT
 *
 * The last step of clone: under the process's cgroup lock, proc_lock and siglock, in this order,
 * the new task becomes visible, unless the caller has been told to die or to take a signal
 * meanwhile.
 */
#include "proc/fork_priv.h"

#include "container/seccomp.h"
#include "lib/log.h"
#include "proc/up.h"

COUNTER(tasks_created);

/* The parent, and its signal at the child's end: a sister's maker chooses no signal for the parent.
 * REQUIRES(proc_lock) */
static void clone_link_parent_locked(struct clone_job *j) REQUIRES(proc_lock)
{
    struct process *me = current_process(), *p = j->process;
    bool sister = j->args->flags & CLONE_PARENT;

    ASSERT_HELD(&proc_lock);
    p->exit_signal = sister ? me->exit_signal : j->args->exit_signal;
    p->parent_exec_id = sister ? me->parent_exec_id : me->exec_id;
    process_set_parent_locked(p, sister ? me->parent : me);
}

/* REQUIRES(proc_lock) */
static void clone_link_process_locked(struct clone_job *j) REQUIRES(proc_lock)
{
    struct process *me = current_process(), *p = j->process;

    ASSERT_HELD(&proc_lock);
    clone_link_parent_locked(j);
    p->leader = j->task;
    task_get(j->task);
    if (p->ns_init && clone_pid_ns(j) != current_pid_ns())
        clone_pid_ns(j)->reaper = p;
    process_link_group_locked(p, me->pgrp);
    process_link_session_locked(p, me->session);
    p->tty = me->tty;
    if (p->tty)
        up_tty_get(p->tty);
    spin_lock(&j->pid->lock);
    list_add_tail(&j->pid->tasks[PID_TGID], &p->tgid_node);
    spin_unlock(&j->pid->lock);
}

/* A sibling may have given all threads a longer chain since this one was copied.
 * REQUIRES(siglock of current's process) */
static void clone_seccomp_locked(struct task *t) REQUIRES(current_process()->siglock)
{
    struct task *me = current_task();
    struct seccomp *old = t->seccomp;

    ASSERT_HELD(&current_process()->siglock);
    t->no_new_privs = me->no_new_privs;
    t->entry_work = me->entry_work;
    if (old == me->seccomp)
        return;
    t->seccomp = me->seccomp;
    seccomp_get(t->seccomp);
    seccomp_put(old);
}

/* Is the caller to end, though it may not have been told yet? */
static bool clone_maker_ends(const struct task *me)
{
    const struct process *p = me->process;

    return p->group_exit || (p->group_exec && p->group_exec != me);
}

/* Are there signals to be taken first: for a thread any, for a process what was sent to its parent
 * and others, among whom it would have been. What the parent alone was sent waits: a timer's could
 * come again and again before the fork is through. */
static bool clone_is_late(const struct clone_job *j, const struct task *me)
{
    if (j->process)
        return me->process->shared_signal != j->shared_signal;
    return signal_pending(me) || task_is_to_stop(me);
}

/* May it be made visible? -ERESTARTNOINTR: it begins again after the caller's signals; -ENOMEM: its
 * pid namespace has no init, or will not have it for long. */
static int clone_publish_check(const struct clone_job *j)
{
    const struct task *me = current_task();
    const struct pid_ns *ns = clone_pid_ns(j);

    if (ns->dying || (j->process && !ns->reaper && !j->process->ns_init))
        return -ENOMEM;
    if (clone_maker_ends(me) || clone_is_late(j, me))
        return -ERESTARTNOINTR;
    return 0;
}

int clone_publish(struct clone_job *j)
{
    struct process *p = j->task->process;
    u64 flags;
    int err;

    DELAYPOINT(clone_publish);
    spin_lock_irqsave(&p->cgroup.lock, &flags); /* who moves the process sees the new thread */
    spin_lock(&proc_lock);
    /* The end or stop of a thread, which is its siblings' too, cannot miss it, nor a filter for all
     * threads the child of one. */
    spin_lock_pair(&p->siglock, &current_process()->siglock);
    err = clone_publish_check(j);
    DELAYPOINT(clone_link);
    if (!err) {
        clone_seccomp_locked(j->task);
        p->shared_signal = current_process()->shared_signal;
        process_link_task_locked(p, j->task);
        p->nr_tasks++;
        p->nr_alive++;
        if (p->group_exit) /* it was killed with its control group before it was */
            thread_work_set(j->task->thread, WORK_SIGNAL | WORK_KILL);
    }
    spin_unlock_pair(&p->siglock, &current_process()->siglock);
    if (!err) {
        if (j->process)
            clone_link_process_locked(j);
        spin_lock(&j->pid->lock);
        list_add_tail(&j->pid->tasks[PID_TID], &j->task->pid_node);
        spin_unlock(&j->pid->lock);
        ASSERT_HELD(&j->task->process->cgroup.lock); /* the same lock, as the callee names it */
        task_follow_cgroup_locked(j->task);
    }
    spin_unlock(&proc_lock);
    spin_unlock_irqrestore(&p->cgroup.lock, flags);
    if (!err)
        COUNT(tasks_created);
    return err;
}

u64 process_count_created(void)
{
    return READ_ONCE(counter_tasks_created);
}
