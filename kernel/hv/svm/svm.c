/* SPDX-License-Identifier: MIT
 *
 * AMD-V with nested paging (APM vol. 2, chapter 15): struct hv_ops over a VMCB per vCPU.
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
 *
 * NMIs: the CPU does not tell when the IRET of one has been executed, only when it is about to be.
 * Where the next NMI waits for that, the IRET is stepped over with the trap flag, whose #DB is
 * ours. An entry that delivers an event does not step: it would push the flag.
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
#include "hv/up.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

#define IOPM_ORDER 2 /* 12 KiB and a bit: 4 pages */
#define MSRPM_ORDER 1
#define CPUID_NRIP 8U /* 8000000A edx */

static DEFINE_PER_CPU(u64, svm_host_vmcb_pa);
static u8 *svm_iopm, *svm_msrpm; /* all of both intercepted, but for the MSRs in svm_direct */
static u8 *svm_msrpm_all;        /* and without them */
static DEFINE_PER_CPU(struct tlb_tags, svm_asids);
static u32 svm_asid_count;
bool svm_is_tcg;
static bool svm_nrip;

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

/* ------------------------------------------------------------- exits */

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
    v->exit.final = b->exit_info1 & NPF_FINAL;
    v->exit.access = b->exit_info1 & PF_WRITE   ? FAULT_WRITE
                     : b->exit_info1 & PF_FETCH ? FAULT_EXEC
                                                : FAULT_READ;
    return HV_EXIT_PAGE_FAULT;
}

/* Machine checks are the host's: delivered here, before anything else can happen. */
static enum hv_exit svm_exit_exception(struct vcpu *v, const struct vmcb *b)
{
    v->exit.vector = (u8)(b->exit_code - SVM_EXCEPTION);
    v->exit.error = (u32)b->exit_info1;
    v->exit.debug = b->dr6 & ~DR6_FIXED; /* of a #DB */
    if (v->exit.vector != VEC_MC)
        return HV_EXIT_EXCEPTION;
    __asm__ volatile("int $18" ::: "memory");
    return HV_EXIT_INTERRUPT;
}

/* bare: without prefixes. */
static u8 svm_insn_len(struct vcpu *v, const struct vmcb *b, u8 bare)
{
    v->exit.space = b->cr3;
    v->exit.code = b->cs.base << 16 | b->cs.attrib;
    v->exit.guessed = !svm_nrip;
    return svm_nrip ? (u8)(b->next_rip - b->rip) : bare;
}

static enum hv_exit svm_exit_reason(struct vcpu *v, struct vmcb *b)
{
    u64 code = b->exit_code;

    if (code == SVM_NPF)
        return svm_exit_fault(v, b);
    if (code < SVM_EXCEPTION || code == SVM_CR0_SEL)
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
        svm_of(v)->iret_seen = true;
        svm_of(v)->iret_rip = v->rip;
        b->intercept3 &= ~I3_IRET;
        return HV_EXIT_INTERRUPT;
    case SVM_SOFT_INT:
        return HV_EXIT_SOFT;
    case SVM_CPUID:
        v->exit.insn_len = svm_insn_len(v, b, 2);
        return HV_EXIT_CPUID;
    case SVM_HLT:
        v->exit.insn_len = svm_insn_len(v, b, 1);
        return HV_EXIT_HLT;
    case SVM_IOIO:
        svm_exit_io(v, b->exit_info1);
        v->exit.guessed = false;
        v->exit.insn_len = (u8)(b->exit_info2 - b->rip);
        return HV_EXIT_IO;
    case SVM_MSR:
        v->exit.insn_len = svm_insn_len(v, b, 2);
        return b->exit_info1 & 1 ? HV_EXIT_MSR_WRITE : HV_EXIT_MSR_READ;
    case SVM_SHUTDOWN:
        return HV_EXIT_SHUTDOWN;
    case SVM_VMMCALL:
        v->exit.insn_len = svm_insn_len(v, b, 3);
        return HV_EXIT_HYPERCALL;
    case SVM_XSETBV:
        v->exit.insn_len = svm_insn_len(v, b, 3);
        return HV_EXIT_XSETBV;
    case SVM_WBINVD:
    case SVM_INVD:
        v->exit.insn_len = svm_insn_len(v, b, 2);
        return HV_EXIT_WBINVD;
    case SVM_PAUSE:
        return HV_EXIT_PAUSE;
    case SVM_TASK_SWITCH:
        return HV_EXIT_TASK;
    case SVM_TR_WRITE:
        return HV_EXIT_EMULATE;
    case SVM_RDPMC:
    case SVM_INVLPGA:
    case SVM_VMRUN:
    case SVM_VMLOAD:
    case SVM_VMSAVE:
    case SVM_STGI:
    case SVM_CLGI:
    case SVM_SKINIT:
    case SVM_RDPRU:
    case SVM_MONITOR:
    case SVM_MWAIT:
        return HV_EXIT_UD;
    default:
        return HV_EXIT_UNKNOWN;
    }
}

/* ------------------------------------------------------------- running */

/* Our trap flag; and what a software interrupt or exception pushes, which is the address of the
 * next instruction. */
static __noinline void svm_write_guest_rare(struct vcpu *v, struct vmcb *b)
{
    struct svm_vcpu *s = svm_of(v);

    if (s->step) {
        s->step_tf = v->rflags & RFLAGS_TF;
        b->rflags |= RFLAGS_TF;
    }
    if (s->soft_len && svm_nrip)
        b->next_rip = v->rip + s->soft_len;
    else if (s->soft_len)
        b->rip = v->rip + s->soft_len;
}

static void svm_write_guest(struct vcpu *v, struct vmcb *b)
{
    struct svm_vcpu *s = svm_of(v);
    struct tlb_tags *pool = this_cpu_ptr(svm_asids);

    b->rax = v->gpr[EMUL_RAX];
    b->rsp = v->gpr[EMUL_RSP];
    b->rip = v->rip;
    b->rflags = v->rflags;
    if (unlikely(s->step | s->soft_len))
        svm_write_guest_rare(v, b);
    b->dr6 = DR6_FIXED;
    b->dr7 = v->cpu_dr7;
    b->tlb_control = 0;
    if (s->flush || !tlb_tag_valid(pool, cpu_id(), &s->asid)) {
        b->tlb_control = tlb_tag_take(pool, cpu_id(), &s->asid, s->flush) ? TLB_FLUSH_ALL : 0;
        b->asid = s->asid.tag;
        s->flush = false;
    }
}

static void svm_read_guest(struct vcpu *v, const struct vmcb *b)
{
    v->gpr[EMUL_RAX] = b->rax;
    v->gpr[EMUL_RSP] = b->rsp;
    v->rip = b->rip;
    v->rflags = b->rflags;
    v->efer = (b->efer & ~EFER_SVME) | svm_of(v)->efer_hidden; /* LMA follows the guest's CR0.PG */
    v->exit.insn_len = 0;
    v->exit.reason = b->exit_code;
    v->exit.delivering = b->exit_int_info & EVENT_VALID;
    v->shadowed = b->interrupt_shadow & SHADOW_ON;
}

/* Takes our trap flag back. True: the exit was its #DB. */
static bool svm_stepped(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);
    bool iret = s->iret_seen && v->rip != s->iret_rip;

    if (iret)
        s->nmi_masked = s->iret_seen = false;
    if (!s->step)
        return false;
    s->step = false;
    if (s->step_tf)
        return false; /* the guest steps too, and the exception is its own */
    if (!iret)        /* which has loaded its own */
        v->rflags &= ~(u64)RFLAGS_TF;
    return v->exit.reason == SVM_EXCEPTION + VEC_DB && (s->vmcb->dr6 & DR6_BS);
}

/* A software interrupt has not got through: its instruction is executed again. */
static void svm_soft_done(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);

    if (v->exit.delivering && !svm_nrip)
        v->rip -= s->soft_len;
    s->soft_len = 0;
}

static enum hv_exit svm_run(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    svm_write_guest(v, b);
    b->vintr |= VINTR_MASKING;
    svm_enter(v, s->vmcb_pa, this_cpu_read(svm_host_vmcb_pa));
    if ((u32)b->exit_code == SVM_INVALID) { /* nothing has happened, no flush either */
        /* But TCG may have written the interrupt control of this CPU's last entry back, or 0: one
         * was seen in 7.2, and a guest that kept its CPU, since without masking its IF is the
         * host's too. A window is asked for again. */
        b->vintr = VINTR_MASKING;
        b->intercept3 &= ~I3_VINTR;
        tlb_tags_restart(this_cpu_ptr(svm_asids));
        s->flush = true;
        s->soft_len = 0;
        v->exit.delivering = false;
        v->exit.reason = SVM_INVALID;
        return HV_EXIT_FAIL;
    }
    b->event_inj = 0;
    svm_read_guest(v, b);
    if (unlikely(s->soft_len))
        svm_soft_done(v);
    if (unlikely(s->step || s->iret_seen) && svm_stepped(v))
        return HV_EXIT_INTERRUPT;
    return svm_exit_reason(v, b);
}

/* What was being delivered when the exit came is delivered again; the guest's software interrupts
 * and INT3 are instructions, which simply run again. */
static void svm_requeue(struct vcpu *v, int ours)
{
    u64 info = vmcb_of(v)->exit_int_info;
    u8 vector = (u8)info;

    if (EVENT_TYPE_OF(info) == EVENT_INTR)
        v->irq_injected = vector;
    else if (EVENT_TYPE_OF(info) == EVENT_NMI)
        v->nmi_injected = true;
    else if (EVENT_TYPE_OF(info) == EVENT_EXCEPTION &&
             (vector == ours || (vector != VEC_BP && vector != VEC_OF)))
        vcpu_queue_exception(v, vector, info & EVENT_ERROR, (u32)(info >> 32));
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

const struct hv_ops hv_svm_ops = {
    .name = "AMD-V",
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
