/* SPDX-License-Identifier: MIT
 *
 * KVM_RUN: the loop, what an exit leads to, and what a guest's accesses to devices do. The layers
 * below return what happened; only this folder decides what follows.
 */
#pragma once

#include "hv/vcpu/vcpu.h"

/* ---- run.c ---- */
s64 vcpu_run_ioctl(struct vcpu *vcpu);

/* ---- exit.c, skip.c, emulate.c ---- */
/* 1: go on in the guest; 0: back to user space, vcpu->run filled; -errno. */
int vcpu_handle_exit(struct vcpu *vcpu, enum hv_exit exit);
int vcpu_complete_user(struct vcpu *vcpu); /* user space has answered; as vcpu_handle_exit */
int vcpu_emulate(struct vcpu *vcpu);
int vcpu_emulate_resume(struct vcpu *vcpu); /* user space has served an access */
/* Past the instruction that has ended the guest's stay. */
void vcpu_skip(struct vcpu *vcpu);
/* The length of the instruction at rip; 0: it cannot be read. */
u8 vcpu_decode_len(struct vcpu *vcpu);

/* ---- device.c ---- */
/* Leave for user space with one access. 0, as vcpu_handle_exit. */
int vcpu_ask_port(struct vcpu *vcpu, u16 port, u32 size, bool in, const void *data);
int vcpu_ask_mmio(struct vcpu *vcpu, u64 gpa, u32 len, bool write, const void *data);
/* A device register inside the kernel: 0, or -EOPNOTSUPP: user space's. */
int vm_mmio_read(struct vcpu *vcpu, gpa_t gpa, void *data, u32 len);
int vm_mmio_write(struct vcpu *vcpu, gpa_t gpa, const void *data, u32 len);
int vm_port_read(struct vcpu *vcpu, u16 port, void *data, u32 len);
int vm_port_write(struct vcpu *vcpu, u16 port, const void *data, u32 len);

/* ---- mmio.c ---- */
/* A fault at a device's address (exit.device): -EAGAIN, it is for the emulator; else as
 * vcpu_handle_exit. */
int vcpu_mmio(struct vcpu *vcpu);
int vcpu_mmio_loaded(struct vcpu *vcpu, const void *data);

/* ---- msr_exit.c ---- */
int vm_set_msr_filter(struct vm *vm, u64 arg);
int vm_set_user_msrs(struct vm *vm, u64 mask);
void vm_filter_destroy(struct vm *vm);
int vcpu_rdmsr(struct vcpu *vcpu); /* as vcpu_handle_exit */
int vcpu_wrmsr(struct vcpu *vcpu);
int vcpu_msr_done(struct vcpu *vcpu);

/* ---- hyperv_call.c ---- */
int vcpu_hyperv_call(struct vcpu *vcpu); /* as vcpu_handle_exit */

/* ---- ioeventfd.c: KVM_IOEVENTFD ---- */
void vm_ioeventfds_destroy(struct vm *vm);
int vm_ioeventfd_ioctl(struct vm *vm, u64 arg);
static inline bool vm_has_ioeventfds(const struct vm *vm)
{
    return !list_empty(&vm->ioeventfds);
}
/* A guest's write to a port or an address: 0: an eventfd has taken it; -EOPNOTSUPP. */
int ioeventfd_write(struct vm *vm, bool port, u64 addr, const void *data, u32 len);

/* ---- coalesced.c: KVM_REGISTER_COALESCED_MMIO and its opposite ---- */
int vm_coalesced_init(struct vm *vm) __must_check; /* -ENOMEM */
void vm_coalesced_destroy(struct vm *vm);
s64 vm_coalesced_ioctl(struct vm *vm, unsigned cmd, u64 arg);
static inline bool vm_has_zones(const struct vm *vm)
{
    return !list_empty(&vm->zones);
}
/* A guest's write to a port or an address: 0: it waits in the ring; -EOPNOTSUPP. */
int coalesced_write(struct vm *vm, bool port, u64 addr, const void *data, u32 len);
