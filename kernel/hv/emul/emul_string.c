/* SPDX-License-Identifier: MIT
 *
 * String instructions and port I/O. A rep runs up to EMUL_MAX_ROUNDS rounds and then reports
 * EMUL_REPEAT, so that the caller can look at its interrupts; each round completed stays done.
 */
#include "hv/emul/emul_priv.h"

#define EMUL_MAX_ROUNDS 256

static u64 emul_index(const struct emul *e, u32 reg)
{
    return emul_mask(e->gpr[reg], e->insn.addr_size);
}

static void emul_advance(struct emul *e, u32 reg, u32 size)
{
    u64 step = e->rflags & EMUL_DF ? -(u64)size : size;

    emul_reg_write(e, reg, e->insn.addr_size, e->gpr[reg] + step);
}

static int emul_read_si(struct emul *e, u32 size, u64 *value)
{
    int err = emul_mem_read(e, e->insn.seg, emul_index(e, EMUL_RSI), size, value);

    if (!err)
        emul_advance(e, EMUL_RSI, size);
    return err;
}

static int emul_read_di(struct emul *e, u32 size, u64 *value)
{
    int err = emul_mem_read(e, EMUL_ES, emul_index(e, EMUL_RDI), size, value);

    if (!err)
        emul_advance(e, EMUL_RDI, size);
    return err;
}

static int emul_write_di(struct emul *e, u32 size, u64 value)
{
    int err = emul_mem_write(e, EMUL_ES, emul_index(e, EMUL_RDI), size, value);

    if (!err)
        emul_advance(e, EMUL_RDI, size);
    return err;
}

static int emul_movs(struct emul *e, u32 size)
{
    u64 v;
    int err = emul_read_si(e, size, &v);

    return err ? err : emul_write_di(e, size, v);
}

static int emul_cmps(struct emul *e, u32 size)
{
    u64 a, b;
    int err = emul_read_si(e, size, &a);

    if (!err)
        err = emul_read_di(e, size, &b);
    if (!err)
        emul_alu(EMUL_OP_CMP, a, b, size, &e->rflags);
    return err;
}

static int emul_lods(struct emul *e, u32 size)
{
    u64 v;
    int err = emul_read_si(e, size, &v);

    if (!err)
        emul_reg_write(e, EMUL_RAX, size, v);
    return err;
}

static int emul_scas(struct emul *e, u32 size)
{
    u64 v;
    int err = emul_read_di(e, size, &v);

    if (!err)
        emul_alu(EMUL_OP_CMP, e->gpr[EMUL_RAX], v, size, &e->rflags);
    return err;
}

static u32 emul_port_size(const struct emul *e)
{
    u32 size = emul_operand_size(e);

    return size > 4 ? 4 : size;
}

static int emul_ins(struct emul *e, u32 size)
{
    u64 v;
    int err = emul_port_check(e, (u16)e->gpr[EMUL_RDX], size);

    if (!err)
        err = emul_port_in(e, (u16)e->gpr[EMUL_RDX], size, &v);
    return err ? err : emul_write_di(e, size, v);
}

static int emul_outs(struct emul *e, u32 size)
{
    u64 v;
    int err = emul_port_check(e, (u16)e->gpr[EMUL_RDX], size);

    if (!err)
        err = emul_read_si(e, size, &v);
    return err ? err : emul_port_out(e, (u16)e->gpr[EMUL_RDX], size, v);
}

static int emul_round(struct emul *e)
{
    u32 size = emul_operand_size(e);

    switch (e->insn.entry->op) {
    case EMUL_OP_MOVS:
        return emul_movs(e, size);
    case EMUL_OP_CMPS:
        return emul_cmps(e, size);
    case EMUL_OP_STOS:
        return emul_write_di(e, size, e->gpr[EMUL_RAX]);
    case EMUL_OP_LODS:
        return emul_lods(e, size);
    case EMUL_OP_SCAS:
        return emul_scas(e, size);
    case EMUL_OP_INS:
        return emul_ins(e, emul_port_size(e));
    default:
        return emul_outs(e, emul_port_size(e));
    }
}

/* REPE ends at the first difference, REPNE at the first match; only cmps and scas care. */
static bool emul_rep_over(const struct emul *e)
{
    u8 op = e->insn.entry->op;
    bool equal = e->rflags & EMUL_ZF;

    if (op != EMUL_OP_CMPS && op != EMUL_OP_SCAS)
        return false;
    return e->insn.rep == 0xf3 ? !equal : equal;
}

int emul_string(struct emul *e)
{
    u32 size = e->insn.addr_size;

    if (!e->insn.rep)
        return emul_round(e);
    for (u32 n = 0; n < EMUL_MAX_ROUNDS; n++) {
        u64 count = emul_index(e, EMUL_RCX);
        int err;

        if (!count)
            return EMUL_DONE;
        err = emul_round(e);
        if (err)
            return err;
        emul_reg_write(e, EMUL_RCX, size, count - 1);
        emul_checkpoint(e);
        if (count == 1 || emul_rep_over(e))
            return EMUL_DONE;
    }
    return EMUL_REPEAT;
}

static u16 emul_port(const struct emul *e)
{
    return e->insn.entry->src == EMUL_K_IMM ? (u8)e->insn.imm : (u16)e->gpr[EMUL_RDX];
}

int emul_in(struct emul *e)
{
    u32 size = emul_port_size(e);
    u64 v;
    int err = emul_port_check(e, emul_port(e), size);

    if (!err)
        err = emul_port_in(e, emul_port(e), size, &v);
    if (!err)
        emul_reg_write(e, EMUL_RAX, size, v);
    return err;
}

int emul_out(struct emul *e)
{
    u32 size = emul_port_size(e);
    int err = emul_port_check(e, emul_port(e), size);

    return err ? err : emul_port_out(e, emul_port(e), size, emul_mask(e->gpr[EMUL_RAX], size));
}
