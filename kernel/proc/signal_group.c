/* SPDX-License-Identifier: MIT
 *
 * The kernel's signals to process groups: those of terminals, and the hang-up of orphaned groups.
 * They come with locks held and interrupts off, so to a large group a worker sends, to some at a
 * time: from its oldest member on, as new ones join at the other end. A process that leaves the
 * group corrects the walks that are under way. What is sent to the group afterwards, or to all
 * processes, does not overtake it: members that were continued first and stopped then would stay
 * so.
 *
 * Lock order: proc_lock, siglock.
 */
#include "lib/log.h"
#include "mm/account.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"
#include "proc/signal.h"
#include "sched/work.h"

#define AT_ONCE 16 /* each may be the end of a process, which wakes some threads */

/* p proc_lock · I immutable */
struct group_signal {
    struct list_node node;  /* p  in group_signals */
    struct list_node *next; /* p  the place in the group's list */
    struct pid *pgrp;       /* I  a reference */
    int sig, then;          /* I */
    u64 nr;                 /* p  signal_shared_number's */
    u64 again;              /* p  it was sent once more meanwhile: that one's number, or 0 */
    struct work work;
};
static LIST_HEAD(group_signals); /* p */

void signal_group_leave_locked(struct process *p)
{
    struct group_signal *g;

    ASSERT_HELD(&proc_lock);
    list_for_each (g, &group_signals, node) {
        if (g->next == &p->pgid_node)
            g->next = p->pgid_node.prev;
    }
}

/* Unless it is the child of one that had it already. */
static void group_signal_one(struct process *p, int sig, int then, u64 nr)
{
    if (READ_ONCE(p->shared_signal) == nr)
        return;
    (void)signal_send_shared(p, sig, NULL, nr);
    if (then)
        (void)signal_send_shared(p, then, NULL, nr);
}

/* To some more members; false: that was all. REQUIRES(proc_lock) */
static bool group_signal_some_locked(struct group_signal *g) REQUIRES(proc_lock)
{
    struct list_node *members = &g->pgrp->tasks[PID_PGID];

    ASSERT_HELD(&proc_lock);
    for (unsigned n = 0; n < AT_ONCE && g->next != members; n++) {
        struct process *p = list_entry(g->next, struct process, pgid_node);

        g->next = g->next->prev;
        group_signal_one(p, g->sig, g->then, g->nr);
    }
    if (g->next == members && g->again) {
        g->nr = g->again;
        g->again = 0;
        g->next = members->prev;
    }
    return g->next != members;
}

/* Some more, then the worker's other jobs. */
static void group_signal_run(struct work *work)
{
    struct group_signal *g = container_of(work, struct group_signal, work);
    bool more;
    u64 flags;

    DELAYPOINT(group_signal);
    spin_lock_irqsave(&proc_lock, &flags);
    more = group_signal_some_locked(g);
    if (!more)
        list_del(&g->node);
    spin_unlock_irqrestore(&proc_lock, flags);
    if (more) {
        (void)work_queue(workq_system, &g->work);
        return;
    }
    pid_put(g->pgrp);
    kfree(g);
}

/* One sent before `nr` that has not reached all members. pgrp NULL: to any group. */
static struct group_signal *group_signal_unfinished_locked(const struct pid *pgrp, u64 nr)
    REQUIRES(proc_lock)
{
    struct group_signal *g;

    ASSERT_HELD(&proc_lock);
    list_for_each (g, &group_signals, node) {
        u64 due = g->next != &g->pgrp->tasks[PID_PGID] ? g->nr : g->again;

        if ((!pgrp || g->pgrp == pgrp) && due && due < nr)
            return g;
    }
    return NULL;
}

void signal_group_settle(struct pid *pgrp, u64 nr)
{
    struct group_signal *g;
    u64 flags;

    if (likely(list_empty(&group_signals)))
        return;
    do {
        spin_lock_irqsave(&proc_lock, &flags);
        g = group_signal_unfinished_locked(pgrp, nr);
        if (g)
            (void)group_signal_some_locked(g);
        spin_unlock_irqrestore(&proc_lock, flags);
        cond_yield();
    } while (g);
}

static struct group_signal *group_signal_find_locked(const struct pid *pgrp, int sig, int then)
    REQUIRES(proc_lock)
{
    struct group_signal *g;

    ASSERT_HELD(&proc_lock);
    list_for_each (g, &group_signals, node) {
        if (g->pgrp == pgrp && g->sig == sig && g->then == then)
            return g;
    }
    return NULL;
}

/* A worker is to send it; false: no memory for that. REQUIRES(proc_lock) */
static bool group_signal_later(struct pid *pgrp, int sig, int then) REQUIRES(proc_lock)
{
    struct group_signal *g = group_signal_find_locked(pgrp, sig, then);
    struct account *former;

    ASSERT_HELD(&proc_lock);
    if (g) {
        if (!g->again)
            g->again = signal_shared_number();
        return true;
    }
    former = account_swap(NULL);
    g = kzalloc(sizeof(*g));
    (void)account_swap(former);
    if (!g)
        return false;
    pid_get(pgrp);
    g->pgrp = pgrp;
    g->sig = sig;
    g->then = then;
    g->nr = signal_shared_number();
    g->next = pgrp->tasks[PID_PGID].prev;
    list_add_tail(&group_signals, &g->node);
    work_init(&g->work, group_signal_run);
    (void)work_queue(workq_system, &g->work);
    return true;
}

static bool group_is_large(const struct pid *pgrp)
{
    const struct list_node *members = &pgrp->tasks[PID_PGID], *at = members->next;

    for (unsigned n = 0; n < AT_ONCE && at != members; n++)
        at = at->next;
    return at != members;
}

bool signal_send_group_locked(struct pid *pgrp, int sig, int then)
{
    struct group_signal *g;
    struct process *p;
    u64 nr;

    ASSERT_HELD(&proc_lock);
    if (unlikely(group_is_large(pgrp)) && group_signal_later(pgrp, sig, then))
        return false;
    nr = signal_shared_number();
    while ((g = group_signal_unfinished_locked(pgrp, nr)) != NULL) /* from when it was large */
        (void)group_signal_some_locked(g);
    list_for_each (p, &pgrp->tasks[PID_PGID], pgid_node)
        group_signal_one(p, sig, then, nr);
    return true;
}

bool signal_send_group(struct pid *pgrp, int sig, int then)
{
    bool sent;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    sent = signal_send_group_locked(pgrp, sig, then);
    spin_unlock_irqrestore(&proc_lock, flags);
    return sent;
}
