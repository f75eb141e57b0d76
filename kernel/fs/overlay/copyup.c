/* SPDX-License-Identifier: MIT
 *
 * Copying up: the upper layer gets a file of its own before anything changes it. A regular file is
 * made without a name, filled, and only then linked to its name, so that half a copy is never
 * visible, after a power failure neither; directories, links and nodes are made in place, since
 * only the dentry in our hands leads to them.
 *
 * Ancestors go first, each under its own node->lock. That lock also keeps the name in place: a name
 * that is not in the upper layer is never moved (rename copies files up first, and refuses
 * directories of lower layers), and removed only under the same lock.
 */
#include "fs/overlay/overlay.h"
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"

#define COPY_CHUNK 65536UL
#define SEEK_DATA 3
#define XATTR_LIST_MAX 65536
#define XATTR_VALUE_MAX 65536

COUNTER(overlay_copy_ups);

/* ------------------------------------------------------------- contents */

/* Where data begins at or behind `at`; size: there is only a hole. */
static u64 copyup_next_data(struct file *from, u64 at, u64 size)
{
    loff_t next = from->ops->seek ? from->ops->seek(from, (loff_t)at, SEEK_DATA) : -EINVAL;

    if (next == -ENXIO)
        return size;
    return next < 0 ? at : (u64)next;
}

/* Holes stay holes. Ends when the thread is killed. */
static int copyup_bytes(struct file *from, struct file *to, u64 size)
{
    char *buf = kmalloc(COPY_CHUNK);
    u64 at = 0;
    int err = buf ? 0 : -ENOMEM;

    while (!err && (at = copyup_next_data(from, at, size)) < size) {
        ssize_t n = file_read_kernel(from, buf, MIN(COPY_CHUNK, size - at), (loff_t)at), done;

        if (n <= 0) {
            err = (int)n;
            break;
        }
        done = file_write_kernel(to, buf, (size_t)n, (loff_t)at);
        if (done <= 0)
            err = done ? (int)done : -EIO;
        at += (u64)MAX(done, 0L); /* the next try tells why it was cut short */
        cond_yield();
        if (!err && thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            err = -EINTR;
    }
    kfree(buf);
    return err ? err : file_truncate(to, size);
}

static int copyup_data(const struct path *from, const struct path *to)
{
    struct file *src, *dst;
    struct kstat st;
    int err = vfs_stat(from, &st);

    if (err || st.size == 0)
        return err;
    err = open_dentry(from, O_RDONLY, &cred_init, &src);
    if (err)
        return err;
    err = open_dentry(to, O_WRONLY, &cred_init, &dst);
    if (!err) {
        err = copyup_bytes(src, dst, st.size);
        file_put(dst);
    }
    file_put(src);
    return err;
}

static int copyup_xattr(struct inode *from, struct inode *to, const char *name, char *value)
{
    ssize_t n;
    int err;

    if (str_starts(name, OVERLAY_PREFIX))
        return 0;
    rwlock_read_lock(&from->lock);
    n = from->ops->getxattr(from, name, value, XATTR_VALUE_MAX);
    rwlock_read_unlock(&from->lock);
    if (n < 0)
        return n == -ENODATA ? 0 : (int)n;
    if (!to->ops->setxattr)
        return -EOPNOTSUPP;
    rwlock_write_lock(&to->lock);
    err = to->ops->setxattr(to, name, value, (size_t)n, 0);
    rwlock_write_unlock(&to->lock);
    return err;
}

static int copyup_xattrs(struct inode *from, struct inode *to)
{
    char *list, *value = NULL;
    ssize_t len;
    int err = 0;

    if (!from->ops->listxattr || !from->ops->getxattr)
        return 0;
    rwlock_read_lock(&from->lock);
    len = from->ops->listxattr(from, NULL, 0);
    rwlock_read_unlock(&from->lock);
    if (len <= 0)
        return (int)len;
    list = kmalloc(XATTR_LIST_MAX);
    value = kmalloc(XATTR_VALUE_MAX);
    if (!list || !value) {
        err = -ENOMEM;
        goto out;
    }
    rwlock_read_lock(&from->lock);
    len = from->ops->listxattr(from, list, XATTR_LIST_MAX);
    rwlock_read_unlock(&from->lock);
    err = len < 0 ? (int)len : 0;
    for (ssize_t at = 0; at < len && !err; at += (ssize_t)strlen(list + at) + 1) {
        err = copyup_xattr(from, to, list + at, value);
        cond_yield();
    }
out:
    kfree(value);
    kfree(list);
    return err;
}

static int copyup_attr(const struct path *from, const struct path *to)
{
    struct attr_change ch = {.valid = ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME};
    struct kstat st;
    int err = vfs_stat(from, &st);

    if (err)
        return err;
    ch.mode = st.mode & 07777;
    ch.uid = st.uid;
    ch.gid = st.gid;
    ch.atime = st.atime;
    ch.mtime = st.mtime;
    if (S_ISLNK(st.mode))
        ch.valid &= ~(u32)ATTR_MODE;
    return vfs_setattr(to, &cred_init, &ch);
}

/* All that belongs to an inode but its name. */
static int copyup_fill(const struct path *from, const struct path *to)
{
    struct inode *src = dentry_inode(from->dentry);
    int err = S_ISREG(src->mode) ? copyup_data(from, to) : 0;

    if (!err)
        err = copyup_attr(from, to); /* before security.capability, which a chown takes away */
    return err ? err : copyup_xattrs(src, dentry_inode(to->dentry));
}

/* ------------------------------------------------------------- names in the upper layer */

/* The child `name` of the upper directory, which is locked, negative: a whiteout there would have
 * hidden what is being copied, so anything present was put there past the overlay. */
static struct dentry *copyup_place(struct dentry *dir, struct dentry *name)
{
    size_t len;
    const char *text = dentry_name(name, &len);
    struct dentry *d = walk_child(dir, text, len, true);

    if (!IS_ERR(d) && dentry_inode(d)) {
        dentry_put(d);
        return ERR_PTR(-EEXIST);
    }
    return d;
}

/* Directories, links, nodes: made under their name. */
static int copyup_make(struct inode *dir, struct dentry *d, const struct path *from)
{
    struct inode *src = dentry_inode(from->dentry);
    char *target;
    ssize_t n;
    int err;

    if (S_ISDIR(src->mode))
        return dir->ops->mkdir(dir, d, src->mode, &cred_init);
    if (!S_ISLNK(src->mode))
        return dir->ops->mknod(dir, d, src->mode, src->rdev, &cred_init);
    target = kmalloc(PATH_MAX);
    if (!target)
        return -ENOMEM;
    n = src->ops->readlink(src, target, PATH_MAX - 1);
    err = n < 0 ? (int)n : 0;
    if (!err) {
        target[n] = '\0';
        err = dir->ops->symlink(dir, d, target, &cred_init);
    }
    kfree(target);
    return err;
}

/* Times of the upper directory stay: nothing has changed in what it shows. */
static int copyup_in_place(struct dentry *upper_dir, struct dentry *name, const struct path *from,
                           struct inode *link, struct dentry **out)
{
    struct inode *dir = dentry_inode(upper_dir);
    struct timespec_k mtime, ctime;
    struct dentry *d;
    int err;

    rwlock_write_lock(&dir->lock);
    mtime = dir->mtime;
    ctime = dir->ctime;
    d = copyup_place(upper_dir, name);
    err = IS_ERR(d) ? PTR_ERR(d) : link ? dir->ops->link(dir, d, link) : copyup_make(dir, d, from);
    dir->mtime = mtime;
    dir->ctime = ctime;
    rwlock_write_unlock(&dir->lock);
    if (!err)
        *out = d;
    else if (!IS_ERR(d))
        dentry_put(d);
    return err;
}

/* A regular file: filled without a name, then linked, unless the name is gone already. */
static int copyup_regular(struct overlay *o, struct dentry *upper_dir, struct dentry *name,
                          const struct path *from, bool unlinked, struct dentry **out)
{
    struct inode *dir = dentry_inode(upper_dir);
    struct path to = {o->layer[0].mount, dentry_alloc(upper_dir, "#copy", 5)};
    int err;

    if (!to.dentry)
        return -ENOMEM;
    to.dentry->flags |= DENTRY_UNLINKED;
    rwlock_write_lock(&dir->lock);
    err = dir->ops->tmpfile(dir, to.dentry, S_IFREG | 0600, &cred_init);
    rwlock_write_unlock(&dir->lock);
    if (!err)
        err = copyup_fill(from, &to);
    if (!err && unlinked) {
        *out = to.dentry;
        return 0;
    }
    if (!err)
        err = copyup_in_place(upper_dir, name, from, dentry_inode(to.dentry), out);
    dentry_put(to.dentry);
    return err;
}

/* A copy that could not be finished. */
static void copyup_undo(struct dentry *upper_dir, struct dentry *made)
{
    struct inode *dir = dentry_inode(upper_dir);
    int err;

    rwlock_write_lock(&dir->lock);
    err = S_ISDIR(dentry_inode(made)->mode) ? inode_rmdir_locked(dir, made)
                                            : dir->ops->unlink(dir, made);
    if (!err)
        dentry_delete(made);
    rwlock_write_unlock(&dir->lock);
    dentry_put(made);
}

static int copyup_other(struct overlay *o, struct dentry *upper_dir, struct dentry *name,
                        const struct path *from, struct dentry **out)
{
    struct path to = {o->layer[0].mount, NULL};
    int err = copyup_in_place(upper_dir, name, from, NULL, &to.dentry);

    if (err)
        return err;
    err = copyup_fill(from, &to);
    if (err)
        copyup_undo(upper_dir, to.dentry);
    else
        *out = to.dentry;
    return err;
}

/* ------------------------------------------------------------- one inode */

/* node->lock held; the parent is in the upper layer. */
static int copyup_locked(struct inode *i, struct dentry *name) REQUIRES(overlay_node(i)->lock)
{
    struct overlay *o = overlay_of(i);
    struct overlay_node *node = overlay_node(i);
    struct path from = overlay_real(i);
    struct dentry *dir = dentry_get_parent(name), *upper_dir, *made = NULL;
    bool unlinked = node->unlinked || (READ_ONCE(name->flags) & DENTRY_UNLINKED);
    int err;

    ASSERT_HELD(&overlay_node(i)->lock);
    upper_dir = overlay_upper(dentry_inode(dir));
    if (S_ISREG(i->mode))
        err = copyup_regular(o, upper_dir, name, &from, unlinked, &made);
    else
        err = unlinked ? -ENOENT : copyup_other(o, upper_dir, name, &from, &made);
    dentry_put(dir);
    if (err)
        return err;
    store_release(&node->upper, made);
    overlay_hash_upper(i);
    COUNT(overlay_copy_ups);
    return 0;
}

static int copyup_one(struct dentry *d)
{
    struct inode *i = dentry_inode(d);
    struct overlay_node *node = overlay_node(i);
    int err = mutex_lock_killable(&node->lock);

    if (err)
        return err;
    ASSERT_HELD(&overlay_node(i)->lock); /* the same lock, as the callee names it */
    if (!node->upper)
        err = copyup_locked(i, d);
    mutex_unlock(&node->lock);
    return err;
}

/* The highest of d and its ancestors that is not copied up, with a reference: others may copy it
 * up, and move it, at any time. */
static struct dentry *copyup_first(struct dentry *d)
{
    dentry_get(d);
    for (unsigned steps = 1;; steps++) {
        struct dentry *parent = dentry_get_parent(d);

        if (parent == d || overlay_upper(dentry_inode(parent))) {
            dentry_put(parent);
            return d;
        }
        dentry_put(d);
        d = parent;
        if (steps % 64 == 0)
            cond_yield();
    }
}

/* The way up is gone again for each directory on it, and layers may be deep: it lets others run,
 * and ends when the thread is killed. */
int overlay_copy_up(struct dentry *d)
{
    struct inode *i = dentry_inode(d);
    int err = 0;

    if (overlay_upper(i))
        return 0;
    if (!overlay_of(i)->has_upper)
        return -EROFS;
    while (!err && !overlay_upper(i)) {
        struct dentry *top = copyup_first(d);

        err = thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE) ? -EINTR : copyup_one(top);
        dentry_put(top);
        cond_yield();
    }
    return err;
}

/* What is not copied up has one name, by which every change of the inode comes. */
int overlay_copy_up_inode(struct inode *i)
{
    return overlay_upper(i) ? 0 : overlay_copy_up(overlay_node(i)->name);
}
