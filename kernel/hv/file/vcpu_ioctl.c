/* SPDX-License-Identifier: MIT
 *
 * The ioctls that read and write a vCPU's state; vcpu->lock is held, so the vCPU does not run. Each
 * argument is copied in once, checked, applied.
 */
#include "arch/x86/time.h"
#include "arch/x86/uaccess.h"
#include "hv/file/file.h"
#include "hv/irq/irqchip.h"
#include "hv/memory/memory.h"
#include "hv/regs/regs.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"

/* ------------------------------------------------------------- general registers */

static s64 vcpu_ioctl_get_regs(struct vcpu *v, u64 arg)
{
    u64 regs[18];

    vcpu_read_regs(v, regs);
    return copy_out((void __user *)arg, regs, sizeof(struct kvm_regs));
}

static s64 vcpu_ioctl_set_regs(struct vcpu *v, u64 arg)
{
    u64 regs[18];

    if (copy_in(regs, (const void __user *)arg, sizeof(struct kvm_regs)))
        return -EFAULT;
    vcpu_write_regs(v, regs);
    return 0;
}

static s64 vcpu_ioctl_get_sregs(struct vcpu *v, u64 arg)
{
    struct kvm_sregs s;

    vcpu_get_sregs(v, &s);
    return copy_out((void __user *)arg, &s, sizeof(s));
}

static s64 vcpu_ioctl_set_sregs(struct vcpu *v, u64 arg)
{
    struct kvm_sregs s;

    if (copy_in(&s, (const void __user *)arg, sizeof(s)))
        return -EFAULT;
    return vcpu_set_sregs(v, &s);
}

static s64 vcpu_ioctl_get_sregs2(struct vcpu *v, u64 arg)
{
    struct kvm_sregs2 s;

    vcpu_get_sregs2(v, &s);
    return copy_out((void __user *)arg, &s, sizeof(s));
}

static s64 vcpu_ioctl_set_sregs2(struct vcpu *v, u64 arg)
{
    struct kvm_sregs2 s;

    if (copy_in(&s, (const void __user *)arg, sizeof(s)))
        return -EFAULT;
    return vcpu_set_sregs2(v, &s);
}

/* ------------------------------------------------------------- debug registers */

static s64 vcpu_ioctl_get_debugregs(struct vcpu *v, u64 arg)
{
    struct kvm_debugregs d = {0};

    ASSERT_HELD(&v->lock);
    memcpy(d.db, v->dr, sizeof(d.db));
    d.dr6 = v->dr6;
    d.dr7 = v->dr7;
    return copy_out((void __user *)arg, &d, sizeof(d));
}

static s64 vcpu_ioctl_set_debugregs(struct vcpu *v, u64 arg)
{
    struct kvm_debugregs d;

    ASSERT_HELD(&v->lock);
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
static s64 vcpu_ioctl_msrs_each(struct vcpu *v, struct kvm_msr_entry *e, u32 n, bool write)
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

static s64 vcpu_ioctl_msrs(struct vcpu *v, u64 arg, bool write)
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
        ret = vcpu_ioctl_msrs_each(v, entries, head.nmsrs, write);
    if (ret > 0 && !write &&
        copy_out((void __user *)(arg + sizeof(head)), entries, (u64)ret * sizeof(*entries)))
        ret = -EFAULT;
    kfree(entries);
    return ret;
}

/* With the bits that follow the registers brought up to date on both sides. */
static bool vcpu_ioctl_cpuid_same(struct vcpu *v, struct kvm_cpuid_entry2 *e, u32 n)
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

static s64 vcpu_ioctl_set_cpuid(struct vcpu *v, u64 arg)
{
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 *entries;

    ASSERT_HELD(&v->lock);
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
        bool same = vcpu_ioctl_cpuid_same(v, entries, head.nent);

        kfree(entries);
        return same ? 0 : -EINVAL;
    }
    kfree(v->cpuid);
    v->cpuid = entries;
    v->nr_cpuid = head.nent;
    vcpu_cpuid_changed(v);
    return 0;
}

static s64 vcpu_ioctl_get_cpuid(struct vcpu *v, u64 arg)
{
    struct kvm_cpuid2 head;

    ASSERT_HELD(&v->lock);
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

static s64 vcpu_ioctl_get_mp_state(struct vcpu *v, u64 arg)
{
    struct kvm_mp_state s = {.mp_state = READ_ONCE(v->mp_state)};

    return copy_out((void __user *)arg, &s, sizeof(s));
}

static s64 vcpu_ioctl_set_mp_state(struct vcpu *v, u64 arg)
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

static s64 vcpu_ioctl_get_events(struct vcpu *v, u64 arg)
{
    struct kvm_vcpu_events e;

    vcpu_read_events(v, &e);
    return copy_out((void __user *)arg, &e, sizeof(e));
}

static s64 vcpu_ioctl_set_events(struct vcpu *v, u64 arg)
{
    struct kvm_vcpu_events e;

    if (copy_in(&e, (const void __user *)arg, sizeof(e)))
        return -EFAULT;
    return vcpu_write_events(v, &e);
}

static s64 vcpu_ioctl_interrupt(struct vcpu *v, u64 arg)
{
    struct kvm_interrupt i;

    ASSERT_HELD(&v->lock);
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

static s64 vcpu_ioctl_nmi(struct vcpu *v, u64 arg)
{
    WRITE_ONCE(v->nmi_pending, true);
    vcpu_request(v, VCPU_REQ_EVENT);
    return 0;
}

/* ------------------------------------------------------------- the rest */

static s64 vcpu_ioctl_enable_cap(struct vcpu *v, u64 arg)
{
    struct kvm_enable_cap cap;

    ASSERT_HELD(&v->lock);
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

static s64 vcpu_ioctl_signal_mask(struct vcpu *v, u64 arg)
{
    struct kvm_signal_mask head;
    u64 mask;

    ASSERT_HELD(&v->lock);
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

static s64 vcpu_ioctl_translate(struct vcpu *v, u64 arg)
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
static s64 vcpu_ioctl_set_tsc_khz(struct vcpu *v, u64 khz)
{
    u64 host = tsc_hz / 1000, apart = khz > host ? khz - host : host - khz;

    return khz == 0 || apart <= host / 4000 ? 0 : -EINVAL;
}

static const struct {
    unsigned cmd;
    s64 (*run)(struct vcpu *v, u64 arg);
} vcpu_ioctls[] = {
    {KVM_GET_REGS, vcpu_ioctl_get_regs},           {KVM_SET_REGS, vcpu_ioctl_set_regs},
    {KVM_GET_SREGS, vcpu_ioctl_get_sregs},         {KVM_SET_SREGS, vcpu_ioctl_set_sregs},
    {KVM_GET_DEBUGREGS, vcpu_ioctl_get_debugregs}, {KVM_SET_DEBUGREGS, vcpu_ioctl_set_debugregs},
    {KVM_GET_CPUID2, vcpu_ioctl_get_cpuid},        {KVM_SET_CPUID2, vcpu_ioctl_set_cpuid},
    {KVM_GET_MP_STATE, vcpu_ioctl_get_mp_state},   {KVM_SET_MP_STATE, vcpu_ioctl_set_mp_state},
    {KVM_GET_VCPU_EVENTS, vcpu_ioctl_get_events},  {KVM_SET_VCPU_EVENTS, vcpu_ioctl_set_events},
    {KVM_INTERRUPT, vcpu_ioctl_interrupt},         {KVM_NMI, vcpu_ioctl_nmi},
    {KVM_SET_SIGNAL_MASK, vcpu_ioctl_signal_mask}, {KVM_TRANSLATE, vcpu_ioctl_translate},
    {KVM_ENABLE_CAP, vcpu_ioctl_enable_cap},       {KVM_SET_TSC_KHZ, vcpu_ioctl_set_tsc_khz},
    {KVM_SET_GUEST_DEBUG, vcpu_set_guest_debug},   {KVM_GET_SREGS2, vcpu_ioctl_get_sregs2},
    {KVM_SET_SREGS2, vcpu_ioctl_set_sregs2},       {KVM_KVMCLOCK_CTRL, vcpu_clock_stopped},
};

s64 vcpu_ioctl_state(struct vcpu *v, unsigned cmd, u64 arg)
{
    if (cmd == KVM_GET_MSRS || cmd == KVM_SET_MSRS)
        return vcpu_ioctl_msrs(v, arg, cmd == KVM_SET_MSRS);
    if (cmd == KVM_X86_SETUP_MCE || cmd == KVM_X86_SET_MCE)
        return vcpu_mce_ioctl(v, cmd, arg);
    if (cmd == KVM_GET_SUPPORTED_HV_CPUID)
        return hv_hyperv_cpuid(arg);
    if (cmd == KVM_GET_TSC_KHZ)
        return (s64)(tsc_hz / 1000);
    for (unsigned i = 0; i < ARRAY_SIZE(vcpu_ioctls); i++)
        if (vcpu_ioctls[i].cmd == cmd)
            return vcpu_ioctls[i].run(v, arg);
    return vcpu_ioctl_fpu(v, cmd, arg);
}
