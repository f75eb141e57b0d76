/* SPDX-License-Identifier: MIT
 *
 * Page faults' trace point: those of programs, and of the kernel where it copies for them.
 */
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "lib/log.h"

static bool up_page_fault_traced(struct trap_frame *frame, u64 addr, u64 error);
TRACE_POINT(fault_page, up_page_fault, "at %lx by %lx, error %lx");

static bool up_page_fault_traced(struct trap_frame *frame, u64 addr, u64 error)
{
    TRACE(fault_page, addr, frame->rip, error);
    return up_page_fault(frame, addr, error);
}
