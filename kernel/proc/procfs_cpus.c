/* SPDX-License-Identifier: MIT
 *
 * Sets of processors as text.
 */
#include "arch/x86/percpu.h"
#include "proc/procfs.h"

static u64 cpus_present(u64 mask)
{
    return mask & (cpu_count() >= 64 ? U64_MAX : (1ULL << cpu_count()) - 1);
}

void procfs_cpumask(struct seq *out, u64 mask)
{
    mask = cpus_present(mask);
    if (cpu_count() > 32)
        seq_printf(out, "%08x,%08x\n", (u32)(mask >> 32), (u32)mask);
    else
        seq_printf(out, "%x\n", (u32)mask);
}

void procfs_cpulist(struct seq *out, u64 mask)
{
    const char *comma = "";

    mask = cpus_present(mask);
    while (mask) {
        unsigned first = (unsigned)__builtin_ctzll(mask);
        u64 run = ~(mask >> first);
        unsigned n = run ? (unsigned)__builtin_ctzll(run) : 64;

        seq_printf(out, n > 1 ? "%s%u-%u" : "%s%u", comma, first, first + n - 1);
        mask &= n + first >= 64 ? 0 : U64_MAX << (first + n);
        comma = ",";
    }
    seq_printf(out, "\n");
}
