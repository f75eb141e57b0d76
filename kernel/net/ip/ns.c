/* SPDX-License-Identifier: MIT
 *
 * The part of a namespace.
 */
#include "lib/log.h"
#include "net/ip/fib.h"
#include "sched/timer.h"

#define CONFIG_SLACK (10 * NSEC_PER_MSEC)

static u32 ip_ns_offset;
static u64 ip_ns_numbers; /* a  the first generation of the last namespace: 2^32 lie between two */

static int ip_ns_setup(struct net_ns *ns, void *part)
{
    struct ip_ns *in = part;

    spinlock_init(&in->lock, RANK_NET, 8, "ip groups");
    list_init(&in->groups);
    in->generation = __atomic_add_fetch(&ip_ns_numbers, 1ULL << 32, __ATOMIC_RELAXED);
    in->account = account_current(); /* which outlives ns */
    return 0;
}

NET_PART("30", ip) = {sizeof(struct ip_ns), &ip_ns_offset, ip_ns_setup, NULL};

struct ip_ns *ip_ns_of(struct net_ns *ns)
{
    return net_part(ns, ip_ns_offset);
}

struct neighbour_table *ip_neighbours(struct net_ns *ns)
{
    struct ip_config *c = ip_config_of(ns);

    return c ? &c->neighbours : NULL;
}

void ip_config_due(struct ip_config *c, u64 at)
{
    if (at && !READ_ONCE(c->closed) &&
        (!timer_is_armed(&c->timer) || at < timer_deadline(&c->timer)))
        timer_start_within(&c->timer, at, CONFIG_SLACK);
}

bool ip_sysctl(struct net_ns *ns, enum ip_sysctl which)
{
    return READ_ONCE(ip_ns_of(ns)->sysctls[which]);
}

void ip_sysctl_set(struct net_ns *ns, enum ip_sysctl which, bool on)
{
    WRITE_ONCE(ip_ns_of(ns)->sysctls[which], on);
    ip_changed(ns);
}
