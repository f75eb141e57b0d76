/* SPDX-License-Identifier: MIT
 *
 * iso9660: directories. A look-up and a listing go through the records from the start; the position
 * of a listing is that of the next record, behind two for the dots.
 */
#include "fs/iso9660/iso9660.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vfs/dentry.h"

#define DEPTH_MAX 512 /* of directories below one another */

/* The record of `name`: 1, 0: there is none. What is damaged may have been it. */
static int dir_find(const struct iso9660 *fs, const struct iso_extent *dir, const char *name,
                    size_t len, struct iso_entry *e)
{
    int damaged = 0, more;

    for (u64 at = 0; (more = iso_next(&fs->volume, dir, at, e)) > 0; at = e->next) {
        if (e->damaged)
            damaged = e->damaged;
        else if (!e->special && !e->hidden && e->name_len == len && memcmp(e->name, name, len) == 0)
            return 1;
    }
    return more ? more : damaged;
}

/* An image in which a directory lies below itself has no end: that one is not entered. */
static int dir_check_above(struct dentry *dir, const struct inode *found)
{
    struct dentry *at = dir, *up;
    int err = 0;

    dentry_get(at);
    for (unsigned depth = 0; !err; depth++) {
        if (dentry_inode(at) == found || depth == DEPTH_MAX)
            err = -ELOOP;
        up = dentry_get_parent(at);
        if (up == at) {
            dentry_put(up);
            break;
        }
        dentry_put(at);
        at = up;
    }
    dentry_put(at);
    return err;
}

static int dir_enter(struct inode *dir, struct dentry *d, u64 number)
{
    struct inode *i;
    struct dentry *parent;
    int err = inode_find(dir->super, number, &i);

    if (err)
        return err == -ESTALE ? -EIO : err;
    if (S_ISDIR(i->mode)) {
        parent = dentry_get_parent(d);
        err = dir_check_above(parent, i);
        dentry_put(parent);
    }
    if (err)
        inode_put(i);
    else
        dentry_instantiate(d, i);
    return err;
}

static int iso9660_lookup(struct inode *dir, struct dentry *d)
{
    struct iso9660 *fs = iso9660_of(dir->super);
    struct iso_entry *e = kmalloc(sizeof(*e));
    size_t len;
    const char *name = dentry_name(d, &len);
    int found;

    if (!e)
        return -ENOMEM;
    found = dir_find(fs, &iso9660_inode_of(dir)->first, name, len, e);
    if (found > 0)
        found = dir_enter(dir, d, e->number);
    kfree(e);
    return found;
}

static unsigned dir_type(const struct iso_entry *e)
{
    return e->mode >> 12 & 15; /* DT_* are the mode's numbers */
}

/* Its own name and its parent's. False: no space. */
static bool dir_dots(struct file *f, struct dir_context *ctx)
{
    if (ctx->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, f->inode->ino, S_IFDIR >> 12))
            return false;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        if (!ctx->emit(ctx, "..", 2, dentry_parent_ino(f->dentry), S_IFDIR >> 12))
            return false;
        ctx->pos = 2;
    }
    return true;
}

static int iso9660_readdir(struct file *f, struct dir_context *ctx)
{
    struct iso9660 *fs = iso9660_of(f->inode->super);
    const struct iso_extent *dir = &iso9660_inode_of(f->inode)->first;
    struct iso_entry *e;
    int more = 0;

    if (!dir_dots(f, ctx))
        return 0;
    e = kmalloc(sizeof(*e));
    if (!e)
        return -ENOMEM;
    while ((more = iso_next(&fs->volume, dir, (u64)ctx->pos - 2, e)) > 0) {
        if (!e->damaged && !e->special && !e->hidden &&
            !ctx->emit(ctx, e->name, e->name_len, e->number, dir_type(e)))
            break;
        ctx->pos = (loff_t)e->next + 2;
    }
    kfree(e);
    return MIN(more, 0);
}

/* Any position: what is no record's begins with the next error or the end. */
static loff_t iso9660_dir_seek(struct file *f, loff_t off, int whence)
{
    if (whence == 1)
        off += f->pos;
    if ((whence != 0 && whence != 1) || off < 0)
        return -EINVAL;
    f->pos = off;
    return off;
}

const struct inode_ops iso9660_dir_iops = {
    .lookup = iso9660_lookup,
    .getattr = iso9660_getattr,
};
const struct file_ops iso9660_dir_fops = {
    .read = vfs_read_dir,
    .seek = iso9660_dir_seek,
    .readdir = iso9660_readdir,
    .fsync = cached_file_fsync,
};
