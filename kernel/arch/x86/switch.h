/* SPDX-License-Identifier: MIT
 *
 * The machine part of a thread: where its kernel stack stands while it is not running, its TLS
 * bases and its floating-point state.
 */
#pragma once

#include "arch/x86/uaccess.h"
#include "lib/types.h"

struct arch_thread {
    u64 rsp;              /* saved kernel stack pointer; offset 0, see switch.S */
    u64 fs_base, gs_base; /* of user mode */
    void *xsave;          /* fpu_size() bytes, 64-aligned; NULL: a kernel thread */
    bool tsc_faults;      /* RDTSC and RDTSCP are not for user mode: CR4.TSD */
};

/* Saves prev, loads next; returns in next's context, on next's stack, with prev (as next sees it:
 * the thread that ran before on this CPU) as its value. FPU, TLS and the entry stack are switched
 * too; the address space is the caller's business. Interrupts off. */
struct arch_thread *arch_switch(struct arch_thread *prev, struct arch_thread *next, u64 stack_top);

/* A first frame on a new stack: fn(prev, arg) is called with prev as arch_switch gives it. */
void arch_thread_init_kernel(struct arch_thread *t, void *stack_top,
                             void (*fn)(struct arch_thread *prev, void *arg), void *arg);
struct trap_frame;
/* A first frame that calls fn(prev, NULL) and then leaves for user mode with *frame, which is
 * copied to the top of the stack. */
void arch_thread_init_user(struct arch_thread *t, void *stack_top, const struct trap_frame *frame,
                           void (*fn)(struct arch_thread *prev, void *arg));

/* Floating-point state: XSAVE of all components that the CPU has, else FXSAVE. */
u32 fpu_size(void);
u64 fpu_xcr0(void); /* components in use; 0: FXSAVE only */
void fpu_init_cpu(void);
void fpu_init_state(void *area); /* as after FNINIT with MXCSR 0x1f80 */
void fpu_reset(void);            /* the registers, likewise */
/* What #MF (simd: #XM) was raised for, as both status words have it: bits 0 to 5. The registers are
 * those of the thread that raised it. */
enum fpu_exception {
    FPU_INVALID = 1,
    FPU_DENORMAL = 2,
    FPU_DIVIDE = 4,
    FPU_OVERFLOW = 8,
    FPU_UNDERFLOW = 16,
    FPU_INEXACT = 32,
};
u32 fpu_exceptions(bool simd);
void fpu_save(void *area);
/* The same into user memory, `area` aligned to 64 and fpu_size() bytes of it below USER_TOP. 0,
 * -EFAULT, or -ENXIO on a CPU without XSAVE. May fault pages in. */
int fpu_save_user(void __user *area) __must_check;
/* Loads the registers from such an area, or (not `whole`) from the FXSAVE area that it begins with,
 * of whatever a program put there. -EFAULT: it is not readable, not aligned, or nothing that the
 * processor takes; the registers are then as after a reset. May fault pages in. */
int fpu_restore_user(const void __user *area, bool whole) __must_check;
/* area is valid: from fpu_save, fpu_init_state or fpu_validate. */
void fpu_restore(const void *area);
/* Makes an area that came from user memory safe to restore; -EINVAL: it cannot be. */
int fpu_validate(void *area) __must_check;
/* User TLS bases; of the running thread the registers are the truth. WRMSR faults on a base that is
 * not canonical, so whatever comes from a program is asked about first; Linux's answer is EPERM. */
static inline bool arch_user_base_ok(u64 base)
{
    return base < USER_TOP;
}
void arch_set_fs_base(u64 base);
void arch_set_tsc_faults(bool faults);
void arch_set_gs_base(u64 base);
u64 arch_get_fs_base(void);
u64 arch_get_gs_base(void);
