/* SPDX-License-Identifier: MIT
 *
 * AMD-V with nested paging (APM vol. 2, chapter 15): enabling it on each CPU, a vCPU's VMCB, and
 * events. Entry and exit are in svm_run.c, guest state in svm_state.c.
 *
 * Used as the least of CPUs has it: no decode assists, no flush by ASID (a vCPU takes a fresh one
 * instead), every field taken from the VMCB anew (no clean bits). Where there is no NRIP save, the
 * length of an instruction that exits is a guess until vcpu_skip has looked at it.
 *
 * Intercepted: what must be (interrupts, CPUID, HLT, I/O, MSRs but the ones VMLOAD switches, SVM's
 * own instructions); writes of CR4, and of CR0 but for TS and MP, since the CPU would take bits
 * that the guest's CPUID hides; CR8, which the local APIC knows better. CR0.CD and NW have no
 * effect: while a guest has them set, all its uses of CR0 exit; CR4.MCE stays on, and while a guest
 * has it off it exits to read CR4.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "hv/svm/svm_priv.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"

#define IOPM_ORDER 2 /* 12 KiB and a bit: 4 pages */
#define MSRPM_ORDER 1
#define CPUID_NRIP 8U /* 8000000A edx */

DEFINE_PER_CPU(u64, svm_host_vmcb_pa);
static u8 *svm_iopm, *svm_msrpm; /* all of both intercepted, but for the MSRs in svm_direct */
static u8 *svm_msrpm_all;        /* and without them */
DEFINE_PER_CPU(struct tlb_tags, svm_asids);
static u32 svm_asid_count;
bool svm_is_tcg;
bool svm_nrip;

/* MSRs the guest has for its own: VMLOAD and VMSAVE switch them. */
static const u32 svm_direct[] = {
    MSR_FS_BASE,
    MSR_GS_BASE,
    MSR_KERNEL_GS_BASE,
    MSR_STAR,
    MSR_LSTAR,
    MSR_CSTAR,
    MSR_SFMASK,
    MSR_IA32_SYSENTER_CS,
    MSR_IA32_SYSENTER_ESP,
    MSR_IA32_SYSENTER_EIP,
};

/* ------------------------------------------------------------- the machine */

/* Two bits an MSR, in three ranges of 2 KiB (APM vol. 2, 15.11). */
static void svm_msrpm_allow(u32 msr)
{
    u32 base = msr < 0x2000 ? 0 : msr >= 0xc0000000 && msr < 0xc0002000 ? 0x800 : 0x1000;
    u32 bit = (msr & 0x1fff) * 2;

    svm_msrpm[base + bit / 8] &= (u8) ~(3U << bit % 8);
}

static const char *svm_probe(void)
{
    struct cpuid_regs r;

    if (!cpu_has(X86_SVM))
        return "the CPU has no AMD-V";
    if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
        return "AMD-V is disabled by the firmware";
    r = cpuid_count(0x8000000a, 0);
    if (!(r.edx & 1))
        return "this CPU's AMD-V has no nested paging";
    svm_asid_count = r.ebx;
    svm_nrip = r.edx & CPUID_NRIP;
    svm_is_tcg = cpu_hypervisor_is("TCGTCGTCGTCG");
    svm_iopm = page_alloc_virt(IOPM_ORDER, 0);
    svm_msrpm = page_alloc_virt(MSRPM_ORDER, 0);
    svm_msrpm_all = page_alloc_virt(MSRPM_ORDER, 0);
    if (!svm_iopm || !svm_msrpm || !svm_msrpm_all)
        return "no memory for AMD-V's permission maps";
    memset(svm_iopm, 0xff, PAGE_SIZE << IOPM_ORDER);
    memset(svm_msrpm, 0xff, PAGE_SIZE << MSRPM_ORDER);
    memset(svm_msrpm_all, 0xff, PAGE_SIZE << MSRPM_ORDER);
    for (unsigned i = 0; i < ARRAY_SIZE(svm_direct); i++)
        svm_msrpm_allow(svm_direct[i]);
    return NULL;
}

/* QEMU's TCG with a thread per CPU: an FNINIT, FXRSTOR or XRSTOR on any CPU clears a bit (IGNNE)
 * of a word of the first CPU's state, without a lock. The same word says whether that CPU is in a
 * guest, with nested paging, with GIF: when VMRUN or #VMEXIT change it in that moment, the change
 * is lost and the host is run on the guest's tables (cpu_clear_ignne in
 * target/i386/tcg/sysemu/fpu_helper.c; seen in 7.2). A CPU that never runs guests is not hurt. */
static bool svm_cpu_is_unsound(void)
{
    return cpu_id() == 0 && acpi_cpu_count() > 1 && svm_is_tcg;
}

/* The first page of a CPU's area is for VMRUN, the second for our VMSAVE. */
static const char *svm_enable_cpu(void)
{
    u64 area = virt_hpa(hv_cpu_area[cpu_id()]).v;

    if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
        return "the firmware has disabled AMD-V on it";
    if (svm_cpu_is_unsound())
        return "QEMU's TCG would corrupt its state";
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, area);
    this_cpu_write(svm_host_vmcb_pa, area + PAGE_SIZE);
    tlb_tags_init(this_cpu_ptr(svm_asids), svm_asid_count);
    return NULL;
}

static int svm_vm_init(struct vm *vm)
{
    return 0;
}

static void svm_vm_destroy(struct vm *vm)
{
}

static int svm_vcpu_init(struct vcpu *v)
{
    struct svm_vcpu *s = kzalloc(sizeof(*s));
    struct page *page = page_alloc(0, PA_ZERO | PA_CHARGE);

    if (!s || !page) {
        kfree(s);
        if (page)
            page_put(page);
        return -ENOMEM;
    }
    s->vmcb = page_virt(page);
    s->vmcb_pa = page_hpa(page).v;
    v->arch = s;
    return 0;
}

static void svm_vcpu_destroy(struct vcpu *v)
{
    page_put(virt_page(svm_of(v)->vmcb));
    kfree(v->arch);
}

/* QEMU's TCG takes INT3 for a software interrupt. */
static void svm_intercept_exceptions(struct vcpu *v)
{
    struct vmcb *b = vmcb_of(v);

    b->intercept_exceptions = vcpu_exceptions(v);
    b->intercept3 &= ~I3_SOFT_INT;
    if (svm_is_tcg && (b->intercept_exceptions & 1U << VEC_BP))
        b->intercept3 |= I3_SOFT_INT;
}

static void svm_control_init(struct vcpu *v, struct vmcb *b)
{
    b->intercept_cr_read = 1 << 8;
    b->intercept_cr_write = 1 << 8 | 1 << 4;
    b->intercept_dr_read = b->intercept_dr_write = 0xffff;
    b->intercept3 = I3_INTR | I3_NMI | I3_SMI | I3_INIT | I3_CR0_SEL | I3_RDPMC | I3_CPUID |
                    I3_INVD | I3_HLT | I3_INVLPGA | I3_IOIO | I3_MSR | I3_TASK_SWITCH | I3_SHUTDOWN;
    if (svm_is_tcg)
        b->intercept3 |= I3_TR_WRITE; /* see svm_tr_attrib */
    b->intercept4 = I4_VMRUN | I4_VMMCALL | I4_VMLOAD | I4_VMSAVE | I4_STGI | I4_CLGI | I4_SKINIT |
                    I4_WBINVD | I4_MONITOR | I4_MWAIT | I4_XSETBV | I4_RDPRU;
    svm_intercept_exceptions(v);
    b->iopm_base = virt_hpa(svm_iopm).v;
    b->msrpm_base = virt_hpa(v->vm->filter ? svm_msrpm_all : svm_msrpm).v;
    b->tsc_offset = v->tsc_offset;
    b->vintr = VINTR_MASKING;
    b->nested_control = NESTED_ENABLE;
    b->nested_cr3 = v->vm->npt.root.v;
    b->pat = v->pat; /* INIT leaves it (SDM vol. 3, table 9-1) */
}

static struct vmcb_seg svm_real_seg(u16 selector, u64 base, u16 attrib)
{
    return (struct vmcb_seg){.selector = selector, .attrib = attrib, .limit = 0xffff, .base = base};
}

/* APM vol. 2, 14.1.3: the state after RESET. */
static void svm_vcpu_reset(struct vcpu *v)
{
    struct vmcb *b = vmcb_of(v);

    ASSERT_HELD(&v->lock);
    memset(b, 0, sizeof(*b));
    svm_control_init(v, b);
    b->cs = svm_real_seg(0xf000, 0xffff0000, 0x09b);
    b->ds = b->es = b->ss = b->fs = b->gs = svm_real_seg(0, 0, 0x093);
    b->ldtr = svm_real_seg(0, 0, 0x082);
    b->tr = svm_real_seg(0, 0, svm_tr_attrib(0x08b));
    b->gdtr.limit = b->idtr.limit = 0xffff;
    svm_set_efer(v, 0);
    svm_of(v)->flush = true;
    svm_of(v)->nmi_masked = svm_of(v)->iret_seen = svm_of(v)->step = false;
    svm_of(v)->soft_len = 0;
    svm_set_cr(v, 0, CR0_ET | CR0_CD | CR0_NW);
    svm_set_cr(v, 4, 0);
    v->shadowed = false;
}

/* ------------------------------------------------------------- events */

static bool svm_nmi_masked(struct vcpu *v)
{
    return svm_of(v)->nmi_masked;
}

static void svm_set_nmi_masked(struct vcpu *v, bool on)
{
    struct vmcb *b = vmcb_of(v);

    svm_of(v)->nmi_masked = on;
    svm_of(v)->iret_seen = false;
    b->intercept3 = on ? b->intercept3 | I3_IRET : b->intercept3 & ~I3_IRET;
}

/* The IRET that has been seen does not come next any more: it will be seen again. */
static void svm_inject(struct vcpu *v, u64 event)
{
    struct svm_vcpu *s = svm_of(v);

    s->vmcb->event_inj = event;
    s->step = false;
    s->soft_len = 0;
    if (s->iret_seen)
        svm_set_nmi_masked(v, true);
}

static void svm_inject_irq(struct vcpu *v, u8 vector)
{
    svm_inject(v, EVENT_VALID | EVENT_TYPE(EVENT_INTR) | vector);
}

static void svm_inject_nmi(struct vcpu *v)
{
    svm_inject(v, EVENT_VALID | EVENT_TYPE(EVENT_NMI) | VEC_NMI);
    svm_set_nmi_masked(v, true);
}

/* The CPU pushes what it is told to, but in real mode there are no error codes. */
static void svm_inject_exception(struct vcpu *v, u8 vector, bool has_error, u32 error)
{
    u64 type = v->exception.soft ? EVENT_SOFT : EVENT_EXCEPTION;

    ASSERT_HELD(&v->lock);
    has_error &= (vmcb_of(v)->cr0 & CR0_PE) != 0;
    svm_inject(v, EVENT_VALID | EVENT_TYPE(type) | vector |
                      (has_error ? EVENT_ERROR | (u64)error << 32 : 0));
    if (v->exception.soft)
        svm_of(v)->soft_len = v->exception.soft;
    else if (vector == VEC_BP || vector == VEC_OF)
        svm_of(v)->soft_len = 1;
}

static void svm_inject_none(struct vcpu *v)
{
    vmcb_of(v)->event_inj = 0;
    svm_of(v)->soft_len = 0;
}

static bool svm_irq_allowed(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    return (v->rflags & RFLAGS_IF) && !(vmcb_of(v)->interrupt_shadow & SHADOW_ON);
}

static bool svm_nmi_allowed(struct vcpu *v)
{
    return !svm_of(v)->nmi_masked && !(vmcb_of(v)->interrupt_shadow & SHADOW_ON);
}

/* A virtual interrupt that is intercepted just before it would be taken. */
static void svm_irq_window(struct vcpu *v, bool on)
{
    struct vmcb *b = vmcb_of(v);

    if (on) {
        b->vintr =
            (b->vintr & ~0xffUL) | VINTR_MASKING | VINTR_IRQ | VINTR_PRIO(15) | VINTR_IGN_TPR;
        b->intercept3 |= I3_VINTR;
    } else {
        b->vintr &= ~(VINTR_IRQ | VINTR_IGN_TPR);
        b->intercept3 &= ~I3_VINTR;
    }
}

/* Before the IRET, its exit will be heard of; otherwise one instruction is in the way: the IRET
 * itself, or the one after STI or MOV SS. */
static void svm_nmi_window(struct vcpu *v, bool on)
{
    struct svm_vcpu *s = svm_of(v);

    if (!on || (s->nmi_masked && !s->iret_seen))
        return;
    s->step = true;
}

static u8 svm_get_shadow(struct vcpu *v)
{
    return vmcb_of(v)->interrupt_shadow & SHADOW_ON
               ? KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS
               : 0;
}

static void svm_set_shadow(struct vcpu *v, u8 shadow)
{
    struct vmcb *b = vmcb_of(v);

    ASSERT_HELD(&v->lock);
    b->interrupt_shadow = (b->interrupt_shadow & ~SHADOW_ON) | (shadow ? SHADOW_ON : 0);
    v->shadowed = shadow;
}

static void svm_tlb_flush(struct vcpu *v)
{
    svm_of(v)->flush = true;
}

static u8 svm_cpl(struct vcpu *v)
{
    return vmcb_of(v)->cpl;
}

static void svm_set_tsc_offset(struct vcpu *v, u64 offset)
{
    vmcb_of(v)->tsc_offset = offset;
}

static void svm_intercept_msrs(struct vcpu *v, bool all)
{
    vmcb_of(v)->msrpm_base = virt_hpa(all ? svm_msrpm_all : svm_msrpm).v;
}

HV_BACKEND("svm") = {
    .name = "AMD-V",
    .feature = X86_SVM,
    .tables = &pt_native,
    .hypercall = {0x0f, 0x01, 0xd9}, /* VMMCALL */
    .cpu_pages = 2,
    .probe = svm_probe,
    .enable_cpu = svm_enable_cpu,
    .vm_init = svm_vm_init,
    .vm_destroy = svm_vm_destroy,
    .vcpu_init = svm_vcpu_init,
    .vcpu_destroy = svm_vcpu_destroy,
    .vcpu_reset = svm_vcpu_reset,
    .run = svm_run,
    .requeue = svm_requeue,
    .inject_irq = svm_inject_irq,
    .inject_nmi = svm_inject_nmi,
    .inject_exception = svm_inject_exception,
    .inject_none = svm_inject_none,
    .nmi_masked = svm_nmi_masked,
    .set_nmi_masked = svm_set_nmi_masked,
    .irq_allowed = svm_irq_allowed,
    .nmi_allowed = svm_nmi_allowed,
    .irq_window = svm_irq_window,
    .nmi_window = svm_nmi_window,
    .get_shadow = svm_get_shadow,
    .set_shadow = svm_set_shadow,
    .tlb_flush = svm_tlb_flush,
    .get_segment = svm_get_segment,
    .set_segment = svm_set_segment,
    .get_table = svm_get_table,
    .set_table = svm_set_table,
    .get_cr = svm_get_cr,
    .set_cr = svm_set_cr,
    .get_pdptes = svm_get_pdptes,
    .set_pdptes = svm_set_pdptes,
    .set_efer = svm_set_efer,
    .get_msr = svm_get_msr,
    .set_msr = svm_set_msr,
    .intercept_msrs = svm_intercept_msrs,
    .intercept_exceptions = svm_intercept_exceptions,
    .cpl = svm_cpl,
    .get_mode = svm_get_mode,
    .set_tsc_offset = svm_set_tsc_offset,
};
