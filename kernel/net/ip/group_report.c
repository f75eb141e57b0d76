/* SPDX-License-Identifier: MIT
 *
 * What is said of groups on the link, and when (report.h decides, membership.c sends), and what
 * /proc shows of them.
 */
#include "lib/format.h"
#include "lib/limit.h"
#include "lib/log.h"
#include "lib/random.h"
#include "net/ip/fib.h"
#include "net/ip/group_priv.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "vfs/pseudo.h"

#define GROUPS_SHOWN 16U  /* that are copied in one hold of the lock */
#define GROUPS_LOOKED 64U /* that one hold looks at otherwise */
/* Queries for all groups of a device cost all of them: a querier sends few (RFC 3376 8: one in two
 * minutes, two at its start). */
#define QUERY_EACH (200 * NSEC_PER_MSEC)
#define QUERY_BURST 16

COUNTER(net_group_queries_limited);

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

    if (b->nr && (g->device != b->device || v4 != b->v4 || version != b->version))
        return;
    b->device = g->device;
    b->v4 = v4;
    b->version = version;
    b->groups[b->nr] = g->addr;
    b->kinds[b->nr++] = (u8)report_take(&g->report, v4, now, group_random(seed), over);
}

static bool groups_batch_is_full(const struct membership_batch *b)
{
    if (b->nr && b->version < (b->v4 ? 3 : 2))
        return true;
    return b->nr >= (!b->nr || b->v4 ? REPORT_IGMP_RECORDS : REPORT_MLD_RECORDS);
}

static void groups_collect_locked(struct ip_ns *in, u64 now, struct membership_batch *b,
                                  struct list_node *gone) REQUIRES(in->lock)
{
    struct ip_due *d = ip_due_first(&in->groups_due), *after;
    u64 seed = random_u64();

    ASSERT_HELD(&in->lock);
    for (u32 n = 0; d && d->at <= now && n < GROUPS_LOOKED && !groups_batch_is_full(b); n++) {
        struct ip_group *g = container_of(d, struct ip_group, due);
        bool over = false;

        after = ip_due_after(d);
        group_collect(g, now, &seed, b, &over);
        if (over) {
            group_remove_locked(in, g);
            list_add_tail(gone, &g->gone);
        } else {
            group_due_locked(in, g);
        }
        d = after;
    }
}

u64 ip_groups_collect(struct net_ns *ns, struct membership_batch *b)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct list_node gone;
    u64 next;

    b->nr = 0;
    list_init(&gone);
    spin_lock(&in->lock);
    groups_collect_locked(in, time_ns(), b, &gone);
    next = ip_due_next(&in->groups_due);
    spin_unlock(&in->lock);
    groups_free(&gone);
    return next;
}

/* What is to be done with some of a device's groups. */
struct groups_step {
    void (*fn)(struct ip_ns *in, struct ip_group *g, const struct groups_step *s);
    const struct report_query *q;
    bool v4;
};

/* All groups of a device, some in each hold of the lock. */
static void groups_walk(struct ip_ns *in, u32 device, const struct groups_step *s)
{
    struct ip_addr from = {0};
    struct ip_group *g;

    do {
        u32 n = 0;

        spin_lock(&in->lock);
        g = group_from_locked(in, device, &from);
        g = g && g->device == device ? g : NULL;
        for (; g && n < GROUPS_LOOKED; g = group_after(g), n++) {
            s->fn(in, g, s);
            group_due_locked(in, g);
        }
        if (g)
            from = g->addr;
        spin_unlock(&in->lock);
    } while (g);
}

static void group_ask(struct ip_ns *in, struct ip_group *g, const struct groups_step *s)
{
    u64 seed = random_u64();

    if (g->told && ip_is_v4(&g->addr) == s->v4)
        report_ask(&g->report, s->q, s->v4, time_ns(), group_random(&seed));
}

/* Each device has a limit of its own: one that is asked without end keeps no other from answering.
 * What was never up has none, nor any group. */
static bool groups_may_be_asked(const struct netdev *dev, bool v4)
{
    struct ip_device *d = ip_device_of(dev);

    if (d && limit_passes(&d->queries[!v4], time_ns(), QUERY_EACH, QUERY_BURST))
        return true;
    COUNT(net_group_queries_limited);
    return false;
}

/* Within RCU. */
void ip_groups_ask(struct netdev *dev, bool v4, const struct report_query *q)
{
    const struct groups_step step = {.fn = group_ask, .q = q, .v4 = v4};
    struct ip_ns *in = ip_ns_of(dev->ns);
    struct ip_group *g;

    if (ip_is_any(&q->group)) {
        if (!groups_may_be_asked(dev, v4))
            return;
        groups_walk(in, dev->index, &step);
    } else {
        spin_lock(&in->lock);
        g = group_find_locked(in, dev->index, &q->group);
        if (g) {
            group_ask(in, g, &step);
            group_due_locked(in, g);
        }
        spin_unlock(&in->lock);
    }
    membership_kick(dev->ns);
}

void ip_groups_heard(struct net_ns *ns, u32 device, const struct ip_addr *group)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct ip_group *g;

    spin_lock(&in->lock);
    g = group_find_locked(in, device, group);
    if (g && g->told) {
        report_heard(&g->report, ip_is_v4(group), time_ns());
        group_due_locked(in, g);
    }
    spin_unlock(&in->lock);
}

static void group_rejoin(struct ip_ns *in, struct ip_group *g, const struct groups_step *s)
{
    if (g->told && group_is_used(g))
        report_join(&g->report, time_ns());
}

void ip_groups_rejoin(struct net_ns *ns, u32 device)
{
    const struct groups_step step = {.fn = group_rejoin};
    struct ip_ns *in = ip_ns_of(ns);

    if (!READ_ONCE(in->nr_groups))
        return;
    groups_walk(in, device, &step);
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
