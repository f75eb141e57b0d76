/* SPDX-License-Identifier: MIT
 *
 * Which CPU has which table loaded, and forgetting what their TLBs hold.
 *
 * A kernel thread runs on the table that is loaded (aspace->cpus keeps the CPU's bit), so that
 * going to one and back costs nothing; a table that dies is dropped from those CPUs by tlb_drop.
 *
 * A shootdown is the initiator's own request: it writes it down, puts its bit into the inbox of
 * each CPU that may hold entries, interrupts them, and spins until each has acknowledged. Several
 * go on side by side. Interrupts are on meanwhile, so that those who wait for each other answer
 * each other; kernel code is not preempted, so an initiator has one request at a time.
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

/* c this CPU, while no CPU is in pending; read by those that are */
struct tlb_request {
    struct aspace *as; /* c */
    u64 start, end;    /* c */
    bool drop;         /* c */
    u64 pending;       /* a  CPUs that have not answered */
};
static DEFINE_PER_CPU(struct tlb_request, tlb_requests);
/* a  CPUs whose requests wait for this one's answer */
static DEFINE_PER_CPU(u64, tlb_inbox);

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

/* The request is its initiator's again when the last bit has gone. */
static void tlb_answer(struct tlb_request *r)
{
    if (this_cpu_read(tlb_loaded) == r->as) {
        if (r->drop)
            tlb_load_kernel(r->as);
        else
            tlb_flush_local(r->start, r->end);
    }
    __atomic_fetch_and(&r->pending, ~(1UL << cpu_id()), __ATOMIC_SEQ_CST);
}

/* The interrupt. */
void up_tlb_flush(void)
{
    u64 *inbox = this_cpu_ptr(tlb_inbox), from;

    if (!READ_ONCE(*inbox))
        return;
    from = __atomic_exchange_n(inbox, 0, __ATOMIC_SEQ_CST);
    for (; from; from &= from - 1)
        tlb_answer(per_cpu_ptr(tlb_requests, (unsigned)__builtin_ctzll(from)));
}

static void tlb_shoot(struct aspace *as, u64 cpus, u64 start, u64 end, bool drop)
{
    struct tlb_request *r = this_cpu_ptr(tlb_requests);
    u64 self = 1UL << cpu_id();

    COUNT(tlb_shootdowns);
    DEBUG_ASSERT(irq_enabled());
    DEBUG_ASSERT(!READ_ONCE(r->pending));
    *r = (struct tlb_request){as, start, end, drop, cpus};
    for (u64 left = cpus; left; left &= left - 1) {
        unsigned cpu = (unsigned)__builtin_ctzll(left);

        __atomic_fetch_or(per_cpu_ptr(tlb_inbox, cpu), self, __ATOMIC_SEQ_CST);
        apic_send_ipi(cpu, VEC_TLB);
    }
    while (__atomic_load_n(&r->pending, __ATOMIC_ACQUIRE))
        cpu_relax();
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
