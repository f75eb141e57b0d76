/* SPDX-License-Identifier: MIT
 *
 * The ioctls of the interrupt controllers: every argument is copied once, checked, then applied
 * under the irqchip's lock. They need an irqchip: -ENXIO; those of I/O APIC, PIC and PIT one that
 * is not split.
 */
#include "arch/x86/uaccess.h"
#include "hv/irq/irqchip_priv.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"

static s64 irqchip_ioctl_line(struct vm *vm, u64 arg, bool status)
{
    struct kvm_irq_level line;

    if (copy_in(&line, (const void __user *)arg, sizeof(line)))
        return -EFAULT;
    line.status = irqchip_set_line(vm, line.irq, line.level != 0);
    return status ? copy_out((void __user *)arg, &line, sizeof(line)) : 0;
}

static int irqchip_copy_head(struct kvm_irqchip *state, u64 arg, bool whole)
{
    if (copy_in(state, (const void __user *)arg,
                whole ? sizeof(*state) : offsetof(struct kvm_irqchip, chip)))
        return -EFAULT;
    return state->chip_id <= KVM_IRQCHIP_IOAPIC ? 0 : -EINVAL;
}

static s64 irqchip_ioctl_get(struct irqchip *chip, u64 arg)
{
    struct kvm_irqchip state = {0};
    int err = irqchip_copy_head(&state, arg, false);
    u64 flags;

    if (err)
        return err;
    spin_lock_irqsave(&chip->lock, &flags);
    if (state.chip_id == KVM_IRQCHIP_IOAPIC)
        ioapic_get_state(&chip->ioapic, &state.chip.ioapic);
    else
        pic_get_state(&chip->pic, state.chip_id, &state.chip.pic);
    spin_unlock_irqrestore(&chip->lock, flags);
    return copy_out((void __user *)arg, &state, sizeof(state));
}

static s64 irqchip_ioctl_set(struct irqchip *chip, u64 arg)
{
    struct kvm_irqchip state;
    int err = irqchip_copy_head(&state, arg, true);
    u64 flags;

    if (err)
        return err;
    spin_lock_irqsave(&chip->lock, &flags);
    if (state.chip_id == KVM_IRQCHIP_IOAPIC)
        ioapic_set_state(&chip->ioapic, &state.chip.ioapic);
    else
        pic_set_state(&chip->pic, state.chip_id, &state.chip.pic);
    pit_resume(&chip->pit);
    spin_unlock_irqrestore(&chip->lock, flags);
    return 0;
}

static s64 irqchip_ioctl_create_pit(struct irqchip *chip, u64 arg)
{
    struct kvm_pit_config config;
    u64 flags;
    s64 err = 0;

    if (copy_in(&config, (const void __user *)arg, sizeof(config)))
        return -EFAULT;
    if (config.flags & ~(u32)KVM_PIT_SPEAKER_DUMMY)
        return -EINVAL;
    spin_lock_irqsave(&chip->lock, &flags);
    if (chip->has_pit) {
        err = -EEXIST;
    } else {
        chip->speaker = config.flags & KVM_PIT_SPEAKER_DUMMY;
        chip->has_pit = true;
    }
    spin_unlock_irqrestore(&chip->lock, flags);
    return err;
}

static s64 irqchip_ioctl_get_pit(struct irqchip *chip, u64 arg)
{
    struct kvm_pit_state2 state = {0};
    u64 flags;

    if (!chip->has_pit)
        return -ENXIO;
    spin_lock_irqsave(&chip->lock, &flags);
    pit_get_state(&chip->pit, &state);
    spin_unlock_irqrestore(&chip->lock, flags);
    return copy_out((void __user *)arg, &state, sizeof(state));
}

static s64 irqchip_ioctl_set_pit(struct irqchip *chip, u64 arg)
{
    struct kvm_pit_state2 state;
    u64 flags;

    if (!chip->has_pit)
        return -ENXIO;
    if (copy_in(&state, (const void __user *)arg, sizeof(state)))
        return -EFAULT;
    spin_lock_irqsave(&chip->lock, &flags);
    pit_set_state(&chip->pit, &state);
    spin_unlock_irqrestore(&chip->lock, flags);
    return 0;
}

/* Ticks that the host was too late for are lost, always: only that can be agreed to. */
static s64 irqchip_ioctl_reinject(struct irqchip *chip, u64 arg)
{
    struct kvm_reinject_control control;

    if (!chip->has_pit)
        return -ENXIO;
    if (copy_in(&control, (const void __user *)arg, sizeof(control)))
        return -EFAULT;
    return control.pit_reinject ? -EINVAL : 0;
}

static s64 irqchip_ioctl_msi(struct irqchip *chip, u64 arg)
{
    struct kvm_msi msi;
    u64 flags;
    s64 n;

    if (copy_in(&msi, (const void __user *)arg, sizeof(msi)))
        return -EFAULT;
    if (msi.flags)
        return -EINVAL;
    spin_lock_irqsave(&chip->lock, &flags);
    n = irqchip_send_msi_locked(chip, (u64)msi.address_hi << 32 | msi.address_lo, msi.data);
    spin_unlock_irqrestore(&chip->lock, flags);
    return n; /* CPUs reached; -1 none, and -1 it is in the interface */
}

static s64 irqchip_ioctl_routing(struct irqchip *chip, u64 arg)
{
    struct kvm_irq_routing head;
    struct kvm_irq_routing_entry *entries;
    struct irq_table *table, *old;
    u64 flags;
    int err;

    if (copy_in(&head, (const void __user *)arg, sizeof(head)))
        return -EFAULT;
    if (head.flags || head.nr > IRQ_ROUTES_MAX)
        return -EINVAL;
    entries = kcalloc(MAX(head.nr, 1U), sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    err = copy_in(entries, (const void __user *)(arg + sizeof(head)), head.nr * sizeof(*entries));
    if (!err)
        err = irq_table_build(entries, head.nr, &table);
    kfree(entries);
    if (err)
        return err;
    if (chip->split && irq_table_has_pins(table)) {
        irq_table_free(table);
        return -EINVAL;
    }
    spin_lock_irqsave(&chip->lock, &flags);
    old = chip->table;
    chip->table = table;
    pit_resume(&chip->pit);
    spin_unlock_irqrestore(&chip->lock, flags);
    irq_table_free(old);
    return 0;
}

s64 irqchip_ioctl(struct vm *vm, unsigned cmd, u64 arg)
{
    struct irqchip *chip = load_acquire(&vm->irqchip);
    struct irqchip *whole = chip && !chip->split ? chip : NULL;

    switch (cmd) {
    case KVM_IRQ_LINE:
    case KVM_IRQ_LINE_STATUS:
        return chip ? irqchip_ioctl_line(vm, arg, cmd == KVM_IRQ_LINE_STATUS) : -ENXIO;
    case KVM_GET_IRQCHIP:
        return whole ? irqchip_ioctl_get(chip, arg) : -ENXIO;
    case KVM_SET_IRQCHIP:
        return whole ? irqchip_ioctl_set(chip, arg) : -ENXIO;
    case KVM_CREATE_PIT2:
        return whole ? irqchip_ioctl_create_pit(chip, arg) : -ENOENT;
    case KVM_GET_PIT2:
        return whole ? irqchip_ioctl_get_pit(chip, arg) : -ENXIO;
    case KVM_SET_PIT2:
        return whole ? irqchip_ioctl_set_pit(chip, arg) : -ENXIO;
    case KVM_REINJECT_CONTROL:
        return whole ? irqchip_ioctl_reinject(chip, arg) : -ENXIO;
    case KVM_SIGNAL_MSI:
        return chip ? irqchip_ioctl_msi(chip, arg) : -EINVAL;
    case KVM_SET_GSI_ROUTING:
        return chip ? irqchip_ioctl_routing(chip, arg) : -ENXIO;
    default:
        return -ENOTTY;
    }
}

/* ------------------------------------------------------------- a vCPU's local APIC */

static s64 irqchip_get_lapic(struct irq_vcpu *iv, u64 arg)
{
    struct kvm_lapic_state *state = kzalloc(sizeof(*state));
    u64 flags;
    int err;

    if (!state)
        return -ENOMEM;
    spin_lock_irqsave(&iv->chip->lock, &flags);
    lapic_get_state(&iv->lapic, state);
    spin_unlock_irqrestore(&iv->chip->lock, flags);
    err = copy_out((void __user *)arg, state, sizeof(*state));
    kfree(state);
    return err;
}

static s64 irqchip_set_lapic(struct irq_vcpu *iv, u64 arg)
{
    struct kvm_lapic_state *state = kzalloc(sizeof(*state));
    u64 flags;
    int err;

    if (!state)
        return -ENOMEM;
    err = copy_in(state, (const void __user *)arg, sizeof(*state));
    if (!err) {
        spin_lock_irqsave(&iv->chip->lock, &flags);
        err = lapic_set_state(&iv->lapic, state);
        pit_resume(&iv->chip->pit);
        spin_unlock_irqrestore(&iv->chip->lock, flags);
    }
    kfree(state);
    return err;
}

/* A guest's task priority in its memory: not offered (KVM_CAP_VAPIC), but "nowhere" can be said. */
static s64 irqchip_set_vapic(u64 arg)
{
    struct kvm_vapic_addr at;

    if (copy_in(&at, (const void __user *)arg, sizeof(at)))
        return -EFAULT;
    return at.vapic_addr ? -EINVAL : 0;
}

/* Called for a vCPU of a VM that has an irqchip, vcpu->lock held. */
s64 irqchip_vcpu_ioctl(struct vcpu *v, unsigned cmd, u64 arg)
{
    struct irq_vcpu *iv = v->vm->irqchip->vcpus[v->id];

    ASSERT_HELD(&v->lock);
    switch (cmd) {
    case KVM_GET_LAPIC:
        return irqchip_get_lapic(iv, arg);
    case KVM_SET_LAPIC:
        return irqchip_set_lapic(iv, arg);
    case KVM_SET_VAPIC_ADDR:
        return irqchip_set_vapic(arg);
    default:
        return -ENOTTY;
    }
}
