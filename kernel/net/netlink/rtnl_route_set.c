/* SPDX-License-Identifier: MIT
 *
 * rtnetlink's routes: adding and removing them (RTM_NEWROUTE, RTM_DELROUTE).
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/ip/config.h"
#include "net/netlink/rtnl_route.h"

static const struct nl_rule set_rules[RTA_RULES] = {
    [RTA_DST] = {NL_BYTES, 4, 16},    [RTA_SRC] = {NL_REFUSED, 0, 0},
    [RTA_OIF] = {NL_U32, 0, 0},       [RTA_GATEWAY] = {NL_BYTES, 4, 16},
    [RTA_PRIORITY] = {NL_U32, 0, 0},  [RTA_PREFSRC] = {NL_BYTES, 4, 16},
    [RTA_METRICS] = {NL_NEST, 0, 0},  [RTA_MULTIPATH] = {NL_BYTES, sizeof(struct route_hop), 0},
    [RTA_FLOW] = {NL_REFUSED, 0, 0},  [RTA_TABLE] = {NL_U32, 0, 0},
    [RTA_VIA] = {NL_REFUSED, 0, 0},   [RTA_ENCAP_TYPE] = {NL_REFUSED, 0, 0},
    [RTA_ENCAP] = {NL_REFUSED, 0, 0}, [RTA_EXPIRES] = {NL_U32, 0, 0},
    [RTA_NH_ID] = {NL_REFUSED, 0, 0},
};

static int route_metrics_get(struct nl_request *r, const struct nl_attr *a, struct ip_route_view *v)
{
    struct nl_attr one;
    u32 at = 0, *metric;
    u16 type;

    while (nl_has(a) && nl_attr_next(a->data, a->len, &at, &type, &one)) {
        metric = rtnl_route_metric(v, type);
        if (!metric)
            continue; /* locks, and what TCP learns */
        if (one.len != sizeof(u32))
            return rtnl_refuse(r, a, "Invalid metric", -EINVAL);
        *metric = nl_u32(&one);
    }
    return 0;
}

static int route_hop_get(struct nl_request *r, const struct nl_attr *a, u16 family, const u8 *p,
                         u32 n, struct ip_next_hop *out)
{
    static const struct nl_rule rules[] = {[RTA_GATEWAY] = {NL_BYTES, 4, 16}};
    struct nl_attr in[ARRAY_SIZE(rules)];
    struct route_hop h;
    int err;

    memcpy(&h, p, sizeof(h));
    *out = (struct ip_next_hop){.gateway = rtnl_addr_any(family),
                                .device = (u32)h.index,
                                .weight = h.hops + 1U,
                                .flags = h.flags};
    err = nl_parse(p + sizeof(h), n - (u32)sizeof(h), a->offset, rules, ARRAY_SIZE(rules), in,
                   &r->fault);
    if (!err && nl_has(&in[RTA_GATEWAY]))
        err = rtnl_addr_get(&in[RTA_GATEWAY], family, &out->gateway);
    return err;
}

static int route_hops_get(struct nl_request *r, const struct nl_attr *a, struct ip_route_view *v)
{
    u32 at = 0;

    while (a->len - at >= sizeof(struct route_hop)) {
        u16 len;
        int err;

        memcpy(&len, a->data + at, sizeof(len));
        if (len < sizeof(struct route_hop) || len > a->len - at || v->nr_hops == IP_NEXT_HOPS)
            return rtnl_refuse(r, a, "Invalid nexthop configuration", -EINVAL);
        err = route_hop_get(r, a, v->family, a->data + at, len, &v->hops[v->nr_hops++]);
        if (err)
            return err;
        if (NL_ALIGN(len) >= a->len - at)
            break;
        at += NL_ALIGN(len);
    }
    return 0;
}

static int route_one_hop(struct nl_request *r, const struct nl_attr *a, struct ip_route_view *v)
{
    struct ip_next_hop *h = &v->hops[0];

    if (!nl_has(&a[RTA_OIF]) && !nl_has(&a[RTA_GATEWAY]))
        return 0;
    v->nr_hops = 1;
    *h = (struct ip_next_hop){.gateway = rtnl_addr_any(v->family), .weight = 1};
    if (nl_has(&a[RTA_OIF]))
        h->device = nl_u32(&a[RTA_OIF]);
    if (nl_has(&a[RTA_GATEWAY]) && rtnl_addr_get(&a[RTA_GATEWAY], v->family, &h->gateway))
        return rtnl_refuse(r, &a[RTA_GATEWAY], "Invalid gateway", -EINVAL);
    return 0;
}

static int route_parse(struct nl_request *r, struct ip_route_view *v)
{
    struct nl_attr a[RTA_RULES];
    struct rtmsg m;
    int err = rtnl_body(r, &m, sizeof(m));

    if (!err)
        err = rtnl_attrs(r, sizeof(m), set_rules, RTA_RULES, a);
    if (err)
        return err;
    if (m.family != RTNL_AF_INET && m.family != RTNL_AF_INET6)
        return -EAFNOSUPPORT;
    if (m.to_prefix > rtnl_addr_size(m.family) * 8 || m.from_prefix)
        return rtnl_refuse(r, NULL, "Invalid prefix length", -EINVAL);
    memset(v, 0, sizeof(*v));
    v->family = m.family;
    v->prefix = m.to_prefix;
    v->tos = m.tos;
    v->type = m.type;
    v->scope = m.scope;
    v->protocol = m.protocol;
    v->table = nl_has(&a[RTA_TABLE]) ? nl_u32(&a[RTA_TABLE]) : m.table;
    if (!v->table)
        v->table = RT_TABLE_MAIN;
    v->to = v->prefsrc = rtnl_addr_any(m.family);
    v->priority = nl_has(&a[RTA_PRIORITY]) ? nl_u32(&a[RTA_PRIORITY]) : 0;
    v->expires = nl_has(&a[RTA_EXPIRES]) ? nl_u32(&a[RTA_EXPIRES]) : 0;
    if (m.to_prefix && !nl_has(&a[RTA_DST]))
        return rtnl_refuse(r, NULL, "Destination is missing", -EINVAL);
    if (m.to_prefix && rtnl_addr_get(&a[RTA_DST], m.family, &v->to))
        return rtnl_refuse(r, &a[RTA_DST], "Invalid destination", -EINVAL);
    if (nl_has(&a[RTA_PREFSRC]) && rtnl_addr_get(&a[RTA_PREFSRC], m.family, &v->prefsrc))
        return rtnl_refuse(r, &a[RTA_PREFSRC], "Invalid preferred source", -EINVAL);
    err = route_metrics_get(r, &a[RTA_METRICS], v);
    if (err)
        return err;
    return nl_has(&a[RTA_MULTIPATH]) ? route_hops_get(r, &a[RTA_MULTIPATH], v)
                                     : route_one_hop(r, a, v);
}

static int route_new(struct nl_request *r)
{
    struct ip_route_view v;
    int err = route_parse(r, &v);

    if (!err && !v.type)
        v.type = RTN_UNICAST;
    return err ? err : ip_route_add(r->ns, &v, r->h.flags & 0xf00);
}

static int route_del(struct nl_request *r)
{
    struct ip_route_view v;
    int err = route_parse(r, &v);

    return err ? err : ip_route_remove(r->ns, &v);
}
RTNL_HANDLER(newroute) = {RTM_NEWROUTE, route_new, NULL};
RTNL_HANDLER(delroute) = {RTM_DELROUTE, route_del, NULL};
