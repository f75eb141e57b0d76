/* SPDX-License-Identifier: MIT
 *
 * cgroup v2 as a file system: views on the tree in container/ (Linux Documentation/admin-guide/
 * cgroup-v2). A directory is a group, made by mkdir and removed by rmdir; its files
 * (cgroupfs_files.c) are computed nodes. What a group is not offered (its parent's
 * cgroup.subtree_control) has no files in it.
 */
#include "lib/err.h"
#include "lib/string.h"
#include "linux/cgroupfs.h"
#include "proc/fdtable.h"
#include "proc/nsset.h"
#include "proc/proc.h"
#include "proc/up.h"

#define LIST_CHILDREN 4096 /* positions of child groups: this plus their id */

static const struct pseudo_ops cgroup_dir_ops;

void cg_destroy(struct pseudo_node *node)
{
    cgroup_put(node->priv);
}

static bool cg_file_shown(const struct cgroup *cg, const struct cgroup_file *f)
{
    if (!cg->parent)
        return !f->not_root;
    return !f->controller || (READ_ONCE(cg->parent->subtree_control) & f->controller);
}

/* Consumes the group's reference. */
static struct pseudo_node *cg_node(const char *name, u32 mode, const struct pseudo_ops *ops,
                                   struct cgroup *cg)
{
    struct pseudo_node *node = pseudo_create(NULL, name, mode, ops, cg);

    if (!node) {
        cgroup_put(cg);
        return ERR_PTR(-ENOMEM);
    }
    node->revalidate = true;
    return node;
}

static struct pseudo_node *cg_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct cgroup *cg = cg_of(dir), *child;

    if (cg->dead)
        return NULL;
    for (unsigned i = 0; i < cgroup_file_count; i++) {
        const struct cgroup_file *f = &cgroup_files[i];

        if (str_is(f->name, name, len) && cg_file_shown(cg, f)) {
            cgroup_get(cg);
            return cg_node(f->name, S_IFREG | f->mode, &f->ops, cg);
        }
    }
    child = cgroup_child(cg, name, len);
    return child ? cg_node(child->name, S_IFDIR | 0755, &cgroup_dir_ops, child) : NULL;
}

static int cg_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    struct cgroup *cg = cg_of(dir), *child;

    for (; ctx->pos < (loff_t)cgroup_file_count; ctx->pos++) {
        const struct cgroup_file *f = &cgroup_files[ctx->pos];

        if (cg_file_shown(cg, f) && !ctx->emit(ctx, f->name, strlen(f->name), 1 + (u64)ctx->pos, 8))
            return 0;
    }
    ctx->pos = MAX(ctx->pos, (loff_t)LIST_CHILDREN);
    while ((child = cgroup_next_child(cg, (u64)(ctx->pos - LIST_CHILDREN)))) {
        bool more = ctx->emit(ctx, child->name, strlen(child->name), child->id + LIST_CHILDREN, 4);

        if (more)
            ctx->pos = LIST_CHILDREN + (loff_t)child->id;
        cgroup_put(child);
        if (!more)
            return 0;
    }
    return 0;
}

static int cg_mkdir(struct pseudo_node *dir, const char *name, u32 mode)
{
    struct cgroup *cg;
    int err = cgroup_create(cg_of(dir), name, &cg);

    if (!err)
        cgroup_put(cg);
    return err;
}

static int cg_rmdir(struct pseudo_node *dir, struct pseudo_node *child)
{
    return S_ISDIR(child->mode) ? cgroup_remove(cg_of(child)) : -EPERM;
}

static const struct pseudo_ops cgroup_dir_ops = {
    .lookup = cg_lookup,
    .list = cg_list,
    .mkdir = cg_mkdir,
    .rmdir = cg_rmdir,
    .destroy = cg_destroy,
};

/* A mount shows the tree from the root of the mounter's cgroup namespace. */
static int cgroup2_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                         unsigned flags, const char *options, struct super **out)
{
    struct cgroup *root = current_task()->ns->cgroup->root;
    struct pseudo_node *node;
    int err = fs_no_options(options);

    if (err)
        return err;
    cgroup_get(root);
    node = cg_node("/", S_IFDIR | 0755, &cgroup_dir_ops, root);
    if (IS_ERR(node))
        return PTR_ERR(node);
    err = pseudo_super(type, node, NULL, out);
    pseudo_put(node);
    return err;
}

FS_TYPE(cgroup2)
= {.name = "cgroup2", .mount = cgroup2_mount, .user_ns_ok = true};

/* CLONE_INTO_CGROUP: asks for what moving there would. */
struct cgroup *up_cgroup_of_fd(int fd)
{
    struct fd_hold h = fd_hold_raw(fd);
    struct cgroup *cg = ERR_PTR(-EBADF);

    if (!h.file)
        return cg;
    if (h.file->inode && S_ISDIR(h.file->inode->mode) && h.file->inode->super->type &&
        strcmp(h.file->inode->super->type->name, "cgroup2") == 0) {
        int err = inode_permission(h.file->inode, current_cred(), 2);

        cg = cg_of(pseudo_of_file(h.file));
        if (!err && READ_ONCE(cg->dead))
            err = -ENOENT;
        if (err)
            cg = ERR_PTR(err);
        else
            cgroup_get(cg);
    }
    fd_release(h);
    return cg;
}

/* /proc/cgroups (cgroups(7)): what is there, and that none is mounted as version 1. */
static int cgroups_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    static const char *const names[] = {"cpuset", "cpu", "cpuacct", "memory", "devices", "pids"};

    seq_printf(out, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        seq_printf(out, "%s\t0\t%lu\t1\n", names[i], cgroup_count());
    return 0;
}

static const struct pseudo_ops cgroups_ops = {.show = cgroups_show};
PSEUDO_FILE(cgroups) = {"proc", "cgroups", 0444, &cgroups_ops, NULL};
