/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/mounts and mountinfo (proc(5)): the mounts of the task's namespace that lie under its
 * root.
 */
#include "lib/err.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/procfs.h"

#define MS_RDONLY 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define MS_NOEXEC 8
#define MS_NOATIME 1024
#define MS_NODIRATIME 2048
#define MS_RELATIME (1 << 21)

struct mounts_state {
    struct seq *out;
    struct path root;
    char *path, *options;
    bool info;
};

/* A name with blanks, tabs, newlines and backslashes in octal. */
static void mounts_escape(struct seq *out, const char *s)
{
    for (; *s; s++) {
        if (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\\')
            seq_printf(out, "\\%03o", (unsigned)(u8)*s);
        else
            seq_write(out, s, 1);
    }
}

static void mounts_flags(struct seq *out, u32 flags)
{
    static const struct {
        u32 flag;
        const char *name;
    } names[] = {{MS_NOSUID, ",nosuid"},         {MS_NODEV, ",nodev"},
                 {MS_NOEXEC, ",noexec"},         {MS_NOATIME, ",noatime"},
                 {MS_NODIRATIME, ",nodiratime"}, {MS_RELATIME, ",relatime"}};

    seq_printf(out, "%s", flags & MS_RDONLY ? "ro" : "rw");
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (flags & names[i].flag)
            seq_printf(out, "%s", names[i].name);
    }
}

static void mounts_super_options(struct mounts_state *m, struct super *s)
{
    int n = s->ops && s->ops->show_options ? s->ops->show_options(s, m->options, PATH_MAX) : 0;

    if (n > 0)
        seq_write(m->out, m->options, MIN((size_t)n, (size_t)PATH_MAX - 1));
}

static int mounts_one(const struct mount_info *mi, void *arg)
{
    struct mounts_state *m = arg;
    struct seq *out = m->out;
    char *where = path_name(&mi->where, &m->root, m->path, PATH_MAX);

    if (IS_ERR(where) || strstr(where, "(unreachable)"))
        return 0;
    if (m->info) {
        seq_printf(out, "%lu %lu %u:%u ", mi->id, mi->parent_id, (unsigned)(mi->dev >> 8 & 0xfff),
                   (unsigned)(mi->dev & 0xff));
        size_t room = strlen(where) + 1;
        char *copy = kmemdup(where, room);
        if (!copy)
            return -ENOMEM;
        /* What is shown of the file system, as a path from its own root. */
        struct path top = {mi->root_of.mount, mi->super->root};
        char *shown = path_name(&mi->root_of, &top, m->path, PATH_MAX);
        mounts_escape(out, IS_ERR(shown) ? "/" : shown);
        seq_printf(out, " ");
        mounts_escape(out, copy);
        kfree(copy);
        seq_printf(out, " ");
        mounts_flags(out, mi->flags);
        if (mi->propagation_group)
            seq_printf(out, " shared:%u", mi->propagation_group);
        if (mi->master_group)
            seq_printf(out, " master:%u", mi->master_group);
        seq_printf(out, " - %s ", mi->type);
        mounts_escape(out, mi->source && *mi->source ? mi->source : "none");
        seq_printf(out, " %s", mi->super->flags & MS_RDONLY ? "ro" : "rw");
        mounts_super_options(m, mi->super);
        seq_printf(out, "\n");
        return 0;
    }
    mounts_escape(out, mi->source && *mi->source ? mi->source : "none");
    seq_printf(out, " ");
    mounts_escape(out, where);
    seq_printf(out, " %s ", mi->type);
    mounts_flags(out, mi->flags);
    mounts_super_options(m, mi->super);
    seq_printf(out, " 0 0\n");
    return 0;
}

static int mounts_text(struct task *t, struct seq *out, bool info)
{
    struct mounts_state m = {.out = out, .info = info};
    struct nsset *ns = task_nsset(t);
    struct fs_context *fs = task_fs(t);
    struct path cwd;
    int err = ns && fs ? 0 : -EINVAL;

    m.path = kmalloc(PATH_MAX);
    m.options = kmalloc(PATH_MAX);
    if (!err && (!m.path || !m.options))
        err = -ENOMEM;
    if (!err) {
        fs_context_paths(fs, &m.root, &cwd);
        err = mount_ns_for_each(ns->mount, mounts_one, &m);
        path_put(&m.root);
        path_put(&cwd);
    }
    kfree(m.path);
    kfree(m.options);
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
