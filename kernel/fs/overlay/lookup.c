/* SPDX-License-Identifier: MIT
 *
 * Finding a name through the layers of a directory.
 */
#include "fs/overlay/overlay.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"

bool overlay_is_whiteout(const struct dentry *d)
{
    const struct inode *i = dentry_inode(d);

    return i && S_ISCHR(i->mode) && i->rdev == 0;
}

static bool overlay_is_opaque(struct dentry *d)
{
    struct inode *i = dentry_inode(d);
    char value = 0;
    ssize_t n;

    if (!i->ops->getxattr)
        return false;
    rwlock_read_lock(&i->lock);
    n = i->ops->getxattr(i, OVERLAY_OPAQUE, &value, 1);
    rwlock_read_unlock(&i->lock);
    return n == 1 && value == 'y';
}

/* A look-up as it goes down. */
struct overlay_find {
    const char *name;
    size_t len;
    struct dentry *upper;
    u32 n;
    struct overlay_lower *lower; /* space for every layer of the directory */
};

static void overlay_find_drop(struct overlay_find *fd)
{
    if (fd->upper)
        dentry_put(fd->upper);
    for (u32 i = 0; i < fd->n; i++)
        dentry_put(fd->lower[i].d);
}

/* Asks one layer's directory. 1: look no further; 0: go on below; -errno. */
static int overlay_find_in(struct overlay_find *fd, struct dentry *dir, u32 layer, bool last)
{
    struct dentry *d = walk_child(dir, fd->name, fd->len, false);
    struct inode *i;
    bool found = fd->upper || fd->n > 0;

    if (IS_ERR(d))
        return PTR_ERR(d) == -ENOENT ? 0 : PTR_ERR(d);
    i = dentry_inode(d);
    if (!i) {
        dentry_put(d);
        return 0;
    }
    /* A whiteout ends the search; so does a file below a directory, which hides it. */
    if (overlay_is_whiteout(d) || (found && !S_ISDIR(i->mode))) {
        dentry_put(d);
        return 1;
    }
    if (layer == 0)
        fd->upper = d;
    else
        fd->lower[fd->n++] = (struct overlay_lower){layer, d};
    return !S_ISDIR(i->mode) || (!last && overlay_is_opaque(d));
}

static int overlay_find(struct inode *dir, struct overlay_find *fd)
{
    struct overlay_node *node = overlay_node(dir);
    struct dentry *upper = overlay_upper(dir);
    u32 n = overlay_nr_shown(node);
    int ret = 0;

    if (upper)
        ret = overlay_find_in(fd, upper, 0, n == 0);
    for (u32 i = 0; i < n && ret == 0; i++)
        ret = overlay_find_in(fd, node->lower[i].d, node->lower[i].layer, i + 1 == n);
    if (ret < 0)
        overlay_find_drop(fd);
    return MIN(ret, 0);
}

int overlay_lookup(struct inode *dir, struct dentry *d)
{
    struct overlay_lower few[4];
    struct overlay_find fd = {.lower = few};
    struct inode *i;
    int err;

    fd.name = dentry_name(d, &fd.len);
    if (overlay_node(dir)->nr_lower > ARRAY_SIZE(few)) {
        fd.lower = kcalloc(overlay_node(dir)->nr_lower, sizeof(*fd.lower));
        if (!fd.lower)
            return -ENOMEM;
    }
    err = overlay_find(dir, &fd);
    if (!err && (fd.upper || fd.n > 0)) {
        i = overlay_inode(overlay_of(dir), fd.upper, fd.lower, fd.n, &err);
        if (i) {
            if (!overlay_upper(i))
                overlay_node(i)->name = d;
            dentry_instantiate(d, i);
        }
    }
    if (fd.lower != few)
        kfree(fd.lower);
    return err;
}

int overlay_lower_has(struct inode *dir, const char *name, size_t len)
{
    struct overlay_node *node = overlay_node(dir);

    for (u32 i = 0; i < overlay_nr_shown(node); i++) {
        struct dentry *d = walk_child(node->lower[i].d, name, len, false);
        bool found, hidden;

        if (IS_ERR(d) && PTR_ERR(d) == -ENOENT)
            continue;
        if (IS_ERR(d))
            return PTR_ERR(d);
        found = dentry_inode(d) != NULL;
        hidden = overlay_is_whiteout(d);
        dentry_put(d);
        if (found)
            return !hidden;
    }
    return 0;
}
