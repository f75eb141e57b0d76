/* SPDX-License-Identifier: MIT
 *
 * Local APIC by MMIO or MSR, I/O APICs, one-shot timer. The registers of a local APIC are 16 bytes
 * apart in MMIO and one MSR each in x2APIC mode, with the ICR as the exception (SDM vol. 3, 10.12).
 */
#include "arch/x86/apic.h"

#include "arch/x86/acpi.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "lib/atomic.h"
#include "lib/err.h"
#include "lib/log.h"

enum {
    APIC_ID = 0x20,
    APIC_TPR = 0x80,
    APIC_EOI = 0xb0,
    APIC_LDR = 0xd0,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INIT = 0x380,
    APIC_TIMER_NOW = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};
#define LVT_MASKED (1U << 16)
#define LVT_TSC_DEADLINE (2U << 17)
#define LVT_NMI (4U << 8)
#define ICR_NMI (4U << 8)
#define ICR_INIT (5U << 8)
#define ICR_STARTUP (6U << 8)
#define ICR_ASSERT (1U << 14)
#define ICR_BUSY (1U << 12)
#define TIMER_MEASURE_US 500

#define IOAPIC_MAX 8
struct ioapic {
    volatile u32 *regs;
    u32 first, pins;
};
static struct ioapic ioapics[IOAPIC_MAX];
static unsigned nr_ioapics;

static volatile u32 *apic_mmio;
static bool apic_x2;
static bool timer_deadline; /* else one-shot counts */
static u64 timer_hz;        /* of the counter at divide 1 */
static u64 timer_began;     /* of its measurement: the TSC's value */
static u32 timer_first;     /* and the counter's */

static u32 apic_read(u32 reg)
{
    return apic_x2 ? (u32)rdmsr(MSR_X2APIC_BASE + (reg >> 4)) : apic_mmio[reg / 4];
}

static void apic_write(u32 reg, u32 v)
{
    if (apic_x2)
        wrmsr(MSR_X2APIC_BASE + (reg >> 4), v);
    else
        apic_mmio[reg / 4] = v;
}

u32 apic_id(void)
{
    return apic_x2 ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

u32 apic_id_max(void)
{
    return apic_x2 ? U32_MAX - 1 : 0xfe;
}

void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

/* Interrupts off in between: a handler that sends would tear the two words of the ICR. */
static void apic_icr(u32 id, u32 low)
{
    u64 flags;

    if (apic_x2) {
        /* WRMSR to the ICR waits for no store before it: SDM 3A 10.12.3 wants both fences. */
        __asm__ volatile("mfence; lfence" ::: "memory");
        wrmsr(MSR_X2APIC_BASE + (APIC_ICR >> 4), (u64)id << 32 | low);
        return;
    }
    flags = irq_save();
    while (apic_mmio[APIC_ICR / 4] & ICR_BUSY)
        cpu_relax();
    apic_mmio[APIC_ICR_HIGH / 4] = id << 24;
    apic_mmio[APIC_ICR / 4] = low;
    irq_restore(flags);
}

static u32 apic_cpu_ids[MAX_CPUS];

void apic_send_ipi(unsigned cpu, unsigned vector)
{
    apic_icr(apic_cpu_ids[cpu], vector | ICR_ASSERT);
}

/* Never to all at once: a CPU that was not started would run what firmware has left there. */
void apic_send_nmi(unsigned cpu)
{
    apic_icr(apic_cpu_ids[cpu], ICR_NMI | ICR_ASSERT);
}

void apic_send_init(u32 id)
{
    apic_icr(id, ICR_INIT | ICR_ASSERT);
}

void apic_send_startup(u32 id, u8 page)
{
    apic_icr(id, ICR_STARTUP | ICR_ASSERT | page);
}

/* ------------------------------------------------------------- the timer */

/* One look at both counters: of a few, the one that took least. A hypervisor that takes the CPU
 * away in between would make all timers late for good. */
static u64 timer_look(u32 *count)
{
    u64 least = U64_MAX, when = 0;

    for (unsigned i = 0; i < 4; i++) {
        u64 before = rdtsc();
        u32 now = apic_read(APIC_TIMER_NOW);
        u64 after = rdtsc();

        if (after - before < least) {
            least = after - before;
            when = before + least / 2;
            *count = now;
        }
    }
    return when;
}

/* The boot CPU's counter runs from here, while the TSC is measured too. */
static void timer_measure_begin(void)
{
    apic_write(APIC_TIMER_INIT, ~0U);
    timer_began = timer_look(&timer_first);
}

void apic_timer_measure(void)
{
    u64 end;
    u32 last = 0;

    if (timer_deadline)
        return;
    while (rdtsc() - timer_began < tsc_hz / 1000000 * TIMER_MEASURE_US)
        cpu_relax();
    end = timer_look(&last);
    timer_hz = (u64)(timer_first - last) * tsc_hz / (end - timer_began);
    apic_write(APIC_TIMER_INIT, 0);
}

static void timer_init_cpu(void)
{
    apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
    if (cpu_id() == 0) {
        timer_deadline = cpu_has(X86_TSC_DEADLINE);
        if (!timer_deadline)
            timer_measure_begin();
    }
    apic_write(APIC_LVT_TIMER, VEC_TIMER | (timer_deadline ? LVT_TSC_DEADLINE : 0));
    if (timer_deadline)
        /* the mode before the first deadline, which LOCK does not do: SDM vol. 3, 10.5.4.1 */
        __asm__ volatile("mfence" ::: "memory");
}

void timer_program(u64 deadline)
{
    u64 now, count;

    if (timer_deadline) {
        wrmsr(MSR_IA32_TSC_DEADLINE, deadline == U64_MAX ? 0 : tsc_of_ns(deadline));
        return;
    }
    if (deadline == U64_MAX) {
        apic_write(APIC_TIMER_INIT, 0);
        return;
    }
    now = time_ns();
    if (deadline <= now)
        count = 1;
    else if (deadline - now > 1000000000ULL)
        count = timer_hz; /* a second; the handler sees that nothing is due and programs again */
    else
        count = (deadline - now) * timer_hz / 1000000000ULL + 1;
    apic_write(APIC_TIMER_INIT, (u32)MIN(count, (u64)~0U));
}

/* ------------------------------------------------------------- bring-up */

static void pic_disable(void)
{
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, 0xf0); /* strays land at 0xf0..0xf7: ignored */
    outb(0xa1, 0xf0);
    outb(0x21, 4);
    outb(0xa1, 2);
    outb(0x21, 1);
    outb(0xa1, 1);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

void apic_init_early(void)
{
    u64 base = rdmsr(MSR_IA32_APIC_BASE);

    apic_mmio = (volatile u32 *)(0xffff888000000000UL + (base & 0xffffff000UL));
    apic_x2 = cpu_has(X86_X2APIC);
    if (apic_x2)
        wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
}

void apic_init_cpu(void)
{
    u64 base = rdmsr(MSR_IA32_APIC_BASE);

    wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_ENABLE | (apic_x2 ? APIC_BASE_X2APIC : 0));
    apic_cpu_ids[cpu_id()] = apic_id();
    apic_write(APIC_TPR, 0);
    apic_write(APIC_SVR, 0x100 | VEC_SPURIOUS); /* first: off, it keeps its LVT masked */
    apic_write(APIC_LVT_LINT0, LVT_MASKED);
    apic_write(APIC_LVT_LINT1, LVT_NMI);
    apic_write(APIC_LVT_ERROR, LVT_MASKED);
    timer_init_cpu();
}

void apic_init_boot(void)
{
    pic_disable();
    apic_init_cpu();
}

/* ------------------------------------------------------------- I/O APIC (82093AA) */

static u32 ioapic_read(const struct ioapic *io, u32 reg)
{
    io->regs[0] = reg;
    return io->regs[4];
}

static void ioapic_write(const struct ioapic *io, u32 reg, u32 v)
{
    io->regs[0] = reg;
    io->regs[4] = v;
}

void ioapic_add(u32 address, u32 first)
{
    struct ioapic *io = &ioapics[nr_ioapics];

    if (nr_ioapics == IOAPIC_MAX)
        return;
    io->regs = (volatile u32 *)(0xffff888000000000UL + address);
    io->first = first;
    io->pins = (ioapic_read(io, 1) >> 16 & 0xff) + 1;
    for (u32 pin = 0; pin < io->pins; pin++)
        ioapic_write(io, 0x10 + pin * 2, LVT_MASKED);
    nr_ioapics++;
}

static const struct ioapic *ioapic_of(u32 gsi)
{
    for (unsigned i = 0; i < nr_ioapics; i++)
        if (gsi >= ioapics[i].first && gsi - ioapics[i].first < ioapics[i].pins)
            return &ioapics[i];
    return NULL;
}

int ioapic_route(u32 gsi, unsigned vector, unsigned cpu, bool level, bool active_low)
{
    const struct ioapic *io = ioapic_of(gsi);
    u32 reg;

    if (!io)
        return -EINVAL;
    reg = 0x10 + (gsi - io->first) * 2;
    ioapic_write(io, reg + 1, apic_cpu_ids[cpu] << 24);
    ioapic_write(io, reg, vector | (active_low ? 1U << 13 : 0) | (level ? 1U << 15 : 0));
    return 0;
}

void ioapic_mask(u32 gsi, bool masked)
{
    const struct ioapic *io = ioapic_of(gsi);
    u32 reg;

    if (!io)
        return;
    reg = 0x10 + (gsi - io->first) * 2;
    ioapic_write(io, reg, (ioapic_read(io, reg) & ~LVT_MASKED) | (masked ? LVT_MASKED : 0));
}

void ioapic_aim(u32 gsi, unsigned cpu)
{
    const struct ioapic *io = ioapic_of(gsi);

    if (io)
        ioapic_write(io, 0x11 + (gsi - io->first) * 2, apic_cpu_ids[cpu] << 24);
}

u32 ioapic_gsi_end(void)
{
    u32 end = 0;

    for (unsigned i = 0; i < nr_ioapics; i++)
        end = MAX(end, ioapics[i].first + ioapics[i].pins);
    return end;
}

/* ------------------------------------------------------------- messages (SDM vol. 3, 10.11) */

#define MSI_ADDRESS 0xfee00000UL /* destination in bits 19:12; physical, fixed, edge */
#define MSI_ID_MAX 0xfe

bool apic_can_aim(unsigned cpu)
{
    return apic_cpu_ids[cpu] <= MSI_ID_MAX;
}

void apic_message(unsigned cpu, unsigned vector, u64 *address, u32 *data)
{
    *address = MSI_ADDRESS | (u64)apic_cpu_ids[cpu] << 12;
    *data = vector;
}
