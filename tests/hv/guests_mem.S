/* SPDX-License-Identifier: MIT
 *
 * The guests of t_mem.c and t_bounds.c, and those of kvmbench.
 */
#include "guests.inc"

guest mmio 64
    mov $MMIO, %ebx
    movb $0x11, (%rbx)
    movw $0x2222, 2(%rbx)
    movl $0x33333333, 4(%rbx)
    mov $0x44444444, %rax
    mov %rax, 8(%rbx)
    mov 0x10(%rbx), %al
    out %al, $REPORT
    mov 0x14(%rbx), %eax
    out %eax, $REPORT
    mov 0x18(%rbx), %rax
    shr $32, %rax
    out %eax, $REPORT
    hlt
end mmio

/* Forms a driver's compiler makes: extension, read-modify-write, test, string. */
guest mmio_forms 64
    mov $MMIO, %ebx
    movzbl (%rbx), %eax
    out %eax, $REPORT
    movsbl (%rbx), %eax
    out %eax, $REPORT
    movzwl 2(%rbx), %eax
    out %eax, $REPORT
    orl $0x100, 4(%rbx)
    mov $5, %eax
    add 8(%rbx), %eax
    out %eax, $REPORT
    testl $4, 12(%rbx)
    setnz %al
    out %al, $REPORT
    mov $0x7000, %edi
    lea 0x20(%rbx), %rsi
    mov $2, %ecx
    cld
    rep movsl
    mov 0x7004, %eax
    out %eax, $REPORT
    mov $0x7766, %eax
    xchg %eax, 0x30(%rbx)
    out %eax, $REPORT
    hlt
end mmio_forms

/* Writes a byte on each of pages 0x100..0x103 but the second. */
guest dirty 64
    movb $1, 0x100000
    movb $1, 0x102000
    movb $1, 0x103fff
    report 1
    movb $2, 0x101000
    report 2
    hlt
end dirty

guest peek 64
1:  mov 0x200000, %eax
    out %eax, $REPORT
    jmp 1b
end peek

/* The word at rbx, which the test sets between two reports. */
guest peek_at 64
1:  mov (%rbx), %eax
    out %eax, $REPORT
    jmp 1b
end peek_at

/* A byte in each of 64 pieces of 2 MiB, from 1 GiB on. */
guest far_apart 64
    mov $0x40000000, %ebx
    mov $64, %ecx
1:  incb (%rbx)
    add $0x200000, %rbx
    dec %ecx
    jnz 1b
    report 1
end far_apart

guest poke 64
    mov $0x100000, %ebx
    mov (%rbx), %al
    out %al, $REPORT
    movb $0x5a, (%rbx)
    report 2
    hlt
end poke

/* ---- kvmbench: esi times, then a report ---- */

guest bench_cpuid 64
1:  xor %eax, %eax
    xor %ecx, %ecx
    cpuid
    dec %esi
    jnz 1b
    report 1
end bench_cpuid

guest bench_out 64
1:  out %al, $0x10
    dec %esi
    jnz 1b
    report 1
end bench_out

guest bench_mmio 64
    mov $MMIO, %ebx
1:  mov %eax, (%rbx)
    dec %esi
    jnz 1b
    report 1
end bench_mmio

guest bench_msr 64
1:  mov $0xc0000080, %ecx
    rdmsr
    dec %esi
    jnz 1b
    report 1
end bench_msr

/* From rbx on. */
guest bench_touch 64
1:  movb $1, (%rbx)
    add $4096, %rbx
    dec %esi
    jnz 1b
    report 1
end bench_touch

    .section .note.GNU-stack, "", @progbits
