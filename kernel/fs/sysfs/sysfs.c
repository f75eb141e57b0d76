/* SPDX-License-Identifier: MIT
 *
 * The sysfs type, and the nodes of the view on devices, buses, drivers and classes (view.h).
 */
#include "fs/sysfs/view.h"
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"

#define CLASSES_AT (1LL << 60) /* position of the first directory of a class, behind all views */

TABLE_DECLARE(struct sys_class, sys_classes);

static struct pseudo_node *view_lookup(const struct super *s, struct pseudo_node *node,
                                       const char *name, size_t len);
static int view_list(const struct super *s, struct pseudo_node *node, struct dir_context *ctx);

static const struct pseudo_ops view_dir_ops = {
    .lookup_in = view_lookup, .list_in = view_list, .destroy = view_destroy};

static bool view_is_link(const struct view *v)
{
    return v->kind >= VIEW_LINK_DEVICE;
}

static u32 view_mode(const struct view *v)
{
    if (v->kind < VIEW_DIRECTORIES)
        return S_IFDIR | 0755;
    if (view_is_link(v))
        return S_IFLNK | 0777;
    if (v->attr)
        return S_IFREG | v->attr->mode;
    return S_IFREG | (v->kind == VIEW_BIND || v->kind == VIEW_UNBIND ? 0200 : 0444);
}

/* Takes v's reference. */
static struct pseudo_node *view_node(const struct view *v)
{
    const struct pseudo_ops *ops = v->kind < VIEW_DIRECTORIES ? &view_dir_ops
                                   : view_is_link(v)          ? &view_link_ops
                                   : v->kind == VIEW_BINARY   ? &view_binary_ops
                                                              : &view_text_ops;
    struct view *copy = kmemdup(v, sizeof(*v));
    struct pseudo_node *node = copy ? pseudo_create(NULL, v->name, view_mode(v), ops, copy) : NULL;

    if (node)
        return node;
    kfree(copy);
    if (v->dev)
        device_put(v->dev);
    return ERR_PTR(-ENOMEM);
}

/* Of a class that is not the registry's. */
static struct pseudo_node *view_class_below(const struct super *s, const struct view *dir,
                                            const char *name, size_t len)
{
    const struct sys_class *c;

    TABLE_FOR_EACH(c, sys_classes)
    if (str_is(c->name, name, len))
        return c->below(s, dir->dev);
    return NULL;
}

static struct pseudo_node *view_lookup(const struct super *s, struct pseudo_node *node,
                                       const char *name, size_t len)
{
    const struct view *dir = node->priv;
    struct view v;

    for (loff_t cursor = 0; view_child(dir, &cursor, &v);) {
        if (str_is(v.name, name, len))
            return view_node(&v);
        if (v.dev)
            device_put(v.dev);
    }
    return dir->kind == VIEW_DEVICE ? view_class_below(s, dir, name, len) : NULL;
}

static int view_list_classes(const struct super *s, const struct view *dir, struct dir_context *ctx)
{
    const struct sys_class *c;
    loff_t at = CLASSES_AT;

    TABLE_FOR_EACH(c, sys_classes)
    {
        struct pseudo_node *below = at >= ctx->pos ? c->below(s, dir->dev) : NULL;
        bool there = below && !IS_ERR(below);

        if (there)
            pseudo_put(below);
        at++;
        if (there && !ctx->emit(ctx, c->name, strlen(c->name), (u64)at, S_IFDIR >> 12))
            return 0;
        ctx->pos = MAX(ctx->pos, at);
    }
    return 0;
}

static int view_list(const struct super *s, struct pseudo_node *node, struct dir_context *ctx)
{
    const struct view *dir = node->priv;
    loff_t cursor = ctx->pos;
    struct view v;

    while (cursor < CLASSES_AT && view_child(dir, &cursor, &v)) {
        bool more = ctx->emit(ctx, v.name, strlen(v.name), (u64)cursor + 1, view_mode(&v) >> 12);

        if (v.dev)
            device_put(v.dev);
        if (!more)
            return 0;
        ctx->pos = cursor;
    }
    return dir->kind == VIEW_DEVICE ? view_list_classes(s, dir, ctx) : 0;
}

static struct view view_devices = {.kind = VIEW_DEVICES}, view_buses = {.kind = VIEW_BUSES},
                   view_classes = {.kind = VIEW_CLASSES};
/* These stay: their priv is not the heap's. */
static const struct pseudo_ops view_top_ops = {.lookup_in = view_lookup, .list_in = view_list};
PSEUDO_FILE(sys_devices) = {"sysfs", "devices", S_IFDIR | 0755, &view_top_ops, &view_devices};
PSEUDO_FILE(sys_bus) = {"sysfs", "bus", S_IFDIR | 0755, &view_top_ops, &view_buses};
PSEUDO_FILE(sys_class) = {"sysfs", "class", S_IFDIR | 0755, &view_top_ops, &view_classes};

/* ------------------------------------------------------------- the type */

static void sysfs_root_destroy(struct pseudo_node *node)
{
    up_sysfs_net_put(node->priv);
}

static const struct pseudo_ops sysfs_root_ops = {.destroy = sysfs_root_destroy};

/* A root of the mount's own, which has its net namespace. */
static int sysfs_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                       unsigned flags, const char *options, struct super **out)
{
    int err = fs_no_options(options);
    struct pseudo_node *root;
    void *net;

    if (err)
        return err;
    net = up_sysfs_net();
    root = pseudo_create(NULL, "sysfs", S_IFDIR | 0555, &sysfs_root_ops, net);
    if (!root) {
        up_sysfs_net_put(net);
        return -ENOMEM;
    }
    root->base = pseudo_root("sysfs");
    err = pseudo_super(type, root, net, out);
    pseudo_put(root);
    return err;
}

FS_TYPE(sysfs)
= {.name = "sysfs", .mount = sysfs_mount, .user_ns_ok = true};
