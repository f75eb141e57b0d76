/* SPDX-License-Identifier: MIT
 *
 * Sleeping locks. A mutex's owner word carries a bit that says that a thread waits; the fast paths
 * are one compare-and-swap each. A released lock is free for the first that comes: the woken waiter
 * may find it taken and wait again. Or it gets no processor for long, being of low priority among
 * many, and the wake-up meant for one is lost with it meanwhile: so the others that wait for a
 * mutex look again at times, without being woken.
 */
#include "sched/mutex.h"

#include "lib/errno.h"
#include "lib/log.h"
#include "sched/timer.h"
#include "sched/rq_priv.h"

#define MUTEX_WAITERS 1UL
#define CALLER ((u64)__builtin_return_address(0))

void mutex_init(struct mutex *m, unsigned rank, unsigned order, const char *name)
{
    m->owner = NULL;
    waitq_init(&m->waiters);
    m->tag = (struct lock_tag)LOCK_TAG(rank, order, KIND_MUTEX, name);
}

static inline bool mutex_swap(struct mutex *m, u64 *old, u64 new)
{
    return __atomic_compare_exchange_n((u64 *)&m->owner, old, new, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED);
}

/* The current thread holds, or waits for, so many: rq_put_off. One instruction each, so that no
 * look comes in between. Returns that thread. */
static inline struct thread *locks_more(void)
{
    struct thread *me = current_thread();

    me->locks++;
    return me;
}

static inline struct thread *locks_fewer(void)
{
    struct thread *me = current_thread();

    me->locks--;
    return me;
}

bool mutex_trylock(struct mutex *m)
{
    u64 old = 0;

    if (!mutex_swap(m, &old, (u64)current_thread()))
        return false;
    (void)locks_more();
    lockdep_got(&m->tag, m, HELD_WRITE | HELD_TRIED, CALLER);
    return true;
}

/* True: taken. False: the owner has been told that a thread waits. */
static bool mutex_take_or_mark(struct mutex *m)
{
    u64 old = READ_ONCE(*(u64 *)&m->owner);

    for (;;) {
        if (!(old & ~MUTEX_WAITERS)) {
            /* The bit stays: others may be queued. */
            if (mutex_swap(m, &old, (u64)current_thread() | MUTEX_WAITERS))
                return true;
        } else if ((old & MUTEX_WAITERS) || mutex_swap(m, &old, old | MUTEX_WAITERS)) {
            return false;
        }
    }
}

#define MUTEX_LOOK_FIRST (5 * NSEC_PER_MSEC)
#define MUTEX_LOOK_MOST NSEC_PER_SEC

/* When one that waits since `start` looks again: seldom, if it takes long. */
static u64 mutex_look_again(u64 start)
{
    u64 now = time_ns();

    return now + MIN(MAX(now - start, MUTEX_LOOK_FIRST), MUTEX_LOOK_MOST);
}

static __noinline int mutex_lock_slow(struct mutex *m, enum sleep_kind kind)
{
    struct wait_thread w = {.queue = NULL};
    u64 start = time_ns();
    int err = 0;

    DEBUG_ASSERT(((u64)m->owner & ~MUTEX_WAITERS) != (u64)current_thread());
    for (;;) {
        wait_begin_exclusive(&w, &m->waiters, kind);
        if (mutex_take_or_mark(m)) {
            err = 0;
            break;
        }
        if (err)
            break;
        err = wait_commit(&w, mutex_look_again(start));
        if (err == -ETIMEDOUT)
            err = 0;
    }
    wait_end(&w);
    /* A wake-up meant for one may have come to us as we gave up. */
    if (err)
        waitq_wake_one(&m->waiters);
    return err;
}

static inline void mutex_lock_how(struct mutex *m, unsigned how, u64 rip)
{
    u64 old = 0;

    lockdep_want(&m->tag, m, how, rip);
    if (unlikely(!mutex_swap(m, &old, (u64)locks_more())))
        (void)mutex_lock_slow(m, SLEEP_UNINTERRUPTIBLE);
    lockdep_got(&m->tag, m, how, rip);
}

void mutex_lock(struct mutex *m) NO_THREAD_SAFETY
{
    mutex_lock_how(m, HELD_WRITE, CALLER);
}

void mutex_lock_nested(struct mutex *m) NO_THREAD_SAFETY
{
    mutex_lock_how(m, HELD_WRITE | HELD_NESTED, CALLER);
}

static int mutex_lock_as(struct mutex *m, enum sleep_kind kind, u64 rip)
{
    u64 old = 0;
    int err = 0;

    lockdep_want(&m->tag, m, HELD_WRITE, rip);
    if (unlikely(!mutex_swap(m, &old, (u64)locks_more())))
        err = mutex_lock_slow(m, kind);
    if (err)
        (void)locks_fewer();
    else
        lockdep_got(&m->tag, m, HELD_WRITE, rip);
    return err;
}

int mutex_lock_killable(struct mutex *m)
{
    return mutex_lock_as(m, SLEEP_KILLABLE, CALLER);
}

int mutex_lock_interruptible(struct mutex *m)
{
    return mutex_lock_as(m, SLEEP_INTERRUPTIBLE, CALLER);
}

void mutex_unlock(struct mutex *m) NO_THREAD_SAFETY
{
    u64 old;

    if (!lockdep_drop(&m->tag, m, HELD_WRITE))
        return;
    old = (u64)locks_fewer();
    if (likely(mutex_swap(m, &old, 0)))
        return;
    DEBUG_ASSERT((old & ~MUTEX_WAITERS) == (u64)current_thread());
    __atomic_store_n(&m->owner, NULL, __ATOMIC_SEQ_CST);
    waitq_wake_one(&m->waiters);
}

void mutex_keep_begin(void)
{
    locks_fewer();
}

void mutex_keep_end(void)
{
    locks_more();
}

bool mutex_held(const struct mutex *m)
{
    return ((u64)READ_ONCE(m->owner) & ~MUTEX_WAITERS) == (u64)current_thread();
}

void rwlock_init(struct rwlock *l, unsigned rank, unsigned order, const char *name)
{
    atomic_set(&l->state, 0);
    atomic_set(&l->writers_waiting, 0);
    atomic_set(&l->readers_waiting, 0);
    atomic_set(&l->passed, 0);
    l->writer = NULL;
    l->writer_cpu = 0;
    waitq_init(&l->readers);
    waitq_init(&l->writers);
    l->tag = (struct lock_tag)LOCK_TAG(rank, order, KIND_RWLOCK, name);
}

static inline bool rwlock_read_try(struct rwlock *l)
{
    s32 seen = atomic_read(&l->state);

    while (seen >= 0 && !atomic_read(&l->writers_waiting)) {
        if (atomic_cas(&l->state, &seen, seen + 1)) {
            (void)locks_more();
            return true;
        }
    }
    return false;
}

#define RWLOCK_SPINS 1000 /* some tens of µs: what two switches of threads and a wake-up take */
COUNTER(rwlock_spins);

/* The lock is written, by a thread that runs now: it lets go soon, or it sleeps. What writer and
 * writer_cpu are while another takes the lock may be its predecessor's: a moment more or less. */
static inline bool rwlock_writer_runs(const struct rwlock *l)
{
    return atomic_read(&l->state) < 0 &&
           READ_ONCE(*per_cpu_ptr(percpu_current, READ_ONCE(l->writer_cpu))) ==
               READ_ONCE(l->writer);
}

/* Awake until the writer has let go; *spins counts, over all times that one waits so. True: it may
 * be had now. */
static __noinline bool rwlock_spin(const struct rwlock *l, unsigned *spins)
{
    const struct thread *me = current_thread();

    COUNT(rwlock_spins);
    for (; *spins < RWLOCK_SPINS && rwlock_writer_runs(l); ++*spins) {
        if (READ_ONCE(me->work) & WORK_RESCHED)
            return false;
        cpu_relax();
    }
    return ++*spins <= RWLOCK_SPINS && atomic_read(&l->state) >= 0;
}

/* It is the turn of the readers that wait. The lock is kept free for them: one that is woken comes
 * later than a writer that runs already, however often. The turn ends with the first that takes it.
 */
static inline bool rwlock_readers_turn(struct rwlock *l)
{
    return unlikely(atomic_read(&l->passed) >= RWLOCK_PASS) && atomic_read(&l->readers_waiting);
}

/* For one that waits. */
static bool rwlock_read_try_in_turn(struct rwlock *l)
{
    s32 seen = atomic_read(&l->state);

    while (seen >= 0 && (!atomic_read(&l->writers_waiting) || rwlock_readers_turn(l))) {
        if (!atomic_cas(&l->state, &seen, seen + 1))
            continue;
        atomic_set(&l->passed, 0);
        return true;
    }
    return false;
}

static __noinline void rwlock_read_slow(struct rwlock *l)
{
    unsigned spins = 0;

    while (rwlock_writer_runs(l) && rwlock_spin(l, &spins))
        if (rwlock_read_try(l))
            return;
    (void)locks_more(); /* also while it waits */
    atomic_inc(&l->readers_waiting);
    wait_event(&l->readers, rwlock_read_try_in_turn(l));
    atomic_dec(&l->readers_waiting); /* a writer that finds it still there is woken as we let go */
}

static inline void rwlock_read_lock_how(struct rwlock *l, unsigned how, u64 rip)
{
    lockdep_want(&l->tag, l, how, rip);
    if (unlikely(!rwlock_read_try(l)))
        rwlock_read_slow(l);
    lockdep_got(&l->tag, l, how, rip);
}

void rwlock_read_lock(struct rwlock *l) NO_THREAD_SAFETY
{
    rwlock_read_lock_how(l, HELD_READ, CALLER);
}

void rwlock_read_unlock(struct rwlock *l) NO_THREAD_SAFETY
{
    s32 left;

    if (!lockdep_drop(&l->tag, l, HELD_READ))
        return;
    left = atomic_dec(&l->state);
    (void)locks_fewer();
    DEBUG_ASSERT(left >= 0);
    /* A writer counts itself, then looks at the state: one of us sees the other. */
    if (left == 0 && unlikely(atomic_read(&l->writers_waiting)))
        waitq_wake_one(&l->writers);
}

/* The lock is free, or a writer has given up. A reader that finds a writer waiting sleeps until
 * that one, or the last of those behind it, comes here, or too many have passed by. */
static void rwlock_wake(struct rwlock *l)
{
    s32 waiting;

    smp_mb(); /* a writer counts itself, then looks at the state: one of us sees the other */
    waiting = atomic_read(&l->writers_waiting);
    if (unlikely(atomic_read(&l->readers_waiting)) &&
        (atomic_inc(&l->passed) >= RWLOCK_PASS || !waiting))
        waitq_wake_all(&l->readers);
    if (waiting)
        waitq_wake_one(&l->writers);
}

static inline bool rwlock_write_try(struct rwlock *l)
{
    s32 seen = 0;

    if (rwlock_readers_turn(l) || !atomic_cas(&l->state, &seen, -1))
        return false;
    WRITE_ONCE(l->writer, current_thread());
    WRITE_ONCE(l->writer_cpu, cpu_id());
    return true;
}

static __noinline int rwlock_write_slow(struct rwlock *l, enum sleep_kind kind)
{
    struct wait_thread w = {.queue = NULL};
    unsigned spins = 0;
    int err = 0;

    while (rwlock_writer_runs(l) && rwlock_spin(l, &spins))
        if (rwlock_write_try(l))
            return 0;
    atomic_inc(&l->writers_waiting);
    for (;;) {
        wait_begin_exclusive(&w, &l->writers, kind);
        if (rwlock_write_try(l)) {
            err = 0;
            break;
        }
        if (err)
            break;
        err = wait_commit(&w, 0);
    }
    wait_end(&w);
    atomic_dec(&l->writers_waiting);
    if (!err)
        return 0;
    (void)locks_fewer();
    rwlock_wake(l); /* readers held off, or a wake-up that came to us and was meant for one */
    return err;
}

static inline void rwlock_write_lock_how(struct rwlock *l, unsigned how, u64 rip)
{
    lockdep_want(&l->tag, l, how, rip);
    (void)locks_more();
    if (unlikely(!rwlock_write_try(l)))
        (void)rwlock_write_slow(l, SLEEP_UNINTERRUPTIBLE);
    lockdep_got(&l->tag, l, how, rip);
}

void rwlock_write_lock(struct rwlock *l) NO_THREAD_SAFETY
{
    rwlock_write_lock_how(l, HELD_WRITE, CALLER);
}

void rwlock_write_lock_nested(struct rwlock *l) NO_THREAD_SAFETY
{
    rwlock_write_lock_how(l, HELD_WRITE | HELD_NESTED, CALLER);
}

bool rwlock_write_trylock(struct rwlock *l)
{
    (void)locks_more();
    if (rwlock_write_try(l)) {
        lockdep_got(&l->tag, l, HELD_WRITE | HELD_TRIED, CALLER);
        return true;
    }
    (void)locks_fewer();
    return false;
}

int rwlock_write_lock_killable(struct rwlock *l)
{
    int err = 0;

    lockdep_want(&l->tag, l, HELD_WRITE, CALLER);
    (void)locks_more();
    if (unlikely(!rwlock_write_try(l)))
        err = rwlock_write_slow(l, SLEEP_KILLABLE);
    if (!err)
        lockdep_got(&l->tag, l, HELD_WRITE, CALLER);
    return err;
}

void rwlock_write_unlock(struct rwlock *l) NO_THREAD_SAFETY
{
    if (!lockdep_drop(&l->tag, l, HELD_WRITE))
        return;
    DEBUG_ASSERT(atomic_read(&l->state) == -1);
    (void)locks_fewer();
    atomic_store_release(&l->state, 0);
    rwlock_wake(l);
}

void rwlock_write_claim(struct rwlock *l)
{
    lockdep_got(&l->tag, l, HELD_CLAIM, CALLER);
    (void)locks_more(); /* others wait for it */
    atomic_inc(&l->writers_waiting);
}

/* Readers that came meanwhile sleep. Where the lock is written, the releaser wakes them: it looks
 * at the counts after its store, and we at the state after ours. */
void rwlock_write_unclaim(struct rwlock *l)
{
    s32 left;

    if (!lockdep_drop(&l->tag, l, HELD_CLAIM))
        return;
    left = atomic_dec(&l->writers_waiting);
    (void)locks_fewer();
    DEBUG_ASSERT(left >= 0);
    if (left == 0 && atomic_read(&l->state) >= 0)
        rwlock_wake(l);
}

#ifdef DEBUG
bool rwlock_held(const struct rwlock *l)
{
    return lockdep_holds(l, HELD_READ | HELD_WRITE);
}

bool rwlock_held_write(const struct rwlock *l)
{
    return lockdep_holds(l, HELD_WRITE);
}
#endif

void completion_init(struct completion *c)
{
    waitq_init(&c->queue);
    c->done = false;
}

/* done changes under the queue's lock, and the waiter takes that lock last: so it may free *c at
 * once. */
void completion_signal(struct completion *c)
{
    struct waiter *w, *next;
    u64 flags;

    spin_lock_irqsave(&c->queue.lock, &flags);
    WRITE_ONCE(c->done, true);
    list_for_each_safe (w, next, &c->queue.waiters, node)
        w->wake(w, 0);
    spin_unlock_irqrestore(&c->queue.lock, flags);
}

void completion_wait(struct completion *c)
{
    u64 flags;

    wait_event(&c->queue, READ_ONCE(c->done));
    spin_lock_irqsave(&c->queue.lock, &flags);
    spin_unlock_irqrestore(&c->queue.lock, flags);
}
