/* SPDX-License-Identifier: MIT
 *
 * Which address of the namespace a packet comes from, and who is on a device's link.
 */
#include "net/ip/fib.h"
#include "net/ip/source.h"

/* The first of a device whose scope is wide enough, best of all in the net of `to`. */
static const struct ip_ifaddr *source4_of(const struct netdev *dev, const struct ip_addr *to,
                                          u8 scope)
{
    const struct ip_ifaddr *first = NULL;

    for (const struct ip_ifaddr *a = ip_addrs_of(dev); a; a = ip_addr_after(a)) {
        if (a->family != FAMILY_V4 || (a->flags & ADDR_SECONDARY) || a->scope > scope)
            continue;
        if (ip_in_net(to, &a->peer, a->prefix))
            return a;
        first = first ? first : a;
    }
    return first;
}

/* As Linux: of the device, else of any other one that is not for a link alone. */
static void source4(struct ip_config *c, struct netdev *dev, const struct ip_addr *to, u8 scope,
                    struct ip_addr *out)
{
    const struct ip_ifaddr *a = source4_of(dev, to, scope);
    struct netdev *other;

    for (u32 last = 0; !a && (other = net_device_next(c->ns, last)); netdev_put(other)) {
        last = other->index;
        a = source4_of(other, to, MIN(scope, (u8)(SCOPE_LINK - 1)));
    }
    *out = a ? a->addr : ip_from_v4(0);
}

static void source6_all(const struct netdev *of, const struct netdev *dev, const struct ip_addr *to,
                        struct source6 *best)
{
    for (const struct ip_ifaddr *a = ip_addrs_of(of); a; a = ip_addr_after(a)) {
        struct source6 s = {.addr = a->addr,
                            .prefix = a->prefix,
                            .deprecated = READ_ONCE(a->flags) & ADDR_DEPRECATED,
                            .of_device = of == dev};

        if (a->family != FAMILY_V6 || (READ_ONCE(a->flags) & (ADDR_TENTATIVE | ADDR_DADFAILED)))
            continue;
        if (ip_is_any(&best->addr) || source6_is_better(&s, best, to))
            *best = s;
    }
}

static void source6(struct ip_config *c, struct netdev *dev, const struct ip_addr *to,
                    struct ip_addr *out)
{
    struct source6 best = {.prefix = 0};
    struct netdev *other;

    source6_all(dev, dev, to, &best);
    if (!ip_needs_scope(to)) {
        for (u32 last = 0; (other = net_device_next(c->ns, last)); netdev_put(other)) {
            last = other->index;
            if (other != dev)
                source6_all(other, dev, to, &best);
        }
    }
    *out = best.addr;
}

void select_source(struct ip_config *c, struct netdev *dev, const struct ip_addr *to, u8 scope,
                   struct ip_addr *out)
{
    if (ip_is_v4(to))
        source4(c, dev, to, scope, out);
    else
        source6(c, dev, to, out);
}

bool ip_addr_of_device(struct netdev *dev, struct ip_addr *out, const struct ip_addr *to)
{
    const struct ip_ifaddr *a = ip_is_v4(to) ? source4_of(dev, to, SCOPE_LINK) : NULL;

    if (a)
        *out = a->addr;
    return a;
}

static bool on_route(struct netdev *dev, const struct ip_addr *to)
{
    struct ip_config *c = ip_config_of(dev->ns);
    struct ip_flow f = {.to = *to, .device = dev->index};
    struct fib_result r;

    return c && !fib_lookup(c, &f, 0, &r) && r.route->type == ROUTE_UNICAST &&
           ip_is_any(&r.hop->gateway);
}

bool ip_on_link(struct netdev *dev, const struct ip_addr *to)
{
    bool is = false;

    rcu_read_lock();
    for (const struct ip_ifaddr *a = ip_addrs_of(dev); a && !is; a = ip_addr_after(a))
        is = a->family == ip_family(to) && ip_in_net(to, &a->peer, a->prefix);
    is = is || on_route(dev, to);
    rcu_read_unlock();
    return is;
}
