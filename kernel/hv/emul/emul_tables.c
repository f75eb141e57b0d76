/* SPDX-License-Identifier: MIT
 *
 * Opcode maps. SDM 2D appendix A; AMD APM 3 appendix A.
 */
#include "hv/emul/emul_priv.h"

#define M EMUL_F_MODRM
#define B EMUL_F_BYTE
#define I8 EMUL_F_IMM8
#define IZ EMUL_F_IMMZ
#define N64 EMUL_F_NO64
#define ST EMUL_F_STACK
#define NR EMUL_F_NEAR
#define LK EMUL_F_LOCK

#define OP(op, dst, src, flags)                           \
    {                                                     \
        EMUL_OP_##op, EMUL_K_##dst, EMUL_K_##src, (flags) \
    }
#define LEN(flags)                                      \
    {                                                   \
        EMUL_OP_NONE, EMUL_K_NONE, EMUL_K_NONE, (flags) \
    }
#define BAD LEN(EMUL_F_BAD)

#define ALU(base, op)                                                             \
    [base] = OP(op, RM, REG, M | B | LK), [(base) + 1] = OP(op, RM, REG, M | LK), \
    [(base) + 2] = OP(op, REG, RM, M | B), [(base) + 3] = OP(op, REG, RM, M),     \
    [(base) + 4] = OP(op, ACC, IMM, B | I8), [(base) + 5] = OP(op, ACC, IMM, IZ)

const struct emul_entry emul_table_one[256] = {
    ALU(0x00, ADD),
    ALU(0x08, OR),
    ALU(0x10, ADC),
    ALU(0x18, SBB),
    ALU(0x20, AND),
    ALU(0x28, SUB),
    ALU(0x30, XOR),
    ALU(0x38, CMP),
    [0x06] = OP(PUSH_SEG, NONE, NONE, N64),
    [0x07] = OP(POP_SEG, NONE, NONE, N64),
    [0x0e] = OP(PUSH_SEG, NONE, NONE, N64),
    [0x16] = OP(PUSH_SEG, NONE, NONE, N64),
    [0x17] = OP(POP_SEG, NONE, NONE, N64),
    [0x1e] = OP(PUSH_SEG, NONE, NONE, N64),
    [0x1f] = OP(POP_SEG, NONE, NONE, N64),
    [0x27] = LEN(N64), /* daa */
    [0x2f] = LEN(N64), /* das */
    [0x37] = LEN(N64), /* aaa */
    [0x3f] = LEN(N64), /* aas */
    [0x40 ... 0x47] = OP(INC, OPREG, NONE, 0),
    [0x48 ... 0x4f] = OP(DEC, OPREG, NONE, 0),
    [0x50 ... 0x57] = OP(PUSH, NONE, OPREG, ST),
    [0x58 ... 0x5f] = OP(POP, OPREG, NONE, ST),
    [0x60] = LEN(N64),     /* pusha */
    [0x61] = LEN(N64),     /* popa */
    [0x62] = LEN(M | N64), /* bound; EVEX is distinguished before */
    [0x63] = OP(MOVSX, REG, RM, M),
    [0x68] = OP(PUSH, NONE, IMM, IZ | ST),
    [0x69] = OP(IMUL, REG, RM, M | IZ),
    [0x6a] = OP(PUSH, NONE, IMM, I8 | ST),
    [0x6b] = OP(IMUL, REG, RM, M | I8),
    [0x6c] = OP(INS, NONE, NONE, B),
    [0x6d] = OP(INS, NONE, NONE, 0),
    [0x6e] = OP(OUTS, NONE, NONE, B),
    [0x6f] = OP(OUTS, NONE, NONE, 0),
    [0x70 ... 0x7f] = OP(JCC, NONE, IMM, I8 | NR),
    [0x80] = OP(GROUP1, RM, IMM, M | B | I8 | LK),
    [0x81] = OP(GROUP1, RM, IMM, M | IZ | LK),
    [0x82] = OP(GROUP1, RM, IMM, M | B | I8 | N64 | LK),
    [0x83] = OP(GROUP1, RM, IMM, M | I8 | LK),
    [0x84] = OP(TEST, RM, REG, M | B),
    [0x85] = OP(TEST, RM, REG, M),
    [0x86] = OP(XCHG, RM, REG, M | B | LK),
    [0x87] = OP(XCHG, RM, REG, M | LK),
    [0x88] = OP(MOV, RM, REG, M | B),
    [0x89] = OP(MOV, RM, REG, M),
    [0x8a] = OP(MOV, REG, RM, M | B),
    [0x8b] = OP(MOV, REG, RM, M),
    [0x8c] = OP(MOV_FROM_SREG, RM, NONE, M),
    [0x8d] = OP(LEA, REG, NONE, M),
    [0x8e] = OP(MOV_TO_SREG, NONE, RM, M),
    [0x8f] = OP(POP, RM, NONE, M | ST),
    [0x90 ... 0x97] = OP(XCHG, ACC, OPREG, 0),
    [0x98] = OP(CBW, NONE, NONE, 0),
    [0x99] = OP(CWD, NONE, NONE, 0),
    [0x9a] = LEN(EMUL_F_FAR | N64),
    [0x9b] = LEN(0), /* fwait */
    [0x9c] = OP(PUSHF, NONE, NONE, ST),
    [0x9d] = OP(POPF, NONE, NONE, ST),
    [0x9e] = OP(AH_FLAGS, NONE, NONE, 0),
    [0x9f] = OP(AH_FLAGS, NONE, NONE, 0),
    [0xa0] = OP(MOV, ACC, MOFFS, B | EMUL_F_MOFFS),
    [0xa1] = OP(MOV, ACC, MOFFS, EMUL_F_MOFFS),
    [0xa2] = OP(MOV, MOFFS, ACC, B | EMUL_F_MOFFS),
    [0xa3] = OP(MOV, MOFFS, ACC, EMUL_F_MOFFS),
    [0xa4] = OP(MOVS, NONE, NONE, B),
    [0xa5] = OP(MOVS, NONE, NONE, 0),
    [0xa6] = OP(CMPS, NONE, NONE, B),
    [0xa7] = OP(CMPS, NONE, NONE, 0),
    [0xa8] = OP(TEST, ACC, IMM, B | I8),
    [0xa9] = OP(TEST, ACC, IMM, IZ),
    [0xaa] = OP(STOS, NONE, NONE, B),
    [0xab] = OP(STOS, NONE, NONE, 0),
    [0xac] = OP(LODS, NONE, NONE, B),
    [0xad] = OP(LODS, NONE, NONE, 0),
    [0xae] = OP(SCAS, NONE, NONE, B),
    [0xaf] = OP(SCAS, NONE, NONE, 0),
    [0xb0 ... 0xb7] = OP(MOV, OPREG, IMM, B | I8),
    [0xb8 ... 0xbf] = OP(MOV, OPREG, IMM, EMUL_F_IMMV),
    [0xc0] = OP(SHIFT, RM, IMM, M | B | I8),
    [0xc1] = OP(SHIFT, RM, IMM, M | I8),
    [0xc2] = OP(RET, NONE, IMM, EMUL_F_IMM16 | NR),
    [0xc3] = OP(RET, NONE, NONE, NR),
    [0xc4] = LEN(M | N64), /* les; VEX is distinguished before */
    [0xc5] = LEN(M | N64), /* lds; VEX likewise */
    [0xc6] = OP(MOV, RM, IMM, M | B | I8),
    [0xc7] = OP(MOV, RM, IMM, M | IZ),
    [0xc8] = LEN(EMUL_F_IMM16 | I8), /* enter */
    [0xc9] = OP(LEAVE, NONE, NONE, ST),
    [0xca] = LEN(EMUL_F_IMM16),
    [0xcb] = LEN(0), /* retf */
    [0xcc] = LEN(0), /* int3 */
    [0xcd] = LEN(I8),
    [0xce] = LEN(N64),
    [0xcf] = LEN(0), /* iret */
    [0xd0] = OP(SHIFT, RM, ONE, M | B),
    [0xd1] = OP(SHIFT, RM, ONE, M),
    [0xd2] = OP(SHIFT, RM, CL, M | B),
    [0xd3] = OP(SHIFT, RM, CL, M),
    [0xd4] = LEN(I8 | N64), /* aam */
    [0xd5] = LEN(I8 | N64), /* aad */
    [0xd6] = LEN(N64),      /* salc */
    [0xd7] = OP(XLAT, NONE, NONE, 0),
    [0xd8 ... 0xdf] = LEN(M),
    [0xe0 ... 0xe3] = OP(LOOP, NONE, IMM, I8 | NR),
    [0xe4] = OP(IN, ACC, IMM, B | I8),
    [0xe5] = OP(IN, ACC, IMM, I8),
    [0xe6] = OP(OUT, ACC, IMM, B | I8),
    [0xe7] = OP(OUT, ACC, IMM, I8),
    [0xe8] = OP(CALL, NONE, IMM, IZ | NR),
    [0xe9] = OP(JMP, NONE, IMM, IZ | NR),
    [0xea] = LEN(EMUL_F_FAR | N64),
    [0xeb] = OP(JMP, NONE, IMM, I8 | NR),
    [0xec] = OP(IN, ACC, NONE, B),
    [0xed] = OP(IN, ACC, NONE, 0),
    [0xee] = OP(OUT, ACC, NONE, B),
    [0xef] = OP(OUT, ACC, NONE, 0),
    [0xf1] = LEN(0), /* int1 */
    [0xf4] = OP(HLT, NONE, NONE, 0),
    [0xf5] = OP(FLAG, NONE, NONE, 0),
    [0xf6] = OP(GROUP3, RM, IMM, M | B | I8 | EMUL_F_TEST3 | LK),
    [0xf7] = OP(GROUP3, RM, IMM, M | IZ | EMUL_F_TEST3 | LK),
    [0xf8 ... 0xfd] = OP(FLAG, NONE, NONE, 0),
    [0xfe] = OP(GROUP45, RM, NONE, M | B | LK),
    [0xff] = OP(GROUP45, RM, NONE, M | LK),
};

const struct emul_entry emul_table_0f[256] = {
    [0x00] = OP(GROUP6, RM, NONE, M),
    [0x01] = OP(GROUP7, RM, NONE, M),
    [0x02] = LEN(M),
    [0x03] = LEN(M),
    [0x04] = BAD,
    [0x05] = LEN(0),
    [0x06] = OP(CLTS, NONE, NONE, 0),
    [0x07] = LEN(0),
    [0x08] = LEN(0), /* invd */
    [0x09] = LEN(0), /* wbinvd */
    [0x0a] = BAD,
    [0x0b] = LEN(0), /* ud2 */
    [0x0c] = BAD,
    [0x0d] = OP(NOP, NONE, NONE, M), /* prefetchw */
    [0x0e] = LEN(0),
    [0x0f] = LEN(M | I8), /* 3DNow! */
    [0x10 ... 0x17] = LEN(M),
    [0x18 ... 0x1f] = OP(NOP, NONE, NONE, M),
    [0x20] = OP(CR, NONE, NONE, M | EMUL_F_REGS),
    [0x21] = OP(DR, NONE, NONE, M | EMUL_F_REGS),
    [0x22] = OP(CR, NONE, NONE, M | EMUL_F_REGS),
    [0x23] = OP(DR, NONE, NONE, M | EMUL_F_REGS),
    [0x24 ... 0x27] = BAD,
    [0x28 ... 0x2f] = LEN(M),
    [0x30 ... 0x35] = LEN(0), /* wrmsr, rdtsc, rdmsr, rdpmc, sysenter, sysexit */
    [0x36] = BAD,
    [0x37] = LEN(0),
    [0x39] = BAD,
    [0x3b ... 0x3f] = BAD,
    [0x40 ... 0x4f] = OP(CMOV, REG, RM, M),
    [0x50 ... 0x6f] = LEN(M),
    [0x70 ... 0x73] = LEN(M | I8),
    [0x74 ... 0x76] = LEN(M),
    [0x77] = LEN(0), /* emms, vzeroupper */
    [0x78 ... 0x7f] = LEN(M),
    [0x80 ... 0x8f] = OP(JCC, NONE, IMM, IZ | NR),
    [0x90 ... 0x9f] = OP(SETCC, RM, NONE, M | B),
    [0xa0] = OP(PUSH_SEG, NONE, NONE, ST),
    [0xa1] = OP(POP_SEG, NONE, NONE, ST),
    [0xa2] = LEN(0), /* cpuid */
    [0xa3] = OP(BT, RM, REG, M),
    [0xa4] = OP(DSHIFT, RM, IMM, M | I8),
    [0xa5] = OP(DSHIFT, RM, CL, M),
    [0xa6] = BAD,
    [0xa7] = BAD,
    [0xa8] = OP(PUSH_SEG, NONE, NONE, ST),
    [0xa9] = OP(POP_SEG, NONE, NONE, ST),
    [0xaa] = LEN(0), /* rsm */
    [0xab] = OP(BTS, RM, REG, M | LK),
    [0xac] = OP(DSHIFT, RM, IMM, M | I8),
    [0xad] = OP(DSHIFT, RM, CL, M),
    [0xae] = LEN(M),
    [0xaf] = OP(IMUL, REG, RM, M),
    [0xb0] = OP(CMPXCHG, RM, REG, M | B | LK),
    [0xb1] = OP(CMPXCHG, RM, REG, M | LK),
    [0xb2] = LEN(M),
    [0xb3] = OP(BTR, RM, REG, M | LK),
    [0xb4] = LEN(M),
    [0xb5] = LEN(M),
    [0xb6] = OP(MOVZX, REG, RM, M),
    [0xb7] = OP(MOVZX, REG, RM, M),
    [0xb8] = OP(POPCNT, REG, RM, M),
    [0xb9] = LEN(M),
    [0xba] = OP(GROUP8, RM, IMM, M | I8 | LK),
    [0xbb] = OP(BTC, RM, REG, M | LK),
    [0xbc] = OP(SCAN, REG, RM, M),
    [0xbd] = OP(SCAN, REG, RM, M),
    [0xbe] = OP(MOVSX, REG, RM, M),
    [0xbf] = OP(MOVSX, REG, RM, M),
    [0xc0] = OP(XADD, RM, REG, M | B | LK),
    [0xc1] = OP(XADD, RM, REG, M | LK),
    [0xc2] = LEN(M | I8),
    [0xc3] = OP(MOV, RM, REG, M), /* movnti */
    [0xc4 ... 0xc6] = LEN(M | I8),
    [0xc7] = OP(GROUP9, RM, NONE, M | LK),
    [0xc8 ... 0xcf] = OP(BSWAP, OPREG, NONE, 0),
    [0xd0 ... 0xff] = LEN(M),
};

const struct emul_entry emul_entry_0f38 = LEN(M);
const struct emul_entry emul_entry_0f3a = LEN(M | I8);
