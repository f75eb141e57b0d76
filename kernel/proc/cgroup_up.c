/* SPDX-License-Identifier: MIT
 *
 * What container asks of processes: how large one is, and its end. What vfs asks of container about
 * the current one.
 */
#include "container/device_filter.h"
#include "container/up.h"
#include "proc/proc.h"
#include "sched/up.h"
#include "vfs/up.h"
#include "vm/aspace.h"

/* Asked by vfs. A kernel thread is bound by nothing. */
bool up_device_allowed(bool block, u32 major, u32 minor, unsigned access)
{
    struct device_access a = {access << 16 | (block ? DEVICE_BLOCK : DEVICE_CHAR), major, minor};
    bool yes;

    if (!current_task())
        return true;
    rcu_read_lock();
    yes = cgroup_device_allowed(READ_ONCE(current_process()->cgroup.group), &a);
    rcu_read_unlock();
    return yes;
}

static struct process *member_process(struct cgroup_member *m)
{
    return container_of(m, struct process, cgroup);
}

/* Pages, shifted by oom_score_adj in thousandths of them; -1000 exempts. */
u64 up_oom_score(struct cgroup_member *m)
{
    struct process *p = member_process(m);
    u64 flags, pages = 0;

    spin_lock_irqsave(&p->siglock, &flags);
    if (p->aspace && !p->group_exit)
        pages = p->aspace->rss_anon + p->aspace->rss_file / 8 + 1;
    spin_unlock_irqrestore(&p->siglock, flags);
    if (!pages || p->oom_score_adj <= -1000 || (p->ns_init && process_pid_ns(p) == &pid_ns_init))
        return 0;
    s64 score = (s64)pages + (s64)pages * p->oom_score_adj / 1000;
    return score > 0 ? (u64)score : 1;
}

bool up_oom_dying(struct cgroup_member *m)
{
    struct process *p = member_process(m);
    bool dying;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    dying = p->emptying || (p->aspace && p->group_exit);
    spin_unlock_irqrestore(&p->siglock, flags);
    return dying;
}

void up_oom_kill(struct cgroup_member *m)
{
    signal_kill_process(member_process(m));
}

bool up_cgroup_kill(struct cgroup_member *m)
{
    struct process *p = member_process(m);
    bool ends = READ_ONCE(p->group_exit);

    signal_kill_process(p);
    return !ends && READ_ONCE(p->group_exit);
}

void up_cgroup_hold(struct cgroup_member *m)
{
    ASSERT_HELD(&m->group->lock);
    process_get(member_process(m));
}

void up_cgroup_let_go(struct cgroup_member *m)
{
    process_put(member_process(m));
}

static int task_apply_cpus(struct task *t, void *arg)
{
    thread_apply_cpus(t->thread);
    return 0;
}

void up_cgroup_cpus(struct cgroup_member *m)
{
    process_for_each_task(member_process(m), task_apply_cpus, NULL);
}

static int task_throttle(struct task *t, void *arg)
{
    thread_work_set(t->thread, WORK_THROTTLE);
    return 0;
}

void up_cgroup_freeze(struct cgroup_member *m)
{
    process_for_each_task(member_process(m), task_throttle, NULL);
}

static int task_is_awake(struct task *t, void *arg)
{
    return !t->exiting && READ_ONCE(t->thread->state) != THREAD_SLEEPING;
}

bool up_cgroup_awake(struct cgroup_member *m)
{
    return process_for_each_task(member_process(m), task_is_awake, NULL);
}

void up_thread_frozen(struct thread *t)
{
    if (t->task)
        cgroup_frozen_notify(&t->task->process->cgroup);
}

static int task_follow_one(struct task *t, void *arg)
{
    ASSERT_HELD(&t->process->cgroup.lock);
    task_follow_cgroup_locked(t);
    return 0;
}

int process_move_to_cgroup(struct process *p, struct cgroup *to)
{
    int err = cgroup_move(&p->cgroup, to);

    if (!err)
        process_for_each_task(p, task_follow_one, NULL);
    return err;
}

void task_follow_cgroup_locked(struct task *t)
{
    struct cgroup_member *m = &t->process->cgroup;

    ASSERT_HELD(&t->process->cgroup.lock);
    thread_set_group(t->thread, m->group->sched);
    thread_apply_cpus(t->thread); /* changed since a new thread has copied its maker's, maybe */
}
