/* SPDX-License-Identifier: MIT
 *
 * The checks of lockdep.h, in the debug build: each CPU keeps the stack of spinlocks that it holds,
 * each thread that of its sleeping locks. Rank 0 is not checked.
 *
 * An interrupt handler's locks have no order with those that the interrupted code holds, which it
 * took with interrupts on. What could meet in a deadlock instead is found by what each lock was
 * ever seen in: one that handlers take is not for code with interrupts on, and a CPU that holds it
 * takes none that is. In the same way a lock that is held while other CPUs are to answer an
 * interrupt is never taken with interrupts off: a CPU that spins for it could not answer.
 */
#include "sync/lockdep.h"

#ifdef DEBUG
#include "arch/x86/regs.h"
#include "arch/x86/up.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sync/percpu.h"
#include "sync/rcu.h"
#include "sync/spinlock.h"

#define HELD_MAX 16

struct lockdep_cpu {
    unsigned n;
    struct spinlock *held[HELD_MAX];
};
static DEFINE_PER_CPU(struct lockdep_cpu, lockdep_held);
static DEFINE_PER_CPU(bool, lockdep_in_callbacks);
static DEFINE_PER_CPU(struct lockdep_thread *, lockdep_self);
static u8 lockdep_off;         /* a  after its first report: the panic path takes no more */
static char lockdep_note[200]; /* the thread that expects: the report */

/* What the thread holds, or NULL where no thread's locks matter. */
static struct lockdep_thread *lockdep_thread(void)
{
    return this_cpu_read(percpu_in_interrupt) ? NULL : this_cpu_read(lockdep_self);
}

static __printf(1, 2) void lockdep_report(const char *fmt, ...)
{
    struct lockdep_thread *me = lockdep_thread();
    char text[sizeof(lockdep_note)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (me && me->expects) {
        me->expects = false;
        memcpy(lockdep_note, text, sizeof(text));
        return;
    }
    lockdep_off = 1;
    panic("%s", text);
}

void lockdep_lacks(const char *what, u64 rip)
{
    if (!lockdep_off)
        lockdep_report("%s is not held at %lx", what, rip);
}

void up_rule_broken(const char *rule, const char *function)
{
    if (!lockdep_off)
        lockdep_report("%s: %s", function, rule);
}

void lockdep_expect(void)
{
    lockdep_note[0] = '\0';
    lockdep_thread()->expects = true;
}

const char *lockdep_expected(void)
{
    lockdep_thread()->expects = false;
    return lockdep_note[0] ? lockdep_note : NULL;
}

static unsigned lockdep_key(const struct lock_tag *tag)
{
    return (unsigned)tag->rank << 8 | tag->order;
}

static void lockdep_report_order(const struct lock_tag *tag, u64 rip, const struct lock_tag *held,
                                 u64 held_rip)
{
    lockdep_report("lock order: %s (%u,%u) wanted at %lx while holding %s (%u,%u) from %lx",
                   tag->name, tag->rank, tag->order, rip, held->name, held->rank, held->order,
                   held_rip);
}

/* --- spinlocks --- */

/* first: the other of a pair, or NULL. */
static bool lockdep_allows(const struct spinlock *lock, const struct spinlock *held,
                           const struct spinlock *first)
{
    if (!held->tag.rank || (held->open && this_cpu_read(percpu_in_interrupt)))
        return true;
    if (held->in_handlers && lock->open)
        return false;
    return lockdep_key(&lock->tag) < lockdep_key(&held->tag) ||
           (held == first && lock > held && lockdep_key(&lock->tag) == lockdep_key(&held->tag));
}

/* What was learnt of this lock at other times. */
static void lockdep_check_use(struct spinlock *lock, u64 flags, u64 rip)
{
    lock->open |= (flags & RFLAGS_IF) != 0;
    lock->closed |= !(flags & RFLAGS_IF);
    lock->in_handlers |= this_cpu_read(percpu_in_interrupt);
    if (lock->open && lock->in_handlers)
        lockdep_report("lock %s at %lx: handlers take it, and code with interrupts on",
                       lock->tag.name, rip);
    if (lock->closed && lock->over_wait)
        lockdep_report("lock %s at %lx: held while CPUs are waited for, and taken with "
                       "interrupts off",
                       lock->tag.name, rip);
}

static void lockdep_check_spin(struct spinlock *lock, const struct spinlock *first, u64 rip)
{
    struct lockdep_cpu *cpu = this_cpu_ptr(lockdep_held);
    struct lockdep_thread *me = lockdep_thread();

    for (unsigned i = 0; i < cpu->n; i++)
        if (!lockdep_allows(lock, cpu->held[i], first))
            lockdep_report_order(&lock->tag, rip, &cpu->held[i]->tag, cpu->held[i]->holder_rip);
    for (unsigned i = 0; me && i < me->n; i++) {
        const struct lock_held *h = &me->held[i];

        if (h->tag.rank && !(h->how & HELD_CLAIM) &&
            lockdep_key(&lock->tag) >= lockdep_key(&h->tag))
            lockdep_report_order(&lock->tag, rip, &h->tag, h->rip);
    }
}

static void lockdep_push(struct spinlock *lock, u64 rip)
{
    struct lockdep_cpu *cpu = this_cpu_ptr(lockdep_held);

    ASSERT(cpu->n < HELD_MAX);
    cpu->held[cpu->n++] = lock;
    lock->holder = (u16)(cpu_id() + 1);
    lock->holder_rip = rip;
}

void lockdep_acquire(struct spinlock *lock, const struct spinlock *first, u64 rip)
{
    u64 flags = irq_save();

    if (lock->tag.rank && !lockdep_off) {
        lock_class_note(&lock->tag);
        lockdep_check_use(lock, flags, rip);
        lockdep_check_spin(lock, first, rip);
    }
    lockdep_push(lock, rip);
    irq_restore(flags);
}

void lockdep_acquire_tried(struct spinlock *lock, u64 rip)
{
    u64 flags = irq_save();

    if (lock->tag.rank && !lockdep_off)
        lockdep_check_use(lock, flags, rip);
    lockdep_push(lock, rip);
    irq_restore(flags);
}

void lockdep_release(struct spinlock *lock)
{
    u64 flags = irq_save();
    struct lockdep_cpu *cpu = this_cpu_ptr(lockdep_held);
    unsigned i = cpu->n;

    while (i > 0 && cpu->held[i - 1] != lock)
        i--;
    if (i == 0 && !lockdep_off)
        lockdep_report("lock %s released on CPU %u, last taken on %d at %lx", lock->tag.name,
                       cpu_id(), lock->holder - 1, lock->holder_rip);
    for (; i && i < cpu->n; i++)
        cpu->held[i - 1] = cpu->held[i];
    if (cpu->n)
        cpu->n--;
    lock->holder = 0;
    irq_restore(flags);
}

bool spin_held(const struct spinlock *lock)
{
    return lockdep_off || lock->holder == cpu_id() + 1;
}

/* --- sleeping locks --- */

void lockdep_switch(struct lockdep_thread *next)
{
    this_cpu_write(lockdep_self, next);
}

struct lockdep_thread *lockdep_callbacks_begin(void)
{
    struct lockdep_thread *former = this_cpu_read(lockdep_self);

    this_cpu_write(lockdep_self, NULL);
    this_cpu_write(lockdep_in_callbacks, true);
    return former;
}

void lockdep_callbacks_end(struct lockdep_thread *former)
{
    this_cpu_write(lockdep_self, former);
    this_cpu_write(lockdep_in_callbacks, false);
}

void lockdep_may_sleep(const char *what, u64 rip)
{
    const struct lockdep_cpu *cpu = this_cpu_ptr(lockdep_held);
    const struct lockdep_thread *me = lockdep_thread();

    if (lockdep_off)
        return;
    if (this_cpu_read(percpu_in_interrupt) || this_cpu_read(lockdep_in_callbacks))
        lockdep_report("%s at %lx may sleep: in an interrupt or RCU callback", what, rip);
    if (!me)
        return; /* before there are threads */
    if (!irq_enabled())
        lockdep_report("%s at %lx may sleep: interrupts are off", what, rip);
    if (rcu_read_held())
        lockdep_report("%s at %lx may sleep: in an RCU reader", what, rip);
    if (cpu->n)
        lockdep_report("%s at %lx may sleep: holding %s from %lx", what, rip,
                       cpu->held[cpu->n - 1]->tag.name, cpu->held[cpu->n - 1]->holder_rip);
    for (unsigned i = 0; i < me->n; i++)
        if (me->held[i].tag.flags & LOCK_BRIEF >> 8)
            lockdep_report("%s at %lx may sleep: holding %s from %lx, which all share", what, rip,
                           me->held[i].tag.name, me->held[i].rip);
}

void lockdep_may_copy(u64 rip)
{
    const struct lockdep_thread *me = lockdep_thread();

    lockdep_may_sleep("a user copy", rip);
    for (unsigned i = 0; me && i < me->n && !lockdep_off; i++)
        if (!(me->held[i].tag.flags & LOCK_OVER_COPY >> 8))
            lockdep_report("user copy at %lx while holding %s (%u,%u) from %lx", rip,
                           me->held[i].tag.name, me->held[i].tag.rank, me->held[i].tag.order,
                           me->held[i].rip);
}

void lockdep_may_wait_cpus(u64 rip)
{
    const struct lockdep_cpu *cpu = this_cpu_ptr(lockdep_held);

    if (lockdep_off)
        return;
    if (!irq_enabled())
        lockdep_report("CPUs are waited for at %lx: interrupts are off", rip);
    for (unsigned i = 0; i < cpu->n; i++) {
        cpu->held[i]->over_wait = true;
        if (cpu->held[i]->closed)
            lockdep_report("CPUs are waited for at %lx while holding %s from %lx, which is taken "
                           "with interrupts off",
                           rip, cpu->held[i]->tag.name, cpu->held[i]->holder_rip);
    }
}

void lockdep_nothing_held(const char *what)
{
    const struct lockdep_cpu *cpu = this_cpu_ptr(lockdep_held);
    const struct lockdep_thread *me = lockdep_thread();

    if (lockdep_off)
        return;
    if (cpu->n)
        lockdep_report("%s while holding %s from %lx", what, cpu->held[0]->tag.name,
                       cpu->held[0]->holder_rip);
    if (me && me->n)
        lockdep_report("%s while holding %s from %lx", what, me->held[me->n - 1].tag.name,
                       me->held[me->n - 1].rip);
}

static void lockdep_check_order(const struct lock_tag *tag, const void *lock, unsigned how, u64 rip,
                                const struct lock_held *h)
{
    unsigned key = lockdep_key(tag), over = lockdep_key(&h->tag);

    if (h->lock == lock)
        lockdep_report("lock %s (%u,%u) wanted at %lx: taken already at %lx", tag->name, tag->rank,
                       tag->order, rip, h->rip);
    else if (tag->rank && h->tag.rank && !(h->how & HELD_CLAIM) && key >= over &&
             !(key == over && (how & HELD_NESTED)))
        lockdep_report_order(tag, rip, &h->tag, h->rip);
}

void lockdep_want(struct lock_tag *tag, const void *lock, unsigned how, u64 rip)
{
    const struct lockdep_thread *me = lockdep_thread();

    if (lockdep_off)
        return;
    lock_class_note(tag);
    lockdep_may_sleep(tag->name, rip);
    for (unsigned i = 0; me && i < me->n; i++)
        lockdep_check_order(tag, lock, how, rip, &me->held[i]);
}

void lockdep_got(struct lock_tag *tag, const void *lock, unsigned how, u64 rip)
{
    struct lockdep_thread *me = lockdep_thread();

    if (!me || lockdep_off)
        return;
    ASSERT(me->n < LOCKDEP_HELD_MAX);
    me->held[me->n++] = (struct lock_held){.lock = lock, .tag = *tag, .how = how, .rip = rip};
}

static unsigned lockdep_find(const struct lockdep_thread *me, const void *lock, unsigned how)
{
    unsigned i = me->n;

    while (i && (me->held[i - 1].lock != lock || !(me->held[i - 1].how & how)))
        i--;
    return i;
}

bool lockdep_drop(const struct lock_tag *tag, const void *lock, unsigned how)
{
    struct lockdep_thread *me = lockdep_thread();
    unsigned i;

    if (!me || lockdep_off)
        return true;
    i = lockdep_find(me, lock, how);
    if (!i) {
        lockdep_report("lock %s (%u,%u) released, not held by this thread", tag->name, tag->rank,
                       tag->order);
        return false;
    }
    for (; i < me->n; i++)
        me->held[i - 1] = me->held[i];
    me->n--;
    return true;
}

bool lockdep_holds(const void *lock, unsigned how)
{
    const struct lockdep_thread *me = lockdep_thread();

    return lockdep_off || (me && lockdep_find(me, lock, how));
}
#endif
