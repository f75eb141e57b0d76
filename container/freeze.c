/* SPDX-License-Identifier: MIT
 *
 * Freezing: threads of a frozen group come to user or guest mode no more (sched's throttling does
 * the waiting). A thread that sleeps in the kernel stays there: it counts as frozen, and stops when
 * it wakes.
 */
#include "container/cgroup_priv.h"
#include "container/up.h"
#include "lib/errno.h"

static int freeze_member(struct cgroup_member *m, void *arg)
{
    up_cgroup_freeze(m);
    return 0;
}

/* Parents come before children: what holds above holds below. */
static void freeze_group_locked(struct cgroup *cg) REQUIRES(cgroup_tree_lock)
{
    bool was = sched_group_frozen(cg->sched);
    bool now = cg->frozen || (cg->parent && sched_group_frozen(cg->parent->sched));

    ASSERT_HELD(&cgroup_tree_lock);
    if (was == now)
        return;
    sched_group_set_frozen(cg->sched, now);
    pseudo_changed(&cg->changes);
}

int cgroup_freeze(struct cgroup *cg, bool freeze)
{
    int err = 0;

    mutex_lock(&cgroup_tree_lock);
    if (cg->dead) {
        err = -ENODEV;
    } else {
        cg->frozen = freeze;
        for (struct cgroup *at = cg; at; at = cgroup_next_locked(at, cg))
            freeze_group_locked(at);
    }
    mutex_unlock(&cgroup_tree_lock);
    if (!err && freeze)
        cgroup_for_each_below(cg, freeze_member, NULL);
    return err;
}

static int freeze_awake(struct cgroup_member *m, void *arg)
{
    return up_cgroup_awake(m);
}

bool cgroup_is_frozen(struct cgroup *cg)
{
    return sched_group_frozen(cg->sched) && cgroup_for_each_below(cg, freeze_awake, NULL) == 0;
}

void cgroup_frozen_notify(struct cgroup_member *m)
{
    struct cgroup *cg = cgroup_of(m);

    for (struct cgroup *at = cg; at; at = at->parent)
        pseudo_changed(&at->changes);
    cgroup_put(cg);
}
