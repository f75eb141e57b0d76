/* SPDX-License-Identifier: MIT
 *
 * Network interfaces in /sys (Linux Documentation/ABI/testing/sysfs-class-net): a directory for
 * each below the device that it is, /sys/devices/.../net/eth0, or below /sys/devices/virtual/net;
 * links to them in /sys/class/net. A mount shows the namespace that its mounter was in.
 *
 * Nothing is stored: names are looked up anew each time. A node holds a reference to its device and
 * to the namespace; of a device that has gone files are ENODEV.
 */
#include "dev/device.h"
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/core/netsys.h"
#include "vfs/pseudo.h"

#define DT_DIR 4
#define DT_REG 8
#define DT_LNK 10
#define NETSYS_PATH 256

enum netsys_kind {
    NETSYS_BELOW,  /* .../net: the devices of one parent */
    NETSYS_DEVICE, /* .../net/eth0 */
    NETSYS_STATISTICS,
    NETSYS_QUEUES,
    NETSYS_QUEUE, /* rx-0, tx-0 */
    NETSYS_FILE,
    NETSYS_CLASS_LINK, /* /sys/class/net/eth0 */
    NETSYS_SUBSYSTEM,  /* links of a device's directory */
    NETSYS_PARENT,
};

/* priv of a node. ns, dev, parent: references. */
struct netsys_node {
    enum netsys_kind kind;
    struct net_ns *ns;
    struct netdev *dev;              /* NULL: of BELOW */
    const struct device *parent;     /* of BELOW; NULL: virtual */
    const struct netsys_attr *attrs; /* FILE: the one; directories: all */
};

static const struct pseudo_ops netsys_dir_ops, netsys_file_ops, netsys_link_ops;

/* ---- nodes ---- */

static void netsys_destroy(struct pseudo_node *node)
{
    struct netsys_node *n = node->priv;

    if (n->dev)
        netdev_put(n->dev);
    if (n->parent)
        device_put((struct device *)(uintptr_t)n->parent);
    net_ns_put(n->ns);
    kfree(n);
}

static bool netsys_same(const struct pseudo_node *a, const struct pseudo_node *b)
{
    const struct netsys_node *x = a->priv, *y = b->priv;

    return x->kind == y->kind && x->ns == y->ns && x->dev == y->dev && x->parent == y->parent &&
           x->attrs == y->attrs && !strcmp(a->name, b->name);
}

/* Takes the references to dev and parent, of `from`, on failure too. */
static struct pseudo_node *netsys_make(const char *name, u32 mode, const struct pseudo_ops *ops,
                                       const struct netsys_node *from)
{
    struct netsys_node *n = kmemdup(from, sizeof(*from));
    struct pseudo_node *node = n ? pseudo_create(NULL, name, mode, ops, n) : NULL;

    if (node) {
        net_ns_get(from->ns);
        node->revalidate = true;
        return node;
    }
    kfree(n);
    if (from->dev)
        netdev_put(from->dev);
    if (from->parent)
        device_put((struct device *)(uintptr_t)from->parent);
    return ERR_PTR(-ENOMEM);
}

static struct pseudo_node *netsys_dir(const char *name, const struct netsys_node *from)
{
    return netsys_make(name, S_IFDIR | 0755, &netsys_dir_ops, from);
}

/* ---- devices by name and one after another ---- */

static bool netsys_is_below(const struct netdev *dev, const struct device *parent, bool any)
{
    return any || dev->parent == parent;
}

static struct netdev *netsys_named(struct net_ns *ns, const struct device *parent, bool any,
                                   const char *name, size_t len)
{
    char text[NETDEV_NAME] = {0};
    struct netdev *dev;

    if (len >= sizeof(text))
        return NULL;
    memcpy(text, name, len);
    dev = net_device_by_name(ns, text);
    if (!dev || netsys_is_below(dev, parent, any))
        return dev;
    netdev_put(dev);
    return NULL;
}

static int netsys_list_devices(struct net_ns *ns, const struct device *parent, bool any,
                               struct dir_context *ctx)
{
    struct netdev *dev;

    while (ctx->pos < U32_MAX && (dev = net_device_next(ns, (u32)ctx->pos))) {
        bool shown = netsys_is_below(dev, parent, any), more = true;
        char name[NETDEV_NAME];
        u32 index = dev->index;

        net_device_name(dev, name);
        netdev_put(dev);
        if (shown)
            more = ctx->emit(ctx, name, strlen(name), index, any ? DT_LNK : DT_DIR);
        if (!more)
            return 0;
        ctx->pos = index;
        cond_yield();
    }
    return 0;
}

static struct net_ns *netsys_ns(const struct super *s)
{
    return s->priv;
}

/* ---- /sys/class/net ---- */

static struct pseudo_node *netsys_class_lookup(const struct super *s, struct pseudo_node *dir,
                                               const char *name, size_t len)
{
    struct netsys_node n = {.kind = NETSYS_CLASS_LINK, .ns = netsys_ns(s)};
    char text[NETDEV_NAME];

    n.dev = netsys_named(n.ns, NULL, true, name, len);
    if (!n.dev)
        return NULL;
    net_device_name(n.dev, text);
    return netsys_make(text, S_IFLNK | 0777, &netsys_link_ops, &n);
}

static int netsys_class_list(const struct super *s, struct pseudo_node *dir,
                             struct dir_context *ctx)
{
    return netsys_list_devices(netsys_ns(s), NULL, true, ctx);
}

static const struct pseudo_ops netsys_class_ops = {.lookup_in = netsys_class_lookup,
                                                   .list_in = netsys_class_list};
PSEUDO_FILE(sys_class_net) = {"sysfs", "class/net", S_IFDIR | 0755, &netsys_class_ops, NULL};

/* ---- .../net ---- */

static struct pseudo_node *netsys_device_node(struct net_ns *ns, const struct device *parent,
                                              const char *name, size_t len)
{
    struct netsys_node n = {.kind = NETSYS_DEVICE, .ns = ns, .attrs = netsys_attrs};
    char text[NETDEV_NAME];

    n.dev = netsys_named(ns, parent, false, name, len);
    if (!n.dev)
        return NULL;
    net_device_name(n.dev, text);
    return netsys_dir(text, &n);
}

static struct pseudo_node *netsys_virtual_lookup(const struct super *s, struct pseudo_node *dir,
                                                 const char *name, size_t len)
{
    return netsys_device_node(netsys_ns(s), NULL, name, len);
}

static int netsys_virtual_list(const struct super *s, struct pseudo_node *dir,
                               struct dir_context *ctx)
{
    return netsys_list_devices(netsys_ns(s), NULL, false, ctx);
}

static const struct pseudo_ops netsys_virtual_ops = {.lookup_in = netsys_virtual_lookup,
                                                     .list_in = netsys_virtual_list};
PSEUDO_FILE(sys_virtual_net) = {"sysfs", "devices/virtual/net", S_IFDIR | 0755, &netsys_virtual_ops,
                                NULL};

/* The directory of a card's interfaces, if it has any in that mount's namespace. */
static struct pseudo_node *netsys_below(const struct super *s, struct device *parent)
{
    struct netsys_node n = {.kind = NETSYS_BELOW, .ns = netsys_ns(s), .parent = parent};
    struct netdev *dev;
    bool found = false;
    u32 last = 0;

    while (!found && (dev = net_device_next(n.ns, last))) {
        last = dev->index;
        found = dev->parent == parent;
        netdev_put(dev);
    }
    if (!found)
        return NULL;
    device_get(parent);
    return netsys_dir("net", &n);
}
SYS_CLASS(net) = {"net", netsys_below};

/* ---- a device's directory ---- */

/* Directories and links of a device, then its files. */
static const struct {
    const char *name;
    enum netsys_kind kind;
    u8 type;
} netsys_fixed[] = {
    {"statistics", NETSYS_STATISTICS, DT_DIR},
    {"queues", NETSYS_QUEUES, DT_DIR},
    {"subsystem", NETSYS_SUBSYSTEM, DT_LNK},
    {"device", NETSYS_PARENT, DT_LNK},
};

static bool netsys_has(const struct netsys_node *dir, u32 i)
{
    return netsys_fixed[i].kind != NETSYS_PARENT || dir->dev->parent;
}

static struct pseudo_node *netsys_file(const struct netsys_node *dir, const char *name, size_t len)
{
    const struct netsys_attr *a = dir->attrs;
    struct netsys_node n = *dir;

    for (; a && a->name; a++) {
        if (!str_is(a->name, name, len))
            continue;
        n.kind = NETSYS_FILE;
        n.attrs = a;
        netdev_get(n.dev);
        return netsys_make(a->name, S_IFREG | (a->store ? a->show ? 0644 : 0200 : 0444),
                           &netsys_file_ops, &n);
    }
    return NULL;
}

static struct pseudo_node *netsys_in_device(const struct netsys_node *dir, const char *name,
                                            size_t len)
{
    struct netsys_node n = *dir;

    for (u32 i = 0; i < ARRAY_SIZE(netsys_fixed); i++) {
        if (!str_is(netsys_fixed[i].name, name, len) || !netsys_has(dir, i))
            continue;
        n.kind = netsys_fixed[i].kind;
        n.attrs = n.kind == NETSYS_STATISTICS ? netsys_statistics : NULL;
        netdev_get(n.dev);
        return netsys_fixed[i].type == DT_DIR
                   ? netsys_dir(netsys_fixed[i].name, &n)
                   : netsys_make(netsys_fixed[i].name, S_IFLNK | 0777, &netsys_link_ops, &n);
    }
    return netsys_file(dir, name, len);
}

/* The nth of a device's queues: receiving ones first. */
static void netsys_queue_name(const struct netdev *dev, u32 n, char out[16])
{
    bool send = n >= dev->nr_queues;

    snprintf(out, 16, "%s-%u", send ? "tx" : "rx", send ? n - dev->nr_queues : n);
}

static struct pseudo_node *netsys_in_queues(const struct netsys_node *dir, const char *name,
                                            size_t len)
{
    struct netsys_node n = *dir;
    char text[16];

    for (u32 i = 0; i < 2U * n.dev->nr_queues; i++) {
        netsys_queue_name(n.dev, i, text);
        if (!str_is(text, name, len))
            continue;
        n.kind = NETSYS_QUEUE;
        n.attrs = NULL;
        netdev_get(n.dev);
        return netsys_dir(text, &n);
    }
    return NULL;
}

static struct pseudo_node *netsys_lookup(struct pseudo_node *node, const char *name, size_t len)
{
    const struct netsys_node *dir = node->priv;

    switch (dir->kind) {
    case NETSYS_BELOW:
        return netsys_device_node(dir->ns, dir->parent, name, len);
    case NETSYS_DEVICE:
        return netsys_in_device(dir, name, len);
    case NETSYS_STATISTICS:
        return netsys_file(dir, name, len);
    case NETSYS_QUEUES:
        return netsys_in_queues(dir, name, len);
    default:
        return NULL;
    }
}

/* Positions: the fixed ones of a device's directory, then files. */
static int netsys_list_files(const struct netsys_node *dir, u32 fixed, struct dir_context *ctx)
{
    const struct netsys_attr *a = dir->attrs;
    loff_t at = 0;

    for (; at < (loff_t)fixed; at++) {
        if (at < ctx->pos || !netsys_has(dir, (u32)at))
            continue;
        if (!ctx->emit(ctx, netsys_fixed[at].name, strlen(netsys_fixed[at].name), (u64)at + 1,
                       netsys_fixed[at].type))
            return 0;
        ctx->pos = at + 1;
    }
    for (; a && a->name; a++, at++) {
        if (at < ctx->pos)
            continue;
        if (!ctx->emit(ctx, a->name, strlen(a->name), (u64)at + 1, DT_REG))
            return 0;
        ctx->pos = at + 1;
    }
    return 0;
}

static int netsys_list_queues(const struct netsys_node *dir, struct dir_context *ctx)
{
    char name[16];

    for (; ctx->pos < (loff_t)(2 * dir->dev->nr_queues); ctx->pos++) {
        netsys_queue_name(dir->dev, (u32)ctx->pos, name);
        if (!ctx->emit(ctx, name, strlen(name), (u64)ctx->pos + 1, DT_DIR))
            return 0;
    }
    return 0;
}

static int netsys_list(struct pseudo_node *node, struct dir_context *ctx)
{
    const struct netsys_node *dir = node->priv;

    switch (dir->kind) {
    case NETSYS_BELOW:
        return netsys_list_devices(dir->ns, dir->parent, false, ctx);
    case NETSYS_QUEUES:
        return netsys_list_queues(dir, ctx);
    default:
        return netsys_list_files(dir, dir->kind == NETSYS_DEVICE ? ARRAY_SIZE(netsys_fixed) : 0,
                                 ctx);
    }
}

static void netsys_owner(struct pseudo_node *node, kuid_t *uid, kgid_t *gid)
{
    const struct netsys_node *n = node->priv;
    kuid_t root = user_ns_map_uid(n->ns->user_ns, 0);
    kgid_t group = user_ns_map_gid(n->ns->user_ns, 0);

    *uid = root == ID_INVALID ? 0 : root;
    *gid = group == ID_INVALID ? 0 : group;
}

static const struct pseudo_ops netsys_dir_ops = {.lookup = netsys_lookup,
                                                 .list = netsys_list,
                                                 .owner = netsys_owner,
                                                 .destroy = netsys_destroy,
                                                 .same = netsys_same};

/* ---- links ---- */

int net_device_sys_path(struct netdev *dev, const char *name, char *out, u32 n)
{
    int len;

    if (!dev->parent)
        return snprintf(out, n, "devices/virtual/net/%s", name);
    len = device_path(dev->parent, out, n);
    if (len < 0 || (u32)len + sizeof("/net/") + NETDEV_NAME > n)
        return -ENAMETOOLONG;
    return len + snprintf(out + len, n - (u32)len, "/net/%s", name);
}

/* The link's text, of a device that is there: so its parent is. */
static int netsys_link_text(const struct netsys_node *n, char *text, u32 size)
{
    char path[NETSYS_PATH], name[NETDEV_NAME];
    unsigned ups;
    int len = 0;

    if (n->kind == NETSYS_PARENT)
        return snprintf(text, size, "../../../%s", n->dev->parent->name);
    if (n->kind == NETSYS_CLASS_LINK) {
        net_device_name(n->dev, name);
        len = net_device_sys_path(n->dev, name, path, sizeof(path));
        return len < 0 ? len : snprintf(text, size, "../../%s", path);
    }
    ups = n->dev->parent ? device_path_depth(n->dev->parent) + 2 : 4;
    for (unsigned i = 0; i < ups && (u32)len + 16 < size; i++)
        len += snprintf(text + len, size - (u32)len, "../");
    return len + snprintf(text + len, size - (u32)len, "class/net");
}

/* Under the namespace's config a device that has not begun to go does not end, nor does what it is
 * of. */
static ssize_t netsys_readlink(struct pseudo_node *node, char *buf, size_t size)
{
    const struct netsys_node *n = node->priv;
    char text[NETSYS_PATH + 32];
    int len = -ENODEV;

    net_config_lock(n->ns);
    if (!(READ_ONCE(n->dev->flags) & NETDEV_GONE))
        len = netsys_link_text(n, text, sizeof(text));
    net_config_unlock(n->ns);
    if (len < 0 || (size_t)len > size)
        return len < 0 ? len : -ENAMETOOLONG;
    memcpy(buf, text, (size_t)len);
    return len;
}

static const struct pseudo_ops netsys_link_ops = {
    .readlink = netsys_readlink, .destroy = netsys_destroy, .same = netsys_same};

/* ---- files ---- */

static int netsys_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct netsys_node *n = node->priv;

    if (READ_ONCE(n->dev->flags) & NETDEV_GONE)
        return -ENODEV;
    return n->attrs->show ? n->attrs->show(n->dev, n->attrs, out) : -EIO;
}

static ssize_t netsys_store(struct pseudo_node *node, char *text, size_t len,
                            const struct cred *cred)
{
    const struct netsys_node *n = node->priv;
    int err;

    if (!n->attrs->store)
        return -EIO;
    if (!cred_capable(cred, n->ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    err = READ_ONCE(n->dev->flags) & NETDEV_GONE ? -ENODEV : n->attrs->store(n->dev, text);
    return err ? err : (ssize_t)len;
}

static const struct pseudo_ops netsys_file_ops = {.show = netsys_show,
                                                  .store = netsys_store,
                                                  .owner = netsys_owner,
                                                  .destroy = netsys_destroy,
                                                  .same = netsys_same};
