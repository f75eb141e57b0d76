/* SPDX-License-Identifier: MIT
 *
 * Virtual machines behind Linux's KVM interface (/dev/kvm). A VM's memory is its VMM's memory: a
 * slot maps guest-physical pages to addresses of the address space that created the VM, and the
 * nested tables are one more translation of that address space. A vCPU runs in whichever thread
 * calls KVM_RUN.
 *
 * struct hv_ops is the only way to VT-x or AMD-V: vmx/ and svm/ fill one each. Registers that
 * either CPU saves for us, or that are plain software state, live in struct vcpu; segments, control
 * registers and the like are read and written through the ops, as the CPU's own block holds them.
 *
 * Lock order: vm->lock (mutex: slots, irqchip creation, vCPU creation), vcpu->lock (mutex: held all
 * through KVM_RUN and every vCPU ioctl), aspace->lock and ->pt_lock, irq->lock (spinlock: all
 * interrupt controllers of a VM).
 */
#pragma once

#include "arch/x86/regs.h"
#include "hv/emul/emul.h"
#include "hv/regs/hyperv.h"
#include "lib/atomic.h"
#include "lib/list.h"
#include "lib/types.h"
#include "mm/pgtable.h"
#include "obj/file.h"
#include "sched/mutex.h"
#include "sync/rcu.h"
#include "sync/refcount.h"
#include "sync/seqlock.h"
#include "uapi/kvm.h"
#include "vm/aspace.h"

#define VM_VCPUS_MAX 64
#define VM_SLOTS_MAX 64
#define VCPU_RUN_PAGES 3 /* struct kvm_run, port data, and the VM's ring of coalesced writes */
#define VCPU_OWN_PAGES 2 /* the first of them, which are the vCPU's */
#define VCPU_CPUID_MAX 128
#define VCPU_SKIPPED 8  /* instructions whose length is remembered */
#define HV_MSRS_MAX 256 /* of one KVM_GET_MSRS */
/* Linux's departures from the processor that a VMM may turn off, and which are not made here. */
#define HV_QUIRKS                                                   \
    (KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP | \
     KVM_X86_QUIRK_FIX_HYPERCALL_INSN)

struct vm;
struct vcpu;
struct irqchip;

/* Why the guest came out, in terms common to both CPUs. */
enum hv_exit {
    HV_EXIT_INTERRUPT, /* a host interrupt or NMI: nothing to do */
    HV_EXIT_EXCEPTION, /* intercepted: see vcpu->exit.vector */
    HV_EXIT_CPUID,
    HV_EXIT_HLT,
    HV_EXIT_IO,
    HV_EXIT_MSR_READ,
    HV_EXIT_MSR_WRITE,
    HV_EXIT_PAGE_FAULT, /* nested: gpa and access in vcpu->exit */
    HV_EXIT_CR,         /* control or debug register: emulate */
    HV_EXIT_EMULATE,    /* any other instruction that is to be emulated */
    HV_EXIT_IRQ_WINDOW,
    HV_EXIT_NMI_WINDOW,
    HV_EXIT_SHUTDOWN, /* triple fault */
    HV_EXIT_HYPERCALL,
    HV_EXIT_XSETBV,
    HV_EXIT_WBINVD, /* and what else is a no-op: skip */
    HV_EXIT_UD,     /* an instruction the guest does not have: #UD */
    HV_EXIT_PAUSE,
    HV_EXIT_TASK, /* a switch of tasks by hardware */
    HV_EXIT_SOFT, /* a software interrupt, about to be executed: only under TCG */
    HV_EXIT_FAIL, /* the CPU refused the guest state */
    HV_EXIT_UNKNOWN,
};

/* An instruction that was skipped. */
struct vcpu_skipped {
    u64 rip, space, code; /* as in struct hv_exit_info */
    u8 bare, len;         /* without prefixes, with them; 0: none */
};

struct hv_exit_info {
    u64 reason;      /* the CPU's own number, for logs and KVM_EXIT_UNKNOWN */
    bool delivering; /* an event, or a software interrupt, was being delivered */
    u64 gpa;         /* page fault */
    bool final;      /* page fault: gpa is the access itself, not that to a guest's table */
    bool device;     /* page fault: no slot has gpa */
    u32 access;      /* page fault: enum fault_kind */
    u8 insn_len;
    bool guessed; /* insn_len is that of the instruction without prefixes */
    u64 space;    /* CR3, where it is */
    u64 code;     /* likewise: CS, base and attributes */
    u8 vector;
    u32 error;
    u64 debug; /* #DB: bits for DR6 */
    struct {
        u16 port;
        u8 size; /* 1, 2, 4 */
        bool in, string, rep;
    } io;
};

/* What decides how a guest's instruction is found and read. */
struct hv_mode {
    u64 cr0, cr3, cr4;
    u8 mode; /* enum emul_mode */
    u8 cpl;
};

struct hv_ops {
    const char *name;   /* "AMD-V", "VT-x" */
    u8 hypercall[3];    /* the instruction of one */
    unsigned cpu_pages; /* each CPU's own, before it can run a guest: hv_cpu_area */
    bool all_cpus; /* state is read and written on any CPU: each has to be able to run guests */
    /* NULL when usable, else why not. */
    const char *(*probe)(void);
    /* Once on each CPU that runs, in its area. NULL: guests may run there; else why not. Interrupts
     * off. */
    const char *(*enable_cpu)(void);
    int (*vm_init)(struct vm *vm);
    void (*vm_destroy)(struct vm *vm);
    int (*vcpu_init)(struct vcpu *vcpu);
    void (*vcpu_destroy)(struct vcpu *vcpu);
    void (*vcpu_reset)(struct vcpu *vcpu);  /* as after RESET */
    enum hv_exit (*run)(struct vcpu *vcpu); /* fills vcpu->exit; interrupts off */
    /* Queues again what the exit interrupted in its delivery: exit.delivering. ours: the
     * exception that the entry came with, which was no instruction of the guest's; -1: none. */
    void (*requeue)(struct vcpu *vcpu, int ours);

    /* The one event of the next entry; a later call replaces an earlier one. */
    void (*inject_none)(struct vcpu *vcpu);
    void (*inject_irq)(struct vcpu *vcpu, u8 vector);
    void (*inject_nmi)(struct vcpu *vcpu);
    void (*inject_exception)(struct vcpu *vcpu, u8 vector, bool has_error, u32 error);
    bool (*irq_allowed)(struct vcpu *vcpu);
    bool (*nmi_allowed)(struct vcpu *vcpu);
    void (*irq_window)(struct vcpu *vcpu, bool on);
    void (*nmi_window)(struct vcpu *vcpu, bool on);
    bool (*nmi_masked)(struct vcpu *vcpu); /* one is being handled */
    void (*set_nmi_masked)(struct vcpu *vcpu, bool on);
    u8 (*get_shadow)(struct vcpu *vcpu); /* KVM_X86_SHADOW_INT_* */
    void (*set_shadow)(struct vcpu *vcpu, u8 shadow);
    void (*tlb_flush)(struct vcpu *vcpu); /* before the next entry */

    void (*get_segment)(struct vcpu *vcpu, unsigned seg, struct kvm_segment *out);
    void (*set_segment)(struct vcpu *vcpu, unsigned seg, const struct kvm_segment *in);
    void (*get_table)(struct vcpu *vcpu, bool idt, struct kvm_dtable *out);
    void (*set_table)(struct vcpu *vcpu, bool idt, const struct kvm_dtable *in);
    u64 (*get_cr)(struct vcpu *vcpu, unsigned nr);         /* 0, 2, 3, 4 as the guest sees them */
    void (*set_cr)(struct vcpu *vcpu, unsigned nr, u64 v); /* checked by the caller */
    /* The four top entries of PAE paging, where they are not just what memory has. */
    void (*get_pdptes)(struct vcpu *vcpu, u64 out[4]);
    void (*set_pdptes)(struct vcpu *vcpu, const u64 in[4]);
    void (*set_efer)(struct vcpu *vcpu, u64 efer);
    /* MSRs that the CPU's block or the CPU itself holds: 0, -ENOENT: not one of ours, -EINVAL: #GP.
     */
    int (*get_msr)(struct vcpu *vcpu, u32 msr, u64 *out);
    int (*set_msr)(struct vcpu *vcpu, u32 msr, u64 v);
    void (*intercept_msrs)(struct vcpu *vcpu, bool all); /* all, or as usual */
    void (*intercept_exceptions)(struct vcpu *vcpu);     /* those of vcpu_exceptions() */
    u8 (*cpl)(struct vcpu *vcpu);
    void (*get_mode)(struct vcpu *vcpu, struct hv_mode *out);
    void (*set_tsc_offset)(struct vcpu *vcpu, u64 offset); /* vcpu->tsc_offset is the caller's */
};
/* In the order of emul_seg_nr, then these. */
enum hv_segment { HV_SEG_TR = EMUL_SEGS, HV_SEG_LDT, HV_SEGMENTS };

extern const struct hv_ops *hv_ops; /* NULL: this machine has none; hv_why says why */
extern const char *hv_why;
/* Guests may execute out of small nested entries only: on this CPU a large one that is made smaller
 * while a guest executes there can lead to a machine check that stops the host (CVE-2018-12207). */
extern bool hv_small_code;
extern const struct pt_format *hv_pt_format;

/* l vm->lock to change; read under pt_lock or vm->slot_seq too */
struct memslot {
    u64 gfn, pages; /* pages 0: free */
    u64 hva;
    u32 flags;  /* KVM_MEM_* */
    u64 *dirty; /* bitmap of `pages` bits while LOG_DIRTY_PAGES is on; a */
    bool busy;  /* being emptied: nothing is installed */
};

/* l lock · p aspace->pt_lock · a atomic · I immutable */
struct vm {
    refcount_t ref; /* a */
    struct mutex lock;
    struct aspace *aspace;              /* I  a reference of ref kind: the VMM's */
    struct translation xlate;           /* p  its place in the aspace */
    struct pgtable npt;                 /* p */
    struct memslot slots[VM_SLOTS_MAX]; /* l+p */
    u32 slots_end;                      /* l+p  none is in use from here on */
    struct seqcount slot_seq;           /* p  of both: for reading them without pt_lock */
    struct vcpu *vcpus[VM_VCPUS_MAX];   /* l, published last */
    u32 nr_vcpus;                       /* l */
    struct irqchip *irqchip;            /* l, published last; NULL: user space has them */
    u64 boot_vcpu;                      /* l */
    s64 clock_offset;                   /* l  ns: kvmclock = time_ns() + offset */
    u64 tsc_offset; /* a  the guest's TSC starts near 0 at creation; what vCPUs agree on */
    u64 clock_tsc;  /* a  host TSC at the kvmclock's point of reference; 0: none yet */
    struct spinlock eventfd_lock; /* of the three lists, and of the ring's end */
    struct list_node ioeventfds, irqfds, zones;
    struct mem_object *ring_object; /* I  of one page: coalesced.c */
    struct page *ring_page;         /* l  NULL before the first zone; then I */
    struct msr_filter *filter;      /* l to change; RCU  NULL: guests have all registers */
    u32 user_msrs;                  /* a  KVM_MSR_EXIT_REASON_*: what user space handles */
    bool no_platform_info;          /* a  MSR_PLATFORM_INFO is not for guests */
    u32 mmu_pages;                  /* a  KVM_SET_NR_MMU_PAGES: kept, without effect */
    u64 flushes;                    /* p  for its statistics */
    struct hyperv_vm hyperv;
    void *arch;
};

#define CPU_NONE (~0U)
enum vcpu_mode { VCPU_OUTSIDE, VCPU_IN_GUEST };

/* How the last instruction's page was found: good for the next while the same registers say the
 * same and every table entry on the way is what it was. */
struct fetch_cache {
    u64 page, cr0, cr3, cr4, efer; /* page: linear; ~0: none */
    u32 access, seq, first;        /* seq: vm->slot_seq; first: the lowest level of the walk */
    u64 entry_hva[4], entry[4];    /* where each entry lies in the VMM, and what it was */
    u64 hva;                       /* of the page */
};

/* r owning thread (vcpu->lock) · a atomic · q irq lock */
struct vcpu {
    u64 gpr[16];     /* r  in the order of emul_gpr; rsp included; offset 0: see svm/enter.S */
    u64 rip, rflags; /* r */
    struct vm *vm;   /* I  a reference */
    u32 id;
    struct mutex lock;
    struct kvm_run *run; /* I  shared with user space: read a field once */
    struct page *run_pages[VCPU_OWN_PAGES];
    struct mem_object *run_object;
    u8 mode;      /* a  enum vcpu_mode */
    u32 cpu;      /* a  where it is loaded, ~0: nowhere */
    u32 requests; /* a  VCPU_REQ_* */
    struct waitq halt_wait;
    u32 mp_state;                    /* q with an irqchip */
    u8 sipi_vector;                  /* q */
    bool nmi_pending;                /* q */
    bool init_pending, sipi_pending; /* q */

    u64 efer, apic_base, cr8; /* r */
    u64 dr[4], dr6, dr7;      /* r  debug.c */
    struct {
        u32 control; /* KVM_GUESTDBG_*; 0: none */
        u64 dr[4], dr7;
    } debugger;                       /* r  its VMM's: debugger.c */
    u64 cpu_dr7;                      /* r  for the CPU: the guest's or the debugger's */
    u8 debug_entry;                   /* r  DEBUG_*: what an entry has to do for them */
    bool stepping, step_tf;           /* r  TF is the debugger's; and the guest's own was set */
    u64 xcr0;                         /* r */
    u64 platform_info, misc_features; /* r  MSRs: CPUID can fault; does */
    bool pv_enforced;                 /* r  paravirtual features only where CPUID shows them */
    u64 hidden_pv;                    /* r  those of leaf 0x40000001 that it does not */
    u64 pat, tsc_aux, misc_enable, mtrr_def; /* r */
    u64 tsc_offset;                          /* r to change; a */
    u64 tsc_adjust;                          /* r  IA32_TSC_ADJUST */
    u64 mtrr_var[16], mtrr_fixed[11];        /* r  kept, without effect: all memory is write-back */
    struct {
        u64 cap, status, ctl;
        u64 *banks;
    } mce;                          /* r  mce.c */
    u64 clock_msr, wall_msr;        /* r  kvmclock */
    struct hyperv_cpuid hyperv;     /* r */
    u32 vp_index;                   /* r to change; a  Hyper-V's number of it */
    u64 assist_page;                /* r  the register */
    u32 clock_version;              /* r */
    bool clock_stopped;             /* r  the next page says so: KVM_KVMCLOCK_CTRL */
    void *fpu, *host_fpu;           /* r  the guest's XSAVE area; room for the thread's own */
    struct kvm_cpuid_entry2 *cpuid; /* r */
    u32 nr_cpuid;
    bool ran;                    /* r  the guest knows its CPUID */
    u64 hidden_cr4, hidden_efer; /* r  bits whose features cpuid does not show; 0: none is set */
    bool signal_mask_set;
    u64 signal_mask;
    struct {
        u64 exits, io, mmio, halts, irqs, nmis, emulated;
    } stats; /* r  stats.c reads them at any time */

    struct hv_exit_info exit; /* r */
    /* r  Events that the guest is to get: they stay here until it has been entered with them, and
     * come back when an exit interrupts their delivery. Injected ones have been taken from where
     * they came. */
    struct {
        bool pending, has_error;
        u8 vector;
        u8 soft; /* length of the INT that is to be executed; 0: an exception */
        u32 error;
    } exception;
    bool nmi_injected;
    s32 irq_injected; /* -1: none */
    enum {
        VCPU_NO_EVENT,
        VCPU_EXCEPTION,
        VCPU_NMI,
        VCPU_IRQ
    } event_set;    /* r  for the next entry */
    bool exit_soon; /* r  the next entry only delivers an event: more wait */
    bool shadowed;  /* r  get_shadow is not 0: the backend keeps it */
    s32 user_irq;   /* r  KVM_INTERRUPT, where the PIC is user space's; -1 */
    struct vcpu_skipped skipped[VCPU_SKIPPED]; /* r  by rip */
    struct emul emul;
    struct hv_mode mode_now;  /* r  of the instruction that is being emulated */
    struct fetch_cache fetch; /* r  mmu.c */
    struct emul_ops emul_ops;
    /* r  What the next KVM_RUN begins with. IN, READ: user space owes an answer. AGAIN: it has done
     * a write, and the instruction goes on. ANEW: likewise, between two rounds of a rep. */
    enum {
        VCPU_IDLE,
        VCPU_WAIT_IN,
        VCPU_WAIT_READ,
        VCPU_WAIT_AGAIN,
        VCPU_WAIT_ANEW,
        VCPU_WAIT_LOAD, /* a read, of mmio.c */
        VCPU_WAIT_MSR,  /* msr_user.c */
    } waiting;
    struct {
        struct emul_insn insn;
        u32 size;
        u64 rip;
    } load;      /* r */
    bool posted; /* r  a write is in v->run: its instruction may complete before user space acts */
    bool hinted; /* r  exit.gpa is where the emulated instruction's operand lies */
    struct {
        u32 len;
        bool port; /* of MSRs: a write */
    } asked;       /* r */
    void *arch;    /* I  svm or vmx */
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

/* ---- kvm_dev.c ---- */
s64 hv_check_extension(u64 cap);
/* Before the first VM is: makes hv_cpu_area of every CPU and fills hv_cpus. 0, -ENOMEM, or -EBUSY:
 * no CPU runs guests, and there will be no VMs. May sleep. */
int hv_cpus_enable(void);
/* For init: no further CPU will come up. The first VM waits for that. */
void hv_processors_up(void);
extern u64 hv_cpus;         /* those that run guests, a bit each */
extern void *hv_cpu_area[]; /* by CPU; zeroed, of hv_ops->cpu_pages, for good */

/* ---- vm.c, vcpu.c ---- */
void vm_get(struct vm *vm);
void vm_put(struct vm *vm);
s64 vm_ioctl(struct vm *vm, unsigned cmd, u64 arg);
struct file *vm_create_file(struct vm **out);
int vcpu_create(struct vm *vm, u32 id, int *fd);
s64 vcpu_ioctl_state(struct vcpu *vcpu, unsigned cmd, u64 arg); /* -ENOTTY: not one of its */
s64 vcpu_ioctl_fpu(struct vcpu *vcpu, unsigned cmd, u64 arg);   /* likewise */
u32 hv_xsave_size(void); /* of what KVM_GET_XSAVE2 and KVM_SET_XSAVE hand over */
s64 vcpu_run_ioctl(struct vcpu *vcpu);
/* KVM_CAP_SYNC_REGS: from and to v->run, those of a mask. 0 or -EINVAL. */
int vcpu_sync_in(struct vcpu *vcpu, u64 dirty);
void vcpu_sync_out(struct vcpu *vcpu, u64 valid);
/* Makes a running vCPU leave the guest, or a halted one look. irq-safe. */
void vcpu_kick(struct vcpu *vcpu);
void vcpu_request(struct vcpu *vcpu, u32 bits);
/* Leaves a halted one asleep: it is served when it runs again. */
void vcpu_request_running(struct vcpu *vcpu, u32 bits);
void vcpu_reset(struct vcpu *vcpu, bool init);

/* ---- stats.c ---- */
/* A descriptor of the statistics of a VM, or of a vCPU (may be NULL) and its file; -errno. */
s64 hv_stats_fd(struct vm *vm, struct vcpu *vcpu, struct file *held);

/* ---- memory.c ---- */
int vm_memory_init(struct vm *vm);
void vm_memory_destroy(struct vm *vm);
int vm_set_slot(struct vm *vm, const struct kvm_userspace_memory_region *r);
int vm_get_dirty_log(struct vm *vm, const struct kvm_dirty_log *log);
#define VM_EVERY_VCPU U64_MAX /* of indices, a bit each */
/* No vCPU of these indices has an old translation after it. */
void vm_flush_indices(struct vm *vm, u64 indices);
/* A nested fault: 0 resolved; VM_NO_SLOT, VM_READ_ONLY: a device's; -EAGAIN: its slot or the memory
 * behind it was being changed, and the guest may fault again; -errno. May sleep. */
enum { VM_NO_SLOT = 1, VM_READ_ONLY };
int vm_fault(struct vm *vm, gpa_t gpa, unsigned access);
/* Copies through the VMM's mapping: 0 or -EFAULT where there is no (writable) slot. May sleep. */
int guest_read(struct vm *vm, gpa_t gpa, void *dst, u64 n);
int guest_write(struct vm *vm, gpa_t gpa, const void *src, u64 n);
/* Where a page of guest memory lies in the VMM: false where there is no slot. */
bool guest_hva(struct vm *vm, gpa_t gpa, u64 *hva);
/* An aligned word of 4 or 8 bytes. */
int guest_load(struct vm *vm, gpa_t gpa, u32 size, u64 *out);
bool vm_has_memory(struct vm *vm, gpa_t gpa, bool write);
/* Compare and exchange of 1, 2, 4 or 8 bytes of guest memory, within a page, from the VMM's own
 * threads; *old, of that size, becomes what was found. 0 or -EFAULT. */
int guest_cas(struct vm *vm, gpa_t gpa, void *old, u64 new, u32 len);

/* ---- mmu.c: guest-virtual addresses ---- */
/* 0 with *out; EMUL_FAULT with *fault filled; -EFAULT: tables outside of memory. access: PF_* bits.
 */
/* From CR0, RFLAGS.VM, EFER.LMA and CS's attributes (descriptor bits 53 and 54). */
u8 hv_mode_of(const struct vcpu *vcpu, u64 cr0, bool cs_l, bool cs_db);
/* Reads n bytes of code within a page, with mode_now: as vcpu_translate, or -EFAULT. */
int vcpu_fetch(struct vcpu *vcpu, u64 linear, u32 access, void *buf, u32 n,
               struct emul_fault *fault);
int vcpu_translate(struct vcpu *vcpu, u64 linear, u32 access, gpa_t *out, struct emul_fault *fault);

/* ---- exit.c, emulate.c ---- */
/* 1: go on in the guest; 0: back to user space, vcpu->run filled; -errno. */
int vcpu_handle_exit(struct vcpu *vcpu, enum hv_exit exit);
int vcpu_emulate(struct vcpu *vcpu);
int vcpu_emulate_resume(struct vcpu *vcpu); /* user space has served an access */
int vcpu_complete_user(struct vcpu *vcpu);  /* user space has answered; as vcpu_handle_exit */
int vcpu_ask_port(struct vcpu *vcpu, u16 port, u32 size, bool in, const void *data);
int vcpu_ask_mmio(struct vcpu *vcpu, u64 gpa, u32 len, bool write, const void *data);
/* Past the instruction that has ended the guest's stay. */
void vcpu_skip(struct vcpu *vcpu);
void vcpu_forget_skipped(struct vcpu *vcpu); /* code or registers are other ones now */
/* The length of the instruction at rip; 0: it cannot be read. */
u8 vcpu_decode_len(struct vcpu *vcpu);
void vcpu_queue_exception(struct vcpu *vcpu, u8 vector, bool has_error, u32 error);
void vcpu_drop_events(struct vcpu *vcpu); /* queued and injected ones */
static inline bool vcpu_event_ready(const struct vcpu *v)
{
    return v->exception.pending || v->nmi_injected || v->irq_injected >= 0;
}
/* A device register inside the kernel: 0, or -EOPNOTSUPP: user space's. */
int vm_mmio_read(struct vcpu *vcpu, gpa_t gpa, void *data, u32 len);
int vm_mmio_write(struct vcpu *vcpu, gpa_t gpa, const void *data, u32 len);
int vm_port_read(struct vcpu *vcpu, u16 port, void *data, u32 len);
int vm_port_write(struct vcpu *vcpu, u16 port, const void *data, u32 len);

/* ---- msr_user.c ---- */
int vm_set_msr_filter(struct vm *vm, u64 arg);
int vm_set_user_msrs(struct vm *vm, u64 mask);
void vm_filter_destroy(struct vm *vm);
int vcpu_rdmsr(struct vcpu *vcpu); /* as vcpu_handle_exit */
int vcpu_wrmsr(struct vcpu *vcpu);
int vcpu_msr_done(struct vcpu *vcpu);

/* ---- mmio.c ---- */
/* A fault at a device's address (exit.device): -EAGAIN, it is for the emulator; else as
 * vcpu_handle_exit. */
int vcpu_mmio(struct vcpu *vcpu);
int vcpu_mmio_loaded(struct vcpu *vcpu, const void *data);

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

/* ---- cpuid.c, msr.c, clock.c, state.c ---- */
int hv_supported_cpuid(struct kvm_cpuid_entry2 *entries, u32 max, u32 *count);
/* Is a paravirtual feature (its bit) the guest's to use? */
bool vcpu_pv_allowed(const struct vcpu *vcpu, unsigned feature);
/* After vcpu->cpuid was set. */
void vcpu_cpuid_changed(struct vcpu *vcpu);
/* Brings the bits of an entry that follow the registers up to date. */
void vcpu_cpuid_adapt(struct vcpu *vcpu, struct kvm_cpuid_entry2 *e);
/* The instruction's effect on the registers. */
void vcpu_cpuid(struct vcpu *vcpu);
/* 0; -EINVAL, -ENOENT (no such register): #GP. host: a VMM asks, which may more than a guest. */
int vcpu_get_msr(struct vcpu *vcpu, u32 msr, u64 *out, bool host);
int vcpu_set_msr(struct vcpu *vcpu, u32 msr, u64 v, bool host);
extern const u32 hv_msr_list[];
extern const u32 hv_msr_count;
extern const u32 hv_feature_msrs[], hv_feature_msr_count;
int hv_get_feature_msr(u32 msr, u64 *out);
int vcpu_set_cr(struct vcpu *vcpu, unsigned nr, u64 v); /* 0 or -EINVAL: #GP */
void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *out);
int vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *in);
void vcpu_get_sregs2(struct vcpu *vcpu, struct kvm_sregs2 *out);
int vcpu_set_sregs2(struct vcpu *vcpu, const struct kvm_sregs2 *in);
u64 vcpu_tsc(struct vcpu *vcpu);
void vcpu_clock_update(struct vcpu *vcpu);          /* may sleep */
s64 vcpu_clock_stopped(struct vcpu *vcpu, u64 arg); /* KVM_KVMCLOCK_CTRL; -EINVAL: it has none */
void vcpu_clock_write_wall(struct vcpu *vcpu);
/* The guest's counter differs so much from the host's. */
void vcpu_set_tsc_offset(struct vcpu *vcpu, u64 offset);
/* The guest's counter reads v from now on; host: as KVM_SET_MSRS, which keeps vCPUs in step. */
void vcpu_set_tsc(struct vcpu *vcpu, u64 v, bool host);
/* Takes a valid EFER to the backend; LMA is the caller's to compute. */
void vcpu_set_efer(struct vcpu *vcpu, u64 efer);

/* ---- mce.c ---- */
#define HV_MCE_BANKS_MAX 32
s64 hv_mce_supported(u64 arg);
s64 vcpu_mce_ioctl(struct vcpu *vcpu, unsigned cmd, u64 arg);
/* -ENOENT: not one of these. */
int vcpu_get_mce_msr(struct vcpu *vcpu, u32 msr, u64 *out, bool host);
int vcpu_set_mce_msr(struct vcpu *vcpu, u32 msr, u64 value, bool host);

/* ---- eventfd.c: KVM_IRQFD, KVM_IOEVENTFD ---- */
void vm_eventfds_init(struct vm *vm);
void vm_eventfds_destroy(struct vm *vm); /* before the irqchip goes; may sleep */
s64 vm_eventfd_ioctl(struct vm *vm, unsigned cmd, u64 arg);
static inline bool vm_has_ioeventfds(const struct vm *vm)
{
    return !list_empty(&vm->ioeventfds);
}
/* A guest's write to a port or an address: 0: an eventfd has taken it; -EOPNOTSUPP. */
int ioeventfd_write(struct vm *vm, bool port, u64 addr, const void *data, u32 len);

/* ---- coalesced.c: KVM_REGISTER_COALESCED_MMIO and its opposite ---- */
int vm_coalesced_init(struct vm *vm) __must_check; /* -ENOMEM */
void vm_coalesced_destroy(struct vm *vm);
s64 vm_coalesced_ioctl(struct vm *vm, unsigned cmd, u64 arg);
static inline bool vm_has_zones(const struct vm *vm)
{
    return !list_empty(&vm->zones);
}
/* A guest's write to a port or an address: 0: it waits in the ring; -EOPNOTSUPP. */
int coalesced_write(struct vm *vm, bool port, u64 addr, const void *data, u32 len);

/* ---- irqchip.c ---- */
int irqchip_create(struct vm *vm, bool split);
void irqchip_destroy(struct irqchip *chip);
int irqchip_add_vcpu(struct vcpu *vcpu);
void irqchip_remove_vcpu(struct vcpu *vcpu);
s64 irqchip_ioctl(struct vm *vm, unsigned cmd, u64 arg); /* -ENOTTY */
s64 irqchip_vcpu_ioctl(struct vcpu *vcpu, unsigned cmd, u64 arg);
/* The vector to inject now or -1; ack moves it into service. */
int irqchip_pending(struct vcpu *vcpu);
int irqchip_ack(struct vcpu *vcpu);
void irqchip_nmi_taken(struct vcpu *vcpu);
bool irqchip_wakes(struct vcpu *vcpu);
bool vm_has_pic(const struct vm *vm); /* false: KVM_INTERRUPT is the PIC's way in */
/* A user space's PIC could interrupt now, as far as the local APIC goes. */
bool irqchip_lets_pic(struct vcpu *vcpu);
/* The vector of a level that has ended and whose I/O APIC is user space's, or -1. */
int irqchip_take_eoi(struct vcpu *vcpu);
int irqchip_mmio(struct vcpu *vcpu, gpa_t gpa, void *data, u32 len, bool write); /* -EOPNOTSUPP */
int irqchip_port(struct vm *vm, u16 port, u8 *data, bool write);                 /* -EOPNOTSUPP */
int irqchip_msr(struct vcpu *vcpu, u32 msr, u64 *v, bool write); /* -ENOENT: not the APIC's */
u64 irqchip_cr8(struct vcpu *vcpu);
void irqchip_set_cr8(struct vcpu *vcpu, u64 v);
int irqchip_set_line(struct vm *vm, u32 gsi, bool high);
/* LAPIC_EOI, LAPIC_ICR (of 64 bits) or LAPIC_TPR in either mode; -EINVAL. */
int irqchip_hyperv(struct vcpu *vcpu, u32 reg, u64 *value, bool write);
/* A fixed interrupt to the vCPUs of these indices (a bit each; all ones: all). */
void irqchip_send_indices(struct vm *vm, u8 vector, u64 indices);
/* KVM_HC_SEND_IPI: bitmap low and high, the APIC id of its first bit, the ICR's low half. How many
 * vCPUs got it, or -errno. */
s64 irqchip_pv_ipi(struct vm *vm, const u64 args[4], bool wide);
