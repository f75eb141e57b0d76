/* SPDX-License-Identifier: MIT
 *
 * The few ACPI tables that Bothy reads: MADT, MCFG, HPET, FADT, and `_S5` found by pattern in the
 * DSDT. No AML is run.
 */
#pragma once

#include "lib/types.h"

void acpi_init(void);
/* The table with that signature, whole and with a good checksum; NULL: none. */
const void *acpi_table(const char *signature);
unsigned acpi_cpu_count(void); /* usable processors, the boot one first */
u32 acpi_cpu_apic_id(unsigned index);
/* I/O port of the 3.58 MHz power-management timer; 0: none. */
u16 acpi_pm_timer(void);
/* Both return only if they failed. */
void acpi_poweroff(void);
void machine_reboot(void);
