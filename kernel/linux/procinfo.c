/* SPDX-License-Identifier: MIT
 *
 * The system-wide files of /proc (proc(5)), in the shapes that ps, top, free, uptime and the C
 * libraries read. What a figure does not exist for is 0, as on a Linux without it.
 */
#include "arch/x86/bootinfo.h"
#include "arch/x86/time.h"
#include "lib/err.h"
#include "lib/format.h"
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

#define PROCINFO(id, path, fn)                                   \
    static const struct pseudo_ops procinfo_##id = {.show = fn}; \
    PSEUDO_FILE(id) = {"proc", path, 0444, &procinfo_##id, NULL}

PROCINFO(meminfo, "meminfo", meminfo_show);
PROCINFO(uptime, "uptime", uptime_show);
PROCINFO(loadavg, "loadavg", loadavg_show);
PROCINFO(stat, "stat", stat_show);
PROCINFO(version, "version", version_show);
PROCINFO(cmdline, "cmdline", cmdline_show);
