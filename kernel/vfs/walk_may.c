/* SPDX-License-Identifier: MIT
 *
 * What may be done with the name at a path's end: made, removed.
 */
#include "lib/errno.h"
#include "vfs/vfs_priv.h"

int walk_may_create(const struct path *dir, const struct cred *cred)
{
    struct inode *inode = dentry_inode(dir->dentry);
    int err = mount_may_write(dir->mount);

    if (err)
        return err;
    if (inode->nlink == 0 || (dir->dentry->flags & DENTRY_UNLINKED))
        return -ENOENT;
    return inode_permission(inode, cred, 2 | 1);
}

int walk_may_delete(const struct walk_ctx *ctx, const struct path *dir, struct dentry *victim,
                    bool is_dir)
{
    const struct cred *cred = ctx->cred;
    struct inode *parent = dentry_inode(dir->dentry), *inode = dentry_inode(victim);
    int err = walk_may_create(dir, cred);

    if (err)
        return err;
    if ((parent->mode & S_ISVTX) && cred->fsuid != inode->uid && cred->fsuid != parent->uid &&
        !inode_capable(inode, cred, CAP_FOWNER))
        return -EPERM;
    if (is_dir && !S_ISDIR(inode->mode))
        return -ENOTDIR;
    if (!is_dir && S_ISDIR(inode->mode))
        return -EISDIR;
    return mount_stands_on(ctx->ns, victim) ? -EBUSY : 0;
}
