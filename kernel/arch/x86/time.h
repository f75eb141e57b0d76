/* SPDX-License-Identifier: MIT
 *
 * The time-stamp counter as a clock. Its frequency comes, best first, from a hypervisor's leaf,
 * CPUID 0x15/0x16, or a measurement of a few ms against the PM timer or the PIT.
 */
#pragma once

#include "lib/types.h"

extern u64 tsc_hz;
void tsc_init(void);     /* after acpi_init */
void tsc_init_cpu(void); /* each further CPU: its counter shows what the boot CPU's does */
/* ns since boot; equal on all CPUs, never goes back. irq-safe. */
u64 time_ns(void);
/* The counter's first value at which time_ns() says `ns`; U64_MAX: it is too far away. */
u64 tsc_of_ns(u64 ns);
u64 tsc_to_ns(u64 cycles);
void delay_us(u64 us); /* spins */
/* ns = (tsc - base) * mul >> 32, from tsc_init on. */
void tsc_clock_params(u64 *base, u64 *mul);
/* CMOS clock, seconds since 1970, read at boot. */
u64 rtc_read(void);
/* In a KVM guest: the host's time now, in ns since 1970. False: there is no such clock. */
bool kvmclock_wall_ns(u64 *out);
