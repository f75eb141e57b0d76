/* SPDX-License-Identifier: MIT
 *
 * Signals and their descriptors.
 */
#include "arch/x86/trap.h"
#include "linux/sys.h"
#include "proc/pidfd.h"
#include "proc/procfs.h"

#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2

s64 sys_rt_sigaction(s32 sig, u64 unew, u64 uold, u64 size)
{
    struct sigaction act, old;

    if (size != sizeof(sigset_t))
        return -EINVAL;
    if (unew && IN(act, unew))
        return -EFAULT;
    int err = signal_action((int)sig, unew ? &act : NULL, uold ? &old : NULL);
    return !err && uold && OUT(uold, old) ? -EFAULT : err;
}

s64 sys_rt_sigprocmask(s32 how, u64 unew, u64 uold, u64 size)
{
    struct task *t = current_task();
    sigset_t old = t->blocked, set;

    if (size != sizeof(sigset_t))
        return -EINVAL;
    if (unew) {
        if (IN(set, unew))
            return -EFAULT;
        switch ((s32)how) {
        case SIG_BLOCK:
            set |= old;
            break;
        case SIG_UNBLOCK:
            set = old & ~set;
            break;
        case SIG_SETMASK:
            break;
        default:
            return -EINVAL;
        }
        signal_set_mask(set);
    }
    return uold && OUT(uold, old) ? -EFAULT : 0;
}

s64 sys_rt_sigreturn(void)
{
    return signal_return(syscall_frame());
}

s64 sys_rt_sigpending(u64 uset, u64 size)
{
    struct task *t = current_task();
    sigset_t set = (t->pending.set | t->process->pending.set) & t->blocked;

    return size > sizeof(set) ? -EINVAL : copy_out((void __user *)uset, &set, size);
}

s64 sys_rt_sigtimedwait(u64 uset, u64 uinfo, u64 uts, u64 size)
{
    struct siginfo info;
    sigset_t set;
    u64 ns = 0;

    if (size != sizeof(set))
        return -EINVAL;
    if (IN(set, uset))
        return -EFAULT;
    int err = uts ? timespec_in(uts, &ns) : 0;
    if (err)
        return err;
    int sig = signal_wait(set, &info, !uts || ns, uts ? deadline_after(ns) : 0);
    return sig > 0 && uinfo && signal_copy_info((void __user *)uinfo, &info) ? -EFAULT : sig;
}

s64 sys_rt_sigsuspend(u64 uset, u64 size)
{
    struct task *t = current_task();
    sigset_t set;

    if (size != sizeof(set))
        return -EINVAL;
    if (IN(set, uset))
        return -EFAULT;
    signal_temp_mask(set);
    (void)wait_event_interruptible(&t->process->stop_wait, signal_pending(t));
    return -ERESTARTNOHAND;
}

s64 sys_pause(void)
{
    struct task *t = current_task();

    (void)wait_event_interruptible(&t->process->stop_wait, signal_pending(t));
    return -ERESTARTNOHAND;
}

s64 sys_sigaltstack(u64 unew, u64 uold)
{
    struct sigstack st, old;

    if (unew && IN(st, unew))
        return -EFAULT;
    int err = signal_altstack(unew ? &st : NULL, uold ? &old : NULL, syscall_frame()->rsp);
    return !err && uold && OUT(uold, old) ? -EFAULT : err;
}

/* A message of the caller's own, or NULL: what kill(2) and the like tell. */
struct signal_message {
    int code;
    const struct siginfo *info;
    u64 shared; /* signal_shared_number's where it is for several processes; 0: for one */
};

/* The sender's number as the receiver's namespace has it; 0: none there. */
static struct siginfo signal_message_for(const struct signal_message *m, const struct process *to)
{
    u32 nr = pid_nr(current_process()->pid, process_pid_ns(to));
    struct siginfo info = {.code = m->code};

    if (m->info)
        info = *m->info;
    if (!m->info)
        info.rt.uid = current_cred()->uid;
    if (!m->info || (signal_info_has_sender(&info) && !nr))
        info.rt.pid = nr;
    return info;
}

static int signal_process_checked(struct process *p, int sig, const struct signal_message *m)
{
    int err = signal_permitted(p, sig);

    if (err)
        return err;
    struct siginfo info = signal_message_for(m, p);
    return m->shared ? signal_send_shared(p, sig, &info, m->shared)
                     : signal_send_process(p, sig, &info);
}

/* kill(-1): every process but PID 1 and oneself. That one may not signal some is no error. */
static s64 signal_broadcast(int sig, const struct signal_message *m)
{
    struct pid_ns *ns = current_pid_ns();
    struct pid *pid;
    s64 result = -ESRCH;

    signal_group_settle(NULL, m->shared);
    for (u32 nr = 2; (pid = pid_next(ns, nr)) != NULL; cond_yield()) {
        nr = pid_nr(pid, ns) + 1;
        struct process *p = process_of_pid(pid);
        pid_put(pid);
        if (!p)
            continue;
        if (p != current_process()) {
            int err = signal_process_checked(p, sig, m);
            if (err != -EPERM)
                result = err;
            else if (result == -ESRCH)
                result = 0;
        }
        process_put(p);
    }
    return result;
}

#define GROUP_AT_ONCE 32 /* bounds the time with interrupts off */

/* What all members of a group are sent; those that had it, and what they have forked since, know
 * its number. */
struct signal_to_group {
    u64 shared;
    signal_member_fn *send;
    const void *arg;
    s64 result;
};

/* group_member_fn */
static bool signal_group_member(struct process *p, void *arg)
{
    struct signal_to_group *to = arg;
    int err;

    if (READ_ONCE(p->shared_signal) == to->shared)
        return false;
    err = to->send(p, to->shared, to->arg);
    if (!err || to->result == -ESRCH)
        to->result = err;
    return false;
}

/* No member forks ahead of it: a look at one and the sending are one hold of proc_lock, where a
 * child comes to be visible. */
s64 signal_group_members(struct pid *pgrp, u64 shared, signal_member_fn *send, const void *arg)
{
    struct signal_to_group to = {.shared = shared, .send = send, .arg = arg, .result = -ESRCH};
    struct group_walk walk = {.pgrp = pgrp};

    signal_group_settle(pgrp, shared);
    while (group_walk_some(&walk, GROUP_AT_ONCE, signal_group_member, &to))
        cond_yield();
    return to.result;
}

struct signal_checked {
    int sig;
    const struct signal_message *m;
};

/* signal_member_fn: if current may signal it. */
static int signal_member_checked(struct process *p, u64 shared, const void *arg)
{
    const struct signal_checked *c = arg;
    int err = c->sig < 0 || c->sig > NSIG ? -EINVAL
              : p == current_process()    ? 0
                                          : signal_permitted_to(p->leader, c->sig);

    if (err || !c->sig)
        return err;
    struct siginfo info = signal_message_for(c->m, p);
    return signal_send_shared(p, c->sig, &info, shared);
}

s64 sys_kill(s32 pid, s32 sig)
{
    const struct signal_message m = {.code = SI_USER,
                                     .shared = pid <= 0 ? signal_shared_number() : 0};

    if (pid > 0 && pid == sys_getpid())
        return signal_process_checked(current_process(), sig, &m);
    if (pid > 0) {
        struct process *p = process_find(current_pid_ns(), (u32)pid);
        if (!p)
            return -ESRCH;
        int err = signal_process_checked(p, sig, &m);
        process_put(p);
        return err;
    }
    if (pid == -1)
        return signal_broadcast(sig, &m);
    if (pid == (s32)0x80000000)
        return -ESRCH;
    struct pid *pgrp =
        pid ? pid_find(current_pid_ns(), (u32)-pid) : process_pgrp(current_process());
    if (!pgrp)
        return -ESRCH;
    s64 r = signal_group_members(pgrp, m.shared, signal_member_checked,
                                 &(struct signal_checked){sig, &m});
    pid_put(pgrp);
    return r;
}

/* tgid 0: of any process. */
static s64 signal_task(s32 tgid, s32 tid, s32 sig, const struct signal_message *m)
{
    if (tid <= 0 || tgid < 0)
        return -EINVAL;
    struct task *t = task_find(current_pid_ns(), (u32)tid);
    if (!t)
        return -ESRCH;
    int err = 0;
    if (tgid && pid_nr(t->process->pid, current_pid_ns()) != (u32)tgid)
        err = -ESRCH;
    if (!err)
        err = signal_permitted(t->process, sig);
    if (!err) {
        struct siginfo info = signal_message_for(m, t->process);
        err = signal_send_task(t, sig, &info);
    }
    task_put(t);
    return err;
}

s64 sys_tkill(s32 tid, s32 sig)
{
    return signal_task(0, tid, sig, &(struct signal_message){.code = SI_TKILL});
}

s64 sys_tgkill(s32 tgid, s32 tid, s32 sig)
{
    if (tgid <= 0)
        return -EINVAL;
    return signal_task(tgid, tid, sig, &(struct signal_message){.code = SI_TKILL});
}

/* A siginfo of the caller's own making: only to itself may it pretend to be from the kernel or from
 * kill. */
static int signal_info_in(u64 uinfo, bool to_self, struct siginfo *info)
{
    if (copy_in(info, (const void __user *)uinfo, sizeof(*info)))
        return -EFAULT;
    if (signal_info_has_sender(info))
        info->rt.uid = user_ns_map_uid(current_cred()->user_ns, info->rt.uid);
    return (info->code >= 0 || info->code == SI_TKILL) && !to_self ? -EPERM : 0;
}

s64 sys_rt_sigqueueinfo(s32 pid, s32 sig, u64 uinfo)
{
    struct siginfo info;
    int err = signal_info_in(uinfo, pid == sys_gettid(), &info);

    if (err)
        return err;
    info.signo = sig;
    struct process *p = pid > 0 ? process_find(current_pid_ns(), (u32)pid) : NULL;
    if (!p)
        return -ESRCH;
    err = signal_process_checked(p, sig, &(struct signal_message){.info = &info});
    process_put(p);
    return err;
}

s64 sys_rt_tgsigqueueinfo(s32 tgid, s32 tid, s32 sig, u64 uinfo)
{
    struct siginfo info;
    int err = signal_info_in(uinfo, tid == sys_gettid(), &info);

    if (err)
        return err;
    if (tgid <= 0)
        return -EINVAL;
    info.signo = sig;
    return signal_task(tgid, tid, sig, &(struct signal_message){.info = &info});
}

static s64 signal_pidfd_checked(struct process *p, int sig, u64 uinfo)
{
    struct signal_message m = {.code = SI_USER};
    struct siginfo info;

    if (uinfo) {
        int err = signal_info_in(uinfo, p->pid == current_task()->pid, &info);
        if (err == -EFAULT)
            return err;
        if (info.signo != sig)
            return -EINVAL;
        if (err)
            return err;
        m.info = &info;
    }
    return signal_process_checked(p, sig, &m);
}

s64 sys_pidfd_send_signal(s32 fd, s32 sig, u64 uinfo, u32 flags)
{
    struct fd_hold h;
    struct pid *pid;

    if (flags)
        return -EINVAL;
    h = fd_hold((int)fd);
    pid = h.file ? pidfd_pid(h.file) : NULL;
    if (!pid && h.file)
        pid = procfs_pid_of_file(h.file);
    fd_release(h);
    if (!pid)
        return -EBADF;
    struct process *p = process_of_pid(pid);
    pid_put(pid);
    if (!p)
        return -ESRCH;
    /* A descriptor that came from outside: what has no number here is not the caller's to signal.
     */
    s64 r = pid_nr(p->pid, current_pid_ns()) ? signal_pidfd_checked(p, sig, uinfo) : -EINVAL;
    process_put(p);
    return r;
}

s64 sys_signalfd4(s32 fd, u64 umask, u64 size, u32 flags)
{
    sigset_t mask;

    if (size != sizeof(mask) || flags & ~(u64)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    if (IN(mask, umask))
        return -EFAULT;
    if ((s32)fd == -1) {
        struct file *f = signalfd_create(mask, flags & O_NONBLOCK);
        return IS_ERR(f) ? PTR_ERR(f) : fd_publish(f, flags & O_CLOEXEC);
    }
    struct fd_hold h = fd_hold((int)fd);
    if (!h.file)
        return -EBADF;
    int err = signalfd_set_mask(h.file, mask);
    fd_release(h);
    return err ? err : (s64)(u32)fd;
}

s64 sys_signalfd(s32 fd, u64 mask, u64 size)
{
    return sys_signalfd4(fd, mask, size, 0);
}
