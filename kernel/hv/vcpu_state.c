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

#define MSRS_MAX 256
#define RFLAGS_KNOWN 0x3f7fd5UL
#define XSAVE_FCW 0
#define XSAVE_FTW 4
#define XSAVE_FOP 6
#define XSAVE_FIP 8
#define XSAVE_FDP 16
#define XSAVE_MXCSR 24
#define XSAVE_ST 32
#define XSAVE_XMM 160
#define XSAVE_BV 512
#define XCR0_X87 1UL
#define XCR0_SSE 2UL
#define XCR0_AVX 4UL
#define XCR0_AVX512 (7UL << 5)
#define VECTOR_NMI 2

/* ------------------------------------------------------------- general registers */

/* struct kvm_regs has them in an order of its own. */
static const u8 state_gpr_order[16] = {EMUL_RAX, EMUL_RBX, EMUL_RCX, EMUL_RDX, EMUL_RSI, EMUL_RDI,
                                       EMUL_RSP, EMUL_RBP, 8,        9,        10,       11,
                                       12,       13,       14,       15};

static s64 state_get_regs(struct vcpu *v, u64 arg)
{
    u64 regs[18];

    for (unsigned i = 0; i < 16; i++)
        regs[i] = v->gpr[state_gpr_order[i]];
    regs[16] = v->rip;
    regs[17] = v->rflags;
    return copy_out((void __user *)arg, regs, sizeof(struct kvm_regs));
}

static s64 state_set_regs(struct vcpu *v, u64 arg)
{
    u64 regs[18];

    if (copy_in(regs, (const void __user *)arg, sizeof(struct kvm_regs)))
        return -EFAULT;
    for (unsigned i = 0; i < 16; i++)
        v->gpr[state_gpr_order[i]] = regs[i];
    v->rip = regs[16];
    v->rflags = (regs[17] & RFLAGS_KNOWN) | RFLAGS_FIXED;
    v->exception.pending = false;
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

/* ------------------------------------------------------------- floating point */

/* XSAVE leaves out what is in its initial state: puts that state into the area, so that its legacy
 * part says the truth whatever the header's bits are. */
static void state_fpu_settle(struct vcpu *v)
{
    u8 *area = v->fpu;
    u64 *bv = (u64 *)(area + XSAVE_BV);

    if (!fpu_xcr0())
        return;
    if (!(*bv & XCR0_X87)) {
        memset(area, 0, XSAVE_MXCSR);
        *(u16 *)(area + XSAVE_FCW) = 0x37f;
        memset(area + XSAVE_ST, 0, XSAVE_XMM - XSAVE_ST);
    }
    if (!(*bv & XCR0_SSE))
        memset(area + XSAVE_XMM, 0, 256);
    *bv |= XCR0_X87 | XCR0_SSE;
}

static s64 state_get_fpu(struct vcpu *v, u64 arg)
{
    const u8 *area = v->fpu;
    struct kvm_fpu fpu = {0};

    state_fpu_settle(v);
    memcpy(&fpu.fcw, area + XSAVE_FCW, 2);
    memcpy(&fpu.fsw, area + 2, 2);
    fpu.ftwx = area[XSAVE_FTW];
    memcpy(&fpu.last_opcode, area + XSAVE_FOP, 2);
    memcpy(&fpu.last_ip, area + XSAVE_FIP, 8);
    memcpy(&fpu.last_dp, area + XSAVE_FDP, 8);
    memcpy(&fpu.mxcsr, area + XSAVE_MXCSR, 4);
    memcpy(fpu.fpr, area + XSAVE_ST, sizeof(fpu.fpr));
    memcpy(fpu.xmm, area + XSAVE_XMM, sizeof(fpu.xmm));
    return copy_out((void __user *)arg, &fpu, sizeof(fpu));
}

static s64 state_set_fpu(struct vcpu *v, u64 arg)
{
    u8 *area;
    struct kvm_fpu fpu;
    int err;

    if (copy_in(&fpu, (const void __user *)arg, sizeof(fpu)))
        return -EFAULT;
    state_fpu_settle(v);
    area = kmemdup(v->fpu, fpu_size());
    if (!area)
        return -ENOMEM;
    memcpy(area + XSAVE_FCW, &fpu.fcw, 2);
    memcpy(area + 2, &fpu.fsw, 2);
    area[XSAVE_FTW] = fpu.ftwx;
    memcpy(area + XSAVE_FOP, &fpu.last_opcode, 2);
    memcpy(area + XSAVE_FIP, &fpu.last_ip, 8);
    memcpy(area + XSAVE_FDP, &fpu.last_dp, 8);
    memcpy(area + XSAVE_MXCSR, &fpu.mxcsr, 4);
    memcpy(area + XSAVE_ST, fpu.fpr, sizeof(fpu.fpr));
    memcpy(area + XSAVE_XMM, fpu.xmm, sizeof(fpu.xmm));
    err = fpu_validate(area);
    if (!err)
        memcpy(v->fpu, area, fpu_size());
    kfree(area);
    return err;
}

static s64 state_get_xsave(struct vcpu *v, u64 arg)
{
    struct kvm_xsave *x = kzalloc(sizeof(*x));
    int err;

    if (!x)
        return -ENOMEM;
    state_fpu_settle(v);
    memcpy(x->region, v->fpu, MIN((size_t)fpu_size(), sizeof(*x)));
    err = copy_out((void __user *)arg, x, sizeof(*x));
    kfree(x);
    return err;
}

static s64 state_set_xsave(struct vcpu *v, u64 arg)
{
    struct kvm_xsave *x = kzalloc(MAX(sizeof(*x), (size_t)fpu_size()));
    int err;

    if (!x)
        return -ENOMEM;
    err = copy_in(x->region, (const void __user *)arg, sizeof(*x));
    if (!err)
        err = fpu_validate(x->region);
    if (!err)
        memcpy(v->fpu, x->region, fpu_size());
    kfree(x);
    return err;
}

static s64 state_get_xcrs(struct vcpu *v, u64 arg)
{
    struct kvm_xcrs *x = kzalloc(sizeof(*x));
    int err;

    if (!x)
        return -ENOMEM;
    if (fpu_xcr0()) {
        x->nr_xcrs = 1;
        x->xcrs[0].value = v->xcr0;
    }
    err = copy_out((void __user *)arg, x, sizeof(*x));
    kfree(x);
    return err;
}

/* SDM vol. 1, 13.3: x87 always, AVX needs SSE, the three parts of AVX-512 come together and need
 * AVX. */
static bool state_xcr0_valid(u64 xcr0)
{
    if ((xcr0 & ~fpu_xcr0()) || !(xcr0 & XCR0_X87))
        return false;
    if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
        return false;
    return !(xcr0 & XCR0_AVX512) || ((xcr0 & XCR0_AVX512) == XCR0_AVX512 && (xcr0 & XCR0_AVX));
}

static s64 state_set_xcrs(struct vcpu *v, u64 arg)
{
    struct kvm_xcrs *x;
    u64 xcr0 = v->xcr0;
    int err;

    if (!fpu_xcr0())
        return -EINVAL;
    x = kzalloc(sizeof(*x));
    if (!x)
        return -ENOMEM;
    err = copy_in(x, (const void __user *)arg, sizeof(*x));
    if (!err && (x->nr_xcrs > KVM_MAX_XCRS || x->flags))
        err = -EINVAL;
    for (u32 i = 0; !err && i < x->nr_xcrs; i++)
        if (x->xcrs[i].xcr == 0)
            xcr0 = x->xcrs[i].value;
    kfree(x);
    if (!err && !state_xcr0_valid(xcr0))
        err = -EINVAL;
    if (!err)
        v->xcr0 = xcr0;
    return err;
}

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
    if (head.nmsrs >= MSRS_MAX)
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

static s64 state_get_events(struct vcpu *v, u64 arg)
{
    struct kvm_vcpu_events e = {
        .exception = {.injected = v->exception.pending,
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

static s64 state_set_events(struct vcpu *v, u64 arg)
{
    struct kvm_vcpu_events e;

    if (copy_in(&e, (const void __user *)arg, sizeof(e)))
        return -EFAULT;
    if (!state_events_valid(&e))
        return -EINVAL;
    v->exception.pending = e.exception.injected;
    v->exception.vector = e.exception.nr;
    v->exception.has_error = e.exception.has_error_code;
    v->exception.error = e.exception.error_code;
    v->irq_injected = e.interrupt.injected ? e.interrupt.nr : -1;
    if (!v->vm->irqchip)
        v->user_irq = -1;
    v->nmi_injected = e.nmi.injected;
    if (e.flags & KVM_VCPUEVENT_VALID_SHADOW)
        hv_ops->set_shadow(v, e.interrupt.shadow);
    if (e.flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
        WRITE_ONCE(v->nmi_pending, e.nmi.pending);
    hv_ops->set_nmi_masked(v, e.nmi.masked);
    if (e.flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
        v->sipi_vector = (u8)e.sipi_vector;
    vcpu_request(v, VCPU_REQ_EVENT);
    return 0;
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

/* ------------------------------------------------------------- the rest */

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
    {KVM_GET_FPU, state_get_fpu},
    {KVM_SET_FPU, state_set_fpu},
    {KVM_GET_XSAVE, state_get_xsave},
    {KVM_SET_XSAVE, state_set_xsave},
    {KVM_GET_XCRS, state_get_xcrs},
    {KVM_SET_XCRS, state_set_xcrs},
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
    {KVM_SET_TSC_KHZ, state_set_tsc_khz},
};

s64 vcpu_ioctl_state(struct vcpu *v, unsigned cmd, u64 arg)
{
    if (cmd == KVM_GET_MSRS || cmd == KVM_SET_MSRS)
        return state_msrs(v, arg, cmd == KVM_SET_MSRS);
    if (cmd == KVM_X86_SETUP_MCE || cmd == KVM_X86_SET_MCE)
        return vcpu_mce_ioctl(v, cmd, arg);
    if (cmd == KVM_GET_TSC_KHZ)
        return (s64)(tsc_hz / 1000);
    for (unsigned i = 0; i < ARRAY_SIZE(state_ioctls); i++)
        if (state_ioctls[i].cmd == cmd)
            return state_ioctls[i].run(v, arg);
    return -ENOTTY;
}
