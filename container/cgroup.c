/* SPDX-License-Identifier: MIT
 *
 * The control-group tree: groups by name and number, their life and their limits. The tree lock
 * orders everything that changes its shape, its limits and its members' moves. Its members are in
 * cgroup_members.c.
 *
 * A group lives in the tree until it is removed, and in memory until its last member, child and
 * reference are gone.
 */
#include "container/cgroup_priv.h"
#include "container/device_filter.h"
#include "container/up.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/cache.h"
#include "mm/slab.h"
#include "mm/up.h"
#include "obj/cred.h"
#include "vm/object.h"
#include "vm/up.h"

#define CGROUP_NAME_MAX 255
#define CPU_WEIGHT_DEFAULT 100
#define QUOTA_PERIOD_DEFAULT_US 100000
#define QUOTA_PERIOD_MAX_US 1000000
#define QUOTA_MIN_US 1000

struct cgroup cgroup_root;
struct cgroup_ns cgroup_ns_init;

struct mutex cgroup_tree_lock;
static u64 cgroup_last_id = 1; /* tree lock */

static void cgroup_init(struct cgroup *cg, struct cgroup *parent)
{
    refcount_init(&cg->ref, 1);
    cg->parent = parent;
    cg->depth = parent ? parent->depth + 1 : 0;
    spinlock_init(&cg->lock, RANK_PROC, 20, "cgroup"); /* up.h: proc looks at each member */
    cg->children = RB_ROOT;
    cg->names = RB_ROOT;
    list_init(&cg->members);
    account_init(&cg->memory, parent ? &parent->memory : NULL, cg);
    account_init(&cg->pids, parent ? &parent->pids : NULL, cg);
    cg->swap_max = U64_MAX;
    cg->quota_us = U64_MAX;
    cg->period_us = QUOTA_PERIOD_DEFAULT_US;
    cg->cpu_weight = CPU_WEIGHT_DEFAULT;
    cg->cpus_effective = parent ? parent->cpus_effective : U64_MAX;
    cg->depth_max = cg->below_max = U64_MAX;
    pseudo_changes_init(&cg->changes);
}

static void cgroup_init_root(void)
{
    mutex_init(&cgroup_tree_lock, RANK_OPS, ORDER_CGROUP_TREE, "cgroup tree");
    cgroup_init(&cgroup_root, NULL);
    cgroup_root.name = "";
    cgroup_root.id = cgroup_last_id;
    cgroup_root.sched = &sched_group_root;
    cgroup_root.subtree_control = CG_ALL;
    refcount_init(&cgroup_ns_init.ref, 1);
    cgroup_ns_init.root = &cgroup_root;
    cgroup_ns_init.user_ns = &user_ns_init;
    cgroup_ns_init.inum = inum_alloc();
}
INIT_HOOK(cgroup_init_root, INIT_CORE);

void cgroup_get(struct cgroup *cg)
{
    refcount_get(&cg->ref);
}

/* Groups without references whose account still has pages: files that a container wrote outlive it,
 * and their pages point to the account. When the last is uncharged they are put here, from any
 * context, and go when a later group is made or dropped. */
static struct cgroup *emptied_groups; /* a */

static void cgroup_free_rcu(struct rcu_head *head)
{
    struct cgroup *cg = container_of(head, struct cgroup, rcu);

    cgroup_drop_device_filters(cg);
    kfree(cg);
}

/* Removed groups that are still in memory count in each group above, which lives as long. */
static void cgroup_count_dying(struct cgroup *cg, s64 change)
{
    for (struct cgroup *up = cg->parent; up; up = up->parent)
        (void)__atomic_fetch_add(&up->nr_dying, (u64)change, __ATOMIC_RELAXED);
}

/* After a grace period: account_uncharge walks on to the parent after its last subtraction. */
static void cgroup_free(struct cgroup *cg)
{
    cgroup_count_dying(cg, -1);
    kfree(cg->name);
    rcu_call(&cg->rcu, cgroup_free_rcu);
}

void up_account_get(struct account *a)
{
    if (a->owner)
        cgroup_get(a->owner);
}

void up_account_put(struct account *a)
{
    if (a->owner)
        cgroup_put(a->owner);
}

void up_account_empty(struct account *a)
{
    struct cgroup *cg = a->owner;

    cg->emptied = __atomic_load_n(&emptied_groups, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&emptied_groups, &cg->emptied, cg, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED))
        ;
}

/* Drops a reference; true when cg is to be freed now. */
static bool cgroup_put_one(struct cgroup *cg)
{
    if (cg == &cgroup_root || !refcount_put(&cg->ref))
        return false;
    sched_group_destroy(cg->sched);
    return account_close(&cg->memory);
}

static void cgroup_put_tree(struct cgroup *cg)
{
    while (cgroup_put_one(cg)) {
        struct cgroup *parent = cg->parent;

        cgroup_free(cg);
        cg = parent;
    }
}

static u64 cgroup_reap_emptied(void)
{
    struct cgroup *cg, *next;
    u64 n = 0;

    if (likely(!__atomic_load_n(&emptied_groups, __ATOMIC_RELAXED)))
        return 0;
    for (cg = __atomic_exchange_n(&emptied_groups, NULL, __ATOMIC_SEQ_CST); cg; cg = next) {
        struct cgroup *parent = cg->parent;

        next = cg->emptied;
        cgroup_free(cg);
        cgroup_put_tree(parent);
        n++;
    }
    return n;
}
CACHE_KIND("30") = {"groups", cgroup_reap_emptied};

void cgroup_put(struct cgroup *cg)
{
    cgroup_put_tree(cg);
    cgroup_reap_emptied();
}

static bool cgroup_name_valid(const char *name)
{
    size_t len = strnlen(name, CGROUP_NAME_MAX + 1);

    return len > 0 && len <= CGROUP_NAME_MAX && !strchr(name, '/') && !strchr(name, '\n') &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int cgroup_name_compare(const char *name, size_t len, const struct cgroup *cg)
{
    size_t other = strlen(cg->name);
    int diff = memcmp(name, cg->name, MIN(len, other));

    return diff ? diff : len < other ? -1 : len > other;
}

static struct cgroup *cgroup_find_locked(struct cgroup *parent, const char *name, size_t len)
    REQUIRES(cgroup_tree_lock)
{
    ASSERT_HELD(&cgroup_tree_lock);
    for (struct rb_node *n = parent->names.node; n;) {
        struct cgroup *cg = rb_entry(n, struct cgroup, by_name);
        int diff = cgroup_name_compare(name, len, cg);

        if (diff == 0)
            return cg;
        n = diff < 0 ? n->left : n->right;
    }
    return NULL;
}

static bool cgroup_name_less(const struct rb_node *a, const struct rb_node *b)
{
    const char *name = rb_entry(a, struct cgroup, by_name)->name;

    return cgroup_name_compare(name, strlen(name), rb_entry(b, struct cgroup, by_name)) < 0;
}

static bool cgroup_id_less(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct cgroup, by_id)->id < rb_entry(b, struct cgroup, by_id)->id;
}

static struct cgroup *cgroup_alloc(struct cgroup *parent, const char *name)
{
    struct cgroup *cg = kzalloc(sizeof(*cg));

    if (!cg)
        return NULL;
    cgroup_init(cg, parent);
    cg->name = kstrdup(name);
    cg->sched = sched_group_create(parent->sched);
    if (cg->name && cg->sched)
        return cg;
    if (cg->sched)
        sched_group_destroy(cg->sched);
    kfree(cg->name);
    kfree(cg);
    return NULL;
}

/* A limit of parent or of one above it forbids a further group. */
static bool cgroup_is_full_locked(const struct cgroup *parent) REQUIRES(cgroup_tree_lock)
{
    u64 level = 1;

    ASSERT_HELD(&cgroup_tree_lock);
    for (const struct cgroup *at = parent; at; at = at->parent, level++)
        if (at->nr_below >= at->below_max || level > at->depth_max)
            return true;
    return false;
}

static void cgroup_count_below_locked(struct cgroup *cg, s64 change) REQUIRES(cgroup_tree_lock)
{
    ASSERT_HELD(&cgroup_tree_lock);
    for (; cg; cg = cg->parent)
        cg->nr_below += (u64)change;
}

static int cgroup_link_locked(struct cgroup *parent, struct cgroup *cg) REQUIRES(cgroup_tree_lock)
{
    ASSERT_HELD(&cgroup_tree_lock);
    if (parent->dead)
        return -ENODEV;
    if (cgroup_find_locked(parent, cg->name, strlen(cg->name)))
        return -EEXIST;
    if (cgroup_is_full_locked(parent))
        return -EAGAIN;
    cg->cpus_effective = parent->cpus_effective;
    sched_group_set_cpus(cg->sched, cg->cpus_effective);
    sched_group_set_frozen(cg->sched, sched_group_frozen(parent->sched));
    cgroup_count_below_locked(parent, 1);
    cg->id = ++cgroup_last_id;
    cgroup_get(parent); /* cg->parent */
    cgroup_get(cg);     /* the tree's */
    rb_insert(&parent->children, &cg->by_id, cgroup_id_less);
    rb_insert(&parent->names, &cg->by_name, cgroup_name_less);
    return 0;
}

/* The parent counts which of its children have a controller on. */
static void cgroup_set_control_locked(struct cgroup *cg, u32 bits) REQUIRES(cgroup_tree_lock)
{
    ASSERT_HELD(&cgroup_tree_lock);
    for (unsigned i = 0; cg->parent && i < CG_COUNT; i++)
        cg->parent->users[i] += (bits >> i & 1) - (cg->subtree_control >> i & 1);
    WRITE_ONCE(cg->subtree_control, bits);
}

/* No process joins between the look at the members and the change. */
static int cgroup_change_control_locked(struct cgroup *cg, u32 on, u32 off)
    REQUIRES(cgroup_tree_lock)
{
    int err = 0;
    u64 flags;

    ASSERT_HELD(&cgroup_tree_lock);
    spin_lock_irqsave(&cg->lock, &flags);
    if (cg->parent && (on & CG_MEMORY) && cg->nr_members)
        err = -EBUSY;
    else
        cgroup_set_control_locked(cg, (cg->subtree_control | on) & ~off);
    spin_unlock_irqrestore(&cg->lock, flags);
    return err;
}

static void cgroup_unlink_locked(struct cgroup *cg) REQUIRES(cgroup_tree_lock)
{
    ASSERT_HELD(&cgroup_tree_lock);
    cgroup_set_control_locked(cg, 0);
    cgroup_count_below_locked(cg->parent, -1);
    rb_erase(&cg->parent->children, &cg->by_id);
    rb_erase(&cg->parent->names, &cg->by_name);
}

int cgroup_create(struct cgroup *parent, const char *name, struct cgroup **out)
{
    struct cgroup *cg;
    int err;

    if (!cgroup_name_valid(name))
        return -EINVAL;
    if (parent->depth + 1 >= CGROUP_DEPTH_MAX)
        return -EAGAIN;
    cgroup_reap_emptied();
    cg = cgroup_alloc(parent, name);
    if (!cg)
        return -ENOMEM;
    mutex_lock(&cgroup_tree_lock);
    err = cgroup_link_locked(parent, cg);
    mutex_unlock(&cgroup_tree_lock);
    if (err) {
        cg->parent = NULL;
        sched_group_destroy(cg->sched);
        kfree(cg->name);
        kfree(cg);
        return err;
    }
    *out = cg;
    return 0;
}

/* Under cg->lock too: no process joins after the look at nr_members. */
static int cgroup_mark_dead_locked(struct cgroup *cg) REQUIRES(cgroup_tree_lock)
{
    u64 flags;
    int err = 0;

    ASSERT_HELD(&cgroup_tree_lock);
    if (cg->dead)
        return -ENODEV;
    if (!rb_empty(&cg->children))
        return -EBUSY;
    spin_lock_irqsave(&cg->lock, &flags);
    if (cg->nr_members)
        err = -EBUSY;
    else
        cg->dead = true;
    spin_unlock_irqrestore(&cg->lock, flags);
    return err;
}

int cgroup_remove(struct cgroup *cg)
{
    int err;

    if (cg == &cgroup_root)
        return -EBUSY;
    mutex_lock(&cgroup_tree_lock);
    err = cgroup_mark_dead_locked(cg);
    if (!err) {
        cgroup_unlink_locked(cg);
        cgroup_count_dying(cg, 1);
    }
    mutex_unlock(&cgroup_tree_lock);
    if (err)
        return err;
    pseudo_changed(&cg->changes);
    cgroup_put(cg); /* the tree's */
    return 0;
}

struct cgroup *cgroup_child(struct cgroup *cg, const char *name, size_t len)
{
    struct cgroup *child;

    mutex_lock(&cgroup_tree_lock);
    child = cgroup_find_locked(cg, name, len);
    if (child)
        cgroup_get(child);
    mutex_unlock(&cgroup_tree_lock);
    return child;
}

struct cgroup *cgroup_next_child(struct cgroup *cg, u64 after)
{
    struct cgroup *found = NULL;
    struct rb_node *n;

    mutex_lock(&cgroup_tree_lock);
    for (n = cg->children.node; n;) {
        struct cgroup *child = rb_entry(n, struct cgroup, by_id);

        if (child->id > after)
            found = child;
        n = child->id > after ? n->left : n->right;
    }
    if (found)
        cgroup_get(found);
    mutex_unlock(&cgroup_tree_lock);
    return found;
}

int cgroup_set_subtree_control(struct cgroup *cg, u32 on, u32 off)
{
    int err = 0;

    mutex_lock(&cgroup_tree_lock);
    if (cg->dead)
        err = -ENODEV;
    else if (on & ~(cg->parent ? cg->parent->subtree_control : CG_ALL))
        err = -ENOENT;
    for (unsigned i = 0; i < CG_COUNT; i++)
        if (!err && (off >> i & 1) && cg->users[i])
            err = -EBUSY;
    if (!err)
        err = cgroup_change_control_locked(cg, on, off);
    mutex_unlock(&cgroup_tree_lock);
    return err;
}

static struct cgroup *cgroup_by_id(struct rb_node *n)
{
    return n ? rb_entry(n, struct cgroup, by_id) : NULL;
}

/* The group after cg in the subtree of top, parents first; NULL after the last. */
struct cgroup *cgroup_next_locked(struct cgroup *cg, struct cgroup *top)
{
    struct cgroup *next = cgroup_by_id(rb_first(&cg->children));

    ASSERT_HELD(&cgroup_tree_lock);
    for (; !next && cg != top; cg = cg->parent)
        next = cgroup_by_id(rb_next(&cg->by_id));
    return next;
}

/* What is charged to the group itself: what a process has stays there when it moves on. */
static s64 cgroup_own_locked(const struct cgroup *cg) REQUIRES(cgroup_tree_lock)
{
    s64 own = atomic_read(&cg->memory.used);

    ASSERT_HELD(&cgroup_tree_lock);
    for (struct rb_node *n = rb_first(&cg->children); n; n = rb_next(n))
        own -= atomic_read(&rb_entry(n, struct cgroup, by_id)->memory.used);
    return own;
}

struct cgroup *cgroup_largest(void)
{
    struct cgroup *best = NULL, *cg = &cgroup_root;
    s64 most = 0;

    mutex_lock(&cgroup_tree_lock);
    while ((cg = cgroup_next_locked(cg, &cgroup_root))) {
        s64 own = cgroup_own_locked(cg);

        if (READ_ONCE(cg->nr_populated) && own > most) {
            best = cg;
            most = own;
        }
    }
    if (best)
        cgroup_get(best);
    mutex_unlock(&cgroup_tree_lock);
    return best;
}

/* The group after `at` in the subtree of top, parents first: a reference, or NULL after the last.
 * Takes the reference to `at`. */
static struct cgroup *cgroup_step(struct cgroup *at, struct cgroup *top)
{
    struct cgroup *next = cgroup_next_child(at, 0);

    for (struct cgroup *up = at; !next && up != top; up = up->parent)
        next = cgroup_next_child(up->parent, up->id);
    cgroup_put(at);
    return next;
}

/* The walk over members yields, and the walker may have little CPU time: the tree lock, which
 * all containers share, is only taken from group to group. */
int cgroup_for_each_below(struct cgroup *top, int (*fn)(struct cgroup_member *m, void *arg),
                          void *arg)
{
    struct cgroup *at = top;
    int ret = 0;

    cgroup_get(top);
    while (at && !ret) {
        ret = cgroup_for_each_member(at, fn, arg);
        if (!ret)
            at = cgroup_step(at, top);
    }
    if (at)
        cgroup_put(at);
    return ret;
}

static int cgroup_kill_member(struct cgroup_member *m, void *arg)
{
    bool *lived = arg;

    *lived |= up_cgroup_kill(m);
    return 0;
}

/* One that was not reached yet may have made a child meanwhile, in a group already passed: until
 * there is none that lived. */
void cgroup_kill(struct cgroup *cg)
{
    bool lived;

    do {
        lived = false;
        cgroup_for_each_below(cg, cgroup_kill_member, &lived);
    } while (lived);
}

int cgroup_set_weight(struct cgroup *cg, u64 weight)
{
    if (weight < 1 || weight > 10000)
        return -EINVAL;
    mutex_lock(&cgroup_tree_lock);
    cg->cpu_weight = (u32)weight;
    sched_group_set_weight(cg->sched, (u32)weight);
    mutex_unlock(&cgroup_tree_lock);
    return 0;
}

int cgroup_set_quota(struct cgroup *cg, u64 quota_us, u64 period_us)
{
    if (period_us < QUOTA_MIN_US || period_us > QUOTA_PERIOD_MAX_US || quota_us < QUOTA_MIN_US)
        return -EINVAL;
    if (quota_us != U64_MAX && quota_us > U64_MAX / 1000)
        return -EINVAL;
    mutex_lock(&cgroup_tree_lock);
    cg->quota_us = quota_us;
    cg->period_us = period_us;
    sched_group_set_quota(cg->sched, quota_us == U64_MAX ? 0 : quota_us * 1000, period_us * 1000);
    mutex_unlock(&cgroup_tree_lock);
    return 0;
}

void cgroup_memory_uses(struct cgroup *cg, s64 uses[ACCOUNT_USES])
{
    for (unsigned i = 0; i < ACCOUNT_USES; i++)
        uses[i] = 0;
    cgroup_get(cg);
    for (struct cgroup *at = cg; at; at = cgroup_step(at, cg)) {
        for (unsigned i = 0; i < ACCOUNT_USES; i++)
            uses[i] += atomic_read(&at->memory.uses[i]);
        cond_yield();
    }
}

static int cgroup_tell_cpus(struct cgroup_member *m, void *arg)
{
    up_cgroup_cpus(m);
    return 0;
}

/* cg's own and its parent's, if they have any in common; and so on downwards. */
static void cgroup_apply_cpus_locked(struct cgroup *top) REQUIRES(cgroup_tree_lock)
{
    ASSERT_HELD(&cgroup_tree_lock);
    for (struct cgroup *at = top; at; at = cgroup_next_locked(at, top)) {
        u64 upper = at->parent ? at->parent->cpus_effective : U64_MAX;

        at->cpus_effective = at->cpus & upper ? at->cpus & upper : upper;
        sched_group_set_cpus(at->sched, at->cpus_effective);
    }
}

int cgroup_set_cpus(struct cgroup *cg, u64 mask)
{
    int err = 0;

    mutex_lock(&cgroup_tree_lock);
    if (cg->dead) {
        err = -ENODEV;
    } else if (!mask && cg->cpus && cgroup_populated(cg)) {
        err = -ENOSPC;
    } else {
        cg->cpus = mask;
        cgroup_apply_cpus_locked(cg);
    }
    mutex_unlock(&cgroup_tree_lock);
    if (!err) /* each looks at what its group has by then */
        cgroup_for_each_below(cg, cgroup_tell_cpus, NULL);
    return err;
}

u64 cgroup_count(void)
{
    return READ_ONCE(cgroup_root.nr_below) + 1;
}
