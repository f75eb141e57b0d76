/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net: what kernel/net shows of the task's net namespace (NET_FILE); /proc/net is the
 * reader's own.
 */
#include "lib/err.h"
#include "lib/string.h"
#include "net/core/ns.h"
#include "proc/nsset.h"
#include "proc/procfs.h"

TABLE_DECLARE(struct net_file, net_files);

static unsigned net_file_count(void)
{
    return (unsigned)(__table_net_files_end - __table_net_files);
}

/* The namespace may have gone with the task. */
static int net_file_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct pid_node *pn = node->priv;
    struct nsset *set = task_nsset(pn->task);
    int err;

    if (!set)
        return -ESRCH;
    err = __table_net_files[pn->number].show(set->net, out);
    nsset_put(set);
    return err;
}

static const struct pseudo_ops net_file_ops = {
    .show = net_file_show, .owner = pid_node_owner, .destroy = pid_node_destroy};

static struct pseudo_node *net_dir_lookup(struct pseudo_node *dir, const char *name, size_t len)
{
    const struct pid_node *pn = dir->priv;

    for (unsigned i = 0; i < net_file_count(); i++) {
        const char *have = __table_net_files[i].name;

        if (strlen(have) == len && memcmp(have, name, len) == 0)
            return pid_node_create(pn->ns, have, S_IFREG | 0444, &net_file_ops, pn->task, i);
    }
    return NULL;
}

static int net_dir_list(struct pseudo_node *dir, struct dir_context *ctx)
{
    for (; ctx->pos < (loff_t)net_file_count(); ctx->pos++) {
        const char *name = __table_net_files[ctx->pos].name;

        if (!ctx->emit(ctx, name, strlen(name), (u64)ctx->pos + 1, 8))
            return 0;
    }
    return 0;
}

const struct pseudo_ops procfs_net_ops = {.lookup = net_dir_lookup,
                                          .list = net_dir_list,
                                          .owner = pid_node_owner,
                                          .destroy = pid_node_destroy};

static ssize_t net_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    size_t len = MIN(n, sizeof("self/net") - 1);

    memcpy(buf, "self/net", len);
    return (ssize_t)len;
}

static const struct pseudo_ops net_link_ops = {.readlink = net_readlink};
PSEUDO_FILE(net) = {"proc", "net", S_IFLNK | 0777, &net_link_ops, NULL};
