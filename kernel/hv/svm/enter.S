/* SPDX-License-Identifier: MIT
 *
 * Into the guest and out (APM vol. 2, 15.5). CLGI holds interrupts and NMIs off between the guest's
 * state and the host's; an interrupt that ends the guest is taken by the caller when it enables them.
 *
 * VMRUN swaps rax, rsp, rip, rflags, segments CS/SS/DS/ES, CR and EFER; VMLOAD and VMSAVE the rest
 * (FS, GS, TR, LDTR, SYSCALL and SYSENTER registers); the general registers are ours.
 *
 * void svm_enter(struct vcpu *vcpu, u64 guest_vmcb_pa, u64 host_vmcb_pa); rax and
 * rsp travel in the VMCB.
 */
#include "arch/x86/spec.inc"
#include "hv/vcpu/gprs.inc"

.text
.globl svm_enter
svm_enter:
    callee_saved_push
    pushq %rdx /* host VMCB */
    pushq %rsi /* guest VMCB */
    pushq %rdi /* vcpu */
    clgi
    sti /* pending interrupts must be able to end the guest: GIF holds them until VMRUN sets it */
    movq %rdx, %rax
    vmsave %rax
    movq %rsi, %rax
    vmload %rax
    gprs_load
    vmrun %rax
    gprs_store
    movq 8(%rsp), %rax
    vmsave %rax
    movq 16(%rsp), %rax
    vmload %rax
    cli
    stgi
    addq $24, %rsp
    GUEST_LEFT
    callee_saved_pop
    ret
