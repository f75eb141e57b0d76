/* SPDX-License-Identifier: MIT
 *
 * Entry to the guest and what an exit means (SDM vol. 3, 26 and 27).
 *
 * What an exit does not restore is put right here (SDM vol. 3, 27.5). SYSCALL's registers and
 * KERNEL_GS_BASE are not in the VMCS: they are exchanged around each entry, where they differ. The
 * limits of GDTR and IDTR become 0xffff at each exit: with them user mode would find descriptors in
 * the kernel memory behind the GDT, so both tables are loaded again. LDTR is left unusable, TR with
 * a limit of 0x67, DR7 and DEBUGCTL with their initial values: the host's are the same.
 *
 * NMIs and machine checks that end the guest are delivered from here.
 */
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/spec.h"
#include "arch/x86/trap.h"
#include "hv/vmx/vmx_priv.h"

/* vmx/enter.S */
int vmx_enter(struct vcpu *vcpu);

/* ------------------------------------------------------------- exits */

/* By an IRET that has unmasked NMIs, and will again: they are still masked (27.2.2, 27.2.3). */
static void vmx_iret_faulted(struct vcpu *v)
{
    if (!v->exit.delivering)
        vmx_of(v)->shadow |= SHADOW_NMI;
}

static enum hv_exit vmx_exit_fault(struct vcpu *v)
{
    u64 q = vmcs_read(VMCS_EXIT_QUALIFICATION);

    v->exit.gpa = vmcs_read(VMCS_GUEST_PHYSICAL);
    v->exit.final = (q & EPT_LINEAR_VALID) && (q & EPT_LINEAR_FINAL);
    v->exit.access = q & 2 ? FAULT_WRITE : q & 4 ? FAULT_EXEC : FAULT_READ;
    if (q & 1 << 12)
        vmx_iret_faulted(v);
    return HV_EXIT_PAGE_FAULT;
}

static enum hv_exit vmx_exit_io(struct vcpu *v)
{
    u64 q = vmcs_read(VMCS_EXIT_QUALIFICATION);

    v->exit.io.port = (u16)(q >> 16);
    v->exit.io.size = (u8)((q & 7) + 1);
    v->exit.io.in = q & 8;
    v->exit.io.string = q & 16;
    v->exit.io.rep = q & 32;
    return HV_EXIT_IO;
}

/* NMIs and machine checks are the host's: delivered here, before anything else can happen. */
static enum hv_exit vmx_exit_exception(struct vcpu *v)
{
    u32 event = (u32)vmcs_read(VMCS_EXIT_EVENT);

    if (EVENT_TYPE_OF(event) == VMX_EVENT_NMI) {
        __asm__ volatile("int $2" ::: "memory");
        return HV_EXIT_INTERRUPT;
    }
    if ((u8)event == VEC_MC) {
        __asm__ volatile("int $18" ::: "memory");
        return HV_EXIT_INTERRUPT;
    }
    if (event & EVENT_BY_IRET)
        vmx_iret_faulted(v);
    if (EVENT_TYPE_OF(event) == VMX_EVENT_ICEBP)
        v->rip += v->exit.insn_len; /* INT1 is a trap, and the exit comes before it */
    v->exit.vector = (u8)event;
    v->exit.error = (u32)vmcs_read(VMCS_EXIT_ERROR);
    v->exit.debug = vmcs_read(VMCS_EXIT_QUALIFICATION); /* of a #DB: table 27-1, laid out as DR6 */
    return HV_EXIT_EXCEPTION;
}

static const u8 vmx_exits[] = {
    [VMX_INTERRUPT] = HV_EXIT_INTERRUPT,
    [VMX_TRIPLE_FAULT] = HV_EXIT_SHUTDOWN,
    [VMX_IRQ_WINDOW] = HV_EXIT_IRQ_WINDOW,
    [VMX_NMI_WINDOW] = HV_EXIT_NMI_WINDOW,
    [VMX_TASK_SWITCH] = HV_EXIT_TASK,
    [VMX_CPUID] = HV_EXIT_CPUID,
    [VMX_HLT] = HV_EXIT_HLT,
    [VMX_INVD] = HV_EXIT_WBINVD,
    [VMX_RDPMC] = HV_EXIT_UD,
    [VMX_VMCALL] = HV_EXIT_HYPERCALL,
    [VMX_VMCLEAR... VMX_VMXON] = HV_EXIT_UD,
    [VMX_CR] = HV_EXIT_CR,
    [VMX_DR] = HV_EXIT_CR,
    [VMX_RDMSR] = HV_EXIT_MSR_READ,
    [VMX_WRMSR] = HV_EXIT_MSR_WRITE,
    [VMX_MWAIT] = HV_EXIT_UD,
    [VMX_MONITOR] = HV_EXIT_UD,
    [VMX_INVEPT] = HV_EXIT_UD,
    [VMX_INVVPID] = HV_EXIT_UD,
    [VMX_WBINVD] = HV_EXIT_WBINVD,
    [VMX_XSETBV] = HV_EXIT_XSETBV,
    [VMX_SEAMCALL] = HV_EXIT_UD,
    [VMX_TDCALL] = HV_EXIT_UD,
};

static enum hv_exit vmx_exit_reason(struct vcpu *v, u32 reason)
{
    switch (reason) {
    case VMX_EXCEPTION:
        return vmx_exit_exception(v);
    case VMX_IO:
        return vmx_exit_io(v);
    case VMX_EPT_VIOLATION:
        return vmx_exit_fault(v);
    default:
        /* HV_EXIT_INTERRUPT is 0: what the table does not have. */
        if (reason == VMX_INTERRUPT || reason == VMX_PREEMPTION_TIMER)
            return HV_EXIT_INTERRUPT;
        return reason < ARRAY_SIZE(vmx_exits) && vmx_exits[reason] ? vmx_exits[reason]
                                                                   : HV_EXIT_UNKNOWN;
    }
}

/* ------------------------------------------------------------- running */

static u64 vmx_tss_base(u64 gdt)
{
    const u32 *d = (const u32 *)(gdt + TSS_SEL);

    return (u64)d[2] << 32 | (d[1] & 0xff000000) | (d[1] & 0xff) << 16 | d[0] >> 16;
}

/* What is this CPU's own and does not change. */
static void vmx_write_host_cpu(const struct vmx_cpu *c)
{
    vmcs_write(VMCS_HOST_GDTR_BASE, c->gdt.base);
    vmcs_write(VMCS_HOST_IDTR_BASE, c->idt.base);
    vmcs_write(VMCS_HOST_TR_BASE, vmx_tss_base(c->gdt.base));
    vmcs_write(VMCS_HOST_CR0, read_cr0());
    vmcs_write(VMCS_HOST_GS_BASE, rdmsr(MSR_GS_BASE));
    vmcs_write(VMCS_HOST_PAT, rdmsr(MSR_IA32_PAT));
    vmcs_write(VMCS_HOST_EFER, rdmsr(MSR_EFER));
    vmcs_write(VMCS_HOST_SYSENTER_CS, rdmsr(MSR_IA32_SYSENTER_CS));
    vmcs_write(VMCS_HOST_SYSENTER_ESP, rdmsr(MSR_IA32_SYSENTER_ESP));
    vmcs_write(VMCS_HOST_SYSENTER_EIP, rdmsr(MSR_IA32_SYSENTER_EIP));
}

static void vmx_write_host(struct vmx_vcpu *x)
{
    if (x->host_cpu != cpu_id())
        vmx_write_host_cpu(this_cpu_ptr(vmx_cpus));
    x->host_cpu = cpu_id();
    vmcs_write(VMCS_HOST_CR3, read_cr3());
    vmcs_write(VMCS_HOST_CR4, read_cr4()); /* CR4.TSD is the thread's */
    vmcs_write(VMCS_HOST_FS_BASE, rdmsr(MSR_FS_BASE));
}

/* In a shadow a step has to be pending with TF, and none without (26.3.1.5). One that is not, since
 * TF is a debugger's now, or was when the shadow began, ends the shadow instead. */
static void vmx_match_step(struct vcpu *v)
{
    u64 pending = vmcs_read(VMCS_GUEST_PENDING_DB);

    if (v->stepping || ((v->rflags & RFLAGS_TF) && !(pending & DR6_BS)))
        vmx_of(v)->shadow &= ~(SHADOW_STI | SHADOW_MOV_SS);
    else if (!(v->rflags & RFLAGS_TF) && (pending & DR6_BS))
        vmcs_write(VMCS_GUEST_PENDING_DB, pending & ~DR6_BS);
}

static void vmx_write_guest(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);

    if (unlikely(x->shadow & (SHADOW_STI | SHADOW_MOV_SS)))
        vmx_match_step(v);
    vmcs_write(VMCS_GUEST_RIP, v->rip);
    vmcs_write(VMCS_GUEST_RSP, v->gpr[EMUL_RSP]);
    vmcs_write(VMCS_GUEST_RFLAGS, v->rflags);
    vmcs_write(VMCS_GUEST_SHADOW, x->shadow);
    vmcs_write(VMCS_GUEST_DR7, v->cpu_dr7);
    vmcs_write(VMCS_ENTRY_EVENT, x->event);
    vmcs_write(VMCS_ENTRY_ERROR, x->event_error);
    if (unlikely(EVENT_TYPE_OF(x->event) == VMX_EVENT_SOFT_EXCEPTION))
        vmcs_write(VMCS_ENTRY_INSN_LEN, 1);
    if (x->cpu_controls != x->cpu_written)
        vmcs_write(VMCS_CPU_CONTROLS, x->cpu_controls);
    x->cpu_written = x->cpu_controls;
    x->event = 0;
}

/* A step that an exit has interrupted begins again; Bochs would have it done. */
static void vmx_forget_step(void)
{
    vmcs_write(VMCS_GUEST_PENDING_DB, vmcs_read(VMCS_GUEST_PENDING_DB) & ~DR6_BS);
}

static void vmx_read_guest(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);

    v->rip = vmcs_read(VMCS_GUEST_RIP);
    v->gpr[EMUL_RSP] = vmcs_read(VMCS_GUEST_RSP);
    v->rflags = vmcs_read(VMCS_GUEST_RFLAGS);
    x->shadow = (u32)vmcs_read(VMCS_GUEST_SHADOW);
    if (unlikely(v->stepping))
        vmx_forget_step();
    v->shadowed = x->shadow & (SHADOW_STI | SHADOW_MOV_SS);
    x->cpl = vmcs_read(VMCS_GUEST_SS_RIGHTS) >> 5 & 3;
    x->idt_event = (u32)vmcs_read(VMCS_IDT_EVENT);
    v->exit.delivering = x->idt_event & EVENT_VALID;
    x->idt_error = (u32)vmcs_read(VMCS_IDT_ERROR);
    v->exit.insn_len = (u8)vmcs_read(VMCS_EXIT_INSN_LEN);
}

static void vmx_invept(u64 eptp)
{
    struct {
        u64 eptp, zero;
    } arg = {eptp, 0};

    __asm__ volatile("invept %0, %1" ::"m"(arg), "r"(1UL) : "cc", "memory");
}

static void vmx_invvpid_all(void)
{
    static const u64 none[2];

    __asm__ volatile("invvpid %0, %1" ::"m"(none), "r"(2UL) : "cc", "memory");
}

/* INVEPT takes what is cached through these tables under every tag (28.3.3.1). */
static void vmx_flush(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);
    u32 old = x->vpid.tag;

    if (x->flush)
        vmx_invept(v->vm->npt.root.v | EPTP_WB_WALK4);
    x->flush = false;
    if (!vmx_has_vpid)
        return;
    if (tlb_tag_take(&this_cpu_ptr(vmx_cpus)->vpids, cpu_id(), &x->vpid, false))
        vmx_invvpid_all();
    if (x->vpid.tag != old)
        vmcs_write(VMCS_VPID, x->vpid.tag);
}

/* SYSCALL's registers: the guest's in, or the host's back. */
static void vmx_swap_syscall(const u64 *to, const u64 *from)
{
    for (unsigned i = 0; i < VMX_SYSCALL_MSRS; i++)
        if (to[i] != from[i])
            wrmsr(MSR_STAR + i, to[i]);
}

static int vmx_enter_swapped(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);
    const struct vmx_cpu *c = this_cpu_ptr(vmx_cpus);
    u64 kernel_gs = rdmsr(MSR_KERNEL_GS_BASE);
    int refused;

    vmx_swap_syscall(x->syscall, c->syscall);
    wrmsr(MSR_KERNEL_GS_BASE, x->kernel_gs);
    write_cr2(x->cr2);
    spec_enter_guest();
    refused = vmx_enter(v);
    __asm__ volatile("lgdt %0; lidt %1" ::"m"(c->gdt), "m"(c->idt));
    x->cr2 = read_cr2();
    x->kernel_gs = rdmsr(MSR_KERNEL_GS_BASE);
    wrmsr(MSR_KERNEL_GS_BASE, kernel_gs);
    vmx_swap_syscall(c->syscall, x->syscall);
    return refused;
}

enum hv_exit vmx_run(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);
    u32 reason;

    ASSERT_IRQS_OFF();
    ASSERT_HELD(&v->lock);
    vmx_write_host(x);
    vmx_write_guest(v);
    vmx_flush(v);
    if (vmx_enter_swapped(v)) {
        v->exit.reason = vmcs_read(VMCS_INSN_ERROR);
        v->exit.delivering = false;
        return HV_EXIT_FAIL;
    }
    reason = (u32)vmcs_read(VMCS_EXIT_REASON);
    v->exit.reason = reason;
    vmx_read_guest(v);
    if (reason == (VMX_REASON_FAILED | VMX_MACHINE_CHECK)) { /* the host's, during the entry */
        __asm__ volatile("int $18" ::: "memory");
        return HV_EXIT_FAIL;
    }
    if (reason & VMX_REASON_FAILED)
        return HV_EXIT_FAIL;
    return vmx_exit_reason(v, reason & 0xffff);
}

/* The guest's software interrupts and INT3 are instructions, which simply run again. */
void vmx_requeue(struct vcpu *v, int ours)
{
    struct vmx_vcpu *x = vmx_of(v);
    u32 type = EVENT_TYPE_OF(x->idt_event);

    ASSERT_HELD(&v->lock);
    if (type == VMX_EVENT_INTR) {
        v->irq_injected = (u8)x->idt_event;
    } else if (type == VMX_EVENT_NMI) {
        v->nmi_injected = true;
        x->shadow &= ~SHADOW_NMI;
    } else if (type == VMX_EVENT_EXCEPTION ||
               (type == VMX_EVENT_SOFT_EXCEPTION && (u8)x->idt_event == ours)) {
        vcpu_queue_exception(v, (u8)x->idt_event, x->idt_event & EVENT_HAS_ERROR, x->idt_error);
    }
}
