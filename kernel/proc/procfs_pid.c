/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>: a computed directory per process (and per thread under task/). Nodes are made on
 * look-up; each holds its task, whose thread and credentials outlive the process, so that a late
 * reader sees a consistent corpse. What needs living parts (memory, descriptors) answers ESRCH or
 * nothing.
 */
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/fdtable.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/procfs.h"
#include "vfs/pseudo.h"

static const struct pseudo_ops pid_dir_ops, fd_dir_ops, fdinfo_dir_ops, ns_dir_ops, task_dir_ops;

void pid_node_destroy(struct pseudo_node *node)
{
    struct pid_node *pn = node->priv;

    for (int i = 0; i < 2; i++) {
        if (pn->ends[i])
            file_put(pn->ends[i]);
    }
    task_put(pn->task);
    kfree(pn);
}

struct pseudo_node *pid_node_create(const char *name, u32 mode, const struct pseudo_ops *ops,
                                    struct task *t, u32 number)
{
    struct pid_node *pn = kmalloc(sizeof(*pn));

    if (!pn)
        return ERR_PTR(-ENOMEM);
    task_get(t);
    *pn = (struct pid_node){.task = t, .number = number};
    struct pseudo_node *node = pseudo_create(NULL, name, mode, ops, pn);
    if (!node) {
        task_put(t);
        kfree(pn);
        return ERR_PTR(-ENOMEM);
    }
    return node;
}

/* Files belong to the process's effective user; an undumpable one's to root. */
void pid_node_owner(struct pseudo_node *node, kuid_t *uid, kgid_t *gid)
{
    struct task *t = pid_node_task(node);

    *uid = t->process->dumpable ? t->cred->euid : 0;
    *gid = t->process->dumpable ? t->cred->egid : 0;
}

/* The leader of the process nr, counted; NULL. */
static struct task *pid_leader(u32 nr)
{
    struct process *p = process_find(current_pid_ns(), nr);
    struct task *t = NULL;
    u64 flags;

    if (!p)
        return NULL;
    spin_lock_irqsave(&proc_lock, &flags);
    t = p->leader;
    if (t)
        task_get(t);
    spin_unlock_irqrestore(&proc_lock, flags);
    process_put(p);
    return t;
}

static bool name_is(const char *name, size_t len, const char *what)
{
    return strlen(what) == len && memcmp(name, what, len) == 0;
}

/* A decimal name without leading zeros; false: it is none. */
static bool name_number(const char *name, size_t len, u32 *out)
{
    u64 n = 0;

    if (!len || len > 9 || (name[0] == '0' && len > 1))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        n = n * 10 + (u64)(name[i] - '0');
    }
    *out = (u32)n;
    return true;
}

/* The root: numbers, then what is registered statically. */
static struct pseudo_node *proc_root_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    char text[16];
    u32 nr;

    if (!name_number(name, len, &nr))
        return NULL;
    struct task *t = pid_leader(nr);
    if (!t)
        return NULL;
    snprintf(text, sizeof(text), "%u", nr);
    struct pseudo_node *node =
        pid_node_create(text, S_IFDIR | 0555, &pid_dir_ops, t, PID_NODE_PROCESS);
    task_put(t);
    return node;
}

#define DIR_BASE 0x10000 /* positions of computed entries: base + number */

static int proc_root_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    struct pid_ns *ns = current_pid_ns();
    u32 nr = ctx->pos > DIR_BASE ? (u32)(ctx->pos - DIR_BASE) : 1;
    struct pid *pid;

    while ((pid = pid_next(ns, nr)) != NULL) {
        char name[16];
        nr = pid_nr(pid, ns);
        struct process *p = process_of_pid(pid);
        pid_put(pid);
        if (p) {
            process_put(p);
            ctx->pos = DIR_BASE + nr;
            size_t n = (size_t)snprintf(name, sizeof(name), "%u", nr);
            if (!ctx->emit(ctx, name, n, DIR_BASE + nr, 4))
                return 0;
        }
        nr++;
        ctx->pos = DIR_BASE + nr;
    }
    return 0;
}

static const struct pseudo_ops proc_root_ops = {.lookup = proc_root_lookup, .list = proc_root_list};

static void procfs_init(void)
{
    pseudo_root("proc")->ops = &proc_root_ops;
}
INIT_HOOK(procfs_init, INIT_DRIVER);

void *up_proc_mount_ns(void)
{
    return current_task() ? current_pid_ns() : &pid_ns_init;
}

/* self, thread-self */
static ssize_t self_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    char text[40];
    u32 tgid = pid_nr(current_process()->pid, current_pid_ns());
    u32 tid = pid_nr(current_task()->pid, current_pid_ns());
    size_t len = (size_t)(node->priv ? snprintf(text, sizeof(text), "%u/task/%u", tgid, tid)
                                     : snprintf(text, sizeof(text), "%u", tgid));

    len = MIN(len, n);
    memcpy(buf, text, len);
    return (ssize_t)len;
}

static const struct pseudo_ops self_ops = {.readlink = self_readlink};
PSEUDO_FILE(self) = {"proc", "self", S_IFLNK | 0777, &self_ops, NULL};
PSEUDO_FILE(thread_self) = {"proc", "thread-self", S_IFLNK | 0777, &self_ops, (void *)1};

/* Links to a path a process holds: cwd, root, exe. */
enum { LINK_CWD, LINK_ROOT, LINK_EXE };

static int pid_link_path(struct pseudo_node *node, struct path *out)
{
    struct pid_node *pn = node->priv;
    struct process *p = pn->task->process;

    if (!process_may_inspect(p))
        return -EACCES;
    if (pn->number == LINK_EXE) {
        struct aspace *as = process_aspace(p);
        if (!as)
            return -ENOENT;
        *out = (struct path){as->exe->mount, as->exe->dentry};
        path_get(out);
        aspace_put(as);
        return 0;
    }
    struct fs_context *fs = task_fs(pn->task);
    struct path root, cwd;
    if (!fs)
        return -ENOENT;
    fs_context_paths(fs, &root, &cwd);
    fs_context_put(fs);
    *out = pn->number == LINK_CWD ? cwd : root;
    path_put(pn->number == LINK_CWD ? &root : &cwd);
    return 0;
}

static int pid_link_follow(struct pseudo_node *node, const struct cred *cred, struct path *out)
{
    return pid_link_path(node, out);
}

/* A path as current sees it. */
static ssize_t proc_path_text(const struct path *p, char *buf, size_t n)
{
    struct path root, cwd;
    char *page = kmalloc(PATH_MAX);
    ssize_t r;

    if (!page)
        return -ENOMEM;
    fs_context_paths(current_task()->fs, &root, &cwd);
    char *at = path_name(p, &root, page, PATH_MAX);
    path_put(&root);
    path_put(&cwd);
    if (IS_ERR(at)) {
        r = PTR_ERR(at);
    } else {
        r = (ssize_t)MIN(strlen(at), n);
        memcpy(buf, at, (size_t)r);
    }
    kfree(page);
    return r;
}

static ssize_t pid_link_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    struct path p;
    int err = pid_link_path(node, &p);

    if (err)
        return err;
    ssize_t r = proc_path_text(&p, buf, n);
    path_put(&p);
    return r;
}

static const struct pseudo_ops pid_link_ops = {.follow = pid_link_follow,
                                               .readlink = pid_link_readlink,
                                               .owner = pid_node_owner,
                                               .destroy = pid_node_destroy};

/* fd/N */
static struct file *pid_fd_file(struct pid_node *pn, u32 fd)
{
    struct fd_table *files = task_files(pn->task);
    struct file *f = files ? fd_table_file(files, fd) : NULL;

    if (files)
        fd_table_put(files);
    return f;
}

static int fd_follow(struct pseudo_node *node, const struct cred *cred, struct path *out)
{
    struct pid_node *pn = node->priv;
    struct file *f = pid_fd_file(pn, pn->number);

    if (!f)
        return -ENOENT;
    int err = f->dentry ? 0 : -ENXIO;
    if (!err) {
        *out = (struct path){f->mount, f->dentry};
        path_get(out);
    }
    file_put(f);
    return err;
}

/* What the link of a file without a name shows. */
static size_t fd_text(struct file *f, char *text, size_t n)
{
    struct kstat st = {0};

    if (f->ops->name[0] == '[')
        return (size_t)scnprintf(text, n, "anon_inode:%s", f->ops->name);
    (void)file_stat(f, &st);
    return (size_t)scnprintf(text, n, "%s:[%lu]", f->ops->name, st.ino);
}

static ssize_t fd_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    struct pid_node *pn = node->priv;
    struct file *f = pid_fd_file(pn, pn->number);
    ssize_t r;

    if (!f)
        return -ENOENT;
    if (f->dentry) {
        struct path p = {f->mount, f->dentry};
        r = proc_path_text(&p, buf, n);
    } else {
        char text[64];
        size_t len = fd_text(f, text, sizeof(text));
        r = (ssize_t)MIN(len, n);
        memcpy(buf, text, (size_t)r);
    }
    file_put(f);
    return r;
}

static const struct pseudo_ops fd_link_ops = {.follow = fd_follow,
                                              .readlink = fd_readlink,
                                              .owner = pid_node_owner,
                                              .destroy = pid_node_destroy};

/* A file without a name: its text is no path, except for a pipe's, which is a hidden name in fd/.
 */
static const struct pseudo_ops fd_text_ops = {
    .readlink = fd_readlink, .owner = pid_node_owner, .destroy = pid_node_destroy};

/* A pipe opened again through /proc: what is done to the new file is done to the old one. */
static struct file *reopened(struct file *f, bool write)
{
    return ((struct pid_node *)pseudo_of_file(f)->priv)->ends[write];
}

static ssize_t reopen_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct file *end = reopened(f, false);

    return end ? file_read(end, to, &end->pos) : -EBADF;
}

static ssize_t reopen_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct file *end = reopened(f, true);

    return end ? file_write(end, from, &end->pos) : -EBADF;
}

static u32 reopen_poll(struct file *f, struct poll_table *pt)
{
    struct file *end = reopened(f, file_writable(f));

    return end ? file_poll(end, pt) : POLLNVAL;
}

static const struct file_ops reopen_fops = {
    .name = "pipe", .read = reopen_read, .write = reopen_write, .poll = reopen_poll};
static const struct pseudo_ops reopen_ops = {
    .fops = &reopen_fops, .owner = pid_node_owner, .destroy = pid_node_destroy};

/* The node behind "pipe:[N]", when the task has such a descriptor: with either end, as it has them.
 */
static struct pseudo_node *fd_lookup_pipe(struct pid_node *pn, const char *name, size_t len)
{
    struct fd_table *files = task_files(pn->task);
    struct file *ends[2] = {NULL, NULL};
    struct pseudo_node *node = NULL;
    char text[64], found[64];

    for (int fd = 0; files && (fd = fd_table_next(files, (u32)fd)) >= 0; fd++) {
        struct file *f = fd_table_file(files, (u32)fd);
        bool same = f && !f->dentry && strcmp(f->ops->name, "pipe") == 0 &&
                    fd_text(f, text, sizeof(text)) == len && memcmp(text, name, len) == 0;
        if (same && !ends[file_writable(f)]) {
            ends[file_writable(f)] = f;
            memcpy(found, text, sizeof(found));
        } else if (f) {
            file_put(f);
        }
    }
    if (files)
        fd_table_put(files);
    if (ends[0] || ends[1])
        node = pid_node_create(found, S_IFREG | 0600, &reopen_ops, pn->task, 0);
    if (node && !IS_ERR(node)) {
        memcpy(((struct pid_node *)node->priv)->ends, ends, sizeof(ends));
        return node;
    }
    for (int i = 0; i < 2; i++) {
        if (ends[i])
            file_put(ends[i]);
    }
    return node;
}

static int fdinfo_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct pid_node *pn = node->priv;
    struct file *f = pid_fd_file(pn, pn->number);
    char extra[512];

    if (!f)
        return -ENOENT;
    seq_printf(out, "pos:\t%ld\nflags:\t0%o\nmnt_id:\t0\n", f->pos, f->flags);
    if (f->ops->fdinfo) {
        int n = f->ops->fdinfo(f, extra, sizeof(extra));
        if (n > 0)
            seq_write(out, extra, (size_t)n);
    }
    file_put(f);
    return 0;
}

static const struct pseudo_ops fdinfo_ops = {
    .show = fdinfo_show, .owner = pid_node_owner, .destroy = pid_node_destroy};

static struct pseudo_node *fd_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct pid_node *pn = dir->priv;
    bool info = dir->ops == &fdinfo_dir_ops;
    char text[16];
    u32 fd;

    bool pipe = !info && len > 6 && memcmp(name, "pipe:[", 6) == 0;
    if (!pipe && !name_number(name, len, &fd))
        return NULL;
    if (!process_may_inspect(pn->task->process))
        return ERR_PTR(-EACCES);
    if (pipe)
        return fd_lookup_pipe(pn, name, len);
    struct file *f = pid_fd_file(pn, fd);
    if (!f)
        return NULL;
    u32 mode = 0500u | (file_readable(f) ? 0400 : 0) | (file_writable(f) ? 0200 : 0);
    const struct pseudo_ops *link = f->dentry ? &fd_link_ops : &fd_text_ops;
    file_put(f);
    snprintf(text, sizeof(text), "%u", fd);
    return info ? pid_node_create(text, S_IFREG | 0444, &fdinfo_ops, pn->task, fd)
                : pid_node_create(text, S_IFLNK | mode, link, pn->task, fd);
}

static int fd_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    struct pid_node *pn = dir->priv;
    struct fd_table *files = task_files(pn->task);
    u32 from = ctx->pos >= DIR_BASE ? (u32)(ctx->pos - DIR_BASE) : 0;
    char name[16];
    int fd;

    if (!files)
        return 0;
    while ((fd = fd_table_next(files, from)) >= 0) {
        ctx->pos = DIR_BASE + fd;
        size_t n = (size_t)snprintf(name, sizeof(name), "%d", fd);
        if (!ctx->emit(ctx, name, n, DIR_BASE + (u64)fd, dir->ops == &fd_dir_ops ? 10 : 8))
            break;
        from = (u32)fd + 1;
        ctx->pos = DIR_BASE + from;
    }
    fd_table_put(files);
    return 0;
}

static const struct pseudo_ops fd_dir_ops = {
    .lookup = fd_lookup, .list = fd_list, .owner = pid_node_owner, .destroy = pid_node_destroy};
static const struct pseudo_ops fdinfo_dir_ops = {
    .lookup = fd_lookup, .list = fd_list, .owner = pid_node_owner, .destroy = pid_node_destroy};

/* ns/NAME is a link whose text, "mnt:[4026531841]", is again a name in the directory: the file
 * itself. */
static ssize_t ns_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    struct pid_node *pn = node->priv;
    char text[64];
    int len = ns_link(pn->task, pn->number, text, sizeof(text));

    if (len < 0)
        return len;
    len = (int)MIN((size_t)len, n);
    memcpy(buf, text, (size_t)len);
    return len;
}

static const struct pseudo_ops ns_link_ops = {
    .readlink = ns_readlink, .owner = pid_node_owner, .destroy = pid_node_destroy};

/* The open file keeps only the task: what is entered is what the task is in at that moment. */
static int ns_pseudo_fdinfo(struct file *f, char *buf, size_t n)
{
    return 0;
}
static const struct file_ops ns_pseudo_file_ops = {.name = "[nsfs]", .fdinfo = ns_pseudo_fdinfo};
static const struct pseudo_ops ns_file_node_ops = {
    .fops = &ns_pseudo_file_ops, .owner = pid_node_owner, .destroy = pid_node_destroy};

struct file *procfs_ns_file(struct file *f)
{
    if (f->ops != &ns_pseudo_file_ops)
        return NULL;
    struct pid_node *pn = pseudo_of_file(f)->priv;
    return ns_open(pn->task, pn->number);
}

static struct pseudo_node *ns_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct pid_node *pn = dir->priv;
    char text[64];

    for (unsigned k = 0; ns_name(k); k++) {
        if (name_is(name, len, ns_name(k)))
            return pid_node_create(ns_name(k), S_IFLNK | 0777, &ns_link_ops, pn->task, k);
        int n = ns_link(pn->task, k, text, sizeof(text));
        if (n > 0 && (size_t)n == len && memcmp(text, name, len) == 0) {
            if (!process_may_inspect(pn->task->process))
                return ERR_PTR(-EACCES);
            return pid_node_create(text, S_IFREG | 0444, &ns_file_node_ops, pn->task, k);
        }
    }
    return NULL;
}

static int ns_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    unsigned k = ctx->pos >= DIR_BASE ? (unsigned)(ctx->pos - DIR_BASE) : 0;

    for (; ns_name(k); k++) {
        ctx->pos = DIR_BASE + k;
        if (!ctx->emit(ctx, ns_name(k), strlen(ns_name(k)), DIR_BASE + k, 10))
            return 0;
        ctx->pos = DIR_BASE + k + 1;
    }
    return 0;
}

static const struct pseudo_ops ns_dir_ops = {
    .lookup = ns_lookup, .list = ns_list, .owner = pid_node_owner, .destroy = pid_node_destroy};

/* task/TID */
static struct pseudo_node *task_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct process *p = pid_node_task(dir)->process;
    char text[16];
    u32 nr;

    if (!name_number(name, len, &nr))
        return NULL;
    struct task *t = task_find(current_pid_ns(), nr);
    if (!t)
        return NULL;
    struct pseudo_node *node = NULL;
    snprintf(text, sizeof(text), "%u", nr);
    if (t->process == p)
        node = pid_node_create(text, S_IFDIR | 0555, &pid_dir_ops, t, PID_NODE_THREAD);
    task_put(t);
    return node;
}

#define TASK_LIST_BATCH 64

/* The smallest numbers above `last`, ascending: how many. */
static unsigned task_list_batch(struct process *p, u32 last, u32 *numbers)
{
    struct task *t;
    unsigned n = 0;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    list_for_each (t, &p->tasks, node) {
        u32 nr = pid_nr(t->pid, current_pid_ns());
        unsigned at = n;

        if (nr <= last || (n == TASK_LIST_BATCH && nr > numbers[n - 1]))
            continue;
        for (; at > 0 && numbers[at - 1] > nr; at--)
            if (at < TASK_LIST_BATCH)
                numbers[at] = numbers[at - 1];
        numbers[at] = nr;
        n += n < TASK_LIST_BATCH;
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    return n;
}

static int task_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    struct process *p = pid_node_task(dir)->process;
    u32 last = ctx->pos > DIR_BASE ? (u32)(ctx->pos - DIR_BASE) - 1 : 0;
    u32 numbers[TASK_LIST_BATCH];
    unsigned n;

    while ((n = task_list_batch(p, last, numbers))) {
        for (unsigned i = 0; i < n; i++) {
            char name[16];
            size_t len = (size_t)snprintf(name, sizeof(name), "%u", numbers[i]);

            last = numbers[i];
            ctx->pos = DIR_BASE + last;
            if (!ctx->emit(ctx, name, len, DIR_BASE + last, 4))
                return 0;
            ctx->pos = DIR_BASE + last + 1;
        }
    }
    return 0;
}

static const struct pseudo_ops task_dir_ops = {
    .lookup = task_lookup, .list = task_list, .owner = pid_node_owner, .destroy = pid_node_destroy};

/* The directory of one process: the table of procfs_files.c, and these. */
static const struct {
    const char *name;
    u32 mode;
    const struct pseudo_ops *ops;
    u32 number;
    bool process_only;
} pid_entries[] = {
    {"cwd", S_IFLNK | 0777, &pid_link_ops, LINK_CWD, false},
    {"root", S_IFLNK | 0777, &pid_link_ops, LINK_ROOT, false},
    {"exe", S_IFLNK | 0777, &pid_link_ops, LINK_EXE, false},
    {"fd", S_IFDIR | 0500, &fd_dir_ops, 0, false},
    {"fdinfo", S_IFDIR | 0555, &fdinfo_dir_ops, 0, false},
    {"net", S_IFDIR | 0555, &procfs_net_ops, 0, false},
    {"ns", S_IFDIR | 0511, &ns_dir_ops, 0, false},
    {"task", S_IFDIR | 0555, &task_dir_ops, 0, true},
};

static struct pseudo_node *pid_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct pid_node *pn = dir->priv;

    for (unsigned i = 0; i < ARRAY_SIZE(pid_entries); i++) {
        if (!name_is(name, len, pid_entries[i].name) ||
            (pid_entries[i].process_only && pn->number == PID_NODE_THREAD))
            continue;
        return pid_node_create(pid_entries[i].name, pid_entries[i].mode, pid_entries[i].ops,
                               pn->task, pid_entries[i].number);
    }
    for (unsigned i = 0; i < pid_file_count; i++) {
        if (name_is(name, len, pid_files[i].name))
            return pid_node_create(pid_files[i].name, S_IFREG | pid_files[i].mode,
                                   &pid_files[i].ops, pn->task, pn->number);
    }
    return NULL;
}

static int pid_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    unsigned i = ctx->pos >= DIR_BASE ? (unsigned)(ctx->pos - DIR_BASE) : 0;

    for (; i < ARRAY_SIZE(pid_entries) + pid_file_count; i++) {
        bool file = i >= ARRAY_SIZE(pid_entries);
        const char *name = file ? pid_files[i - ARRAY_SIZE(pid_entries)].name : pid_entries[i].name;
        u32 mode = file ? S_IFREG : pid_entries[i].mode;
        ctx->pos = DIR_BASE + i;
        if (!ctx->emit(ctx, name, strlen(name), DIR_BASE + i, mode >> 12 & 15))
            return 0;
        ctx->pos = DIR_BASE + i + 1;
    }
    return 0;
}

static const struct pseudo_ops pid_dir_ops = {
    .lookup = pid_lookup, .list = pid_list, .owner = pid_node_owner, .destroy = pid_node_destroy};
