/* SPDX-License-Identifier: MIT
 *
 * The main thread's event loop: the terminal, signals, and whatever device output had to wait.
 */
#pragma once

#include "vmm/vmm.h"

/* Makes the loop look again at what it should wait for. Any thread, also under a device lock. */
void loop_wake(void);

/* Before any thread exists: blocks the signals that the loop takes itself. */
void loop_init(const struct vm_options *opt);

/* Runs until vm_stop(); returns the exit status. */
int loop_run(void);
