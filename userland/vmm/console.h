/* SPDX-License-Identifier: MIT
 *
 * The virtio console: one port, a terminal (`run --hvc`), or those that carry a container's control
 * lines and stdio. See README.md for the lines.
 */
#pragma once

#include "vmm/vmm.h"

#define CONSOLE_OUTPUTS 2 /* stdout and stderr */

/* Before the guest runs: vm->console. */
void console_create(struct vm *vm, const struct vm_options *opt);

/* ---- for the event loop; main thread ---- */

/* Bytes of stdin that can be taken now; 0 also while the guest has not opened the port. */
size_t console_room(struct console *c);
void console_input(struct console *c, const uint8_t *data, size_t len);
/* Stdin ended: the guest's port closes once it has read the rest. */
void console_input_end(struct console *c);
/* Queues a line, with its newline, for the guest's agent. Too many unread lines: it is lost.
 * Without a console (NULL) too. */
void console_control(struct console *c, const char *line);

/* Output i: the descriptor that guest output waits for, or -1 (also without a console); and the
 * attempt to go on. */
int console_waiting_fd(struct console *c, int i);
void console_continue(struct console *c, int i);
/* Writes what still waits; gives up on a reader that stalls for seconds. */
void console_drain(struct console *c);

/* The application's exit status as the agent reported it, or -1. */
int console_status(struct console *c);
