/* SPDX-License-Identifier: MIT
 *
 * A vCPU under AMD-V: its VMCB lies in memory at all times, so whoever owns the vCPU may read and
 * write it there.
 */
#pragma once

#include "hv/hv.h"
#include "hv/svm/vmcb.h"

struct svm_vcpu {
    struct vmcb *vmcb;
    u64 vmcb_pa;
    u64 injected; /* event_inj of the last entry, for requeueing */
    bool flush;
    bool iret_wait; /* an NMI is masked until IRET */
};

static inline struct svm_vcpu *svm_of(struct vcpu *v)
{
    return v->arch;
}

static inline struct vmcb *vmcb_of(struct vcpu *v)
{
    return svm_of(v)->vmcb;
}

/* svm_state.c: the ops that read and write guest state. */
void svm_get_segment(struct vcpu *v, unsigned seg, struct kvm_segment *out);
void svm_set_segment(struct vcpu *v, unsigned seg, const struct kvm_segment *in);
void svm_get_table(struct vcpu *v, bool idt, struct kvm_dtable *out);
void svm_set_table(struct vcpu *v, bool idt, const struct kvm_dtable *in);
u64 svm_get_cr(struct vcpu *v, unsigned nr);
void svm_set_cr(struct vcpu *v, unsigned nr, u64 value);
void svm_set_efer(struct vcpu *v, u64 efer);
int svm_get_msr(struct vcpu *v, u32 msr, u64 *out);
int svm_set_msr(struct vcpu *v, u32 msr, u64 value);
