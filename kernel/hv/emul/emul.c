/* SPDX-License-Identifier: MIT
 *
 * Fetch, decode, execute, and commit or take back: the emulator's outer loop.
 */
#include "hv/emul/emul_priv.h"
#include "lib/compiler.h"
#include "lib/errno.h"
#include "lib/string.h"

void emul_begin(struct emul *e)
{
    e->decoded = e->halted = e->irq_shadow = false;
    e->seg_dirty = 0;
    e->log_count = e->log_at = 0;
    e->fault = (struct emul_fault){0};
    if (e->byte_count > EMUL_MAX_LEN)
        e->byte_count = EMUL_MAX_LEN;
}

/* Fetches up to the end of the instruction's page, or of the longest instruction. */
static int emul_fetch_more(struct emul *e)
{
    u64 at = e->rip + e->byte_count;
    u64 linear = e->mode == EMUL_LONG ? at : (u32)(e->seg[EMUL_CS].base + at);
    u32 in_page = (u32)(PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
    u32 left = EMUL_MAX_LEN - e->byte_count, n = MIN(in_page, left);
    int err;

    if (!e->byte_count && in_page >= sizeof(e->bytes))
        n = sizeof(e->bytes); /* the caller may have it easier with whole words */
    err = e->ops->fetch(e, linear, e->bytes + e->byte_count, n);
    if (!err)
        e->byte_count += (u8)MIN(n, left);
    return err;
}

/* The same bytes again? */
static bool emul_is_known(const struct emul_known *k, enum emul_mode mode, const u64 have[2])
{
    u64 want[2], mask = ~0ull;
    u32 len = k->insn.len;

    if (!len || k->mode != mode)
        return false;
    __builtin_memcpy(want, k->bytes, 16);
    if (len <= 8)
        return !((have[0] ^ want[0]) & (mask >> (64 - 8 * len)));
    return have[0] == want[0] && !((have[1] ^ want[1]) & (mask >> (128 - 8 * len)));
}

const struct emul_insn *emul_known(const struct emul *e, u64 rip, enum emul_mode mode,
                                   const u64 bytes[2])
{
    const struct emul_known *k = &e->known[rip % EMUL_KNOWN];

    return emul_is_known(k, mode, bytes) ? &k->insn : NULL;
}

static int emul_decode_new(struct emul *e, struct emul_known *k)
{
    int err;

    while ((err = emul_decode_bytes(&e->insn, e->mode, e->bytes, e->byte_count)) == -EAGAIN) {
        if (e->byte_count == EMUL_MAX_LEN)
            return emul_raise(e, EMUL_GP, true, 0);
        err = emul_fetch_more(e);
        if (err)
            return err;
    }
    if (err)
        return emul_raise(e, EMUL_UD, false, 0);
    k->insn = e->insn;
    k->mode = e->mode;
    __builtin_memcpy(k->bytes, e->bytes, 16);
    return 0;
}

int emul_decode(struct emul *e)
{
    struct emul_known *k = &e->known[e->rip % EMUL_KNOWN];
    u64 have[2];
    int err = 0;

    if (e->decoded)
        return EMUL_DONE;
    if (!e->byte_count)
        err = emul_fetch_more(e);
    if (err)
        return err;
    __builtin_memcpy(have, e->bytes, sizeof(have));
    if (k->insn.len <= e->byte_count && emul_is_known(k, e->mode, have))
        e->insn = k->insn;
    else
        err = emul_decode_new(e, k);
    if (err)
        return err;
    if (e->mode != EMUL_LONG && e->rip + e->insn.len - 1 > e->seg[EMUL_CS].limit)
        return emul_raise(e, EMUL_GP, true, 0);
    e->decoded = true;
    return EMUL_DONE;
}

bool emul_one_operand(const struct emul *e)
{
    switch (e->insn.entry->op) {
    case EMUL_OP_GROUP45:
        return (e->insn.reg & 7) < 2;
    case EMUL_OP_PUSH ... EMUL_OP_POPF:
    case EMUL_OP_GROUP6: /* descriptors */
    case EMUL_OP_CALL:
    case EMUL_OP_RET:
    case EMUL_OP_MOVS ... EMUL_OP_OUTS:
    case EMUL_OP_LEAVE:
        return false;
    default:
        return true;
    }
}

bool emul_needs_segments(const struct emul *e)
{
    switch (e->insn.entry->op) {
    case EMUL_OP_MOV_FROM_SREG:
    case EMUL_OP_MOV_TO_SREG:
    case EMUL_OP_PUSH_SEG:
    case EMUL_OP_POP_SEG:
        return true;
    default:
        return e->mode != EMUL_LONG || e->insn.seg >= EMUL_FS;
    }
}

void emul_checkpoint(struct emul *e)
{
    memcpy(e->saved_gpr, e->gpr, sizeof(e->gpr));
    e->saved_rflags = e->rflags;
    e->log_count = e->log_at = 0;
}

static void emul_take_back(struct emul *e)
{
    memcpy(e->gpr, e->saved_gpr, sizeof(e->gpr));
    e->rflags = e->saved_rflags;
    e->halted = e->irq_shadow = false;
    e->seg_dirty = 0;
}

static void emul_commit(struct emul *e)
{
    e->rip = e->mode == EMUL_LONG ? e->next_rip : (u32)e->next_rip;
    e->rflags &= ~EMUL_RF;
}

int emul_run(struct emul *e)
{
    int r = emul_decode(e);

    if (r)
        return r;
    memcpy(e->saved_gpr, e->gpr, sizeof(e->gpr));
    e->saved_rflags = e->rflags;
    e->next_rip = e->rip + e->insn.len;
    e->log_at = 0;
    r = emul_execute(e);
    switch (r) {
    case EMUL_DONE:
        emul_commit(e);
        break;
    case EMUL_REPEAT:
        break;
    case -EAGAIN: /* another CPU was faster: the guest executes the instruction again */
        r = EMUL_REPEAT;
        emul_take_back(e);
        break;
    default:
        emul_take_back(e);
        break;
    }
    if (r != EMUL_NEED_USER)
        e->log_count = 0;
    return r;
}
