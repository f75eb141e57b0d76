/* SPDX-License-Identifier: MIT
 *
 * Groups that a namespace has joined at its devices, and what is still to be said of them on the
 * link (group_report.c): one that was left stays, without users, until that
 * has been said, unless its place is needed.
 *
 * They lie in a tree by device and address, so that one is found in a few steps and the walk over a
 * device's meets no others. Programs have GROUPS_DEVICE places at a device, of which each user
 * without CAP_NET_ADMIN has GROUPS_USER at most, and all those GROUPS_USERS. What the kernel has
 * joined for an address needs no place: addresses are bounded.
 */
#include "lib/errno.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/group_priv.h"
#include "obj/cred.h"
#include "sched/timer.h"

#define GROUPS_MOST 4096
/* At one device: */
#define GROUPS_DEVICE 512U
#define GROUPS_USERS 384U
#define GROUPS_USER 256U

/* Who joins. */
struct group_joiner {
    kuid_t user;
    bool own;   /* the kernel, for an address */
    bool admin; /* a program with CAP_NET_ADMIN */
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

static int group_compare(u32 device, const struct ip_addr *addr, const struct ip_group *g)
{
    if (device != g->device)
        return device < g->device ? -1 : 1;
    return ip_compare(addr, &g->addr);
}

static bool group_less(const struct rb_node *x, const struct rb_node *y)
{
    const struct ip_group *a = rb_entry(x, struct ip_group, node);

    return group_compare(a->device, &a->addr, rb_entry(y, struct ip_group, node)) < 0;
}

struct ip_group *group_from_locked(struct ip_ns *in, u32 device, const struct ip_addr *addr)
    REQUIRES(in->lock)
{
    struct ip_group *found = NULL;
    struct rb_node *n;

    ASSERT_HELD(&in->lock);
    for (n = in->groups.node; n;) {
        struct ip_group *g = rb_entry(n, struct ip_group, node);
        bool before = group_compare(device, addr, g) > 0;

        found = before ? found : g;
        n = before ? n->right : n->left;
    }
    return found;
}

struct ip_group *group_find_locked(struct ip_ns *in, u32 device, const struct ip_addr *addr)
    REQUIRES(in->lock)
{
    struct ip_group *g;

    ASSERT_HELD(&in->lock);
    g = group_from_locked(in, device, addr);
    return g && !group_compare(device, addr, g) ? g : NULL;
}

struct ip_group *group_first_locked(struct ip_ns *in, u32 device) REQUIRES(in->lock)
{
    static const struct ip_addr least;
    struct ip_group *g;

    ASSERT_HELD(&in->lock);
    g = group_from_locked(in, device, &least);
    return g && g->device == device ? g : NULL;
}

/* The first of all. */
static struct ip_group *group_any_locked(struct ip_ns *in) REQUIRES(in->lock)
{
    struct rb_node *n = rb_first(&in->groups);

    ASSERT_HELD(&in->lock);
    return n ? rb_entry(n, struct ip_group, node) : NULL;
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
    joined = g && group_is_used(g);
    spin_unlock(&in->lock);
    return joined;
}

void group_remove_locked(struct ip_ns *in, struct ip_group *g) REQUIRES(in->lock)
{
    ASSERT_HELD(&in->lock);
    ip_due_set(&in->groups_due, &g->due, 0);
    rb_erase(&in->groups, &g->node);
    WRITE_ONCE(in->nr_groups, in->nr_groups - 1);
}

void group_due_locked(struct ip_ns *in, struct ip_group *g) REQUIRES(in->lock)
{
    ASSERT_HELD(&in->lock);
    ip_due_set(&in->groups_due, &g->due, g->report.due);
}

/* Takes a group off that was left and of which something is still to be said; NULL: none. */
static struct ip_group *group_evict_locked(struct ip_ns *in, u32 device, const struct ip_group *but)
    REQUIRES(in->lock)
{
    struct ip_group *g;

    ASSERT_HELD(&in->lock);
    g = group_first_locked(in, device);
    while (g && (g == but || group_is_used(g)))
        g = group_after(g);
    if (g)
        group_remove_locked(in, g);
    return g;
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
    other = group_first_locked(in, g->device);
    while (other && (other == g || !other->told || ip_is_v4(&other->addr) != ip_is_v4(&g->addr)))
        other = group_after(other);
    if (other) { /* what is known of the querier */
        g->report.version = other->report.version;
        g->report.older_until = other->report.older_until;
    }
    report_join(&g->report, time_ns());
    group_due_locked(in, g);
}

/* Places at a device that are taken by other groups than g. */
struct group_places {
    u32 used; /* joined by programs */
    u32 user; /* by that user's, of these */
    u32 left; /* not used any more */
};

static void group_places_locked(struct ip_ns *in, u32 device, const struct ip_group *g, kuid_t user,
                                struct group_places *out) REQUIRES(in->lock)
{
    const struct ip_group *x;

    ASSERT_HELD(&in->lock);
    *out = (struct group_places){0};
    for (x = group_first_locked(in, device); x; x = group_after(x)) {
        if (x == g)
            continue;
        out->used += x->users > 0;
        out->user += x->users && x->user == user;
        out->left += !group_is_used(x);
    }
}

/* There is a place for g, which is to have its first user, or is still to be made (NULL); if need
 * be, that of *old, which is the caller's then. */
static int group_room_locked(struct ip_ns *in, u32 device, const struct ip_group *g,
                             const struct group_joiner *who, struct ip_group **old)
    REQUIRES(in->lock)
{
    struct group_places taken;

    ASSERT_HELD(&in->lock);
    if (who->own || (g && g->users))
        return 0;
    group_places_locked(in, device, g, who->user, &taken);
    if (taken.used >= (who->admin ? GROUPS_DEVICE : GROUPS_USERS) ||
        (!who->admin && taken.user >= GROUPS_USER))
        return -ENOBUFS;
    if (taken.used + taken.left < GROUPS_DEVICE && (g || in->nr_groups < GROUPS_MOST))
        return 0;
    *old = group_evict_locked(in, device, g);
    return *old ? 0 : -ENOBUFS;
}

static struct ip_group *group_put_locked(struct ip_ns *in, struct ip_group *g,
                                         const struct netdev *dev, const struct ip_addr *addr)
    REQUIRES(in->lock)
{
    ASSERT_HELD(&in->lock);
    g->addr = *addr;
    g->device = dev->index;
    g->told = group_is_told(dev, addr);
    rb_insert(&in->groups, &g->node, group_less);
    WRITE_ONCE(in->nr_groups, in->nr_groups + 1);
    return g;
}

/* True: it is its first user. */
static bool group_use_locked(struct ip_ns *in, struct ip_group *g, const struct group_joiner *who)
    REQUIRES(in->lock)
{
    bool first = !group_is_used(g);

    ASSERT_HELD(&in->lock);
    if (who->own)
        g->addresses++;
    else if (!g->users++)
        g->user = who->user;
    if (first)
        group_begin_locked(in, g);
    return first;
}

/* made is used, then *made is NULL, or not. 1: it is the first user's. */
static int group_add(struct ip_ns *in, const struct netdev *dev, const struct ip_addr *addr,
                     const struct group_joiner *who, struct ip_group **made)
{
    struct ip_group *g, *old = NULL;
    int err;

    spin_lock(&in->lock);
    g = group_find_locked(in, dev->index, addr);
    if (READ_ONCE(dev->flags) & NETDEV_GONE) /* its groups have been forgotten, perhaps */
        err = -ENODEV;
    else
        err = group_room_locked(in, dev->index, g, who, &old);
    if (!err && !g) {
        g = group_put_locked(in, *made, dev, addr);
        *made = NULL;
    }
    if (!err)
        err = group_use_locked(in, g, who);
    spin_unlock(&in->lock);
    kfree(old);
    return err;
}

static void group_filter(struct netdev *dev, const struct ip_addr *addr, bool join)
{
    u8 link[NETDEV_ADDR];

    ip_group_link(addr, link);
    net_device_group(dev, link, join);
}

static int group_join(struct net_ns *ns, u32 device, const struct ip_addr *addr,
                      const struct group_joiner *who)
{
    struct netdev *dev = net_device_by_index(ns, device);
    struct ip_group *made;
    int err;

    if (!dev)
        return -ENODEV;
    made = ip_is_multicast(addr) ? kzalloc(sizeof(*made)) : NULL;
    if (made)
        err = group_add(ip_ns_of(ns), dev, addr, who, &made);
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

int ip_group_join(struct net_ns *ns, u32 device, const struct ip_addr *addr)
{
    const struct cred *c = current_cred();
    struct group_joiner who = {.user = c->uid,
                               .admin = cred_capable(c, ns->user_ns, CAP_NET_ADMIN)};

    return group_join(ns, device, addr, &who);
}

int ip_group_join_own(struct net_ns *ns, u32 device, const struct ip_addr *addr)
{
    return group_join(ns, device, addr, &(struct group_joiner){.own = true});
}

/* g has lost its last user. True: it stays until that is said. */
static bool group_lingers_locked(struct ip_ns *in, struct ip_group *g, bool own) REQUIRES(in->lock)
{
    struct group_places taken;

    ASSERT_HELD(&in->lock);
    if (!g->told)
        return false;
    if (own) { /* it had no place yet */
        group_places_locked(in, g->device, g, g->user, &taken);
        if (taken.used + taken.left >= GROUPS_DEVICE || in->nr_groups > GROUPS_MOST)
            return false;
    }
    report_leave(&g->report, ip_is_v4(&g->addr), time_ns());
    group_due_locked(in, g);
    return true;
}

static void group_leave(struct net_ns *ns, u32 device, const struct ip_addr *addr, bool own)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct netdev *dev = net_device_by_index(ns, device);
    struct ip_group *g;
    bool last;
    u32 *count;

    spin_lock(&in->lock);
    g = group_find_locked(in, device, addr);
    count = !g ? NULL : own ? &g->addresses : &g->users;
    last = count && *count && !--*count && !group_is_used(g);
    if (!last || (dev && group_lingers_locked(in, g, own)))
        g = NULL;
    else
        group_remove_locked(in, g);
    spin_unlock(&in->lock);
    if (last && dev)
        group_filter(dev, addr, false);
    if (last)
        membership_kick(ns);
    kfree(g);
    if (dev)
        netdev_put(dev);
}

void ip_group_leave(struct net_ns *ns, u32 device, const struct ip_addr *addr)
{
    group_leave(ns, device, addr, false);
}

void ip_group_leave_own(struct net_ns *ns, u32 device, const struct ip_addr *addr)
{
    group_leave(ns, device, addr, true);
}

void groups_free(struct list_node *gone)
{
    struct ip_group *g;

    while ((g = list_first(gone, struct ip_group, gone))) {
        list_del(&g->gone);
        kfree(g);
    }
}

void ip_groups_forget(struct net_ns *ns, u32 device)
{
    struct ip_ns *in = ip_ns_of(ns);
    struct ip_group *g, *next;
    struct list_node gone;

    list_init(&gone);
    spin_lock(&in->lock);
    g = device ? group_first_locked(in, device) : group_any_locked(in);
    for (; g; g = next) {
        next = device ? group_after(g) : NULL;
        group_remove_locked(in, g);
        list_add_tail(&gone, &g->gone);
        if (!device)
            next = group_any_locked(in);
    }
    spin_unlock(&in->lock);
    groups_free(&gone);
}
