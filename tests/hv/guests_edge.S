/* SPDX-License-Identifier: MIT
 *
 * The guests of t_host.c, t_events.c, t_edge.c, t_bounds.c and t_mem.c.
 */
#include "guests.inc"

/* Tells where its loop is, then from where each NMI comes. */
guest nmi_row 64
    gate 2, 1f
    lidt AT(9f)
    mov $AT(2f), %eax
    out %eax, $REPORT
2:  jmp 2b
1:  mov (%rsp), %rax
    out %eax, $REPORT
    iretq
9:  .word 0xfff
    .quad IDT
end nmi_row

/* Instructions that leave the guest, with prefixes that mean nothing there. */
guest prefixed 64
    xor %eax, %eax
    xor %ecx, %ecx
    .byte 0xf3
    cpuid
    report 1
    mov $0xc0000080, %ecx
    .byte 0x66, 0x48
    rdmsr
    report 2
    .byte 0x66, 0x67
    hlt
    report 3
    hlt
end prefixed

/* 32 bits: user code returns from a task that no other has called. */
.macro gate32 vector handler
    movw $AT(\handler), IDT + \vector * 8
    movw $0x08, IDT + \vector * 8 + 2
    movw $0x8e00, IDT + \vector * 8 + 4
    movw $0, IDT + \vector * 8 + 6
.endm
guest user_task 32
    gate32 10, 1f
    gate32 13, 2f
    lidt AT(9f)
    push $0x23
    push $0x6000
    push $2
    push $0x2b
    push $AT(3f)
    iret
3:  pushf
    orl $0x4000, (%esp)
    popf
    iret
1:  report 10
    hlt
2:  report 13
    hlt
9:  .word 0xff
    .long IDT
end user_task

/* Interrupts stay off. Tells of each NMI and of vector 0x40, and what it reads from a device. */
guest irq_waits 64
    gate 2, 1f
    gate 0x40, 2f
    lidt AT(9f)
    report 1
3:  mov MMIO, %eax
    out %eax, $REPORT
    jmp 3b
1:  report 2
    iretq
2:  report 0x40
    iretq
9:  .word 0xfff
    .quad IDT
end irq_waits

/* CR4's MCE bit as it finds it, off, and on. */
guest cr4_mce 64
    mov %cr4, %rax
    out %eax, $REPORT
    and $~0x40, %rax
    mov %rax, %cr4
    mov %cr4, %rbx
    mov %ebx, %eax
    out %eax, $REPORT
    or $0x40, %rax
    mov %rax, %cr4
    mov %cr4, %rax
    out %eax, $REPORT
    hlt
end cr4_mce

/* Real mode. IRQ 5 is open and interrupts are off; the handler of #UD turns them on. */
guest irq_behind 16
    mov $0xdf, %bl
    pic_init
    movw $AT(2f), 0x25 * 4
    movw $0, 0x25 * 4 + 2
    movw $AT(3f), 6 * 4
    movw $0, 6 * 4 + 2
    report 1
1:  jmp 1b
3:  sti
    nop
    nop
    report 9
    cli
    hlt
2:  report 0x25
    mov $0x20, %al
    out %al, $0x20
    iret
end irq_behind

/* User code (vcpu_user) stores to a device by an instruction that no emulator has. */
guest user_x87 64
    gate 6, 1f
    lidt AT(9f)
    mov $MMIO, %edi
    push $0x23
    push $0x6000
    push $2
    push $0x2b
    push $AT(2f)
    iretq
2:  fstpl (%rdi)
    hlt
1:  report 6
    mov (%rsp), %rax
    sub $AT(2b), %rax
    out %al, $REPORT
    hlt
9:  .word 0xfff
    .quad IDT
end user_x87

/* Loads the task register with the ecx selectors at esi: 1, or vector and error code of each. Then
 * tells the register, and, after an exception of user code (vcpu_user), where its frame lies. */
guest task_register 64
    gate 6, 3f
    gate 11, 4f
    gate 13, 5f
    lidt AT(9f)
    cld
1:  lodsw
    ltr %ax
    report 1
2:  loop 1b
    xor %eax, %eax
    str %ax
    out %eax, $REPORT
    push $0x23
    push $0x6000
    push $2
    push $0x2b
    push $AT(6f)
    iretq
6:  ud2
3:  mov %esp, %eax
    out %eax, $REPORT
    hlt
4:  pop %rax
    or $0xb0000, %eax
    jmp 7f
5:  pop %rax
    or $0xd0000, %eax
7:  out %eax, $REPORT
    movq $AT(2b), (%rsp)
    iretq
9:  .word 0xfff
    .quad IDT
end task_register

/* Sets the bits of CR4 that are in rsi. */
guest cr4_bits 64
    gate 13, 1f
    lidt AT(9f)
    mov %cr4, %rax
    or %rsi, %rax
    mov %rax, %cr4
    report 1
    hlt
1:  report 13
    hlt
9:  .word 0xfff
    .quad IDT
end cr4_bits

/* Sets the bits of EFER that are in esi. */
guest efer_bits 64
    gate 13, 1f
    lidt AT(9f)
    mov $0xc0000080, %ecx
    rdmsr
    or %esi, %eax
    wrmsr
    report 1
    hlt
1:  report 13
    hlt
9:  .word 0xfff
    .quad IDT
end efer_bits

guest bit_scans 64
    mov $MMIO, %ebx
    bsf (%rbx), %eax
    out %eax, $REPORT
    bsr (%rbx), %rax
    out %eax, $REPORT
    mov $0x5a, %eax
    bsf 8(%rbx), %ecx           /* of 0: ZF */
    setz %al
    out %al, $REPORT
    hlt
end bit_scans

guest outs_counted 16
    cld
    mov $AT(1f), %si
    mov $6, %cx
    mov $0x20, %dx
    rep outsb
    mov %si, %ax
    sub $AT(1f), %ax
    out %al, $REPORT
    hlt
1:  .ascii "abcdefgh"
end outs_counted

/* 32-bit: touches a byte of each 2 MiB from 16 to 48 MiB, again and again. */
guest touch_huge 32
1:  mov $0x1000000, %ebx
2:  mov (%ebx), %al
    add $0x200000, %ebx
    cmp $0x3000000, %ebx
    jb 2b
    report 1
    jmp 1b
end touch_huge

/* Real mode: polls the first PIC, which acknowledges and ends an interrupt at once. */
guest pic_poll 16
1:  mov $0x0c, %al
    out %al, $0x20
    in $0x20, %al
    out %al, $REPORT
    jmp 1b
end pic_poll

/* What the word at 2 MiB holds, through this vCPU's own tables. */
guest peek_own 64
1:  mov 0x200000, %eax
    out %eax, $REPORT
    jmp 1b
end peek_own

/* Reads the register in esi: its halves, or 13 for a fault. */
guest rdmsr_of 64
    gate 13, 1f
    lidt AT(9f)
    mov %esi, %ecx
    rdmsr
    out %eax, $REPORT
    mov %edx, %eax
    out %eax, $REPORT
    hlt
1:  report 13
    hlt
9:  .word 0xfff
    .quad IDT
end rdmsr_of

/* Writes edi to the register in esi. */
guest wrmsr_of 64
    gate 13, 1f
    lidt AT(9f)
    mov %esi, %ecx
    mov %edi, %eax
    xor %edx, %edx
    wrmsr
    report 1
    hlt
1:  report 13
    hlt
9:  .word 0xfff
    .quad IDT
end wrmsr_of

/* KVM_HC_SEND_IPI, by VMMCALL if edi is not 0. */
guest pv_ipi 64
    gate 0x40, 1f
    lidt AT(9f)
    mov $LAPIC, %ebp
    movl $0x1ff, 0xf0(%rbp)
    mov $10, %eax
    mov $1, %ebx
    xor %ecx, %ecx
    xor %edx, %edx
    mov $0x40, %esi
    call 2f
    mov %eax, %r8d
    sti
    nop
    nop
    cli
    mov %r8d, %eax
    out %eax, $REPORT
    mov $10, %eax
    mov $2, %ebx
    call 2f
    out %eax, $REPORT
    hlt
1:  report 0x40
    movl $0, 0xb0(%rbp)
    iretq
2:  test %edi, %edi
    jz 3f
    vmmcall
    ret
3:  vmcall
    ret
9:  .word 0xfff
    .quad IDT
end pv_ipi

/* Writes bytes that change into page 8 by the instruction emulator: through the PIC's mask register,
 * which the kernel has. Between two rounds it reports. */
guest emulated_write 16
    mov $0x8000, %di
    mov $0x21, %dx
    xor %al, %al
1:  inc %al
    out %al, %dx
    insb
    dec %di
    out %al, $REPORT
    jmp 1b
end emulated_write

    .section .note.GNU-stack, "", @progbits
