/* SPDX-License-Identifier: MIT
 *
 * The ioctls that read and write a vCPU's state; vcpu->lock is held, so the vCPU does not run. Each
 * argument is copied in once, checked, applied.
 */
#include "arch/x86/regs.h"
#include "arch/x86/switch.h"
#include "arch/x86/time.h"
#include "arch/x86/uaccess.h"
#include "hv/hv.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"

#define RFLAGS_KNOWN 0x3f7fd5UL
#define VECTOR_NMI 2

/* ------------------------------------------------------------- general registers */

/* struct kvm_regs has them in an order of its own. */
static const u8 state_gpr_order[16] = {EMUL_RAX, EMUL_RBX, EMUL_RCX, EMUL_RDX, EMUL_RSI, EMUL_RDI,
                                       EMUL_RSP, EMUL_RBP, 8,        9,        10,       11,
                                       12,       13,       14,       15};

static void state_read_regs(struct vcpu *v, u64 regs[18])
{
    for (unsigned i = 0; i < 16; i++)
        regs[i] = v->gpr[state_gpr_order[i]];
    regs[16] = v->rip;
    regs[17] = v->rflags;
}

static s64 state_get_regs(struct vcpu *v, u64 arg)
{
    u64 regs[18];

    state_read_regs(v, regs);
    return copy_out((void __user *)arg, regs, sizeof(struct kvm_regs));
}

static void state_write_regs(struct vcpu *v, const u64 regs[18])
{
    vcpu_forget_skipped(v);
    for (unsigned i = 0; i < 16; i++)
        v->gpr[state_gpr_order[i]] = regs[i];
    v->rip = regs[16];
    v->rflags = (regs[17] & RFLAGS_KNOWN) | RFLAGS_FIXED;
    v->exception.pending = false;
}

static s64 state_set_regs(struct vcpu *v, u64 arg)
{
    u64 regs[18];

    if (copy_in(regs, (const void __user *)arg, sizeof(struct kvm_regs)))
        return -EFAULT;
    state_write_regs(v, regs);
    return 0;
}

static s64 state_get_sregs(struct vcpu *v, u64 arg)
{
    struct kvm_sregs s;

    vcpu_get_sregs(v, &s);
    return copy_out((void __user *)arg, &s, sizeof(s));
}

static s64 state_set_sregs(struct vcpu *v, u64 arg)
{
    struct kvm_sregs s;

    if (copy_in(&s, (const void __user *)arg, sizeof(s)))
        return -EFAULT;
    return vcpu_set_sregs(v, &s);
}

static s64 state_get_sregs2(struct vcpu *v, u64 arg)
{
    struct kvm_sregs2 s;

    vcpu_get_sregs2(v, &s);
    return copy_out((void __user *)arg, &s, sizeof(s));
}

static s64 state_set_sregs2(struct vcpu *v, u64 arg)
{
    struct kvm_sregs2 s;

    if (copy_in(&s, (const void __user *)arg, sizeof(s)))
        return -EFAULT;
    return vcpu_set_sregs2(v, &s);
}

/* ------------------------------------------------------------- debug registers */

static s64 state_get_debugregs(struct vcpu *v, u64 arg)
{
    struct kvm_debugregs d = {0};

    memcpy(d.db, v->dr, sizeof(d.db));
    d.dr6 = v->dr6;
    d.dr7 = v->dr7;
    return copy_out((void __user *)arg, &d, sizeof(d));
}

static s64 state_set_debugregs(struct vcpu *v, u64 arg)
{
    struct kvm_debugregs d;

    if (copy_in(&d, (const void __user *)arg, sizeof(d)))
        return -EFAULT;
    if (d.flags || d.dr6 >> 32 || d.dr7 >> 32)
        return -EINVAL;
    memcpy(v->dr, d.db, sizeof(v->dr));
    vcpu_set_debug(v, d.dr6, d.dr7);
    return 0;
}

/* ------------------------------------------------------------- MSRs and CPUID */

/* As many as are known, in order; how many that was. */
static s64 state_msrs_each(struct vcpu *v, struct kvm_msr_entry *e, u32 n, bool write)
{
    u32 i;

    for (i = 0; i < n; i++) {
        u64 value = e[i].data;
        int err = write ? vcpu_set_msr(v, e[i].index, value, true)
                        : vcpu_get_msr(v, e[i].index, &value, true);

        if (err)
            break;
        e[i].data = value;
    }
    return i;
}

static s64 state_msrs(struct vcpu *v, u64 arg, bool write)
{
    struct kvm_msrs head;
    struct kvm_msr_entry *entries;
    s64 ret;

    if (copy_in(&head, (const void __user *)arg, sizeof(head)))
        return -EFAULT;
    if (head.nmsrs >= HV_MSRS_MAX)
        return -E2BIG;
    entries = kcalloc(MAX(head.nmsrs, 1U), sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    ret =
        copy_in(entries, (const void __user *)(arg + sizeof(head)), head.nmsrs * sizeof(*entries));
    if (!ret)
        ret = state_msrs_each(v, entries, head.nmsrs, write);
    if (ret > 0 && !write &&
        copy_out((void __user *)(arg + sizeof(head)), entries, (u64)ret * sizeof(*entries)))
        ret = -EFAULT;
    kfree(entries);
    return ret;
}

/* With the bits that follow the registers brought up to date on both sides. */
static bool state_cpuid_same(struct vcpu *v, struct kvm_cpuid_entry2 *e, u32 n)
{
    if (n != v->nr_cpuid)
        return false;
    for (u32 i = 0; i < n; i++) {
        struct kvm_cpuid_entry2 *old = &v->cpuid[i];

        vcpu_cpuid_adapt(v, &e[i]);
        vcpu_cpuid_adapt(v, old);
        if (e[i].function != old->function || e[i].index != old->index ||
            e[i].flags != old->flags || e[i].eax != old->eax || e[i].ebx != old->ebx ||
            e[i].ecx != old->ecx || e[i].edx != old->edx)
            return false;
    }
    return true;
}

static s64 state_set_cpuid(struct vcpu *v, u64 arg)
{
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 *entries;

    if (copy_in(&head, (const void __user *)arg, sizeof(head)))
        return -EFAULT;
    if (head.nent > VCPU_CPUID_MAX)
        return -E2BIG;
    entries = kcalloc(MAX(head.nent, 1U), sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    if (copy_in(entries, (const void __user *)(arg + sizeof(head)), head.nent * sizeof(*entries))) {
        kfree(entries);
        return -EFAULT;
    }
    if (v->ran) {
        bool same = state_cpuid_same(v, entries, head.nent);

        kfree(entries);
        return same ? 0 : -EINVAL;
    }
    kfree(v->cpuid);
    v->cpuid = entries;
    v->nr_cpuid = head.nent;
    vcpu_cpuid_changed(v);
    return 0;
}

static s64 state_get_cpuid(struct vcpu *v, u64 arg)
{
    struct kvm_cpuid2 head;

    if (copy_in(&head, (const void __user *)arg, sizeof(head)))
        return -EFAULT;
    if (head.nent < v->nr_cpuid)
        return -E2BIG;
    head.nent = v->nr_cpuid;
    if (copy_out((void __user *)arg, &head, sizeof(head)))
        return -EFAULT;
    for (u32 i = 0; i < v->nr_cpuid; i++)
        vcpu_cpuid_adapt(v, &v->cpuid[i]);
    return copy_out((void __user *)(arg + sizeof(head)), v->cpuid,
                    v->nr_cpuid * sizeof(v->cpuid[0]));
}

/* ------------------------------------------------------------- events */

static s64 state_get_mp_state(struct vcpu *v, u64 arg)
{
    struct kvm_mp_state s = {.mp_state = READ_ONCE(v->mp_state)};

    return copy_out((void __user *)arg, &s, sizeof(s));
}

static s64 state_set_mp_state(struct vcpu *v, u64 arg)
{
    struct kvm_mp_state s;

    if (copy_in(&s, (const void __user *)arg, sizeof(s)))
        return -EFAULT;
    if (s.mp_state > KVM_MP_STATE_SIPI_RECEIVED)
        return -EINVAL;
    if (!v->vm->irqchip && s.mp_state != KVM_MP_STATE_RUNNABLE)
        return -EINVAL;
    if (s.mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
        WRITE_ONCE(v->mp_state, KVM_MP_STATE_INIT_RECEIVED);
        WRITE_ONCE(v->sipi_pending, true);
    } else {
        WRITE_ONCE(v->mp_state, s.mp_state);
    }
    vcpu_request(v, VCPU_REQ_EVENT);
    return 0;
}

static void state_read_events(struct vcpu *v, struct kvm_vcpu_events *out)
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

    if (v->irq_injected >= 0 || (!v->vm->irqchip && v->user_irq >= 0)) {
        e.interrupt.injected = 1;
        e.interrupt.nr = (u8)(v->irq_injected >= 0 ? v->irq_injected : v->user_irq);
    }
    *out = e;
}

static s64 state_get_events(struct vcpu *v, u64 arg)
{
    struct kvm_vcpu_events e;

    state_read_events(v, &e);
    return copy_out((void __user *)arg, &e, sizeof(e));
}

static bool state_events_valid(const struct kvm_vcpu_events *e)
{
    const u32 flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
                      KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;

    if (e->flags & ~flags)
        return false;
    if ((e->flags & KVM_VCPUEVENT_VALID_SMM) &&
        (e->smi.smm || e->smi.pending || e->smi.latched_init))
        return false; /* there is no SMM */
    return !e->exception.injected || (e->exception.nr < 32 && e->exception.nr != VECTOR_NMI);
}

static int state_write_events(struct vcpu *v, const struct kvm_vcpu_events *e)
{
    if (!state_events_valid(e))
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

static s64 state_set_events(struct vcpu *v, u64 arg)
{
    struct kvm_vcpu_events e;

    if (copy_in(&e, (const void __user *)arg, sizeof(e)))
        return -EFAULT;
    return state_write_events(v, &e);
}

static s64 state_interrupt(struct vcpu *v, u64 arg)
{
    struct kvm_interrupt i;

    if (copy_in(&i, (const void __user *)arg, sizeof(i)))
        return -EFAULT;
    if (i.irq >= 256)
        return -EINVAL;
    if (vm_has_pic(v->vm))
        return -ENXIO;
    if (v->user_irq >= 0)
        return -EEXIST;
    v->user_irq = (s32)i.irq;
    vcpu_request(v, VCPU_REQ_EVENT);
    return 0;
}

static s64 state_nmi(struct vcpu *v, u64 arg)
{
    WRITE_ONCE(v->nmi_pending, true);
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
        state_write_regs(v, in.regs);
    }
    if (dirty & KVM_SYNC_X86_SREGS) {
        memcpy(&in.sregs, &run->s.regs.sregs, sizeof(in.sregs));
        err = vcpu_set_sregs(v, &in.sregs);
    }
    if (!err && (dirty & KVM_SYNC_X86_EVENTS)) {
        memcpy(&in.events, &run->s.regs.events, sizeof(in.events));
        err = state_write_events(v, &in.events);
    }
    if (!err)
        run->kvm_dirty_regs = 0;
    return err;
}

void vcpu_sync_out(struct vcpu *v, u64 valid)
{
    struct kvm_run *run = v->run;

    if (valid & KVM_SYNC_X86_REGS)
        state_read_regs(v, (u64 *)&run->s.regs.regs);
    if (valid & KVM_SYNC_X86_SREGS)
        vcpu_get_sregs(v, &run->s.regs.sregs);
    if (valid & KVM_SYNC_X86_EVENTS)
        state_read_events(v, &run->s.regs.events);
}

/* ------------------------------------------------------------- the rest */

static s64 state_enable_cap(struct vcpu *v, u64 arg)
{
    struct kvm_enable_cap cap;

    if (copy_in(&cap, (const void __user *)arg, sizeof(cap)))
        return -EFAULT;
    if (cap.flags)
        return -EINVAL;
    switch (cap.cap) {
    case KVM_CAP_ENFORCE_PV_FEATURE_CPUID:
        v->pv_enforced = cap.args[0];
        return 0;
    case KVM_CAP_HYPERV_ENFORCE_CPUID:
        v->hyperv.enforced = cap.args[0];
        return 0;
    default:
        return -EINVAL;
    }
}

static s64 state_signal_mask(struct vcpu *v, u64 arg)
{
    struct kvm_signal_mask head;
    u64 mask;

    if (!arg) {
        v->signal_mask_set = false;
        return 0;
    }
    if (copy_in(&head, (const void __user *)arg, sizeof(head)))
        return -EFAULT;
    if (head.len != sizeof(mask))
        return -EINVAL;
    if (copy_in(&mask, (const void __user *)(arg + sizeof(head)), sizeof(mask)))
        return -EFAULT;
    v->signal_mask = mask;
    v->signal_mask_set = true;
    return 0;
}

static s64 state_translate(struct vcpu *v, u64 arg)
{
    struct kvm_translation t;
    struct emul_fault fault;
    gpa_t gpa;

    if (copy_in(&t, (const void __user *)arg, sizeof(t)))
        return -EFAULT;
    t.valid = vcpu_translate(v, t.linear_address, 0, &gpa, &fault) == 0;
    t.physical_address = t.valid ? gpa.v : U64_MAX;
    t.writeable = 1;
    t.usermode = 0;
    return copy_out((void __user *)arg, &t, sizeof(t));
}

/* The guest's counter runs at the host's rate, there is no scaling. 250 ppm are a calibration's
 * error. */
static s64 state_set_tsc_khz(struct vcpu *v, u64 khz)
{
    u64 host = tsc_hz / 1000, apart = khz > host ? khz - host : host - khz;

    return khz == 0 || apart <= host / 4000 ? 0 : -EINVAL;
}

static const struct {
    unsigned cmd;
    s64 (*run)(struct vcpu *v, u64 arg);
} state_ioctls[] = {
    {KVM_GET_REGS, state_get_regs},
    {KVM_SET_REGS, state_set_regs},
    {KVM_GET_SREGS, state_get_sregs},
    {KVM_SET_SREGS, state_set_sregs},
    {KVM_GET_DEBUGREGS, state_get_debugregs},
    {KVM_SET_DEBUGREGS, state_set_debugregs},
    {KVM_GET_CPUID2, state_get_cpuid},
    {KVM_SET_CPUID2, state_set_cpuid},
    {KVM_GET_MP_STATE, state_get_mp_state},
    {KVM_SET_MP_STATE, state_set_mp_state},
    {KVM_GET_VCPU_EVENTS, state_get_events},
    {KVM_SET_VCPU_EVENTS, state_set_events},
    {KVM_INTERRUPT, state_interrupt},
    {KVM_NMI, state_nmi},
    {KVM_SET_SIGNAL_MASK, state_signal_mask},
    {KVM_TRANSLATE, state_translate},
    {KVM_ENABLE_CAP, state_enable_cap},
    {KVM_SET_TSC_KHZ, state_set_tsc_khz},
    {KVM_SET_GUEST_DEBUG, vcpu_set_guest_debug},
    {KVM_GET_SREGS2, state_get_sregs2},
    {KVM_SET_SREGS2, state_set_sregs2},
    {KVM_KVMCLOCK_CTRL, vcpu_clock_stopped},
};

s64 vcpu_ioctl_state(struct vcpu *v, unsigned cmd, u64 arg)
{
    if (cmd == KVM_GET_MSRS || cmd == KVM_SET_MSRS)
        return state_msrs(v, arg, cmd == KVM_SET_MSRS);
    if (cmd == KVM_X86_SETUP_MCE || cmd == KVM_X86_SET_MCE)
        return vcpu_mce_ioctl(v, cmd, arg);
    if (cmd == KVM_GET_SUPPORTED_HV_CPUID)
        return hv_hyperv_cpuid(arg);
    if (cmd == KVM_GET_TSC_KHZ)
        return (s64)(tsc_hz / 1000);
    for (unsigned i = 0; i < ARRAY_SIZE(state_ioctls); i++)
        if (state_ioctls[i].cmd == cmd)
            return state_ioctls[i].run(v, arg);
    return vcpu_ioctl_fpu(v, cmd, arg);
}
