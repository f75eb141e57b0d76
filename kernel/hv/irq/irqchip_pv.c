/* SPDX-License-Identifier: MIT
 *
 * The local APICs by ways that hardware does not have: interrupts to many by one hypercall (KVM's
 * and Hyper-V's), and Hyper-V's registers, which spare the guest the APIC's page.
 */
#include "hv/irq/irqchip_priv.h"
#include "lib/errno.h"

#define PV_IPI_REFUSED (3UL << 18 | 1UL << 11) /* of the ICR: shorthand, logical */
#define KVM_EINVAL 22

/* One message to each bit of one word. */
static s64 irqchip_pv_word(struct irqchip *chip, u64 bits, u64 first, const struct apic_msg *what)
{
    s64 count = 0;

    for (u64 id = first; bits; id++, bits >>= 1) {
        struct apic_msg msg = *what;

        if (!(bits & 1) || id >= VM_VCPUS_MAX || !chip->vcpus[id])
            continue;
        msg.dest = (u32)id;
        count += apic_send(&chip->bus, &msg, NULL) >= 0;
    }
    return count;
}

s64 irqchip_pv_ipi(struct vm *vm, const u64 args[4], bool wide)
{
    struct irqchip *chip = vm->irqchip;
    u64 icr = args[3], span = wide ? 64 : 32, flags;
    struct apic_msg msg = {.vector = (u8)icr, .mode = icr >> 8 & 7};
    s64 count;

    /* Fixed and NMI only, physical, to a bitmap (no shorthand), as Linux has it. */
    if ((icr & PV_IPI_REFUSED) || (msg.mode != APIC_FIXED && msg.mode != APIC_NMI))
        return -KVM_EINVAL;
    if (args[2] > U32_MAX)
        return -KVM_EINVAL;
    spin_lock_irqsave(&chip->lock, &flags);
    count = irqchip_pv_word(chip, args[0], args[2], &msg) +
            irqchip_pv_word(chip, args[1], args[2] + span, &msg);
    spin_unlock_irqrestore(&chip->lock, flags);
    return count;
}

void irqchip_send_indices(struct vm *vm, u8 vector, u64 indices)
{
    const struct apic_msg msg = {.vector = vector, .mode = APIC_FIXED};
    struct irqchip *chip = vm->irqchip;
    u64 flags;

    spin_lock_irqsave(&chip->lock, &flags);
    for (unsigned id = 0; id < VM_VCPUS_MAX; id++) {
        struct irq_vcpu *iv = chip->vcpus[id];

        if (iv && (indices >> READ_ONCE(iv->vcpu->vp_index) & 1))
            lapic_take(&iv->lapic, &msg);
    }
    spin_unlock_irqrestore(&chip->lock, flags);
}

static int irqchip_hyperv_x2apic(struct lapic *l, u32 reg, u64 *value, bool write)
{
    u32 msr = LAPIC_MSR_X2APIC + reg;

    return write ? lapic_msr_write(l, msr, *value) : lapic_msr_read(l, msr, value);
}

static int irqchip_hyperv_xapic(struct lapic *l, u32 reg, u64 *value, bool write)
{
    u32 low = (u32)*value, high = (u32)(*value >> 32);

    if ((high && reg != LAPIC_ICR) || (!write && reg == LAPIC_EOI))
        return -EINVAL;
    if (write && reg == LAPIC_ICR)
        lapic_mmio_write(l, LAPIC_ICR_HIGH * 16, &high, sizeof(high));
    if (write) {
        lapic_mmio_write(l, reg * 16, &low, sizeof(low));
        return 0;
    }
    lapic_mmio_read(l, LAPIC_ICR_HIGH * 16, &high, sizeof(high));
    lapic_mmio_read(l, reg * 16, &low, sizeof(low));
    *value = reg == LAPIC_ICR ? (u64)high << 32 | low : low;
    return 0;
}

int irqchip_hyperv(struct vcpu *v, u32 reg, u64 *value, bool write)
{
    struct irq_vcpu *iv = irqchip_vcpu(v);
    u64 flags, x = write ? *value : 0;
    int err;

    spin_lock_irqsave(&iv->chip->lock, &flags);
    err = lapic_mmio_enabled(&iv->lapic) ? irqchip_hyperv_xapic(&iv->lapic, reg, &x, write)
                                         : irqchip_hyperv_x2apic(&iv->lapic, reg, &x, write);
    pit_resume(&iv->chip->pit);
    spin_unlock_irqrestore(&iv->chip->lock, flags);
    *value = x;
    return err;
}
