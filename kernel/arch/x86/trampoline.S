/* SPDX-License-Identifier: MIT
 *
 * Where a started processor begins: real mode, at the 4 KiB page that STARTUP named (smp.h). Copied
 * there, so it addresses relative to CS until it is in long mode. The parameters are at its end.
 */
#include "arch/x86/entry.h"
#define AT(sym) (sym - trampoline_start)
#define BASE 0x8000 /* SMP_TRAMPOLINE */

.section .rodata
.balign 16
.globl trampoline_start, trampoline_end, trampoline_params
.code16
trampoline_start:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl AT(trampoline_gdt_pointer)
    movl AT(trampoline_params) + 8, %eax /* cr4 */
    movl %eax, %cr4
    movl AT(trampoline_params), %eax /* cr3 */
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    movl AT(trampoline_params) + 16, %eax /* efer */
    xorl %edx, %edx
    wrmsr
    movl $0x80000011, %eax /* PG, ET, PE */
    movl %eax, %cr0
    ljmpl $0x08, $(BASE + AT(1f))
.code64
1:  xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl $(BASE + AT(trampoline_params)), %ebx
    movq 24(%rbx), %rax /* first */
    jmp *%rax

.balign 8
trampoline_gdt:
    .quad 0
    .quad 0x00af9a000000ffff
trampoline_gdt_pointer:
    .short 15
    .long BASE + AT(trampoline_gdt)
.balign 8
trampoline_params:
    .skip 64
trampoline_end:

/* In the image: from the boot tables to the kernel's, which map the idle stack. */
.text
.globl smp_first
smp_first:
    movq 32(%rbx), %rax /* cr3 */
    movq 40(%rbx), %rcx /* rsp */
    movq 48(%rbx), %rdi /* cpu */
    movq 56(%rbx), %rsi /* delta */
    movq %rax, %cr3
    movq %rcx, %rsp
    xorl %ebp, %ebp
    call smp_entry
    ud2
