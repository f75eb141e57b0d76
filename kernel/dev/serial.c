/* SPDX-License-Identifier: MIT
 *
 * Serial lines by number, in the order of their registration. No lock: they are registered while
 * one CPU boots, and stay.
 */
#include "dev/serial.h"

#include "lib/log.h"

#define SERIAL_PORTS_MAX 4

static struct serial_port *serial_ports[SERIAL_PORTS_MAX]; /* written while one CPU boots */
static unsigned serial_count;

void serial_register(struct serial_port *port)
{
    if (serial_count == SERIAL_PORTS_MAX) {
        log_warn("serial: no space for %s", port->name);
        return;
    }
    serial_ports[serial_count++] = port;
}

struct serial_port *serial_port_get(unsigned index)
{
    return index < serial_count ? serial_ports[index] : NULL;
}
