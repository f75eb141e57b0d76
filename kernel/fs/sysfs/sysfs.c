/* SPDX-License-Identifier: MIT
 *
 * The sysfs type, and the nodes of the view on devices, buses, drivers and classes (view.h).
 */
#include "fs/sysfs/view.h"
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"

static struct pseudo_node *view_lookup(struct pseudo_node *node, const char *name, size_t len);
static int view_list(struct pseudo_node *node, struct dir_context *ctx);

static const struct pseudo_ops view_dir_ops = {
    .lookup = view_lookup, .list = view_list, .destroy = view_destroy};

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

static struct pseudo_node *view_lookup(struct pseudo_node *node, const char *name, size_t len)
{
    struct view v;

    for (loff_t cursor = 0; view_child(node->priv, &cursor, &v);) {
        if (str_is(v.name, name, len))
            return view_node(&v);
        if (v.dev)
            device_put(v.dev);
    }
    return NULL;
}

static int view_list(struct pseudo_node *node, struct dir_context *ctx)
{
    loff_t cursor = ctx->pos;
    struct view v;

    while (view_child(node->priv, &cursor, &v)) {
        bool more = ctx->emit(ctx, v.name, strlen(v.name), (u64)cursor + 1, view_mode(&v) >> 12);

        if (v.dev)
            device_put(v.dev);
        if (!more)
            return 0;
        ctx->pos = cursor;
    }
    return 0;
}

static struct view view_devices = {.kind = VIEW_DEVICES}, view_buses = {.kind = VIEW_BUSES},
                   view_classes = {.kind = VIEW_CLASSES};
/* These stay: their priv is not the heap's. */
static const struct pseudo_ops view_top_ops = {.lookup = view_lookup, .list = view_list};
PSEUDO_FILE(sys_devices) = {"sysfs", "devices", S_IFDIR | 0755, &view_top_ops, &view_devices};
PSEUDO_FILE(sys_bus) = {"sysfs", "bus", S_IFDIR | 0755, &view_top_ops, &view_buses};
PSEUDO_FILE(sys_class) = {"sysfs", "class", S_IFDIR | 0755, &view_top_ops, &view_classes};

/* ------------------------------------------------------------- the type */

static int sysfs_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                       unsigned flags, const char *options, struct super **out)
{
    int err = fs_no_options(options);

    return err ? err : pseudo_super(type, pseudo_root("sysfs"), NULL, out);
}

FS_TYPE(sysfs)
= {.name = "sysfs", .mount = sysfs_mount, .user_ns_ok = true};
