/* SPDX-License-Identifier: MIT
 *
 * AMD-V with nested paging (APM vol. 2, chapter 15): struct hv_ops over a VMCB per vCPU.
 *
 * Used as the least of CPUs has it: no NRIP save (lengths are decoded), no decode assists, no flush
 * by ASID (the whole TLB goes), every field taken from the VMCB anew (no clean bits).
 *
 * Intercepted: what must be (interrupts, CPUID, HLT, I/O, MSRs but the ones VMLOAD switches, SVM's
 * own instructions), and CR0.CD/NW and CR8 never: V_INTR_MASKING keeps the guest's TPR apart, and
 * reads and writes of CR8 are intercepted when the local APIC is ours, which knows the TPR.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/pte.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "hv/svm/svm_priv.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

#define IOPM_ORDER 2 /* 12 KiB and a bit: 4 pages */
#define MSRPM_ORDER 1

static DEFINE_PER_CPU(u64, svm_host_vmcb_pa);
static u8 *svm_iopm, *svm_msrpm; /* all of both intercepted, but for the MSRs in svm_direct */
static u32 svm_asids;

/* svm/enter.S */
void svm_enter(struct vcpu *vcpu, u64 guest_vmcb_pa, u64 host_vmcb_pa);

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
    svm_asids = r.ebx;
    svm_iopm = page_alloc_virt(IOPM_ORDER, 0);
    svm_msrpm = page_alloc_virt(MSRPM_ORDER, 0);
    if (!svm_iopm || !svm_msrpm)
        return "no memory for AMD-V's permission maps";
    memset(svm_iopm, 0xff, PAGE_SIZE << IOPM_ORDER);
    memset(svm_msrpm, 0xff, PAGE_SIZE << MSRPM_ORDER);
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
    return cpu_id() == 0 && acpi_cpu_count() > 1 && cpu_hypervisor_is("TCGTCGTCGTCG");
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
    return NULL;
}

static int svm_vm_init(struct vm *vm)
{
    static u32 next;

    /* An ASID is a name in the TLB; two VMs with one name are kept apart by flushing at each load.
     */
    vm->asid =
        1 + __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % (svm_asids > 1 ? svm_asids - 1 : 1);
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

static void svm_control_init(struct vcpu *v, struct vmcb *b)
{
    b->intercept_cr_read = 1 << 8;
    b->intercept_cr_write = 1 << 8;
    b->intercept_dr_read = b->intercept_dr_write = 0xffff;
    b->intercept_exceptions = 1U << VEC_DB | 1U << VEC_AC | 1U << VEC_MC;
    b->intercept3 = I3_INTR | I3_NMI | I3_SMI | I3_INIT | I3_RDPMC | I3_CPUID | I3_INVD | I3_HLT |
                    I3_INVLPGA | I3_IOIO | I3_MSR | I3_TASK_SWITCH | I3_SHUTDOWN;
    b->intercept4 = I4_VMRUN | I4_VMMCALL | I4_VMLOAD | I4_VMSAVE | I4_STGI | I4_CLGI | I4_SKINIT |
                    I4_WBINVD | I4_MONITOR | I4_MWAIT | I4_XSETBV;
    b->iopm_base = virt_hpa(svm_iopm).v;
    b->msrpm_base = virt_hpa(svm_msrpm).v;
    b->tsc_offset = v->tsc_offset;
    b->asid = v->vm->asid;
    b->vintr = VINTR_MASKING;
    b->nested_control = NESTED_ENABLE;
    b->nested_cr3 = v->vm->npt.root.v;
    b->pat = 0x0007040600070406UL;
}

static struct vmcb_seg svm_real_seg(u16 selector, u64 base, u16 attrib)
{
    return (struct vmcb_seg){.selector = selector, .attrib = attrib, .limit = 0xffff, .base = base};
}

/* APM vol. 2, 14.1.3: the state after RESET. */
static void svm_vcpu_reset(struct vcpu *v)
{
    struct vmcb *b = vmcb_of(v);

    memset(b, 0, sizeof(*b));
    svm_control_init(v, b);
    b->cs = svm_real_seg(0xf000, 0xffff0000, 0x09b);
    b->ds = b->es = b->ss = b->fs = b->gs = svm_real_seg(0, 0, 0x093);
    b->ldtr = svm_real_seg(0, 0, 0x082);
    b->tr = svm_real_seg(0, 0, 0x08b);
    b->gdtr.limit = b->idtr.limit = 0xffff;
    b->cr0 = CR0_ET | CR0_CD | CR0_NW;
    b->efer = EFER_SVME;
    svm_of(v)->flush = true;
    svm_of(v)->iret_wait = false;
}

/* ------------------------------------------------------------- running */

static void svm_load(struct vcpu *v)
{
}

static void svm_put(struct vcpu *v)
{
}

static void svm_exit_io(struct vcpu *v, u64 info)
{
    v->exit.io.port = (u16)(info >> 16);
    v->exit.io.in = info & 1;
    v->exit.io.string = info & 4;
    v->exit.io.rep = info & 8;
    v->exit.io.size = (u8)(info >> 4 & 7);
}

static enum hv_exit svm_exit_fault(struct vcpu *v, const struct vmcb *b)
{
    v->exit.gpa = b->exit_info2;
    v->exit.access = b->exit_info1 & PF_WRITE   ? FAULT_WRITE
                     : b->exit_info1 & PF_FETCH ? FAULT_EXEC
                                                : FAULT_READ;
    return HV_EXIT_PAGE_FAULT;
}

/* Machine checks are the host's: delivered here, before anything else can happen. Of a #DB the
 * bits are in DR6 already. */
static enum hv_exit svm_exit_exception(struct vcpu *v, const struct vmcb *b)
{
    v->exit.vector = (u8)(b->exit_code - SVM_EXCEPTION);
    v->exit.error = (u32)b->exit_info1;
    v->exit.debug = 0;
    if (v->exit.vector != VEC_MC)
        return HV_EXIT_EXCEPTION;
    __asm__ volatile("int $18" ::: "memory");
    return HV_EXIT_INTERRUPT;
}

static enum hv_exit svm_exit_reason(struct vcpu *v, struct vmcb *b)
{
    u64 code = b->exit_code;

    if (code == SVM_NPF)
        return svm_exit_fault(v, b);
    if (code < SVM_EXCEPTION)
        return HV_EXIT_CR;
    if (code < SVM_INTR)
        return svm_exit_exception(v, b);
    switch (code) {
    case SVM_INTR:
    case SVM_NMI:
    case SVM_SMI:
    case SVM_INIT:
        return HV_EXIT_INTERRUPT;
    case SVM_VINTR:
        return HV_EXIT_IRQ_WINDOW;
    case SVM_IRET:
        svm_of(v)->iret_wait = false;
        b->intercept3 &= ~I3_IRET;
        return HV_EXIT_NMI_WINDOW;
    case SVM_CPUID:
        v->exit.insn_len = 2;
        return HV_EXIT_CPUID;
    case SVM_HLT:
        v->exit.insn_len = 1;
        return HV_EXIT_HLT;
    case SVM_IOIO:
        svm_exit_io(v, b->exit_info1);
        v->exit.insn_len = (u8)(b->exit_info2 - b->rip);
        return HV_EXIT_IO;
    case SVM_MSR:
        v->exit.insn_len = 2;
        return b->exit_info1 & 1 ? HV_EXIT_MSR_WRITE : HV_EXIT_MSR_READ;
    case SVM_SHUTDOWN:
        return HV_EXIT_SHUTDOWN;
    case SVM_VMMCALL:
        v->exit.insn_len = 3;
        return HV_EXIT_HYPERCALL;
    case SVM_XSETBV:
        v->exit.insn_len = 3;
        return HV_EXIT_XSETBV;
    case SVM_WBINVD:
    case SVM_INVD:
        v->exit.insn_len = 2;
        return HV_EXIT_WBINVD;
    case SVM_PAUSE:
        return HV_EXIT_PAUSE;
    case SVM_RDPMC:
    case SVM_INVLPGA:
    case SVM_VMRUN:
    case SVM_VMLOAD:
    case SVM_VMSAVE:
    case SVM_STGI:
    case SVM_CLGI:
    case SVM_SKINIT:
    case SVM_MONITOR:
    case SVM_MWAIT:
        return HV_EXIT_UD;
    default:
        return HV_EXIT_UNKNOWN;
    }
}

static enum hv_exit svm_run(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    b->rax = v->gpr[EMUL_RAX];
    b->rsp = v->gpr[EMUL_RSP];
    b->rip = v->rip;
    b->rflags = v->rflags;
    b->dr6 = v->dr6;
    b->dr7 = v->dr7;
    b->tlb_control = s->flush ? TLB_FLUSH_ALL : 0;
    s->flush = false;
    s->injected = b->event_inj;
    svm_enter(v, s->vmcb_pa, this_cpu_read(svm_host_vmcb_pa));
    v->gpr[EMUL_RAX] = b->rax;
    v->gpr[EMUL_RSP] = b->rsp;
    v->rip = b->rip;
    v->rflags = b->rflags;
    v->dr6 = b->dr6;
    v->dr7 = b->dr7;
    v->efer = b->efer & ~EFER_SVME; /* LMA follows the guest's CR0.PG */
    b->event_inj = 0;
    v->exit.insn_len = 0;
    v->exit.reason = b->exit_code;
    if (b->exit_code == SVM_INVALID) {
        v->exit.reason = SVM_INVALID;
        return HV_EXIT_FAIL;
    }
    return svm_exit_reason(v, b);
}

/* What was being delivered when the exit came is delivered again; software interrupts and INT3 are
 * instructions, which simply run again. */
static void svm_requeue(struct vcpu *v)
{
    struct vmcb *b = vmcb_of(v);
    u64 info = b->exit_int_info;

    if (!(info & EVENT_VALID) || EVENT_TYPE_OF(info) == EVENT_SOFT)
        return;
    if (EVENT_TYPE_OF(info) == EVENT_EXCEPTION &&
        ((info & 0xff) == VEC_BP || (info & 0xff) == VEC_OF))
        return;
    b->event_inj = info;
    b->exit_int_info = 0;
}

/* ------------------------------------------------------------- events */

static void svm_inject_irq(struct vcpu *v, u8 vector)
{
    vmcb_of(v)->event_inj = EVENT_VALID | EVENT_TYPE(EVENT_INTR) | vector;
}

static void svm_inject_nmi(struct vcpu *v)
{
    struct vmcb *b = vmcb_of(v);

    b->event_inj = EVENT_VALID | EVENT_TYPE(EVENT_NMI) | VEC_NMI;
    b->intercept3 |= I3_IRET; /* its end unmasks the next */
    svm_of(v)->iret_wait = true;
}

static void svm_inject_exception(struct vcpu *v, u8 vector, bool has_error, u32 error)
{
    vmcb_of(v)->event_inj = EVENT_VALID | EVENT_TYPE(EVENT_EXCEPTION) | vector |
                            (has_error ? EVENT_ERROR | (u64)error << 32 : 0);
}

static bool svm_injection_pending(struct vcpu *v)
{
    return vmcb_of(v)->event_inj & EVENT_VALID;
}

static bool svm_irq_allowed(struct vcpu *v)
{
    return (v->rflags & RFLAGS_IF) && !(vmcb_of(v)->interrupt_shadow & SHADOW_ON);
}

static bool svm_nmi_allowed(struct vcpu *v)
{
    return !svm_of(v)->iret_wait && !(vmcb_of(v)->interrupt_shadow & SHADOW_ON);
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

static void svm_nmi_window(struct vcpu *v, bool on)
{
    if (on && svm_of(v)->iret_wait)
        vmcb_of(v)->intercept3 |= I3_IRET;
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

    b->interrupt_shadow = (b->interrupt_shadow & ~SHADOW_ON) | (shadow ? SHADOW_ON : 0);
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
    v->tsc_offset = offset;
    vmcb_of(v)->tsc_offset = offset;
}

const struct hv_ops hv_svm_ops = {
    .name = "AMD-V",
    .cpu_pages = 2,
    .probe = svm_probe,
    .enable_cpu = svm_enable_cpu,
    .vm_init = svm_vm_init,
    .vm_destroy = svm_vm_destroy,
    .vcpu_init = svm_vcpu_init,
    .vcpu_destroy = svm_vcpu_destroy,
    .vcpu_reset = svm_vcpu_reset,
    .load = svm_load,
    .put = svm_put,
    .run = svm_run,
    .requeue = svm_requeue,
    .inject_irq = svm_inject_irq,
    .inject_nmi = svm_inject_nmi,
    .inject_exception = svm_inject_exception,
    .injection_pending = svm_injection_pending,
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
    .set_efer = svm_set_efer,
    .get_msr = svm_get_msr,
    .set_msr = svm_set_msr,
    .cpl = svm_cpl,
    .set_tsc_offset = svm_set_tsc_offset,
};
