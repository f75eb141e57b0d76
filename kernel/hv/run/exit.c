/* SPDX-License-Identifier: MIT
 *
 * What each exit leads to. The frequent ones (CPUID, port I/O, HLT, MSRs, nested faults) are
 * finished here; the rest goes through the instruction emulator. A guest that cannot go on stops
 * with the exit reason KVM documents; it never stops the host.
 */
#include "arch/x86/cpufeature.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "hv/irq/irqchip.h"
#include "hv/memory/memory.h"
#include "hv/regs/regs.h"
#include "hv/run/run.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"

#define HYPERCALL_EPERM (-1UL) /* KVM_EPERM, KVM_ENOSYS */
#define HYPERCALL_ENOSYS (-1000UL)

COUNTER(hv_exits_cpuid);
COUNTER(hv_exits_io);
COUNTER(hv_exits_msr);
COUNTER(hv_exits_fault);

static int exit_gp(struct vcpu *v)
{
    vcpu_queue_exception(v, VEC_GP, true, 0);
    return 1;
}

static int exit_interrupt(struct vcpu *v)
{
    return 1; /* the host's handler has run already */
}

static int exit_cpuid(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    COUNT(hv_exits_cpuid);
    if (unlikely(v->misc_features & MISC_CPUID_FAULT) && hv_ops->cpl(v))
        return exit_gp(v);
    vcpu_cpuid(v);
    vcpu_skip(v);
    return 1;
}

static int exit_hlt(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    v->stats.halts++;
    vcpu_skip(v);
    if (v->exception.pending) /* the trap of single stepping ends it at once */
        return 1;
    if (v->vm->irqchip) {
        WRITE_ONCE(v->mp_state, KVM_MP_STATE_HALTED);
        return 1;
    }
    v->run->exit_reason = KVM_EXIT_HLT;
    return 0;
}

/* ------------------------------------------------------------- ports */

/* IN leaves the bytes of rax above its size alone, but for 32 bits, which clear the upper half. */
static void exit_io_result(struct vcpu *v, const void *data, u32 size)
{
    u64 value = 0;

    memcpy(&value, data, size);
    if (size == 4)
        v->gpr[EMUL_RAX] = value;
    else
        memcpy(&v->gpr[EMUL_RAX], &value, size);
}

static int exit_io(struct vcpu *v)
{
    u32 size = v->exit.io.size;
    u32 value = (u32)v->gpr[EMUL_RAX];

    ASSERT_HELD(&v->lock);
    COUNT(hv_exits_io);
    v->stats.io++;
    if (v->exit.io.string)
        return vcpu_emulate(v);
    if (v->exit.io.in) {
        vcpu_skip(v);
        if (vm_port_read(v, v->exit.io.port, &value, size) == 0) {
            exit_io_result(v, &value, size);
            return 1;
        }
        v->waiting = VCPU_WAIT_IN;
        return vcpu_ask_port(v, v->exit.io.port, size, true, NULL);
    }
    vcpu_skip(v);
    if (vm_port_write(v, v->exit.io.port, &value, size) == 0)
        return 1;
    return vcpu_ask_port(v, v->exit.io.port, size, false, &value);
}

/* ------------------------------------------------------------- memory */

/* The delivery of an event needs memory that is not there: no instruction is to be emulated. */
static int exit_undeliverable(struct vcpu *v)
{
    v->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    v->run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
    v->run->internal.ndata = 1;
    v->run->internal.data[0] = v->exit.reason;
    return 0;
}

static int exit_device(struct vcpu *v)
{
    int go = vcpu_mmio(v);

    v->hinted &= go == -EAGAIN; /* what was found of the access serves the emulator alone */
    return go == -EAGAIN ? vcpu_emulate(v) : go;
}

static int exit_page_fault(struct vcpu *v)
{
    int err = vm_fault(v->vm, GPA(v->exit.gpa), v->exit.access);

    ASSERT_HELD(&v->lock);
    COUNT(hv_exits_fault);
    if (err == 0 || err == -EAGAIN)
        return 1;
    if (err > 0 && unlikely(v->exit.delivering))
        return exit_undeliverable(v);
    if (err > 0) {
        v->stats.mmio++;
        v->exit.device = err == VM_NO_SLOT;
        v->hinted = v->exit.final && v->exit.access != FAULT_EXEC;
        return v->hinted && v->exit.device ? exit_device(v) : vcpu_emulate(v);
    }
    if (err == -EINTR)
        return -EINTR;
    /* The VMM's mapping is not there, or memory is out: KVM_RUN fails. */
    return err == -ENOMEM ? -ENOMEM : -EFAULT;
}

/* ------------------------------------------------------------- registers */

static int exit_msr_read(struct vcpu *v)
{
    COUNT(hv_exits_msr);
    return vcpu_rdmsr(v);
}

static int exit_msr_write(struct vcpu *v)
{
    COUNT(hv_exits_msr);
    return vcpu_wrmsr(v);
}

/* XCR0: x87 always; AVX needs SSE; nothing the host does not have (SDM vol. 1, 13.3). */
static int exit_xsetbv(struct vcpu *v)
{
    u64 value = (u64)(u32)v->gpr[EMUL_RDX] << 32 | (u32)v->gpr[EMUL_RAX];
    u64 avx512 = value >> 5 & 7;

    ASSERT_HELD(&v->lock);
    if (hv_ops->cpl(v) || (u32)v->gpr[EMUL_RCX] || !(value & 1) || (value & ~fpu_xcr0()) ||
        ((value & 4) && !(value & 2)) || (avx512 && (avx512 != 7 || !(value & 4))))
        return exit_gp(v);
    v->xcr0 = value;
    vcpu_skip(v);
    return 1;
}

static int exit_skip(struct vcpu *v)
{
    vcpu_skip(v);
    return 1;
}

static int exit_pause(struct vcpu *v)
{
    cond_yield();
    return 1;
}

static int exit_ud(struct vcpu *v)
{
    vcpu_queue_exception(v, VEC_UD, false, 0);
    return 1;
}

/* Number and arguments in rax, rbx, rcx, rdx, rsi; 32 bits of them outside of long mode. */
static int exit_hypercall(struct vcpu *v)
{
    static const u8 regs[] = {EMUL_RAX, EMUL_RBX, EMUL_RCX, EMUL_RDX, EMUL_RSI};
    u64 args[ARRAY_SIZE(regs)], mask;

    ASSERT_HELD(&v->lock);
    hv_ops->get_mode(v, &v->mode_now);
    if (unlikely(v->hyperv.on) && READ_ONCE(v->vm->hyperv.os_id))
        return vcpu_hyperv_call(v);
    mask = v->mode_now.mode == EMUL_LONG ? U64_MAX : U32_MAX;
    for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
        args[i] = v->gpr[regs[i]] & mask;
    if (v->mode_now.cpl)
        v->gpr[EMUL_RAX] = HYPERCALL_EPERM & mask;
    else if (args[0] == KVM_HC_SEND_IPI && v->vm->irqchip &&
             vcpu_pv_allowed(v, KVM_FEATURE_PV_SEND_IPI))
        v->gpr[EMUL_RAX] = irqchip_pv_ipi(v->vm, args + 1, mask == U64_MAX) & mask;
    else
        v->gpr[EMUL_RAX] = HYPERCALL_ENOSYS & mask;
    vcpu_skip(v);
    return 1;
}

static int exit_irq_window(struct vcpu *v)
{
    hv_ops->irq_window(v, false);
    return 1;
}

static int exit_nmi_window(struct vcpu *v)
{
    hv_ops->nmi_window(v, false);
    return 1;
}

/* There are none. An IRET with NT set is all that user code needs for one: it harms itself only. */
static int exit_task(struct vcpu *v)
{
    if (hv_ops->cpl(v) == 3)
        return exit_gp(v);
    v->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    v->run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    v->run->internal.ndata = 0;
    return 0;
}

/* ------------------------------------------------------------- the end of a guest */

/* KVM_EXIT_SHUTDOWN says nothing of why, and the guest is beyond saying it: is this state its own?
 */
static void exit_log_shutdown(struct vcpu *v)
{
    struct kvm_dtable idt;

    hv_ops->get_table(v, true, &idt);
    log_limited(LOG_DEBUG,
                "hv: vCPU %u: triple fault on CPU %u: rip %lx rsp %lx rflags %lx cr0 %lx cr2 %lx "
                "cr3 %lx cr4 %lx efer %lx idt %lx limit %x",
                v->id, v->cpu, v->rip, v->gpr[EMUL_RSP], v->rflags, hv_ops->get_cr(v, 0),
                hv_ops->get_cr(v, 2), hv_ops->get_cr(v, 3), hv_ops->get_cr(v, 4), v->efer,
                (u64)idt.base, idt.limit);
}

static int exit_shutdown(struct vcpu *v)
{
    exit_log_shutdown(v);
    vcpu_drop_events(v); /* what could not be delivered is what it died of */
    v->run->exit_reason = KVM_EXIT_SHUTDOWN;
    return 0;
}

static int exit_fail(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    v->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
    v->run->fail_entry.hardware_entry_failure_reason = v->exit.reason;
    v->run->fail_entry.cpu = v->cpu;
    return 0;
}

static int exit_unknown(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    v->run->exit_reason = KVM_EXIT_UNKNOWN;
    v->run->hw.hardware_exit_reason = v->exit.reason;
    return 0;
}

/* INT3, INT n or INTO, at rip still, where the CPU cannot tell the first from the others. */
static int exit_soft(struct vcpu *v)
{
    u8 len = vcpu_decode_len(v);
    const struct emul_insn *i = &v->emul.insn;

    ASSERT_HELD(&v->lock);
    if (!len)
        return exit_ud(v);
    if (i->opcode == 0xcc && vcpu_debugger_takes(v, VEC_BP))
        return vcpu_debugger_exit(v, VEC_BP, 0);
    vcpu_queue_exception(v, VEC_BP, false, 0);
    v->exception.vector = i->opcode == 0xcd ? (u8)i->imm : i->opcode == 0xce ? VEC_OF : VEC_BP;
    v->exception.soft = len;
    return 1;
}

static int exit_exception(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    if (unlikely(v->debugger.control) && vcpu_debugger_takes(v, v->exit.vector))
        return vcpu_debugger_exit(v, v->exit.vector, v->exit.debug);
    switch (v->exit.vector) {
    case VEC_UD:
        return exit_ud(v);
    case VEC_DB:
        vcpu_debug_exception(v, v->exit.debug);
        return 1;
    case VEC_AC:
        vcpu_queue_exception(v, VEC_AC, true, 0);
        return 1;
    default:
        return exit_unknown(v);
    }
}

static int (*const exit_handlers[])(struct vcpu *) = {
    [HV_EXIT_INTERRUPT] = exit_interrupt,
    [HV_EXIT_EXCEPTION] = exit_exception,
    [HV_EXIT_CPUID] = exit_cpuid,
    [HV_EXIT_HLT] = exit_hlt,
    [HV_EXIT_IO] = exit_io,
    [HV_EXIT_MSR_READ] = exit_msr_read,
    [HV_EXIT_MSR_WRITE] = exit_msr_write,
    [HV_EXIT_PAGE_FAULT] = exit_page_fault,
    [HV_EXIT_CR] = vcpu_emulate,
    [HV_EXIT_EMULATE] = vcpu_emulate,
    [HV_EXIT_IRQ_WINDOW] = exit_irq_window,
    [HV_EXIT_NMI_WINDOW] = exit_nmi_window,
    [HV_EXIT_SHUTDOWN] = exit_shutdown,
    [HV_EXIT_HYPERCALL] = exit_hypercall,
    [HV_EXIT_XSETBV] = exit_xsetbv,
    [HV_EXIT_WBINVD] = exit_skip,
    [HV_EXIT_UD] = exit_ud,
    [HV_EXIT_PAUSE] = exit_pause,
    [HV_EXIT_TASK] = exit_task,
    [HV_EXIT_SOFT] = exit_soft,
    [HV_EXIT_FAIL] = exit_fail,
    [HV_EXIT_UNKNOWN] = exit_unknown,
};

int vcpu_handle_exit(struct vcpu *v, enum hv_exit exit)
{
    return exit_handlers[exit](v);
}

int vcpu_complete_user(struct vcpu *v)
{
    const void *data = v->asked.port ? page_virt(v->run_pages[1]) : (const void *)v->run->mmio.data;
    int waiting = v->waiting;
    u8 copy[8];

    ASSERT_HELD(&v->lock);
    v->waiting = VCPU_IDLE;
    memcpy(copy, data, MIN(v->asked.len, (u32)sizeof(copy)));
    switch (waiting) {
    case VCPU_WAIT_IN:
        exit_io_result(v, copy, v->asked.len);
        return 1;
    case VCPU_WAIT_MSR:
        return vcpu_msr_done(v);
    case VCPU_WAIT_LOAD:
        return vcpu_mmio_loaded(v, copy);
    case VCPU_WAIT_READ:
        emul_supply(&v->emul, copy, v->asked.len);
        return vcpu_emulate_resume(v);
    case VCPU_WAIT_AGAIN:
        return vcpu_emulate_resume(v);
    default: /* the registers are user space's to change meanwhile */
        return v->rip == v->emul.rip ? vcpu_emulate(v) : 1;
    }
}
