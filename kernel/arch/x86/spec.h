/* SPDX-License-Identifier: MIT
 *
 * Speculation: what the CPU's flaws (spec_core.h) make necessary at boot, and where one account's
 * code follows another's.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "arch/x86/spec_core.h"
#include "lib/compiler.h"

extern struct spec_plan spec_plan; /* of this machine, from spec_init on */
extern u32 spec_switch_acts;       /* those of a switch */

/* Reads the CPU, decides (`spec=off`, `spec=force` and `spec=no_v2`, which is a VMM's word on its
 * host's CPU, on the command line change it), tells it, and puts the code right. Boot, once
 * exceptions can be taken, while the image is writable. */
void spec_init(void);
void spec_init_cpu(void); /* tells each further CPU */

void spec_fill_returns(void); /* thunk.S */
void spec_switch_now(void);
/* This CPU goes from one account's code to another's; NULL is none
 * that is known. Interrupts off. */
static inline void spec_switch(const void *from, const void *to)
{
    ASSERT_IRQS_OFF();
    if (unlikely(spec_switch_acts) && (from != to || !from))
        spec_switch_now();
}

void spec_enter_guest_now(void);
/* Just before a guest's entry, interrupts off. What its exit needs is in the entry code. */
static inline void spec_enter_guest(void)
{
    ASSERT_IRQS_OFF();
    if (unlikely(spec_plan.acts & (SPEC_CLEAR_BUFFERS | SPEC_FLUSH_L1D)))
        spec_enter_guest_now();
}
