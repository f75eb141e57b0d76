/* SPDX-License-Identifier: MIT
 *
 * devpts: a tmpfs whose character nodes are pty slaves, 136:N, and a ptmx node. Every mount is an
 * instance of its own, with its own numbers. /dev/ptmx serves the instance mounted on the directory
 * `pts` beside it.
 *
 * An instance's lock is not held over calls into vfs.
 */
#include "dev/chrdev.h"
#include "fs/tmpfs/tmpfs.h"
#include "lib/bitmap.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/proc.h"
#include "tty/pty.h"

#define PTS_MAJOR 136
#define PTS_MAX 1024
#define PTS_GROUP 64 /* numbers that are made space for at a time: most instances have none */

struct pts_options {
    u32 mode, ptmx_mode;
    kgid_t gid; /* ID_INVALID: the opener's */
    kuid_t uid;
    u32 max; /* how many pairs at a time */
};

/* l lock */
struct pts_instance {
    struct super *super;               /* I */
    const struct super_ops *tmpfs_ops; /* I */
    struct super_ops ops;              /* I  tmpfs's, with our destroy */
    struct spinlock lock;
    struct pts_options o;                     /* l */
    struct pty **groups[PTS_MAX / PTS_GROUP]; /* l  by number; once there, they stay */
};

static void devpts_destroy(struct super *s);

/* NULL: s is another type's. */
static struct pts_instance *devpts_instance(const struct super *s)
{
    return s->ops->destroy == devpts_destroy
               ? container_of((void *)s->ops, struct pts_instance, ops)
               : NULL;
}

static void devpts_destroy(struct super *s)
{
    struct pts_instance *i = devpts_instance(s);
    const struct super_ops *ops = i->tmpfs_ops;

    s->ops = ops; /* ours lie in the instance */
    for (u32 n = 0; n < PTS_MAX / PTS_GROUP; n++)
        kfree(i->groups[n]);
    kfree(i);
    ops->destroy(s);
}

static int devpts_option(struct pts_options *o, const char *opt)
{
    const char *eq = strchr(opt, '=');
    u64 v = 0;

    if (!*opt || strcmp(opt, "newinstance") == 0)
        return 0;
    if (!eq ||
        parse_u64(eq + 1, str_starts(opt, "mode") || str_starts(opt, "ptmxmode") ? 8 : 10, &v))
        return -EINVAL;
    if (v > U32_MAX)
        return -EINVAL;
    if (str_starts(opt, "ptmxmode="))
        o->ptmx_mode = v & 0777;
    else if (str_starts(opt, "mode="))
        o->mode = v & 0777;
    else if (str_starts(opt, "gid="))
        o->gid = user_ns_map_gid(current_cred()->user_ns, (u32)v);
    else if (str_starts(opt, "uid="))
        o->uid = user_ns_map_uid(current_cred()->user_ns, (u32)v);
    else if (str_starts(opt, "max="))
        o->max = (u32)MIN(v, (u64)PTS_MAX);
    else
        return -EINVAL;
    if ((str_starts(opt, "gid=") && o->gid == ID_INVALID) ||
        (str_starts(opt, "uid=") && o->uid == ID_INVALID))
        return -EINVAL;
    return 0;
}

static int devpts_parse(struct pts_options *o, const char *options)
{
    char one[32];

    *o = (struct pts_options){.mode = 0600, .gid = ID_INVALID, .uid = ID_INVALID, .max = PTS_MAX};
    for (const char *p = options ? options : ""; *p;) {
        const char *end = strchr(p, ',');
        size_t n = end ? (size_t)(end - p) : strlen(p);
        int err;

        if (n >= sizeof(one))
            return -EINVAL;
        memcpy(one, p, n);
        one[n] = 0;
        err = devpts_option(o, one);
        if (err)
            return err;
        p += n + (end != NULL);
    }
    return 0;
}

/* For pairs made from now on, and the ptmx node. */
static int devpts_remount(struct super *s, unsigned flags, const char *options)
{
    struct pts_instance *i = devpts_instance(s);
    struct pts_options o;
    struct dentry *d;
    int err = devpts_parse(&o, options);

    if (err)
        return err;
    spin_lock(&i->lock);
    i->o = o;
    spin_unlock(&i->lock);
    d = dentry_lookup(s->root, "ptmx", 4);
    if (d && dentry_inode(d)) {
        struct inode *ptmx = dentry_inode(d);

        rwlock_write_lock(&ptmx->lock);
        ptmx->mode = (ptmx->mode & S_IFMT) | o.ptmx_mode;
        rwlock_write_unlock(&ptmx->lock);
    }
    if (d)
        dentry_put(d);
    return 0;
}

static int devpts_show_options(struct super *s, char *buf, size_t n)
{
    const struct user_ns *ns = current_cred()->user_ns;
    struct pts_instance *i = devpts_instance(s);
    struct pts_options o;
    size_t at = 0;

    spin_lock(&i->lock);
    o = i->o;
    spin_unlock(&i->lock);
    if (o.uid != ID_INVALID)
        at += scnprintf(buf + at, n - at, ",uid=%u", user_ns_uid(ns, o.uid));
    if (o.gid != ID_INVALID)
        at += scnprintf(buf + at, n - at, ",gid=%u", user_ns_gid(ns, o.gid));
    at += scnprintf(buf + at, n - at, ",mode=%03o,ptmxmode=%03o", o.mode, o.ptmx_mode);
    if (o.max != PTS_MAX)
        at += scnprintf(buf + at, n - at, ",max=%u", o.max);
    return (int)at;
}

/* The ptmx node, before the file system can be seen. */
static int devpts_make_ptmx(struct pts_instance *i)
{
    struct dentry *root = i->super->root, *d = dentry_alloc(root, "ptmx", 4);
    struct inode *dir = dentry_inode(root);

    if (!d)
        return -ENOMEM;
    d = dentry_hash_add(d);
    int err = dir->ops->mknod(dir, d, S_IFCHR | i->o.ptmx_mode, dev_make(5, 2), &cred_init);
    dentry_put(d);
    return err;
}

static int devpts_mount(const struct fs_type *type, const struct walk_ctx *ctx, const char *source,
                        unsigned flags, const char *options, struct super **out)
{
    struct pts_instance *i = kzalloc(sizeof(*i));

    if (!i)
        return -ENOMEM;
    spinlock_init(&i->lock, RANK_TTY, 0, "devpts");
    int err = devpts_parse(&i->o, options);
    if (!err)
        err = tmpfs_mount(type, ctx, source, 0, "mode=755", &i->super);
    if (err) {
        kfree(i);
        return err;
    }
    i->tmpfs_ops = i->super->ops;
    i->ops = *i->super->ops;
    i->ops.destroy = devpts_destroy;
    i->ops.remount = devpts_remount;
    i->ops.show_options = devpts_show_options;
    i->super->ops = &i->ops;
    err = devpts_make_ptmx(i);
    if (err)
        super_put(i->super);
    else
        *out = i->super;
    return err;
}
FS_TYPE(devpts)
= {.name = "devpts", .mount = devpts_mount, .user_ns_ok = true};

/* With the kernel's context, not a user's: what a user has mounted on a node does not keep it. */
static void devpts_walk(const struct pty *p, struct walk_ctx *ctx)
{
    *ctx =
        (struct walk_ctx){.cred = &cred_init, .root = p->dir, .cwd = p->dir, .ns = mount_ns_init};
}

/* The first free number. Where the instance has no space for it, it takes *fresh; -EAGAIN: *fresh
 * is to be allocated first. */
static int devpts_try_index(struct pts_instance *i, struct pty *pty, struct pty ***fresh)
    REQUIRES(i->lock)
{
    ASSERT_HELD(&i->lock);
    for (u32 n = 0; n < i->o.max; n++) {
        struct pty ***group = &i->groups[n / PTS_GROUP];

        if (!*group && !*fresh)
            return -EAGAIN;
        if (!*group) {
            *group = *fresh;
            *fresh = NULL;
        }
        if ((*group)[n % PTS_GROUP])
            continue;
        (*group)[n % PTS_GROUP] = pty;
        pty->index = n;
        return 0;
    }
    return -ENOSPC;
}

static int devpts_take_index(struct pts_instance *i, struct pty *pty)
{
    struct pty **fresh = NULL;
    int err;

    for (;;) {
        spin_lock(&i->lock);
        err = devpts_try_index(i, pty, &fresh);
        spin_unlock(&i->lock);
        if (err != -EAGAIN)
            break;
        fresh = kcalloc(PTS_GROUP, sizeof(*fresh));
        if (!fresh)
            return -ENOMEM;
    }
    kfree(fresh);
    return err;
}

static void devpts_free_index(struct pts_instance *i, struct pty *pty)
{
    spin_lock(&i->lock);
    i->groups[pty->index / PTS_GROUP][pty->index % PTS_GROUP] = NULL;
    spin_unlock(&i->lock);
}

void devpts_remove(struct pts_instance *i, struct pty *pty)
{
    struct walk_ctx ctx;
    char name[12];

    devpts_walk(pty, &ctx);
    snprintf(name, sizeof(name), "%u", pty->index);
    (void)vfs_unlink(&ctx, &pty->dir, name);
    devpts_free_index(i, pty);
}

int devpts_add(struct pts_instance *i, struct pty *pty)
{
    const struct cred *me = current_cred();
    struct attr_change owner = {.valid = ATTR_UID | ATTR_GID};
    struct pts_options o;
    struct walk_ctx ctx;
    struct path node;
    char name[12];
    int err = devpts_take_index(i, pty);

    if (err)
        return err;
    spin_lock(&i->lock); /* a remount may change them */
    o = i->o;
    spin_unlock(&i->lock);
    owner.uid = o.uid == ID_INVALID ? me->fsuid : o.uid;
    owner.gid = o.gid == ID_INVALID ? me->fsgid : o.gid;
    pty->slave.rdev = dev_make(PTS_MAJOR, pty->index);
    devpts_walk(pty, &ctx);
    snprintf(name, sizeof(name), "%u", pty->index);
    err = vfs_mknod(&ctx, &pty->dir, name, S_IFCHR | o.mode, pty->slave.rdev);
    if (err) {
        devpts_free_index(i, pty);
        return err;
    }
    err = vfs_lookup(&ctx, &pty->dir, name, 0, &node);
    if (!err) {
        err = vfs_setattr(&node, &cred_init, &owner);
        spin_lock(&i->lock);
        pty->node_ino = dentry_inode(node.dentry)->ino;
        spin_unlock(&i->lock);
        path_put(&node);
    }
    if (err)
        devpts_remove(i, pty);
    return err;
}

int devpts_open_peer(struct pty *pty, unsigned flags, struct file **out)
{
    struct walk_ctx ctx;
    struct path node;
    char name[12];

    devpts_walk(pty, &ctx);
    snprintf(name, sizeof(name), "%u", pty->index);
    int err = vfs_lookup(&ctx, &pty->dir, name, 0, &node);
    if (err)
        return err;
    err = vfs_open_path(&node, flags, current_cred(), out);
    path_put(&node);
    return err;
}

/* Which instance a ptmx node belongs to, and its directory with references. */
static struct pts_instance *devpts_of_ptmx(struct file *f, struct path *dir)
{
    struct pts_instance *i = devpts_instance(f->inode->super);
    struct walk_hold w;
    struct path beside = {f->mount, NULL};

    if (i) {
        *dir = (struct path){f->mount, i->super->root};
        path_get(dir);
        return i;
    }
    beside.dentry = dentry_get_parent(f->dentry);
    walk_begin(&w);
    int err = vfs_lookup(&w.ctx, &beside, "pts", WALK_FOLLOW | WALK_DIRECTORY, dir);
    walk_end(&w);
    dentry_put(beside.dentry);
    if (err)
        return NULL;
    i = devpts_instance(dentry_inode(dir->dentry)->super);
    if (!i)
        path_put(dir);
    return i;
}

static int ptmx_open(struct file *f, u32 minor)
{
    struct path dir;
    struct pts_instance *i = devpts_of_ptmx(f, &dir);

    if (!i)
        return -ENODEV;
    int err = pty_open_master(f, i, &dir);
    path_put(&dir);
    return err;
}

/* The node decides who may open: a number is used again, and the node of a terminal that is gone
 * may still be held by its former owner. */
static int pts_open(struct file *f, u32 minor)
{
    struct pts_instance *i = devpts_instance(f->inode->super);
    struct pty *pty = NULL;

    if (!i || minor >= PTS_MAX)
        return -EIO;
    spin_lock(&i->lock);
    if (i->groups[minor / PTS_GROUP])
        pty = i->groups[minor / PTS_GROUP][minor % PTS_GROUP];
    if (pty && pty->node_ino != f->inode->ino)
        pty = NULL;
    if (pty)
        tty_get(&pty->slave);
    spin_unlock(&i->lock);
    if (!pty)
        return -EIO;
    int err = pty_open_slave(pty, f, f->flags & O_NOCTTY);
    tty_put(&pty->slave);
    return err;
}

static const struct file_ops pts_node_ops = {.name = "tty"};
CHRDEV(ptmx) = {"ptmx", 5, 2, 0666, &pts_node_ops, ptmx_open, 1, false};
CHRDEV(pts) = {"pts_slave", PTS_MAJOR, 0, 0600, &pts_node_ops, pts_open, PTS_MAX, true};
