/* SPDX-License-Identifier: MIT
 *
 * Every way into the kernel and out to user mode. All leave a struct trap_frame (trap.h) on the stack.
 * GS: user mode runs with its own base, the kernel's waiting in KERNEL_GS_BASE; SWAPGS at each crossing.
 *
 * NMI, double fault and machine check run on stacks of their own and may hit between a crossing's
 * instructions, so they trust neither GS nor the stack: the CPU's percpu delta lies just above the frame
 * on their stacks, and they put back what they found.
 */
#include "arch/x86/entry.h"

.macro PUSH_REST /* after ss..orig_rax and rdi are on the stack */
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
.endm

.macro POP_CALLEE_SAVED
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
.endm

.macro POP_REST_BUT_RDI
    POP_CALLEE_SAVED
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
.endm

.section .text.entry, "ax"

/* SYSCALL: rip in rcx, rflags in r11; SFMASK cleared IF, TF, DF, AC, NT. */
.globl syscall_entry
.balign 64
syscall_entry:
    swapgs
    movq %rsp, %gs:trap_user_rsp(%rip)
    movq %gs:trap_stack_top(%rip), %rsp
    pushq $SEL_USER_DS
    pushq %gs:trap_user_rsp(%rip)
    pushq %r11
    pushq $SEL_USER_CS
    pushq %rcx
    pushq %rax
    pushq %rdi
    PUSH_REST
    sti
    movq %rsp, %rdi
    xorl %ebp, %ebp
    call up_syscall
    cli
    movq %gs:percpu_work(%rip), %rax
    cmpl $0, (%rax)
    jne syscall_work
syscall_exit:
    /* SYSRET only where it gives what the frame says, and never to a non-canonical rip: there it
     * would fault in kernel mode on the user's stack. */
    movq FRAME_RCX(%rsp), %rcx
    movq FRAME_R11(%rsp), %r11
    cmpq FRAME_RIP(%rsp), %rcx
    jne trap_exit_user
    cmpq FRAME_RFLAGS(%rsp), %r11
    jne trap_exit_user
    cmpq $SEL_USER_CS, FRAME_CS(%rsp)
    jne trap_exit_user
    movq %rcx, %rax
    shrq $47, %rax
    jnz trap_exit_user
    testl $(RFLAGS_TF_BIT | RFLAGS_RF_BIT), %r11d
    jnz trap_exit_user
    POP_CALLEE_SAVED
    addq $8, %rsp /* r11 */
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    addq $8, %rsp /* rcx */
    popq %rdx
    popq %rsi
    popq %rdi
    movq 32(%rsp), %rsp /* past orig_rax, rip, cs, rflags: the user's */
    swapgs
    sysretq

syscall_work:
    movq %rsp, %rdi
    call up_return_to_user
    jmp syscall_exit

/* SYSCALL in compatibility mode, where an AMD CPU knows it. No segment lets user mode get there; were
 * there one, this is an invalid opcode as it is on Intel's, and the process goes on in 64-bit mode. */
.globl syscall_entry_compat
.balign 16
syscall_entry_compat:
    swapgs
    movq %rsp, %gs:trap_user_rsp(%rip)
    movq %gs:trap_stack_top(%rip), %rsp
    pushq $SEL_USER_DS
    pushq %gs:trap_user_rsp(%rip)
    pushq %r11
    pushq $SEL_USER_CS
    pushq %rcx
    pushq $0
    pushq %rdi
    movl $VEC_UD_NR, %edi
    swapgs /* trap_common makes the crossing */

/* An exception or interrupt: rdi is saved in its slot and holds the vector. A gate leaves AC as user
 * mode had it (SDM 3A 6.12.1), which would lift SMAP in the kernel. */
trap_common:
    PUSH_REST
    cld
    AC_OFF
    testb $3, FRAME_CS(%rsp)
    jz 1f
    swapgs
    xorl %ebp, %ebp
1:  movq %rsp, %rsi
    call trap_dispatch
.globl trap_return
trap_return: /* also a new user thread's way out; the frame is at the stack pointer */
    testb $3, FRAME_CS(%rsp)
    jz trap_exit_kernel
    cli
    movq %gs:percpu_work(%rip), %rax
    cmpl $0, (%rax)
    jne trap_work
trap_exit_user:
    POP_REST_BUT_RDI
    popq %rdi
    addq $8, %rsp
    swapgs
    iretq
trap_work:
    movq %rsp, %rdi
    call up_return_to_user
    jmp trap_exit_user

trap_exit_kernel:
    POP_REST_BUT_RDI
    popq %rdi
    addq $8, %rsp
    iretq

/* As trap_common, on a stack of its own with this CPU's percpu delta above the frame. */
trap_paranoid:
    PUSH_REST
    cld
    AC_OFF
    movl %edi, %ebx
    movl $MSR_GS_BASE_NR, %ecx
    rdmsr
    movl %eax, %r12d
    movl %edx, %r13d
    movl FRAME_SIZE(%rsp), %eax
    movl FRAME_SIZE + 4(%rsp), %edx
    wrmsr
    movl %ebx, %edi
    movq %rsp, %rsi
    call trap_dispatch
    movl $MSR_GS_BASE_NR, %ecx
    movl %r12d, %eax
    movl %r13d, %edx
    wrmsr
    jmp trap_exit_kernel

/* IRET to user mode can fault on a bad frame; the frames are built from checked values only. */

.macro STUB vector, has_error, target
.balign 16
trap_stub_\vector:
    .if \has_error == 0
    pushq $0
    .endif
    pushq %rdi
    movl $\vector, %edi
    jmp \target
.endm

.altmacro
.macro STUB_PLAIN vector
    STUB \vector, 0, trap_common
.endm

.balign 16
.globl trap_stubs
trap_stubs:
    STUB 0, 0, trap_common
    STUB 1, 0, trap_common
    STUB 2, 0, trap_paranoid
    STUB 3, 0, trap_common
    STUB 4, 0, trap_common
    STUB 5, 0, trap_common
    STUB 6, 0, trap_common
    STUB 7, 0, trap_common
    STUB 8, 1, trap_paranoid
    STUB 9, 0, trap_common
    STUB 10, 1, trap_common
    STUB 11, 1, trap_common
    STUB 12, 1, trap_common
    STUB 13, 1, trap_common
    STUB 14, 1, trap_common
    STUB 15, 0, trap_common
    STUB 16, 0, trap_common
    STUB 17, 1, trap_common
    STUB 18, 0, trap_paranoid
    STUB 19, 0, trap_common
    STUB 20, 0, trap_common
    STUB 21, 1, trap_common
.set vector, 22
.rept 234
    STUB_PLAIN %vector
    .set vector, vector + 1
.endr
