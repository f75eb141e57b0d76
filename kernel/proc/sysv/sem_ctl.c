/* SPDX-License-Identifier: MIT
 *
 * Semaphore sets as a whole: semget(2), their removal, semctl(2).
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/nsset.h"
#include "proc/proc.h"
#include "proc/sysv/sem_priv.h"
#include "sched/thread.h"

void sem_destroy(struct sysv_object *o)
{
    struct sem_set *set = sem_of(o);

    for (u32 i = 0; i < set->count; i++) {
        if (set->sems[i].pid)
            pid_put(set->sems[i].pid);
        cond_yield();
    }
    kfree(set);
}

void sem_set_put(struct sem_set *set)
{
    sysv_put(&set->base);
}

#define SEMS_AT_ONCE 1024U /* cleared without a pause */

/* A set of so many, all zero, or NULL. */
static struct sem_set *sem_alloc(u32 count)
{
    struct sem_set *set = kmalloc(sizeof(*set) + count * sizeof(struct sem));

    if (!set)
        return NULL;
    *set = (struct sem_set){.count = count};
    list_init(&set->waiters);
    list_init(&set->undos);
    for (u32 i = 0; i < count; i++) {
        set->sems[i] = (struct sem){0};
        list_init(&set->sems[i].waiters);
        if (i % SEMS_AT_ONCE == 0)
            cond_yield();
    }
    return set;
}

static struct sysv_object *sem_create(struct ipc_ns *ns, u64 count, u32 flags)
{
    struct sem_set *set;

    if (!count)
        return ERR_PTR(-EINVAL);
    if (count > READ_ONCE(ns->sem_mns) || ns->sem_total > READ_ONCE(ns->sem_mns) - count)
        return ERR_PTR(-ENOSPC);
    set = sem_alloc((u32)count);
    if (!set)
        return ERR_PTR(-ENOMEM);
    ns->sem_total += count;
    return &set->base;
}

static void sem_discard(struct sysv_object *o)
{
    sysv_ns()->sem_total -= sem_of(o)->count;
    sem_destroy(o);
}

static int sem_check(const struct sysv_object *o, u64 count)
{
    return count > container_of(o, const struct sem_set, base)->count ? -EINVAL : 0;
}

s64 sem_get(s32 key, s32 count, u32 flags)
{
    struct ipc_ns *ns = sysv_ns();
    const struct sysv_get g = {.kind = SYSV_SEM,
                               .max = READ_ONCE(ns->sem_mni),
                               .size = (u64)count,
                               .create = sem_create,
                               .discard = sem_discard,
                               .check = sem_check};

    if (count < 0 || (u32)count > READ_ONCE(ns->sem_msl))
        return -EINVAL;
    return sysv_get(&g, key, flags);
}

static void sem_fail_waiters(struct list_node *list)
{
    while (!list_empty(list)) {
        sem_wake(list_first(list, struct sem_waiter, node), -EIDRM);
        cond_yield();
    }
}

/* REQUIRES(table lock) */
void sem_drop(struct ipc_ns *ns, struct sysv_object *o)
{
    struct sem_set *set = sem_of(o);

    ASSERT_HELD(&ns->table[o->kind].lock);
    mutex_lock(&o->lock);
    sysv_unlink(ns, o);
    o->removed = true;
    ns->sem_total -= set->count;
    sem_undo_orphan(set);
    sem_fail_waiters(&set->waiters);
    for (u32 i = 0; i < set->count; i++) {
        sem_fail_waiters(&set->sems[i].waiters);
        cond_yield();
    }
    mutex_unlock(&o->lock);
    sysv_put(o); /* the table's */
}

s64 sem_remove(s32 id)
{
    struct sysv_object *o = sysv_find_owned(SYSV_SEM, id);
    struct ipc_ns *ns = sysv_ns();
    s64 err = 0;

    if (IS_ERR(o))
        return PTR_ERR(o);
    mutex_lock(&ns->table[SYSV_SEM].lock);
    if (o->removed)
        err = -EIDRM;
    else
        sem_drop(ns, o);
    mutex_unlock(&ns->table[SYSV_SEM].lock);
    sysv_put(o);
    return err;
}

/* ------------------------------------------------------------- semctl */

s64 sem_set(s32 id, const struct ipc_perm_k *perm)
{
    struct sysv_object *o = sysv_find_owned(SYSV_SEM, id);
    s64 err;

    if (IS_ERR(o))
        return PTR_ERR(o);
    err = sysv_change(o, perm);
    sysv_put(o);
    return err;
}

s64 sem_stat(s32 id, enum sysv_stat how, struct semid_k *out)
{
    struct sysv_object *o;
    s64 number;

    *out = (struct semid_k){0};
    o = sysv_find_stat(SYSV_SEM, id, how, &out->perm);
    if (IS_ERR(o))
        return PTR_ERR(o);
    out->ctime = o->ctime;
    out->count = sem_of(o)->count;
    mutex_lock(&o->lock);
    out->otime = sem_of(o)->otime;
    mutex_unlock(&o->lock);
    number = how == SYSV_STAT_ID ? 0 : sysv_number(o);
    sysv_put(o);
    return number;
}

/* Those of list that wait for semaphore i to be zero, or to grow. */
static u32 sem_waiting(const struct list_node *list, u32 i, bool zero)
{
    struct sem_waiter *w;
    u32 n = 0;

    list_for_each (w, list, node) {
        const struct sem_op *op = &w->ops[w->blocked_by];
        cond_yield();
        n += op->index == i && !op->change == zero;
    }
    return n;
}

static s64 sem_answer(struct sem_set *set, u32 i, enum sem_ask what)
{
    bool zero = what == SEM_ASK_WAIT_ZERO;

    switch (what) {
    case SEM_ASK_PID:
        return sysv_pid_nr(set->sems[i].pid);
    case SEM_ASK_VALUE:
        return set->sems[i].value;
    default:
        return sem_waiting(&set->sems[i].waiters, i, zero) + sem_waiting(&set->waiters, i, zero);
    }
}

s64 sem_ask(s32 id, s32 index, enum sem_ask what)
{
    struct sysv_object *o = sysv_find_locked(SYSV_SEM, id, MAY_READ);
    s64 r = -EINVAL;

    if (IS_ERR(o))
        return PTR_ERR(o);
    ASSERT_HELD(&o->lock);
    if (index >= 0 && (u32)index < sem_of(o)->count)
        r = sem_answer(sem_of(o), (u32)index, what);
    mutex_unlock(&o->lock);
    sysv_put(o);
    return r;
}

static void sem_put_value(struct sem_set *set, u32 i, s32 value)
{
    set->sems[i].value = value;
    sem_note_pid(&set->sems[i], current_process()->pid);
}

s64 sem_set_value(s32 id, s32 index, s32 value)
{
    struct sysv_object *o;
    s64 err = 0;

    if (value < 0 || value > SEM_VALUE_MAX)
        return -ERANGE;
    o = sysv_find_locked(SYSV_SEM, id, MAY_WRITE);
    if (IS_ERR(o))
        return PTR_ERR(o);
    ASSERT_HELD(&o->lock);
    if (index < 0 || (u32)index >= sem_of(o)->count) {
        err = -EINVAL;
    } else {
        sem_undo_forget(sem_of(o), (u32)index, 1);
        sem_put_value(sem_of(o), (u32)index, value);
        o->ctime = sysv_seconds();
        sem_of(o)->work = S64_MAX;
        sem_wake_one(sem_of(o), (u32)index);
        sem_wake_several(sem_of(o));
    }
    mutex_unlock(&o->lock);
    sysv_put(o);
    return err;
}

s64 sem_count(s32 id)
{
    struct sysv_object *o = sysv_find(SYSV_SEM, id, 0);
    s64 n;

    if (IS_ERR(o))
        return PTR_ERR(o);
    n = sem_of(o)->count;
    sysv_put(o);
    return n;
}

s64 sem_get_all(s32 id, u16 *values, u32 n)
{
    struct sysv_object *o = sysv_find_locked(SYSV_SEM, id, MAY_READ);
    s64 err = 0;

    if (IS_ERR(o))
        return PTR_ERR(o);
    ASSERT_HELD(&o->lock);
    if (sem_of(o)->count != n)
        err = -EINVAL;
    for (u32 i = 0; !err && i < n; i++)
        values[i] = (u16)sem_of(o)->sems[i].value;
    mutex_unlock(&o->lock);
    sysv_put(o);
    return err;
}

s64 sem_set_all(s32 id, const u16 *values, u32 n)
{
    struct sysv_object *o;
    s64 err = 0;

    for (u32 i = 0; i < n; i++)
        if (values[i] > SEM_VALUE_MAX)
            return -ERANGE;
    o = sysv_find_locked(SYSV_SEM, id, MAY_WRITE);
    if (IS_ERR(o))
        return PTR_ERR(o);
    ASSERT_HELD(&o->lock);
    if (sem_of(o)->count != n)
        err = -EINVAL;
    else
        sem_undo_forget(sem_of(o), 0, n);
    for (u32 i = 0; !err && i < n; i++) {
        sem_put_value(sem_of(o), i, values[i]);
        cond_yield();
    }
    if (!err) {
        o->ctime = sysv_seconds();
        sem_wake_all(sem_of(o), S64_MAX);
    }
    mutex_unlock(&o->lock);
    sysv_put(o);
    return err;
}

s64 sem_info(u32 *sets, u32 *semaphores)
{
    struct ipc_ns *ns = sysv_ns();
    s64 highest = sysv_highest(SYSV_SEM, sets);

    *semaphores = (u32)READ_ONCE(ns->sem_total);
    return highest;
}
