/* SPDX-License-Identifier: MIT
 *
 * devtmpfs: one tmpfs instance, shared by all its mounts, that starts with a node for every
 * registered character device. Linux's name for the type is kept, since programs mount it by that
 * name.
 */
#include "dev/chrdev.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/mutex.h"
#include "vfs/dentry.h"

static struct mutex devfs_lock;
static struct super *devfs_super; /* devfs_lock */

static void devfs_init(void)
{
    mutex_init(&devfs_lock, RANK_FS, 40, "devfs");
}
INIT_HOOK(devfs_init, INIT_CORE);

/* A child of dir under the tmpfs's own rules; the tree is not visible yet. */
static struct dentry *devfs_child(struct dentry *dir, const char *name, size_t len, u32 mode,
                                  u64 rdev)
{
    struct inode *inode = dentry_inode(dir);
    struct dentry *d = dentry_lookup(dir, name, len);
    int err;

    if (d && dentry_inode(d))
        return d;
    if (d)
        dentry_put(d);
    d = dentry_alloc(dir, name, len);
    if (!d)
        return NULL;
    d = dentry_hash_add(d);
    err = S_ISDIR(mode) ? inode->ops->mkdir(inode, d, mode, &cred_init)
                        : inode->ops->mknod(inode, d, mode, rdev, &cred_init);
    if (!err)
        return d;
    dentry_put(d);
    return NULL;
}

static void devfs_add(const struct chrdev *c, void *arg)
{
    struct dentry *dir = arg, *next;
    const char *p = c->name, *slash;

    dentry_get(dir);
    for (; dir && (slash = strchr(p, '/')); p = slash + 1) {
        next = devfs_child(dir, p, (size_t)(slash - p), S_IFDIR | 0755, 0);
        dentry_put(dir);
        dir = next;
    }
    if (!dir)
        return;
    next = devfs_child(dir, p, strlen(p), S_IFCHR | c->mode, dev_make(c->major, c->minor));
    if (next)
        dentry_put(next);
    else
        log_err("devfs: no memory for %s", c->name);
    dentry_put(dir);
}

static int devfs_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                       unsigned flags, const char *options, struct super **out)
{
    int err = 0;

    mutex_lock(&devfs_lock);
    if (!devfs_super) {
        err = fs_type_find("tmpfs")->mount(type, ctx, source, 0, "mode=755", &devfs_super);
        if (!err)
            chrdev_for_each(devfs_add, devfs_super->root);
    }
    if (!err) {
        refcount_get(&devfs_super->ref); /* ours stays for ever */
        *out = devfs_super;
    }
    mutex_unlock(&devfs_lock);
    return err;
}

FS_TYPE(devtmpfs)
= {.name = "devtmpfs", .mount = devfs_mount};
