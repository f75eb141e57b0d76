/* SPDX-License-Identifier: MIT
 *
 * execve: a new program in current's process. The new address space is built whole beside the old
 * one; only then, past process_dethread, is the old one given up, and from there a failure can only
 * kill.
 */
#include "proc/exec.h"
#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/fdtable.h"
#include "proc/fs_context.h"
#include "proc/proc_priv.h"
#include "proc/rseq.h"
#include "vm/aspace.h"

#define EXEC_STRING_MAX (128 * 1024)
#define EXEC_STRINGS_TOTAL (2 << 20)
#define EXEC_SCRIPT_DEPTH 4
#define STACK_LIMIT_SECURE (8UL << 20)
/* personality(2): what set-id programs start without: READ_IMPLIES_EXEC, ADDR_COMPAT_LAYOUT,
 * MMAP_PAGE_ZERO, ADDR_NO_RANDOMIZE. */
#define PERSONALITY_UNSAFE 0x0740000U
#define MS_NOEXEC 8

#define GROW_PART 65536UL /* bytes that are copied at a stretch */

static int exec_strings_grow(struct exec_strings *s, size_t cap)
{
    char *bigger = kmalloc(cap);

    if (!bigger)
        return -ENOMEM;
    for (size_t at = 0; at < s->len; at += GROW_PART, cond_yield())
        memcpy(bigger + at, s->buf + at, MIN(GROW_PART, s->len - at));
    kfree(s->buf);
    s->buf = bigger;
    s->cap = cap;
    return 0;
}

int exec_strings_add(struct exec_strings *s, const char *text, size_t len)
{
    if (s->len + len + 1 + (s->count + 1) * sizeof(u64) > EXEC_STRINGS_TOTAL) /* pointers too */
        return -E2BIG;
    if (s->len + len + 1 > s->cap &&
        exec_strings_grow(s, MAX(s->cap * 2, ALIGN_UP(s->len + len + 1, 1024UL))))
        return -ENOMEM;
    memcpy(s->buf + s->len, text, len);
    s->buf[s->len + len] = 0;
    s->len += len + 1;
    s->count++;
    return 0;
}

void exec_strings_free(struct exec_strings *s)
{
    kfree(s->buf);
    *s = (struct exec_strings){0};
}

int exec_strings_copy_in(struct exec_strings *s, u64 user_vector)
{
    char *one;
    int err = 0;

    if (!user_vector)
        return 0;
    one = kmalloc(EXEC_STRING_MAX);
    if (!one)
        return -ENOMEM;
    for (u64 at = user_vector;; at += sizeof(u64)) {
        u64 ptr;
        err = user_load64(&ptr, (const u64 __user *)at);
        if (err || !ptr)
            break;
        ssize_t len = copy_string_in(one, (const char __user *)ptr, EXEC_STRING_MAX);
        if (len == -ENAMETOOLONG)
            len = -E2BIG;
        err = len < 0 ? (int)len : exec_strings_add(s, one, (size_t)len);
        if (err)
            break;
        cond_yield();
    }
    kfree(one);
    return err;
}

/* "#!" prog [arg]: argv becomes prog [arg] path argv[1...], j->path the interpreter's. 0, -ENOEXEC,
 * -E2BIG, -ENOMEM. */
static int exec_script(struct exec_job *j, const char *head, size_t n)
{
    char line[256], *end, *arg = NULL;
    struct exec_strings args = {0};
    size_t len = MIN(n - 2, sizeof(line) - 1);

    memcpy(line, head + 2, len);
    line[len] = 0;
    end = strchr(line, '\n');
    if (end)
        *end = 0;
    else if (len == sizeof(line) - 1)
        return -ENOEXEC;
    char *prog = line;
    while (*prog == ' ' || *prog == '\t')
        prog++;
    char *p = prog;
    while (*p && *p != ' ' && *p != '\t')
        p++;
    if (p == prog)
        return -ENOEXEC;
    if (*p) {
        *p++ = 0;
        while (*p == ' ' || *p == '\t')
            p++;
        arg = p;
        size_t alen = strlen(arg);
        while (alen && (arg[alen - 1] == ' ' || arg[alen - 1] == '\t'))
            arg[--alen] = 0;
    }
    int err = exec_strings_add(&args, prog, strlen(prog));
    if (!err && arg && *arg)
        err = exec_strings_add(&args, arg, strlen(arg));
    if (!err)
        err = exec_strings_add(&args, j->path, strlen(j->path));
    const char *s = j->argv->buf;
    for (u32 i = 0; !err && i < j->argv->count; i++, s += strlen(s) + 1) {
        if (i > 0)
            err = exec_strings_add(&args, s, strlen(s));
    }
    if (err) {
        exec_strings_free(&args);
        return err;
    }
    exec_strings_free(j->argv);
    *j->argv = args;
    strlcpy(j->path_buf, prog, sizeof(j->path_buf));
    j->path = j->path_buf;
    return 0;
}

static int exec_check_path(const struct path *p)
{
    struct inode *inode = dentry_inode(p->dentry);

    if (!inode || !S_ISREG(inode->mode))
        return -EACCES;
    int err = inode_permission(inode, current_cred(), 1);
    if (!err && !(inode->mode & 0111))
        err = -EACCES;
    if (!err && path_mount_flags(p) & MS_NOEXEC)
        err = -EACCES;
    return err;
}

/* Execute permission is what counts: the file is read with the kernel's own credentials, and only a
 * regular file is opened at all. While it is open, as a process keeps its program, it cannot be
 * opened for writing. */
int exec_open_path(const struct path *p, struct file **out)
{
    int err = exec_check_path(p);

    if (!err)
        err = vfs_open_path(p, O_RDONLY, &cred_init, out);
    if (err)
        return err;
    err = file_deny_writers(*out);
    if (err)
        file_put(*out);
    return err;
}

int exec_open(const char *path, struct file **out)
{
    struct walk_hold w;
    struct path p;

    walk_begin(&w);
    int err = vfs_lookup(&w.ctx, NULL, path, WALK_FOLLOW, &p);
    walk_end(&w);
    if (err)
        return err;
    err = exec_open_path(&p, out);
    path_put(&p);
    return err;
}

/* Reads the first page and follows scripts to a program: j->file, j->head. */
static int exec_resolve(struct exec_job *j)
{
    for (int depth = 0;; depth++) {
        ssize_t n = file_read_kernel(j->file, j->head, PAGE_SIZE, 0);
        if (n < 0)
            return (int)n;
        j->head_len = (size_t)n;
        if (n < 2 || j->head[0] != '#' || j->head[1] != '!')
            return 0;
        if (depth >= EXEC_SCRIPT_DEPTH)
            return -ELOOP;
        int err = exec_script(j, j->head, j->head_len);
        if (err)
            return err;
        struct file *next;
        err = exec_open(j->path, &next);
        if (err)
            return err;
        if (j->file_owned)
            file_put(j->file);
        j->file = next;
        j->file_owned = true;
    }
}

static void exec_name_thread(const char *path)
{
    const char *base = strrchr(path, '/');

    strlcpy(current_thread()->name, base ? base + 1 : path, sizeof(current_thread()->name));
}

/* The user namespace whose root may look into the memory: the caller's. Where the caller may run
 * the file but not read it, the nearest one above that has the file's owner and group: a root below
 * would read in the memory what it may not read in the file. */
static struct user_ns *exec_home(const struct exec_job *j)
{
    struct user_ns *ns = j->cred->user_ns;
    struct inode_owner o;

    inode_get_owner(j->file->inode, &o);
    while (j->unreadable && ns->parent &&
           !(user_ns_has_uid(ns, o.uid) && user_ns_has_gid(ns, o.gid)))
        ns = ns->parent;
    return ns;
}

/* The point of no return. */
static void exec_switch(struct exec_job *j)
{
    struct task *t = current_task();
    struct process *p = t->process;
    struct aspace *old = p->aspace, *own = t->thread->aspace;
    struct user_ns *old_ns = p->exec_ns, *home = exec_home(j);
    u64 flags;

    user_ns_get(home);
    if (j->closed) /* forbidden before there is anything to see: process_inspect_aspace */
        p->dumpable = false;
    task_release_aspace(t);
    refcount_get(&j->aspace->users);
    spin_lock_irqsave(&p->siglock, &flags);
    p->aspace = j->aspace;
    p->exec_ns = home;
    spin_unlock_irqrestore(&p->siglock, flags);
    user_ns_put(old_ns);
    aspace_activate(j->aspace);
    if (own)
        aspace_put(own);
    if (old)
        aspace_put(old);
    j->aspace = NULL;
}

/* What its caller has set up must not reach a program that has more rights. */
static void exec_secure(struct task *t)
{
    struct process *p = t->process;
    u64 flags;

    death_signal_set(t, 0);
    spin_lock_irqsave(&p->siglock, &flags);
    if (p->rlimits[RLIMIT_STACK].cur > STACK_LIMIT_SECURE)
        p->rlimits[RLIMIT_STACK].cur = STACK_LIMIT_SECURE;
    spin_unlock_irqrestore(&p->siglock, flags);
}

static void exec_reset_task(struct exec_job *j, struct trap_frame *f)
{
    struct task *t = current_task();

    posix_timers_drop(t->process);
    signal_exec_reset(t->process);
    fd_close_on_exec();
    task_set_cred(j->cred);
    j->cred = NULL;
    exec_name_thread(j->called);
    t->process->did_exec = true;
    t->process->membarrier = 0;
    t->process->dumpable = !j->closed;
    if (j->secure)
        exec_secure(t);
    if (j->set_id)
        t->process->personality &= ~PERSONALITY_UNSAFE;
    t->process->exit_signal = SIGCHLD;
    WRITE_ONCE(t->process->exec_id, t->process->exec_id + 1); /* what it chose for others is void */
    t->robust_list = t->clear_child_tid = 0;
    rseq_set(t, 0, 0);
    t->restart_call = false;
    fpu_reset();
    arch_set_fs_base(0);
    arch_set_gs_base(0);
    *f = (struct trap_frame){.orig_rax = ~0ULL,
                             .rip = j->entry,
                             .rsp = j->sp,
                             .cs = USER_CS,
                             .ss = USER_DS,
                             .rflags = 0x202};
}

/* From the judgement of the rights until the program has them no sibling puts a filter on this
 * thread: one without no_new_privs would meet a set-id program. -EINTR: a sibling's exec was first.
 */
static int exec_with_rights(struct exec_job *j, struct trap_frame *f)
{
    struct process *p = current_process();
    int err = mutex_lock_killable(&p->cred_guard);

    if (err)
        return err;
    err = exec_creds(j);
    DELAYPOINT(exec_creds);
    if (!err)
        err = exec_load(j);
    if (!err)
        err = process_dethread();
    if (!err) {
        process_become_leader(current_task());
        err = fd_table_unshare(); /* with the threads gone: record locks stay with the table */
        if (err)
            signal_kill_process(p);
    }
    if (!err) {
        exec_switch(j);
        exec_reset_task(j, f);
    }
    mutex_unlock(&p->cred_guard);
    return err;
}

struct fs_users {
    const struct fs_context *fs;
    s32 own; /* tasks of the process */
};

static int exec_count_user(struct task *t, void *arg)
{
    struct fs_users *u = arg;

    u->own += t->fs == u->fs;
    return 0;
}

/* Is the context shared with another process? This process's tasks that share it are counted, again
 * if the number of users has changed meanwhile, which can only fall: fs_context_exec_begin lets
 * none join. Users beyond those that were counted are other processes' tasks. */
static bool exec_shares_paths(const struct fs_context *fs)
{
    struct fs_users u = {.fs = fs};
    s32 users;

    do {
        users = refcount_read(&fs->users);
        if (users == 1)
            return false;
        u.own = 0;
        (void)process_for_each_task(current_process(), exec_count_user, &u);
    } while (refcount_read(&fs->users) != users);
    return users > u.own;
}

int process_exec(struct file *file, const char *path, struct exec_strings *argv,
                 struct exec_strings *envp, struct trap_frame *f)
{
    struct exec_job *j = kzalloc(sizeof(*j));
    int err;

    if (!j)
        return -ENOMEM;
    *j = (struct exec_job){.file = file, .called = path, .path = path, .argv = argv, .envp = envp};
    fs_context_exec_begin(current_task()->fs);
    j->shared = exec_shares_paths(current_task()->fs);
    j->head = page_alloc_virt(0, PA_ZERO);
    err = j->head ? 0 : -ENOMEM;
    if (!err && !argv->count) /* as Linux since 5.18 */
        err = exec_strings_add(argv, "", 0);
    if (!err)
        err = exec_resolve(j);
    if (!err)
        err = exec_with_rights(j, f);
    fs_context_exec_end(current_task()->fs);
    if (j->aspace)
        aspace_put(j->aspace);
    if (j->cred)
        cred_put(j->cred);
    if (j->file_owned)
        file_put(j->file);
    if (j->head)
        page_free_virt(j->head, 0);
    kfree(j);
    return err;
}
