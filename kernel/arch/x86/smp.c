/* SPDX-License-Identifier: MIT
 *
 * INIT, STARTUP, STARTUP (SDM vol. 3, 8.4.4). The trampoline (trampoline.S) is copied below 1 MiB
 * with its parameters behind it; the new CPU comes out of it in long mode on the boot page tables.
 */
#include "arch/x86/smp.h"

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/bootinfo.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/mce.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/pte.h"
#include "arch/x86/spec.h"
#include "arch/x86/regs.h"
#include "arch/x86/switch.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "lib/atomic.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"

#define INIT_DELAY_US 200
#define STARTUP_DELAY_US 500
#define START_TIMEOUT_US 2000000 /* an emulator on a busy machine takes its time */

/* At the end of the trampoline; see there. */
struct trampoline_params {
    u64 boot_cr3, cr4, efer, first, cr3, rsp, cpu, delta;
};
extern char trampoline_start[], trampoline_end[], trampoline_params[];
extern char __percpu_start[], __kernel_start[];
extern u64 boot_pml4[], boot_pdpt[];
void smp_first(void); /* trampoline.S */
void smp_entry(u64 cpu, u64 delta);

/* Of the processor that is being started: it answers, or is given up, never both. */
enum { SMP_AWAITED, SMP_UP, SMP_GIVEN_UP };
static u32 smp_state; /* a */

static bool smp_decide(u32 state)
{
    u32 awaited = SMP_AWAITED;

    return __atomic_compare_exchange_n(&smp_state, &awaited, state, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static void *smp_low(u64 pa)
{
    return (void *)(0xffff888000000000UL + pa);
}

/* On the new CPU, on its idle stack and the kernel's page tables. */
void smp_entry(u64 cpu, u64 delta)
{
    wrmsr(MSR_GS_BASE, delta);
    cpu_features_enable();
    trap_init_cpu();
    spec_init_cpu();
    mce_init_cpu();
    tsc_init_cpu();
    fpu_init_cpu();
    apic_init_cpu();
    if (!smp_decide(SMP_UP))
        for (;;) /* too late; an INIT is on its way */
            halt();
    up_ap_init((unsigned)cpu); /* from the next line on others put threads on its queue */
    store_release(&percpu_online, (unsigned)cpu + 1);
    up_ap_main();
}

static void smp_prepare_percpu(unsigned cpu, void *percpu)
{
    u64 delta = (u64)percpu - (u64)__percpu_start;

    memset(percpu, 0, percpu_size());
    percpu_delta[cpu] = delta;
    *per_cpu_ptr(percpu_self_delta, cpu) = delta;
    *per_cpu_ptr(percpu_id, cpu) = cpu;
    *per_cpu_ptr(percpu_work, cpu) = &percpu_no_work;
}

/* The trampoline runs where it is copied to, so the boot tables map the low memory once more. */
static void smp_prepare_trampoline(unsigned cpu, u64 cr3, void *stack_top)
{
    u64 offset = (u64)(trampoline_params - trampoline_start);
    struct trampoline_params *p = smp_low(SMP_TRAMPOLINE + offset);

    memcpy(smp_low(SMP_TRAMPOLINE), trampoline_start, (size_t)(trampoline_end - trampoline_start));
    *p = (struct trampoline_params){
        .boot_cr3 = image_phys(boot_pml4),
        .cr4 = CR4_PAE,
        .efer = EFER_LME | (cpu_has(X86_NX) ? EFER_NXE : 0),
        .first = (u64)smp_first,
        .cr3 = cr3,
        .rsp = (u64)stack_top,
        .cpu = cpu,
        .delta = percpu_delta[cpu],
    };
    boot_pml4[0] = image_phys(boot_pdpt) | PTE_P | PTE_W;
}

static bool smp_wait(u64 us)
{
    u64 deadline = time_ns() + us * 1000;

    while (time_ns() < deadline) {
        if (load_acquire(&smp_state) == SMP_UP)
            return true;
        cpu_relax();
    }
    return false;
}

int smp_start(unsigned index, u64 cr3, void *percpu, void *stack_top)
{
    unsigned cpu = cpu_count();
    u32 id = acpi_cpu_apic_id(index);
    bool up;

    store_release(&smp_state, SMP_AWAITED);
    smp_prepare_percpu(cpu, percpu);
    smp_prepare_trampoline(cpu, cr3, stack_top);
    apic_send_init(id);
    delay_us(INIT_DELAY_US);
    apic_send_startup(id, SMP_TRAMPOLINE >> 12);
    up = smp_wait(STARTUP_DELAY_US);
    if (!up) {
        apic_send_startup(id, SMP_TRAMPOLINE >> 12);
        up = smp_wait(START_TIMEOUT_US) || !smp_decide(SMP_GIVEN_UP);
    }
    if (up)
        while (cpu_count() != cpu + 1)
            cpu_relax();
    else
        apic_send_init(id); /* back to waiting, before what it runs on is unmapped */
    boot_pml4[0] = 0;
    return up ? 0 : -EIO;
}
