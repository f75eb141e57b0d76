/* SPDX-License-Identifier: MIT
 *
 * Between lapic.c and lapic_timer.c.
 */
#pragma once

#include "hv/emul/lapic.h"

#define LAPIC_LVT_MASKED 0x10000u
#define LAPIC_LVT_LEVEL 0x08000u

void lapic_timer_write_lvt(struct lapic *l, u32 value);
void lapic_timer_start(struct lapic *l, u32 count);
void lapic_timer_set_divide(struct lapic *l, u32 value);
void lapic_timer_write_tsc(struct lapic *l, u64 tsc);
u32 lapic_timer_count(const struct lapic *l);
void lapic_timer_stop(struct lapic *l);
/* The interrupt of a periodic count has been taken, or may be now: the next end of one matters. */
void lapic_timer_goes_on(struct lapic *l);
/* What is left of a running count, never 0, to go on with elsewhere; 0: none runs. One that is due
 * interrupts first. */
u32 lapic_timer_left(struct lapic *l);
/* After the registers were replaced: `count` is what was left of the running count. */
void lapic_timer_resume(struct lapic *l, u32 count);
