/* SPDX-License-Identifier: MIT
 *
 * Into the guest and out (APM vol. 2, 15.5). CLGI holds interrupts and NMIs off between the guest's
 * state and the host's; an interrupt that ends the guest is taken by the caller when it enables them.
 *
 * VMRUN swaps rax, rsp, rip, rflags, segments CS/SS/DS/ES, CR and EFER; VMLOAD and VMSAVE the rest
 * (FS, GS, TR, LDTR, SYSCALL and SYSENTER registers); the general registers are ours.
 *
 * void svm_enter(struct vcpu *vcpu, u64 guest_vmcb_pa, u64 host_vmcb_pa); vcpu->gpr is at offset 0 in
 * the order rax rcx rdx rbx rsp rbp rsi rdi r8..r15; rax and rsp travel in the VMCB.
 */
.text
.globl svm_enter
svm_enter:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdx /* host VMCB */
    pushq %rsi /* guest VMCB */
    pushq %rdi /* vcpu */
    clgi
    sti /* pending interrupts must be able to end the guest: GIF holds them until VMRUN sets it */
    movq %rdx, %rax
    vmsave %rax
    movq %rsi, %rax
    vmload %rax
    movq 8(%rdi), %rcx
    movq 16(%rdi), %rdx
    movq 24(%rdi), %rbx
    movq 40(%rdi), %rbp
    movq 48(%rdi), %rsi
    movq 64(%rdi), %r8
    movq 72(%rdi), %r9
    movq 80(%rdi), %r10
    movq 88(%rdi), %r11
    movq 96(%rdi), %r12
    movq 104(%rdi), %r13
    movq 112(%rdi), %r14
    movq 120(%rdi), %r15
    movq 56(%rdi), %rdi
    vmrun %rax
    pushq %rdi
    movq 8(%rsp), %rdi
    movq %rcx, 8(%rdi)
    movq %rdx, 16(%rdi)
    movq %rbx, 24(%rdi)
    movq %rbp, 40(%rdi)
    movq %rsi, 48(%rdi)
    movq %r8, 64(%rdi)
    movq %r9, 72(%rdi)
    movq %r10, 80(%rdi)
    movq %r11, 88(%rdi)
    movq %r12, 96(%rdi)
    movq %r13, 104(%rdi)
    movq %r14, 112(%rdi)
    movq %r15, 120(%rdi)
    popq %rcx
    movq %rcx, 56(%rdi)
    movq 8(%rsp), %rax
    vmsave %rax
    movq 16(%rsp), %rax
    vmload %rax
    cli
    stgi
    addq $24, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
