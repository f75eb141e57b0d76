/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/fd and fdinfo: links to what descriptors name, and pipes opened again.
 */
#include "lib/err.h"
#include "lib/format.h"
#include "lib/string.h"
#include "proc/fdtable.h"
#include "proc/procfs.h"

/* fd/N */
static struct file *pid_fd_file(struct pid_node *pn, u32 fd)
{
    struct fd_table *files = task_files(pn->task);
    struct file *f = files ? fd_table_file(files, fd) : NULL;

    if (files)
        fd_table_put(files);
    return f;
}

/* The same for whom may look into the process, which an exec may have changed since the link was
 * found: asked again once the file is in hand. ERR_PTR. */
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
    struct file *f = pid_fd_inspect(pn, pn->number);
    ssize_t r;

    if (IS_ERR(f))
        return PTR_ERR(f);
    if (f->dentry) {
        struct path p = {f->mount, f->dentry};
        r = procfs_path_text(&p, buf, n);
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
        node = pid_node_create(pn->ns, found, S_IFREG | 0600, &reopen_ops, pn->task, 0);
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
    struct file *f = pid_fd_inspect(pn, pn->number);
    char extra[512];

    if (IS_ERR(f))
        return PTR_ERR(f);
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
    bool info = dir->ops == &procfs_fdinfo_ops;
    char text[16];
    u32 fd;

    bool pipe = !info && len > 6 && memcmp(name, "pipe:[", 6) == 0;
    if (!pipe && !procfs_number(name, len, &fd))
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
    return info ? pid_node_create(pn->ns, text, S_IFREG | 0444, &fdinfo_ops, pn->task, fd)
                : pid_node_create(pn->ns, text, S_IFLNK | mode, link, pn->task, fd);
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

const struct pseudo_ops procfs_fd_ops = {
    .lookup = fd_lookup, .list = fd_list, .owner = pid_node_owner, .destroy = pid_node_destroy};
const struct pseudo_ops procfs_fdinfo_ops = {
    .lookup = fd_lookup, .list = fd_list, .owner = pid_node_owner, .destroy = pid_node_destroy};
