/* SPDX-License-Identifier: MIT
 *
 * Routes as they are set, taken away, listed and asked for.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/event.h"
#include "net/ip/fib.h"
#include "net/link/loopback.h"
#include "sched/timer.h"

#define PRIORITY_V6 1024 /* of a route that says none */
#define ROUTES_STEP 32U  /* that one call of routes_expire drops */

static bool route_has_hops(u8 type)
{
    return type == ROUTE_UNICAST || type == ROUTE_LOCAL || type == ROUTE_BROADCAST ||
           type == ROUTE_ANYCAST || type == ROUTE_MULTICAST;
}

static void route_view(const struct ip_route *r, u64 now, struct ip_route_view *v)
{
    const struct ip_metrics *m = &r->metrics;

    *v = (struct ip_route_view){.family = r->family,
                                .prefix = r->prefix,
                                .tos = r->tos,
                                .type = r->type,
                                .scope = r->scope,
                                .protocol = r->protocol,
                                .table = r->table,
                                .priority = r->priority,
                                .to = r->to,
                                .prefsrc = r->prefsrc,
                                .mtu = m->mtu,
                                .advmss = m->advmss,
                                .window = m->window,
                                .initcwnd = m->initcwnd,
                                .initrwnd = m->initrwnd,
                                .rto_min = m->rto_min,
                                .hoplimit = m->hoplimit,
                                .features = m->features,
                                .quickack = m->quickack,
                                .nr_hops = r->nr_hops};
    if (r->expires)
        v->expires = r->expires > now ? (u32)((r->expires - now) / NSEC_PER_SEC) + 1 : 1;
    for (u32 i = 0; i < r->nr_hops; i++) {
        const struct ip_hop *h = &r->hops[i];
        u32 flags = READ_ONCE(h->dev->flags);

        v->hops[i] = (struct ip_next_hop){h->gateway, h->dev->index, h->weight, h->flags};
        if (!(flags & NETDEV_UP))
            v->hops[i].flags |= HOP_DEAD;
        if (!(flags & NETDEV_CARRIER))
            v->hops[i].flags |= HOP_LINKDOWN;
    }
}

static void route_tell(struct ip_config *c, const struct ip_route *r, enum net_event_kind kind,
                       u32 change)
{
    struct ip_route_view *v = kmalloc(sizeof(*v));

    ip_changed(c->ns);
    if (!v)
        return;
    route_view(r, time_ns(), v);
    net_event(c->ns, kind, v, change);
    kfree(v);
}

static void route_drop(struct ip_config *c, struct ip_route *r)
{
    route_tell(c, r, NET_EVENT_UNROUTE, 0);
    fib_remove(c, r);
    ip_changed(c->ns);
}

/* The device that leads to a gateway: it is on a link there. */
static int hop_gateway(struct ip_config *c, const struct ip_next_hop *n, struct ip_hop *h)
{
    struct ip_flow f = {.to = n->gateway, .device = n->device};
    struct fib_result r;
    int err = 0;

    if (ip_is_multicast(&n->gateway) || ip_kind_of(c->ns, &n->gateway) != IP_UNICAST)
        return -EINVAL;
    if (h->dev && ((n->flags & HOP_ONLINK) || ip_is_link_local(&n->gateway)))
        return 0;
    rcu_read_lock();
    if (fib_lookup(c, &f, 0, &r) || r.route->type != ROUTE_UNICAST || !ip_is_any(&r.hop->gateway) ||
        (h->dev && h->dev != r.hop->dev)) {
        err = -ENETUNREACH;
    } else if (!h->dev) {
        netdev_get(r.hop->dev);
        h->dev = r.hop->dev;
    }
    rcu_read_unlock();
    return err == -ENETUNREACH && ip_is_link_local(&n->gateway) ? -EINVAL : err;
}

/* A reference to its device for the caller. */
static int hop_make(struct ip_config *c, const struct ip_route_view *v, const struct ip_next_hop *n,
                    struct ip_hop *h)
{
    struct ip_addr none = v->family == FAMILY_V4 ? ip_from_v4(0) : (struct ip_addr){0};
    bool gateway = !ip_is_any(&n->gateway);
    int err = 0;

    *h = (struct ip_hop){.gateway = gateway ? n->gateway : none,
                         .weight = n->weight ? n->weight : 1,
                         .flags = n->flags & HOP_ONLINK};
    if (n->weight > 256 || (gateway && ip_family(&n->gateway) != v->family))
        return -EINVAL;
    if (n->device) {
        h->dev = net_device_by_index(c->ns, n->device);
        if (!h->dev || (h->dev->flags & NETDEV_GONE))
            err = -ENODEV;
        else if (!(READ_ONCE(h->dev->flags) & NETDEV_UP) && v->type != ROUTE_LOCAL)
            err = -ENETDOWN;
    }
    if (!err && gateway)
        err = hop_gateway(c, n, h);
    if (!err && !h->dev)
        err = -ENODEV;
    if (err && h->dev)
        netdev_put(h->dev);
    return err;
}

static void hops_put(struct ip_route *r)
{
    for (u32 i = 0; i < r->nr_hops; i++)
        netdev_put(r->hops[i].dev);
}

static int route_hops(struct ip_config *c, const struct ip_route_view *v, struct ip_route *r)
{
    int err;

    if (!route_has_hops(v->type))
        return 0;
    if (!v->nr_hops)
        return -ENODEV;
    for (u32 i = 0; i < v->nr_hops; i++) {
        err = hop_make(c, v, &v->hops[i], &r->hops[i]);
        if (err) {
            hops_put(r);
            return err;
        }
        r->nr_hops++;
    }
    return 0;
}

static int route_check(const struct ip_route_view *v)
{
    u32 most = v->family == FAMILY_V4 ? 32 : LPM_BITS;

    if ((v->family != FAMILY_V4 && v->family != FAMILY_V6) || v->prefix > most || !v->type ||
        v->type > ROUTE_THROW || v->nr_hops > IP_NEXT_HOPS)
        return -EINVAL;
    if (!ip_is_any(&v->to) && ip_family(&v->to) != v->family)
        return -EINVAL;
    return !ip_is_any(&v->prefsrc) && ip_family(&v->prefsrc) != v->family ? -EINVAL : 0;
}

/* The route of v; ERR in *err. Its devices are borrowed: config is held, and nothing that goes
 * leaves a route behind. */
static struct ip_route *route_make(struct ip_config *c, const struct ip_route_view *v, int *err)
{
    struct ip_route *r = kzalloc(sizeof(*r) + v->nr_hops * sizeof(r->hops[0]));
    struct ip_addr to = v->to;

    if (!r) {
        *err = -ENOMEM;
        return NULL;
    }
    if (ip_is_any(&to))
        to = v->family == FAMILY_V4 ? ip_from_v4(0) : (struct ip_addr){0};
    r->family = v->family;
    r->to = ip_masked(&to, v->family, v->prefix);
    r->prefsrc = v->prefsrc;
    r->table = v->table ? v->table : TABLE_MAIN;
    r->priority = v->priority || v->family == FAMILY_V4 ? v->priority : PRIORITY_V6;
    r->prefix = v->prefix;
    r->tos = v->tos;
    r->type = v->type;
    r->scope = v->scope;
    r->protocol = v->protocol;
    r->metrics = (struct ip_metrics){v->mtu,     v->advmss,   v->window,   v->initcwnd, v->initrwnd,
                                     v->rto_min, v->hoplimit, v->features, v->quickack};
    r->expires = v->expires ? time_ns() + v->expires * NSEC_PER_SEC : 0;
    *err = route_hops(c, v, r);
    if (!*err) {
        hops_put(r);
        return r;
    }
    kfree(r);
    return NULL;
}

static bool route_same_key(const struct ip_route *a, const struct ip_route *b)
{
    return a->tos == b->tos && a->priority == b->priority;
}

static bool route_same_hops(const struct ip_route *a, const struct ip_route *b)
{
    if (a->type != b->type || a->nr_hops != b->nr_hops)
        return false;
    for (u32 i = 0; i < a->nr_hops; i++)
        if (a->hops[i].dev != b->hops[i].dev || !ip_equal(&a->hops[i].gateway, &b->hops[i].gateway))
            return false;
    return true;
}

/* Where r goes: -errno; *old: what it takes the place of, or goes in front of. */
static int route_place(struct ip_config *c, const struct ip_route *r, u32 change,
                       struct ip_route **old)
{
    struct ip_route *x = fib_first(c, r->family, r->table, &r->to, r->prefix), *same = NULL;

    *old = NULL;
    for (; x; x = x->next) {
        if (!route_same_key(x, r))
            continue;
        *old = *old ? *old : x;
        same = route_same_hops(x, r) ? x : same;
    }
    if (!*old)
        return change & IP_CREATE || !change ? 0 : -ENOENT;
    if (change & IP_EXCL)
        return -EEXIST;
    return same && !(change & IP_REPLACE) ? -EEXIST : 0;
}

static int route_put(struct ip_config *c, struct ip_route *r, u32 change)
{
    struct ip_route *old;
    int err = route_place(c, r, change, &old);

    if (!err)
        err = fib_insert(c, r, change & IP_APPEND ? NULL : old);
    if (err) {
        kfree(r);
        return err;
    }
    if (old && (change & IP_REPLACE))
        fib_remove(c, old);
    ip_due_set(&c->routes_due, &r->due, r->expires);
    ip_config_due(c, r->expires);
    route_tell(c, r, NET_EVENT_ROUTE, change);
    return 0;
}

static int route_insert(struct net_ns *ns, const struct ip_route_view *v, u32 change)
{
    struct ip_config *c = ip_config_make(ns);
    struct ip_route *r;
    int err = -ENOMEM;

    if (!c)
        return err;
    r = route_make(c, v, &err);
    return r ? route_put(c, r, change) : err;
}

int ip_route_add(struct net_ns *ns, const struct ip_route_view *v, u32 change)
{
    int err = route_check(v);

    if (err)
        return err;
    net_config_lock(ns);
    err = route_insert(ns, v, change);
    net_config_unlock(ns);
    return err;
}

void route_add_own(struct ip_config *c, const struct ip_route_view *v)
{
    int err;
    struct ip_route *r = route_make(c, v, &err);

    if (r)
        err = route_put(c, r, IP_CREATE | IP_APPEND);
    if (err && err != -EEXIST)
        net_log_limited(c->ns, LOG_WARN, "net: a route of the kernel's own is missing: error %d",
                        -err);
}

/* What v gives is r's. */
static bool route_asked(const struct ip_route *r, const struct ip_route_view *v)
{
    if ((v->tos && v->tos != r->tos) || (v->priority && v->priority != r->priority) ||
        (v->type && v->type != r->type) || (v->protocol && v->protocol != r->protocol) ||
        (v->scope != SCOPE_NOWHERE && v->scope != r->scope && v->family == FAMILY_V4) ||
        (!ip_is_any(&v->prefsrc) && !ip_equal(&v->prefsrc, &r->prefsrc)))
        return false;
    if (v->nr_hops > r->nr_hops)
        return false;
    for (u32 i = 0; i < v->nr_hops; i++) {
        const struct ip_next_hop *n = &v->hops[i];

        if ((n->device && n->device != r->hops[i].dev->index) ||
            (!ip_is_any(&n->gateway) && !ip_equal(&n->gateway, &r->hops[i].gateway)))
            return false;
    }
    return true;
}

static struct ip_route *route_find(struct ip_config *c, const struct ip_route_view *v)
{
    struct ip_addr to = v->to;
    struct ip_route *r;

    if (ip_is_any(&to))
        to = v->family == FAMILY_V4 ? ip_from_v4(0) : (struct ip_addr){0};
    to = ip_masked(&to, v->family, v->prefix);
    r = fib_first(c, v->family, v->table ? v->table : TABLE_MAIN, &to, v->prefix);
    while (r && !route_asked(r, v))
        r = r->next;
    return r;
}

int ip_route_remove(struct net_ns *ns, const struct ip_route_view *v)
{
    struct ip_config *c;
    struct ip_route *r;

    struct ip_route_view asked = *v;
    int err;

    asked.type = v->type ? v->type : ROUTE_UNICAST;
    err = route_check(&asked);
    if (err)
        return err;
    net_config_lock(ns);
    c = ip_config_make(ns);
    r = c ? route_find(c, v) : NULL;
    if (r)
        route_drop(c, r);
    net_config_unlock(ns);
    return r ? 0 : c ? -ESRCH : -ENOMEM;
}

void route_remove_own(struct ip_config *c, const struct ip_route_view *v)
{
    struct ip_route *r = route_find(c, v);

    if (r)
        route_drop(c, r);
}

/* Does v come before r in the order of the tree? */
static bool route_view_before(const struct ip_route_view *v, const struct ip_route *r)
{
    struct ip_addr none = {0};
    int cmp;

    if (v->family != r->family)
        return v->family < r->family;
    if (v->table != r->table)
        return v->table < r->table;
    cmp = ip_compare(&v->to, &r->to);
    if (cmp)
        return cmp < 0;
    if (v->prefix != r->prefix || v->tos != r->tos)
        return v->prefix * 256 + v->tos < r->prefix * 256 + r->tos;
    if (v->priority != r->priority)
        return v->priority < r->priority;
    cmp = ip_compare(v->nr_hops ? &v->hops[0].gateway : &none,
                     r->nr_hops ? &r->hops[0].gateway : &none);
    if (cmp)
        return cmp < 0;
    return (v->nr_hops ? v->hops[0].device : 0) < (r->nr_hops ? r->hops[0].dev->index : 0);
}

bool ip_route_next(struct net_ns *ns, struct ip_route_view *at)
{
    const struct ip_route *found = NULL;
    struct ip_config *c;
    struct rb_node *n;

    net_config_lock(ns);
    c = ip_config_make(ns);
    for (n = c ? c->routes.node : NULL; n;) {
        const struct ip_route *r = rb_entry(n, struct ip_route, node);
        bool before = route_view_before(at, r);

        found = before ? r : found;
        n = before ? n->left : n->right;
    }
    if (found)
        route_view(found, time_ns(), at);
    net_config_unlock(ns);
    return found;
}

int ip_route_ask(struct net_ns *ns, const struct ip_flow *f, struct ip_route_view *out)
{
    struct ip_path path;
    struct ip_config *c;
    struct fib_result r;
    int err = ip_path_find(ns, f, &path);

    if (err)
        return err;
    net_config_lock(ns);
    c = ip_config_make(ns);
    err = c ? 0 : -ENOMEM;
    *out = (struct ip_route_view){.table = TABLE_MAIN, .type = ROUTE_UNICAST};
    rcu_read_lock();
    if (c && !fib_lookup(c, f, 0, &r)) /* else the path is a link's by itself */
        route_view(r.route, time_ns(), out);
    rcu_read_unlock();
    net_config_unlock(ns);
    out->family = ip_family(&f->to);
    out->to = f->to;
    out->prefix = ip_is_v4(&f->to) ? 32 : LPM_BITS;
    out->prefsrc = path.source;
    out->nr_hops = 1;
    out->hops[0] = (struct ip_next_hop){.device = path.dev->index, .weight = 1};
    if (!ip_equal(&path.next, &f->to))
        out->hops[0].gateway = path.next;
    ip_path_put(&path);
    return err;
}

/* All ways of r are through dev (of several, some stay). */
static bool route_is_of(const struct ip_route *r, const struct netdev *dev, bool gone)
{
    u32 of = 0, live = 0;

    for (u32 i = 0; i < r->nr_hops; i++) {
        of += r->hops[i].dev == dev;
        live += r->hops[i].dev != dev && (READ_ONCE(r->hops[i].dev->flags) & NETDEV_UP);
    }
    return of && (gone || !live);
}

void routes_forget(struct ip_config *c, const struct netdev *dev, bool gone)
{
    struct rb_node *n, *next;

    for (n = rb_first(&c->routes); n; n = next) {
        struct ip_route *r = rb_entry(n, struct ip_route, node);

        next = rb_next(n);
        if (!route_is_of(r, dev, gone))
            continue;
        if (gone || r->type != ROUTE_LOCAL || r->family == FAMILY_V6)
            route_drop(c, r);
        cond_yield();
    }
}

u64 routes_expire(struct ip_config *c, u64 now)
{
    struct ip_due *d;

    for (u32 n = 0; n < ROUTES_STEP; n++) {
        d = ip_due_first(&c->routes_due);
        if (!d || d->at > now)
            break;
        route_drop(c, container_of(d, struct ip_route, due));
        cond_yield();
    }
    return ip_due_next(&c->routes_due);
}

void routes_free(struct ip_config *c)
{
    while (!rb_empty(&c->routes))
        fib_remove(c, rb_entry(rb_first(&c->routes), struct ip_route, node));
}
