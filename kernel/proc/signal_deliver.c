/* SPDX-License-Identifier: MIT
 *
 * The way out to user mode with signals pending: stops, default actions, handler frames. Runs in
 * the task itself with interrupts on and no lock held.
 */
#include "arch/x86/trap.h"
#include "lib/errno.h"
#include "proc/proc_priv.h"
#include "proc/rseq.h"
#include "proc/sigframe.h"

#define NR_RESTART_SYSCALL 219
#define SYSCALL_INSN_LEN 2

bool signal_stop_part_locked(struct process *p, struct task *t)
{
    ASSERT_HELD(&p->siglock);
    t->stop_joined = p->stop_round;
    if (!p->stop_count || --p->stop_count)
        return false;
    p->events = PEVENT_STOPPED;
    return true;
}

/* Called with siglock held and the stop decided for this task; sleeps until continued or killed. */
static void signal_stop_here(struct process *p, struct task *t, u64 flags) RELEASES(p->siglock)
{
    int sig = p->stop_signal;
    bool last = signal_stop_part_locked(p, t);

    t->stopped = p->stop_round;
    ASSERT_HELD(&t->process->siglock); /* the same lock, as the callee names it */
    signal_recalc_locked(t);
    spin_unlock_irqrestore(&p->siglock, flags);
    if (last)
        process_notify_parent(p, CLD_STOPPED, sig);
    (void)wait_event_killable(&p->stop_wait, !task_is_stopped(t));
    t->stopped = 0;
}

/* A stop signal's default action begins: every task of the process is to stop. */
static void signal_stop_begin_locked(struct process *p, int sig) REQUIRES(p->siglock)
{
    ASSERT_HELD(&p->siglock);
    p->stop_signal = sig;
    p->stop_count = p->nr_alive;
    process_tell_tasks_locked(p);
}

/* The parent is notified of what SIGCONT did: of the continuation, or else of a stop that it
 * overtook, whose number is forgotten. */
static void signal_tell_parent(struct process *p, u8 notify)
{
    if (notify == PEVENT_STOPPED)
        process_notify_parent(p, CLD_STOPPED, 0);
    else
        process_notify_parent(p, CLD_CONTINUED, SIGCONT);
}

/* Does the stop signal's default action, unless the job-control rules or a SIGCONT make it void.
 * Called with siglock held, returns without it. */
static void signal_default_stop(struct process *p, struct task *t, int sig, u64 flags)
    RELEASES(p->siglock)
{
    ASSERT_HELD(&p->siglock);
    if (sig != SIGSTOP) {
        spin_unlock_irqrestore(&p->siglock, flags);
        if (process_group_orphaned(p))
            return;
        spin_lock_irqsave(&p->siglock, &flags);
    }
    if (t->stop_taken != p->stop_round || p->group_exit || p->group_exec) {
        spin_unlock_irqrestore(&p->siglock, flags);
        return;
    }
    if (!p->stop_signal)
        signal_stop_begin_locked(p, sig);
    signal_stop_here(p, t, flags);
}

enum deliver { DELIVER_NONE, DELIVER_AGAIN, DELIVER_HANDLER };

/* One look at the queues: an event handled, a handler to run, or nothing more. */
static enum deliver signal_deliver_one(struct process *p, struct task *t, struct siginfo *info,
                                       struct sigaction *act)
{
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    if (p->group_exit || (p->group_exec && p->group_exec != t)) {
        int status = p->group_exit ? p->exit_status : SIGKILL;
        spin_unlock_irqrestore(&p->siglock, flags);
        task_exit(status);
    }
    if (p->notify) {
        u8 notify = p->notify;
        p->notify = 0;
        spin_unlock_irqrestore(&p->siglock, flags);
        signal_tell_parent(p, notify);
        return DELIVER_AGAIN;
    }
    if (task_is_to_stop(t)) {
        signal_stop_here(p, t, flags);
        return DELIVER_AGAIN;
    }
    ASSERT_HELD(&t->process->siglock); /* the same lock, as the callee names it */
    int sig = signal_dequeue_locked(t, ~t->blocked, info);
    if (!sig) {
        spin_unlock_irqrestore(&p->siglock, flags);
        return DELIVER_NONE;
    }
    t->stop_taken = SIGMASK(sig) & SIG_STOP_MASK ? p->stop_round : 0;
    sigaction_get_locked(p, sig, act);
    if (act->handler != SIG_DFL && act->handler != SIG_IGN) {
        spin_unlock_irqrestore(&p->siglock, flags);
        return DELIVER_HANDLER;
    }
    bool nothing = act->handler == SIG_IGN || SIGMASK(sig) & SIG_IGNORED_BY_DEFAULT ||
                   (p->ns_init && sig != SIGKILL && sig != SIGSTOP);
    if (nothing) {
        spin_unlock_irqrestore(&p->siglock, flags);
        return DELIVER_AGAIN;
    }
    if (SIGMASK(sig) & SIG_STOP_MASK) {
        signal_default_stop(p, t, sig, flags);
        return DELIVER_AGAIN;
    }
    process_group_exit_locked(p, sig);
    spin_unlock_irqrestore(&p->siglock, flags);
    return DELIVER_AGAIN; /* which exits */
}

/* True once for a call that ended with a restart code. */
static bool signal_take_restart(void)
{
    struct task *t = current_task();
    bool was = t->restart_call;

    t->restart_call = false;
    return was;
}

/* Backs the program up onto its syscall instruction. */
static void signal_restart_call(struct trap_frame *f, u64 nr)
{
    f->rax = nr;
    f->rip -= SYSCALL_INSN_LEN;
}

/* A handler runs: the call it interrupts restarts afterwards or ends with EINTR. */
static void signal_restart_for_handler(struct trap_frame *f, u64 flags)
{
    s64 result = (s64)f->rax;

    if (!signal_take_restart())
        return;
    if (result == -ERESTARTNOINTR || (result == -ERESTARTSYS && flags & SA_RESTART))
        signal_restart_call(f, f->orig_rax);
    else
        f->rax = (u64)-EINTR;
}

static void signal_restart_no_handler(struct trap_frame *f)
{
    s64 result = (s64)f->rax;

    if (!signal_take_restart())
        return;
    signal_restart_call(f, result == -ERESTART_RESTARTBLOCK ? NR_RESTART_SYSCALL : f->orig_rax);
}

/* There is no space for the handler's frame: SIGSEGV, whose own handler would fare no better. */
static void signal_force_frame_fault(int sig)
{
    struct process *p = current_process();
    u64 flags;

    if (sig == SIGSEGV) {
        spin_lock_irqsave(&p->siglock, &flags);
        p->actions[SIGSEGV - 1].handler = SIG_DFL;
        spin_unlock_irqrestore(&p->siglock, flags);
    }
    signal_force(SIGSEGV, NULL);
}

static void signal_run_handler(struct task *t, struct trap_frame *f, const struct siginfo *info,
                               const struct sigaction *act)
{
    sigset_t old = t->restore_mask ? t->saved_mask : t->blocked;
    sigset_t mask = t->blocked | act->mask;

    signal_restart_for_handler(f, act->flags);
    if (rseq_interrupt(f) || sigframe_push(f, info, act, old)) {
        signal_force_frame_fault(info->signo);
        return;
    }
    t->restore_mask = false;
    if (!(act->flags & SA_NODEFER))
        mask |= SIGMASK(info->signo);
    signal_set_mask(mask);
}

void signal_deliver(struct trap_frame *f)
{
    struct task *t = current_task();
    struct sigaction act;
    struct siginfo info;

    for (;;) {
        enum deliver what = signal_deliver_one(t->process, t, &info, &act);
        if (what == DELIVER_NONE)
            break;
        if (what == DELIVER_HANDLER) {
            signal_run_handler(t, f, &info, &act);
            /* Whether there is more for the new mask has been found out with it. */
            if (likely(!(READ_ONCE(t->thread->work) & WORK_SIGNAL) &&
                       !READ_ONCE(t->process->notify)))
                break;
        }
        cond_yield(); /* as many may be queued as handlers fit on the stack */
    }
    signal_restart_no_handler(f);
    signal_restore_mask();
}
