/* SPDX-License-Identifier: MIT
 *
 * The first instructions: entered in 32-bit protected mode without paging, by a Multiboot2 loader
 * (BIOS or UEFI GRUB) or by PVH (QEMU -kernel, Bothy's own VMM), at any 2 MiB-aligned address the
 * image was put. Builds the boot page tables and enters kernel_main in the higher half.
 *
 * Boot page tables: the first 4 GiB at 0 and at DIRECT_MAP, the image at KERNEL_BASE, all with 2 MiB
 * pages, writable and executable; mm replaces them.
 *
 * Multiboot2 specification 2.0; Xen's docs/misc/pvh (struct hvm_start_info).
 */
#define KERNEL_BASE 0xffffffff80000000
#define MULTIBOOT2_MAGIC 0x36d76289
#define PVH_MAGIC 0x336ec578
#define IMAGE_PAGES 24 /* of 2 MiB, mapped at KERNEL_BASE */

#define PTE_TABLE 0x003 /* P W */
#define PTE_LARGE 0x083 /* P W PS */

#define KERNEL_LOAD 0x200000 /* linker.ld */

/* Offset of a symbol from the image's start: the linker's subtraction from a constant. */
#define OFFSET(sym) (sym - (KERNEL_BASE + KERNEL_LOAD))

.section .boot.header, "a"
.balign 8
multiboot2_header:
    .long 0xe85250d6, 0 /* magic; i386 */
    .long multiboot2_header_end - multiboot2_header
    .long -(0xe85250d6 + (multiboot2_header_end - multiboot2_header))
    /* Relocatable: anywhere below 1 GiB, on 2 MiB. */
    .balign 8
    .short 10, 0
    .long 24
    .long 0x200000, 0x40000000, 0x200000, 1
    /* Wants no particular video mode, takes a framebuffer. */
    .balign 8
    .short 5, 1
    .long 20
    .long 0, 0, 0
    .balign 8
    /* Modules on page boundaries. */
    .short 6, 0
    .long 8
    .balign 8
    .short 0, 0
    .long 8
multiboot2_header_end:

/* XEN_ELFNOTE_PHYS32_ENTRY */
.section .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18
    .asciz "Xen"
    .quad entry_pvh - KERNEL_BASE

.section .boot.text, "ax"
.code32
.globl entry_multiboot2
entry_pvh:
    cld
    cli
    movl $PVH_MAGIC, %eax
entry_multiboot2:
    cld
    cli
    /* Where are we? The loader's block lends four bytes of stack: reserved in Multiboot2's, the
     * version field in PVH's, put back at once. */
    movl 4(%ebx), %edx
    leal 8(%ebx), %esp
    call 1f
1:  popl %ebp
    movl %edx, 4(%ebx)
    subl $OFFSET(1b), %ebp /* ebp = physical address of __kernel_start */
    leal OFFSET(boot_stack_top)(%ebp), %esp
    movl %eax, %esi /* magic */

    /* rdtsc at entry, for the boot time. */
    rdtsc
    movl %eax, OFFSET(boot_entry_tsc)(%ebp)
    movl %edx, OFFSET(boot_entry_tsc) + 4(%ebp)

    /* Page directories of the first 4 GiB: 2048 leaves. */
    leal OFFSET(boot_pd)(%ebp), %edi
    movl $PTE_LARGE, %eax
    xorl %ecx, %ecx
1:  movl %eax, (%edi,%ecx,8)
    movl $0, 4(%edi,%ecx,8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $2048, %ecx
    jne 1b

    /* PDPT of the first 4 GiB. */
    leal OFFSET(boot_pdpt)(%ebp), %eax
    leal PTE_TABLE(%edi), %edx
    movl %edx, (%eax)
    addl $0x1000, %edx
    movl %edx, 8(%eax)
    addl $0x1000, %edx
    movl %edx, 16(%eax)
    addl $0x1000, %edx
    movl %edx, 24(%eax)

    /* The image: PD entry 1 of the last GiB but one, and on. */
    leal OFFSET(boot_pd_image)(%ebp), %edi
    leal PTE_LARGE(%ebp), %eax
    movl $1, %ecx
1:  movl %eax, (%edi,%ecx,8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $(IMAGE_PAGES + 1), %ecx
    jne 1b
    leal OFFSET(boot_pdpt_image)(%ebp), %eax
    leal PTE_TABLE(%edi), %edx
    movl %edx, 510 * 8(%eax)

    /* PML4: identity, direct map (slot 273), image (slot 511). */
    leal OFFSET(boot_pml4)(%ebp), %edi
    leal OFFSET(boot_pdpt) + PTE_TABLE(%ebp), %edx
    movl %edx, (%edi)
    movl %edx, 273 * 8(%edi)
    leal OFFSET(boot_pdpt_image) + PTE_TABLE(%ebp), %edx
    movl %edx, 511 * 8(%edi)

    movl $0x20, %eax /* PAE alone: firmware may have left five-level paging on */
    movl %eax, %cr4
    movl %edi, %cr3
    movl $0xc0000080, %ecx /* EFER: LME, and NXE where there is NX: cpu_features_enable sets it */
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0

    /* A far jump through a descriptor whose base is made here. */
    leal OFFSET(boot_gdt)(%ebp), %eax
    movl %eax, OFFSET(boot_gdt_pointer) + 2(%ebp)
    lgdt OFFSET(boot_gdt_pointer)(%ebp)
    leal OFFSET(entry64)(%ebp), %eax
    pushl $0x08
    pushl %eax
    lret

.code64
entry64:
    movabsq $entry_high, %rax
    jmp *%rax
entry_high:
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    leaq boot_stack_top(%rip), %rsp
    movl %esi, %edi /* magic */
    movl %ebx, %esi /* the loader's block */
    movl %ebp, %edx /* physical address of the image */
    xorl %ebp, %ebp
    call boot_main
    ud2

.section .data
.balign 16
boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff
boot_gdt_pointer:
    .short 15
    .long 0
.balign 8
.globl boot_entry_tsc
boot_entry_tsc:
    .quad 0

.section .bss.page, "aw", @nobits
.balign 4096
.globl boot_pml4, boot_pdpt
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_pdpt_image:
    .skip 4096
boot_pd_image:
    .skip 4096
boot_pd:
    .skip 4 * 4096
.globl boot_stack_top
boot_stack:
    .skip 16384
boot_stack_top:
