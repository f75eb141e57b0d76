/* SPDX-License-Identifier: MIT
 *
 * The ports by which a guest ends: ACPI's PM1a block (sleep state S5 is power-off), the reset
 * register, and an i8042 that has no keyboard and knows only the reset pulse.
 */
#include "vmm/vmm.h"

#include <stdatomic.h>

#define PM1_SCI_EN 0x0001u
#define PM1_SLP_EN 0x2000u
#define PM1_SLP_TYPE(v) (((v) >> 10) & 7)
#define I8042_RESET 0xfe

static atomic_uint pm_enable;               /* PM1a_EN; its status half never sets a bit */
static atomic_uint pm_control = PM1_SCI_EN; /* ACPI mode from the start */

static uint64_t pm_event_read(void *dev, uint64_t offset, unsigned len)
{
    uint32_t both = (atomic_load(&pm_enable) & 0xffff) << 16;
    return both >> (8 * offset);
}

static void pm_event_write(void *dev, uint64_t offset, uint64_t value, unsigned len)
{
    if (offset == 2)
        atomic_store(&pm_enable, value & 0xffff);
    else if (offset == 0 && len == 4)
        atomic_store(&pm_enable, value >> 16 & 0xffff);
}

static uint64_t pm_control_read(void *dev, uint64_t offset, unsigned len)
{
    return atomic_load(&pm_control) >> (8 * offset);
}

static void pm_control_write(void *dev, uint64_t offset, uint64_t value, unsigned len)
{
    if (offset == 0 && len >= 2) {
        atomic_store(&pm_control, (value & ~PM1_SLP_EN & 0xffff) | PM1_SCI_EN);
        if (value & PM1_SLP_EN && PM1_SLP_TYPE(value) == SLEEP_S5)
            vm_stop(EXIT_OK, NULL);
    }
}

static void reset_write(void *dev, uint64_t offset, uint64_t value, unsigned len)
{
    if (value & 4)
        vm_stop(EXIT_RESET, "the guest reset itself");
}

/* Each of its two ports is a region; the device pointer tells which. */
static char i8042_data, i8042_command;

/* Status: nothing to read, ready for commands; data: nothing. */
static uint64_t i8042_read(void *dev, uint64_t offset, unsigned len)
{
    return 0;
}

static void i8042_write(void *dev, uint64_t offset, uint64_t value, unsigned len)
{
    if (dev == &i8042_command && (value & 0xff) == I8042_RESET)
        vm_stop(EXIT_RESET, "the guest reset itself");
}

static const struct bus_ops pm_event_ops = {.read = pm_event_read, .write = pm_event_write};
static const struct bus_ops pm_control_ops = {.read = pm_control_read, .write = pm_control_write};
static const struct bus_ops reset_ops = {.write = reset_write};
static const struct bus_ops i8042_ops = {.read = i8042_read, .write = i8042_write};

void platform_create(void)
{
    bus_add(BUS_PORT, PM_EVENT, 4, &pm_event_ops, NULL);
    bus_add(BUS_PORT, PM_CONTROL, 2, &pm_control_ops, NULL);
    bus_add(BUS_PORT, RESET_PORT, 1, &reset_ops, NULL);
    bus_add(BUS_PORT, I8042_PORT, 1, &i8042_ops, &i8042_data);
    bus_add(BUS_PORT, I8042_PORT + 4, 1, &i8042_ops, &i8042_command);
}
