/* SPDX-License-Identifier: MIT
 *
 * Between the files of kernel/debug.
 */
#pragma once

#include "debug/debug.h"

/* Prints through the console at once, past the ring's order: panic and its shell. */
void log_emit_raw(const char *fmt, ...) __printf(1, 2);
/* Takes the console from its holder and prints what it has not shown, from level up. */
void log_panic_flush(void);
/* Reads the panic shell's commands from the debug port until the machine goes down. */
__noreturn void panic_shell(void);
/* The return addresses from the frame at rbp upwards, at most max: how many. */
unsigned backtrace_callers(u64 rbp, u64 *callers, unsigned max);
