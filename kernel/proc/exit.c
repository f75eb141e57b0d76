/* SPDX-License-Identifier: MIT
 *
 * How tasks and processes end. A task gives its parts back, the last one turns its process into a
 * zombie: children go to a reaper, the parent is notified. The zombie keeps pid and figures until
 * wait.c reaps it, or it reaps itself when the parent ignores its end.
 */
#include "arch/x86/trap.h"
#include "container/seccomp.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "proc/fdtable.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/proc_priv.h"
#include "proc/reap.h"
#include "proc/up.h"
#include "vm/aspace.h"

#define EXIT_AT_ONCE 32 /* bounds the time with interrupts off */

static void exit_vfork_done(struct task *t)
{
    u64 flags;

    spin_lock_irqsave(&t->process->siglock, &flags);
    struct completion *done = t->vfork_done;
    t->vfork_done = NULL;
    if (done)
        completion_signal(done);
    spin_unlock_irqrestore(&t->process->siglock, flags);
}

void task_release_aspace(struct task *t)
{
    futex_task_exit(t);
    exit_vfork_done(t);
}

/* Descriptors, paths, namespaces: taken off under siglock, dropped outside. */
static void exit_drop_parts(struct task *t)
{
    u64 flags;

    spin_lock_irqsave(&t->process->siglock, &flags);
    struct fd_table *files = t->files;
    struct fs_context *fs = t->fs;
    t->files = NULL;
    t->fs = NULL;
    bool last_of_fs = fs && fs_context_leave_locked(fs);
    spin_unlock_irqrestore(&t->process->siglock, flags);
    /* Close needs current's table for its locks, not t->files. */
    if (files)
        fd_table_leave(files);
    if (last_of_fs)
        fs_context_put(fs);
}

static void exit_drop_namespaces(struct task *t)
{
    u64 flags;

    spin_lock_irqsave(&t->process->siglock, &flags);
    struct nsset *ns = t->ns;
    struct seccomp *seccomp = t->seccomp;
    t->ns = NULL;
    t->seccomp = NULL;
    spin_unlock_irqrestore(&t->process->siglock, flags);
    if (ns)
        nsset_put(ns);
    if (seccomp)
        seccomp_put(seccomp);
}

/* The task is on its way out; true when it was the last one alive. */
static bool exit_begin(struct task *t, int status)
{
    struct process *p = t->process;
    LIST_HEAD(dropped);
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    t->exiting = true;
    t->exit_code = status;
    bool last = --p->nr_alive == 0;
    if (last)
        process_group_exit_locked(p, status);
    int stop = p->stop_signal;
    bool stopped = task_is_to_stop(t) && signal_stop_part_locked(p, t);
    sigpending_take_locked(&t->pending, ~0ULL, &dropped);
    signal_pass_on_locked(p, ~t->blocked);
    thread_work_clear(t->thread, WORK_SIGNAL | WORK_KILL | WORK_NOTIFY);
    spin_unlock_irqrestore(&p->siglock, flags);
    sigqueue_free_list(p, &dropped);
    if (stopped) /* all others are: it was the one they waited for */
        process_notify_parent(p, CLD_STOPPED, stop);
    return last;
}

/* The address space: each task and the process hold it; the last task alive lets go for the
 * process. Until its memory is back the process counts as dying: see up_oom_dying. */
static void exit_aspace(struct task *t, bool last)
{
    struct process *p = t->process;
    struct aspace *own = t->thread->aspace, *as = NULL;
    u64 flags;

    aspace_activate(NULL);
    if (own)
        aspace_put(own);
    if (!last)
        return;
    spin_lock_irqsave(&p->siglock, &flags);
    as = p->aspace;
    if (as)
        p->times.max_rss = MAX(p->times.max_rss, aspace_rss_peak(as));
    p->aspace = NULL;
    p->emptying = as != NULL;
    spin_unlock_irqrestore(&p->siglock, flags);
    if (!as)
        return;
    DELAYPOINT(exit_aspace);
    aspace_put(as);
    WRITE_ONCE(p->emptying, false);
}

/* The process that adopts p's children: a subreaper above it in the same namespace, else the
 * namespace's init. What lies further up than any program's ancestors do is not looked at:
 * proc_lock is held. */
#define SUBREAPER_GENERATIONS 1024
static struct process *exit_reaper_locked(struct process *p) REQUIRES(proc_lock)
{
    struct pid_ns *ns = process_pid_ns(p);
    struct process *init = ns->reaper, *a = p->parent;

    ASSERT_HELD(&proc_lock);
    for (unsigned n = 0; n < SUBREAPER_GENERATIONS; n++, a = a->parent) {
        if (!a || a == init || process_pid_ns(a) != ns)
            break;
        if (a->subreaper && a->nr_alive)
            return a;
    }
    return init == p ? NULL : init;
}

/* Those that the ending parent may send. Of the tasks that ask for the same, the first's
 * credentials decide. */
static sigset_t exit_death_wanted_locked(struct process *child) REQUIRES(child->siglock)
{
    sigset_t wanted = 0;
    struct task *t;

    ASSERT_HELD(&child->siglock);
    list_for_each (t, &child->death_signals, death_node)
        if (signal_permitted_to_locked(child, t, t->pdeath_signal))
            wanted |= SIGMASK(t->pdeath_signal);
    return wanted;
}

static void exit_death_signals_locked(struct process *child) REQUIRES(proc_lock)
{
    struct siginfo info = {.code = SI_USER};
    sigset_t wanted;

    ASSERT_HELD(&proc_lock);
    if (likely(list_empty(&child->death_signals)))
        return;
    spin_lock(&child->siglock);
    wanted = exit_death_wanted_locked(child);
    spin_unlock(&child->siglock);
    info.rt.pid = pid_nr(current_process()->pid, process_pid_ns(child));
    info.rt.uid = current_cred()->uid;
    for (; wanted; wanted &= wanted - 1)
        signal_send_process(child, __builtin_ctzll(wanted) + 1, &info);
}

/* c gets another parent, or none. Zombies that no parent waits for then are gathered on `dead`;
 * true when c stays with the reaper. REQUIRES(proc_lock) */
static bool exit_reparent_one_locked(struct process *c, struct process *reaper,
                                     struct list_node *dead) REQUIRES(proc_lock)
{
    ASSERT_HELD(&proc_lock);
    exit_death_signals_locked(c);
    process_set_parent_locked(c, reaper);
    c->exit_signal = SIGCHLD;
    if (c->state != PROCESS_ZOMBIE)
        return reaper;
    if (reaper && !reap_notify_exit_locked(c))
        return true;
    reap_unlink_locked(c, dead);
    return false;
}

/* The zombies, of which a parent that never waited may have many. They tie their group to no
 * session, so nothing else changes. */
static void exit_reparent_zombies(struct process *p)
{
    struct rb_node *n;
    bool more;
    u64 flags;

    do {
        LIST_HEAD(dead);

        spin_lock_irqsave(&proc_lock, &flags);
        struct process *reaper = rb_first(&p->zombies) ? exit_reaper_locked(p) : NULL;
        for (int i = 0; i < EXIT_AT_ONCE && (n = rb_first(&p->zombies)); i++)
            (void)exit_reparent_one_locked(rb_entry(n, struct process, zombie_node), reaper, &dead);
        more = rb_first(&p->zombies);
        spin_unlock_irqrestore(&proc_lock, flags);
        reap_list(&dead);
        cond_yield();
    } while (more);
}

/* The children at the end of the reaper's list, n of them, were p's: their groups, each looked at
 * once, may have lost their tie. REQUIRES(proc_lock) */
static void exit_hangup_children_locked(struct process *p, struct process *reaper, unsigned n)
    REQUIRES(proc_lock)
{
    static u64 mark; /* proc_lock */
    struct list_node *at = reaper->children.prev;

    ASSERT_HELD(&proc_lock);
    mark++;
    for (; n; n--, at = at->prev) {
        struct process *c = list_entry(at, struct process, sibling);
        if (c->pgrp->mark != mark)
            orphan_hangup_locked(c, p, NULL);
        c->pgrp->mark = mark;
    }
}

/* Some of the children; true when there are no more. As long as there are, they tie their groups.
 * REQUIRES(proc_lock) */
static bool exit_reparent_some_locked(struct process *p, struct list_node *dead) REQUIRES(proc_lock)
{
    struct process *reaper, *c;
    unsigned moved = 0;

    ASSERT_HELD(&proc_lock);
    if (list_empty(&p->children))
        return true;
    reaper = exit_reaper_locked(p);
    for (int i = 0; i < EXIT_AT_ONCE && !list_empty(&p->children); i++) {
        c = list_first(&p->children, struct process, sibling);
        moved += exit_reparent_one_locked(c, reaper, dead);
    }
    if (reaper)
        exit_hangup_children_locked(p, reaper, moved);
    return list_empty(&p->children);
}

/* The init of a pid namespace takes all of it along. */
static void exit_pid_ns(struct process *p)
{
    struct pid_ns *ns = process_pid_ns(p);
    u32 nr = 2;
    u64 flags;

    if (!p->ns_init)
        return;
    if (ns == &pid_ns_init)
        panic("PID 1 exited with status 0x%x", (unsigned)p->exit_status);
    spin_lock_irqsave(&proc_lock, &flags); /* a clone is visible by now, or will not be */
    spin_lock(&ns->lock);
    ns->dying = true; /* from here on its children reap themselves */
    spin_unlock(&ns->lock);
    spin_unlock_irqrestore(&proc_lock, flags);

    struct pid *pid;
    while ((pid = pid_next(ns, nr)) != NULL) {
        nr = pid_nr(pid, ns) + 1;
        struct process *victim = process_of_pid(pid);
        if (victim) {
            signal_kill_process(victim);
            spin_lock_irqsave(&proc_lock, &flags);
            reap_leave_ns_locked(victim);
            spin_unlock_irqrestore(&proc_lock, flags);
            process_put(victim);
        }
        pid_put(pid);
        cond_yield();
    }
    spin_lock_irqsave(&proc_lock, &flags);
    process_link_group_locked(p, p->pid); /* another group's number would count */
    spin_unlock_irqrestore(&proc_lock, flags);
    reap_children(p);
    /* what stays is the process's number, and our own if we are a thread of it */
    u32 own = current_task()->pid != p->pid;
    wait_event(&ns->ending, READ_ONCE(ns->count) <= 1 + own);
    ns->reaper = NULL;
}

/* Turns the process into a zombie: its children go to another parent, its own parent is told. */
static void exit_process(struct process *p)
{
    LIST_HEAD(dead);
    struct tty *tty = NULL;
    u64 flags;

    exit_reparent_zombies(p);
    cgroup_depart(&p->cgroup);
    spin_lock_irqsave(&proc_lock, &flags);
    while (!exit_reparent_some_locked(p, &dead)) {
        spin_unlock_irqrestore(&proc_lock, flags);
        cond_yield();
        spin_lock_irqsave(&proc_lock, &flags);
    }
    orphan_hangup_locked(p, p->parent, p);
    process_set_zombie_locked(p);
    tty = p->tty;
    p->tty = NULL;
    if (!p->parent || reap_notify_exit_locked(p))
        reap_unlink_locked(p, &dead);
    reap_leave_ns_locked(p);
    spin_unlock_irqrestore(&proc_lock, flags);
    if (tty)
        up_tty_put(tty);
    reap_list(&dead);
}

static void exit_session(struct process *p)
{
    struct tty *tty = NULL;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    if (p->session_leader && p->tty) {
        tty = p->tty;
        up_tty_get(tty);
    }
    spin_unlock_irqrestore(&proc_lock, flags);
    if (tty) {
        up_tty_session_exit(tty, p);
        up_tty_put(tty);
    }
}

/* Takes the task off its process; true when it was the last. A thread's number goes at once, the
 * leader's stays for the parent. */
static bool exit_unlink(struct task *t)
{
    struct process *p = t->process;
    bool own_pid;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    spin_lock(&p->siglock);
    process_unlink_task_locked(p, t);
    bool last = --p->nr_tasks == 0;
    own_pid = t->pid != p->pid;
    if (p->group_exec)
        waitq_wake_all(&p->stop_wait);
    spin_unlock(&p->siglock);
    if (own_pid) {
        spin_lock(&t->pid->lock);
        list_del(&t->pid_node);
        spin_unlock(&t->pid->lock);
    }
    spin_unlock_irqrestore(&proc_lock, flags);
    if (own_pid) {
        waitq_wake_all(&t->pid->exit_wait);
        DELAYPOINT(exit_number);
        pid_free_numbers(t->pid);
        cgroup_uncharge_thread(&p->cgroup);
    }
    return last;
}

__noreturn void task_exit(int status)
{
    struct task *t = current_task();
    struct process *p = t->process;
    bool last = exit_begin(t, status);

    if (last) {
        itimer_process_exit(p);
        posix_timers_drop(p);
    }
    task_release_aspace(t);
    exit_aspace(t, last);
    sem_undo_exit(t);
    exit_drop_parts(t);
    if (last) {
        exit_session(p);
        exit_pid_ns(p);
    }
    exit_drop_namespaces(t);
    if (exit_unlink(t)) /* not always the one that was `last`: a slower one may end later */
        exit_process(p);
    WRITE_ONCE(current_thread()->task, NULL); /* interrupts go on looking at what it says */
    task_put(t);
    cred_spares_put();
    DELAYPOINT(task_exit);
    thread_exit();
}

__noreturn void process_exit(int status)
{
    struct process *p = current_process();
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    process_group_exit_locked(p, status);
    status = p->exit_status;
    spin_unlock_irqrestore(&p->siglock, flags);
    task_exit(status);
}

/* Every other task is told to exit by group_exec; each wakes us as it leaves. */
int process_dethread(void)
{
    struct task *me = current_task();
    struct process *p = me->process;
    struct wait_thread w = {.queue = NULL};
    int err = 0;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    if (p->group_exit || p->group_exec) {
        spin_unlock_irqrestore(&p->siglock, flags);
        return -EINTR;
    }
    p->group_exec = me;
    process_tell_tasks_locked(p);
    spin_unlock_irqrestore(&p->siglock, flags);

    while (!err && READ_ONCE(p->nr_tasks) > 1) {
        wait_begin(&w, &p->stop_wait, SLEEP_KILLABLE);
        if (READ_ONCE(p->nr_tasks) > 1)
            err = wait_commit(&w, 0);
        wait_end(&w);
    }
    spin_lock_irqsave(&p->siglock, &flags);
    p->group_exec = NULL;
    spin_unlock_irqrestore(&p->siglock, flags);
    return err;
}

/* The old leader is dead and stays only as p->leader: its number becomes ours, and so does what was
 * charged for it. */
void process_become_leader(struct task *t)
{
    struct process *p = t->process;
    struct task *old = p->leader;
    struct pid *own = t->pid;
    u64 flags;

    if (old == t)
        return;
    spin_lock_irqsave(&proc_lock, &flags);
    spin_lock(&own->lock);
    list_del(&t->pid_node);
    spin_unlock(&own->lock);
    spin_lock(&p->pid->lock);
    list_del(&old->pid_node);
    list_add_tail(&p->pid->tasks[PID_TID], &t->pid_node);
    spin_unlock(&p->pid->lock);
    pid_get(p->pid);
    task_get(t);
    spin_lock(&p->siglock); /* some look at the leader with this lock alone */
    t->pid = p->pid;
    p->leader = t;
    spin_unlock(&p->siglock);
    spin_unlock_irqrestore(&proc_lock, flags);
    cgroup_uncharge_thread(&p->cgroup);
    pid_free_numbers(own);
    pid_put(own);
    task_put(old);
}
