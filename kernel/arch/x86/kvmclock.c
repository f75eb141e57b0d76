/* SPDX-License-Identifier: MIT
 *
 * The host's wall-clock time, by KVM's paravirtual clock (its documentation of CPUID leaf
 * 0x40000001 and of MSRs 0x4b564d00 and 0x4b564d01): the time at which the clock read 0, and the
 * clock. Asked once: from then on our own time runs.
 */
#include "arch/x86/bootinfo.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "lib/compiler.h"

#define CPUID_FEATURES 0x40000001
#define FEATURE_CLOCKSOURCE2 (1U << 3)
#define MSR_WALL_CLOCK 0x4b564d00
#define MSR_SYSTEM_TIME 0x4b564d01
#define SYSTEM_TIME_ENABLED 1
#define READS_MAX 100

struct kvmclock_wall {
    u32 version, sec, nsec;
};

struct kvmclock_time {
    u32 version, pad0;
    u64 tsc, ns;
    u32 mul;
    s8 shift;
    u8 flags, pad[2];
};

static bool kvmclock_present(void)
{
    return cpu_hypervisor_is("KVMKVMKVM\0\0") &&
           (cpuid_count(CPUID_FEATURES, 0).eax & FEATURE_CLOCKSOURCE2);
}

/* ns of the clock now. An odd version is one being written. */
static bool kvmclock_now(const volatile struct kvmclock_time *page, u64 *ns)
{
    for (unsigned i = 0; i < READS_MAX; i++) {
        u32 version = page->version;
        u64 ticks = rdtsc() - page->tsc;

        barrier();
        ticks = page->shift < 0 ? ticks >> -page->shift : ticks << page->shift;
        *ns = page->ns + (u64)((unsigned __int128)ticks * page->mul >> 32);
        barrier();
        if (version && !(version & 1) && version == page->version)
            return true;
    }
    return false;
}

bool kvmclock_wall_ns(u64 *out)
{
    static struct kvmclock_wall wall __attribute__((aligned(64)));
    static struct kvmclock_time page __attribute__((aligned(64)));
    u64 ns = 0;
    bool ok;

    if (!kvmclock_present())
        return false;
    if (wrmsr_safe(MSR_WALL_CLOCK, image_phys(&wall)) ||
        wrmsr_safe(MSR_SYSTEM_TIME, image_phys(&page) | SYSTEM_TIME_ENABLED))
        return false;
    ok = kvmclock_now(&page, &ns) && READ_ONCE(wall.sec);
    wrmsr_safe(MSR_SYSTEM_TIME, 0);
    *out = READ_ONCE(wall.sec) * 1000000000UL + READ_ONCE(wall.nsec) + ns;
    return ok;
}
