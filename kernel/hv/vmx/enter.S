/* SPDX-License-Identifier: MIT
 *
 * Into the guest and out (SDM vol. 3, 26 and 27). The CPU switches rsp, rip, rflags, segments, CR and
 * the SYSENTER registers by the VMCS; the general registers are ours.
 *
 * int vmx_enter(struct vcpu *vcpu): 0 after an exit, 1 when VMLAUNCH was refused. rsp travels in
 * the VMCS.
 */
#include "arch/x86/spec.inc"
#include "hv/vcpu/gprs.inc"

.text
.globl vmx_enter
vmx_enter:
    callee_saved_push
    pushq %rdi
    movl $0x6c14, %eax /* host rsp */
    vmwrite %rsp, %rax
    leaq 1f(%rip), %rdx
    movl $0x6c16, %eax /* host rip */
    vmwrite %rdx, %rax
    movq 0(%rdi), %rax
    gprs_load
    vmlaunch
    /* Refused: rsp has not moved. */
    popq %rdi
    movl $1, %eax
    jmp 2f
1:  gprs_store
    movq %rax, 0(%rdi)
    popq %rdi
    GUEST_LEFT
    xorl %eax, %eax
2:  callee_saved_pop
    ret
