/* SPDX-License-Identifier: MIT
 *
 * What the kernel knows about itself: the log ring, the polled serial port under it, symbols, the
 * console's commands. Producers use lib/log.h; this is for those who show it.
 *
 * Context: any, unless said otherwise.
 */
#pragma once

#include "lib/log.h"
#include "lib/types.h"

typedef void (*emit_fn)(const char *fmt, ...);

/* --- the debug port: the first 16550, polled, no lock, usable from the first instruction on --- */
void debug_port_init(void);
bool debug_port_present(void);
void debug_port_write(const char *s, size_t n);
/* Around each burst into the port's FIFO by its driver, interrupts off: two would overrun it. */
void debug_port_claim(void);
void debug_port_release(void);
/* Waits, some 20 ms at most, until what is in the FIFO has gone: before the power does. */
void debug_port_settle(void);
int debug_port_read_nowait(void); /* a byte or -1 */

/* --- the log --- */
#define LOG_LINE_MAX 224
struct log_record {
    u64 seq; /* its number, from 0 */
    u64 ns;
    enum log_level level;
    bool shown; /* on the console */
    char text[LOG_LINE_MAX];
};
/* Copies record *seq, or the oldest that still exists after it, and sets *seq to the next number.
 * False: there is none yet. */
bool log_read(u64 *seq, struct log_record *out);
/* Number that the next record will have. */
u64 log_end(void);
/* Records up to that level go to the console as they come. */
void log_set_console_level(enum log_level level);

/* True once a panic has begun: the other CPUs are to stop, locks are not to be trusted. */
bool debug_panicking(void);

/* --- symbols and backtraces --- */
/* Name of the function that holds address, NULL: unknown; *offset within it. */
const char *symbol_find(u64 address, u64 *offset);
#define FRAME_SPAN 65536 /* no frame is larger, no stack longer */
#define FRAME_NONE 1UL
/* Walks frame pointers from rbp on (0: from here; FRAME_NONE: none); rip: printed first unless 0.
 */
void backtrace_print(emit_fn emit, u64 rip, u64 rbp);

/* --- the console --- */
/* Runs one line: a command of table console_cmds. Its status, 127: unknown. line is cut up.
 * Context: a thread (commands may sleep), or the panic shell. */
int console_run(char *line, emit_fn emit);
