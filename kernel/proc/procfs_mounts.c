/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/mounts and mountinfo (proc(5)): the mounts of the task's namespace that lie under its
 * root.
 */
#include "lib/err.h"
#include "lib/string.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/procfs.h"

static int mounts_text(struct task *t, struct seq *out, bool info)
{
    struct nsset *ns = task_nsset(t);
    struct fs_context *fs = task_fs(t);
    struct path root, cwd;
    int err = -EINVAL;

    if (ns && fs) {
        fs_context_paths(fs, &root, &cwd);
        err = mount_ns_show(ns->mount, &root, out, info);
        path_put(&root);
        path_put(&cwd);
    }
    if (fs)
        fs_context_put(fs);
    if (ns)
        nsset_put(ns);
    return err;
}

int procfs_mounts_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    return mounts_text(pid_node_task(node), out, false);
}

int procfs_mountinfo_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    return mounts_text(pid_node_task(node), out, true);
}

u32 procfs_mounts_poll(struct pseudo_node *node, struct file *f, struct poll_table *pt)
{
    struct nsset *ns = task_nsset(pid_node_task(node));
    u32 mask = ns ? mount_ns_poll(ns->mount, f, pt) : POLLERR;

    if (ns)
        nsset_put(ns);
    return mask;
}

/* /proc/mounts: a link into the caller's own directory. */
static ssize_t mounts_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    static const char text[] = "self/mounts";
    size_t len = MIN(sizeof(text) - 1, n);

    memcpy(buf, text, len);
    return (ssize_t)len;
}
static const struct pseudo_ops mounts_link_ops = {.readlink = mounts_readlink};
PSEUDO_FILE(mounts) = {"proc", "mounts", S_IFLNK | 0777, &mounts_link_ops, NULL};
