/* SPDX-License-Identifier: MIT
 *
 * What arch calls in the layers above: where each kind of entry into the kernel goes on. Interrupts
 * are off at entry but for system calls and where said.
 */
#pragma once

#include "lib/types.h"

struct trap_frame;

/* kernel/linux: a system call; sets frame->rax. Interrupts on. */
void up_syscall(struct trap_frame *frame);
/* kernel/vm: a page fault that no exception-table entry is asked for yet; interrupts as they were
 * at the fault. True when resolved. For a fault from user mode it has queued a signal itself and
 * returns true; false from kernel mode leads to the exception table, then to a panic. */
bool up_page_fault(struct trap_frame *frame, u64 addr, u64 error);
/* kernel/proc: an exception other than a page fault in user mode. Interrupts on. */
void up_user_exception(struct trap_frame *frame, unsigned vector);
/* kernel/proc: the work word is not zero on the way to user mode; loops until it is. Entered with
 * interrupts off, may turn them on, returns with them off. */
void up_return_to_user(struct trap_frame *frame);
/* kernel/dev: a device interrupt (VEC_IRQ_FIRST..LAST). */
void up_irq(unsigned vector);
/* kernel/sched. user: it interrupted user mode. */
void up_timer(bool user);
void up_resched(void);
/* kernel/vm: another CPU wants TLB entries gone. */
void up_tlb_flush(void);
/* kernel/sync: run what was queued for this CPU. */
void up_cpu_call(void);
/* kernel/hv or debug: true when the NMI was expected. */
bool up_nmi(struct trap_frame *frame);
#ifdef DEBUG
/* kernel/sched: checks what is held, before a user copy, called from rip, and on the way to user
 * mode. */
void up_user_copy(u64 rip);
void up_user_return(void);
/* kernel/sync: ASSERT_IRQS_OFF and its like (percpu.h) fail. */
void up_rule_broken(const char *rule, const char *function);
#else
static inline void up_user_copy(u64 rip)
{
}
static inline void up_user_return(void)
{
}
#endif
/* kernel/init: an application processor is up, on its own stack with its own GS: what others look
 * at once it counts as online, and then what it runs; that never returns. */
void up_ap_init(unsigned cpu);
__noreturn void up_ap_main(void);
