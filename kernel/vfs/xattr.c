/* SPDX-License-Identifier: MIT
 *
 * Extended attributes (xattr(7)): who may see and change which name; the file system keeps them.
 *
 * user.*      regular files and directories, by the mode bits; in a sticky directory its owner only
 * trusted.*   only with CAP_SYS_ADMIN; invisible otherwise
 * security.*  read by all, written with CAP_SYS_ADMIN (the file capability with CAP_SETFCAP)
 *
 * Others (system.posix_acl_access...) are not supported.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vfs/vfs_priv.h"

#define XATTR_SIZE_MAX 65536
#define XATTR_LIST_MAX 65536
#define XATTR_CREATE 1
#define XATTR_REPLACE 2

static int xattr_check_name(const char *name)
{
    size_t len = strnlen(name, NAME_MAX + 1);

    if (len == 0 || len > NAME_MAX)
        return -ERANGE;
    if (str_starts(name, "user.") || str_starts(name, "trusted.") || str_starts(name, "security."))
        return strchr(name, '.')[1] ? 0 : -EINVAL;
    return -EOPNOTSUPP;
}

static int xattr_may_user(struct inode *i, const struct cred *cred, bool write)
{
    if (!S_ISREG(i->mode) && !S_ISDIR(i->mode))
        return write ? -EPERM : -ENODATA;
    if (write && S_ISDIR(i->mode) && (i->mode & S_ISVTX) && !inode_owner_or_capable(i, cred))
        return -EPERM;
    return inode_permission(i, cred, write ? 2 : 4);
}

static int xattr_may(struct inode *i, const struct cred *cred, const char *name, bool write)
{
    if (str_starts(name, "user."))
        return xattr_may_user(i, cred, write);
    if (str_starts(name, "trusted.")) {
        if (cred_capable(cred, &user_ns_init, CAP_SYS_ADMIN))
            return 0;
        return write ? -EPERM : -ENODATA;
    }
    if (!write)
        return 0;
    if (strcmp(name, XATTR_CAPABILITY) == 0)
        return cred_capable(cred, &user_ns_init, CAP_SETFCAP) ? 0 : -EPERM;
    return cred_capable(cred, &user_ns_init, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

ssize_t vfs_getxattr(const struct path *p, const struct cred *cred, const char *name, void *buf,
                     size_t n)
{
    struct inode *i = dentry_inode(p->dentry);
    ssize_t ret = i ? xattr_check_name(name) : -ENOENT;

    if (ret)
        return ret;
    ret = xattr_may(i, cred, name, false);
    if (ret)
        return ret;
    if (!i->ops->getxattr)
        return -EOPNOTSUPP;
    rwlock_read_lock(&i->lock);
    ret = i->ops->getxattr(i, name, buf, n);
    rwlock_read_unlock(&i->lock);
    return ret;
}

/* Decides for both setting and removing. */
static int xattr_may_change(const struct path *p, const struct cred *cred, const char *name)
{
    struct inode *i = dentry_inode(p->dentry);
    int err = i ? xattr_check_name(name) : -ENOENT;

    if (!err)
        err = mount_may_write(p->mount);
    if (!err && (i->super->flags & 1)) /* MS_RDONLY */
        err = -EROFS;
    return err ? err : xattr_may(i, cred, name, true);
}

int vfs_setxattr(const struct path *p, const struct cred *cred, const char *name, const void *val,
                 size_t n, int flags)
{
    struct inode *i = dentry_inode(p->dentry);
    int err;

    if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    if (n > XATTR_SIZE_MAX)
        return -E2BIG;
    err = xattr_may_change(p, cred, name);
    if (err)
        return err;
    if (!i->ops->setxattr)
        return -EOPNOTSUPP;
    rwlock_write_lock(&i->lock);
    err = i->ops->setxattr(i, name, val, n, flags);
    if (!err)
        i->ctime = vfs_now();
    rwlock_write_unlock(&i->lock);
    return err;
}

int vfs_removexattr(const struct path *p, const struct cred *cred, const char *name)
{
    struct inode *i = dentry_inode(p->dentry);
    int err = xattr_may_change(p, cred, name);

    if (err)
        return err;
    if (!i->ops->removexattr)
        return -EOPNOTSUPP;
    rwlock_write_lock(&i->lock);
    err = i->ops->removexattr(i, name);
    if (!err)
        i->ctime = vfs_now();
    rwlock_write_unlock(&i->lock);
    return err;
}

/* Takes the trusted names out of a list, in place; what is left. */
static size_t xattr_hide_trusted(char *list, size_t n)
{
    size_t kept = 0;

    for (size_t at = 0, len; at < n; at += len) {
        len = strnlen(list + at, n - at) + 1;
        if (str_starts(list + at, "trusted."))
            continue;
        memmove(list + kept, list + at, len);
        kept += len;
    }
    return kept;
}

ssize_t vfs_listxattr(const struct path *p, char *buf, size_t n)
{
    struct inode *i = dentry_inode(p->dentry);
    ssize_t len;
    char *list;

    if (!i)
        return -ENOENT;
    if (!i->ops->listxattr)
        return 0;
    list = kmalloc(XATTR_LIST_MAX);
    if (!list)
        return -ENOMEM;
    rwlock_read_lock(&i->lock);
    len = i->ops->listxattr(i, list, XATTR_LIST_MAX);
    rwlock_read_unlock(&i->lock);
    if (len > 0 && !capable(CAP_SYS_ADMIN))
        len = (ssize_t)xattr_hide_trusted(list, (size_t)len);
    if (len > 0 && n > 0) {
        if ((size_t)len > n)
            len = -ERANGE;
        else
            memcpy(buf, list, (size_t)len);
    }
    kfree(list);
    return len;
}
