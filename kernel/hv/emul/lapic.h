/* SPDX-License-Identifier: MIT
 *
 * A local APIC: register file (xAPIC page and x2APIC MSRs), priorities, timer, message reception.
 * See apic.h for the rules of use. SDM 3A chapter 11.
 *
 * How a vCPU uses it: before each entry lapic_pending() gives the vector to inject, or -1; once it
 * is put into the VMCB/VMCS, lapic_ack() moves it from IRR to ISR. If the CPU did not deliver the
 * event, the caller injects it again by itself. lapic_pending() is one load and may be called
 * without the lock (a change kicks the vCPU).
 *
 * The timer counts 1 ns bus ticks. It is a deadline, not a callback chain: `timer_set` tells the
 * caller when to call lapic_timer_fire().
 */
#pragma once

#include "hv/emul/apic.h"
#include "lib/compiler.h"
#include "uapi/kvm.h"

enum lapic_reg {
    LAPIC_ID = 0x02,
    LAPIC_VERSION = 0x03,
    LAPIC_TPR = 0x08,
    LAPIC_APR = 0x09,
    LAPIC_PPR = 0x0a,
    LAPIC_EOI = 0x0b,
    LAPIC_LDR = 0x0d,
    LAPIC_DFR = 0x0e,
    LAPIC_SVR = 0x0f,
    LAPIC_ISR = 0x10,
    LAPIC_TMR = 0x18,
    LAPIC_IRR = 0x20,
    LAPIC_ESR = 0x28,
    LAPIC_LVT_CMCI = 0x2f,
    LAPIC_ICR = 0x30,
    LAPIC_ICR_HIGH = 0x31,
    LAPIC_LVT_TIMER = 0x32,
    LAPIC_LVT_THERMAL = 0x33,
    LAPIC_LVT_PERF = 0x34,
    LAPIC_LVT_LINT0 = 0x35,
    LAPIC_LVT_LINT1 = 0x36,
    LAPIC_LVT_ERROR = 0x37,
    LAPIC_TIMER_INIT = 0x38,
    LAPIC_TIMER_COUNT = 0x39,
    LAPIC_TIMER_DIVIDE = 0x3e,
    LAPIC_SELF_IPI = 0x3f,
    LAPIC_REGS = 0x40,
};

#define LAPIC_BASE_BSP 0x100ull
#define LAPIC_BASE_X2APIC 0x400ull
#define LAPIC_BASE_ENABLE 0x800ull
#define LAPIC_BASE_DEFAULT 0xfee00000ull

#define LAPIC_MSR_BASE 0x1b
#define LAPIC_MSR_TSC_DEADLINE 0x6e0
#define LAPIC_MSR_X2APIC 0x800 /* to 0x8ff */

#define LAPIC_NEVER U64_MAX

struct lapic_ops {
    /* Monotonic nanoseconds. */
    u64 (*now)(void *ctx);
    /* When the guest's TSC will reach `tsc`, on the clock of `now`; past values are fine. */
    u64 (*tsc_to_ns)(void *ctx, u64 tsc);
    /* Call lapic_timer_fire() at `deadline`; LAPIC_NEVER: no more. */
    void (*timer_set)(void *ctx, u64 deadline);
    /* lapic_pending() has become >= 0 or has risen: leave the guest or wake up, then look. */
    void (*kick)(void *ctx);
    /* NMI, SMI, INIT, or SIPI with its vector, for this vCPU; APIC_EXTINT: look at the PIC. */
    void (*signal)(void *ctx, enum apic_mode mode, u8 vector);
    /* A level-triggered vector has ended: call ioapic_eoi(). Called last, may call back in. */
    void (*eoi)(void *ctx, u8 vector);
};

struct lapic {
    const struct lapic_ops *ops;
    void *ctx;
    struct apic_bus *bus;
    u32 id;
    s32 ready;            /* what lapic_pending returns */
    u64 base;             /* IA32_APIC_BASE */
    u64 deadline;         /* of the timer, ns, or LAPIC_NEVER */
    u64 period;           /* ns, 0: one shot */
    bool lapsed;          /* periodic: `deadline` is known, and timer_set was not called for it */
    u64 tsc_target;       /* IA32_TSC_DEADLINE, 0: not armed */
    u32 esr_new;          /* errors since ESR was last written */
    u32 regs[LAPIC_REGS]; /* by offset / 16; IRR, ISR and TMR take eight each */
};

void lapic_init(struct lapic *lapic, u32 id, bool bsp, struct apic_bus *bus,
                const struct lapic_ops *ops, void *ctx);
/* Power-up state; with `init`, what INIT leaves: identity and base stay. */
void lapic_reset(struct lapic *lapic, bool init);

/* A deliverable vector above the processor's priority, or -1. */
static inline int lapic_pending(const struct lapic *lapic)
{
    return READ_ONCE(lapic->ready);
}

/* `vector`, as lapic_pending gave it, is being injected: now in service. */
void lapic_ack(struct lapic *lapic, u8 vector);

/* CR8 is TPR bits 4..7. */
void lapic_set_cr8(struct lapic *lapic, u8 cr8);
u8 lapic_cr8(const struct lapic *lapic);

/*
 * The register page, `offset` below 4096. Reads fill `len` (1, 2, 4, 8) bytes; anything but an
 * aligned 32-bit access reads zero and is ignored when written, as the manual leaves it undefined.
 */
void lapic_mmio_read(struct lapic *lapic, u32 offset, void *data, u32 len);
void lapic_mmio_write(struct lapic *lapic, u32 offset, const void *data, u32 len);

/* IA32_APIC_BASE, IA32_TSC_DEADLINE and x2APIC MSRs. 0, or -EINVAL: the guest gets #GP. */
int lapic_msr_read(struct lapic *lapic, u32 msr, u64 *value);
int lapic_msr_write(struct lapic *lapic, u32 msr, u64 value);

/* Is the page at lapic->base decoded as xAPIC registers? */
bool lapic_mmio_enabled(const struct lapic *lapic);

/* The timer's deadline has come; harmless if it has not or was moved. */
void lapic_timer_fire(struct lapic *lapic);

/* Raises a local source: LAPIC_LVT_LINT0, LINT1, PERF, THERMAL, ERROR. */
void lapic_local(struct lapic *lapic, enum lapic_reg lvt);

/* Does this APIC pass the 8259's INTR on to its CPU (LINT0 as ExtINT, or APIC off)? */
bool lapic_takes_pic(const struct lapic *lapic);

/* For the bus. lapic_take returns 1 if taken, 0 if refused or pending already. */
bool lapic_matches(const struct lapic *lapic, u32 dest, bool logical);
bool lapic_enabled(const struct lapic *lapic);
u8 lapic_ppr(const struct lapic *lapic);
int lapic_take(struct lapic *lapic, const struct apic_msg *msg);

/* KVM_GET_LAPIC and KVM_SET_LAPIC: the register page. 0 or -EINVAL. */
void lapic_get_state(struct lapic *lapic, struct kvm_lapic_state *state);
int lapic_set_state(struct lapic *lapic, const struct kvm_lapic_state *state);
