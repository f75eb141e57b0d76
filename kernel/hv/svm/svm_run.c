/* SPDX-License-Identifier: MIT
 *
 * Into the guest, and what an exit means (APM vol. 2, 15.5, 15.6 and appendix C).
 *
 * NMIs: the CPU does not tell when the IRET of one has been executed, only when it is about to be.
 * Where the next NMI waits for that, the IRET is stepped over with the trap flag, whose #DB is
 * ours. An entry that delivers an event does not step: it would push the flag.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/pte.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "hv/svm/svm_priv.h"

/* svm/enter.S */
void svm_enter(struct vcpu *vcpu, u64 guest_vmcb_pa, u64 host_vmcb_pa);

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

/* Exits that need nothing but their code. */
static enum hv_exit svm_exit_plain(u64 code)
{
    switch (code) {
    case SVM_SHUTDOWN:
        return HV_EXIT_SHUTDOWN;
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
    default:
        return svm_exit_plain(code);
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

enum hv_exit svm_run(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    ASSERT_IRQS_OFF();
    ASSERT_HELD(&v->lock);
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
void svm_requeue(struct vcpu *v, int ours)
{
    u64 info = vmcb_of(v)->exit_int_info;
    u8 vector = (u8)info;

    ASSERT_HELD(&v->lock);
    if (EVENT_TYPE_OF(info) == EVENT_INTR)
        v->irq_injected = vector;
    else if (EVENT_TYPE_OF(info) == EVENT_NMI)
        v->nmi_injected = true;
    else if (EVENT_TYPE_OF(info) == EVENT_EXCEPTION &&
             (vector == ours || (vector != VEC_BP && vector != VEC_OF)))
        vcpu_queue_exception(v, vector, info & EVENT_ERROR, (u32)(info >> 32));
}
