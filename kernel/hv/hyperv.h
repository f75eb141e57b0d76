/* SPDX-License-Identifier: MIT
 *
 * Hyper-V's interface for guests, as KVM offers it: registers (hyperv.c), time (hyperv_time.c),
 * hypercalls (hyperv_call.c). A guest has it when its CPUID says so (vcpu->hyperv).
 *
 * Lock order: vcpu->lock, hyperv.lock, the address space's locks.
 */
#pragma once

#include "lib/types.h"
#include "sched/mutex.h"

struct vm;
struct vcpu;

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

#define HYPERV_CPUID_INTERFACE 0x40000001u
#define HYPERV_SIGNATURE 0x31237648u /* "Hv#1" */
#define HYPERV_CRASH_DATA 5

/* What the vCPUs of a VM share. h lock to change · a atomic */
struct hyperv_vm {
    struct mutex lock;
    u64 os_id;                    /* h+a  0: hypercalls are not Hyper-V's */
    u64 hypercall;                /* h */
    u64 crash[HYPERV_CRASH_DATA]; /* h  what the guest says of its end */
    u64 crash_ctl;                /* h */
    u64 tsc_page;                 /* h+a  the register: address, and bit 0 */
    bool tsc_valid;               /* h  the page tells the time, with these */
    u64 tsc_scale, tsc_offset;    /* h */
};

/* ---- hyperv.c ---- */
s64 hv_hyperv_cpuid(u64 arg); /* KVM_GET_SUPPORTED_HV_CPUID */
/* 0; -ENOENT: none of these; -EINVAL: #GP. May sleep. */
int vcpu_get_hyperv_msr(struct vcpu *vcpu, u32 msr, u64 *out, bool host);
int vcpu_set_hyperv_msr(struct vcpu *vcpu, u32 msr, u64 value, bool host);

/* ---- hyperv_time.c: hyperv.lock is held ---- */
u64 hyperv_time_locked(struct vcpu *vcpu); /* in 100 ns */
/* Writes the page of the reference time anew. May sleep. */
void hyperv_time_publish_locked(struct vcpu *vcpu);
/* As above, where the guest has one; takes the lock. */
void vcpu_hyperv_clock_update(struct vcpu *vcpu);

/* ---- hyperv_call.c ---- */
int vcpu_hyperv_call(struct vcpu *vcpu); /* as vcpu_handle_exit */
