/* SPDX-License-Identifier: MIT
 *
 * What a PC may have at ports that are the same everywhere (IBM PC/AT technical reference): no
 * table lists them but in AML, so their drivers look whether they are there.
 */
#include "dev/device.h"
#include "lib/list.h"
#include "lib/log.h"

struct pc_device {
    const char *name;
    int id;
    u16 io, ports;
    u8 irq;
};

static const struct pc_device pc_devices[] = {
    {"serial8250", 0, 0x3f8, 8, 4},
    {"serial8250", 1, 0x2f8, 8, 3},
    {"serial8250", 2, 0x3e8, 8, 4},
    {"serial8250", 3, 0x2e8, 8, 3},
};

static void pc_start(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(pc_devices); i++) {
        const struct pc_device *d = &pc_devices[i];
        const struct resource resources[] = {
            {.start = d->io, .size = d->ports, .flags = RES_IO},
            {.start = d->irq, .size = 1, .flags = RES_IRQ},
        };
        int err = platform_add(d->name, d->id, resources, ARRAY_SIZE(resources));

        if (err)
            log_err("%s %d: error %d", d->name, d->id, -err);
    }
}
INIT_HOOK(pc_start, INIT_DRIVER);
