/* SPDX-License-Identifier: MIT
 *
 * clone: a new task, in the caller's process or in a new one. Everything is built privately; the
 * last step (fork_publish.c) makes it visible.
 */
#include "arch/x86/trap.h"
#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "container/seccomp.h"
#include "proc/fdtable.h"
#include "proc/fork_priv.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/pidfd.h"
#include "proc/proc_priv.h"
#include "proc/rseq.h"
#include "proc/up.h"
#include "proc/vdso.h"
#include "vm/aspace.h"

static void clone_clear_handlers(struct process *p)
{
    for (int i = 0; i < NSIG; i++) {
        if (p->actions[i].handler != SIG_IGN)
            p->actions[i] = (struct sigaction){.handler = SIG_DFL};
    }
}

/* A new process's inheritance. The parent's siglock is taken here only. */
static void process_inherit(struct process *p, struct process *from, u64 clone_flags)
{
    u64 flags;

    spin_lock_irqsave(&from->siglock, &flags);
    memcpy(p->own_actions, from->actions, sizeof(p->own_actions));
    memcpy(p->rlimits, from->rlimits, sizeof(p->rlimits));
    p->exec_ns = from->exec_ns; /* in place of the first one's, which is counted for ever */
    user_ns_get(p->exec_ns);
    spin_unlock_irqrestore(&from->siglock, flags);
    if (rlimit_is_set(&p->rlimits[RLIMIT_CPU])) {
        p->clock_state = CLOCK_KEPT; /* it has no tasks yet */
        p->clock.watched = 1;
    }
    if (clone_flags & CLONE_CLEAR_SIGHAND)
        clone_clear_handlers(p);
    p->oom_score_adj = from->oom_score_adj;
    p->oom_score_adj_min = from->oom_score_adj_min;
    p->dumpable = from->dumpable;
    p->personality = from->personality;
    p->membarrier = from->membarrier;
    p->login_uid = from->login_uid;
    p->login_session = from->login_session;
}

/* Signals that are there already come before the child: -ERESTARTNOINTR. */
static int clone_begin(struct clone_job *j)
{
    struct process *me = current_process();
    u64 flags;

    spin_lock_irqsave(&me->siglock, &flags);
    j->shared_signal = me->shared_signal;
    bool pending = signal_pending(current_task());
    spin_unlock_irqrestore(&me->siglock, flags);
    return pending ? -ERESTARTNOINTR : 0;
}

static int clone_check_flags(const struct clone_args_k *a)
{
    u64 f = a->flags;

    if ((f & (CLONE_NEWNS | CLONE_FS)) == (CLONE_NEWNS | CLONE_FS) ||
        (f & (CLONE_NEWUSER | CLONE_FS)) == (CLONE_NEWUSER | CLONE_FS))
        return -EINVAL;
    if (f & CLONE_THREAD && !(f & CLONE_SIGHAND))
        return -EINVAL;
    if (f & CLONE_SIGHAND && !(f & CLONE_VM))
        return -EINVAL;
    if (f & CLONE_THREAD && f & (CLONE_NEWUSER | CLONE_NEWPID | CLONE_PIDFD))
        return -EINVAL;
    if (f & CLONE_PIDFD && f & CLONE_DETACHED)
        return -EINVAL;
    if (f & CLONE_THREAD && current_task()->ns->pid_for_children != current_pid_ns())
        return -EINVAL;
    if (f & (CLONE_THREAD | CLONE_VM) &&
        current_task()->ns->time_for_children != current_task()->ns->time)
        return -EINVAL; /* one clock page cannot tell two times */
    if (f & CLONE_NEWIPC && f & CLONE_SYSVSEM)
        return -EINVAL;
    if (f & CLONE_SIGHAND && f & CLONE_CLEAR_SIGHAND)
        return -EINVAL;
    if (f & CLONE_PARENT && current_process()->ns_init)
        return -EINVAL;
    return 0;
}

/* Credentials: a thread shares, a process too (they are immutable) unless a user namespace is new.
 */
static int clone_cred(struct clone_job *j)
{
    if (!(j->args->flags & CLONE_NEWUSER)) {
        j->task->cred = current_cred();
        cred_get(j->task->cred);
        return 0;
    }
    struct cred *c = ns_new_user();
    if (IS_ERR(c))
        return (int)PTR_ERR(c);
    j->task->cred = c;
    return 0;
}

static int clone_files(struct clone_job *j)
{
    struct task *me = current_task(), *t = j->task;

    if (j->args->flags & CLONE_FILES) {
        fd_table_join(me->files);
        t->files = me->files;
        return 0;
    }
    t->files = fd_table_copy(me->files, ~0U);
    return t->files ? 0 : -ENOMEM;
}

/* Root, working directory and namespaces go together: a new mount namespace moves the paths. */
static int clone_fs_and_ns(struct clone_job *j)
{
    struct task *me = current_task(), *t = j->task;
    u64 flags = j->args->flags;

    if (flags & CLONE_FS) {
        if (!fs_context_join(me->fs))
            return -EAGAIN;
        t->fs = me->fs;
    } else {
        t->fs = fs_context_copy(me->fs);
        if (!t->fs)
            return -ENOMEM;
    }
    if (!(flags & CLONE_NS_FLAGS & ~CLONE_NEWUSER) && me->ns->time == me->ns->time_for_children) {
        nsset_get(me->ns);
        t->ns = me->ns;
        return 0;
    }
    struct nsset *ns = nsset_copy(me->ns, flags, t->cred, t->fs);
    if (IS_ERR(ns))
        return PTR_ERR(ns);
    if (!(flags & CLONE_THREAD))
        nsset_enter_time(ns);
    t->ns = ns;
    return 0;
}

static int clone_aspace(struct clone_job *j)
{
    struct process *me = current_process(), *p = j->process;

    if (j->args->flags & CLONE_VM) {
        refcount_get(&me->aspace->users);
        p->aspace = me->aspace;
        return 0;
    }
    struct cgroup *cg = cgroup_of(&p->cgroup);
    int err = aspace_clone(me->aspace, &cg->memory, &p->aspace);

    cgroup_put(cg);
    if (!err && j->task->ns->time != current_task()->ns->time)
        err = vdso_enter_time(p->aspace, j->task->ns->time);
    return err;
}

/* Numbers of the caller's choice: for those who may restore processes in each of the namespaces. */
static int clone_check_numbers(const struct clone_job *j, const struct pid_ns *ns)
{
    const struct cred *me = current_cred();

    for (unsigned i = 0; ns && i < j->args->set_tid_size; i++, ns = ns->parent)
        if (!cred_capable(me, ns->user_ns, CAP_CHECKPOINT_RESTORE) &&
            !cred_capable(me, ns->user_ns, CAP_SYS_ADMIN))
            return -EPERM;
    return 0;
}

static int clone_pid(struct clone_job *j)
{
    struct pid_ns *ns = clone_pid_ns(j);
    int err = clone_check_numbers(j, ns);

    if (err)
        return err;
    struct pid *pid = pid_alloc(ns, j->args->set_tid, j->args->set_tid_size);
    if (IS_ERR(pid))
        return PTR_ERR(pid);
    j->pid = pid;
    pid_get(pid);
    j->task->pid = pid;
    if (j->process) {
        pid_get(pid);
        j->process->pid = pid;
        j->process->ns_init = pid->numbers[pid->level].nr == 1;
    }
    return 0;
}

/* The CPU part: the caller's registers, returning 0 on the stack it was given. */
static int clone_thread(struct clone_job *j, const struct trap_frame *f)
{
    const struct clone_args_k *a = j->args;
    struct thread *me = current_thread();
    struct trap_frame frame = *f;

    if (a->flags & CLONE_SETTLS && !arch_user_base_ok(a->tls))
        return -EPERM;
    frame.rax = 0;
    if (a->stack)
        frame.rsp = a->stack + a->stack_size;
    struct thread *th = thread_create_user(me->name, &frame);
    if (!th)
        return -ENOMEM;
    fpu_save(th->arch.xsave);
    th->arch.fs_base = a->flags & CLONE_SETTLS ? a->tls : arch_get_fs_base();
    th->arch.gs_base = arch_get_gs_base();
    th->arch.tsc_faults = me->arch.tsc_faults;
    th->timer_slack = me->timer_slack;
    th->task = j->task;
    aspace_give(th, j->task->process->aspace);
    refcount_get(&th->aspace->users);
    j->task->thread = th;
    if (!(a->flags & CLONE_VM))
        rseq_set(j->task, current_task()->rseq, current_task()->rseq_signature);
    return 0;
}

static int clone_pidfd(struct clone_job *j)
{
    if (!(j->args->flags & CLONE_PIDFD))
        return 0;
    struct file *file = pidfd_create(j->pid, O_RDWR);
    if (IS_ERR(file))
        return PTR_ERR(file);
    int fd = fd_alloc(0, true);
    if (fd < 0) {
        file_put(file);
        return fd;
    }
    j->pidfd = fd;
    j->pidfd_file = file;
    return copy_out((void __user *)j->args->pidfd, &fd, sizeof(fd));
}

/* A number that cannot be written is no reason to fail, says Linux. */
static void clone_write_tids(struct clone_job *j)
{
    u64 flags = j->args->flags;
    u32 nr = pid_nr(j->pid, current_pid_ns());
    u32 own = j->pid->numbers[j->pid->level].nr;

    int unwritten = flags & CLONE_PARENT_SETTID
                        ? copy_out((void __user *)j->args->parent_tid, &nr, sizeof(nr))
                        : 0;
    (void)unwritten;
    if (flags & CLONE_CHILD_SETTID)
        (void)aspace_write(j->task->process->aspace, j->args->child_tid, &own, sizeof(own), false);
    if (flags & CLONE_CHILD_CLEARTID)
        j->task->clear_child_tid = j->args->child_tid;
}

static void clone_task_inherit(struct task *t, u64 flags)
{
    struct task *me = current_task();

    t->blocked = me->blocked;
    t->no_new_privs = me->no_new_privs;
    t->default_slack = me->thread->timer_slack;
    t->ioprio = me->ioprio;
    t->seccomp = me->seccomp;
    t->entry_work = me->entry_work;
    if (t->seccomp)
        seccomp_get(t->seccomp);
    if (!(flags & CLONE_VM) || flags & CLONE_VFORK)
        t->altstack = me->altstack;
}

static int clone_cgroup(struct clone_job *j)
{
    struct process *me = current_process();
    int err;

    if (j->process)
        err = cgroup_fork(&me->cgroup, &j->process->cgroup, j->into);
    else
        err = cgroup_charge_thread(&me->cgroup);
    j->charged = !err;
    return err;
}

static int clone_build(struct clone_job *j, const struct trap_frame *f)
{
    struct process *p = j->process;
    int err;

    j->task->process = p ? p : current_process();
    process_get(j->task->process);
    clone_task_inherit(j->task, j->args->flags);
    if (p)
        process_inherit(p, current_process(), j->args->flags);
    if (j->args->flags & CLONE_SYSVSEM && (err = sem_undo_share(j->task)))
        return err;
    if (p && j->args->flags & CLONE_SIGHAND && (err = sighand_share(current_process(), p)))
        return err;
    if ((err = clone_cred(j)) || (err = clone_files(j)) || (err = clone_fs_and_ns(j)) ||
        (err = clone_cgroup(j)))
        return err;
    if (p && (err = clone_aspace(j)))
        return err;
    if ((err = clone_pid(j)) || (err = clone_thread(j, f)) || (err = clone_pidfd(j)))
        return err;
    clone_write_tids(j);
    if (j->args->flags & CLONE_VFORK) {
        completion_init(&j->started);
        j->task->vfork_done = &j->started;
    }
    return 0;
}

/* The first process of a pid namespace does not come to be: there will be no other, unless the call
 * is restarted, which makes it again. */
static void clone_undo_pid(struct clone_job *j, bool restarts)
{
    bool first = j->process && j->process->ns_init;
    struct pid_ns *ns = clone_pid_ns(j);

    if (first && !restarts) {
        spin_lock(&ns->lock);
        ns->dying = true;
        spin_unlock(&ns->lock);
    }
    pid_free_numbers(j->pid);
    if (first && restarts) {
        spin_lock(&ns->lock);
        ns->last = 0;
        spin_unlock(&ns->lock);
    }
    pid_put(j->pid);
    pid_put(j->task->pid);
}

/* The process is in its control group already, where its size is asked for. */
static void clone_undo_aspace(struct process *p)
{
    struct aspace *as;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    as = p->aspace;
    p->aspace = NULL;
    spin_unlock_irqrestore(&p->siglock, flags);
    if (as)
        aspace_put(as);
}

static void clone_undo(struct clone_job *j, int err)
{
    struct task *t = j->task;
    struct process *p = t->process;

    if (j->pidfd_file) {
        fd_cancel(j->pidfd);
        file_put(j->pidfd_file);
    }
    if (t->thread) {
        aspace_put(t->thread->aspace);
        t->thread->task = NULL;
        aspace_give(t->thread, NULL);
        thread_put(t->thread);
    }
    if (j->pid)
        clone_undo_pid(j, err == -ERESTARTNOINTR);
    if (j->process)
        clone_undo_aspace(j->process);
    if (j->charged) {
        if (j->process)
            cgroup_exit(&j->process->cgroup);
        else
            cgroup_uncharge_thread(&p->cgroup);
    }
    sem_undo_exit(t);
    if (t->ns)
        nsset_put(t->ns);
    if (t->fs)
        fs_context_leave(t->fs);
    if (t->files)
        fd_table_leave(t->files);
    if (t->cred)
        cred_put(t->cred);
    if (t->seccomp)
        seccomp_put(t->seccomp);
    task_free(t);
    if (j->process) { /* a walk over its control group may hold a reference */
        sighand_leave(j->process);
        process_put(j->process);
    }
    process_put(p);
}

/* Waits for exec or exit of a vfork child, or until killed. */
static void clone_vfork_wait(struct task *child, struct completion *started)
{
    u64 flags;

    (void)wait_event_killable(&started->queue, READ_ONCE(started->done));
    spin_lock_irqsave(&child->process->siglock, &flags); /* the child is not inside it any more */
    child->vfork_done = NULL;
    spin_unlock_irqrestore(&child->process->siglock, flags);
}

/* The job's parts are the system's now. */
static s64 clone_start(struct clone_job *j)
{
    struct task *t = j->task;
    s64 nr = pid_nr(j->pid, current_pid_ns());
    bool vfork = j->args->flags & CLONE_VFORK;

    if (j->pidfd_file)
        fd_install(j->pidfd, j->pidfd_file);
    if (vfork)
        task_get(t);
    pid_put(j->pid);
    thread_start(t->thread);
    if (vfork) {
        clone_vfork_wait(t, &j->started);
        task_put(t);
    }
    return nr;
}

/* Processes are counted per control group (pids.max); RLIMIT_NPROC 0 still means none. */
static int clone_check_nproc(void)
{
    return rlimit_current(RLIMIT_NPROC) == 0 && !capable(CAP_SYS_RESOURCE) ? -EAGAIN : 0;
}

s64 process_clone(const struct clone_args_k *args, const struct trap_frame *f)
{
    struct clone_job job = {.args = args};
    int err = clone_check_flags(args);

    if (err || (err = clone_check_nproc()) || (err = clone_begin(&job)))
        return err;
    if (args->flags & CLONE_INTO_CGROUP) {
        job.into = up_cgroup_of_fd(args->cgroup_fd);
        if (IS_ERR(job.into))
            return PTR_ERR(job.into);
    }
    job.task = task_alloc();
    if (!job.task) {
        err = -ENOMEM;
        goto out;
    }
    if (!(args->flags & CLONE_THREAD)) {
        job.process = process_alloc();
        if (!job.process) {
            task_free(job.task);
            err = -ENOMEM;
            goto out;
        }
        itimer_process_init(job.process);
    }
    err = clone_build(&job, f);
    if (!err)
        err = clone_publish(&job);
    if (err)
        clone_undo(&job, err);
out:
    if (job.into)
        cgroup_put(job.into);
    return err ? err : clone_start(&job);
}
