/* SPDX-License-Identifier: MIT
 *
 * PR_SET_PDEATHSIG: the signals that tasks ask for at their parent's end. Of all tasks that ask for
 * one signal the first stands in the process's list and the others in a ring with it, so that a
 * parent's end looks at no more tasks than there are signals.
 *
 * Lock order: proc_lock, siglock.
 */
#include "proc/proc_priv.h"

static struct task *death_signal_first_locked(struct process *p, int sig) REQUIRES(p->siglock)
{
    struct task *t;

    ASSERT_HELD(&p->siglock);
    list_for_each (t, &p->death_signals, death_node)
        if (t->pdeath_signal == sig)
            return t;
    return NULL;
}

void death_signal_drop_locked(struct process *p, struct task *t)
{
    struct task *next = list_entry(t->death_ring.next, struct task, death_ring);

    ASSERT_HELD(&p->siglock);
    if (!t->pdeath_signal)
        return;
    if (next != t && !list_empty(&t->death_node))
        list_add(&t->death_node, &next->death_node);
    list_del(&t->death_node);
    list_del(&t->death_ring);
    WRITE_ONCE(t->pdeath_signal, 0);
}

void death_signal_set(struct task *t, int sig)
{
    struct process *p = t->process;
    struct task *first;
    u64 flags;

    ASSERT_CURRENT(t->thread);
    if (t->pdeath_signal == sig)
        return;
    spin_lock_irqsave(&p->siglock, &flags);
    death_signal_drop_locked(p, t);
    if (sig) {
        first = death_signal_first_locked(p, sig);
        if (first)
            list_add(&first->death_ring, &t->death_ring);
        else
            list_add(&p->death_signals, &t->death_node);
        WRITE_ONCE(t->pdeath_signal, sig);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
}
