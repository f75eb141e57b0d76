/* SPDX-License-Identifier: MIT
 *
 * The eBPF checker and interpreter behind device_filter.h. A program that passed the check reads
 * registers only after writing them, the context only where it has a word, jumps forward only, and
 * ends in an exit on every path; so the interpreter checks nothing and ends.
 *
 * The check is one pass: since jumps go forward, all ways to an instruction have been seen when its
 * turn comes. Opcodes: Linux Documentation/bpf/standardization/instruction-set.
 */
#include "container/device_filter.h"

#include "container/cgroup.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/mutex.h"

enum { CLASS_LDX = 1, CLASS_ALU = 4, CLASS_JMP = 5, CLASS_JMP32 = 6, CLASS_ALU64 = 7 };
#define INSN_CLASS(i) ((i)->code & 0x07)
#define INSN_OP(i) ((i)->code & 0xf0)
#define INSN_DST(i) ((i)->regs & 15)
#define INSN_SRC(i) ((i)->regs >> 4)
#define SRC_REG 0x08
#define CODE_LDX_WORD 0x61
enum {
    ALU_ADD = 0x00,
    ALU_SUB = 0x10,
    ALU_MUL = 0x20,
    ALU_OR = 0x40,
    ALU_AND = 0x50,
    ALU_LSH = 0x60,
    ALU_RSH = 0x70,
    ALU_NEG = 0x80,
    ALU_XOR = 0xa0,
    ALU_MOV = 0xb0,
};
enum {
    JMP_JA = 0x00,
    JMP_JEQ = 0x10,
    JMP_JGT = 0x20,
    JMP_JGE = 0x30,
    JMP_JSET = 0x40,
    JMP_JNE = 0x50,
    JMP_EXIT = 0x90,
    JMP_JLT = 0xa0,
    JMP_JLE = 0xb0,
};
#define REGS 10 /* r10, the stack's, is not there */

/* ------------------------------------------------------------- the check */

/* What each register holds: two bits, so that the states of two ways meet in one AND. */
enum { REG_NOTHING = 0, REG_NUMBER = 1, REG_CONTEXT = 2 };
#define STATE_ANY 0xfffffU             /* no way here yet */
#define STATE_START (REG_CONTEXT << 2) /* r1 */

static unsigned state_get(u32 state, unsigned reg)
{
    return state >> (2 * reg) & 3;
}

static u32 state_set(u32 state, unsigned reg, unsigned kind)
{
    return (state & ~(3U << (2 * reg))) | kind << (2 * reg);
}

static bool alu_known(unsigned op)
{
    return (op <= ALU_MUL || (op >= ALU_OR && op <= ALU_NEG) || op == ALU_XOR || op == ALU_MOV);
}

static int check_alu(const struct ebpf_insn *in, u32 *state)
{
    unsigned op = INSN_OP(in), bits = INSN_CLASS(in) == CLASS_ALU64 ? 64 : 32, kind = REG_NUMBER;
    bool reg = in->code & SRC_REG;

    if (!alu_known(op) || in->off || (reg ? in->imm != 0 : INSN_SRC(in) != 0))
        return -EINVAL;
    if (op == ALU_NEG && (reg || in->imm))
        return -EINVAL;
    if ((op == ALU_LSH || op == ALU_RSH) && !reg && (u32)in->imm >= bits)
        return -EINVAL;
    if (reg)
        kind = state_get(*state, INSN_SRC(in));
    if (kind != REG_NUMBER && !(kind == REG_CONTEXT && op == ALU_MOV && bits == 64))
        return -EINVAL;
    if (op != ALU_MOV && state_get(*state, INSN_DST(in)) != REG_NUMBER)
        return -EINVAL;
    *state = state_set(*state, INSN_DST(in), kind);
    return 0;
}

static int check_load(const struct ebpf_insn *in, u32 *state)
{
    if (in->code != CODE_LDX_WORD || in->imm || state_get(*state, INSN_SRC(in)) != REG_CONTEXT)
        return -EINVAL;
    if (in->off < 0 || in->off % 4 || in->off >= (s16)sizeof(struct device_access))
        return -EINVAL;
    *state = state_set(*state, INSN_DST(in), REG_NUMBER);
    return 0;
}

/* Judges the operands; *falls: it may go on behind itself, *jumps: to in->off as well. */
static int check_jump(const struct ebpf_insn *in, u32 state, bool *falls, bool *jumps)
{
    unsigned op = INSN_OP(in);
    bool reg = in->code & SRC_REG, wide = INSN_CLASS(in) == CLASS_JMP;

    if (op == JMP_EXIT || op == JMP_JA) {
        if (!wide || reg || in->regs || in->imm || (op == JMP_EXIT && in->off))
            return -EINVAL;
        *falls = false;
        *jumps = op == JMP_JA;
        return op == JMP_JA || state_get(state, 0) == REG_NUMBER ? 0 : -EINVAL;
    }
    if (op > JMP_JNE && op != JMP_JLT && op != JMP_JLE)
        return -EINVAL;
    if (reg ? in->imm || state_get(state, INSN_SRC(in)) != REG_NUMBER : INSN_SRC(in) != 0)
        return -EINVAL;
    *falls = *jumps = true;
    return state_get(state, INSN_DST(in)) == REG_NUMBER ? 0 : -EINVAL;
}

static int check_insn(const struct ebpf_insn *in, u32 *state, bool *falls, bool *jumps)
{
    *falls = true;
    *jumps = false;
    if (INSN_DST(in) >= REGS || INSN_SRC(in) >= REGS)
        return -EINVAL;
    switch (INSN_CLASS(in)) {
    case CLASS_LDX:
        return check_load(in, state);
    case CLASS_ALU:
    case CLASS_ALU64:
        return check_alu(in, state);
    case CLASS_JMP:
    case CLASS_JMP32:
        return check_jump(in, *state, falls, jumps);
    default:
        return -EINVAL;
    }
}

/* states[]: what is known on all ways to each instruction. */
static int check_program(const struct ebpf_insn *insns, u32 len, u32 *states)
{
    for (u32 i = 0; i < len; i++)
        states[i] = STATE_ANY;
    states[0] = STATE_START;
    for (u32 i = 0; i < len; i++) {
        u32 state = states[i];
        bool falls, jumps;
        u64 to = (u64)i + 1 + (u64)(s64)insns[i].off;
        int err;

        if (state == STATE_ANY)
            return -EINVAL; /* no way leads here */
        err = check_insn(&insns[i], &state, &falls, &jumps);
        if (err)
            return err;
        if ((falls && i + 1 >= len) || (jumps && (insns[i].off < 0 || to >= len)))
            return -EINVAL;
        if (falls)
            states[i + 1] &= state;
        if (jumps)
            states[to] &= state;
    }
    return 0;
}

int device_filter_create(const struct ebpf_insn *insns, u32 len, struct device_filter **out)
{
    struct device_filter *f;
    u32 *states;
    int err;

    if (!len || len > EBPF_MAXINSNS)
        return -EINVAL;
    states = kmalloc(len * sizeof(*states));
    if (!states)
        return -ENOMEM;
    err = check_program(insns, len, states);
    kfree(states);
    if (err)
        return err;
    f = kmalloc(sizeof(*f) + len * sizeof(*insns));
    if (!f)
        return -ENOMEM;
    refcount_init(&f->ref, 1);
    f->len = len;
    memcpy(f->insns, insns, len * sizeof(*insns));
    *out = f;
    return 0;
}

static void device_filter_get(struct device_filter *f)
{
    refcount_get(&f->ref);
}

void device_filter_put(struct device_filter *f)
{
    if (refcount_put(&f->ref))
        kfree(f);
}

/* ------------------------------------------------------------- the machine */

static u64 run_alu(unsigned op, u64 a, u64 b, unsigned bits)
{
    switch (op) {
    case ALU_ADD:
        return a + b;
    case ALU_SUB:
        return a - b;
    case ALU_MUL:
        return a * b;
    case ALU_OR:
        return a | b;
    case ALU_AND:
        return a & b;
    case ALU_LSH:
        return a << (b & (bits - 1));
    case ALU_RSH:
        return a >> (b & (bits - 1));
    case ALU_NEG:
        return -a;
    case ALU_XOR:
        return a ^ b;
    default:
        return b;
    }
}

static bool run_test(unsigned op, u64 a, u64 b)
{
    switch (op) {
    case JMP_JEQ:
        return a == b;
    case JMP_JGT:
        return a > b;
    case JMP_JGE:
        return a >= b;
    case JMP_JSET:
        return a & b;
    case JMP_JNE:
        return a != b;
    case JMP_JLT:
        return a < b;
    case JMP_JLE:
        return a <= b;
    default:
        return true;
    }
}

static bool device_filter_allows(const struct device_filter *f, const struct device_access *ctx)
{
    u64 r[REGS] = {0};

    for (const struct ebpf_insn *in = f->insns;; in++) {
        unsigned class = INSN_CLASS(in), op = INSN_OP(in);
        bool wide = class == CLASS_ALU64 || class == CLASS_JMP;
        u64 *dst = &r[INSN_DST(in)], a = *dst;
        u64 b = in->code & SRC_REG ? r[INSN_SRC(in)] : (u64)(s64)in->imm;

        if (!wide) {
            a = (u32)a;
            b = (u32)b;
        }
        if (class == CLASS_LDX)
            *dst = ((const u32 *)ctx)[in->off / 4];
        else if (class == CLASS_ALU || class == CLASS_ALU64)
            *dst = wide ? run_alu(op, a, b, 64) : (u32)run_alu(op, a, b, 32);
        else if (op == JMP_EXIT)
            return (u32)r[0] != 0;
        else if (run_test(op, a, b))
            in += in->off;
    }
}

/* ------------------------------------------------------------- on a control group */

static struct mutex filters_lock; /* over changes of groups' filters; readers are under RCU */

static void filters_init(void)
{
    mutex_init(&filters_lock, RANK_CONTAINER, 2, "device filters");
}
INIT_HOOK(filters_init, INIT_CORE);

static void filters_free(struct rcu_head *head)
{
    struct device_filters *set = container_of(head, struct device_filters, rcu);

    for (u32 i = 0; i < set->count; i++)
        device_filter_put(set->filters[i]);
    kfree(set);
}

/* Consumes the new set's references; NULL: none any more. */
static void filters_publish_locked(struct cgroup *cg, struct device_filters *set)
    REQUIRES(filters_lock)
{
    struct device_filters *old = cg->devices;

    ASSERT_HELD(&filters_lock);
    store_release(&cg->devices, set);
    if (old)
        rcu_call(&old->rcu, filters_free);
}

/* A copy of `from` (NULL: empty) without the filter `out`, with space for one more. */
static struct device_filters *filters_copy(const struct device_filters *from,
                                           const struct device_filter *out)
{
    u32 count = from ? from->count : 0;
    struct device_filters *set = kmalloc(sizeof(*set) + (count + 1) * sizeof(set->filters[0]));

    if (!set)
        return NULL;
    set->only = false;
    set->count = 0;
    for (u32 i = 0; i < count; i++) {
        if (from->filters[i] == out)
            continue;
        device_filter_get(from->filters[i]);
        set->filters[set->count++] = from->filters[i];
    }
    return set;
}

static bool filters_has(const struct device_filters *set, const struct device_filter *f)
{
    for (u32 i = 0; set && i < set->count; i++)
        if (set->filters[i] == f)
            return true;
    return false;
}

int cgroup_attach_device_filter(struct cgroup *cg, struct device_filter *f, bool only)
{
    struct device_filters *set;
    int err = 0;

    mutex_lock(&filters_lock);
    if (cg->devices && cg->devices->only != only)
        err = -EPERM;
    else if (!only && filters_has(cg->devices, f))
        err = -EEXIST;
    else if (!only && cg->devices && cg->devices->count >= CGROUP_FILTERS_MAX)
        err = -E2BIG;
    set = err ? NULL : filters_copy(only ? NULL : cg->devices, NULL);
    if (!err && !set)
        err = -ENOMEM;
    if (!err) {
        device_filter_get(f);
        set->only = only;
        set->filters[set->count++] = f;
        filters_publish_locked(cg, set);
    }
    mutex_unlock(&filters_lock);
    return err;
}

int cgroup_detach_device_filter(struct cgroup *cg, struct device_filter *f)
{
    struct device_filters *set;
    int err = 0;

    mutex_lock(&filters_lock);
    if (cg->devices && cg->devices->only)
        f = cg->devices->filters[0]; /* whichever is named, as on Linux */
    if (!f && cg->devices) {
        err = -EINVAL;
    } else if (!f || !filters_has(cg->devices, f)) {
        err = -ENOENT;
    } else if (cg->devices->count == 1) {
        filters_publish_locked(cg, NULL);
    } else {
        set = filters_copy(cg->devices, f);
        if (set)
            filters_publish_locked(cg, set);
        else
            err = -ENOMEM;
    }
    mutex_unlock(&filters_lock);
    return err;
}

u32 cgroup_count_device_filters(struct cgroup *cg)
{
    u32 n;

    mutex_lock(&filters_lock);
    n = cg->devices ? cg->devices->count : 0;
    mutex_unlock(&filters_lock);
    return n;
}

/* Parents are immutable and live as long as their children. */
bool cgroup_device_allowed(const struct cgroup *cg, const struct device_access *a)
{
    bool yes = true;

    rcu_read_lock();
    for (; cg && yes; cg = cg->parent) {
        const struct device_filters *set = load_acquire(&cg->devices);

        for (u32 i = 0; set && i < set->count && yes; i++)
            yes = device_filter_allows(set->filters[i], a);
    }
    rcu_read_unlock();
    return yes;
}

void cgroup_drop_device_filters(struct cgroup *cg)
{
    if (cg->devices)
        filters_free(&cg->devices->rcu);
}
