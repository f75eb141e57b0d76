/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>: a computed directory per process (and per thread under task/). Nodes are made on
 * look-up; each holds its task, whose thread and credentials outlive the process, so that a late
 * reader sees consistent figures of a process that has ended. What needs living parts (memory,
 * descriptors) answers ESRCH or nothing.
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

static const struct pseudo_ops ns_dir_ops, task_dir_ops;

void pid_node_destroy(struct pseudo_node *node)
{
    struct pid_node *pn = node->priv;

    if (pn->ns_file)
        file_put(pn->ns_file);
    task_put(pn->task);
    pid_ns_put(pn->ns);
    kfree(pn);
}

struct pseudo_node *pid_node_create(struct pid_ns *ns, const char *name, u32 mode,
                                    const struct pseudo_ops *ops, struct task *t, u32 number)
{
    struct pid_node *pn = kmalloc(sizeof(*pn));

    if (!pn)
        return ERR_PTR(-ENOMEM);
    task_get(t);
    pid_ns_get(ns);
    *pn = (struct pid_node){.task = t, .ns = ns, .number = number};
    struct pseudo_node *node = pseudo_create(NULL, name, mode, ops, pn);
    if (!node) {
        task_put(t);
        pid_ns_put(ns);
        kfree(pn);
        return ERR_PTR(-ENOMEM);
    }
    return node;
}

/* Files belong to the process's effective user; an undumpable one's to root. */
void pid_node_owner(struct pseudo_node *node, kuid_t *uid, kgid_t *gid)
{
    struct task *t = pid_node_task(node);
    const struct cred *c = task_cred(t);

    *uid = t->process->dumpable ? c->euid : 0;
    *gid = t->process->dumpable ? c->egid : 0;
    cred_put(c);
}

static bool name_is(const char *name, size_t len, const char *what)
{
    return strlen(what) == len && memcmp(name, what, len) == 0;
}

/* Links to a path a process holds: cwd, root, exe. */
enum { LINK_CWD, LINK_ROOT, LINK_EXE };

static int pid_link_path(struct pseudo_node *node, struct path *out)
{
    struct pid_node *pn = node->priv;
    struct process *p = pn->task->process;

    if (!process_may_inspect(p))
        return -EACCES;
    if (pn->number == LINK_EXE) {
        struct aspace *as = process_inspect_aspace(p);
        if (!as || IS_ERR(as))
            return as ? -EACCES : -ENOENT;
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
ssize_t procfs_path_text(const struct path *p, char *buf, size_t n)
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
    ssize_t r = procfs_path_text(&p, buf, n);
    path_put(&p);
    return r;
}

static const struct pseudo_ops pid_link_ops = {.follow = pid_link_follow,
                                               .readlink = pid_link_readlink,
                                               .owner = pid_node_owner,
                                               .destroy = pid_node_destroy};

/* ns/NAME is a link whose text, "mnt:[4026531841]", is again a name in the directory: the file
 * itself. */
static ssize_t ns_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    struct pid_node *pn = node->priv;
    char text[64];
    int len = -EACCES;

    if (process_may_inspect(pn->task->process))
        len = ns_link(pn->task, pn->number, text, sizeof(text));
    if (len < 0)
        return len;
    len = (int)MIN((size_t)len, n);
    memcpy(buf, text, (size_t)len);
    return len;
}

static const struct pseudo_ops ns_link_ops = {
    .readlink = ns_readlink, .owner = pid_node_owner, .destroy = pid_node_destroy};

/* The file itself, whose node holds the namespace as a file of its own: it stays as long as a
 * process has this one open or mounted. */
static struct file *ns_behind(struct file *f)
{
    return ((struct pid_node *)pseudo_of_file(f)->priv)->ns_file;
}

static s64 ns_pseudo_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct file *ns = ns_behind(f);

    return ns->ops->ioctl(ns, cmd, arg);
}

static const struct file_ops ns_pseudo_file_ops = {.name = "[nsfs]", .ioctl = ns_pseudo_ioctl};
static const struct pseudo_ops ns_file_node_ops = {.fops = &ns_pseudo_file_ops,
                                                   .destroy = pid_node_destroy};

struct file *procfs_ns_file(struct file *f)
{
    return f->ops == &ns_pseudo_file_ops ? ns_behind(f) : NULL;
}

/* "mnt:[4026531841]": the namespace of kind k that the task is in now, if that is its name. */
static struct pseudo_node *ns_file_node(struct pid_node *pn, unsigned k, const char *name,
                                        size_t len)
{
    struct file *ns = ns_open(pn->task, k);
    struct pseudo_node *node = NULL;
    struct kstat st;
    char text[64];

    if (IS_ERR(ns))
        return (void *)ns;
    size_t n = (size_t)ns_file_name(ns, text, sizeof(text));
    if (n == len && memcmp(text, name, len) == 0 && !file_stat(ns, &st)) {
        node = pid_node_create(pn->ns, text, S_IFREG | 0444, &ns_file_node_ops, pn->task, k);
        if (!IS_ERR(node)) {
            ((struct pid_node *)node->priv)->ns_file = ns;
            node->ino = st.ino;
            return node;
        }
    }
    file_put(ns);
    return node;
}

struct pid *procfs_pid_of_file(struct file *f)
{
    struct pid_node *pn = pseudo_file_is(f, &procfs_pid_ops) ? pseudo_of_file(f)->priv : NULL;
    struct pid *pid = pn && pn->number == PID_NODE_PROCESS ? pn->task->process->pid : NULL;

    if (pid)
        pid_get(pid);
    return pid;
}

static struct pseudo_node *ns_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct pid_node *pn = dir->priv;
    char text[64];

    for (unsigned k = 0; ns_name(k); k++) {
        if (name_is(name, len, ns_name(k)))
            return pid_node_create(pn->ns, ns_name(k), S_IFLNK | 0777, &ns_link_ops, pn->task, k);
        int n = ns_link(pn->task, k, text, sizeof(text));
        if (n > 0 && (size_t)n == len && memcmp(text, name, len) == 0)
            return process_may_inspect(pn->task->process) ? ns_file_node(pn, k, name, len)
                                                          : ERR_PTR(-EACCES);
    }
    return NULL;
}

static int ns_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    unsigned k = ctx->pos >= PROCFS_DIR_BASE ? (unsigned)(ctx->pos - PROCFS_DIR_BASE) : 0;

    for (; ns_name(k); k++) {
        ctx->pos = PROCFS_DIR_BASE + k;
        if (!ctx->emit(ctx, ns_name(k), strlen(ns_name(k)), PROCFS_DIR_BASE + k, 10))
            return 0;
        ctx->pos = PROCFS_DIR_BASE + k + 1;
    }
    return 0;
}

static const struct pseudo_ops ns_dir_ops = {
    .lookup = ns_lookup, .list = ns_list, .owner = pid_node_owner, .destroy = pid_node_destroy};

/* task/TID */
static struct pseudo_node *task_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct pid_node *pn = dir->priv;
    char text[16];
    u32 nr;

    if (!procfs_number(name, len, &nr))
        return NULL;
    struct task *t = task_find(pn->ns, nr);
    if (!t)
        return NULL;
    struct pseudo_node *node = NULL;
    snprintf(text, sizeof(text), "%u", nr);
    if (t->process == pn->task->process)
        node = pid_node_create(pn->ns, text, S_IFDIR | 0555, &procfs_pid_ops, t, PID_NODE_THREAD);
    task_put(t);
    return node;
}

#define TASK_LIST_BATCH 64

/* The smallest numbers above `last`, ascending. */
struct task_list {
    const struct pid_ns *ns;
    u32 last, numbers[TASK_LIST_BATCH];
    unsigned n;
};

static int task_list_one(struct task *t, void *arg)
{
    struct task_list *l = arg;
    u32 nr = pid_nr(t->pid, l->ns);
    unsigned at = l->n;

    if (nr <= l->last || (at == TASK_LIST_BATCH && nr > l->numbers[at - 1]))
        return 0;
    for (; at > 0 && l->numbers[at - 1] > nr; at--)
        if (at < TASK_LIST_BATCH)
            l->numbers[at] = l->numbers[at - 1];
    l->numbers[at] = nr;
    l->n += l->n < TASK_LIST_BATCH;
    return 0;
}

/* How many there are. */
static unsigned task_list_batch(const struct pid_node *pn, struct task_list *l)
{
    l->n = 0;
    process_for_each_task(pn->task->process, task_list_one, l);
    return l->n;
}

static int task_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    struct pid_node *pn = dir->priv;
    struct task_list l = {.ns = pn->ns};

    if (ctx->pos > PROCFS_DIR_BASE)
        l.last = (u32)(ctx->pos - PROCFS_DIR_BASE) - 1;
    while (task_list_batch(pn, &l)) {
        for (unsigned i = 0; i < l.n; i++) {
            char name[16];
            size_t len = (size_t)snprintf(name, sizeof(name), "%u", l.numbers[i]);

            l.last = l.numbers[i];
            ctx->pos = PROCFS_DIR_BASE + l.last;
            if (!ctx->emit(ctx, name, len, PROCFS_DIR_BASE + l.last, 4))
                return 0;
            ctx->pos = PROCFS_DIR_BASE + l.last + 1;
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
    {"fd", S_IFDIR | 0500, &procfs_fd_ops, 0, false},
    {"fdinfo", S_IFDIR | 0555, &procfs_fdinfo_ops, 0, false},
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
        return pid_node_create(pn->ns, pid_entries[i].name, pid_entries[i].mode, pid_entries[i].ops,
                               pn->task, pid_entries[i].number);
    }
    for (unsigned i = 0; i < pid_file_count; i++) {
        if (name_is(name, len, pid_files[i].name))
            return pid_node_create(pn->ns, pid_files[i].name, S_IFREG | pid_files[i].mode,
                                   &pid_files[i].ops, pn->task, pn->number);
    }
    return NULL;
}

static int pid_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    unsigned i = ctx->pos >= PROCFS_DIR_BASE ? (unsigned)(ctx->pos - PROCFS_DIR_BASE) : 0;

    for (; i < ARRAY_SIZE(pid_entries) + pid_file_count; i++) {
        bool file = i >= ARRAY_SIZE(pid_entries);
        const char *name = file ? pid_files[i - ARRAY_SIZE(pid_entries)].name : pid_entries[i].name;
        u32 mode = file ? S_IFREG : pid_entries[i].mode;
        ctx->pos = PROCFS_DIR_BASE + i;
        if (!ctx->emit(ctx, name, strlen(name), PROCFS_DIR_BASE + i, mode >> 12 & 15))
            return 0;
        ctx->pos = PROCFS_DIR_BASE + i + 1;
    }
    return 0;
}

const struct pseudo_ops procfs_pid_ops = {
    .lookup = pid_lookup, .list = pid_list, .owner = pid_node_owner, .destroy = pid_node_destroy};
