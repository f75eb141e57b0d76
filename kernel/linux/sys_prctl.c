/* SPDX-License-Identifier: MIT
 *
 * prctl(2): what a task or its process says about itself, the capability sets' odd corners among
 * it. Rules: capabilities(7).
 */
#include "linux/sys.h"
#include "linux/sys_cred.h"

enum prctl_op {
    PR_SET_PDEATHSIG = 1,
    PR_GET_PDEATHSIG = 2,
    PR_GET_DUMPABLE = 3,
    PR_SET_DUMPABLE = 4,
    PR_GET_KEEPCAPS = 7,
    PR_SET_KEEPCAPS = 8,
    PR_GET_TIMING = 13,
    PR_SET_TIMING = 14,
    PR_SET_NAME = 15,
    PR_GET_NAME = 16,
    PR_GET_SECCOMP = 21,
    PR_SET_SECCOMP = 22,
    PR_CAPBSET_READ = 23,
    PR_CAPBSET_DROP = 24,
    PR_GET_TSC = 25,
    PR_SET_TSC = 26,
    PR_GET_SECUREBITS = 27,
    PR_SET_SECUREBITS = 28,
    PR_SET_TIMERSLACK = 29,
    PR_GET_TIMERSLACK = 30,
    PR_SET_CHILD_SUBREAPER = 36,
    PR_GET_CHILD_SUBREAPER = 37,
    PR_SET_NO_NEW_PRIVS = 38,
    PR_GET_NO_NEW_PRIVS = 39,
    PR_GET_TID_ADDRESS = 40,
    PR_CAP_AMBIENT = 47,
};
enum { PR_TSC_ENABLE = 1, PR_TSC_SIGSEGV };
enum { SECCOMP_MODE_STRICT = 1, SECCOMP_MODE_FILTER };
enum { AMBIENT_IS_SET = 1, AMBIENT_RAISE, AMBIENT_LOWER, AMBIENT_CLEAR_ALL };

static s64 prctl_name(u64 uptr, bool set)
{
    char name[16] = {0};
    struct thread *me = current_thread();

    if (!set) {
        memcpy(name, me->name, sizeof(name));
        return copy_out((void __user *)uptr, name, sizeof(name));
    }
    ssize_t n = copy_string_in(name, (const char __user *)uptr, sizeof(name));
    if (n == -EFAULT)
        return n;
    name[15] = 0;
    memcpy(me->name, name, sizeof(name));
    return 0;
}

/* What one call changes of the credentials. */
struct prctl_caps {
    u64 drop_bounding, ambient_set, ambient_clear;
    u32 *securebits; /* NULL: as they are */
};

static void prctl_caps_apply(struct cred *c, const struct prctl_caps *change)
{
    c->cap_bounding &= ~change->drop_bounding;
    c->cap_ambient = (c->cap_ambient | change->ambient_set) & ~change->ambient_clear;
    if (change->securebits)
        c->securebits = *change->securebits;
}

/* What is the caller's alone, as it is after the first of many such calls, is changed in place:
 * others look at it only once they have counted it, under siglock. False: it is not. */
static bool prctl_caps_in_place(const struct prctl_caps *change)
{
    struct process *p = current_process();
    struct cred *c = (struct cred *)current_cred();
    u64 flags;
    bool alone;

    spin_lock_irqsave(&p->siglock, &flags);
    alone = refcount_read(&c->ref) == 1;
    if (alone)
        prctl_caps_apply(c, change);
    spin_unlock_irqrestore(&p->siglock, flags);
    return alone;
}

static s64 prctl_change_caps(const struct prctl_caps *change)
{
    struct cred *c;

    if (prctl_caps_in_place(change))
        return 0;
    c = cred_copy(current_cred());
    if (!c)
        return -ENOMEM;
    prctl_caps_apply(c, change);
    task_set_cred(c);
    return 0;
}

static s64 prctl_ambient(u64 op, u64 cap)
{
    const struct cred *c = current_cred();

    if (op == AMBIENT_CLEAR_ALL)
        return cap ? -EINVAL : prctl_change_caps(&(struct prctl_caps){.ambient_clear = U64_MAX});
    if (cap > CAP_LAST)
        return -EINVAL;
    u64 bit = 1ULL << cap;
    switch (op) {
    case AMBIENT_IS_SET:
        return !!(c->cap_ambient & bit);
    case AMBIENT_RAISE:
        if (!(c->cap_permitted & c->cap_inheritable & bit) ||
            c->securebits & SECBIT_NO_AMBIENT_RAISE)
            return -EPERM;
        return prctl_change_caps(&(struct prctl_caps){.ambient_set = bit});
    case AMBIENT_LOWER:
        return prctl_change_caps(&(struct prctl_caps){.ambient_clear = bit});
    default:
        return -EINVAL;
    }
}

static s64 prctl_subreaper(bool on)
{
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    current_process()->subreaper = on;
    spin_unlock_irqrestore(&proc_lock, flags);
    return 0;
}

static s64 prctl_caps(u32 op, u64 a, u64 b, u64 c, u64 d)
{
    const struct cred *me = current_cred();
    bool setpcap = cred_capable(me, me->user_ns, CAP_SETPCAP);
    u32 bits = me->securebits;

    switch (op) {
    case PR_CAPBSET_READ:
        return a > CAP_LAST ? -EINVAL : (s64)(me->cap_bounding >> a & 1);
    case PR_CAPBSET_DROP:
        if (!setpcap)
            return -EPERM;
        return a > CAP_LAST ? -EINVAL
                            : prctl_change_caps(&(struct prctl_caps){.drop_bounding = 1ULL << a});
    case PR_GET_KEEPCAPS:
        return !!(bits & SECBIT_KEEP_CAPS);
    case PR_SET_KEEPCAPS:
        if (a > 1)
            return -EINVAL;
        if (bits & SECBIT_KEEP_CAPS_LOCKED)
            return -EPERM;
        bits = a ? bits | SECBIT_KEEP_CAPS : bits & ~(u32)SECBIT_KEEP_CAPS;
        return prctl_change_caps(&(struct prctl_caps){.securebits = &bits});
    case PR_GET_SECUREBITS:
        return bits;
    case PR_SET_SECUREBITS:
        if (!setpcap || (bits >> 1 & 0x55 & (bits ^ a)) || (bits & 0xaa & ~a) ||
            a & ~(u64)SECBITS_KNOWN)
            return -EPERM;
        bits = (u32)a;
        return prctl_change_caps(&(struct prctl_caps){.securebits = &bits});
    case PR_CAP_AMBIENT:
        return c || d ? -EINVAL : prctl_ambient(a, b);
    default:
        log_once(LOG_INFO, "linux: prctl %u is not implemented", op);
        return -EINVAL;
    }
}

static s64 prctl_set_tsc(u32 mode)
{
    if (mode != PR_TSC_ENABLE && mode != PR_TSC_SIGSEGV)
        return -EINVAL;
    arch_set_tsc_faults(mode == PR_TSC_SIGSEGV);
    return 0;
}

static s64 prctl_set_seccomp(u64 mode, u64 filter)
{
    if (mode == SECCOMP_MODE_STRICT)
        return seccomp_install_strict();
    return mode == SECCOMP_MODE_FILTER ? seccomp_install(filter, 0) : -EINVAL;
}

s64 sys_prctl(s32 op, u64 a, u64 b, u64 c, u64 d)
{
    struct task *t = current_task();
    s32 value;

    switch ((u32)op) {
    case PR_SET_PDEATHSIG:
        if (a > NSIG)
            return -EINVAL;
        death_signal_set(t, (int)a);
        return 0;
    case PR_GET_PDEATHSIG:
        return OUT(a, t->pdeath_signal);
    case PR_GET_DUMPABLE:
        return t->process->dumpable;
    case PR_SET_DUMPABLE:
        if (a > 1)
            return -EINVAL;
        t->process->dumpable = a;
        return 0;
    case PR_GET_TIMING: /* statistical, the one way there is */
        return 0;
    case PR_SET_TIMING:
        return a ? -EINVAL : 0;
    case PR_SET_NAME:
    case PR_GET_NAME:
        return prctl_name(a, op == PR_SET_NAME);
    case PR_GET_SECCOMP:
        return seccomp_mode(t);
    case PR_SET_SECCOMP:
        return prctl_set_seccomp(a, b);
    case PR_GET_TSC:
        value = t->thread->arch.tsc_faults ? PR_TSC_SIGSEGV : PR_TSC_ENABLE;
        return OUT(a, value);
    case PR_SET_TSC:
        return prctl_set_tsc((u32)a);
    case PR_SET_TIMERSLACK:
        t->thread->timer_slack = a ? a : t->default_slack;
        return 0;
    case PR_GET_TIMERSLACK:
        return (s64)t->thread->timer_slack;
    case PR_SET_CHILD_SUBREAPER:
        return prctl_subreaper(a);
    case PR_GET_CHILD_SUBREAPER:
        value = t->process->subreaper;
        return OUT(a, value);
    case PR_SET_NO_NEW_PRIVS:
        if (a != 1 || b || c || d)
            return -EINVAL;
        t->no_new_privs = true;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return a || b || c || d ? -EINVAL : t->no_new_privs;
    case PR_GET_TID_ADDRESS:
        return OUT(a, t->clear_child_tid);
    default:
        return prctl_caps((u32)op, a, b, c, d);
    }
}
