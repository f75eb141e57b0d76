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
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/fdtable.h"
#include "proc/fs_context.h"
#include "proc/proc_priv.h"
#include "vm/aspace.h"

#define EXEC_STRING_MAX (128 * 1024)
#define EXEC_STRINGS_TOTAL (2 << 20)
#define EXEC_SCRIPT_DEPTH 4
#define MS_NOSUID 2
#define MS_NOEXEC 8
#define SECBIT_NOROOT 1
#define SECBIT_KEEP_CAPS 16

int exec_strings_add(struct exec_strings *s, const char *text, size_t len)
{
    if (s->len + len + 1 + (s->count + 1) * sizeof(u64) > EXEC_STRINGS_TOTAL) /* pointers too */
        return -E2BIG;
    if (s->len + len + 1 > s->cap) {
        size_t cap = MAX(s->cap * 2, ALIGN_UP(s->len + len + 1, 1024UL));
        char *bigger = krealloc(s->buf, cap);
        if (!bigger)
            return -ENOMEM;
        s->buf = bigger;
        s->cap = cap;
    }
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

/* "#!" prog [arg]: argv becomes prog [arg] path argv[1...]. *out: the interpreter's path. */
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

/* Execute permission is what counts: the file is read with the kernel's own eyes, and nothing but a
 * regular file is opened at all. */
int exec_open_path(const struct path *p, struct file **out)
{
    int err = exec_check_path(p);

    return err ? err : vfs_open_path(p, O_RDONLY, &cred_init, out);
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

/* File capabilities: security.capability, version 2 and 3 (linux/capability.h). */
struct vfs_cap {
    u32 magic;
    struct {
        u32 permitted, inheritable;
    } data[2];
    u32 rootid;
};
#define VFS_CAP_EFFECTIVE 1

static bool exec_file_caps(struct file *f, u64 *permitted, u64 *inheritable, bool *effective)
{
    struct path p = {f->mount, f->dentry};
    struct vfs_cap cap;
    ssize_t n = vfs_getxattr(&p, &cred_init, XATTR_CAPABILITY, &cap, sizeof(cap));

    if (n < 20)
        return false;
    u32 rev = cap.magic & 0xff000000;
    if (rev != 0x02000000 && rev != 0x03000000)
        return false;
    *permitted = cap.data[0].permitted | (u64)cap.data[1].permitted << 32;
    *inheritable = cap.data[0].inheritable | (u64)cap.data[1].inheritable << 32;
    *effective = cap.magic & VFS_CAP_EFFECTIVE;
    return true;
}

/* capabilities(7), "Transformation of capabilities during execve()". */
static void exec_cap_rules(struct cred *c, const struct cred *old, struct file *f, bool trusted,
                           bool id_changed)
{
    u64 fp = 0, fi = 0;
    bool fe = false, has = trusted && exec_file_caps(f, &fp, &fi, &fe);
    kuid_t root = user_ns_map_uid(c->user_ns, 0);
    bool priv_file = has || id_changed;

    if (!(c->securebits & SECBIT_NOROOT) && (c->euid == root || c->uid == root)) {
        fp = fi = CAP_FULL;
        fe = c->euid == root;
    }
    c->cap_ambient = priv_file ? 0 : old->cap_ambient;
    c->cap_permitted = (old->cap_inheritable & fi) | (fp & old->cap_bounding) | c->cap_ambient;
    c->cap_effective = fe ? c->cap_permitted : c->cap_ambient;
    c->securebits &= ~(u32)SECBIT_KEEP_CAPS;
}

/* The set-id bits give the ids of the file, where both have a number in the caller's namespace: who
 * made that namespace rules over its programs, but not over the ids outside it. */
static void exec_set_ids(struct cred *c, struct inode *inode)
{
    struct inode_owner o;

    inode_get_owner(inode, &o);
    if (user_ns_map_uid(c->user_ns, user_ns_uid(c->user_ns, o.uid)) != o.uid ||
        user_ns_map_gid(c->user_ns, user_ns_gid(c->user_ns, o.gid)) != o.gid)
        return;
    if (o.mode & S_ISUID)
        c->euid = o.uid;
    if ((o.mode & (S_ISGID | 0010)) == (S_ISGID | 0010))
        c->egid = o.gid;
}

/* The credentials the new program runs with, and who may look at it. */
static int exec_creds(struct exec_job *j)
{
    const struct cred *old = current_cred();
    struct cred *c = cred_copy(old);
    struct path p = {j->file->mount, j->file->dentry};

    if (!c)
        return -ENOMEM;
    bool trusted = !current_task()->no_new_privs && !(path_mount_flags(&p) & MS_NOSUID);
    if (trusted)
        exec_set_ids(c, j->file->inode);
    bool changed = c->euid != old->euid || c->egid != old->egid;
    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    exec_cap_rules(c, old, j->file, trusted, changed);
    if (current_task()->no_new_privs) { /* not even root's own that it has laid down */
        c->cap_permitted &= old->cap_permitted;
        c->cap_effective &= c->cap_permitted;
    }
    j->secure = changed || (c->uid != user_ns_map_uid(c->user_ns, 0) &&
                            c->cap_permitted & ~(old->cap_permitted | c->cap_ambient));
    j->closed = j->secure || inode_permission(j->file->inode, old, 4);
    j->cred = c;
    return 0;
}

static void exec_name_thread(const char *path)
{
    const char *base = strrchr(path, '/');

    strlcpy(current_thread()->name, base ? base + 1 : path, sizeof(current_thread()->name));
}

/* A table or file-system context shared with another process becomes our own before it is changed.
 */
static int exec_unshare_files(void)
{
    struct task *t = current_task();
    u64 flags;

    if (refcount_read(&t->files->ref) == 1)
        return 0;
    struct fd_table *own = fd_table_copy(t->files, ~0U), *old = t->files;
    if (!own)
        return -ENOMEM;
    spin_lock_irqsave(&t->process->siglock, &flags);
    t->files = own;
    spin_unlock_irqrestore(&t->process->siglock, flags);
    fd_table_put(old);
    return 0;
}

/* The point of no return. */
static void exec_switch(struct exec_job *j)
{
    struct task *t = current_task();
    struct process *p = t->process;
    struct aspace *old = p->aspace, *own = t->thread->aspace;
    struct user_ns *old_ns = p->exec_ns;
    u64 flags;

    user_ns_get(j->cred->user_ns);
    if (j->closed) /* forbidden before there is anything to see: process_inspect_aspace */
        p->dumpable = false;
    task_release_aspace(t);
    refcount_get(&j->aspace->users);
    spin_lock_irqsave(&p->siglock, &flags);
    p->aspace = j->aspace;
    p->exec_ns = j->cred->user_ns;
    spin_unlock_irqrestore(&p->siglock, flags);
    user_ns_put(old_ns);
    aspace_activate(j->aspace);
    if (own)
        aspace_put(own);
    if (old)
        aspace_put(old);
    j->aspace = NULL;
}

static void exec_reset_task(struct exec_job *j, struct trap_frame *f)
{
    struct task *t = current_task();
    void *area = t->thread->arch.xsave;

    posix_timers_drop(t->process);
    signal_exec_reset(t->process);
    fd_close_on_exec();
    task_set_cred(j->cred);
    j->cred = NULL;
    exec_name_thread(j->path);
    t->process->did_exec = true;
    t->process->dumpable = !j->closed;
    if (j->secure)
        t->pdeath_signal = 0;
    t->process->exit_signal = t->process->ns_init ? t->process->exit_signal : SIGCHLD;
    t->robust_list = t->clear_child_tid = 0;
    t->restart_call = false;
    fpu_init_state(area);
    fpu_restore(area);
    arch_set_fs_base(0);
    arch_set_gs_base(0);
    *f = (struct trap_frame){.orig_rax = ~0ULL,
                             .rip = j->entry,
                             .rsp = j->sp,
                             .cs = USER_CS,
                             .ss = USER_DS,
                             .rflags = 0x202};
}

int process_exec(struct file *file, const char *path, struct exec_strings *argv,
                 struct exec_strings *envp, struct trap_frame *f)
{
    struct exec_job *j = kzalloc(sizeof(*j));
    int err;

    if (!j)
        return -ENOMEM;
    *j = (struct exec_job){.file = file, .path = path, .argv = argv, .envp = envp};
    j->head = page_alloc_virt(0, PA_ZERO);
    err = j->head ? 0 : -ENOMEM;
    if (!err && !argv->count) /* as Linux since 5.18 */
        err = exec_strings_add(argv, "", 0);
    if (!err)
        err = exec_resolve(j);
    if (!err)
        err = exec_creds(j);
    if (!err)
        err = exec_load(j);
    if (!err)
        err = exec_unshare_files();
    if (!err)
        err = process_dethread();
    if (!err) {
        process_become_leader(current_task());
        exec_switch(j);
        exec_reset_task(j, f);
    }
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
