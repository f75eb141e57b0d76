/* SPDX-License-Identifier: MIT
 *
 * The guests of t_hyperv.c.
 */
#include "guests.inc"

/* Writes rdi to the register in esi. */
guest hyperv_write 64
    gate 13, 1f
    lidt AT(9f)
    mov %esi, %ecx
    mov %edi, %eax
    mov %rdi, %rdx
    shr $32, %rdx
    wrmsr
    report 1
    hlt
1:  report 13
    hlt
9:  .word 0xfff
    .quad IDT
end hyperv_write

/* Calls the page at r9 with rcx, rdx and r8; tells the result in two halves, and interrupts. */
guest hyperv_call 64
    gate 6, 2f
    gate 0x40, 1f
    lidt AT(9f)
    mov $LAPIC, %ebp
    movl $0x1ff, 0xf0(%rbp)
    call *%r9
    mov %rax, %rbx
    out %eax, $REPORT
    shr $32, %rbx
    mov %ebx, %eax
    out %eax, $REPORT
    sti
    nop
    nop
    cli
    report 0x99
    hlt
1:  report 0x40
    mov $0x40000070, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    iretq
2:  report 6
    hlt
9:  .word 0xfff
    .quad IDT
end hyperv_call

/* Twice: an interrupt to itself, which ends, by Hyper-V's registers. */
guest hyperv_apic 64
    gate 0x40, 1f
    lidt AT(9f)
    mov $LAPIC, %ebp
    movl $0x1ff, 0xf0(%rbp)
    sti
    call 2f
    call 2f
    mov $0x40000072, %ecx       /* TPR */
    mov $0x50, %eax
    xor %edx, %edx
    wrmsr
    mov %cr8, %rax
    out %al, $REPORT
    xor %eax, %eax
    rdmsr
    out %al, $REPORT
    hlt
2:  mov $0x40000071, %ecx       /* ICR: fixed, to APIC 0 */
    mov $0x4040, %eax
    xor %edx, %edx
    wrmsr
    nop
    nop
    ret
1:  report 0x40
    mov $0x40000070, %ecx       /* EOI */
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    iretq
9:  .word 0xfff
    .quad IDT
end hyperv_apic
