/* SPDX-License-Identifier: MIT
 *
 * Sending, queueing and taking signals. A signal that will end the process ends it at once: the
 * sender marks the group as exiting and wakes every task, so that no task can run on past it. The
 * status shows which of several signals has ended it, so which one counts is decided as on Linux.
 *
 * Lock order: proc_lock, siglock. All sending functions are irq-safe.
 */
#include "proc/signal.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/itimer.h"
#include "proc/proc_priv.h"
#include "vm/aspace.h"

/* The first with this number, or NULL. */
static struct sigqueue *sigqueue_find(const struct sigpending *q, int sig)
{
    struct sigqueue *e;

    list_for_each (e, &q->queue, node) {
        if (e->info.signo == sig)
            return e;
    }
    return NULL;
}

static void sigqueue_free(struct process *p, struct sigqueue *e)
{
    list_del(&e->node);
    if (e == &p->own_entry)
        store_release(&p->own_entry_taken, false); /* pairs with sigqueue_alloc_locked */
    else
        kfree(e);
    atomic_dec(&p->sigqueue_count);
}

void sigpending_take_locked(struct sigpending *q, sigset_t set, struct list_node *dropped)
{
    struct sigqueue *e, *tmp;

    q->set &= ~set;
    list_for_each_safe (e, tmp, &q->queue, node) {
        if (!(SIGMASK(e->info.signo) & set))
            continue;
        list_del(&e->node);
        list_add_tail(dropped, &e->node);
    }
}

void sigqueue_free_list(struct process *p, struct list_node *dropped)
{
    struct sigqueue *e, *more;

    while ((e = list_first(dropped, struct sigqueue, node)) != NULL) {
        while ((more = list_first(&e->more, struct sigqueue, node)) != NULL) {
            sigqueue_free(p, more);
            cond_yield();
        }
        sigqueue_free(p, e);
    }
}

/* Signals below SIGRTMIN, of which there is one at most. */
static void sigpending_cancel_locked(struct process *p, struct sigpending *q, sigset_t set)
    REQUIRES(p->siglock)
{
    struct sigqueue *e, *tmp;

    ASSERT_HELD(&p->siglock);
    if (!(q->set & set))
        return;
    q->set &= ~set;
    list_for_each_safe (e, tmp, &q->queue, node) {
        if (SIGMASK(e->info.signo) & set)
            sigqueue_free(p, e);
    }
}

/* Comes to those tasks only whose own queues may hold something. */
static void sigpending_cancel_of_tasks_locked(struct process *p, sigset_t set) REQUIRES(p->siglock)
{
    struct task *t, *tmp;

    ASSERT_HELD(&p->siglock);
    if (!(p->task_signals & set))
        return;
    p->task_signals &= ~set;
    list_for_each_safe (t, tmp, &p->queued_tasks, queued) {
        sigpending_cancel_locked(p, &t->pending, set);
        if (!t->pending.set)
            list_del(&t->queued);
    }
}

void sigpending_take_of_tasks_locked(struct process *p, int sig, struct list_node *dropped)
{
    struct task *t, *tmp;

    ASSERT_HELD(&p->siglock);
    if (!(p->task_signals & SIGMASK(sig)))
        return;
    p->task_signals &= ~SIGMASK(sig);
    list_for_each_safe (t, tmp, &p->queued_tasks, queued) {
        sigpending_take_locked(&t->pending, SIGMASK(sig), dropped);
        if (!t->pending.set)
            list_del(&t->queued);
    }
}

void signal_recalc_locked(struct task *t)
{
    struct process *p = t->process;

    ASSERT_HELD(&t->process->siglock);
    if (((t->pending.set | p->pending.set) & ~t->blocked) || task_is_to_stop(t) || p->group_exit ||
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
    ASSERT_HELD(&p->siglock);
    if (p->group_exit)
        return; /* all have been told, or are being */
    p->group_exit = true;
    p->exit_status = status;
    p->stop_signal = 0;
    p->stop_count = 0;
    p->events = 0; /* from here on it has nothing to say but its end */
    p->notify = 0;
    process_tell_tasks_locked(p);
}

/* A continue signal cancels stops, a stop signal cancels continues; SIGCONT wakes whatever happens
 * to it afterwards. */
static void signal_prepare_locked(struct process *p, int sig) REQUIRES(p->siglock)
{
    sigset_t cancel = 0;

    ASSERT_HELD(&p->siglock);
    if (sig == SIGCONT)
        cancel = SIG_STOP_MASK;
    else if (SIGMASK(sig) & SIG_STOP_MASK)
        cancel = SIGMASK(SIGCONT);
    if (!cancel)
        return;
    sigpending_cancel_locked(p, &p->pending, cancel);
    sigpending_cancel_of_tasks_locked(p, cancel);
    itimer_signals_taken_locked(p, cancel, NULL);
    if (sig != SIGCONT)
        return;
    if (p->stop_signal) {
        p->notify = p->stop_count ? PEVENT_STOPPED : PEVENT_CONTINUED;
        p->events = PEVENT_CONTINUED;
        p->stop_signal = 0;
        p->stop_count = 0;
    }
    p->stop_round++;
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
    return !task_is_stopped(t) && (READ_ONCE(t->thread->state) == THREAD_RUNNING ||
                                   !(READ_ONCE(t->thread->work) & WORK_SIGNAL));
}

#define CHOOSE_AT_ONCE 32 /* bounds the time with interrupts off */

/* NULL: none wants it, or of a crowd that blocks it a worker looks for one (signal_claim_locked).
 */
static struct task *signal_choose_locked(struct process *p, int sig) REQUIRES(p->siglock)
{
    struct task *t;
    unsigned n = 0;

    ASSERT_HELD(&p->siglock);
    if (p->leader && signal_wanted(p->leader, sig))
        return p->leader;
    list_for_each (t, &p->tasks, node) {
        if (signal_wanted(t, sig))
            return t;
        if (++n == CHOOSE_AT_ONCE && process_tell_later_locked(p)) {
            p->unclaimed |= SIGMASK(sig);
            return NULL;
        }
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

static void signal_claimed_locked(struct process *p, struct task *t, int sig) REQUIRES(p->siglock)
{
    ASSERT_HELD(&p->siglock);
    if (signal_fatal(p, sig))
        process_group_exit_locked(p, sig);
    else
        thread_work_set(t->thread, WORK_SIGNAL);
}

void signal_claim_locked(struct process *p, struct task *t)
{
    sigset_t set = p->unclaimed & p->pending.set & ~t->blocked; /* another may have taken it */

    ASSERT_HELD(&p->siglock);
    for (; set; set &= set - 1) {
        int sig = __builtin_ctzll(set) + 1;

        if (!signal_wanted(t, sig))
            continue;
        p->unclaimed &= ~SIGMASK(sig);
        signal_claimed_locked(p, t, sig);
    }
}

/* What the signal will do, decided by the sender where it is final. */
static void signal_complete_locked(struct process *p, struct task *t, int sig) REQUIRES(p->siglock)
{
    ASSERT_HELD(&p->siglock);
    if (!t)
        t = signal_choose_locked(p, sig);
    else if (!signal_wanted(t, sig))
        return;
    if (t)
        signal_claimed_locked(p, t, sig);
}

/* The process's own entry, since most signals come one at a time. Of others, where no program is
 * charged, the receiver is: by a task on its way out, whose memory is gone, it may be sent as many
 * as it may have. REQUIRES(siglock), which keeps p's address space */
static struct sigqueue *sigqueue_alloc_locked(struct process *p) REQUIRES(p->siglock)
{
    struct account *former = account_current(), *own = p->aspace ? p->aspace->account : NULL;
    struct sigqueue *e;

    ASSERT_HELD(&p->siglock);
    if (!load_acquire(&p->own_entry_taken)) { /* pairs with sigqueue_free, which needs no lock */
        WRITE_ONCE(p->own_entry_taken, true);
        return &p->own_entry;
    }
    if (!former && own && own->parent) /* the root's has no limit to enforce */
        (void)account_swap(own);
    e = kmalloc(sizeof(*e));
    (void)account_swap(former);
    return e;
}

/* One entry of a signal that is not queued is allowed beyond the limit when the kernel or kill(2)
 * tells by it what has happened. -EAGAIN: a real-time signal with a message does not fit. */
static int signal_queue_locked(struct process *p, struct task *t, int sig,
                               const struct siginfo *info) REQUIRES(p->siglock)
{
    struct sigpending *q = t ? &t->pending : &p->pending;
    static const struct siginfo from_kernel = {.code = SI_KERNEL};
    bool must_queue = info && sig >= SIGRTMIN && info->code != SI_USER;
    struct sigqueue *e = NULL, *first;

    ASSERT_HELD(&p->siglock);
    if (sig < SIGRTMIN && q->set & SIGMASK(sig))
        return 0;
    if (!info)
        info = &from_kernel;
    if ((u64)atomic_read(&p->sigqueue_count) < p->rlimits[RLIMIT_SIGPENDING].cur ||
        (sig < SIGRTMIN && info->code >= 0))
        e = sigqueue_alloc_locked(p);
    if (!e && must_queue)
        return -EAGAIN;
    if (e) {
        e->info = *info;
        e->info.signo = sig;
        list_init(&e->more);
        first = q->set & SIGMASK(sig) ? sigqueue_find(q, sig) : NULL;
        list_add_tail(first ? &first->more : &q->queue, &e->node);
        atomic_inc(&p->sigqueue_count);
    }
    q->set |= SIGMASK(sig);
    if (!t)
        return 0;
    p->task_signals |= SIGMASK(sig);
    if (list_empty(&t->queued))
        list_add(&p->queued_tasks, &t->queued);
    return 0;
}

/* Default actions spare the init of a namespace, unless an ancestor namespace or the kernel
 * insists. */
static bool signal_spares_init(const struct process *p, int sig, bool force)
{
    return p->ns_init && p->actions[sig - 1].handler == SIG_DFL &&
           !(force && SIGMASK(sig) & SIG_UNMASKABLE);
}

/* True when the sender has no number in p's pid namespace, or is the kernel. */
static bool signal_from_above(const struct process *p, const struct siginfo *info)
{
    struct task *me = current_task();

    if (!info || info->code == SI_KERNEL || !me)
        return true;
    return !pid_nr(me->process->pid, process_pid_ns(p));
}

int signal_post_locked(struct process *p, struct task *t, int sig, const struct siginfo *info)
{
    ASSERT_HELD(&p->siglock);
    if (!p->nr_tasks || p->group_exit || (t && t->exiting))
        return 0;
    signal_prepare_locked(p, sig);
    const struct task *who = t ? t : p->leader;
    bool blocked = who && who->blocked & SIGMASK(sig);
    if (!blocked && (signal_ignored(p, sig) ||
                     signal_spares_init(p, sig, p->ns_init && signal_from_above(p, info))))
        return 0;
    int err = signal_queue_locked(p, t, sig, info);
    if (err)
        return err;
    waitq_wake(&p->signal_wait, 1 /* POLLIN */, ~0U);
    signal_complete_locked(p, t, sig);
    return 0;
}

int signal_send_task(struct task *t, int sig, const struct siginfo *info)
{
    struct process *p = t->process;
    u64 flags;

    if (!sig)
        return 0;
    spin_lock_irqsave(&p->siglock, &flags);
    int err = signal_post_locked(p, t, sig, info);
    spin_unlock_irqrestore(&p->siglock, flags);
    return err;
}

int signal_send_process(struct process *p, int sig, const struct siginfo *info)
{
    u64 flags;

    if (!sig)
        return 0;
    spin_lock_irqsave(&p->siglock, &flags);
    int err = signal_post_locked(p, NULL, sig, info);
    spin_unlock_irqrestore(&p->siglock, flags);
    return err;
}

u64 signal_shared_number(void)
{
    static u64 last; /* a */

    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

int signal_send_shared(struct process *p, int sig, const struct siginfo *info, u64 nr)
{
    u64 flags;

    if (!sig)
        return 0;
    spin_lock_irqsave(&p->siglock, &flags);
    p->shared_signal = nr;
    int err = signal_post_locked(p, NULL, sig, info);
    spin_unlock_irqrestore(&p->siglock, flags);
    return err;
}

void signal_end_process(struct process *p, int status)
{
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    process_group_exit_locked(p, status);
    spin_unlock_irqrestore(&p->siglock, flags);
}

void signal_kill_process(struct process *p)
{
    signal_end_process(p, SIGKILL);
}

void signal_force(int sig, const struct siginfo *info)
{
    struct task *t = current_task();
    struct process *p = t->process;
    u64 flags;

    ASSERT(sig >= 1 && sig <= 64);
    spin_lock_irqsave(&p->siglock, &flags);
    if (p->group_exit || (p->group_exec && p->group_exec != t)) {
        spin_unlock_irqrestore(&p->siglock, flags);
        return; /* it ends anyway, and its copies may fail for that alone */
    }
    struct sigaction *act = &p->actions[sig - 1];
    bool blocked = t->blocked & SIGMASK(sig);
    if (blocked || act->handler == SIG_IGN || act->handler == SIG_DFL) {
        act->handler = SIG_DFL;
        t->blocked &= ~SIGMASK(sig);
        process_group_exit_locked(p, sig); /* the init of a namespace too: it cannot go on */
    } else {
        signal_queue_locked(p, t, sig, info);
        thread_work_set(t->thread, WORK_SIGNAL);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
}

/* One of its tasks, or what a zombie has left of them; NULL when that is reaped. */
static struct task *signal_target(struct process *p)
{
    struct task *t = process_task(p);

    return t ? t : process_leader(p);
}

static bool signal_cred_permits(const struct cred *c)
{
    const struct cred *me = current_cred();

    return me->euid == c->uid || me->euid == c->suid || me->uid == c->uid || me->uid == c->suid ||
           cred_capable(me, c->user_ns, CAP_KILL);
}

static bool signal_in_session(const struct task *t, int sig)
{
    return sig == SIGCONT && t->process->session == current_process()->session;
}

bool signal_permitted_to_locked(struct process *p, struct task *t, int sig)
{
    ASSERT_HELD(&p->siglock);
    return signal_cred_permits(t->cred) || signal_in_session(t, sig);
}

int signal_permitted_to(struct task *t, int sig)
{
    const struct cred *c = task_cred(t);
    bool ok = signal_cred_permits(c) || signal_in_session(t, sig);

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

/* Takes the first of a number off the queue; its successor, if any, gets its place. True when there
 * are more. */
static bool sigqueue_take(struct process *p, struct sigqueue *e, struct siginfo *info)
{
    struct sigqueue *next = list_first(&e->more, struct sigqueue, node);

    *info = e->info;
    if (next)
        e->info = next->info;
    sigqueue_free(p, next ? next : e);
    return next;
}

static int signal_collect(struct process *p, struct sigpending *q, sigset_t wanted,
                          struct siginfo *info) REQUIRES(p->siglock)
{
    int sig = signal_first(q->set & wanted);

    ASSERT_HELD(&p->siglock);
    if (!sig)
        return 0;
    struct sigqueue *e = sigqueue_find(q, sig);
    if (!e)
        *info = (struct siginfo){.signo = sig};
    if (!e || !sigqueue_take(p, e, info))
        q->set &= ~SIGMASK(sig);
    itimer_signals_taken_locked(p, SIGMASK(sig), info);
    return sig;
}

static int signal_take_locked(struct task *t, sigset_t set, struct siginfo *info)
    REQUIRES(t->process->siglock)
{
    struct process *p = t->process;
    int sig = signal_collect(t->process, &t->pending, set, info);

    ASSERT_HELD(&t->process->siglock);
    if (!sig)
        sig = signal_collect(t->process, &p->pending, set, info);
    return sig;
}

int signal_dequeue_locked(struct task *t, sigset_t set, struct siginfo *info)
{
    int sig = signal_take_locked(t, set, info);

    ASSERT_HELD(&t->process->siglock);
    if (t == current_task())
        signal_recalc_locked(t);
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
    struct wait_thread w = {.queue = NULL};
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

void signal_pass_on_locked(struct process *p, sigset_t set)
{
    struct task *t;
    unsigned n = 0;

    ASSERT_HELD(&p->siglock);
    set &= p->pending.set;
    if (likely(!set) || p->group_exit)
        return;
    list_for_each (t, &p->tasks, node) {
        if (n++ == CHOOSE_AT_ONCE && process_tell_later_locked(p)) {
            p->unclaimed |= set;
            return;
        }
        if (t->exiting || !(set & ~t->blocked))
            continue;
        thread_work_set(t->thread, WORK_SIGNAL);
        set &= t->blocked;
        if (!set)
            break;
    }
}
