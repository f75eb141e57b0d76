/* SPDX-License-Identifier: MIT
 *
 * devtmpfs: one tmpfs instance, shared by all its mounts, that starts with a node for every
 * registered character device and for each device of the list in dev/node.h; those come and go
 * later, too. Linux's name for the type is kept, since programs mount it by that
 * name.
 */
#include "dev/chrdev.h"
#include "dev/node.h"
#include "dev/up.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/mutex.h"
#include "vfs/dentry.h"
#include "vfs/inotify.h"

static struct mutex devfs_lock;
static struct super *devfs_super; /* devfs_lock */

static void devfs_init(void)
{
    mutex_init(&devfs_lock, RANK_OPS, ORDER_DEVFS, "devfs");
}
INIT_HOOK(devfs_init, INIT_CORE);

/* A child of dir under the tmpfs's own rules; dir is locked. */
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

/* A directory above the name's last part, made if it is not there; NULL: no memory. *last: that
 * part. */
static struct dentry *devfs_dir(const char *name, const char **last)
{
    struct dentry *dir = devfs_super->root, *next;
    const char *slash;

    dentry_get(dir);
    for (; dir && (slash = strchr(name, '/')); name = slash + 1) {
        rwlock_write_lock(&dentry_inode(dir)->lock);
        next = devfs_child(dir, name, (size_t)(slash - name), S_IFDIR | 0755, 0);
        rwlock_write_unlock(&dentry_inode(dir)->lock);
        dentry_put(dir);
        dir = next;
    }
    *last = name;
    return dir;
}

static int devfs_show(const char *name, u32 mode, u32 gid, u64 rdev)
{
    const char *last;
    struct dentry *dir = devfs_dir(name, &last), *d;

    if (!dir)
        return -ENOMEM;
    rwlock_write_lock(&dentry_inode(dir)->lock);
    d = devfs_child(dir, last, strlen(last), mode, rdev);
    if (d)
        dentry_inode(d)->gid = (kgid_t){gid};
    rwlock_write_unlock(&dentry_inode(dir)->lock);
    if (d)
        notify_name(dir, d, IN_CREATE);
    if (d)
        dentry_put(d);
    dentry_put(dir);
    return d ? 0 : -ENOMEM;
}

static void devfs_add(const struct chrdev *c, void *arg)
{
    if (devfs_show(c->name, S_IFCHR | c->mode, 0, dev_make(c->major, c->minor)))
        log_err("devfs: no memory for %s", c->name);
}

static void devfs_add_node(const struct dev_node *n, void *arg)
{
    if (devfs_show(n->name, n->mode, n->gid, dev_make(n->major, n->minor)))
        log_err("devfs: no memory for %s", n->name);
}

/* The node of that name, if it still is that device's: programs may have put another there. */
static void devfs_hide(const struct dev_node *n)
{
    const char *last;
    struct dentry *dir = devfs_dir(n->name, &last), *d;
    struct inode *inode;
    bool gone = false;

    if (!dir)
        return;
    rwlock_write_lock(&dentry_inode(dir)->lock);
    d = dentry_lookup(dir, last, strlen(last));
    inode = d ? dentry_inode(d) : NULL;
    if (inode && ((inode->mode ^ n->mode) & S_IFMT) == 0 &&
        inode->rdev == dev_make(n->major, n->minor)) {
        gone = dentry_inode(dir)->ops->unlink(dentry_inode(dir), d) == 0;
        if (gone)
            dentry_delete(d);
    }
    rwlock_write_unlock(&dentry_inode(dir)->lock);
    if (gone)
        notify_name(dir, d, IN_DELETE);
    if (d)
        dentry_put(d);
    dentry_put(dir);
}

int up_dev_node_added(const struct dev_node *n)
{
    int err = 0;

    mutex_lock(&devfs_lock);
    if (devfs_super)
        err = devfs_show(n->name, n->mode, n->gid, dev_make(n->major, n->minor));
    mutex_unlock(&devfs_lock);
    return err;
}

void up_dev_node_removed(const struct dev_node *n)
{
    mutex_lock(&devfs_lock);
    if (devfs_super)
        devfs_hide(n);
    mutex_unlock(&devfs_lock);
}

static int devfs_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                       unsigned flags, const char *options, struct super **out)
{
    int err = 0;

    mutex_lock(&devfs_lock);
    if (!devfs_super) {
        err = fs_type_find("tmpfs")->mount(type, ctx, source, 0, "mode=755", &devfs_super);
        if (!err) {
            chrdev_for_each(devfs_add, NULL);
            dev_node_for_each(devfs_add_node, NULL);
        }
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
