/* SPDX-License-Identifier: MIT
 *
 * Inodes and paths of files that were never opened by a name: pipes, sockets, eventfds and so on.
 * Most are never asked for theirs: an inode is made when a caller changes, locks or opens what the
 * descriptor names, and keeps what was said to it until the object goes. Both ends of a pipe have
 * one inode, any other object its own. A path to it is a dentry outside of every directory, in a
 * mount outside of every namespace.
 *
 * The inode of a pipe borrows the pipe, which clears that when it goes (up_pipe_gone).
 */
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "obj/pipe.h"
#include "obj/up.h"
#include "vfs/mount_priv.h"

#define ANON_INO 1 /* what has no number of its own: an eventfd, an epoll */

/* By kind: Linux's names and numbers of the file systems that such files are said to be in. */
static struct anon_fs {
    struct fs_type type;
    s64 magic;
    struct super super;
    struct mount *mount;
} anon_fs[] = {
    {.type = {.name = "pipefs"}, .magic = 0x50495045},
    {.type = {.name = "sockfs"}, .magic = 0x534f434b},
    {.type = {.name = "anon_inodefs"}, .magic = 0x09041934},
};

static int anon_statfs(struct super *s, struct statfs_k *out)
{
    const struct anon_fs *fs = container_of(s, struct anon_fs, super);

    *out = (struct statfs_k){
        .type = fs->magic, .bsize = PAGE_SIZE, .frsize = PAGE_SIZE, .namelen = NAME_MAX};
    return 0;
}

static int anon_setattr(struct inode *i, const struct attr_change *ch)
{
    return ch->valid & ATTR_SIZE ? -EINVAL : 0;
}

static const struct super_ops anon_super_ops = {.statfs = anon_statfs};
static const struct inode_ops anon_iops = {.setattr = anon_setattr};
static const struct file_ops anon_fops = {.name = "anon_inode"};

static struct anon_fs *anon_fs_of(u32 mode)
{
    return &anon_fs[S_ISFIFO(mode) ? 0 : S_ISSOCK(mode) ? 1 : 2];
}

bool inode_is_anon(const struct inode *i)
{
    return i->super && i->super->ops == &anon_super_ops;
}

static void anon_fs_make(struct anon_fs *fs)
{
    struct inode *root;

    fs->super.type = &fs->type;
    fs->super.ops = &anon_super_ops;
    fs->super.dev = super_dev_alloc();
    fs->super.user_ns = &user_ns_init;
    refcount_init(&fs->super.ref, 1);
    root = inode_create(&fs->super, S_IFDIR | 0500, &anon_iops, &anon_fops);
    fs->super.root = root ? dentry_create_root(root) : NULL;
    if (fs->super.root)
        fs->mount = mount_alloc(&fs->super, fs->super.root, fs->type.name, 0);
    if (!fs->mount)
        panic("no memory for %s", fs->type.name);
    fs->mount->flags = 0;
}

void anon_init(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(anon_fs); i++)
        anon_fs_make(&anon_fs[i]);
}

/* The object's inode, if it has one yet. */
static struct inode *anon_inode_of(struct file *f)
{
    struct inode **slot = f->ops->inode_slot ? f->ops->inode_slot(f) : &f->anon_inode;

    return __atomic_load_n(slot, __ATOMIC_ACQUIRE);
}

int anon_stat(struct file *f, struct kstat *out)
{
    struct inode *i = anon_inode_of(f);
    u32 mode = f->ops->anon_mode ? f->ops->anon_mode : 0600;
    struct timespec_k born = f->ops->anon_mode ? vfs_time(f->anon_born) : (struct timespec_k){0};

    if (i) {
        inode_fill_stat(i, out);
        out->mount_id = anon_fs_of(i->mode)->mount->id;
        return 0;
    }
    if (f->ops->stat)
        return f->ops->stat(f, out);
    *out = (struct kstat){.dev = anon_fs_of(mode)->super.dev,
                          .ino = f->anon_ino ? f->anon_ino : ANON_INO,
                          .mode = mode,
                          .nlink = 1,
                          .uid = f->anon_uid,
                          .gid = f->anon_gid,
                          .blksize = PAGE_SIZE,
                          .atime = born,
                          .mtime = born,
                          .ctime = born,
                          .mount_id = anon_fs_of(mode)->mount->id};
    return 0;
}

static struct inode *anon_inode_make(struct file *f)
{
    struct kstat st;
    struct inode *i;

    if (anon_stat(f, &st))
        return NULL;
    i = inode_create(&anon_fs_of(st.mode)->super, st.mode, &anon_iops, &anon_fops);
    if (!i)
        return NULL;
    i->ino = st.ino;
    i->uid = st.uid;
    i->gid = st.gid;
    i->atime = i->mtime = i->ctime = st.ctime;
    return i;
}

/* Puts fresh, with its reference, into the slot unless another one is there: that one. */
static struct inode *anon_settle(struct inode **slot, struct inode *fresh)
{
    struct inode *none = NULL;

    if (__atomic_compare_exchange_n(slot, &none, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    inode_put(fresh);
    return none;
}

/* The inode of a pipe, for one more file, with a reference; NULL: no memory. */
static struct inode *anon_inode_shared(struct file *f)
{
    struct inode *i = anon_inode_of(f);

    if (!i) {
        i = anon_inode_make(f);
        if (!i)
            return NULL;
        i = anon_settle(f->ops->inode_slot(f), i);
    }
    i->pipe = f->priv;
    inode_get(i);
    return i;
}

/* The file keeps a reference of its own: its object may go before it does. It is settled with one
 * that is new, not with what another thread has put there since we looked: that has just the one.
 */
struct inode *file_inode(struct file *f)
{
    struct inode *i = file_inode_made(f);

    if (i)
        return i;
    DELAYPOINT(anon_inode);
    i = f->ops->inode_slot ? anon_inode_shared(f) : anon_inode_make(f);
    return i ? anon_settle(&f->anon_inode, i) : NULL;
}

/* obj's pipe goes, and with it what its inode knows of it. */
void up_pipe_gone(struct inode *i)
{
    rwlock_write_lock(&i->lock);
    i->pipe = NULL;
    rwlock_write_unlock(&i->lock);
    inode_put(i);
}

size_t file_anon_text(struct file *f, char *text, size_t n)
{
    struct kstat st = {0};

    if (str_starts(f->ops->name, "anon_inode:"))
        return (size_t)scnprintf(text, n, "%s", f->ops->name);
    if (f->ops->name[0] == '[')
        return (size_t)scnprintf(text, n, "anon_inode:%s", f->ops->name);
    (void)anon_stat(f, &st);
    return (size_t)scnprintf(text, n, "%s:[%lu]", f->ops->name, st.ino);
}

int file_get_path(struct file *f, struct path *out)
{
    struct inode *i = f->dentry ? NULL : file_inode(f);
    char text[64];
    struct dentry *d;
    size_t len;

    if (f->dentry) {
        *out = (struct path){f->mount, f->dentry};
        path_get(out);
        return 0;
    }
    len = file_anon_text(f, text, sizeof(text));
    d = i ? dentry_alloc(NULL, text, len) : NULL;
    if (!d)
        return -ENOMEM;
    d->super = i->super;
    d->flags |= DENTRY_ANON;
    inode_get(i);
    dentry_instantiate(d, i);
    *out = (struct path){anon_fs_of(i->mode)->mount, d};
    mount_get(out->mount);
    return 0;
}
