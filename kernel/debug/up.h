/* SPDX-License-Identifier: MIT
 *
 * What debug asks of the layers above.
 */
#pragma once

/* kernel/sched: the name of the thread that runs here; "" before there are threads. irq-safe. */
const char *up_thread_name(void);
