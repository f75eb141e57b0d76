/* SPDX-License-Identifier: MIT
 *
 * A vCPU's registers as a guest and a VMM see them: CPUID, MSRs, clocks, control registers, machine
 * checks. Everything is checked before anything changes.
 */
#pragma once

#include "hv/regs/hyperv.h"
#include "hv/vcpu/vcpu.h"

#define VCPU_CPUID_MAX 128
#define MISC_CPUID_FAULT 1UL             /* MSR_MISC_FEATURES: CPUID outside of ring 0 is #GP */
#define PLATFORM_CPUID_FAULT (1UL << 31) /* MSR_PLATFORM_INFO: and that can be */

/* ---- cpuid.c, msr.c, clock.c, sregs.c ---- */
int hv_supported_cpuid(struct kvm_cpuid_entry2 *entries, u32 max, u32 *count);
/* Is a paravirtual feature (its bit) the guest's to use? */
bool vcpu_pv_allowed(const struct vcpu *vcpu, unsigned feature);
/* After vcpu->cpuid was set. */
void vcpu_cpuid_changed(struct vcpu *vcpu);
/* Brings the bits of an entry that follow the registers up to date. */
void vcpu_cpuid_adapt(struct vcpu *vcpu, struct kvm_cpuid_entry2 *e);
/* The instruction's effect on the registers. */
void vcpu_cpuid(struct vcpu *vcpu);
/* 0; -EINVAL, -ENOENT (no such register): #GP. host: a VMM asks, which may more than a guest. */
int vcpu_get_msr(struct vcpu *vcpu, u32 msr, u64 *out, bool host);
int vcpu_set_msr(struct vcpu *vcpu, u32 msr, u64 v, bool host);
extern const u32 hv_msr_list[];
extern const u32 hv_msr_count;
extern const u32 hv_feature_msrs[], hv_feature_msr_count;
int hv_get_feature_msr(u32 msr, u64 *out);
int vcpu_set_cr(struct vcpu *vcpu, unsigned nr, u64 v); /* 0 or -EINVAL: #GP */
void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *out);
int vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *in);
void vcpu_get_sregs2(struct vcpu *vcpu, struct kvm_sregs2 *out);
int vcpu_set_sregs2(struct vcpu *vcpu, const struct kvm_sregs2 *in);
void vcpu_clock_update(struct vcpu *vcpu);          /* may sleep */
s64 vcpu_clock_stopped(struct vcpu *vcpu, u64 arg); /* KVM_KVMCLOCK_CTRL; -EINVAL: it has none */
void vcpu_clock_write_wall(struct vcpu *vcpu);
/* The guest's counter differs so much from the host's. */
void vcpu_set_tsc_offset(struct vcpu *vcpu, u64 offset);
/* The guest's counter reads v from now on; host: as KVM_SET_MSRS, which keeps vCPUs in step. */
void vcpu_set_tsc(struct vcpu *vcpu, u64 v, bool host);
/* Takes a valid EFER to the backend; LMA is the caller's to compute. */
void vcpu_set_efer(struct vcpu *vcpu, u64 efer);

/* ---- vcpu_state.c ---- */
/* struct kvm_regs as an array, and struct kvm_vcpu_events; 0 or -EINVAL. */
void vcpu_read_regs(struct vcpu *vcpu, u64 regs[18]);
void vcpu_write_regs(struct vcpu *vcpu, const u64 regs[18]);
void vcpu_read_events(struct vcpu *vcpu, struct kvm_vcpu_events *out);
int vcpu_write_events(struct vcpu *vcpu, const struct kvm_vcpu_events *e);
/* KVM_CAP_SYNC_REGS: from and to v->run, those of a mask. 0 or -EINVAL. */
int vcpu_sync_in(struct vcpu *vcpu, u64 dirty);
void vcpu_sync_out(struct vcpu *vcpu, u64 valid);

/* ---- reset.c ---- */
void vcpu_reset(struct vcpu *vcpu, bool init); /* init: INIT, else RESET */

/* ---- mce.c ---- */
#define HV_MCE_BANKS_MAX 32
s64 hv_mce_supported(u64 arg);
s64 vcpu_mce_ioctl(struct vcpu *vcpu, unsigned cmd, u64 arg);
/* -ENOENT: not one of these. */
int vcpu_get_mce_msr(struct vcpu *vcpu, u32 msr, u64 *out, bool host);
int vcpu_set_mce_msr(struct vcpu *vcpu, u32 msr, u64 value, bool host);
