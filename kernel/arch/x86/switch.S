/* SPDX-License-Identifier: MIT
 *
 * The stack switch and the first frames of new threads. Only what the C ABI calls callee-saved is kept:
 * a switch is a function call.
 */
.text

/* struct arch_thread *switch_stacks(struct arch_thread *prev, struct arch_thread *next) */
.globl switch_stacks
switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    movq %rdi, %rax
    ret

/* rbx = fn, r12 = arg, rax = the thread that ran before */
.globl switch_first_kernel
switch_first_kernel:
    movq %rax, %rdi
    movq %r12, %rsi
    xorl %ebp, %ebp
    call __x86_indirect_thunk_rbx
    ud2

/* The user frame lies at the stack pointer. */
.globl switch_first_user
switch_first_user:
    movq %rax, %rdi
    xorl %esi, %esi
    xorl %ebp, %ebp
    call __x86_indirect_thunk_rbx
    jmp trap_return
