/* SPDX-License-Identifier: MIT
 *
 * Guest memory. A VM's memory is its VMM's memory: a slot maps guest-physical pages to addresses of
 * the address space that created the VM, and the nested tables are one more translation of that
 * address space.
 */
#pragma once

#include "hv/emul/slot_table.h"
#include "hv/vcpu/vcpu.h"
#include "sync/rcu.h"

/* The slots of a VM; immutable, found by RCU. */
struct slot_set {
    struct rcu_head rcu;
    u32 generation; /* another one for each set that a VM has had */
    struct slot_table table;
};
static inline u32 vm_slots_generation(const struct vm *vm)
{
    u32 generation;

    rcu_read_lock();
    generation = rcu_dereference(vm->slots)->generation;
    rcu_read_unlock();
    return generation;
}

int vm_memory_init(struct vm *vm);
void vm_memory_destroy(struct vm *vm);
int vm_set_slot(struct vm *vm, const struct kvm_userspace_memory_region *r);
int vm_get_dirty_log(struct vm *vm, const struct kvm_dirty_log *log);
#define VM_EVERY_VCPU U64_MAX /* of indices, a bit each */
/* No vCPU of these indices has an old translation after it. */
void vm_flush_indices(struct vm *vm, u64 indices);
/* A nested fault: 0 resolved; VM_NO_SLOT, VM_READ_ONLY: a device's; -EAGAIN: its slot or the memory
 * behind it was being changed, and the guest may fault again; -errno. May sleep. */
enum { VM_NO_SLOT = 1, VM_READ_ONLY };
int vm_fault(struct vm *vm, gpa_t gpa, unsigned access);
/* Copies through the VMM's mapping: 0 or -EFAULT where there is no (writable) slot. May sleep. */
int guest_read(struct vm *vm, gpa_t gpa, void *dst, u64 n);
int guest_write(struct vm *vm, gpa_t gpa, const void *src, u64 n);
/* Where a page of guest memory lies in the VMM: false where there is no slot. */
bool guest_hva(struct vm *vm, gpa_t gpa, u64 *hva);
/* An aligned word of 4 or 8 bytes. */
int guest_load(struct vm *vm, gpa_t gpa, u32 size, u64 *out);
bool vm_has_memory(struct vm *vm, gpa_t gpa, bool write);
/* Compare and exchange of 1, 2, 4 or 8 bytes of guest memory, within a page, from the VMM's own
 * threads; *old, of that size, becomes what was found. 0 or -EFAULT. */
int guest_cas(struct vm *vm, gpa_t gpa, void *old, u64 new, u32 len);

/* ---- walk.c: guest-virtual addresses ---- */
/* Reads n bytes of code within a page, with mode_now: as vcpu_translate, or -EFAULT. */
int vcpu_fetch(struct vcpu *vcpu, u64 linear, u32 access, void *buf, u32 n,
               struct emul_fault *fault);
/* 0 with *out; EMUL_FAULT with *fault filled; -EFAULT: tables outside of memory. access: PF_* bits.
 */
int vcpu_translate(struct vcpu *vcpu, u64 linear, u32 access, gpa_t *out, struct emul_fault *fault);
