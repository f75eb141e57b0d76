/* SPDX-License-Identifier: MIT
 *
 * Which CPU has which table loaded, and forgetting what their TLBs hold.
 *
 * A kernel thread runs on the table that is loaded (aspace->cpus keeps the CPU's bit), so that
 * going to one and back costs nothing; a table that dies is dropped from those CPUs by tlb_drop.
 *
 * A shootdown is one request at a time, system-wide: the initiator publishes it, interrupts the
 * CPUs that may hold entries, and spins until each has acknowledged, without answering itself
 * because there is no other request. Interrupts must be on while one waits for tlb_lock: its holder
 * may wait for us.
 *
 * Pairing: the initiator changes the entry, then reads aspace->cpus; a CPU sets its bit in cpus (a
 * full barrier), then loads the table. One of the two sees the other.
 */
#include "arch/x86/apic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/spec.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "lib/log.h"
#include "sched/thread.h"
#include "sched/up.h"
#include "vm/vm_priv.h"

/* Beyond so many pages a reload of the whole TLB is cheaper than INVLPG by INVLPG. */
#define TLB_PAGES_MAX 32

static DEFINE_PER_CPU(struct aspace *, tlb_loaded);
static struct spinlock tlb_lock = SPINLOCK_INIT(RANK_VM, RANK_ORDER_TLB, "tlb");
static struct {
    struct aspace *as;
    u64 start, end;
    bool drop;
    u64 pending; /* a  CPUs that have not answered */
} tlb_request;   /* tlb_lock; read by the CPUs in pending */

COUNTER(tlb_shootdowns);

static void tlb_flush_local(u64 start, u64 end)
{
    if ((end - start) >> PAGE_SHIFT > TLB_PAGES_MAX) {
        write_cr3(read_cr3());
        return;
    }
    for (u64 va = start; va < end; va += PAGE_SIZE)
        invlpg(va);
}

static void tlb_load_kernel(struct aspace *as)
{
    write_cr3(pgtable_kernel.root.v);
    this_cpu_write(tlb_loaded, NULL);
    __atomic_fetch_and(&as->cpus, ~(1UL << cpu_id()), __ATOMIC_SEQ_CST);
}

/* The interrupt, and what a CPU with interrupts off may call to answer. */
void up_tlb_flush(void)
{
    u64 bit = 1UL << cpu_id();

    if (!(__atomic_load_n(&tlb_request.pending, __ATOMIC_ACQUIRE) & bit))
        return;
    if (this_cpu_read(tlb_loaded) == tlb_request.as) {
        if (tlb_request.drop)
            tlb_load_kernel(tlb_request.as);
        else
            tlb_flush_local(tlb_request.start, tlb_request.end);
    }
    __atomic_fetch_and(&tlb_request.pending, ~bit, __ATOMIC_SEQ_CST);
}

static void tlb_shoot(struct aspace *as, u64 cpus, u64 start, u64 end, bool drop)
{
    COUNT(tlb_shootdowns);
    DEBUG_ASSERT(irq_enabled());
    spin_lock(&tlb_lock);
    tlb_request.as = as;
    tlb_request.start = start;
    tlb_request.end = end;
    tlb_request.drop = drop;
    __atomic_store_n(&tlb_request.pending, cpus, __ATOMIC_SEQ_CST);
    for (u64 left = cpus; left; left &= left - 1)
        apic_send_ipi((unsigned)__builtin_ctzll(left), VEC_TLB);
    while (__atomic_load_n(&tlb_request.pending, __ATOMIC_ACQUIRE))
        cpu_relax();
    spin_unlock(&tlb_lock);
}

void tlb_flush(struct aspace *as, u64 start, u64 end)
{
    u64 self = 1UL << cpu_id(), cpus;

    lockdep_may_wait_cpus(code_here());
    smp_mb(); /* see the head of the file */
    cpus = __atomic_load_n(&as->cpus, __ATOMIC_RELAXED);
    if (cpus & self)
        tlb_flush_local(start, end);
    if (unlikely(cpus & ~self))
        tlb_shoot(as, cpus & ~self, start, end, false);
}

/* No page at all: the interrupt itself is what they are to take. A CPU that does not run in it has
 * passed a switch of tables since, a full barrier. */
void aspace_barrier(struct aspace *as)
{
    tlb_flush(as, 0, 0);
}

u64 aspace_cpus(struct aspace *as)
{
    smp_mb();
    return __atomic_load_n(&as->cpus, __ATOMIC_RELAXED);
}

void tlb_drop(struct aspace *as)
{
    u64 self = 1UL << cpu_id(), cpus, flags;

    lockdep_may_wait_cpus(code_here());
    flags = irq_save();
    if (this_cpu_read(tlb_loaded) == as)
        tlb_load_kernel(as);
    irq_restore(flags);
    cpus = __atomic_load_n(&as->cpus, __ATOMIC_SEQ_CST) & ~self;
    if (cpus)
        tlb_shoot(as, cpus, 0, 0, true);
    ASSERT(!__atomic_load_n(&as->cpus, __ATOMIC_RELAXED));
}

/* An account outlives the users of its address space only. */
static const struct account *tlb_domain(const struct aspace *as)
{
    return as && refcount_read(&as->users) ? as->account : NULL;
}

/* Interrupts off, or no thread switch possible otherwise. */
static void tlb_load(struct aspace *as)
{
    struct aspace *old = this_cpu_read(tlb_loaded);
    u64 bit = 1UL << cpu_id();

    if (old == as)
        return;
    spec_switch(tlb_domain(old), as->account);
    __atomic_fetch_or(&as->cpus, bit, __ATOMIC_SEQ_CST);
    write_cr3(as->pt.root.v);
    this_cpu_write(tlb_loaded, as);
    if (old)
        __atomic_fetch_and(&old->cpus, ~bit, __ATOMIC_SEQ_CST);
}

void up_aspace_switch(struct aspace *prev, struct aspace *next)
{
    ASSERT_IRQS_OFF();
    tlb_load(next);
}

struct aspace *aspace_current(void)
{
    return current_thread()->aspace;
}

void aspace_give(struct thread *t, struct aspace *as)
{
    t->aspace = as;
    t->area_hint = NULL; /* of the former's */
    /* The root's account has no limit to enforce. */
    t->account = as && as->account && as->account->parent ? as->account : NULL;
}

void aspace_activate(struct aspace *as)
{
    u64 flags = irq_save();
    struct thread *t = current_thread();

    aspace_give(t, as);
    this_cpu_write(account_of_cpu, t->account);
    if (as)
        tlb_load(as);
    irq_restore(flags);
}
