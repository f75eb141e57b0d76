/* SPDX-License-Identifier: MIT
 *
 * seccomp(2): filters come in by copy, and container/seccomp.c checks them. A thread's chain only
 * ever grows: it is replaced under siglock by one that was built upon it, by the thread itself or
 * by a sibling that synchronises all (TSYNC), which is kept apart from an exec by
 * process->cred_guard.
 */
#include "container/seccomp.h"
#include "linux/sys.h"
#include "linux/sys_cred.h"

enum seccomp_flag {
    FILTER_TSYNC = 1,
    FILTER_LOG = 2,
    FILTER_SPEC_ALLOW = 4,
    FILTER_TSYNC_ESRCH = 16,
};
#define FILTER_KNOWN (FILTER_TSYNC | FILTER_LOG | FILTER_SPEC_ALLOW | FILTER_TSYNC_ESRCH)

enum seccomp_op { SET_MODE_STRICT, SET_MODE_FILTER, GET_ACTION_AVAIL, GET_NOTIF_SIZES };

/* struct seccomp_notif_sizes: of the request, the response and seccomp_data. */
static const u16 notif_sizes[3] = {80, 24, 64};

int seccomp_mode(const struct task *t)
{
    return t->entry_work & ENTRY_STRICT ? 1 : t->seccomp ? 2 : 0;
}

s64 seccomp_install_strict(void)
{
    struct task *t = current_task();
    s64 err = 0;
    u64 irq;

    spin_lock_irqsave(&t->process->siglock, &irq);
    if (t->seccomp)
        err = -EINVAL;
    else
        t->entry_work |= ENTRY_STRICT;
    spin_unlock_irqrestore(&t->process->siglock, irq);
    return err;
}

/* The thread whose filters are not ours to build upon: NULL: all can follow. REQUIRES(siglock) */
static struct task *seccomp_straggler_locked(struct task *me)
{
    struct task *t;

    list_for_each (t, &me->process->tasks, node)
        if (t != me && !t->exiting &&
            (t->entry_work & ENTRY_STRICT || !seccomp_is_ancestor(t->seccomp, me->seccomp)))
            return t;
    return NULL;
}

/* What the new chain was built upon keeps the old one in memory: a thread may be in it just now.
 * REQUIRES(siglock) */
static void seccomp_give_locked(struct task *t, struct seccomp *chain)
{
    struct seccomp *old = t->seccomp;

    seccomp_get(chain);
    t->seccomp = chain;
    t->entry_work |= ENTRY_SECCOMP;
    seccomp_put(old);
}

/* Publishes chain, built upon base, in current or (TSYNC) in all its threads. 0; -EAGAIN: base is
 * not current's any more; TSYNC: the number of a thread in the way, or -ESRCH. */
static s64 seccomp_publish(struct seccomp *chain, struct seccomp *base, u64 flags)
{
    struct task *me = current_task(), *t, *bad;
    s64 r = 0;
    u64 irq;

    spin_lock_irqsave(&me->process->siglock, &irq);
    bad = flags & FILTER_TSYNC ? seccomp_straggler_locked(me) : NULL;
    if (me->seccomp != base)
        r = -EAGAIN;
    else if (bad)
        r = flags & FILTER_TSYNC_ESRCH ? -ESRCH : (s64)pid_nr(bad->pid, current_pid_ns());
    if (!r && flags & FILTER_TSYNC) {
        list_for_each (t, &me->process->tasks, node) {
            if (t == me || t->exiting)
                continue;
            seccomp_give_locked(t, chain);
            t->no_new_privs |= me->no_new_privs;
        }
    }
    if (!r)
        seccomp_give_locked(me, chain);
    spin_unlock_irqrestore(&me->process->siglock, irq);
    return r;
}

/* A chain of its own reference on what current has now, in *base. */
static int seccomp_build(const struct bpf_insn *insns, u32 len, u64 flags, struct seccomp **base,
                         struct seccomp **chain)
{
    struct task *me = current_task();
    u64 irq;
    int err;

    spin_lock_irqsave(&me->process->siglock, &irq);
    *base = me->seccomp;
    if (*base)
        seccomp_get(*base);
    spin_unlock_irqrestore(&me->process->siglock, irq);
    err = seccomp_attach(*base, insns, len, flags & FILTER_LOG, chain);
    if (err)
        seccomp_put(*base);
    return err;
}

static s64 seccomp_add(const struct bpf_insn *insns, u32 len, u64 flags)
{
    struct mutex *guard = flags & FILTER_TSYNC ? &current_process()->cred_guard : NULL;
    struct seccomp *base, *chain;
    s64 r;

    if (guard && mutex_lock_killable(guard)) /* by a sibling's exec, which ends this thread */
        return -EINTR;
    do {
        r = seccomp_build(insns, len, flags, &base, &chain);
        if (r)
            break;
        r = seccomp_publish(chain, base, flags);
        seccomp_put(chain); /* the threads have their own */
    } while (r == -EAGAIN);
    if (guard)
        mutex_unlock(guard);
    return r;
}

s64 seccomp_install(u64 uprog, u64 flags)
{
    struct {
        u16 len;
        u16 pad[3];
        u64 filter;
    } prog;
    struct task *t = current_task();

    if (flags & ~(u64)FILTER_KNOWN)
        return -EINVAL;
    if (IN(prog, uprog))
        return -EFAULT;
    if (!prog.len || prog.len > BPF_MAXINSNS)
        return -EINVAL;
    if (!t->no_new_privs && !cred_capable(t->cred, t->cred->user_ns, CAP_SYS_ADMIN))
        return -EACCES;
    u64 size = prog.len * sizeof(struct bpf_insn);
    struct bpf_insn *insns = kmalloc(size);
    if (!insns)
        return -ENOMEM;
    s64 r = copy_in(insns, (const void __user *)prog.filter, size);
    if (!r)
        r = seccomp_add(insns, prog.len, flags);
    kfree(insns);
    return r;
}

/* What a filter may answer here; notification of a listener is not. */
static s64 seccomp_action_available(u64 uaction)
{
    u32 action;

    if (IN(action, uaction))
        return -EFAULT;
    switch (action) {
    case SECCOMP_RET_KILL_PROCESS:
    case SECCOMP_RET_KILL_THREAD:
    case SECCOMP_RET_TRAP:
    case SECCOMP_RET_ERRNO:
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_ALLOW:
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

s64 sys_seccomp(u32 op, u32 flags, u64 uargs)
{
    switch (op) {
    case SET_MODE_STRICT:
        return flags || uargs ? -EINVAL : seccomp_install_strict();
    case SET_MODE_FILTER:
        return seccomp_install(uargs, flags);
    case GET_ACTION_AVAIL:
        return flags ? -EINVAL : seccomp_action_available(uargs);
    case GET_NOTIF_SIZES:
        return flags ? -EINVAL : OUT(uargs, notif_sizes);
    default:
        return -EINVAL;
    }
}
