/* SPDX-License-Identifier: MIT
 *
 * Inodes, permission and attributes.
 */
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/pipe.h"
#include "sched/clock_page.h"
#include "sched/timer.h"
#include "vfs/flusher.h"
#include "vfs/inotify.h"
#include "vfs/vfs_priv.h"

#define MS_RELATIME (1 << 21)
#define ST_VALID 0x20
#define ST_RELATIME 0x1000

#define MS_RDONLY 1

static struct slab_cache *inode_cache;
static u64 inode_last_ino; /* a  a multiple of INOS_AT_ONCE: up to it they are given out */
static DEFINE_PER_CPU(u64, inode_ino); /* the last one given out here */
#define INOS_AT_ONCE 64                /* each CPU takes its numbers in runs */

void inode_init(void)
{
    /* not by cache lines: 14 to a page instead of 12, and a container has dozens */
    inode_cache = slab_cache_create("inode", sizeof(struct inode), 0);
}

u64 super_dev_alloc(void)
{
    static u64 last; /* a */
    u64 minor = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED) & 0xfffff;

    return (minor & 0xff) | (minor & 0xfff00) << 12;
}

struct timespec_k vfs_now(void)
{
    return vfs_time(time_ns());
}

struct timespec_k vfs_time(u64 ns)
{
    u64 wall = READ_ONCE(clock_page->wall);

    ns += likely(wall) ? wall : time_wall_offset();
    return (struct timespec_k){(s64)(ns / NSEC_PER_SEC), (s64)(ns % NSEC_PER_SEC)};
}

void inode_setup(struct inode *i, struct super *s, u64 ino, u32 mode)
{
    i->super = s;
    i->ino = ino;
    i->mode = mode;
    i->nlink = 1;
    i->atime = i->mtime = i->ctime = i->btime = vfs_now();
    refcount_init(&i->ref, 1);
    rwlock_init(&i->lock, RANK_OPS, super_lock_order(s, ORDER_INODE), "inode");
}

static u64 inode_next_ino(void)
{
    u64 ino = this_cpu_read(inode_ino);

    if (unlikely(ino % INOS_AT_ONCE == 0))
        ino = __atomic_fetch_add(&inode_last_ino, INOS_AT_ONCE, __ATOMIC_RELAXED);
    this_cpu_write(inode_ino, ino + 1);
    return ino + 1;
}

struct inode *inode_create(struct super *s, u32 mode, const struct inode_ops *ops,
                           const struct file_ops *fops)
{
    struct inode *i = slab_zalloc(inode_cache);

    if (!i)
        return NULL;
    i->ops = ops;
    i->fops = fops;
    inode_setup(i, s, inode_next_ino(), mode);
    return i;
}

void inode_get(struct inode *i)
{
    refcount_get(&i->ref);
}

static void inode_free_rcu(struct rcu_head *head)
{
    slab_free(inode_cache, container_of(head, struct inode, rcu));
}

void inode_put(struct inode *i)
{
    if (i->cached) {
        cached_inode_put(i);
        return;
    }
    if (!refcount_put(&i->ref))
        return;
    if (i->super && i->super->ops && i->super->ops->evict)
        i->super->ops->evict(i);
    if (i->object)
        mem_object_put(i->object);
    if (i->pipe)
        pipe_put(i->pipe);
    lock_inode_free(i);
    rcu_call(&i->rcu, inode_free_rcu);
}

void inode_fill_stat(const struct inode *i, struct kstat *out)
{
    const struct mem_object *object = i->object;

    *out = (struct kstat){
        .dev = i->super ? i->super->dev : 0,
        .ino = i->ino,
        .rdev = i->rdev,
        .size = object ? READ_ONCE(object->size) : 0,
        .blocks = object ? READ_ONCE(object->nr_pages) * (PAGE_SIZE / 512) : 0,
        .mode = i->mode,
        .nlink = i->nlink,
        .uid = i->uid,
        .gid = i->gid,
        .blksize = PAGE_SIZE,
        .atime = i->atime,
        .mtime = i->mtime,
        .ctime = i->ctime,
        .btime = i->btime,
    };
}

bool inode_peek_stat(const struct inode *i, struct kstat *out)
{
    if (i->ops->peekattr)
        return i->ops->peekattr(i, out);
    if (i->ops->getattr)
        return false;
    inode_fill_stat(i, out);
    return true;
}

void inode_get_owner(struct inode *i, struct inode_owner *out)
{
    rwlock_read_lock(&i->lock);
    *out = (struct inode_owner){i->mode, i->uid, i->gid};
    rwlock_read_unlock(&i->lock);
}

void stat_set_mount(struct kstat *st, const struct path *p)
{
    st->mount_id = p->mount ? p->mount->id : 0;
    st->mount_root = p->mount && p->mount->root == p->dentry;
}

int vfs_stat(const struct path *p, struct kstat *out)
{
    struct inode *i = dentry_inode(p->dentry);
    int err = 0;

    if (!i)
        return -ENOENT;
    if (i->ops->getattr)
        err = i->ops->getattr(i, out);
    else
        inode_fill_stat(i, out);
    stat_set_mount(out, p);
    return err;
}

bool path_has_no_links(const struct path *p)
{
    struct kstat st;

    return READ_ONCE(dentry_inode(p->dentry)->nlink) == 0 || (!vfs_stat(p, &st) && st.nlink == 0);
}

int file_stat(struct file *f, struct kstat *out)
{
    if (f->dentry) {
        struct path p = {f->mount, f->dentry};

        return vfs_stat(&p, out);
    }
    return anon_stat(f, out);
}

u64 file_size(struct file *f)
{
    struct kstat st;

    return f->inode && S_ISREG(f->inode->mode) && !file_stat(f, &st) ? st.size : 0;
}

/* In a user namespace a capability reaches the inodes whose owner and group have numbers there. */
bool inode_capable(const struct inode *i, const struct cred *cred, int cap)
{
    const struct user_ns *ns = cred->user_ns;

    return cred_capable(cred, ns, cap) && user_ns_has_uid(ns, i->uid) &&
           user_ns_has_gid(ns, i->gid);
}

/* mode(7): owner bits for the owner, else group bits for the group, else the others'. Capabilities
 * override: DAC_OVERRIDE all but execution of a file without execute bits; DAC_READ_SEARCH reading,
 * and searching directories. */
static int inode_permission_bits(const struct inode *i, const struct cred *cred, int mask)
{
    u32 bits = i->mode;

    if (cred->fsuid == i->uid)
        bits >>= 6;
    else if ((mask & (bits ^ bits >> 3)) && cred_in_group(cred, i->gid)) /* if it matters */
        bits >>= 3;
    if ((mask & ~bits & 7) == 0)
        return 0;
    if (S_ISDIR(i->mode)) {
        if (!(mask & 2) && inode_capable(i, cred, CAP_DAC_READ_SEARCH))
            return 0;
        return inode_capable(i, cred, CAP_DAC_OVERRIDE) ? 0 : -EACCES;
    }
    if (mask == 4 && inode_capable(i, cred, CAP_DAC_READ_SEARCH))
        return 0;
    if ((!(mask & 1) || (i->mode & 0111)) && inode_capable(i, cred, CAP_DAC_OVERRIDE))
        return 0;
    return -EACCES;
}

int inode_permission(struct inode *inode, const struct cred *cred, int mask)
{
    if ((mask & 2) && inode->super && (inode->super->flags & MS_RDONLY) &&
        (S_ISREG(inode->mode) || S_ISDIR(inode->mode) || S_ISLNK(inode->mode)))
        return -EROFS;
    if (inode->ops->permission)
        return inode->ops->permission(inode, cred, mask);
    return inode_permission_bits(inode, cred, mask);
}

/* ------------------------------------------------------------- changing attributes */

/* The owner, or one with CAP_FOWNER where the owner has a number. */
bool inode_owner_or_capable(const struct inode *i, const struct cred *cred)
{
    return cred->fsuid == i->uid || (cred_capable(cred, cred->user_ns, CAP_FOWNER) &&
                                     user_ns_has_uid(cred->user_ns, i->uid));
}

bool file_is_owners(const struct file *f)
{
    return !f->inode || inode_owner_or_capable(f->inode, current_cred());
}

/* chown(2): the owner may give the file to a group of theirs; anything else takes CAP_CHOWN. */
static int attr_check_chown(const struct inode *i, const struct cred *cred,
                            const struct attr_change *ch)
{
    if (inode_capable(i, cred, CAP_CHOWN))
        return 0;
    if ((ch->valid & ATTR_UID) && (cred->fsuid != i->uid || ch->uid != i->uid))
        return -EPERM;
    if ((ch->valid & ATTR_GID) &&
        (cred->fsuid != i->uid || (!cred_in_group(cred, ch->gid) && ch->gid != i->gid)))
        return -EPERM;
    return 0;
}

/* utimensat(2): a process that may write the file may set the present time; any other is the
 * owner's to say. */
static int attr_check_times(struct inode *i, const struct cred *cred, const struct attr_change *ch)
{
    if (inode_owner_or_capable(i, cred))
        return 0;
    if (ch->valid & ATTR_TIMES_GIVEN)
        return -EPERM;
    return inode_permission(i, cred, 2);
}

static int attr_check(struct inode *i, const struct cred *cred, const struct attr_change *ch)
{
    if ((ch->valid & (ATTR_ATIME | ATTR_MTIME)) && !(ch->valid & ATTR_SIZE)) {
        int err = attr_check_times(i, cred, ch);

        if (err)
            return err;
    }
    if (ch->valid & (ATTR_UID | ATTR_GID)) {
        int err = attr_check_chown(i, cred, ch);

        if (err)
            return err;
    }
    /* Neither owner given: all that chown(2) may change are the set-id bits. */
    if ((ch->valid & (ATTR_CHOWN | ATTR_UID | ATTR_GID)) == ATTR_CHOWN && !S_ISDIR(i->mode) &&
        (i->mode & (S_ISUID | S_ISGID)) && !inode_owner_or_capable(i, cred))
        return -EPERM;
    if ((ch->valid & ATTR_MODE) && !inode_owner_or_capable(i, cred))
        return -EPERM;
    return 0;
}

static void attr_drop_capabilities(struct inode *i)
{
    if (!i->file_caps)
        return;
    (void)i->ops->removexattr(i, XATTR_CAPABILITY); /* -ENODATA: another thread was faster */
    i->file_caps = false;
}

void inode_drop_privileges_locked(struct inode *i)
{
    ASSERT_HELD_WRITE(&i->lock);
    if ((i->mode & (S_ISUID | S_ISGID)) && S_ISREG(i->mode) &&
        !cred_capable(current_cred(), &user_ns_init, CAP_FSETID))
        i->mode &= ~(u32)(S_ISUID | (i->mode & 010 ? S_ISGID : 0));
    attr_drop_capabilities(i);
}

/* Others than the group's members and those with CAP_FSETID make nothing run with its rights. */
static bool attr_may_set_gid(const struct inode *i, const struct cred *cred, kgid_t gid)
{
    return cred_in_group(cred, gid) || inode_capable(i, cred, CAP_FSETID);
}

u32 inode_new_mode(const struct inode *dir, u32 mode, const struct cred *cred)
{
    if (S_ISDIR(mode) || (mode & (S_ISGID | 010)) != (S_ISGID | 010) || !(dir->mode & S_ISGID))
        return mode;
    return attr_may_set_gid(dir, cred, dir->gid) ? mode : mode & ~(u32)S_ISGID;
}

/* A change of owner takes the set-id bits off what is no directory (a set-group-id bit that marks
 * mandatory locks stays with the group's own). */
static void attr_drop_set_ids(struct inode *i, const struct cred *cred)
{
    u32 mode = i->mode & ~(u32)S_ISUID;

    if ((mode & 010) || !attr_may_set_gid(i, cred, i->gid))
        mode &= ~(u32)S_ISGID;
    i->mode = mode;
    attr_drop_capabilities(i);
}

/* Rights that hang on the owner go before the owner changes: at no moment does the new one have
 * them. chmod by a process outside the group takes the set-group-id bit off. */
static void attr_apply(struct inode *i, const struct cred *cred, const struct attr_change *ch)
    REQUIRES(i->lock)
{
    ASSERT_HELD_WRITE(&i->lock);
    if ((ch->valid & (ATTR_UID | ATTR_GID | ATTR_CHOWN)) && !S_ISDIR(i->mode))
        attr_drop_set_ids(i, cred);
    if (ch->valid & ATTR_UID)
        i->uid = ch->uid;
    if (ch->valid & ATTR_GID)
        i->gid = ch->gid;
    if (ch->valid & ATTR_SIZE)
        inode_drop_privileges_locked(i);
    if (ch->valid & ATTR_MODE) {
        u32 mode = ch->mode & 07777;

        if (!attr_may_set_gid(i, cred, i->gid))
            mode &= ~(u32)S_ISGID;
        i->mode = (i->mode & S_IFMT) | mode;
    }
    if (ch->valid & ATTR_ATIME)
        i->atime = ch->atime;
    if (ch->valid & ATTR_MTIME)
        i->mtime = ch->mtime;
    i->ctime = vfs_now();
    inode_set_dirty(i, INODE_DIRTY_TIMES);
}

/* For ATTR_SIZE the caller has checked that the file may be written. */
int vfs_setattr(const struct path *p, const struct cred *cred, const struct attr_change *ch)
{
    struct inode *i = dentry_inode(p->dentry);
    int err = mount_may_write(p->mount);

    if (err)
        return err;
    if (!i)
        return -ENOENT;
    if (i->super->flags & MS_RDONLY)
        return -EROFS;
    rwlock_write_lock(&i->lock);
    err = attr_check(i, cred, ch);
    if (!err && i->ops->setattr)
        err = i->ops->setattr(i, ch);
    else if (!err && (ch->valid & ATTR_SIZE))
        err = -EINVAL;
    if (!err)
        attr_apply(i, cred, ch);
    rwlock_write_unlock(&i->lock);
    if (!err)
        notify_dentry(p->dentry, ch->valid & ATTR_SIZE ? IN_MODIFY : IN_ATTRIB);
    return err;
}

int file_truncate(struct file *f, u64 size)
{
    struct attr_change ch = {.valid = ATTR_SIZE | ATTR_MTIME, .size = size, .mtime = vfs_now()};
    struct inode *i = f->inode;
    int err;

    if (f->ops->truncate)
        return f->ops->truncate(f, size);
    if (!i || !S_ISREG(i->mode) || !i->ops->setattr)
        return -EINVAL;
    rwlock_write_lock(&i->lock);
    err = i->ops->setattr(i, &ch);
    if (!err) {
        i->mtime = i->ctime = ch.mtime;
        inode_drop_privileges_locked(i);
        inode_set_dirty(i, INODE_DIRTY_TIMES);
    }
    rwlock_write_unlock(&i->lock);
    if (!err)
        notify_file(f, IN_MODIFY);
    return err;
}

ssize_t vfs_readlink(const struct path *p, char *buf, size_t n)
{
    struct inode *i = dentry_inode(p->dentry);

    if (!i)
        return -ENOENT;
    if (!S_ISLNK(i->mode) || !i->ops->readlink)
        return -EINVAL;
    return i->ops->readlink(i, buf, n);
}

int vfs_statfs(const struct path *p, struct statfs_k *out)
{
    struct super *s = p->dentry->super;
    u32 flags = path_mount_flags(p);
    int err = s && s->ops->statfs ? s->ops->statfs(s, out) : -ENOSYS;

    /* statfs(2): ST_RDONLY, NOSUID, NODEV, NOEXEC, NOATIME and NODIRATIME are MS_* of mount(2). */
    if (!err)
        out->flags = ST_VALID | (flags & 0xc0f) | (flags & MS_RELATIME ? ST_RELATIME : 0);
    return err;
}

ssize_t vfs_read_dir(struct file *f, struct iov_iter *to, loff_t *pos)
{
    return -EISDIR;
}
