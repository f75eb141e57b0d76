/* SPDX-License-Identifier: MIT
 *
 * A guest's machine-check registers (SDM vol. 3, 15.3). The host's machine checks are the host's;
 * what a guest sees here is what its VMM reports by KVM_X86_SET_MCE, to a vCPU that it has given
 * banks by KVM_X86_SETUP_MCE. Without them there are none.
 */
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "arch/x86/uaccess.h"
#include "hv/regs/regs.h"
#include "lib/errno.h"
#include "mm/slab.h"

#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_MCG_CTL 0x17b
#define MSR_MC0_CTL 0x400 /* CTL STATUS ADDR MISC of each bank */
enum { MC_CTL, MC_STATUS, MC_ADDR, MC_MISC, MC_REGS };

#define MCG_BANKS(cap) ((u32)((cap)&0xff))
#define MCG_CTL_P (1UL << 8)
#define MCG_EXT_COUNT (0xffUL << 16)
#define MCG_SER_P (1UL << 24)
#define MCG_SUPPORTED (MCG_CTL_P | MCG_SER_P)
#define MCG_STATUS_MCIP (1UL << 2)
#define MC_STATUS_VALID (1UL << 63)
#define MC_STATUS_OVER (1UL << 62)
#define MC_STATUS_UC (1UL << 61)
/* Linux leaves bit 10 of an AMD's fourth bank off. */
#define MC_CTL_AMD_GART (~(1UL << 10))

s64 hv_mce_supported(u64 arg)
{
    u64 cap = MCG_SUPPORTED;

    return copy_out((void __user *)arg, &cap, sizeof(cap));
}

static s64 mce_setup(struct vcpu *v, u64 arg)
{
    u64 cap, *banks;

    if (copy_in(&cap, (const void __user *)arg, sizeof(cap)))
        return -EFAULT;
    if (!MCG_BANKS(cap) || MCG_BANKS(cap) > HV_MCE_BANKS_MAX ||
        (cap & ~(MCG_SUPPORTED | MCG_EXT_COUNT | 0xff)))
        return -EINVAL;
    banks = kcalloc(MCG_BANKS(cap) * MC_REGS, sizeof(*banks));
    if (!banks)
        return -ENOMEM;
    for (u32 i = 0; i < MCG_BANKS(cap); i++)
        banks[i * MC_REGS + MC_CTL] = U64_MAX;
    kfree(v->mce.banks);
    v->mce.banks = banks;
    v->mce.cap = cap;
    v->mce.ctl = cap & MCG_CTL_P ? U64_MAX : 0;
    return 0;
}

/* ------------------------------------------------------------- an error comes */

/* Not to be reported: the guest has turned it off. */
static bool mce_silent(const struct vcpu *v, const u64 *bank)
{
    return ((v->mce.cap & MCG_CTL_P) && v->mce.ctl != U64_MAX) || bank[MC_CTL] != U64_MAX;
}

static void mce_store(u64 *bank, const struct kvm_x86_mce *e)
{
    u64 over = bank[MC_STATUS] & MC_STATUS_VALID ? MC_STATUS_OVER : 0;

    bank[MC_ADDR] = e->addr;
    bank[MC_MISC] = e->misc;
    bank[MC_STATUS] = e->status | over;
}

/* One while another is being handled, or by a guest that takes none, is a shutdown (15.3.1.2). */
static void mce_uncorrected(struct vcpu *v, u64 *bank, const struct kvm_x86_mce *e)
{
    if (mce_silent(v, bank))
        return;
    if ((v->mce.status & MCG_STATUS_MCIP) || !(hv_ops->get_cr(v, 4) & CR4_MCE)) {
        vcpu_request(v, VCPU_REQ_SHUTDOWN);
        return;
    }
    mce_store(bank, e);
    v->mce.status = e->mcg_status;
    vcpu_queue_exception(v, VEC_MC, false, 0);
}

static s64 mce_set(struct vcpu *v, u64 arg)
{
    struct kvm_x86_mce e;
    u64 *bank;

    if (copy_in(&e, (const void __user *)arg, sizeof(e)))
        return -EFAULT;
    if (e.bank >= MCG_BANKS(v->mce.cap) || !(e.status & MC_STATUS_VALID))
        return -EINVAL;
    bank = v->mce.banks + e.bank * MC_REGS;
    if (e.status & MC_STATUS_UC)
        mce_uncorrected(v, bank, &e);
    else if ((bank[MC_STATUS] & (MC_STATUS_VALID | MC_STATUS_UC)) ==
             (MC_STATUS_VALID | MC_STATUS_UC))
        bank[MC_STATUS] |= MC_STATUS_OVER; /* the graver one stays */
    else
        mce_store(bank, &e);
    return 0;
}

s64 vcpu_mce_ioctl(struct vcpu *v, unsigned cmd, u64 arg)
{
    return cmd == KVM_X86_SETUP_MCE ? mce_setup(v, arg) : mce_set(v, arg);
}

/* ------------------------------------------------------------- registers */

static u64 *mce_bank_register(struct vcpu *v, u32 msr)
{
    u32 at = msr - MSR_MC0_CTL;

    return at < MCG_BANKS(v->mce.cap) * MC_REGS ? &v->mce.banks[at] : NULL;
}

/* A VMM that saves and restores the list of MSRs finds MCG_CTL as 0 where there is none. */
int vcpu_get_mce_msr(struct vcpu *v, u32 msr, u64 *out, bool host)
{
    const u64 *reg = mce_bank_register(v, msr);

    ASSERT_HELD(&v->lock);
    if (msr == MSR_MCG_CAP)
        *out = v->mce.cap;
    else if (msr == MSR_MCG_STATUS)
        *out = v->mce.status;
    else if (msr == MSR_MCG_CTL && (host || (v->mce.cap & MCG_CTL_P)))
        *out = v->mce.ctl;
    else if (reg)
        *out = *reg;
    else
        return -ENOENT;
    return 0;
}

static int mce_set_bank(u64 *reg, u32 which, u64 value, bool host)
{
    if (which == MC_CTL && value && (value | ~MC_CTL_AMD_GART) != U64_MAX)
        return -EINVAL;
    if (which == MC_STATUS && value && !host)
        return -EINVAL; /* a guest can only clear it */
    *reg = value;
    return 0;
}

int vcpu_set_mce_msr(struct vcpu *v, u32 msr, u64 value, bool host)
{
    u64 *reg = mce_bank_register(v, msr);

    ASSERT_HELD(&v->lock);
    if (reg)
        return mce_set_bank(reg, (msr - MSR_MC0_CTL) % MC_REGS, value, host);
    if (msr == MSR_MCG_STATUS) {
        v->mce.status = value;
        return 0;
    }
    if (msr != MSR_MCG_CTL)
        return -ENOENT;
    if (!(v->mce.cap & MCG_CTL_P) && !value && host)
        return 0;
    if (!(v->mce.cap & MCG_CTL_P) || (value && value != U64_MAX))
        return -EINVAL;
    v->mce.ctl = value;
    return 0;
}
