/* SPDX-License-Identifier: MIT
 *
 * Ticket spinlocks with ranks. A CPU may only take a lock of a lower (rank, order) than the lowest
 * that it holds; debug builds check it. A leaf taken inside wake-up callbacks and interrupts
 * declares the rank it is taken at.
 *
 * Context: a plain spin_lock is for locks that no interrupt handler takes; all others take
 * spin_lock_irqsave. The kernel is not preempted, so a holder runs until it unlocks.
 */
#pragma once

#include "arch/x86/regs.h"
#include "lib/atomic.h"
#include "lib/types.h"

/* Higher layers first taken: rank numbers are those of the house (DESIGN: the layers' table). */
enum lock_rank {
    RANK_NONE = 0, /* not checked: the log, the panic path */
    RANK_DEBUG = 4,
    RANK_MM = 5,
    RANK_SCHED = 6,
    RANK_VM = 7,
    RANK_OBJ = 8,
    RANK_DEV = 9,
    RANK_VFS = 10,
    RANK_FS = 11,
    RANK_NET = 11,
    RANK_HV = 11,
    RANK_DRIVER = 11,
    RANK_CONTAINER = 12,
    RANK_PROC = 13,
    RANK_TTY = 14,
    RANK_LINUX = 15,
};

struct spinlock {
    union {
        u32 both;
        struct {
            u16 owner, next;
        };
    };
#ifdef DEBUG
    u8 rank, order;
    bool open;        /* was taken with interrupts on */
    bool in_handlers; /* was taken by an interrupt handler */
    s16 cpu;          /* holder, -1 */
    const char *name;
    u64 holder_rip;
#endif
};

#ifdef DEBUG
#define SPINLOCK_INIT(rank_, order_, name_)                                       \
    {                                                                             \
        .both = 0, .rank = (rank_), .order = (order_), .cpu = -1, .name = (name_) \
    }
/* first: of a pair of one rank, the lock taken before; else NULL. */
void lockdep_acquire(struct spinlock *lock, const struct spinlock *first, u64 rip);
/* One that was not waited for: any order will do. */
void lockdep_acquire_tried(struct spinlock *lock, u64 rip);
void lockdep_release(struct spinlock *lock);
/* For sleeping locks, which live in sched: the rank is held by the thread. */
#else
#define SPINLOCK_INIT(rank_, order_, name_) \
    {                                       \
        .both = 0                           \
    }
static inline void lockdep_acquire(struct spinlock *lock, const struct spinlock *first, u64 rip)
{
}
static inline void lockdep_acquire_tried(struct spinlock *lock, u64 rip)
{
}
static inline void lockdep_release(struct spinlock *lock)
{
}
#endif

static inline void spinlock_init(struct spinlock *lock, unsigned rank, unsigned order,
                                 const char *name)
{
    *lock = (struct spinlock)SPINLOCK_INIT(rank, order, name);
}

static inline void spinlock_wait(struct spinlock *lock)
{
    u16 ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

    while (unlikely(__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket))
        cpu_relax();
}

static inline void spin_lock(struct spinlock *lock)
{
    spinlock_wait(lock);
    lockdep_acquire(lock, NULL, (u64)__builtin_return_address(0));
}

/* Two locks of one rank, which may be the same one: the lower address comes first. */
static inline void spin_lock_pair(struct spinlock *a, struct spinlock *b)
{
    struct spinlock *first = a < b ? a : b, *second = a < b ? b : a;

    spin_lock(first);
    if (first == second)
        return;
    spinlock_wait(second);
    lockdep_acquire(second, first, (u64)__builtin_return_address(0));
}

static inline bool spin_trylock(struct spinlock *lock)
{
    u32 seen = __atomic_load_n(&lock->both, __ATOMIC_RELAXED);

    if ((u16)seen != (u16)(seen >> 16))
        return false;
    if (!__atomic_compare_exchange_n(&lock->both, &seen, seen + (1U << 16), false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    lockdep_acquire_tried(lock, (u64)__builtin_return_address(0));
    return true;
}

static inline void spin_unlock(struct spinlock *lock)
{
    lockdep_release(lock);
    /* Only the holder writes owner. Pairs with the acquire load in spin_lock. */
    __atomic_store_n(&lock->owner, (u16)(lock->owner + 1), __ATOMIC_RELEASE);
}

static inline void spin_unlock_pair(struct spinlock *a, struct spinlock *b)
{
    if (a != b)
        spin_unlock(b);
    spin_unlock(a);
}

static inline bool spin_is_locked(const struct spinlock *lock)
{
    u32 v = __atomic_load_n(&lock->both, __ATOMIC_RELAXED);

    return (u16)v != (u16)(v >> 16);
}

static inline void spin_lock_irqsave(struct spinlock *lock, u64 *flags)
{
    *flags = irq_save();
    spin_lock(lock);
}

static inline void spin_unlock_irqrestore(struct spinlock *lock, u64 flags)
{
    spin_unlock(lock);
    irq_restore(flags);
}
