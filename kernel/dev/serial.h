/* SPDX-License-Identifier: MIT
 *
 * Serial lines, as drivers/char offers them to kernel/tty. A port sends at once and without a
 * lock-up: bytes that a dead line does not take are lost. Received bytes go to whoever opened the
 * port.
 */
#pragma once

#include "lib/types.h"

struct serial_port {
    const char *name; /* ttyS0 */
    u32 minor;        /* of major 4: 64 on */
    /* irq-safe; serialised by the port. */
    void (*write)(struct serial_port *port, const char *buf, size_t n);
    /* Starts reception; interrupts come from now on. 0 or -errno. */
    int (*start)(struct serial_port *port);
    /* Set before start. Interrupt context: sets bits, copies to a ring and wakes. */
    void (*receive)(struct serial_port *port, const u8 *buf, size_t n);
    void *priv; /* receiver's */
};
/* Up to four, registered at INIT_DRIVER. */
void serial_register(struct serial_port *port);
/* By index; NULL: no more. The first is the console. */
struct serial_port *serial_port_get(unsigned index);
