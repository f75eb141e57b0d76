/* SPDX-License-Identifier: MIT
 *
 * Moves, arithmetic, bits, branches and the stack: one function per family, found by a table.
 */
#include "hv/emul/emul_priv.h"
#include "lib/compiler.h"

/* Reads the destination and the source. */
static int emul_get_both(struct emul *e, u32 size, u64 *dst, u64 *src)
{
    int err = emul_get(e, e->insn.entry->dst, size, dst);

    return err ? err : emul_get(e, e->insn.entry->src, size, src);
}

static int emul_do_alu(struct emul *e)
{
    enum emul_op op = e->insn.entry->op;
    u32 size = emul_operand_size(e);
    u64 a, b, r;
    int err = emul_get_both(e, size, &a, &b);

    if (err)
        return err;
    if (op == EMUL_OP_GROUP1)
        op = EMUL_OP_ADD + (e->insn.reg & 7);
    r = emul_alu(op, a, b, size, &e->rflags);
    if (op == EMUL_OP_CMP || op == EMUL_OP_TEST)
        return EMUL_DONE;
    return emul_put(e, e->insn.entry->dst, size, a, r);
}

static int emul_do_shift(struct emul *e)
{
    u32 size = emul_operand_size(e);
    u64 a, count;
    int err = emul_get(e, EMUL_K_RM, size, &a);

    if (!err)
        err = emul_get(e, e->insn.entry->src, 1, &count);
    if (err)
        return err;
    return emul_put(e, EMUL_K_RM, size, a,
                    emul_alu_shift(e->insn.reg & 7, a, (u32)count, size, &e->rflags));
}

/* mul, imul: AX or DX:AX = A * operand. */
static void emul_do_mul(struct emul *e, u64 by, bool is_signed, u32 size)
{
    u64 low, high;

    emul_alu_mul(e->gpr[EMUL_RAX], by, is_signed, size, &low, &high, &e->rflags);
    if (size == 1) {
        emul_reg_write(e, EMUL_RAX, 2, low | high << 8);
        return;
    }
    emul_reg_write(e, EMUL_RAX, size, low);
    emul_reg_write(e, EMUL_RDX, size, high);
}

static int emul_do_div(struct emul *e, u64 by, bool is_signed, u32 size)
{
    u64 low = emul_mask(e->gpr[EMUL_RAX], size), quot, rem;
    u64 high = size == 1 ? e->gpr[EMUL_RAX] >> 8 & 0xff : emul_mask(e->gpr[EMUL_RDX], size);

    if (!emul_alu_div(low, high, by, is_signed, size, &quot, &rem))
        return emul_raise(e, EMUL_DE, false, 0);
    if (size == 1) {
        emul_reg_write(e, EMUL_RAX, 2, quot | rem << 8);
        return EMUL_DONE;
    }
    emul_reg_write(e, EMUL_RAX, size, quot);
    emul_reg_write(e, EMUL_RDX, size, rem);
    return EMUL_DONE;
}

/* test, test, not, neg, mul, imul, div, idiv */
static int emul_do_group3(struct emul *e)
{
    u32 size = emul_operand_size(e), which = e->insn.reg & 7;
    u64 a;
    int err = emul_get(e, EMUL_K_RM, size, &a);

    if (err)
        return err;
    switch (which) {
    case 0:
    case 1:
        emul_alu(EMUL_OP_TEST, a, e->insn.imm, size, &e->rflags);
        return EMUL_DONE;
    case 2:
        return emul_put(e, EMUL_K_RM, size, a, ~a);
    case 3:
        return emul_put(e, EMUL_K_RM, size, a, emul_alu_neg(a, size, &e->rflags));
    case 4:
    case 5:
        emul_do_mul(e, a, which == 5, size);
        return EMUL_DONE;
    default:
        return emul_do_div(e, a, which == 7, size);
    }
}

static int emul_do_incdec(struct emul *e, bool down)
{
    enum emul_kind dst = e->insn.entry->dst;
    u32 size = emul_operand_size(e);
    u64 a;
    int err = emul_get(e, dst, size, &a);

    return err ? err : emul_put(e, dst, size, a, emul_alu_inc(a, down, size, &e->rflags));
}

static int emul_do_inc(struct emul *e)
{
    return emul_do_incdec(e, false);
}

static int emul_do_dec(struct emul *e)
{
    return emul_do_incdec(e, true);
}

/* ------------------------------------------------------------- moves */

static int emul_do_mov(struct emul *e)
{
    const struct emul_entry *entry = e->insn.entry;
    u32 size = emul_operand_size(e);
    u64 v;
    int err;

    /* C6 and C7 are a group: only /0 is a move. */
    if (!e->insn.map && (e->insn.opcode & 0xfe) == 0xc6 && (e->insn.reg & 7))
        return EMUL_UNHANDLED;
    /* 0F C3 is MOVNTI: to memory only, and without a 16-bit form. */
    if (e->insn.map && (e->insn.mod == 3 || size == 2))
        return emul_raise(e, EMUL_UD, false, 0);
    err = emul_get(e, entry->src, size, &v);
    return err ? err : emul_put(e, entry->dst, size, 0, v);
}

static int emul_do_extend(struct emul *e)
{
    bool is_signed = e->insn.entry->op == EMUL_OP_MOVSX;
    u32 from = e->insn.opcode & 1 ? 2 : 1;
    u64 v;
    int err;

    if (!e->insn.map) { /* 63: movsxd; arpl outside long mode */
        if (e->mode != EMUL_LONG)
            return EMUL_UNHANDLED;
        from = MIN(e->insn.op_size, (u8)4);
    }
    err = emul_get(e, EMUL_K_RM, from, &v);
    if (!err)
        emul_reg_write(e, e->insn.reg, e->insn.op_size, is_signed ? emul_sign_extend(v, from) : v);
    return err;
}

static int emul_do_lea(struct emul *e)
{
    if (e->insn.mod == 3)
        return emul_raise(e, EMUL_UD, false, 0);
    emul_reg_write(e, e->insn.reg, e->insn.op_size, emul_address(e));
    return EMUL_DONE;
}

static int emul_do_xchg(struct emul *e)
{
    const struct emul_entry *entry = e->insn.entry;
    u32 size = emul_operand_size(e);
    u64 a, b;
    int err;

    /* 90 without REX.B is NOP: in long mode it must not clear the upper half. */
    if (!e->insn.map && e->insn.opcode == 0x90 && !(e->insn.rex & 1))
        return EMUL_DONE;
    err = emul_get_both(e, size, &a, &b);
    if (!err)
        err = emul_put(e, entry->dst, size, a, b);
    return err ? err : emul_put(e, entry->src, size, b, a);
}

static int emul_do_cmpxchg(struct emul *e)
{
    u32 size = emul_operand_size(e);
    u64 old, src, acc = emul_reg_read(e, EMUL_RAX, size);
    int err = emul_get_both(e, size, &old, &src);

    if (err)
        return err;
    emul_alu(EMUL_OP_CMP, acc, old, size, &e->rflags);
    if (acc == old)
        return emul_put(e, EMUL_K_RM, size, old, src);
    /* Memory is written back even then (SDM 2A, CMPXCHG); a register keeps its upper half. */
    if (e->insn.mod != 3)
        err = emul_put(e, EMUL_K_RM, size, old, old);
    if (!err)
        emul_reg_write(e, EMUL_RAX, size, old);
    return err;
}

static int emul_do_xadd(struct emul *e)
{
    u32 size = emul_operand_size(e);
    u64 a, b;
    int err = emul_get_both(e, size, &a, &b);

    if (err)
        return err;
    u64 sum = emul_alu(EMUL_OP_ADD, a, b, size, &e->rflags);

    if (e->insn.mod != 3) {
        err = emul_put(e, EMUL_K_RM, size, a, sum);
        if (!err)
            emul_reg_write(e, e->insn.reg, size, a);
        return err;
    }
    /* xadd of a register with itself leaves the sum. */
    emul_reg_write(e, e->insn.reg, size, a);
    emul_reg_write(e, e->insn.rm, size, sum);
    return EMUL_DONE;
}

/* bt, bts, btr, btc. A register's bit number may reach beyond a memory operand. */
static int emul_do_bit(struct emul *e)
{
    u32 size = e->insn.op_size, which = e->insn.entry->op - EMUL_OP_BT;
    bool memory = e->insn.mod != 3;
    u64 v, bit, ea = emul_address(e);
    int err = emul_get(e, e->insn.entry->src, size, &bit);

    if (e->insn.entry->op == EMUL_OP_GROUP8) {
        if ((e->insn.reg & 7) < 4)
            return emul_raise(e, EMUL_UD, false, 0);
        which = e->insn.reg & 3;
    } else if (memory) {
        s64 words = (s64)emul_sign_extend(bit, size) >> (size == 8 ? 6 : size == 4 ? 5 : 4);

        ea = emul_mask(ea + (u64)words * size, e->insn.addr_size);
    }
    bit &= size * 8 - 1;
    if (!err && memory)
        err = emul_mem_read(e, e->insn.seg, ea, size, &v);
    else if (!err)
        err = emul_get(e, EMUL_K_RM, size, &v);
    if (err)
        return err;

    u64 mask = 1ull << bit;
    u64 new = which == 1 ? v | mask : which == 2 ? v & ~mask : v ^ mask;

    e->rflags = (e->rflags & ~EMUL_CF) | (v >> bit & 1);
    if (!which)
        return EMUL_DONE;
    if (!memory)
        return emul_put(e, EMUL_K_RM, size, v, new);
    if (e->insn.lock)
        return emul_mem_update(e, e->insn.seg, ea, size, v, new);
    return emul_mem_write(e, e->insn.seg, ea, size, new);
}

static int emul_do_imul(struct emul *e)
{
    u32 size = e->insn.op_size;
    u64 a, b;
    int err = emul_get(e, EMUL_K_RM, size, &a);

    b = e->insn.map ? emul_reg_read(e, e->insn.reg, size) : e->insn.imm;
    if (!err)
        emul_reg_write(e, e->insn.reg, size, emul_alu_imul(a, b, size, &e->rflags));
    return err;
}

static int emul_do_bswap(struct emul *e)
{
    u64 v;

    emul_get(e, EMUL_K_OPREG, 8, &v);
    if (e->insn.op_size == 8)
        v = __builtin_bswap64(v);
    else
        v = e->insn.op_size == 4 ? __builtin_bswap32((u32)v) : 0; /* 16 bits: undefined, zero */
    return emul_put(e, EMUL_K_OPREG, e->insn.op_size, 0, v);
}

static int emul_do_cmov(struct emul *e)
{
    u64 v, old = emul_reg_read(e, e->insn.reg, e->insn.op_size);
    /* The source is read, and the upper half cleared, for either outcome of the condition. */
    int err = emul_get(e, EMUL_K_RM, e->insn.op_size, &v);

    if (!err)
        emul_reg_write(e, e->insn.reg, e->insn.op_size,
                       emul_condition(e->insn.opcode & 15, e->rflags) ? v : old);
    return err;
}

static int emul_do_setcc(struct emul *e)
{
    return emul_put(e, EMUL_K_RM, 1, 0, emul_condition(e->insn.opcode & 15, e->rflags));
}

static int emul_do_cbw(struct emul *e)
{
    u32 size = e->insn.op_size;

    emul_reg_write(e, EMUL_RAX, size, emul_sign_extend(e->gpr[EMUL_RAX], size / 2));
    return EMUL_DONE;
}

static int emul_do_cwd(struct emul *e)
{
    u32 size = e->insn.op_size;
    u64 sign = e->gpr[EMUL_RAX] >> (size * 8 - 1) & 1;

    emul_reg_write(e, EMUL_RDX, size, sign ? ~0ull : 0);
    return EMUL_DONE;
}

/* ------------------------------------------------------------- stack and branches */

static int emul_do_push(struct emul *e)
{
    u64 v;
    int err = emul_get(e, e->insn.entry->src, e->insn.op_size, &v);

    return err ? err : emul_push(e, e->insn.op_size, v);
}

static int emul_do_pop(struct emul *e)
{
    u64 v;
    int err = emul_peek(e, e->insn.op_size, &v);

    if (err)
        return err;
    /* An address with RSP in it is computed after the pop. */
    emul_stack_move(e, e->insn.op_size);
    return emul_put(e, e->insn.entry->dst, e->insn.op_size, 0, v);
}

static int emul_jump(struct emul *e, u64 target)
{
    target = emul_mask(target, e->insn.op_size);
    if (e->mode == EMUL_LONG ? emul_sign_extend(target, 6) != target
                             : target > e->seg[EMUL_CS].limit)
        return emul_raise(e, EMUL_GP, true, 0);
    e->next_rip = target;
    return EMUL_DONE;
}

static int emul_do_jcc(struct emul *e)
{
    if (!emul_condition(e->insn.opcode & 15, e->rflags))
        return EMUL_DONE;
    return emul_jump(e, e->next_rip + e->insn.imm);
}

static int emul_do_jmp(struct emul *e)
{
    return emul_jump(e, e->next_rip + e->insn.imm);
}

static int emul_call_to(struct emul *e, u64 target)
{
    int err = emul_push(e, e->insn.op_size, e->next_rip);

    return err ? err : emul_jump(e, target);
}

static int emul_do_call(struct emul *e)
{
    return emul_call_to(e, e->next_rip + e->insn.imm);
}

static int emul_do_ret(struct emul *e)
{
    u64 target;
    int err = emul_peek(e, e->insn.op_size, &target);

    if (err)
        return err;
    emul_stack_move(e, e->insn.op_size + (s64)(u16)e->insn.imm);
    return emul_jump(e, target);
}

/* loopne, loope, loop, jcxz */
static int emul_do_loop(struct emul *e)
{
    u32 size = e->insn.addr_size, which = e->insn.opcode & 3;
    bool zf = e->rflags & EMUL_ZF;
    u64 count = emul_mask(e->gpr[EMUL_RCX], size);

    if (which == 3)
        return count ? EMUL_DONE : emul_do_jmp(e);
    count = emul_mask(count - 1, size);
    emul_reg_write(e, EMUL_RCX, size, count);
    if (!count || (which == 0 && zf) || (which == 1 && !zf))
        return EMUL_DONE;
    return emul_do_jmp(e);
}

/* inc, dec, call, (far call), jmp, (far jmp), push */
static int emul_do_group45(struct emul *e)
{
    u32 which = e->insn.reg & 7;
    u64 v;
    int err;

    if (which < 2)
        return emul_do_incdec(e, which == 1);
    if (e->insn.opcode == 0xfe || which == 7)
        return emul_raise(e, EMUL_UD, false, 0);
    if (which == 3 || which == 5)
        return EMUL_UNHANDLED;
    err = emul_get(e, EMUL_K_RM, e->insn.op_size, &v);
    if (err)
        return err;
    switch (which) {
    case 2:
        return emul_call_to(e, v);
    case 4:
        return emul_jump(e, v);
    default:
        return emul_push(e, e->insn.op_size, v);
    }
}

static int emul_do_nop(struct emul *e)
{
    return EMUL_DONE;
}

static const emul_handler emul_handlers[EMUL_OP_COUNT] = {
    [EMUL_OP_ADD... EMUL_OP_GROUP1] = emul_do_alu,
    [EMUL_OP_SHIFT] = emul_do_shift,
    [EMUL_OP_GROUP3] = emul_do_group3,
    [EMUL_OP_GROUP45] = emul_do_group45,
    [EMUL_OP_INC] = emul_do_inc,
    [EMUL_OP_DEC] = emul_do_dec,
    [EMUL_OP_MOV] = emul_do_mov,
    [EMUL_OP_MOVZX] = emul_do_extend,
    [EMUL_OP_MOVSX] = emul_do_extend,
    [EMUL_OP_MOV_FROM_SREG] = emul_system,
    [EMUL_OP_MOV_TO_SREG] = emul_system,
    [EMUL_OP_LEA] = emul_do_lea,
    [EMUL_OP_XCHG] = emul_do_xchg,
    [EMUL_OP_CMPXCHG] = emul_do_cmpxchg,
    [EMUL_OP_XADD] = emul_do_xadd,
    [EMUL_OP_BT... EMUL_OP_GROUP8] = emul_do_bit,
    [EMUL_OP_IMUL] = emul_do_imul,
    [EMUL_OP_BSWAP] = emul_do_bswap,
    [EMUL_OP_CMOV] = emul_do_cmov,
    [EMUL_OP_SETCC] = emul_do_setcc,
    [EMUL_OP_PUSH] = emul_do_push,
    [EMUL_OP_POP] = emul_do_pop,
    [EMUL_OP_PUSH_SEG... EMUL_OP_POPF] = emul_system,
    [EMUL_OP_JCC] = emul_do_jcc,
    [EMUL_OP_JMP] = emul_do_jmp,
    [EMUL_OP_CALL] = emul_do_call,
    [EMUL_OP_RET] = emul_do_ret,
    [EMUL_OP_LOOP] = emul_do_loop,
    [EMUL_OP_CBW] = emul_do_cbw,
    [EMUL_OP_CWD] = emul_do_cwd,
    [EMUL_OP_FLAG] = emul_system,
    [EMUL_OP_HLT] = emul_system,
    [EMUL_OP_NOP] = emul_do_nop,
    [EMUL_OP_MOVS... EMUL_OP_OUTS] = emul_string,
    [EMUL_OP_IN] = emul_in,
    [EMUL_OP_OUT] = emul_out,
    [EMUL_OP_CR... EMUL_OP_GROUP7] = emul_system,
    [EMUL_OP_SCAN... EMUL_OP_DSHIFT] = emul_bits,
    [EMUL_OP_POPCNT... EMUL_OP_LEAVE] = emul_bits,
};

int emul_execute(struct emul *e)
{
    emul_handler handler = emul_handlers[e->insn.entry->op];

    if (!handler || e->insn.vex)
        return EMUL_UNHANDLED;
    return handler(e);
}
