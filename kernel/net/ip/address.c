/* SPDX-License-Identifier: MIT
 *
 * Addresses of devices: set, taken away, listed, their time over.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/event.h"
#include "net/ip/address_priv.h"
#include "net/ip/ipv6.h"
#include "net/ip/nd.h"
#include "net/link/loopback.h"
#include "sched/timer.h"

#define ADDRS_STEP 32U /* that one call of address_time sees to, or drops */

int addr_compare(const struct ip_ifaddr *a, u32 device, u16 family, const struct ip_addr *addr,
                 u8 prefix)
{
    int cmp;

    if (device != a->dev->index)
        return device < a->dev->index ? -1 : 1;
    if (family != a->family)
        return family < a->family ? -1 : 1;
    cmp = ip_compare(addr, &a->addr);
    return cmp ? cmp : (int)prefix - a->prefix;
}

static bool addr_less(const struct rb_node *x, const struct rb_node *y)
{
    const struct ip_ifaddr *a = rb_entry(x, struct ip_ifaddr, node);

    return addr_compare(rb_entry(y, struct ip_ifaddr, node), a->dev->index, a->family, &a->addr,
                        a->prefix) < 0;
}

static u32 addr_seconds(u64 until, u64 now)
{
    if (!until)
        return IP_FOREVER;
    return until > now ? (u32)((until - now) / NSEC_PER_SEC) : 0;
}

static void addr_view(const struct ip_ifaddr *a, u64 now, struct ip_addr_view *v)
{
    *v = (struct ip_addr_view){.family = a->family,
                               .prefix = a->prefix,
                               .scope = a->scope,
                               .flags = a->flags,
                               .device = a->dev->index,
                               .addr = a->addr,
                               .peer = a->peer,
                               .broadcast = a->broadcast,
                               .valid = addr_seconds(a->valid_until, now),
                               .preferred = addr_seconds(a->preferred_until, now),
                               .metric = a->metric,
                               .created = a->created,
                               .updated = a->updated,
                               .protocol = a->protocol};
    memcpy(v->label, a->label, NETDEV_NAME);
}

void addr_tell(struct ip_config *c, const struct ip_ifaddr *a, enum net_event_kind kind, u32 change)
{
    struct ip_addr_view v;

    addr_view(a, time_ns(), &v);
    net_event(c->ns, kind, &v, change);
}

/* ---- adding and removing ---- */

static void addr_free(struct rcu_head *h)
{
    kfree(container_of(h, struct ip_ifaddr, rcu));
}

static void addr_unlink(struct ip_config *c, struct ip_ifaddr *a)
{
    struct ip_ifaddr **link = &ip_device_of(a->dev)->addrs;

    while (*link != a)
        link = &(*link)->next;
    store_release(link, a->next);
    rb_erase(&c->addrs, &a->node);
    ip_due_set(&c->addrs_due, &a->due, 0);
    c->nr_addrs--;
}

static void addr_drop(struct ip_config *c, struct ip_ifaddr *a)
{
    addr_unlink(c, a);
    addr_group(c, a, false);
    if (!addr_is_elsewhere(c, a))
        addr_local_route(c, a, route_remove_own);
    if (!addr_net_is_shared(a))
        addr_net_routes(c, a, route_remove_own);
    ip_changed(c->ns);
    addr_tell(c, a, NET_EVENT_UNADDRESS, 0);
    rcu_call(&a->rcu, addr_free);
}

void addr_due(struct ip_config *c, struct ip_ifaddr *a)
{
    u64 times[] = {a->probe_at, a->flags & ADDR_DEPRECATED ? 0 : a->preferred_until,
                   a->valid_until};
    u64 first = 0;

    for (u32 i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        first = times[i] && (!first || times[i] < first) ? times[i] : first;
    ip_due_set(&c->addrs_due, &a->due, first);
    ip_config_due(c, first);
}

static int device_ip_make(struct netdev *dev)
{
    struct ip_device *d;

    if (dev->ip)
        return 0;
    d = kzalloc(sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->dev = dev;
    store_release((struct ip_device **)&dev->ip, d);
    return 0;
}

static void addr_link(struct ip_config *c, struct ip_ifaddr *a)
{
    struct ip_ifaddr **link = &ip_device_of(a->dev)->addrs;

    while (*link)
        link = &(*link)->next;
    store_release(link, a);
    rb_insert(&c->addrs, &a->node, addr_less);
    c->nr_addrs++;
    addr_due(c, a);
    addr_group(c, a, true);
    if (addr_is_probed(a))
        addr_probe_start(c, a, a->created);
    else
        addr_local_route(c, a, route_add_own);
    if (READ_ONCE(a->dev->flags) & NETDEV_UP)
        addr_net_routes(c, a, route_add_own);
    ip_changed(c->ns);
}

/* The caller calls addr_due, once a is linked. */
static void addr_set_times(struct ip_ifaddr *a, const struct ip_addr_view *v, u64 now)
{
    bool forever = !v->valid || v->valid == IP_FOREVER;
    bool preferred = forever && (!v->preferred || v->preferred == IP_FOREVER);

    a->updated = now;
    a->valid_until = forever ? 0 : now + v->valid * NSEC_PER_SEC;
    a->preferred_until = v->preferred == IP_FOREVER || preferred
                             ? 0
                             : MAX(now + v->preferred * NSEC_PER_SEC, (u64)1);
    addr_flags_clear(&a->flags, ADDR_DEPRECATED | (forever ? 0 : ADDR_PERMANENT));
    addr_flags_set(&a->flags, forever ? ADDR_PERMANENT : 0);
}

/* IPv4: one in the net of another is secondary. */
static bool addr_is_secondary(const struct netdev *dev, const struct ip_addr_view *v)
{
    for (const struct ip_ifaddr *x = ip_addrs_of(dev); x; x = ip_addr_after(x))
        if (x->family == FAMILY_V4 && x->prefix == v->prefix && !(x->flags & ADDR_SECONDARY) &&
            ip_in_net(&x->peer, &v->peer, v->prefix))
            return true;
    return false;
}

static struct ip_ifaddr *addr_find(struct ip_config *c, u32 device, const struct ip_addr_view *v)
{
    struct rb_node *n = c->addrs.node;

    while (n) {
        struct ip_ifaddr *a = rb_entry(n, struct ip_ifaddr, node);
        int cmp = addr_compare(a, device, v->family, &v->addr, v->prefix);

        if (!cmp)
            return a;
        n = cmp < 0 ? n->left : n->right;
    }
    return NULL;
}

static u8 addr_scope6(const struct ip_addr *a)
{
    return ip_is_loopback(a) ? SCOPE_HOST : ip_is_link_local(a) ? SCOPE_LINK : SCOPE_UNIVERSE;
}

static struct ip_ifaddr *addr_make(struct netdev *dev, const struct ip_addr_view *v, u64 now)
{
    struct ip_ifaddr *a = kzalloc(sizeof(*a));
    bool four = v->family == FAMILY_V4;

    if (!a)
        return NULL;
    a->dev = dev;
    a->addr = v->addr;
    a->peer = ip_is_any(&v->peer) ? v->addr : v->peer;
    a->family = v->family;
    a->prefix = v->prefix;
    a->scope = four ? v->scope : addr_scope6(&v->addr);
    a->flags = v->flags & (ADDR_NODAD | ADDR_NOPREFIXROUTE | ADDR_OPTIMISTIC);
    a->metric = v->metric;
    a->protocol = v->protocol;
    a->created = now;
    a->broadcast = four ? v->broadcast : (struct ip_addr){0};
    if (v->label[0])
        memcpy(a->label, v->label, NETDEV_NAME);
    else
        memcpy(a->label, dev->name, NETDEV_NAME);
    a->label[NETDEV_NAME - 1] = 0;
    return a;
}

static int addr_change(struct ip_config *c, struct ip_ifaddr *a, const struct ip_addr_view *v,
                       u32 change)
{
    if (!(change & IP_REPLACE))
        return -EEXIST;
    addr_set_times(a, v, time_ns());
    addr_due(c, a);
    ip_changed(c->ns);
    addr_tell(c, a, NET_EVENT_ADDRESS, change);
    return 0;
}

static int addr_add(struct ip_config *c, struct netdev *dev, const struct ip_addr_view *v,
                    u32 change)
{
    struct ip_ifaddr *a = addr_find(c, dev->index, v);
    u64 now = time_ns();

    if (a)
        return addr_change(c, a, v, change);
    if (c->nr_addrs >= IP_ADDRS_MOST)
        return -ENOBUFS;
    if (device_ip_make(dev) || !(a = addr_make(dev, v, now)))
        return -ENOMEM;
    if (a->family == FAMILY_V4 && addr_is_secondary(dev, v))
        a->flags |= ADDR_SECONDARY;
    addr_set_times(a, v, now);
    addr_link(c, a);
    addr_tell(c, a, NET_EVENT_ADDRESS, change);
    return 0;
}

static int addr_check(const struct ip_addr_view *v)
{
    bool four = v->family == FAMILY_V4;

    if ((!four && v->family != FAMILY_V6) || v->prefix > (four ? 32 : LPM_BITS) ||
        ip_is_v4(&v->addr) != four || ip_is_multicast(&v->addr) || ip_is_any(&v->addr))
        return -EINVAL;
    if (!ip_is_any(&v->peer) && ip_is_v4(&v->peer) != four)
        return -EINVAL;
    if (v->valid && v->preferred != IP_FOREVER && v->preferred > v->valid)
        return -EINVAL;
    return four && ip_v4(&v->addr) == ~0U ? -EINVAL : 0;
}

static int addr_insert(struct net_ns *ns, struct netdev *dev, struct ip_addr_view *v, u32 change)
{
    struct ip_config *c = ip_config_make(ns);

    if (!c)
        return -ENOMEM;
    if (READ_ONCE(dev->flags) & NETDEV_GONE)
        return -ENODEV;
    if (v->family == FAMILY_V6 && net_conf(dev, CONF6_DISABLE))
        return -EACCES;
    if (ip_is_any(&v->peer))
        v->peer = v->addr;
    return addr_add(c, dev, v, change);
}

int ip_address_add(struct net_ns *ns, const struct ip_addr_view *view, u32 change)
{
    struct ip_addr_view v = *view;
    int err = addr_check(&v);
    struct netdev *dev;

    if (err)
        return err;
    dev = net_device_by_index(ns, v.device);
    if (!dev)
        return -ENODEV;
    net_config_lock(ns);
    err = addr_insert(ns, dev, &v, change);
    net_config_unlock(ns);
    netdev_put(dev);
    return err;
}

/* With a primary address of IPv4 its secondaries go, before it. False: `most` have been dropped,
 * and there are more. */
static bool addr_remove_some(struct ip_config *c, struct ip_ifaddr *a, u32 most)
{
    bool primary = a->family == FAMILY_V4 && !(a->flags & ADDR_SECONDARY);
    struct ip_ifaddr *x, *next;

    for (x = primary ? ip_addrs_of(a->dev) : NULL; x; x = next) {
        next = x->next;
        if (x->family == FAMILY_V4 && (x->flags & ADDR_SECONDARY) && x->prefix == a->prefix &&
            ip_in_net(&x->peer, &a->peer, a->prefix)) {
            if (!most--)
                return false;
            addr_drop(c, x);
        }
        cond_yield();
    }
    addr_drop(c, a);
    return true;
}

static void addr_remove(struct ip_config *c, struct ip_ifaddr *a)
{
    (void)addr_remove_some(c, a, IP_ADDRS_MOST);
}

int ip_address_remove(struct net_ns *ns, const struct ip_addr_view *v)
{
    struct ip_config *c;
    struct ip_ifaddr *a;

    net_config_lock(ns);
    c = ip_config_make(ns);
    a = c ? addr_find(c, v->device, v) : NULL;
    if (a)
        addr_remove(c, a);
    net_config_unlock(ns);
    return a ? 0 : c ? -EADDRNOTAVAIL : -ENOMEM;
}

/* The first behind a place in the order, or NULL. */
static struct ip_ifaddr *addr_behind(struct ip_config *c, const struct ip_addr_view *at)
{
    struct ip_ifaddr *found = NULL;
    struct rb_node *n;

    for (n = c->addrs.node; n;) {
        struct ip_ifaddr *a = rb_entry(n, struct ip_ifaddr, node);
        bool before = addr_compare(a, at->device, at->family, &at->addr, at->prefix) < 0;

        found = before ? a : found;
        n = before ? n->left : n->right;
    }
    return found;
}

bool ip_address_next(struct net_ns *ns, struct ip_addr_view *at)
{
    const struct ip_ifaddr *found = NULL;
    struct ip_config *c;

    net_config_lock(ns);
    c = ip_config_make(ns);
    if (c)
        found = addr_behind(c, at);
    if (found)
        addr_view(found, time_ns(), at);
    net_config_unlock(ns);
    return found;
}

/* ---- what happens to devices, and time ---- */

int address_lo(struct ip_config *c, struct netdev *lo)
{
    struct ip_addr_view four = {.family = FAMILY_V4,
                                .prefix = 8,
                                .scope = SCOPE_HOST,
                                .addr = ip_from_v4(IP_LOOPBACK4),
                                .peer = ip_from_v4(IP_LOOPBACK4)};
    struct ip_addr_view six = {.family = FAMILY_V6,
                               .prefix = LPM_BITS,
                               .flags = ADDR_NODAD | ADDR_NOPREFIXROUTE,
                               .addr = ip_loopback6(),
                               .peer = ip_loopback6()};
    int err = addr_add(c, lo, &four, IP_REPLACE);

    if (!err && !net_conf(lo, CONF6_DISABLE))
        err = addr_add(c, lo, &six, IP_REPLACE);
    return err;
}

static int address_link_local(struct ip_config *c, struct netdev *dev)
{
    struct ip_addr_view v = {.family = FAMILY_V6, .prefix = 64, .addr = nd_link_local(dev->addr)};
    struct ip_route_view groups = {.family = FAMILY_V6,
                                   .prefix = 8,
                                   .type = ROUTE_MULTICAST,
                                   .protocol = ROUTE_BY_KERNEL,
                                   .table = TABLE_LOCAL,
                                   .priority = PRIORITY_ADDR6,
                                   .to = {.b = {0xff}},
                                   .nr_hops = 1};

    groups.hops[0].device = dev->index;
    route_add_own(c, &groups);
    if (net_conf(dev, CONF6_ADDR_GEN_MODE)) /* none */
        return 0;
    v.peer = v.addr;
    return addr_add(c, dev, &v, IP_REPLACE);
}

int address_up(struct ip_config *c, struct netdev *dev)
{
    int err = device_ip_make(dev);

    for (struct ip_ifaddr *a = ip_addrs_of(dev); a; a = ip_addr_after(a)) {
        if (!(a->flags & ADDR_TENTATIVE))
            addr_local_route(c, a, route_add_own);
        addr_net_routes(c, a, route_add_own);
        cond_yield();
    }
    if (!err && netdev_has_neighbours(dev) && !net_conf(dev, CONF6_DISABLE))
        err = address_link_local(c, dev);
    return err;
}

static void addresses_drop6(struct ip_config *c, struct netdev *dev)
{
    struct ip_ifaddr *a, *next;

    for (a = ip_addrs_of(dev); a; a = next) {
        next = a->next;
        if (a->family == FAMILY_V6)
            addr_drop(c, a);
        cond_yield();
    }
}

void address_switch6(struct netdev *dev, bool on)
{
    struct ip_config *c = ip_config_of(dev->ns);
    bool lo = dev->flags & NETDEV_LOOPBACK;

    if (!c || (READ_ONCE(dev->flags) & NETDEV_GONE))
        return;
    if (!on)
        addresses_drop6(c, dev);
    else if (!(READ_ONCE(dev->flags) & NETDEV_UP))
        return;
    else if (lo ? address_lo(c, dev) : address_up(c, dev))
        net_log_limited(dev->ns, LOG_WARN, "%s: no memory for its addresses of IPv6", dev->name);
}

/* Addresses of IPv6 go with the device, those of IPv4 stay until it is gone. */
void address_down(struct ip_config *c, struct netdev *dev, bool gone)
{
    struct ip_ifaddr *a, *next;

    for (a = ip_addrs_of(dev); a; a = next) {
        next = a->next;
        if (gone || a->family == FAMILY_V6)
            addr_drop(c, a);
        cond_yield();
    }
}

/* What is due of one address. False: there is more, of those that go with it. */
static bool addr_time(struct ip_config *c, struct ip_ifaddr *a, u64 now)
{
    if (a->valid_until && a->valid_until <= now)
        return addr_remove_some(c, a, ADDRS_STEP);
    if (a->probe_at && a->probe_at <= now)
        addr_probe_time(c, a, now);
    if (a->preferred_until && a->preferred_until <= now && !(a->flags & ADDR_DEPRECATED)) {
        addr_flags_set(&a->flags, ADDR_DEPRECATED);
        ip_changed(c->ns);
        addr_tell(c, a, NET_EVENT_ADDRESS, 0);
    }
    addr_due(c, a);
    return true;
}

u64 address_time(struct ip_config *c, u64 now)
{
    struct ip_due *d;
    bool more = true;

    for (u32 n = 0; more && n < ADDRS_STEP; n++) {
        d = ip_due_first(&c->addrs_due);
        if (!d || d->at > now)
            break;
        more = addr_time(c, container_of(d, struct ip_ifaddr, due), now);
        cond_yield();
    }
    return ip_due_next(&c->addrs_due);
}

void address_free(struct ip_config *c)
{
    while (!rb_empty(&c->addrs)) {
        struct ip_ifaddr *a = rb_entry(rb_first(&c->addrs), struct ip_ifaddr, node);

        addr_unlink(c, a);
        kfree(a);
    }
    kfree(loopback_of(c->ns)->ip);
    loopback_of(c->ns)->ip = NULL;
}

/* ---- one address, as ioctls have it ---- */

static const struct ip_ifaddr *first4(const struct netdev *dev)
{
    const struct ip_ifaddr *a = ip_addrs_of(dev);

    while (a && a->family != FAMILY_V4)
        a = ip_addr_after(a);
    return a;
}

bool ip_addr_get(struct netdev *dev, u32 *v4, u8 *prefix)
{
    const struct ip_ifaddr *a;
    bool made;

    net_config_lock(dev->ns);
    made = ip_config_make(dev->ns);
    a = made ? first4(dev) : NULL;
    if (a) {
        *v4 = ip_v4(&a->addr);
        *prefix = a->prefix;
    }
    net_config_unlock(dev->ns);
    return a;
}

int ip_addr_set(struct netdev *dev, u32 v4, u8 prefix)
{
    u32 host = prefix < 31 ? ~0U >> prefix : 0;
    struct ip_addr_view v = {.family = FAMILY_V4,
                             .prefix = prefix,
                             .scope = v4 >> 24 == 127 ? SCOPE_HOST : SCOPE_UNIVERSE,
                             .device = dev->index,
                             .addr = ip_from_v4(v4)};
    const struct ip_ifaddr *old;
    int err = 0;

    if (host && !(dev->flags & NETDEV_LOOPBACK))
        v.broadcast = ip_from_v4(v4 | host);
    net_config_lock(dev->ns);
    if (!ip_config_make(dev->ns))
        err = -ENOMEM;
    old = err ? NULL : first4(dev);
    if (old)
        addr_remove(ip_config_of(dev->ns), (struct ip_ifaddr *)(uintptr_t)old);
    if (!err && v4)
        err = addr_insert(dev->ns, dev, &v, IP_REPLACE);
    net_config_unlock(dev->ns);
    return err;
}
