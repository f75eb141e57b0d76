/* SPDX-License-Identifier: MIT
 *
 * ns = ((tsc - base) * mul) >> 32, with mul = 10^9 * 2^32 / hz: exact to 1 ns in four seconds,
 * monotonic since one base and one mul serve for ever.
 */
#include "arch/x86/time.h"

#include "arch/x86/acpi.h"
#include "arch/x86/bootinfo.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "lib/atomic.h"
#include "lib/log.h"

#define NS 1000000000ULL
#define PIT_HZ 1193182
#define PMTIMER_HZ 3579545
#define MEASURE_US 2000

u64 tsc_hz;
static u64 tsc_base, tsc_mul;
static u64 tsc_adjust; /* the boot CPU's */

/* Hypervisor leaf 0x40000010 (VMware's convention; QEMU and KVM guests have it): kHz in eax. */
static u64 tsc_hz_from_hypervisor(void)
{
    struct cpuid_regs r;

    if (!cpu_has(X86_HYPERVISOR))
        return 0;
    r = cpuid_count(0x40000000, 0);
    if (r.eax < 0x40000010 || r.eax > 0x400000ff)
        return 0;
    return cpuid_count(0x40000010, 0).eax * 1000ULL;
}

/* SDM vol. 2A, CPUID leaves 0x15 and 0x16. */
static u64 tsc_hz_from_cpuid(void)
{
    u32 max = cpuid_count(0, 0).eax;
    struct cpuid_regs r;

    if (max < 0x15)
        return 0;
    r = cpuid_count(0x15, 0);
    if (r.eax && r.ebx && r.ecx)
        return (u64)r.ecx * r.ebx / r.eax;
    return 0;
}

/* Reference counters: each read gives the ticks since some start, `mask` wide. */
struct reference {
    u32 hz, mask;
    u32 (*read)(void);
};

static u16 pm_timer_port;

static u32 pm_timer_read(void)
{
    return inl(pm_timer_port);
}

/* PIT channel 2 in mode 0 counts down from 65535 and on through zero. */
static void pit_start(void)
{
    outb(0x61, (inb(0x61) & ~2) | 1); /* gate on, speaker off */
    outb(0x43, 0xb0);                 /* channel 2, both bytes, mode 0 */
    outb(0x42, 0xff);
    outb(0x42, 0xff);
}

static u32 pit_read(void)
{
    u8 low;

    outb(0x43, 0x80); /* latch channel 2 */
    low = inb(0x42);
    return ~(u32)(low | inb(0x42) << 8);
}

/* One look at both clocks: of a few, the one that took least, so that an event that takes the CPU
 * away in between (an emulator, an SMI) does no harm. */
static u64 reference_sample(const struct reference *ref, u32 *ticks)
{
    u64 least = U64_MAX, when = 0;

    for (unsigned i = 0; i < 4; i++) {
        u64 before = rdtsc();
        u32 now = ref->read();
        u64 after = rdtsc();

        if (after - before < least) {
            least = after - before;
            when = before + least / 2;
            *ticks = now;
        }
    }
    return when;
}

static u64 tsc_hz_measure(const struct reference *ref)
{
    u32 first = 0, last = 0, passed = 0, wanted = ref->hz / (1000000 / MEASURE_US);
    u64 start = reference_sample(ref, &first), end;

    for (u64 spins = 0; passed < wanted; spins++) {
        passed = (ref->read() - first) & ref->mask;
        if (spins > 1000000)
            return 0; /* it stands still */
    }
    end = reference_sample(ref, &last);
    return (end - start) * ref->hz / ((last - first) & ref->mask);
}

static u64 tsc_hz_from_reference(void)
{
    static const struct reference pm = {PMTIMER_HZ, 0xffffff, pm_timer_read};
    static const struct reference pit = {PIT_HZ, 0xffff, pit_read};
    u64 hz = 0;

    pm_timer_port = acpi_pm_timer();
    if (pm_timer_port)
        hz = tsc_hz_measure(&pm);
    if (!hz) {
        pit_start();
        hz = tsc_hz_measure(&pit);
    }
    return hz;
}

void tsc_init(void)
{
    tsc_hz = tsc_hz_from_hypervisor();
    if (!tsc_hz)
        tsc_hz = tsc_hz_from_cpuid();
    if (!tsc_hz)
        tsc_hz = tsc_hz_from_reference();
    if (!tsc_hz)
        tsc_hz = NS; /* nothing to measure against: time runs, at some speed */
    tsc_mul = (NS << 32) / tsc_hz;
    tsc_base = boot_info.entry_tsc;
    if (cpu_has(X86_TSC_ADJUST))
        (void)rdmsr_safe(MSR_IA32_TSC_ADJUST, &tsc_adjust);
}

/* The counters start together, and some firmware then writes one of them: the register tells by how
 * much (SDM vol. 3, 17.17.3). */
void tsc_init_cpu(void)
{
    u64 adjust;

    if (!cpu_has(X86_TSC_ADJUST) || rdmsr_safe(MSR_IA32_TSC_ADJUST, &adjust) ||
        adjust == tsc_adjust)
        return;
    log_warn("CPU %u: its TSC was moved by %ld, the boot CPU's by %ld: put right", cpu_id(),
             (s64)adjust, (s64)tsc_adjust);
    (void)wrmsr_safe(MSR_IA32_TSC_ADJUST, tsc_adjust);
}

u64 tsc_to_ns(u64 cycles)
{
    return (u64)(((unsigned __int128)cycles * tsc_mul) >> 32);
}

u64 time_ns(void)
{
    return tsc_to_ns(rdtsc() - tsc_base);
}

/* By the clock's own factor, which is rounded down: by the frequency the timer would come before
 * the clock says ns, by more the longer the machine runs. And never does a far time wrap into the
 * past: in both cases the interrupt would come at once, again and again. */
u64 tsc_of_ns(u64 ns)
{
    u64 high = ns >> 32, low = ns << 32, cycles, rest, tsc;

    if (high >= tsc_mul)
        return U64_MAX;
    __asm__("divq %4" : "=a"(cycles), "=d"(rest) : "0"(low), "1"(high), "r"(tsc_mul) : "cc");
    return add_overflows(cycles, tsc_base + (rest != 0), &tsc) ? U64_MAX : tsc;
}

void tsc_clock_params(u64 *base, u64 *mul)
{
    *base = tsc_base;
    *mul = tsc_mul;
}

void delay_us(u64 us)
{
    u64 end = time_ns() + us * 1000;

    while (time_ns() < end)
        cpu_relax();
}

/* ------------------------------------------------------------- the CMOS clock (MC146818) */

static u8 cmos_read(u8 reg)
{
    outb(0x70, reg);
    return inb(0x71);
}

static unsigned cmos_number(u8 reg, bool bcd)
{
    u8 v = cmos_read(reg);

    return bcd ? (v & 0x0f) + (v >> 4) * 10U : v;
}

/* Days from 1970-01-01 to a civil date, by counting whole 400-year eras of 146097 days from
 * 0000-03-01. */
static u64 days_from_civil(u64 year, unsigned month, unsigned day)
{
    u64 y = month <= 2 ? year - 1 : year;
    u64 of_era = y % 400, of_year = (153 * (month + (month > 2 ? -3U : 9U)) + 2) / 5 + day - 1;

    return y / 400 * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

u64 rtc_read(void)
{
    bool bcd = !(cmos_read(0x0b) & 4);
    bool h24 = cmos_read(0x0b) & 2;
    unsigned sec, min, hour, day, month, year;
    u8 raw_hour;

    for (unsigned spins = 0; (cmos_read(0x0a) & 0x80) && spins < 100000; spins++)
        cpu_relax();
    sec = cmos_number(0, bcd);
    min = cmos_number(2, bcd);
    raw_hour = cmos_read(4);
    hour = bcd ? (raw_hour & 0x0f) + (raw_hour >> 4 & 7) * 10U : raw_hour & 0x7fU;
    if (!h24)
        hour = hour % 12 + (raw_hour & 0x80 ? 12 : 0);
    else if (bcd)
        hour = cmos_number(4, true);
    day = cmos_number(7, bcd);
    month = cmos_number(8, bcd);
    year = 2000 + cmos_number(9, bcd);
    if (month < 1 || month > 12 || day < 1 || day > 31)
        return 0;
    return days_from_civil(year, month, day) * 86400 + hour * 3600 + min * 60 + sec;
}
