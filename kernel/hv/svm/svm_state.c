/* SPDX-License-Identifier: MIT
 *
 * Guest state in the VMCB (APM vol. 2, appendix B), and its conversion to KVM's spelling. The
 * privilege level is a field of its own, which KVM keeps in SS.DPL.
 */
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "hv/memory/memory.h"
#include "hv/svm/svm_priv.h"
#include "lib/errno.h"
#include "lib/string.h"

static struct vmcb_seg *svm_seg(struct vcpu *v, unsigned seg)
{
    struct vmcb *b = vmcb_of(v);

    switch (seg) {
    case EMUL_ES:
        return &b->es;
    case EMUL_CS:
        return &b->cs;
    case EMUL_SS:
        return &b->ss;
    case EMUL_DS:
        return &b->ds;
    case EMUL_FS:
        return &b->fs;
    case EMUL_GS:
        return &b->gs;
    case HV_SEG_TR:
        return &b->tr;
    default:
        return &b->ldtr;
    }
}

void svm_get_segment(struct vcpu *v, unsigned seg, struct kvm_segment *out)
{
    const struct vmcb_seg *s = svm_seg(v, seg);

    *out = (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = s->attrib & 15,
        .s = s->attrib >> 4 & 1,
        .dpl = s->attrib >> 5 & 3,
        .present = s->attrib >> 7 & 1,
        .avl = s->attrib >> 8 & 1,
        .l = s->attrib >> 9 & 1,
        .db = s->attrib >> 10 & 1,
        .g = s->attrib >> 11 & 1,
        .unusable = !(s->attrib >> 7 & 1),
    };
    if (seg == EMUL_SS)
        out->dpl = vmcb_of(v)->cpl;
    if (seg == HV_SEG_TR)
        out->type |= SEG_TSS_BUSY; /* which LTR always sets, and hardware need not show */
}

/* The attributes of a task state segment as the CPU wants them. Hardware looks at none of them
 * outside a task switch, which exits. QEMU's TCG ends itself (get_ss_esp_from_tss in
 * target/i386/tcg/seg_helper.c; seen in 7.2) when a guest enters an inner ring with a segment that
 * is absent, busy or not a TSS: there it is always present and available. LTR exits and is
 * emulated, because TCG's own loads an absent segment where the selector is null. */
u16 svm_tr_attrib(u16 attrib)
{
    if (!svm_is_tcg)
        return attrib;
    return (u16)((attrib & ~(u16)(0x10 | SEG_TSS_BUSY | 4)) | SEG_PRESENT | 1);
}

void svm_set_segment(struct vcpu *v, unsigned seg, const struct kvm_segment *in)
{
    struct vmcb_seg *s = svm_seg(v, seg);

    s->base = in->base;
    s->limit = in->limit;
    s->selector = in->selector;
    s->attrib =
        (u16)((in->type & 15) | (in->s & 1) << 4 | (in->dpl & 3) << 5 | (in->present & 1) << 7 |
              (in->avl & 1) << 8 | (in->l & 1) << 9 | (in->db & 1) << 10 | (in->g & 1) << 11);
    if (in->unusable)
        s->attrib = 0;
    if (seg == HV_SEG_TR)
        s->attrib = svm_tr_attrib(s->attrib);
    if (seg == EMUL_SS)
        vmcb_of(v)->cpl = in->dpl & 3;
}

void svm_get_table(struct vcpu *v, bool idt, struct kvm_dtable *out)
{
    const struct vmcb_seg *s = idt ? &vmcb_of(v)->idtr : &vmcb_of(v)->gdtr;

    *out = (struct kvm_dtable){.base = s->base, .limit = (u16)s->limit};
}

void svm_set_table(struct vcpu *v, bool idt, const struct kvm_dtable *in)
{
    struct vmcb_seg *s = idt ? &vmcb_of(v)->idtr : &vmcb_of(v)->gdtr;

    s->base = in->base;
    s->limit = in->limit;
}

u64 svm_get_cr(struct vcpu *v, unsigned nr)
{
    struct vmcb *b = vmcb_of(v);

    switch (nr) {
    case 0:
        return b->cr0 | svm_of(v)->cr0_caching;
    case 2:
        return b->cr2;
    case 3:
        return b->cr3;
    default:
        return b->cr4 & ~svm_of(v)->cr4_forced;
    }
}

void svm_get_mode(struct vcpu *v, struct hv_mode *out)
{
    const struct vmcb *b = vmcb_of(v);

    *out = (struct hv_mode){
        .cr0 = b->cr0,
        .cr3 = b->cr3,
        .cr4 = b->cr4,
        .mode = hv_mode_of(v, b->cr0, b->cs.attrib >> 9 & 1, b->cs.attrib >> 10 & 1),
        .cpl = b->cpl,
    };
}

/* Caching stays on. */
static void svm_set_cr0(struct vcpu *v, u64 value)
{
    struct vmcb *b = vmcb_of(v);
    u64 caching = value & (CR0_CD | CR0_NW);

    svm_of(v)->cr0_caching = caching;
    b->cr0 = value & ~caching;
    b->intercept_cr_read = (u16)((b->intercept_cr_read & ~1) | (caching != 0));
    b->intercept_cr_write = (u16)((b->intercept_cr_write & ~1) | (caching != 0));
}

/* Machine checks are the host's: one that came while MCE is off would shut the processor down. */
static void svm_set_cr4(struct vcpu *v, u64 value)
{
    struct vmcb *b = vmcb_of(v);
    u64 forced = ~value & CR4_MCE;

    svm_of(v)->cr4_forced = forced;
    b->cr4 = value | forced;
    b->intercept_cr_read = (u16)((b->intercept_cr_read & ~(1 << 4)) | (forced ? 1 << 4 : 0));
}

void svm_set_cr(struct vcpu *v, unsigned nr, u64 value)
{
    struct vmcb *b = vmcb_of(v);

    if (nr == 0)
        svm_set_cr0(v, value);
    else if (nr == 2)
        b->cr2 = value;
    else if (nr == 3)
        b->cr3 = value;
    else
        svm_set_cr4(v, value);
    svm_of(v)->flush = true;
}

/* The CPU reads them anew where memory has them. */
void svm_get_pdptes(struct vcpu *v, u64 out[4])
{
    if (guest_read(v->vm, GPA(vmcb_of(v)->cr3 & 0xffffffe0), out, 4 * sizeof(out[0])))
        memset(out, 0, 4 * sizeof(out[0]));
}

void svm_set_pdptes(struct vcpu *v, const u64 in[4])
{
}

/* The guest sees its own EFER; the CPU wants SVME in the VMCB's. LME without paging has no effect
 * yet, and TCG must not see it: with CR4.PAE off as well, its #VMEXIT leaves the host without
 * paging (cpu_x86_update_cr0 in target/i386/helper.c; seen in 7.2). Turning paging on exits. */
void svm_set_efer(struct vcpu *v, u64 efer)
{
    u64 hidden = svm_is_tcg && !(efer & EFER_LMA) ? efer & EFER_LME : 0;

    svm_of(v)->efer_hidden = hidden;
    vmcb_of(v)->efer = (efer & ~hidden) | EFER_SVME;
}

static u64 *svm_msr_slot(struct vcpu *v, u32 msr)
{
    struct vmcb *b = vmcb_of(v);

    switch (msr) {
    case MSR_FS_BASE:
        return &b->fs.base;
    case MSR_GS_BASE:
        return &b->gs.base;
    case MSR_KERNEL_GS_BASE:
        return &b->kernel_gs_base;
    case MSR_STAR:
        return &b->star;
    case MSR_LSTAR:
        return &b->lstar;
    case MSR_CSTAR:
        return &b->cstar;
    case MSR_SFMASK:
        return &b->sfmask;
    case MSR_IA32_SYSENTER_CS:
        return &b->sysenter_cs;
    case MSR_IA32_SYSENTER_ESP:
        return &b->sysenter_esp;
    case MSR_IA32_SYSENTER_EIP:
        return &b->sysenter_eip;
    case MSR_IA32_PAT:
        return &b->pat;
    default:
        return NULL;
    }
}

int svm_get_msr(struct vcpu *v, u32 msr, u64 *out)
{
    u64 *slot = svm_msr_slot(v, msr);

    if (!slot)
        return -ENOENT;
    *out = *slot;
    return 0;
}

int svm_set_msr(struct vcpu *v, u32 msr, u64 value)
{
    u64 *slot = svm_msr_slot(v, msr);

    if (!slot)
        return -ENOENT;
    *slot = value;
    return 0;
}
