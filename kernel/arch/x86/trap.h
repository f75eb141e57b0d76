/* SPDX-License-Identifier: MIT
 *
 * The frame that every entry into the kernel leaves at the top of the stack: system call, exception
 * and interrupt alike. Its order is that of Linux's struct pt_regs, so user_regs views need no
 * copying.
 */
#pragma once

#include "lib/types.h"

struct trap_frame {
    u64 r15, r14, r13, r12, rbp, rbx;
    u64 r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    u64 orig_rax; /* system call: its number; exception: error code; interrupt: ~vector */
    u64 rip, cs, rflags, rsp, ss;
};

#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define SYSRET_BASE (0x18 | 3) /* no descriptor: user code is 64-bit alone */
#define USER_DS (0x20 | 3)
#define USER_CS (0x28 | 3)
#define TSS_SEL 0x30 /* 16 bytes */

static inline bool trap_from_user(const struct trap_frame *f)
{
    return f->cs & 3;
}

enum trap_vector {
    VEC_DE = 0,
    VEC_DB = 1,
    VEC_NMI = 2,
    VEC_BP = 3,
    VEC_OF = 4,
    VEC_BR = 5,
    VEC_UD = 6,
    VEC_NM = 7,
    VEC_DF = 8,
    VEC_TS = 10,
    VEC_NP = 11,
    VEC_SS = 12,
    VEC_GP = 13,
    VEC_PF = 14,
    VEC_MF = 16,
    VEC_AC = 17,
    VEC_MC = 18,
    VEC_XM = 19,
    VEC_IRQ_FIRST = 0x20, /* device interrupts: allocated from here up */
    VEC_IRQ_LAST = 0xef,
    VEC_TLB = 0xf9,
    VEC_CALL = 0xfa, /* run something: RCU, cross calls */
    VEC_RESCHED = 0xfb,
    VEC_TIMER = 0xfc,
    VEC_SPURIOUS = 0xff,
};

/* GDT, IDT, TSS, entry MSRs of the CPU that calls; stack_top: its first kernel stack. */
void trap_init_cpu(void);
/* Top of the stack for the next entry from user mode; with every thread switch. */
void trap_set_stack(u64 stack_top);
/* What lies right behind thread_create_user: the new thread's first return. */
void trap_return(void);
