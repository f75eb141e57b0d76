/* SPDX-License-Identifier: MIT
 *
 * Descriptors and ioctls: /dev/kvm, VMs, vCPUs, statistics.
 */
#pragma once

#include "hv/vcpu/vcpu.h"

#define HV_MSRS_MAX 256 /* of one KVM_GET_MSRS */
/* Linux's departures from the processor that a VMM may turn off, and which are not made here. */
#define HV_QUIRKS                                                   \
    (KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP | \
     KVM_X86_QUIRK_FIX_HYPERCALL_INSN)

#define VM_MMU_PAGES_MIN 64

struct file;

/* ---- vm.c ---- */
int vm_create(struct vm **out); /* with one reference; -ENOMEM, -EBUSY: no CPU runs guests */
void vm_get(struct vm *vm);
void vm_put(struct vm *vm); /* may sleep */

/* ---- vm_ioctl.c ---- */
struct file *vm_create_file(void); /* or ERR_PTR */

/* ---- vcpu_file.c, vcpu_ioctl.c, vcpu_fpu.c ---- */
int vcpu_create(struct vm *vm, u32 id, int *fd);
s64 vcpu_ioctl_state(struct vcpu *vcpu, unsigned cmd, u64 arg); /* -ENOTTY: not one of its */
s64 vcpu_ioctl_fpu(struct vcpu *vcpu, unsigned cmd, u64 arg);   /* likewise */
u32 hv_xsave_size(void); /* of what KVM_GET_XSAVE2 and KVM_SET_XSAVE hand over */

/* ---- capability.c ---- */
s64 hv_check_extension(u64 cap);

/* ---- stats.c ---- */
/* A descriptor of the statistics of a VM, or of a vCPU (may be NULL) and its file; -errno. */
s64 hv_stats_fd(struct vm *vm, struct vcpu *vcpu, struct file *held);
