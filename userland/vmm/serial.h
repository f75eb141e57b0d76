/* SPDX-License-Identifier: MIT
 *
 * The serial port: a 16550A at SERIAL_PORT.
 */
#pragma once

#include "vmm/vmm.h"

/* Output goes to out_fd, -1 for nowhere. Before the guest runs: vm->serial. */
void serial_create(struct vm *vm, int out_fd);

/* ---- for the event loop; main thread ---- */

/* Bytes that the guest's port can take now. */
size_t serial_room(struct serial *s);
void serial_input(struct serial *s, const uint8_t *data, size_t len);
