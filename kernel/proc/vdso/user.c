/* SPDX-License-Identifier: MIT
 *
 * What runs in the program: the clocks and the CPU number, by the names and the version that
 * vdso(7) gives for x86-64. Each does what the system call does, and makes the call for what it
 * does not know. No data of its own: it reads the clock page, which lies just below it.
 */
#include "arch/x86/entry.h"
#include "sched/clock_page.h"

#define NSEC 1000000000UL
#define NR_CLOCK_GETTIME 228
#define NR_GETTIMEOFDAY 96
#define NR_CLOCK_GETRES 229
#define EXPORT __attribute__((visibility("default")))

enum { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_RAW = 4, CLOCK_BOOTTIME = 7, CLOCK_TAI = 11 };
/* Those that read as the wall clock, and as the time since boot: one bit each. */
#define CLOCKS_WALL (1U << CLOCK_REALTIME | 1U << 5 | 1U << 8 | 1U << CLOCK_TAI)
#define CLOCKS_BOOT \
    (1U << CLOCK_MONOTONIC | 1U << CLOCK_RAW | 1U << 6 | 1U << CLOCK_BOOTTIME | 1U << 9)

struct timespec {
    s64 sec, nsec;
};

struct timeval {
    s64 sec, usec;
};

/* Placed by the linker script. */
extern const struct clock_page vvar __attribute__((visibility("hidden")));

int __vdso_clock_gettime(s32 clock, struct timespec *ts);
int __vdso_gettimeofday(struct timeval *tv, s32 *tz);
int __vdso_clock_getres(s32 clock, struct timespec *ts);
s64 __vdso_time(s64 *t);
int __vdso_getcpu(u32 *cpu, u32 *node, void *unused);

static inline long syscall2(long nr, long a, long b)
{
    long r;

    __asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return r;
}

/* LFENCE: not before what the program did earlier (SDM vol. 2B, RDTSC). */
static inline u64 ns_since_boot(void)
{
    u32 lo, hi;

    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (u64)((unsigned __int128)(((u64)hi << 32 | lo) - vvar.tsc_base) * vvar.tsc_mul >> 32);
}

static inline u64 wall_ns(void)
{
    return ns_since_boot() + __atomic_load_n(&vvar.wall, __ATOMIC_RELAXED);
}

EXPORT int __vdso_clock_gettime(s32 clock, struct timespec *ts)
{
    u32 bit = (u32)clock < 32 && vvar.tsc_mul ? 1U << clock : 0;
    u64 ns;

    if (bit & CLOCKS_BOOT)
        ns = ns_since_boot();
    else if (bit & CLOCKS_WALL)
        ns = wall_ns();
    else
        return (int)syscall2(NR_CLOCK_GETTIME, clock, (long)ts);
    ts->sec = (s64)(ns / NSEC);
    ts->nsec = (s64)(ns % NSEC);
    return 0;
}

EXPORT int __vdso_gettimeofday(struct timeval *tv, s32 *tz)
{
    u64 ns;

    if (!vvar.tsc_mul)
        return (int)syscall2(NR_GETTIMEOFDAY, (long)tv, (long)tz);
    if (tv) {
        ns = wall_ns();
        tv->sec = (s64)(ns / NSEC);
        tv->usec = (s64)(ns % NSEC / 1000);
    }
    if (tz)
        tz[0] = tz[1] = 0;
    return 0;
}

EXPORT int __vdso_clock_getres(s32 clock, struct timespec *ts)
{
    u32 bit = (u32)clock < 32 ? 1U << clock : 0;

    if (!(bit & (CLOCKS_WALL | CLOCKS_BOOT)))
        return (int)syscall2(NR_CLOCK_GETRES, clock, (long)ts);
    if (ts)
        *ts = (struct timespec){0, 1};
    return 0;
}

EXPORT s64 __vdso_time(s64 *t)
{
    struct timespec now;
    s64 r = __vdso_clock_gettime(CLOCK_REALTIME, &now);

    if (!r)
        r = now.sec;
    if (t)
        *t = r;
    return r;
}

/* The limit of a segment that each CPU's GDT has for this purpose is the CPU's number. */
EXPORT int __vdso_getcpu(u32 *cpu, u32 *node, void *unused)
{
    u32 limit;

    __asm__ volatile("lsl %1, %0" : "=r"(limit) : "r"((u32)SEL_USER_CPU) : "cc");
    if (cpu)
        *cpu = limit;
    if (node)
        *node = 0;
    return 0;
}

#define ALIAS(type, name, args) type name args __attribute__((weak, alias("__vdso_" #name)))
ALIAS(int, clock_gettime, (s32, struct timespec *));
ALIAS(int, gettimeofday, (struct timeval *, s32 *));
ALIAS(int, clock_getres, (s32, struct timespec *));
ALIAS(s64, time, (s64 *));
ALIAS(int, getcpu, (u32 *, u32 *, void *));
