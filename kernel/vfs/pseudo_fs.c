/* SPDX-License-Identifier: MIT
 *
 * The pseudo-file tree (pseudo.h) as a file system: inodes are made from nodes on look-up, and hold
 * a reference of theirs.
 */
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sync/rcu.h"
#include "vfs/dentry.h"
#include "vfs/pseudo_priv.h"

#define STORE_MAX 4096

static const struct inode_ops pseudo_inode_ops, pseudo_magic_ops;
static const struct file_ops pseudo_file_ops, pseudo_dir_ops;

/* ------------------------------------------------------------- inodes */

static struct pseudo_node *pseudo_of_inode(const struct inode *i)
{
    return i->priv;
}

struct pseudo_node *pseudo_of_file(const struct file *f)
{
    return f->inode->priv;
}

bool pseudo_is(const struct inode *i)
{
    return i->ops == &pseudo_inode_ops || i->ops == &pseudo_magic_ops;
}

bool pseudo_file_is(const struct file *f, const struct pseudo_ops *ops)
{
    return f->inode && pseudo_is(f->inode) && pseudo_of_inode(f->inode)->ops == ops;
}

/* Consumes the node's reference. */
static struct inode *pseudo_inode(struct super *s, struct pseudo_node *node)
{
    const struct file_ops *fops = node->ops->fops;
    struct inode *i;

    if (S_ISDIR(node->mode))
        fops = &pseudo_dir_ops;
    else if (!fops)
        fops = &pseudo_file_ops;
    i = inode_create(s, node->mode, node->ops->follow ? &pseudo_magic_ops : &pseudo_inode_ops,
                     fops);
    if (!i) {
        pseudo_put(node);
        return NULL;
    }
    i->priv = node;
    i->ino = node->ino;
    if (S_ISDIR(node->mode))
        i->nlink = 2;
    if (node->ops->owner)
        node->ops->owner(node, &i->uid, &i->gid);
    return i;
}

/* Computed and absent names are not kept: they come and go without our knowledge. */
static int pseudo_lookup(struct inode *dir, struct dentry *d)
{
    struct pseudo_node *node = pseudo_find(dir->super, dir->priv, d->name, d->len);
    struct inode *i;

    if (!node || IS_ERR(node)) {
        d->flags |= DENTRY_NOCACHE;
        return node ? PTR_ERR(node) : 0;
    }
    if (node->revalidate || !node->parent)
        d->flags |= DENTRY_NOCACHE;
    i = pseudo_inode(dir->super, node);
    if (!i)
        return -ENOMEM;
    dentry_instantiate(d, i);
    return 0;
}

static bool pseudo_revalidate(struct inode *dir, struct dentry *d)
{
    struct inode *i = dentry_inode(d);
    struct pseudo_node *node, *now;
    bool same;

    if (!i)
        return false;
    node = i->priv;
    if (!node->revalidate)
        return node->parent != NULL || node->ops->lookup || node->ops->lookup_in ||
               !S_ISDIR(node->mode);
    now = pseudo_find(dir->super, dir->priv, d->name, d->len);
    if (!now)
        return false;
    if (IS_ERR(now))
        return true; /* no memory for a look: nothing says that it has gone */
    same = now->ops == node->ops &&
           (now->priv == node->priv || (now->ops->same && now->ops->same(now, node)));
    pseudo_put(now);
    return same;
}

static int pseudo_mkdir(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred)
{
    struct pseudo_node *parent = dir->priv, *node;
    struct inode *i = NULL;
    int err;

    if (!parent->ops->mkdir)
        return -EPERM;
    err = parent->ops->mkdir(parent, d->name, mode);
    if (err)
        return err;
    node = pseudo_find(dir->super, parent, d->name, d->len);
    if (node && !IS_ERR(node))
        i = pseudo_inode(dir->super, node);
    if (i) /* else it is looked up anew: made it is */
        dentry_instantiate(d, i);
    return 0;
}

static int pseudo_rmdir(struct inode *dir, struct dentry *d)
{
    struct pseudo_node *parent = dir->priv;
    struct inode *i = dentry_inode(d);

    return parent->ops->rmdir ? parent->ops->rmdir(parent, i->priv) : -EPERM;
}

static ssize_t pseudo_readlink(struct inode *i, char *buf, size_t n)
{
    struct pseudo_node *node = i->priv;

    return node->ops->readlink ? node->ops->readlink(node, buf, n) : -EINVAL;
}

static int pseudo_follow(struct inode *i, const struct cred *cred, struct path *out)
{
    struct pseudo_node *node = i->priv;

    return node->ops->follow(node, cred, out);
}

int pseudo_may(struct pseudo_node *node, const struct cred *cred, int mask)
{
    u32 bits = node->mode;
    kuid_t uid = 0;
    kgid_t gid = 0;

    if (node->ops->owner)
        node->ops->owner(node, &uid, &gid);
    bits >>= cred->fsuid == uid ? 6 : cred_in_group(cred, gid) ? 3 : 0;
    if ((mask & ~bits & 7) == 0)
        return 0;
    return cred_capable(cred, &user_ns_init, CAP_DAC_OVERRIDE) ? 0 : -EACCES;
}

static int pseudo_permission(struct inode *i, const struct cred *cred, int mask)
{
    struct pseudo_node *node = i->priv;

    return node->ops->permission ? node->ops->permission(node, cred, mask)
                                 : pseudo_may(node, cred, mask);
}

static int pseudo_setattr(struct inode *i, const struct attr_change *ch)
{
    return ch->valid & (ATTR_UID | ATTR_GID | ATTR_MODE) ? -EPERM
                                                         : 0; /* O_TRUNC means nothing here */
}

static const struct inode_ops pseudo_inode_ops = {
    .lookup = pseudo_lookup,
    .revalidate = pseudo_revalidate,
    .mkdir = pseudo_mkdir,
    .rmdir = pseudo_rmdir,
    .readlink = pseudo_readlink,
    .permission = pseudo_permission,
    .setattr = pseudo_setattr,
    .watched = pseudo_watch,
};
/* The walk asks for follow before readlink, so magic links have their own table. */
static const struct inode_ops pseudo_magic_ops = {
    .readlink = pseudo_readlink,
    .follow = pseudo_follow,
    .permission = pseudo_permission,
    .setattr = pseudo_setattr,
};

/* ------------------------------------------------------------- files */

struct pseudo_open {
    struct mutex lock;
    struct seq text;     /* lock  the part at hand */
    u64 base;            /* lock  its place in the file */
    u64 next;            /* lock  where the next part begins, as show_part counts */
    bool shown;          /* lock */
    struct mount_ns *ns; /* a  set once: whose changes are polled; a reference */
    u64 seen;            /* a  how many of them, or of the text's changes, were told */
};

static struct pseudo_open *pseudo_opened(struct file *f)
{
    struct pseudo_open *o = READ_ONCE(f->priv), *none = NULL;

    if (o)
        return o;
    o = kzalloc(sizeof(*o));
    if (!o)
        return NULL;
    mutex_init(&o->lock, RANK_OPS, ORDER_PSEUDO_TEXT, "pseudo text");
    if (!__atomic_compare_exchange_n(&f->priv, (void **)&none, o, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST)) {
        kfree(o);
        o = f->priv;
    }
    return o;
}

/* The part after the one at hand. */
static int pseudo_show_next_locked(struct file *f, struct pseudo_open *o) REQUIRES(o->lock)
{
    struct pseudo_node *node = pseudo_of_file(f);
    int err;

    ASSERT_HELD(&o->lock);
    if (!o->next && node->ops->changes)
        WRITE_ONCE(o->seen, __atomic_load_n(&node->ops->changes(node)->count, __ATOMIC_SEQ_CST));
    o->base += o->text.len;
    o->text.len = 0;
    o->text.failed = false;
    if (node->ops->show_part) {
        err = node->ops->show_part(node, &o->next, &o->text, f->cred);
    } else {
        o->next = PSEUDO_ALL_SHOWN;
        err = node->ops->show(node, &o->text, f->cred);
    }
    if (!err && o->text.failed)
        err = -ENOMEM;
    o->shown = err == 0;
    return err;
}

/* Brings the part with pos to hand, from the start where need be; beyond the last: that one. */
static int pseudo_seek_part_locked(struct file *f, struct pseudo_open *o, u64 pos, bool anew)
    REQUIRES(o->lock)
{
    int err = 0;

    ASSERT_HELD(&o->lock);
    if (anew || !o->shown || pos < o->base) {
        o->base = o->next = o->text.len = 0;
        err = pseudo_show_next_locked(f, o);
    }
    while (!err && pos >= o->base + o->text.len && o->next != PSEUDO_ALL_SHOWN) {
        cond_yield();
        err = thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE)
                  ? -EINTR
                  : pseudo_show_next_locked(f, o);
    }
    return err;
}

enum pseudo_copied { PSEUDO_COPIED, PSEUDO_WANTS_PAGE, PSEUDO_DONE };

/* What the part has from *pos on, as far as the user's pages are there. */
static enum pseudo_copied pseudo_copy_locked(struct pseudo_open *o, struct iov_iter *to,
                                             loff_t *pos) REQUIRES(o->lock)
{
    u64 at = (u64)*pos - o->base, n;

    ASSERT_HELD(&o->lock);
    if (at >= o->text.len) /* beyond the end */
        return PSEUDO_DONE;
    n = iov_copy_to_nofault(to, o->text.buf + at, o->text.len - at);
    *pos += (loff_t)n;
    if (!to->count)
        return PSEUDO_DONE;
    return at + n < o->text.len ? PSEUDO_WANTS_PAGE : PSEUDO_COPIED;
}

/* Reading from the start produces the text anew. Pages of the user's are faulted in outside of the
 * lock. */
static ssize_t pseudo_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct pseudo_node *node = pseudo_of_file(f);
    struct pseudo_open *o = pseudo_opened(f);
    enum pseudo_copied copied = PSEUDO_COPIED;
    loff_t start = *pos;
    bool anew = start == 0;
    int err = 0;

    if (!node->ops->show && !node->ops->show_part)
        return -EINVAL;
    if (!o)
        return -ENOMEM;
    while (!err && copied != PSEUDO_DONE) {
        mutex_lock(&o->lock);
        err = pseudo_seek_part_locked(f, o, (u64)*pos, anew);
        anew = false;
        if (!err)
            copied = pseudo_copy_locked(o, to, pos);
        mutex_unlock(&o->lock);
        if (!err && copied == PSEUDO_WANTS_PAGE)
            err = iov_fault_in(to, 1, true);
    }
    return *pos > start ? (ssize_t)(*pos - start) : err;
}

static ssize_t pseudo_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct pseudo_node *node = pseudo_of_file(f);
    size_t n = from->count;
    ssize_t done;
    char *text;

    if (!node->ops->store)
        return -EINVAL;
    if (n >= STORE_MAX)
        return -E2BIG;
    text = kmalloc(n + 1);
    if (!text)
        return -ENOMEM;
    if (iov_copy_from(from, text, n) != n) {
        kfree(text);
        return -EFAULT;
    }
    text[n] = '\0';
    done = node->ops->store(node, text, n, f->cred);
    kfree(text);
    if (done > 0)
        *pos += done;
    return done;
}

static loff_t pseudo_seek(struct file *f, loff_t off, int whence)
{
    loff_t to = whence == 0 ? off : whence == 1 ? f->pos + off : -EINVAL;

    if (to < 0)
        return -EINVAL;
    f->pos = to;
    return to;
}

static u32 pseudo_poll_changes(struct file *f, struct poll_table *pt, struct pseudo_changes *c)
{
    const u32 always = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    struct pseudo_open *o = pseudo_opened(f);

    if (!o)
        return POLLERR;
    poll_wait(pt, &c->wait);
    return __atomic_load_n(&c->count, __ATOMIC_SEQ_CST) == READ_ONCE(o->seen)
               ? always
               : always | POLLERR | POLLPRI;
}

static u32 pseudo_poll(struct file *f, struct poll_table *pt)
{
    struct pseudo_node *node = pseudo_of_file(f);

    if (node->ops->changes)
        return pseudo_poll_changes(f, pt, node->ops->changes(node));
    return node->ops->poll ? node->ops->poll(node, f, pt)
                           : POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

u32 mount_ns_poll(struct mount_ns *ns, struct file *f, struct poll_table *pt)
{
    struct pseudo_open *o = pseudo_opened(f);
    struct mount_ns *none = NULL;
    u64 now;

    if (!o)
        return POLLERR;
    if (!__atomic_load_n(&o->ns, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&o->seen, mount_ns_changes(ns), __ATOMIC_RELAXED);
        mount_ns_get(ns);
        if (!__atomic_compare_exchange_n(&o->ns, &none, ns, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE))
            mount_ns_put(ns);
    }
    poll_wait(pt, mount_ns_waitq(o->ns));
    now = mount_ns_changes(o->ns);
    if (__atomic_exchange_n(&o->seen, now, __ATOMIC_SEQ_CST) == now)
        return POLLIN | POLLRDNORM;
    return POLLIN | POLLRDNORM | POLLERR | POLLPRI;
}

static void pseudo_release(struct file *f)
{
    struct pseudo_open *o = f->priv;

    if (!o)
        return;
    if (o->ns)
        mount_ns_put(o->ns);
    kfree(o->text.buf);
    kfree(o);
}

static const struct file_ops pseudo_file_ops = {
    .read = pseudo_read,
    .write = pseudo_write,
    .seek = pseudo_seek,
    .poll = pseudo_poll,
    .release = pseudo_release,
};

/* Positions: 0 and 1 are the dots; then the fixed children by rank; then what ops->list gives,
 * which counts from PSEUDO_LISTED. */
#define PSEUDO_LISTED (1L << 32)

static bool pseudo_list_fixed_locked(struct pseudo_node *dir, struct dir_context *ctx)
    REQUIRES(pseudo_lock)
{
    struct pseudo_node *child;
    loff_t at = 2;

    ASSERT_HELD(&pseudo_lock);
    for (; dir; dir = dir->base) {
        list_for_each (child, &dir->children, sibling) {
            if (at++ < ctx->pos)
                continue;
            if (!ctx->emit(ctx, child->name, strlen(child->name), child->ino,
                           child->mode >> 12 & 15))
                return false;
            ctx->pos = at;
        }
    }
    return true;
}

static u64 pseudo_parent_ino(struct pseudo_node *dir)
{
    u64 ino;

    mutex_lock(&pseudo_lock);
    ino = dir->parent ? dir->parent->ino : dir->ino;
    mutex_unlock(&pseudo_lock);
    return ino;
}

static int pseudo_readdir(struct file *f, struct dir_context *ctx)
{
    struct pseudo_node *dir = pseudo_of_file(f);
    bool more;
    int err;

    if (ctx->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, dir->ino, 4))
            return 0;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        if (!ctx->emit(ctx, "..", 2, pseudo_parent_ino(dir), 4))
            return 0;
        ctx->pos = 2;
    }
    if (ctx->pos < PSEUDO_LISTED) {
        mutex_lock(&pseudo_lock);
        more = pseudo_list_fixed_locked(dir, ctx);
        mutex_unlock(&pseudo_lock);
        if (!more)
            return 0;
        ctx->pos = PSEUDO_LISTED;
    }
    if (!dir->ops->list && !dir->ops->list_in)
        return 0;
    ctx->pos -= PSEUDO_LISTED;
    err =
        dir->ops->list_in ? dir->ops->list_in(f->inode->super, dir, ctx) : dir->ops->list(dir, ctx);
    ctx->pos += PSEUDO_LISTED;
    return err;
}

static const struct file_ops pseudo_dir_ops = {
    .read = vfs_read_dir,
    .readdir = pseudo_readdir,
    .seek = pseudo_seek,
};

/* ------------------------------------------------------------- mounting */

static void pseudo_evict(struct inode *i)
{
    pseudo_unwatch(i);
    pseudo_put(i->priv);
}

static int pseudo_statfs(struct super *s, struct statfs_k *out)
{
    const char *name = s->type->name;

    *out = (struct statfs_k){.bsize = PAGE_SIZE, .frsize = PAGE_SIZE, .namelen = NAME_MAX};
    out->type = strcmp(name, "proc") == 0    ? 0x9fa0
                : strcmp(name, "sysfs") == 0 ? 0x62656572
                                             : 0x63677270;
    return 0;
}

/* No watches are left, so nothing more is told; what is being told just now, under a spinlock, has
 * the super pinned from here on. */
static void pseudo_super_unmount(struct super *s)
{
    if (READ_ONCE(s->told))
        rcu_synchronize();
}

static void pseudo_super_destroy(struct super *s)
{
    kfree(s);
}

static const struct super_ops pseudo_super_ops = {
    .evict = pseudo_evict,
    .statfs = pseudo_statfs,
    .unmount = pseudo_super_unmount,
    .destroy = pseudo_super_destroy,
};

int pseudo_super(const struct fs_type *type, struct pseudo_node *root, void *priv,
                 struct super **out)
{
    struct super *s = kzalloc(sizeof(*s));
    struct inode *i;

    if (!s)
        return -ENOMEM;
    s->type = type;
    s->ops = &pseudo_super_ops;
    refcount_init(&s->ref, 1);
    s->dev = super_dev_alloc();
    s->user_ns = &user_ns_init;
    s->priv = priv;
    pseudo_get(root);
    i = pseudo_inode(s, root);
    s->root = i ? dentry_create_root(i) : NULL;
    if (!s->root) {
        if (i)
            inode_put(i);
        kfree(s);
        return -ENOMEM;
    }
    *out = s;
    return 0;
}
