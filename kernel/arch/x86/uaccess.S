/* SPDX-License-Identifier: MIT
 *
 * Copies to and from user memory. Each instruction that may fault has an entry in .extable: (faulting
 * address, where to go on). RCX counts what is left, so the fix-up just returns it.
 *
 * SMAP is lifted by STAC for the copy alone; on a CPU without it the two instructions are patched to
 * NOPs at boot (uaccess_patch in uaccess.c walks .smap).
 */
#include "arch/x86/entry.h"

.macro EX from, to
    .pushsection .extable, "a"
    .balign 8
    .quad \from, \to
    .popsection
.endm

.text

/* u64 uaccess_copy(void *dst, const void *src, u64 n): bytes not copied. */
.globl uaccess_copy
uaccess_copy:
    AC_ON
    movq %rdx, %rcx
    cmpq $16, %rdx
    jb 3f
    shrq $3, %rcx
    andl $7, %edx
1:  rep movsq
    movl %edx, %ecx
3:  testl %ecx, %ecx
    jz 4f
2:  rep movsb
4:  AC_OFF
    movq %rcx, %rax
    ret
5:  leaq (%rdx,%rcx,8), %rax /* words left, and the tail */
    movq %rax, %rcx
    /* The word that faulted may be there in part: bytes tell exactly. */
6:  rep movsb
7:  AC_OFF
    movq %rcx, %rax
    ret
    EX 1b, 5b
    EX 2b, 4b
    EX 6b, 7b

/* u64 uaccess_clear(void *dst, u64 n) */
.globl uaccess_clear
uaccess_clear:
    AC_ON
    xorl %eax, %eax
    movq %rsi, %rcx
    movl %esi, %edx
    shrq $3, %rcx
    andl $7, %edx
1:  rep stosq
    movl %edx, %ecx
2:  rep stosb
4:  AC_OFF
    movq %rcx, %rax
    ret
5:  leaq (%rdx,%rcx,8), %rcx
6:  rep stosb
    jmp 4b
    EX 1b, 5b
    EX 2b, 4b
    EX 6b, 4b

/* s64 uaccess_string(char *dst, const char *src, u64 max): length without NUL; -1 fault; -2 too long
 *
 * By words, none of which crosses into another page: one where the string begins, then aligned
 * ones. By bytes the last few before max, and a string that begins at the very end of a page.
 * What lies behind the NUL in its word is not copied. */
.globl uaccess_string
uaccess_string:
    AC_ON
    xorl %ecx, %ecx
    movl %esi, %eax
    andl $0xfff, %eax
    cmpl $0xff8, %eax
    ja 1f
    cmpq $8, %rdx
    jb 1f
    movabsq $0x0101010101010101, %r8
    movabsq $0x8080808080808080, %r9
    andl $7, %eax
    negl %eax
    addl $8, %eax /* where the aligned words begin */
5:  movq (%rsi,%rcx), %r10
    movq %r10, %r11
    subq %r8, %r11
    notq %r10
    andq %r10, %r11
    notq %r10
    andq %r9, %r11 /* 0x80 in the first byte that is zero; nothing in those before it */
    jnz 6f
    movq %r10, (%rdi,%rcx)
    movq %rax, %rcx
    addq $8, %rax
    cmpq %rdx, %rax
    jbe 5b
1:  cmpq %rdx, %rcx
    je 3f
2:  movb (%rsi,%rcx), %al
    movb %al, (%rdi,%rcx)
    incq %rcx
    testb %al, %al
    jnz 1b
    AC_OFF
    leaq -1(%rcx), %rax
    ret
6:  AC_OFF
    bsfq %r11, %rax
    shrq $3, %rax
    addq %rcx, %rax
    leaq -1(%r11), %r8 /* ones below that bit, whatever stands above it */
    notq %r11
    andq %r11, %r8
    andq %r8, %r10
    movq %r10, (%rdi,%rcx)
    ret
3:  AC_OFF
    movq $-2, %rax
    ret
4:  AC_OFF
    movq $-1, %rax
    ret
    EX 2b, 4b
    EX 5b, 4b

/* int uaccess_load{32,64}(out, src): 0 or -1 */
.macro LOAD_WORD bits, reg
.globl uaccess_load\bits
uaccess_load\bits:
    AC_ON
1:  mov (%rsi), \reg
    AC_OFF
    mov \reg, (%rdi)
    xorl %eax, %eax
    ret
    EX 1b, uaccess_word_fault
.endm
LOAD_WORD 32, %eax
LOAD_WORD 64, %rax

/* int uaccess_store32(dst, v): 0 or -1 */
.globl uaccess_store32
uaccess_store32:
    AC_ON
1:  movl %esi, (%rdi)
    AC_OFF
    xorl %eax, %eax
    ret
    EX 1b, uaccess_word_fault

uaccess_word_fault:
    AC_OFF
    movl $-1, %eax
    ret

/* int uaccess_casN(uN *dst, uN *old, uN new) */
.macro uaccess_cas bits old new
.globl uaccess_cas\bits
uaccess_cas\bits:
    mov (%rsi), \old
    AC_ON
1:  lock cmpxchg \new, (%rdi)
    AC_OFF
    mov \old, (%rsi)
    xorl %eax, %eax
    ret
    EX 1b, uaccess_word_fault
.endm
uaccess_cas 8, %al, %dl
uaccess_cas 16, %ax, %dx
uaccess_cas 32, %eax, %edx
uaccess_cas 64, %rax, %rdx

/* int msr_read(u32 msr, u64 *out), msr_write(u32 msr, u64 v): 0 or -1 */
.globl msr_read, msr_write
msr_read:
    movl %edi, %ecx
1:  rdmsr
    shlq $32, %rdx
    movl %eax, %eax
    orq %rdx, %rax
    movq %rax, (%rsi)
    xorl %eax, %eax
    ret
    EX 1b, msr_fault
msr_write:
    movl %edi, %ecx
    movl %esi, %eax
    movq %rsi, %rdx
    shrq $32, %rdx
2:  wrmsr
    xorl %eax, %eax
    ret
    EX 2b, msr_fault
msr_fault:
    movl $-1, %eax
    ret

/* int uaccess_xsave(void *area, u64 components): 0 or -1 */
.globl uaccess_xsave
uaccess_xsave:
    movl %esi, %eax
    movq %rsi, %rdx
    shrq $32, %rdx
    AC_ON
1:  xsave64 (%rdi)
    AC_OFF
    xorl %eax, %eax
    ret
    EX 1b, uaccess_word_fault

/* int uaccess_xrstor(const void *area, u64 components), uaccess_fxrstor(const void *area): 0, or -1:
 * the page is not there, or the processor refuses what it holds */
.globl uaccess_xrstor, uaccess_fxrstor
uaccess_xrstor:
    movl %esi, %eax
    movq %rsi, %rdx
    shrq $32, %rdx
    AC_ON
1:  xrstor64 (%rdi)
    AC_OFF
    xorl %eax, %eax
    ret
    EX 1b, uaccess_word_fault
uaccess_fxrstor:
    AC_ON
2:  fxrstor64 (%rdi)
    AC_OFF
    xorl %eax, %eax
    ret
    EX 2b, uaccess_word_fault
