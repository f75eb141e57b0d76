/* SPDX-License-Identifier: MIT
 *
 * What all CPUs do at once: calls, which ride on the reschedule interrupt, and standing still while
 * one of them changes code.
 *
 * A CPU that stands still has interrupts off and came from code that had them on: it holds no lock
 * that an interrupt takes. Code is written while all others stand still, and each serializes before
 * it goes on, by a move to CR3 (SDM 3A 9.1.3, 9.3), which drops the mapping it was written by too.
 */
#include "arch/x86/apic.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "debug/up.h"
#include "lib/errno.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "mm/up.h"
#include "sched/rq_priv.h"

static struct spinlock cpus_lock = SPINLOCK_INIT(RANK_NONE, 0, "cpu call");
static void (*cpus_call)(void); /* cpus_lock to write */
static u64 cpus_pending;        /* a  CPUs that have not answered yet */
static u32 cpus_still;          /* a */
static bool cpus_go_on;         /* a */

void cpus_answer(void)
{
    u64 bit = 1UL << cpu_id();

    if (!(__atomic_load_n(&cpus_pending, __ATOMIC_ACQUIRE) & bit))
        return;
    cpus_call();
    __atomic_fetch_and(&cpus_pending, ~bit, __ATOMIC_SEQ_CST);
}

/* How many it is asked of: all others. */
static u32 cpus_ask_locked(void (*fn)(void)) REQUIRES(cpus_lock)
{
    u64 others = ((cpu_count() == MAX_CPUS ? 0 : 1UL << cpu_count()) - 1) & ~(1UL << cpu_id());
    u32 asked = 0;

    ASSERT_HELD(&cpus_lock);
    cpus_call = fn;
    __atomic_store_n(&cpus_pending, others, __ATOMIC_SEQ_CST);
    for (u64 left = others; left; left &= left - 1, asked++)
        apic_send_ipi((unsigned)__builtin_ctzll(left), VEC_RESCHED);
    return asked;
}

static void cpus_await(void)
{
    while (__atomic_load_n(&cpus_pending, __ATOMIC_ACQUIRE))
        cpu_relax();
}

void up_run_on_each_cpu(void (*fn)(void))
{
    u64 flags;

    spin_lock(&cpus_lock); /* interrupts stay on: its holder may wait for us */
    lockdep_may_wait_cpus(code_here());
    flags = irq_save();
    fn();
    irq_restore(flags);
    (void)cpus_ask_locked(fn);
    cpus_await();
    spin_unlock(&cpus_lock);
}

static void cpus_serialize(void)
{
    write_cr3(read_cr3());
}

static void cpus_stand_still(void)
{
    __atomic_fetch_add(&cpus_still, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&cpus_go_on, __ATOMIC_ACQUIRE))
        cpu_relax();
    cpus_serialize();
}

int up_code_change(u8 *code, size_t size, void (*change)(void *arg, u8 *alias), void *arg)
{
    u8 *alias = vmap_alias(virt_hpa(code), size);
    u32 others;
    u64 flags;

    if (!alias)
        return -ENOMEM;
    spin_lock(&cpus_lock);
    lockdep_may_wait_cpus(code_here());
    __atomic_store_n(&cpus_still, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&cpus_go_on, false, __ATOMIC_RELAXED);
    others = cpus_ask_locked(cpus_stand_still);
    while (__atomic_load_n(&cpus_still, __ATOMIC_ACQUIRE) < others)
        cpu_relax();
    flags = irq_save();
    change(arg, alias);
    cpus_serialize();
    __atomic_store_n(&cpus_go_on, true, __ATOMIC_RELEASE);
    irq_restore(flags);
    cpus_await();
    spin_unlock(&cpus_lock);
    mmio_unmap(alias, size);
    return 0;
}
