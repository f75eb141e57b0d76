/* SPDX-License-Identifier: MIT
 *
 * The x86 instruction emulator: executes one instruction of a guest in software, for accesses to
 * emulated devices and where the CPU does not help (string I/O, control registers and instruction
 * lengths without decode assists).
 *
 * Use: fill in the input fields of struct emul, emul_begin(), emul_run(); on EMUL_DONE or
 * EMUL_REPEAT write registers (and segments in seg_dirty) back. Memory, ports and control registers
 * are reached through the call-backs only, in linear addresses; no access crosses a page.
 *
 * A call-back that has to ask user space returns EMUL_NEED_USER, and so does emul_run, with nothing
 * of the guest changed but for completed rounds of a rep. When the answer is there, emul_supply()
 * hands it over and emul_run() is called again: the instruction runs from its start and finds its
 * earlier accesses answered from a log, so that none happens twice. The struct must be left alone
 * in between.
 *
 * It allocates nothing, takes no lock, and sleeps only if a call-back does. All input is the
 * guest's: nothing in it can make the emulator fail an assertion.
 */
#pragma once

#include "lib/types.h"

enum emul_result {
    EMUL_DONE = 0,      /* executed: registers and rip have moved on */
    EMUL_REPEAT = 1,    /* some rounds of a rep: registers have moved on, rip has not */
    EMUL_FAULT = 2,     /* the guest gets e->fault; registers unchanged (but for rep rounds done) */
    EMUL_NEED_USER = 3, /* emul_supply(), then emul_run() again */
    EMUL_UNHANDLED = 4, /* not an instruction this emulator executes: e->insn says which */
    /* negative: -errno out of a call-back */
};

enum emul_mode { EMUL_REAL, EMUL_VM86, EMUL_PROT16, EMUL_PROT32, EMUL_LONG };

enum emul_seg_nr { EMUL_ES, EMUL_CS, EMUL_SS, EMUL_DS, EMUL_FS, EMUL_GS, EMUL_SEGS };

enum emul_gpr { EMUL_RAX, EMUL_RCX, EMUL_RDX, EMUL_RBX, EMUL_RSP, EMUL_RBP, EMUL_RSI, EMUL_RDI };

/* As in the descriptor: attr bits 0..3 type, 4 S, 5..6 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G. */
struct emul_seg {
    u16 selector;
    u16 attr;
    u32 limit; /* in bytes, granularity applied */
    u64 base;
};

#define EMUL_MAX_LEN 15

/* A decoded instruction. */
struct emul_insn {
    u8 len;
    u8 map;                /* 0 one-byte, 1: 0F, 2: 0F38, 3: 0F3A */
    u8 opcode;             /* last opcode byte */
    u8 op_size, addr_size; /* bytes: 2, 4, 8 */
    u8 rex;                /* the prefix byte, 0 if none */
    u8 rep;                /* 0, 0xf2 or 0xf3 */
    bool lock, vex, has_modrm, rip_relative;
    u8 seg;          /* of the memory operand, override applied */
    u8 mod, reg, rm; /* REX applied to reg and rm */
    u8 base, index;  /* registers of the address, EMUL_NO_REG if none */
    u8 scale;        /* shift of the index */
    s64 disp;
    u64 imm, imm2; /* sign-extended; imm2: selector of a far pointer, second of ENTER */
    const struct emul_entry *entry;
};

#define EMUL_NO_REG 0xff

struct emul_fault {
    u8 vector;
    bool has_error;
    u32 error;
    u64 cr2; /* for vector 14, set by the call-back */
};

struct emul;

/* Each returns 0, EMUL_NEED_USER, EMUL_FAULT with e->fault set, or -errno. NULL: not available. */
struct emul_ops {
    int (*fetch)(struct emul *e, u64 linear, void *buf, u32 len);
    int (*read)(struct emul *e, u64 linear, void *buf, u32 len);
    int (*write)(struct emul *e, u64 linear, const void *buf, u32 len);
    /* A locked read-modify-write: stores `new` if the memory still holds `old`; -EAGAIN if not (the
     * instruction is then executed again). On device memory it is a plain write. NULL: always. */
    int (*cmpxchg)(struct emul *e, u64 linear, const void *old, const void *new, u32 len);
    int (*in)(struct emul *e, u16 port, u32 size, void *buf);
    int (*out)(struct emul *e, u16 port, u32 size, const void *buf);
    /* The task register, and a read of its segment by the CPU itself. NULL: code that needs leave
     * for a port has none. */
    void (*task)(struct emul *e, struct emul_seg *tr);
    int (*read_system)(struct emul *e, u64 linear, void *buf, u32 len);
    /* For LTR, besides read_system: where the GDT is, a descriptor's byte stored by the CPU itself
     * (as cmpxchg), and the new task register. NULL: LTR is not executed. */
    void (*gdt)(struct emul *e, u64 *base, u16 *limit);
    int (*cmpxchg_system)(struct emul *e, u64 linear, u8 old, u8 new);
    void (*load_task)(struct emul *e, const struct emul_seg *tr);
    /* Control (0..15) and debug (16..31) registers. */
    int (*read_cr)(struct emul *e, u32 nr, u64 *value);
    int (*write_cr)(struct emul *e, u32 nr, u64 value);
    int (*invlpg)(struct emul *e, u64 linear);
    /* Loads a segment register in protected mode from the descriptor tables into e->seg[nr]. */
    int (*load_seg)(struct emul *e, u32 nr, u16 selector);
};

#define EMUL_LOG 8
#define EMUL_KNOWN 8 /* by the low bits of rip */

/* An instruction that has been decoded: what the decoder makes of these bytes in this mode. */
struct emul_known {
    u8 bytes[16]; /* the first insn.len of them count */
    u8 mode;
    struct emul_insn insn; /* len 0: none */
};

struct emul {
    const struct emul_ops *ops;
    void *ctx;

    /* Input, and the result after EMUL_DONE and EMUL_REPEAT. */
    u64 gpr[16];
    u64 rip, rflags;
    struct emul_seg seg[EMUL_SEGS];
    u8 mode; /* enum emul_mode: from CR0.PE, EFLAGS.VM, CS.L with EFER.LMA, CS.D */
    u8 cpl;
    /* Instruction bytes known already (decode assists), so that they need not be fetched. */
    u8 bytes[16];
    u8 byte_count;

    /* Results. */
    struct emul_fault fault;
    bool halted;     /* HLT was executed */
    bool irq_shadow; /* STI, MOV SS, POP SS: no interrupt before the next instruction */
    u8 seg_dirty;    /* bit n: seg[n] was loaded */

    /* The emulator's own. */
    struct emul_insn insn;
    bool decoded;
    u64 next_rip;
    u64 saved_gpr[16], saved_rflags; /* to go back to if the instruction does not complete */
    u8 log_count, log_at;
    u64 log[EMUL_LOG];                   /* what this instruction's accesses so far gave */
    struct emul_known known[EMUL_KNOWN]; /* all zeros at first */
};

/* Forgets the last instruction. Call when the input fields are filled. */
void emul_begin(struct emul *e);

/* Fetches and decodes only: EMUL_DONE, or as emul_run. */
int emul_decode(struct emul *e);

/* Returns enum emul_result or -errno. */
int emul_run(struct emul *e);

/* Answers the access that returned EMUL_NEED_USER: the bytes read, or NULL for a write. */
void emul_supply(struct emul *e, const void *data, u32 len);

/* Of a decoded instruction: its memory accesses are all to its one operand, with no stack or string
 * besides; it uses more of the segments than those that long mode ignores. */
bool emul_one_operand(const struct emul *e);
bool emul_needs_segments(const struct emul *e);

/* What these 16 bytes at rip were decoded to earlier; NULL: nothing any more. */
const struct emul_insn *emul_known(const struct emul *e, u64 rip, enum emul_mode mode,
                                   const u64 bytes[2]);

/* Linear address of the decoded instruction's memory operand (no limit check). */
u64 emul_operand_linear(const struct emul *e);

/*
 * Decodes one instruction out of `n` bytes. 0; -EAGAIN if it goes on beyond them (only if n < 15);
 * -EINVAL if it is none or is longer than 15 bytes.
 */
int emul_decode_bytes(struct emul_insn *insn, enum emul_mode mode, const u8 *bytes, u32 n);
