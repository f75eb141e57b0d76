/* SPDX-License-Identifier: MIT
 *
 * Supers that lie on a block device: see block_pages.h. A device has one super, however often it is
 * mounted; one that goes is waited for.
 */
#include "lib/errno.h"
#include "lib/list.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "obj/up.h"
#include "uapi/bpf.h"
#include "vfs/block_pages.h"
#include "vfs/mount_priv.h"
#include "vfs/up.h"

#define MS_NODEV 4

static struct mutex devices_mutex; /* mounts of devices, one at a time */
static struct spinlock devices_lock = SPINLOCK_INIT(RANK_VFS, 1, "device supers");
static LIST_HEAD(device_supers); /* devices_lock */
static struct waitq device_freed;

void super_device_init(void)
{
    mutex_init(&devices_mutex, RANK_OPS, ORDER_DEVICE_MOUNT, "device mounts");
    waitq_init(&device_freed);
}

/* The device that a block special file stands for: a reference. */
static int device_of_path(const struct path *p, bool writes, struct block_device **out)
{
    const struct inode *i = dentry_inode(p->dentry);
    unsigned access = DEVICE_READ | (writes ? DEVICE_WRITE : 0);

    if (!S_ISBLK(i->mode))
        return -ENOTBLK;
    if (p->mount->flags & MS_NODEV)
        return -EACCES;
    if (!up_device_allowed(true, dev_major(i->rdev), dev_minor(i->rdev), access))
        return -EPERM;
    *out = block_find(dev_major(i->rdev), dev_minor(i->rdev));
    return *out ? 0 : -ENXIO;
}

static int device_find(const struct walk_ctx *ctx, const char *source, bool writes,
                       struct block_device **out)
{
    struct path p;
    int err = source ? vfs_lookup(ctx, NULL, source, WALK_FOLLOW, &p) : -EINVAL;

    if (err)
        return err;
    err = device_of_path(&p, writes, out);
    path_put(&p);
    if (!err && writes && READ_ONCE((*out)->read_only)) {
        block_put(*out);
        err = -EROFS;
    }
    return err;
}

/* What lies on dev, with a reference; *goes: it is on its way out. */
static struct super *device_super(const struct block_device *dev, bool *goes)
{
    struct super *s, *found = NULL;

    *goes = false;
    spin_lock(&devices_lock);
    list_for_each (s, &device_supers, on_device)
        if (s->device == dev) {
            if (refcount_get_unless_zero(&s->ref))
                found = s;
            else
                *goes = true;
            break;
        }
    spin_unlock(&devices_lock);
    return found;
}

static bool device_is_free(const struct block_device *dev)
{
    bool goes;
    struct super *s = device_super(dev, &goes);

    if (s)
        super_put(s); /* not the last: the thread that waits has the mutex, and looked before */
    return !goes;
}

static int device_share(struct super *s, const struct fs_type *type, unsigned flags,
                        struct super **out)
{
    if (s->type != type || (s->flags ^ flags) & MS_RDONLY) {
        super_put(s);
        return -EBUSY;
    }
    *out = s;
    return 0;
}

/* Takes the reference to dev. */
static int device_fill(const struct fs_type *type, struct block_device *dev, unsigned flags,
                       size_t super_size, int (*fill)(struct super *s), struct super **out)
{
    struct super *s = kzalloc(super_size);
    int err = s ? block_claim(dev, s) : -ENOMEM;

    if (err) {
        kfree(s);
        block_put(dev);
        return err;
    }
    s->type = type;
    s->flags = flags & MS_RDONLY;
    s->user_ns = &user_ns_init;
    s->device = dev;
    s->dev = dev_make(dev->major, dev->minor);
    list_init(&s->on_device);
    refcount_init(&s->ref, 1);
    err = fill(s);
    if (err) {
        super_free_device(s);
        return err;
    }
    spin_lock(&devices_lock);
    list_add(&device_supers, &s->on_device);
    spin_unlock(&devices_lock);
    *out = s;
    return 0;
}

int super_mount_device(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                       unsigned flags, size_t super_size, int (*fill)(struct super *s),
                       struct super **out)
{
    struct block_device *dev;
    struct super *s;
    bool goes;
    int err = device_find(ctx, source, !(flags & MS_RDONLY), &dev);

    if (err)
        return err;
    if (mutex_lock_killable(&devices_mutex)) {
        block_put(dev);
        return -EINTR;
    }
    while ((s = device_super(dev, &goes)) == NULL && goes)
        if (wait_event_killable(&device_freed, device_is_free(dev))) {
            mutex_unlock(&devices_mutex);
            block_put(dev);
            return -EINTR;
        }
    if (s) {
        block_put(dev);
        err = device_share(s, type, flags, out);
    } else {
        err = device_fill(type, dev, flags, super_size, fill, out);
    }
    mutex_unlock(&devices_mutex);
    return err;
}

void super_free_device(struct super *s)
{
    spin_lock(&devices_lock);
    list_del(&s->on_device);
    spin_unlock(&devices_lock);
    block_release(s->device, s);
    block_put(s->device);
    kfree(s);
    waitq_wake_all(&device_freed);
}
