/* SPDX-License-Identifier: MIT
 *
 * Hyper-V's hypercalls (Hypervisor Top Level Functional Specification, 3 and appendix A): a guest's
 * wait for a lock, interrupts to and flushes on many of its processors. The input is the registers
 * (a fast call) or lies in memory. It is read once.
 *
 * Processors go by their index, below VM_VCPUS_MAX: of a sparse set the first bank is all there is.
 */
#include "arch/x86/trap.h"
#include "hv/irq/irqchip.h"
#include "hv/memory/memory.h"
#include "hv/regs/hyperv.h"
#include "hv/run/run.h"
#include "lib/string.h"

#define CALL_CODE(control) ((u16)(control))
#define CALL_FAST (1UL << 16)
#define CALL_BANKS(control) ((control) >> 17 & 0x3ff)
#define CALL_REPS(control) ((control) >> 32 & 0xfff)
#define CALL_REP_START(control) ((control) >> 48 & 0xfff)

enum hyperv_code {
    CALL_FLUSH_SPACE = 0x02,
    CALL_FLUSH_LIST = 0x03,
    CALL_LONG_SPIN = 0x08,
    CALL_SEND_IPI = 0x0b,
    CALL_FLUSH_SPACE_EX = 0x13,
    CALL_FLUSH_LIST_EX = 0x14,
    CALL_SEND_IPI_EX = 0x15,
};
enum hyperv_status {
    STATUS_OK = 0,
    STATUS_INVALID_CODE = 2,
    STATUS_INVALID_INPUT = 3,
    STATUS_DENIED = 6,
};

#define FLUSH_ALL_PROCESSORS 1UL
#define SET_SPARSE 0UL
#define SET_ALL 1UL
#define VECTOR_FIRST 16
#define VECTOR_LAST 255

struct hyperv_call {
    u64 control, in, out;
};

static u64 hyperv_count(u64 bits)
{
    u64 n = 0;

    for (; bits; bits &= bits - 1)
        n++;
    return n;
}

/* n words in memory, of which the last two are a set of processors: its format, and which banks it
 * has, whose bits follow. False: it contradicts itself, or that is not memory. */
static bool hyperv_read_with_set(struct vcpu *v, const struct hyperv_call *c, u64 *in, u32 n,
                                 u64 *processors)
{
    u64 size = n * sizeof(*in), format, banks;

    if ((c->control & CALL_FAST) || guest_read(v->vm, GPA(c->in), in, size))
        return false;
    format = in[n - 2];
    banks = in[n - 1];
    *processors = format == SET_ALL ? VM_EVERY_VCPU : 0;
    if (format == SET_ALL)
        return true;
    if (format != SET_SPARSE || CALL_BANKS(c->control) != hyperv_count(banks))
        return false;
    return !(banks & 1) || !guest_read(v->vm, GPA(c->in + size), processors, sizeof(*processors));
}

/* ------------------------------------------------------------- interrupts */

static u64 hyperv_send(struct vcpu *v, u64 vector, u64 processors)
{
    if (vector < VECTOR_FIRST || vector > VECTOR_LAST)
        return STATUS_INVALID_INPUT;
    if (v->vm->irqchip)
        irqchip_send_indices(v->vm, (u8)vector, processors);
    return STATUS_OK;
}

static u64 hyperv_send_ipi(struct vcpu *v, const struct hyperv_call *c)
{
    u64 in[2] = {c->in, c->out}; /* vector, and 4 bytes of nothing; processors */

    if (!(c->control & CALL_FAST) && guest_read(v->vm, GPA(c->in), in, sizeof(in)))
        return STATUS_INVALID_INPUT;
    if (c->control & CALL_FAST && in[0] >> 32)
        return STATUS_INVALID_INPUT;
    return hyperv_send(v, (u32)in[0], in[1]);
}

static u64 hyperv_send_ipi_ex(struct vcpu *v, const struct hyperv_call *c)
{
    u64 in[3], processors; /* vector; a set */

    if (!hyperv_read_with_set(v, c, in, ARRAY_SIZE(in), &processors))
        return STATUS_INVALID_INPUT;
    return hyperv_send(v, (u32)in[0], processors);
}

/* ------------------------------------------------------------ flushes: of all addresses, always */

static u64 hyperv_flush_done(struct vcpu *v, const struct hyperv_call *c, u64 processors)
{
    vm_flush_indices(v->vm, processors);
    return STATUS_OK | CALL_REPS(c->control) << 32;
}

/* No processors at all: all of them, since there are guests that say so (as Linux's KVM has it). */
static u64 hyperv_flush(struct vcpu *v, const struct hyperv_call *c)
{
    struct {
        u64 space, flags, processors;
    } in;

    if ((c->control & CALL_FAST) || guest_read(v->vm, GPA(c->in), &in, sizeof(in)))
        return STATUS_INVALID_INPUT;
    if ((in.flags & FLUSH_ALL_PROCESSORS) || !in.processors)
        in.processors = VM_EVERY_VCPU;
    return hyperv_flush_done(v, c, in.processors);
}

static u64 hyperv_flush_ex(struct vcpu *v, const struct hyperv_call *c)
{
    u64 in[4], processors; /* address space, flags; a set */

    if (!hyperv_read_with_set(v, c, in, ARRAY_SIZE(in), &processors))
        return STATUS_INVALID_INPUT;
    return hyperv_flush_done(v, c, processors);
}

/* ------------------------------------------------------------- all of them */

/* List calls, and only they, come with a count; those with a set, and only they, with banks. */
static bool hyperv_shape_valid(u64 control, bool list, bool set)
{
    bool reps = CALL_REPS(control) || CALL_REP_START(control);

    return list ? CALL_REPS(control) && !CALL_REP_START(control) && (set || !CALL_BANKS(control))
                : !reps && (set || !CALL_BANKS(control));
}

/* Where the guest is held to its CPUID. */
static bool hyperv_call_shown(const struct hyperv_cpuid *c, u16 code)
{
    switch (code) {
    case CALL_LONG_SPIN:
        return c->spins && c->spins != U32_MAX;
    case CALL_FLUSH_SPACE_EX:
    case CALL_FLUSH_LIST_EX:
        return (c->hints & HYPERV_HINT_MANY_PROCESSORS) && (c->hints & HYPERV_HINT_TLB_FLUSH);
    case CALL_FLUSH_SPACE:
    case CALL_FLUSH_LIST:
        return c->hints & HYPERV_HINT_TLB_FLUSH;
    case CALL_SEND_IPI_EX:
        return (c->hints & HYPERV_HINT_MANY_PROCESSORS) && (c->hints & HYPERV_HINT_IPI);
    case CALL_SEND_IPI:
        return c->hints & HYPERV_HINT_IPI;
    default:
        return true;
    }
}

static u64 hyperv_call_run(struct vcpu *v, const struct hyperv_call *c)
{
    static const struct {
        u16 code;
        bool list, set;
        u64 (*run)(struct vcpu *v, const struct hyperv_call *c);
    } calls[] = {
        {CALL_FLUSH_SPACE, false, false, hyperv_flush},
        {CALL_FLUSH_LIST, true, false, hyperv_flush},
        {CALL_SEND_IPI, false, false, hyperv_send_ipi},
        {CALL_FLUSH_SPACE_EX, false, true, hyperv_flush_ex},
        {CALL_FLUSH_LIST_EX, true, true, hyperv_flush_ex},
        {CALL_SEND_IPI_EX, false, true, hyperv_send_ipi_ex},
    };

    if (v->hyperv.enforced && !hyperv_call_shown(&v->hyperv, CALL_CODE(c->control)))
        return STATUS_DENIED;
    if (CALL_CODE(c->control) == CALL_LONG_SPIN) {
        if (!hyperv_shape_valid(c->control, false, false))
            return STATUS_INVALID_INPUT;
        cond_yield();
        return STATUS_OK;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++)
        if (calls[i].code == CALL_CODE(c->control))
            return hyperv_shape_valid(c->control, calls[i].list, calls[i].set)
                       ? calls[i].run(v, c)
                       : STATUS_INVALID_INPUT;
    return STATUS_INVALID_CODE;
}

static u64 hyperv_pair(const struct vcpu *v, unsigned high, unsigned low)
{
    return v->gpr[high] << 32 | (u32)v->gpr[low];
}

int vcpu_hyperv_call(struct vcpu *v)
{
    bool wide = v->mode_now.mode == EMUL_LONG;
    struct hyperv_call c = {v->gpr[EMUL_RCX], v->gpr[EMUL_RDX], v->gpr[8]};
    u64 result;

    ASSERT_HELD(&v->lock);
    if (v->mode_now.cpl || v->mode_now.mode == EMUL_REAL) {
        vcpu_queue_exception(v, VEC_UD, false, 0);
        return 1;
    }
    if (!wide) {
        c.control = hyperv_pair(v, EMUL_RDX, EMUL_RAX);
        c.in = hyperv_pair(v, EMUL_RBX, EMUL_RCX);
        c.out = hyperv_pair(v, EMUL_RDI, EMUL_RSI);
    }
    result = hyperv_call_run(v, &c);
    v->gpr[EMUL_RAX] = wide ? result : (u32)result;
    if (!wide)
        v->gpr[EMUL_RDX] = result >> 32;
    vcpu_skip(v);
    return 1;
}
