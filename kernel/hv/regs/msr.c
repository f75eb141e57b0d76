/* SPDX-License-Identifier: MIT
 *
 * A guest's model-specific registers (SDM vol. 4; APM vol. 2 appendix A): those that are plain
 * state live in struct vcpu, the APIC's are the irqchip's, the rest the backend's. What none of
 * them knows is -EINVAL, which a guest sees as #GP.
 *
 * Writes with `host` set come from KVM_SET_MSRS: they may set what a guest can only read.
 */
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "hv/emul/lapic.h"
#include "hv/irq/irqchip.h"
#include "hv/regs/regs.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"

#define MSR_PLATFORM_ID 0x17
#define MSR_UCODE_REV 0x8b
#define MSR_PLATFORM_INFO 0xce
#define MSR_MTRR_CAP 0xfe
#define MSR_MISC_FEATURES 0x140
#define MSR_MCG_STATUS 0x17a
#define MSR_MCG_CTL 0x17b
#define MSR_MTRR_VAR 0x200
#define MSR_MTRR_DEF 0x2ff
#define MSR_KVM_WALL 0x11
#define MSR_KVM_SYSTEM_TIME 0x12

#define MTRR_CAP (8 | 1 << 8 | 1 << 10) /* eight variable ranges, fixed ranges, write-combining */
#define EFER_FFXSR (1UL << 14)
#define EFER_KNOWN (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR)
#define UCODE_REV (1UL << 32)

COUNTER(hv_unknown_msrs);

/* KVM_GET_MSR_INDEX_LIST: what a VMM saves and restores. */
const u32 hv_msr_list[] = {
    MSR_IA32_TSC,
    MSR_IA32_APIC_BASE,
    MSR_IA32_TSC_ADJUST,
    MSR_IA32_SYSENTER_CS,
    MSR_IA32_SYSENTER_ESP,
    MSR_IA32_SYSENTER_EIP,
    MSR_IA32_MISC_ENABLE,
    MSR_IA32_PAT,
    MSR_IA32_TSC_DEADLINE,
    MSR_EFER,
    MSR_STAR,
    MSR_LSTAR,
    MSR_CSTAR,
    MSR_SFMASK,
    MSR_FS_BASE,
    MSR_GS_BASE,
    MSR_KERNEL_GS_BASE,
    MSR_TSC_AUX,
    MSR_UCODE_REV,
    MSR_MTRR_DEF,
    MSR_MCG_STATUS,
    MSR_MCG_CTL,
    MSR_PLATFORM_INFO,
    MSR_MISC_FEATURES,
    MSR_KVM_WALL,
    MSR_KVM_SYSTEM_TIME,
    MSR_KVM_WALL_CLOCK_NEW,
    MSR_KVM_SYSTEM_TIME_NEW,
    HV_MSR_GUEST_OS_ID,
    HV_MSR_HYPERCALL,
    HV_MSR_TIME_REF_COUNT,
    HV_MSR_REFERENCE_TSC,
    HV_MSR_TSC_FREQUENCY,
    HV_MSR_APIC_FREQUENCY,
    HV_MSR_CRASH_P0,
    HV_MSR_CRASH_P0 + 1,
    HV_MSR_CRASH_P0 + 2,
    HV_MSR_CRASH_P0 + 3,
    HV_MSR_CRASH_P4,
    HV_MSR_CRASH_CTL,
    HV_MSR_RESET,
    HV_MSR_VP_INDEX,
    HV_MSR_ASSIST_PAGE,
};
const u32 hv_msr_count = ARRAY_SIZE(hv_msr_list);

/* KVM_GET_MSR_FEATURE_INDEX_LIST: what the host offers, independent of any VM. */
const u32 hv_feature_msrs[] = {MSR_UCODE_REV, MSR_ARCH_CAPABILITIES};
const u32 hv_feature_msr_count = ARRAY_SIZE(hv_feature_msrs);

int hv_get_feature_msr(u32 msr, u64 *out)
{
    if (msr == MSR_UCODE_REV)
        *out = UCODE_REV;
    else if (msr == MSR_ARCH_CAPABILITIES)
        *out = 0; /* no guest is promised to be without a weakness */
    else
        return -ENOENT;
    return 0;
}

/* Registers that always read the same; a write is ignored. The performance, debug and power
 * registers are there because guests touch them without asking CPUID. */
static const struct {
    u32 first, last;
    u64 value;
} msr_constants[] = {
    {MSR_PLATFORM_ID, MSR_PLATFORM_ID, 0},
    {0x2a, 0x2a, 0},                                         /* EBL_CR_POWERON */
    {0x34, 0x34, 0},                                         /* SMI_COUNT */
    {MSR_IA32_FEATURE_CONTROL, MSR_IA32_FEATURE_CONTROL, 1}, /* locked, nothing on */
    {MSR_UCODE_REV, MSR_UCODE_REV, UCODE_REV},
    {0xc1, 0xc2, 0},   /* PERFCTR */
    {0x186, 0x187, 0}, /* EVNTSEL */
    {0x198, 0x19a, 0}, /* PERF_STATUS, PERF_CTL, CLOCK_MODULATION */
    {0x1d9, 0x1d9, 0}, /* DEBUGCTL */
    {0x1db, 0x1de, 0}, /* last branch, last interrupt */
    {0x606, 0x606, 0}, /* RAPL_POWER_UNIT */
    {0x611, 0x611, 0},
    {0x619, 0x619, 0},
    {0x639, 0x639, 0},
    {0x641, 0x641, 0},
    {0xc0010000, 0xc0010007, 0}, /* K7 EVNTSEL, PERFCTR */
    {0xc0010010, 0xc0010010, 0}, /* SYSCFG */
    {0xc0010015, 0xc0010015, 0}, /* HWCR */
    {0xc001001f, 0xc001001f, 0}, /* NB_CFG */
    {0xc0010055, 0xc0010055, 0}, /* INT_PENDING */
    {0xc0010112, 0xc0010113, 0}, /* TSEG */
};

static bool msr_constant(u32 msr, u64 *out)
{
    for (unsigned i = 0; i < ARRAY_SIZE(msr_constants); i++) {
        if (msr < msr_constants[i].first || msr > msr_constants[i].last)
            continue;
        *out = msr_constants[i].value;
        return true;
    }
    return false;
}

static bool msr_canonical(u64 v)
{
    return (u64)((s64)(v << 16) >> 16) == v;
}

static bool msr_memory_type(u8 type)
{
    return type <= 6 && type != 2 && type != 3;
}

/* ------------------------------------------------------------- MTRRs: kept, without effect */

static u64 *msr_mtrr(struct vcpu *v, u32 msr)
{
    switch (msr) {
    case MSR_MTRR_DEF:
        return &v->mtrr_def;
    case MSR_MTRR_VAR ... MSR_MTRR_VAR + 15:
        return &v->mtrr_var[msr - MSR_MTRR_VAR];
    case 0x250:
        return &v->mtrr_fixed[0];
    case 0x258 ... 0x259:
        return &v->mtrr_fixed[1 + msr - 0x258];
    case 0x268 ... 0x26f:
        return &v->mtrr_fixed[3 + msr - 0x268];
    default:
        return NULL;
    }
}

static bool msr_mtrr_valid(u32 msr, u64 value)
{
    if (msr == MSR_MTRR_DEF)
        return !(value & ~0xcffUL) && msr_memory_type((u8)value);
    if (msr < MSR_MTRR_VAR + 16)
        return msr & 1 ? !(value & 0x7ff) : !(value & 0xf00) && msr_memory_type((u8)value);
    for (unsigned i = 0; i < 64; i += 8)
        if (!msr_memory_type((u8)(value >> i)))
            return false;
    return true;
}

/* ------------------------------------------------------------- EFER, PAT and the clock */

void vcpu_set_efer(struct vcpu *v, u64 efer)
{
    ASSERT_HELD(&v->lock);
    v->efer = efer;
    hv_ops->set_efer(v, efer);
}

/* APM vol. 2, 3.1.7: LME cannot change while paging is on. LMA is the CPU's, for a VMM too: it says
 * that paging is on, and the backends rely on that. */
static int msr_set_efer(struct vcpu *v, u64 efer, bool host)
{
    u64 changed = efer ^ v->efer;

    if ((efer & ~EFER_KNOWN) || (!host && (efer & v->hidden_efer)))
        return -EINVAL;
    if (!host && (changed & EFER_LME) && (hv_ops->get_cr(v, 0) & CR0_PG))
        return -EINVAL;
    efer = (efer & ~EFER_LMA) | (v->efer & EFER_LMA);
    vcpu_set_efer(v, efer);
    if (changed & EFER_NXE)
        hv_ops->tlb_flush(v);
    return 0;
}

static int msr_set_pat(struct vcpu *v, u64 value)
{
    for (unsigned i = 0; i < 64; i += 8) {
        u8 type = (u8)(value >> i);

        if (!msr_memory_type(type) && type != 7)
            return -EINVAL;
    }
    v->pat = value;
    hv_ops->set_msr(v, MSR_IA32_PAT, value); /* -ENOENT: a backend without one of its own */
    return 0;
}

static int msr_set_clock(struct vcpu *v, u64 value)
{
    v->clock_msr = value;
    if (value & 1)
        vcpu_request(v, VCPU_REQ_CLOCK);
    return 0;
}

static int msr_set_wall(struct vcpu *v, u64 value)
{
    v->wall_msr = value;
    vcpu_clock_write_wall(v);
    return 0;
}

/* ------------------------------------------------------------- the table's plain registers */

static int msr_get_soft(struct vcpu *v, u32 msr, u64 *out)
{
    const u64 *mtrr = msr_mtrr(v, msr);

    if (mtrr) {
        *out = *mtrr;
        return 0;
    }
    switch (msr) {
    case MSR_EFER:
        *out = v->efer;
        return 0;
    case MSR_IA32_TSC:
        *out = vcpu_tsc(v);
        return 0;
    case MSR_IA32_TSC_ADJUST:
        *out = v->tsc_adjust;
        return 0;
    case MSR_IA32_PAT:
        *out = v->pat;
        return 0;
    case MSR_IA32_MISC_ENABLE:
        *out = v->misc_enable;
        return 0;
    case MSR_TSC_AUX:
        *out = v->tsc_aux;
        return 0;
    case MSR_PLATFORM_INFO:
        *out = v->platform_info;
        return 0;
    case MSR_MISC_FEATURES:
        *out = v->misc_features;
        return 0;
    case MSR_MTRR_CAP:
        *out = MTRR_CAP;
        return 0;
    case MSR_KVM_SYSTEM_TIME:
    case MSR_KVM_SYSTEM_TIME_NEW:
        *out = v->clock_msr;
        return 0;
    case MSR_KVM_WALL:
    case MSR_KVM_WALL_CLOCK_NEW:
        *out = v->wall_msr;
        return 0;
    default:
        return -ENOENT;
    }
}

static int msr_set_soft(struct vcpu *v, u32 msr, u64 value, bool host)
{
    u64 *mtrr = msr_mtrr(v, msr);

    if (mtrr) {
        if (!msr_mtrr_valid(msr, value))
            return -EINVAL;
        *mtrr = value;
        return 0;
    }
    switch (msr) {
    case MSR_EFER:
        return msr_set_efer(v, value, host);
    case MSR_IA32_TSC:
        vcpu_set_tsc(v, value, host);
        return 0;
    case MSR_IA32_TSC_ADJUST:
        if (!host)
            vcpu_set_tsc(v, vcpu_tsc(v) + value - v->tsc_adjust, false);
        v->tsc_adjust = value;
        return 0;
    case MSR_IA32_PAT:
        return msr_set_pat(v, value);
    case MSR_IA32_MISC_ENABLE:
        v->misc_enable = value;
        return 0;
    case MSR_TSC_AUX:
        if (value >> 32)
            return -EINVAL;
        v->tsc_aux = value;
        return 0;
    case MSR_PLATFORM_INFO:
        if (!host || (!(value & PLATFORM_CPUID_FAULT) && v->misc_features))
            return -EINVAL;
        v->platform_info = value;
        return 0;
    case MSR_MISC_FEATURES:
        if ((value & ~MISC_CPUID_FAULT) || (value && !(v->platform_info & PLATFORM_CPUID_FAULT)))
            return -EINVAL;
        v->misc_features = value;
        return 0;
    case MSR_KVM_SYSTEM_TIME:
    case MSR_KVM_SYSTEM_TIME_NEW:
        return msr_set_clock(v, value);
    case MSR_KVM_WALL:
    case MSR_KVM_WALL_CLOCK_NEW:
        return msr_set_wall(v, value);
    default:
        return -ENOENT;
    }
}

/* ------------------------------------------------------------- the APIC's */

static int msr_get_apic(struct vcpu *v, u32 msr, u64 *out)
{
    if (v->vm->irqchip)
        return irqchip_msr(v, msr, out, false);
    if (msr == MSR_IA32_TSC_DEADLINE) { /* its timer is user space's */
        *out = 0;
        return 0;
    }
    if (msr != MSR_IA32_APIC_BASE)
        return -ENOENT;
    *out = v->apic_base;
    return 0;
}

/* A VMM restores the APIC's mode in one step; the APIC changes it through xAPIC as a guest must. */
static int msr_set_apic_base(struct vcpu *v, u64 value, bool host)
{
    u64 step = (value & ~(u64)APIC_BASE_X2APIC) & ~(u64)APIC_BASE_ENABLE;
    int err = irqchip_msr(v, MSR_IA32_APIC_BASE, &value, true);

    if (!err || !host)
        return err;
    err = irqchip_msr(v, MSR_IA32_APIC_BASE, &step, true);
    step |= APIC_BASE_ENABLE;
    if (!err)
        err = irqchip_msr(v, MSR_IA32_APIC_BASE, &step, true);
    return err ? err : irqchip_msr(v, MSR_IA32_APIC_BASE, &value, true);
}

static int msr_set_apic(struct vcpu *v, u32 msr, u64 value, bool host)
{
    if (v->vm->irqchip)
        return msr == MSR_IA32_APIC_BASE ? msr_set_apic_base(v, value, host)
                                         : irqchip_msr(v, msr, &value, true);
    if (msr == MSR_IA32_TSC_DEADLINE)
        return 0;
    if (msr != MSR_IA32_APIC_BASE)
        return -ENOENT;
    v->apic_base = value;
    return 0;
}

/* ------------------------------------------------------------- all together */

/* Of the backend's registers these hold addresses or 32 bits. */
static bool msr_backend_valid(u32 msr, u64 value)
{
    switch (msr) {
    case MSR_LSTAR:
    case MSR_CSTAR:
    case MSR_FS_BASE:
    case MSR_GS_BASE:
    case MSR_KERNEL_GS_BASE:
    case MSR_IA32_SYSENTER_ESP:
    case MSR_IA32_SYSENTER_EIP:
        return msr_canonical(value);
    case MSR_SFMASK:
        return !(value >> 32);
    default:
        return true;
    }
}

static int msr_unknown(u32 msr, bool write, u64 value)
{
    COUNT(hv_unknown_msrs);
    log_once(LOG_INFO, "hv: unknown MSR %x %s (%lx); further ones are only counted", msr,
             write ? "written" : "read", (unsigned long)value);
    return -ENOENT;
}

/* Which feature a paravirtual register belongs to; -1: it is none. */
static int msr_pv_feature(u32 msr)
{
    switch (msr) {
    case MSR_KVM_WALL:
    case MSR_KVM_SYSTEM_TIME:
        return KVM_FEATURE_CLOCKSOURCE;
    case MSR_KVM_WALL_CLOCK_NEW:
    case MSR_KVM_SYSTEM_TIME_NEW:
        return KVM_FEATURE_CLOCKSOURCE2;
    default:
        return -1;
    }
}

/* False: there, but not for this guest. */
static bool msr_for_guest(const struct vcpu *v, u32 msr)
{
    int feature = msr_pv_feature(msr);

    if (msr == MSR_PLATFORM_INFO && READ_ONCE(v->vm->no_platform_info))
        return false;
    return feature < 0 || vcpu_pv_allowed(v, (unsigned)feature);
}

int vcpu_get_msr(struct vcpu *v, u32 msr, u64 *out, bool host)
{
    int err = host || msr_for_guest(v, msr) ? msr_get_soft(v, msr, out) : -EINVAL;

    if (err == -ENOENT)
        err = vcpu_get_hyperv_msr(v, msr, out, host);
    if (err == -ENOENT)
        err = vcpu_get_mce_msr(v, msr, out, host);
    if (err == -ENOENT)
        err = msr_get_apic(v, msr, out);
    if (err == -ENOENT)
        err = hv_ops->get_msr(v, msr, out);
    if (err == -ENOENT)
        err = msr_constant(msr, out) ? 0 : msr_unknown(msr, false, 0);
    return err;
}

int vcpu_set_msr(struct vcpu *v, u32 msr, u64 value, bool host)
{
    u64 ignored;
    int err = host || msr_for_guest(v, msr) ? msr_set_soft(v, msr, value, host) : -EINVAL;

    if (err == -ENOENT)
        err = vcpu_set_hyperv_msr(v, msr, value, host);
    if (err == -ENOENT)
        err = vcpu_set_mce_msr(v, msr, value, host);
    if (err == -ENOENT)
        err = msr_set_apic(v, msr, value, host);
    if (err == -ENOENT && !msr_backend_valid(msr, value))
        return -EINVAL;
    if (err == -ENOENT)
        err = hv_ops->set_msr(v, msr, value);
    if (err == -ENOENT)
        err = msr_constant(msr, &ignored) ? 0 : msr_unknown(msr, true, value);
    return err;
}
