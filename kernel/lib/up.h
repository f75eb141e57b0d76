/* SPDX-License-Identifier: MIT
 *
 * What lib calls and kernel/arch defines (unit tests: tests/unit/host.c). Context: any.
 */
#pragma once

#include "lib/types.h"

/* Interrupts off on this CPU; the result goes to up_irq_restore. */
u64 up_irq_save(void);
void up_irq_restore(u64 flags);

/* One word from the CPU's random number instruction; false if it has none or it failed. */
bool up_entropy(u64 *out);

/* The cycle counter: any fast clock whose low bits jitter. */
u64 up_cycles(void);
