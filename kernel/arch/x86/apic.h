/* SPDX-License-Identifier: MIT
 *
 * The local APIC (xAPIC and x2APIC), the I/O APICs, and the one-shot timer of each CPU (SDM vol. 3,
 * chapter 10; 82093AA data sheet). Context: irq-safe.
 */
#pragma once

#include "lib/types.h"

void apic_init_early(void);    /* before the ACPI tables are read: finds the registers */
void apic_init_boot(void);     /* after them; masks the PICs */
void apic_timer_measure(void); /* after tsc_init(), to which the same time serves */
void ioapic_add(u32 address, u32 first_gsi); /* for acpi.c */
void apic_init_cpu(void);                    /* each CPU */
u32 apic_id(void);
u32 apic_id_max(void); /* the largest that can be named: those beyond mean all, or none */
void apic_eoi(void);
void apic_send_ipi(unsigned cpu, unsigned vector);
void apic_send_nmi(unsigned cpu);
void apic_send_init(u32 id);
void apic_send_startup(u32 id, u8 page);

/* Fires VEC_TIMER on this CPU at `deadline` of time_ns(), at once if that has passed; U64_MAX:
 * never. */
void timer_program(u64 deadline);

/* Routes a global interrupt to a vector of a CPU. -EINVAL: no such pin. */
int ioapic_route(u32 gsi, unsigned vector, unsigned cpu, bool level, bool active_low);
void ioapic_mask(u32 gsi, bool masked);
/* Another CPU for a routed pin: one write. */
void ioapic_aim(u32 gsi, unsigned cpu);
/* The first number above all pins. */
u32 ioapic_gsi_end(void);
/* That CPU can be named by a pin or a message: its APIC id has 8 bits. */
bool apic_can_aim(unsigned cpu);
/* What a device writes, and where, to interrupt that CPU at that vector. */
void apic_message(unsigned cpu, unsigned vector, u64 *address, u32 *data);
/* ISA interrupt -> global interrupt with its trigger, by the MADT's overrides. */
void acpi_isa_irq(unsigned isa, u32 *gsi, bool *level, bool *active_low);
