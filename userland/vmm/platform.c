/* SPDX-License-Identifier: MIT
 *
 * The ports by which a guest ends: ACPI's PM1a block (sleep state S5 is power-off), the reset
 * register, and an i8042 that has no keyboard and knows only the reset pulse.
 */
#include <stdatomic.h>

#include "vmm/vmm.h"

#define PM1_SCI_EN 0x0001u
#define PM1_SLP_EN 0x2000u
#define PM1_SLP_TYPE(v) (((v) >> 10) & 7)
#define I8042_RESET 0xfe
#define RESET_BIT 4u

enum { AT_PM_EVENT, AT_PM_CONTROL, AT_RESET, AT_I8042_DATA, AT_I8042_COMMAND };

static const struct resource platform_places[] = {
    [AT_PM_EVENT] = {BUS_PORT, PM_EVENT, 4, 0},
    [AT_PM_CONTROL] = {BUS_PORT, PM_CONTROL, 2, 0},
    [AT_RESET] = {BUS_PORT, RESET_PORT, 1, 0},
    [AT_I8042_DATA] = {BUS_PORT, I8042_PORT, 1, 0},
    [AT_I8042_COMMAND] = {BUS_PORT, I8042_PORT + 4, 1, 0},
};

/* a atomic */
struct platform {
    struct device dev;
    atomic_uint enable;  /* a  PM1a_EN; its status half never sets a bit */
    atomic_uint control; /* a */
};

/* The i8042 has nothing to read and is ready for commands: all zeros. */
static uint64_t platform_read(struct device *d, unsigned resource, uint64_t offset, unsigned len)
{
    struct platform *p = container_of(d, struct platform, dev);

    switch (resource) {
    case AT_PM_EVENT:
        return (atomic_load(&p->enable) & 0xffff) << 16 >> (8 * offset);
    case AT_PM_CONTROL:
        return atomic_load(&p->control) >> (8 * offset);
    case AT_RESET:
        return ~0ull;
    default:
        return 0;
    }
}

static void platform_event(struct platform *p, uint64_t offset, uint64_t value, unsigned len)
{
    if (offset == 2)
        atomic_store(&p->enable, value & 0xffff);
    else if (offset == 0 && len == 4)
        atomic_store(&p->enable, value >> 16 & 0xffff);
}

static void platform_control(struct platform *p, uint64_t offset, uint64_t value, unsigned len)
{
    if (offset != 0 || len < 2)
        return;
    atomic_store(&p->control, (value & ~PM1_SLP_EN & 0xffff) | PM1_SCI_EN);
    if (value & PM1_SLP_EN && PM1_SLP_TYPE(value) == SLEEP_S5)
        vm_stop(p->dev.vm, EXIT_OK, NULL);
}

static void platform_write(struct device *d, unsigned resource, uint64_t offset, uint64_t value,
                           unsigned len)
{
    struct platform *p = container_of(d, struct platform, dev);

    if (resource == AT_PM_EVENT)
        platform_event(p, offset, value, len);
    else if (resource == AT_PM_CONTROL)
        platform_control(p, offset, value, len);
    else if ((resource == AT_RESET && value & RESET_BIT) ||
             (resource == AT_I8042_COMMAND && (value & 0xff) == I8042_RESET))
        vm_stop(d->vm, EXIT_RESET, "the guest reset itself");
}

static const struct device_ops platform_ops = {.read = platform_read, .write = platform_write};

void platform_create(struct vm *vm)
{
    struct platform *p = vm_alloc(vm, sizeof *p);

    atomic_init(&p->control, PM1_SCI_EN); /* ACPI mode from the start */
    device_init(&p->dev, vm, "the board", &platform_ops);
    for (unsigned i = 0; i < sizeof platform_places / sizeof *platform_places; i++)
        device_claim(&p->dev, &platform_places[i]);
}
