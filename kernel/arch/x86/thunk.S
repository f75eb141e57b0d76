/* SPDX-License-Identifier: MIT
 *
 * The ways of an indirect branch that the branch predictor does not know: a call whose return address is
 * replaced, and a loop where the predicted return leads. One for each register, in the order of their
 * numbers, THUNK_SIZE apart (spec.c). clang uses that of r11 alone.
 */
#include "arch/x86/spec.inc"

.section .text.thunk, "ax"

.macro THUNK reg
    .balign 32
    .globl __x86_indirect_thunk_\reg
__x86_indirect_thunk_\reg:
    call 2f
1:  pause
    lfence
    jmp 1b
2:  movq %\reg, (%rsp)
    ret
.endm

    .balign 32
    .globl spec_thunks
spec_thunks:
    THUNK rax
    THUNK rcx
    THUNK rdx
    THUNK rbx
    .balign 32
    .fill 32, 1, 0xcc /* rsp: none */
    THUNK rbp
    THUNK rsi
    THUNK rdi
    THUNK r8
    THUNK r9
    THUNK r10
    .balign 32
    THUNK r11
    THUNK r12
    THUNK r13
    THUNK r14
    THUNK r15

/* void spec_fill_returns(void); its own return is not among them. */
.globl spec_fill_returns
spec_fill_returns:
    FILL_RETURNS
    ret
