/* SPDX-License-Identifier: MIT
 *
 * Shared by semaphore sets (sem.c) and by what a process undoes of them at its end (sem_undo.c).
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
