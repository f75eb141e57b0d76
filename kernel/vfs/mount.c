/* SPDX-License-Identifier: MIT
 *
 * Mounts: the objects, their trees, copies of trees. Two locks guard the shape of all trees: a
 * change holds both, the spinlock for each single step; look-ups take the spinlock for a few
 * instructions, or none and look again after a change (RCU readers), walks of whole trees the
 * mutex, and yield on the way.
 */
#include "vfs/mount_priv.h"

#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "sync/seqlock.h"
#include "vfs/inotify.h"

struct mount_ns *mount_ns_init;

struct mutex mount_trees;
struct spinlock mount_lock = SPINLOCK_INIT(RANK_VFS, 6, "mount");
static struct rb_root mount_places;   /* mount_lock: by point and parent, the newest first */
static struct seqcount mount_changes; /* written under mount_lock, over changes of mount_places */
#define PLACES_DEEP 64                /* more steps down are none of a tree that holds still */
static struct slab_cache *mount_cache;
static u64 mount_last_id = 20;

/* Where a place stands to that of m in the index. */
static int mount_place_compare(const struct mount *parent, const struct dentry *point,
                               const struct mount *m)
{
    if (point != m->point)
        return point < m->point ? -1 : 1;
    return parent < m->parent ? -1 : parent > m->parent;
}

void mount_change_begin(void)
{
    ASSERT_HELD(&mount_trees);
    spin_lock(&mount_lock);
    seqcount_write_begin(&mount_changes);
}

void mount_change_end(void)
{
    seqcount_write_end(&mount_changes);
    spin_unlock(&mount_lock);
}

static void mount_place_add_locked(struct mount *m) REQUIRES(mount_lock)
{
    struct rb_node **link = &mount_places.node, *parent = NULL;

    ASSERT_HELD(&mount_lock);
    while (*link) {
        parent = *link;
        link = mount_place_compare(m->parent, m->point, rb_entry(parent, struct mount, place)) <= 0
                   ? &parent->left
                   : &parent->right;
    }
    rb_link(&mount_places, &m->place, parent, link);
}

static struct mount *mount_place_find_locked(const struct mount *parent, const struct dentry *point)
    REQUIRES(mount_lock)
{
    struct mount *found = NULL;

    ASSERT_HELD(&mount_lock);
    for (struct rb_node *n = mount_places.node; n;) {
        struct mount *m = rb_entry(n, struct mount, place);
        int diff = mount_place_compare(parent, point, m);

        if (diff == 0)
            found = m;
        n = diff <= 0 ? n->left : n->right;
    }
    return found;
}

/* The same for an RCU reader without the lock; false: a change came in between, which may have led
 * it astray, in a circle even. */
static bool mount_place_peek(const struct mount *parent, const struct dentry *point,
                             struct mount **out)
{
    u32 seq = seqcount_read_begin(&mount_changes);
    struct rb_node *n = READ_ONCE(mount_places.node);

    *out = NULL;
    for (unsigned steps = 0; n; steps++) {
        struct mount *m = rb_entry(n, struct mount, place);
        int diff = mount_place_compare(parent, point, m);

        if (unlikely(steps == PLACES_DEEP))
            return false;
        if (diff == 0)
            *out = m;
        n = diff <= 0 ? READ_ONCE(n->left) : READ_ONCE(n->right);
    }
    return !seqcount_read_retry(&mount_changes, seq);
}

/* The first of the mounts on a name, in any namespace. */
static struct mount *mount_on_locked(const struct dentry *point) REQUIRES(mount_lock)
{
    struct mount *found = NULL;

    ASSERT_HELD(&mount_lock);
    for (struct rb_node *n = mount_places.node; n;) {
        struct mount *m = rb_entry(n, struct mount, place);

        if (point == m->point)
            found = m;
        n = point <= m->point ? n->left : n->right;
    }
    return found;
}

/* The first of them that no one is taking apart: one without a namespace is its dissolver's. */
static struct mount *mount_live_on_locked(const struct dentry *point) REQUIRES(mount_lock)
{
    struct mount *m = mount_on_locked(point);

    ASSERT_HELD(&mount_lock);
    while (m && m->point == point && !m->ns) {
        struct rb_node *next = rb_next(&m->place);

        m = next ? rb_entry(next, struct mount, place) : NULL;
    }
    return m && m->point == point ? m : NULL;
}

bool mount_stands_on(const struct mount_ns *ns, const struct dentry *point)
{
    struct mount *m;

    if (likely(!READ_ONCE(point->mounts)))
        return false;
    spin_lock(&mount_lock);
    for (m = mount_on_locked(point); m && m->ns != ns;) {
        struct rb_node *next = rb_next(&m->place);

        m = next ? rb_entry(next, struct mount, place) : NULL;
        if (m && m->point != point)
            m = NULL;
    }
    spin_unlock(&mount_lock);
    return m;
}

void mount_drop_on(struct dentry *point)
{
    struct path place;
    struct mount *m;

    smp_mb(); /* pairs with mount_placed */
    while (unlikely(READ_ONCE(point->mounts))) {
        struct mount_ns *ns = NULL;

        mutex_lock(&mount_trees);
        mount_change_begin();
        m = mount_live_on_locked(point);
        if (m) {
            ns = m->ns;
            if (ns && !refcount_get_unless_zero(&ns->ref))
                ns = NULL;
            mount_detach_locked(m, &place);
        }
        mount_change_end();
        if (m)
            mount_set_ns_locked(m, NULL);
        mutex_unlock(&mount_trees);
        if (!m)
            return;
        path_put(&place);
        mount_dissolve(m);
        if (ns) {
            mount_ns_changed(ns);
            mount_ns_put(ns);
        }
        cond_yield();
    }
}

void mount_placed(struct dentry *point)
{
    smp_mb(); /* pairs with mount_drop_on */
    if (unlikely(READ_ONCE(point->flags) & DENTRY_UNLINKED))
        mount_drop_on(point);
}

static void mount_free_rcu(struct rcu_head *head)
{
    slab_free(mount_cache, container_of(head, struct mount, rcu));
}

/* Nothing refers to it any more, but walks without references may still look at it. */
void mount_destroy(struct mount *m)
{
    ASSERT(!m->parent);
    dentry_put(m->root);
    super_put(m->super);
    kfree(m->source);
    rcu_call(&m->rcu, mount_free_rcu);
}

/* Consumes one reference of super. */
struct mount *mount_alloc(struct super *super, struct dentry *root, const char *source, u32 flags)
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
    return READ_ONCE(m->flags) & MS_RDONLY ? -EROFS : 0;
}

int mount_write_begin(struct mount *m)
{
    atomic_inc(&m->writers); /* full barriers: pairs with mount_forbid_writing */
    atomic_inc(&m->super->writers);
    if (!mount_may_write(m) && !(READ_ONCE(m->super->flags) & MS_RDONLY))
        return 0;
    mount_write_end(m);
    return -EROFS;
}

void mount_write_end(struct mount *m)
{
    atomic_dec(&m->super->writers);
    atomic_dec(&m->writers);
}

struct mount *mount_lookup(const struct mount *parent, const struct dentry *point)
{
    struct mount *m;

    spin_lock(&mount_lock);
    m = mount_place_find_locked(parent, point);
    if (m)
        mount_get(m);
    spin_unlock(&mount_lock);
    return m;
}

struct mount *mount_peek(const struct mount *parent, const struct dentry *point)
{
    struct mount *m;

    if (likely(mount_place_peek(parent, point, &m)))
        return m;
    spin_lock(&mount_lock);
    m = mount_place_find_locked(parent, point);
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

/* ------------------------------------------------------------- the trees */

/* The tree takes a reference of m, and m one of its place. */
void mount_attach_locked(struct mount *m, struct mount *parent, struct dentry *point)
{
    ASSERT_HELD(&mount_trees);
    ASSERT_HELD(&mount_lock);
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
void mount_detach_locked(struct mount *m, struct path *place)
{
    ASSERT_HELD(&mount_trees);
    ASSERT_HELD(&mount_lock);
    rb_erase(&mount_places, &m->place);
    list_del(&m->sibling);
    m->point->mounts--;
    *place = (struct path){m->parent, m->point};
    m->parent = NULL;
    m->point = NULL;
}

/* The next mount of the tree under top that is not below m. */
static struct mount *mount_after_locked(struct mount *m, struct mount *top) REQUIRES(mount_trees)
{
    ASSERT_HELD(&mount_trees);
    for (; m != top; m = m->parent)
        if (m->sibling.next != &m->parent->children)
            return list_entry(m->sibling.next, struct mount, sibling);
    return NULL;
}

struct mount *mount_next_locked(struct mount *m, struct mount *top)
{
    struct mount *child = list_first(&m->children, struct mount, sibling);

    ASSERT_HELD(&mount_trees);
    cond_yield();
    return child ? child : mount_after_locked(m, top);
}

u64 mount_count_locked(struct mount *top)
{
    u64 n = 0;

    ASSERT_HELD(&mount_trees);
    for (struct mount *m = top; m; m = mount_next_locked(m, top))
        n++;
    return n;
}

void mount_set_ns_locked(struct mount *top, struct mount_ns *ns)
{
    ASSERT_HELD(&mount_trees);
    for (struct mount *m = top; m; m = mount_next_locked(m, top)) {
        spin_lock(&mount_lock);
        if (m->ns)
            m->ns->count--;
        m->ns = ns;
        if (ns)
            ns->count++;
        spin_unlock(&mount_lock);
    }
}

void mount_ns_changed(struct mount_ns *ns)
{
    __atomic_add_fetch(&ns->changes, 1, __ATOMIC_SEQ_CST);
    waitq_wake(&ns->changed, POLLERR | POLLPRI, ~0U);
}

/* Takes a whole tree apart, leaves first, and drops it. top is already off its parent (or a root),
 * and the caller's reference of it goes too. Once it is in no namespace nothing is mounted on it or
 * moved out of it: each step goes on from where the last leaf was. */
void mount_dissolve(struct mount *top)
{
    struct mount *m = top;
    struct path place = {0};

    mutex_lock(&mount_trees);
    if (top->ns)
        mount_set_ns_locked(top, NULL);
    for (;;) {
        struct path last = place;

        for (; !list_empty(&m->children); cond_yield())
            m = list_first(&m->children, struct mount, sibling);
        if (m == top)
            break;
        mount_change_begin();
        mount_detach_locked(m, &place);
        mount_change_end();
        mutex_unlock(&mount_trees);
        DELAYPOINT(mount_dissolve);
        mount_put(m);
        if (last.mount)
            path_put(&last);
        m = place.mount;
        cond_yield();
        mutex_lock(&mount_trees);
    }
    mutex_unlock(&mount_trees);
    if (place.mount)
        path_put(&place);
    mount_put(top);
}

/* ------------------------------------------------------------- copies */

static struct mount *mount_clone(struct mount *m, struct dentry *root)
{
    struct mount *copy;

    refcount_get(&m->super->ref);
    copy = mount_alloc(m->super, root, m->source, 0);
    if (copy)
        copy->flags = m->flags;
    return copy;
}

/* Of a bind of a part, only mounts inside that part are copied, with what is on them. */
static bool mount_is_copied(const struct mount_copy *list, u64 i, struct dentry *root)
{
    if (i == 0 || root == list[0].old->root)
        return true;
    return list[i].up ? list[list[i].up].new != NULL : dentry_lies_below(list[i].point, root);
}

/* The mounts of the tree under top as they are at one moment, at most `max` of them. */
static u64 mount_copies_gather(struct mount *top, bool deep, struct mount_copy *list, u64 max)
{
    struct mount *m;
    u64 n = 0;

    mutex_lock(&mount_trees);
    for (m = top; m && n < max; m = deep ? mount_next_locked(m, top) : NULL) {
        mount_get(m);
        m->nr = n;
        list[n] = (struct mount_copy){.old = m};
        if (m != top) {
            list[n].up = m->parent->nr;
            list[n].point = m->point;
            dentry_get(m->point);
        }
        n++;
    }
    mutex_unlock(&mount_trees);
    return n;
}

int mount_copy_tree(struct mount *top, struct dentry *root, bool deep, struct mount_copy **out,
                    u64 *count)
{
    struct mount_copy *list;
    u64 n = 0;

    mutex_lock(&mount_trees);
    n = deep ? mount_count_locked(top) + 16 : 1; /* 16: it may grow meanwhile, by no more */
    mutex_unlock(&mount_trees);
    list = kcalloc(n, sizeof(*list));
    if (!list)
        return -ENOMEM;
    *out = list;
    *count = n = mount_copies_gather(top, deep, list, n);
    for (u64 i = 0; i < n; i++) {
        if (!mount_is_copied(list, i, root)) {
            if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
                return -EINTR; /* mount_is_copied may have given up */
            continue;
        }
        list[i].new = mount_clone(list[i].old, i == 0 ? root : list[i].old->root);
        if (!list[i].new)
            return -ENOMEM;
        cond_yield();
    }
    return 0;
}

void mount_copies_link(struct mount_copy *list, u64 n)
{
    mutex_lock(&mount_trees);
    for (u64 i = 1; i < n; i++) {
        list[i].placed = list[i].new;
        if (!list[i].placed)
            continue;
        mount_change_begin();
        mount_attach_locked(list[i].new, list[list[i].up].new, list[i].point);
        mount_change_end();
        cond_yield();
    }
    mutex_unlock(&mount_trees);
    DELAYPOINT(mount_copied);
}

/* A placed one whose name has gone since is dissolved by mount_placed, or by the removal. */
static void mount_copy_release(const struct mount_copy *c)
{
    if (c->placed) {
        mount_placed(c->point);
        mount_put(c->new);
    } else {
        mount_dissolve(c->new);
    }
}

void mount_copies_free(struct mount_copy *list, u64 n, bool all)
{
    DELAYPOINT(mount_copies_free);
    for (u64 i = n; i-- > 0;) { /* a name goes before the mount that it is in */
        if (list[i].new && (i > 0 || all))
            mount_copy_release(&list[i]);
        dentry_put(list[i].point);
        mount_put(list[i].old);
        cond_yield();
    }
    kfree(list);
}

/* ------------------------------------------------------------- bring-up */

/* The first namespace: an empty tmpfs as its root. */
void mount_init(void)
{
    const struct fs_type *t;
    struct super *super;

    mutex_init(&mount_trees, RANK_OPS, ORDER_MOUNT_TREES, "mount trees");
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
