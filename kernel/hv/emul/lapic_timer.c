/* SPDX-License-Identifier: MIT
 *
 * The local APIC's timer: one shot, periodic, TSC deadline. SDM 3A 11.5.4. Nothing ticks: the
 * current count is computed from the deadline when it is read.
 *
 * A period's end whose interrupt is masked, or still waits for its vCPU, would change nothing. So
 * the host's timer of a periodic count is not started again when it fires (`lapsed`) but when the
 * vCPU has taken the interrupt, or writes the timer's LVT entry: each interrupt of the host's is
 * one that the guest has taken, in its own time. Otherwise vCPUs that never run could keep every
 * CPU of the host busy.
 */
#include "hv/emul/lapic_priv.h"

enum lapic_timer_mode {
    LAPIC_TIMER_ONESHOT,
    LAPIC_TIMER_PERIODIC,
    LAPIC_TIMER_DEADLINE,
};

/* A guest may not make the host take more than 20,000 timer interrupts a second per vCPU. */
#define LAPIC_MIN_PERIOD 50000u

static enum lapic_timer_mode lapic_timer_mode(u32 lvt)
{
    return lvt >> 17 & 3;
}

/* Bits 0, 1 and 3 count 2, 4, ... 128, and then 1. */
static u64 lapic_timer_divisor(const struct lapic *l)
{
    u32 v = l->regs[LAPIC_TIMER_DIVIDE];

    u32 code = (v & 3) | (v >> 1 & 4);

    return 1ull << ((code + 1) & 7);
}

static void lapic_timer_arm(struct lapic *l, u64 deadline)
{
    if (deadline == l->deadline && !l->lapsed)
        return;
    l->deadline = deadline;
    l->lapsed = false;
    l->ops->timer_set(l->ctx, deadline);
}

void lapic_timer_stop(struct lapic *l)
{
    lapic_timer_arm(l, LAPIC_NEVER);
}

/* Runs `count` ticks from now; the period is that of the initial count. */
static void lapic_timer_run(struct lapic *l, u32 count)
{
    u64 divisor = lapic_timer_divisor(l);
    enum lapic_timer_mode mode = lapic_timer_mode(l->regs[LAPIC_LVT_TIMER]);

    l->period = 0;
    if (!count || mode == LAPIC_TIMER_DEADLINE) {
        lapic_timer_stop(l);
        return;
    }
    if (mode == LAPIC_TIMER_PERIODIC)
        l->period = MAX((u64)l->regs[LAPIC_TIMER_INIT] * divisor, (u64)LAPIC_MIN_PERIOD);
    lapic_timer_arm(l, l->ops->now(l->ctx) + count * divisor);
}

void lapic_timer_start(struct lapic *l, u32 count)
{
    /* In deadline mode the initial count is not used, and writes are ignored. */
    if (lapic_timer_mode(l->regs[LAPIC_LVT_TIMER]) == LAPIC_TIMER_DEADLINE)
        return;
    l->regs[LAPIC_TIMER_INIT] = count;
    lapic_timer_run(l, count);
}

u32 lapic_timer_count(const struct lapic *l)
{
    if (l->deadline == LAPIC_NEVER ||
        lapic_timer_mode(l->regs[LAPIC_LVT_TIMER]) == LAPIC_TIMER_DEADLINE)
        return 0;
    u64 now = l->ops->now(l->ctx), left;

    if (now < l->deadline)
        left = l->deadline - now;
    else if (l->period)
        left = l->period - (now - l->deadline) % l->period;
    else
        left = 0;
    return (u32)MIN(left / lapic_timer_divisor(l), (u64)l->regs[LAPIC_TIMER_INIT]);
}

void lapic_timer_set_divide(struct lapic *l, u32 value)
{
    u32 count = lapic_timer_count(l);
    bool running = l->deadline != LAPIC_NEVER && count;

    l->regs[LAPIC_TIMER_DIVIDE] = value;
    if (running)
        lapic_timer_run(l, count);
}

void lapic_timer_write_lvt(struct lapic *l, u32 value)
{
    enum lapic_timer_mode was = lapic_timer_mode(l->regs[LAPIC_LVT_TIMER]);
    enum lapic_timer_mode mode = lapic_timer_mode(value);
    u32 count = lapic_timer_count(l);

    l->regs[LAPIC_LVT_TIMER] = value;
    if (mode == was) {
        if (!(value & LAPIC_LVT_MASKED))
            lapic_timer_goes_on(l);
        return;
    }
    if (mode == LAPIC_TIMER_DEADLINE || was == LAPIC_TIMER_DEADLINE) {
        l->tsc_target = 0;
        l->regs[LAPIC_TIMER_INIT] = 0;
        count = 0;
    }
    lapic_timer_run(l, count);
}

void lapic_timer_write_tsc(struct lapic *l, u64 tsc)
{
    if (lapic_timer_mode(l->regs[LAPIC_LVT_TIMER]) != LAPIC_TIMER_DEADLINE)
        return;
    l->tsc_target = tsc;
    l->period = 0;
    lapic_timer_arm(l, tsc ? l->ops->tsc_to_ns(l->ctx, tsc) : LAPIC_NEVER);
}

u32 lapic_timer_left(struct lapic *l)
{
    lapic_timer_fire(l);
    if (l->deadline == LAPIC_NEVER ||
        lapic_timer_mode(l->regs[LAPIC_LVT_TIMER]) == LAPIC_TIMER_DEADLINE)
        return 0;
    return MAX(lapic_timer_count(l), 1u);
}

void lapic_timer_resume(struct lapic *l, u32 count)
{
    if (lapic_timer_mode(l->regs[LAPIC_LVT_TIMER]) == LAPIC_TIMER_DEADLINE)
        lapic_timer_write_tsc(l, l->tsc_target);
    else
        lapic_timer_run(l, count);
}

/* Periods that no vCPU waited for, or the host slept through, are lost, the phase is not. */
void lapic_timer_goes_on(struct lapic *l)
{
    u64 now;

    if (likely(!l->lapsed))
        return;
    now = l->ops->now(l->ctx);
    if (now < l->deadline)
        lapic_timer_arm(l, l->deadline);
    else
        lapic_timer_arm(l, now + l->period - (now - l->deadline) % l->period);
}

void lapic_timer_fire(struct lapic *l)
{
    u64 now = l->ops->now(l->ctx);

    if (l->deadline == LAPIC_NEVER || l->lapsed || now < l->deadline)
        return;
    if (l->period) {
        l->lapsed = true;
        l->deadline = now + l->period - (now - l->deadline) % l->period;
    } else {
        l->tsc_target = 0;
        lapic_timer_arm(l, LAPIC_NEVER);
    }
    lapic_local(l, LAPIC_LVT_TIMER);
}
