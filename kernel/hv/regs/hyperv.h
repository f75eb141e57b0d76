/* SPDX-License-Identifier: MIT
 *
 * Hyper-V's interface for guests, as KVM offers it: registers (hyperv.c), time (hyperv_time.c),
 * hypercalls (run/hyperv_call.c). A guest has it when its CPUID says so (vcpu->hyperv).
 *
 * Lock order: vcpu->lock, hyperv.lock, the address space's locks.
 */
#pragma once

#include "hv/vcpu/vcpu.h"

/* Registers. */
#define HV_MSR_GUEST_OS_ID 0x40000000u
#define HV_MSR_HYPERCALL 0x40000001u
#define HV_MSR_VP_INDEX 0x40000002u
#define HV_MSR_RESET 0x40000003u
#define HV_MSR_TIME_REF_COUNT 0x40000020u
#define HV_MSR_REFERENCE_TSC 0x40000021u
#define HV_MSR_TSC_FREQUENCY 0x40000022u
#define HV_MSR_APIC_FREQUENCY 0x40000023u
#define HV_MSR_EOI 0x40000070u
#define HV_MSR_ICR 0x40000071u
#define HV_MSR_TPR 0x40000072u
#define HV_MSR_ASSIST_PAGE 0x40000073u
#define HV_MSR_CRASH_P0 0x40000100u
#define HV_MSR_CRASH_P4 0x40000104u
#define HV_MSR_CRASH_CTL 0x40000105u

/* Leaf 3 eax: registers. */
#define HYPERV_HAS_TIME_REF_COUNT (1U << 1)
#define HYPERV_HAS_APIC (1U << 4)
#define HYPERV_HAS_HYPERCALL (1U << 5)
#define HYPERV_HAS_VP_INDEX (1U << 6)
#define HYPERV_HAS_RESET (1U << 7)
#define HYPERV_HAS_REFERENCE_TSC (1U << 9)
#define HYPERV_HAS_FREQUENCIES (1U << 11)
/* Leaf 3 edx. */
#define HYPERV_HAS_FREQUENCIES_TOO (1U << 8)
#define HYPERV_HAS_CRASH (1U << 10)
/* Leaf 4 eax: what a guest had better use. */
#define HYPERV_HINT_TLB_FLUSH (1U << 2)
#define HYPERV_HINT_APIC (1U << 3)
#define HYPERV_HINT_RELAXED (1U << 5)
#define HYPERV_HINT_NO_AUTO_EOI (1U << 9)
#define HYPERV_HINT_IPI (1U << 10)
#define HYPERV_HINT_MANY_PROCESSORS (1U << 11)

#define HYPERV_CPUID_INTERFACE 0x40000001u
#define HYPERV_CPUID_REGISTERS 0x40000003u
#define HYPERV_CPUID_HINTS 0x40000004u
#define HYPERV_SIGNATURE 0x31237648u /* "Hv#1" */

/* ---- hyperv.c ---- */
s64 hv_hyperv_cpuid(u64 arg); /* KVM_GET_SUPPORTED_HV_CPUID */
/* 0; -ENOENT: none of these; -EINVAL: #GP. May sleep. */
int vcpu_get_hyperv_msr(struct vcpu *vcpu, u32 msr, u64 *out, bool host);
int vcpu_set_hyperv_msr(struct vcpu *vcpu, u32 msr, u64 value, bool host);

/* ---- hyperv_time.c: hyperv.lock is held ---- */
u64 hyperv_time_locked(struct vcpu *vcpu) REQUIRES(vcpu->vm->hyperv.lock); /* in 100 ns */
/* Writes the page of the reference time anew. May sleep. */
void hyperv_time_publish_locked(struct vcpu *vcpu) REQUIRES(vcpu->vm->hyperv.lock);
/* As above, where the guest has one; takes the lock. */
void vcpu_hyperv_clock_update(struct vcpu *vcpu);
