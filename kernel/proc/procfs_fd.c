/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/fd and fdinfo: links to what descriptors name, with or without a path.
 */
#include "lib/err.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/fdtable.h"
#include "proc/procfs.h"

#define FDINFO_MAX 16384 /* of what a kind of file tells of itself */

/* fd/N */
static struct file *pid_fd_file(struct pid_node *pn, u32 fd)
{
    struct fd_table *files = task_files(pn->task);
    struct file *f = files ? fd_table_file(files, fd) : NULL;

    if (files)
        fd_table_put(files);
    return f;
}

/* The same if current may look into the process, asked once the file is in hand: an exec may have
 * changed that since the link was found. ERR_PTR: -ENOENT, -EACCES. */
static struct file *pid_fd_inspect(struct pid_node *pn, u32 fd)
{
    struct file *f = pid_fd_file(pn, fd);

    if (!f)
        return ERR_PTR(-ENOENT);
    if (process_may_inspect(pn->task->process))
        return f;
    file_put(f);
    return ERR_PTR(-EACCES);
}

static int fd_follow(struct pseudo_node *node, const struct cred *cred, struct path *out)
{
    struct pid_node *pn = node->priv;
    struct file *f = pid_fd_inspect(pn, pn->number);

    if (IS_ERR(f))
        return PTR_ERR(f);
    int err = file_get_path(f, out);

    file_put(f);
    return err;
}

static ssize_t fd_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    struct pid_node *pn = node->priv;
    struct file *f = pid_fd_inspect(pn, pn->number);
    ssize_t r;

    if (IS_ERR(f))
        return PTR_ERR(f);
    if (f->dentry) {
        struct path p = {f->mount, f->dentry};
        r = procfs_path_text(&p, buf, n);
    } else {
        char text[64];
        size_t len = file_anon_text(f, text, sizeof(text));
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

static int fdinfo_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct pid_node *pn = node->priv;
    struct file *f = pid_fd_inspect(pn, pn->number);
    struct kstat st = {0};
    char *extra;

    if (IS_ERR(f))
        return PTR_ERR(f);
    (void)file_stat(f, &st);
    seq_printf(out, "pos:\t%ld\nflags:\t0%o\nmnt_id:\t%lu\nino:\t%lu\n", f->pos, f->flags,
               st.mount_id, st.ino);
    extra = f->ops->fdinfo ? kmalloc(FDINFO_MAX) : NULL;
    if (extra) {
        int n = f->ops->fdinfo(f, extra, FDINFO_MAX);
        if (n > 0)
            seq_write(out, extra, (size_t)n);
        kfree(extra);
    }
    file_put(f);
    return 0;
}

static const struct pseudo_ops fdinfo_ops = {
    .show = fdinfo_show, .owner = pid_node_owner, .destroy = pid_node_destroy};

static struct pseudo_node *fd_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    struct pid_node *pn = dir->priv;
    bool info = dir->ops == &procfs_fdinfo_ops;
    char text[16];
    u32 fd;

    if (!procfs_number(name, len, &fd))
        return NULL;
    if (!process_may_inspect(pn->task->process))
        return ERR_PTR(-EACCES);
    struct file *f = pid_fd_file(pn, fd);
    if (!f)
        return NULL;
    u32 mode = (file_readable(f) ? 0500u : 0) | (file_writable(f) ? 0300 : 0);
    file_put(f);
    snprintf(text, sizeof(text), "%u", fd);
    return info ? pid_node_create(pn->ns, text, S_IFREG | 0444, &fdinfo_ops, pn->task, fd)
                : pid_node_create(pn->ns, text, S_IFLNK | mode, &fd_link_ops, pn->task, fd);
}

static int fd_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    struct pid_node *pn = dir->priv;
    struct fd_table *files = task_files(pn->task);
    u32 from = ctx->pos >= PROCFS_DIR_BASE ? (u32)(ctx->pos - PROCFS_DIR_BASE) : 0;
    char name[16];
    int fd;

    if (!files)
        return 0;
    while ((fd = fd_table_next(files, from)) >= 0) {
        ctx->pos = PROCFS_DIR_BASE + fd;
        size_t n = (size_t)snprintf(name, sizeof(name), "%d", fd);
        if (!ctx->emit(ctx, name, n, PROCFS_DIR_BASE + (u64)fd,
                       dir->ops == &procfs_fd_ops ? 10 : 8))
            break;
        from = (u32)fd + 1;
        ctx->pos = PROCFS_DIR_BASE + from;
    }
    fd_table_put(files);
    return 0;
}

/* A process may always open its own, though it may have become another user: /dev/stdout leads
 * there. */
static int fd_permission(struct pseudo_node *node, const struct cred *cred, int mask)
{
    if (pid_node_task(node)->process == current_process() && !(mask & 2))
        return 0;
    return pseudo_may(node, cred, mask);
}

const struct pseudo_ops procfs_fd_ops = {.lookup = fd_lookup,
                                         .list = fd_list,
                                         .permission = fd_permission,
                                         .owner = pid_node_owner,
                                         .destroy = pid_node_destroy};
const struct pseudo_ops procfs_fdinfo_ops = {.lookup = fd_lookup,
                                             .list = fd_list,
                                             .permission = fd_permission,
                                             .owner = pid_node_owner,
                                             .destroy = pid_node_destroy};
