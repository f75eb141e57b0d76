/* SPDX-License-Identifier: MIT
 *
 * Mounts and mount namespaces (mount_namespaces(7)). One lock guards the shape of all trees:
 * look-ups take it for a few instructions, changes are rare.
 *
 * Every mount is private: events do not propagate. MS_SHARED and MS_SLAVE are accepted and
 * remembered as MS_PRIVATE, which /proc/self/mountinfo then shows truthfully.
 */
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sync/seqlock.h"
#include "vfs/inotify.h"
#include "vfs/up.h"
#include "vfs/vfs_priv.h"

#define MS_RDONLY 1
#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_MOVE 8192
#define MS_REC 16384
#define MS_UNBINDABLE (1 << 17)
#define MS_PRIVATE (1 << 18)
#define MS_SLAVE (1 << 19)
#define MS_SHARED (1 << 20)
#define MS_RELATIME (1 << 21)
#define MS_PROPAGATION (MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED)
/* RDONLY NOSUID NODEV NOEXEC NOATIME NODIRATIME NOSYMFOLLOW RELATIME STRICTATIME: of the mount */
#define MS_PER_MOUNT (1 | 2 | 4 | 8 | 256 | 1024 | 2048 | MS_RELATIME | (1 << 24))
#define MNT_FORCE 1
#define MNT_DETACH 2
#define MNT_EXPIRE 4
#define UMOUNT_NOFOLLOW 8
#define MOUNTS_MAX 100000 /* per namespace, as fs.mount-max */

struct mount_ns {
    refcount_t ref;
    struct mount *root; /* mount lock; a reference */
    struct user_ns *user_ns;
    u64 inum;
    u64 count;            /* mount lock */
    struct waitq changed; /* poll of /proc/mounts */
};

struct mount_ns *mount_ns_init;

struct spinlock mount_lock = SPINLOCK_INIT(RANK_VFS, 6, "mount");
static struct rb_root mount_places; /* mount lock: by parent and point, the newest first */
static struct slab_cache *mount_cache;
static u64 mount_last_id = 20;
TABLE_DECLARE(struct fs_type, fs_types);

/* Where a place stands to that of m in the index. */
static int mount_place_compare(const struct mount *parent, const struct dentry *point,
                               const struct mount *m)
{
    if (parent != m->parent)
        return parent < m->parent ? -1 : 1;
    return point < m->point ? -1 : point > m->point;
}

static void mount_place_add_locked(struct mount *m)
{
    struct rb_node **link = &mount_places.node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = mount_place_compare(m->parent, m->point, rb_entry(parent, struct mount, place)) <= 0
                   ? &parent->left
                   : &parent->right;
    }
    rb_link(&mount_places, &m->place, parent, link);
}

static struct mount *mount_place_find_locked(const struct mount *parent, const struct dentry *point)
{
    struct mount *found = NULL;

    for (struct rb_node *n = mount_places.node; n;) {
        struct mount *m = rb_entry(n, struct mount, place);
        int diff = mount_place_compare(parent, point, m);

        if (diff == 0)
            found = m;
        n = diff <= 0 ? n->left : n->right;
    }
    return found;
}

void mount_get(struct mount *m)
{
    refcount_get(&m->ref);
}

static void super_put(struct super *s)
{
    if (!refcount_put(&s->ref))
        return;
    inotify_super_gone(s);
    if (s->ops->unmount)
        s->ops->unmount(s);
    dentry_put(s->root);
    dentry_shrink_super(s);
    rcu_synchronize(); /* callbacks may still look at the super */
    if (s->ops->destroy)
        s->ops->destroy(s);
}

void mount_put(struct mount *m)
{
    if (!refcount_put(&m->ref))
        return;
    ASSERT(!m->parent);
    dentry_put(m->root);
    super_put(m->super);
    kfree(m->source);
    slab_free(mount_cache, m);
}

/* Consumes one reference of super. */
static struct mount *mount_alloc(struct super *super, struct dentry *root, const char *source,
                                 u32 flags)
{
    struct mount *m = slab_zalloc(mount_cache);

    if (m)
        m->source = kstrdup(source ? source : "none");
    if (!m || !m->source) {
        if (m)
            slab_free(mount_cache, m);
        super_put(super);
        return NULL;
    }
    refcount_init(&m->ref, 1);
    m->super = super;
    dentry_get(root);
    m->root = root;
    m->flags = flags & MS_PER_MOUNT;
    if (!(m->flags & (1024 | 1 << 24)))
        m->flags |= MS_RELATIME;
    m->id = __atomic_add_fetch(&mount_last_id, 1, __ATOMIC_RELAXED);
    list_init(&m->children);
    list_init(&m->sibling);
    return m;
}

int mount_may_write(const struct mount *m)
{
    return m->flags & MS_RDONLY ? -EROFS : 0;
}

struct mount *mount_lookup(struct mount *parent, struct dentry *point)
{
    struct mount *m;

    spin_lock(&mount_lock);
    m = mount_place_find_locked(parent, point);
    if (m)
        mount_get(m);
    spin_unlock(&mount_lock);
    return m;
}

bool mount_parent(struct mount *m, struct path *out)
{
    bool has;

    spin_lock(&mount_lock);
    has = m->parent != NULL;
    if (has) {
        *out = (struct path){m->parent, m->point};
        mount_get(out->mount);
        dentry_get(out->dentry);
    }
    spin_unlock(&mount_lock);
    return has;
}

/* ------------------------------------------------------------- the trees; mount lock held */

static void mount_set_ns_locked(struct mount *top, struct mount_ns *ns);

/* The tree takes a reference of m, and m one of its place. */
static void mount_attach_locked(struct mount *m, struct mount *parent, struct dentry *point)
{
    mount_get(m);
    mount_get(parent);
    dentry_get(point);
    m->parent = parent;
    m->point = point;
    point->mounts++;
    mount_place_add_locked(m);
    list_add_tail(&parent->children, &m->sibling);
}

/* Hands back the place's references in *place; the tree's reference of m is the caller's. */
static void mount_detach_locked(struct mount *m, struct path *place)
{
    rb_erase(&mount_places, &m->place);
    list_del(&m->sibling);
    m->point->mounts--;
    *place = (struct path){m->parent, m->point};
    m->parent = NULL;
    m->point = NULL;
}

/* The next mount of the tree under top, parents first. */
static struct mount *mount_next_locked(struct mount *m, struct mount *top)
{
    struct mount *child = list_first(&m->children, struct mount, sibling);

    if (child)
        return child;
    for (; m != top; m = m->parent)
        if (m->sibling.next != &m->parent->children)
            return list_entry(m->sibling.next, struct mount, sibling);
    return NULL;
}

static void mount_set_ns_locked(struct mount *top, struct mount_ns *ns)
{
    for (struct mount *m = top; m; m = mount_next_locked(m, top)) {
        if (m->ns)
            m->ns->count--;
        m->ns = ns;
        if (ns)
            ns->count++;
    }
}

static void mount_ns_changed(struct mount_ns *ns)
{
    waitq_wake(&ns->changed, POLLERR | POLLPRI, ~0U);
}

/* Takes a whole tree apart, leaves first, and drops it. top is already off its parent (or a root),
 * and the caller's reference of it goes too. Once it is in no namespace nothing is mounted on it or
 * moved out of it: each step goes on from where the last leaf was. */
static void mount_dissolve(struct mount *top)
{
    struct mount *m = top;
    struct path place = {0};

    spin_lock(&mount_lock);
    mount_set_ns_locked(top, NULL);
    for (;;) {
        struct path last = place;

        while (!list_empty(&m->children))
            m = list_first(&m->children, struct mount, sibling);
        if (m == top)
            break;
        mount_detach_locked(m, &place);
        spin_unlock(&mount_lock);
        mount_put(m);
        if (last.mount)
            path_put(&last);
        m = place.mount;
        spin_lock(&mount_lock);
    }
    spin_unlock(&mount_lock);
    if (place.mount)
        path_put(&place);
    mount_put(top);
}

/* ------------------------------------------------------------- mount(2) */

const struct fs_type *fs_type_find(const char *name)
{
    const struct fs_type *t;

    TABLE_FOR_EACH(t, fs_types)
    if (strcmp(t->name, name) == 0)
        return t;
    return NULL;
}

/* What is on top at a place that was reached without crossing ("." of a covered directory): all
 * that mounts and unmounts there concerns the topmost. Returns references. */
static struct path mount_topmost(const struct path *place)
{
    struct path top = *place;
    struct mount *over;

    path_get(&top);
    while ((over = mount_lookup(top.mount, top.dentry))) {
        path_put(&top);
        dentry_get(over->root);
        top = (struct path){over, over->root};
    }
    return top;
}

static int mount_graft_at(struct mount *m, const struct path *target, const struct walk_ctx *ctx)
{
    struct inode *at = dentry_inode(target->dentry);
    int err = 0;

    if (S_ISDIR(at->mode) != S_ISDIR(dentry_inode(m->root)->mode))
        err = -ENOTDIR;
    spin_lock(&mount_lock);
    if (!err && (target->dentry->flags & DENTRY_UNLINKED))
        err = -ENOENT;
    if (!err && (!target->mount->ns || target->mount->ns != ctx->ns))
        err = -EINVAL;
    if (!err && ctx->ns->count >= MOUNTS_MAX)
        err = -ENOSPC;
    if (!err) {
        mount_attach_locked(m, target->mount, target->dentry);
        mount_set_ns_locked(m, ctx->ns);
    }
    spin_unlock(&mount_lock);
    if (err) {
        mount_dissolve(m);
        return err;
    }
    mount_put(m); /* the tree has its own */
    mount_ns_changed(ctx->ns);
    return 0;
}

/* Puts a loose mount (and what is on it) at target; consumes the caller's reference. */
static int mount_graft(struct mount *m, const struct path *target, const struct walk_ctx *ctx)
{
    struct path top = mount_topmost(target);
    int err = mount_graft_at(m, &top, ctx);

    path_put(&top);
    return err;
}

static int mount_new(const struct walk_ctx *ctx, const char *source, const struct path *target,
                     const char *type, u32 flags, const char *options)
{
    const struct fs_type *t = type ? fs_type_find(type) : NULL;
    struct super *super;
    struct mount *m;
    int err;

    if (!type)
        return -EINVAL;
    if (!t)
        return -ENODEV;
    err = t->mount(t, ctx, source, flags, options ? options : "", &super);
    if (err)
        return err;
    m = mount_alloc(super, super->root, source, flags);
    return m ? mount_graft(m, target, ctx) : -ENOMEM;
}

static struct mount *mount_clone(struct mount *m, struct dentry *root)
{
    struct mount *copy;

    refcount_get(&m->super->ref);
    copy = mount_alloc(m->super, root, m->source, 0);
    if (copy)
        copy->flags = m->flags;
    return copy;
}

/* A mount waiting to be cloned: gathered under the lock, cloned outside. */
struct mount_copy {
    struct mount *old, *new;
};

/* Copies the tree under top (or, not deep, top alone) with `root` as its root. The list of pairs
 * serves the caller to translate paths; both are freed by mount_copies_free. */
static int mount_copy_tree(struct mount *top, struct dentry *root, bool deep,
                           struct mount_copy **out, u64 *count)
{
    struct mount_copy *list;
    u64 n = 0, room;
    struct mount *m;

    spin_lock(&mount_lock);
    for (m = top; m; m = deep ? mount_next_locked(m, top) : NULL)
        n++;
    spin_unlock(&mount_lock);
    room = n + 16; /* it may grow meanwhile: what is mounted later is not seen */
    list = kcalloc(room, sizeof(*list));
    if (!list)
        return -ENOMEM;
    n = 0;
    spin_lock(&mount_lock);
    for (m = top; m && n < room; m = deep ? mount_next_locked(m, top) : NULL) {
        /* Of a bind of a part, only mounts inside that part are copied. */
        if (m != top && m->parent == top && !dentry_is_ancestor(root, m->point))
            continue;
        mount_get(m);
        list[n++].old = m;
    }
    spin_unlock(&mount_lock);
    *out = list;
    *count = n;
    for (u64 i = 0; i < n; i++) {
        list[i].new = mount_clone(list[i].old, i == 0 ? root : list[i].old->root);
        if (!list[i].new)
            return -ENOMEM;
    }
    return 0;
}

/* Hangs the copies together as the originals are now. An original knows its copy meanwhile. */
static void mount_copies_link(struct mount_copy *list, u64 n)
{
    spin_lock(&mount_lock);
    for (u64 i = 0; i < n; i++)
        list[i].old->copy = list[i].new;
    for (u64 i = 1; i < n; i++) {
        struct mount *parent = list[i].old->parent ? list[i].old->parent->copy : NULL;

        if (parent)
            mount_attach_locked(list[i].new, parent, list[i].old->point);
    }
    for (u64 i = 0; i < n; i++)
        list[i].old->copy = NULL;
    spin_unlock(&mount_lock);
}

/* Drops the list's references; the first copy's goes to the caller unless `all`. */
static void mount_copies_free(struct mount_copy *list, u64 n, bool all)
{
    for (u64 i = 0; i < n; i++) {
        mount_put(list[i].old);
        if (list[i].new && (i > 0 || all))
            mount_put(list[i].new);
    }
    kfree(list);
}

static int mount_bind(const struct walk_ctx *ctx, const char *source, const struct path *target,
                      bool deep)
{
    struct mount_copy *list = NULL;
    struct path from;
    struct mount *m;
    u64 n = 0;
    int err;

    if (!source)
        return -EINVAL;
    err = vfs_lookup(ctx, NULL, source, WALK_FOLLOW, &from);
    if (err)
        return err;
    err = mount_copy_tree(from.mount, from.dentry, deep, &list, &n);
    path_put(&from);
    if (err) {
        mount_copies_free(list, n, true);
        return err;
    }
    mount_copies_link(list, n);
    m = list[0].new;
    mount_copies_free(list, n, false);
    return mount_graft(m, target, ctx);
}

static int mount_move(const struct walk_ctx *ctx, const char *source, const struct path *target)
{
    struct path from, place = {0};
    int err = source ? vfs_lookup(ctx, NULL, source, WALK_FOLLOW, &from) : -EINVAL;

    if (err)
        return err;
    spin_lock(&mount_lock);
    if (from.dentry != from.mount->root || !from.mount->parent || from.mount->ns != ctx->ns)
        err = -EINVAL;
    if (!err && target->mount->ns != ctx->ns)
        err = -EINVAL;
    for (struct mount *m = target->mount; m && !err; m = m->parent)
        if (m == from.mount)
            err = -ELOOP;
    if (!err) {
        mount_detach_locked(from.mount, &place);
        mount_attach_locked(from.mount, target->mount, target->dentry);
    }
    spin_unlock(&mount_lock);
    if (!err) {
        path_put(&place);
        mount_put(from.mount); /* attach took another */
        mount_ns_changed(ctx->ns);
    }
    path_put(&from);
    return err;
}

static int mount_remount(const struct path *target, u32 flags, const char *options)
{
    struct mount *m = target->mount;

    if (target->dentry != m->root)
        return -EINVAL;
    if (!(flags & MS_BIND)) {
        int err = m->super->ops->remount
                      ? m->super->ops->remount(m->super, flags, options ? options : "")
                      : 0;

        if (err)
            return err;
        m->super->flags = (m->super->flags & ~(u32)MS_RDONLY) | (flags & MS_RDONLY);
    }
    WRITE_ONCE(m->flags, (m->flags & ~(u32)(MS_PER_MOUNT & ~MS_RELATIME)) | (flags & MS_PER_MOUNT));
    return 0;
}

int vfs_mount(const struct walk_ctx *ctx, const char *source, const struct path *target,
              const char *type, unsigned long flags, const char *options)
{
    if (!cred_capable(ctx->cred, &user_ns_init, CAP_SYS_ADMIN))
        return -EPERM;
    if (flags & MS_REMOUNT)
        return mount_remount(target, (u32)flags, options);
    if (flags & MS_BIND)
        return mount_bind(ctx, source, target, flags & MS_REC);
    if (flags & MS_PROPAGATION)
        return target->dentry == target->mount->root ? 0 : -EINVAL;
    if (flags & MS_MOVE)
        return mount_move(ctx, source, target);
    return mount_new(ctx, source, target, type, (u32)flags, options);
}

/* ------------------------------------------------------------- umount2(2), pivot_root(2) */

/* References that an unused mount has: the tree's, the caller's path and our own. */
static bool mount_busy_locked(struct mount *m)
{
    return !list_empty(&m->children) || refcount_read(&m->ref) > 3;
}

static int umount_topmost(const struct walk_ctx *ctx, const struct path *top, int flags)
{
    struct mount *m = top->mount;
    struct path place = {0};
    int err = 0;

    if (top->dentry != m->root)
        return -EINVAL;
    spin_lock(&mount_lock);
    if (m->ns != ctx->ns || !m->parent)
        err = -EINVAL;
    else if (!(flags & MNT_DETACH) && mount_busy_locked(m))
        err = -EBUSY;
    else
        mount_detach_locked(m, &place);
    spin_unlock(&mount_lock);
    if (err)
        return err;
    path_put(&place);
    mount_dissolve(m); /* the tree's reference */
    mount_ns_changed(ctx->ns);
    return 0;
}

int vfs_umount(const struct walk_ctx *ctx, const struct path *target, int flags)
{
    struct path top;
    int err;

    if (!cred_capable(ctx->cred, &user_ns_init, CAP_SYS_ADMIN))
        return -EPERM;
    if (flags & ~(MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW))
        return -EINVAL;
    top = mount_topmost(target);
    err = umount_topmost(ctx, &top, flags);
    path_put(&top);
    return err;
}

static bool mount_is_below_locked(struct mount *m, struct mount *top)
{
    for (; m; m = m->parent)
        if (m == top)
            return true;
    return false;
}

/* new_root becomes the namespace's root (or the caller's), the old root moves to put_old. */
int vfs_pivot_root(const struct walk_ctx *ctx, const struct path *new_root,
                   const struct path *put_old)
{
    struct mount *new = new_root->mount, *old = ctx->root.mount;
    struct path place = {0}, old_place = {0};
    bool old_attached;
    int err = 0;

    if (!cred_capable(ctx->cred, &user_ns_init, CAP_SYS_ADMIN))
        return -EPERM;
    spin_lock(&mount_lock);
    if (new->ns != ctx->ns || old->ns != ctx->ns || new_root->dentry != new->root ||
        ctx->root.dentry != old->root || !new->parent ||
        !mount_is_below_locked(put_old->mount, new))
        err = -EINVAL;
    else if (new == old || put_old->mount == old)
        err = -EBUSY;
    if (err) {
        spin_unlock(&mount_lock);
        return err;
    }
    mount_detach_locked(new, &place); /* its tree reference stays ours until it has a place */
    old_attached = old->parent != NULL;
    if (old_attached) {
        mount_detach_locked(old, &old_place);
        mount_attach_locked(new, old_place.mount, old_place.dentry);
    } else {
        ctx->ns->root = new;
        mount_get(new);
    }
    mount_attach_locked(old, put_old->mount, put_old->dentry);
    spin_unlock(&mount_lock);
    path_put(&place);
    if (old_attached)
        path_put(&old_place);
    mount_put(old); /* its former place's (or the namespace's) reference */
    mount_put(new); /* the former place's */
    up_move_roots(&ctx->root, new_root);
    mount_ns_changed(ctx->ns);
    return 0;
}

/* ------------------------------------------------------------- namespaces */

static struct mount_ns *mount_ns_alloc(struct user_ns *user_ns)
{
    struct mount_ns *ns = kzalloc(sizeof(*ns));

    if (!ns)
        return NULL;
    refcount_init(&ns->ref, 1);
    waitq_init(&ns->changed);
    user_ns_get(user_ns);
    ns->user_ns = user_ns;
    ns->inum = inum_alloc();
    return ns;
}

static struct mount *mount_copied(const struct mount_copy *list, u64 n, const struct mount *old)
{
    for (u64 i = 0; i < n; i++)
        if (list[i].old == old)
            return list[i].new;
    return NULL;
}

static void mount_ns_translate(struct mount_copy *list, u64 n, struct path *p)
{
    struct mount *copy = p && p->mount ? mount_copied(list, n, p->mount) : NULL;

    if (!copy)
        return;
    mount_get(copy);
    mount_put(p->mount);
    p->mount = copy;
}

struct mount_ns *mount_ns_copy(struct mount_ns *from, struct user_ns *user_ns, struct path *root,
                               struct path *cwd)
{
    struct mount_ns *ns = mount_ns_alloc(user_ns);
    struct mount_copy *list = NULL;
    u64 n = 0;

    if (!ns)
        return NULL;
    if (mount_copy_tree(from->root, from->root->root, true, &list, &n)) {
        mount_copies_free(list, n, true);
        user_ns_put(ns->user_ns);
        kfree(ns);
        return NULL;
    }
    mount_copies_link(list, n);
    ns->root = list[0].new; /* the list's reference becomes the namespace's */
    spin_lock(&mount_lock);
    mount_set_ns_locked(ns->root, ns);
    spin_unlock(&mount_lock);
    mount_ns_translate(list, n, root);
    mount_ns_translate(list, n, cwd);
    mount_copies_free(list, n, false);
    return ns;
}

void mount_ns_get(struct mount_ns *ns)
{
    refcount_get(&ns->ref);
}

void mount_ns_put(struct mount_ns *ns)
{
    if (!refcount_put(&ns->ref))
        return;
    mount_dissolve(ns->root);
    user_ns_put(ns->user_ns);
    kfree(ns);
}

u64 mount_ns_inum(const struct mount_ns *ns)
{
    return ns->inum;
}

struct waitq *mount_ns_waitq(struct mount_ns *ns)
{
    return &ns->changed;
}

/* The topmost of what is mounted over the root. */
void mount_ns_root(struct mount_ns *ns, struct path *out)
{
    struct mount *m = ns->root, *over;

    mount_get(m);
    while ((over = mount_lookup(m, m->root))) {
        mount_put(m);
        m = over;
    }
    dentry_get(m->root);
    *out = (struct path){m, m->root};
}

/* Calls fn with references to one mount after the other; the tree may change in between, so the
 * place is kept by number: ids grow in tree order only roughly, hence a list of the mounts is taken
 * first. */
int mount_ns_for_each(struct mount_ns *ns, int (*fn)(const struct mount_info *mi, void *arg),
                      void *arg)
{
    struct mount **all;
    u64 n = 0, room = ns->count + 16;
    int ret = 0;

    all = kcalloc(room, sizeof(*all));
    if (!all)
        return -ENOMEM;
    spin_lock(&mount_lock);
    for (struct mount *m = ns->root; m && n < room; m = mount_next_locked(m, ns->root)) {
        mount_get(m);
        all[n++] = m;
    }
    spin_unlock(&mount_lock);
    for (u64 i = 0; i < n; i++) {
        struct mount *m = all[i];
        struct mount_info mi = {.id = m->id,
                                .parent_id = m->id,
                                .dev = m->super->dev,
                                .type = m->super->type->name,
                                .source = m->source,
                                .root_of = {m, m->root},
                                .flags = m->flags,
                                .super = m->super};
        bool placed = mount_parent(m, &mi.where);

        if (placed)
            mi.parent_id = mi.where.mount->id;
        else
            mi.where = mi.root_of;
        if (ret == 0)
            ret = fn(&mi, arg);
        if (placed)
            path_put(&mi.where);
        mount_put(m);
    }
    kfree(all);
    return ret;
}

/* ------------------------------------------------------------- bring-up */

/* The first namespace: an empty tmpfs as its root. */
void mount_init(void)
{
    const struct fs_type *t;
    struct super *super;

    mount_cache = slab_cache_create("mount", sizeof(struct mount), 64);
    t = fs_type_find("tmpfs");
    if (!t || t->mount(t, NULL, "rootfs", 0, "mode=755", &super))
        panic("no root file system");
    mount_ns_init = mount_ns_alloc(&user_ns_init);
    if (!mount_ns_init)
        panic("no memory for the root mount");
    mount_ns_init->root = mount_alloc(super, super->root, "rootfs", 0);
    if (!mount_ns_init->root)
        panic("no memory for the root mount");
    mount_ns_init->root->ns = mount_ns_init;
    mount_ns_init->count = 1;
}
