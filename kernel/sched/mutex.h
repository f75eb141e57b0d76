/* SPDX-License-Identifier: MIT
 *
 * Sleeping locks: mutex and reader-writer lock. Context: may sleep; never taken from interrupts or
 * under a spinlock. They have ranks as spinlocks do, in one order with them (sync/lockdep.h); what
 * may be held over a user copy says so beside its order (enum lock_flags).
 */
#pragma once

#include "sched/wait.h"
#include "sync/lockdep.h"

struct LOCK_TYPE("mutex") mutex {
    struct thread *owner; /* a */
    struct waitq waiters;
    struct lock_tag tag;
};
void mutex_init(struct mutex *m, unsigned rank, unsigned order, const char *name);
void mutex_lock(struct mutex *m) ACQUIRES(*m);
/* Under others of its rank and order, among which the caller keeps an order. */
void mutex_lock_nested(struct mutex *m) ACQUIRES(*m);
int mutex_lock_killable(struct mutex *m) __must_check TRY_ACQUIRES(0, *m); /* 0 or -EINTR */
int mutex_lock_interruptible(struct mutex *m) __must_check
    TRY_ACQUIRES(0, *m); /* the same, by any signal */
bool mutex_trylock(struct mutex *m) TRY_ACQUIRES(true, *m);
void mutex_unlock(struct mutex *m) RELEASES(*m);
/* Between them a lock that the current thread holds does not bring it on before others: a program
 * may keep it for as long as it likes, as a vCPU's in a guest. */
void mutex_keep_begin(void);
void mutex_keep_end(void);

/* Writers are preferred: a waiting writer holds new readers off, until RWLOCK_PASS writers have
 * passed by those that wait. Then no writer takes the lock before one of these has had it. A
 * releaser wakes one writer, or all readers, or both once so many have passed; never those that
 * could not go on. A thread that comes while the writer runs on another CPU waits awake for a
 * moment before it sleeps. */
#define RWLOCK_PASS 4
struct LOCK_TYPE("rwlock") rwlock {
    atomic_t state;           /* a  readers, or -1 when written */
    atomic_t writers_waiting; /* a */
    atomic_t readers_waiting; /* a */
    atomic_t passed;          /* a  writers, since a reader that waited had its turn */
    u32 writer_cpu;           /* a  where the last writer took it */
    struct thread *writer;    /* a  and which that is, to be compared only */
    struct waitq readers, writers;
    struct lock_tag tag;
};
void rwlock_init(struct rwlock *l, unsigned rank, unsigned order, const char *name);
void rwlock_read_lock(struct rwlock *l) ACQUIRES_SHARED(*l);
void rwlock_read_unlock(struct rwlock *l) RELEASES_SHARED(*l);
void rwlock_write_lock(struct rwlock *l) ACQUIRES(*l);
bool rwlock_write_trylock(struct rwlock *l) TRY_ACQUIRES(true, *l);
int rwlock_write_lock_killable(struct rwlock *l) __must_check TRY_ACQUIRES(0, *l);
void rwlock_write_unlock(struct rwlock *l) RELEASES(*l);
/* Under others of its rank and order, among which the caller keeps an order. */
void rwlock_write_lock_nested(struct rwlock *l) ACQUIRES(*l);
/* A writer that does not wait here, as it waits for another lock, announces that it will try: like
 * one that waits it holds new readers off, and their turn comes as behind such. The caller's other
 * lock must be had without a reader of this one. Ends after a try that took the lock, or not. */
void rwlock_write_claim(struct rwlock *l);
void rwlock_write_unclaim(struct rwlock *l);

struct completion {
    struct waitq queue;
    bool done;
};
void completion_init(struct completion *c);
void completion_signal(struct completion *c);
void completion_wait(struct completion *c);
