/* SPDX-License-Identifier: MIT
 *
 * The system-wide files of /proc (proc(5)), in the shapes that ps, top, free, uptime and the C
 * libraries read. What a figure does not exist for is 0, as on a Linux without it.
 */
#include "arch/x86/bootinfo.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/random.h"
#include "lib/string.h"
#include "linux/sys.h"
#include "mm/page.h"
#include "proc/nsset.h"
#include "proc/proc.h"
#include "vfs/pseudo.h"

#define USER_HZ 100
#define SEC ((u64)NSEC_PER_SEC)
#define TICK (SEC / USER_HZ)
#define SHOW(fn) static int fn(struct pseudo_node *node, struct seq *out, const struct cred *cred)

SHOW(meminfo_show)
{
    struct mem_info m;
    u64 kb = PAGE_SIZE / 1024, cached;

    mem_info_get(&m);
    cached = 0;
    seq_printf(out, "MemTotal:       %8lu kB\n", m.total * kb);
    seq_printf(out, "MemFree:        %8lu kB\n", m.free * kb);
    seq_printf(out, "MemAvailable:   %8lu kB\n", m.free * kb);
    seq_printf(out, "Buffers:        %8lu kB\n", 0UL);
    seq_printf(out, "Cached:         %8lu kB\n", cached * kb);
    seq_printf(out, "SwapCached:     %8lu kB\n", 0UL);
    seq_printf(out, "Active:         %8lu kB\n", 0UL);
    seq_printf(out, "Inactive:       %8lu kB\n", 0UL);
    seq_printf(out, "SwapTotal:      %8lu kB\n", 0UL);
    seq_printf(out, "SwapFree:       %8lu kB\n", 0UL);
    seq_printf(out, "Dirty:          %8lu kB\n", 0UL);
    seq_printf(out, "Writeback:      %8lu kB\n", 0UL);
    seq_printf(out, "AnonPages:      %8lu kB\n", 0UL);
    seq_printf(out, "Mapped:         %8lu kB\n", 0UL);
    seq_printf(out, "Shmem:          %8lu kB\n", 0UL);
    seq_printf(out, "Slab:           %8lu kB\n", m.slab * kb);
    seq_printf(out, "SReclaimable:   %8lu kB\n", 0UL);
    seq_printf(out, "SUnreclaim:     %8lu kB\n", m.slab * kb);
    seq_printf(out, "KernelStack:    %8lu kB\n", m.kernel_stacks * kb);
    seq_printf(out, "PageTables:     %8lu kB\n", m.page_tables * kb);
    seq_printf(out, "Hugepagesize:   %8lu kB\n", HUGE_SIZE / 1024);
    return 0;
}

SHOW(uptime_show)
{
    u64 now = time_ns(), idle = 0, user, system, cpu_idle;
    unsigned cpu;

    cpu_for_each (cpu) {
        sched_cpu_times(cpu, &user, &system, &cpu_idle);
        idle += cpu_idle;
    }
    seq_printf(out, "%lu.%02lu %lu.%02lu\n", now / SEC, now % SEC / 10000000, idle / SEC,
               idle % SEC / 10000000);
    return 0;
}

SHOW(loadavg_show)
{
    for (unsigned i = 0; i < 3; i++) {
        u64 v = sched_load_avg(i);

        seq_printf(out, "%lu.%02lu ", v >> 11, ((v & 2047) * 100) >> 11);
    }
    seq_printf(out, "%lu/%u %u\n", sched_nr_running(), pid_ns_init.count, pid_ns_init.last);
    return 0;
}

SHOW(stat_show)
{
    u64 user, system, idle, all[3] = {0};
    unsigned cpu;

    cpu_for_each (cpu) {
        sched_cpu_times(cpu, &user, &system, &idle);
        all[0] += user;
        all[1] += system;
        all[2] += idle;
    }
    seq_printf(out, "cpu  %lu 0 %lu %lu 0 0 0 0 0 0\n", all[0] / TICK, all[1] / TICK,
               all[2] / TICK);
    cpu_for_each (cpu) {
        sched_cpu_times(cpu, &user, &system, &idle);
        seq_printf(out, "cpu%u %lu 0 %lu %lu 0 0 0 0 0 0\n", cpu, user / TICK, system / TICK,
                   idle / TICK);
    }
    seq_printf(out, "intr 0\nctxt 0\nbtime %lu\nprocesses %u\n", time_wall_offset() / SEC,
               pid_ns_init.last);
    seq_printf(out, "procs_running %lu\nprocs_blocked 0\n", sched_nr_running());
    return 0;
}

static void cpuinfo_name(char name[49])
{
    if (cpuid_count(0x80000000, 0).eax < 0x80000004) {
        strlcpy(name, "unknown", 49);
        return;
    }
    for (u32 i = 0; i < 3; i++) {
        struct cpuid_regs r = cpuid_count(0x80000002 + i, 0);

        memcpy(name + i * 16, &r, 16);
    }
    name[48] = '\0';
}

static void cpuinfo_flags(struct seq *out)
{
    static const struct {
        enum cpu_feature bit;
        const char *name;
    } flags[] = {
        {X86_PGE, "pge"},
        {X86_PAT, "pat"},
        {X86_NX, "nx"},
        {X86_PDPE1GB, "pdpe1gb"},
        {X86_RDTSCP, "rdtscp"},
        {X86_VMX, "vmx"},
        {X86_X2APIC, "x2apic"},
        {X86_TSC_DEADLINE, "tsc_deadline_timer"},
        {X86_XSAVE, "xsave"},
        {X86_RDRAND, "rdrand"},
        {X86_HYPERVISOR, "hypervisor"},
        {X86_SVM, "svm"},
        {X86_FSGSBASE, "fsgsbase"},
        {X86_SMEP, "smep"},
        {X86_ERMS, "erms"},
        {X86_RDSEED, "rdseed"},
        {X86_SMAP, "smap"},
        {X86_UMIP, "umip"},
        {X86_XSAVEOPT, "xsaveopt"},
    };

    seq_printf(out, "flags\t\t: fpu de pse tsc msr pae cx8 apic sep cmov fxsr sse sse2 syscall lm");
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
        if (cpu_has(flags[i].bit))
            seq_printf(out, " %s", flags[i].name);
    seq_printf(out, "\n");
}

SHOW(cpuinfo_show)
{
    struct cpuid_regs vendor = cpuid_count(0, 0), sig = cpuid_count(1, 0);
    u32 family = sig.eax >> 8 & 15, model = sig.eax >> 4 & 15;
    char name[49], id[13];
    unsigned cpu;

    if (family == 6 || family == 15)
        model += (sig.eax >> 16 & 15) << 4;
    if (family == 15)
        family += sig.eax >> 20 & 255;
    memcpy(id, &vendor.ebx, 4);
    memcpy(id + 4, &vendor.edx, 4);
    memcpy(id + 8, &vendor.ecx, 4);
    id[12] = '\0';
    cpuinfo_name(name);
    cpu_for_each (cpu) {
        seq_printf(out, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", cpu,
                   id, family, model);
        seq_printf(out, "model name\t: %s\nstepping\t: %u\n", name, sig.eax & 15);
        seq_printf(out, "cpu MHz\t\t: %lu.%03lu\ncpu cores\t: %u\nsiblings\t: %u\n",
                   tsc_hz / 1000000, tsc_hz / 1000 % 1000, cpu_count(), cpu_count());
        cpuinfo_flags(out);
        seq_printf(out, "address sizes\t: 48 bits physical, 48 bits virtual\n\n");
    }
    return 0;
}

SHOW(version_show)
{
    seq_printf(out, "Linux version " UTS_RELEASE " (bothy) " UTS_VERSION "\n");
    return 0;
}

SHOW(cmdline_show)
{
    seq_printf(out, "%s\n", boot_info.cmdline);
    return 0;
}

SHOW(ostype_show)
{
    seq_printf(out, "Linux\n");
    return 0;
}

SHOW(osrelease_show)
{
    seq_printf(out, UTS_RELEASE "\n");
    return 0;
}

SHOW(kernel_version_show)
{
    seq_printf(out, UTS_VERSION "\n");
    return 0;
}

SHOW(hostname_show)
{
    seq_printf(out, "%s\n", task_nsset(current_task())->uts->nodename);
    return 0;
}

SHOW(pid_max_show)
{
    seq_printf(out, "%u\n", PID_MAX);
    return 0;
}

SHOW(overcommit_show)
{
    seq_printf(out, "1\n"); /* memory is charged when it is touched */
    return 0;
}

/* A random UUID (version 4); boot_id keeps the first. */
static void uuid_print(struct seq *out, const u8 *b)
{
    seq_printf(out, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n", b[0],
               b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
               b[14], b[15]);
}

static void uuid_make(u8 b[16])
{
    random_bytes(b, 16);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
}

SHOW(uuid_show)
{
    u8 b[16];

    uuid_make(b);
    uuid_print(out, b);
    return 0;
}

SHOW(boot_id_show)
{
    static u8 id[16];
    static bool made;

    if (!__atomic_exchange_n(&made, true, __ATOMIC_SEQ_CST))
        uuid_make(id);
    uuid_print(out, id);
    return 0;
}

SHOW(file_nr_show)
{
    seq_printf(out, "%lu\t0\t%lu\n", file_open_count(), S64_MAX);
    return 0;
}

#define PROCINFO(id, path, fn)                                   \
    static const struct pseudo_ops procinfo_##id = {.show = fn}; \
    PSEUDO_FILE(id) = {"proc", path, 0444, &procinfo_##id, NULL}

PROCINFO(meminfo, "meminfo", meminfo_show);
PROCINFO(uptime, "uptime", uptime_show);
PROCINFO(loadavg, "loadavg", loadavg_show);
PROCINFO(stat, "stat", stat_show);
PROCINFO(cpuinfo, "cpuinfo", cpuinfo_show);
PROCINFO(version, "version", version_show);
PROCINFO(cmdline, "cmdline", cmdline_show);
PROCINFO(ostype, "sys/kernel/ostype", ostype_show);
PROCINFO(osrelease, "sys/kernel/osrelease", osrelease_show);
PROCINFO(kversion, "sys/kernel/version", kernel_version_show);
PROCINFO(hostname, "sys/kernel/hostname", hostname_show);
PROCINFO(pid_max, "sys/kernel/pid_max", pid_max_show);
PROCINFO(uuid, "sys/kernel/random/uuid", uuid_show);
PROCINFO(boot_id, "sys/kernel/random/boot_id", boot_id_show);
PROCINFO(overcommit, "sys/vm/overcommit_memory", overcommit_show);
PROCINFO(file_nr, "sys/fs/file-nr", file_nr_show);
