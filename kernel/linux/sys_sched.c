/* SPDX-License-Identifier: MIT
 *
 * Scheduling: yield, affinity, nice, policies. There are no real-time classes: asking for one is
 * EPERM.
 */
#include "arch/x86/percpu.h"
#include "linux/sys.h"

enum { SCHED_FIFO = 1, SCHED_RR = 2, SCHED_DEADLINE = 6 };
#define SCHED_PRIORITY_MAX 99
#define SCHED_RESET_ON_FORK 0x40000000U /* in a policy's number */

enum {
    SCHED_FLAG_RESET_ON_FORK = 1,
    SCHED_FLAG_KEEP_POLICY = 8,
    SCHED_FLAG_KEEP_PARAMS = 16,
    SCHED_FLAG_UTIL = 0x60,
    SCHED_FLAG_KNOWN = 0x7f,
};
enum { PRIO_PROCESS, PRIO_PGRP, PRIO_USER };

s64 sys_sched_yield(void)
{
    sched_yield_current();
    return 0;
}

/* The task, counted; 0 means current. */
static struct task *sched_task(u64 tid)
{
    if ((u32)tid)
        return task_find(current_pid_ns(), (u32)tid);
    task_get(current_task());
    return current_task();
}

static bool sched_may_change(struct task *t)
{
    const struct cred *me = current_cred(), *c = task_cred(t);
    bool ok =
        me->euid == c->uid || me->euid == c->euid || cred_capable(me, c->user_ns, CAP_SYS_NICE);

    cred_put(c);
    return ok;
}

s64 sys_sched_setaffinity(s32 tid, u32 len, u64 umask)
{
    u64 mask = 0;

    if (copy_in(&mask, (const void __user *)umask, MIN(len, sizeof(mask))))
        return -EFAULT;
    struct task *t = sched_task(tid);
    if (!t)
        return -ESRCH;
    int err = sched_may_change(t) ? thread_set_affinity(t->thread, mask) : -EPERM;
    task_put(t);
    return err;
}

s64 sys_sched_getaffinity(s32 tid, u32 len, u64 umask)
{
    struct task *t;

    if (len < sizeof(u64) || len % sizeof(u64))
        return -EINVAL;
    t = sched_task(tid);
    if (!t)
        return -ESRCH;
    u64 all = cpu_count() >= 64 ? U64_MAX : (1ULL << cpu_count()) - 1;
    u64 mask = t->thread->allowed & all;
    task_put(t);
    return OUT(umask, mask) ? -EFAULT : (s64)sizeof(mask);
}

s64 sys_sched_getscheduler(s32 tid)
{
    struct task *t = tid < 0 ? NULL : sched_task((u32)tid);

    if (tid < 0)
        return -EINVAL;
    if (!t)
        return -ESRCH;
    s64 policy = t->thread->policy;
    if (READ_ONCE(t->thread->reset_on_fork))
        policy |= SCHED_RESET_ON_FORK;
    task_put(t);
    return policy;
}

/* sched(7): a nice value as low as RLIMIT_NICE, 20 - nice, allows it. */
static bool sched_may_nice(struct task *t, int nice)
{
    return (u64)(20 - nice) <= READ_ONCE(t->process->rlimits[RLIMIT_NICE].cur) ||
           capable(CAP_SYS_NICE);
}

/* What a call asks for; priority and policy as numbers of the user. */
struct sched_request {
    u32 policy, priority;
    bool reset_on_fork;
    int nice;
};

static int sched_judge(struct task *t, const struct sched_request *r)
{
    const struct thread *th = t->thread;
    bool real_time = r->policy == SCHED_FIFO || r->policy == SCHED_RR;

    if (r->policy > SCHED_DEADLINE || r->policy == 4 || r->priority > SCHED_PRIORITY_MAX ||
        real_time != (r->priority != 0))
        return -EINVAL;
    if (real_time || r->policy == SCHED_DEADLINE)
        return -EPERM;
    if (!sched_may_change(t))
        return -EPERM;
    if (r->nice < th->nice && !sched_may_nice(t, r->nice))
        return -EPERM;
    if (th->policy == SCHED_IDLE && r->policy != SCHED_IDLE && !sched_may_nice(t, th->nice))
        return -EPERM;
    return th->reset_on_fork && !r->reset_on_fork && !capable(CAP_SYS_NICE) ? -EPERM : 0;
}

static int sched_apply(struct task *t, const struct sched_request *r)
{
    int err = sched_judge(t, r);

    if (err)
        return err;
    WRITE_ONCE(t->thread->reset_on_fork, r->reset_on_fork);
    if (r->nice != t->thread->nice)
        thread_set_nice(t->thread, r->nice);
    return thread_set_policy(t->thread, (int)r->policy);
}

s64 sys_sched_setscheduler(s32 tid, s32 policy, u64 uparam)
{
    struct sched_request r;
    s32 priority;

    if (policy < 0 || tid < 0 || !uparam)
        return -EINVAL;
    if (IN(priority, uparam))
        return -EFAULT;
    struct task *t = sched_task((u32)tid);
    if (!t)
        return -ESRCH;
    r = (struct sched_request){.policy = (u32)policy & ~SCHED_RESET_ON_FORK,
                               .priority = (u32)priority,
                               .reset_on_fork = policy & (s32)SCHED_RESET_ON_FORK,
                               .nice = t->thread->nice};
    int err = sched_apply(t, &r);
    task_put(t);
    return err;
}

s64 sys_sched_setparam(s32 tid, u64 uparam)
{
    struct task *t;
    s32 priority;
    int err;

    if ((s32)tid < 0)
        return -EINVAL;
    if (IN(priority, uparam))
        return -EFAULT;
    t = sched_task(tid);
    if (!t)
        return -ESRCH;
    err = priority ? -EINVAL : sched_may_change(t) ? 0 : -EPERM;
    task_put(t);
    return err;
}

s64 sys_sched_getparam(s32 tid, u64 uparam)
{
    s32 priority = 0;
    struct task *t = (s32)tid < 0 ? NULL : sched_task(tid);

    if ((s32)tid < 0)
        return -EINVAL;
    if (!t)
        return -ESRCH;
    task_put(t);
    return OUT(uparam, priority);
}

/* struct sched_attr, linux/sched/types.h */
struct sched_attr_user {
    u32 size, policy;
    u64 flags;
    s32 nice;
    u32 priority;
    u64 runtime, deadline, period;
    u32 util_min, util_max;
};
#define SCHED_ATTR_SIZE_VER0 48

s64 sys_sched_getattr(s32 tid, u64 uattr, u32 size, u32 flags)
{
    struct sched_attr_user a = {.size = (u32)MIN(size, sizeof(a))};

    if (!uattr || tid < 0 || flags || size < SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE)
        return -EINVAL;
    struct task *t = sched_task((u32)tid);
    if (!t)
        return -ESRCH;
    a.policy = t->thread->policy;
    a.nice = t->thread->nice;
    a.flags = READ_ONCE(t->thread->reset_on_fork) ? SCHED_FLAG_RESET_ON_FORK : 0;
    task_put(t);
    return copy_out((void __user *)uattr, &a, a.size);
}

/* -E2BIG tells the caller by the structure's size what is understood. */
static int sched_attr_in(u64 uattr, struct sched_attr_user *a)
{
    const u32 own = sizeof(*a);
    u32 size;

    if (IN(size, uattr))
        return -EFAULT;
    if (!size)
        size = SCHED_ATTR_SIZE_VER0;
    int err = size < SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE
                  ? -E2BIG
                  : struct_in(a, sizeof(*a), uattr, size);
    if (err == -E2BIG && OUT(uattr, own))
        return -EFAULT;
    if (!err && a->flags & SCHED_FLAG_UTIL && size < sizeof(*a))
        return -EINVAL;
    return err;
}

s64 sys_sched_setattr(s32 tid, u64 uattr, u32 flags)
{
    struct sched_attr_user a;

    if (!uattr || tid < 0 || flags)
        return -EINVAL;
    int err = sched_attr_in(uattr, &a);
    if (err)
        return err;
    if ((s32)a.policy < 0 || a.flags & ~(u64)SCHED_FLAG_KNOWN)
        return -EINVAL;
    if (a.flags & SCHED_FLAG_UTIL)
        return -EOPNOTSUPP;
    struct task *t = sched_task((u32)tid);
    if (!t)
        return -ESRCH;
    struct sched_request r = {.policy = a.policy,
                              .priority = a.priority,
                              .reset_on_fork = a.flags & SCHED_FLAG_RESET_ON_FORK,
                              .nice = MIN(MAX(a.nice, -20), 19)};
    if (a.flags & SCHED_FLAG_KEEP_POLICY)
        r.policy = t->thread->policy;
    if (a.flags & SCHED_FLAG_KEEP_PARAMS) {
        r.priority = 0;
        r.nice = t->thread->nice;
    }
    err = sched_apply(t, &r);
    task_put(t);
    return err;
}

s64 sys_sched_get_priority_max(s32 policy)
{
    if (policy == SCHED_FIFO || policy == SCHED_RR)
        return 99;
    return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE ? 0 : -EINVAL;
}

s64 sys_sched_get_priority_min(s32 policy)
{
    if (policy == SCHED_FIFO || policy == SCHED_RR)
        return 1;
    return sys_sched_get_priority_max(policy);
}

s64 sys_sched_rr_get_interval(s32 tid, u64 uts)
{
    struct task *t = tid < 0 ? NULL : sched_task((u64)tid);

    if (!t)
        return tid < 0 ? -EINVAL : -ESRCH;
    task_put(t);
    return timespec_out(uts, 4 * NSEC_PER_MSEC);
}

struct sched_set {
    u64 which;
    const struct pid *pgrp; /* compared only */
    kuid_t uid;
};

static bool sched_set_has(const struct sched_set *set, struct task *t)
{
    if (set->which == PRIO_PGRP)
        return READ_ONCE(t->process->pgrp) == set->pgrp;
    const struct cred *c = task_cred(t);
    bool has = c->uid == set->uid;
    cred_put(c);
    return has;
}

/* Calls fn for each task, threads too, that (which, who) names; -ESRCH when there is none. */
static s64 sched_each(u64 which, u32 who, s64 (*fn)(struct task *t, s64 arg, s64 so_far), s64 arg)
{
    struct pid_ns *ns = current_pid_ns();
    struct sched_set set = {.which = which};
    struct pid *pid, *pgrp = NULL;
    s64 r = -ESRCH;

    if (which == PRIO_PROCESS) {
        struct task *t = sched_task(who);
        if (!t)
            return -ESRCH;
        r = fn(t, arg, r);
        task_put(t);
        return r;
    }
    if (which > PRIO_USER)
        return -EINVAL;
    if (which == PRIO_PGRP)
        set.pgrp = pgrp = who ? pid_find(ns, who) : process_pgrp(current_process());
    else
        set.uid = who ? user_ns_map_uid(current_cred()->user_ns, who) : current_cred()->uid;
    if (which == PRIO_PGRP && !pgrp)
        return -ESRCH; /* a process that ends has no group either */
    for (u32 nr = 1; (pid = pid_next(ns, nr)) != NULL; cond_yield()) {
        nr = pid_nr(pid, ns) + 1;
        struct task *t = task_find(ns, nr - 1);
        pid_put(pid);
        if (t && sched_set_has(&set, t))
            r = fn(t, arg, r);
        if (t)
            task_put(t);
    }
    if (pgrp)
        pid_put(pgrp);
    return r;
}

static s64 sched_read_nice(struct task *t, s64 arg, s64 so_far)
{
    return MAX(so_far, (s64)20 - t->thread->nice);
}

static s64 sched_write_nice(struct task *t, s64 nice, s64 so_far)
{
    if (!sched_may_change(t))
        return -EPERM;
    if (nice < t->thread->nice && !sched_may_nice(t, (int)nice))
        return -EACCES;
    thread_set_nice(t->thread, (int)nice);
    return so_far == -ESRCH ? 0 : so_far;
}

s64 sys_getpriority(s32 which, s32 who)
{
    return sched_each((u32)which, (u32)who, sched_read_nice, 0);
}

s64 sys_setpriority(s32 which, s32 who, s32 nice)
{
    s64 n = (s32)nice;

    return sched_each((u32)which, (u32)who, sched_write_nice, MIN(MAX(n, -20L), 19L));
}

/* ioprio_set(2): a class and a level in it. Kept and inherited; no queue of a disk looks at it. */
enum { IOPRIO_NONE, IOPRIO_RT, IOPRIO_BE, IOPRIO_IDLE };
#define IOPRIO_CLASS(v) ((v) >> 13)
#define IOPRIO_LEVEL(v) ((v)&0x1fff)

static s64 sched_read_ioprio(struct task *t, s64 arg, s64 so_far)
{
    s64 v = READ_ONCE(t->ioprio);

    if (so_far < 0 || IOPRIO_CLASS(so_far) == IOPRIO_NONE)
        return v;
    return IOPRIO_CLASS(v) == IOPRIO_NONE ? so_far : MIN(so_far, v); /* the most urgent */
}

static s64 sched_write_ioprio(struct task *t, s64 v, s64 so_far)
{
    if (!sched_may_change(t))
        return -EPERM;
    WRITE_ONCE(t->ioprio, (u16)v);
    return so_far == -ESRCH ? 0 : so_far;
}

s64 sys_ioprio_get(s32 which, s32 who)
{
    return sched_each((u64)(u32)which - 1, (u32)who, sched_read_ioprio, 0);
}

s64 sys_ioprio_set(s32 which, s32 who, s32 value)
{
    u32 v = (u32)value;

    if (v > 0xffff || IOPRIO_CLASS(v) > IOPRIO_IDLE || IOPRIO_LEVEL(v) > 7 ||
        (IOPRIO_CLASS(v) == IOPRIO_NONE && IOPRIO_LEVEL(v)))
        return -EINVAL;
    if (IOPRIO_CLASS(v) == IOPRIO_RT && !capable(CAP_SYS_NICE) && !capable(CAP_SYS_ADMIN))
        return -EPERM;
    return sched_each((u64)(u32)which - 1, (u32)who, sched_write_ioprio, v);
}

s64 sys_getcpu(u64 ucpu, u64 unode, u64 unused)
{
    u32 cpu = cpu_id(), node = 0;

    return (ucpu && OUT(ucpu, cpu)) || (unode && OUT(unode, node)) ? -EFAULT : 0;
}

enum membarrier_cmd {
    MEMBARRIER_QUERY = 0,
    MEMBARRIER_GLOBAL = 1,
    MEMBARRIER_GLOBAL_EXPEDITED = 2,
    MEMBARRIER_REGISTER_GLOBAL = 4,
    MEMBARRIER_PRIVATE = 8,
    MEMBARRIER_REGISTER_PRIVATE = 16,
    MEMBARRIER_SYNC_CORE = 32,
    MEMBARRIER_REGISTER_SYNC_CORE = 64,
    MEMBARRIER_RSEQ = 128,
    MEMBARRIER_REGISTER_RSEQ = 256,
};
#define MEMBARRIER_KNOWN 511
#define MEMBARRIER_FLAG_CPU 1U /* of MEMBARRIER_RSEQ: one CPU is enough */

/* By interrupt: a barrier, and on the way back an IRET, which serialises the instructions too. */
static s64 membarrier_private(u32 registration)
{
    struct process *p = current_process();

    if (!(READ_ONCE(p->membarrier) & registration))
        return -EPERM;
    if (registration == MEMBARRIER_REGISTER_RSEQ)
        sched_preempt(
            aspace_cpus(p->aspace)); /* seen on the way back from the barrier's interrupt */
    aspace_barrier(p->aspace);
    return 0;
}

s64 sys_membarrier(s32 cmd, u32 flags, s32 cpu)
{
    if (flags & (cmd == MEMBARRIER_RSEQ ? ~MEMBARRIER_FLAG_CPU : ~0U))
        return -EINVAL;
    switch (cmd) {
    case MEMBARRIER_QUERY:
        return MEMBARRIER_KNOWN;
    case MEMBARRIER_REGISTER_GLOBAL:
    case MEMBARRIER_REGISTER_PRIVATE:
    case MEMBARRIER_REGISTER_SYNC_CORE:
    case MEMBARRIER_REGISTER_RSEQ:
        __atomic_fetch_or(&current_process()->membarrier, (u32)cmd, __ATOMIC_RELAXED);
        return 0;
    case MEMBARRIER_GLOBAL:
    case MEMBARRIER_GLOBAL_EXPEDITED:
        rcu_synchronize(); /* a grace period is a switch, and so a barrier, on every CPU */
        return 0;
    case MEMBARRIER_PRIVATE:
        return membarrier_private(MEMBARRIER_REGISTER_PRIVATE);
    case MEMBARRIER_SYNC_CORE:
        return membarrier_private(MEMBARRIER_REGISTER_SYNC_CORE);
    case MEMBARRIER_RSEQ: /* all CPUs, also where one was named */
        return membarrier_private(MEMBARRIER_REGISTER_RSEQ);
    default:
        return -EINVAL;
    }
}
