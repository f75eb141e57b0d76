/* SPDX-License-Identifier: MIT
 *
 * What mm asks of the layers above.
 */
#pragma once

#include "lib/types.h"

struct account;

/* kernel/sched: runs fn on every CPU, in its interrupt handler, and returns when all have. Context:
 * interrupts on, no lock held. */
void up_run_on_each_cpu(void (*fn)(void));
/* kernel/sched: gives back what this CPU keeps mapped for quick reuse. Interrupts off. */
void up_shrink_cpu(void);
/* kernel/sched: many freed areas wait for a flush: a thread is to call vmap_purge_some until it
 * says that few are left. irq-safe. */
void up_vmap_gathered(void);
/* kernel/sched: memory is short, or its account past its limit: the thread that runs, if it is a
 * program's, sees to it before it returns to user mode. irq-safe. */
void up_memory_short(void);
/* kernel/sched: the thread that runs may take the last pages: what it does brings others back.
 * irq-safe. */
bool up_takes_reserves(void);
/* container: nothing is charged to a closed account any more. irq-safe, any lock may be held. */
void up_account_empty(struct account *a);
