/* SPDX-License-Identifier: MIT
 *
 * Vectors: each CPU has its own, and an interrupt can be moved to another CPU.
 *
 * A line's vector, and that of a message that cannot be masked, stays the same number in a move,
 * since its source cannot be told of vector and CPU at once: such numbers are chosen free on all
 * CPUs, from the lowest up. All others are chosen on their CPU, from the highest down.
 *
 * After a move the handlers are called once more, by an interrupt to the new CPU: what was sent to
 * the old vector and not yet taken is lost, what its device has to say is not.
 */
#include "arch/x86/apic.h"
#include "arch/x86/regs.h"
#include "dev/irq_priv.h"
#include "lib/atomic.h"
#include "lib/errno.h"

DEFINE_PER_CPU(struct irq_cpu, irq_cpus);

static struct irq_slot *irq_slot(unsigned cpu, unsigned vector)
{
    return &per_cpu_ptr(irq_cpus, cpu)->slot[vector - VEC_IRQ_FIRST];
}

static bool irq_slot_free(unsigned cpu, unsigned vector)
{
    return !irq_slot(cpu, vector)->irq && !load_acquire(&irq_slot(cpu, vector)->running);
}

static bool irq_vector_free_everywhere(unsigned vector)
{
    unsigned cpu;

    cpu_for_each (cpu)
        if (!irq_slot_free(cpu, vector))
            return false;
    return true;
}

static bool irq_keeps_vector(const struct irq *irq)
{
    return irq->gsi != IRQ_NO_LINE || !irq->ops->mask;
}

static unsigned irq_vector_choose(const struct irq *irq, unsigned cpu) REQUIRES(irq_lock)
{
    ASSERT_HELD(&irq_lock);
    if (irq_keeps_vector(irq)) {
        for (unsigned v = VEC_IRQ_FIRST; v <= VEC_IRQ_LAST; v++)
            if (irq_vector_free_everywhere(v))
                return v;
        return 0;
    }
    for (unsigned v = VEC_IRQ_LAST; v >= VEC_IRQ_FIRST; v--)
        if (irq_slot_free(cpu, v))
            return v;
    return 0;
}

/* Tells the source of its CPU and vector. */
void irq_aim_locked(struct irq *irq)
{
    u64 address;
    u32 data;

    ASSERT_HELD(&irq_lock);
    if (irq->gsi != IRQ_NO_LINE) {
        ioapic_aim(irq->gsi, irq->cpu);
        return;
    }
    apic_message(irq->cpu, irq->vector, &address, &data);
    if (irq->ops->mask)
        irq->ops->mask(irq->arg, true);
    irq->ops->write(irq->arg, address, data);
    if (irq->ops->mask)
        irq->ops->mask(irq->arg, false);
}

int irq_place_locked(struct irq *irq, unsigned cpu)
{
    unsigned vector = irq_vector_choose(irq, cpu);

    ASSERT_HELD(&irq_lock);
    if (!vector)
        return -ENOSPC;
    irq->cpu = cpu;
    irq->vector = vector;
    store_release(&irq_slot(cpu, vector)->irq, irq);
    return 0;
}

void irq_unplace_locked(struct irq *irq)
{
    ASSERT_HELD(&irq_lock);
    if (irq->gsi != IRQ_NO_LINE)
        ioapic_mask(irq->gsi, true);
    else if (irq->ops->mask)
        irq->ops->mask(irq->arg, true);
    WRITE_ONCE(irq_slot(irq->cpu, irq->vector)->irq, NULL);
}

void irq_wait_dispatch(unsigned cpu, unsigned vector)
{
    lockdep_may_wait_cpus(code_here());
    smp_mb(); /* what was taken away, before the look: pairs with up_irq */
    while (load_acquire(&irq_slot(cpu, vector)->running))
        cpu_relax();
}

static unsigned irq_cpu_load(unsigned cpu)
{
    unsigned n = 0;

    for (unsigned v = VEC_IRQ_FIRST; v <= VEC_IRQ_LAST; v++)
        n += irq_slot(cpu, v)->irq != NULL;
    return n;
}

unsigned irq_choose_cpu(u64 mask, unsigned now)
{
    unsigned cpu, best = MAX_CPUS, least = ~0U;

    ASSERT_HELD(&irq_mutex);
    cpu_for_each (cpu) {
        unsigned load;

        if (!(mask >> cpu & 1) || !apic_can_aim(cpu))
            continue;
        if (cpu == now)
            return now;
        load = irq_cpu_load(cpu);
        if (load < least) {
            least = load;
            best = cpu;
        }
    }
    return best;
}

/* irq_mutex held. */
static int irq_move(struct irq *irq, unsigned cpu) REQUIRES(irq_mutex)
{
    unsigned old_cpu, old_vector, vector;
    u64 flags;

    ASSERT_HELD(&irq_mutex);
    spin_lock_irqsave(&irq_lock, &flags);
    old_cpu = irq->cpu;
    old_vector = irq->vector;
    vector = !irq_keeps_vector(irq)           ? irq_vector_choose(irq, cpu)
             : irq_slot_free(cpu, old_vector) ? old_vector
                                              : 0;
    if (vector) {
        irq->cpu = cpu;
        irq->vector = vector;
        store_release(&irq_slot(cpu, vector)->irq, irq);
        irq_aim_locked(irq);
        WRITE_ONCE(irq_slot(old_cpu, old_vector)->irq, NULL);
    }
    spin_unlock_irqrestore(&irq_lock, flags);
    if (!vector)
        return -ENOSPC;
    irq_wait_dispatch(old_cpu, old_vector);
    if (irq->thread)
        (void)thread_set_affinity(irq->thread, 1UL << cpu);
    apic_send_ipi(cpu, vector);
    return 0;
}

int irq_set_affinity(u32 number, u64 mask)
{
    struct irq *irq;
    unsigned cpu;
    int err = 0;
    u64 flags;

    mutex_lock(&irq_mutex);
    spin_lock_irqsave(&irq_lock, &flags);
    irq = irq_find_locked(number);
    spin_unlock_irqrestore(&irq_lock, flags);
    cpu = irq ? irq_choose_cpu(mask, irq->cpu) : 0;
    if (!irq)
        err = -ENOENT;
    else if (cpu == MAX_CPUS)
        err = -EINVAL;
    else if (cpu != irq->cpu)
        err = irq_move(irq, cpu);
    if (!err)
        irq->affinity = mask;
    mutex_unlock(&irq_mutex);
    return err;
}
