/* SPDX-License-Identifier: MIT
 *
 * The rank checker of the debug build: each CPU keeps the stack of spinlocks that it holds, and a
 * lock taken must stand strictly below the lowest of them. Rank 0 is not checked. The other checks
 * are free with that: unlocking what is not held here, and taking a lock twice.
 *
 * An interrupt handler's locks have no order with those that the interrupted code holds, which it
 * took with interrupts on. What could meet in a deadlock instead is found by what each lock was
 * ever seen in: one that handlers take is not for code with interrupts on, and whoever holds it
 * takes none that is.
 */
#include "sync/spinlock.h"

#ifdef DEBUG
#include "lib/log.h"
#include "sync/percpu.h"

#define HELD_MAX 16

struct lockdep_cpu {
    unsigned n;
    struct spinlock *held[HELD_MAX];
};
static DEFINE_PER_CPU(struct lockdep_cpu, lockdep_held);
static u8 lockdep_off; /* after its first report: the panic path takes no more */

static unsigned lockdep_key(const struct spinlock *lock)
{
    return (unsigned)lock->rank << 8 | lock->order;
}

static __noreturn void lockdep_report(const struct spinlock *lock, const struct spinlock *held,
                                      u64 rip)
{
    lockdep_off = 1;
    panic("lock order: %s (%u,%u) wanted at %lx while holding %s (%u,%u) from %lx", lock->name,
          lock->rank, lock->order, rip, held->name, held->rank, held->order, held->holder_rip);
}

/* first: the other of a pair, or NULL. */
static bool lockdep_allows(const struct spinlock *lock, const struct spinlock *held,
                           const struct spinlock *first)
{
    if (!held->rank || (held->open && this_cpu_read(percpu_in_interrupt)))
        return true;
    if (held->in_handlers && lock->open)
        return false;
    return lockdep_key(lock) < lockdep_key(held) ||
           (held == first && lock > held && lockdep_key(lock) == lockdep_key(held));
}

static void lockdep_take(struct spinlock *lock, const struct spinlock *first, bool tried, u64 rip)
{
    u64 flags = irq_save();
    struct lockdep_cpu *cpu = this_cpu_ptr(lockdep_held);

    lock->open |= (flags & RFLAGS_IF) != 0;
    lock->in_handlers |= this_cpu_read(percpu_in_interrupt);
    if (lock->rank && lock->open && lock->in_handlers && !lockdep_off)
        lockdep_report(lock, lock, rip);
    for (unsigned i = 0; i < cpu->n && lock->rank && !lockdep_off && !tried; i++)
        if (!lockdep_allows(lock, cpu->held[i], first))
            lockdep_report(lock, cpu->held[i], rip);
    ASSERT(cpu->n < HELD_MAX);
    cpu->held[cpu->n++] = lock;
    lock->cpu = (s16)cpu_id();
    lock->holder_rip = rip;
    irq_restore(flags);
}

void lockdep_acquire(struct spinlock *lock, const struct spinlock *first, u64 rip)
{
    lockdep_take(lock, first, false, rip);
}

void lockdep_acquire_tried(struct spinlock *lock, u64 rip)
{
    lockdep_take(lock, NULL, true, rip);
}

void lockdep_release(struct spinlock *lock)
{
    u64 flags = irq_save();
    struct lockdep_cpu *cpu = this_cpu_ptr(lockdep_held);
    unsigned i = cpu->n;

    while (i > 0 && cpu->held[i - 1] != lock)
        i--;
    if (i == 0 && !lockdep_off) {
        lockdep_off = 1;
        panic("lock %s released on CPU %u, taken on %d at %lx", lock->name, cpu_id(), lock->cpu,
              lock->holder_rip);
    }
    for (; i && i < cpu->n; i++)
        cpu->held[i - 1] = cpu->held[i];
    if (cpu->n)
        cpu->n--;
    lock->cpu = -1;
    irq_restore(flags);
}
#endif
