/* SPDX-License-Identifier: MIT
 *
 * The virtio console: port 0 is a console (`run --hvc`), the others carry a container's control
 * lines and stdio. See README.md for the lines.
 */
#pragma once

#include "vmm/vmm.h"

#define CONSOLE_OUTPUTS 2 /* stdout and stderr */

void console_create(struct vm *vm, const struct vm_options *opt);

/* ---- for the event loop; main thread ---- */

/* Bytes of stdin that can be taken now; 0 also while the guest has not opened the port. */
size_t console_room(void);
void console_input(const uint8_t *data, size_t len);
/* Stdin ended: the guest's port closes once it has read the rest. */
void console_input_end(void);
/* Queues a line, with its newline, for the guest's agent. Too many unread lines: it is lost. */
void console_control(const char *line);

/* Output i: the descriptor that guest output waits for, or -1; and the attempt to go on. */
int console_waiting_fd(int i);
void console_continue(int i);
/* Writes what still waits; gives up on a reader that stalls for seconds. */
void console_drain(void);

/* The application's exit status as the agent reported it, or -1. */
int console_status(void);
