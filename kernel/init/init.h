/* SPDX-License-Identifier: MIT
 *
 * Between the files of kernel/init.
 */
#pragma once

/* All levels are up, on the boot stack: starts the scheduler with PID 1 and the other processors.
 */
__attribute__((noreturn)) void init_start(void);
