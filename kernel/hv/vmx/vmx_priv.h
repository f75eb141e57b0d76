/* SPDX-License-Identifier: MIT
 *
 * A vCPU under VT-x. Its VMCS is the CPU's only between vmx_begin and vmx_end, or in its run, both
 * with interrupts off: vmx_end stores it to memory, so a vCPU may be anywhere next time and
 * no other CPU has to be asked to let go of it. What the exit handlers look at often is kept here
 * instead.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "hv/emul/tlb_tag.h"
#include "hv/vcpu/vcpu.h"
#include "hv/vmx/vmx_regs.h"

enum { VMX_STAR, VMX_LSTAR, VMX_CSTAR, VMX_SFMASK, VMX_SYSCALL_MSRS };

/* r: the owning thread. */
struct vmx_vcpu {
    void *vmcs;
    u64 vmcs_pa;
    bool current_here;   /* during a run */
    u32 host_cpu;        /* r  whose host state the VMCS has; ~0: none */
    struct tlb_tag vpid; /* r */
    bool flush;          /* r  INVEPT before the next entry */
    u32 cpu_controls;    /* r  as the next entry wants them */
    u32 cpu_written;     /* r  as the VMCS has them */
    u32 entry_controls;
    u32 shadow;                    /* r  interruptibility: SHADOW_* */
    u32 event, event_error;        /* r  to inject at the next entry */
    u32 idt_event, idt_error;      /* r  what the last exit interrupted */
    u8 cpl;                        /* r */
    u64 cr0, cr4;                  /* r  as the guest sees them: every change exits */
    u64 cr2;                       /* r */
    u64 kernel_gs;                 /* r */
    u64 syscall[VMX_SYSCALL_MSRS]; /* r */
};

static inline struct vmx_vcpu *vmx_of(struct vcpu *v)
{
    return v->arch;
}

static inline u64 vmcs_read(u32 field)
{
    u64 v;

    __asm__ volatile("vmread %1, %0" : "=r"(v) : "r"((u64)field) : "cc");
    return v;
}

/* A field that the CPU does not have is our bug: vmx_probe has asked for all that are used. */
static inline void vmcs_write(u32 field, u64 v)
{
    __asm__ volatile("vmwrite %0, %1" ::"r"(v), "r"((u64)field) : "cc", "memory");
}

/* Makes v's VMCS the CPU's; returns the interrupt flag for vmx_end. Nests inside a run. */
u64 vmx_begin(struct vcpu *v);
void vmx_end(struct vcpu *v, u64 flags);

/* vmx_run.c: entry and exits. */
struct vmx_table {
    u16 limit;
    u64 base;
} __packed;
/* The host's state that exits do not restore, or not wholly, as vmx_enable_cpu found it. */
struct vmx_cpu {
    struct vmx_table gdt, idt;
    u64 syscall[VMX_SYSCALL_MSRS];
    struct tlb_tags vpids;
};
DECLARE_PER_CPU(struct vmx_cpu, vmx_cpus);
extern bool vmx_has_vpid; /* and INVVPID of all at once */
enum hv_exit vmx_run(struct vcpu *v);
void vmx_requeue(struct vcpu *v, int ours);

/* vmx_state.c: the ops that read and write guest state. */
void vmx_get_segment(struct vcpu *v, unsigned seg, struct kvm_segment *out);
void vmx_set_segment(struct vcpu *v, unsigned seg, const struct kvm_segment *in);
void vmx_get_table(struct vcpu *v, bool idt, struct kvm_dtable *out);
void vmx_set_table(struct vcpu *v, bool idt, const struct kvm_dtable *in);
u64 vmx_get_cr(struct vcpu *v, unsigned nr);
void vmx_get_mode(struct vcpu *v, struct hv_mode *out);
void vmx_set_cr(struct vcpu *v, unsigned nr, u64 value);
void vmx_get_pdptes(struct vcpu *v, u64 out[4]);
void vmx_set_pdptes(struct vcpu *v, const u64 in[4]);
void vmx_set_efer(struct vcpu *v, u64 efer);
int vmx_get_msr(struct vcpu *v, u32 msr, u64 *out);
int vmx_set_msr(struct vcpu *v, u32 msr, u64 value);
