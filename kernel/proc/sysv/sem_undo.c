/* SPDX-License-Identifier: MIT
 *
 * SEM_UNDO: what a process has done to semaphores and takes back when it ends. Its tasks share one
 * list (CLONE_SYSVSEM); the last to leave applies it.
 *
 * An undo is on the list of its processes and on that of its set. A set that is removed marks its
 * undos dead and forgets them; the list drops dead ones when it is next searched, or at the end.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/proc.h"
#include "proc/sysv/sem_priv.h"
#include "sched/thread.h"

#define UNDO_ORDER 13

/* a atomic · l lock */
struct sem_undo_list {
    refcount_t ref;         /* a  tasks */
    struct mutex lock;      /*    RANK_PROC, above tables and sets */
    struct list_node undos; /* l */
};

static void sem_undo_free(struct sem_undo *u)
{
    list_del(&u->list_node);
    sem_set_put(u->set);
    kfree(u);
}

static struct sem_undo *sem_undo_find(struct sem_undo_list *l, const struct sem_set *set)
{
    struct sem_undo *u, *next, *found = NULL;

    list_for_each_safe (u, next, &l->undos, list_node) {
        if (__atomic_load_n(&u->dead, __ATOMIC_ACQUIRE))
            sem_undo_free(u);
        else if (u->set == set)
            found = u;
        cond_yield();
    }
    return found;
}

static struct sem_undo *sem_undo_create(struct sem_undo_list *l, struct sem_set *set)
{
    struct sem_undo *u = kzalloc(sizeof(*u) + set->count * sizeof(s16));

    if (!u)
        return ERR_PTR(-ENOMEM);
    mutex_lock(&set->base.lock);
    if (set->base.removed) {
        mutex_unlock(&set->base.lock);
        kfree(u);
        return ERR_PTR(-EIDRM);
    }
    refcount_get(&set->base.ref);
    u->set = set;
    list_add_tail(&l->undos, &u->list_node);
    list_add_tail(&set->undos, &u->set_node);
    mutex_unlock(&set->base.lock);
    return u;
}

/* The current task's list, made at its first use: no other task looks at an unshared one. */
static struct sem_undo_list *sem_undo_list(void)
{
    struct task *t = current_task();
    struct sem_undo_list *l = t->sem_undo;

    if (l)
        return l;
    l = kmalloc(sizeof(*l));
    if (!l)
        return NULL;
    refcount_init(&l->ref, 1);
    mutex_init(&l->lock, RANK_PROC, UNDO_ORDER, "sem_undo");
    list_init(&l->undos);
    t->sem_undo = l;
    return l;
}

struct sem_undo *sem_undo_of(struct sem_set *set)
{
    struct sem_undo_list *l = sem_undo_list();
    struct sem_undo *u;

    if (!l)
        return ERR_PTR(-ENOMEM);
    mutex_lock(&l->lock);
    u = sem_undo_find(l, set);
    if (!u)
        u = sem_undo_create(l, set);
    mutex_unlock(&l->lock);
    return u;
}

void sem_undo_orphan(struct sem_set *set)
{
    struct sem_undo *u, *next;

    ASSERT_HELD(&set->base.lock);
    list_for_each_safe (u, next, &set->undos, set_node) {
        list_del(&u->set_node);
        __atomic_store_n(&u->dead, true, __ATOMIC_RELEASE);
        cond_yield();
    }
}

void sem_undo_forget(struct sem_set *set, u32 first, u32 n)
{
    struct sem_undo *u;

    ASSERT_HELD(&set->base.lock);
    list_for_each (u, &set->undos, set_node) {
        memset(&u->adjust[first], 0, n * sizeof(u->adjust[0]));
        cond_yield();
    }
}

int sem_undo_share(struct task *child)
{
    struct sem_undo_list *l = sem_undo_list();

    if (!l)
        return -ENOMEM;
    refcount_get(&l->ref);
    child->sem_undo = l;
    return 0;
}

/* With the set's lock an undo can be taken off its list by one side only. */
static void sem_undo_finish(struct sem_undo *u)
{
    struct sem_set *set = u->set;

    mutex_lock(&set->base.lock);
    if (!u->dead) {
        list_del(&u->set_node);
        sem_apply_undo(set, u);
    }
    mutex_unlock(&set->base.lock);
    sem_undo_free(u);
}

void sem_undo_exit(struct task *t)
{
    struct sem_undo_list *l = t->sem_undo;

    t->sem_undo = NULL;
    if (!l || !refcount_put(&l->ref))
        return;
    while (!list_empty(&l->undos)) {
        sem_undo_finish(list_first(&l->undos, struct sem_undo, list_node));
        cond_yield();
    }
    kfree(l);
}
