/* SPDX-License-Identifier: MIT
 *
 * Mount namespaces (mount_namespaces(7)). Every mount is private: events do not propagate.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "vfs/mount_priv.h"

struct mount_ns *mount_ns_alloc(struct user_ns *user_ns)
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

/* The mount of the root, a reference: pivot_root may give the namespace another at any time. */
static struct mount *mount_ns_top(struct mount_ns *ns)
{
    struct mount *top;

    spin_lock(&mount_lock);
    top = ns->root;
    mount_get(top);
    spin_unlock(&mount_lock);
    return top;
}

struct mount_ns *mount_ns_copy(struct mount_ns *from, struct user_ns *user_ns, struct path *root,
                               struct path *cwd)
{
    struct mount_ns *ns = mount_ns_alloc(user_ns);
    struct mount_copy *list = NULL;
    struct mount *top;
    u64 n = 0;
    int err;

    if (!ns)
        return NULL;
    top = mount_ns_top(from);
    err = mount_copy_tree(top, top->root, true, &list, &n);
    mount_put(top);
    if (err) {
        mount_copies_free(list, n, true);
        user_ns_put(ns->user_ns);
        kfree(ns);
        return NULL;
    }
    mount_copies_link(list, n);
    ns->root = list[0].new; /* the list's reference becomes the namespace's */
    mutex_lock(&mount_trees);
    mount_set_ns_locked(ns->root, ns);
    mutex_unlock(&mount_trees);
    mount_ns_translate(list, n, root);
    cond_yield();
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

struct user_ns *mount_ns_owner(const struct mount_ns *ns)
{
    return ns->user_ns;
}

u64 mount_ns_inum(const struct mount_ns *ns)
{
    return ns->inum;
}

struct waitq *mount_ns_waitq(struct mount_ns *ns)
{
    return &ns->changed;
}

u64 mount_ns_changes(const struct mount_ns *ns)
{
    return __atomic_load_n(&ns->changes, __ATOMIC_SEQ_CST);
}

/* The topmost of what is mounted over the root. */
void mount_ns_root(struct mount_ns *ns, struct path *out)
{
    struct mount *m = mount_ns_top(ns), *over;

    while ((over = mount_lookup(m, m->root))) {
        mount_put(m);
        m = over;
        cond_yield();
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
    u64 n = 0, max = ns->count + 16;
    int ret = 0;

    all = kcalloc(max, sizeof(*all));
    if (!all)
        return -ENOMEM;
    mutex_lock(&mount_trees);
    for (struct mount *m = ns->root; m && n < max; m = mount_next_locked(m, ns->root)) {
        mount_get(m);
        all[n++] = m;
    }
    mutex_unlock(&mount_trees);
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
        cond_yield();
    }
    kfree(all);
    return ret;
}
