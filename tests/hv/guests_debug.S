/* SPDX-License-Identifier: MIT
 *
 * The guests of t_debugger.c.
 */
#include "guests.inc"

/* One step each, and the offset of what comes next. */
guest stepped 64
    mov $MMIO, %esi             /* 5 */
    nop                         /* 6 */
    inc %ebp                    /* 8 */
    xor %eax, %eax              /* 10 */
    cpuid                       /* 12 */
    mov %cr8, %rax              /* 16 */
    xor %eax, %eax              /* 18 */
    out %al, $REPORT            /* 20 */
    mov (%rsi), %eax            /* 22 */
    nop                         /* 23 */
    hlt                         /* 24 */
    report 7
    hlt
end stepped

/* A breakpoint, which it has no idea of, and a software interrupt of its own. */
guest trapped 64
    gate 3, 1f
    gate 0x40, 2f
    lidt AT(9f)
    int $0x40
    mov $AT(3f), %eax
    out %eax, $REPORT
3:  int3
4:  report 5
    int $0x40
    hlt
1:  mov (%rsp), %rax
    sub $AT(4b), %eax
    out %eax, $REPORT
    iretq
2:  report 0x40
    iretq
9:  .word 0xfff
    .quad IDT
end trapped

/* Executes, then writes, where it tells. */
guest watched 64
    mov $AT(1f), %eax
    out %eax, $REPORT
    nop
1:  inc %ebx
    mov %ebx, 0x7000
    report 2
    hlt
end watched

guest nmi_later 64
    gate 2, 1f
    lidt AT(9f)
    report 1
    nop
    nop
    nop
    report 3
    hlt
1:  report 2
    iretq
9:  .word 0xfff
    .quad IDT
end nmi_later

/* Without a word until it is given an event. */
guest injected 64
    gate 1, 1f
    gate 3, 3f
    gate 0x40, 4f
    lidt AT(9f)
    report 0
2:  jmp 2b
1:  report 1
    iretq
3:  report 3
    iretq
4:  report 4
    iretq
9:  .word 0xfff
    .quad IDT
end injected
