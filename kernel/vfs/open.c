/* SPDX-License-Identifier: MIT
 *
 * open(2): finding or creating the name, checking rights, making the struct file.
 */
#include "dev/block.h"
#include "dev/chrdev.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/pipe.h"
#include "obj/up.h"
#include "uapi/bpf.h"
#include "vfs/cached_inode.h"
#include "vfs/inotify.h"
#include "vfs/up.h"
#include "vfs/vfs_priv.h"

#define MS_NODEV 4

static const struct file_ops path_only_ops = {.name = "path"};

static int open_access_mask(unsigned o_flags)
{
    switch (o_flags & O_ACCMODE) {
    case O_RDONLY:
        return 4;
    case O_WRONLY:
        return 2;
    default:
        return 6;
    }
}

static bool open_device_allowed(const struct inode *inode, int mask)
{
    unsigned access = (mask & 4 ? DEVICE_READ : 0) | (mask & 2 ? DEVICE_WRITE : 0);

    return up_device_allowed(S_ISBLK(inode->mode), dev_major(inode->rdev), dev_minor(inode->rdev),
                             access);
}

/* What may be opened, and how, once it is found. */
static int open_check(const struct path *p, struct inode *inode, unsigned o_flags,
                      const struct cred *cred)
{
    int mask = open_access_mask(o_flags) | (o_flags & O_TRUNC ? 2 : 0);

    if ((o_flags & O_DIRECTORY) && !S_ISDIR(inode->mode))
        return -ENOTDIR;
    if (S_ISLNK(inode->mode))
        return -ELOOP;
    if (S_ISDIR(inode->mode) && ((mask & 2) || (o_flags & O_CREAT)))
        return -EISDIR;
    if (S_ISSOCK(inode->mode) || (inode_is_anon(inode) && !S_ISFIFO(inode->mode)))
        return -ENXIO;
    if ((S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) && (p->mount->flags & MS_NODEV))
        return -EACCES;
    if ((S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) && !open_device_allowed(inode, mask))
        return -EPERM;
    if ((mask & 2) && S_ISREG(inode->mode)) {
        int err = mount_may_write(p->mount);

        if (err)
            return err;
    }
    if ((o_flags & O_NOATIME) && !inode_owner_or_capable(inode, cred))
        return -EPERM;
    return inode_permission(inode, cred, mask);
}

/* A regular file is either written or executed: inode->writers counts up for one, down for the
 * other. */
static int open_count_writer(struct inode *inode)
{
    s32 n = atomic_read(&inode->writers);

    do {
        if (n < 0)
            return -ETXTBSY;
    } while (!atomic_cas(&inode->writers, &n, n + 1));
    return 0;
}

static int open_begin_write(struct mount *m, struct inode *inode)
{
    int err = open_count_writer(inode);

    if (err)
        return err;
    err = mount_write_begin(m);
    if (err)
        atomic_dec(&inode->writers);
    return err;
}

int file_deny_writers(struct file *f)
{
    s32 n = atomic_read(&f->inode->writers);

    do {
        if (n > 0)
            return -ETXTBSY;
    } while (!atomic_cas(&f->inode->writers, &n, n - 1));
    f->denies_writers = true;
    return 0;
}

void file_allow_writers(struct file *f)
{
    if (!f->denies_writers)
        return;
    f->denies_writers = false;
    atomic_inc(&f->inode->writers);
}

/* The inode keeps its pipe from the first open to the last close. */
static int open_fifo(struct file *f, struct inode *inode)
{
    bool anon = inode_is_anon(inode); /* a pipe, reached by a descriptor of it */
    struct pipe *pipe;
    int err;

    rwlock_write_lock(&inode->lock);
    if (!inode->pipe && !anon)
        inode->pipe = pipe_alloc();
    pipe = inode->pipe;
    if (pipe && !pipe_get_unless_gone(pipe))
        pipe = NULL;
    rwlock_write_unlock(&inode->lock);
    if (!pipe)
        return anon ? -ENXIO : -ENOMEM;
    err = pipe_open(pipe, f, !anon);
    pipe_put(pipe);
    return err;
}

/* References are taken under the inode's lock: when it has the only one, no other thread can get
 * one.
 */
static void open_fifo_close(struct inode *inode)
{
    struct pipe *unused = NULL;

    rwlock_write_lock(&inode->lock);
    if (inode->pipe && pipe_unshared(inode->pipe)) {
        unused = inode->pipe;
        inode->pipe = NULL;
    }
    rwlock_write_unlock(&inode->lock);
    if (unused)
        pipe_put(unused);
}

/* Also FIFOs, which obj owns. */
static int open_special(struct file *f, struct inode *inode, unsigned o_flags)
{
    const struct chrdev *dev;

    if (S_ISFIFO(inode->mode))
        return open_fifo(f, inode);
    if (S_ISBLK(inode->mode))
        return block_open_file(f, dev_major(inode->rdev), dev_minor(inode->rdev),
                               (o_flags & (O_EXCL | O_CREAT)) == O_EXCL);
    dev = chrdev_find(dev_major(inode->rdev), dev_minor(inode->rdev));
    if (!dev)
        return -ENXIO;
    f->ops = dev->ops;
    return dev->open ? dev->open(f, dev_minor(inode->rdev)) : 0;
}

static int open_call(struct file *f, struct inode *inode, unsigned o_flags)
{
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode) || S_ISFIFO(inode->mode))
        return open_special(f, inode, o_flags);
    if (inode->cached)
        cached_file_open(f);
    return inode->ops->open ? inode->ops->open(inode, f) : 0;
}

/* What vfs has f count, until up_file_release_path. 0 or -errno. */
static int open_count(struct file *f, const struct path *p, struct inode *inode)
{
    bool writes = file_writable(f);
    int err = writes ? open_begin_write(p->mount, inode) : 0;

    if (err)
        return err;
    f->counts_writer = writes;
    f->counts_reader = !writes;
    if (!writes)
        atomic_inc(&inode->readers);
    return 0;
}

/* Takes p's references, also where it fails. */
static int open_taken(const struct path *p, unsigned o_flags, const struct cred *cred,
                      struct file **out)
{
    struct inode *inode = dentry_inode(p->dentry);
    bool path_only = o_flags & O_PATH;
    struct file *f;
    int err = 0;

    f = file_create(path_only ? &path_only_ops : inode->fops,
                    o_flags & ~(unsigned)(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC), NULL);
    if (!f) {
        path_put(p);
        return -ENFILE;
    }
    f->mount = p->mount;
    f->dentry = p->dentry;
    f->inode = inode;
    cred_get(cred);
    f->cred = cred;
    if (!path_only && S_ISREG(inode->mode))
        err = open_count(f, p, inode);
    if (!err && !path_only)
        err = open_call(f, inode, o_flags);
    if (err) {
        f->ops = &path_only_ops; /* never opened: nothing to release but what vfs took */
        file_put(f);
        return err;
    }
    if (!path_only)
        notify_file(f, IN_OPEN);
    *out = f;
    return 0;
}

int open_dentry(const struct path *p, unsigned o_flags, const struct cred *cred, struct file **out)
{
    path_get(p);
    return open_taken(p, o_flags, cred, out);
}

/* obj's last put of a file, after ops->release. */
void up_file_release_path(struct file *f)
{
    if (f->dentry && f->ops != &path_only_ops)
        notify_file(f, f->counts_writer || file_writable(f) ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    if (f->counts_writer) {
        atomic_dec(&f->inode->writers);
        mount_write_end(f->mount);
    } else if (f->counts_reader) {
        atomic_dec(&f->inode->readers);
    }
    file_allow_writers(f);
    file_lock_release(f, NULL);
    if (f->inode && S_ISFIFO(f->inode->mode) && !inode_is_anon(f->inode))
        open_fifo_close(f->inode);
    if (f->anon_inode)
        inode_put(f->anon_inode);
    if (f->dentry)
        dentry_put(f->dentry);
    if (f->mount)
        mount_put(f->mount);
}

/* O_RDONLY | O_TRUNC changes the file as well. */
static int open_truncate(struct file *f)
{
    int err = open_count_writer(f->inode);

    if (err)
        return err;
    err = file_truncate(f, 0);
    atomic_dec(&f->inode->writers);
    return err;
}

/* As open_taken, once no lease is in the way. */
static int open_unleased(const struct path *p, unsigned o_flags, const struct cred *cred,
                         struct file **out)
{
    struct inode *inode = dentry_inode(p->dentry);
    int err = open_taken(p, o_flags, cred, out);

    if (!err && unlikely(lock_of_inode_made(inode)) &&
        ((*out)->counts_writer || (*out)->counts_reader)) {
        err = lease_break(inode, (*out)->counts_writer, o_flags & O_NONBLOCK);
        if (err)
            file_put(*out);
    }
    return err;
}

/* Takes p's references, also where it fails. */
static int open_found(const struct path *p, unsigned o_flags, const struct cred *cred,
                      struct file **out)
{
    struct inode *inode = dentry_inode(p->dentry);
    struct file *f;
    int err;

    if (o_flags & O_PATH)
        err = (o_flags & O_DIRECTORY) && !S_ISDIR(inode->mode) ? -ENOTDIR : 0;
    else
        err = open_check(p, inode, o_flags, cred);
    if (err) {
        path_put(p);
        return err;
    }
    err = open_unleased(p, o_flags, cred, &f);
    if (err)
        return err;
    if ((o_flags & O_TRUNC) && S_ISREG(inode->mode) && !(o_flags & O_PATH)) {
        err = open_truncate(f);
        if (err) {
            file_put(f);
            return err;
        }
    }
    *out = f;
    return 0;
}

int vfs_open_path(const struct path *p, unsigned o_flags, const struct cred *cred,
                  struct file **out)
{
    path_get(p);
    return open_found(p, o_flags, cred, out);
}

/* The directory is locked for writing. *created tells that no rights need checking. */
static int open_create_locked(const struct walk_last *last, u32 mode, unsigned o_flags,
                              const struct cred *cred, struct dentry **out, bool *created)
    REQUIRES(dentry_inode(last->dir.dentry)->lock)
{
    struct inode *dir = dentry_inode(last->dir.dentry);
    struct dentry *d = walk_child(last->dir.dentry, last->name, last->len, true);
    int err;

    ASSERT_HELD_WRITE(&dentry_inode(last->dir.dentry)->lock);
    *created = false;
    if (IS_ERR(d))
        return PTR_ERR(d);
    if (dentry_inode(d)) {
        if (o_flags & O_EXCL) {
            dentry_put(d);
            return -EEXIST;
        }
        *out = d;
        return 0;
    }
    err = walk_may_create(&last->dir, cred);
    if (!err)
        err = dir->ops->create
                  ? dir->ops->create(dir, d, inode_new_mode(dir, S_IFREG | (mode & 07777), cred),
                                     cred)
                  : -EPERM;
    if (err) {
        dentry_put(d);
        return err;
    }
    notify_name(last->dir.dentry, d, IN_CREATE);
    *created = true;
    *out = d;
    return 0;
}

/* Takes p's references. */
static int open_created(const struct path *p, unsigned o_flags, const struct cred *cred,
                        struct file **out)
{
    return open_unleased(p, o_flags & ~(unsigned)O_TRUNC, cred, out);
}

/* A name that exists is opened as if O_CREAT had not been given; a link is followed by walking
 * again, and if it dangles, its target is created: *dir is the link's directory, else nothing. */
static int open_or_create(const struct walk_ctx *ctx, const struct path *at, const char *name,
                          unsigned o_flags, u32 mode, unsigned walk_flags, struct path *dir,
                          struct path *found, bool *created)
{
    struct walk_last last;
    struct dentry *d = NULL;
    int err;

    *created = false;
    *dir = (struct path){0};
    if (!(o_flags & O_EXCL)) { /* else it is most likely not there */
        err = vfs_lookup(ctx, at, name, walk_flags | WALK_CREATE, found);
        if (err != -ENOENT)
            return err;
    }
    err = walk_to_last(ctx, at, name, walk_flags, &last);
    if (err)
        return err;
    if (last.kind != LAST_NAME || last.slash) {
        err = last.kind != LAST_NAME && (o_flags & O_EXCL) ? -EEXIST : -EISDIR;
        goto out;
    }
    rwlock_write_lock(&dentry_inode(last.dir.dentry)->lock);
    err = open_create_locked(&last, mode, o_flags, ctx->cred, &d, created);
    rwlock_write_unlock(&dentry_inode(last.dir.dentry)->lock);
    if (err)
        goto out;
    *found = (struct path){last.dir.mount, d};
    if (*created || !S_ISLNK(dentry_inode(d)->mode)) {
        dentry_put(last.dir.dentry); /* the mount's reference goes along */
        return 0;
    }
    mount_get(last.dir.mount);
    *dir = last.dir;
    return 0;
out:
    walk_last_put(&last);
    return err;
}

/* Creating through a dangling link: goes on in its directory with its text. What the walk said of
 * the link before may have been about another one of that name. */
static int open_create_through(const struct walk_ctx *ctx, const struct path *dir,
                               const struct path *link, unsigned walk_flags, char *text)
{
    struct inode *inode = dentry_inode(link->dentry);
    ssize_t n;

    if ((walk_flags & WALK_NO_SYMLINKS) || (link->mount->flags & MS_NOSYMFOLLOW))
        return -ELOOP;
    if (!walk_may_follow(ctx->cred, dentry_inode(dir->dentry), inode))
        return -EACCES;
    n = vfs_readlink(link, text, PATH_MAX - 1);
    if (n < 0)
        return (int)n;
    text[n] = '\0';
    return 0;
}

static int open_create(const struct walk_ctx *ctx, const struct path *at, const char *name,
                       unsigned o_flags, u32 mode, unsigned walk_flags, struct path *found,
                       bool *created)
{
    char *text = NULL;
    struct path from = {0}, dir;
    int err = -ELOOP;

    for (unsigned links = 0; links <= SYMLINKS_MAX; links++) {
        err = open_or_create(ctx, text ? &from : at, text ? text : name, o_flags, mode, walk_flags,
                             &dir, found, created);
        path_put(&from);
        from = dir;
        if (err || *created || !from.dentry || !S_ISLNK(dentry_inode(found->dentry)->mode) ||
            (o_flags & O_NOFOLLOW))
            break;
        if (!text)
            text = kmalloc(PATH_MAX);
        err = text ? open_create_through(ctx, &from, found, walk_flags, text) : -ENOMEM;
        path_put(found);
        if (err)
            break;
        err = -ELOOP;
    }
    path_put(&from);
    kfree(text);
    return err;
}

static int open_tmpfile(const struct walk_ctx *ctx, const struct path *dir, unsigned o_flags,
                        u32 mode, struct file **out)
{
    struct inode *inode = dentry_inode(dir->dentry);
    struct path p = {dir->mount, NULL};
    int err = walk_may_create(dir, ctx->cred);

    if (err)
        return err;
    if (!S_ISDIR(inode->mode))
        return -ENOTDIR;
    if (!inode->ops->tmpfile)
        return -EOPNOTSUPP;
    if (!(open_access_mask(o_flags) & 2))
        return -EINVAL;
    p.dentry = dentry_alloc(dir->dentry, "#tmp", 4);
    if (!p.dentry)
        return -ENOMEM;
    p.dentry->flags |= DENTRY_UNLINKED;
    mode = inode_new_mode(inode, S_IFREG | (mode & 07777), ctx->cred);
    err = inode->ops->tmpfile(inode, p.dentry, mode, ctx->cred);
    if (err) {
        dentry_put(p.dentry);
        return err;
    }
    if (o_flags & O_EXCL)
        dentry_inode(p.dentry)->never_linked = true;
    mount_get(p.mount);
    return open_created(&p, o_flags & ~(unsigned)O_TMPFILE, ctx->cred, out);
}

int vfs_open(const struct walk_ctx *ctx, const struct path *at, const char *name, unsigned o_flags,
             u32 mode, unsigned walk_flags, struct file **out)
{
    struct walk_ctx scoped = *ctx;
    bool created = false,
         follow = !(o_flags & O_NOFOLLOW) && !((o_flags & O_CREAT) && (o_flags & O_EXCL));
    struct path found;
    int err;

    if (walk_flags & WALK_SCOPED) { /* the starting directory is the root of all that follows */
        scoped.root = at ? *at : ctx->cwd;
        ctx = &scoped;
    }
    walk_flags |= follow ? WALK_FOLLOW : 0;
    if (o_flags & O_PATH)
        o_flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if ((o_flags & O_TMPFILE) == O_TMPFILE)
        walk_flags |= WALK_DIRECTORY;
    else if ((o_flags & O_DIRECTORY) && (o_flags & O_CREAT))
        return -EINVAL;
    else if (o_flags & O_CREAT)
        goto create;
    err = vfs_lookup(ctx, at, name, walk_flags, &found);
    if (err)
        return err;
    if ((o_flags & O_TMPFILE) != O_TMPFILE)
        return open_found(&found, o_flags, ctx->cred, out);
    err = open_tmpfile(ctx, &found, o_flags, mode, out);
    path_put(&found);
    return err;
create:
    err = open_create(ctx, at, name, o_flags, mode, walk_flags, &found, &created);
    if (err)
        return err;
    return created ? open_created(&found, o_flags, ctx->cred, out)
                   : open_found(&found, o_flags, ctx->cred, out);
}

int file_readdir(struct file *f, struct dir_context *ctx)
{
    struct inode *inode = f->inode;
    int err;

    if (!f->ops->readdir)
        return -ENOTDIR;
    if (!inode)
        return f->ops->readdir(f, ctx);
    if (inode->nlink == 0)
        return -ENOENT;
    rwlock_read_lock(&inode->lock);
    err = f->ops->readdir(f, ctx);
    rwlock_read_unlock(&inode->lock);
    return err;
}
