/* SPDX-License-Identifier: MIT
 *
 * A vCPU's registers as KVM_SET_SREGS and control-register writes change them: everything is
 * checked before anything changes, so that the backend is never handed a state that its CPU refuses
 * for a reason we could have told. Sources: SDM vol. 3, 2.5 and 9.8.5; APM vol. 2, 3.1.
 */
#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "arch/x86/switch.h"
#include "hv/irq/irqchip.h"
#include "hv/regs/regs.h"
#include "lib/errno.h"
#include "lib/string.h"

#define CR0_KNOWN                                                                              \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
     CR0_PG)
#define CR4_VME (1UL << 0)
#define CR4_PVI (1UL << 1)
#define CR4_PCE (1UL << 8)
#define CR4_BASE                                                                              \
    (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | \
     CR4_OSFXSR | CR4_OSXMMEXCPT)
#define CR3_PCID_MASK 0xfffUL
#define CR3_NO_FLUSH (1UL << 63)

/* The bits that the host has, which are those that hv_supported_cpuid offers, less what this
 * guest's CPUID hides. */
static u64 sregs_cr4_known(const struct vcpu *v)
{
    u64 known = CR4_BASE;

    known |= cpu_has(X86_UMIP) ? CR4_UMIP : 0;
    known |= cpu_has(X86_FSGSBASE) ? CR4_FSGSBASE : 0;
    known |= cpu_has(X86_PCID) ? CR4_PCIDE : 0;
    known |= fpu_xcr0() ? CR4_OSXSAVE : 0;
    known |= cpu_has(X86_SMEP) ? CR4_SMEP : 0;
    known |= cpu_has(X86_SMAP) ? CR4_SMAP : 0;
    return known & ~v->hidden_cr4;
}

static bool sregs_cr0_valid(u64 cr0)
{
    return !(cr0 & ~CR0_KNOWN) && !((cr0 & CR0_NW) && !(cr0 & CR0_CD)) &&
           !((cr0 & CR0_PG) && !(cr0 & CR0_PE));
}

static bool sregs_cr3_valid(u64 cr3)
{
    return !(cr3 >> 52);
}

/* ------------------------------------------------------------- control registers, one at a time */

/* Paging on with LME set enters long mode, paging off leaves it. */
static int sregs_set_cr0(struct vcpu *v, u64 cr0)
{
    u64 old = hv_ops->get_cr(v, 0), cr4 = hv_ops->get_cr(v, 4), efer = v->efer;
    struct kvm_segment cs;

    if (!sregs_cr0_valid(cr0 & CR0_KNOWN) || cr0 >> 32)
        return -EINVAL;
    cr0 = (cr0 & CR0_KNOWN) | CR0_ET;
    if ((cr0 & CR0_PG) && !(old & CR0_PG) && (efer & EFER_LME)) {
        hv_ops->get_segment(v, EMUL_CS, &cs);
        if (!(cr4 & CR4_PAE) || cs.l)
            return -EINVAL;
        efer |= EFER_LMA;
    }
    if (!(cr0 & CR0_PG)) {
        if ((old & CR0_PG) && (cr4 & CR4_PCIDE))
            return -EINVAL;
        efer &= ~EFER_LMA;
    }
    hv_ops->set_cr(v, 0, cr0);
    if (efer != v->efer)
        vcpu_set_efer(v, efer);
    if ((cr0 ^ old) & (CR0_PG | CR0_WP | CR0_CD))
        hv_ops->tlb_flush(v);
    vcpu_forget_skipped(v);
    return 0;
}

static int sregs_set_cr3(struct vcpu *v, u64 cr3)
{
    u64 cr4 = hv_ops->get_cr(v, 4);

    if (cr4 & CR4_PCIDE)
        cr3 &= ~CR3_NO_FLUSH;
    if (v->efer & EFER_LMA ? !sregs_cr3_valid(cr3) : cr3 >> 32 != 0)
        return -EINVAL;
    hv_ops->set_cr(v, 3, cr3);
    hv_ops->tlb_flush(v);
    return 0;
}

static int sregs_set_cr4(struct vcpu *v, u64 cr4)
{
    u64 old = hv_ops->get_cr(v, 4);
    bool lma = v->efer & EFER_LMA;

    if (cr4 & ~sregs_cr4_known(v))
        return -EINVAL;
    if (lma && !(cr4 & CR4_PAE))
        return -EINVAL;
    if ((cr4 & CR4_PCIDE) && !(old & CR4_PCIDE) && (!lma || (hv_ops->get_cr(v, 3) & CR3_PCID_MASK)))
        return -EINVAL;
    hv_ops->set_cr(v, 4, cr4);
    if ((cr4 ^ old) & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
        hv_ops->tlb_flush(v);
    return 0;
}

int vcpu_set_cr(struct vcpu *v, unsigned nr, u64 value)
{
    ASSERT_HELD(&v->lock);
    switch (nr) {
    case 0:
        return sregs_set_cr0(v, value);
    case 2:
        hv_ops->set_cr(v, 2, value);
        return 0;
    case 3:
        return sregs_set_cr3(v, value);
    case 4:
        return sregs_set_cr4(v, value);
    case 8:
        if (value & ~15UL)
            return -EINVAL;
        v->cr8 = value;
        if (v->vm->irqchip)
            irqchip_set_cr8(v, value);
        return 0;
    default:
        return -EINVAL;
    }
}

/* ------------------------------------------------------------- KVM_GET_SREGS, KVM_SET_SREGS */

/* Where each segment lies in struct kvm_sregs. */
static const u32 sregs_segments[HV_SEGMENTS] = {
    [EMUL_ES] = offsetof(struct kvm_sregs, es),   [EMUL_CS] = offsetof(struct kvm_sregs, cs),
    [EMUL_SS] = offsetof(struct kvm_sregs, ss),   [EMUL_DS] = offsetof(struct kvm_sregs, ds),
    [EMUL_FS] = offsetof(struct kvm_sregs, fs),   [EMUL_GS] = offsetof(struct kvm_sregs, gs),
    [HV_SEG_TR] = offsetof(struct kvm_sregs, tr), [HV_SEG_LDT] = offsetof(struct kvm_sregs, ldt),
};

void vcpu_get_sregs(struct vcpu *v, struct kvm_sregs *out)
{
    ASSERT_HELD(&v->lock);
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < HV_SEGMENTS; i++)
        hv_ops->get_segment(v, i, (struct kvm_segment *)((u8 *)out + sregs_segments[i]));
    hv_ops->get_table(v, false, &out->gdt);
    hv_ops->get_table(v, true, &out->idt);
    out->cr0 = hv_ops->get_cr(v, 0);
    out->cr2 = hv_ops->get_cr(v, 2);
    out->cr3 = hv_ops->get_cr(v, 3);
    out->cr4 = hv_ops->get_cr(v, 4);
    out->cr8 = v->vm->irqchip ? irqchip_cr8(v) : v->cr8;
    out->efer = v->efer;
    out->apic_base = v->apic_base;
    if (v->irq_injected >= 0)
        out->interrupt_bitmap[v->irq_injected / 64] |= 1UL << (v->irq_injected % 64);
    else if (!vm_has_pic(v->vm) && v->user_irq >= 0)
        out->interrupt_bitmap[v->user_irq / 64] |= 1UL << (v->user_irq % 64);
}

static bool sregs_valid(const struct vcpu *v, const struct kvm_sregs *s)
{
    const u64 efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | 1UL << 14;

    if ((s->efer & ~efer) || (s->cr4 & ~sregs_cr4_known(v)) || !sregs_cr0_valid(s->cr0) ||
        s->cr8 > 15)
        return false;
    if ((s->efer & EFER_LME) && (s->cr0 & CR0_PG))
        return (s->cr4 & CR4_PAE) && (s->efer & EFER_LMA) && sregs_cr3_valid(s->cr3);
    /* Not in long mode: no 64-bit code. */
    return !(s->efer & EFER_LMA) && !s->cs.l;
}

static s32 sregs_bitmap_vector(const struct kvm_sregs *s)
{
    for (unsigned i = 0; i < 256; i++)
        if (s->interrupt_bitmap[i / 64] >> (i % 64) & 1)
            return (s32)i;
    return -1;
}

/* All but the interrupt. */
static int sregs_set_common(struct vcpu *v, const struct kvm_sregs *in)
{
    if (!sregs_valid(v, in))
        return -EINVAL;
    /* The one step that may be refused comes first. */
    if (in->apic_base != v->apic_base && vcpu_set_msr(v, MSR_IA32_APIC_BASE, in->apic_base, true))
        return -EINVAL;
    for (unsigned i = 0; i < HV_SEGMENTS; i++)
        hv_ops->set_segment(v, i, (const struct kvm_segment *)((const u8 *)in + sregs_segments[i]));
    hv_ops->set_table(v, false, &in->gdt);
    hv_ops->set_table(v, true, &in->idt);
    vcpu_set_efer(v, in->efer);
    hv_ops->set_cr(v, 4, in->cr4);
    hv_ops->set_cr(v, 3, in->cr3);
    hv_ops->set_cr(v, 0, in->cr0 | CR0_ET);
    hv_ops->set_cr(v, 2, in->cr2);
    v->cr8 = in->cr8;
    v->run->cr8 = in->cr8;
    if (v->vm->irqchip)
        irqchip_set_cr8(v, in->cr8);
    hv_ops->tlb_flush(v);
    return 0;
}

int vcpu_set_sregs(struct vcpu *v, const struct kvm_sregs *in)
{
    int err = sregs_set_common(v, in);

    ASSERT_HELD(&v->lock);
    if (!err && !vm_has_pic(v->vm))
        v->user_irq = sregs_bitmap_vector(in);
    return err;
}

/* ------------------------------------------------------------- KVM_GET_SREGS2, KVM_SET_SREGS2 */

#define SREGS_COMMON offsetof(struct kvm_sregs, interrupt_bitmap)
static_assert(SREGS_COMMON == offsetof(struct kvm_sregs2, flags), "one layout up to there");

static bool sregs_pae_paging(u64 cr0, u64 cr4, u64 efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

void vcpu_get_sregs2(struct vcpu *v, struct kvm_sregs2 *out)
{
    struct kvm_sregs common;

    vcpu_get_sregs(v, &common);
    memset(out, 0, sizeof(*out));
    memcpy(out, &common, SREGS_COMMON);
    if (!sregs_pae_paging(out->cr0, out->cr4, out->efer))
        return;
    hv_ops->get_pdptes(v, out->pdptrs);
    out->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
}

int vcpu_set_sregs2(struct vcpu *v, const struct kvm_sregs2 *in)
{
    bool entries = in->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
    struct kvm_sregs common = {0};
    int err;

    if ((in->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID) ||
        (entries && !sregs_pae_paging(in->cr0, in->cr4, in->efer)))
        return -EINVAL;
    memcpy(&common, in, SREGS_COMMON);
    err = sregs_set_common(v, &common);
    if (!err && entries)
        hv_ops->set_pdptes(v, in->pdptrs);
    return err;
}
