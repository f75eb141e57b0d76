/* SPDX-License-Identifier: MIT
 *
 * What has been learnt of paths' MTUs (RFC 1191, RFC 8201): a bounded table, in which the set of a
 * few places that an address may lie in forgets its oldest. What is learnt is forgotten after ten
 * minutes; a larger value is not believed before. How often anything is learnt is limited: what was
 * not is said again with the next packet that is too long.
 */
#include "lib/limit.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/ip/fib.h"
#include "sched/timer.h"

#define PMTU_SETS 32
#define PMTU_WAYS 4
#define PMTU_TIME (600 * NSEC_PER_SEC)
#define PMTU_EACH (50 * NSEC_PER_MSEC) /* changes: each one has all paths looked for again */
#define PMTU_BURST 64

COUNTER(net_pmtu_limited);

struct pmtu_entry {
    struct ip_addr to;
    u64 until;
    u32 mtu;
};
struct pmtu_table {
    struct pmtu_entry at[PMTU_SETS][PMTU_WAYS]; /* in->lock */
};

static u32 pmtu_set(const struct ip_addr *to)
{
    return (u32)((to->q[0] * 31 ^ to->q[1]) * 0x9e3779b97f4a7c15ULL >> 32) % PMTU_SETS;
}

static struct pmtu_table *pmtu_table_get(struct ip_ns *in)
{
    struct pmtu_table *t = load_acquire(&in->pmtu), *none = NULL;

    if (t)
        return t;
    t = kzalloc(sizeof(*t));
    if (t && !__atomic_compare_exchange_n(&in->pmtu, &none, t, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE)) {
        kfree(t);
        return none;
    }
    return t;
}

/* The entry of `to`, or the one it takes the place of. */
static struct pmtu_entry *pmtu_place(struct pmtu_table *t, const struct ip_addr *to)
{
    struct pmtu_entry *set = t->at[pmtu_set(to)], *oldest = set;

    for (u32 i = 0; i < PMTU_WAYS; i++) {
        if (ip_equal(&set[i].to, to))
            return &set[i];
        if (set[i].until < oldest->until)
            oldest = &set[i];
    }
    return oldest;
}

void pmtu_learn(struct net_ns *ns, const struct ip_addr *to, u32 mtu)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct pmtu_table *t = pmtu_table_get(in);
    u64 now = time_ns();
    struct pmtu_entry *e;
    bool changed;

    if (!t)
        return;
    spin_lock(&in->lock);
    e = pmtu_place(t, to);
    changed = !ip_equal(&e->to, to) || e->until <= now || mtu < e->mtu;
    if (changed && !limit_passes(&in->pmtu_limit, now, PMTU_EACH, PMTU_BURST)) {
        COUNT(net_pmtu_limited);
        changed = false;
    }
    if (changed)
        *e = (struct pmtu_entry){*to, now + PMTU_TIME, mtu};
    spin_unlock(&in->lock);
    if (changed)
        ip_changed(ns);
}

u32 pmtu_of(struct net_ns *ns, const struct ip_addr *to, u32 mtu)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct pmtu_table *t = load_acquire(&in->pmtu);
    const struct pmtu_entry *e;

    if (likely(!t))
        return mtu;
    spin_lock(&in->lock);
    e = pmtu_place(t, to);
    if (ip_equal(&e->to, to) && e->until > time_ns() && e->mtu < mtu)
        mtu = e->mtu;
    spin_unlock(&in->lock);
    return mtu;
}

void pmtu_free(struct net_ns *ns)
{
    kfree(ip_ns_of(ns)->pmtu);
    ip_ns_of(ns)->pmtu = NULL;
}
