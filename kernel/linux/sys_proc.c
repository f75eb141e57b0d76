/* SPDX-License-Identifier: MIT
 *
 * Processes: clone, exec, exit, wait, groups and sessions, namespaces, per-task settings.
 */
#include "arch/x86/trap.h"
#include "linux/sys.h"
#include "proc/exec.h"
#include "proc/pidfd.h"
#include "proc/rseq.h"

#define CSIGNAL 0xffUL

s64 sys_clone(u32 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls)
{
    struct clone_args_k a = {
        .flags = (u32)flags & ~CSIGNAL,
        .stack = stack,
        .tls = tls,
        .parent_tid = parent_tid,
        .pidfd = parent_tid,
        .child_tid = child_tid,
        .exit_signal = (int)(flags & CSIGNAL),
    };

    if (a.flags & CLONE_PIDFD && a.flags & CLONE_PARENT_SETTID)
        return -EINVAL;
    return process_clone(&a, syscall_frame());
}

s64 sys_fork(void)
{
    struct clone_args_k a = {.exit_signal = SIGCHLD};

    return process_clone(&a, syscall_frame());
}

s64 sys_vfork(void)
{
    struct clone_args_k a = {.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD};

    return process_clone(&a, syscall_frame());
}

/* struct clone_args, linux/sched.h */
struct clone_args_user {
    u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};
#define CLONE_ARGS_SIZE_VER0 64
#define CLONE_ARGS_SIZE_VER2 88
#define CLONE_FLAGS_KNOWN (CLONE_INTO_CGROUP | CLONE_CLEAR_SIGHAND | 0xffffffffUL)

static bool clone3_valid(const struct clone_args_user *u, u64 size)
{
    if (u->set_tid_size > PID_NS_LEVELS || !u->set_tid != !u->set_tid_size)
        return false;
    if (u->exit_signal > NSIG)
        return false;
    if (u->flags & CLONE_INTO_CGROUP && (u->cgroup > INT32_MAX || size < CLONE_ARGS_SIZE_VER2))
        return false;
    if (u->flags & ~CLONE_FLAGS_KNOWN || u->flags & (CLONE_DETACHED | (CSIGNAL & ~CLONE_NEWTIME)))
        return false;
    if (u->flags & (CLONE_THREAD | CLONE_PARENT) && u->exit_signal)
        return false;
    if (!u->stack != !u->stack_size)
        return false;
    return !u->stack || user_range_ok(u->stack, u->stack_size);
}

s64 sys_clone3(u64 uargs, u64 size)
{
    struct clone_args_user u;

    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    int err = struct_in(&u, sizeof(u), uargs, size);
    if (err)
        return err;
    if (!clone3_valid(&u, size))
        return -EINVAL;
    struct clone_args_k a = {
        .flags = u.flags,
        .stack = u.stack,
        .stack_size = u.stack_size,
        .tls = u.tls,
        .parent_tid = u.parent_tid,
        .child_tid = u.child_tid,
        .pidfd = u.pidfd,
        .exit_signal = (int)u.exit_signal,
        .set_tid_size = (unsigned)u.set_tid_size,
        .cgroup_fd = (int)u.cgroup,
    };
    if (copy_in(a.set_tid, (const void __user *)u.set_tid, u.set_tid_size * sizeof(u32)))
        return -EFAULT;
    return process_clone(&a, syscall_frame());
}

static s64 exec_common(struct file *file, const char *path, u64 uargv, u64 uenvp)
{
    struct exec_strings argv = {0}, envp = {0};
    int err = exec_strings_copy_in(&argv, uargv);

    if (!err)
        err = exec_strings_copy_in(&envp, uenvp);
    if (!err)
        err = process_exec(file, path, &argv, &envp, syscall_frame());
    exec_strings_free(&argv);
    exec_strings_free(&envp);
    return err;
}

s64 sys_execve(u64 uname, u64 uargv, u64 uenvp)
{
    char *path = name_in(uname);
    struct file *f;

    if (IS_ERR(path))
        return PTR_ERR(path);
    int err = exec_open(path, &f);
    if (!err) {
        err = (int)exec_common(f, path, uargv, uenvp);
        file_put(f);
    }
    name_free(path);
    return err;
}

/* What the program, or a script's interpreter, is told: execveat(2). Freed by kfree. */
static char *exec_shown_name(s32 dirfd, const char *name)
{
    size_t size = strlen(name) + sizeof("/dev/fd/-2147483648/");
    char *shown = kmalloc(size);

    if (!shown)
        return NULL;
    if (dirfd == AT_FDCWD || name[0] == '/')
        strlcpy(shown, name, size);
    else
        snprintf(shown, size, name[0] ? "/dev/fd/%d/%s" : "/dev/fd/%d", dirfd, name);
    return shown;
}

static int exec_open_at(s32 dirfd, u64 uname, u32 flags, struct file **out, char **shown)
{
    unsigned walk =
        (flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) | (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0);
    struct walk_at w;
    struct path p;
    int err = walk_at_begin(&w, dirfd, uname);

    if (err)
        return err;
    *shown = exec_shown_name(dirfd, w.name);
    err = *shown ? vfs_lookup(&w.walk.ctx, w.from, w.name, walk, &p) : -ENOMEM;
    walk_at_end(&w);
    if (!err) {
        err = S_ISLNK(dentry_inode(p.dentry)->mode) ? -ELOOP : exec_open_path(&p, out);
        path_put(&p);
    }
    if (err)
        kfree(*shown);
    return err;
}

s64 sys_execveat(s32 dirfd, u64 uname, u64 uargv, u64 uenvp, u32 flags)
{
    struct file *f;
    char *shown;
    int err;

    if (flags & ~(u64)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    err = exec_open_at(dirfd, uname, flags, &f, &shown);
    if (err)
        return err;
    err = (int)exec_common(f, shown, uargv, uenvp);
    kfree(shown);
    file_put(f);
    return err;
}

s64 sys_exit(s32 code)
{
    task_exit(EXIT_STATUS((int)code));
}

s64 sys_exit_group(s32 code)
{
    process_exit(EXIT_STATUS((int)code));
}

/* struct rusage */
struct rusage_user {
    s64 utime_sec, utime_usec, stime_sec, stime_usec;
    s64 maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv,
        nsignals, nvcsw, nivcsw;
};

static int rusage_out(u64 uptr, const struct process_times *t)
{
    struct rusage_user u = {
        .utime_sec = (s64)(t->utime / NSEC_PER_SEC),
        .utime_usec = (s64)(t->utime % NSEC_PER_SEC / 1000),
        .stime_sec = (s64)(t->stime / NSEC_PER_SEC),
        .stime_usec = (s64)(t->stime % NSEC_PER_SEC / 1000),
        .maxrss = (s64)(t->max_rss * (PAGE_SIZE / 1024)),
        .minflt = (s64)t->min_faults,
        .majflt = (s64)t->maj_faults,
        .nvcsw = (s64)t->nvcsw,
        .nivcsw = (s64)t->nivcsw,
    };
    return OUT(uptr, u);
}

s64 sys_getrusage(s32 who, u64 uptr)
{
    struct process *p = current_process();
    struct process_times t;

    switch ((s32)who) {
    case -1: /* RUSAGE_CHILDREN */
        t = p->child_times;
        break;
    case 0:
        process_times_get(p, &t);
        break;
    case 1: { /* RUSAGE_THREAD */
        struct thread *me = current_thread();
        t = (struct process_times){.nvcsw = me->nvcsw,
                                   .nivcsw = me->nivcsw,
                                   .min_faults = me->min_faults,
                                   .maj_faults = me->maj_faults,
                                   .max_rss = process_max_rss(p)};
        sched_thread_times(me, &t.utime, &t.stime);
        break;
    }
    default:
        return -EINVAL;
    }
    return rusage_out(uptr, &t);
}

s64 sys_times(u64 uptr)
{
    struct process *p = current_process();
    struct process_times t;
    s64 out[4];

    process_times_cpu(p, &t);
    out[0] = (s64)(t.utime / 10000000);
    out[1] = (s64)(t.stime / 10000000);
    out[2] = (s64)(p->child_times.utime / 10000000);
    out[3] = (s64)(p->child_times.stime / 10000000);
    if (uptr && OUT(uptr, out))
        return -EFAULT;
    return (s64)(time_ns() / 10000000);
}

/* Fills req from a pid in the caller's namespace; *ref is to be put. -ECHILD: no such pid. */
static int wait_target(struct wait_request *req, u32 nr, struct pid **ref)
{
    *ref = pid_find(current_pid_ns(), nr);
    req->pid = *ref;
    return *ref ? 0 : -ECHILD;
}

s64 sys_wait4(s32 upid, u64 ustatus, u32 options, u64 urusage)
{
    s32 pid = (s32)upid;
    struct wait_request req = {.which = WAIT_ANY, .options = (unsigned)options | WEXITED};
    struct wait_result res;
    struct pid *ref = NULL;
    s64 r = 0;

    if ((u32)options & ~(u32)(WNOHANG | WUNTRACED | WCONTINUED | __WCLONE | __WALL | 0x20000000))
        return -EINVAL;
    if (pid == (s32)0x80000000)
        return -ESRCH;
    if (pid == 0) {
        req.which = WAIT_PGID;
        req.pid = ref = process_pgrp(current_process());
    } else if (pid != -1) {
        req.which = pid > 0 ? WAIT_PID : WAIT_PGID;
        r = wait_target(&req, (u32)(pid > 0 ? pid : -pid), &ref);
    }
    if (!r)
        r = process_wait(&req, &res);
    if (ref)
        pid_put(ref);
    if (r <= 0)
        return r;
    if ((ustatus && OUT(ustatus, res.status)) || (urusage && rusage_out(urusage, &res.times)))
        return -EFAULT;
    return res.pid;
}

enum { P_ALL, P_PID, P_PGID, P_PIDFD };

/* nonblock: a descriptor that says that its holder does not wait. */
static s64 waitid_target(struct wait_request *req, u64 which, u64 id, struct pid **ref,
                         bool *nonblock)
{
    struct fd_hold h;

    switch ((u32)which) {
    case P_ALL:
        return 0;
    case P_PID:
        req->which = WAIT_PID;
        return (s32)id <= 0 ? -EINVAL : wait_target(req, (u32)id, ref);
    case P_PGID:
        req->which = WAIT_PGID;
        if ((s32)id < 0)
            return -EINVAL;
        if ((u32)id)
            return wait_target(req, (u32)id, ref);
        *ref = req->pid = process_pgrp(current_process());
        return 0;
    case P_PIDFD:
        req->which = WAIT_PID;
        if ((s32)id < 0)
            return -EINVAL;
        h = fd_hold((int)id);
        *ref = h.file ? pidfd_pid(h.file) : NULL;
        req->pid = *ref;
        *nonblock = h.file && h.file->flags & O_NONBLOCK;
        fd_release(h);
        return *ref ? 0 : -EBADF;
    default:
        return -EINVAL;
    }
}

s64 sys_waitid(s32 which, s32 id, u64 uinfo, u32 options, u64 urusage)
{
    struct wait_request req = {.which = WAIT_ANY, .options = (unsigned)options};
    struct wait_result res;
    struct siginfo info = {0};
    struct pid *ref = NULL;
    bool nonblock = false;

    if ((u32)options & ~(u32)(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WCLONE |
                              __WALL | 0x20000000) ||
        !(options & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    s64 r = waitid_target(&req, which, id, &ref, &nonblock);
    if (nonblock)
        req.options |= WNOHANG;
    if (!r)
        r = process_wait(&req, &res);
    if (ref)
        pid_put(ref);
    if (r == 0 && nonblock && !(options & WNOHANG))
        return -EAGAIN;
    if (r < 0)
        return r;
    if (r > 0) {
        info = (struct siginfo){.signo = SIGCHLD, .code = res.code};
        info.chld.pid = res.pid;
        info.chld.uid = res.uid;
        info.chld.status = res.code == CLD_EXITED      ? res.status >> 8 & 0xff
                           : res.code == CLD_STOPPED   ? res.status >> 8
                           : res.code == CLD_CONTINUED ? SIGCONT
                                                       : res.status & 0x7f;
        if (urusage && rusage_out(urusage, &res.times))
            return -EFAULT;
    }
    return uinfo && signal_copy_info((void __user *)uinfo, &info) ? -EFAULT : 0;
}

s64 sys_getpid(void)
{
    return pid_nr(current_process()->pid, current_pid_ns());
}

s64 sys_gettid(void)
{
    return pid_nr(current_task()->pid, current_pid_ns());
}

s64 sys_getppid(void)
{
    return READ_ONCE(current_process()->ppid);
}

s64 sys_setpgid(s32 pid, s32 pgid)
{
    return process_setpgid((u32)pid, (u32)pgid);
}

/* A number of another process: its group or session. */
static s64 proc_group_of(u64 pid, bool session)
{
    struct process *p = pid ? process_find(current_pid_ns(), (u32)pid) : current_process();
    u64 flags;

    if (!p)
        return -ESRCH;
    spin_lock_irqsave(&proc_lock, &flags);
    struct pid *id = session ? p->session : p->pgrp;
    s64 nr = id ? (s64)pid_nr(id, current_pid_ns()) : -ESRCH;
    spin_unlock_irqrestore(&proc_lock, flags);
    if (pid)
        process_put(p);
    return nr;
}

s64 sys_getpgid(s32 pid)
{
    return proc_group_of((u32)pid, false);
}

s64 sys_getpgrp(void)
{
    return proc_group_of(0, false);
}

s64 sys_getsid(s32 pid)
{
    return proc_group_of((u32)pid, true);
}

s64 sys_setsid(void)
{
    return process_setsid();
}

s64 sys_set_tid_address(u64 uptr)
{
    current_task()->clear_child_tid = uptr;
    return sys_gettid();
}

s64 sys_set_robust_list(u64 head, u64 len)
{
    if (len != 24)
        return -EINVAL;
    current_task()->robust_list = head;
    return 0;
}

enum { RSEQ_FLAG_UNREGISTER = 1 };

s64 sys_rseq(u64 area, u32 length, s32 flags, u32 signature)
{
    if (flags == RSEQ_FLAG_UNREGISTER)
        return rseq_unregister(area, length, signature);
    return flags ? -EINVAL : rseq_register(area, length, signature);
}

s64 sys_get_robust_list(s32 pid, u64 uhead, u64 ulen)
{
    struct task *t = pid ? task_find(current_pid_ns(), (u32)pid) : current_task();
    u64 len = 24;

    if (!t)
        return -ESRCH;
    u64 head = t->robust_list;
    bool allowed = process_may_inspect(t->process);
    if (pid)
        task_put(t);
    if (!allowed)
        return -EPERM;
    return OUT(ulen, len) || OUT(uhead, head) ? -EFAULT : 0;
}

enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS };

s64 sys_arch_prctl(s32 code, u64 addr)
{
    u64 value;

    switch ((u32)code) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (!arch_user_base_ok(addr))
            return -EPERM;
        if ((u32)code == ARCH_SET_FS)
            arch_set_fs_base(addr);
        else
            arch_set_gs_base(addr);
        return 0;
    case ARCH_GET_FS:
    case ARCH_GET_GS:
        value = (u32)code == ARCH_GET_FS ? arch_get_fs_base() : arch_get_gs_base();
        return OUT(addr, value);
    default:
        return -EINVAL;
    }
}

s64 sys_unshare(u64 flags)
{
    return ns_unshare(flags);
}

s64 sys_setns(s32 fd, u32 nstype)
{
    struct fd_hold h = fd_hold((int)fd);

    if (!h.file)
        return -EBADF;
    s64 r = ns_setns(h.file, nstype);
    fd_release(h);
    return r;
}

s64 sys_pidfd_open(s32 pid, u32 flags)
{
    if (flags & ~(u64)O_NONBLOCK || (s32)pid <= 0)
        return -EINVAL;
    struct pid *id = pid_find(current_pid_ns(), (u32)pid);
    if (!id)
        return -ESRCH;
    struct process *p = process_of_pid(id);
    struct file *f = p ? pidfd_create(id, O_RDWR | (unsigned)flags) : ERR_PTR(-EINVAL);
    if (p)
        process_put(p);
    pid_put(id);
    return IS_ERR(f) ? PTR_ERR(f) : fd_publish(f, true);
}

s64 sys_pidfd_getfd(s32 pidfd, s32 fd, u32 flags)
{
    struct fd_hold h = fd_hold((int)pidfd);
    struct file *got = NULL;
    s64 r = -EBADF;

    if (flags)
        r = -EINVAL;
    struct pid *pid = !flags && h.file ? pidfd_pid(h.file) : NULL;
    fd_release(h);
    if (!pid)
        return r;
    struct process *p = process_of_pid(pid);
    pid_put(pid);
    if (!p)
        return -ESRCH;
    struct task *t = process_task(p);
    r = !t ? -ESRCH : !process_may_inspect(p) ? -EPERM : 0;
    if (!r) {
        struct fd_table *files = task_files(t);
        got = files ? fd_table_file(files, (u32)fd) : NULL;
        if (files)
            fd_table_put(files);
        if (!got) {
            r = -EBADF;
        } else if (process_may_inspect(p)) {
            r = fd_publish(got, true);
        } else { /* an exec has raised its rights meanwhile */
            file_put(got);
            r = -EPERM;
        }
    }
    if (t)
        task_put(t);
    process_put(p);
    return r;
}
