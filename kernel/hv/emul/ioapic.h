/* SPDX-License-Identifier: MIT
 *
 * An 82093AA-like I/O APIC with 24 pins, edge and level, remote IRR. See apic.h for the rules.
 *
 * A pin's line may be driven by several sources: the caller ORs them. A pin raised while it is
 * masked keeps its request: a level stays as long as the line does, an edge until it is delivered.
 */
#pragma once

#include "hv/emul/apic.h"
#include "uapi/kvm.h"

#define IOAPIC_PINS 24
#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_SIZE 0x100

struct ioapic {
    struct apic_bus *bus;
    /* A pin's level-triggered interrupt has ended (irqfd resampling); may change lines. */
    void (*ack)(void *ctx, u32 pin);
    void *ctx;
    u64 redir[IOAPIC_PINS];
    u32 irr;   /* requests: levels high, or edges not yet delivered */
    u32 lines; /* the lines as they are */
    u32 id;
    u8 select;
};

void ioapic_init(struct ioapic *ioapic, struct apic_bus *bus, void (*ack)(void *ctx, u32 pin),
                 void *ctx);

/*
 * Sets a pin's line. Returns as KVM_IRQ_LINE_STATUS wants it: number of CPUs interrupted, 0 if
 * it was merged with a pending one, -1 if it was masked or no APIC was addressed.
 */
int ioapic_set_line(struct ioapic *ioapic, u32 pin, bool high);

/* A level-triggered vector has ended at some local APIC. */
void ioapic_eoi(struct ioapic *ioapic, u8 vector);

/* `offset` below IOAPIC_SIZE; `len` 1, 2, 4 or 8. */
void ioapic_read(struct ioapic *ioapic, u32 offset, void *data, u32 len);
void ioapic_write(struct ioapic *ioapic, u32 offset, const void *data, u32 len);

void ioapic_get_state(const struct ioapic *ioapic, struct kvm_ioapic_state *state);
void ioapic_set_state(struct ioapic *ioapic, const struct kvm_ioapic_state *state);
