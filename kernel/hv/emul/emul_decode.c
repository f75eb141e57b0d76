/* SPDX-License-Identifier: MIT
 *
 * The decoder: prefixes, opcode, ModRM, SIB, displacement, immediates. SDM 2A chapter 2. VEX, EVEX
 * and XOP instructions are decoded for their length only.
 */
#include "hv/emul/emul_priv.h"
#include "lib/compiler.h"
#include "lib/errno.h"
#include "lib/string.h"

struct emul_cursor {
    const u8 *bytes;
    u32 n, at;
};

struct emul_prefixes {
    bool opsize, addrsize;
};

/* The next `size` bytes, sign-extended. */
static int emul_take(struct emul_cursor *c, u32 size, u64 *value)
{
    u64 v = 0;

    if (c->at + size > EMUL_MAX_LEN)
        return -EINVAL;
    if (c->at + size > c->n)
        return -EAGAIN;
    memcpy(&v, c->bytes + c->at, size);
    c->at += size;
    *value = emul_sign_extend(v, size);
    return 0;
}

static int emul_take8(struct emul_cursor *c, u8 *value)
{
    u64 v;
    int err = emul_take(c, 1, &v);

    if (!err)
        *value = (u8)v;
    return err;
}

static int emul_peek8(struct emul_cursor *c, u8 *value)
{
    int err = emul_take8(c, value);

    if (!err)
        c->at--;
    return err;
}

/* True if `byte` is a legacy prefix, which is noted. */
static bool emul_legacy_prefix(struct emul_insn *insn, struct emul_prefixes *p, u8 byte,
                               bool is_long)
{
    switch (byte) {
    case 0x66:
        p->opsize = true;
        return true;
    case 0x67:
        p->addrsize = true;
        return true;
    case 0xf0:
        insn->lock = true;
        return true;
    case 0xf2:
    case 0xf3:
        insn->rep = byte;
        return true;
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        if (!is_long) /* in long mode these four are ignored */
            insn->seg = byte >> 3 & 3;
        return true;
    case 0x64:
    case 0x65:
        insn->seg = byte - 0x64 + EMUL_FS;
        return true;
    default:
        return false;
    }
}

static int emul_prefixes(struct emul_insn *insn, struct emul_prefixes *p, struct emul_cursor *c,
                         bool is_long)
{
    for (;;) {
        u8 byte;
        int err = emul_peek8(c, &byte);

        if (err)
            return err;
        if (emul_legacy_prefix(insn, p, byte, is_long))
            insn->rex = 0; /* a REX counts only right before the opcode */
        else if (is_long && (byte & 0xf0) == 0x40)
            insn->rex = byte;
        else
            return 0;
        c->at++;
    }
}

static void emul_sizes(struct emul_insn *insn, const struct emul_prefixes *p, enum emul_mode mode)
{
    if (mode == EMUL_LONG) {
        insn->op_size = p->opsize ? 2 : 4;
        insn->addr_size = p->addrsize ? 4 : 8;
    } else if (mode == EMUL_PROT32) {
        insn->op_size = p->opsize ? 2 : 4;
        insn->addr_size = p->addrsize ? 2 : 4;
    } else {
        insn->op_size = p->opsize ? 4 : 2;
        insn->addr_size = p->addrsize ? 4 : 2;
    }
    if (insn->rex & 8)
        insn->op_size = 8;
}

/* Stack and near-branch instructions have their own rule in long mode. */
static void emul_long_size(struct emul_insn *insn, bool opsize)
{
    u16 flags = insn->entry->flags;
    bool group_stack = !insn->map && insn->opcode == 0xff && (insn->reg & 7) >= 2 &&
                       (insn->reg & 7) != 3 && (insn->reg & 7) != 5;
    bool near = (flags & EMUL_F_NEAR) || (group_stack && (insn->reg & 7) < 6);

    if (near || (insn->entry->op == EMUL_OP_CR || insn->entry->op == EMUL_OP_DR))
        insn->op_size = 8;
    else if ((flags & EMUL_F_STACK) || group_stack)
        insn->op_size = opsize ? 2 : 8;
}

/* The fixed map of an opcode that VEX-like prefixes carry: only its length matters. */
static int emul_vex_entry(struct emul_insn *insn, u32 map, bool xop)
{
    static const struct emul_entry imm8 = {.flags = EMUL_F_MODRM | EMUL_F_IMM8};
    static const struct emul_entry imm32 = {.flags = EMUL_F_MODRM | EMUL_F_IMMZ};

    insn->vex = true;
    insn->map = (u8)map;
    switch (map) {
    case 1:
        insn->entry = &emul_table_0f[insn->opcode];
        /* Opcodes that are no SSE instruction carry nothing but ModRM here. */
        if (insn->opcode != 0x77 && insn->entry->flags != (EMUL_F_MODRM | EMUL_F_IMM8))
            insn->entry = &emul_entry_0f38;
        return 0;
    case 2:
    case 5:
    case 6:
        insn->entry = &emul_entry_0f38;
        return 0;
    case 3:
        insn->entry = &emul_entry_0f3a;
        return 0;
    case 8:
        insn->entry = &imm8;
        return xop ? 0 : -EINVAL;
    case 9:
        insn->entry = &emul_entry_0f38;
        return xop ? 0 : -EINVAL;
    case 10:
        insn->entry = &imm32;
        insn->op_size = 4;
        return xop ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

/* VEX2 (C5), VEX3 (C4), EVEX (62), XOP (8F): payload bytes, then the opcode. */
static int emul_vex(struct emul_insn *insn, struct emul_cursor *c, u8 lead)
{
    u8 p0, skip;
    u32 map = 1;
    int err = emul_take8(c, &p0);

    if (err)
        return err;
    if (lead != 0xc5)
        map = p0 & (lead == 0x62 ? 7 : 0x1f);
    for (u32 i = lead == 0xc5 ? 0 : lead == 0x62 ? 2 : 1; i; i--) {
        err = emul_take8(c, &skip);
        if (err)
            return err;
    }
    err = emul_take8(c, &insn->opcode);
    return err ? err : emul_vex_entry(insn, map, lead == 0x8f);
}

/* Is this C4, C5, 62 or 8F a VEX-like prefix? Else it is the legacy instruction. */
static int emul_is_vex(const struct emul_insn *insn, struct emul_cursor *c, enum emul_mode mode,
                       bool *vex)
{
    u8 next;
    int err;

    *vex = false;
    if (insn->opcode != 0xc4 && insn->opcode != 0xc5 && insn->opcode != 0x62 &&
        insn->opcode != 0x8f)
        return 0;
    err = emul_peek8(c, &next);
    if (err)
        return err;
    if (insn->opcode == 0x8f)
        *vex = (next & 0x1f) >= 8 && mode >= EMUL_PROT16;
    else
        *vex = mode == EMUL_LONG || (mode >= EMUL_PROT16 && next >= 0xc0);
    return 0;
}

static int emul_opcode(struct emul_insn *insn, struct emul_cursor *c, enum emul_mode mode)
{
    bool vex;
    int err = emul_take8(c, &insn->opcode);

    if (err)
        return err;
    err = emul_is_vex(insn, c, mode, &vex);
    if (err)
        return err;
    if (vex)
        return emul_vex(insn, c, insn->opcode);
    insn->entry = &emul_table_one[insn->opcode];
    if (insn->opcode != 0x0f)
        return 0;
    err = emul_take8(c, &insn->opcode);
    if (err)
        return err;
    insn->map = 1;
    insn->entry = &emul_table_0f[insn->opcode];
    if (insn->opcode != 0x38 && insn->opcode != 0x3a)
        return 0;
    insn->map = insn->opcode == 0x38 ? 2 : 3;
    insn->entry = insn->map == 2 ? &emul_entry_0f38 : &emul_entry_0f3a;
    return emul_take8(c, &insn->opcode);
}

static void emul_default_seg(struct emul_insn *insn, u8 seg)
{
    if (insn->seg == EMUL_NO_REG)
        insn->seg = seg;
}

/* 16-bit addressing: SDM 2A table 2-1. */
static int emul_modrm16(struct emul_insn *insn, struct emul_cursor *c)
{
    static const u8 bases[8] = {EMUL_RBX, EMUL_RBX, EMUL_RBP, EMUL_RBP,
                                EMUL_RSI, EMUL_RDI, EMUL_RBP, EMUL_RBX};
    static const u8 indices[4] = {EMUL_RSI, EMUL_RDI, EMUL_RSI, EMUL_RDI};
    u32 size = insn->mod == 1 ? 1 : insn->mod == 2 ? 2 : 0;
    u64 disp = 0;

    insn->base = bases[insn->rm];
    if (insn->rm < 4)
        insn->index = indices[insn->rm];
    if (insn->mod == 0 && insn->rm == 6) {
        insn->base = EMUL_NO_REG;
        size = 2;
    }
    emul_default_seg(insn, insn->base == EMUL_RBP ? EMUL_SS : EMUL_DS);
    int err = size ? emul_take(c, size, &disp) : 0;

    insn->disp = (s64)disp;
    return err;
}

/* 32- and 64-bit addressing: SDM 2A tables 2-2 and 2-3, 2.2.1. */
static int emul_modrm32(struct emul_insn *insn, struct emul_cursor *c, enum emul_mode mode)
{
    u8 rex_b = (u8)((insn->rex & 1) << 3), rex_x = (u8)((insn->rex & 2) << 2);
    u32 size = insn->mod == 1 ? 1 : insn->mod == 2 ? 4 : 0;
    u8 low = insn->rm & 7;
    u64 disp = 0;

    insn->base = low | rex_b;
    if (low == 4) {
        u8 sib;
        int err = emul_take8(c, &sib);

        if (err)
            return err;
        low = sib & 7;
        insn->base = low | rex_b;
        insn->scale = sib >> 6;
        insn->index = (sib >> 3 & 7) | rex_x;
        if (insn->index == EMUL_RSP)
            insn->index = EMUL_NO_REG;
        if (low == 5 && insn->mod == 0) {
            insn->base = EMUL_NO_REG;
            size = 4;
        }
    } else if (low == 5 && insn->mod == 0) {
        insn->base = EMUL_NO_REG;
        insn->rip_relative = mode == EMUL_LONG;
        size = 4;
    }
    emul_default_seg(insn, insn->base == EMUL_RSP || insn->base == EMUL_RBP ? EMUL_SS : EMUL_DS);
    int err = size ? emul_take(c, size, &disp) : 0;

    insn->disp = (s64)disp;
    return err;
}

static int emul_modrm(struct emul_insn *insn, struct emul_cursor *c, enum emul_mode mode)
{
    u8 byte;
    int err = emul_take8(c, &byte);

    if (err)
        return err;
    insn->has_modrm = true;
    insn->mod = byte >> 6;
    insn->reg = (byte >> 3 & 7) | (u8)((insn->rex & 4) << 1);
    insn->rm = byte & 7;
    if (insn->entry->flags & EMUL_F_REGS)
        insn->mod = 3;
    if (insn->mod == 3) {
        insn->rm |= (u8)((insn->rex & 1) << 3);
        return 0;
    }
    return insn->addr_size == 2 ? emul_modrm16(insn, c) : emul_modrm32(insn, c, mode);
}

static int emul_immediates(struct emul_insn *insn, struct emul_cursor *c)
{
    u16 flags = insn->entry->flags;
    u32 z = insn->op_size == 2 ? 2 : 4;
    int err = 0;

    if ((flags & EMUL_F_TEST3) && (insn->reg & 6))
        return 0;
    if (flags & EMUL_F_MOFFS)
        return emul_take(c, insn->addr_size, &insn->imm);
    if (flags & EMUL_F_IMMV)
        return emul_take(c, insn->op_size, &insn->imm);
    if (flags & EMUL_F_FAR) {
        err = emul_take(c, z, &insn->imm);
        return err ? err : emul_take(c, 2, &insn->imm2);
    }
    if (flags & EMUL_F_IMM16) {
        err = emul_take(c, 2, &insn->imm);
        if (err || !(flags & EMUL_F_IMM8))
            return err;
        return emul_take(c, 1, &insn->imm2);
    }
    if (flags & EMUL_F_IMMZ)
        return emul_take(c, z, &insn->imm);
    if (flags & EMUL_F_IMM8)
        return emul_take(c, 1, &insn->imm);
    return 0;
}

/* LOCK is legal for a read-modify-write of memory only; SDM 2A, LOCK. */
static bool emul_lock_ok(const struct emul_insn *insn)
{
    if (!insn->lock)
        return true;
    if (insn->map == 1 && (insn->opcode & 0xfd) == 0x20)
        return true; /* AMD: LOCK MOV CR0 names CR8 */
    if (!(insn->entry->flags & EMUL_F_LOCK) || insn->mod == 3)
        return false;
    if (insn->entry->op == EMUL_OP_GROUP1)
        return (insn->reg & 7) != 7;
    return insn->entry->op != EMUL_OP_CMP;
}

int emul_decode_bytes(struct emul_insn *out, enum emul_mode mode, const u8 *bytes, u32 n)
{
    struct emul_insn insn = {.seg = EMUL_NO_REG, .base = EMUL_NO_REG, .index = EMUL_NO_REG};
    struct emul_prefixes p = {0};
    struct emul_cursor c = {bytes, n, 0};
    int err = emul_prefixes(&insn, &p, &c, mode == EMUL_LONG);

    if (err)
        return err;
    emul_sizes(&insn, &p, mode);
    err = emul_opcode(&insn, &c, mode);
    if (err)
        return err;
    if (insn.entry->flags & EMUL_F_BAD)
        return -EINVAL;
    if (mode == EMUL_LONG && (insn.entry->flags & EMUL_F_NO64))
        return -EINVAL;
    if (insn.entry->flags & EMUL_F_MODRM) {
        err = emul_modrm(&insn, &c, mode);
        if (err)
            return err;
    }
    if (mode == EMUL_LONG)
        emul_long_size(&insn, p.opsize);
    err = emul_immediates(&insn, &c);
    if (err)
        return err;
    if (!emul_lock_ok(&insn))
        return -EINVAL;
    emul_default_seg(&insn, EMUL_DS);
    insn.len = (u8)c.at;
    *out = insn;
    return 0;
}
