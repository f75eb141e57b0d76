/* SPDX-License-Identifier: MIT
 *
 * A debugger of the VMM at its guest (KVM_SET_GUEST_DEBUG; vcpu->lock is held). It may have:
 *
 * Software breakpoints: each INT3 ends the guest's stay. One that the guest has for itself is the
 * VMM's to inject again.
 * Hardware breakpoints: DR0 to DR3 and DR7 in place of the guest's, which are kept meanwhile.
 * Steps: TF is set for each entry, and taken back at the exit; an instruction that is executed here
 * is a step too. What the CPU pushes by itself, in PUSHF and for its own exceptions, has the flag.
 * Delivery of an event is a step of its own: it ends at the handler's first instruction.
 */
#include "arch/x86/trap.h"
#include "arch/x86/uaccess.h"
#include "hv/vcpu/vcpu.h"
#include "lib/errno.h"
#include "lib/string.h"

#define DR7_BREAKPOINTS 0xffff03ffUL /* no general detect: the registers are the debugger's */

u32 vcpu_exceptions(const struct vcpu *v)
{
    u32 always = 1U << VEC_DB | 1U << VEC_AC | 1U << VEC_MC;

    ASSERT_HELD(&v->lock);
    return always | (v->debugger.control & KVM_GUESTDBG_USE_SW_BP ? 1U << VEC_BP : 0);
}

bool vcpu_debugger_takes(const struct vcpu *v, u8 vector)
{
    u32 control = v->debugger.control;

    ASSERT_HELD(&v->lock);
    if (vector == VEC_BP)
        return control & KVM_GUESTDBG_USE_SW_BP;
    return vector == VEC_DB && (control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP));
}

static u64 debugger_linear_rip(struct vcpu *v)
{
    struct kvm_segment cs;
    struct hv_mode mode;

    hv_ops->get_mode(v, &mode);
    if (mode.mode == EMUL_LONG)
        return v->rip;
    hv_ops->get_segment(v, EMUL_CS, &cs);
    return (u32)(cs.base + v->rip);
}

int vcpu_debugger_exit(struct vcpu *v, u8 vector, u64 bits)
{
    ASSERT_HELD(&v->lock);
    v->run->exit_reason = KVM_EXIT_DEBUG;
    v->run->debug.arch = (struct kvm_debug_exit_arch){
        .exception = vector,
        .pc = debugger_linear_rip(v),
        .dr6 = bits | DR6_FIXED,
        .dr7 = v->cpu_dr7,
    };
    return 0;
}

/* The exception that it wants its guest to have. */
static int debugger_inject(struct vcpu *v, u32 control)
{
    if (!(control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)))
        return 0;
    if (v->exception.pending)
        return -EBUSY;
    vcpu_queue_exception(v, control & KVM_GUESTDBG_INJECT_DB ? VEC_DB : VEC_BP, false, 0);
    return 0;
}

s64 vcpu_set_guest_debug(struct vcpu *v, u64 arg)
{
    struct kvm_guest_debug in;
    int err;

    ASSERT_HELD(&v->lock);
    if (copy_in(&in, (const void __user *)arg, sizeof(in)))
        return -EFAULT;
    if (in.control & ~HV_GUESTDBG_KNOWN)
        return -EINVAL;
    err = debugger_inject(v, in.control);
    if (err)
        return err;
    v->debugger.control = in.control & KVM_GUESTDBG_ENABLE ? in.control : 0;
    memcpy(v->debugger.dr, in.debugreg, sizeof(v->debugger.dr));
    v->debugger.dr7 = (in.debugreg[7] & DR7_BREAKPOINTS) | DR7_FIXED;
    if (!(v->debugger.control & KVM_GUESTDBG_SINGLESTEP))
        __atomic_fetch_and(&v->requests, ~(u32)VCPU_REQ_DEBUG, __ATOMIC_RELAXED);
    vcpu_debug_update(v);
    hv_ops->intercept_exceptions(v);
    return 0;
}
