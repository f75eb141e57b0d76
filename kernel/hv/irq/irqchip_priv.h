/* SPDX-License-Identifier: MIT
 *
 * The interrupt controllers of one VM and the table that leads a GSI to their pins or to an MSI.
 * A split irqchip is the local APICs alone: I/O APIC, PIC and PIT are user space's, which sends
 * messages, takes KVM_EXIT_IOAPIC_EOI and has KVM_INTERRUPT for its PIC.
 *
 * chip->lock serialises all of it (kernel/hv/emul/apic.h asks for that). It is taken in timer
 * interrupts and above wait queues and eventfds, so it is a RANK_SCHED leaf of high order.
 */
#pragma once

#include "hv/irq/irqchip.h"
#include "hv/emul/ioapic.h"
#include "hv/emul/lapic.h"
#include "hv/emul/pic.h"
#include "hv/emul/pit.h"
#include "sched/timer.h"
#include "sync/spinlock.h"

#define IRQ_LOCK_ORDER 100
#define PIC_PINS 16
#define IRQ_WATCH_BUCKETS 256

/* Sources that drive a pin; a pin is high while one of them holds it high. */
enum irq_source { IRQ_SOURCE_USER, IRQ_SOURCE_PIT, IRQ_SOURCE_IRQFD, IRQ_SOURCE_RESAMPLE };

enum irq_route_kind { IRQ_ROUTE_PIC, IRQ_ROUTE_IOAPIC, IRQ_ROUTE_MSI };

struct irq_route {
    u32 gsi;
    u8 kind; /* enum irq_route_kind */
    u8 pin;
    u32 data;
    u64 address;
};

/* Immutable once it is in chip->table. */
struct irq_table {
    s16 pin_gsi[2][IOAPIC_PINS]; /* PIC, I/O APIC: the last GSI that leads to a pin; -1: none */
    u32 gsis;                    /* first[] has one more */
    u32 nr;
    u32 *first; /* by GSI: where its routes start; behind routes */
    struct irq_route routes[];
};

/* Is told of the end of a GSI's level, with chip->lock held and interrupts off; the line has
 * fallen. Guests can cause it at every instruction: constant time. */
struct irq_watch {
    struct list_node node; /* q */
    u32 gsi;               /* I */
    void (*ended)(struct irq_watch *w);
};

/* q chip->lock · I immutable */
struct irq_vcpu {
    struct irqchip *chip; /* I */
    struct vcpu *vcpu;    /* I */
    struct lapic lapic;   /* q */
    struct timer timer;
    bool dead; /* q  no timer any more */
    s32 ended; /* q  split: a level's vector whose end user space is to get; -1 */
};

struct irqchip {
    struct spinlock lock;
    struct vm *vm;                        /* I  borrowed: it owns us */
    bool split;                           /* I */
    struct irq_vcpu *vcpus[VM_VCPUS_MAX]; /* q  by vCPU id */
    struct lapic *lapics[VM_VCPUS_MAX];   /* q  the bus's view of them */
    struct apic_bus bus;                  /* q */
    struct pic pic;                       /* q */
    struct ioapic ioapic;                 /* q */
    u8 pic_sources[PIC_PINS];             /* q  bits of enum irq_source */
    u8 ioapic_sources[IOAPIC_PINS];       /* q */
    struct irq_table *table;              /* q */
    struct pit pit;                       /* q */
    struct timer pit_timer;
    bool has_pit, speaker, dead;                 /* q */
    struct list_node watches[IRQ_WATCH_BUCKETS]; /* q  by GSI */
};

static inline struct irq_vcpu *irqchip_vcpu(struct vcpu *v)
{
    return v->vm->irqchip->vcpus[v->id];
}

/* lines.c; chip->lock held. What KVM_IRQ_LINE_STATUS returns: CPUs reached, 0 merged, -1 none. */
int irqchip_set_pin_locked(struct irqchip *chip, enum irq_source source, u32 gsi, bool high)
    REQUIRES(chip->lock);
int irqchip_send_msi_locked(struct irqchip *chip, u64 address, u32 data) REQUIRES(chip->lock);
void irq_pin_ended_locked(struct irqchip *chip, enum irq_route_kind kind, u32 pin)
    REQUIRES(chip->lock);
/* One a GSI at most; the caller looks first. With its removal the watch's level falls. */
struct irq_watch *irq_watch_find_locked(struct irqchip *chip, u32 gsi) REQUIRES(chip->lock);
void irq_watch_add_locked(struct irqchip *chip, struct irq_watch *w) REQUIRES(chip->lock);
void irq_watch_remove_locked(struct irqchip *chip, struct irq_watch *w) REQUIRES(chip->lock);
/* irq_route.c */
struct irq_table *irq_table_default(void);
/* Takes a copy in kernel memory, checks it. *out is the caller's. */
int irq_table_build(const struct kvm_irq_routing_entry *entries, u32 nr, struct irq_table **out);
struct irq_table *irq_table_empty(void);
bool irq_table_has_pins(const struct irq_table *table);
void irq_table_free(struct irq_table *table);
