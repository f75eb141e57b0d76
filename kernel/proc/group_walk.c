/* SPDX-License-Identifier: MIT
 *
 * Walks over the members of a process group, which may be many: some in a hold of proc_lock, from
 * the oldest on, since new ones join at the other end.
 *
 * Lock order: proc_lock.
 */
#include "proc/proc_priv.h"

bool group_walk_some_locked(struct group_walk *w, unsigned n, group_member_fn *fn, void *arg,
                            struct process **former)
{
    struct list_node *members = &w->pgrp->tasks[PID_PGID], *at = members;
    struct process *p = NULL;

    ASSERT_HELD(&proc_lock);
    *former = w->at;
    if (w->at && w->at->pgrp == w->pgrp && w->at->group_nr == w->nr)
        at = &w->at->pgid_node;
    w->at = NULL;
    for (at = at->prev; n && at != members; n--, at = at->prev) {
        p = list_entry(at, struct process, pgid_node);
        if (fn(p, arg))
            return false;
    }
    if (at == members)
        return false;
    process_get(p);
    w->at = p;
    w->nr = p->group_nr;
    return true;
}

bool group_walk_some(struct group_walk *w, unsigned n, group_member_fn *fn, void *arg)
{
    struct process *former;
    bool more;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    more = group_walk_some_locked(w, n, fn, arg, &former);
    spin_unlock_irqrestore(&proc_lock, flags);
    if (former)
        process_put(former);
    return more;
}
