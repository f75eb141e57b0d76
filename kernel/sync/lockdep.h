/* SPDX-License-Identifier: MIT
 *
 * What the debug build checks of locks. All of it is empty in the release build.
 *
 * There is one order over all locks, of (rank, order): a lock is taken only below all that are
 * held. Spinlocks are held by the CPU, sleeping locks by the thread. A spinlock is never held over
 * a sleep, so it may be taken under a sleeping lock, never the other way round.
 *
 * - Of several locks of one (rank, order) the second is taken with a call that ends in _nested or
 *   _pair: the caller then keeps an order among them which the checker does not know (a directory
 *   before what is in it; by address).
 * - A lock that was only tried may stand anywhere, as no thread waits for it. What is taken after
 * it stands below it.
 * - A reader-writer lock is not taken for reading twice by one thread: a writer that waits holds
 *   the second one off for ever.
 * - Sleeping, and what may sleep, is for code with no spinlock, interrupts on, in no interrupt
 *   handler and no RCU reader.
 * - A user copy may fault, and a fault takes the address space's lock, reads pages, reclaims and
 *   kills. The sleeping locks held over it are those whose class says LOCK_OVER_COPY.
 * - With LOCK_BRIEF held a thread neither sleeps nor yields.
 */
#pragma once

#include "lib/types.h"

/* Beside the order, in the order argument of an init call. */
enum lock_flags {
    LOCK_OVER_COPY = 1 << 8, /* may be held over a user copy that faults */
    LOCK_BRIEF = 1 << 9,     /* shared by all: no sleep and no yield under it */
};

enum lock_kind { KIND_SPIN, KIND_MUTEX, KIND_RWLOCK, KIND_BIT };

/* How a thread has a sleeping lock. */
enum lock_how {
    HELD_WRITE = 1, /* a mutex, too */
    HELD_READ = 2,
    HELD_CLAIM = 4,  /* rwlock_write_claim: not taken, but readers are held off */
    HELD_TRIED = 8,  /* or-ed: it was not waited for */
    HELD_NESTED = 16 /* or-ed: under others of its (rank, order) */
};

struct LOCK_TYPE("mutex") mutex;
struct LOCK_TYPE("rwlock") rwlock;
struct LOCK_TYPE("spinlock") spinlock;

/* sched/mutex.h; named here for ASSERT_HELD. */
bool mutex_held(const struct mutex *m);
bool rwlock_held(const struct rwlock *l);
bool rwlock_held_write(const struct rwlock *l);

#ifdef DEBUG
#include "lib/log.h"

/* What a lock says of itself. */
struct lock_tag {
    u8 rank, order;
    u8 flags;   /* enum lock_flags >> 8 */
    u8 kind;    /* enum lock_kind */
    bool noted; /* in the list of classes */
    const char *name;
};
#define LOCK_TAG(rank_, order_, kind_, name_)                                             \
    {                                                                                     \
        .rank = (rank_), .order = (order_)&0xff, .flags = (order_) >> 8, .kind = (kind_), \
        .name = (name_)                                                                   \
    }

struct lock_held {
    const void *lock;
    struct lock_tag tag;
    u32 how; /* enum lock_how */
    u64 rip;
};
#define LOCKDEP_HELD_MAX 32

/* Sleeping locks that a thread holds: only the thread itself looks. */
struct lockdep_thread {
    unsigned n;
    bool expects; /* its next report is noted instead of a panic */
    struct lock_held held[LOCKDEP_HELD_MAX];
};

/* For spinlocks. first: of a pair of one rank, the lock taken before; else NULL. */
void lockdep_acquire(struct spinlock *lock, const struct spinlock *first, u64 rip);
void lockdep_acquire_tried(struct spinlock *lock, u64 rip);
void lockdep_release(struct spinlock *lock);
bool spin_held(const struct spinlock *lock);

/* For sleeping locks: before the caller waits for one, and when it has it (HELD_TRIED: without the
 * former). */
void lockdep_want(struct lock_tag *tag, const void *lock, unsigned how, u64 rip);
void lockdep_got(struct lock_tag *tag, const void *lock, unsigned how, u64 rip);
/* False: the caller does not hold it in that way, which is reported. */
bool lockdep_drop(const struct lock_tag *tag, const void *lock, unsigned how);
/* Whether the current thread has it in one of these ways. */
bool lockdep_holds(const void *lock, unsigned how);

/* From here on this CPU runs that thread, or none. */
void lockdep_switch(struct lockdep_thread *next);
/* RCU callbacks run in the middle of a thread, whose locks are not theirs. */
struct lockdep_thread *lockdep_callbacks_begin(void);
void lockdep_callbacks_end(struct lockdep_thread *former);

/* What the code at rip relies on is not so. */
void lockdep_lacks(const char *what, u64 rip);

void lockdep_may_sleep(const char *what, u64 rip);
void lockdep_may_copy(u64 rip);
/* What waits for an answer of other CPUs' interrupt handlers. */
void lockdep_may_wait_cpus(u64 rip);
/* The thread goes to user mode, or ends. */
void lockdep_nothing_held(const char *what);

/* For tests: the current thread's next report does not panic. */
void lockdep_expect(void);
/* The report if there was one, and NULL if not; none is expected any more. */
const char *lockdep_expected(void);

/* lock_classes.c: tag's class is listed by the console command `locks`. */
void lock_class_note(struct lock_tag *tag);

/* Where the caller is, in an inline function too. */
static inline u64 code_here(void)
{
    u64 rip;

    __asm__ volatile("leaq (%%rip), %0" : "=r"(rip));
    return rip;
}

#else
struct lock_tag {
};
#define LOCK_TAG(rank_, order_, kind_, name_) \
    {                                         \
    }
struct lockdep_thread {
};
static inline void lockdep_acquire(struct spinlock *lock, const struct spinlock *first, u64 rip)
{
}
static inline void lockdep_acquire_tried(struct spinlock *lock, u64 rip)
{
}
static inline void lockdep_release(struct spinlock *lock)
{
}
static inline void lockdep_want(struct lock_tag *tag, const void *lock, unsigned how, u64 rip)
{
}
static inline void lockdep_got(struct lock_tag *tag, const void *lock, unsigned how, u64 rip)
{
}
static inline bool lockdep_drop(const struct lock_tag *tag, const void *lock, unsigned how)
{
    return true;
}
static inline void lockdep_switch(struct lockdep_thread *next)
{
}
static inline struct lockdep_thread *lockdep_callbacks_begin(void)
{
    return NULL;
}
static inline void lockdep_callbacks_end(struct lockdep_thread *former)
{
}
static inline void lockdep_may_sleep(const char *what, u64 rip)
{
}
static inline void lockdep_may_copy(u64 rip)
{
}
static inline void lockdep_may_wait_cpus(u64 rip)
{
}
static inline void lockdep_nothing_held(const char *what)
{
}
static inline u64 code_here(void)
{
    return 0;
}
static inline bool spin_held(const struct spinlock *lock)
{
    return true;
}
#endif

/* At the beginning of what relies on a lock: this CPU, or this thread, has it; a reader-writer lock
 * in either way. In the release build they are empty. clang takes their word for it. */
#ifdef DEBUG
#define ASSERT_LOCK(held, what)               \
    do {                                      \
        if (unlikely(!(held)))                \
            lockdep_lacks(what, code_here()); \
    } while (0)
#else
#define ASSERT_LOCK(held, what) ((void)0)
#endif
static inline void spin_assert_held(const struct spinlock *l, const char *what) ASSERTS_HELD(*l)
{
    ASSERT_LOCK(spin_held(l), what);
}
static inline void mutex_assert_held(const struct mutex *l, const char *what) ASSERTS_HELD(*l)
{
    ASSERT_LOCK(mutex_held(l), what);
}
static inline void rwlock_assert_held(const struct rwlock *l, const char *what)
    ASSERTS_HELD_SHARED(*l)
{
    ASSERT_LOCK(rwlock_held(l), what);
}
static inline void rwlock_assert_held_write(const struct rwlock *l, const char *what)
    ASSERTS_HELD(*l)
{
    ASSERT_LOCK(rwlock_held_write(l), what);
}
/* clang-format off */
#define ASSERT_HELD(l)                                                                  \
    _Generic((l),                                                                       \
        struct spinlock *: spin_assert_held, const struct spinlock *: spin_assert_held, \
        struct mutex *: mutex_assert_held, const struct mutex *: mutex_assert_held,     \
        struct rwlock *: rwlock_assert_held, const struct rwlock *: rwlock_assert_held)(l, #l)
/* clang-format on */
#define ASSERT_HELD_WRITE(l) rwlock_assert_held_write(l, #l)
/* Unless the caller is the only one that knows what the lock guards, or is otherwise excused. */
#ifdef DEBUG
#define ASSERT_HELD_OR(excused, l) \
    do {                           \
        if (!(excused))            \
            ASSERT_HELD(l);        \
    } while (0)
#else
#define ASSERT_HELD_OR(excused, l) ((void)(0 && (excused)))
#endif

/* At the beginning of what may sleep, if it does not always. */
#define might_sleep() lockdep_may_sleep(__func__, code_here())
