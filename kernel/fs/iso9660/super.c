/* SPDX-License-Identifier: MIT
 *
 * iso9660: mounting, inodes, contents. See iso9660.h.
 */
#include "fs/iso9660/iso9660.h"
#include "arch/x86/percpu.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "vfs/dentry.h"

#define ISOFS_MAGIC 0x9660
#define MS_RDONLY 1

/* ------------------------------------------------------------- contents */

/* Files have few extents, most of them one. */
static int iso9660_place(struct mem_object *obj, u64 pos, u64 len, struct block_place *out)
{
    const struct iso9660_inode *ii = iso9660_inode_of(obj->owner);
    const struct iso_extent *x = ii->extents ? ii->extents : &ii->first;

    for (u32 i = 0; i < ii->nr_extents; i++, x++) {
        u64 whole = ALIGN_UP(x->len, 512UL);

        if (pos < x->len) {
            *out = (struct block_place){.at = x->at + pos, .len = MIN(len, whole - pos)};
            return 0;
        }
        pos -= x->len;
    }
    *out = (struct block_place){.hole = true, .len = len};
    return 0;
}

static void iso9660_read_run(struct mem_object *obj, const struct page_run *run)
{
    struct inode *i = obj->owner;

    block_pages_read(i->super->device, obj, run, iso9660_place);
}

static const struct mem_object_ops iso9660_object_ops = {
    .read_run = iso9660_read_run,
    .destroy = inode_object_destroy,
};
static const struct file_ops iso9660_file_fops = {
    .read = cached_file_read,
    .parts = cached_file_parts,
    .seek = cached_file_seek,
    .mmap = cached_file_mmap,
    .advise = cached_file_advise,
    .fsync = cached_file_fsync,
};
static const struct file_ops iso9660_other_fops = {.name = "iso9660"};

/* ------------------------------------------------------------- inodes */

static ssize_t iso9660_readlink(struct inode *i, char *buf, size_t n)
{
    const char *link = iso9660_inode_of(i)->link;
    size_t len = MIN(strlen(link), n);

    memcpy(buf, link, len);
    return (ssize_t)len;
}

int iso9660_getattr(struct inode *i, struct kstat *out)
{
    u64 bytes = iso9660_inode_of(i)->first.len;

    inode_fill_stat(i, out);
    if (S_ISDIR(i->mode))
        out->size = bytes;
    else if (S_ISLNK(i->mode))
        out->size = bytes = strlen(iso9660_inode_of(i)->link);
    else
        bytes = out->size;
    out->blocks = DIV_ROUND_UP(bytes, 512);
    out->blksize = ISO_SECTOR;
    return 0;
}

static const struct inode_ops iso9660_file_iops = {.getattr = iso9660_getattr};
static const struct inode_ops iso9660_link_iops = {
    .readlink = iso9660_readlink,
    .getattr = iso9660_getattr,
};

static struct cached_inode *iso9660_alloc_inode(struct super *s)
{
    struct iso9660_inode *ii = kzalloc(sizeof(*ii));

    return ii ? &ii->cached : NULL;
}

static void iso9660_free_inode(struct inode *i)
{
    struct iso9660_inode *ii = iso9660_inode_of(i);

    kfree(ii->extents);
    kfree(ii->link);
    kfree(ii);
}

/* Extents must be whole sectors but the last: else a page would begin within one. */
static int iso9660_fill_file(struct inode *i, const struct iso_entry *e)
{
    struct iso9660_inode *ii = iso9660_inode_of(i);

    for (u32 k = 0; ii->extents && k + 1 < ii->nr_extents; k++)
        if (ii->extents[k].len % ISO_SECTOR)
            return -EIO;
    if (e->size > S64_MAX)
        return -EIO;
    i->ops = &iso9660_file_iops;
    i->fops = &iso9660_file_fops;
    mem_object_init(&ii->object, &iso9660_object_ops, i);
    ii->object.size = e->size;
    inode_set_object(i, &ii->object);
    return 0;
}

static int iso9660_fill_kind(struct inode *i, const struct iso_entry *e)
{
    struct iso9660_inode *ii = iso9660_inode_of(i);

    switch (i->mode & S_IFMT) {
    case S_IFREG:
        return iso9660_fill_file(i, e);
    case S_IFDIR:
        i->ops = &iso9660_dir_iops;
        i->fops = &iso9660_dir_fops;
        return 0;
    case S_IFLNK:
        if (!e->link_len)
            return -EIO;
        ii->link = kstrdup(e->link);
        i->ops = &iso9660_link_iops;
        i->fops = &iso9660_other_fops;
        return ii->link ? 0 : -ENOMEM;
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        i->ops = &iso9660_file_iops;
        i->fops = &iso9660_other_fops;
        i->rdev = dev_make(e->major, e->minor);
        return 0;
    default:
        return -EIO;
    }
}

/* The entry, and its extents where there are several. */
static int iso9660_read_entry(struct iso9660 *fs, struct iso9660_inode *ii, u64 number,
                              struct iso_entry *e)
{
    int err = iso_inode(&fs->volume, number, e, &ii->first, 1);

    ii->nr_extents = e->nr_extents;
    if (err || e->nr_extents <= 1)
        return err;
    ii->extents = kcalloc(e->nr_extents, sizeof(*ii->extents));
    if (!ii->extents)
        return -ENOMEM;
    return iso_inode(&fs->volume, number, e, ii->extents, ii->nr_extents);
}

static void iso9660_fill_attributes(struct inode *i, const struct iso_entry *e)
{
    i->mode = e->mode;
    i->nlink = MAX(e->nlink, 1U); /* a name that was found is one */
    i->uid = e->uid;
    i->gid = e->gid;
    i->atime = (struct timespec_k){e->atime, 0};
    i->mtime = (struct timespec_k){e->mtime, 0};
    i->ctime = i->btime = (struct timespec_k){e->ctime, 0};
}

static int iso9660_read_inode(struct inode *i)
{
    struct iso_entry *e = kmalloc(sizeof(*e));
    int err;

    if (!e)
        return -ENOMEM;
    err = iso9660_read_entry(iso9660_of(i->super), iso9660_inode_of(i), i->ino, e);
    if (!err) {
        iso9660_fill_attributes(i, e);
        err = iso9660_fill_kind(i, e);
    }
    kfree(e);
    return err;
}

/* ------------------------------------------------------------- the super */

static int iso9660_source_read(struct iso_source *src, u64 at, void *buf, u32 n)
{
    struct iso9660 *fs = container_of(src, struct iso9660, src);

    cond_yield(); /* what is read in one go, a hostile image may have made long */
    if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
        return -EINTR;
    return block_pages_copy(fs->records, at, buf, n);
}

static int iso9660_statfs(struct super *s, struct statfs_k *out)
{
    const struct iso_volume *v = &iso9660_of(s)->volume;

    *out = (struct statfs_k){
        .type = ISOFS_MAGIC,
        .bsize = v->block_size,
        .frsize = v->block_size,
        .blocks = (s64)(v->size / v->block_size),
        .namelen = NAME_MAX,
        .fsid = {(s32)s->dev, (s32)(s->dev >> 32)},
    };
    return 0;
}

static void iso9660_destroy(struct super *s)
{
    struct iso9660 *fs = iso9660_of(s);

    if (fs->records)
        block_pages_destroy(fs->records);
    super_free_device(s);
}

static int iso9660_remount(struct super *s, unsigned flags, const char *options)
{
    return flags & MS_RDONLY ? fs_no_options(options) : -EROFS;
}

static const struct super_ops iso9660_super_ops = {
    .alloc_inode = iso9660_alloc_inode,
    .free_inode = iso9660_free_inode,
    .read_inode = iso9660_read_inode,
    .statfs = iso9660_statfs,
    .remount = iso9660_remount,
    .destroy = iso9660_destroy,
};

static int iso9660_fill_root(struct super *s)
{
    struct iso9660 *fs = iso9660_of(s);
    struct inode *root;
    int err = iso_open(&fs->src, &fs->volume);

    err = err ?: inode_find(s, fs->volume.root, &root);
    if (err)
        return err;
    if (S_ISDIR(root->mode))
        s->root = dentry_create_root(root);
    else
        err = -EINVAL;
    if (s->root)
        return 0;
    inode_put(root);
    return err ?: -ENOMEM;
}

static int iso9660_fill(struct super *s)
{
    struct iso9660 *fs = iso9660_of(s);
    int err;

    s->ops = &iso9660_super_ops;
    fs->records = block_pages_create(s->device);
    if (!fs->records)
        return -ENOMEM;
    fs->src = (struct iso_source){.read = iso9660_source_read, .size = fs->records->obj.size};
    err = super_cache_begin(s, false) ?: iso9660_fill_root(s);
    if (!err)
        return 0;
    super_cache_end(s);
    block_pages_destroy(fs->records);
    return err;
}

static int iso9660_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                         unsigned flags, const char *options, struct super **out)
{
    int err = fs_no_options(options);

    if (err)
        return err;
    if (!(flags & MS_RDONLY))
        return -EACCES; /* mount(8) tries again with it */
    return super_mount_device(type, ctx, source, flags, sizeof(struct iso9660), iso9660_fill, out);
}

FS_TYPE(iso9660)
= {.name = "iso9660", .mount = iso9660_mount, .needs_device = true};
