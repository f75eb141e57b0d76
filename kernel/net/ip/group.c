/* SPDX-License-Identifier: MIT
 *
 * Groups that a namespace has joined at its devices, and what is still to be said of them on the
 * link (report.h decides, membership.c sends): one that was left stays, without users, until that
 * has been said, unless its place is needed.
 */
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/random.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/ip_priv.h"
#include "sched/timer.h"
#include "vfs/pseudo.h"

#define GROUPS_MOST 4096
#define GROUPS_DEVICE 256 /* at one device */

struct ip_group {
    struct list_node node;
    struct ip_addr addr;
    u32 device;
    u32 users; /* times joined */
    bool told; /* the link is told of it */
    struct report report;
};

void ip_group_link(const struct ip_addr *group, u8 out[NETDEV_ADDR])
{
    static const u8 v4[3] = {0x01, 0x00, 0x5e}, v6[2] = {0x33, 0x33};

    if (ip_is_v4(group)) {
        memcpy(out, v4, sizeof(v4));
        out[3] = group->b[13] & 0x7f;
        memcpy(out + 4, group->b + 14, 2);
    } else {
        memcpy(out, v6, sizeof(v6));
        memcpy(out + 2, group->b + 12, 4);
    }
}

static struct ip_group *group_find_locked(struct ip_ns *in, u32 device, const struct ip_addr *addr)
    REQUIRES(in->lock)
{
    struct ip_group *g;

    ASSERT_HELD(&in->lock);
    list_for_each (g, &in->groups, node)
        if (g->device == device && ip_equal(&g->addr, addr))
            return g;
    return NULL;
}

/* All hosts and all nodes (RFC 1112, RFC 4291 2.7.1) are joined everywhere. */
static bool group_is_all(const struct ip_addr *a)
{
    static const struct ip_addr nodes = {.b = {0xff, 2, [15] = 1}},
                                own = {.b = {0xff, 1, [15] = 1}};

    return ip_is_v4(a) ? ip_v4(a) == 0xe0000001 : ip_equal(a, &nodes) || ip_equal(a, &own);
}

bool ip_group_is_joined(struct net_ns *ns, u32 device, const struct ip_addr *addr)
{
    struct ip_ns *in = ip_ns_of(ns);
    const struct ip_group *g;
    bool joined;

    if (group_is_all(addr))
        return true;
    if (!READ_ONCE(in->nr_groups))
        return false;
    spin_lock(&in->lock);
    g = group_find_locked(in, device, addr);
    joined = g && g->users;
    spin_unlock(&in->lock);
    return joined;
}

static u32 group_count_locked(struct ip_ns *in, u32 device) REQUIRES(in->lock)
{
    const struct ip_group *g;
    u32 n = 0;

    ASSERT_HELD(&in->lock);
    list_for_each (g, &in->groups, node)
        n += g->device == device;
    return n;
}

static void group_remove_locked(struct ip_ns *in, struct ip_group *g) REQUIRES(in->lock)
{
    ASSERT_HELD(&in->lock);
    list_del(&g->node);
    WRITE_ONCE(in->nr_groups, in->nr_groups - 1);
}

/* Takes a group off that was left and of which something is still to be said; NULL: none. */
static struct ip_group *group_evict_locked(struct ip_ns *in, u32 device) REQUIRES(in->lock)
{
    struct ip_group *g;

    ASSERT_HELD(&in->lock);
    list_for_each (g, &in->groups, node) {
        if (g->users || g->device != device)
            continue;
        group_remove_locked(in, g);
        return g;
    }
    return NULL;
}

/* lo has no link, and some groups are of a node alone or of everyone (RFC 3376 6, RFC 3810 6). */
static bool group_is_told(const struct netdev *dev, const struct ip_addr *a)
{
    if (!netdev_has_neighbours(dev) || group_is_all(a))
        return false;
    return ip_is_v4(a) || (a->b[1] & 15) > 1;
}

/* It has its first user. */
static void group_begin_locked(struct ip_ns *in, struct ip_group *g) REQUIRES(in->lock)
{
    const struct ip_group *other;

    ASSERT_HELD(&in->lock);
    if (!g->told)
        return;
    list_for_each (other, &in->groups, node) { /* what is known of the querier */
        if (other == g || other->device != g->device || !other->told ||
            ip_is_v4(&other->addr) != ip_is_v4(&g->addr))
            continue;
        g->report.version = other->report.version;
        g->report.older_until = other->report.older_until;
        break;
    }
    report_join(&g->report, time_ns());
}

static bool group_is_full_locked(struct ip_ns *in, u32 device) REQUIRES(in->lock)
{
    ASSERT_HELD(&in->lock);
    return in->nr_groups >= GROUPS_MOST || group_count_locked(in, device) >= GROUPS_DEVICE;
}

/* made is used or not: *made is then NULL, or what had to give up its place. 1: it is the first
 * user's. */
static int group_add(struct ip_ns *in, const struct netdev *dev, const struct ip_addr *addr,
                     struct ip_group **made)
{
    struct ip_group *old = NULL;
    struct ip_group *g;
    int err = 0;

    spin_lock(&in->lock);
    g = group_find_locked(in, dev->index, addr);
    if (!g && group_is_full_locked(in, dev->index))
        old = group_evict_locked(in, dev->index);
    if (!g && group_is_full_locked(in, dev->index)) {
        err = -ENOBUFS;
    } else if (!g) {
        g = *made;
        *made = old;
        g->addr = *addr;
        g->device = dev->index;
        g->told = group_is_told(dev, addr);
        list_add_tail(&in->groups, &g->node);
        WRITE_ONCE(in->nr_groups, in->nr_groups + 1);
    }
    if (!err && !g->users++) {
        group_begin_locked(in, g);
        err = 1;
    }
    spin_unlock(&in->lock);
    return err;
}

static void group_filter(struct netdev *dev, const struct ip_addr *addr, bool join)
{
    u8 link[NETDEV_ADDR];

    ip_group_link(addr, link);
    net_device_group(dev, link, join);
}

int ip_group_join(struct net_ns *ns, u32 device, const struct ip_addr *addr)
{
    struct netdev *dev = net_device_by_index(ns, device);
    struct ip_group *made;
    int err;

    if (!dev)
        return -ENODEV;
    made = ip_is_multicast(addr) ? kzalloc(sizeof(*made)) : NULL;
    if (made)
        err = group_add(ip_ns_of(ns), dev, addr, &made);
    else
        err = ip_is_multicast(addr) ? -ENOBUFS : -EINVAL;
    if (err > 0) {
        group_filter(dev, addr, true);
        membership_kick(ns);
    }
    kfree(made);
    netdev_put(dev);
    return err > 0 ? 0 : err;
}

void ip_group_leave(struct net_ns *ns, u32 device, const struct ip_addr *addr)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct netdev *dev = net_device_by_index(ns, device);
    struct ip_group *g;
    bool last;

    spin_lock(&in->lock);
    g = group_find_locked(in, device, addr);
    last = g && g->users && !--g->users;
    if (last && dev && g->told) {
        report_leave(&g->report, ip_is_v4(addr), time_ns());
        g = NULL; /* it stays until that is said */
    } else if (last) {
        group_remove_locked(in, g);
    } else {
        g = NULL;
    }
    spin_unlock(&in->lock);
    if (last && dev)
        group_filter(dev, addr, false);
    if (last)
        membership_kick(ns);
    kfree(g);
    if (dev)
        netdev_put(dev);
}

void ip_groups_forget(struct net_ns *ns, u32 device)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct ip_group *g, *next;
    struct list_node gone;

    list_init(&gone);
    spin_lock(&in->lock);
    list_for_each_safe (g, next, &in->groups, node) {
        if (device && g->device != device)
            continue;
        list_del(&g->node);
        list_add_tail(&gone, &g->node);
        WRITE_ONCE(in->nr_groups, in->nr_groups - 1);
    }
    spin_unlock(&in->lock);
    while ((g = list_first(&gone, struct ip_group, node))) {
        list_del(&g->node);
        kfree(g);
    }
}

/* ---- what is said of them ---- */

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
    struct ip_group *g, *after;
    struct list_node gone;

    b->nr = 0;
    list_init(&gone);
    spin_lock(&in->lock);
    list_for_each_safe (g, after, &in->groups, node) {
        bool over = false;

        if (g->report.due && g->report.due <= now)
            group_collect(g, now, &seed, b, &over);
        if (over) {
            group_remove_locked(in, g);
            list_add_tail(&gone, &g->node);
        } else if (g->report.due && (!next || g->report.due < next)) {
            next = g->report.due;
        }
    }
    spin_unlock(&in->lock);
    while ((g = list_first(&gone, struct ip_group, node))) {
        list_del(&g->node);
        kfree(g);
    }
    return next;
}

void ip_groups_ask(struct net_ns *ns, u32 device, bool v4, const struct report_query *q)
{
    struct ip_ns *in = ip_ns_of(ns);
    u64 now = time_ns(), seed = random_u64();
    struct ip_group *g;

    spin_lock(&in->lock);
    list_for_each (g, &in->groups, node) {
        if (g->device == device && g->told && ip_is_v4(&g->addr) == v4 &&
            (ip_is_any(&q->group) || ip_equal(&g->addr, &q->group)))
            report_ask(&g->report, q, v4, now, group_random(&seed));
    }
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
    list_for_each (g, &in->groups, node)
        if (g->device == device && g->told && g->users)
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
    list_for_each (g, &in->groups, node) {
        if (g->device != device || ip_is_v4(&g->addr) != v4)
            continue;
        n += g->users > 0;
        *version = MIN(*version, report_version(&g->report, v4, time_ns()));
    }
    spin_unlock(&in->lock);
    return n;
}

static void group_show(struct seq *out, const struct ip_group *g, const struct netdev *dev, u64 now)
{
    u64 left = g->report.due > now ? (g->report.due - now) / (10 * NSEC_PER_MSEC) : 0;
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
    struct ip_ns *in = ip_ns_of(ns);
    const struct ip_group *g;

    spin_lock(&in->lock);
    list_for_each (g, &in->groups, node)
        if (g->device == dev->index && g->users && ip_is_v4(&g->addr) == v4)
            group_show(out, g, dev, time_ns());
    spin_unlock(&in->lock);
}
