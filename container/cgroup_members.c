/* SPDX-License-Identifier: MIT
 *
 * Membership of control groups: fork, exit and moves, the threads charged to pids accounts, and
 * what "populated" says. A member's own lock keeps its group the same while it is held; fork and
 * exit touch that one group, but for the first and last member of a group, which go up the tree.
 */
#include "container/cgroup_priv.h"
#include "container/up.h"
#include "lib/errno.h"
#include "lib/log.h"

/* nr_populated counts, in each group, its own non-empty member list and its populated children; it
 * goes up and down along the path of ancestors, each under its own lock, child before parent. */
static void cgroup_populate(struct cgroup *cg, s64 change)
{
    for (; cg; cg = cg->parent) {
        u64 flags, before;

        spin_lock_irqsave(&cg->lock, &flags);
        before = cg->nr_populated;
        cg->nr_populated = before + (u64)change;
        spin_unlock_irqrestore(&cg->lock, flags);
        if (before != 0 && before + (u64)change != 0)
            return;
        pseudo_changed(&cg->changes);
    }
}

bool cgroup_populated(struct cgroup *cg)
{
    return READ_ONCE(cg->nr_populated) != 0;
}

/* Joins a live group; takes the caller's reference to cg on success. m->lock held. */
static int cgroup_join(struct cgroup *cg, struct cgroup_member *m) REQUIRES(m->lock)
{
    bool first;

    ASSERT_HELD(&m->lock);
    spin_lock(&cg->lock);
    if (cg->dead || cgroup_is_inner(cg)) {
        spin_unlock(&cg->lock);
        return cg->dead ? -ENODEV : -EBUSY;
    }
    first = cg->nr_members++ == 0;
    list_add_tail(&cg->members, &m->node);
    WRITE_ONCE(m->group, cg);
    spin_unlock(&cg->lock);
    if (first)
        cgroup_populate(cg, 1);
    return 0;
}

/* Leaves its group, whose reference passes to the caller. m->lock held. */
static struct cgroup *cgroup_leave(struct cgroup_member *m) REQUIRES(m->lock)
{
    struct cgroup *cg = m->group;
    bool last;

    ASSERT_HELD(&m->lock);
    spin_lock(&cg->lock);
    list_del(&m->node);
    last = --cg->nr_members == 0;
    spin_unlock(&cg->lock);
    if (last)
        cgroup_populate(cg, -1);
    return cg;
}

/* A group without references is no member's any more: then m->group has changed. */
struct cgroup *cgroup_of(const struct cgroup_member *m)
{
    struct cgroup *cg;

    rcu_read_lock();
    do
        cg = READ_ONCE(m->group);
    while (cg != &cgroup_root && !refcount_get_unless_zero(&cg->ref));
    rcu_read_unlock();
    if (cg == &cgroup_root)
        cgroup_get(cg);
    return cg;
}

static int cgroup_charge_pids(struct cgroup *cg, u64 n)
{
    struct account *failed = NULL;

    if (account_charge(&cg->pids, n, &failed) == 0)
        return 0;
    if (failed && failed->owner) {
        struct cgroup *full = failed->owner;

        __atomic_fetch_add(&full->events_pids_max, 1, __ATOMIC_RELAXED);
        pseudo_changed(&full->changes);
    }
    return -EAGAIN;
}

int cgroup_fork(struct cgroup_member *parent, struct cgroup_member *child, struct cgroup *into)
{
    struct cgroup *cg;
    u64 flags;
    int err;

    list_init(&child->node);
    spinlock_init(&child->lock, RANK_PROC, 21, "cgroup member");
again:
    cg = into ? into : cgroup_of(parent);
    if (into)
        cgroup_get(into);
    err = cgroup_charge_pids(cg, 1);
    if (err)
        goto put;
    spin_lock_irqsave(&child->lock, &flags);
    err = cgroup_join(cg, child);
    child->threads = 1;
    child->departed = false;
    spin_unlock_irqrestore(&child->lock, flags);
    if (err)
        goto uncharge;
    return 0;
uncharge:
    account_uncharge(&cg->pids, 1);
    if (!into && READ_ONCE(parent->group) != cg) { /* it was moved, and its group has changed */
        cgroup_put(cg);
        goto again;
    }
put:
    cgroup_put(cg);
    return err;
}

int cgroup_charge_thread(struct cgroup_member *m)
{
    u64 flags;
    int err;

    spin_lock_irqsave(&m->lock, &flags);
    err = cgroup_charge_pids(m->group, 1);
    m->threads += !err;
    spin_unlock_irqrestore(&m->lock, flags);
    return err;
}

void cgroup_uncharge_thread(struct cgroup_member *m)
{
    u64 flags;

    spin_lock_irqsave(&m->lock, &flags);
    if (m->threads) { /* else cgroup_exit was faster, and has uncharged all */
        m->threads--;
        account_uncharge(&m->group->pids, 1);
    }
    spin_unlock_irqrestore(&m->lock, flags);
}

void cgroup_depart(struct cgroup_member *m)
{
    u64 flags;

    spin_lock_irqsave(&m->lock, &flags);
    (void)cgroup_leave(m); /* which keeps the reference */
    m->departed = true;
    spin_unlock_irqrestore(&m->lock, flags);
}

void cgroup_exit(struct cgroup_member *m)
{
    struct cgroup *cg;
    u64 flags;

    spin_lock_irqsave(&m->lock, &flags);
    cg = m->departed ? m->group : cgroup_leave(m);
    account_uncharge(&cg->pids, m->threads);
    m->threads = 0;
    WRITE_ONCE(m->group, &cgroup_root);
    spin_unlock_irqrestore(&m->lock, flags);
    cgroup_put(cg);
}

int cgroup_move(struct cgroup_member *m, struct cgroup *to)
{
    struct cgroup *from = NULL;
    u64 flags;
    int err = 0;

    mutex_lock(&cgroup_tree_lock); /* `dead` is set under it */
    spin_lock_irqsave(&m->lock, &flags);
    if (to->dead || !m->threads) {
        err = to->dead ? -ENODEV : -ESRCH;
    } else if (m->group != to && cgroup_is_inner(to)) {
        err = -EBUSY;
    } else if (m->group != to && !m->departed) {
        cgroup_get(to);
        account_charge_forced(&to->pids, m->threads); /* pids.max stops forks, not moves */
        from = cgroup_leave(m);
        err = cgroup_join(to, m);
        ASSERT(err == 0);
        account_uncharge(&from->pids, m->threads);
    }
    spin_unlock_irqrestore(&m->lock, flags);
    mutex_unlock(&cgroup_tree_lock);
    if (from)
        cgroup_put(from);
    return err;
}

/* The member behind a bookmark, which goes to behind it; NULL: there are no more. A bookmark is on
 * the list as members are, but of no group. REQUIRES(cg->lock) */
static struct cgroup_member *cgroup_next_member_locked(struct cgroup *cg, struct cgroup_member *at)
    REQUIRES(cg->lock)
{
    ASSERT_HELD(&cg->lock);
    for (struct list_node *n = at->node.next; n != &cg->members; n = n->next) {
        struct cgroup_member *m = list_entry(n, struct cgroup_member, node);

        if (!m->group)
            continue;
        list_del(&at->node);
        list_add(n, &at->node);
        up_cgroup_hold(m);
        return m;
    }
    return NULL;
}

int cgroup_for_each_member(struct cgroup *cg, int (*fn)(struct cgroup_member *m, void *arg),
                           void *arg)
{
    struct cgroup_member at = {.group = NULL}, *m;
    int ret = 0;
    u64 flags;

    spin_lock_irqsave(&cg->lock, &flags);
    list_add(&cg->members, &at.node);
    while (!ret && (m = cgroup_next_member_locked(cg, &at))) {
        spin_unlock_irqrestore(&cg->lock, flags);
        ret = fn(m, arg);
        up_cgroup_let_go(m);
        cond_yield();
        spin_lock_irqsave(&cg->lock, &flags);
    }
    list_del(&at.node);
    spin_unlock_irqrestore(&cg->lock, flags);
    return ret;
}
