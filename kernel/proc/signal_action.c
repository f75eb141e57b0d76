/* SPDX-License-Identifier: MIT
 *
 * What a process does with its signals: handlers, which processes may share, the stack that they
 * run on, and each task's mask. Lock order: siglock, sighand->lock.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/itimer.h"
#include "proc/proc_priv.h"
#include "proc/signal.h"

/* Handlers that processes share. The lock, inside their siglocks, keeps an action whole; a single
 * word is read without it. */
struct sighand {
    refcount_t ref;
    struct spinlock lock;
    struct sigaction actions[NSIG]; /* lock */
};

int sighand_share(struct process *from, struct process *p)
{
    struct sighand *own = NULL, *h;
    u64 flags;

    if (!READ_ONCE(from->sighand)) {
        own = kmalloc(sizeof(*own));
        if (!own)
            return -ENOMEM;
        refcount_init(&own->ref, 1);
        spinlock_init(&own->lock, RANK_PROC, 1, "sighand");
    }
    spin_lock_irqsave(&from->siglock, &flags);
    if (!from->sighand) {
        memcpy(own->actions, from->own_actions, sizeof(own->actions));
        from->sighand = own;
        WRITE_ONCE(from->actions, own->actions);
        own = NULL;
    }
    h = from->sighand;
    refcount_get(&h->ref);
    spin_unlock_irqrestore(&from->siglock, flags);
    kfree(own); /* another thread came first */
    p->sighand = h;
    p->actions = h->actions;
    return 0;
}

static void sighand_put(struct sighand *h)
{
    if (refcount_put(&h->ref))
        kfree(h);
}

void sighand_leave(struct process *p)
{
    struct sighand *h;
    u64 flags;

    if (!READ_ONCE(p->sighand))
        return;
    spin_lock_irqsave(&p->siglock, &flags);
    h = p->sighand;
    p->sighand = NULL;
    p->actions = p->own_actions;
    spin_unlock_irqrestore(&p->siglock, flags);
    sighand_put(h);
}

bool sighand_is_shared(const struct process *p)
{
    struct sighand *h = READ_ONCE(p->sighand);

    return h && refcount_read(&h->ref) > 1;
}

void sigaction_get_locked(struct process *p, int sig,
                          struct sigaction *out) NO_THREAD_SAFETY /* sighand, if they are shared */
{
    ASSERT_HELD(&p->siglock);
    if (unlikely(p->sighand))
        spin_lock(&p->sighand->lock);
    *out = p->actions[sig - 1];
    if (out->handler > SIG_IGN && out->flags & SA_RESETHAND)
        p->actions[sig - 1].handler = SIG_DFL;
    if (unlikely(p->sighand))
        spin_unlock(&p->sighand->lock);
}

static void sigaction_set_locked(struct process *p, int sig, const struct sigaction *a)
    NO_THREAD_SAFETY /* sighand, if they are shared */
{
    ASSERT_HELD(&p->siglock);
    if (unlikely(p->sighand))
        spin_lock(&p->sighand->lock);
    p->actions[sig - 1] = *a;
    p->actions[sig - 1].mask &= ~SIG_UNMASKABLE;
    if (unlikely(p->sighand))
        spin_unlock(&p->sighand->lock);
}

int signal_action(int sig, const struct sigaction *new_action, struct sigaction *old)
{
    struct process *p = current_process();
    LIST_HEAD(dropped);
    u64 flags;

    if (sig < 1 || sig > NSIG || (new_action && SIGMASK(sig) & SIG_UNMASKABLE))
        return -EINVAL;
    spin_lock_irqsave(&p->siglock, &flags);
    if (old)
        *old = p->actions[sig - 1];
    if (new_action) {
        sigaction_set_locked(p, sig, new_action);
        if (signal_ignored(p, sig)) {
            sigpending_take_locked(&p->pending, SIGMASK(sig), &dropped);
            sigpending_take_of_tasks_locked(p, sig, &dropped);
        }
        itimer_signals_taken_locked(p, SIGMASK(sig), NULL);
    }
    spin_unlock_irqrestore(&p->siglock, flags);
    sigqueue_free_list(p, &dropped);
    return 0;
}

void signal_set_mask(sigset_t mask)
{
    struct task *t = current_task();
    sigset_t old;
    u64 flags;

    DELAYPOINT(signal_mask);
    spin_lock_irqsave(&t->process->siglock, &flags);
    old = t->blocked;
    t->blocked = mask & ~SIG_UNMASKABLE;
    signal_pass_on_locked(t->process, t->blocked & ~old);
    signal_recalc_locked(t);
    spin_unlock_irqrestore(&t->process->siglock, flags);
}

void signal_temp_mask(sigset_t mask)
{
    struct task *t = current_task();

    t->saved_mask = t->blocked;
    t->restore_mask = true;
    signal_set_mask(mask);
}

void signal_restore_mask(void)
{
    struct task *t = current_task();

    if (!t->restore_mask)
        return;
    t->restore_mask = false;
    signal_set_mask(t->saved_mask);
}

static bool signal_on_altstack(const struct task *t, u64 sp)
{
    if (t->altstack.flags & SS_AUTODISARM)
        return false;
    return sp > t->altstack.sp && sp - t->altstack.sp <= t->altstack.size;
}

int signal_altstack(const struct sigstack *new_stack, struct sigstack *old, u64 sp)
{
    struct task *t = current_task();
    bool on = t->altstack.size && signal_on_altstack(t, sp);

    if (old) {
        *old = t->altstack;
        old->flags = t->altstack.size ? (on ? SS_ONSTACK : 0) : SS_DISABLE;
        old->flags |= t->altstack.flags & (s32)SS_AUTODISARM;
    }
    if (!new_stack)
        return 0;
    if (on)
        return -EPERM;
    s32 mode = new_stack->flags & ~(s32)SS_AUTODISARM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (mode == SS_DISABLE) {
        t->altstack = (struct sigstack){.flags = SS_DISABLE};
        return 0;
    }
    if (new_stack->size < MINSIGSTKSZ)
        return -ENOMEM;
    t->altstack = *new_stack;
    t->altstack.flags &= (s32)SS_AUTODISARM;
    return 0;
}

/* In all of it, as exec leaves most. */
static bool signal_action_is_default(const struct sigaction *a)
{
    return !(READ_ONCE(a->handler) | a->flags | a->restorer | a->mask);
}

void signal_exec_reset(struct process *p)
{
    struct sighand *shared;
    u64 flags;

    spin_lock_irqsave(&p->siglock, &flags);
    shared = p->sighand;
    for (int i = 0; i < NSIG; i++) {
        const struct sigaction *a = &p->actions[i];
        u64 handler = READ_ONCE(a->handler) == SIG_IGN ? SIG_IGN : SIG_DFL;

        if (shared || !signal_action_is_default(a))
            p->own_actions[i] = (struct sigaction){.handler = handler};
    }
    p->sighand = NULL;
    p->actions = p->own_actions;
    spin_unlock_irqrestore(&p->siglock, flags);
    if (shared)
        sighand_put(shared);
    current_task()->altstack = (struct sigstack){.flags = SS_DISABLE};
}
