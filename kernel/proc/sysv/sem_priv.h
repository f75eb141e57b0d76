/* SPDX-License-Identifier: MIT
 *
 * Shared by operations on semaphore sets (sem.c), calls on whole sets (sem_ctl.c), and what a
 * process undoes at its end (sem_undo.c).
 */
#pragma once

#include "proc/sysv/sysv_priv.h"

/* l base.lock */
struct sem {
    s32 value;                /* l */
    struct pid *pid;          /* l  the last to change it; a reference or NULL */
    struct list_node waiters; /* l  with this operation alone */
};

struct sem_set {
    struct sysv_object base;
    s64 otime;                /* l */
    u32 count;                /* I */
    s64 work;                 /* l  operations yet to try for waiters; below 0: none */
    struct list_node waiters; /* l  with several operations */
    struct list_node undos;   /* l */
    struct sem sems[];
};

/* p sem_undo_list->lock · l the set's lock */
struct sem_undo {
    struct list_node list_node; /* p */
    struct list_node set_node;  /* l  off it once dead */
    struct sem_set *set;        /* I  a reference */
    bool dead;                  /* l writes, a reads: the set was removed */
    s16 adjust[];               /* l  what is added at the end, per semaphore */
};

/* The current process's for set, made if need be. ERR_PTR(-ENOMEM). It stays while the caller is a
 * user of the list and the set has not been removed. */
struct sem_undo *sem_undo_of(struct sem_set *set) __must_check;
/* The set goes. REQUIRES(set->base.lock) */
void sem_undo_orphan(struct sem_set *set);
/* The values of n semaphores from first are set: what would be undone of them is forgotten.
 * REQUIRES(set->base.lock) */
void sem_undo_forget(struct sem_set *set, u32 first, u32 n);
/* REQUIRES(set->base.lock) */
void sem_apply_undo(struct sem_set *set, struct sem_undo *u);
void sem_set_put(struct sem_set *set);

/* A thread that waits in semop, on its stack. l the set's lock */
struct sem_waiter {
    struct list_node node;
    struct waitq queue;
    const struct sem_op *ops;
    u32 n;
    struct sem_undo *undo; /* or NULL */
    struct pid *pid;       /* borrowed from the thread that waits */
    u32 blocked_by;        /* the operation that could not be done */
    bool done;
    bool again; /* it is to try itself */
    int result;
};

static inline struct sem_set *sem_of(struct sysv_object *o)
{
    return container_of(o, struct sem_set, base);
}

/* The last to change s is pid. REQUIRES(set's lock) */
void sem_note_pid(struct sem *s, struct pid *pid);
/* w's call returns result. REQUIRES(set's lock) */
void sem_wake(struct sem_waiter *w, int result);
/* Semaphore i has changed: lets the threads go on that wait for it alone; and those that wait for
 * several. set->work bounds both. REQUIRES(set's lock) */
void sem_wake_one(struct sem_set *set, u32 i);
void sem_wake_several(struct sem_set *set);
/* Any semaphore may have changed: tries at most `work` operations of waiters. REQUIRES(set's lock)
 */
void sem_wake_all(struct sem_set *set, s64 work);
