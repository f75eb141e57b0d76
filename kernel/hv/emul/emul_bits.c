/* SPDX-License-Identifier: MIT
 *
 * Bit scans and counts, double shifts, and the small ones: cmpxchg8b, xlat, lahf, sahf, leave.
 */
#include "hv/emul/emul_priv.h"

static void emul_set_flag(struct emul *e, u64 flag, bool on)
{
    e->rflags = on ? e->rflags | flag : e->rflags & ~flag;
}

/* bsf, bsr; with F3 tzcnt, lzcnt. The manual leaves bsf's result for 0 undefined; CPUs leave the
 * register alone. */
static int emul_scan(struct emul *e)
{
    u32 size = e->insn.op_size, bits = size * 8, n = bits;
    bool reverse = e->insn.opcode & 1, count = e->insn.rep == 0xf3;
    u64 v;
    int err = emul_get(e, EMUL_K_RM, size, &v);

    if (err)
        return err;
    if (v)
        n = reverse ? 63 - (u32)__builtin_clzll(v) : (u32)__builtin_ctzll(v);
    if (!count) {
        emul_set_flag(e, EMUL_ZF, !v);
        if (v)
            emul_reg_write(e, e->insn.reg, size, n);
        return EMUL_DONE;
    }
    if (v && reverse)
        n = bits - 1 - n;
    emul_set_flag(e, EMUL_CF, !v);
    emul_set_flag(e, EMUL_ZF, !n);
    emul_reg_write(e, e->insn.reg, size, n);
    return EMUL_DONE;
}

static int emul_popcnt(struct emul *e)
{
    u64 v;
    int err;

    if (e->insn.rep != 0xf3)
        return EMUL_UNHANDLED;
    err = emul_get(e, EMUL_K_RM, e->insn.op_size, &v);
    if (err)
        return err;
    e->rflags &= ~EMUL_ARITH;
    emul_set_flag(e, EMUL_ZF, !v);
    for (u32 n = 0;; n++, v &= v - 1) {
        if (v)
            continue;
        emul_reg_write(e, e->insn.reg, e->insn.op_size, n);
        return EMUL_DONE;
    }
}

/* shld, shrd; counts beyond the operand (16 bits) are undefined. */
static int emul_double_shift(struct emul *e)
{
    u32 size = e->insn.op_size, bits = size * 8, n;
    bool right = e->insn.opcode & 8;
    u64 a, b = emul_reg_read(e, e->insn.reg, size), count, r, out;
    int err = emul_get(e, EMUL_K_RM, size, &a);

    if (!err)
        err = emul_get(e, e->insn.entry->src, 1, &count);
    if (err)
        return err;
    n = (u32)count & (size == 8 ? 63 : 31);
    if (n > bits)
        n -= bits;
    if (!n)
        return emul_put(e, EMUL_K_RM, size, a, a);
    out = right ? a >> (n - 1) : a >> (bits - n);
    if (n == bits)
        r = b;
    else
        r = emul_mask(right ? a >> n | b << (bits - n) : a << n | b >> (bits - n), size);
    emul_alu(EMUL_OP_OR, r, 0, size, &e->rflags);
    emul_set_flag(e, EMUL_CF, out & 1);
    emul_set_flag(e, EMUL_OF, (a ^ r) >> (bits - 1) & 1);
    return emul_put(e, EMUL_K_RM, size, a, r);
}

/* Group 9: only cmpxchg8b; sixteen bytes are more than one access can be. */
static int emul_group9(struct emul *e)
{
    u64 old, acc = (u64)(u32)e->gpr[EMUL_RDX] << 32 | (u32)e->gpr[EMUL_RAX];
    u64 new = (u64)(u32)e->gpr[EMUL_RCX] << 32 | (u32)e->gpr[EMUL_RBX], ea = emul_address(e);
    int err;

    if (e->insn.mod == 3 || (e->insn.reg & 7) != 1 || e->insn.op_size == 8)
        return EMUL_UNHANDLED;
    err = emul_mem_read(e, e->insn.seg, ea, 8, &old);
    if (err)
        return err;
    emul_set_flag(e, EMUL_ZF, old == acc);
    if (old != acc) {
        emul_reg_write(e, EMUL_RAX, 4, (u32)old);
        emul_reg_write(e, EMUL_RDX, 4, old >> 32);
        new = old;
    }
    return e->insn.lock ? emul_mem_update(e, e->insn.seg, ea, 8, old, new)
                        : emul_mem_write(e, e->insn.seg, ea, 8, new);
}

static int emul_xlat(struct emul *e)
{
    u64 v, ea = e->gpr[EMUL_RBX] + (u8)e->gpr[EMUL_RAX];
    int err = emul_mem_read(e, e->insn.seg, emul_mask(ea, e->insn.addr_size), 1, &v);

    if (!err)
        emul_reg_write(e, EMUL_RAX, 2, (e->gpr[EMUL_RAX] & 0xff00) | v);
    return err;
}

/* AH and the low byte of the flags. */
static int emul_ah_flags(struct emul *e)
{
    const u64 flags = EMUL_ARITH & 0xff;

    if (e->insn.opcode & 1)
        emul_reg_write(e, EMUL_RAX, 2, (e->gpr[EMUL_RAX] & 0xff) | (2 | (e->rflags & flags)) << 8);
    else
        e->rflags = (e->rflags & ~flags) | (e->gpr[EMUL_RAX] >> 8 & flags);
    return EMUL_DONE;
}

static int emul_leave(struct emul *e)
{
    u64 v;
    int err;

    emul_stack_set(e, e->gpr[EMUL_RBP]);
    err = emul_peek(e, e->insn.op_size, &v);
    if (err)
        return err;
    emul_stack_move(e, e->insn.op_size);
    emul_reg_write(e, EMUL_RBP, e->insn.op_size, v);
    return EMUL_DONE;
}

int emul_bits(struct emul *e)
{
    switch (e->insn.entry->op) {
    case EMUL_OP_SCAN:
        return emul_scan(e);
    case EMUL_OP_POPCNT:
        return emul_popcnt(e);
    case EMUL_OP_DSHIFT:
        return emul_double_shift(e);
    case EMUL_OP_GROUP9:
        return emul_group9(e);
    case EMUL_OP_XLAT:
        return emul_xlat(e);
    case EMUL_OP_AH_FLAGS:
        return emul_ah_flags(e);
    default:
        return emul_leave(e);
    }
}
