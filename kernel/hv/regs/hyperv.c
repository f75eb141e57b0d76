/* SPDX-License-Identifier: MIT
 *
 * Hyper-V's CPUID leaves and registers (Hypervisor Top Level Functional Specification, 2.4 and
 * appendix B to D), as Linux's KVM has them. A VMM may read and write them whatever the guest's
 * CPUID says, so that it can save and restore them.
 *
 * Not there: SynIC and its timers, run time, reenlightenment, the debugger's; and no promise to
 * leave out the end of an interrupt, so the assist page stays empty.
 */
#include "arch/x86/time.h"
#include "arch/x86/uaccess.h"
#include "hv/emul/lapic.h"
#include "hv/irq/irqchip.h"
#include "hv/memory/memory.h"
#include "hv/regs/regs.h"
#include "lib/errno.h"
#include "lib/string.h"

#define PAGE_ENABLED 1UL
#define CRASH_NOTIFY (1UL << 63)
#define APIC_HZ 1000000000UL

/* ------------------------------------------------------------- CPUID */

#define SPIN_RETRIES 0xfffU

/* The signature is that of KVM: a VMM gives its guest another. */
static const struct kvm_cpuid_entry2 hyperv_leaves[] = {
    {.function = 0x40000000,
     .eax = 0x40000005,
     .ebx = 0x756e694c, /* "Linux KVM Hv" */
     .ecx = 0x564b2078,
     .edx = 0x7648204d},
    {.function = HYPERV_CPUID_INTERFACE, .eax = HYPERV_SIGNATURE},
    {.function = 0x40000002, .eax = 0x3839, .ebx = 0xa0000}, /* the version's number: 10.0 */
    {.function = HYPERV_CPUID_REGISTERS,
     .eax = HYPERV_HAS_TIME_REF_COUNT | HYPERV_HAS_APIC | HYPERV_HAS_HYPERCALL |
            HYPERV_HAS_VP_INDEX | HYPERV_HAS_RESET | HYPERV_HAS_REFERENCE_TSC |
            HYPERV_HAS_FREQUENCIES,
     .edx = HYPERV_HAS_FREQUENCIES_TOO | HYPERV_HAS_CRASH},
    {.function = HYPERV_CPUID_HINTS,
     .eax = HYPERV_HINT_TLB_FLUSH | HYPERV_HINT_APIC | HYPERV_HINT_RELAXED |
            HYPERV_HINT_NO_AUTO_EOI | HYPERV_HINT_IPI | HYPERV_HINT_MANY_PROCESSORS,
     .ebx = SPIN_RETRIES},
    {.function = 0x40000005, .eax = VM_VCPUS_MAX, .ebx = 64},
};

s64 hv_hyperv_cpuid(u64 arg)
{
    struct kvm_cpuid2 head;

    if (copy_in(&head, (const void __user *)arg, sizeof(head)))
        return -EFAULT;
    if (head.nent < ARRAY_SIZE(hyperv_leaves))
        return -E2BIG;
    head.nent = ARRAY_SIZE(hyperv_leaves);
    if (copy_out((void __user *)(arg + sizeof(head)), hyperv_leaves, sizeof(hyperv_leaves)))
        return -EFAULT;
    return copy_out((void __user *)arg, &head, sizeof(head));
}

/* ------------------------------------------------------------- the VM's registers; lock held */

/* The page gets the instruction that leaves the guest, and a return. Without an identity the
 * register is not to be written. */
static int hyperv_set_hypercall_locked(struct vcpu *v, u64 value) REQUIRES(v->vm->hyperv.lock)
{
    struct hyperv_vm *h = &v->vm->hyperv;
    u8 code[4];

    ASSERT_HELD(&v->vm->hyperv.lock);
    if (!h->os_id)
        return 0;
    memcpy(code, hv_ops->hypercall, 3);
    code[3] = 0xc3;
    if ((value & PAGE_ENABLED) && guest_write(v->vm, GPA(value & PAGE_MASK), code, sizeof(code)))
        return -EINVAL;
    h->hypercall = value;
    return 0;
}

static int hyperv_set_crash_ctl_locked(struct vcpu *v, u64 value, bool host)
    REQUIRES(v->vm->hyperv.lock)
{
    ASSERT_HELD(&v->vm->hyperv.lock);
    if (host)
        v->vm->hyperv.crash_ctl = value & CRASH_NOTIFY;
    else if (value & CRASH_NOTIFY)
        vcpu_request(v, VCPU_REQ_CRASH);
    return 0;
}

static int hyperv_get_shared_locked(struct vcpu *v, u32 msr, u64 *out) REQUIRES(v->vm->hyperv.lock)
{
    struct hyperv_vm *h = &v->vm->hyperv;

    ASSERT_HELD(&v->vm->hyperv.lock);
    switch (msr) {
    case HV_MSR_GUEST_OS_ID:
        *out = h->os_id;
        return 0;
    case HV_MSR_HYPERCALL:
        *out = h->hypercall;
        return 0;
    case HV_MSR_RESET:
        *out = 0;
        return 0;
    case HV_MSR_TIME_REF_COUNT:
        *out = hyperv_time_locked(v);
        return 0;
    case HV_MSR_REFERENCE_TSC:
        *out = h->tsc_page;
        return 0;
    case HV_MSR_CRASH_P0 ... HV_MSR_CRASH_P4:
        *out = h->crash[msr - HV_MSR_CRASH_P0];
        return 0;
    case HV_MSR_CRASH_CTL:
        *out = h->crash_ctl;
        return 0;
    default:
        return -ENOENT;
    }
}

static int hyperv_set_shared_locked(struct vcpu *v, u32 msr, u64 value, bool host)
    REQUIRES(v->vm->hyperv.lock)
{
    struct hyperv_vm *h = &v->vm->hyperv;

    ASSERT_HELD(&v->vm->hyperv.lock);
    switch (msr) {
    case HV_MSR_GUEST_OS_ID:
        WRITE_ONCE(h->os_id, value);
        if (!value)
            h->hypercall &= ~PAGE_ENABLED;
        return 0;
    case HV_MSR_HYPERCALL:
        return hyperv_set_hypercall_locked(v, value);
    case HV_MSR_RESET:
        if (value == 1)
            vcpu_request(v, VCPU_REQ_RESET);
        return 0;
    case HV_MSR_TIME_REF_COUNT: /* a VMM writes back what it has read */
        return host ? 0 : -EINVAL;
    case HV_MSR_REFERENCE_TSC:
        WRITE_ONCE(h->tsc_page, value);
        hyperv_time_publish_locked(v);
        return 0;
    case HV_MSR_CRASH_P0 ... HV_MSR_CRASH_P4:
        h->crash[msr - HV_MSR_CRASH_P0] = value;
        return 0;
    case HV_MSR_CRASH_CTL:
        return hyperv_set_crash_ctl_locked(v, value, host);
    default:
        return -ENOENT;
    }
}

/* ------------------------------------------------------------- a vCPU's registers */

static int hyperv_apic(struct vcpu *v, u32 msr, u64 *value, bool write)
{
    static const u8 regs[] = {LAPIC_EOI, LAPIC_ICR, LAPIC_TPR};

    return v->vm->irqchip ? irqchip_hyperv(v, regs[msr - HV_MSR_EOI], value, write) : -EINVAL;
}

/* The first word is cleared: bit 0 would say that the end of an interrupt can be left out. */
static int hyperv_set_assist(struct vcpu *v, u64 value)
{
    const u32 none = 0;

    if ((value & PAGE_ENABLED) && guest_write(v->vm, GPA(value & PAGE_MASK), &none, sizeof(none)))
        return -EINVAL;
    v->assist_page = value;
    return 0;
}

static int hyperv_get_own(struct vcpu *v, u32 msr, u64 *out)
{
    switch (msr) {
    case HV_MSR_VP_INDEX:
        *out = v->vp_index;
        return 0;
    case HV_MSR_TSC_FREQUENCY:
        *out = tsc_hz / 1000 * 1000;
        return 0;
    case HV_MSR_APIC_FREQUENCY:
        *out = APIC_HZ;
        return 0;
    case HV_MSR_EOI:
    case HV_MSR_ICR:
    case HV_MSR_TPR:
        return hyperv_apic(v, msr, out, false);
    case HV_MSR_ASSIST_PAGE:
        *out = v->assist_page;
        return 0;
    default:
        return -ENOENT;
    }
}

static int hyperv_set_own(struct vcpu *v, u32 msr, u64 value, bool host)
{
    switch (msr) {
    case HV_MSR_VP_INDEX:
        if (!host || (u32)value >= VM_VCPUS_MAX)
            return -EINVAL;
        WRITE_ONCE(v->vp_index, (u32)value);
        return 0;
    case HV_MSR_TSC_FREQUENCY:
    case HV_MSR_APIC_FREQUENCY:
        return host ? 0 : -EINVAL;
    case HV_MSR_EOI:
    case HV_MSR_ICR:
    case HV_MSR_TPR:
        return hyperv_apic(v, msr, &value, true);
    case HV_MSR_ASSIST_PAGE:
        return hyperv_set_assist(v, value);
    default:
        return -ENOENT;
    }
}

/* ------------------------------------------------------------- all of them */

static bool hyperv_in_range(u32 msr)
{
    return msr - HV_MSR_GUEST_OS_ID < 0x1000;
}

static bool hyperv_shown(const struct hyperv_cpuid *c, u32 msr)
{
    switch (msr) {
    case HV_MSR_GUEST_OS_ID:
    case HV_MSR_HYPERCALL:
        return c->registers & HYPERV_HAS_HYPERCALL;
    case HV_MSR_VP_INDEX:
        return c->registers & HYPERV_HAS_VP_INDEX;
    case HV_MSR_RESET:
        return c->registers & HYPERV_HAS_RESET;
    case HV_MSR_TIME_REF_COUNT:
        return c->registers & HYPERV_HAS_TIME_REF_COUNT;
    case HV_MSR_REFERENCE_TSC:
        return c->registers & HYPERV_HAS_REFERENCE_TSC;
    case HV_MSR_TSC_FREQUENCY:
    case HV_MSR_APIC_FREQUENCY:
        return c->registers & HYPERV_HAS_FREQUENCIES;
    case HV_MSR_EOI ... HV_MSR_ASSIST_PAGE:
        return c->registers & HYPERV_HAS_APIC;
    case HV_MSR_CRASH_P0 ... HV_MSR_CRASH_CTL:
        return c->more_registers & HYPERV_HAS_CRASH;
    default:
        return false;
    }
}

static bool hyperv_for_guest(const struct vcpu *v, u32 msr)
{
    return v->hyperv.on && (!v->hyperv.enforced || hyperv_shown(&v->hyperv, msr));
}

int vcpu_get_hyperv_msr(struct vcpu *v, u32 msr, u64 *out, bool host)
{
    int err = -ENOENT;

    if (!hyperv_in_range(msr))
        return -ENOENT;
    if (!host && !hyperv_for_guest(v, msr))
        return -EINVAL;
    err = hyperv_get_own(v, msr, out);
    if (err != -ENOENT)
        return err;
    mutex_lock(&v->vm->hyperv.lock);
    err = hyperv_get_shared_locked(v, msr, out);
    mutex_unlock(&v->vm->hyperv.lock);
    return err;
}

int vcpu_set_hyperv_msr(struct vcpu *v, u32 msr, u64 value, bool host)
{
    int err = -ENOENT;

    if (!hyperv_in_range(msr))
        return -ENOENT;
    if (!host && !hyperv_for_guest(v, msr))
        return -EINVAL;
    err = hyperv_set_own(v, msr, value, host);
    if (err != -ENOENT)
        return err;
    mutex_lock(&v->vm->hyperv.lock);
    err = hyperv_set_shared_locked(v, msr, value, host);
    mutex_unlock(&v->vm->hyperv.lock);
    return err;
}
