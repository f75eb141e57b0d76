/* SPDX-License-Identifier: MIT
 *
 * The interpreter of classic BPF behind seccomp.h. A program that passed bpf_check (lib/bpf.h) ends
 * on every path and reads inside struct seccomp_data, so the interpreter checks nothing.
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

#define YIELD_INSNS 512 /* instructions between two yields */
#define YIELD_FREED 64  /* filters */

/* The machine. `known` has a bit for A (bit 16), X (bit 17) and each scratch word (0..15): in a
 * real run all are known. */
struct seccomp_state {
    u32 a, x, mem[BPF_SCRATCH];
    u32 known;
};
#define KNOWN_A (1U << 16)
#define KNOWN_X (1U << 17)
#define KNOWN_ALL (~0U)

static int seccomp_check(const struct bpf_insn *insns, u32 len)
{
    u16 *written = len && len <= BPF_MAXINSNS ? kmalloc(len * sizeof(u16)) : NULL;
    int err;

    if (!len || len > BPF_MAXINSNS)
        return -EINVAL;
    if (!written)
        return -ENOMEM;
    err = bpf_check(insns, len, BPF_WORDS, sizeof(struct seccomp_data), written);
    kfree(written);
    return err;
}

static void seccomp_set(struct seccomp_state *st, u32 bit, u32 *slot, u32 value, bool known)
{
    *slot = value;
    st->known = known ? st->known | bit : st->known & ~bit;
}

/* Loads, stores and moves: everything that neither computes, jumps nor ends. */
static void seccomp_move(struct seccomp_state *st, const struct bpf_insn *in, const u32 *data,
                         u32 data_known)
{
    switch (in->code) {
    case OP_LD_ABS:
        seccomp_set(st, KNOWN_A, &st->a, data[in->k / 4], data_known >> (in->k / 4) & 1);
        break;
    case OP_LD_IMM:
        seccomp_set(st, KNOWN_A, &st->a, in->k, true);
        break;
    case OP_LD_LEN:
        seccomp_set(st, KNOWN_A, &st->a, sizeof(struct seccomp_data), true);
        break;
    case OP_LD_MEM:
        seccomp_set(st, KNOWN_A, &st->a, st->mem[in->k], st->known >> in->k & 1);
        break;
    case OP_LDX_IMM:
        seccomp_set(st, KNOWN_X, &st->x, in->k, true);
        break;
    case OP_LDX_LEN:
        seccomp_set(st, KNOWN_X, &st->x, sizeof(struct seccomp_data), true);
        break;
    case OP_LDX_MEM:
        seccomp_set(st, KNOWN_X, &st->x, st->mem[in->k], st->known >> in->k & 1);
        break;
    case OP_ST:
        seccomp_set(st, 1U << in->k, &st->mem[in->k], st->a, st->known & KNOWN_A);
        break;
    case OP_STX:
        seccomp_set(st, 1U << in->k, &st->mem[in->k], st->x, st->known & KNOWN_X);
        break;
    case OP_TAX:
        seccomp_set(st, KNOWN_X, &st->x, st->a, st->known & KNOWN_A);
        break;
    case OP_TXA:
        seccomp_set(st, KNOWN_A, &st->a, st->x, st->known & KNOWN_X);
        break;
    }
}

/* Runs a checked program, and yields now and then. False: the verdict hangs on an unknown word
 * (never with all known). */
static bool seccomp_run_one(const struct seccomp *f, const u32 *data, u32 data_known, u32 *verdict)
{
    struct seccomp_state st = {.known = KNOWN_ALL};

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
            seccomp_set(&st, KNOWN_A, &st.a, bpf_alu(op, st.a, b, &div_by_zero), known);
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
            seccomp_move(&st, in, data, data_known);
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
        if (!seccomp_run_one(f, (const u32 *)&data, 3, &verdict) || verdict != SECCOMP_RET_ALLOW)
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
    err = seccomp_check(insns, len);
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
        seccomp_run_one(f, (const u32 *)data, ~0U, &verdict);
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
