/* SPDX-License-Identifier: MIT
 *
 * General registers and events of a vCPU in KVM's structs, for the ioctls and for the run area
 * (KVM_CAP_SYNC_REGS). vcpu->lock is held.
 */
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "hv/irq/irqchip.h"
#include "hv/regs/regs.h"
#include "lib/errno.h"
#include "lib/string.h"

#define RFLAGS_KNOWN 0x3f7fd5UL

/* struct kvm_regs has them in an order of its own. */
static const u8 vcpu_state_order[16] = {EMUL_RAX, EMUL_RBX, EMUL_RCX, EMUL_RDX, EMUL_RSI, EMUL_RDI,
                                        EMUL_RSP, EMUL_RBP, 8,        9,        10,       11,
                                        12,       13,       14,       15};

void vcpu_read_regs(struct vcpu *v, u64 regs[18])
{
    ASSERT_HELD(&v->lock);
    for (unsigned i = 0; i < 16; i++)
        regs[i] = v->gpr[vcpu_state_order[i]];
    regs[16] = v->rip;
    regs[17] = v->rflags;
}

void vcpu_write_regs(struct vcpu *v, const u64 regs[18])
{
    ASSERT_HELD(&v->lock);
    vcpu_forget_skipped(v);
    for (unsigned i = 0; i < 16; i++)
        v->gpr[vcpu_state_order[i]] = regs[i];
    v->rip = regs[16];
    v->rflags = (regs[17] & RFLAGS_KNOWN) | RFLAGS_FIXED;
    v->exception.pending = false;
}

/* ------------------------------------------------------------- events */

void vcpu_read_events(struct vcpu *v, struct kvm_vcpu_events *out)
{
    struct kvm_vcpu_events e = {
        .exception = {.injected = v->exception.pending && !v->exception.soft,
                      .nr = v->exception.vector,
                      .has_error_code = v->exception.has_error,
                      .error_code = v->exception.error},
        .interrupt = {.shadow = hv_ops->get_shadow(v)},
        .nmi = {.injected = v->nmi_injected,
                .pending = READ_ONCE(v->nmi_pending),
                .masked = hv_ops->nmi_masked(v)},
        .sipi_vector = v->sipi_vector,
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
                 KVM_VCPUEVENT_VALID_SHADOW,
    };

    ASSERT_HELD(&v->lock);
    if (v->irq_injected >= 0 || (!v->vm->irqchip && v->user_irq >= 0)) {
        e.interrupt.injected = 1;
        e.interrupt.nr = (u8)(v->irq_injected >= 0 ? v->irq_injected : v->user_irq);
    }
    *out = e;
}

static bool vcpu_state_events_valid(const struct kvm_vcpu_events *e)
{
    const u32 flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
                      KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;

    if (e->flags & ~flags)
        return false;
    if ((e->flags & KVM_VCPUEVENT_VALID_SMM) &&
        (e->smi.smm || e->smi.pending || e->smi.latched_init))
        return false; /* there is no SMM */
    return !e->exception.injected || (e->exception.nr < 32 && e->exception.nr != VEC_NMI);
}

int vcpu_write_events(struct vcpu *v, const struct kvm_vcpu_events *e)
{
    ASSERT_HELD(&v->lock);
    if (!vcpu_state_events_valid(e))
        return -EINVAL;
    v->exception.pending = e->exception.injected;
    v->exception.soft = 0;
    v->exception.vector = e->exception.nr;
    v->exception.has_error = e->exception.has_error_code;
    v->exception.error = e->exception.error_code;
    v->irq_injected = e->interrupt.injected ? e->interrupt.nr : -1;
    if (!v->vm->irqchip)
        v->user_irq = -1;
    v->nmi_injected = e->nmi.injected;
    if (e->flags & KVM_VCPUEVENT_VALID_SHADOW)
        hv_ops->set_shadow(v, e->interrupt.shadow);
    if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
        WRITE_ONCE(v->nmi_pending, e->nmi.pending);
    hv_ops->set_nmi_masked(v, e->nmi.masked);
    if (e->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
        v->sipi_vector = (u8)e->sipi_vector;
    vcpu_request(v, VCPU_REQ_EVENT);
    return 0;
}

/* ------------------------------------------------------------- registers in the run area */

/* The area is user space's to write at any time: each struct is copied, then judged. */
int vcpu_sync_in(struct vcpu *v, u64 dirty)
{
    struct kvm_run *run = v->run;
    union {
        u64 regs[18];
        struct kvm_sregs sregs;
        struct kvm_vcpu_events events;
    } in;
    int err = 0;

    if (dirty & KVM_SYNC_X86_REGS) {
        memcpy(in.regs, &run->s.regs.regs, sizeof(in.regs));
        vcpu_write_regs(v, in.regs);
    }
    if (dirty & KVM_SYNC_X86_SREGS) {
        memcpy(&in.sregs, &run->s.regs.sregs, sizeof(in.sregs));
        err = vcpu_set_sregs(v, &in.sregs);
    }
    if (!err && (dirty & KVM_SYNC_X86_EVENTS)) {
        memcpy(&in.events, &run->s.regs.events, sizeof(in.events));
        err = vcpu_write_events(v, &in.events);
    }
    if (!err)
        run->kvm_dirty_regs = 0;
    return err;
}

void vcpu_sync_out(struct vcpu *v, u64 valid)
{
    struct kvm_run *run = v->run;

    if (valid & KVM_SYNC_X86_REGS)
        vcpu_read_regs(v, (u64 *)&run->s.regs.regs);
    if (valid & KVM_SYNC_X86_SREGS)
        vcpu_get_sregs(v, &run->s.regs.sregs);
    if (valid & KVM_SYNC_X86_EVENTS)
        vcpu_read_events(v, &run->s.regs.events);
}
