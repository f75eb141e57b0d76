/* SPDX-License-Identifier: MIT
 *
 * Job control: the controlling terminal, foreground groups, background access.
 *
 * Lock order: tty->lock, proc_lock.
 */
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "proc/proc.h"
#include "proc/up.h"
#include "tty/tty.h"

#define TIOCSCTTY 0x540E
#define TIOCGPGRP 0x540F
#define TIOCSPGRP 0x5410
#define TIOCNOTTY 0x5422
#define TIOCGSID 0x5429

void tty_signal_pgrp_locked(struct tty *t, int sig)
{
    ASSERT_HELD(&t->lock);
    if (t->pgrp)
        (void)signal_send_group(t->pgrp, sig, 0);
}

static bool tty_signal_unwanted(struct process *p, int sig)
{
    struct task *t = current_task();

    return t->blocked & SIGMASK(sig) || READ_ONCE(p->actions[sig - 1].handler) == SIG_IGN;
}

int tty_check_change(struct tty *t, int sig)
{
    struct process *p = current_process();
    u64 flags;

    if (READ_ONCE(p->tty) != t)
        return 0;
    spin_lock_irqsave(&t->lock, &flags);
    bool foreground = !t->pgrp || t->pgrp == p->pgrp;
    spin_unlock_irqrestore(&t->lock, flags);
    if (foreground)
        return 0;
    if (tty_signal_unwanted(p, sig))
        return sig == SIGTTIN ? -EIO : 0;
    if (process_group_orphaned(p))
        return -EIO;
    struct pid *pgrp = process_pgrp(p);
    if (!signal_send_group(pgrp, sig, 0))
        signal_send_process(p, sig, NULL); /* at once: it asks again until it has it */
    pid_put(pgrp);
    return -ERESTARTSYS;
}

/* REQUIRES(t->lock): takes references of its own; NULL leaves. */
static void tty_set_owner_locked(struct tty *t, struct pid *session, struct pid *pgrp)
    REQUIRES(t->lock)
{
    struct pid *old_session = t->session, *old_pgrp = t->pgrp;

    ASSERT_HELD(&t->lock);
    if (session)
        pid_get(session);
    if (pgrp)
        pid_get(pgrp);
    t->session = session;
    t->pgrp = pgrp;
    if (old_session)
        pid_put(old_session);
    if (old_pgrp)
        pid_put(old_pgrp);
}

#define SESSION_AT_ONCE 64 /* bounds the time with interrupts off */

/* Some of a session's processes, those after `at` (its reference is taken; NULL: from the first
 * on), give the terminal up; *owed counts its references. The last one looked at, with a reference;
 * NULL after the newest. Where `at` has left the session it begins again. */
static struct process *tty_leave_some(struct tty *t, struct pid *session, struct process *at,
                                      unsigned *owed)
{
    struct list_node *all = &session->tasks[PID_SID], *n;
    struct process *p = NULL;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    n = at && at->session == session ? at->sid_node.next : all->next;
    for (unsigned i = 0; n != all && i < SESSION_AT_ONCE; i++, n = n->next) {
        p = list_entry(n, struct process, sid_node);
        if (p->tty == t) {
            p->tty = NULL;
            ++*owed;
        }
    }
    p = n == all ? NULL : p;
    if (p)
        process_get(p);
    spin_unlock_irqrestore(&proc_lock, flags);
    if (at)
        process_put(at);
    return p;
}

/* The leader, which comes first, has lost it before another session may have it. */
void tty_release_session(struct tty *t)
{
    struct process *at = NULL;
    unsigned owed = 0;
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    struct pid *session = t->session;
    if (session) {
        pid_get(session);
        at = tty_leave_some(t, session, NULL, &owed);
    }
    tty_set_owner_locked(t, NULL, NULL);
    spin_unlock_irqrestore(&t->lock, flags);
    while (at) {
        cond_yield();
        at = tty_leave_some(t, session, at, &owed);
    }
    if (session)
        pid_put(session);
    while (owed--)
        tty_put(t);
}

int tty_become_controlling(struct tty *t, bool steal)
{
    struct process *p = current_process();
    int err = 0;
    u64 flags;

    if (p->session_leader && p->tty == t)
        return 0;
    if (!p->session_leader || p->tty)
        return -EPERM;
    if (READ_ONCE(t->session)) {
        if (!steal || !capable(CAP_SYS_ADMIN))
            return -EPERM;
        tty_release_session(t);
    }
    spin_lock_irqsave(&t->lock, &flags);
    spin_lock(&proc_lock);
    if (t->session || p->tty) {
        err = -EPERM;
    } else {
        tty_set_owner_locked(t, p->session, p->pgrp);
        tty_get(t);
        p->tty = t;
    }
    spin_unlock(&proc_lock);
    spin_unlock_irqrestore(&t->lock, flags);
    return err;
}

/* The leader leaves its terminal, by exit or by TIOCNOTTY. */
static void tty_disassociate(struct tty *t, bool on_exit)
{
    struct pid *pgrp = NULL;
    u64 flags;

    if (on_exit && !t->is_pty) {
        tty_hangup(t);
        return;
    }
    spin_lock_irqsave(&t->lock, &flags);
    if (t->pgrp) {
        pgrp = t->pgrp;
        pid_get(pgrp);
    }
    spin_unlock_irqrestore(&t->lock, flags);
    if (pgrp) {
        (void)signal_send_group(pgrp, SIGHUP, on_exit ? 0 : SIGCONT);
        pid_put(pgrp);
    }
    tty_release_session(t);
}

void up_tty_session_exit(struct tty *t, struct process *leader)
{
    if (READ_ONCE(t->session) == leader->session)
        tty_disassociate(t, true);
}

static s64 tty_set_pgrp(struct tty *t, u64 arg)
{
    struct process *p = current_process(), *member;
    s32 nr;
    u64 flags;

    if (copy_in(&nr, (const void __user *)arg, sizeof(nr)))
        return -EFAULT;
    int err = tty_check_change(t, SIGTTOU);
    if (err)
        return err;
    if (p->tty != t || t->session != p->session)
        return -ENOTTY;
    if (nr < 0)
        return -EINVAL;
    struct pid *pgrp = pid_find(current_pid_ns(), (u32)nr);
    if (!pgrp)
        return -ESRCH;
    spin_lock_irqsave(&t->lock, &flags);
    spin_lock(&proc_lock);
    member = list_first(&pgrp->tasks[PID_PGID], struct process, pgid_node);
    err = !member ? -ESRCH : member->session != p->session ? -EPERM : 0;
    if (p->tty != t || t->session != p->session) /* another thread gave it up meanwhile */
        err = -ENOTTY;
    spin_unlock(&proc_lock);
    if (!err)
        tty_set_owner_locked(t, t->session, pgrp);
    spin_unlock_irqrestore(&t->lock, flags);
    pid_put(pgrp);
    return err;
}

/* TIOCGPGRP and TIOCGSID: a number in the caller's namespace. */
static s64 tty_get_owner(struct tty *t, struct file *f, bool session, u64 arg)
{
    u64 flags;
    s32 nr = 0;

    if (tty_of_file(f) && current_process()->tty != t)
        return -ENOTTY;
    spin_lock_irqsave(&t->lock, &flags);
    struct pid *pid = session ? t->session : t->pgrp;
    if (pid)
        nr = (s32)pid_nr(pid, current_pid_ns());
    spin_unlock_irqrestore(&t->lock, flags);
    if (session && !nr)
        return -ENOTTY;
    return copy_out((void __user *)arg, &nr, sizeof(nr));
}

static s64 tty_give_up(struct tty *t)
{
    struct process *p = current_process();
    u64 flags;

    if (p->tty != t)
        return -ENOTTY;
    if (p->session_leader)
        tty_disassociate(t, false);
    spin_lock_irqsave(&proc_lock, &flags);
    bool held = p->tty == t;
    if (held)
        p->tty = NULL;
    spin_unlock_irqrestore(&proc_lock, flags);
    if (held)
        tty_put(t);
    return 0;
}

s64 tty_job_ioctl(struct tty *t, struct file *f, unsigned cmd, u64 arg)
{
    switch (cmd) {
    case TIOCSCTTY:
        if (!file_readable(f) && !capable(CAP_SYS_ADMIN))
            return -EPERM; /* it could not read, but would be hung up and signalled by it */
        return tty_become_controlling(t, arg == 1);
    case TIOCNOTTY:
        return tty_give_up(t);
    case TIOCGPGRP:
        return tty_get_owner(t, f, false, arg);
    case TIOCSPGRP:
        return tty_set_pgrp(t, arg);
    case TIOCGSID:
        return tty_get_owner(t, f, true, arg);
    default:
        return -ENOTTY;
    }
}

/* Without the lock: proc_lock, which the caller holds, comes after it. The number is a hint for ps.
 */
unsigned up_tty_number(struct tty *t, int *pgrp)
{
    struct pid *fg = READ_ONCE(t->pgrp);

    ASSERT_HELD(&proc_lock);
    *pgrp = fg ? (int)pid_nr(fg, current_pid_ns()) : -1;
    return (unsigned)t->rdev;
}
