/* SPDX-License-Identifier: MIT
 *
 * Classic BPF (linux/filter.h, McCanne and Jacobson 1993): the checker for all programs, and the
 * interpreter for those that look at packets. A program that passed bpf_check ends on every path,
 * jumps forward only, and uses the 16 scratch words only after writing them, so an interpreter
 * looks at nothing of that. The pure core: no lock, no allocation; it also builds on the host.
 *
 * Seccomp runs its programs by an interpreter of its own (container/seccomp.c), over known and
 * unknown words.
 */
#pragma once

#include "lib/types.h"

/* struct sock_filter */
struct bpf_insn {
    u16 code;
    u8 jt, jf;
    u32 k;
};
#define BPF_MAXINSNS 4096
#define BPF_SCRATCH 16

#define BPF_CLASS(code) ((code)&0x07)
enum { BPF_LD, BPF_LDX, BPF_ST, BPF_STX, BPF_ALU, BPF_JMP, BPF_RET, BPF_MISC };
#define BPF_OP(code) ((code)&0xf0)
#define BPF_X 0x08
#define BPF_W 0x00
enum {
    OP_LD_ABS = 0x20,
    OP_LD_ABS_H = 0x28,
    OP_LD_ABS_B = 0x30,
    OP_LD_IND = 0x40,
    OP_LD_IND_H = 0x48,
    OP_LD_IND_B = 0x50,
    OP_LD_IMM = 0x00,
    OP_LD_MEM = 0x60,
    OP_LD_LEN = 0x80,
    OP_RET_K = 0x06,
    OP_RET_A = 0x16,
    OP_TAX = 0x07,
    OP_TXA = 0x87,
    OP_ST = 0x02,
    OP_STX = 0x03,
    OP_LDX_IMM = 0x01,
    OP_LDX_MEM = 0x61,
    OP_LDX_LEN = 0x81,
    OP_LDX_MSH = 0xb1,
};
enum {
    ALU_ADD = 0x00,
    ALU_SUB = 0x10,
    ALU_MUL = 0x20,
    ALU_DIV = 0x30,
    ALU_OR = 0x40,
    ALU_AND = 0x50,
    ALU_LSH = 0x60,
    ALU_RSH = 0x70,
    ALU_NEG = 0x80,
    ALU_MOD = 0x90,
    ALU_XOR = 0xa0,
    JMP_JA = 0x00,
    JMP_JEQ = 0x10,
    JMP_JGT = 0x20,
    JMP_JGE = 0x30,
    JMP_JSET = 0x40,
};

/* What a program may load. */
enum bpf_use {
    BPF_WORDS,  /* words of `data` bytes alone, and no remainders: seccomp */
    BPF_PACKET, /* any place of a packet, and what is known of it */
};
/* written: BPF_MAXINSNS words (as many as `len`) that the check uses. 0 or -EINVAL. */
int bpf_check(const struct bpf_insn *insns, u32 len, enum bpf_use use, u32 data,
              u16 *written) __must_check;

static inline u32 bpf_alu(unsigned op, u32 a, u32 b, bool *div_by_zero)
{
    switch (op) {
    case ALU_ADD:
        return a + b;
    case ALU_SUB:
        return a - b;
    case ALU_MUL:
        return a * b;
    case ALU_DIV:
        *div_by_zero = b == 0;
        return b ? a / b : 0;
    case ALU_OR:
        return a | b;
    case ALU_AND:
        return a & b;
    case ALU_LSH:
        return a << (b & 31);
    case ALU_RSH:
        return a >> (b & 31);
    case ALU_NEG:
        return -a;
    case ALU_MOD:
        *div_by_zero = b == 0;
        return b ? a % b : 0;
    default:
        return a ^ b;
    }
}

static inline bool bpf_test(unsigned op, u32 a, u32 b)
{
    switch (op) {
    case JMP_JEQ:
        return a == b;
    case JMP_JGT:
        return a > b;
    case JMP_JGE:
        return a >= b;
    default:
        return a & b;
    }
}

/* ---- packets ---- */

/* What is known of a packet beside its bytes: loads from BPF_KNOWN + 4 * one of these. */
#define BPF_KNOWN 0xfffff000U
#define BPF_FROM_NETWORK 0xfff00000U /* loads from the network header */
#define BPF_FROM_LINK 0xffe00000U    /* and from the link header */
enum bpf_known {
    BPF_KNOWN_PROTOCOL,
    BPF_KNOWN_KIND,
    BPF_KNOWN_DEVICE,
    BPF_KNOWN_MARK = 5,
    BPF_KNOWN_QUEUE,
    BPF_KNOWN_HARDWARE, /* ARPHRD_* */
    BPF_KNOWN_HASH,
    BPF_KNOWN_CPU,
    BPF_KNOWN_XOR_X, /* no load: A ^= X */
    BPF_KNOWN_VLAN,
    BPF_KNOWN_HAS_VLAN,
    BPF_KNOWN_PAYLOAD, /* offset of the payload */
    BPF_KNOWN_RANDOM,
    BPF_KNOWN_VLAN_TYPE,
    BPF_KNOWN_MOST
};

struct bpf_packet {
    const u8 *head; /* the first bytes, which lie in one place */
    u32 nr_head;
    u32 before;        /* bytes that lie before head: headers that were taken off */
    u32 len;           /* of all */
    s32 link, network; /* offsets of the headers from the first byte */
    /* n <= 4 bytes at an offset that head does not cover; offset + n <= len. */
    void (*fetch)(const struct bpf_packet *p, u32 offset, u8 *out, u32 n);
    const void *packet;  /* fetch's */
    u32 (*random)(void); /* BPF_KNOWN_RANDOM: at most once in a run */
    u32 known[BPF_KNOWN_MOST];
};
/* The verdict of a checked program: bytes of the packet to keep; 0: none. */
u32 bpf_run(const struct bpf_insn *insns, const struct bpf_packet *p);
