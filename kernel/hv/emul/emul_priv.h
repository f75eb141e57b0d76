/* SPDX-License-Identifier: MIT
 *
 * Between the emulator's files: opcode tables, operand access, arithmetic.
 */
#pragma once

#include "hv/emul/emul.h"

enum emul_op {
    EMUL_OP_NONE, /* decoded for its length only */
    EMUL_OP_ADD,  /* the eight in the order of their encoding */
    EMUL_OP_OR,
    EMUL_OP_ADC,
    EMUL_OP_SBB,
    EMUL_OP_AND,
    EMUL_OP_SUB,
    EMUL_OP_XOR,
    EMUL_OP_CMP,
    EMUL_OP_TEST,
    EMUL_OP_GROUP1, /* the eight by ModRM.reg */
    EMUL_OP_SHIFT,  /* group 2 */
    EMUL_OP_GROUP3,
    EMUL_OP_GROUP45, /* inc, dec, call, jmp, push */
    EMUL_OP_INC,
    EMUL_OP_DEC,
    EMUL_OP_MOV,
    EMUL_OP_MOVZX,
    EMUL_OP_MOVSX,
    EMUL_OP_MOV_FROM_SREG,
    EMUL_OP_MOV_TO_SREG,
    EMUL_OP_LEA,
    EMUL_OP_XCHG,
    EMUL_OP_CMPXCHG,
    EMUL_OP_XADD,
    EMUL_OP_BT, /* bt, bts, btr, btc in the order of their encoding */
    EMUL_OP_BTS,
    EMUL_OP_BTR,
    EMUL_OP_BTC,
    EMUL_OP_GROUP8,
    EMUL_OP_IMUL,
    EMUL_OP_BSWAP,
    EMUL_OP_SCAN,
    EMUL_OP_DSHIFT,
    EMUL_OP_CMOV,
    EMUL_OP_SETCC,
    EMUL_OP_PUSH,
    EMUL_OP_POP,
    EMUL_OP_PUSH_SEG,
    EMUL_OP_POP_SEG,
    EMUL_OP_PUSHF,
    EMUL_OP_POPF,
    EMUL_OP_JCC,
    EMUL_OP_JMP,
    EMUL_OP_CALL,
    EMUL_OP_RET,
    EMUL_OP_LOOP,
    EMUL_OP_CBW,
    EMUL_OP_CWD,
    EMUL_OP_FLAG, /* clc, stc, cli, sti, cld, std, cmc */
    EMUL_OP_HLT,
    EMUL_OP_NOP,
    EMUL_OP_MOVS,
    EMUL_OP_CMPS,
    EMUL_OP_STOS,
    EMUL_OP_LODS,
    EMUL_OP_SCAS,
    EMUL_OP_INS,
    EMUL_OP_OUTS,
    EMUL_OP_IN,
    EMUL_OP_OUT,
    EMUL_OP_CR,
    EMUL_OP_DR,
    EMUL_OP_CLTS,
    EMUL_OP_GROUP6,
    EMUL_OP_GROUP7,
    EMUL_OP_POPCNT,
    EMUL_OP_GROUP9,
    EMUL_OP_XLAT,
    EMUL_OP_AH_FLAGS,
    EMUL_OP_LEAVE,
    EMUL_OP_COUNT,
};

/* Where an operand is. */
enum emul_kind {
    EMUL_K_NONE,
    EMUL_K_RM,
    EMUL_K_REG,   /* ModRM.reg */
    EMUL_K_ACC,   /* AL, AX, EAX, RAX */
    EMUL_K_OPREG, /* low three bits of the opcode, and REX.B */
    EMUL_K_IMM,
    EMUL_K_MOFFS, /* an address in the instruction */
    EMUL_K_ONE,
    EMUL_K_CL,
};

enum emul_entry_flags {
    EMUL_F_MODRM = 1 << 0,
    EMUL_F_BYTE = 1 << 1, /* operands are bytes */
    EMUL_F_IMM8 = 1 << 2, /* sign-extended */
    EMUL_F_IMMZ = 1 << 3, /* 2 or 4 bytes */
    EMUL_F_IMMV = 1 << 4, /* 2, 4 or 8 bytes */
    EMUL_F_IMM16 = 1 << 5,
    EMUL_F_MOFFS = 1 << 6,
    EMUL_F_FAR = 1 << 7,    /* offset and selector */
    EMUL_F_STACK = 1 << 8,  /* 64-bit operand by default in long mode */
    EMUL_F_NEAR = 1 << 9,   /* always 64-bit in long mode */
    EMUL_F_NO64 = 1 << 10,  /* undefined in long mode */
    EMUL_F_BAD = 1 << 11,   /* undefined */
    EMUL_F_REGS = 1 << 12,  /* ModRM.mod is taken for 3 (control and debug registers) */
    EMUL_F_LOCK = 1 << 13,  /* LOCK is allowed if the destination is memory */
    EMUL_F_TEST3 = 1 << 14, /* an immediate only if ModRM.reg is 0 or 1 */
};

struct emul_entry {
    u8 op;       /* enum emul_op */
    u8 dst, src; /* enum emul_kind */
    u16 flags;
};

extern const struct emul_entry emul_table_one[256];
extern const struct emul_entry emul_table_0f[256];
extern const struct emul_entry emul_entry_0f38, emul_entry_0f3a;

#define EMUL_CF 0x0001ull
#define EMUL_PF 0x0004ull
#define EMUL_AF 0x0010ull
#define EMUL_ZF 0x0040ull
#define EMUL_SF 0x0080ull
#define EMUL_IF 0x0200ull
#define EMUL_DF 0x0400ull
#define EMUL_OF 0x0800ull
#define EMUL_RF 0x10000ull
#define EMUL_IOPL(rflags) ((rflags) >> 12 & 3)
#define EMUL_ARITH (EMUL_CF | EMUL_PF | EMUL_AF | EMUL_ZF | EMUL_SF | EMUL_OF)

/* Fault vectors. */
enum { EMUL_DE = 0, EMUL_UD = 6, EMUL_NP = 11, EMUL_SS_FAULT = 12, EMUL_GP = 13 };

/* Attributes of segments. */
#define EMUL_ATTR_PRESENT 0x80
#define EMUL_ATTR_TYPE 0x1f  /* with S */
#define EMUL_TYPE_TSS16 0x01 /* not busy */
#define EMUL_TYPE_TSS 0x09
#define EMUL_TYPE_BUSY 0x02 /* of either */

/* ------------------------------------------------------------- arithmetic (emul_alu.c) */
/* `size` is in bytes, operands and results are masked to it. */

static inline u64 emul_mask(u64 v, u32 size)
{
    return size == 8 ? v : v & ((1ull << size * 8) - 1);
}

static inline u64 emul_sign_extend(u64 v, u32 size)
{
    u32 shift = 64 - size * 8;

    return (u64)((s64)(v << shift) >> shift);
}

/* EMUL_OP_ADD to EMUL_OP_TEST; CMP and TEST return `a`. */
u64 emul_alu(enum emul_op op, u64 a, u64 b, u32 size, u64 *rflags);
u64 emul_alu_inc(u64 a, bool down, u32 size, u64 *rflags);
u64 emul_alu_neg(u64 a, u32 size, u64 *rflags);
/* Group 2: rol, ror, rcl, rcr, shl, shr, shl, sar. */
u64 emul_alu_shift(u32 which, u64 a, u32 count, u32 size, u64 *rflags);
/* Truncated signed product; CF and OF say whether something was lost. */
u64 emul_alu_imul(u64 a, u64 b, u32 size, u64 *rflags);
/* Full product and quotient; emul_alu_div returns false where the CPU raises #DE. */
void emul_alu_mul(u64 a, u64 b, bool is_signed, u32 size, u64 *low, u64 *high, u64 *rflags);
bool emul_alu_div(u64 low, u64 high, u64 by, bool is_signed, u32 size, u64 *quot, u64 *rem);
/* The sixteen conditions of Jcc, SETcc, CMOVcc. */
bool emul_condition(u32 code, u64 rflags);

/* ------------------------------------------------------------- operands and memory (emul_mem.c) */
/* An int: 0, or what emul_run returns. */

int emul_raise(struct emul *e, u8 vector, bool has_error, u32 error);
/* Of an instruction with this REX prefix; reg 4 to 7 without one are AH, CH, DH, BH as bytes. */
u64 emul_gpr_read(const u64 gpr[16], u8 rex, u32 reg, u32 size);
void emul_gpr_write(u64 gpr[16], u8 rex, u32 reg, u32 size, u64 value);
/* The offset of a memory operand in its segment. */
u64 emul_ea(const struct emul_insn *insn, const u64 gpr[16], u64 rip);
u64 emul_reg_read(const struct emul *e, u32 reg, u32 size);
void emul_reg_write(struct emul *e, u32 reg, u32 size, u64 value);
u64 emul_address(const struct emul *e);
int emul_mem_read(struct emul *e, u32 seg, u64 ea, u32 size, u64 *value);
int emul_mem_write(struct emul *e, u32 seg, u64 ea, u32 size, u64 value);
/* Locked update: `old` is what was read. */
int emul_mem_update(struct emul *e, u32 seg, u64 ea, u32 size, u64 old, u64 value);
/* May this code use these ports? 0, or #GP. Asked before an instruction's first access. */
int emul_port_check(struct emul *e, u16 port, u32 size);
int emul_port_in(struct emul *e, u16 port, u32 size, u64 *value);
int emul_port_out(struct emul *e, u16 port, u32 size, u64 value);
/* The CPU's own read of its tables, up to a page long. */
int emul_read_system(struct emul *e, u64 linear, void *buf, u32 len);
/* The instruction's own operands. */
u32 emul_operand_size(const struct emul *e);
int emul_get(struct emul *e, enum emul_kind kind, u32 size, u64 *value);
/* `old` is what emul_get returned, for locked instructions. */
int emul_put(struct emul *e, enum emul_kind kind, u32 size, u64 old, u64 value);
int emul_push(struct emul *e, u32 size, u64 value);
/* Reads the top of the stack; the caller moves RSP by emul_stack_move when all has succeeded. */
int emul_peek(struct emul *e, u32 size, u64 *value);
void emul_stack_move(struct emul *e, s64 by);
void emul_stack_set(struct emul *e, u64 rsp);

/* ------------------------------------------------------------- families */

typedef int (*emul_handler)(struct emul *e);
int emul_string(struct emul *e); /* emul_string.c: movs to outs, with rep */
int emul_in(struct emul *e);
int emul_out(struct emul *e);
/* emul_system.c: cr, dr, clts, groups 6 and 7, flags, hlt, segments */
int emul_system(struct emul *e);
int emul_bits(struct emul *e); /* emul_bits.c: scans, double shifts and small ones */
int emul_execute(struct emul *e);
/* A round of a rep is complete: it will not be undone. */
void emul_checkpoint(struct emul *e);
