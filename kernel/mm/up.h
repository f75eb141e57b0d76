/* SPDX-License-Identifier: MIT
 *
 * What mm asks of the layers above.
 */
#pragma once

/* kernel/sched: runs fn on every CPU, in its interrupt handler, and returns when all have. Context:
 * interrupts on, no lock held. */
void up_run_on_each_cpu(void (*fn)(void));
/* kernel/sched: gives back what this CPU keeps mapped for quick reuse. Interrupts off. */
void up_shrink_cpu(void);
