/* SPDX-License-Identifier: MIT
 *
 * The emulator's operands: registers, segmented memory, ports, the stack, and the access log.
 */
#include "hv/emul/emul_priv.h"
#include "lib/compiler.h"
#include "lib/errno.h"
#include "lib/string.h"

#define EMUL_ATTR_CODE 0x8
#define EMUL_ATTR_EXPAND_DOWN 0x4
#define EMUL_ATTR_WRITABLE 0x2 /* data; for code: readable */
#define EMUL_ATTR_BIG 0x400
#define EMUL_TSS_BITMAP 0x66u

int emul_raise(struct emul *e, u8 vector, bool has_error, u32 error)
{
    bool real = e->mode == EMUL_REAL;

    e->fault = (struct emul_fault){vector, has_error && !real, error, 0};
    return EMUL_FAULT;
}

/* ------------------------------------------------------------- registers */

/* Without REX, byte registers 4 to 7 are AH, CH, DH, BH. */
static bool emul_is_high(u8 rex, u32 reg, u32 size)
{
    return size == 1 && reg >= 4 && reg < 8 && !rex;
}

u64 emul_gpr_read(const u64 gpr[16], u8 rex, u32 reg, u32 size)
{
    if (emul_is_high(rex, reg, size))
        return gpr[reg - 4] >> 8 & 0xff;
    return emul_mask(gpr[reg & 15], size);
}

void emul_gpr_write(u64 gpr[16], u8 rex, u32 reg, u32 size, u64 value)
{
    u64 *r = &gpr[reg & 15];

    if (emul_is_high(rex, reg, size)) {
        r = &gpr[reg - 4];
        *r = (*r & ~0xff00ull) | (value & 0xff) << 8;
    } else if (size >= 4) { /* 32-bit results clear the upper half */
        *r = emul_mask(value, size);
    } else {
        *r = (*r & ~emul_mask(~0ull, size)) | emul_mask(value, size);
    }
}

u64 emul_reg_read(const struct emul *e, u32 reg, u32 size)
{
    return emul_gpr_read(e->gpr, e->insn.rex, reg, size);
}

void emul_reg_write(struct emul *e, u32 reg, u32 size, u64 value)
{
    emul_gpr_write(e->gpr, e->insn.rex, reg, size, value);
}

/* ------------------------------------------------------------- addresses */

u64 emul_ea(const struct emul_insn *i, const u64 gpr[16], u64 rip)
{
    u64 ea = (u64)i->disp;

    if (i->base != EMUL_NO_REG)
        ea += gpr[i->base];
    if (i->index != EMUL_NO_REG)
        ea += gpr[i->index] << i->scale;
    if (i->rip_relative)
        ea += rip + i->len;
    return emul_mask(ea, i->addr_size);
}

u64 emul_address(const struct emul *e)
{
    return emul_ea(&e->insn, e->gpr, e->rip);
}

u64 emul_operand_linear(const struct emul *e)
{
    u64 ea = emul_address(e);

    if (e->mode == EMUL_LONG)
        return e->insn.seg >= EMUL_FS ? e->seg[e->insn.seg].base + ea : ea;
    return (u32)(e->seg[e->insn.seg].base + ea);
}

static bool emul_segment_allows(const struct emul *e, const struct emul_seg *s, u64 ea, u32 size,
                                bool write)
{
    u64 last = ea + size - 1;

    if (e->mode >= EMUL_PROT16) {
        bool code = s->attr & EMUL_ATTR_CODE, rw = s->attr & EMUL_ATTR_WRITABLE;

        if (!(s->attr & EMUL_ATTR_PRESENT))
            return false;
        if (write ? code || !rw : code && !rw)
            return false;
        if (!code && (s->attr & EMUL_ATTR_EXPAND_DOWN))
            return ea > s->limit && last <= (s->attr & EMUL_ATTR_BIG ? U32_MAX : 0xffffu);
    }
    return last <= s->limit;
}

static int emul_linear(struct emul *e, u32 seg, u64 ea, u32 size, bool write, u64 *linear)
{
    const struct emul_seg *s = &e->seg[seg];
    bool ok;

    if (e->mode == EMUL_LONG) {
        u64 first = seg >= EMUL_FS ? s->base + ea : ea, last = first + size - 1;

        ok = emul_sign_extend(first, 6) == first && emul_sign_extend(last, 6) == last;
        *linear = first;
    } else {
        ok = emul_segment_allows(e, s, ea, size, write);
        *linear = (u32)(s->base + ea);
    }
    return ok ? 0 : emul_raise(e, seg == EMUL_SS ? EMUL_SS_FAULT : EMUL_GP, true, 0);
}

/* ------------------------------------------------------------- the access log */

/* True if this access has been made already: *value is what it gave. */
static bool emul_replay(struct emul *e, u64 *value)
{
    if (e->log_at >= e->log_count)
        return false;
    *value = e->log[e->log_at++];
    return true;
}

static int emul_record(struct emul *e, u64 value)
{
    if (e->log_count == EMUL_LOG)
        return EMUL_UNHANDLED;
    e->log[e->log_count++] = value;
    e->log_at = e->log_count;
    return 0;
}

void emul_supply(struct emul *e, const void *data, u32 len)
{
    u64 value = 0;

    if (data)
        memcpy(&value, data, MIN(len, 8u));
    if (e->log_count < EMUL_LOG)
        e->log[e->log_count++] = value;
}

/* ------------------------------------------------------------- memory */
/* An access that crosses a page is made in two. */

static u32 emul_first_part(u64 linear, u32 size)
{
    u32 in_page = (u32)(PAGE_SIZE - (linear & (PAGE_SIZE - 1)));

    return MIN(size, in_page);
}

static int emul_read_part(struct emul *e, u64 linear, u32 size, u64 *value)
{
    int err;

    if (emul_replay(e, value))
        return 0;
    *value = 0;
    err = e->ops->read(e, linear, value, size);
    return err ? err : emul_record(e, *value);
}

static int emul_write_part(struct emul *e, u64 linear, u32 size, u64 value)
{
    u64 ignored;
    int err;

    if (emul_replay(e, &ignored))
        return 0;
    err = e->ops->write(e, linear, &value, size);
    return err ? err : emul_record(e, 0);
}

int emul_mem_read(struct emul *e, u32 seg, u64 ea, u32 size, u64 *value)
{
    u64 linear, low, high = 0;
    int err = emul_linear(e, seg, ea, size, false, &linear);

    if (err)
        return err;
    u32 first = emul_first_part(linear, size);

    err = emul_read_part(e, linear, first, &low);
    if (!err && first < size)
        err = emul_read_part(e, linear + first, size - first, &high);
    if (err)
        return err;
    *value = emul_mask(first < size ? low | high << first * 8 : low, size);
    return 0;
}

int emul_mem_write(struct emul *e, u32 seg, u64 ea, u32 size, u64 value)
{
    u64 linear;
    int err = emul_linear(e, seg, ea, size, true, &linear);

    if (err)
        return err;
    u32 first = emul_first_part(linear, size);

    err = emul_write_part(e, linear, first, value);
    if (!err && first < size)
        err = emul_write_part(e, linear + first, size - first, value >> first * 8);
    return err;
}

int emul_mem_update(struct emul *e, u32 seg, u64 ea, u32 size, u64 old, u64 value)
{
    u64 linear, ignored;
    int err;

    if (!e->ops->cmpxchg)
        return emul_mem_write(e, seg, ea, size, value);
    err = emul_linear(e, seg, ea, size, true, &linear);
    if (err)
        return err;
    /* A lock split over two pages cannot be held: refuse rather than tear. */
    if (emul_first_part(linear, size) < size)
        return EMUL_UNHANDLED;
    if (emul_replay(e, &ignored))
        return 0;
    err = e->ops->cmpxchg(e, linear, &old, &value, size);
    return err ? err : emul_record(e, 0);
}

/* ------------------------------------------------------------- ports */

int emul_read_system(struct emul *e, u64 linear, void *buf, u32 len)
{
    u8 *bytes = buf;
    u32 first = emul_first_part(linear, len);
    int err = e->ops->read_system(e, linear, bytes, first);

    if (!err && first < len)
        err = e->ops->read_system(e, linear + first, bytes + first, len - first);
    return err;
}

/* The bitmap of the task state segment: its offset is at 0x66, and it is read two bytes at a time
 * (SDM vol. 1, 18.5.2). */
static int emul_port_bitmap(struct emul *e, u16 port, u32 size)
{
    struct emul_seg tr = {0};
    u16 offset = 0, bits = 0;
    int err;

    if (!e->ops->task || !e->ops->read_system)
        return emul_raise(e, EMUL_GP, true, 0);
    e->ops->task(e, &tr);
    if (!(tr.attr & EMUL_ATTR_PRESENT) || /* a 16-bit one has no bitmap */
        (tr.attr & EMUL_ATTR_TYPE) != (EMUL_TYPE_TSS | EMUL_TYPE_BUSY) ||
        tr.limit < EMUL_TSS_BITMAP + 1)
        return emul_raise(e, EMUL_GP, true, 0);
    err = emul_read_system(e, tr.base + EMUL_TSS_BITMAP, &offset, sizeof(offset));
    if (err)
        return err;
    if ((u32)offset + port / 8 + 1 > tr.limit)
        return emul_raise(e, EMUL_GP, true, 0);
    err = emul_read_system(e, tr.base + offset + port / 8, &bits, sizeof(bits));
    if (err)
        return err;
    return bits >> (port & 7) & ((1u << size) - 1) ? emul_raise(e, EMUL_GP, true, 0) : 0;
}

int emul_port_check(struct emul *e, u16 port, u32 size)
{
    if (e->log_count) /* it was asked before the accesses that have been made */
        return 0;
    if (e->mode == EMUL_REAL || (e->mode != EMUL_VM86 && e->cpl <= EMUL_IOPL(e->rflags)))
        return 0;
    return emul_port_bitmap(e, port, size);
}

int emul_port_in(struct emul *e, u16 port, u32 size, u64 *value)
{
    int err;

    if (emul_replay(e, value))
        return 0;
    if (!e->ops->in)
        return EMUL_UNHANDLED;
    *value = 0;
    err = e->ops->in(e, port, size, value);
    return err ? err : emul_record(e, *value);
}

int emul_port_out(struct emul *e, u16 port, u32 size, u64 value)
{
    u64 ignored;
    int err;

    if (emul_replay(e, &ignored))
        return 0;
    if (!e->ops->out)
        return EMUL_UNHANDLED;
    err = e->ops->out(e, port, size, &value);
    return err ? err : emul_record(e, 0);
}

/* ------------------------------------------------------------- operands */

u32 emul_operand_size(const struct emul *e)
{
    return e->insn.entry->flags & EMUL_F_BYTE ? 1 : e->insn.op_size;
}

static u32 emul_opcode_reg(const struct emul *e)
{
    return (e->insn.opcode & 7) | (e->insn.rex & 1u) << 3;
}

int emul_get(struct emul *e, enum emul_kind kind, u32 size, u64 *value)
{
    const struct emul_insn *i = &e->insn;

    switch (kind) {
    case EMUL_K_RM:
        if (i->mod != 3)
            return emul_mem_read(e, i->seg, emul_address(e), size, value);
        *value = emul_reg_read(e, i->rm, size);
        return 0;
    case EMUL_K_REG:
        *value = emul_reg_read(e, i->reg, size);
        return 0;
    case EMUL_K_ACC:
        *value = emul_reg_read(e, EMUL_RAX, size);
        return 0;
    case EMUL_K_OPREG:
        *value = emul_reg_read(e, emul_opcode_reg(e), size);
        return 0;
    case EMUL_K_IMM:
        *value = emul_mask(i->imm, size);
        return 0;
    case EMUL_K_MOFFS:
        return emul_mem_read(e, i->seg, emul_mask(i->imm, i->addr_size), size, value);
    case EMUL_K_ONE:
        *value = 1;
        return 0;
    case EMUL_K_CL:
        *value = e->gpr[EMUL_RCX] & 0xff;
        return 0;
    default:
        *value = 0;
        return 0;
    }
}

int emul_put(struct emul *e, enum emul_kind kind, u32 size, u64 old, u64 value)
{
    const struct emul_insn *i = &e->insn;
    u64 ea;

    switch (kind) {
    case EMUL_K_RM:
        if (i->mod == 3) {
            emul_reg_write(e, i->rm, size, value);
            return 0;
        }
        ea = emul_address(e);
        if (i->lock || i->entry->op == EMUL_OP_XCHG)
            return emul_mem_update(e, i->seg, ea, size, old, value);
        return emul_mem_write(e, i->seg, ea, size, value);
    case EMUL_K_REG:
        emul_reg_write(e, i->reg, size, value);
        return 0;
    case EMUL_K_ACC:
        emul_reg_write(e, EMUL_RAX, size, value);
        return 0;
    case EMUL_K_OPREG:
        emul_reg_write(e, emul_opcode_reg(e), size, value);
        return 0;
    case EMUL_K_MOFFS:
        return emul_mem_write(e, i->seg, emul_mask(i->imm, i->addr_size), size, value);
    default:
        return EMUL_UNHANDLED;
    }
}

/* ------------------------------------------------------------- the stack */

static u32 emul_stack_size(const struct emul *e)
{
    if (e->mode == EMUL_LONG)
        return 8;
    return e->seg[EMUL_SS].attr & EMUL_ATTR_BIG ? 4 : 2;
}

void emul_stack_set(struct emul *e, u64 value)
{
    u32 size = emul_stack_size(e);
    u64 *rsp = &e->gpr[EMUL_RSP];

    *rsp = (size == 2 ? *rsp & ~0xffffull : 0) | emul_mask(value, size);
}

void emul_stack_move(struct emul *e, s64 by)
{
    emul_stack_set(e, e->gpr[EMUL_RSP] + (u64)by);
}

int emul_push(struct emul *e, u32 size, u64 value)
{
    emul_stack_move(e, -(s64)size);
    return emul_mem_write(e, EMUL_SS, emul_mask(e->gpr[EMUL_RSP], emul_stack_size(e)), size, value);
}

int emul_peek(struct emul *e, u32 size, u64 *value)
{
    return emul_mem_read(e, EMUL_SS, emul_mask(e->gpr[EMUL_RSP], emul_stack_size(e)), size, value);
}
