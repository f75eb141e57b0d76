/* SPDX-License-Identifier: MIT
 *
 * The interrupt controllers of a VM: the chips of hv/emul wired together, to the host's timers and
 * to the vCPUs. One spinlock for all (irqchip_priv.h); every call-back of a chip comes under it.
 *
 * A chip that has something for a vCPU requests VCPU_REQ_EVENT of it; the vCPU then asks
 * irqchip_pending and, when it can inject, irqchip_ack, whose answer is what counts.
 */
#include "hv/irq/irqchip_priv.h"

#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

COUNTER(hv_irqs_acked);

/* ------------------------------------------------------------- a local APIC's call-backs */

static u64 irqchip_now(void *ctx)
{
    return time_ns();
}

/* Deltas are signed: a deadline in the past is now; beyond a year or so it is far enough. */
static u64 irqchip_lapic_tsc_to_ns(void *ctx, u64 tsc)
{
    struct irq_vcpu *iv = ctx;
    u64 now = time_ns();
    s64 delta = (s64)(tsc - vcpu_tsc(iv->vcpu));

    if (delta <= 0)
        return now;
    return now + tsc_to_ns((u64)MIN(delta, (s64)1 << 56));
}

static void irqchip_lapic_timer_set(void *ctx, u64 deadline)
{
    struct irq_vcpu *iv = ctx;

    ASSERT_HELD(&iv->chip->lock);
    if (deadline == LAPIC_NEVER || iv->dead)
        timer_cancel_nowait(&iv->timer);
    else
        timer_start(&iv->timer, deadline);
}

static void irqchip_lapic_kick(void *ctx)
{
    struct irq_vcpu *iv = ctx;

    ASSERT_HELD(&iv->chip->lock);
    vcpu_request(iv->vcpu, VCPU_REQ_EVENT);
}

/* The APIC's part of INIT happens here, the CPU's when the vCPU sees init_pending. */
static void irqchip_lapic_signal(void *ctx, enum apic_mode mode, u8 vector)
{
    struct irq_vcpu *iv = ctx;
    struct vcpu *v = iv->vcpu;

    ASSERT_HELD(&iv->chip->lock);
    switch (mode) {
    case APIC_NMI:
        WRITE_ONCE(v->nmi_pending, true);
        break;
    case APIC_INIT:
        lapic_reset(&iv->lapic, true);
        WRITE_ONCE(v->sipi_pending, false);
        WRITE_ONCE(v->init_pending, true);
        break;
    case APIC_SIPI:
        v->sipi_vector = vector;
        WRITE_ONCE(v->sipi_pending, true);
        break;
    case APIC_EXTINT:
        break; /* the vCPU looks at the 8259 */
    default:
        log_once(LOG_WARN, "hv: guest sent an interrupt of mode %u", mode);
        return;
    }
    vcpu_request(v, VCPU_REQ_EVENT);
}

static void irqchip_lapic_eoi(void *ctx, u8 vector)
{
    struct irq_vcpu *iv = ctx;

    ASSERT_HELD(&iv->chip->lock);
    if (iv->chip->split) {
        iv->ended = vector;
        vcpu_request(iv->vcpu, VCPU_REQ_EOI);
        return;
    }
    ioapic_eoi(&iv->chip->ioapic, vector);
}

static const struct lapic_ops irqchip_lapic_ops = {
    .now = irqchip_now,
    .tsc_to_ns = irqchip_lapic_tsc_to_ns,
    .timer_set = irqchip_lapic_timer_set,
    .kick = irqchip_lapic_kick,
    .signal = irqchip_lapic_signal,
    .eoi = irqchip_lapic_eoi,
};

static void irqchip_lapic_timer(struct timer *t)
{
    struct irq_vcpu *iv = container_of(t, struct irq_vcpu, timer);
    u64 flags;

    spin_lock_irqsave(&iv->chip->lock, &flags);
    if (!iv->dead)
        lapic_timer_fire(&iv->lapic);
    spin_unlock_irqrestore(&iv->chip->lock, flags);
}

/* ------------------------------------------------------------- the chips' call-backs */

static void irqchip_ioapic_ack(void *ctx, u32 pin)
{
    struct irqchip *chip = ctx;

    ASSERT_HELD(&chip->lock);
    irq_pin_ended_locked(chip, IRQ_ROUTE_IOAPIC, pin);
}

static void irqchip_pic_ack(void *ctx, u32 irq)
{
    struct irqchip *chip = ctx;

    ASSERT_HELD(&chip->lock);
    irq_pin_ended_locked(chip, IRQ_ROUTE_PIC, irq);
}

static void irqchip_pic_output(void *ctx, bool high)
{
    struct irqchip *chip = ctx;

    ASSERT_HELD(&chip->lock);
    for (u32 i = 0; high && i < chip->bus.count; i++)
        if (chip->vcpus[i] && lapic_takes_pic(&chip->vcpus[i]->lapic))
            vcpu_request(chip->vcpus[i]->vcpu, VCPU_REQ_EVENT);
}

/* ------------------------------------------------------------- the PIT's call-backs */

static void irqchip_pit_timer_set(void *ctx, u64 deadline)
{
    struct irqchip *chip = ctx;

    ASSERT_HELD(&chip->lock);
    if (deadline == PIT_NEVER || chip->dead)
        timer_cancel_nowait(&chip->pit_timer);
    else
        timer_start(&chip->pit_timer, deadline);
}

static void irqchip_pit_tick(void *ctx)
{
    struct irqchip *chip = ctx;

    ASSERT_HELD(&chip->lock);
    irqchip_set_pin_locked(chip, IRQ_SOURCE_PIT, 0, true);
    irqchip_set_pin_locked(chip, IRQ_SOURCE_PIT, 0, false);
}

static const struct pit_ops irqchip_pit_ops = {
    .now = irqchip_now,
    .timer_set = irqchip_pit_timer_set,
    .tick = irqchip_pit_tick,
};

static void irqchip_pit_timer(struct timer *t)
{
    struct irqchip *chip = container_of(t, struct irqchip, pit_timer);
    u64 flags;

    spin_lock_irqsave(&chip->lock, &flags);
    if (!chip->dead)
        pit_fire(&chip->pit);
    spin_unlock_irqrestore(&chip->lock, flags);
}

/* ------------------------------------------------------------- life */

int irqchip_create(struct vm *vm, bool split)
{
    struct irqchip *chip = kzalloc(sizeof(*chip));

    if (!chip)
        return -ENOMEM;
    chip->table = split ? irq_table_empty() : irq_table_default();
    if (!chip->table) {
        kfree(chip);
        return -ENOMEM;
    }
    spinlock_init(&chip->lock, RANK_SCHED, IRQ_LOCK_ORDER, "irqchip");
    chip->vm = vm;
    chip->split = split;
    for (u32 i = 0; i < IRQ_WATCH_BUCKETS; i++)
        list_init(&chip->watches[i]);
    chip->bus = (struct apic_bus){.cpus = chip->lapics};
    pic_init(&chip->pic, irqchip_pic_output, irqchip_pic_ack, chip);
    ioapic_init(&chip->ioapic, &chip->bus, irqchip_ioapic_ack, chip);
    timer_init_guest(&chip->pit_timer, irqchip_pit_timer);
    /* Without KVM_CREATE_PIT2 its ports are user space's; it is ready all the same. */
    pit_init(&chip->pit, &irqchip_pit_ops, chip);
    store_release(&vm->irqchip, chip);
    return 0;
}

/* No vCPU is left. */
void irqchip_destroy(struct irqchip *chip)
{
    u64 flags;

    spin_lock_irqsave(&chip->lock, &flags);
    chip->dead = true; /* the call-back starts the timer no more */
    spin_unlock_irqrestore(&chip->lock, flags);
    timer_cancel(&chip->pit_timer);
    irq_table_free(chip->table);
    kfree(chip);
}

int irqchip_add_vcpu(struct vcpu *v)
{
    struct irqchip *chip = v->vm->irqchip;
    struct irq_vcpu *iv;
    u64 flags;

    if (v->id >= VM_VCPUS_MAX)
        return -EINVAL;
    iv = kzalloc(sizeof(*iv));
    if (!iv)
        return -ENOMEM;
    iv->chip = chip;
    iv->vcpu = v;
    iv->ended = -1;
    timer_init_guest(&iv->timer, irqchip_lapic_timer);
    lapic_init(&iv->lapic, v->id, v->id == v->vm->boot_vcpu, &chip->bus, &irqchip_lapic_ops, iv);
    spin_lock_irqsave(&chip->lock, &flags);
    chip->vcpus[v->id] = iv;
    chip->lapics[v->id] = &iv->lapic;
    chip->bus.count = MAX(chip->bus.count, v->id + 1);
    spin_unlock_irqrestore(&chip->lock, flags);
    return 0;
}

void irqchip_remove_vcpu(struct vcpu *v)
{
    struct irqchip *chip = v->vm->irqchip;
    struct irq_vcpu *iv = chip->vcpus[v->id];
    u64 flags;

    if (!iv || iv->vcpu != v)
        return;
    spin_lock_irqsave(&chip->lock, &flags);
    chip->vcpus[v->id] = NULL;
    chip->lapics[v->id] = NULL;
    iv->dead = true;
    spin_unlock_irqrestore(&chip->lock, flags);
    timer_cancel(&iv->timer);
    kfree(iv);
}

/* ------------------------------------------------------------- what a vCPU asks */

/* A PIC's vector is known only when it is acknowledged: 256 stands for it. */
#define PIC_SOME_VECTOR 256

bool vm_has_pic(const struct vm *vm)
{
    return vm->irqchip && !vm->irqchip->split;
}

bool irqchip_lets_pic(struct vcpu *v)
{
    return lapic_takes_pic(&irqchip_vcpu(v)->lapic);
}

static bool irqchip_pic_asks(const struct irqchip *chip, const struct vcpu *v)
{
    return chip->split ? v->user_irq >= 0 : READ_ONCE(chip->pic.intr);
}

int irqchip_pending(struct vcpu *v)
{
    struct irqchip *chip = v->vm->irqchip;
    struct irq_vcpu *iv = irqchip_vcpu(v);
    int vector = lapic_pending(&iv->lapic);

    if (vector < 0 && irqchip_pic_asks(chip, v) && lapic_takes_pic(&iv->lapic))
        return PIC_SOME_VECTOR;
    return vector;
}

static int irqchip_ack_pic(struct irqchip *chip, struct vcpu *v) REQUIRES(chip->lock)
{
    int vector = v->user_irq;

    ASSERT_HELD(&chip->lock);
    if (!chip->split)
        return pic_pending(&chip->pic) ? pic_ack(&chip->pic) : -1;
    v->user_irq = -1;
    return vector;
}

void irqchip_nmi_taken(struct vcpu *v)
{
    struct irqchip *chip = v->vm->irqchip;
    u64 flags;

    spin_lock_irqsave(&chip->lock, &flags);
    pit_resume(&chip->pit); /* its interrupt may be one */
    spin_unlock_irqrestore(&chip->lock, flags);
}

/* -1: what was pending has been withdrawn. */
int irqchip_ack(struct vcpu *v)
{
    struct irqchip *chip = v->vm->irqchip;
    struct irq_vcpu *iv = irqchip_vcpu(v);
    u64 flags;
    int vector;

    spin_lock_irqsave(&chip->lock, &flags);
    vector = lapic_pending(&iv->lapic);
    if (vector >= 0)
        lapic_ack(&iv->lapic, (u8)vector);
    else if (lapic_takes_pic(&iv->lapic))
        vector = irqchip_ack_pic(chip, v);
    pit_resume(&chip->pit);
    spin_unlock_irqrestore(&chip->lock, flags);
    if (vector >= 0)
        COUNT(hv_irqs_acked);
    return vector;
}

/* Called by the vCPU's own thread, out of HLT: an interrupt that it has disabled does not wake it.
 */
bool irqchip_wakes(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    return (v->rflags & RFLAGS_IF) && irqchip_pending(v) >= 0;
}

int irqchip_take_eoi(struct vcpu *v)
{
    struct irq_vcpu *iv = irqchip_vcpu(v);
    u64 flags;
    int vector;

    spin_lock_irqsave(&iv->chip->lock, &flags);
    vector = iv->ended;
    iv->ended = -1;
    spin_unlock_irqrestore(&iv->chip->lock, flags);
    return vector;
}

u64 irqchip_cr8(struct vcpu *v)
{
    return lapic_cr8(&irqchip_vcpu(v)->lapic);
}

void irqchip_set_cr8(struct vcpu *v, u64 value)
{
    struct irq_vcpu *iv = irqchip_vcpu(v);
    u64 flags;

    spin_lock_irqsave(&iv->chip->lock, &flags);
    lapic_set_cr8(&iv->lapic, (u8)(value & 15));
    spin_unlock_irqrestore(&iv->chip->lock, flags);
}

int irqchip_msr(struct vcpu *v, u32 msr, u64 *value, bool write)
{
    struct irq_vcpu *iv = irqchip_vcpu(v);
    u64 flags;
    int err;

    ASSERT_HELD(&v->lock);
    if (msr != LAPIC_MSR_BASE && msr != LAPIC_MSR_TSC_DEADLINE && msr - LAPIC_MSR_X2APIC > 0xff)
        return -ENOENT;
    spin_lock_irqsave(&iv->chip->lock, &flags);
    err = write ? lapic_msr_write(&iv->lapic, msr, *value) : lapic_msr_read(&iv->lapic, msr, value);
    v->apic_base = iv->lapic.base;
    pit_resume(&iv->chip->pit);
    spin_unlock_irqrestore(&iv->chip->lock, flags);
    return err;
}

/* The APIC page moves with IA32_APIC_BASE; the I/O APIC stays where a PC has it. */
int irqchip_mmio(struct vcpu *v, gpa_t gpa, void *data, u32 len, bool write)
{
    struct irq_vcpu *iv = irqchip_vcpu(v);
    struct irqchip *chip = iv->chip;
    u64 in_lapic = gpa.v - (iv->lapic.base & PAGE_MASK), in_ioapic = gpa.v - IOAPIC_BASE, flags;
    bool lapic = in_lapic < PAGE_SIZE && lapic_mmio_enabled(&iv->lapic);

    if (!lapic && (chip->split || in_ioapic >= IOAPIC_SIZE))
        return -EOPNOTSUPP;
    if (len > 8 || (lapic ? in_lapic + len > PAGE_SIZE : in_ioapic + len > IOAPIC_SIZE))
        return -EOPNOTSUPP;
    spin_lock_irqsave(&chip->lock, &flags);
    if (lapic && write)
        lapic_mmio_write(&iv->lapic, (u32)in_lapic, data, len);
    else if (lapic)
        lapic_mmio_read(&iv->lapic, (u32)in_lapic, data, len);
    else if (write)
        ioapic_write(&chip->ioapic, (u32)in_ioapic, data, len);
    else
        ioapic_read(&chip->ioapic, (u32)in_ioapic, data, len);
    pit_resume(&chip->pit);
    spin_unlock_irqrestore(&chip->lock, flags);
    return 0;
}

static bool irqchip_has_port(const struct irqchip *chip, u16 port)
{
    if (chip->split)
        return false;
    switch (port) {
    case 0x20:
    case 0x21:
    case 0xa0:
    case 0xa1:
    case 0x4d0:
    case 0x4d1:
        return true;
    case 0x40 ... 0x43:
        return chip->has_pit;
    case 0x61:
        return chip->has_pit && chip->speaker;
    default:
        return false;
    }
}

int irqchip_port(struct vm *vm, u16 port, u8 *data, bool write)
{
    struct irqchip *chip = vm->irqchip;
    u64 flags;
    int err;

    if (!irqchip_has_port(chip, port))
        return -EOPNOTSUPP;
    spin_lock_irqsave(&chip->lock, &flags);
    err = write ? pic_write(&chip->pic, port, *data) : pic_read(&chip->pic, port, data);
    if (err)
        err = write ? pit_write(&chip->pit, port, *data) : pit_read(&chip->pit, port, data);
    pit_resume(&chip->pit);
    spin_unlock_irqrestore(&chip->lock, flags);
    return err ? -EOPNOTSUPP : 0;
}
