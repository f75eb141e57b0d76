/* SPDX-License-Identifier: MIT
 *
 * Semaphore sets. A semop is done whole or not at all; what must wait queues, first come first
 * served: with one operation on its semaphore, with several on the set. A change wakes only those
 * that it lets go on, whose operations the waker does for them. A chain of waiters can keep it very
 * long: a task that is killed meanwhile, or is ending, leaves the rest to the waiters, which try
 * again themselves.
 *
 * Rules: all below a set's lock, including the waiters, which lie on their threads' stacks: a
 * waiter takes the lock again before it leaves, and by then is off its list.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/proc.h"
#include "proc/sysv/sem_priv.h"
#include "sched/thread.h"

#define SEM_END_WORK (1L << 18) /* operations that an ending process tries for waiters */
#define SEM_RUN 256             /* operations at a time */

void sem_note_pid(struct sem *s, struct pid *pid)
{
    struct pid *old = s->pid;

    if (old == pid)
        return;
    pid_get(pid);
    s->pid = pid;
    if (old)
        pid_put(old);
}

/* A namespace's root may have allowed very many operations. */
static inline void sem_pause(u32 i)
{
    if (i % SEM_RUN == SEM_RUN - 1)
        cond_yield();
}

/* Takes back the first n operations. */
static void sem_revert(struct sem_set *set, const struct sem_op *ops, u32 n, struct sem_undo *undo)
{
    while (n--) {
        set->sems[ops[n].index].value -= ops[n].change;
        if (ops[n].flags & SEM_UNDO)
            undo->adjust[ops[n].index] += ops[n].change;
        sem_pause(n);
    }
}

/* One operation: 0 done, 1 it must wait, -ERANGE. */
static int sem_step(struct sem_set *set, const struct sem_op *op, struct sem_undo *undo)
{
    struct sem *s = &set->sems[op->index];
    s32 value = s->value + op->change;

    if ((!op->change && s->value) || value < 0)
        return 1;
    if (value > SEM_VALUE_MAX)
        return -ERANGE;
    if (op->flags & SEM_UNDO) {
        s32 adjust = undo->adjust[op->index] - op->change;
        if (adjust < -SEM_VALUE_MAX - 1 || adjust > SEM_VALUE_MAX)
            return -ERANGE;
        undo->adjust[op->index] = (s16)adjust;
    }
    s->value = value;
    return 0;
}

/* All of w's operations, or none: 0, 1 (it must wait: for blocked_by), -ERANGE, -EAGAIN. */
static int sem_try(struct sem_set *set, struct sem_waiter *w)
{
    for (u32 i = 0; i < w->n; i++) {
        int r = sem_step(set, &w->ops[i], w->undo);
        if (!r) {
            sem_pause(i);
            continue;
        }
        sem_revert(set, w->ops, i, w->undo);
        w->blocked_by = i;
        return r == 1 && w->ops[i].flags & IPC_NOWAIT ? -EAGAIN : r;
    }
    for (u32 i = 0; i < w->n; i++) {
        sem_note_pid(&set->sems[w->ops[i].index], w->pid);
        sem_pause(i);
    }
    set->otime = sysv_seconds();
    return 0;
}

static bool sem_changes(const struct sem_op *ops, u32 n)
{
    for (u32 i = 0; i < n; i++)
        if (ops[i].change)
            return true;
    return false;
}

void sem_wake(struct sem_waiter *w, int result)
{
    list_del(&w->node);
    w->result = result;
    w->done = true;
    waitq_wake_all(&w->queue);
}

static bool sem_is_killed(void)
{
    return READ_ONCE(current_thread()->work) & WORK_KILL;
}

/* Whether what is left to try is up to the waiters. */
static bool sem_is_done(struct sem_set *set)
{
    if (sem_is_killed())
        set->work = -1;
    return set->work < 0;
}

/* Lets waiters of one list go on; true when one of them changed a value. */
static bool sem_wake_list(struct sem_set *set, struct list_node *list)
{
    struct sem_waiter *w, *next;
    bool changed = false;

    list_for_each_safe (w, next, list, node) {
        int r;

        if (sem_is_done(set))
            break;
        set->work -= w->n;
        r = sem_try(set, w);
        cond_yield();
        if (r == 1)
            continue;
        changed |= !r && sem_changes(w->ops, w->n);
        sem_wake(w, r);
    }
    return changed;
}

/* Semaphore i has changed: those that wait for it alone. One that goes on may free another. */
void sem_wake_one(struct sem_set *set, u32 i)
{
    ASSERT_HELD(&set->base.lock);
    while (!list_empty(&set->sems[i].waiters) && sem_wake_list(set, &set->sems[i].waiters))
        ;
}

/* Any semaphore may have changed: those that wait for one alone. */
static void sem_wake_each(struct sem_set *set)
{
    set->work -= set->count;
    for (u32 i = 0; i < set->count && !sem_is_done(set); i++) {
        sem_wake_one(set, i);
        cond_yield();
    }
}

static void sem_rouse_list(struct list_node *list)
{
    struct sem_waiter *w;

    list_for_each (w, list, node) {
        w->again = true;
        waitq_wake_all(&w->queue);
        cond_yield();
    }
}

/* Those that wait for several; and all try again, when the work ended early. */
void sem_wake_several(struct sem_set *set)
{
    while (!list_empty(&set->waiters) && sem_wake_list(set, &set->waiters))
        sem_wake_each(set);
    if (likely(!sem_is_done(set)))
        return;
    sem_rouse_list(&set->waiters);
    for (u32 i = 0; i < set->count; i++) {
        sem_rouse_list(&set->sems[i].waiters);
        cond_yield();
    }
}

/* The values of ops have changed. */
static void sem_wake_for(struct sem_set *set, const struct sem_op *ops, u32 n)
{
    set->work = S64_MAX;
    for (u32 i = 0; i < n; i++) {
        if (ops[i].change)
            sem_wake_one(set, ops[i].index);
        sem_pause(i);
    }
    sem_wake_several(set);
}

/* The values of any of them may have changed. */
void sem_wake_all(struct sem_set *set, s64 work)
{
    ASSERT_HELD(&set->base.lock);
    set->work = work;
    sem_wake_each(set);
    sem_wake_several(set);
}

static bool sem_flagged(const struct sem_op *ops, u32 n, s16 flag)
{
    for (u32 i = 0; i < n; i++)
        if (ops[i].flags & flag)
            return true;
    return false;
}

/* REQUIRES(set->base.lock), which is released while it sleeps. */
static s64 sem_wait(struct sem_set *set, struct sem_waiter *w, u64 deadline)
    REQUIRES(set->base.lock)
{
    int err, r = 1;

    ASSERT_HELD(&set->base.lock);
    waitq_init(&w->queue);
    list_add_tail(w->n == 1 ? &set->sems[w->ops[0].index].waiters : &set->waiters, &w->node);
    do {
        w->again = false;
        mutex_unlock(&set->base.lock);
        err = wait_event_deadline(&w->queue, READ_ONCE(w->done) || READ_ONCE(w->again),
                                  SLEEP_INTERRUPTIBLE, deadline);
        mutex_lock(&set->base.lock);
        if (w->done)
            return w->result;
        if (!err && !sem_is_killed())
            r = sem_try(set, w);
    } while (!err && r == 1 && !sem_is_killed());
    list_del(&w->node);
    if (r == 1)
        return err == -ETIMEDOUT ? -EAGAIN : -EINTR;
    if (!r && sem_changes(w->ops, w->n))
        sem_wake_for(set, w->ops, w->n);
    return r;
}

static s64 sem_operate_locked(struct sem_set *set, struct sem_waiter *w, u64 deadline)
    REQUIRES(set->base.lock)
{
    s64 r;

    ASSERT_HELD(&set->base.lock);
    for (u32 i = 0; i < w->n; i++) {
        if (w->ops[i].index >= set->count)
            return -EFBIG;
        sem_pause(i);
    }
    r = sem_try(set, w);
    if (r == 1)
        return sem_wait(set, w, deadline);
    if (!r && sem_changes(w->ops, w->n))
        sem_wake_for(set, w->ops, w->n);
    return r;
}

s64 sem_operate(s32 id, const struct sem_op *ops, u32 n, u64 deadline)
{
    struct sem_waiter w = {.ops = ops, .n = n, .pid = current_process()->pid};
    struct sysv_object *o = sysv_find(SYSV_SEM, id, sem_changes(ops, n) ? MAY_WRITE : MAY_READ);
    s64 r;

    if (IS_ERR(o))
        return PTR_ERR(o);
    if (sem_flagged(ops, n, SEM_UNDO)) {
        w.undo = sem_undo_of(sem_of(o));
        if (IS_ERR(w.undo)) {
            sysv_put(o);
            return PTR_ERR(w.undo);
        }
    }
    mutex_lock(&o->lock);
    ASSERT_HELD(&sem_of(o)->base.lock); /* the same lock, as the callee names it */
    r = o->removed ? -EIDRM : sem_operate_locked(sem_of(o), &w, deadline);
    mutex_unlock(&o->lock);
    sysv_put(o);
    return r;
}

void sem_apply_undo(struct sem_set *set, struct sem_undo *u)
{
    struct pid *pid = current_process()->pid;

    ASSERT_HELD(&set->base.lock);
    for (u32 i = 0; i < set->count; i++) {
        struct sem *s = &set->sems[i];
        if (!u->adjust[i])
            continue;
        s->value = MIN(MAX(s->value + u->adjust[i], 0), SEM_VALUE_MAX);
        sem_note_pid(s, pid);
        cond_yield();
    }
    set->otime = sysv_seconds();
    sem_wake_all(set, SEM_END_WORK);
}
