/* SPDX-License-Identifier: MIT
 *
 * What mm asks of the layers above.
 */
#pragma once

/* kernel/vm: every CPU has dropped its translations of kernel addresses when this returns. Context:
 * interrupts on, no lock held; may spin until the others answer. */
void up_tlb_flush_kernel(void);
/* kernel/sched: runs fn on every CPU with interrupts off and returns when all have. May sleep. */
void up_run_on_each_cpu(void (*fn)(void));
