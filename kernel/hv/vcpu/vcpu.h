/* SPDX-License-Identifier: MIT
 *
 * A vCPU's state, and what every layer above does with it: requests and kicks (request.c), queued
 * exceptions (event.c), its debug registers (debug.c) and its VMM's debugger (debugger.c).
 *
 * A vCPU runs in the thread that calls KVM_RUN, with vcpu->lock held. What others want of it they
 * request.
 */
#pragma once

#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "hv/emul/emul.h"
#include "hv/vcpu/cpus.h"
#include "hv/vcpu/vm.h"
#include "lib/atomic.h"
#include "lib/types.h"
#include "sched/mutex.h"
#include "sched/wait.h"
#include "uapi/kvm.h"

#define VCPU_RUN_PAGES 3 /* struct kvm_run, port data, and the VM's ring of coalesced writes */
#define VCPU_OWN_PAGES 2 /* the first of them, which are the vCPU's */
#define VCPU_SKIPPED 8   /* instructions whose length is remembered */

/* An instruction that was skipped. */
struct vcpu_skipped {
    u64 rip, space, code; /* as in struct hv_exit_info */
    u8 bare, len;         /* without prefixes, with them; 0: none */
};

/* A guest's CPUID of it. r: the vCPU's thread */
struct hyperv_cpuid {
    bool on;                       /* r  it has the signature */
    bool enforced;                 /* r  what the rest does not show is not there */
    u32 registers, more_registers; /* r  leaf 3, eax and edx */
    u32 hints, spins;              /* r  leaf 4, eax and ebx */
};

#define CPU_NONE (~0U)
enum vcpu_mode { VCPU_OUTSIDE, VCPU_IN_GUEST };

/* How the last instruction's page was found: good for the next while the same registers say the
 * same and every table entry on the way is what it was. */
struct fetch_cache {
    u64 page, cr0, cr3, cr4, efer; /* page: linear; ~0: none */
    u32 access, generation, first; /* of the slots; the lowest level of the walk */
    u64 entry_hva[4], entry[4];    /* where each entry lies in the VMM, and what it was */
    u64 hva;                       /* of the page */
};

/* r owning thread: ASSERT_HELD(&vcpu->lock) · a atomic · q irq lock · I immutable */
struct vcpu {
    u64 gpr[16];     /* r  in the order of emul_gpr; rsp included; offset 0: see svm/enter.S */
    u64 rip, rflags; /* r */
    struct vm *vm;   /* I  a reference */
    u32 id;          /* I */
    struct mutex lock;
    void *arch; /* I  svm or vmx */

    /* Where it runs, and what others want of it: request.c. */
    u8 mode;      /* a  enum vcpu_mode */
    u32 cpu;      /* a  where it is loaded, ~0: nowhere */
    u32 requests; /* a  VCPU_REQ_* */
    struct waitq halt_wait;
    u32 mp_state;                    /* q with an irqchip */
    u8 sipi_vector;                  /* q */
    bool nmi_pending;                /* q */
    bool init_pending, sipi_pending; /* q */

    /* The run area, and what else its VMM has set for KVM_RUN. */
    struct kvm_run *run;                    /* I  shared with user space: read a field once */
    struct page *run_pages[VCPU_OWN_PAGES]; /* I */
    struct mem_object *run_object;          /* I */
    bool signal_mask_set;                   /* r */
    u64 signal_mask;                        /* r */

    /* Registers that neither CPU's block holds: regs/. */
    u64 efer, apic_base, cr8;                /* r */
    u64 xcr0;                                /* r */
    u64 platform_info, misc_features;        /* r  MSRs: CPUID can fault; does */
    u64 pat, tsc_aux, misc_enable, mtrr_def; /* r */
    u64 mtrr_var[16], mtrr_fixed[11];        /* r  kept, without effect: all memory is write-back */
    u64 hidden_cr4, hidden_efer; /* r  bits whose features cpuid does not show; 0: none is set */
    void *fpu, *host_fpu;        /* r  the guest's XSAVE area; space for the thread's own */
    struct {
        u64 cap, status, ctl;
        u64 *banks;
    } mce; /* r  mce.c */

    /* Debug registers, and its VMM's debugger: debug.c, debugger.c. */
    u64 dr[4], dr6, dr7; /* r */
    struct {
        u32 control; /* KVM_GUESTDBG_*; 0: none */
        u64 dr[4], dr7;
    } debugger;             /* r */
    u64 cpu_dr7;            /* r  for the CPU: the guest's or the debugger's */
    u8 debug_entry;         /* r  DEBUG_*: what an entry has to do for them */
    bool stepping, step_tf; /* r  TF is the debugger's; and the guest's own was set */

    /* CPUID, and what is paravirtual. */
    struct kvm_cpuid_entry2 *cpuid; /* r */
    u32 nr_cpuid;                   /* r */
    bool ran;                       /* r  the guest knows its CPUID */
    bool pv_enforced;               /* r  paravirtual features only where CPUID shows them */
    u64 hidden_pv;                  /* r  those of leaf 0x40000001 that it does not */
    struct hyperv_cpuid hyperv;     /* r */
    u32 vp_index;                   /* r to change; a  Hyper-V's number of it */
    u64 assist_page;                /* r  the register */

    /* Clocks: regs/clock.c. */
    u64 tsc_offset;          /* r to change; a */
    u64 tsc_adjust;          /* r  IA32_TSC_ADJUST */
    u64 clock_msr, wall_msr; /* r  kvmclock */
    u32 clock_version;       /* r */
    bool clock_stopped;      /* r  the next page says so: KVM_KVMCLOCK_CTRL */

    /* The last exit; and events that the guest is to get: they stay here until it has been entered
     * with them, and come back when an exit interrupts their delivery. Injected ones have been
     * taken from where they came. */
    struct hv_exit_info exit; /* r */
    struct {
        bool pending, has_error;
        u8 vector;
        u8 soft; /* length of the INT that is to be executed; 0: an exception */
        u32 error;
    } exception;       /* r */
    bool nmi_injected; /* r */
    s32 irq_injected;  /* r  -1: none */
    enum {
        VCPU_NO_EVENT,
        VCPU_EXCEPTION,
        VCPU_NMI,
        VCPU_IRQ
    } event_set;    /* r  for the next entry */
    bool exit_soon; /* r  the next entry only delivers an event: more wait */
    bool shadowed;  /* r  get_shadow is not 0: the backend keeps it */
    s32 user_irq;   /* r  KVM_INTERRUPT, where the PIC is user space's; -1 */

    /* The instruction that is emulated or skipped: run/. */
    struct vcpu_skipped skipped[VCPU_SKIPPED]; /* r  by rip */
    struct emul emul;                          /* r */
    struct emul_ops emul_ops;                  /* r */
    struct hv_mode mode_now;                   /* r  of the instruction that is being emulated */
    struct fetch_cache fetch;                  /* r  memory/walk.c */
    bool hinted; /* r  exit.gpa is where the emulated instruction's operand lies */

    /* r  What the next KVM_RUN begins with. IN, READ: user space owes an answer. AGAIN: it has done
     * a write, and the instruction goes on. ANEW: likewise, between two rounds of a rep. */
    enum {
        VCPU_IDLE,
        VCPU_WAIT_IN,
        VCPU_WAIT_READ,
        VCPU_WAIT_AGAIN,
        VCPU_WAIT_ANEW,
        VCPU_WAIT_LOAD, /* a read, of run/mmio.c */
        VCPU_WAIT_MSR,  /* run/msr_exit.c */
    } waiting;
    struct {
        struct emul_insn insn;
        u32 size;
        u64 rip;
    } load;      /* r */
    bool posted; /* r  a write is in v->run: its instruction may complete before user space acts */
    struct {
        u32 len;
        bool port; /* of MSRs: a write */
    } asked;       /* r */

    struct {
        u64 exits, io, mmio, halts, irqs, nmis, emulated;
    } stats; /* r  stats.c reads them at any time */
};

enum vcpu_request {
    VCPU_REQ_TLB = 1 << 0,
    VCPU_REQ_EVENT = 1 << 1, /* look at the interrupt controllers again */
    VCPU_REQ_CLOCK = 1 << 2,
    VCPU_REQ_EOI = 1 << 3, /* a level has ended: see irqchip_take_eoi */
    VCPU_REQ_SHUTDOWN = 1 << 4,
    VCPU_REQ_FILTER = 1 << 5, /* vm->filter has come or gone */
    VCPU_REQ_DEBUG = 1 << 6,  /* the debugger's step is done */
    VCPU_REQ_RESET = 1 << 7,  /* the guest asks by Hyper-V's registers */
    VCPU_REQ_CRASH = 1 << 8,  /* and tells that it has crashed */
};

/* ---- request.c; irq-safe ---- */
/* Sets bits and makes a running vCPU leave the guest, or a halted one look. */
void vcpu_request(struct vcpu *vcpu, u32 bits);
/* Leaves a halted one asleep: it is served when it runs again. */
void vcpu_request_running(struct vcpu *vcpu, u32 bits);
/* For the vCPU's own thread: true when one of `bit` was set, which is taken. */
static inline bool vcpu_take_request(struct vcpu *v, u32 bit)
{
    return (READ_ONCE(v->requests) & bit) &&
           (__atomic_fetch_and(&v->requests, ~bit, __ATOMIC_SEQ_CST) & bit);
}

/* ---- event.c ---- */
void vcpu_queue_exception(struct vcpu *vcpu, u8 vector, bool has_error, u32 error);
void vcpu_drop_events(struct vcpu *vcpu); /* queued and injected ones */
static inline bool vcpu_event_ready(const struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    return v->exception.pending || v->nmi_injected || v->irq_injected >= 0;
}
/* Code or registers are other ones now. */
static inline void vcpu_forget_skipped(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    for (unsigned i = 0; i < VCPU_SKIPPED; i++)
        v->skipped[i].len = 0;
}
/* From CR0, RFLAGS.VM, EFER.LMA and CS's attributes (descriptor bits 53 and 54). */
static inline u8 hv_mode_of(const struct vcpu *v, u64 cr0, bool cs_l, bool cs_db)
{
    ASSERT_HELD(&v->lock);
    if (!(cr0 & CR0_PE))
        return EMUL_REAL;
    if (v->rflags & RFLAGS_VM)
        return EMUL_VM86;
    if ((v->efer & EFER_LMA) && cs_l)
        return EMUL_LONG;
    return cs_db ? EMUL_PROT32 : EMUL_PROT16;
}
static inline u64 vcpu_tsc(const struct vcpu *v)
{
    return rdtsc() + READ_ONCE(v->tsc_offset);
}

/* ---- debug.c ---- */
#define DR6_FIXED 0xffff0ff0UL
#define DR7_FIXED 0x400UL
#define DR7_ARMED 0xffUL /* L0 G0 .. L3 G3 */
#define DR6_BS (1UL << 14)
void vcpu_debug_reset(struct vcpu *vcpu);
enum { DEBUG_BREAKPOINTS = 1, DEBUG_STEP = 2 };
/* The CPU's DR0 to DR3 before and after a stay in the guest where cpu_dr7 arms one, and TF where a
 * debugger steps: where debug_entry is not 0. Interrupts off. */
void vcpu_debug_in(struct vcpu *vcpu);
void vcpu_debug_out(struct vcpu *vcpu);
/* Queues #DB; bits are those that DR6 gains. */
void vcpu_debug_exception(struct vcpu *vcpu, u64 bits);
/* After an instruction that the CPU did not execute: the trap, if TF was set before it. */
void vcpu_debug_stepped(struct vcpu *vcpu);
static inline void vcpu_debug_step(struct vcpu *vcpu, u64 rflags)
{
    ASSERT_HELD(&vcpu->lock);
    if (unlikely((rflags & RFLAGS_TF) | (vcpu->debug_entry & DEBUG_STEP)))
        vcpu_debug_stepped(vcpu);
}
/* A guest's MOV: 0, or EMUL_FAULT with *fault. */
int vcpu_read_dr(struct vcpu *vcpu, unsigned nr, u64 *out, struct emul_fault *fault);
int vcpu_write_dr(struct vcpu *vcpu, unsigned nr, u64 value, struct emul_fault *fault);
void vcpu_set_debug(struct vcpu *vcpu, u64 dr6, u64 dr7);
void vcpu_debug_update(struct vcpu *vcpu); /* dr7 or the debugger has changed */

/* ---- debugger.c: KVM_SET_GUEST_DEBUG ---- */
#define HV_GUESTDBG_KNOWN                                                       \
    (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |   \
     KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | \
     KVM_GUESTDBG_BLOCKIRQ)
s64 vcpu_set_guest_debug(struct vcpu *vcpu, u64 arg);
/* A bitmap: what is always intercepted, and what the debugger asks for. */
u32 vcpu_exceptions(const struct vcpu *vcpu);
/* An exception that has ended the guest's stay is the debugger's. */
bool vcpu_debugger_takes(const struct vcpu *vcpu, u8 vector);
/* Fills vcpu->run; bits are those of DR6. 0, as vcpu_handle_exit. */
int vcpu_debugger_exit(struct vcpu *vcpu, u8 vector, u64 bits);
