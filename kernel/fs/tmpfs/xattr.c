/* SPDX-License-Identifier: MIT
 *
 * Extended attributes kept in memory, a short list per inode. vfs has checked names and rights;
 * setting and removing run with the inode locked for writing, the others for reading.
 */
#include "fs/tmpfs/tmpfs.h"
#include "lib/err.h"
#include "lib/string.h"
#include "mm/slab.h"

#define XATTR_CREATE 1
#define XATTR_REPLACE 2
/* Bytes of names and values in an inode: one of the largest size fits. Each attribute counts for so
 * many more, so that their number has a bound as well, and a walk of them is short. */
#define XATTRS_MAX 131072
#define XATTR_COST 256

static struct tmpfs_xattr *xattr_find(struct tmpfs_inode *t, const char *name)
{
    struct tmpfs_xattr *x;

    list_for_each (x, &t->xattrs, node)
        if (strcmp(x->name, name) == 0)
            return x;
    return NULL;
}

static void xattr_free(struct tmpfs_xattr *x)
{
    kfree(x->name);
    kfree(x->value);
    kfree(x);
}

void tmpfs_xattrs_free(struct tmpfs_inode *t)
{
    struct tmpfs_xattr *x, *next;

    list_for_each_safe (x, next, &t->xattrs, node)
        xattr_free(x);
}

ssize_t tmpfs_getxattr(struct inode *inode, const char *name, void *buf, size_t n)
{
    struct tmpfs_xattr *x = xattr_find(inode->priv, name);

    if (!x)
        return -ENODATA;
    if (n == 0)
        return (ssize_t)x->size;
    if (n < x->size)
        return -ERANGE;
    memcpy(buf, x->value, x->size);
    return (ssize_t)x->size;
}

/* All of an inode's attributes share a bound. */
static bool xattr_space(const struct tmpfs_inode *t, const struct tmpfs_xattr *replaced,
                        size_t more)
{
    const struct tmpfs_xattr *x;

    list_for_each (x, &t->xattrs, node)
        if (x != replaced)
            more += XATTR_COST + strlen(x->name) + x->size;
    return more <= XATTRS_MAX;
}

int tmpfs_setxattr(struct inode *inode, const char *name, const void *val, size_t n, int flags)
{
    struct tmpfs_inode *t = inode->priv;
    struct tmpfs_xattr *old = xattr_find(t, name), *x;

    if (old && (flags & XATTR_CREATE))
        return -EEXIST;
    if (!old && (flags & XATTR_REPLACE))
        return -ENODATA;
    x = kzalloc(sizeof(*x));
    if (!x)
        return -ENOMEM;
    x->name = kstrdup(name);
    if (!xattr_space(t, old, XATTR_COST + strlen(name) + n)) {
        xattr_free(x);
        return -ENOSPC;
    }
    x->value = n ? kmemdup(val, n) : NULL;
    x->size = n;
    if (!x->name || (n && !x->value)) {
        xattr_free(x);
        return -ENOMEM;
    }
    if (old) {
        list_del(&old->node);
        xattr_free(old);
    }
    list_add_tail(&t->xattrs, &x->node);
    if (strcmp(name, XATTR_CAPABILITY) == 0)
        inode->file_caps = true;
    return 0;
}

int tmpfs_removexattr(struct inode *inode, const char *name)
{
    struct tmpfs_xattr *x = xattr_find(inode->priv, name);

    if (!x)
        return -ENODATA;
    list_del(&x->node);
    xattr_free(x);
    return 0;
}

ssize_t tmpfs_listxattr(struct inode *inode, char *buf, size_t n)
{
    struct tmpfs_inode *t = inode->priv;
    struct tmpfs_xattr *x;
    size_t at = 0;

    list_for_each (x, &t->xattrs, node) {
        size_t len = strlen(x->name) + 1;

        if (n && at + len > n)
            return -ERANGE;
        if (n)
            memcpy(buf + at, x->name, len);
        at += len;
    }
    return (ssize_t)at;
}
