/* SPDX-License-Identifier: MIT
 *
 * Guest state in the VMCS (SDM vol. 3, 24.4), and its conversion to KVM's spelling. What entry
 * would refuse for the spelling alone (granularity against limit, a type without "accessed") is put
 * right when it is written, as KVM's users do not care (26.3.1.2).
 */
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "hv/memory/memory.h"
#include "hv/vmx/vmx_priv.h"
#include "lib/errno.h"
#include "lib/string.h"

#define CR0_CACHING (CR0_CD | CR0_NW)
#define TYPE_ACCESSED 1
#define TYPE_TSS_BUSY 2
#define TYPE_LDT 2

/* The VMCS's order is ES CS SS DS FS GS LDTR TR. */
static unsigned vmx_seg_index(unsigned seg)
{
    if (seg < EMUL_SEGS)
        return seg;
    return seg == HV_SEG_LDT ? 6 : 7;
}

void vmx_get_segment(struct vcpu *v, unsigned seg, struct kvm_segment *out)
{
    unsigned i = vmx_seg_index(seg);
    u64 flags = vmx_begin(v);
    u32 r = (u32)vmcs_read(VMCS_GUEST_ES_RIGHTS + 2 * i);

    *out = (struct kvm_segment){
        .base = vmcs_read(VMCS_GUEST_ES_BASE + 2 * i),
        .limit = (u32)vmcs_read(VMCS_GUEST_ES_LIMIT + 2 * i),
        .selector = (u16)vmcs_read(VMCS_GUEST_ES_SEL + 2 * i),
        .type = r & 15,
        .s = r >> 4 & 1,
        .dpl = r >> 5 & 3,
        .present = (r >> 7 & 1) && !(r & SEG_UNUSABLE),
        .avl = r >> 12 & 1,
        .l = r >> 13 & 1,
        .db = r >> 14 & 1,
        .g = r >> 15 & 1,
        .unusable = r & SEG_UNUSABLE ? 1 : 0,
    };
    vmx_end(v, flags);
}

static u32 vmx_seg_rights(unsigned seg, const struct kvm_segment *in)
{
    u32 type = in->type & 15, s = in->s & 1, g = in->g & 1;
    bool usable = in->present && !in->unusable;

    if (seg == HV_SEG_TR) {
        usable = true;
        s = 0;
        type = (type & 8) | TYPE_TSS_BUSY | TYPE_ACCESSED;
        if (type == (TYPE_TSS_BUSY | TYPE_ACCESSED) && in->limit > 0xffff)
            type |= 8;
    } else if (seg == HV_SEG_LDT) {
        s = 0;
        type = TYPE_LDT;
    } else {
        type |= TYPE_ACCESSED;
    }
    if (!usable)
        return SEG_UNUSABLE;
    if (in->limit >> 20)
        g = 1;
    else if ((in->limit & 0xfff) != 0xfff)
        g = 0;
    return type | s << 4 | (in->dpl & 3U) << 5 | 1U << 7 | (in->avl & 1U) << 12 |
           (in->l & 1U) << 13 | (in->db & 1U) << 14 | g << 15;
}

void vmx_set_segment(struct vcpu *v, unsigned seg, const struct kvm_segment *in)
{
    unsigned i = vmx_seg_index(seg);
    u64 flags = vmx_begin(v);

    vmcs_write(VMCS_GUEST_ES_BASE + 2 * i, in->base);
    vmcs_write(VMCS_GUEST_ES_LIMIT + 2 * i, in->limit);
    vmcs_write(VMCS_GUEST_ES_SEL + 2 * i, in->selector);
    vmcs_write(VMCS_GUEST_ES_RIGHTS + 2 * i, vmx_seg_rights(seg, in));
    vmx_end(v, flags);
    if (seg == EMUL_SS)
        vmx_of(v)->cpl = in->dpl & 3;
}

void vmx_get_table(struct vcpu *v, bool idt, struct kvm_dtable *out)
{
    u64 flags = vmx_begin(v);

    *out = (struct kvm_dtable){
        .base = vmcs_read(idt ? VMCS_GUEST_IDTR_BASE : VMCS_GUEST_GDTR_BASE),
        .limit = (u16)vmcs_read(idt ? VMCS_GUEST_IDTR_LIMIT : VMCS_GUEST_GDTR_LIMIT),
    };
    vmx_end(v, flags);
}

void vmx_set_table(struct vcpu *v, bool idt, const struct kvm_dtable *in)
{
    u64 flags = vmx_begin(v);

    vmcs_write(idt ? VMCS_GUEST_IDTR_BASE : VMCS_GUEST_GDTR_BASE, in->base);
    vmcs_write(idt ? VMCS_GUEST_IDTR_LIMIT : VMCS_GUEST_GDTR_LIMIT, in->limit);
    vmx_end(v, flags);
}

/* ------------------------------------------------------------- control registers */

u64 vmx_get_cr(struct vcpu *v, unsigned nr)
{
    u64 flags, value;

    if (nr == 0)
        return vmx_of(v)->cr0;
    if (nr == 4)
        return vmx_of(v)->cr4;
    if (nr == 2) /* no VMCS field: the register is the guest's while the host does not fault */
        return vmx_of(v)->cr2;
    flags = vmx_begin(v);
    value = vmcs_read(VMCS_GUEST_CR3);
    vmx_end(v, flags);
    return value;
}

void vmx_get_mode(struct vcpu *v, struct hv_mode *out)
{
    struct vmx_vcpu *x = vmx_of(v);
    u64 flags = vmx_begin(v);
    u32 cs = (u32)vmcs_read(VMCS_GUEST_ES_RIGHTS + 2 * EMUL_CS);

    *out = (struct hv_mode){
        .cr0 = x->cr0,
        .cr3 = vmcs_read(VMCS_GUEST_CR3),
        .cr4 = x->cr4,
        .mode = hv_mode_of(v, x->cr0, cs >> 13 & 1, cs >> 14 & 1),
        .cpl = x->cpl,
    };
    vmx_end(v, flags);
}

void vmx_get_pdptes(struct vcpu *v, u64 out[4])
{
    u64 flags = vmx_begin(v);

    for (unsigned i = 0; i < 4; i++)
        out[i] = vmcs_read(VMCS_GUEST_PDPTE0 + 2 * i);
    vmx_end(v, flags);
}

void vmx_set_pdptes(struct vcpu *v, const u64 in[4])
{
    u64 flags = vmx_begin(v);

    for (unsigned i = 0; i < 4; i++)
        vmcs_write(VMCS_GUEST_PDPTE0 + 2 * i, in[i]);
    vmx_end(v, flags);
}

/* With PAE paging entry takes the four top entries from the VMCS (26.3.2.4), not from memory. */
static void vmx_load_pdptes(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);
    u64 pdpte[4] = {0};

    if (!(x->cr0 & CR0_PG) || !(x->cr4 & CR4_PAE) || (v->efer & EFER_LMA))
        return;
    if (guest_read(v->vm, GPA(vmx_get_cr(v, 3) & 0xffffffe0), pdpte, sizeof(pdpte)))
        memset(pdpte, 0, sizeof(pdpte));
    vmx_set_pdptes(v, pdpte);
}

/* The guest's caching bits have no effect, and the CPU wants NE and VMXE (23.8). Machine checks are
 * the host's: one that came while MCE is off would shut the processor down. */
void vmx_set_cr(struct vcpu *v, unsigned nr, u64 value)
{
    struct vmx_vcpu *x = vmx_of(v);
    u64 flags = vmx_begin(v);

    if (nr == 0) {
        x->cr0 = value;
        vmcs_write(VMCS_CR0_SHADOW, value);
        vmcs_write(VMCS_GUEST_CR0, (value & ~CR0_CACHING) | CR0_NE);
    } else if (nr == 2) {
        x->cr2 = value;
    } else if (nr == 3) {
        vmcs_write(VMCS_GUEST_CR3, value);
    } else {
        x->cr4 = value;
        vmcs_write(VMCS_CR4_SHADOW, value);
        vmcs_write(VMCS_GUEST_CR4, value | CR4_VMXE | CR4_MCE);
    }
    vmx_end(v, flags);
    x->flush = true;
    if (nr != 2)
        vmx_load_pdptes(v);
}

/* ------------------------------------------------------------- EFER and other MSRs */

void vmx_set_efer(struct vcpu *v, u64 efer)
{
    struct vmx_vcpu *x = vmx_of(v);
    u64 flags = vmx_begin(v);

    x->entry_controls &= ~ENTRY_GUEST_64;
    if (efer & EFER_LMA)
        x->entry_controls |= ENTRY_GUEST_64;
    vmcs_write(VMCS_ENTRY_CONTROLS, x->entry_controls);
    vmcs_write(VMCS_GUEST_EFER, efer);
    vmx_end(v, flags);
}

static u32 vmx_msr_field(u32 msr)
{
    switch (msr) {
    case MSR_FS_BASE:
        return VMCS_GUEST_FS_BASE;
    case MSR_GS_BASE:
        return VMCS_GUEST_GS_BASE;
    case MSR_IA32_SYSENTER_CS:
        return VMCS_GUEST_SYSENTER_CS;
    case MSR_IA32_SYSENTER_ESP:
        return VMCS_GUEST_SYSENTER_ESP;
    case MSR_IA32_SYSENTER_EIP:
        return VMCS_GUEST_SYSENTER_EIP;
    case MSR_IA32_PAT:
        return VMCS_GUEST_PAT;
    default:
        return 0;
    }
}

static u64 *vmx_msr_slot(struct vcpu *v, u32 msr)
{
    if (msr == MSR_KERNEL_GS_BASE)
        return &vmx_of(v)->kernel_gs;
    return msr >= MSR_STAR && msr <= MSR_SFMASK ? &vmx_of(v)->syscall[msr - MSR_STAR] : NULL;
}

int vmx_get_msr(struct vcpu *v, u32 msr, u64 *out)
{
    u32 field = vmx_msr_field(msr);
    u64 *slot = vmx_msr_slot(v, msr), flags;

    if (!field && !slot)
        return -ENOENT;
    if (slot) {
        *out = *slot;
        return 0;
    }
    flags = vmx_begin(v);
    *out = vmcs_read(field);
    vmx_end(v, flags);
    return 0;
}

int vmx_set_msr(struct vcpu *v, u32 msr, u64 value)
{
    u32 field = vmx_msr_field(msr);
    u64 *slot = vmx_msr_slot(v, msr), flags;

    if (!field && !slot)
        return -ENOENT;
    if (slot) {
        *slot = value;
        return 0;
    }
    flags = vmx_begin(v);
    vmcs_write(field, value);
    vmx_end(v, flags);
    return 0;
}
