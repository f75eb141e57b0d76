/* SPDX-License-Identifier: MIT
 *
 * Into the guest and out (SDM vol. 3, 26 and 27). The CPU switches rsp, rip, rflags, segments, CR and
 * the SYSENTER registers by the VMCS; the general registers are ours.
 *
 * int vmx_enter(struct vcpu *vcpu): 0 after an exit, 1 when VMLAUNCH was refused. vcpu->gpr is at offset
 * 0 in the order rax rcx rdx rbx rsp rbp rsi rdi r8..r15; rsp travels in the VMCS.
 */
.text
.globl vmx_enter
vmx_enter:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    movl $0x6c14, %eax /* host rsp */
    vmwrite %rsp, %rax
    leaq 1f(%rip), %rdx
    movl $0x6c16, %eax /* host rip */
    vmwrite %rdx, %rax
    movq 0(%rdi), %rax
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
    vmlaunch
    /* Refused: rsp has not moved. */
    popq %rdi
    movl $1, %eax
    jmp 2f
1:  pushq %rdi
    movq 8(%rsp), %rdi
    movq %rax, 0(%rdi)
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
    popq %rdi
    xorl %eax, %eax
2:  popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
