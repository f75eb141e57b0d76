/* SPDX-License-Identifier: MIT
 *
 * Mounting an overlay: "lowerdir=A:B:C,upperdir=U,workdir=W". A colon, comma or backslash within a
 * path is written with a backslash before it. Without upperdir the overlay is read-only. workdir is
 * asked for and checked, as Linux does, but nothing is put there: copies are made without a name
 * (O_TMPFILE), which the upper file system must know.
 */
#include "fs/overlay/overlay.h"
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"

#define MS_RDONLY 1
#define OVERLAY_MAGIC 0x794c7630
#define STACKED_MAX 2 /* as Linux: each level takes its share of the kernel stack */

static const struct super_ops overlay_super_ops;

/* ------------------------------------------------------------- options */

/* Cuts the next piece off *rest, up to `stop`, and takes `unescape` backslashes out; NULL: no more.
 */
static char *overlay_piece(char **rest, char stop, bool unescape)
{
    char *start = *rest, *from, *to;

    if (!start)
        return NULL;
    for (from = start; *from && *from != stop && *from != '\\'; from++)
        ;
    for (to = from; *from && *from != stop; from++) {
        if (*from == '\\' && from[1]) {
            if (!unescape)
                *to++ = *from;
            from++;
        }
        *to++ = *from;
    }
    *rest = *from ? from + 1 : NULL;
    *to = '\0';
    return start;
}

struct overlay_options {
    char *lower, *upper, *work; /* in the copied text */
};

/* Features that change the layers' format are not there; asking for them to be off is fine. */
static int overlay_option_other(const char *key, const char *value)
{
    static const char *const features[] = {"index", "metacopy",   "redirect_dir",
                                           "xino",  "nfs_export", "uuid"};

    if (strcmp(key, "default_permissions") == 0 || strcmp(key, "volatile") == 0)
        return value ? -EINVAL : 0;
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        if (strcmp(key, features[i]) != 0 || !value)
            continue;
        if (strcmp(value, "off") == 0 || strcmp(value, "nofollow") == 0 ||
            (strcmp(key, "xino") == 0 && strcmp(value, "auto") == 0))
            return 0;
    }
    log_warn("overlay: option %s is not supported", key);
    return -EINVAL;
}

static int overlay_option(struct overlay_options *opt, char *text)
{
    char *value = strchr(text, '=');

    if (value)
        *value++ = '\0';
    if (!*text)
        return 0;
    if (value && strcmp(text, "lowerdir") == 0)
        opt->lower = value;
    else if (value && strcmp(text, "upperdir") == 0)
        opt->upper = value;
    else if (value && strcmp(text, "workdir") == 0)
        opt->work = value;
    else
        return overlay_option_other(text, value);
    return 0;
}

static int overlay_parse(char *text, struct overlay_options *opt)
{
    char *piece;
    int err = 0;

    while (!err && (piece = overlay_piece(&text, ',', false)))
        err = overlay_option(opt, piece);
    if (!err && (!opt->lower || !*opt->lower || (opt->upper && !opt->work)))
        err = -EINVAL;
    return err;
}

/* ------------------------------------------------------------- layers */

static int overlay_open_layer(const struct walk_ctx *ctx, const char *name, struct path *out)
{
    if (!*name)
        return -EINVAL;
    return vfs_lookup(ctx, NULL, name, WALK_FOLLOW | WALK_DIRECTORY, out);
}

static bool overlay_related(const struct path *a, const struct path *b)
{
    return dentry_lies_below(b->dentry, a->dentry) || dentry_lies_below(a->dentry, b->dentry);
}

static int overlay_open_lowers(struct overlay *o, const struct walk_ctx *ctx, char *text)
{
    char *piece;

    while ((piece = overlay_piece(&text, ':', true))) {
        int err = o->nr_lower < o->max_lower
                      ? overlay_open_layer(ctx, piece, &o->layer[o->nr_lower + 1])
                      : -EINVAL;

        if (err)
            return err;
        o->nr_lower++;
    }
    return 0;
}

static int overlay_check_upper(const struct overlay *o)
{
    const struct path *up = &o->layer[0];
    const struct inode_ops *ops = dentry_inode(up->dentry)->ops;

    if (up->dentry->super->ops == &overlay_super_ops || !ops->tmpfile || !ops->link ||
        !ops->setxattr)
        return -EINVAL;
    if (mount_may_write(up->mount) || (up->dentry->super->flags & MS_RDONLY))
        return -EROFS;
    if (up->mount != o->work.mount || overlay_related(up, &o->work))
        return -EINVAL;
    for (u32 i = 1; i <= o->nr_lower; i++)
        if (overlay_related(up, &o->layer[i]) || overlay_related(&o->work, &o->layer[i]))
            return -ELOOP;
    /* of one that is killed they may be related all the same */
    return thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE) ? -EINTR : 0;
}

static int overlay_open_layers(struct overlay *o, const struct walk_ctx *ctx,
                               const struct overlay_options *opt)
{
    char *upper = opt->upper, *work = opt->work;
    int err = overlay_open_lowers(o, ctx, opt->lower);

    if (err || !upper)
        return err;
    err = overlay_open_layer(ctx, overlay_piece(&upper, '\0', true), &o->layer[0]);
    if (!err)
        err = overlay_open_layer(ctx, overlay_piece(&work, '\0', true), &o->work);
    o->has_upper = true;
    return err ? err : overlay_check_upper(o);
}

static bool overlay_is_one_dev(const struct overlay *o)
{
    const struct super *first = o->layer[1].dentry->super;

    for (u32 i = o->has_upper ? 0 : 1; i <= o->nr_lower; i++)
        if (o->layer[i].dentry->super != first)
            return false;
    return true;
}

/* ------------------------------------------------------------- super */

static void overlay_destroy(struct super *s)
{
    struct overlay *o = container_of(s, struct overlay, super);

    for (u32 i = 0; i <= o->max_lower; i++)
        path_put(&o->layer[i]);
    path_put(&o->work);
    kfree(o->options);
    kfree(o);
}

static int overlay_statfs(struct super *s, struct statfs_k *out)
{
    struct overlay *o = container_of(s, struct overlay, super);
    int err = vfs_statfs(&o->layer[o->has_upper ? 0 : 1], out);

    if (!err)
        out->type = OVERLAY_MAGIC;
    return err;
}

static int overlay_sync(struct super *s)
{
    struct overlay *o = container_of(s, struct overlay, super);
    struct super *upper = o->has_upper ? o->layer[0].dentry->super : NULL;

    return upper ? super_sync(upper) : 0;
}

static int overlay_show_options(struct super *s, char *buf, size_t n)
{
    struct overlay *o = container_of(s, struct overlay, super);

    return o->options[0] ? scnprintf(buf, n, ",%s", o->options) : 0;
}

static int overlay_remount(struct super *s, unsigned flags, const char *options)
{
    struct overlay *o = container_of(s, struct overlay, super);

    return !(flags & MS_RDONLY) && !o->has_upper ? -EROFS : 0;
}

static const struct super_ops overlay_super_ops = {
    .evict = overlay_evict,
    .statfs = overlay_statfs,
    .sync = overlay_sync,
    .destroy = overlay_destroy,
    .show_options = overlay_show_options,
    .remount = overlay_remount,
};

/* The root merges the roots of all layers. */
static int overlay_make_root(struct overlay *o)
{
    struct overlay_lower *lower = kcalloc(o->nr_lower, sizeof(*lower));
    struct dentry *upper = o->has_upper ? o->layer[0].dentry : NULL;
    struct inode *root;
    int err = -ENOMEM;

    if (!lower)
        return -ENOMEM;
    for (u32 i = 0; i < o->nr_lower; i++) {
        lower[i] = (struct overlay_lower){i + 1, o->layer[i + 1].dentry};
        dentry_get(lower[i].d);
    }
    if (upper)
        dentry_get(upper);
    root = overlay_inode(o, upper, lower, o->nr_lower, &err);
    kfree(lower);
    if (!root)
        return err;
    o->super.root = dentry_create_root(root);
    if (o->super.root)
        return 0;
    inode_put(root);
    return -ENOMEM;
}

/* How many file systems lie below one another: -EINVAL past the bound. */
static int overlay_count_stacked(struct overlay *o)
{
    u32 below = 0;

    for (u32 i = o->has_upper ? 0 : 1; i <= o->nr_lower; i++)
        below = MAX(below, o->layer[i].dentry->super->stacked);
    if (below >= STACKED_MAX) {
        log_warn("overlay: more than %u file systems stacked", STACKED_MAX);
        return -EINVAL;
    }
    o->super.stacked = below + 1;
    return 0;
}

static int overlay_setup(struct overlay *o, const struct walk_ctx *ctx, const char *options)
{
    struct overlay_options opt = {0};
    char *text = kstrdup(options);
    int err = -ENOMEM;

    o->options = kstrdup(options);
    if (text && o->options)
        err = overlay_parse(text, &opt);
    if (!err)
        err = overlay_open_layers(o, ctx, &opt);
    kfree(text);
    if (!err)
        err = overlay_count_stacked(o);
    if (err)
        return err;
    if (!o->has_upper)
        o->super.flags |= MS_RDONLY;
    o->one_dev = overlay_is_one_dev(o);
    return overlay_make_root(o);
}

/* How many lower layers such options can name. */
static u32 overlay_lowers_at_most(const char *options)
{
    u32 n = 1;

    for (; options && *options; options++)
        n += *options == ':';
    return MIN(n, (u32)OVERLAY_LOWER_MAX);
}

static int overlay_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                         unsigned flags, const char *options, struct super **out)
{
    u32 lowers = overlay_lowers_at_most(options);
    struct overlay *o = ctx ? kzalloc(sizeof(*o) + (lowers + 1) * sizeof(o->layer[0])) : NULL;
    int err;

    if (!o)
        return -ENOMEM;
    o->max_lower = lowers;
    refcount_init(&o->super.ref, 1);
    spinlock_init(&o->uppers_lock, RANK_VFS, 0, "overlay inodes");
    o->uppers = RB_ROOT;
    o->super.type = type;
    o->super.ops = &overlay_super_ops;
    o->super.moves_long = true;
    o->super.flags = flags & MS_RDONLY;
    o->super.dev = super_dev_alloc();
    o->super.user_ns = &user_ns_init;
    err = overlay_setup(o, ctx, options);
    if (err)
        overlay_destroy(&o->super);
    else
        *out = &o->super;
    return err;
}

FS_TYPE(overlay)
= {.name = "overlay", .mount = overlay_mount};
