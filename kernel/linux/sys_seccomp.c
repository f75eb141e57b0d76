/* SPDX-License-Identifier: MIT
 *
 * seccomp(2): filters come in by copy, and container/seccomp.c checks them.
 */
#include "container/seccomp.h"
#include "linux/sys.h"
#include "linux/sys_cred.h"

s64 seccomp_install(u64 uprog, u64 flags)
{
    struct {
        u16 len;
        u16 pad[3];
        u64 filter;
    } prog;
    struct task *t = current_task();
    struct seccomp *chain;
    u64 irq;

    if (flags & ~7UL) /* TSYNC, LOG, SPEC_ALLOW */
        return -EINVAL;
    if (flags & 1 && t->process->nr_tasks > 1)
        return -ENOSYS; /* synchronising other threads */
    if (!t->no_new_privs && !cred_capable(t->cred, t->cred->user_ns, CAP_SYS_ADMIN))
        return -EACCES;
    if (IN(prog, uprog))
        return -EFAULT;
    if (!prog.len || prog.len > BPF_MAXINSNS)
        return -EINVAL;
    u64 size = prog.len * sizeof(struct bpf_insn);
    struct bpf_insn *insns = kmalloc(size);
    if (!insns)
        return -ENOMEM;
    int err = copy_in(insns, (const void __user *)prog.filter, size);
    if (!err)
        err = seccomp_attach(t->seccomp, insns, prog.len, flags & 2, &chain);
    kfree(insns);
    if (err)
        return err;
    spin_lock_irqsave(&t->process->siglock, &irq);
    t->seccomp = chain;
    spin_unlock_irqrestore(&t->process->siglock, irq);
    t->entry_work |= ENTRY_SECCOMP;
    return 0;
}

s64 sys_seccomp(u32 op, u32 flags, u64 uargs)
{
    u32 action;

    switch ((u32)op) {
    case 1: /* SECCOMP_SET_MODE_FILTER */
        return seccomp_install(uargs, flags);
    case 2: /* SECCOMP_GET_ACTION_AVAIL */
        if (flags)
            return -EINVAL;
        if (IN(action, uargs))
            return -EFAULT;
        switch (action) {
        case SECCOMP_RET_KILL_PROCESS:
        case SECCOMP_RET_KILL_THREAD:
        case SECCOMP_RET_TRAP:
        case SECCOMP_RET_ERRNO:
        case SECCOMP_RET_LOG:
        case SECCOMP_RET_ALLOW:
            return 0;
        default:
            return -EOPNOTSUPP;
        }
    default: /* strict mode, listeners */
        return -EINVAL;
    }
}
