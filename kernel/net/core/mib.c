/* SPDX-License-Identifier: MIT
 *
 * Blocks of counters.
 */
#include "net/core/mib.h"
#include "lib/log.h"
#include "mm/slab.h"

u32 net_mibs_offset;

static void mibs_teardown(struct net_ns *ns, void *part)
{
    struct net_mibs *m = part;
    unsigned cpu;

    cpu_for_each (cpu)
        kfree(m->cpus[cpu]);
}
NET_PART("04", mibs) = {sizeof(struct net_mibs), &net_mibs_offset, NULL, mibs_teardown};

struct net_mib *net_mib_make(struct net_mibs *m)
{
    struct net_mib *mib = kzalloc(sizeof(*mib));

    if (mib)
        store_release(&m->cpus[cpu_id()], mib);
    return mib;
}

void net_count_icmp(struct net_ns *ns, bool v6, bool went, u8 type)
{
    struct net_mib *mib = net_mib(ns);

    NET_COUNT_ICMP(ns, went ? MIB_ICMP_OUT : MIB_ICMP_IN, v6);
    if (mib)
        mib->icmp[v6][went][net_mib_type(v6, type)]++;
}

u64 net_mib_of(struct net_ns *ns, u32 cpu, u32 number)
{
    const struct net_mibs *m = net_part(ns, net_mibs_offset);
    const struct net_mib *mib = load_acquire(&m->cpus[cpu]);

    return mib ? READ_ONCE(mib->v[number]) : 0;
}

u64 net_mib_sum(struct net_ns *ns, u32 number)
{
    u64 sum = 0;
    unsigned cpu;

    cpu_for_each (cpu)
        sum += net_mib_of(ns, cpu, number);
    return sum;
}

u64 net_mib_icmp_sum(struct net_ns *ns, bool v6, bool went, u8 type)
{
    const struct net_mibs *m = net_part(ns, net_mibs_offset);
    u64 sum = 0;
    unsigned cpu;

    cpu_for_each (cpu) {
        const struct net_mib *mib = load_acquire(&m->cpus[cpu]);

        sum += mib ? READ_ONCE(mib->icmp[v6][went][net_mib_type(v6, type)]) : 0;
    }
    return sum;
}
