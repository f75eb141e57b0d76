/* SPDX-License-Identifier: MIT
 *
 * What debug asks of the layers above.
 */
#pragma once

#include "lib/types.h"

/* kernel/sched: the name of the thread that runs here; "" before there are threads. irq-safe. */
const char *up_thread_name(void);
/* kernel/sched: calls change with another mapping of the code, which can be written; no CPU runs
 * any of it meanwhile, and all see what was written afterwards. 0, -ENOMEM. Context: a thread,
 * interrupts on, no lock held; change: interrupts off. */
int up_code_change(u8 *code, size_t size, void (*change)(void *arg, u8 *alias), void *arg);
