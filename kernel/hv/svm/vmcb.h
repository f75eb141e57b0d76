/* SPDX-License-Identifier: MIT
 *
 * The virtual machine control block (APM vol. 2, 24593, appendix B) and exit codes (appendix C).
 */
#pragma once

#include "lib/types.h"

struct vmcb_seg {
    u16 selector;
    u16 attrib; /* descriptor bits 55:52 and 47:40 */
    u32 limit;
    u64 base;
};

struct vmcb {
    /* Control area. */
    u16 intercept_cr_read, intercept_cr_write;
    u16 intercept_dr_read, intercept_dr_write;
    u32 intercept_exceptions;
    u32 intercept3; /* offset 0x00c */
    u32 intercept4; /* offset 0x010 */
    u32 intercept5;
    u8 reserved1[0x03c - 0x018];
    u16 pause_threshold, pause_count;
    u64 iopm_base; /* 0x040 */
    u64 msrpm_base;
    u64 tsc_offset;
    u32 asid; /* 0x058 */
    u8 tlb_control;
    u8 reserved2[3];
    u64 vintr; /* 0x060 */
    u64 interrupt_shadow;
    u64 exit_code; /* 0x070 */
    u64 exit_info1, exit_info2;
    u64 exit_int_info; /* 0x088 */
    u64 nested_control;
    u8 reserved3[0x0a8 - 0x098];
    u64 event_inj; /* 0x0a8 */
    u64 nested_cr3;
    u64 lbr_control;
    u32 clean; /* 0x0c0 */
    u32 reserved4;
    u64 next_rip; /* 0x0c8 */
    u8 fetched, insn_bytes[15];
    u8 reserved5[0x400 - 0x0e0];
    /* State save area. */
    struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; /* 0x400 */
    u8 reserved6[0x4cb - 0x4a0];
    u8 cpl; /* 0x4cb */
    u32 reserved7;
    u64 efer; /* 0x4d0 */
    u8 reserved8[0x548 - 0x4d8];
    u64 cr4; /* 0x548 */
    u64 cr3, cr0, dr7, dr6, rflags, rip;
    u8 reserved9[0x5d8 - 0x580];
    u64 rsp; /* 0x5d8 */
    u8 reserved10[0x5f8 - 0x5e0];
    u64 rax; /* 0x5f8 */
    u64 star, lstar, cstar, sfmask, kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 cr2; /* 0x640 */
    u8 reserved11[0x668 - 0x648];
    u64 pat; /* 0x668 */
    u64 debugctl, br_from, br_to, last_from, last_to;
    u8 reserved12[0x1000 - 0x698];
};
static_assert(offsetof(struct vmcb, iopm_base) == 0x40, "vmcb");
static_assert(offsetof(struct vmcb, exit_code) == 0x70, "vmcb");
static_assert(offsetof(struct vmcb, event_inj) == 0xa8, "vmcb");
static_assert(offsetof(struct vmcb, es) == 0x400, "vmcb");
static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "vmcb");
static_assert(offsetof(struct vmcb, efer) == 0x4d0, "vmcb");
static_assert(offsetof(struct vmcb, cr4) == 0x548, "vmcb");
static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "vmcb");
static_assert(offsetof(struct vmcb, rax) == 0x5f8, "vmcb");
static_assert(offsetof(struct vmcb, cr2) == 0x640, "vmcb");
static_assert(offsetof(struct vmcb, pat) == 0x668, "vmcb");
static_assert(sizeof(struct vmcb) == 4096, "vmcb");

/* intercept3 */
#define I3_INTR (1U << 0)
#define I3_NMI (1U << 1)
#define I3_SMI (1U << 2)
#define I3_INIT (1U << 3)
#define I3_VINTR (1U << 4)
#define I3_CR0_SEL (1U << 5)
#define I3_TR_WRITE (1U << 13)
#define I3_RDPMC (1U << 15)
#define I3_CPUID (1U << 18)
#define I3_IRET (1U << 20)
#define I3_SOFT_INT (1U << 21)
#define I3_INVD (1U << 22)
#define I3_PAUSE (1U << 23)
#define I3_HLT (1U << 24)
#define I3_INVLPGA (1U << 26)
#define I3_IOIO (1U << 27)
#define I3_MSR (1U << 28)
#define I3_TASK_SWITCH (1U << 29)
#define I3_SHUTDOWN (1U << 31)
/* intercept4 */
#define I4_VMRUN (1U << 0)
#define I4_VMMCALL (1U << 1)
#define I4_VMLOAD (1U << 2)
#define I4_VMSAVE (1U << 3)
#define I4_STGI (1U << 4)
#define I4_CLGI (1U << 5)
#define I4_SKINIT (1U << 6)
#define I4_WBINVD (1U << 9)
#define I4_MONITOR (1U << 10)
#define I4_MWAIT (1U << 11)
#define I4_XSETBV (1U << 13)
#define I4_RDPRU (1U << 14) /* where there is none the bit means nothing */

#define TLB_FLUSH_ALL 1

#define VINTR_IRQ (1UL << 8)
#define VINTR_PRIO(p) ((u64)(p) << 16)
#define VINTR_IGN_TPR (1UL << 20)
#define VINTR_MASKING (1UL << 24)

#define NESTED_ENABLE 1UL
#define SHADOW_ON 1UL

#define EVENT_VALID (1UL << 31)
#define EVENT_ERROR (1UL << 11)
#define EVENT_TYPE(t) ((u64)(t) << 8)
#define EVENT_TYPE_OF(e) ((e) >> 8 & 7)
enum { EVENT_INTR = 0, EVENT_NMI = 2, EVENT_EXCEPTION = 3, EVENT_SOFT = 4 };

enum svm_exit_code {
    SVM_CR_READ = 0x00,
    SVM_CR_WRITE = 0x10,
    SVM_DR_READ = 0x20,
    SVM_DR_WRITE = 0x30,
    SVM_EXCEPTION = 0x40,
    SVM_INTR = 0x60,
    SVM_NMI = 0x61,
    SVM_SMI = 0x62,
    SVM_INIT = 0x63,
    SVM_VINTR = 0x64,
    SVM_CR0_SEL = 0x65,
    SVM_TR_WRITE = 0x6d,
    SVM_RDPMC = 0x6f,
    SVM_CPUID = 0x72,
    SVM_IRET = 0x74,
    SVM_SOFT_INT = 0x75,
    SVM_INVD = 0x76,
    SVM_PAUSE = 0x77,
    SVM_HLT = 0x78,
    SVM_INVLPGA = 0x7a,
    SVM_IOIO = 0x7b,
    SVM_MSR = 0x7c,
    SVM_TASK_SWITCH = 0x7d,
    SVM_SHUTDOWN = 0x7f,
    SVM_VMRUN = 0x80,
    SVM_VMMCALL = 0x81,
    SVM_VMLOAD = 0x82,
    SVM_VMSAVE = 0x83,
    SVM_STGI = 0x84,
    SVM_CLGI = 0x85,
    SVM_SKINIT = 0x86,
    SVM_WBINVD = 0x89,
    SVM_MONITOR = 0x8a,
    SVM_MWAIT = 0x8b,
    SVM_XSETBV = 0x8d,
    SVM_RDPRU = 0x8e,
    SVM_NPF = 0x400,
};
#define SVM_INVALID (~0U) /* in 32 or in all 64 bits: QEMU clears the upper half */

#define NPF_FINAL (1UL << 32) /* EXITINFO1: not a walk of the guest's tables */

#define MSR_VM_CR 0xc0010114
#define VM_CR_SVMDIS (1UL << 4)
#define MSR_VM_HSAVE_PA 0xc0010117
