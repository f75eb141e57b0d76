/* SPDX-License-Identifier: MIT
 *
 * The instruction emulator (emul/) at work on a vCPU: its registers go in, memory and devices are
 * reached through the guest's own page tables, the result goes back.
 *
 * A write to a device of user space is posted: it lies in v->run, and the instruction goes on,
 * mostly to its end, before user space sees it. A read, and a second access after a posted write,
 * ends the round: user space acts, then the instruction is executed again from its start and finds
 * what it has had in the emulator's log. Between the rounds of a rep nothing is under way, and the
 * registers are the VMM's to read and to change.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/pte.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "hv/irq/irqchip.h"
#include "hv/memory/memory.h"
#include "hv/regs/regs.h"
#include "hv/run/run.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"

#define REPEAT_MAX 4096 /* rounds before events are looked at */

COUNTER(hv_emulated);

static struct vcpu *emulate_vcpu(struct emul *e)
{
    return e->ctx;
}

static u32 emulate_user_bit(struct vcpu *v)
{
    return v->emul.cpl == 3 ? PF_USER : 0;
}

static struct emul_seg emulate_segment(struct vcpu *v, unsigned nr)
{
    struct kvm_segment s;

    hv_ops->get_segment(v, nr, &s);
    return (struct emul_seg){
        .selector = s.selector,
        .attr = (u16)((s.type & 15) | s.s << 4 | s.dpl << 5 | s.present << 7 | s.avl << 8 |
                      s.l << 9 | s.db << 10 | s.g << 11),
        .limit = s.limit,
        .base = s.base,
    };
}

static void emulate_put_seg(struct vcpu *v, unsigned nr, const struct emul_seg *e)
{
    struct kvm_segment s = {
        .base = e->base,
        .limit = e->limit,
        .selector = e->selector,
        .type = e->attr & 15,
        .s = e->attr >> 4 & 1,
        .dpl = e->attr >> 5 & 3,
        .present = e->attr >> 7 & 1,
        .avl = e->attr >> 8 & 1,
        .l = e->attr >> 9 & 1,
        .db = e->attr >> 10 & 1,
        .g = e->attr >> 11 & 1,
        .unusable = !(e->attr >> 7 & 1),
    };

    hv_ops->set_segment(v, nr, &s);
}

/* ------------------------------------------------------------- memory and devices */

/* The CPU has walked the guest's tables for the access that ended the guest, and found it allowed;
 * another kind of access, or another operand, is walked for. */
static int emulate_translate(struct vcpu *v, u64 linear, u32 access, gpa_t *gpa)
{
    const struct hv_exit_info *x = &v->exit;

    if (v->hinted && !((linear ^ x->gpa) & (PAGE_SIZE - 1)) &&
        (x->access == FAULT_WRITE || !(access & PF_WRITE)) && emul_one_operand(&v->emul)) {
        *gpa = GPA(x->gpa);
        return 0;
    }
    return vcpu_translate(v, linear, access | emulate_user_bit(v), gpa, &v->emul.fault);
}

/* The exit has found no memory there. */
static bool emulate_is_device(const struct vcpu *v, gpa_t gpa)
{
    return v->hinted && gpa.v == v->exit.gpa && v->exit.device;
}

static int emulate_fetch(struct emul *e, u64 linear, void *buf, u32 len)
{
    struct vcpu *v = emulate_vcpu(e);

    return vcpu_fetch(v, linear, PF_FETCH | emulate_user_bit(v), buf, len, &e->fault);
}

static int emulate_read(struct emul *e, u64 linear, void *buf, u32 len)
{
    struct vcpu *v = emulate_vcpu(e);
    gpa_t gpa;
    int err = emulate_translate(v, linear, 0, &gpa);

    if (err)
        return err;
    if (!emulate_is_device(v, gpa) && vm_has_memory(v->vm, gpa, false))
        return guest_read(v->vm, gpa, buf, len);
    if (vm_mmio_read(v, gpa, buf, len) == 0)
        return 0;
    if (!v->posted)
        vcpu_ask_mmio(v, gpa.v, len, false, NULL);
    return EMUL_NEED_USER;
}

static int emulate_write(struct emul *e, u64 linear, const void *buf, u32 len)
{
    struct vcpu *v = emulate_vcpu(e);
    gpa_t gpa;
    int err = emulate_translate(v, linear, PF_WRITE, &gpa);

    if (err)
        return err;
    if (!emulate_is_device(v, gpa) && vm_has_memory(v->vm, gpa, true))
        return guest_write(v->vm, gpa, buf, len);
    if (vm_mmio_write(v, gpa, buf, len) == 0)
        return 0;
    if (v->posted)
        return EMUL_NEED_USER;
    vcpu_ask_mmio(v, gpa.v, len, true, buf);
    v->posted = true;
    return 0;
}

/* Where the guest's memory is not what was read, the instruction is executed again. A device has no
 * locked access: it is written. */
static int emulate_cmpxchg(struct emul *e, u64 linear, const void *old, const void *new, u32 len)
{
    struct vcpu *v = emulate_vcpu(e);
    u64 found = 0, value = 0;
    gpa_t gpa;
    int err = emulate_translate(v, linear, PF_WRITE, &gpa);

    if (err)
        return err;
    if (!vm_has_memory(v->vm, gpa, true))
        return emulate_write(e, linear, new, len);
    memcpy(&found, old, len);
    memcpy(&value, new, len);
    err = guest_cas(v->vm, gpa, &found, value, len);
    return err ? err : memcmp(&found, old, len) ? -EAGAIN : 0;
}

/* For the TSS: by the CPU itself, regardless of the current privilege level. */
static int emulate_read_system(struct emul *e, u64 linear, void *buf, u32 len)
{
    struct vcpu *v = emulate_vcpu(e);
    gpa_t gpa;
    int err = vcpu_translate(v, linear, 0, &gpa, &e->fault);

    return err ? err : guest_read(v->vm, gpa, buf, len);
}

static int emulate_cmpxchg_system(struct emul *e, u64 linear, u8 old, u8 new)
{
    struct vcpu *v = emulate_vcpu(e);
    u8 found = old;
    gpa_t gpa;
    int err = vcpu_translate(v, linear, PF_WRITE, &gpa, &e->fault);

    if (!err)
        err = guest_cas(v->vm, gpa, &found, new, sizeof(new));
    return err ? err : found == old ? 0 : -EAGAIN;
}

static void emulate_task(struct emul *e, struct emul_seg *tr)
{
    *tr = emulate_segment(emulate_vcpu(e), HV_SEG_TR);
}

static void emulate_load_task(struct emul *e, const struct emul_seg *tr)
{
    emulate_put_seg(emulate_vcpu(e), HV_SEG_TR, tr);
}

static void emulate_gdt(struct emul *e, u64 *base, u16 *limit)
{
    struct kvm_dtable gdt;

    hv_ops->get_table(emulate_vcpu(e), false, &gdt);
    *base = gdt.base;
    *limit = gdt.limit;
}

static int emulate_in(struct emul *e, u16 port, u32 size, void *buf)
{
    struct vcpu *v = emulate_vcpu(e);

    if (vm_port_read(v, port, buf, size) == 0)
        return 0;
    if (!v->posted)
        vcpu_ask_port(v, port, size, true, NULL);
    return EMUL_NEED_USER;
}

static int emulate_out(struct emul *e, u16 port, u32 size, const void *buf)
{
    struct vcpu *v = emulate_vcpu(e);

    if (vm_port_write(v, port, buf, size) == 0)
        return 0;
    if (v->posted)
        return EMUL_NEED_USER;
    vcpu_ask_port(v, port, size, false, buf);
    v->posted = true;
    return 0;
}

static int emulate_gp(struct emul *e)
{
    e->fault = (struct emul_fault){.vector = VEC_GP, .has_error = true};
    return EMUL_FAULT;
}

static int emulate_read_cr(struct emul *e, u32 nr, u64 *value)
{
    struct vcpu *v = emulate_vcpu(e);

    if (nr == 8)
        *value = v->vm->irqchip ? irqchip_cr8(v) : v->cr8;
    else if (nr == 0 || (nr >= 2 && nr <= 4))
        *value = hv_ops->get_cr(v, nr);
    else if (nr >= 16)
        return vcpu_read_dr(v, nr - 16, value, &e->fault);
    else
        return emulate_gp(e);
    return 0;
}

static int emulate_write_cr(struct emul *e, u32 nr, u64 value)
{
    struct vcpu *v = emulate_vcpu(e);

    if (nr >= 16)
        return vcpu_write_dr(v, nr - 16, value, &e->fault);
    return vcpu_set_cr(v, nr, value) ? emulate_gp(e) : 0;
}

static int emulate_invlpg(struct emul *e, u64 linear)
{
    hv_ops->tlb_flush(emulate_vcpu(e));
    return 0;
}

static const struct emul_ops emulate_ops = {
    .fetch = emulate_fetch,
    .read = emulate_read,
    .write = emulate_write,
    .cmpxchg = emulate_cmpxchg,
    .read_system = emulate_read_system,
    .task = emulate_task,
    .gdt = emulate_gdt,
    .cmpxchg_system = emulate_cmpxchg_system,
    .load_task = emulate_load_task,
    .in = emulate_in,
    .out = emulate_out,
    .read_cr = emulate_read_cr,
    .write_cr = emulate_write_cr,
    .invlpg = emulate_invlpg,
};

/* ------------------------------------------------------------- registers in and out */

static void emulate_begin(struct vcpu *v)
{
    struct emul *e = &v->emul;

    e->ops = &emulate_ops;
    e->ctx = v;
    memcpy(e->gpr, v->gpr, sizeof(e->gpr));
    e->rip = v->rip;
    e->rflags = v->rflags;
    hv_ops->get_mode(v, &v->mode_now);
    e->mode = v->mode_now.mode;
    e->cpl = v->mode_now.cpl;
    if (e->mode != EMUL_LONG)
        e->seg[EMUL_CS] = emulate_segment(v, EMUL_CS);
    e->byte_count = 0;
    emul_begin(e);
    if (emul_decode(e) == EMUL_DONE && emul_needs_segments(e))
        for (unsigned i = 0; i < EMUL_SEGS; i++)
            e->seg[i] = emulate_segment(v, i);
}

u8 vcpu_decode_len(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    emulate_begin(v);
    return v->emul.decoded ? v->emul.insn.len : 0;
}

static void emulate_finish(struct vcpu *v)
{
    struct emul *e = &v->emul;
    u64 before = v->rflags;

    memcpy(v->gpr, e->gpr, sizeof(e->gpr));
    v->rip = e->rip;
    v->rflags = e->rflags;
    for (unsigned i = 0; e->seg_dirty >> i; i++)
        if (e->seg_dirty >> i & 1)
            emulate_put_seg(v, i, &e->seg[i]);
    hv_ops->set_shadow(v, e->irq_shadow ? KVM_X86_SHADOW_INT_STI : 0);
    vcpu_debug_step(v, before);
    v->hinted = false;
}

/* To user space with a posted write; or as `go` says. */
static int emulate_leave(struct vcpu *v, int go)
{
    bool posted = v->posted;

    v->posted = false;
    return posted ? 0 : go;
}

static int emulate_need_user(struct vcpu *v)
{
    struct emul *e = &v->emul;

    if (e->insn.rep) { /* the rounds that are complete */
        memcpy(v->gpr, e->gpr, sizeof(e->gpr));
        v->rflags = e->rflags;
    }
    v->waiting = VCPU_WAIT_READ;
    if (v->posted)
        v->waiting = e->log_count ? VCPU_WAIT_AGAIN : VCPU_WAIT_ANEW;
    v->posted = false;
    return 0;
}

static int emulate_halted(struct vcpu *v)
{
    if (v->vm->irqchip) {
        WRITE_ONCE(v->mp_state, KVM_MP_STATE_HALTED);
        return 1;
    }
    v->run->exit_reason = KVM_EXIT_HLT;
    return 0;
}

static void emulate_fault(struct vcpu *v)
{
    const struct emul_fault *f = &v->emul.fault;

    if (f->vector == VEC_PF)
        hv_ops->set_cr(v, 2, f->cr2);
    vcpu_queue_exception(v, f->vector, f->has_error, f->error);
}

/* KVM_EXIT_INTERNAL_ERROR with the instruction's bytes, as the API has it. Not for what a guest's
 * user programs can do: they only harm themselves. */
static int emulate_unhandled(struct vcpu *v)
{
    u64 base = v->emul.mode == EMUL_LONG ? 0 : v->emul.seg[EMUL_CS].base;
    u8 bytes[15] = {0};
    gpa_t gpa;
    struct emul_fault fault;

    v->posted = false; /* the run area is about to say otherwise */
    if (v->emul.cpl == 3) {
        vcpu_queue_exception(v, VEC_UD, false, 0);
        return 1;
    }
    if (!vcpu_translate(v, base + v->rip, PF_FETCH, &gpa, &fault) &&
        (gpa.v & (PAGE_SIZE - 1)) <= PAGE_SIZE - sizeof(bytes))
        (void)guest_read(v->vm, gpa, bytes, sizeof(bytes)); /* zeros will do */
    log_limited(LOG_WARN, "hv: vCPU %u: cannot emulate at rip %lx: %02x %02x %02x %02x %02x %02x",
                v->id, v->rip, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]);
    v->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    v->run->emulation_failure.suberror = 1; /* KVM_INTERNAL_ERROR_EMULATION */
    v->run->emulation_failure.ndata = 3;
    v->run->emulation_failure.flags = 1; /* the bytes are there */
    v->run->emulation_failure.insn_size = sizeof(bytes);
    memcpy(v->run->emulation_failure.insn_bytes, bytes, sizeof(bytes));
    return 0;
}

/* One result of emul_run: as vcpu_handle_exit, or 2: run again. */
static int emulate_result(struct vcpu *v, int result)
{
    switch (result) {
    case EMUL_DONE:
        emulate_finish(v);
        return v->emul.halted ? emulate_halted(v) : emulate_leave(v, 1);
    case EMUL_REPEAT:
        emulate_finish(v);
        return emulate_leave(
            v, v->exception.pending || (READ_ONCE(v->requests) & VCPU_REQ_DEBUG) ? 1 : 2);
    case EMUL_FAULT:
        emulate_fault(v);
        return emulate_leave(v, 1);
    case EMUL_NEED_USER:
        return emulate_need_user(v);
    case EMUL_UNHANDLED:
        return emulate_unhandled(v);
    default:
        return result == -EFAULT ? emulate_unhandled(v) : result;
    }
}

static int emulate_rounds(struct vcpu *v)
{
    int go = emulate_result(v, emul_run(&v->emul));

    for (unsigned i = 0; go == 2 && i < REPEAT_MAX && !thread_guest_work(current_thread()); i++) {
        emulate_begin(v);
        go = emulate_result(v, emul_run(&v->emul));
    }
    v->hinted &= v->waiting != VCPU_IDLE;
    return go == 2 ? 1 : go;
}

int vcpu_emulate(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    COUNT(hv_emulated);
    v->stats.emulated++;
    emulate_begin(v);
    return emulate_rounds(v);
}

/* The registers are as user space left them; where it has moved rip, the instruction is given up.
 */
int vcpu_emulate_resume(struct vcpu *v)
{
    struct emul *e = &v->emul;

    ASSERT_HELD(&v->lock);
    if (v->rip != e->rip)
        return 1;
    memcpy(e->gpr, v->gpr, sizeof(e->gpr));
    e->rflags = v->rflags;
    return emulate_rounds(v);
}
