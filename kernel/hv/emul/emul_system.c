/* SPDX-License-Identifier: MIT
 *
 * Flags, HLT, segment registers, control and debug registers, groups 6 and 7.
 */
#include "hv/emul/emul_priv.h"

#define EMUL_CR0_TS 8ull
#define EMUL_CR0_MSW 0xfull
#define EMUL_CR4_UMIP 0x800ull
/* What POPF may change at all: SDM 2B, POPF. */
#define EMUL_POPF_BITS 0x247fd5ull
#define EMUL_SELECTOR_TI 4
#define EMUL_ATTR_GRANULAR 0x800

static int emul_gp(struct emul *e)
{
    return emul_raise(e, EMUL_GP, true, 0);
}

/* May this code touch the interrupt flag? */
static bool emul_may_cli(const struct emul *e)
{
    return e->mode == EMUL_REAL || e->cpl <= EMUL_IOPL(e->rflags);
}

static int emul_if(struct emul *e, bool on)
{
    if (!emul_may_cli(e))
        return emul_gp(e);
    if (on && !(e->rflags & EMUL_IF))
        e->irq_shadow = true;
    e->rflags = on ? e->rflags | EMUL_IF : e->rflags & ~EMUL_IF;
    return EMUL_DONE;
}

static int emul_flag(struct emul *e)
{
    switch (e->insn.opcode) {
    case 0xf5:
        e->rflags ^= EMUL_CF;
        return EMUL_DONE;
    case 0xf8:
        e->rflags &= ~EMUL_CF;
        return EMUL_DONE;
    case 0xf9:
        e->rflags |= EMUL_CF;
        return EMUL_DONE;
    case 0xfa:
        return emul_if(e, false);
    case 0xfb:
        return emul_if(e, true);
    case 0xfc:
        e->rflags &= ~EMUL_DF;
        return EMUL_DONE;
    default:
        e->rflags |= EMUL_DF;
        return EMUL_DONE;
    }
}

static int emul_hlt(struct emul *e)
{
    if (e->cpl)
        return emul_gp(e);
    e->halted = true;
    return EMUL_DONE;
}

static int emul_pushf(struct emul *e)
{
    if (e->mode == EMUL_VM86 && EMUL_IOPL(e->rflags) < 3)
        return emul_gp(e);
    /* VM and RF are never seen on the stack. */
    return emul_push(e, e->insn.op_size, e->rflags & ~0x30000ull);
}

static int emul_popf(struct emul *e)
{
    u64 v, change = emul_mask(EMUL_POPF_BITS, e->insn.op_size);
    int err;

    if (e->mode == EMUL_VM86 && EMUL_IOPL(e->rflags) < 3)
        return emul_gp(e);
    err = emul_peek(e, e->insn.op_size, &v);
    if (err)
        return err;
    if (!emul_may_cli(e))
        change &= ~EMUL_IF;
    if (e->cpl && e->mode != EMUL_REAL)
        change &= ~0x3000ull;
    emul_stack_move(e, e->insn.op_size);
    e->rflags = (e->rflags & ~change) | (v & change) | 2;
    return EMUL_DONE;
}

static int emul_load_seg(struct emul *e, u32 nr, u16 selector)
{
    int err = 0;

    if (nr >= EMUL_SEGS || nr == EMUL_CS)
        return emul_raise(e, EMUL_UD, false, 0);
    if (e->mode <= EMUL_VM86) {
        e->seg[nr].selector = selector;
        e->seg[nr].base = (u64)selector << 4;
    } else if (e->ops->load_seg) {
        err = e->ops->load_seg(e, nr, selector);
    } else {
        err = EMUL_UNHANDLED;
    }
    if (err)
        return err;
    e->seg_dirty |= (u8)(1u << nr);
    if (nr == EMUL_SS)
        e->irq_shadow = true;
    return EMUL_DONE;
}

/* The segment that a one-byte or 0F push or pop names. */
static u32 emul_seg_of_opcode(const struct emul *e)
{
    return e->insn.opcode >> 3 & 7 & (e->insn.map ? 5 : 3);
}

static int emul_push_seg(struct emul *e)
{
    return emul_push(e, e->insn.op_size, e->seg[emul_seg_of_opcode(e)].selector);
}

static int emul_pop_seg(struct emul *e)
{
    u64 v;
    int err = emul_peek(e, e->insn.op_size, &v);

    if (err)
        return err;
    emul_stack_move(e, e->insn.op_size);
    return emul_load_seg(e, emul_seg_of_opcode(e), (u16)v);
}

static int emul_mov_from_sreg(struct emul *e)
{
    u32 nr = e->insn.reg & 7;

    if (nr >= EMUL_SEGS)
        return emul_raise(e, EMUL_UD, false, 0);
    /* Memory gets 16 bits for every operand size; a register is zero-extended. */
    return emul_put(e, EMUL_K_RM, e->insn.mod == 3 ? e->insn.op_size : 2, 0, e->seg[nr].selector);
}

static int emul_mov_to_sreg(struct emul *e)
{
    u64 v;
    int err = emul_get(e, EMUL_K_RM, 2, &v);

    return err ? err : emul_load_seg(e, e->insn.reg & 7, (u16)v);
}

static int emul_read_cr(struct emul *e, u32 nr, u64 *value)
{
    return e->ops->read_cr ? e->ops->read_cr(e, nr, value) : EMUL_UNHANDLED;
}

static int emul_write_cr(struct emul *e, u32 nr, u64 value)
{
    return e->ops->write_cr ? e->ops->write_cr(e, nr, value) : EMUL_UNHANDLED;
}

/* mov to and from CRn (number 0..15) and DRn (16..31): always 64 bits in long mode, else 32. */
static int emul_mov_cr(struct emul *e)
{
    u32 nr = e->insn.reg, size = e->mode == EMUL_LONG ? 8 : 4;
    u64 v;
    int err;

    if (e->cpl)
        return emul_gp(e);
    if (e->insn.entry->op == EMUL_OP_DR)
        nr += 16;
    else if (e->insn.lock)
        nr |= 8;
    if (e->insn.opcode & 2)
        return emul_write_cr(e, nr, emul_reg_read(e, e->insn.rm, size));
    err = emul_read_cr(e, nr, &v);
    if (!err)
        emul_reg_write(e, e->insn.rm, size, v);
    return err;
}

static int emul_clts(struct emul *e)
{
    u64 cr0;
    int err;

    if (e->cpl)
        return emul_gp(e);
    err = emul_read_cr(e, 0, &cr0);
    return err ? err : emul_write_cr(e, 0, cr0 & ~EMUL_CR0_TS);
}

static int emul_lmsw(struct emul *e)
{
    u64 cr0, v;
    int err;

    if (e->cpl)
        return emul_gp(e);
    err = emul_get(e, EMUL_K_RM, 2, &v);
    if (!err)
        err = emul_read_cr(e, 0, &cr0);
    if (err)
        return err;
    /* LMSW can set PE but not clear it. */
    return emul_write_cr(e, 0, (cr0 & ~(EMUL_CR0_MSW & ~1ull)) | (v & EMUL_CR0_MSW));
}

/* A descriptor of a system segment: d[1] is its second half in 64-bit code (SDM vol. 3, 8.2.3). */
static struct emul_seg emul_system_seg(u16 selector, const u64 d[2])
{
    struct emul_seg seg = {
        .selector = selector,
        .attr = (u16)((d[0] >> 40 & 0xff) | (d[0] >> 44 & 0xf00)),
        .limit = (u32)((d[0] & 0xffff) | (d[0] >> 32 & 0xf0000)),
        .base = (d[0] >> 16 & 0xffffff) | (d[0] >> 32 & 0xff000000) | d[1] << 32,
    };

    if (seg.attr & EMUL_ATTR_GRANULAR)
        seg.limit = seg.limit << 12 | 0xfff;
    return seg;
}

/* The task state segment of a selector: present and not busy. `type_at` is where its type lies. */
static int emul_find_task(struct emul *e, u16 selector, struct emul_seg *tr, u64 *type_at)
{
    u32 error = selector & ~3u, size = e->mode == EMUL_LONG ? 16 : 8;
    u64 base = 0, at, d[2] = {0};
    u16 limit = 0;
    int err;

    if (!error)
        return emul_gp(e);
    e->ops->gdt(e, &base, &limit);
    if ((selector & EMUL_SELECTOR_TI) || (selector & ~7u) + size - 1 > limit)
        return emul_raise(e, EMUL_GP, true, error);
    at = base + (selector & ~7u);
    if (e->mode != EMUL_LONG)
        at = (u32)at;
    err = emul_read_system(e, at, d, size);
    if (err)
        return err;
    *tr = emul_system_seg(selector, d);
    *type_at = at + 5;
    if ((tr->attr & EMUL_ATTR_TYPE) != EMUL_TYPE_TSS &&
        (e->mode == EMUL_LONG || (tr->attr & EMUL_ATTR_TYPE) != EMUL_TYPE_TSS16))
        return emul_raise(e, EMUL_GP, true, error);
    if ((d[1] >> 40 & EMUL_ATTR_TYPE) || emul_sign_extend(tr->base, 6) != tr->base)
        return emul_raise(e, EMUL_GP, true, error);
    return tr->attr & EMUL_ATTR_PRESENT ? 0 : emul_raise(e, EMUL_NP, true, error);
}

static int emul_ltr(struct emul *e)
{
    struct emul_seg tr;
    u64 selector, type_at = 0;
    int err;

    if (!e->ops->read_system || !e->ops->gdt || !e->ops->cmpxchg_system || !e->ops->load_task)
        return EMUL_UNHANDLED;
    if (e->cpl)
        return emul_gp(e);
    err = emul_get(e, EMUL_K_RM, 2, &selector);
    if (!err)
        err = emul_find_task(e, (u16)selector, &tr, &type_at);
    if (!err)
        err = e->ops->cmpxchg_system(e, type_at, (u8)tr.attr, (u8)(tr.attr | EMUL_TYPE_BUSY));
    if (err)
        return err;
    tr.attr |= EMUL_TYPE_BUSY;
    e->ops->load_task(e, &tr);
    return EMUL_DONE;
}

/* sldt, str, lldt, ltr, verr, verw: none is known outside of protected mode. */
static int emul_group6(struct emul *e)
{
    if (e->mode <= EMUL_VM86)
        return emul_raise(e, EMUL_UD, false, 0);
    return (e->insn.reg & 7) == 3 ? emul_ltr(e) : EMUL_UNHANDLED;
}

static int emul_group7(struct emul *e)
{
    u64 cr0, cr4 = 0;
    int err;

    switch (e->insn.reg & 7) {
    case 4: /* smsw */
        err = emul_read_cr(e, 0, &cr0);
        if (!err && e->cpl)
            err = emul_read_cr(e, 4, &cr4);
        if (err)
            return err;
        if (cr4 & EMUL_CR4_UMIP)
            return emul_gp(e);
        return emul_put(e, EMUL_K_RM, e->insn.mod == 3 ? e->insn.op_size : 2, 0, cr0);
    case 6:
        return emul_lmsw(e);
    case 7: /* invlpg */
        if (e->insn.mod == 3 || !e->ops->invlpg)
            return EMUL_UNHANDLED;
        if (e->cpl)
            return emul_gp(e);
        return e->ops->invlpg(e, emul_operand_linear(e));
    default:
        return EMUL_UNHANDLED;
    }
}

int emul_system(struct emul *e)
{
    switch (e->insn.entry->op) {
    case EMUL_OP_FLAG:
        return emul_flag(e);
    case EMUL_OP_HLT:
        return emul_hlt(e);
    case EMUL_OP_PUSHF:
        return emul_pushf(e);
    case EMUL_OP_POPF:
        return emul_popf(e);
    case EMUL_OP_PUSH_SEG:
        return emul_push_seg(e);
    case EMUL_OP_POP_SEG:
        return emul_pop_seg(e);
    case EMUL_OP_MOV_FROM_SREG:
        return emul_mov_from_sreg(e);
    case EMUL_OP_MOV_TO_SREG:
        return emul_mov_to_sreg(e);
    case EMUL_OP_CLTS:
        return emul_clts(e);
    case EMUL_OP_GROUP6:
        return emul_group6(e);
    case EMUL_OP_GROUP7:
        return emul_group7(e);
    default:
        return emul_mov_cr(e);
    }
}
