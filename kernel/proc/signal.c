/* SPDX-License-Identifier: MIT
 *
 * Sending, queueing and taking signals. A signal that will end the process ends it at once: the
 * sender marks the group as exiting and wakes every task, so that no task can run on past it. Which
 * of several ends it shows in its status, so the rules of who decides when are Linux's.
 *
 * Lock order: proc_lock, siglock. All sending functions are irq-safe.
 */
#include "proc/signal.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "proc/itimer.h"
#include "proc/proc_priv.h"

struct sigqueue {
    struct list_node node;
    struct siginfo info;
};

void sigpending_init(struct sigpending *q)
{
    q->set = 0;
    list_init(&q->queue);
}

/* Drops all entries of set. */
void sigpending_flush(struct process *p, struct sigpending *q, sigset_t set)
{
    struct sigqueue *e, *tmp;

    q->set &= ~set;
    list_for_each_safe (e, tmp, &q->queue, node) {
        if (!(SIGMASK(e->info.signo) & set))
            continue;
        list_del(&e->node);
        kfree(e);
        atomic_dec(&p->sigqueue_count);
    }
}

static bool signal_default_ignored(int sig)
{
    return SIGMASK(sig) & SIG_IGNORED_BY_DEFAULT;
}

static bool signal_ignored(const struct process *p, int sig)
{
    u64 h = p->actions[sig - 1].handler;

    return h == SIG_IGN || (h == SIG_DFL && signal_default_ignored(sig));
}

void signal_recalc_locked(struct task *t)
{
    struct process *p = t->process;

    if (((t->pending.set | p->pending.set) & ~t->blocked) || t->stop_pending || p->group_exit ||
        (p->group_exec && p->group_exec != t)) {
        if (!(READ_ONCE(t->thread->work) & WORK_SIGNAL))
            thread_work_set(t->thread, WORK_SIGNAL);
    } else {
        thread_work_clear(t->thread, WORK_SIGNAL);
    }
}

bool signal_pending(const struct task *t)
{
    return READ_ONCE(t->thread->work) & (WORK_SIGNAL | WORK_KILL);
}

void process_group_exit_locked(struct process *p, int status)
{
    struct task *t;

    if (!p->group_exit) {
        p->group_exit = true;
        p->exit_status = status;
    }
    p->stop_signal = 0;
    p->stop_count = 0;
    p->events = 0; /* from here on it has nothing to say but its end */
    p->notify = 0;
    list_for_each (t, &p->tasks, node) {
        t->stop_pending = false;
        if (!t->exiting)
            thread_work_set(t->thread, WORK_SIGNAL | WORK_KILL);
    }
}

/* A continue signal cancels stops, a stop signal cancels continues; SIGCONT wakes whatever happens
 * to it afterwards. */
static void signal_prepare_locked(struct process *p, int sig)
{
    struct task *t;
    sigset_t cancel = 0;

    if (sig == SIGCONT)
        cancel = SIG_STOP_MASK;
    else if (SIGMASK(sig) & SIG_STOP_MASK)
        cancel = SIGMASK(SIGCONT);
    if (!cancel)
        return;
    sigpending_flush(p, &p->pending, cancel);
    list_for_each (t, &p->tasks, node)
        sigpending_flush(p, &t->pending, cancel);
    itimer_signals_taken_locked(p, cancel, NULL);
    if (sig != SIGCONT)
        return;
    if (p->stop_signal) {
        p->notify = p->stop_count ? PEVENT_STOPPED : PEVENT_CONTINUED;
        p->events = PEVENT_CONTINUED;
        p->stop_signal = 0;
        p->stop_count = 0;
    }
    list_for_each (t, &p->tasks, node) {
        t->stop_pending = false;
        t->stop_taken = false;
        t->stopped = false;
    }
    waitq_wake_all(&p->stop_wait);
}

/* What reaches a stopped task waits for SIGCONT, all but SIGKILL. One that is to look at signals
 * already, and has not come to it, finds this one among them and takes the lowest first. */
static bool signal_wanted(const struct task *t, int sig)
{
    if (t->exiting || t->blocked & SIGMASK(sig))
        return false;
    if (sig == SIGKILL)
        return true;
    return !t->stopped && (READ_ONCE(t->thread->state) == THREAD_RUNNING ||
                           !(READ_ONCE(t->thread->work) & WORK_SIGNAL));
}

static struct task *signal_choose(struct process *p, int sig)
{
    struct task *t;

    if (p->leader && signal_wanted(p->leader, sig))
        return p->leader;
    list_for_each (t, &p->tasks, node) {
        if (signal_wanted(t, sig))
            return t;
    }
    return NULL;
}

/* True when nothing can come before the end that sig is. What dumps core takes its turn: another
 * signal may still end the process before it. */
static bool signal_fatal(const struct process *p, int sig)
{
    if (p->actions[sig - 1].handler != SIG_DFL || (p->ns_init && sig != SIGKILL))
        return false;
    return !(SIGMASK(sig) & (SIG_IGNORED_BY_DEFAULT | SIG_STOP_MASK | SIG_CORE_MASK));
}

/* What the signal will do, decided by the sender where it is final. */
static void signal_complete_locked(struct process *p, struct task *t, int sig)
{
    if (!t)
        t = signal_choose(p, sig);
    else if (!signal_wanted(t, sig))
        return;
    if (!t)
        return;
    if (signal_fatal(p, sig))
        process_group_exit_locked(p, sig);
    else
        thread_work_set(t->thread, WORK_SIGNAL);
}

static int signal_queue_locked(struct process *p, struct sigpending *q, int sig,
                               const struct siginfo *info)
{
    static const struct siginfo from_kernel = {.code = SI_KERNEL};
    struct sigqueue *e = NULL;

    if (sig < SIGRTMIN && q->set & SIGMASK(sig))
        return 0;
    if (!info)
        info = &from_kernel;
    bool must_queue = sig >= SIGRTMIN && info->code != SI_USER && info->code != SI_KERNEL;
    if ((u64)atomic_read(&p->sigqueue_count) < p->rlimits[RLIMIT_SIGPENDING].cur ||
        info->code == SI_KERNEL)
        e = kmalloc(sizeof(*e));
    if (!e && must_queue)
        return -EAGAIN;
    if (e) {
        e->info = *info;
        e->info.signo = sig;
        list_add_tail(&q->queue, &e->node);
        atomic_inc(&p->sigqueue_count);
    }
    q->set |= SIGMASK(sig);
    return 0;
}

/* Default actions spare the init of a namespace, unless an ancestor namespace or the kernel
 * insists. */
static bool signal_spares_init(const struct process *p, int sig, bool force)
{
    return p->ns_init && p->actions[sig - 1].handler == SIG_DFL &&
           !(force && SIGMASK(sig) & SIG_UNMASKABLE);
}

static int signal_post_locked(struct process *p, struct task *t, int sig,
                              const struct siginfo *info, bool force)
{
    if (!p->nr_tasks || p->group_exit)
        return 0;
    signal_prepare_locked(p, sig);
    const struct task *who = t ? t : p->leader;
    bool blocked = who && who->blocked & SIGMASK(sig);
    if (!blocked && (signal_ignored(p, sig) || signal_spares_init(p, sig, force)))
        return 0;
    int err = signal_queue_locked(p, t ? &t->pending : &p->pending, sig, info);
    if (err)
        return err;
    waitq_wake(&p->signal_wait, 1 /* POLLIN */, ~0U);
    signal_complete_locked(p, t, sig);
    return 0;
}

/* True when the sender has no number in p's pid namespace, or is the kernel. */
static bool signal_from_above(const struct process *p, const struct siginfo *info)
{
    struct task *me = current_task();

    if (!info || info->code == SI_KERNEL || !me)
        return true;
    return !pid_nr(me->process->pid, process_pid_ns(p));
}

int signal_send_task(struct task *t, int sig, const struct siginfo *info)
{
    struct process *p = t->process;
    u64 flags;

    if (!sig)
        return 0;
    spin_lock_irqsave(&p->siglock, &flags);
    int err = t->exiting ? 0 : signal_post_locked(p, t, sig, info, signal_from_above(p, info));
    spin_unlock_irqrestore(&p->siglock, flags);
    return err;
}

int signal_send_process(struct process *p, int sig, const struct siginfo *info)
{
    u64 flags;

    if (!sig)
        return 0;
    spin_lock_irqsave(&p->siglock, &flags);
    int err = signal_post_locked(p, NULL, sig, info, signal_from_above(p, info));
    spin_unlock_irqrestore(&p->siglock, flags);
    return err;
}

void signal_kill_process(struct process *p)
{
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    if (p->nr_tasks)
        process_group_exit_locked(p, SIGKILL);
    spin_unlock_irqrestore(&p->siglock, flags);
}

int signal_send_group_locked(struct pid *pgrp, int sig, const struct siginfo *info)
{
    struct process *p;
    int err = -ESRCH;

    list_for_each (p, &pgrp->tasks[PID_PGID], pgid_node) {
        int one = signal_send_process(p, sig, info);
        if (err)
            err = one;
    }
    return err;
}

int signal_send_group(struct pid *pgrp, int sig, const struct siginfo *info)
{
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    int err = signal_send_group_locked(pgrp, sig, info);
    spin_unlock_irqrestore(&proc_lock, flags);
    return err;
}

void signal_force(int sig, const struct siginfo *info)
{
    struct task *t = current_task();
    struct process *p = t->process;
    u64 flags;

    ASSERT(sig >= 1 && sig <= 64);
    spin_lock_irqsave(&p->siglock, &flags);
    struct sigaction *act = &p->actions[sig - 1];
    bool blocked = t->blocked & SIGMASK(sig);
    if (blocked || act->handler == SIG_IGN || act->handler == SIG_DFL) {
        act->handler = SIG_DFL;
        t->blocked &= ~SIGMASK(sig);
        process_group_exit_locked(p, sig); /* the init of a namespace too: it cannot go on */
    } else {
        signal_queue_locked(p, &t->pending, sig, info);
        thread_work_set(t->thread, WORK_SIGNAL);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
}

/* One of its tasks, or what a zombie has left of them; NULL when that is reaped. */
static struct task *signal_target(struct process *p)
{
    struct task *t = process_task(p);
    u64 flags;

    if (t)
        return t;
    spin_lock_irqsave(&proc_lock, &flags);
    if (p->state != PROCESS_REAPED) {
        t = p->leader;
        task_get(t);
    }
    spin_unlock_irqrestore(&proc_lock, flags);
    return t;
}

int signal_permitted_to(struct task *t, int sig)
{
    const struct cred *me = current_cred(), *c = task_cred(t);
    bool ok = me->euid == c->uid || me->euid == c->suid || me->uid == c->uid ||
              me->uid == c->suid || cred_capable(me, c->user_ns, CAP_KILL) ||
              (sig == SIGCONT && t->process->session == current_process()->session);

    cred_put(c);
    return ok ? 0 : -EPERM;
}

int signal_permitted(struct process *p, int sig)
{
    if (sig < 0 || sig > NSIG)
        return -EINVAL;
    if (p == current_process())
        return 0;
    struct task *t = signal_target(p);
    if (!t)
        return -ESRCH;
    int err = signal_permitted_to(t, sig);
    task_put(t);
    return err;
}

/* The number to take next: faults first, then the lowest. */
static int signal_first(sigset_t set)
{
    if (set & SIG_SYNC_MASK)
        set &= SIG_SYNC_MASK;
    return set ? __builtin_ctzll(set) + 1 : 0;
}

static int signal_collect(struct process *p, struct sigpending *q, sigset_t wanted,
                          struct siginfo *info)
{
    struct sigqueue *e, *found = NULL;
    bool more = false;
    int sig = signal_first(q->set & wanted);

    if (!sig)
        return 0;
    list_for_each (e, &q->queue, node) {
        if (e->info.signo != sig)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = e;
    }
    if (!more)
        q->set &= ~SIGMASK(sig);
    *info = (struct siginfo){.signo = sig};
    if (found) {
        *info = found->info;
        list_del(&found->node);
        kfree(found);
        atomic_dec(&p->sigqueue_count);
    }
    itimer_signals_taken_locked(p, SIGMASK(sig), info);
    return sig;
}

static int signal_take_locked(struct task *t, sigset_t set, struct siginfo *info)
{
    struct process *p = t->process;
    int sig = signal_collect(p, &t->pending, set, info);

    if (!sig)
        sig = signal_collect(p, &p->pending, set, info);
    return sig;
}

int signal_dequeue_locked(struct task *t, sigset_t set, struct siginfo *info)
{
    int sig = signal_take_locked(t, set, info);

    if (t == current_task())
        signal_recalc_locked(t);
    return sig;
}

int signal_dequeue(struct task *t, sigset_t set, struct siginfo *info)
{
    u64 flags;

    spin_lock_irqsave(&t->process->siglock, &flags);
    int sig = signal_dequeue_locked(t, set, info);
    spin_unlock_irqrestore(&t->process->siglock, flags);
    return sig;
}

static int signal_wait_poll(struct task *t, sigset_t set, sigset_t waiting, struct siginfo *info)
{
    u64 flags;

    spin_lock_irqsave(&t->process->siglock, &flags);
    t->waiting = waiting;
    int sig = signal_take_locked(t, set, info);
    signal_recalc_locked(t);
    spin_unlock_irqrestore(&t->process->siglock, flags);
    return sig;
}

int signal_wait(sigset_t set, struct siginfo *info, bool block, u64 deadline)
{
    struct task *t = current_task();
    struct wait_thread w;
    int sig, err = -EAGAIN;

    set &= ~SIG_UNMASKABLE;
    sig = signal_wait_poll(t, set, block ? set : 0, info);
    while (!sig && block) {
        wait_begin(&w, &t->process->signal_wait, SLEEP_INTERRUPTIBLE);
        sig = signal_wait_poll(t, set, set, info);
        err = sig ? 0 : wait_commit(&w, deadline);
        wait_end(&w);
        if (!sig)
            sig = signal_wait_poll(t, set, set, info);
        if (err)
            break;
    }
    if (block)
        (void)signal_wait_poll(t, 0, 0, info);
    if (sig)
        return sig;
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

void signal_set_mask(sigset_t mask)
{
    struct task *t = current_task();
    u64 flags;

    spin_lock_irqsave(&t->process->siglock, &flags);
    t->blocked = mask & ~SIG_UNMASKABLE;
    signal_recalc_locked(t);
    spin_unlock_irqrestore(&t->process->siglock, flags);
}

void signal_temp_mask(sigset_t mask)
{
    struct task *t = current_task();

    t->saved_mask = t->blocked;
    t->restore_mask = true;
    signal_set_mask(mask);
}

void signal_restore_mask(void)
{
    struct task *t = current_task();

    if (!t->restore_mask)
        return;
    t->restore_mask = false;
    signal_set_mask(t->saved_mask);
}

int signal_action(int sig, const struct sigaction *new_action, struct sigaction *old)
{
    struct process *p = current_process();
    struct task *t;
    u64 flags;

    if (sig < 1 || sig > NSIG || (new_action && SIGMASK(sig) & SIG_UNMASKABLE))
        return -EINVAL;
    spin_lock_irqsave(&p->siglock, &flags);
    if (old)
        *old = p->actions[sig - 1];
    if (new_action) {
        p->actions[sig - 1] = *new_action;
        p->actions[sig - 1].mask &= ~SIG_UNMASKABLE;
        if (signal_ignored(p, sig)) {
            sigpending_flush(p, &p->pending, SIGMASK(sig));
            list_for_each (t, &p->tasks, node)
                sigpending_flush(p, &t->pending, SIGMASK(sig));
        }
        itimer_signals_taken_locked(p, SIGMASK(sig), NULL);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    return 0;
}

static bool signal_on_altstack(const struct task *t, u64 sp)
{
    if (t->altstack.flags & SS_AUTODISARM)
        return false;
    return sp > t->altstack.sp && sp - t->altstack.sp <= t->altstack.size;
}

int signal_altstack(const struct sigstack *new_stack, struct sigstack *old, u64 sp)
{
    struct task *t = current_task();
    bool on = t->altstack.size && signal_on_altstack(t, sp);

    if (old) {
        *old = t->altstack;
        old->flags = t->altstack.size ? (on ? SS_ONSTACK : 0) : SS_DISABLE;
        old->flags |= t->altstack.flags & (s32)SS_AUTODISARM;
    }
    if (!new_stack)
        return 0;
    if (on)
        return -EPERM;
    s32 mode = new_stack->flags & ~(s32)SS_AUTODISARM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (mode == SS_DISABLE) {
        t->altstack = (struct sigstack){.flags = SS_DISABLE};
        return 0;
    }
    if (new_stack->size < MINSIGSTKSZ)
        return -ENOMEM;
    t->altstack = *new_stack;
    t->altstack.flags &= (s32)SS_AUTODISARM;
    return 0;
}

void signal_exec_reset(struct process *p)
{
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    for (int i = 0; i < NSIG; i++) {
        struct sigaction *a = &p->actions[i];
        u64 handler = a->handler == SIG_IGN ? SIG_IGN : SIG_DFL;
        *a = (struct sigaction){.handler = handler};
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    current_task()->altstack = (struct sigstack){.flags = SS_DISABLE};
}
