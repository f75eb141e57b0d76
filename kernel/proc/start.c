/* SPDX-License-Identifier: MIT
 *
 * PID 1: the only process that is made, not cloned. Its thread starts with work pending, and before
 * it ever reaches user mode it opens the console and executes the first program.
 */
#include "arch/x86/trap.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "proc/exec.h"
#include "proc/fdtable.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/proc_priv.h"

static const char *start_path;
static const char *const *start_argv, *const *start_envp;

static int start_strings(struct exec_strings *s, const char *const *v)
{
    int err = 0;

    for (; !err && *v; v++)
        err = exec_strings_add(s, *v, strlen(*v));
    return err;
}

/* Descriptors 0, 1, 2. A machine without a console starts its init without them. */
static void start_console(void)
{
    struct walk_hold w;
    struct file *f;

    walk_begin(&w);
    int err = vfs_open(&w.ctx, NULL, "/dev/console", O_RDWR | O_NOCTTY, 0, 0, &f);
    walk_end(&w);
    if (err) {
        log_warn("init: /dev/console does not open: error %d", -err);
        return;
    }
    for (int i = 0; i < 3; i++) {
        file_get(f);
        (void)fd_publish(f, false);
    }
    file_put(f);
}

static void start_first_run(struct trap_frame *frame)
{
    struct exec_strings argv = {0}, envp = {0};
    struct file *f;

    start_console();
    int err = start_strings(&argv, start_argv);
    if (!err)
        err = start_strings(&envp, start_envp);
    if (!err)
        err = exec_open(start_path, &f);
    if (!err) {
        err = process_exec(f, start_path, &argv, &envp, frame);
        file_put(f);
    }
    exec_strings_free(&argv);
    exec_strings_free(&envp);
    if (err)
        panic("cannot execute %s: error %d", start_path, -err);
}

static struct process *start_process(struct task *t)
{
    struct process *p = process_alloc();
    const u32 first = 1;
    struct pid *pid;
    u64 flags;

    if (!p)
        return NULL;
    itimer_process_init(p);
    rlimit_init_defaults(p->rlimits);
    p->exit_signal = SIGCHLD;
    p->ns_init = true;
    if (cgroup_fork(NULL, &p->cgroup, &cgroup_root))
        return NULL;
    pid = pid_alloc(&pid_ns_init, &first, 1);
    if (IS_ERR(pid))
        return NULL;
    p->pid = pid;
    pid_get(pid);
    t->pid = pid;
    p->leader = t;
    task_get(t);
    t->process = p;
    pid_ns_init.reaper = p;
    spin_lock_irqsave(&proc_lock, &flags);
    process_link_group_locked(p, pid);
    process_link_session_locked(p, pid);
    p->session_leader = true;
    list_add_tail(&pid->tasks[PID_TGID], &p->tgid_node);
    list_add_tail(&pid->tasks[PID_TID], &t->pid_node);
    spin_lock(&p->siglock);
    process_link_task_locked(p, t);
    spin_unlock(&p->siglock);
    p->nr_tasks = p->nr_alive = 1;
    spin_unlock_irqrestore(&proc_lock, flags);
    return p;
}

int process_start_init(const char *path, const char *const *argv, const char *const *envp)
{
    struct trap_frame frame = {.cs = USER_CS, .ss = USER_DS, .rflags = 0x202, .orig_rax = ~0ULL};
    struct task *t = task_alloc();
    struct path root;

    start_path = path;
    start_argv = argv;
    start_envp = envp;
    if (!t || !start_process(t))
        return -ENOMEM;
    mount_ns_root(mount_ns_init, &root);
    t->cred = &cred_init;
    cred_get(t->cred);
    t->files = fd_table_create();
    t->fs = fs_context_create(&root, &root, 022);
    path_put(&root);
    nsset_init_boot();
    t->ns = &nsset_init;
    nsset_get(t->ns);
    t->thread = thread_create_user("init", &frame);
    if (!t->files || !t->fs || !t->thread)
        return -ENOMEM;
    t->thread->task = t;
    t->first_run = start_first_run;
    thread_work_set(t->thread, WORK_NOTIFY);
    thread_start(t->thread);
    return 0;
}
