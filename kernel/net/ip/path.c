/* SPDX-License-Identifier: MIT
 *
 * The path of a packet: by the routes, or, in a namespace that has nothing but lo, by what an
 * address is.
 */
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "net/ip/fib.h"
#include "net/link/loopback.h"
#include "obj/cred.h"

#define FEATURE_ECN 1 /* RTAX_FEATURE_ECN */

kuid_t ip_kernel_uid(const struct net_ns *ns)
{
    return user_ns_map_uid(ns->user_ns, 0);
}

void ip_path_put(struct ip_path *path)
{
    if (path->dev)
        netdev_put(path->dev);
    *path = (struct ip_path){0};
}

bool ip_path_is_valid(struct net_ns *ns, const struct ip_path *path)
{
    return load_acquire(&ip_ns_of(ns)->generation) == path->generation;
}

/* lo, by itself. */
static bool path_is_own(struct net_ns *ns, const struct ip_addr *to)
{
    return ip_is_loopback(to) && loopback_is_up(ns) &&
           (ip_is_v4(to) || !net_conf(loopback_of(ns), CONF6_DISABLE));
}

static enum ip_path_kind path_kind(const struct ip_route *r)
{
    switch (r->type) {
    case ROUTE_LOCAL:
        return IP_LOCAL;
    case ROUTE_BROADCAST:
        return IP_BROADCAST;
    default:
        return ip_is_multicast(&r->to) ? IP_MULTICAST : IP_UNICAST;
    }
}

/* What an address is by the local routes of a namespace. */
struct path_look {
    struct ip_addr addr;
    const struct ip_config *config; /* whose, also once it is gone */
    u64 generation;                 /* when that was so; of two namespaces one after the other
                                       in the same place it differs, see ip_priv.h */
    u32 device;                     /* that has it, or 0 */
    u8 kind;                        /* enum ip_path_kind */
};
#define PATH_LOOKS 16U
/* The last ones of this CPU: packets come in trains. */
static DEFINE_PER_CPU(struct path_look[PATH_LOOKS], path_looks);

static __noinline void path_look_up(struct ip_config *c, const struct ip_addr *a,
                                    struct path_look *look)
{
    struct ip_flow f = {.to = *a};
    struct fib_result r;

    look->addr = *a;
    look->config = c;
    look->generation = load_acquire(&ip_ns_of(c->ns)->generation);
    look->kind = IP_UNICAST;
    look->device = 0;
    rcu_read_lock();
    if (!fib_table_lookup(c->local[!ip_is_v4(a)], &f, &r)) {
        look->kind = (u8)path_kind(r.route);
        if (r.route->type == ROUTE_LOCAL)
            look->device = r.hop->dev->index;
    }
    rcu_read_unlock();
}

static const struct path_look *path_look(struct ip_config *c, const struct ip_addr *a)
{
    u32 hash = (a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3]) * 0x9e3779b1U;
    struct path_look *look = &(*this_cpu_ptr(path_looks))[hash / (~0U / PATH_LOOKS + 1)];

    if (unlikely(look->config != c ||
                 look->generation != load_acquire(&ip_ns_of(c->ns)->generation) ||
                 !ip_equal(&look->addr, a)))
        path_look_up(c, a, look);
    return look;
}

enum ip_path_kind ip_kind_of(struct net_ns *ns, const struct ip_addr *to)
{
    struct ip_config *c = ip_config_of(ns);

    if (ip_is_multicast(to))
        return IP_MULTICAST;
    if (ip_is_v4(to) && ip_v4(to) == ~0U)
        return IP_BROADCAST;
    if (!c)
        return path_is_own(ns, to) ? IP_LOCAL : IP_UNICAST;
    return path_look(c, to)->kind;
}

/* lo's own are not remembered: whether it is up changes without notice. */
u32 ip_local_device(struct net_ns *ns, const struct ip_addr *to)
{
    struct ip_config *c = ip_config_of(ns);

    if (!c || ip_is_loopback(to))
        return path_is_own(ns, to) ? LOOPBACK_INDEX : 0;
    return path_look(c, to)->device;
}

/* The default, of a path to an address of that family. */
static u8 path_hops(const struct netdev *dev, const struct ip_addr *to)
{
    return (u8)(ip_is_v4(to) ? READ_ONCE(ip_values_of(dev->ns)->ttl)
                             : net_conf(dev, CONF6_HOP_LIMIT));
}

static u32 path_mtu(const struct netdev *dev, const struct ip_addr *to)
{
    u32 mtu = READ_ONCE(dev->mtu), own = ip_is_v4(to) ? 0 : (u32)net_conf(dev, CONF6_MTU);

    return own && own < mtu ? own : mtu;
}

/* Borrows dev within RCU. */
static void path_set(struct ip_path *out, struct netdev *dev, enum ip_path_kind kind)
{
    netdev_get(dev);
    out->dev = dev;
    out->kind = (u8)kind;
    out->mtu = path_mtu(dev, &out->next);
    out->hops = kind == IP_MULTICAST ? 1 : path_hops(dev, &out->next);
}

static void path_set_local(struct net_ns *ns, const struct ip_flow *f, struct ip_path *out)
{
    if (ip_is_any(&out->source) && ip_is_loopback(&f->to) && ip_is_v4(&f->to))
        out->source = ip_from_v4(IP_LOOPBACK4);
    else if (ip_is_any(&out->source))
        out->source = f->to;
    path_set(out, loopback_of(ns), IP_LOCAL);
}

static void path_set_metrics(struct ip_path *out, const struct ip_metrics *m)
{
    if (m->mtu && m->mtu < out->mtu)
        out->mtu = m->mtu;
    if (m->hoplimit)
        out->hops = (u8)m->hoplimit;
    out->advmss = m->advmss;
    out->window = m->window;
    out->initcwnd = m->initcwnd;
    out->initrwnd = m->initrwnd;
    out->rto_min_ms = m->rto_min;
    out->ecn = m->features & FEATURE_ECN;
    out->quickack = m->quickack;
}

/* Through the device that is asked for, though no route says so, as on Linux: so a client of DHCP
 * speaks before it has an address. */
static int path_by_device(struct ip_config *c, const struct ip_flow *f, enum ip_path_kind kind,
                          struct ip_path *out)
{
    struct netdev *dev = net_device_by_index(c->ns, f->device);

    if (!dev)
        return -ENODEV;
    if (!(READ_ONCE(dev->flags) & NETDEV_UP)) {
        netdev_put(dev);
        return -ENETDOWN;
    }
    if (ip_is_any(&out->source))
        select_source(c, dev, &f->to, SCOPE_LINK, &out->source);
    path_set(out, dev, kind);
    netdev_put(dev);
    return 0;
}

static void path_by_route(struct ip_config *c, const struct ip_flow *f, const struct fib_result *r,
                          enum ip_path_kind kind, struct ip_path *out)
{
    if (kind == IP_UNICAST && !ip_is_any(&r->hop->gateway))
        out->next = r->hop->gateway;
    if (ip_is_any(&out->source))
        out->source = r->route->prefsrc;
    if (ip_is_any(&out->source)) /* IPv4: an address of the gateway's net; IPv6: RFC 6724 5 */
        select_source(c, r->hop->dev, ip_is_v4(&f->to) ? &out->next : &f->to, r->route->scope,
                      &out->source);
    path_set(out, r->hop->dev, kind);
    path_set_metrics(out, &r->route->metrics);
}

/* Broadcasts and groups go to a device that is asked for, or by a route. */
static bool path_is_everyones(const struct ip_addr *to)
{
    return ip_is_multicast(to) || (ip_is_v4(to) && ip_v4(to) == ~0U);
}

static int path_find(struct ip_config *c, const struct ip_flow *f, struct ip_path *out)
{
    bool all = path_is_everyones(&f->to);
    enum ip_path_kind kind = all ? ip_kind_of(c->ns, &f->to) : IP_UNICAST;
    struct fib_result r;
    int err;

    if (all && f->device)
        return path_by_device(c, f, kind, out);
    err = fib_lookup(c, f, 0, &r);
    if (err == -ENETUNREACH && f->device && f->device != LOOPBACK_INDEX &&
        (ip_is_v4(&f->to) || ip_is_link_local(&f->to)))
        return path_by_device(c, f, kind, out);
    if (err)
        return err;
    kind = all ? kind : path_kind(r.route);
    if (kind != IP_LOCAL) {
        path_by_route(c, f, &r, kind, out);
        return 0;
    }
    if (ip_is_any(&out->source) && !ip_is_any(&r.route->prefsrc) && !ip_is_loopback(&f->to))
        out->source = r.route->prefsrc;
    path_set_local(c->ns, f, out);
    return 0;
}

int ip_path_find(struct net_ns *ns, const struct ip_flow *f, struct ip_path *out)
{
    struct ip_path found = {.next = f->to, .source = f->from};
    bool all = ip_is_v4(&f->to) && ip_v4(&f->to) == ~0U;
    struct ip_config *c = ip_config_of(ns);
    int err = 0;

    found.generation = load_acquire(&ip_ns_of(ns)->generation);
    if (ip_is_any(&f->from))
        found.source = ip_is_v4(&f->to) ? ip_from_v4(0) : (struct ip_addr){0};
    else if (ip_is_v4(&f->from) != ip_is_v4(&f->to))
        return -EINVAL;
    if (ip_needs_scope(&f->to) && !f->device)
        return -EINVAL;
    if (path_is_own(ns, &f->to) && (!f->device || f->device == LOOPBACK_INDEX)) {
        path_set_local(ns, f, &found);
    } else if (f->device == LOOPBACK_INDEX && (ip_is_multicast(&f->to) || all) &&
               loopback_is_up(ns)) {
        if (ip_is_any(&found.source)) /* lo has no other in a namespace without configuration */
            found.source = ip_is_v4(&f->to) ? ip_from_v4(IP_LOOPBACK4) : ip_loopback6();
        path_set(&found, loopback_of(ns), all ? IP_BROADCAST : IP_MULTICAST);
    } else if (c) {
        rcu_read_lock();
        err = path_find(c, f, &found);
        rcu_read_unlock();
    } else {
        err = -ENETUNREACH;
    }
    if (err == -ENETUNREACH)
        NET_COUNT_IP(ns, MIB_OUT_NO_ROUTES, !ip_is_v4(&f->to));
    if (!err && found.kind == IP_UNICAST)
        found.mtu = pmtu_of(ns, &f->to, found.mtu);
    if (!err)
        *out = found;
    return err;
}
