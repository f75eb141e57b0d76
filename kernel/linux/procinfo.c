/* SPDX-License-Identifier: MIT
 *
 * The system-wide files of /proc (proc(5)), in the shapes that ps, top, free, uptime and the C
 * libraries read. What a figure does not exist for is 0, as on a Linux without it.
 */
#include "arch/x86/bootinfo.h"
#include "arch/x86/time.h"
#include "dev/irq.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/release.h"
#include "lib/string.h"
#include "linux/sys.h"
#include "mm/page.h"
#include "proc/nsset.h"
#include "proc/proc.h"
#include "vfs/pseudo.h"
#include "vm/object.h"

#define USER_HZ 100
#define SEC ((u64)NSEC_PER_SEC)
#define TICK (SEC / USER_HZ)
#define SHOW(fn) static int fn(struct pseudo_node *node, struct seq *out, const struct cred *cred)

/* What processes have mapped; a page that several map counts once for each, as in ps. */
static void meminfo_mapped(u64 *anon, u64 *file)
{
    struct pid *pid;

    *anon = *file = 0;
    for (u32 nr = 1; (pid = pid_next(&pid_ns_init, nr)) != NULL; nr++) {
        struct process *p = process_of_pid(pid);
        struct aspace *as = p ? process_aspace(p) : NULL;

        nr = pid_nr(pid, &pid_ns_init);
        pid_put(pid);
        if (as) {
            *anon += READ_ONCE(as->rss_anon);
            *file += READ_ONCE(as->rss_file);
            aspace_put(as);
        }
        if (p)
            process_put(p);
        cond_yield();
    }
}

/* There is one list of pages that may go, the clean ones of files: the inactive ones. */
SHOW(meminfo_show)
{
    u64 kb = PAGE_SIZE / 1024, clean = reclaim_cached_pages(), memory = mem_object_memory_pages();
    u64 dirty = (u64)MAX(atomic_read(&account_root_memory.dirty), 0L);
    u64 writing = (u64)MAX(atomic_read(&account_root_memory.writing), 0L);
    struct mem_info m;
    u64 anon, mapped;

    mem_info_get(&m);
    meminfo_mapped(&anon, &mapped);
    anon = MIN(anon, m.total - m.free);
    mapped = MIN(mapped, clean + memory);
    const struct {
        const char *name;
        u64 pages;
    } rows[] = {
        {"MemTotal", m.total},
        {"MemFree", m.free},
        {"MemAvailable", m.free + clean},
        {"Buffers", 0},
        {"Cached", clean + memory + dirty + writing},
        {"SwapCached", 0},
        {"Active", anon + memory},
        {"Inactive", clean},
        {"Active(anon)", anon + memory},
        {"Inactive(anon)", 0},
        {"Active(file)", 0},
        {"Inactive(file)", clean},
        {"Unevictable", 0},
        {"Mlocked", 0},
        {"SwapTotal", 0},
        {"SwapFree", 0},
        {"Dirty", dirty},
        {"Writeback", writing},
        {"AnonPages", anon},
        {"Mapped", mapped},
        {"Shmem", memory},
        {"KReclaimable", 0},
        {"Slab", m.slab},
        {"SReclaimable", 0},
        {"SUnreclaim", m.slab},
        {"KernelStack", m.kernel_stacks},
        {"PageTables", m.page_tables},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        seq_printf(out, "%s:%*lu kB\n", rows[i].name, 23 - (int)strlen(rows[i].name),
                   rows[i].pages * kb);
    seq_printf(out, "Hugepagesize:   %8lu kB\n", HUGE_SIZE / 1024);
    return 0;
}

/* What vmstat(8) needs; there is no swap, and reads of disks are not counted here. */
SHOW(vmstat_show)
{
    u64 clean = reclaim_cached_pages(), memory = mem_object_memory_pages(), anon, mapped;
    struct mem_info m;

    mem_info_get(&m);
    meminfo_mapped(&anon, &mapped);
    seq_printf(out, "nr_free_pages %lu\nnr_inactive_anon 0\nnr_active_anon %lu\n", m.free,
               MIN(anon, m.total - m.free) + memory);
    seq_printf(out, "nr_inactive_file %lu\nnr_active_file 0\nnr_file_pages %lu\n", clean,
               clean + memory);
    seq_printf(out, "nr_dirty 0\nnr_writeback 0\nnr_shmem %lu\n", memory);
    seq_printf(out, "nr_slab_reclaimable 0\nnr_slab_unreclaimable %lu\n", m.slab);
    seq_printf(out, "nr_page_table_pages %lu\n", m.page_tables);
    seq_printf(out, "pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\n");
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
    seq_printf(out, "%lu/%u %u\n", sched_nr_running(), pid_ns_init.count,
               READ_ONCE(current_pid_ns()->last));
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
    seq_printf(out, "intr %lu\nctxt %lu\nbtime %lu\nprocesses %lu\n", irq_count_all(),
               sched_switches(), time_wall_offset() / SEC, process_count_created());
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
PROCINFO(vmstat, "vmstat", vmstat_show);
PROCINFO(uptime, "uptime", uptime_show);
PROCINFO(loadavg, "loadavg", loadavg_show);
PROCINFO(stat, "stat", stat_show);
PROCINFO(version, "version", version_show);
PROCINFO(cmdline, "cmdline", cmdline_show);
