/* SPDX-License-Identifier: MIT
 *
 * The root of a proc mount: the processes of the pid namespace that was its mounter's, by their
 * numbers there, for every reader. Each mount has a root of its own over the tree of what every
 * layer registered.
 */
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "proc/procfs.h"
#include "vfs/up.h"

/* The leader of the process nr, counted; NULL. */
static struct task *procfs_leader(struct pid_ns *ns, u32 nr)
{
    struct process *p = process_find_leader(ns, nr);

    if (!p)
        return NULL;
    struct task *t = process_leader(p);
    process_put(p);
    return t;
}

/* A decimal name without leading zeros; false: it is none. */
bool procfs_number(const char *name, size_t len, u32 *out)
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
static struct pseudo_node *procfs_root_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct pid_ns *ns = dir->priv;
    char text[16];
    u32 nr;

    if (!procfs_number(name, len, &nr))
        return NULL;
    struct task *t = procfs_leader(ns, nr);
    if (!t)
        return NULL;
    snprintf(text, sizeof(text), "%u", nr);
    struct pseudo_node *node =
        pid_node_create(ns, text, S_IFDIR | 0555, &procfs_pid_ops, t, PID_NODE_PROCESS);
    task_put(t);
    return node;
}

static int procfs_root_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    struct pid_ns *ns = dir->priv;
    u32 nr = ctx->pos > PROCFS_DIR_BASE ? (u32)(ctx->pos - PROCFS_DIR_BASE) : 1;
    struct pid *pid;

    while ((pid = pid_next(ns, nr)) != NULL) {
        char name[16];
        nr = pid_nr(pid, ns);
        struct process *p = process_of_pid(pid);
        pid_put(pid);
        if (p) {
            process_put(p);
            ctx->pos = PROCFS_DIR_BASE + nr;
            size_t n = (size_t)snprintf(name, sizeof(name), "%u", nr);
            if (!ctx->emit(ctx, name, n, PROCFS_DIR_BASE + nr, 4))
                return 0;
        }
        nr++;
        ctx->pos = PROCFS_DIR_BASE + nr;
    }
    return 0;
}

static void procfs_root_destroy(struct pseudo_node *root)
{
    pseudo_clear(root);
    pid_ns_put(root->priv);
}

static const struct pseudo_ops procfs_root_ops = {
    .lookup = procfs_root_lookup, .list = procfs_root_list, .destroy = procfs_root_destroy};

/* self, thread-self: the reader's, which may have no number in the mount's namespace. */
static ssize_t self_text(struct pseudo_node *node, char *buf, size_t n, bool thread)
{
    const struct pid_ns *ns = node->priv;
    u32 tgid = pid_nr(current_process()->pid, ns), tid = pid_nr(current_task()->pid, ns);
    char text[40];
    size_t len = (size_t)(thread ? snprintf(text, sizeof(text), "%u/task/%u", tgid, tid)
                                 : snprintf(text, sizeof(text), "%u", tgid));

    if (!tgid)
        return -ENOENT;
    len = MIN(len, n);
    memcpy(buf, text, len);
    return (ssize_t)len;
}

static ssize_t self_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    return self_text(node, buf, n, false);
}

static ssize_t thread_self_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    return self_text(node, buf, n, true);
}

static const struct pseudo_ops self_ops = {.readlink = self_readlink};
static const struct pseudo_ops thread_self_ops = {.readlink = thread_self_readlink};

/* The links go with the root, and so does the namespace they borrow. */
static bool procfs_root_link(struct pseudo_node *root, const char *name,
                             const struct pseudo_ops *ops)
{
    struct pseudo_node *node = pseudo_create(root, name, S_IFLNK | 0777, ops, root->priv);

    if (node)
        pseudo_put(node);
    return node != NULL;
}

struct pseudo_node *up_proc_root(void)
{
    struct pid_ns *ns = current_task() ? current_pid_ns() : &pid_ns_init;
    struct pseudo_node *root = pseudo_create(NULL, "proc", S_IFDIR | 0555, &procfs_root_ops, ns);

    if (!root)
        return NULL;
    pid_ns_get(ns);
    root->base = pseudo_root("proc");
    if (procfs_root_link(root, "self", &self_ops) &&
        procfs_root_link(root, "thread-self", &thread_self_ops))
        return root;
    pseudo_put(root);
    return NULL;
}
