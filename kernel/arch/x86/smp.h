/* SPDX-License-Identifier: MIT
 *
 * Starting the other processors. PID 1 does not wait for them.
 */
#pragma once

#include "lib/types.h"

/* Starts processor `index` (of acpi_cpu_apic_id) as the next CPU number. cr3: the kernel's page
 * tables; percpu: percpu_size() bytes, page-aligned; stack_top: its idle stack. 0, or -EIO when it
 * does not answer within 2 s and was stopped again. One at a time; context: may spin. */
int smp_start(unsigned index, u64 cr3, void *percpu, void *stack_top);
/* The 4 KiB page below 1 MiB that the trampoline uses: mm keeps it out of the allocator. */
#define SMP_TRAMPOLINE 0x8000UL
