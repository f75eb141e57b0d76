/* SPDX-License-Identifier: MIT
 *
 * The guests of kvmtest and kvmbench. Each is loaded at LOAD_AT, so its own labels are
 * addressed as label - start + LOAD_AT. REPORT tells the host a byte, word or long in eax.
 */
#include "guests.inc"

/* ---- running ---- */

guest hlt 16
    hlt
    report 0x42
    hlt
end hlt

guest io 16
    in $0x10, %al
    inc %al
    out %al, $0x11
    mov $0x1234, %dx
    in %dx, %ax
    inc %ax
    out %ax, %dx
    in %dx, %eax
    inc %eax
    out %eax, %dx
    hlt
end io

guest io_string 16
    cld
    mov $AT(1f), %si
    mov $5, %cx
    mov $0x20, %dx
    rep outsb
    mov $0x7000, %di
    mov $3, %cx
    rep insw
    mov 0x7004, %ax
    out %ax, $REPORT
    hlt
1:  .ascii "hello"
end io_string

guest prot 32
    mov %cs, %eax
    out %eax, $REPORT
    movl $0x12345678, 0x200000
    mov 0x200000, %eax
    out %eax, $REPORT
    hlt
end prot

guest long 64
    movabs $0x1122334455667788, %rax
    mov %rax, 0x200000
    shr $32, %rax
    out %eax, $REPORT
    hlt
end long

/* From real mode to long mode by its own means; the tables are the test's. */
guest climb 16
    cli
    lgdtl AT(2f)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $0x08, $AT(3f)
    .balign 8
1:  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
2:  .word 31
    .long AT(1b)
    .code32
3:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %ss
    report 1
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0x10000, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmpl $0x18, $AT(4f)
    .code64
4:  movabs $0x200000000, %rax
    shr $32, %rax
    out %al, $REPORT
    hlt
end climb

guest triple 64
    lidt AT(1f)
    ud2
1:  .word 0
    .quad 0
end triple

guest spin 16
    cli
1:  jmp 1b
end spin

/* ---- exceptions, long mode: an IDT of three gates ---- */

guest faults 64
    gate 6, 1f
    gate 13, 2f
    gate 14, 3f
    lidt AT(9f)
    ud2                         /* 2 bytes */
    movabs $0x8000000000000000, %rax
    mov (%rax), %ebx            /* 2 bytes, not canonical: #GP */
    movabs $0x4000000000, %rax
    mov (%rax), %ebx            /* 2 bytes, not mapped: #PF */
    report 0x99
    hlt
1:  report 6
    addq $2, (%rsp)
    iretq
2:  report 13
    pop %rcx
    addq $2, (%rsp)
    iretq
3:  mov %cr2, %rax
    shr $32, %rax
    out %al, $REPORT
    pop %rcx
    addq $2, (%rsp)
    iretq
9:  .word 0xfff
    .quad IDT
end faults

/* rdmsr of an MSR that does not exist, and of one that does */
guest msr 64
    gate 13, 1f
    lidt AT(9f)
    mov $0xc0000082, %ecx       /* LSTAR */
    mov $0x55667788, %eax
    mov $0xffff8344, %edx
    wrmsr
    report 1
    mov $0x12345, %ecx
    rdmsr                       /* 2 bytes */
    report 2
    hlt
1:  report 13
    pop %rcx
    addq $2, (%rsp)
    iretq
9:  .word 0xfff
    .quad IDT
end msr

/* ---- MMIO ---- */

/* ---- processor state ---- */

guest cpuid 64
    mov $0x40000123, %eax
    xor %ecx, %ecx
    cpuid
    out %eax, $REPORT
    mov %ecx, %eax
    out %eax, $REPORT
    hlt
end cpuid

guest fpu 64
    movabs $0x0123456789abcdef, %rax
    movq %rax, %xmm3
    fldpi
    report 1
    movq %xmm3, %rax
    shr $32, %rax
    out %eax, $REPORT
    fistpl 0x7000
    mov 0x7000, %eax
    out %eax, $REPORT
    hlt
end fpu

guest tsc 64
    rdtsc
    mov %eax, %ebx
    report 1
    rdtsc
    sub %ebx, %eax
    out %eax, $REPORT
    hlt
end tsc

guest kvmclock 64
    mov $0x4b564d01, %ecx
    mov $0x7001, %eax
    xor %edx, %edx
    wrmsr
    report 1
    hlt
end kvmclock

/* Machine checks on; tells the first's status and address, of bank 1. */
guest machine_check 64
    gate 18, 1f
    lidt AT(9f)
    mov %cr4, %rax
    or $0x40, %eax
    mov %rax, %cr4
    report 1
2:  pause
    jmp 2b
1:  report 18
    mov $0x405, %ecx
    rdmsr
    out %eax, $REPORT
    mov $0x406, %ecx
    rdmsr
    out %eax, $REPORT
    jmp 2b
9:  .word 0xfff
    .quad IDT
end machine_check

/* ---- debug registers ---- */

/* DR0 to rbx, DR7 to rsi, something to the others; then says what is in some of them. */
guest write_dr 64
    mov %rbx, %dr0
    mov $0x1111, %eax
    mov %rax, %dr1
    mov $0x2222, %eax
    mov %rax, %dr2
    mov $0x3333, %eax
    mov %rax, %dr3
    mov %rsi, %dr7
    report 1
    mov %dr0, %rax
    out %eax, $REPORT
    mov %dr3, %rax
    out %eax, $REPORT
    mov %dr7, %rax
    out %eax, $REPORT
    hlt
end write_dr

guest read_dr 64
    .irp n, 0, 1, 2, 3, 6, 7
    mov %dr\n, %rax
    out %eax, $REPORT
    .endr
    hlt
end read_dr

/* Counts #DB in rbp, keeps DR6 in rcx; ends stepping at the label 8. */
.macro step_handler
1:  inc %ebp
    mov %dr6, %rcx
    cmpq $AT(8b), (%rsp)
    jne 2f
    andq $~0x100, 16(%rsp)
2:  iretq
9:  .word 0xfff
    .quad IDT
.endm
.macro step_begin
    gate 1, 1f
    lidt AT(9f)
    xor %ebp, %ebp
    pushfq
    orq $0x100, (%rsp)
    popfq                       /* the instruction after this is the first to trap */
.endm
.macro step_end
8:  mov %ebp, %eax
    out %al, $REPORT
    mov %rcx, %rax
    out %eax, $REPORT
    hlt
.endm

guest step 64
    step_begin
    nop
    inc %eax
    nop
    step_end
    step_handler
end step

guest step_exits 64
    step_begin
    xor %eax, %eax
    cpuid
    mov %cr8, %rax
    step_end
    step_handler
end step_exits

/* General detect: the access faults, the handler finds it off. */
guest detect 64
    gate 1, 1f
    lidt AT(9f)
    mov $0x2400, %eax
    mov %rax, %dr7
    mov %rbx, %dr0
    hlt
1:  mov %dr6, %rax
    out %eax, $REPORT
    mov %dr7, %rax
    out %eax, $REPORT
    hlt
9:  .word 0xfff
    .quad IDT
end detect

guest breakpoint 64
    gate 1, 1f
    lidt AT(9f)
    mov $AT(2f), %eax
    mov %rax, %dr0
    mov $0x402, %eax
    mov %rax, %dr7
    nop
2:  nop
    report 2
    hlt
1:  mov %dr6, %rax
    out %eax, $REPORT
    orq $0x10000, 16(%rsp)      /* RF: once */
    iretq
9:  .word 0xfff
    .quad IDT
end breakpoint

/* The gate's stack is the TSS's first; what is pushed there first is watched. */
guest debug_loop 64
    gate 1, 1f
    movb $1, IDT + 1 * 16 + 4
    movq $0x7000, 0x24
    lidt AT(9f)
    mov $0x6ff8, %eax
    mov %rax, %dr0
    mov $0x90402, %eax          /* G0, 8 bytes, written */
    mov %rax, %dr7
    movq $0, 0x6ff8
1:  jmp 1b
9:  .word 0xfff
    .quad IDT
end debug_loop

/* ---- interrupts ---- */

/* Real mode: IRQ 5 comes as vector 0x25. */
guest pic 16
    mov $0xdf, %bl
    pic_init
    movw $AT(2f), 0x25 * 4
    movw $0, 0x25 * 4 + 2
1:  cli
    report 1
    sti
    hlt
3:  report 2
    jmp 1b
2:  report 0x25
    mov $0x20, %al
    out %al, $0x20
    mov %sp, %bp                /* an emulator may come between sti and hlt: no second one would end that */
    movw $AT(3b), (%bp)
    iret
end pic

/* Real mode: the PIT's channel 0 as a rate generator at 1000 Hz; five ticks. */
guest pit 16
    mov $0xfe, %bl
    pic_init
    movw $AT(3f), 0x20 * 4
    movw $0, 0x20 * 4 + 2
    xor %bx, %bx
    mov $0x34, %al
    out %al, $0x43
    mov $0xa9, %al
    out %al, $0x40
    mov $0x04, %al
    out %al, $0x40
    sti
2:  hlt
    cmp $5, %bx
    jb 2b
    report 5
    hlt
3:  inc %bx
    mov $0x20, %al
    out %al, $0x20
    iret
end pit

guest self_ipi 64
    gate 0x40, 1f
    lidt AT(9f)
    mov $LAPIC, %ebx
    movl $0x1ff, 0xf0(%rbx)
    movl $0, 0x310(%rbx)
    movl $0x40040, 0x300(%rbx)  /* to itself, fixed, vector 0x40 */
    report 1
    sti
    nop
    report 2
    hlt
1:  report 0x40
    movl $0, 0xb0(%rbx)
    iretq
9:  .word 0xfff
    .quad IDT
end self_ipi

guest lapic_timer 64
    gate 0x41, 1f
    lidt AT(9f)
    mov $LAPIC, %ebx
    xor %ebp, %ebp
    movl $0x1ff, 0xf0(%rbx)
    movl $0x3, 0x3e0(%rbx)      /* divide by 16 */
    movl $0x20041, 0x320(%rbx)  /* periodic */
    movl $100000, 0x380(%rbx)
    sti
2:  hlt
    cmp $3, %ebp
    jb 2b
    cli
    movl $0, 0x380(%rbx)
    report 3
    movl $0x41, 0x320(%rbx)     /* one-shot */
    movl $50000, 0x380(%rbx)
    sti
3:  hlt
    cmp $4, %ebp
    jb 3b
    report 4
    hlt
1:  inc %ebp
    movl $0, 0xb0(%rbx)
    iretq
9:  .word 0xfff
    .quad IDT
end lapic_timer

guest deadline 64
    gate 0x41, 1f
    lidt AT(9f)
    mov $LAPIC, %ebx
    xor %ebp, %ebp
    movl $0x1ff, 0xf0(%rbx)
    movl $0x40041, 0x320(%rbx)  /* TSC deadline */
    mfence
    rdtsc
    add $10000000, %eax
    adc $0, %edx
    mov $0x6e0, %ecx
    wrmsr
    sti
2:  hlt
    cmp $1, %ebp
    jb 2b
    report 1
    hlt
1:  inc %ebp
    movl $0, 0xb0(%rbx)
    iretq
9:  .word 0xfff
    .quad IDT
end deadline

/* I/O APIC pin 7, level triggered, vector 0x40; the host lowers the line on 0x40. */
guest ioapic 64
    gate 0x40, 1f
    lidt AT(9f)
    mov $LAPIC, %ebx
    movl $0x1ff, 0xf0(%rbx)
    mov $IOAPIC, %esi
    movl $0x1f, (%rsi)          /* destination of pin 7: APIC 0 */
    movl $0, 0x10(%rsi)
    movl $0x1e, (%rsi)
    movl $0x8040, 0x10(%rsi)
    mov $0xff, %al              /* the PIC has the same line */
    out %al, $0x21
    report 1
    sti
    hlt
    report 2
    hlt
1:  report 0x40
    movl $0, 0xb0(%rbx)
    iretq
9:  .word 0xfff
    .quad IDT
end ioapic

/* Waits for interrupts with vector 0x40 (an MSI, an irqfd) and says how many came. */
guest wait_irq 64
    gate 0x40, 1f
    lidt AT(9f)
    mov $LAPIC, %ebx
    xor %ebp, %ebp
    movl $0x1ff, 0xf0(%rbx)
    report 0
2:  sti
    hlt
3:  cli
    mov %ebp, %eax
    out %al, $REPORT
    jmp 2b
1:  inc %ebp
    movl $0, 0xb0(%rbx)
    movq $AT(3b), (%rsp)        /* an emulator may come between sti and hlt: no second one would end that */
    iretq
9:  .word 0xfff
    .quad IDT
end wait_irq

guest nmi 64
    gate 2, 1f
    lidt AT(9f)
    xor %ebp, %ebp
    report 1
2:  pause
    test %ebp, %ebp
    jz 2b
    report 3
    hlt
1:  report 2
    inc %ebp
    iretq
9:  .word 0xfff
    .quad IDT
end nmi

/* Real mode without irqchip: the host injects vector 0x30 when the window opens. */
guest window 16
    movw $AT(1f), 0x30 * 4
    movw $0, 0x30 * 4 + 2
    report 1
    sti
    nop
    nop
    report 2
    hlt
1:  report 0x30
    iret
end window

/* vCPU 0 of two, 32-bit: starts vCPU 1 in real mode at 0x9000, which writes a word. */
guest smp 32
    mov $LAPIC, %ebx
    movl $0x1ff, 0xf0(%ebx)
    movl $0x01000000, 0x310(%ebx)
    movl $0x4500, 0x300(%ebx)   /* INIT */
    movl $0x01000000, 0x310(%ebx)
    movl $0x4609, 0x300(%ebx)   /* start-up at page 9 */
1:  pause
    cmpw $0x1357, 0x7000
    jne 1b
    report 1
    hlt
end smp

guest smp_ap 16
    xor %ax, %ax
    mov %ax, %ds
    movw $0x1357, 0x7000
1:  cli
    hlt
    jmp 1b
end smp_ap

    .section .note.GNU-stack, "", @progbits
