/* SPDX-License-Identifier: MIT
 *
 * The instruction emulator against the CPU the test runs on: random encodings of everything that
 * may run in user mode are executed by both, and registers, flags and memory compared.
 */
#include "harness.h"
#include "hv/emul/emul_priv.h"
#include "lib/compiler.h"

#include <string.h>
#include <sys/mman.h>

struct native {
    u64 gpr[16];
    u64 rflags;
};

void native_run(struct native *n, const void *code);
__asm__(".text\n"
        "native_run:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n"
        "mov %rsi, native_code(%rip)\n"
        "pushq 128(%rdi); popfq\n"
        "mov 0(%rdi),%rax; mov 8(%rdi),%rcx; mov 16(%rdi),%rdx; mov 24(%rdi),%rbx\n"
        "mov 40(%rdi),%rbp; mov 48(%rdi),%rsi; mov 64(%rdi),%r8; mov 72(%rdi),%r9\n"
        "mov 80(%rdi),%r10; mov 88(%rdi),%r11; mov 96(%rdi),%r12; mov 104(%rdi),%r13\n"
        "mov 112(%rdi),%r14; mov 120(%rdi),%r15; mov 56(%rdi),%rdi\n"
        "call *native_code(%rip)\n"
        "pushfq; push %rdi; mov 16(%rsp),%rdi\n"
        "mov %rax,0(%rdi); mov %rcx,8(%rdi); mov %rdx,16(%rdi); mov %rbx,24(%rdi)\n"
        "mov %rbp,40(%rdi); mov %rsi,48(%rdi); mov %r8,64(%rdi); mov %r9,72(%rdi)\n"
        "mov %r10,80(%rdi); mov %r11,88(%rdi); mov %r12,96(%rdi); mov %r13,104(%rdi)\n"
        "mov %r14,112(%rdi); mov %r15,120(%rdi)\n"
        "popq 56(%rdi); popq 128(%rdi); pop %rdi\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "cld; ret\n"
        ".local native_code; .comm native_code,8,8\n");

enum { NATIVE_BUF = 512, NATIVE_ROUNDS = 400000 };

static u8 native_buf[NATIVE_BUF] __aligned(64);

static int native_read(struct emul *e, u64 linear, void *buf, u32 len)
{
    if (linear - (u64)native_buf > NATIVE_BUF - len)
        return -1;
    memcpy(buf, (void *)linear, len);
    return 0;
}

static int native_write(struct emul *e, u64 linear, const void *buf, u32 len)
{
    if (linear - (u64)native_buf > NATIVE_BUF - len)
        return -1;
    memcpy((void *)linear, buf, len);
    return 0;
}

static int native_fetch(struct emul *e, u64 linear, void *buf, u32 len)
{
    return -1;
}

static const struct emul_ops native_ops = {
    .fetch = native_fetch, .read = native_read, .write = native_write};

/* Opcodes that may run here; two-byte ones with 0x0f00 added. */
static bool native_allowed(u32 op)
{
    switch (op) {
    case 0x00 ... 0x3f:
        return (op & 7) < 6;
    case 0x63:
    case 0x69:
    case 0x6b:
    case 0x80:
    case 0x81:
    case 0x83 ... 0x8b:
    case 0x8d:
    case 0x90 ... 0x93:
    case 0x95 ... 0x99:
    case 0xa4 ... 0xb7:
    case 0xb8 ... 0xbb:
    case 0xbd ... 0xc1:
    case 0xc6:
    case 0xc7:
    case 0xd0 ... 0xd3:
    case 0xf5 ... 0xf9:
    case 0xfc ... 0xff:
    case 0x0f18 ... 0x0f1f:
    case 0x0f40 ... 0x0f4f:
    case 0x0f90 ... 0x0f9f:
    case 0x0fa3 ... 0x0fa5:
    case 0x0fab ... 0x0fad:
    case 0x0faf ... 0x0fb1:
    case 0x0fb3:
    case 0x0fb6:
    case 0x0fb7:
    case 0x0fba ... 0x0fbd:
    case 0x0fbe:
    case 0x0fbf ... 0x0fc1:
    case 0x0fc8 ... 0x0fcb:
    case 0x0fcd ... 0x0fcf:
        return true;
    default:
        return false;
    }
}

/* Writes a random instruction; memory operands are [rbx + disp8] or [r11 + disp8]. */
static u32 native_make(u8 *p, u64 *seed)
{
    u32 n = 0, op;
    u64 r = unit_rand(seed);

    do {
        op = (u32)unit_rand(seed) & 0xff;
        if (unit_rand(seed) % 3 == 0)
            op |= 0x0f00;
    } while (!native_allowed(op));
    if (r % 4 == 0)
        p[n++] = 0x66;
    if (op >= 0xa4 && op <= 0xaf && op != 0xa8 && op != 0xa9 && r >> 8 & 1)
        p[n++] = r >> 9 & 1 ? 0xf2 : 0xf3;
    if (r >> 4 & 1)
        p[n++] = 0x40 | (r >> 16 & 15);
    if (op > 0xff)
        p[n++] = 0x0f;
    p[n++] = (u8)op;
    u8 modrm = (u8)(r >> 24);

    p[n++] = r >> 32 & 1 ? modrm | 0xc0 : (modrm & 0x38) | 0x43;
    /* Displacement or immediate bytes; the first keeps addresses inside the buffer. */
    p[n++] = (u8)(r >> 40) & 0x3f;
    for (int i = 0; i < 8; i++)
        p[n++] = (u8)unit_rand(seed);
    return n;
}

/* Things the comparison leaves out: RSP as an operand, groups' other members, bits beyond. */
static bool native_usable(const struct emul_insn *i)
{
    const struct emul_entry *t = i->entry;
    bool high = t->flags & EMUL_F_BYTE && !i->rex;
    bool uses_reg = t->dst == EMUL_K_REG || t->src == EMUL_K_REG || t->op == EMUL_OP_DSHIFT;

    if (i->lock || t->op == EMUL_OP_NONE)
        return false;
    if (i->has_modrm && i->mod == 3 && i->rm == 4 && !(high && !i->map))
        return false;
    if (uses_reg && i->reg == 4 && !(high && !i->map))
        return false;
    if ((t->op == EMUL_OP_MOVZX || t->op == EMUL_OP_MOVSX) && i->mod == 3 && i->rm == 4)
        return false;
    if ((t->dst == EMUL_K_OPREG || t->src == EMUL_K_OPREG) && (i->opcode & 7) == 4)
        return i->opcode >= 0xb0 && i->opcode < 0xb8 && !i->rex;
    if (t->op == EMUL_OP_GROUP45 && (i->reg & 7) > 1)
        return false;
    if (!i->map && (i->opcode & 0xfe) == 0xc6 && (i->reg & 7))
        return false;
    if (t->op == EMUL_OP_BSWAP && i->op_size == 2)
        return false;
    if (t->op == EMUL_OP_LEA && i->mod == 3)
        return false;
    if (t->op == EMUL_OP_SHIFT && (i->reg & 7) == 6)
        return true;
    if (i->map == 1 && i->opcode >= 0x18 && i->opcode < 0x1f)
        return false; /* hint space: MPX, CET */
    return !(t->op >= EMUL_OP_BT && t->op <= EMUL_OP_BTC && i->mod != 3);
}

/* Flags that are defined after the instruction. */
static u64 native_flags(const struct emul *e, u64 count)
{
    u64 all = EMUL_ARITH | EMUL_DF;
    u32 reg = e->insn.reg & 7;

    switch (e->insn.entry->op) {
    case EMUL_OP_SHIFT:
        count &= e->insn.op_size == 8 && !(e->insn.entry->flags & EMUL_F_BYTE) ? 63 : 31;
        if (!count)
            return all;
        all &= ~(count == 1 ? 0 : EMUL_OF);
        if (reg >= 4) {
            all &= ~EMUL_AF;
            if (count >= emul_operand_size(e) * 8)
                all &= ~EMUL_CF;
        }
        return all;
    case EMUL_OP_GROUP3:
        if (reg >= 6)
            return EMUL_DF;
        if (reg >= 4)
            return EMUL_CF | EMUL_OF | EMUL_DF;
        return reg < 2 ? all & ~EMUL_AF : all;
    case EMUL_OP_IMUL:
        return EMUL_CF | EMUL_OF | EMUL_DF;
    case EMUL_OP_BT ... EMUL_OP_GROUP8:
        return EMUL_CF | EMUL_ZF | EMUL_DF;
    case EMUL_OP_SCAN:
        return EMUL_ZF | EMUL_DF;
    case EMUL_OP_DSHIFT:
        count &= e->insn.op_size == 8 ? 63 : 31;
        return count == 0 ? all : all & ~(EMUL_AF | (count == 1 ? 0 : EMUL_OF));
    case EMUL_OP_AND:
    case EMUL_OP_OR:
    case EMUL_OP_XOR:
    case EMUL_OP_TEST:
        return all & ~EMUL_AF;
    case EMUL_OP_GROUP1:
        return reg == 1 || reg == 4 || reg == 6 ? all & ~EMUL_AF : all;
    default:
        return all;
    }
}

/* Results, not only flags. */
static bool native_undefined(const struct emul *e, u64 cl)
{
    u64 count = e->insn.entry->src == EMUL_K_IMM ? e->insn.imm : cl;

    if (e->insn.entry->op == EMUL_OP_SCAN)
        return e->rflags & EMUL_ZF;
    return e->insn.entry->op == EMUL_OP_DSHIFT && e->insn.op_size == 2 && (count & 31) > 15;
}

static void native_registers(struct native *n, u64 *seed)
{
    for (int i = 0; i < 16; i++) {
        n->gpr[i] = unit_rand(seed) >> (unit_rand(seed) & 63);
        if (unit_rand(seed) % 4 == 0)
            n->gpr[i] = -n->gpr[i];
    }
    n->gpr[EMUL_RBX] = (u64)native_buf + 128;
    n->gpr[11] = (u64)native_buf + 192;
    n->gpr[EMUL_RSI] = (u64)native_buf + 200 + unit_rand(seed) % 50;
    n->gpr[EMUL_RDI] = (u64)native_buf + 200 + unit_rand(seed) % 50;
    n->gpr[EMUL_RCX] = unit_rand(seed) % 2 ? unit_rand(seed) % 16 : n->gpr[EMUL_RCX];
    n->rflags = 0x202 | (unit_rand(seed) & (EMUL_ARITH | EMUL_DF));
}

/* A failed comparison prints the instruction: the seed is fixed, but bytes are what one wants. */
static void native_complain(const struct emul *e, const struct native *n)
{
    __builtin_printf("  bytes:");
    for (int i = 0; i < e->insn.len; i++)
        __builtin_printf(" %02x", e->bytes[i]);
    __builtin_printf("\n");
    for (int i = 0; i < 16; i++) {
        if (i != EMUL_RSP && e->gpr[i] != n->gpr[i])
            __builtin_printf("  r%d: emulated %lx, real %lx\n", i, (long)e->gpr[i],
                             (long)n->gpr[i]);
    }
    __builtin_printf("  flags: emulated %lx, real %lx\n", (long)e->rflags, (long)n->rflags);
}

/* One-byte inc and dec are REX here; segment registers are left alone. */
static bool native_has(u32 op)
{
    return op != EMUL_OP_INC && op != EMUL_OP_DEC && op != EMUL_OP_MOV_FROM_SREG &&
           op != EMUL_OP_MOV_TO_SREG;
}

TEST(emul_does_what_the_cpu_does)
{
    u8 *code =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    u64 seed = 2024;
    u32 compared = 0, seen[EMUL_OP_COUNT] = {0};

    EXPECT(code != MAP_FAILED);
    for (int round = 0; round < NATIVE_ROUNDS; round++) {
        struct emul e = {.ops = &native_ops, .mode = EMUL_LONG, .cpl = 3, .rip = (u64)code};
        struct native n;
        u8 before[NATIVE_BUF], emulated[NATIVE_BUF];

        e.byte_count = (u8)MIN(native_make(e.bytes, &seed), 15u);
        native_registers(&n, &seed);
        for (u32 i = 0; i < NATIVE_BUF; i++)
            before[i] = (u8)(unit_rand(&seed) % 3 * 0x55);
        memcpy(native_buf, before, NATIVE_BUF);
        memcpy(e.gpr, n.gpr, sizeof(e.gpr));
        e.rflags = n.rflags;
        u64 count = n.gpr[EMUL_RCX];

        emul_begin(&e);
        if (emul_decode(&e) || !native_usable(&e.insn))
            continue;
        if (e.insn.rep && count > 16)
            continue;
        if (emul_run(&e) != EMUL_DONE)
            continue; /* a division error, or an address outside the buffer */
        if (native_undefined(&e, count))
            continue;
        memcpy(emulated, native_buf, NATIVE_BUF);
        memcpy(native_buf, before, NATIVE_BUF);
        memcpy(code, e.bytes, e.insn.len);
        code[e.insn.len] = 0xc3;
        native_run(&n, code);
        n.gpr[EMUL_RSP] = e.gpr[EMUL_RSP];
        if (e.insn.entry->src == EMUL_K_IMM)
            count = e.insn.imm;
        else if (e.insn.entry->src == EMUL_K_ONE)
            count = 1;
        u64 mask = native_flags(&e, count);
        bool same = !memcmp(e.gpr, n.gpr, sizeof(n.gpr)) && !((e.rflags ^ n.rflags) & mask) &&
                    !memcmp(emulated, native_buf, NATIVE_BUF) && e.rip == (u64)code + e.insn.len;

        if (!same)
            native_complain(&e, &n);
        EXPECT(same);
        compared++;
        seen[e.insn.entry->op]++;
    }
    munmap(code, 4096);
    EXPECT(compared > NATIVE_ROUNDS / 3);
    for (u32 op = EMUL_OP_ADD; op <= EMUL_OP_SETCC; op++)
        EXPECT(seen[op] || !native_has(op));
}
