/* SPDX-License-Identifier: MIT
 *
 * seccomp(2): filters come in by copy, and container/seccomp.c checks them. A thread's chain only
 * ever grows: it is replaced by one that was built upon it, by the thread itself or by a sibling
 * that synchronises all (TSYNC), under process->cred_guard, which keeps them and an exec apart, and
 * siglock, under which it is read.
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
    struct process *p = t->process;
    s64 err = 0;
    u64 irq;

    if (mutex_lock_killable(&p->cred_guard))
        return -EINTR;
    spin_lock_irqsave(&p->siglock, &irq);
    if (t->seccomp)
        err = -EINVAL;
    else
        t->entry_work |= ENTRY_STRICT;
    spin_unlock_irqrestore(&p->siglock, irq);
    mutex_unlock(&p->cred_guard);
    return err;
}

/* One walk over the threads, which may be many, for all that follow a new chain. */
struct seccomp_sync {
    struct task *me;
    struct seccomp *chain;         /* the new one */
    const struct seccomp *checked; /* the latest that me's was found to be built upon */
    u32 bad;                       /* number of a thread in the way */
};

/* Non-zero: its filters are not me's to build upon. REQUIRES(siglock) */
static int seccomp_check_one(struct task *t, void *arg)
{
    struct seccomp_sync *s = arg;

    ASSERT_HELD(&t->process->siglock);
    if (t == s->me || t->exiting)
        return 0;
    if (!(t->entry_work & ENTRY_STRICT) && (!t->seccomp || t->seccomp == s->checked))
        return 0;
    if (t->entry_work & ENTRY_STRICT || !seccomp_is_ancestor(t->seccomp, s->me->seccomp)) {
        s->bad = pid_nr(t->pid, current_pid_ns());
        return 1;
    }
    s->checked = t->seccomp;
    return 0;
}

/* What the new chain was built upon keeps the old one in memory: a thread may be in it just now.
 * REQUIRES(siglock) */
static void seccomp_give_locked(struct task *t, struct seccomp *chain) REQUIRES(t->process->siglock)
{
    struct seccomp *old = t->seccomp;

    ASSERT_HELD(&t->process->siglock);
    seccomp_get(chain);
    t->seccomp = chain;
    t->entry_work |= ENTRY_SECCOMP;
    seccomp_put(old);
}

static int seccomp_give_one(struct task *t, void *arg)
{
    const struct seccomp_sync *s = arg;

    ASSERT_HELD(&t->process->siglock);
    if (t == s->me || t->exiting || t->seccomp == s->chain)
        return 0;
    seccomp_give_locked(t, s->chain);
    t->no_new_privs |= s->me->no_new_privs;
    return 0;
}

/* chain, built upon what current has, is current's and, with TSYNC, that of all its threads, those
 * included that are made meanwhile. TSYNC: the number of a thread in the way, or -ESRCH.
 * REQUIRES(cred_guard) */
static s64 seccomp_publish(struct seccomp *chain, u64 flags)
{
    struct task *me = current_task();
    struct process *p = me->process;
    struct seccomp_sync s = {.me = me, .chain = chain};
    u64 irq;

    ASSERT_HELD(&p->cred_guard);
    if (flags & FILTER_TSYNC) {
        if (process_for_each_task(p, seccomp_check_one, &s))
            return flags & FILTER_TSYNC_ESRCH ? -ESRCH : (s64)s.bad;
        (void)process_for_each_task(p, seccomp_give_one, &s);
    }
    spin_lock_irqsave(&p->siglock, &irq);
    ASSERT_HELD(&me->process->siglock); /* the same lock, as the callee names it */
    seccomp_give_locked(me, chain);
    spin_unlock_irqrestore(&p->siglock, irq);
    return 0;
}

static s64 seccomp_add(const struct bpf_insn *insns, u32 len, u64 flags)
{
    struct task *me = current_task();
    struct mutex *guard = &me->process->cred_guard;
    struct seccomp *chain;
    s64 r;

    if (mutex_lock_killable(guard)) /* by a sibling's exec, which ends this thread */
        return -EINTR;
    if (me->seccomp)
        seccomp_get(me->seccomp); /* the chain's */
    r = seccomp_attach(me->seccomp, insns, len, flags & FILTER_LOG, &chain);
    if (r) {
        seccomp_put(me->seccomp);
    } else {
        r = seccomp_publish(chain, flags);
        seccomp_put(chain); /* the threads have their own */
    }
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
