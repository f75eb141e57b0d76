/* SPDX-License-Identifier: MIT
 *
 * What others want of a vCPU. A request is a bit that the vCPU's thread looks at before each entry,
 * with interrupts off; a kick makes it look: an IPI ends its stay in the guest, or it is woken out
 * of HLT. Irq-safe, and under any lock: nothing is taken but the wait queue's.
 */
#include "arch/x86/apic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/trap.h"
#include "hv/vcpu/vcpu.h"

static void vcpu_kick_running(struct vcpu *v)
{
    u32 cpu = READ_ONCE(v->cpu);

    /* Pairs with the exchange of mode in vcpu_enter. */
    if (__atomic_load_n(&v->mode, __ATOMIC_SEQ_CST) == VCPU_IN_GUEST && cpu != CPU_NONE &&
        cpu != cpu_id())
        apic_send_ipi(cpu, VEC_RESCHED);
}

static void vcpu_kick(struct vcpu *v)
{
    waitq_wake_all(&v->halt_wait);
    vcpu_kick_running(v);
}

void vcpu_request_running(struct vcpu *v, u32 bits)
{
    __atomic_fetch_or(&v->requests, bits, __ATOMIC_SEQ_CST);
    vcpu_kick_running(v);
}

void vcpu_request(struct vcpu *v, u32 bits)
{
    __atomic_fetch_or(&v->requests, bits, __ATOMIC_SEQ_CST);
    vcpu_kick(v);
}
