/* SPDX-License-Identifier: MIT
 *
 * The classic-BPF checker and interpreter behind seccomp.h. A program that passed bpf_check ends on
 * every path, jumps forward only, reads inside struct seccomp_data, and uses the 16 scratch words
 * only after writing them; so the interpreter checks nothing.
 *
 * The allow bitmap comes from running the program on symbolic data, when a number is first called:
 * number and architecture known, everything else unknown. A path that must look at an unknown word
 * proves nothing.
 */
#include "container/seccomp.h"

#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/cache.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "sync/spinlock.h"

/* linux/bpf_common.h, linux/filter.h */
#define BPF_CLASS(code) ((code)&0x07)
enum { BPF_LD, BPF_LDX, BPF_ST, BPF_STX, BPF_ALU, BPF_JMP, BPF_RET, BPF_MISC };
#define BPF_OP(code) ((code)&0xf0)
#define BPF_X 0x08
enum {
    OP_LD_ABS = 0x20,
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
    ALU_XOR = 0xa0,
    JMP_JA = 0x00,
    JMP_JEQ = 0x10,
    JMP_JGT = 0x20,
    JMP_JGE = 0x30,
    JMP_JSET = 0x40,
};
#define BPF_W 0x00
#define SCRATCH_WORDS 16
#define YIELD_INSNS 512 /* instructions between two yields */
#define YIELD_FREED 64  /* filters */

/* The machine. `known` has a bit for A (bit 16), X (bit 17) and each scratch word (0..15): in a
 * real run all are known. */
struct bpf_state {
    u32 a, x, mem[SCRATCH_WORDS];
    u32 known;
};
#define KNOWN_A (1U << 16)
#define KNOWN_X (1U << 17)
#define KNOWN_ALL (~0U)

static bool bpf_check_alu(const struct bpf_insn *in)
{
    unsigned op = BPF_OP(in->code);

    if (op > ALU_XOR || op == 0x90 /* mod is not for seccomp */)
        return false;
    if (in->code & BPF_X)
        return op != ALU_NEG;
    if (op == ALU_DIV)
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

static bool bpf_check_load(const struct bpf_insn *in)
{
    switch (in->code) {
    case BPF_LD | BPF_W | OP_LD_ABS:
        return in->k % 4 == 0 && in->k < sizeof(struct seccomp_data);
    case OP_LD_IMM:
    case OP_LD_LEN:
    case OP_LDX_IMM:
    case OP_LDX_LEN:
        return true;
    case OP_LD_MEM:
    case OP_LDX_MEM:
    case OP_ST:
    case OP_STX:
        return in->k < SCRATCH_WORDS;
    default:
        return false;
    }
}

static bool bpf_check_insn(const struct bpf_insn *in, u32 pc, u32 len)
{
    if (in->code > 0xff)
        return false;
    switch (BPF_CLASS(in->code)) {
    case BPF_ALU:
        return bpf_check_alu(in);
    case BPF_JMP:
        return bpf_check_jump(in, pc, len);
    case BPF_RET:
        return in->code == OP_RET_K || in->code == OP_RET_A;
    case BPF_MISC:
        return in->code == OP_TAX || in->code == OP_TXA;
    default:
        return bpf_check_load(in);
    }
}

/* Scratch words read on some path before they were written there? `valid[pc]` gathers, by
 * intersection over all ways to pc, the words that are written. Jumps go forward only. */
static int bpf_check_scratch(const struct bpf_insn *insns, u32 len)
{
    u16 *valid = kmalloc(len * sizeof(u16));
    u16 now = 0;
    int err = 0;

    if (!valid)
        return -ENOMEM;
    memset(valid, 0xff, len * sizeof(u16));
    for (u32 pc = 0; pc < len && !err; pc++) {
        const struct bpf_insn *in = &insns[pc];

        now &= valid[pc];
        switch (BPF_CLASS(in->code)) {
        case BPF_ST:
        case BPF_STX:
            now |= 1U << in->k;
            break;
        case BPF_JMP:
            if (BPF_OP(in->code) == JMP_JA) {
                valid[pc + 1 + in->k] &= now;
            } else {
                valid[pc + 1 + in->jt] &= now;
                valid[pc + 1 + in->jf] &= now;
            }
            now = 0xffff;
            break;
        case BPF_LD:
        case BPF_LDX:
            if ((in->code & 0xe0) == OP_LD_MEM && !(now >> in->k & 1))
                err = -EINVAL;
            break;
        case BPF_RET:
            now = 0xffff;
            break;
        }
    }
    kfree(valid);
    return err;
}

static int bpf_check(const struct bpf_insn *insns, u32 len)
{
    if (len == 0 || len > BPF_MAXINSNS)
        return -EINVAL;
    for (u32 pc = 0; pc < len; pc++)
        if (!bpf_check_insn(&insns[pc], pc, len))
            return -EINVAL;
    if (BPF_CLASS(insns[len - 1].code) != BPF_RET)
        return -EINVAL;
    return bpf_check_scratch(insns, len);
}

static u32 bpf_alu(unsigned op, u32 a, u32 b, bool *div_by_zero)
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
    default:
        return a ^ b;
    }
}

static bool bpf_test(unsigned op, u32 a, u32 b)
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

static void bpf_set(struct bpf_state *st, u32 bit, u32 *slot, u32 value, bool known)
{
    *slot = value;
    st->known = known ? st->known | bit : st->known & ~bit;
}

/* Loads, stores and moves: everything that neither computes, jumps nor ends. */
static void bpf_move(struct bpf_state *st, const struct bpf_insn *in, const u32 *data,
                     u32 data_known)
{
    switch (in->code) {
    case BPF_LD | BPF_W | OP_LD_ABS:
        bpf_set(st, KNOWN_A, &st->a, data[in->k / 4], data_known >> (in->k / 4) & 1);
        break;
    case OP_LD_IMM:
        bpf_set(st, KNOWN_A, &st->a, in->k, true);
        break;
    case OP_LD_LEN:
        bpf_set(st, KNOWN_A, &st->a, sizeof(struct seccomp_data), true);
        break;
    case OP_LD_MEM:
        bpf_set(st, KNOWN_A, &st->a, st->mem[in->k], st->known >> in->k & 1);
        break;
    case OP_LDX_IMM:
        bpf_set(st, KNOWN_X, &st->x, in->k, true);
        break;
    case OP_LDX_LEN:
        bpf_set(st, KNOWN_X, &st->x, sizeof(struct seccomp_data), true);
        break;
    case OP_LDX_MEM:
        bpf_set(st, KNOWN_X, &st->x, st->mem[in->k], st->known >> in->k & 1);
        break;
    case OP_ST:
        bpf_set(st, 1U << in->k, &st->mem[in->k], st->a, st->known & KNOWN_A);
        break;
    case OP_STX:
        bpf_set(st, 1U << in->k, &st->mem[in->k], st->x, st->known & KNOWN_X);
        break;
    case OP_TAX:
        bpf_set(st, KNOWN_X, &st->x, st->a, st->known & KNOWN_A);
        break;
    case OP_TXA:
        bpf_set(st, KNOWN_A, &st->a, st->x, st->known & KNOWN_X);
        break;
    }
}

/* Runs a checked program, and yields now and then. False: the verdict hangs on an unknown word
 * (never with all known). */
static bool bpf_run(const struct seccomp *f, const u32 *data, u32 data_known, u32 *verdict)
{
    struct bpf_state st = {.known = KNOWN_ALL};

    for (u32 pc = 0, stop = YIELD_INSNS;; pc++) {
        const struct bpf_insn *in = &f->insns[pc];
        unsigned op = BPF_OP(in->code);
        u32 b = in->code & BPF_X ? st.x : in->k;
        bool known = (st.known & KNOWN_A) && (!(in->code & BPF_X) || (st.known & KNOWN_X));
        bool div_by_zero = false;

        if (unlikely(pc >= stop)) {
            stop = pc + YIELD_INSNS;
            cond_yield();
        }
        switch (BPF_CLASS(in->code)) {
        case BPF_RET:
            *verdict = in->code == OP_RET_K ? in->k : st.a;
            return in->code == OP_RET_K || (st.known & KNOWN_A);
        case BPF_ALU:
            if (op == ALU_DIV && in->code & BPF_X && !(st.known & KNOWN_X))
                return false; /* it may end here */
            bpf_set(&st, KNOWN_A, &st.a, bpf_alu(op, st.a, b, &div_by_zero), known);
            if (div_by_zero) { /* a division by zero ends the program with 0: kill */
                *verdict = SECCOMP_RET_KILL_THREAD;
                return known;
            }
            break;
        case BPF_JMP:
            if (op == JMP_JA) {
                pc += in->k;
                break;
            }
            if (!known)
                return false;
            pc += bpf_test(op, st.a, b) ? in->jt : in->jf;
            break;
        default:
            bpf_move(&st, in, data, data_known);
        }
    }
}

static bool seccomp_bit(const u64 *bits, u64 nr)
{
    return __atomic_load_n(&bits[nr / 64], __ATOMIC_ACQUIRE) >> (nr % 64) & 1;
}

/* After a filter of a chain. *ran: instructions since the last yield, at most. */
static void seccomp_yield_after(const struct seccomp *f, u32 *ran)
{
    *ran += f->len;
    if (*ran >= YIELD_INSNS) {
        *ran = 0;
        cond_yield();
    }
}

/* Whether this filter and those before it allow the number by itself: up to one that was asked. */
static bool seccomp_allows_all(const struct seccomp *f, u64 nr)
{
    struct seccomp_data data = {.nr = (s32)nr, .arch = AUDIT_ARCH_X86_64};
    u32 verdict, ran = 0;

    for (; f; f = f->prev) {
        if (seccomp_bit(f->judged, nr))
            return seccomp_bit(f->allow, nr);
        /* Words 0 (nr) and 1 (arch) are known. */
        if (!bpf_run(f, (const u32 *)&data, 3, &verdict) || verdict != SECCOMP_RET_ALLOW)
            return false;
        seccomp_yield_after(f, &ran);
    }
    return true;
}

bool seccomp_judge(struct seccomp *chain, u64 nr)
{
    bool allowed;

    if (nr >= SECCOMP_CALLS)
        return false;
    if (seccomp_bit(chain->judged, nr))
        return seccomp_bit(chain->allow, nr);
    allowed = seccomp_allows_all(chain, nr);
    if (allowed)
        __atomic_fetch_or(&chain->allow[nr / 64], 1ULL << (nr % 64), __ATOMIC_RELAXED);
    /* After the verdict: pairs with the load of `judged`. */
    __atomic_fetch_or(&chain->judged[nr / 64], 1ULL << (nr % 64), __ATOMIC_RELEASE);
    return allowed;
}

/* The first filters that were made last, each with a reference: what starts many containers gives
 * them all the same one, and to judge a number anew is dear. */
#define RECENT 2
static struct spinlock recent_lock = SPINLOCK_INIT(RANK_CONTAINER, 8, "seccomp recent");
static struct seccomp *recent[RECENT]; /* recent_lock */
static unsigned recent_next;           /* recent_lock */

static struct seccomp *recent_find(const struct bpf_insn *insns, u32 len, bool log)
{
    struct seccomp *found = NULL;

    spin_lock(&recent_lock);
    for (unsigned i = 0; i < RECENT && !found; i++) {
        struct seccomp *f = recent[i];

        if (f && f->len == len && f->log == log && !memcmp(f->insns, insns, len * sizeof(*insns)))
            found = f;
    }
    if (found)
        seccomp_get(found);
    spin_unlock(&recent_lock);
    return found;
}

/* Puts f (or nothing) in the oldest one's place. True: there was one. */
static bool recent_replace(struct seccomp *f)
{
    struct seccomp *old;

    if (f)
        seccomp_get(f);
    spin_lock(&recent_lock);
    old = recent[recent_next];
    recent[recent_next] = f;
    recent_next = (recent_next + 1) % RECENT;
    spin_unlock(&recent_lock);
    seccomp_put(old);
    return old != NULL;
}

static u64 recent_drop(void)
{
    u64 n = 0;

    for (unsigned i = 0; i < RECENT; i++)
        n += recent_replace(NULL);
    return n;
}
CACHE_KIND("25") = {"filters", recent_drop};

static u32 seccomp_depth(const struct seccomp *s)
{
    return s ? s->depth : 0;
}

/* Two skips of the same length are followed by one of twice as much: so each depth is reached in a
 * few steps ("An applicative random-access stack", Myers 1983). */
static void seccomp_set_skip(struct seccomp *f)
{
    const struct seccomp *prev = f->prev, *far = prev ? prev->skip : NULL;

    f->depth = seccomp_depth(prev) + 1;
    f->skip = prev;
    if (far && seccomp_depth(prev) - far->depth == far->depth - seccomp_depth(far->skip))
        f->skip = far->skip;
}

int seccomp_attach(struct seccomp *prev, const struct bpf_insn *insns, u32 len, bool log,
                   struct seccomp **out)
{
    struct seccomp *f = prev ? NULL : recent_find(insns, len, log);
    int err;

    if (f) {
        *out = f;
        return 0;
    }
    err = bpf_check(insns, len);
    if (err)
        return err;
    if ((prev ? prev->chain_len : 0) + len + 4 > SECCOMP_CHAIN_MAX)
        return -ENOMEM;
    f = kzalloc(sizeof(*f) + len * sizeof(*insns));
    if (!f)
        return -ENOMEM;
    refcount_init(&f->ref, 1);
    f->prev = prev;
    f->chain_len = (prev ? prev->chain_len : 0) + len + 4;
    f->log = log;
    f->len = len;
    memcpy(f->insns, insns, len * sizeof(*insns));
    seccomp_set_skip(f);
    if (!prev)
        recent_replace(f);
    *out = f;
    return 0;
}

u32 seccomp_run(const struct seccomp *chain, const struct seccomp_data *data)
{
    u32 worst = SECCOMP_RET_ALLOW, verdict, ran = 0;

    for (const struct seccomp *f = chain; f; f = f->prev) {
        bpf_run(f, (const u32 *)data, ~0U, &verdict);
        /* Actions order by their signed value: KILL_PROCESS is the most negative. */
        if ((s32)(verdict & SECCOMP_RET_ACTION_FULL) < (s32)(worst & SECCOMP_RET_ACTION_FULL))
            worst = verdict;
        seccomp_yield_after(f, &ran);
    }
    return worst;
}

bool seccomp_is_ancestor(const struct seccomp *old, const struct seccomp *chain)
{
    while (seccomp_depth(chain) > seccomp_depth(old))
        chain = seccomp_depth(chain->skip) >= seccomp_depth(old) ? chain->skip : chain->prev;
    return chain == old;
}

void seccomp_get(struct seccomp *s)
{
    refcount_get(&s->ref);
}

void seccomp_put(struct seccomp *s)
{
    for (unsigned freed = 1; s && refcount_put(&s->ref); freed++) {
        struct seccomp *prev = s->prev;

        kfree(s);
        s = prev;
        if (freed % YIELD_FREED == 0)
            cond_yield();
    }
}
