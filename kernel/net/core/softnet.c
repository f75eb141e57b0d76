/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net/softnet_stat: a line for each processor of what it received of the frames of a
 * namespace's devices, in hexadecimal columns that readers count: received, lost for want of space,
 * how often a turn was over before all was done; nine that nothing here counts; the processor.
 */
#include "net/core/mib.h"
#include "vfs/pseudo.h"

#define SOFTNET_NOTHING 9

static int softnet_show(struct net_ns *ns, struct seq *out)
{
    unsigned cpu;

    cpu_for_each (cpu) {
        seq_printf(out, "%08x %08x %08x", (u32)net_mib_of(ns, cpu, MIB_FRAMES),
                   (u32)net_mib_of(ns, cpu, MIB_FRAMES_LOST),
                   (u32)net_mib_of(ns, cpu, MIB_FRAMES_LATER));
        for (u32 i = 0; i < SOFTNET_NOTHING; i++)
            seq_printf(out, " %08x", 0U);
        seq_printf(out, " %08x\n", cpu);
    }
    return 0;
}
NET_FILE(softnet) = {"softnet_stat", softnet_show};
