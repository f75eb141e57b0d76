/* SPDX-License-Identifier: MIT
 *
 * Local APIC: priorities, reception, registers. The timer is in lapic_timer.c.
 */
#include "hv/emul/lapic.h"
#include "hv/emul/lapic_priv.h"
#include "lib/errno.h"
#include "lib/string.h"

#define LAPIC_SVR_ENABLE 0x100u
#define LAPIC_LVT_COUNT 6u
#define LAPIC_VERSION_VALUE ((LAPIC_LVT_COUNT - 1) << 16 | 0x14)
#define LAPIC_ESR_SEND_VECTOR 0x20u
#define LAPIC_ESR_RECV_VECTOR 0x40u
#define LAPIC_ESR_REGISTER 0x80u
#define LAPIC_FIRST_VECTOR 16

/* ------------------------------------------------------------- 256-bit vectors */
/* In eight registers each. */

static void lapic_bit_set(struct lapic *l, enum lapic_reg reg, u8 vector)
{
    l->regs[reg + vector / 32] |= 1u << vector % 32;
}

static void lapic_bit_clear(struct lapic *l, enum lapic_reg reg, u8 vector)
{
    l->regs[reg + vector / 32] &= ~(1u << vector % 32);
}

static bool lapic_bit_test(const struct lapic *l, enum lapic_reg reg, u8 vector)
{
    return l->regs[reg + vector / 32] >> vector % 32 & 1;
}

static int lapic_highest(const struct lapic *l, enum lapic_reg reg)
{
    for (int i = 7; i >= 0; i--) {
        u32 word = l->regs[(int)reg + i];

        if (word)
            return i * 32 + 31 - __builtin_clz(word);
    }
    return -1;
}

/* ------------------------------------------------------------- priorities */

bool lapic_enabled(const struct lapic *l)
{
    return (l->base & LAPIC_BASE_ENABLE) && (l->regs[LAPIC_SVR] & LAPIC_SVR_ENABLE);
}

/* SDM 3A 11.8.3.1: the higher class of TPR and the vector in service. */
u8 lapic_ppr(const struct lapic *l)
{
    u8 tpr = (u8)l->regs[LAPIC_TPR];
    int isr = lapic_highest(l, LAPIC_ISR);
    u8 service = isr < 0 ? 0 : (u8)isr;

    return (tpr & 0xf0) >= (service & 0xf0) ? tpr : service & 0xf0;
}

/* Recomputes what is deliverable and kicks the vCPU if that has risen. */
static void lapic_update(struct lapic *l)
{
    int irr = -1;

    if (l->base & LAPIC_BASE_ENABLE) {
        irr = lapic_highest(l, LAPIC_IRR);
        if (irr >= 0 && (irr & 0xf0) <= (lapic_ppr(l) & 0xf0))
            irr = -1;
    }
    int before = l->ready;

    WRITE_ONCE(l->ready, irr);
    if (irr > before)
        l->ops->kick(l->ctx);
}

void lapic_ack(struct lapic *l, u8 vector)
{
    lapic_bit_clear(l, LAPIC_IRR, vector);
    lapic_bit_set(l, LAPIC_ISR, vector);
    lapic_update(l);
    if (vector == (u8)l->regs[LAPIC_LVT_TIMER])
        lapic_timer_goes_on(l);
}

static void lapic_eoi(struct lapic *l)
{
    int vector = lapic_highest(l, LAPIC_ISR);

    if (vector < 0)
        return;
    lapic_bit_clear(l, LAPIC_ISR, (u8)vector);
    lapic_update(l);
    if (lapic_bit_test(l, LAPIC_TMR, (u8)vector))
        l->ops->eoi(l->ctx, (u8)vector);
}

static void lapic_set_tpr(struct lapic *l, u8 tpr)
{
    l->regs[LAPIC_TPR] = tpr;
    lapic_update(l);
}

void lapic_set_cr8(struct lapic *l, u8 cr8)
{
    if (lapic_cr8(l) != (cr8 & 15))
        lapic_set_tpr(l, (u8)(cr8 << 4));
}

u8 lapic_cr8(const struct lapic *l)
{
    return (u8)l->regs[LAPIC_TPR] >> 4;
}

/* ------------------------------------------------------------- reception */

static void lapic_error(struct lapic *l, u32 bit)
{
    bool first = !l->esr_new;

    l->esr_new |= bit;
    if (first)
        lapic_local(l, LAPIC_LVT_ERROR);
}

/* A fixed interrupt arrives. False if it was pending already or cannot be taken. */
static bool lapic_accept(struct lapic *l, u8 vector, bool level)
{
    if (!lapic_enabled(l))
        return false;
    if (vector < LAPIC_FIRST_VECTOR) {
        /* The error vector itself being illegal must not recurse. */
        if ((l->regs[LAPIC_LVT_ERROR] & 0xff) >= LAPIC_FIRST_VECTOR)
            lapic_error(l, LAPIC_ESR_RECV_VECTOR);
        else
            l->esr_new |= LAPIC_ESR_RECV_VECTOR;
        return false;
    }
    bool fresh = !lapic_bit_test(l, LAPIC_IRR, vector);

    lapic_bit_set(l, LAPIC_IRR, vector);
    if (level)
        lapic_bit_set(l, LAPIC_TMR, vector);
    else
        lapic_bit_clear(l, LAPIC_TMR, vector);
    lapic_update(l);
    return fresh;
}

int lapic_take(struct lapic *l, const struct apic_msg *msg)
{
    switch (msg->mode) {
    case APIC_FIXED:
    case APIC_LOWEST:
        return lapic_accept(l, msg->vector, msg->level);
    case APIC_SMI:
    case APIC_NMI:
    case APIC_INIT:
    case APIC_SIPI:
    case APIC_EXTINT:
        if (!(l->base & LAPIC_BASE_ENABLE))
            return 0;
        l->ops->signal(l->ctx, msg->mode, msg->vector);
        return 1;
    default:
        return 0;
    }
}

void lapic_local(struct lapic *l, enum lapic_reg lvt)
{
    u32 entry = l->regs[lvt];
    struct apic_msg msg = {.vector = (u8)entry, .mode = entry >> 8 & 7};

    if (entry & LAPIC_LVT_MASKED)
        return;
    if (lvt == LAPIC_LVT_TIMER || lvt == LAPIC_LVT_ERROR)
        msg.mode = APIC_FIXED;
    msg.level = lvt == LAPIC_LVT_LINT0 && (entry & LAPIC_LVT_LEVEL);
    lapic_take(l, &msg);
}

bool lapic_takes_pic(const struct lapic *l)
{
    u32 lint0 = l->regs[LAPIC_LVT_LINT0];

    if (!(l->base & LAPIC_BASE_ENABLE))
        return true;
    return !(lint0 & LAPIC_LVT_MASKED) && (lint0 >> 8 & 7) == APIC_EXTINT;
}

static bool lapic_x2(const struct lapic *l)
{
    return l->base & LAPIC_BASE_X2APIC;
}

static u32 lapic_ldr(const struct lapic *l)
{
    return lapic_x2(l) ? (l->id >> 4) << 16 | 1u << (l->id & 15) : l->regs[LAPIC_LDR];
}

bool lapic_matches(const struct lapic *l, u32 dest, bool logical)
{
    if (dest == APIC_DEST_ALL)
        return true;
    if (!logical)
        return dest == l->id || (!lapic_x2(l) && dest == (u8)l->id);

    u32 ldr = lapic_ldr(l);

    if (lapic_x2(l))
        return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
    ldr >>= 24;
    if (l->regs[LAPIC_DFR] >> 28 == 0xf)
        return ldr & dest & 0xff;
    return ldr >> 4 == (dest >> 4 & 15) && (ldr & dest & 15);
}

/* ------------------------------------------------------------- registers */

static void lapic_send_ipi(struct lapic *l, u32 low, u32 dest)
{
    struct apic_msg msg = {
        .dest = dest,
        .vector = (u8)low,
        .mode = low >> 8 & 7,
        .logical = low >> 11 & 1,
        .level = low >> 15 & 1,
        .shorthand = low >> 18 & 3,
    };
    bool assert = low >> 14 & 1;

    /* INIT level de-assert does nothing on anything newer than a Pentium. */
    if (msg.mode == APIC_INIT && msg.level && !assert)
        return;
    msg.level = false; /* only a device's line is a level */
    if (msg.mode <= APIC_LOWEST && msg.vector < LAPIC_FIRST_VECTOR) {
        lapic_error(l, LAPIC_ESR_SEND_VECTOR);
        return;
    }
    apic_send(l->bus, &msg, l);
}

static void lapic_write_svr(struct lapic *l, u32 value)
{
    l->regs[LAPIC_SVR] = value & 0x1ff;
    if (value & LAPIC_SVR_ENABLE)
        return;
    for (u32 lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_ERROR; lvt++)
        l->regs[lvt] |= LAPIC_LVT_MASKED;
}

/* What a guest may set in each LVT entry. */
static const u32 lapic_lvt_bits[LAPIC_LVT_COUNT] = {
    [LAPIC_LVT_TIMER - LAPIC_LVT_TIMER] = 0x000700ff,
    [LAPIC_LVT_THERMAL - LAPIC_LVT_TIMER] = 0x000107ff,
    [LAPIC_LVT_PERF - LAPIC_LVT_TIMER] = 0x000107ff,
    [LAPIC_LVT_LINT0 - LAPIC_LVT_TIMER] = 0x0001a7ff,
    [LAPIC_LVT_LINT1 - LAPIC_LVT_TIMER] = 0x0001a7ff,
    [LAPIC_LVT_ERROR - LAPIC_LVT_TIMER] = 0x000100ff,
};

static void lapic_write_lvt(struct lapic *l, u32 reg, u32 value)
{
    value &= lapic_lvt_bits[reg - LAPIC_LVT_TIMER];
    if (!(l->regs[LAPIC_SVR] & LAPIC_SVR_ENABLE))
        value |= LAPIC_LVT_MASKED;
    if (reg == LAPIC_LVT_TIMER)
        lapic_timer_write_lvt(l, value);
    else
        l->regs[reg] = value;
}

/* False: no such register, or it cannot be written. */
static bool lapic_write(struct lapic *l, u32 reg, u32 value)
{
    switch (reg) {
    case LAPIC_TPR:
        lapic_set_tpr(l, (u8)value);
        return true;
    case LAPIC_EOI:
        lapic_eoi(l);
        return true;
    case LAPIC_SVR:
        lapic_write_svr(l, value);
        return true;
    case LAPIC_ESR:
        l->regs[LAPIC_ESR] = l->esr_new;
        l->esr_new = 0;
        return true;
    case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR:
        lapic_write_lvt(l, reg, value);
        return true;
    case LAPIC_TIMER_INIT:
        lapic_timer_start(l, value);
        return true;
    case LAPIC_TIMER_DIVIDE:
        lapic_timer_set_divide(l, value & 0xb);
        return true;
    default:
        return false;
    }
}

/* Registers that only the page has, or that differ there. */
static bool lapic_write_xapic(struct lapic *l, u32 reg, u32 value)
{
    switch (reg) {
    case LAPIC_ID: /* the name is fixed: it is the vCPU's */
        return true;
    case LAPIC_LDR:
        l->regs[LAPIC_LDR] = value & 0xff000000;
        return true;
    case LAPIC_DFR:
        l->regs[LAPIC_DFR] = value | 0x0fffffff;
        return true;
    case LAPIC_ICR:
        l->regs[LAPIC_ICR] = value & 0x000ccfff;
        lapic_send_ipi(l, value, apic_dest8((u8)(l->regs[LAPIC_ICR_HIGH] >> 24)));
        return true;
    case LAPIC_ICR_HIGH:
        l->regs[LAPIC_ICR_HIGH] = value & 0xff000000;
        return true;
    default:
        return lapic_write(l, reg, value);
    }
}

static bool lapic_readable(u32 reg)
{
    switch (reg) {
    case LAPIC_ID:
    case LAPIC_VERSION:
    case LAPIC_TPR ... LAPIC_PPR:
    case LAPIC_LDR ... LAPIC_ESR:
    case LAPIC_ICR ... LAPIC_TIMER_COUNT:
    case LAPIC_TIMER_DIVIDE:
        return true;
    default:
        return false;
    }
}

static u32 lapic_read(struct lapic *l, u32 reg)
{
    switch (reg) {
    case LAPIC_ID:
        return lapic_x2(l) ? l->id : l->id << 24;
    case LAPIC_PPR:
        return lapic_ppr(l);
    case LAPIC_LDR:
        return lapic_ldr(l);
    case LAPIC_TIMER_COUNT:
        return lapic_timer_count(l);
    default:
        return l->regs[reg];
    }
}

bool lapic_mmio_enabled(const struct lapic *l)
{
    return (l->base & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)) == LAPIC_BASE_ENABLE;
}

void lapic_mmio_read(struct lapic *l, u32 offset, void *data, u32 len)
{
    u32 reg = offset / 16, value = 0;
    u32 at = offset % 16;

    if (reg < LAPIC_REGS && lapic_readable(reg) && at + len <= 4)
        value = lapic_read(l, reg) >> at * 8;
    memset(data, 0, len);
    memcpy(data, &value, MIN(len, 4u));
}

void lapic_mmio_write(struct lapic *l, u32 offset, const void *data, u32 len)
{
    u32 value;

    if (len < 4 || offset % 16 || offset / 16 >= LAPIC_REGS)
        return;
    memcpy(&value, data, 4);
    if (!lapic_write_xapic(l, offset / 16, value))
        lapic_error(l, LAPIC_ESR_REGISTER);
}

/* ------------------------------------------------------------- MSRs */

static int lapic_write_base(struct lapic *l, u64 value)
{
    u64 mode = value & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC);
    u64 was = l->base & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC);

    /* SDM 3A 11.12.5: x2APIC only from xAPIC, and back only through off. */
    if (mode == LAPIC_BASE_X2APIC || (value & 0x2ff) || value >> 52)
        return -EINVAL;
    if (mode == LAPIC_BASE_ENABLE && (was & LAPIC_BASE_X2APIC))
        return -EINVAL;
    if (!was && (mode & LAPIC_BASE_X2APIC))
        return -EINVAL;
    l->base = value;
    if (was && !mode)
        lapic_reset(l, true);
    lapic_update(l);
    return 0;
}

static int lapic_write_x2apic(struct lapic *l, u32 reg, u64 value)
{
    switch (reg) {
    case LAPIC_ICR:
        l->regs[LAPIC_ICR] = (u32)value & 0x000ccfff;
        l->regs[LAPIC_ICR_HIGH] = (u32)(value >> 32);
        lapic_send_ipi(l, (u32)value, (u32)(value >> 32));
        return 0;
    case LAPIC_SELF_IPI:
        if (value >> 8)
            return -EINVAL;
        lapic_send_ipi(l, (u32)value | (u32)APIC_TO_SELF << 18, 0);
        return 0;
    case LAPIC_EOI:
    case LAPIC_ESR:
        if (value)
            return -EINVAL;
        break;
    case LAPIC_TPR:
        if (value >> 8)
            return -EINVAL;
        break;
    default:
        break;
    }
    if (value >> 32)
        return -EINVAL;
    return lapic_write(l, reg, (u32)value) ? 0 : -EINVAL;
}

int lapic_msr_write(struct lapic *l, u32 msr, u64 value)
{
    if (msr == LAPIC_MSR_BASE)
        return lapic_write_base(l, value);
    if (msr == LAPIC_MSR_TSC_DEADLINE) {
        lapic_timer_write_tsc(l, value);
        return 0;
    }
    if (!lapic_x2(l) || msr - LAPIC_MSR_X2APIC >= LAPIC_REGS)
        return -EINVAL;
    return lapic_write_x2apic(l, msr - LAPIC_MSR_X2APIC, value);
}

int lapic_msr_read(struct lapic *l, u32 msr, u64 *value)
{
    u32 reg = msr - LAPIC_MSR_X2APIC;

    if (msr == LAPIC_MSR_BASE) {
        *value = l->base;
        return 0;
    }
    if (msr == LAPIC_MSR_TSC_DEADLINE) {
        *value = l->tsc_target;
        return 0;
    }
    if (!lapic_x2(l) || reg >= LAPIC_REGS || !lapic_readable(reg))
        return -EINVAL;
    if (reg == LAPIC_DFR || reg == LAPIC_ICR_HIGH || reg == LAPIC_APR)
        return -EINVAL;
    *value = lapic_read(l, reg);
    if (reg == LAPIC_ICR)
        *value |= (u64)l->regs[LAPIC_ICR_HIGH] << 32;
    return 0;
}

/* ------------------------------------------------------------- life and state */

void lapic_reset(struct lapic *l, bool init)
{
    memset(l->regs, 0, sizeof(l->regs));
    l->regs[LAPIC_VERSION] = LAPIC_VERSION_VALUE;
    l->regs[LAPIC_DFR] = 0xffffffff;
    l->regs[LAPIC_SVR] = 0xff;
    for (u32 lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_ERROR; lvt++)
        l->regs[lvt] = LAPIC_LVT_MASKED;
    /* The boot CPU has the 8259 wired through, as firmware would leave it (virtual wire mode). */
    if (l->base & LAPIC_BASE_BSP)
        l->regs[LAPIC_LVT_LINT0] = (u32)APIC_EXTINT << 8;
    l->esr_new = 0;
    l->tsc_target = 0;
    l->period = 0;
    WRITE_ONCE(l->ready, -1);
    lapic_timer_stop(l);
    if (!init)
        l->base = LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLE | (l->base & LAPIC_BASE_BSP);
}

void lapic_init(struct lapic *l, u32 id, bool bsp, struct apic_bus *bus,
                const struct lapic_ops *ops, void *ctx)
{
    *l = (struct lapic){.ops = ops, .ctx = ctx, .bus = bus, .id = id, .deadline = LAPIC_NEVER};
    l->base = bsp ? LAPIC_BASE_BSP : 0;
    lapic_reset(l, false);
}

void lapic_get_state(struct lapic *l, struct kvm_lapic_state *state)
{
    u32 left = lapic_timer_left(l);

    memset(state, 0, sizeof(*state));
    for (u32 reg = 0; reg < LAPIC_REGS; reg++) {
        u32 value = lapic_readable(reg) ? lapic_read(l, reg) : l->regs[reg];

        /* Without KVM_CAP_X2APIC_API the name is always in the top byte. */
        if (reg == LAPIC_ID)
            value = l->id << 24;
        if (reg == LAPIC_TIMER_COUNT)
            value = left;
        memcpy(state->regs + reg * 16, &value, 4);
    }
}

int lapic_set_state(struct lapic *l, const struct kvm_lapic_state *state)
{
    u32 regs[LAPIC_REGS];

    for (u32 reg = 0; reg < LAPIC_REGS; reg++)
        memcpy(&regs[reg], state->regs + reg * 16, 4);
    if (regs[LAPIC_ID] >> 24 != (l->id & 0xff))
        return -EINVAL;
    lapic_timer_stop(l);
    memcpy(l->regs, regs, sizeof(regs));
    l->regs[LAPIC_VERSION] = LAPIC_VERSION_VALUE;
    for (u32 lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_ERROR; lvt++)
        l->regs[lvt] &= lapic_lvt_bits[lvt - LAPIC_LVT_TIMER] | LAPIC_LVT_MASKED;
    l->regs[LAPIC_TIMER_DIVIDE] &= 0xb;
    lapic_timer_resume(l, regs[LAPIC_TIMER_COUNT]);
    lapic_update(l);
    return 0;
}
