/* SPDX-License-Identifier: MIT
 *
 * struct hv_ops is the only way to VT-x or AMD-V: svm/ and vmx/ fill one each, and call nothing
 * above vcpu/ and memory/. An exit is a value (enum hv_exit, struct hv_exit_info) that run()
 * returns to its caller; what it leads to is run/exit.c's.
 *
 * Registers that either CPU saves for us, or that are plain software state, live in struct vcpu;
 * segments, control registers and the like are read and written through the ops, as the CPU's own
 * block holds them.
 */
#pragma once

#include "arch/x86/cpufeature.h"
#include "hv/emul/emul.h"
#include "lib/compiler.h"
#include "lib/types.h"
#include "uapi/kvm.h"

struct pt_format;
struct vm;
struct vcpu;

/* Why the guest came out, in terms common to both CPUs. */
enum hv_exit {
    HV_EXIT_INTERRUPT, /* a host interrupt or NMI: nothing to do */
    HV_EXIT_EXCEPTION, /* intercepted: see vcpu->exit.vector */
    HV_EXIT_CPUID,
    HV_EXIT_HLT,
    HV_EXIT_IO,
    HV_EXIT_MSR_READ,
    HV_EXIT_MSR_WRITE,
    HV_EXIT_PAGE_FAULT, /* nested: gpa and access in vcpu->exit */
    HV_EXIT_CR,         /* control or debug register: emulate */
    HV_EXIT_EMULATE,    /* any other instruction that is to be emulated */
    HV_EXIT_IRQ_WINDOW,
    HV_EXIT_NMI_WINDOW,
    HV_EXIT_SHUTDOWN, /* triple fault */
    HV_EXIT_HYPERCALL,
    HV_EXIT_XSETBV,
    HV_EXIT_WBINVD, /* and what else is a no-op: skip */
    HV_EXIT_UD,     /* an instruction the guest does not have: #UD */
    HV_EXIT_PAUSE,
    HV_EXIT_TASK, /* a switch of tasks by hardware */
    HV_EXIT_SOFT, /* a software interrupt, about to be executed: only under TCG */
    HV_EXIT_FAIL, /* the CPU refused the guest state */
    HV_EXIT_UNKNOWN,
};
struct hv_exit_info {
    u64 reason;      /* the CPU's own number, for logs and KVM_EXIT_UNKNOWN */
    bool delivering; /* an event, or a software interrupt, was being delivered */
    u64 gpa;         /* page fault */
    bool final;      /* page fault: gpa is the access itself, not that to a guest's table */
    bool device;     /* page fault: no slot has gpa */
    u32 access;      /* page fault: enum fault_kind */
    u8 insn_len;
    bool guessed; /* insn_len is that of the instruction without prefixes */
    u64 space;    /* CR3, where it is */
    u64 code;     /* likewise: CS, base and attributes */
    u8 vector;
    u32 error;
    u64 debug; /* #DB: bits for DR6 */
    struct {
        u16 port;
        u8 size; /* 1, 2, 4 */
        bool in, string, rep;
    } io;
};

/* What decides how a guest's instruction is found and read. */
struct hv_mode {
    u64 cr0, cr3, cr4;
    u8 mode; /* enum emul_mode */
    u8 cpl;
};

struct hv_ops {
    const char *name;               /* "AMD-V", "VT-x" */
    enum cpu_feature feature;       /* that a CPU has which has it */
    const struct pt_format *tables; /* of nested tables */
    u8 hypercall[3];                /* the instruction of one */
    unsigned cpu_pages;             /* each CPU's own, before it can run a guest: hv_cpu_area */
    bool all_cpus; /* state is read and written on any CPU: each has to be able to run guests */
    /* NULL when usable, else why not. */
    const char *(*probe)(void);
    /* Once on each CPU that runs, in its area. NULL: guests may run there; else why not. Interrupts
     * off. */
    const char *(*enable_cpu)(void);
    int (*vm_init)(struct vm *vm);
    void (*vm_destroy)(struct vm *vm);
    int (*vcpu_init)(struct vcpu *vcpu);
    void (*vcpu_destroy)(struct vcpu *vcpu);
    void (*vcpu_reset)(struct vcpu *vcpu);  /* as after RESET */
    enum hv_exit (*run)(struct vcpu *vcpu); /* fills vcpu->exit; interrupts off */
    /* Queues again what the exit interrupted in its delivery: exit.delivering. ours: the
     * exception that the entry came with, which was no instruction of the guest's; -1: none. */
    void (*requeue)(struct vcpu *vcpu, int ours);

    /* The one event of the next entry; a later call replaces an earlier one. */
    void (*inject_none)(struct vcpu *vcpu);
    void (*inject_irq)(struct vcpu *vcpu, u8 vector);
    void (*inject_nmi)(struct vcpu *vcpu);
    void (*inject_exception)(struct vcpu *vcpu, u8 vector, bool has_error, u32 error);
    bool (*irq_allowed)(struct vcpu *vcpu);
    bool (*nmi_allowed)(struct vcpu *vcpu);
    void (*irq_window)(struct vcpu *vcpu, bool on);
    void (*nmi_window)(struct vcpu *vcpu, bool on);
    bool (*nmi_masked)(struct vcpu *vcpu); /* one is being handled */
    void (*set_nmi_masked)(struct vcpu *vcpu, bool on);
    u8 (*get_shadow)(struct vcpu *vcpu); /* KVM_X86_SHADOW_INT_* */
    void (*set_shadow)(struct vcpu *vcpu, u8 shadow);
    void (*tlb_flush)(struct vcpu *vcpu); /* before the next entry */

    void (*get_segment)(struct vcpu *vcpu, unsigned seg, struct kvm_segment *out);
    void (*set_segment)(struct vcpu *vcpu, unsigned seg, const struct kvm_segment *in);
    void (*get_table)(struct vcpu *vcpu, bool idt, struct kvm_dtable *out);
    void (*set_table)(struct vcpu *vcpu, bool idt, const struct kvm_dtable *in);
    u64 (*get_cr)(struct vcpu *vcpu, unsigned nr);         /* 0, 2, 3, 4 as the guest sees them */
    void (*set_cr)(struct vcpu *vcpu, unsigned nr, u64 v); /* checked by the caller */
    /* The four top entries of PAE paging, where they are not just what memory has. */
    void (*get_pdptes)(struct vcpu *vcpu, u64 out[4]);
    void (*set_pdptes)(struct vcpu *vcpu, const u64 in[4]);
    void (*set_efer)(struct vcpu *vcpu, u64 efer);
    /* MSRs that the CPU's block or the CPU itself holds: 0, -ENOENT: not one of ours, -EINVAL: #GP.
     */
    int (*get_msr)(struct vcpu *vcpu, u32 msr, u64 *out);
    int (*set_msr)(struct vcpu *vcpu, u32 msr, u64 v);
    void (*intercept_msrs)(struct vcpu *vcpu, bool all); /* all, or as usual */
    void (*intercept_exceptions)(struct vcpu *vcpu);     /* those of vcpu_exceptions() */
    u8 (*cpl)(struct vcpu *vcpu);
    void (*get_mode)(struct vcpu *vcpu, struct hv_mode *out);
    void (*set_tsc_offset)(struct vcpu *vcpu, u64 offset); /* vcpu->tsc_offset is the caller's */
};
/* In the order of emul_seg_nr, then these. */
enum hv_segment { HV_SEG_TR = EMUL_SEGS, HV_SEG_LDT, HV_SEGMENTS };

/* A back end: HV_BACKEND("svm") = {...}; of those that the machine has the first by name counts. */
#define HV_BACKEND(id) TABLE_ENTRY(struct hv_ops, hv_backends, id)
TABLE_DECLARE(struct hv_ops, hv_backends);
