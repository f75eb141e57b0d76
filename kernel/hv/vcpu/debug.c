/* SPDX-License-Identifier: MIT
 *
 * A guest's debug registers (SDM vol. 3, 17.2; APM vol. 2, 13.1). Every access to one exits, so
 * they are state of the vCPU like any other. The CPU has DR0 to DR3 only while DR7 arms one of
 * them, and has zeros again after each stay in the guest: the host uses none, and the guest that
 * comes next finds none. DR7 is switched by the CPU itself; DR6 says after a #DB what it was for,
 * since it begins each stay with nothing set. A debugger of the VMM (debugger.c) may have the CPU's
 * registers instead of the guest, whose own are kept.
 *
 * #DB and #AC are intercepted and injected again: delivering one may raise the next (a watched
 * stack, a misaligned one), for ever and with no boundary at which an interrupt of the host's could
 * end the guest (CVE-2015-8104, CVE-2015-5307).
 */
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "hv/vcpu/vcpu.h"

#define DR6_HITS 0xfUL /* B0 to B3 */
#define DR6_BD (1UL << 13)
#define DR6_KNOWN (DR6_HITS | DR6_BD | DR6_BS | 1UL << 15)
#define DR7_GD (1UL << 13)
#define DR7_KNOWN 0xffff2bffUL

void vcpu_debug_reset(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    for (unsigned i = 0; i < 4; i++)
        v->dr[i] = 0;
    v->dr6 = DR6_FIXED;
    v->dr7 = DR7_FIXED;
    vcpu_debug_update(v);
}

void vcpu_debug_update(struct vcpu *v)
{
    u32 control = v->debugger.control;

    ASSERT_HELD(&v->lock);
    v->cpu_dr7 = control & KVM_GUESTDBG_USE_HW_BP ? v->debugger.dr7 : v->dr7;
    v->debug_entry = (u8)((v->cpu_dr7 & DR7_ARMED ? DEBUG_BREAKPOINTS : 0) |
                          (control & KVM_GUESTDBG_SINGLESTEP ? DEBUG_STEP : 0));
}

/* ------------------------------------------------------------- around the guest */

static void debug_write_breakpoints(const u64 dr[4])
{
    write_dr0(dr[0]);
    write_dr1(dr[1]);
    write_dr2(dr[2]);
    write_dr3(dr[3]);
}

/* An entry that delivers an event does not step: it would push the flag. It is the step itself. */
void vcpu_debug_in(struct vcpu *v)
{
    bool theirs = v->debugger.control & KVM_GUESTDBG_USE_HW_BP;

    ASSERT_IRQS_OFF();
    if (v->debug_entry & DEBUG_BREAKPOINTS)
        debug_write_breakpoints(theirs ? v->debugger.dr : v->dr);
    v->stepping = (v->debug_entry & DEBUG_STEP) && !v->event_set;
    v->step_tf = v->rflags & RFLAGS_TF;
    if (v->stepping)
        v->rflags |= RFLAGS_TF;
}

void vcpu_debug_out(struct vcpu *v)
{
    ASSERT_IRQS_OFF();
    if (v->debug_entry & DEBUG_BREAKPOINTS)
        debug_write_breakpoints((const u64[4]){0});
    if (v->stepping && !v->step_tf)
        v->rflags &= ~(u64)RFLAGS_TF;
    v->stepping = false;
}

/* ------------------------------------------------------------- exceptions */

/* As the CPU does when it delivers one: hits of earlier ones go, the other bits stay until the
 * guest clears them, and general detect is off in the handler. */
static void debug_set_status(struct vcpu *v, u64 bits)
{
    if (bits & DR6_HITS)
        v->dr6 &= ~DR6_HITS;
    v->dr6 |= bits & DR6_KNOWN;
    v->dr7 &= ~DR7_GD;
    vcpu_debug_update(v);
}

void vcpu_debug_exception(struct vcpu *v, u64 bits)
{
    debug_set_status(v, bits);
    hv_ops->set_shadow(v, 0); /* it ends with the delivery */
    vcpu_queue_exception(v, VEC_DB, false, 0);
}

/* What is the debugger's step is not the guest's. */
void vcpu_debug_stepped(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    if (v->debug_entry & DEBUG_STEP)
        vcpu_request(v, VCPU_REQ_DEBUG);
    else
        vcpu_debug_exception(v, DR6_BS);
}

/* ------------------------------------------------------------- MOV to and from */

/* DR4 and DR5 are other names for DR6 and DR7, where CR4.DE allows that. */
static int debug_check_access(struct vcpu *v, unsigned nr, struct emul_fault *fault)
{
    if (nr > 7 || ((nr == 4 || nr == 5) && (hv_ops->get_cr(v, 4) & CR4_DE))) {
        *fault = (struct emul_fault){.vector = VEC_UD};
        return EMUL_FAULT;
    }
    if (v->dr7 & DR7_GD) {
        debug_set_status(v, DR6_BD);
        *fault = (struct emul_fault){.vector = VEC_DB};
        return EMUL_FAULT;
    }
    return 0;
}

int vcpu_read_dr(struct vcpu *v, unsigned nr, u64 *out, struct emul_fault *fault)
{
    int err = debug_check_access(v, nr, fault);

    ASSERT_HELD(&v->lock);
    if (err)
        return err;
    *out = nr < 4 ? v->dr[nr] : nr & 1 ? v->dr7 : v->dr6;
    return 0;
}

int vcpu_write_dr(struct vcpu *v, unsigned nr, u64 value, struct emul_fault *fault)
{
    int err = debug_check_access(v, nr, fault);

    ASSERT_HELD(&v->lock);
    if (err)
        return err;
    if (nr >= 4 && value >> 32) {
        *fault = (struct emul_fault){.vector = VEC_GP, .has_error = true};
        return EMUL_FAULT;
    }
    if (nr < 4)
        v->dr[nr] = value;
    else
        vcpu_set_debug(v, nr & 1 ? v->dr6 : value, nr & 1 ? value : v->dr7);
    return 0;
}

void vcpu_set_debug(struct vcpu *v, u64 dr6, u64 dr7)
{
    ASSERT_HELD(&v->lock);
    v->dr6 = (dr6 & DR6_KNOWN) | DR6_FIXED;
    v->dr7 = (dr7 & DR7_KNOWN) | DR7_FIXED;
    vcpu_debug_update(v);
}
