/* SPDX-License-Identifier: MIT
 *
 * Classic BPF. bpf.h has the contract.
 */
#include "lib/bpf.h"
#include "lib/errno.h"
#include "lib/string.h"

static bool bpf_check_alu(const struct bpf_insn *in, enum bpf_use use)
{
    unsigned op = BPF_OP(in->code);

    if (op > ALU_XOR || (op == ALU_MOD && use == BPF_WORDS))
        return false;
    if (in->code & BPF_X)
        return op != ALU_NEG;
    if (op == ALU_DIV || op == ALU_MOD)
        return in->k != 0;
    return (op != ALU_LSH && op != ALU_RSH) || in->k < 32;
}

static bool bpf_check_jump(const struct bpf_insn *in, u32 pc, u32 len)
{
    u64 left = len - pc - 1; /* instructions behind this one */
    unsigned op = BPF_OP(in->code);

    if (op == JMP_JA)
        return !(in->code & BPF_X) && in->k < left;
    return op <= JMP_JSET && in->jt < left && in->jf < left;
}

static bool bpf_is_known(u32 k)
{
    u32 which = (k - BPF_KNOWN) / 4;

    return (k - BPF_KNOWN) % 4 == 0 && which < BPF_KNOWN_MOST && (which < 3 || which > 4);
}

static bool bpf_check_packet_load(const struct bpf_insn *in)
{
    switch (in->code) {
    case OP_LD_ABS:
    case OP_LD_ABS_H:
    case OP_LD_ABS_B:
        return in->k < BPF_KNOWN || bpf_is_known(in->k);
    case OP_LD_IND:
    case OP_LD_IND_H:
    case OP_LD_IND_B:
    case OP_LDX_MSH:
        return true;
    default:
        return false;
    }
}

static bool bpf_check_load(const struct bpf_insn *in, enum bpf_use use, u32 data)
{
    switch (in->code) {
    case OP_LD_IMM:
    case OP_LD_LEN:
    case OP_LDX_IMM:
    case OP_LDX_LEN:
        return true;
    case OP_LD_MEM:
    case OP_LDX_MEM:
    case OP_ST:
    case OP_STX:
        return in->k < BPF_SCRATCH;
    default:
        if (use == BPF_PACKET)
            return bpf_check_packet_load(in);
        return in->code == OP_LD_ABS && in->k % 4 == 0 && in->k < data;
    }
}

static bool bpf_check_insn(const struct bpf_insn *in, u32 pc, u32 len, enum bpf_use use, u32 data)
{
    if (in->code > 0xff)
        return false;
    switch (BPF_CLASS(in->code)) {
    case BPF_ALU:
        return bpf_check_alu(in, use);
    case BPF_JMP:
        return bpf_check_jump(in, pc, len);
    case BPF_RET:
        return in->code == OP_RET_K || in->code == OP_RET_A;
    case BPF_MISC:
        return in->code == OP_TAX || in->code == OP_TXA;
    default:
        return bpf_check_load(in, use, data);
    }
}

/* Scratch words read on some path before they were written there? `written[pc]` gathers, by
 * intersection over all ways to pc, the words that are. Jumps go forward only. */
static int bpf_check_scratch(const struct bpf_insn *insns, u32 len, u16 *written)
{
    u16 now = 0;

    memset(written, 0xff, len * sizeof(u16));
    for (u32 pc = 0; pc < len; pc++) {
        const struct bpf_insn *in = &insns[pc];

        now &= written[pc];
        switch (BPF_CLASS(in->code)) {
        case BPF_ST:
        case BPF_STX:
            now |= (u16)(1U << in->k);
            break;
        case BPF_JMP:
            if (BPF_OP(in->code) == JMP_JA) {
                written[pc + 1 + in->k] &= now;
            } else {
                written[pc + 1 + in->jt] &= now;
                written[pc + 1 + in->jf] &= now;
            }
            now = 0xffff;
            break;
        case BPF_LD:
        case BPF_LDX:
            if ((in->code & 0xe0) == OP_LD_MEM && !(now >> in->k & 1))
                return -EINVAL;
            break;
        case BPF_RET:
            now = 0xffff;
            break;
        }
    }
    return 0;
}

int bpf_check(const struct bpf_insn *insns, u32 len, enum bpf_use use, u32 data, u16 *written)
{
    if (len == 0 || len > BPF_MAXINSNS)
        return -EINVAL;
    for (u32 pc = 0; pc < len; pc++)
        if (!bpf_check_insn(&insns[pc], pc, len, use, data))
            return -EINVAL;
    if (BPF_CLASS(insns[len - 1].code) != BPF_RET)
        return -EINVAL;
    return bpf_check_scratch(insns, len, written);
}

/* ---- packets ---- */

struct bpf_machine {
    u32 a, x, mem[BPF_SCRATCH];
    bool drawn;
    u64 random; /* the last one, if any was drawn */
};

/* n bytes from an offset that the program says, as a number in the network's order. False: they are
 * not all there. */
static bool bpf_load(const struct bpf_packet *p, u32 k, u32 n, u32 *out)
{
    s64 at = k;
    u8 bytes[4];

    if (k >= BPF_FROM_NETWORK)
        at = (s64)k - BPF_FROM_NETWORK + p->network;
    else if (k >= BPF_FROM_LINK)
        at = (s64)k - BPF_FROM_LINK + p->link;
    if (at < -(s64)p->before || at + n > p->len)
        return false;
    if (at >= 0 && at + n > p->nr_head)
        p->fetch(p, (u32)at, bytes, n);
    else if (at + n <= (s64)p->nr_head || at + n <= 0)
        memcpy(bytes, p->head + at, n);
    else /* it begins before the packet and ends behind its head */
        for (u32 i = 0; i < n; i++)
            if (at + i < (s64)p->nr_head)
                bytes[i] = p->head[at + i];
            else
                p->fetch(p, (u32)(at + i), bytes + i, 1);
    *out = 0;
    for (u32 i = 0; i < n; i++)
        *out = *out << 8 | bytes[i];
    return true;
}

static u32 bpf_size(u16 code)
{
    return (code & 0x18) == 0x10 ? 1 : (code & 0x18) == 0x08 ? 2 : 4;
}

/* The first number of a run is drawn, which costs far more than an instruction may; those behind it
 * follow from it. */
static u32 bpf_random(struct bpf_machine *m, const struct bpf_packet *p)
{
    if (!m->drawn) {
        m->drawn = true;
        m->random = p->random();
        return (u32)m->random;
    }
    m->random = m->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (u32)(m->random >> 32);
}

/* Loads, stores and moves. False: a load beyond the packet, which ends the program with 0. */
static bool bpf_move(struct bpf_machine *m, const struct bpf_insn *in, const struct bpf_packet *p)
{
    u32 v;

    switch (in->code) {
    case OP_LD_ABS:
    case OP_LD_ABS_H:
    case OP_LD_ABS_B:
        if (in->k < BPF_KNOWN)
            return bpf_load(p, in->k, bpf_size(in->code), &m->a);
        if ((in->k - BPF_KNOWN) / 4 == BPF_KNOWN_XOR_X)
            m->a ^= m->x;
        else if ((in->k - BPF_KNOWN) / 4 == BPF_KNOWN_RANDOM)
            m->a = bpf_random(m, p);
        else
            m->a = p->known[(in->k - BPF_KNOWN) / 4];
        return true;
    case OP_LD_IND:
    case OP_LD_IND_H:
    case OP_LD_IND_B:
        return bpf_load(p, m->x + in->k, bpf_size(in->code), &m->a);
    case OP_LDX_MSH:
        if (!bpf_load(p, in->k, 1, &v))
            return false;
        m->x = (v & 15) * 4;
        return true;
    case OP_LD_IMM:
        m->a = in->k;
        return true;
    case OP_LD_LEN:
        m->a = p->len;
        return true;
    case OP_LD_MEM:
        m->a = m->mem[in->k];
        return true;
    case OP_LDX_IMM:
        m->x = in->k;
        return true;
    case OP_LDX_LEN:
        m->x = p->len;
        return true;
    case OP_LDX_MEM:
        m->x = m->mem[in->k];
        return true;
    case OP_ST:
        m->mem[in->k] = m->a;
        return true;
    case OP_STX:
        m->mem[in->k] = m->x;
        return true;
    case OP_TAX:
        m->x = m->a;
        return true;
    default: /* OP_TXA */
        m->a = m->x;
        return true;
    }
}

u32 bpf_run(const struct bpf_insn *insns, const struct bpf_packet *p)
{
    struct bpf_machine m = {0};

    for (u32 pc = 0;; pc++) {
        const struct bpf_insn *in = &insns[pc];
        u32 b = in->code & BPF_X ? m.x : in->k;
        bool div_by_zero = false;

        switch (BPF_CLASS(in->code)) {
        case BPF_RET:
            return in->code == OP_RET_K ? in->k : m.a;
        case BPF_ALU:
            m.a = bpf_alu(BPF_OP(in->code), m.a, b, &div_by_zero);
            if (div_by_zero)
                return 0;
            break;
        case BPF_JMP:
            if (BPF_OP(in->code) == JMP_JA)
                pc += in->k;
            else
                pc += bpf_test(BPF_OP(in->code), m.a, b) ? in->jt : in->jf;
            break;
        default:
            if (!bpf_move(&m, in, p))
                return 0;
        }
    }
}
