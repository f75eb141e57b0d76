/* SPDX-License-Identifier: MIT
 *
 * The routes that come with an address: its own, its broadcast's, and that to its net.
 */
#include "net/ip/address_priv.h"

static struct ip_route_view addr_route(const struct ip_ifaddr *a, u8 type, u32 table, u8 scope,
                                       const struct ip_addr *to, u8 prefix)
{
    bool six = a->family == FAMILY_V6;

    struct ip_route_view v = {.family = a->family,
                              .prefix = prefix,
                              .type = type,
                              .scope = six ? SCOPE_UNIVERSE : scope,
                              .protocol = ROUTE_BY_KERNEL,
                              .table = table,
                              .priority = a->metric,
                              .to = ip_masked(to, a->family, prefix),
                              .nr_hops = 1};

    if (!v.priority && six && type != ROUTE_LOCAL)
        v.priority = PRIORITY_ADDR6;
    if (!six)
        v.prefsrc = a->addr;
    v.hops[0].device = a->dev->index;
    return v;
}

void addr_local_route(struct ip_config *c, const struct ip_ifaddr *a, addr_route_fn fn)
{
    u8 bits = a->family == FAMILY_V4 ? 32 : LPM_BITS;
    struct ip_route_view v = addr_route(a, ROUTE_LOCAL, TABLE_LOCAL, SCOPE_HOST, &a->addr, bits);

    v.priority = 0;
    fn(c, &v);
}

void addr_net_routes(struct ip_config *c, const struct ip_ifaddr *a, addr_route_fn fn)
{
    bool lo = a->dev->flags & NETDEV_LOOPBACK, four = a->family == FAMILY_V4;
    struct ip_route_view v;

    if (four && !ip_is_any(&a->broadcast)) {
        v = addr_route(a, ROUTE_BROADCAST, TABLE_LOCAL, SCOPE_LINK, &a->broadcast, 32);
        v.priority = 0;
        fn(c, &v);
    }
    if ((a->flags & (ADDR_SECONDARY | ADDR_NOPREFIXROUTE)) || a->prefix == (four ? 32 : LPM_BITS))
        return;
    if (lo && !four)
        return;
    if (lo)
        v = addr_route(a, ROUTE_LOCAL, TABLE_LOCAL, SCOPE_HOST, &a->peer, a->prefix);
    else
        v = addr_route(a, ROUTE_UNICAST, TABLE_MAIN, SCOPE_LINK, &a->peer, a->prefix);
    fn(c, &v);
}

bool addr_is_elsewhere(struct ip_config *c, const struct ip_ifaddr *a)
{
    struct rb_node *n = c->addrs.node;

    while (n) {
        const struct ip_ifaddr *x = rb_entry(n, struct ip_ifaddr, node);
        int cmp = addr_compare(x, a->dev->index, a->family, &a->addr, x->prefix);

        if (!cmp)
            return true;
        n = cmp < 0 ? n->left : n->right;
    }
    return false;
}

bool addr_net_is_shared(const struct ip_ifaddr *a)
{
    for (const struct ip_ifaddr *x = ip_addrs_of(a->dev); x; x = ip_addr_after(x))
        if (x != a && x->family == a->family && x->prefix == a->prefix &&
            !(x->flags & (ADDR_SECONDARY | ADDR_NOPREFIXROUTE)) &&
            ip_in_net(&x->peer, &a->peer, a->prefix))
            return true;
    return false;
}
