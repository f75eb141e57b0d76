/* SPDX-License-Identifier: MIT
 *
 * A vCPU under AMD-V: its VMCB lies in memory at all times, so the owner of the vCPU may read and
 * write it there.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "hv/emul/tlb_tag.h"
#include "hv/vcpu/vcpu.h"
#include "hv/svm/vmcb.h"

struct svm_vcpu {
    struct vmcb *vmcb;
    u64 vmcb_pa;
    struct tlb_tag asid; /* r */
    bool flush;          /* r  a fresh ASID at the next entry */
    u64 cr0_caching;     /* r  CD and NW as the guest has set them: without effect */
    u64 cr4_forced;      /* r  bits that are on, and that the guest has off */
    u64 efer_hidden;     /* r  what the guest has set and the CPU must not see: see svm_set_efer */
    bool nmi_masked;     /* r  an NMI is being handled: until its IRET has been executed */
    bool iret_seen;      /* r  that IRET has exited, at iret_rip, and comes next */
    u64 iret_rip;        /* r */
    bool step, step_tf;  /* r  one instruction, for the NMI after it; TF was set without that */
    u8 soft_len;         /* r  of the instruction whose INT3, INTO or INT the entry delivers; 0 */
};

static inline struct svm_vcpu *svm_of(struct vcpu *v)
{
    return v->arch;
}

static inline struct vmcb *vmcb_of(struct vcpu *v)
{
    return svm_of(v)->vmcb;
}

extern bool svm_is_tcg; /* the CPU is QEMU's TCG, with defects of its own */

extern bool svm_nrip; /* the CPU tells where the next instruction is */
DECLARE_PER_CPU(u64, svm_host_vmcb_pa);
DECLARE_PER_CPU(struct tlb_tags, svm_asids);

/* svm_run.c */
enum hv_exit svm_run(struct vcpu *v);
void svm_requeue(struct vcpu *v, int ours);

/* A segment's attributes in the VMCB: type in bits 3:0, S in 4, DPL in 6:5, P in 7. */
#define SEG_TSS_BUSY 0x02
#define SEG_PRESENT 0x80

/* svm_state.c: the ops that read and write guest state. */
void svm_get_segment(struct vcpu *v, unsigned seg, struct kvm_segment *out);
void svm_set_segment(struct vcpu *v, unsigned seg, const struct kvm_segment *in);
void svm_get_table(struct vcpu *v, bool idt, struct kvm_dtable *out);
void svm_set_table(struct vcpu *v, bool idt, const struct kvm_dtable *in);
u16 svm_tr_attrib(u16 attrib);
u64 svm_get_cr(struct vcpu *v, unsigned nr);
void svm_get_mode(struct vcpu *v, struct hv_mode *out);
void svm_set_cr(struct vcpu *v, unsigned nr, u64 value);
void svm_get_pdptes(struct vcpu *v, u64 out[4]);
void svm_set_pdptes(struct vcpu *v, const u64 in[4]);
void svm_set_efer(struct vcpu *v, u64 efer);
int svm_get_msr(struct vcpu *v, u32 msr, u64 *out);
int svm_set_msr(struct vcpu *v, u32 msr, u64 value);
