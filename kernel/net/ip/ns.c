/* SPDX-License-Identifier: MIT
 *
 * The part of a namespace.
 */
#include "lib/log.h"
#include "mm/slab.h"
#include "net/ip/fib.h"
#include "sched/timer.h"

#define CONFIG_SLACK (10 * NSEC_PER_MSEC)

u32 ip_ns_offset;
static u64 ip_ns_numbers; /* a  the first generation of the last namespace: 2^32 lie between two */

static int ip_ns_setup(struct net_ns *ns, void *part)
{
    struct ip_ns *in = part;

    spinlock_init(&in->lock, RANK_NET, 8, "ip groups");
    in->groups = in->groups_due = RB_ROOT;
    membership_init(&in->membership, ns);
    in->generation = __atomic_add_fetch(&ip_ns_numbers, 1ULL << 32, __ATOMIC_RELAXED);
    in->values = (struct ip_values){.ttl = 64,
                                    .ports = {32768, 60999},
                                    .unprivileged = 1024,
                                    .error_rate = 1000,
                                    .error_burst = 50,
                                    .error_gap = {1000, 1000}};
    in->account = account_current(); /* which outlives ns */
    return 0;
}

static void ip_ns_teardown(struct net_ns *ns, void *part)
{
    kfree(((struct ip_ns *)part)->values.reserved);
}

NET_PART("30", ip) = {sizeof(struct ip_ns), &ip_ns_offset, ip_ns_setup, ip_ns_teardown};

struct ip_ns *ip_ns_of(struct net_ns *ns)
{
    return net_part(ns, ip_ns_offset);
}

struct neighbour_table *ip_neighbours(struct net_ns *ns, const struct ip_addr *of)
{
    struct ip_config *c = ip_config_of(ns);

    return c ? &c->neighbours[!ip_is_v4(of)] : NULL;
}

void ip_config_due(struct ip_config *c, u64 at)
{
    if (!at)
        return;
    spin_lock(&c->timer_lock);
    if (!READ_ONCE(c->closed) && (!timer_is_armed(&c->timer) || at < timer_deadline(&c->timer)))
        timer_start_within(&c->timer, at, CONFIG_SLACK);
    spin_unlock(&c->timer_lock);
}
