/* SPDX-License-Identifier: MIT
 *
 * Futexes. A private futex is (address space, address); a shared one is the memory object's id and
 * the offset behind the address. Waiters hang in a hash table; a bucket's lock orders a waiter's
 * look at the word with the waker's look at the queue.
 *
 * Lock order: two buckets by address. The word is read with the bucket locked, so without faulting:
 * when it is not there the lock is dropped, the page faulted in, and all begins again.
 */
#include "proc/futex.h"
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "proc/proc_priv.h"
#include "sched/timer.h"
#include "vm/aspace.h"

#define FUTEX_BUCKETS 256
#define FUTEX_TID_MASK 0x3fffffffU
#define FUTEX_OWNER_DIED 0x40000000U
#define FUTEX_WAITERS 0x80000000U
#define ROBUST_LIMIT 2048
#define ROBUST_AT_ONCE 64

struct futex_key {
    u64 space; /* address of the address space, or id of the memory object, which is small */
    u64 offset;
};

struct futex_bucket {
    struct spinlock lock;
    struct list_node waiters;
};

struct futex_waiter {
    struct list_node node;       /* the bucket's lock */
    struct futex_key key;        /* the bucket's lock: requeue changes it */
    struct futex_bucket *bucket; /* a */
    u32 bitset;
    struct waitq queue; /* the sleeper's own */
    bool woken;
};

static struct futex_bucket buckets[FUTEX_BUCKETS];

static void futex_init(void)
{
    for (unsigned i = 0; i < FUTEX_BUCKETS; i++) {
        spinlock_init(&buckets[i].lock, RANK_PROC, 3, "futex");
        list_init(&buckets[i].waiters);
    }
}
INIT_HOOK(futex_init, INIT_CORE);

struct futex_area_find {
    u64 addr;
    struct futex_key *key;
};

static int futex_area(struct area *a, void *arg)
{
    struct futex_area_find *f = arg;

    if (a->start <= f->addr && f->addr < a->end && a->flags & AREA_SHARED && a->object) {
        f->key->space = mem_object_id(a->object);
        f->key->offset = f->addr - a->start + a->offset;
    }
    return 1;
}

/* Another thread may take the page away each time that it has been brought in: so each try lets
 * others run, and a kill ends them. -EFAULT, -EINTR. */
static int futex_fault_in(u64 addr)
{
    u32 v;

    cond_yield();
    if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
        return -EINTR;
    return user_load32(&v, (const u32 __user *)addr);
}

/* An object may go while threads wait on it, since their process can unmap it: its id has no other.
 * The address space stays as long as the thread that waits. -EFAULT where a shared one is not
 * mapped; a private one need not be. */
static int futex_key(u64 addr, bool private, struct futex_key *key)
{
    struct aspace *as = aspace_current();

    if (!IS_ALIGNED(addr, 4))
        return -EINVAL;
    if (!user_range_ok(addr, 4))
        return -EFAULT;
    *key = (struct futex_key){(u64)as, addr};
    if (!private) {
        struct futex_area_find f = {addr, key};
        u32 v;
        if (user_load32(&v, (const u32 __user *)addr)) /* once: a killed task still wakes others */
            return -EFAULT;
        aspace_for_each(as, addr, futex_area, &f);
    }
    return 0;
}

static struct futex_bucket *futex_bucket_of(const struct futex_key *k)
{
    return &buckets[hash_u64(k->space ^ hash_u64(k->offset)) % FUTEX_BUCKETS];
}

static bool futex_key_equal(const struct futex_key *a, const struct futex_key *b)
{
    return a->space == b->space && a->offset == b->offset;
}

/* Under a bucket lock: -EFAULT when the page is not there. */
static int futex_peek(u64 addr, u32 *out)
{
    struct thread *me = current_thread();

    if (FAILPOINT_APART(futex_peek))
        return -EFAULT;
    me->nofault++;
    int err = user_load32(out, (const u32 __user *)addr);
    me->nofault--;
    return err;
}

/* REQUIRES(bucket lock). The waiter may be gone as soon as it sees woken. */
static void futex_wake_one(struct futex_waiter *w)
{
    ASSERT_HELD(&w->bucket->lock);
    list_del(&w->node);
    waitq_wake_all(&w->queue);
    store_release(&w->woken, true); /* the last touch: w lies on the sleeper's stack */
}

/* What FUTEX_WAKE and FUTEX_REQUEUE do to the waiters of a word: a number is woken, then a number
 * is moved to the other word. The counts are of those still to come. */
struct futex_walk {
    struct futex_bucket *b, *b2;
    struct futex_key key, key2;
    u32 bitset;
    int wake, move;
};

static void futex_walk_lock(struct futex_walk *k, u64 *flags) ACQUIRES(k->b->lock, k->b2->lock)
{
    *flags = irq_save();
    spin_lock_pair(&k->b->lock, &k->b2->lock);
}

static void futex_walk_unlock(struct futex_walk *k, u64 flags) RELEASES(k->b->lock, k->b2->lock)
{
    spin_unlock_pair(&k->b->lock, &k->b2->lock);
    irq_restore(flags);
}

/* REQUIRES(both buckets' locks) */
static void futex_walk_one(struct futex_walk *k, struct futex_waiter *w)
{
    ASSERT_HELD(&w->bucket->lock);
    if (!futex_key_equal(&w->key, &k->key) || !(w->bitset & k->bitset))
        return;
    if (k->wake) {
        k->wake--;
        futex_wake_one(w);
        return;
    }
    k->move--;
    w->key = k->key2;
    if (k->b == k->b2)
        return;
    list_del(&w->node);
    list_add_tail(&k->b2->waiters, &w->node);
    WRITE_ONCE(w->bucket, k->b2);
}

/* Looks at some from n on; where it stopped, or NULL: all is done. */
#define FUTEX_RUN 64
static struct list_node *futex_walk_run(struct futex_walk *k, struct list_node *n,
                                        const struct list_node *end)
{
    struct list_node *next;

    for (unsigned looks = 0; n != end && (k->wake || k->move); looks++, n = next) {
        if (looks == FUTEX_RUN)
            return n;
        next = n->next;
        futex_walk_one(k, list_entry(n, struct futex_waiter, node));
    }
    return NULL;
}

/* The rest, from n on: a hold of the locks, with interrupts off, is for one run. Two waiters that
 * are no threads, with a key that no futex has, mark where to go on and where to stop, since others
 * queue meanwhile. Called and returns with the locks held. */
static __noinline void futex_walk_rest(struct futex_walk *k, struct list_node *n, u64 *flags)
    REQUIRES(k->b->lock, k->b2->lock)
{
    struct futex_waiter at = {.bucket = k->b}, last = {.bucket = k->b};

    ASSERT_HELD(&k->b->lock);
    list_add_tail(&k->b->waiters, &last.node);
    while (n) {
        list_add_tail(n, &at.node);
        futex_walk_unlock(k, *flags);
        cond_yield();
        futex_walk_lock(k, flags);
        n = at.node.next;
        list_del(&at.node);
        n = futex_walk_run(k, n, &last.node);
    }
    list_del(&last.node);
}

/* Called with the locks held, which it drops. */
static void futex_walk_all(struct futex_walk *k, u64 flags) RELEASES(k->b->lock, k->b2->lock)
{
    struct list_node *n = futex_walk_run(k, k->b->waiters.next, &k->b->waiters);

    ASSERT_HELD(&k->b->lock);
    if (unlikely(n))
        futex_walk_rest(k, n, &flags);
    futex_walk_unlock(k, flags);
}

/* At least one, as Linux, where n is not positive. */
s64 futex_wake(u64 addr, bool private, int n, u32 bitset)
{
    int wake = MAX(n, 1), err;
    struct futex_walk k = {.bitset = bitset, .wake = wake};
    u64 flags;

    err = futex_key(addr, private, &k.key);
    if (err || !bitset)
        return err ? err : -EINVAL;
    k.b = k.b2 = futex_bucket_of(&k.key);
    futex_walk_lock(&k, &flags);
    futex_walk_all(&k, flags);
    return wake - k.wake;
}

/* Takes w off its bucket; true when it was still on one: it was not woken. */
static bool futex_unqueue(struct futex_waiter *w)
{
    for (;;) {
        struct futex_bucket *b = READ_ONCE(w->bucket);
        u64 flags;
        spin_lock_irqsave(&b->lock, &flags);
        if (b == w->bucket) {
            bool queued = !list_empty(&w->node);
            list_del(&w->node);
            spin_unlock_irqrestore(&b->lock, flags);
            return queued;
        }
        spin_unlock_irqrestore(&b->lock, flags); /* requeued meanwhile */
    }
}

/* Queues w if the word still is `expected`. */
static int futex_queue(struct futex_waiter *w, u64 addr, u32 expected)
{
    u64 flags;
    u32 now;

    for (;;) {
        spin_lock_irqsave(&w->bucket->lock, &flags);
        int err = futex_peek(addr, &now);
        if (!err && now == expected) {
            list_add_tail(&w->bucket->waiters, &w->node);
            spin_unlock_irqrestore(&w->bucket->lock, flags);
            return 0;
        }
        spin_unlock_irqrestore(&w->bucket->lock, flags);
        if (!err)
            return -EAGAIN;
        err = futex_fault_in(addr);
        if (err)
            return err;
    }
}

s64 futex_wait(u64 addr, bool private, u32 expected, u32 bitset, u64 deadline)
{
    struct futex_waiter w = {.bitset = bitset};
    struct wait_thread sleep = {.queue = NULL};
    int err = futex_key(addr, private, &w.key);

    if (err || !bitset)
        return err ? err : -EINVAL;
    list_init(&w.node);
    waitq_init(&w.queue);
    w.bucket = futex_bucket_of(&w.key);
    err = futex_queue(&w, addr, expected);
    if (err)
        return err;
    while (!err && !READ_ONCE(w.woken)) {
        wait_begin(&sleep, &w.queue, SLEEP_INTERRUPTIBLE);
        if (!READ_ONCE(w.woken) && !list_empty(&w.node))
            err = wait_commit(&sleep, deadline);
        wait_end(&sleep);
        if (list_empty(&w.node)) /* off the list: woken is set by now or in a moment */
            break;
    }
    if (futex_unqueue(&w))
        return err == -EINTR ? -ERESTARTSYS : err;
    while (!load_acquire(&w.woken)) /* the waker is about to let go of w */
        cpu_relax();
    return 0;
}

/* Locked, with the word seen as expected, if that is asked. -EAGAIN, -EFAULT: not locked. */
static int futex_requeue_lock(struct futex_walk *k, u64 addr, const u32 *expected, u64 *flags)
    TRY_ACQUIRES(0, k->b->lock,
                 k->b2->lock) NO_THREAD_SAFETY /* with the word as expected, or not */
{
    u32 now;
    int err;

    for (;;) {
        futex_walk_lock(k, flags);
        if (!expected)
            return 0;
        err = futex_peek(addr, &now);
        if (!err && now == *expected)
            return 0;
        futex_walk_unlock(k, *flags);
        if (!err)
            return -EAGAIN;
        err = futex_fault_in(addr);
        if (err)
            return err;
    }
}

s64 futex_requeue(u64 addr, bool private, int wake, int move, u64 addr2, const u32 *expected)
{
    struct futex_walk k = {.bitset = ~0U, .wake = wake, .move = move};
    int err = futex_key(addr, private, &k.key);
    u64 flags;

    if (!err)
        err = futex_key(addr2, private, &k.key2);
    if (err || wake < 0 || move < 0)
        return err ? err : -EINVAL;
    k.b = futex_bucket_of(&k.key);
    k.b2 = futex_bucket_of(&k.key2);
    err = futex_requeue_lock(&k, addr, expected, &flags);
    if (err)
        return err;
    futex_walk_all(&k, flags);
    return (wake - k.wake) + (expected ? move - k.move : 0);
}

/* What FUTEX_WAKE_OP encodes: op cmp oparg cmparg in 4+4+12+12 bits (futex(2)). */
#define FUTEX_OP_SHIFT 8 /* oparg is the number of a bit */

/* The word that op makes of old. False: there is no such op. */
static bool futex_op_apply(u32 code, u32 old, u32 *next)
{
    u32 arg = (u32)((s32)(code << 8) >> 20);

    if (code >> 28 & FUTEX_OP_SHIFT)
        arg = 1U << (arg & 31);
    switch (code >> 28 & 7) {
    case 0:
        *next = arg;
        return true;
    case 1:
        *next = old + arg;
        return true;
    case 2:
        *next = old | arg;
        return true;
    case 3:
        *next = old & ~arg;
        return true;
    case 4:
        *next = old ^ arg;
        return true;
    default:
        return false;
    }
}

/* Does the word that was there compare as cmp asks? 0, 1; -ENOSYS: there is no such cmp. */
static int futex_op_compare(u32 code, s32 old)
{
    s32 arg = (s32)(code << 20) >> 20;

    switch (code >> 24 & 15) {
    case 0:
        return old == arg;
    case 1:
        return old != arg;
    case 2:
        return old < arg;
    case 3:
        return old <= arg;
    case 4:
        return old > arg;
    case 5:
        return old >= arg;
    default:
        return -ENOSYS;
    }
}

/* Changes the word; 1: the second word's waiters are to be woken, 0: not; -EFAULT, -ENOSYS. */
static int futex_op(u64 addr, u32 code)
{
    u32 old, next, seen;

    if (user_load32(&old, (const u32 __user *)addr))
        return -EFAULT;
    for (;; old = seen) {
        seen = old;
        if (!futex_op_apply(code, old, &next))
            return -ENOSYS;
        if (user_cas32((u32 __user *)addr, &seen, next))
            return -EFAULT;
        if (seen == old)
            return futex_op_compare(code, (s32)old);
    }
}

s64 futex_wake_op(u64 addr, bool private, int n, u64 addr2, int n2, u32 code)
{
    struct futex_key key, key2;
    int second = futex_key(addr, private, &key);
    s64 woken;

    if (!second)
        second = futex_key(addr2, private, &key2);
    if (!second)
        second = futex_op(addr2, code);
    if (second < 0)
        return second;
    woken = futex_wake(addr, private, n, ~0U);
    if (woken >= 0 && second)
        woken += futex_wake(addr2, private, n2, ~0U);
    return woken;
}

static void futex_wake_at_exit(u64 addr)
{
    (void)futex_wake(addr, false, 1, ~0U);
    (void)futex_wake(addr, true, 1, ~0U);
}

/* A lock of a dead task: marks it and wakes one waiter (Documentation of robust futexes). pending:
 * it was about to take or free it; if it had freed it, it may have woken none yet. */
static bool futex_owner_died(u64 addr, u32 tid, bool pending)
{
    u32 v;

    if (!IS_ALIGNED(addr, 4) || user_load32(&v, (const u32 __user *)addr))
        return false;
    if (pending && !v)
        futex_wake_at_exit(addr);
    while ((v & FUTEX_TID_MASK) == tid) {
        u32 seen = v, next = (v & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        if (user_cas32((u32 __user *)addr, &seen, next))
            return false;
        if (seen == v) {
            if (v & FUTEX_WAITERS)
                futex_wake_at_exit(addr);
            return true;
        }
        v = seen;
    }
    return true;
}

static void futex_robust_exit(u64 head, u32 tid)
{
    u64 entry, pending = 0, next;
    s64 offset;
    int limit = ROBUST_LIMIT;

    if (user_load64(&entry, (const u64 __user *)head) ||
        user_load64((u64 *)&offset, (const u64 __user *)(head + 8)) ||
        user_load64(&pending, (const u64 __user *)(head + 16)))
        return;
    while ((entry & ~1UL) != head && limit--) {
        u64 at = entry & ~1UL;
        int err = user_load64(&next, (const u64 __user *)at);
        if (at != (pending & ~1UL) && !futex_owner_died(at + (u64)offset, tid, false))
            return;
        if (err)
            return;
        entry = next;
        if (limit % ROBUST_AT_ONCE == 0)
            cond_yield();
    }
    if (pending & ~1UL)
        futex_owner_died((pending & ~1UL) + (u64)offset, tid, true);
}

void futex_task_exit(struct task *t)
{
    struct aspace *as = t->thread->aspace;
    u32 tid = pid_nr(t->pid, process_pid_ns(t->process));

    ASSERT_CURRENT(t->thread);
    if (!as)
        return;
    if (t->robust_list)
        futex_robust_exit(t->robust_list, tid);
    t->robust_list = 0;
    if (t->clear_child_tid && refcount_read(&as->users) > 1) {
        if (user_store32((u32 __user *)t->clear_child_tid, 0) == 0)
            futex_wake_at_exit(t->clear_child_tid);
    }
    t->clear_child_tid = 0;
}
