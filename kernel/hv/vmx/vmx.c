/* SPDX-License-Identifier: MIT
 *
 * VT-x (SDM vol. 3, 23 to 28): enabling it on each CPU, a vCPU's VMCS, and events. Entry and exit
 * are in vmx_run.c, guest state in vmx_state.c.
 *
 * Needs EPT and "unrestricted guest", which every CPU since 2010 has; so real mode needs no
 * emulation.
 *
 * The guest runs with interrupts off in the host: an external interrupt ends the guest and is taken
 * when the caller enables them.
 */
#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/spec.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "hv/vmx/vmx_priv.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"

#define PIN_WANTED (PIN_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI)
#define CPU_WANTED                                                                     \
    (CPU_TSC_OFFSET | CPU_HLT | CPU_MWAIT | CPU_RDPMC | CPU_CR8_LOAD | CPU_CR8_STORE | \
     CPU_MOV_DR | CPU_IO | CPU_MSR_BITMAP | CPU_MONITOR | CPU_SECONDARY)
#define CPU2_WANTED (CPU2_EPT | CPU2_UNRESTRICTED)
#define CPU2_LIKED (CPU2_RDTSCP | CPU2_VPID | CPU2_WBINVD | CPU2_INVPCID)
#define EXIT_WANTED (EXIT_HOST_64 | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_LOAD_EFER)
#define ENTRY_WANTED (ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER)
#define EPT_WANTED \
    (EPT_CAP_WALK4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE)
#define VPID_COUNT 0x10000
#define VPID_WANTED (VPID_CAP_INVVPID | VPID_CAP_ALL)
/* A guest that has interrupts off must still be ended by the host's. Bochs only does that once the
 * guest has touched its flag; so no stay in the guest is longer than this. */
#define STAY_PER_SECOND 100

DEFINE_PER_CPU(struct vmx_cpu, vmx_cpus);

bool vmx_has_vpid;
static u32 vmx_pin, vmx_cpu_ctl, vmx_cpu_ctl2, vmx_exit_ctl, vmx_entry_ctl, vmx_revision;
static u8 *vmx_msr_bitmap; /* all intercepted, but for what the VMCS or the exchange holds */
static u8 *vmx_msr_all;    /* and without them */

/* MSRs that the guest reads and writes by itself. */
static const u32 vmx_direct[] = {
    MSR_FS_BASE,          MSR_GS_BASE,           MSR_KERNEL_GS_BASE,
    MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/* ------------------------------------------------------------- the machine */

/* The low word of a capability MSR says what must be 1, the high word what may be. */
static bool vmx_controls(u32 msr, u32 wanted, u32 liked, u32 *out)
{
    u64 cap;

    if (msr != MSR_VMX_CPU2 && (rdmsr(MSR_VMX_BASIC) & VMX_BASIC_TRUE))
        msr += VMX_TRUE_OFFSET;
    cap = rdmsr(msr);
    *out = (u32)cap | wanted | (liked & (u32)(cap >> 32));
    return (wanted & (u32)(cap >> 32)) == wanted;
}

static const char *vmx_probe_controls(void)
{
    if (!vmx_controls(MSR_VMX_PIN, PIN_WANTED, PIN_PREEMPTION_TIMER, &vmx_pin) ||
        !vmx_controls(MSR_VMX_CPU, CPU_WANTED, 0, &vmx_cpu_ctl) ||
        !vmx_controls(MSR_VMX_EXIT, EXIT_WANTED, 0, &vmx_exit_ctl) ||
        !vmx_controls(MSR_VMX_ENTRY, ENTRY_WANTED, 0, &vmx_entry_ctl))
        return "this CPU's VT-x is too old";
    if (!vmx_controls(MSR_VMX_CPU2, CPU2_WANTED, CPU2_LIKED, &vmx_cpu_ctl2) ||
        (rdmsr(MSR_VMX_EPT_VPID) & EPT_WANTED) != EPT_WANTED)
        return "this CPU's VT-x has no EPT or no unrestricted guest";
    if ((rdmsr(MSR_VMX_EPT_VPID) & VPID_WANTED) != VPID_WANTED)
        vmx_cpu_ctl2 &= ~CPU2_VPID;
    vmx_has_vpid = vmx_cpu_ctl2 & CPU2_VPID;
    return NULL;
}

/* Reads in the lower, writes in the upper two KiB; in each first the low MSRs, then those from
 * 0xc0000000. */
static void vmx_bitmap_allow(u32 msr)
{
    u32 at = (msr >= 0xc0000000 ? 0x400 : 0) + (msr & 0x1fff) / 8;

    vmx_msr_bitmap[at] &= (u8) ~(1U << msr % 8);
    vmx_msr_bitmap[at + 0x800] &= (u8) ~(1U << msr % 8);
}

static const char *vmx_probe(void)
{
    const char *why;
    u64 feature;

    if (!cpu_has(X86_VMX))
        return "the CPU has no VT-x";
    feature = rdmsr(MSR_IA32_FEATURE_CONTROL);
    if ((feature & FEATURE_CONTROL_LOCK) && !(feature & FEATURE_CONTROL_VMX))
        return "VT-x is disabled by the firmware";
    why = vmx_probe_controls();
    if (why)
        return why;
    vmx_revision = (u32)rdmsr(MSR_VMX_BASIC) & 0x7fffffff;
    hv_small_code = spec_plan.acts & SPEC_SMALL_CODE;
    vmx_msr_bitmap = page_alloc_virt(0, 0);
    vmx_msr_all = page_alloc_virt(0, 0);
    if (!vmx_msr_bitmap || !vmx_msr_all)
        return "no memory for VT-x's MSR bitmap";
    memset(vmx_msr_bitmap, 0xff, PAGE_SIZE);
    memset(vmx_msr_all, 0xff, PAGE_SIZE);
    for (unsigned i = 0; i < ARRAY_SIZE(vmx_direct); i++)
        vmx_bitmap_allow(vmx_direct[i]);
    return NULL;
}

static bool vmx_on(u64 pa)
{
    bool fail;

    __asm__ volatile("vmxon %1" : "=@ccbe"(fail) : "m"(pa) : "memory");
    return !fail;
}

/* The register is each CPU's own: firmware may have locked VMXON out on this one alone, where it
 * would be #GP (SDM vol. 3, 23.7). */
static const char *vmx_enable_cpu(void)
{
    u64 feature = rdmsr(MSR_IA32_FEATURE_CONTROL);
    struct vmx_cpu *c = this_cpu_ptr(vmx_cpus);
    u32 *region = hv_cpu_area[cpu_id()];

    if ((feature & FEATURE_CONTROL_LOCK) && !(feature & FEATURE_CONTROL_VMX))
        return "the firmware has disabled VT-x on it";
    if (!(feature & FEATURE_CONTROL_LOCK))
        wrmsr(MSR_IA32_FEATURE_CONTROL, feature | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
    write_cr0(read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0));
    write_cr4(read_cr4() | rdmsr(MSR_VMX_CR4_FIXED0) | CR4_VMXE);
    *region = vmx_revision;
    if (!vmx_on(virt_hpa(region).v))
        return "VMXON fails";
    for (unsigned i = 0; i < VMX_SYSCALL_MSRS; i++)
        c->syscall[i] = rdmsr(MSR_STAR + i);
    __asm__ volatile("sgdt %0; sidt %1" : "=m"(c->gdt), "=m"(c->idt));
    tlb_tags_init(&c->vpids, VPID_COUNT);
    return NULL;
}

/* ------------------------------------------------------------- holding a VMCS */

static void vmx_vmclear(struct vmx_vcpu *x)
{
    __asm__ volatile("vmclear %0" ::"m"(x->vmcs_pa) : "cc", "memory");
}

static void vmx_vmptrld(struct vmx_vcpu *x)
{
    bool fail;

    __asm__ volatile("vmptrld %1" : "=@ccbe"(fail) : "m"(x->vmcs_pa) : "memory");
    ASSERT(!fail);
}

u64 vmx_begin(struct vcpu *v)
{
    u64 flags = irq_save();

    if (!vmx_of(v)->current_here)
        vmx_vmptrld(vmx_of(v));
    return flags;
}

void vmx_end(struct vcpu *v, u64 flags)
{
    if (!vmx_of(v)->current_here)
        vmx_vmclear(vmx_of(v));
    irq_restore(flags);
}

static enum hv_exit vmx_run_loaded(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);
    enum hv_exit exit;

    vmx_vmptrld(x);
    x->current_here = true;
    exit = vmx_run(v);
    x->current_here = false;
    vmx_vmclear(x);
    return exit;
}

/* ------------------------------------------------------------- life */

static int vmx_vm_init(struct vm *vm)
{
    return 0;
}

static void vmx_vm_destroy(struct vm *vm)
{
}

static int vmx_vcpu_init(struct vcpu *v)
{
    struct vmx_vcpu *x = kzalloc(sizeof(*x));

    if (!x)
        return -ENOMEM;
    x->vmcs = page_alloc_virt(0, PA_ZERO | PA_CHARGE);
    if (!x->vmcs) {
        kfree(x);
        return -ENOMEM;
    }
    *(u32 *)x->vmcs = vmx_revision;
    x->vmcs_pa = virt_hpa(x->vmcs).v;
    vmx_vmclear(x);
    v->arch = x;
    return 0;
}

static void vmx_vcpu_destroy(struct vcpu *v)
{
    page_put(virt_page(vmx_of(v)->vmcs));
    kfree(v->arch);
}

static void vmx_init_controls(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);

    vmcs_write(VMCS_PIN_CONTROLS, vmx_pin);
    vmcs_write(VMCS_CPU_CONTROLS, vmx_cpu_ctl);
    vmcs_write(VMCS_CPU_CONTROLS2, vmx_cpu_ctl2);
    vmcs_write(VMCS_EXIT_CONTROLS, vmx_exit_ctl);
    vmcs_write(VMCS_ENTRY_CONTROLS, vmx_entry_ctl);
    x->cpu_controls = x->cpu_written = vmx_cpu_ctl;
    x->entry_controls = vmx_entry_ctl;
    if (vmx_pin & PIN_PREEMPTION_TIMER)
        vmcs_write(VMCS_PREEMPTION_TIMER, tsc_hz / STAY_PER_SECOND >> (rdmsr(MSR_VMX_MISC) & 31));
    vmcs_write(VMCS_EXCEPTION_BITMAP, vcpu_exceptions(v));
    vmcs_write(VMCS_PF_MASK, 0);
    vmcs_write(VMCS_PF_MATCH, 0);
    vmcs_write(VMCS_CR3_TARGETS, 0);
    vmcs_write(VMCS_EXIT_MSR_STORES, 0);
    vmcs_write(VMCS_EXIT_MSR_LOADS, 0);
    vmcs_write(VMCS_ENTRY_MSR_LOADS, 0);
    vmcs_write(VMCS_MSR_BITMAP, virt_hpa(v->vm->filter ? vmx_msr_all : vmx_msr_bitmap).v);
    vmcs_write(VMCS_EPT_POINTER, v->vm->npt.root.v | EPTP_WB_WALK4);
    vmcs_write(VMCS_TSC_OFFSET, v->tsc_offset);
    vmcs_write(VMCS_LINK_POINTER, U64_MAX);
    vmcs_write(VMCS_CR0_MASK, U64_MAX); /* every change exits */
    vmcs_write(VMCS_CR4_MASK, U64_MAX);
    x->vpid = (struct tlb_tag){0};
    x->host_cpu = ~0U;
}

static void vmx_init_host(void)
{
    vmcs_write(VMCS_HOST_CS_SEL, KERNEL_CS);
    vmcs_write(VMCS_HOST_SS_SEL, KERNEL_DS);
    vmcs_write(VMCS_HOST_DS_SEL, 0);
    vmcs_write(VMCS_HOST_ES_SEL, 0);
    vmcs_write(VMCS_HOST_FS_SEL, 0);
    vmcs_write(VMCS_HOST_GS_SEL, 0);
    vmcs_write(VMCS_HOST_TR_SEL, TSS_SEL);
}

static struct kvm_segment vmx_real_seg(u16 selector, u64 base, u8 type)
{
    return (struct kvm_segment){
        .selector = selector, .base = base, .limit = 0xffff, .type = type, .s = 1, .present = 1};
}

/* SDM vol. 3, table 9-1. */
static void vmx_vcpu_reset(struct vcpu *v)
{
    struct kvm_segment data = vmx_real_seg(0, 0, 3), cs = vmx_real_seg(0xf000, 0xffff0000, 11);
    struct kvm_segment tr = {.limit = 0xffff, .type = 11, .present = 1};
    struct kvm_segment ldt = {.limit = 0xffff, .type = 2, .present = 1};
    struct kvm_dtable table = {.limit = 0xffff};
    struct vmx_vcpu *x = vmx_of(v);
    u64 flags = vmx_begin(v);

    ASSERT_HELD(&v->lock);
    vmx_init_controls(v);
    vmx_init_host();
    vmcs_write(VMCS_GUEST_DEBUGCTL, 0);
    vmcs_write(VMCS_GUEST_PAT, v->pat ? v->pat : 0x0007040600070406UL);
    vmcs_write(VMCS_GUEST_ACTIVITY, 0);
    vmcs_write(VMCS_GUEST_PENDING_DB, 0);
    vmcs_write(VMCS_GUEST_SYSENTER_CS, 0);
    vmcs_write(VMCS_GUEST_SYSENTER_ESP, 0);
    vmcs_write(VMCS_GUEST_SYSENTER_EIP, 0);
    vmx_end(v, flags);
    x->shadow = x->event = x->idt_event = 0;
    v->shadowed = false;
    x->kernel_gs = x->cr2 = 0;
    memset(x->syscall, 0, sizeof(x->syscall));
    for (unsigned i = 0; i < EMUL_SEGS; i++)
        vmx_set_segment(v, i, i == EMUL_CS ? &cs : &data);
    vmx_set_segment(v, HV_SEG_TR, &tr);
    vmx_set_segment(v, HV_SEG_LDT, &ldt);
    vmx_set_table(v, false, &table);
    vmx_set_table(v, true, &table);
    vmx_set_efer(v, 0);
    vmx_set_cr(v, 4, 0);
    vmx_set_cr(v, 3, 0);
    vmx_set_cr(v, 0, CR0_ET | CR0_CD | CR0_NW);
}

/* ------------------------------------------------------------- events */

static void vmx_inject_irq(struct vcpu *v, u8 vector)
{
    vmx_of(v)->event = EVENT_VALID | EVENT_TYPE(VMX_EVENT_INTR) | vector;
}

static void vmx_inject_nmi(struct vcpu *v)
{
    vmx_of(v)->event = EVENT_VALID | EVENT_TYPE(VMX_EVENT_NMI) | VEC_NMI;
    vmx_of(v)->shadow &= ~SHADOW_NMI; /* with virtual NMIs the entry sets it (26.3.1.5, 26.7.1) */
}

/* Real mode has no error codes (26.2.1.3). #BP and #OF are those of INT3 and INTO, and push the
 * address of the next instruction. */
static void vmx_inject_exception(struct vcpu *v, u8 vector, bool has_error, u32 error)
{
    struct vmx_vcpu *x = vmx_of(v);

    x->event = EVENT_VALID | EVENT_TYPE(VMX_EVENT_EXCEPTION) | vector;
    if (has_error && (x->cr0 & CR0_PE))
        x->event |= EVENT_HAS_ERROR;
    x->event_error = error;
    if (vector == VEC_BP || vector == VEC_OF)
        x->event = EVENT_VALID | EVENT_TYPE(VMX_EVENT_SOFT_EXCEPTION) | vector;
}

static void vmx_inject_none(struct vcpu *v)
{
    vmx_of(v)->event = 0;
}

static bool vmx_irq_allowed(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    return (v->rflags & RFLAGS_IF) && !(vmx_of(v)->shadow & (SHADOW_STI | SHADOW_MOV_SS));
}

static bool vmx_nmi_allowed(struct vcpu *v)
{
    return !(vmx_of(v)->shadow & (SHADOW_STI | SHADOW_MOV_SS | SHADOW_NMI));
}

static bool vmx_nmi_masked(struct vcpu *v)
{
    return vmx_of(v)->shadow & SHADOW_NMI;
}

static void vmx_set_nmi_masked(struct vcpu *v, bool on)
{
    struct vmx_vcpu *x = vmx_of(v);

    x->shadow = on ? x->shadow | SHADOW_NMI : x->shadow & ~SHADOW_NMI;
}

static void vmx_window(struct vcpu *v, u32 bit, bool on)
{
    struct vmx_vcpu *x = vmx_of(v);

    x->cpu_controls = on ? x->cpu_controls | bit : x->cpu_controls & ~bit;
}

static void vmx_irq_window(struct vcpu *v, bool on)
{
    vmx_window(v, CPU_IRQ_WINDOW, on);
}

static void vmx_nmi_window(struct vcpu *v, bool on)
{
    vmx_window(v, CPU_NMI_WINDOW, on);
}

static u8 vmx_get_shadow(struct vcpu *v)
{
    u32 s = vmx_of(v)->shadow;

    return (u8)((s & SHADOW_STI ? KVM_X86_SHADOW_INT_STI : 0) |
                (s & SHADOW_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0));
}

static void vmx_set_shadow(struct vcpu *v, u8 shadow)
{
    struct vmx_vcpu *x = vmx_of(v);

    ASSERT_HELD(&v->lock);
    x->shadow &= ~(SHADOW_STI | SHADOW_MOV_SS);
    if (shadow & KVM_X86_SHADOW_INT_MOV_SS)
        x->shadow |= SHADOW_MOV_SS;
    else if ((shadow & KVM_X86_SHADOW_INT_STI) && (v->rflags & RFLAGS_IF))
        x->shadow |= SHADOW_STI;
    v->shadowed = x->shadow & (SHADOW_STI | SHADOW_MOV_SS);
}

static void vmx_tlb_flush(struct vcpu *v)
{
    vmx_of(v)->flush = true;
}

static u8 vmx_cpl(struct vcpu *v)
{
    return vmx_of(v)->cpl;
}

static void vmx_set_tsc_offset(struct vcpu *v, u64 offset)
{
    u64 flags = vmx_begin(v);

    vmcs_write(VMCS_TSC_OFFSET, offset);
    vmx_end(v, flags);
}

static void vmx_intercept_msrs(struct vcpu *v, bool all)
{
    u64 flags = vmx_begin(v);

    vmcs_write(VMCS_MSR_BITMAP, virt_hpa(all ? vmx_msr_all : vmx_msr_bitmap).v);
    vmx_end(v, flags);
}

static void vmx_intercept_exceptions(struct vcpu *v)
{
    u64 flags = vmx_begin(v);

    vmcs_write(VMCS_EXCEPTION_BITMAP, vcpu_exceptions(v));
    vmx_end(v, flags);
}

HV_BACKEND("vmx") = {
    .name = "VT-x",
    .feature = X86_VMX,
    .tables = &pt_ept,
    .hypercall = {0x0f, 0x01, 0xc1}, /* VMCALL */
    .cpu_pages = 1,
    .all_cpus = true, /* VMREAD and the like */
    .probe = vmx_probe,
    .enable_cpu = vmx_enable_cpu,
    .vm_init = vmx_vm_init,
    .vm_destroy = vmx_vm_destroy,
    .vcpu_init = vmx_vcpu_init,
    .vcpu_destroy = vmx_vcpu_destroy,
    .vcpu_reset = vmx_vcpu_reset,
    .run = vmx_run_loaded,
    .requeue = vmx_requeue,
    .inject_irq = vmx_inject_irq,
    .inject_nmi = vmx_inject_nmi,
    .inject_exception = vmx_inject_exception,
    .inject_none = vmx_inject_none,
    .nmi_masked = vmx_nmi_masked,
    .set_nmi_masked = vmx_set_nmi_masked,
    .irq_allowed = vmx_irq_allowed,
    .nmi_allowed = vmx_nmi_allowed,
    .irq_window = vmx_irq_window,
    .nmi_window = vmx_nmi_window,
    .get_shadow = vmx_get_shadow,
    .set_shadow = vmx_set_shadow,
    .tlb_flush = vmx_tlb_flush,
    .get_segment = vmx_get_segment,
    .set_segment = vmx_set_segment,
    .get_table = vmx_get_table,
    .set_table = vmx_set_table,
    .get_cr = vmx_get_cr,
    .set_cr = vmx_set_cr,
    .get_pdptes = vmx_get_pdptes,
    .set_pdptes = vmx_set_pdptes,
    .set_efer = vmx_set_efer,
    .get_msr = vmx_get_msr,
    .set_msr = vmx_set_msr,
    .intercept_msrs = vmx_intercept_msrs,
    .intercept_exceptions = vmx_intercept_exceptions,
    .cpl = vmx_cpl,
    .get_mode = vmx_get_mode,
    .set_tsc_offset = vmx_set_tsc_offset,
};
