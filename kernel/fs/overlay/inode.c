/* SPDX-License-Identifier: MIT
 *
 * Overlay inodes: what each stands for, attributes, extended attributes. Several names of one upper
 * inode (hard links) share an overlay inode, found through a table by the real inode. Lower files
 * with several names do not: copying up breaks such links, as on Linux.
 */
#include "fs/overlay/overlay.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

static const struct inode_ops overlay_file_iops, overlay_link_iops, overlay_other_iops;
static const struct file_ops overlay_no_fops = {.name = "overlay"};

static void overlay_init(void)
{
    overlay_file_init();
    overlay_list_init();
}
INIT_HOOK(overlay_init, INIT_CORE);

struct path overlay_real(const struct inode *i)
{
    struct overlay *o = overlay_of(i);
    struct overlay_node *node = overlay_node(i);
    struct dentry *upper = overlay_upper(i);

    if (upper)
        return (struct path){o->layer[0].mount, upper};
    return (struct path){o->layer[node->lower[0].layer].mount, node->lower[0].d};
}

struct inode *overlay_real_inode(const struct inode *i)
{
    struct path real = overlay_real(i);

    return dentry_inode(real.dentry);
}

/* ------------------------------------------------------------- the tree of upper inodes */

static const struct inode *overlay_real_of(const struct rb_node *n)
{
    return dentry_inode(rb_entry(n, struct overlay_node, by_real)->upper);
}

static bool overlay_real_less(const struct rb_node *a, const struct rb_node *b)
{
    return overlay_real_of(a) < overlay_real_of(b);
}

/* A reference, or NULL. Those that are on their way out may still be there. */
static struct inode *overlay_find_locked(struct overlay *o, const struct inode *real)
    REQUIRES(o->uppers_lock)
{
    struct rb_node *n = o->uppers.node, *first = NULL;

    ASSERT_HELD(&o->uppers_lock);
    while (n) {
        if (overlay_real_of(n) >= real)
            first = n;
        n = overlay_real_of(n) >= real ? n->left : n->right;
    }
    for (n = first; n && overlay_real_of(n) == real; n = rb_next(n)) {
        struct inode *i = rb_entry(n, struct overlay_node, by_real)->inode;

        if (refcount_get_unless_zero(&i->ref))
            return i;
    }
    return NULL;
}

static struct inode *overlay_find_upper(struct overlay *o, const struct inode *real)
{
    struct inode *found;

    spin_lock(&o->uppers_lock);
    found = overlay_find_locked(o, real);
    spin_unlock(&o->uppers_lock);
    return found;
}

/* Puts i into the tree unless another inode stands for the same real one: that one, with a
 * reference. Looking and putting in are one step, so that there are never two. */
static struct inode *overlay_hash_or_find(struct inode *i)
{
    struct overlay *o = overlay_of(i);
    struct overlay_node *node = overlay_node(i);
    struct inode *other;

    spin_lock(&o->uppers_lock);
    other = overlay_find_locked(o, dentry_inode(node->upper));
    if (!other)
        rb_insert(&o->uppers, &node->by_real, overlay_real_less);
    spin_unlock(&o->uppers_lock);
    return other;
}

void overlay_hash_upper(struct inode *i)
{
    struct inode *other = S_ISDIR(i->mode) ? NULL : overlay_hash_or_find(i);

    if (other) /* the upper layer was changed past the overlay */
        inode_put(other);
}

/* ------------------------------------------------------------- creation and end */

static void overlay_node_free(struct rcu_head *head)
{
    kfree(container_of((struct rb_node *)(void *)head, struct overlay_node, by_real));
}

/* The node, too, may have RCU readers (overlay_peekattr); it is in no tree any more. */
void overlay_evict(struct inode *i)
{
    struct overlay_node *node = overlay_node(i);

    if (!node)
        return;
    spin_lock(&overlay_of(i)->uppers_lock);
    if (!rb_is_clear(&node->by_real))
        rb_erase(&overlay_of(i)->uppers, &node->by_real);
    spin_unlock(&overlay_of(i)->uppers_lock);
    if (node->upper)
        dentry_put(node->upper);
    for (u32 k = 0; k < node->nr_lower; k++)
        dentry_put(node->lower[k].d);
    static_assert(sizeof(node->by_real) >= sizeof(struct rcu_head), "space for rcu_head");
    rcu_call((struct rcu_head *)(void *)&node->by_real, overlay_node_free);
}

/* Owner and mode follow the real inode; i is locked. */
static void overlay_sync_attr_locked(struct inode *i) REQUIRES(i->lock)
{
    const struct inode *real = overlay_real_inode(i);

    ASSERT_HELD_WRITE(&i->lock);
    i->mode = real->mode;
    i->uid = real->uid;
    i->gid = real->gid;
}

static const struct inode_ops *overlay_iops(u32 mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return &overlay_dir_iops;
    case S_IFREG:
        return &overlay_file_iops;
    case S_IFLNK:
        return &overlay_link_iops;
    default:
        return &overlay_other_iops;
    }
}

static const struct file_ops *overlay_fops(u32 mode)
{
    return S_ISDIR(mode)   ? &overlay_dir_fops
           : S_ISREG(mode) ? &overlay_file_fops
                           : &overlay_no_fops;
}

/* Both ends of a failure give the dentries back. */
static struct inode *overlay_inode_fail(struct dentry *upper, const struct overlay_lower *lower,
                                        u32 n, int *err)
{
    if (upper)
        dentry_put(upper);
    for (u32 k = 0; k < n; k++)
        dentry_put(lower[k].d);
    *err = -ENOMEM;
    return NULL;
}

struct inode *overlay_inode_alloc(struct overlay *o, u32 n)
{
    struct overlay_node *node = kzalloc(sizeof(*node) + n * sizeof(node->lower[0]));
    struct inode *i =
        node ? inode_create(&o->super, 0, &overlay_other_iops, &overlay_no_fops) : NULL;

    if (!i) {
        kfree(node);
        return NULL;
    }
    mutex_init(&node->lock, RANK_OPS, super_lock_order(&o->super, ORDER_OVERLAY_NODE),
               "overlay node");
    rb_clear(&node->by_real);
    node->inode = i;
    i->priv = node;
    return i;
}

struct inode *overlay_inode_settle(struct inode *i, struct dentry *upper,
                                   const struct overlay_lower *lower, u32 n)
{
    const struct inode *real = dentry_inode(upper ? upper : lower[0].d);
    struct overlay_node *node = overlay_node(i);
    struct inode *other;

    node->upper = upper;
    node->nr_lower = n;
    if (n > 0)
        memcpy(node->lower, lower, n * sizeof(node->lower[0]));
    i->ops = overlay_iops(real->mode);
    i->fops = overlay_fops(real->mode);
    i->mode = real->mode;
    i->rdev = real->rdev;
    i->uid = real->uid;
    i->gid = real->gid;
    if (overlay_of(i)->one_dev)
        i->ino = real->ino;
    if (!upper || S_ISDIR(i->mode))
        return i;
    DELAYPOINT(overlay_inode);
    other = overlay_hash_or_find(i);
    if (!other)
        return i;
    inode_put(i);
    return other;
}

struct inode *overlay_inode(struct overlay *o, struct dentry *upper,
                            const struct overlay_lower *lower, u32 n, int *err)
{
    const struct inode *real = upper ? dentry_inode(upper) : NULL;
    struct inode *i = real && !S_ISDIR(real->mode) ? overlay_find_upper(o, real) : NULL;

    if (i) {
        dentry_put(upper);
        return i;
    }
    i = overlay_inode_alloc(o, n);
    return i ? overlay_inode_settle(i, upper, lower, n) : overlay_inode_fail(upper, lower, n, err);
}

/* ------------------------------------------------------------- attributes */

/* A merged directory has one link: the subdirectories of all layers are not counted. */
static void overlay_own_attr(const struct inode *i, struct kstat *out)
{
    out->dev = i->super->dev;
    out->ino = i->ino;
    if (S_ISDIR(i->mode))
        out->nlink = i->nlink ? 1 : 0;
}

int overlay_getattr(struct inode *i, struct kstat *out)
{
    struct path real = overlay_real(i);
    int err = vfs_stat(&real, out);

    if (!err)
        overlay_own_attr(i, out);
    return err;
}

bool overlay_peekattr(const struct inode *i, struct kstat *out)
{
    const struct inode *real = overlay_real_inode(i);

    if (!real || !inode_peek_stat(real, out))
        return false;
    overlay_own_attr(i, out);
    return true;
}

/* The overlay inode is locked; vfs applies the change to it as well when we return 0. */
int overlay_setattr(struct inode *i, const struct attr_change *ch)
{
    struct path real;
    int err = overlay_copy_up_inode(i);

    ASSERT_HELD_WRITE(&i->lock);
    if (err)
        return err;
    real = overlay_real(i);
    err = vfs_setattr(&real, current_cred(), ch);
    if (!err)
        overlay_sync_attr_locked(i);
    return err;
}

static ssize_t overlay_readlink(struct inode *i, char *buf, size_t n)
{
    struct inode *real = overlay_real_inode(i);

    return real->ops->readlink ? real->ops->readlink(real, buf, n) : -EINVAL;
}

/* ------------------------------------------------------------- extended attributes */

static bool overlay_xattr_private(const char *name)
{
    return str_starts(name, OVERLAY_PREFIX);
}

ssize_t overlay_getxattr(struct inode *i, const char *name, void *buf, size_t n)
{
    struct inode *real = overlay_real_inode(i);
    ssize_t ret;

    if (overlay_xattr_private(name))
        return -ENODATA;
    if (!real->ops->getxattr)
        return -EOPNOTSUPP;
    rwlock_read_lock(&real->lock);
    ret = real->ops->getxattr(real, name, buf, n);
    rwlock_read_unlock(&real->lock);
    return ret;
}

int overlay_setxattr(struct inode *i, const char *name, const void *val, size_t n, int flags)
{
    struct inode *real;
    int err = overlay_xattr_private(name) ? -EPERM : overlay_copy_up_inode(i);

    if (err)
        return err;
    real = overlay_real_inode(i);
    if (!real->ops->setxattr)
        return -EOPNOTSUPP;
    rwlock_write_lock(&real->lock);
    err = real->ops->setxattr(real, name, val, n, flags);
    if (!err)
        real->ctime = vfs_now();
    rwlock_write_unlock(&real->lock);
    return err;
}

int overlay_removexattr(struct inode *i, const char *name)
{
    ssize_t present = overlay_getxattr(i, name, NULL, 0);
    struct inode *real;
    int err;

    if (present < 0)
        return (int)present;
    err = overlay_copy_up_inode(i);
    if (err)
        return err;
    real = overlay_real_inode(i);
    rwlock_write_lock(&real->lock);
    err = real->ops->removexattr ? real->ops->removexattr(real, name) : -EOPNOTSUPP;
    if (!err)
        real->ctime = vfs_now();
    rwlock_write_unlock(&real->lock);
    return err;
}

/* vfs asks with a buffer that holds any list, so hiding ours in place will do. */
ssize_t overlay_listxattr(struct inode *i, char *buf, size_t n)
{
    struct inode *real = overlay_real_inode(i);
    ssize_t len;
    size_t kept = 0;

    if (!real->ops->listxattr)
        return 0;
    rwlock_read_lock(&real->lock);
    len = real->ops->listxattr(real, buf, n);
    rwlock_read_unlock(&real->lock);
    if (len <= 0 || n == 0)
        return len;
    for (size_t at = 0, one; at < (size_t)len; at += one) {
        one = strnlen(buf + at, (size_t)len - at) + 1;
        if (overlay_xattr_private(buf + at))
            continue;
        memmove(buf + kept, buf + at, one);
        kept += one;
    }
    return (ssize_t)kept;
}

static const struct inode_ops overlay_file_iops = {OVERLAY_ATTR_OPS, .open = overlay_open};
static const struct inode_ops overlay_link_iops = {OVERLAY_ATTR_OPS, .readlink = overlay_readlink};
static const struct inode_ops overlay_other_iops = {OVERLAY_ATTR_OPS};
