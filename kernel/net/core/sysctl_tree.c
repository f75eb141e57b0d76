/* SPDX-License-Identifier: MIT
 *
 * /proc/sys/net as a tree. A directory is a path so far, with "*" or "+" in place of a device's
 * component, and what that component was. It has what the rows with that path have next.
 */
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/core/sysctl.h"
#include "net/core/up.h"
#include "obj/cred.h"
#include "vfs/pseudo.h"

#define DT_DIR 4
#define DT_REG 8

TABLE_DECLARE(struct net_sysctls, net_sysctl_tables);

/* priv of a node. at.ns and at.dev: references. */
struct sysctl_node {
    struct net_sysctl_at at;
    const struct net_sysctl *row; /* of a directory: one that is below it */
    u32 len;                      /* of a directory: bytes of row's path that lead to it */
};

static const struct pseudo_ops sysctl_dir_ops, sysctl_file_ops;

/* ---- rows ---- */

static const struct net_sysctl *sysctl_row(u32 n)
{
    const struct net_sysctls *t;

    TABLE_FOR_EACH(t, net_sysctl_tables)
    {
        if (n < t->nr)
            return &t->rows[n];
        n -= t->nr;
    }
    return NULL;
}

/* The row's component behind dir's path: where it begins, NULL if it does not lie below dir. */
static const char *sysctl_below(const struct net_sysctl *row, const struct sysctl_node *dir,
                                u32 *len)
{
    const char *name = row->path, *end;

    if ((row->host && dir->at.ns != net_ns_init) || (row->defaulted && !dir->at.first))
        return NULL;
    if (dir->len) {
        if (strncmp(row->path, dir->row->path, dir->len) || row->path[dir->len] != '/')
            return NULL;
        name += dir->len + 1;
    }
    end = strchr(name, '/');
    *len = end ? (u32)(end - name) : (u32)strlen(name);
    return name;
}

static bool sysctl_is_devices(const char *name, u32 len)
{
    return len == 1 && (*name == '*' || *name == '+');
}

/* ---- nodes ---- */

static void sysctl_destroy(struct pseudo_node *node)
{
    struct sysctl_node *n = node->priv;

    if (n->at.dev)
        netdev_put(n->at.dev);
    net_ns_put(n->at.ns);
    kfree(n);
}

static bool sysctl_same(const struct pseudo_node *a, const struct pseudo_node *b)
{
    const struct sysctl_node *x = a->priv, *y = b->priv;

    return x->at.ns == y->at.ns && x->at.dev == y->at.dev && x->at.first == y->at.first &&
           x->len == y->len && !strncmp(x->row->path, y->row->path, x->len);
}

/* at.dev: the caller's reference, taken also on failure. */
static struct pseudo_node *sysctl_node(const char *name, const struct net_sysctl_at *at,
                                       const struct net_sysctl *row, u32 len)
{
    bool file = !row->path[len];
    u32 mode = !file ? S_IFDIR | 0555 : S_IFREG | (row->read_only ? 0444 : 0644);
    struct sysctl_node *n = kmalloc(sizeof(*n));
    struct pseudo_node *node = NULL;

    if (n) {
        *n = (struct sysctl_node){*at, row, len};
        node = pseudo_create(NULL, name, mode, file ? &sysctl_file_ops : &sysctl_dir_ops, n);
    }
    if (!node) {
        kfree(n);
        if (at->dev)
            netdev_put(at->dev);
        return ERR_PTR(-ENOMEM);
    }
    net_ns_get(at->ns);
    node->revalidate = true; /* another namespace has others, devices go */
    return node;
}

/* The component of devices, by a name that a program gave. */
static struct pseudo_node *sysctl_find_device(const struct sysctl_node *dir,
                                              const struct net_sysctl *row, u32 end,
                                              const char *name, size_t len)
{
    struct net_sysctl_at at = dir->at;
    char text[NETDEV_NAME] = {0};

    if (len >= sizeof(text))
        return NULL;
    memcpy(text, name, len);
    at.first = !strcmp(text, "default");
    if (!at.first && (strcmp(text, "all") || row->path[end - 1] == '+')) {
        at.dev = net_device_by_name(at.ns, text);
        if (!at.dev)
            return NULL;
    }
    return sysctl_node(text, &at, row, end);
}

static struct pseudo_node *sysctl_find(const struct sysctl_node *dir, const char *name, size_t len)
{
    const struct net_sysctl *row;
    struct net_sysctl_at at = dir->at;
    char text[64] = {0};

    if (len >= sizeof(text))
        return NULL;
    for (u32 i = 0; (row = sysctl_row(i)); i++) {
        u32 n, end;
        const char *next = sysctl_below(row, dir, &n);

        if (!next)
            continue;
        end = (u32)(next - row->path) + n;
        if (sysctl_is_devices(next, n))
            return sysctl_find_device(dir, row, end, name, len);
        if (n != len || memcmp(next, name, n))
            continue;
        memcpy(text, name, len);
        if (at.dev)
            netdev_get(at.dev);
        return sysctl_node(text, &at, row, end);
    }
    return NULL;
}

/* ---- listing ---- */

/* all 0, default 1, then 1 + the index of a device. */
static int sysctl_list_devices(const struct sysctl_node *dir, bool all, struct dir_context *ctx)
{
    struct netdev *dev;

    if (ctx->pos == 0) {
        if (all && !ctx->emit(ctx, "all", 3, 1, DT_DIR))
            return 0;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        if (!ctx->emit(ctx, "default", 7, 1, DT_DIR))
            return 0;
        ctx->pos = 2;
    }
    while (ctx->pos - 2 < U32_MAX && (dev = net_device_next(dir->at.ns, (u32)(ctx->pos - 2)))) {
        char name[NETDEV_NAME] = {0};
        loff_t next = (loff_t)dev->index + 2;
        bool more;

        net_device_name(dev, name);
        netdev_put(dev);
        more = ctx->emit(ctx, name, strlen(name), (u64)next, DT_DIR);
        if (!more)
            return 0;
        ctx->pos = next;
    }
    return 0;
}

/* A row before the nth has the same component there. */
static bool sysctl_was_listed(const struct sysctl_node *dir, u32 nth, const char *name, u32 len)
{
    for (u32 i = 0; i < nth; i++) {
        u32 n;
        const char *other = sysctl_below(sysctl_row(i), dir, &n);

        if (other && n == len && !memcmp(other, name, n))
            return true;
    }
    return false;
}

static int sysctl_list_rows(const struct sysctl_node *dir, struct dir_context *ctx)
{
    const struct net_sysctl *row;

    for (; ctx->pos < U32_MAX && (row = sysctl_row((u32)ctx->pos)); ctx->pos++) {
        u32 n;
        const char *name = sysctl_below(row, dir, &n);

        if (!name || sysctl_was_listed(dir, (u32)ctx->pos, name, n))
            continue;
        if (!ctx->emit(ctx, name, n, (u64)ctx->pos + 1, name[n] ? DT_DIR : DT_REG))
            return 0;
    }
    return 0;
}

static int sysctl_list(struct pseudo_node *node, struct dir_context *ctx)
{
    const struct sysctl_node *dir = node->priv;
    const char *next;
    u32 n;

    next = sysctl_below(dir->row, dir, &n);
    return sysctl_is_devices(next, n) ? sysctl_list_devices(dir, *next == '*', ctx)
                                      : sysctl_list_rows(dir, ctx);
}

static struct pseudo_node *sysctl_lookup(struct pseudo_node *node, const char *name, size_t len)
{
    return sysctl_find(node->priv, name, len);
}

/* ---- the top: of the process that looks ---- */

static struct pseudo_node *sysctl_top_lookup(struct pseudo_node *node, const char *name, size_t len)
{
    struct sysctl_node top = {.at.ns = up_current_net_ns()};

    return sysctl_find(&top, name, len);
}

static int sysctl_top_list(struct pseudo_node *node, struct dir_context *ctx)
{
    struct sysctl_node top = {.at.ns = up_current_net_ns()};

    return sysctl_list_rows(&top, ctx);
}

/* ---- files ---- */

static bool sysctl_is_admin(const struct net_ns *ns, const struct cred *cred)
{
    return cred_capable(cred, ns->user_ns, CAP_NET_ADMIN) ||
           cred->euid == user_ns_map_uid(ns->user_ns, 0);
}

static int sysctl_permission(struct pseudo_node *node, const struct cred *cred, int mask)
{
    const struct sysctl_node *n = node->priv;
    u32 bits = node->mode;

    if (sysctl_is_admin(n->at.ns, cred))
        bits >>= 6;
    else if (cred_in_group(cred, user_ns_map_gid(n->at.ns->user_ns, 0)))
        bits >>= 3;
    return (u32)mask & ~bits & 7 ? -EACCES : 0;
}

static void sysctl_owner(struct pseudo_node *node, kuid_t *uid, kgid_t *gid)
{
    const struct sysctl_node *n = node->priv;
    kuid_t root = user_ns_map_uid(n->at.ns->user_ns, 0);
    kgid_t group = user_ns_map_gid(n->at.ns->user_ns, 0);

    *uid = root == ID_INVALID ? 0 : root;
    *gid = group == ID_INVALID ? 0 : group;
}

static bool sysctl_has_gone(const struct sysctl_node *n)
{
    return n->at.dev && (READ_ONCE(n->at.dev->flags) & NETDEV_GONE);
}

static int sysctl_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct sysctl_node *n = node->priv;

    if (sysctl_has_gone(n))
        return -ENOENT;
    net_sysctl_show(n->row, &n->at, out);
    return 0;
}

static ssize_t sysctl_store(struct pseudo_node *node, char *text, size_t len,
                            const struct cred *cred)
{
    const struct sysctl_node *n = node->priv;
    int err = sysctl_has_gone(n) ? -ENOENT : net_sysctl_store(n->row, &n->at, text);

    return err ? err : (ssize_t)len;
}

static const struct pseudo_ops sysctl_file_ops = {.show = sysctl_show,
                                                  .store = sysctl_store,
                                                  .permission = sysctl_permission,
                                                  .owner = sysctl_owner,
                                                  .destroy = sysctl_destroy,
                                                  .same = sysctl_same};
static const struct pseudo_ops sysctl_dir_ops = {.lookup = sysctl_lookup,
                                                 .list = sysctl_list,
                                                 .owner = sysctl_owner,
                                                 .destroy = sysctl_destroy,
                                                 .same = sysctl_same};
static const struct pseudo_ops sysctl_top_ops = {.lookup = sysctl_top_lookup,
                                                 .list = sysctl_top_list};
PSEUDO_FILE(sys_net) = {"proc", "sys/net", S_IFDIR | 0555, &sysctl_top_ops, NULL};
