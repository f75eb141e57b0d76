/* SPDX-License-Identifier: MIT
 *
 * Serial lines, as drivers/char offers them to kernel/tty. Output is queued and sent by interrupt;
 * received bytes go to the opener of the port. Everything is irq-safe.
 */
#pragma once

#include "lib/types.h"

struct serial_port {
    const char *name; /* ttyS0 */
    u32 minor;        /* of major 4: 64 on */
    /* Queues as much as there is space for; how much. */
    size_t (*write)(struct serial_port *port, const char *buf, size_t n);
    size_t (*space)(struct serial_port *port);
    size_t (*queued)(struct serial_port *port);        /* bytes that the chip has not got yet */
    void (*discard)(struct serial_port *port);         /* drops what is queued */
    void (*hold)(struct serial_port *port, bool stop); /* sends nothing meanwhile */
    /* Starts: interrupts come from now on. 0 or -errno. */
    int (*start)(struct serial_port *port);
    /* These are the user's, set before start, and called in interrupt context without a lock:
     * bytes have come; there is space again (half of it, at least). */
    void (*receive)(struct serial_port *port, const u8 *buf, size_t n);
    void (*sent)(struct serial_port *port);
};
/* Up to four, registered at INIT_DRIVER. */
void serial_register(struct serial_port *port);
/* By index; NULL: no more. The first is the console. */
struct serial_port *serial_port_get(unsigned index);
