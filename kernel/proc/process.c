/* SPDX-License-Identifier: MIT
 *
 * Processes and tasks as objects: life time, look-up, groups and sessions. Making and ending them
 * is fork.c's and exit.c's.
 */
#include "proc/proc.h"
#include "lib/errno.h"
#include "lib/err.h"
#include "lib/log.h"
#include "net/core/up.h"
#include "proc/fdtable.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/proc_priv.h"
#include "proc/up.h"
#include "vm/aspace.h"

struct spinlock proc_lock = SPINLOCK_INIT(RANK_PROC, 9, "proc");

void task_put(struct task *t)
{
    if (!refcount_put(&t->ref))
        return;
    struct process *p = t->process;
    cred_put(t->cred);
    pid_put(t->pid);
    thread_put(t->thread);
    task_free(t);
    process_put(p);
}

static void process_free_rcu(struct rcu_head *head)
{
    process_free(container_of(head, struct process, rcu));
}

void process_put(struct process *p)
{
    if (!refcount_put(&p->ref))
        return;
    if (p->pid) /* else it has not come to be */
        pid_put(p->pid);
    poll_queue_gone(&p->signal_wait); /* an epoll may outlive it, with a signalfd in it */
    rcu_call(&p->rcu, process_free_rcu);
}

struct process *process_of_pid(struct pid *pid)
{
    struct process *p;
    u64 flags;

    spin_lock_irqsave(&pid->lock, &flags);
    p = list_first(&pid->tasks[PID_TGID], struct process, tgid_node);
    if (p)
        process_get(p);
    spin_unlock_irqrestore(&pid->lock, flags);
    return p;
}

struct process *process_find_leader(struct pid_ns *ns, u32 nr)
{
    struct pid *pid = pid_find(ns, nr);

    if (!pid)
        return NULL;
    struct process *p = process_of_pid(pid);
    pid_put(pid);
    return p;
}

struct process *process_find(struct pid_ns *ns, u32 nr)
{
    struct process *p = NULL;
    struct task *t = task_find(ns, nr);

    if (!t)
        return NULL;
    p = t->process;
    process_get(p);
    task_put(t);
    return p;
}

struct pid *process_pgrp(struct process *p)
{
    struct pid *pgrp;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    pgrp = p->pgrp;
    pid_get(pgrp);
    spin_unlock_irqrestore(&proc_lock, flags);
    return pgrp;
}

struct task *task_of_pid(struct pid *pid)
{
    struct task *t;
    u64 flags;

    spin_lock_irqsave(&pid->lock, &flags);
    t = list_first(&pid->tasks[PID_TID], struct task, pid_node);
    if (t)
        task_get(t);
    spin_unlock_irqrestore(&pid->lock, flags);
    return t;
}

struct task *task_find(struct pid_ns *ns, u32 nr)
{
    struct pid *pid = pid_find(ns, nr);
    struct task *t = pid ? task_of_pid(pid) : NULL;

    if (pid)
        pid_put(pid);
    return t;
}

struct task *process_task(struct process *p)
{
    struct task *t = NULL;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    if (!list_empty(&p->tasks)) {
        t = p->leader;
        if (!t || t->exiting)
            t = list_first(&p->tasks, struct task, node);
        task_get(t);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    return t;
}

/* The reaping releases the leader without a lock, once the state says so. */
struct task *process_leader(struct process *p)
{
    struct task *t = NULL;
    u64 flags;

    DELAYPOINT(process_leader);
    spin_lock_irqsave(&proc_lock, &flags);
    if (p->state != PROCESS_REAPED) {
        t = p->leader;
        DELAYPOINT(process_leader_get);
        task_get(t);
    }
    spin_unlock_irqrestore(&proc_lock, flags);
    return t;
}

struct aspace *process_aspace(struct process *p)
{
    struct aspace *as;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    as = p->aspace;
    if (as)
        refcount_get(&as->users);
    spin_unlock_irqrestore(&p->siglock, flags);
    return as;
}

#define TASK_GETTER(name, type, field, get)                  \
    type *name(struct task *t)                               \
    {                                                        \
        u64 flags;                                           \
        spin_lock_irqsave(&t->process->siglock, &flags);     \
        type *it = t->field;                                 \
        if (it)                                              \
            get(it);                                         \
        spin_unlock_irqrestore(&t->process->siglock, flags); \
        return it;                                           \
    }
TASK_GETTER(task_cred, const struct cred, cred, cred_get)
TASK_GETTER(task_files, struct fd_table, files, fd_table_get)
TASK_GETTER(task_fs, struct fs_context, fs, fs_context_get)
TASK_GETTER(task_nsset, struct nsset, ns, nsset_get)

static struct user_ns *process_exec_ns(struct process *p)
{
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    struct user_ns *ns = p->exec_ns;
    user_ns_get(ns);
    spin_unlock_irqrestore(&p->siglock, flags);
    return ns;
}

/* One that a runtime has sent into current's pid namespace, and that has not become a program there
 * yet: it has its maker's memory and rights, which are not for those inside, whatever they may do
 * to each other. Such a maker makes it undumpable. */
static bool process_is_arriving(const struct process *p)
{
    return !READ_ONCE(p->dumpable) && !READ_ONCE(p->did_exec) && !READ_ONCE(p->ppid) &&
           process_pid_ns(p) == current_pid_ns() && current_pid_ns() != &pid_ns_init;
}

/* ptrace(2), "access mode checking", of one with the credentials me. */
static bool process_inspectable(struct process *p, const struct cred *me)
{
    struct task *t = process_is_arriving(p) ? NULL : process_task(p);

    if (!t)
        return false;
    const struct cred *c = task_cred(t);
    bool same = me->fsuid == c->uid && me->fsuid == c->euid && me->fsuid == c->suid &&
                me->fsgid == c->gid && me->fsgid == c->egid && me->fsgid == c->sgid;
    struct user_ns *exec_ns = process_exec_ns(p);
    /* An undumpable program that enters a user namespace is not its makers' to look at. */
    bool ok = (same && p->dumpable && c->user_ns == me->user_ns &&
               !(c->cap_permitted & ~me->cap_permitted)) ||
              (cred_capable(me, c->user_ns, CAP_SYS_PTRACE) &&
               (p->dumpable || cred_capable(me, exec_ns, CAP_SYS_PTRACE)));
    user_ns_put(exec_ns);
    cred_put(c);
    task_put(t);
    return ok;
}

bool process_may_inspect(struct process *p)
{
    return p == current_process() || process_inspectable(p, current_cred());
}

/* Nothing that is p's was not the opener's. */
static bool process_is_openers(struct process *p, const struct cred *opener)
{
    struct task *t = process_task(p);
    const struct cred *c = t ? task_cred(t) : NULL;
    bool same = c && c->user_ns == opener->user_ns && c->uid == opener->uid &&
                c->euid == opener->euid && c->suid == opener->suid && c->gid == opener->gid &&
                c->egid == opener->egid && c->sgid == opener->sgid &&
                !(c->cap_permitted & ~opener->cap_permitted);

    if (c)
        cred_put(c);
    if (t)
        task_put(t);
    return same;
}

bool process_may_inspect_as(struct process *p, const struct cred *opener)
{
    return process_may_inspect(p) &&
           (process_is_openers(p, opener) || process_inspectable(p, opener));
}

/* An exec elsewhere may replace the memory and what allows to look at it: the answer counts when
 * the memory is still p's after it. exec forbids before it publishes, allows afterwards. */
struct aspace *process_inspect_aspace_as(struct process *p, const struct cred *opener)
{
    for (;;) {
        struct aspace *as = process_aspace(p);
        bool may = opener ? process_may_inspect_as(p, opener) : process_may_inspect(p);

        if (may && as == READ_ONCE(p->aspace))
            return as;
        if (as)
            aspace_put(as);
        if (!may)
            return ERR_PTR(-EPERM);
    }
}

struct aspace *process_inspect_aspace(struct process *p)
{
    return process_inspect_aspace_as(p, NULL);
}

void process_link_group_locked(struct process *p, struct pid *pgrp)
{
    static u64 last; /* proc_lock */
    struct pid *old = p->pgrp;

    ASSERT_HELD(&proc_lock);
    if (old) {
        signal_group_leave_locked(p);
        spin_lock(&old->lock);
        list_del(&p->pgid_node);
        spin_unlock(&old->lock);
    }
    if (pgrp) {
        pid_get(pgrp);
        spin_lock(&pgrp->lock);
        list_add(&pgrp->tasks[PID_PGID], &p->pgid_node); /* signals go to the newest first */
        spin_unlock(&pgrp->lock);
        p->group_nr = ++last;
    }
    p->pgrp = pgrp;
    if (old) {
        pid_free_numbers_unused(old);
        pid_put(old);
    }
}

void process_link_session_locked(struct process *p, struct pid *session)
{
    struct pid *old = p->session;

    ASSERT_HELD(&proc_lock);
    if (old) {
        spin_lock(&old->lock);
        list_del(&p->sid_node);
        spin_unlock(&old->lock);
    }
    if (session) {
        pid_get(session);
        spin_lock(&session->lock);
        list_add_tail(&session->tasks[PID_SID], &p->sid_node);
        spin_unlock(&session->lock);
    }
    p->session = session;
    if (old) {
        pid_free_numbers_unused(old);
        pid_put(old);
    }
}

static bool process_before(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct process, zombie_node)->child_nr <
           rb_entry(b, struct process, zombie_node)->child_nr;
}

void process_set_zombie_locked(struct process *p)
{
    ASSERT_HELD(&proc_lock);
    p->state = PROCESS_ZOMBIE;
    if (p->parent)
        rb_insert(&p->parent->zombies, &p->zombie_node, process_before);
}

void process_leave_parent_locked(struct process *p)
{
    ASSERT_HELD(&proc_lock);
    if (!p->parent)
        return;
    list_del(&p->sibling);
    if (p->state == PROCESS_ZOMBIE)
        rb_erase(&p->parent->zombies, &p->zombie_node);
    p->parent = NULL;
}

void process_set_parent_locked(struct process *p, struct process *parent)
{
    static u64 last_child; /* proc_lock */

    ASSERT_HELD(&proc_lock);
    process_leave_parent_locked(p);
    p->parent = parent;
    WRITE_ONCE(p->ppid, parent ? pid_nr(parent->pid, process_pid_ns(p)) : 0);
    if (!parent)
        return;
    p->child_nr = ++last_child;
    list_add_tail(&parent->children, &p->sibling);
    if (p->state == PROCESS_ZOMBIE)
        rb_insert(&parent->zombies, &p->zombie_node, process_before);
}

/* REQUIRES(proc_lock) */
static bool process_group_in_session(struct pid *pgrp, struct pid *session) REQUIRES(proc_lock)
{
    struct process *p = list_first(&pgrp->tasks[PID_PGID], struct process, pgid_node);

    ASSERT_HELD(&proc_lock);
    return p && p->session == session;
}

/* group NULL: there is no such number. REQUIRES(proc_lock) */
static int process_setpgid_locked(struct process *me, struct process *p, struct pid *group)
    REQUIRES(proc_lock)
{
    ASSERT_HELD(&proc_lock);
    if (p != me && p->parent != me)
        return -ESRCH;
    if (p->session != me->session)
        return -EPERM;
    if (p != me && p->did_exec)
        return -EACCES;
    if (p->session_leader)
        return -EPERM;
    if (!group || (group != p->pid && !process_group_in_session(group, me->session)))
        return -EPERM;
    if (p->pgrp != group)
        process_link_group_locked(p, group);
    return 0;
}

int process_setpgid(u32 pid, u32 pgid)
{
    struct process *me = current_process();
    struct pid_ns *ns = current_pid_ns();
    struct process *p;
    u64 flags;

    if ((s32)pgid < 0)
        return -EINVAL;
    if (pid) {
        p = process_find(ns, pid);
        if (!p)
            return -ESRCH;
        if (pid_nr(p->pid, ns) != pid) { /* a thread's number */
            process_put(p);
            return -EINVAL;
        }
    } else {
        p = me;
        process_get(p);
    }
    struct pid *group = pgid ? pid_find(ns, pgid) : p->pid;
    spin_lock_irqsave(&proc_lock, &flags);
    int err = process_setpgid_locked(me, p, group);
    spin_unlock_irqrestore(&proc_lock, flags);
    if (pgid && group)
        pid_put(group);
    process_put(p);
    return err;
}

s64 process_setsid(void)
{
    struct process *me = current_process();
    struct tty *tty = NULL;
    s64 result = -EPERM;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    if (!me->session_leader && list_empty(&me->pid->tasks[PID_PGID])) {
        process_link_session_locked(me, me->pid);
        process_link_group_locked(me, me->pid);
        me->session_leader = true;
        tty = me->tty;
        me->tty = NULL;
        result = pid_nr(me->pid, current_pid_ns());
    }
    spin_unlock_irqrestore(&proc_lock, flags);
    if (tty)
        up_tty_put(tty);
    return result;
}
