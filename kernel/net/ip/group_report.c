/* SPDX-License-Identifier: MIT
 *
 * What is said of groups on the link, and when (report.h decides, membership.c sends), and what
 * /proc shows of them.
 */
#include "lib/format.h"
#include "lib/random.h"
#include "net/ip/group_priv.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "vfs/pseudo.h"

#define GROUPS_SHOWN 16U /* that are copied in one hold of the lock */

static u64 group_random(u64 *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 16;
}

/* g is due: into the batch, if it fits; *over: of g nothing is left to say. */
static void group_collect(struct ip_group *g, u64 now, u64 *seed, struct membership_batch *b,
                          bool *over)
{
    bool v4 = ip_is_v4(&g->addr);
    u8 version = report_version(&g->report, v4, now);
    u32 most = version < (v4 ? 3 : 2) ? 1 : v4 ? REPORT_IGMP_RECORDS : REPORT_MLD_RECORDS;

    if (b->nr && (g->device != b->device || v4 != b->v4 || version != b->version || b->nr >= most))
        return;
    b->device = g->device;
    b->v4 = v4;
    b->version = version;
    b->groups[b->nr] = g->addr;
    b->kinds[b->nr++] = (u8)report_take(&g->report, v4, now, group_random(seed), over);
}

u64 ip_groups_collect(struct net_ns *ns, struct membership_batch *b)
{
    struct ip_ns *in = ip_ns_of(ns);
    u64 now = time_ns(), seed = random_u64(), next = 0;
    struct rb_node *n, *after;
    struct list_node gone;

    b->nr = 0;
    list_init(&gone);
    spin_lock(&in->lock);
    for (n = rb_first(&in->groups); n; n = after) {
        struct ip_group *g = rb_entry(n, struct ip_group, node);
        bool over = false;

        after = rb_next(n);
        if (g->report.due && g->report.due <= now)
            group_collect(g, now, &seed, b, &over);
        if (over) {
            group_remove_locked(in, g);
            list_add_tail(&gone, &g->gone);
        } else if (g->report.due && (!next || g->report.due < next)) {
            next = g->report.due;
        }
    }
    spin_unlock(&in->lock);
    groups_free(&gone);
    return next;
}

void ip_groups_ask(struct net_ns *ns, u32 device, bool v4, const struct report_query *q)
{
    struct ip_ns *in = ip_ns_of(ns);
    u64 now = time_ns(), seed = random_u64();
    struct ip_group *g;

    spin_lock(&in->lock);
    for (g = group_first_locked(in, device); g; g = group_after(g))
        if (g->told && ip_is_v4(&g->addr) == v4 &&
            (ip_is_any(&q->group) || ip_equal(&g->addr, &q->group)))
            report_ask(&g->report, q, v4, now, group_random(&seed));
    spin_unlock(&in->lock);
    membership_kick(ns);
}

void ip_groups_heard(struct net_ns *ns, u32 device, const struct ip_addr *group)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct ip_group *g;

    spin_lock(&in->lock);
    g = group_find_locked(in, device, group);
    if (g && g->told)
        report_heard(&g->report, ip_is_v4(group), time_ns());
    spin_unlock(&in->lock);
}

void ip_groups_rejoin(struct net_ns *ns, u32 device)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct ip_group *g;

    if (!READ_ONCE(in->nr_groups))
        return;
    spin_lock(&in->lock);
    for (g = group_first_locked(in, device); g; g = group_after(g))
        if (g->told && group_is_used(g))
            report_join(&g->report, time_ns());
    spin_unlock(&in->lock);
    membership_kick(ns);
}

/* ---- /proc ---- */

u32 ip_groups_count(struct net_ns *ns, u32 device, bool v4, u8 *version)
{
    struct ip_ns *in = ip_ns_of(ns);
    const struct ip_group *g;
    u32 n = 0;

    *version = v4 ? 3 : 2;
    spin_lock(&in->lock);
    for (g = group_first_locked(in, device); g; g = group_after(g)) {
        if (ip_is_v4(&g->addr) != v4)
            continue;
        n += group_is_used(g);
        *version = MIN(*version, report_version(&g->report, v4, time_ns()));
    }
    spin_unlock(&in->lock);
    return n;
}

struct group_view {
    struct ip_addr addr;
    u32 users;
    bool told;
    u64 due;
};

/* Those of a device from an address on, at most so many; *from: where the rest begins. */
static u32 groups_view(struct ip_ns *in, u32 device, struct ip_addr *from,
                       struct group_view out[GROUPS_SHOWN], bool *more)
{
    const struct ip_group *g;
    u32 n = 0;

    spin_lock(&in->lock);
    g = group_from_locked(in, device, from);
    for (; g && g->device == device && n < GROUPS_SHOWN; g = group_after(g))
        out[n++] = (struct group_view){g->addr, g->users + g->addresses, g->told, g->report.due};
    *more = g && g->device == device;
    if (*more)
        *from = g->addr;
    spin_unlock(&in->lock);
    return n;
}

static void group_show(struct seq *out, const struct group_view *g, const struct netdev *dev,
                       u64 now)
{
    u64 left = g->due > now ? (g->due - now) / (10 * NSEC_PER_MSEC) : 0;
    const u32 *w = g->addr.w;

    if (ip_is_v4(&g->addr))
        seq_printf(out, "\t\t\t\t%08X %5u %u:%08lX\t\t%u\n", w[3], g->users, left > 0, left,
                   g->told);
    else
        seq_printf(out, "%-4u %-15s %08x%08x%08x%08x %5u %08X %lu\n", dev->index, dev->name,
                   ip_swap32(w[0]), ip_swap32(w[1]), ip_swap32(w[2]), ip_swap32(w[3]), g->users, 4U,
                   left);
}

void ip_groups_show(struct net_ns *ns, const struct netdev *dev, bool v4, struct seq *out)
{
    struct group_view some[GROUPS_SHOWN];
    struct ip_addr from = {0};
    bool more;

    do {
        u32 n = groups_view(ip_ns_of(ns), dev->index, &from, some, &more);

        for (u32 i = 0; i < n; i++)
            if (some[i].users && ip_is_v4(&some[i].addr) == v4)
                group_show(out, &some[i], dev, time_ns());
        cond_yield();
    } while (more);
}
