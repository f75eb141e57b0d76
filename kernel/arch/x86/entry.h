/* SPDX-License-Identifier: MIT
 *
 * Numbers that assembly and C share; trap.c checks them against the structs.
 */
#pragma once

#define SEL_USER_DS 0x23
#define SEL_USER_CS 0x2b
#define SEL_USER_CPU 0x43 /* data; its limit is the number of the CPU (for LSL) */
#define FRAME_R11 48
#define FRAME_RAX 80
#define FRAME_RCX 88
#define FRAME_RIP 128
#define FRAME_CS 136
#define FRAME_RFLAGS 144
#define FRAME_SIZE 168
#define TRAP_STUB_SIZE 16
#define MSR_GS_BASE_NR 0xc0000101
#define RFLAGS_TF_BIT 0x100
#define RFLAGS_RF_BIT 0x10000
#define VEC_UD_NR 6

// clang-format off
#ifdef __ASSEMBLER__
/* SMAP's switch, in code that uaccess_patch turns into NOPs on a CPU without it. */
.macro AC_ON
661: stac
    .pushsection .smap, "a"
    .quad 661b
    .popsection
.endm
.macro AC_OFF
661: clac
    .pushsection .smap, "a"
    .quad 661b
    .popsection
.endm
#endif
    // clang-format on
