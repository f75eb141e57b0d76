/* SPDX-License-Identifier: MIT
 *
 * KVM_RUN. One thread at a time is inside (vcpu->lock). The loop alternates
 * between two places: outside, with interrupts on, where events are gathered and exits handled; and
 * the few instructions around hv_ops->run, with interrupts off, after the last look at the work
 * word and the requests. The setter of either sends an IPI to a vCPU in the guest (vcpu_kick), so
 * nothing is missed.
 */
#include "arch/x86/apic.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/switch.h"
#include "arch/x86/trap.h"
#include "arch/x86/uaccess.h"
#include "hv/irq/irqchip.h"
#include "hv/regs/regs.h"
#include "hv/run/run.h"
#include "hv/up.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sync/rcu.h"

#define SYNC_ALL (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

COUNTER(hv_entries);
COUNTER(hv_user_exits);
static int vcpu_handle_exit_traced(struct vcpu *v, enum hv_exit exit);
TRACE_POINT(vm_exit, vcpu_handle_exit, "%lu at %lx, the CPU's reason %lx");

/* ------------------------------------------------------------- the guest's FPU */

/* KVM_RUN owns the FPU from here to vcpu_fpu_out; a context switch in between saves and restores
 * the guest's state, since the thread's area is the guest's for that time. */
static void vcpu_fpu_in(struct vcpu *v)
{
    u64 flags = irq_save();

    fpu_save(current_thread()->arch.xsave);
    v->host_fpu = current_thread()->arch.xsave;
    current_thread()->arch.xsave = v->fpu;
    fpu_restore(v->fpu);
    irq_restore(flags);
}

static void vcpu_fpu_out(struct vcpu *v)
{
    u64 flags = irq_save();

    fpu_save(v->fpu);
    current_thread()->arch.xsave = v->host_fpu;
    fpu_restore(v->host_fpu);
    irq_restore(flags);
}

/* ------------------------------------------------------------- events */

static int vcpu_irq_pending(struct vcpu *v)
{
    return v->vm->irqchip ? irqchip_pending(v) : v->user_irq;
}

/* Takes an NMI or an interrupt from where it waits, when the guest can have it. An interrupt that
 * has been taken, and waits until the guest allows it, is in no NMI's way. */
static void vcpu_take_event(struct vcpu *v)
{
    if (READ_ONCE(v->nmi_pending) && hv_ops->nmi_allowed(v)) {
        v->nmi_pending = false;
        v->nmi_injected = true;
        if (v->vm->irqchip)
            irqchip_nmi_taken(v);
    } else if (v->irq_injected < 0 && vcpu_irq_pending(v) >= 0 && hv_ops->irq_allowed(v)) {
        v->irq_injected = v->vm->irqchip ? irqchip_ack(v) : v->user_irq;
        if (!v->vm->irqchip)
            v->user_irq = -1;
    }
}

/* The event of this entry, by priority. An interrupt whose delivery was interrupted by an exception
 * waits until the handler allows it. */
static bool vcpu_inject_one(struct vcpu *v)
{
    if (v->exception.pending) {
        hv_ops->inject_exception(v, v->exception.vector, v->exception.has_error,
                                 v->exception.error);
        v->event_set = VCPU_EXCEPTION;
    } else if (v->nmi_injected) {
        hv_ops->inject_nmi(v);
        v->stats.nmis++;
        v->event_set = VCPU_NMI;
    } else if (v->irq_injected >= 0 && hv_ops->irq_allowed(v)) {
        hv_ops->inject_irq(v, (u8)v->irq_injected);
        v->stats.irqs++;
        v->event_set = VCPU_IRQ;
    }
    return v->event_set != VCPU_NO_EVENT;
}

/* The guest has been entered with it; others that wait are still there. */
static void vcpu_event_entered(struct vcpu *v)
{
    if (v->event_set == VCPU_EXCEPTION)
        v->exception.pending = false;
    else if (v->event_set == VCPU_NMI)
        v->nmi_injected = false;
    else if (v->event_set == VCPU_IRQ)
        v->irq_injected = -1;
    v->event_set = VCPU_NO_EVENT;
    if (unlikely(v->debug_entry & DEBUG_STEP) && !v->exit.delivering)
        vcpu_debug_stepped(v);
}

/* No event, and none of an entry that did not happen. A negative vector is none. */
static bool vcpu_is_quiet(struct vcpu *v)
{
    return !((u32)v->event_set | v->exception.pending | v->nmi_injected |
             READ_ONCE(v->nmi_pending)) &&
           v->irq_injected < 0 && vcpu_irq_pending(v) < 0;
}

/* What cannot come with this entry comes as soon as the guest can take it: after the delivery of
 * another event, that is before the handler's first instruction. A debugger may hold off all that
 * has not been taken yet; one that steps stops there too. */
static __noinline void vcpu_inject_waiting(struct vcpu *v)
{
    bool busy, blocked = v->debugger.control & KVM_GUESTDBG_BLOCKIRQ;

    if (unlikely(v->event_set)) /* for an entry that did not happen */
        hv_ops->inject_none(v);
    v->event_set = VCPU_NO_EVENT;
    if (!v->exception.pending && !v->nmi_injected && !blocked)
        vcpu_take_event(v);
    busy = vcpu_inject_one(v);
    if (unlikely(v->debug_entry & DEBUG_STEP))
        v->exit_soon = busy;
    if (unlikely(v->nmi_injected) && v->event_set == VCPU_EXCEPTION)
        v->exit_soon = true;
    if (unlikely(blocked))
        return;
    if (unlikely(READ_ONCE(v->nmi_pending)) && busy)
        v->exit_soon = true;
    else if (unlikely(READ_ONCE(v->nmi_pending)))
        hv_ops->nmi_window(v, true);
    if (vcpu_irq_pending(v) >= 0 || (v->irq_injected >= 0 && v->event_set != VCPU_IRQ))
        hv_ops->irq_window(v, true);
}

static void vcpu_inject_events(struct vcpu *v)
{
    if (!likely(vcpu_is_quiet(v)))
        vcpu_inject_waiting(v);
}

/* INIT and SIPI, as they come from other vCPUs. */
static __noinline void vcpu_take_signals(struct vcpu *v)
{
    if (READ_ONCE(v->init_pending)) {
        v->init_pending = false;
        vcpu_reset(v, true);
        WRITE_ONCE(v->mp_state,
                   v->id == v->vm->boot_vcpu ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED);
    }
    if (READ_ONCE(v->sipi_pending)) {
        struct kvm_segment cs;

        v->sipi_pending = false;
        if (v->mp_state != KVM_MP_STATE_INIT_RECEIVED && v->mp_state != KVM_MP_STATE_UNINITIALIZED)
            return;
        hv_ops->get_segment(v, EMUL_CS, &cs);
        cs.selector = (u16)(v->sipi_vector << 8);
        cs.base = (u64)v->sipi_vector << 12;
        hv_ops->set_segment(v, EMUL_CS, &cs);
        v->rip = 0;
        WRITE_ONCE(v->mp_state, KVM_MP_STATE_RUNNABLE);
    }
}

static bool vcpu_has_event(struct vcpu *v)
{
    if (v->init_pending || v->sipi_pending)
        return true;
    if (v->mp_state == KVM_MP_STATE_UNINITIALIZED || v->mp_state == KVM_MP_STATE_INIT_RECEIVED)
        return false;
    if (v->mp_state == KVM_MP_STATE_RUNNABLE || READ_ONCE(v->nmi_pending))
        return true;
    if (v->exception.pending || (READ_ONCE(v->requests) & VCPU_REQ_SHUTDOWN))
        return true; /* a machine check that its VMM has reported */
    return v->vm->irqchip && irqchip_wakes(v);
}

/* HLT, or waiting for SIPI: sleeps until something happens. 0 or -EINTR. */
static int vcpu_block(struct vcpu *v)
{
    vcpu_fpu_out(v);
    int err = wait_event_interruptible(&v->halt_wait, vcpu_has_event(v));

    vcpu_fpu_in(v);
    if (err)
        return -EINTR;
    if (v->mp_state == KVM_MP_STATE_HALTED && vcpu_has_event(v))
        WRITE_ONCE(v->mp_state, KVM_MP_STATE_RUNNABLE);
    return 0;
}

/* ------------------------------------------------------------- the loop */

/* Moves the thread to a CPU that runs guests, as if its affinity had been set so. 2, to look again;
 * -EBUSY: it is bound to others. */
static int vcpu_move(void)
{
    u64 cpus = current_thread()->allowed & hv_cpus;

    return thread_set_affinity(current_thread(), cpus) ? -EBUSY : 2;
}

/* False: this CPU runs no guests. Interrupts off. */
static bool vcpu_load(struct vcpu *v)
{
    ASSERT_IRQS_OFF();
    if (v->cpu == cpu_id())
        return true;
    if (unlikely(!(hv_cpus >> cpu_id() & 1)))
        return false;
    WRITE_ONCE(v->cpu, cpu_id());
    vcpu_take_request(v, VCPU_REQ_TLB);
    hv_ops->tlb_flush(v); /* entries of an earlier stay on this CPU */
    return true;
}

/* The registers that neither CPU's block holds. The guest's XCR0 is read back, since an emulated
 * AMD-V may let XSETBV pass. TSC_AUX, which user mode can read, is 0 outside of guests. */
static void vcpu_swap_in(struct vcpu *v)
{
    u64 host = fpu_xcr0();

    if (host && v->xcr0 != host)
        xsetbv(0, v->xcr0);
    if (unlikely(v->tsc_aux) && cpu_has(X86_RDTSCP))
        wrmsr(MSR_TSC_AUX, v->tsc_aux);
    if (unlikely(v->debug_entry))
        vcpu_debug_in(v);
}

static void vcpu_swap_out(struct vcpu *v)
{
    u64 host = fpu_xcr0();

    if (unlikely(v->debug_entry))
        vcpu_debug_out(v);
    if (unlikely(v->tsc_aux) && cpu_has(X86_RDTSCP))
        wrmsr(MSR_TSC_AUX, 0);
    if (!host)
        return;
    v->xcr0 = xgetbv(0);
    if (v->xcr0 != host)
        xsetbv(0, host);
}

/* Into the guest and out once. 1; 2: look again first; -EBUSY: see vcpu_move. */
static int vcpu_enter(struct vcpu *v, enum hv_exit *exit)
{
    irq_disable();
    if (!vcpu_load(v)) {
        irq_enable();
        return vcpu_move();
    }
    __atomic_exchange_n(&v->mode, VCPU_IN_GUEST, __ATOMIC_SEQ_CST);
    if (thread_guest_work(current_thread()) || READ_ONCE(v->requests)) {
        store_release(&v->mode, VCPU_OUTSIDE);
        irq_enable();
        return 2;
    }
    COUNT(hv_entries);
    v->stats.exits++;
    if (unlikely(v->exit_soon))
        apic_send_ipi(cpu_id(), VEC_RESCHED); /* taken when the event has been delivered */
    v->exit_soon = false;
    vcpu_swap_in(v);
    watch_irqs_on();
    watch_end();
    *exit = hv_ops->run(v);
    watch_begin();
    watch_irqs_off();
    vcpu_swap_out(v);
    store_release(&v->mode, VCPU_OUTSIDE);
    (void)rcu_quiescent(); /* the guest is no reader */
    irq_enable();          /* takes the interrupt that brought us out */
    if (likely(*exit != HV_EXIT_FAIL)) {
        int ours = -1;

        if (unlikely(v->event_set)) {
            if (v->event_set == VCPU_EXCEPTION && !v->exception.soft)
                ours = v->exception.vector;
            vcpu_event_entered(v);
        }
        if (unlikely(v->exit.delivering))
            hv_ops->requeue(v, ours);
    }
    return 1;
}

/* User space has the PIC, and the local APIC lets it through. */
static bool vcpu_hears_user(struct vcpu *v)
{
    return !vm_has_pic(v->vm) && (!v->vm->irqchip || irqchip_lets_pic(v));
}

static bool vcpu_window_open(struct vcpu *v)
{
    return vcpu_hears_user(v) && hv_ops->irq_allowed(v) && v->user_irq < 0 && !vcpu_event_ready(v);
}

/* Not where an interrupt of its user space's is held off: it would keep the window shut, and the
 * CPU open it before each instruction. */
static void vcpu_ask_window(struct vcpu *v)
{
    if (!(v->debugger.control & KVM_GUESTDBG_BLOCKIRQ) || v->user_irq < 0)
        hv_ops->irq_window(v, true);
}

static bool vcpu_step_done(struct vcpu *v)
{
    return vcpu_take_request(v, VCPU_REQ_DEBUG) && vcpu_debugger_exit(v, VEC_DB, DR6_BS) == 0;
}

/* What a guest asks of its VMM by Hyper-V's registers. */
static bool vcpu_system_event(struct vcpu *v)
{
    u32 type;

    if (vcpu_take_request(v, VCPU_REQ_CRASH))
        type = KVM_SYSTEM_EVENT_CRASH;
    else if (vcpu_take_request(v, VCPU_REQ_RESET))
        type = KVM_SYSTEM_EVENT_RESET;
    else
        return false;
    v->run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
    v->run->system_event.type = type;
    v->run->system_event.ndata = 0;
    return true;
}

/* True: a request leads to user space, v->run is filled. */
static bool vcpu_serve_requests(struct vcpu *v)
{
    int vector;

    vcpu_take_request(v, VCPU_REQ_EVENT); /* events are looked at anyway */
    if (vcpu_take_request(v, VCPU_REQ_TLB))
        hv_ops->tlb_flush(v);
    if (vcpu_take_request(v, VCPU_REQ_CLOCK))
        vcpu_clock_update(v);
    if (vcpu_take_request(v, VCPU_REQ_FILTER))
        hv_ops->intercept_msrs(v, READ_ONCE(v->vm->filter));
    if (vcpu_take_request(v, VCPU_REQ_SHUTDOWN)) {
        vcpu_drop_events(v);
        v->run->exit_reason = KVM_EXIT_SHUTDOWN;
        return true;
    }
    if (vcpu_system_event(v) || vcpu_step_done(v))
        return true;
    vector = vcpu_take_request(v, VCPU_REQ_EOI) ? irqchip_take_eoi(v) : -1;
    if (vector < 0)
        return false;
    v->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
    v->run->eoi.vector = (u8)vector;
    return true;
}

/* The thread's own work: 0, or -EINTR where that is for user mode's edge. */
static __noinline int vcpu_serve_work(void)
{
    if (READ_ONCE(current_thread()->work) & (WORK_RESCHED | WORK_THROTTLE))
        sched_user_work();
    if (READ_ONCE(current_thread()->work) & WORK_MEMORY)
        memory_relieve();
    return READ_ONCE(current_thread()->work) & (WORK_SIGNAL | WORK_KILL | WORK_NOTIFY) ? -EINTR : 0;
}

/* What has to be looked at before each entry. 1: enter; 2: look again; 0: to user space; -EINTR. */
static int vcpu_prepare(struct vcpu *v)
{
    if (unlikely(thread_guest_work(current_thread())) && vcpu_serve_work())
        return -EINTR;
    if (unlikely(READ_ONCE(v->init_pending) || READ_ONCE(v->sipi_pending)))
        vcpu_take_signals(v);
    if (v->mp_state != KVM_MP_STATE_RUNNABLE) {
        int err;

        if (vcpu_system_event(v) || vcpu_step_done(v)) /* a step over a HLT */
            return 0;
        err = vcpu_block(v);
        return err ? err : 2;
    }
    if (unlikely(READ_ONCE(v->requests)) && vcpu_serve_requests(v))
        return 0;
    if (unlikely(READ_ONCE(v->run->request_interrupt_window)) && vcpu_hears_user(v)) {
        if (vcpu_window_open(v)) {
            v->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
            return 0;
        }
        vcpu_inject_events(v);
        vcpu_ask_window(v);
        return 1;
    }
    vcpu_inject_events(v);
    return 1;
}

static int vcpu_handle_exit_traced(struct vcpu *v, enum hv_exit exit)
{
    TRACE(vm_exit, exit, v->rip, v->exit.reason);
    return vcpu_handle_exit(v, exit);
}

static int vcpu_loop(struct vcpu *v)
{
    for (;;) {
        enum hv_exit exit;
        int go = vcpu_prepare(v);

        if (go == 1)
            go = vcpu_enter(v, &exit);
        if (go == 1)
            go = vcpu_handle_exit(v, exit);
        if (go <= 0)
            return go;
    }
}

static void vcpu_publish_state(struct vcpu *v, u64 valid)
{
    struct kvm_run *run = v->run;

    run->if_flag = v->rflags & RFLAGS_IF ? 1 : 0;
    run->flags = 0;
    run->cr8 = v->vm->irqchip ? irqchip_cr8(v) : v->cr8;
    run->apic_base = v->apic_base;
    run->ready_for_interrupt_injection = vm_has_pic(v->vm) || vcpu_window_open(v);
    if (unlikely(valid))
        vcpu_sync_out(v, valid);
}

static s64 vcpu_run_locked(struct vcpu *v) REQUIRES(v->lock)
{
    u64 cr8 = READ_ONCE(v->run->cr8), valid = READ_ONCE(v->run->kvm_valid_regs);
    u64 dirty = READ_ONCE(v->run->kvm_dirty_regs);
    int go = 1;

    ASSERT_HELD(&v->lock);
    if ((valid | dirty) & ~SYNC_ALL)
        return -EINVAL;
    if (unlikely(dirty) && vcpu_sync_in(v, dirty))
        return -EINVAL;
    if (!v->vm->irqchip && cr8 > 15)
        return -EINVAL;
    if (!v->vm->irqchip)
        v->cr8 = cr8;
    if (v->waiting != VCPU_IDLE)
        go = vcpu_complete_user(v);
    if (go > 0 && READ_ONCE(v->run->immediate_exit)) {
        vcpu_publish_state(v, valid); /* and the reason of the exit before this one stays */
        return -EINTR;
    }
    if (go > 0) {
        v->run->exit_reason = KVM_EXIT_UNKNOWN;
        v->ran = true;
        vcpu_fpu_in(v);
        go = vcpu_loop(v);
        vcpu_fpu_out(v);
    }
    if (go == -EINTR)
        v->run->exit_reason = KVM_EXIT_INTR;
    vcpu_publish_state(v, valid);
    COUNT(hv_user_exits);
    return go < 0 ? go : 0;
}

s64 vcpu_run_ioctl(struct vcpu *v)
{
    u64 old = 0;
    s64 err;

    ASSERT_HELD(&v->lock);
    if (v->signal_mask_set)
        up_signal_mask(v->signal_mask, &old);
    err = vcpu_run_locked(v);
    if (v->signal_mask_set)
        up_signal_mask(old, &old);
    return err;
}
