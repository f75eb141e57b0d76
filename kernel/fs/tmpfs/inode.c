/* SPDX-License-Identifier: MIT
 *
 * Inodes of tmpfs, and directories. See tmpfs.h.
 */
#include "fs/tmpfs/tmpfs.h"

#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

#define LINKS_MAX 32000
#define DIRENT_SIZE 20 /* what a name adds to a directory's st_size, as Linux has it */

static const struct inode_ops tmpfs_dir_iops, tmpfs_link_iops, tmpfs_other_iops;
static const struct file_ops tmpfs_dir_fops, tmpfs_other_fops;

/* ------------------------------------------------------------- inodes */

static void tmpfs_object_free(struct rcu_head *head)
{
    kfree(container_of((struct list_node *)(void *)head, struct mem_object, areas));
}

/* stat may look at its size without a reference. It has no areas any more. */
static void tmpfs_object_destroy(struct mem_object *obj)
{
    static_assert(sizeof(obj->areas) >= sizeof(struct rcu_head), "space for rcu_head");
    rcu_call((struct rcu_head *)(void *)&obj->areas, tmpfs_object_free);
}

static const struct mem_object_ops tmpfs_object_ops = {.destroy = tmpfs_object_destroy};

static struct mem_object *tmpfs_object(struct inode *i)
{
    struct mem_object *obj = kmalloc(sizeof(*obj));

    if (!obj)
        return NULL;
    mem_object_init(obj, &tmpfs_object_ops, i);
    obj->bound = &tmpfs_of(i)->pages;
    return obj;
}

static int tmpfs_inode_fill(struct inode *i, u32 mode)
{
    struct tmpfs_inode *t = kzalloc(sizeof(*t));

    if (!t)
        return -ENOMEM;
    list_init(&t->xattrs);
    i->priv = t;
    i->fops = &tmpfs_other_fops;
    i->ops = &tmpfs_other_iops;
    if (S_ISDIR(mode)) {
        i->fops = &tmpfs_dir_fops;
        i->ops = &tmpfs_dir_iops;
        i->nlink = 2;
    } else if (S_ISREG(mode)) {
        i->fops = &tmpfs_file_fops;
        i->ops = &tmpfs_file_iops;
        i->object = tmpfs_object(i);
        /* Over copies: a write stays in one piece; other appends to the file wait. */
        mutex_init(&t->append, RANK_OPS, ORDER_APPEND | LOCK_OVER_COPY, "tmpfs append");
        t->seals = F_SEAL_SEAL; /* but for a memfd that asks for none */
    } else if (S_ISLNK(mode)) {
        i->ops = &tmpfs_link_iops;
    }
    return S_ISREG(mode) && !i->object ? -ENOMEM : 0;
}

/* NULL: no memory, or no inode left. */
struct inode *tmpfs_inode(struct tmpfs_super *ts, u32 mode, const struct inode *dir,
                          const struct cred *cred)
{
    struct inode *i;

    if (!tmpfs_take(&ts->inodes, 1, READ_ONCE(ts->max_inodes)))
        return NULL;
    i = inode_create(&ts->super, mode, &tmpfs_other_iops, &tmpfs_other_fops);
    if (!i) {
        atomic_dec(&ts->inodes);
        return NULL;
    }
    if (tmpfs_inode_fill(i, mode)) {
        inode_put(i);
        return NULL;
    }
    i->uid = cred ? cred->fsuid : 0;
    i->gid = cred ? cred->fsgid : 0;
    if (dir && (dir->mode & S_ISGID)) {
        i->gid = dir->gid;
        if (S_ISDIR(mode))
            i->mode |= S_ISGID;
    }
    return i;
}

/* The inode's last reference: with it go its pages, name and attributes. */
void tmpfs_evict(struct inode *i)
{
    struct tmpfs_inode *t = i->priv;

    if (i->object) {
        DEBUG_ASSERT(!mutex_held(&i->super->renames)); /* others wait for it */
        mem_object_truncate(i->object, 0, U64_MAX);
        mem_object_unbind(i->object);
    }
    atomic_dec(&tmpfs_of(i)->inodes);
    if (!t)
        return;
    tmpfs_xattrs_free(t);
    if (S_ISLNK(i->mode))
        kfree(t->target);
    kfree(t);
}

/* ------------------------------------------------------------- directories; the inode is locked */

static bool tmpfs_cookie_less(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct dentry, by_cookie)->cookie <
           rb_entry(b, struct dentry, by_cookie)->cookie;
}

/* The name's dentry stays as long as the name does: the directory holds a reference. */
static void tmpfs_entry_add(struct inode *dir, struct dentry *d)
{
    struct tmpfs_inode *t = dir->priv;

    dentry_get(d);
    d->cookie = ++t->last_cookie;
    rb_insert(&t->entries, &d->by_cookie, tmpfs_cookie_less);
    WRITE_ONCE(t->nr_entries, t->nr_entries + 1);
    dir->mtime = dir->ctime = vfs_now();
}

static void tmpfs_entry_del(struct inode *dir, struct dentry *d)
{
    struct tmpfs_inode *t = dir->priv;

    rb_erase(&t->entries, &d->by_cookie);
    WRITE_ONCE(t->nr_entries, t->nr_entries - 1);
    dir->mtime = dir->ctime = vfs_now();
    dentry_put(d);
}

/* All names that exist are cached: what is asked for is absent, and need not be remembered. */
static int tmpfs_lookup(struct inode *dir, struct dentry *d)
{
    d->flags |= DENTRY_NOCACHE;
    return 0;
}

/* The one place where a name gets its inode: d is in the cache, so from here on the inode is
 * visible, and it is whole by now. */
static void tmpfs_publish(struct inode *dir, struct dentry *d, struct inode *i)
{
    tmpfs_entry_add(dir, d);
    dentry_instantiate(d, i);
}

/* Nothing is made in a directory that was removed: an overlay may stand on one. What it held would
 * hold it in turn, and both would stay for ever. */
static bool tmpfs_is_gone(const struct inode *dir)
{
    return dir->nlink == 0;
}

/* target: a symbolic link's, the inode's from now on. */
static int tmpfs_make(struct inode *dir, struct dentry *d, u32 mode, u64 rdev,
                      const struct cred *cred, char *target)
{
    struct inode *i;

    if (tmpfs_is_gone(dir))
        return -ENOENT;
    i = tmpfs_inode(tmpfs_of(dir), mode, dir, cred);
    if (!i)
        return -ENOSPC;
    i->rdev = rdev;
    if (target)
        ((struct tmpfs_inode *)i->priv)->target = target;
    tmpfs_publish(dir, d, i);
    return 0;
}

static int tmpfs_create(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred)
{
    return tmpfs_make(dir, d, mode, 0, cred, NULL);
}

static int tmpfs_mknod(struct inode *dir, struct dentry *d, u32 mode, u64 rdev,
                       const struct cred *cred)
{
    return tmpfs_make(dir, d, mode, rdev, cred, NULL);
}

static int tmpfs_mkdir(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred)
{
    int err = tmpfs_make(dir, d, mode, 0, cred, NULL);

    if (!err)
        dir->nlink++;
    return err;
}

static int tmpfs_symlink(struct inode *dir, struct dentry *d, const char *target,
                         const struct cred *cred)
{
    char *copy = kstrdup(target);
    int err;

    if (!copy)
        return -ENOMEM;
    err = tmpfs_make(dir, d, S_IFLNK | 0777, 0, cred, copy);
    if (err)
        kfree(copy);
    return err;
}

/* Unlinking takes no lock of the inode, only its directory's: the count alone decides which was
 * first, the last unlink or the link. */
static int tmpfs_count_link(struct inode *target)
{
    struct tmpfs_inode *t = target->priv;
    u32 n = READ_ONCE(target->nlink);

    do {
        if (n >= LINKS_MAX)
            return -EMLINK;
        if (n == 0 && !__atomic_exchange_n(&t->nameless, false, __ATOMIC_RELAXED))
            return -ENOENT;
    } while (!__atomic_compare_exchange_n(&target->nlink, &n, n + 1, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return 0;
}

static int tmpfs_link(struct inode *dir, struct dentry *d, struct inode *target)
{
    int err = tmpfs_is_gone(dir) ? -ENOENT : tmpfs_count_link(target);

    if (err)
        return err;
    inode_get(target);
    target->ctime = vfs_now();
    tmpfs_publish(dir, d, target);
    return 0;
}

static int tmpfs_unlink(struct inode *dir, struct dentry *d)
{
    struct inode *i = dentry_inode(d);

    __atomic_fetch_sub(&i->nlink, 1, __ATOMIC_RELAXED);
    i->ctime = vfs_now();
    tmpfs_entry_del(dir, d);
    return 0;
}

static bool tmpfs_dir_empty(struct inode *i)
{
    return rb_empty(&((struct tmpfs_inode *)i->priv)->entries);
}

static int tmpfs_rmdir(struct inode *dir, struct dentry *d)
{
    struct inode *i = dentry_inode(d);

    if (!tmpfs_dir_empty(i))
        return -ENOTEMPTY;
    i->nlink = 0;
    dir->nlink--;
    tmpfs_entry_del(dir, d);
    return 0;
}

static void tmpfs_move_links(struct inode *from, struct inode *to, const struct inode *moved)
{
    if (from != to && S_ISDIR(moved->mode)) {
        from->nlink--;
        to->nlink++;
    }
}

static int tmpfs_exchange(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                          struct dentry *new)
{
    struct inode *a = dentry_inode(old), *b = dentry_inode(new);

    tmpfs_move_links(old_dir, new_dir, a);
    tmpfs_move_links(new_dir, old_dir, b);
    if (old_dir == new_dir)
        return 0;
    dentry_get(old);
    dentry_get(new);
    tmpfs_entry_del(old_dir, old);
    tmpfs_entry_del(new_dir, new);
    tmpfs_entry_add(new_dir, old);
    tmpfs_entry_add(old_dir, new);
    dentry_put(old);
    dentry_put(new);
    return 0;
}

/* RENAME_WHITEOUT leaves a character device 0:0 under the old name: overlay's mark. */
static int tmpfs_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                        struct dentry *new, unsigned flags)
{
    struct inode *moved = dentry_inode(old), *victim = dentry_inode(new);

    if (flags & 4)
        return -EINVAL; /* overlay makes its whiteouts by mknod */
    if (tmpfs_is_gone(new_dir) || tmpfs_is_gone(old_dir))
        return -ENOENT;
    if (flags & 2)
        return tmpfs_exchange(old_dir, old, new_dir, new);
    if (victim) {
        int err = S_ISDIR(victim->mode) ? tmpfs_rmdir(new_dir, new) : tmpfs_unlink(new_dir, new);

        if (err)
            return err;
    }
    tmpfs_move_links(old_dir, new_dir, moved);
    dentry_get(old);
    tmpfs_entry_del(old_dir, old);
    tmpfs_entry_add(new_dir, old);
    dentry_put(old);
    moved->ctime = vfs_now();
    return 0;
}

static int tmpfs_tmpfile(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred)
{
    struct inode *i = tmpfs_inode(tmpfs_of(dir), mode, dir, cred);

    if (!i)
        return -ENOSPC;
    i->nlink = 0;
    ((struct tmpfs_inode *)i->priv)->nameless = true;
    dentry_instantiate(d, i);
    return 0;
}

static int tmpfs_dir_getattr(struct inode *i, struct kstat *out)
{
    struct tmpfs_inode *t = i->priv;

    inode_fill_stat(i, out);
    out->size = (2 + READ_ONCE(t->nr_entries)) * DIRENT_SIZE;
    return 0;
}

/* The first entry with a cookie of at least `from`. */
static struct dentry *tmpfs_entry_from(struct tmpfs_inode *t, u64 from)
{
    struct rb_node *n = t->entries.node;
    struct dentry *best = NULL;

    while (n) {
        struct dentry *d = rb_entry(n, struct dentry, by_cookie);

        if (d->cookie >= from) {
            best = d;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

/* f->priv: the last cookie that a reading shows. What gets a later one, being made or renamed
 * meanwhile, is not of it: else one who renames all that is read would never come to the end. */
static int tmpfs_dir_open(struct inode *i, struct file *f)
{
    f->priv = (void *)READ_ONCE(((struct tmpfs_inode *)i->priv)->last_cookie);
    return 0;
}

/* Positions: 0 and 1 the dots, then cookie + 1. vfs holds the directory's lock. */
static int tmpfs_readdir(struct file *f, struct dir_context *ctx)
{
    struct tmpfs_inode *t = f->inode->priv;
    struct dentry *d;

    if (ctx->pos == 0) { /* or rewound */
        (void)tmpfs_dir_open(f->inode, f);
        if (!ctx->emit(ctx, ".", 1, f->inode->ino, 4))
            return 0;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        if (!ctx->emit(ctx, "..", 2, dentry_parent_ino(f->dentry), 4))
            return 0;
        ctx->pos = 2;
    }
    for (d = tmpfs_entry_from(t, (u64)ctx->pos - 1); d && d->cookie <= (u64)f->priv;) {
        struct inode *i = dentry_inode(d);
        struct rb_node *next = rb_next(&d->by_cookie);

        if (!ctx->emit(ctx, d->name, d->len, i->ino, i->mode >> 12 & 15))
            return 0;
        ctx->pos = (loff_t)d->cookie + 2;
        d = next ? rb_entry(next, struct dentry, by_cookie) : NULL;
    }
    return 0;
}

static loff_t tmpfs_dir_seek(struct file *f, loff_t off, int whence)
{
    loff_t to = whence == 0 ? off : whence == 1 ? f->pos + off : -1;

    if (to < 0)
        return -EINVAL;
    f->pos = to;
    return to;
}

static ssize_t tmpfs_readlink(struct inode *i, char *buf, size_t n)
{
    const char *target = ((struct tmpfs_inode *)i->priv)->target;
    size_t len = MIN(strlen(target), n);

    memcpy(buf, target, len);
    return (ssize_t)len;
}

static int tmpfs_link_getattr(struct inode *i, struct kstat *out)
{
    inode_fill_stat(i, out);
    out->size = strlen(((struct tmpfs_inode *)i->priv)->target);
    return 0;
}

static const struct file_ops tmpfs_dir_fops = {
    .read = vfs_read_dir,
    .readdir = tmpfs_readdir,
    .seek = tmpfs_dir_seek,
    .fsync = tmpfs_fsync,
};
static const struct file_ops tmpfs_other_fops = {.name = "tmpfs"};

static const struct inode_ops tmpfs_dir_iops = {
    .names_cached = true,
    .lookup = tmpfs_lookup,
    .create = tmpfs_create,
    .mkdir = tmpfs_mkdir,
    .mknod = tmpfs_mknod,
    .symlink = tmpfs_symlink,
    .link = tmpfs_link,
    .unlink = tmpfs_unlink,
    .rmdir = tmpfs_rmdir,
    .rename = tmpfs_rename,
    .tmpfile = tmpfs_tmpfile,
    .open = tmpfs_dir_open,
    .getattr = tmpfs_dir_getattr,
    TMPFS_XATTR_OPS,
};
static const struct inode_ops tmpfs_other_iops = {TMPFS_XATTR_OPS};
static const struct inode_ops tmpfs_link_iops = {
    .readlink = tmpfs_readlink,
    .getattr = tmpfs_link_getattr,
    TMPFS_XATTR_OPS,
};

/* Deepest first; nothing of the tree is in use any more. */
void tmpfs_empty(struct inode *top)
{
    struct tmpfs_inode *t = top->priv;
    struct rb_node *n;

    while ((n = rb_first(&t->entries))) {
        struct dentry *d = rb_entry(n, struct dentry, by_cookie);
        struct inode *i = dentry_inode(d);

        cond_yield();
        if (S_ISDIR(i->mode) && !tmpfs_dir_empty(i)) {
            t = i->priv;
            continue;
        }
        rb_erase(&t->entries, n);
        dentry_unhash(d);
        if (rb_empty(&t->entries)) {               /* done here: go on from the parent */
            struct dentry *up = d->parent->parent; /* unmounted: no renames any more */

            t = dentry_inode(up)->priv;
        }
        dentry_put(d);
    }
}
