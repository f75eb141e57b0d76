/* SPDX-License-Identifier: MIT
 *
 * Orphaned process groups (setpgid(2); POSIX, "Orphaned Process Group"). A member whose parent is
 * in another group of the same session ties the group to the session; a group without such a member
 * is orphaned. Nothing would continue what stops in it: a terminal stops none of it, and a group
 * that becomes orphaned while a member is stopped is hung up and continued.
 *
 * A group may be large, so it is looked at in parts. A member that ties it only after the member
 * was looked at does not count.
 *
 * Lock order: proc_lock.
 */
#include "mm/account.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"
#include "proc/signal.h"
#include "sched/thread.h"
#include "sched/work.h"

#define AT_ONCE 64 /* members, with interrupts off */

/* What is known of a group so far. */
struct orphan_look {
    const struct process *except; /* this one does not count; or NULL */
    bool tied;                    /* by a member */
    bool stopped;                 /* a member is */
};

/* A worker's look at a large group. All of it is the worker's. */
struct orphan_check {
    struct group_walk walk; /* with a reference of the group */
    struct orphan_look look;
    struct work work;
};

/* Nothing looks after the jobs of the system's init; a namespace's init may well be a shell. */
static bool orphan_of_init(const struct process *parent)
{
    return parent->ns_init && process_pid_ns(parent) == &pid_ns_init;
}

/* group_member_fn: true when there is no need to look further. REQUIRES(proc_lock) */
static bool orphan_look_at(struct process *p, void *arg)
{
    struct orphan_look *l = arg;
    const struct process *parent = p->parent;

    ASSERT_HELD(&proc_lock);
    if (p == l->except || p->state != PROCESS_LIVE)
        return false;
    l->stopped |= p->stop_signal && !p->stop_count;
    l->tied = parent && !orphan_of_init(parent) && parent->pgrp != p->pgrp &&
              parent->session == p->session;
    return l->tied;
}

bool process_group_orphaned(struct process *p)
{
    struct orphan_look look = {0};
    struct group_walk walk = {.pgrp = process_pgrp(p)};

    while (group_walk_some(&walk, AT_ONCE, orphan_look_at, &look))
        cond_yield();
    pid_put(walk.pgrp);
    return !look.tied;
}

static void orphan_check_run(struct work *work)
{
    struct orphan_check *c = container_of(work, struct orphan_check, work);

    if (group_walk_some(&c->walk, AT_ONCE, orphan_look_at, &c->look)) {
        (void)work_queue(workq_system, &c->work);
        return;
    }
    if (!c->look.tied && c->look.stopped)
        (void)signal_send_group(c->walk.pgrp, SIGHUP, SIGCONT);
    pid_put(c->walk.pgrp);
    kfree(c);
}

/* A worker goes on with the walk; false: no memory for that. */
static bool orphan_check_later_locked(const struct group_walk *walk, const struct orphan_look *look)
    REQUIRES(proc_lock)
{
    struct account *former;
    struct orphan_check *c;

    ASSERT_HELD(&proc_lock);
    former = account_swap(NULL);
    c = kzalloc(sizeof(*c));
    (void)account_swap(former);
    if (!c)
        return false;
    pid_get(walk->pgrp);
    c->walk = *walk;
    c->look = *look;
    c->look.except = NULL; /* it is a zombie by then */
    work_init(&c->work, orphan_check_run);
    (void)work_queue(workq_system, &c->work);
    return true;
}

void orphan_hangup_locked(struct process *member, const struct process *tie,
                          const struct process *except)
{
    struct pid *pgrp = member->pgrp;
    struct group_walk walk = {.pgrp = pgrp};
    struct orphan_look look = {.except = except};
    struct process *none, *at;

    ASSERT_HELD(&proc_lock);
    if (!tie || tie->pgrp == pgrp || tie->session != member->session)
        return;
    if (group_walk_some_locked(&walk, AT_ONCE, orphan_look_at, &look, &none)) {
        at = walk.at;
        if (orphan_check_later_locked(&walk, &look))
            return;
        walk.at = NULL;
        (void)group_walk_some_locked(&walk, ~0U, orphan_look_at, &look, &none);
        process_put(at); /* not the last: it is a member */
    }
    if (!look.tied && look.stopped)
        (void)signal_send_group_locked(pgrp, SIGHUP, SIGCONT);
}
