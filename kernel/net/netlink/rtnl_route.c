/* SPDX-License-Identifier: MIT
 *
 * rtnetlink's routes: the list, and which one a packet would take (RTM_GETROUTE), and how a route
 * is told. rtnl_route_set.c has the changes.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/ip/config.h"
#include "net/ip/ip.h"
#include "net/netlink/rtnl_route.h"

#define CACHE_EXPIRES 2 /* of struct rta_cacheinfo's words: hundredths of a second */

static const struct {
    u16 type;
    size_t offset;
} route_metrics[] = {
    {RTAX_MTU, offsetof(struct ip_route_view, mtu)},
    {RTAX_WINDOW, offsetof(struct ip_route_view, window)},
    {RTAX_ADVMSS, offsetof(struct ip_route_view, advmss)},
    {RTAX_HOPLIMIT, offsetof(struct ip_route_view, hoplimit)},
    {RTAX_INITCWND, offsetof(struct ip_route_view, initcwnd)},
    {RTAX_FEATURES, offsetof(struct ip_route_view, features)},
    {RTAX_RTO_MIN, offsetof(struct ip_route_view, rto_min)},
    {RTAX_INITRWND, offsetof(struct ip_route_view, initrwnd)},
    {RTAX_QUICKACK, offsetof(struct ip_route_view, quickack)},
};

u32 *rtnl_route_metric(struct ip_route_view *v, u16 type)
{
    for (u32 i = 0; i < ARRAY_SIZE(route_metrics); i++)
        if (route_metrics[i].type == type)
            return (u32 *)(void *)((char *)v + route_metrics[i].offset);
    return NULL;
}

static void route_fill_metrics(struct nl_builder *b, const struct ip_route_view *v)
{
    u32 nest = b->len;
    bool any = false;

    for (u32 i = 0; i < ARRAY_SIZE(route_metrics); i++) {
        u32 value = *(const u32 *)(const void *)((const char *)v + route_metrics[i].offset);

        if (!value)
            continue;
        if (!any)
            nest = nl_nest(b, RTA_METRICS);
        any = true;
        nl_put_u32(b, route_metrics[i].type, value);
    }
    if (any)
        nl_nest_end(b, nest);
}

/* struct rtnexthop, and what belongs to it. */
static void route_fill_hop(struct nl_builder *b, u16 family, const struct ip_next_hop *h)
{
    bool gateway = !ip_is_any(&h->gateway);
    struct route_hop head = {
        .len = (u16)(sizeof(head) + (gateway ? NL_ATTR + rtnl_addr_size(family) : 0)),
        .flags = h->flags,
        .hops = (u8)(h->weight ? h->weight - 1 : 0),
        .index = (s32)h->device,
    };

    nl_put_raw(b, &head, sizeof(head));
    if (gateway)
        rtnl_addr_put(b, RTA_GATEWAY, family, &h->gateway);
}

static void route_fill_hops(struct nl_builder *b, const struct ip_route_view *v)
{
    u32 nest;

    if (v->nr_hops == 1) {
        if (!ip_is_any(&v->hops[0].gateway))
            rtnl_addr_put(b, RTA_GATEWAY, v->family, &v->hops[0].gateway);
        if (v->hops[0].device)
            nl_put_u32(b, RTA_OIF, v->hops[0].device);
    }
    if (v->nr_hops < 2)
        return;
    nest = nl_nest(b, RTA_MULTIPATH);
    for (u32 i = 0; i < v->nr_hops; i++)
        route_fill_hop(b, v->family, &v->hops[i]);
    nl_nest_end(b, nest);
}

static void route_fill(const struct rtnl_out *o, u16 type, const struct ip_route_view *v, u32 flags)
{
    struct rtmsg *m = rtnl_begin(o, type, sizeof(*m));
    u32 cache[8] = {[CACHE_EXPIRES] = v->expires * 100};

    if (m)
        *m = (struct rtmsg){.family = (u8)v->family,
                            .to_prefix = v->prefix,
                            .tos = v->tos,
                            .table = v->table < 256 ? (u8)v->table : RT_TABLE_COMPAT,
                            .protocol = v->protocol,
                            .scope = v->scope,
                            .type = v->type,
                            .flags = flags | (v->nr_hops == 1 ? v->hops[0].flags : 0)};
    nl_put_u32(o->b, RTA_TABLE, v->table);
    if (v->prefix)
        rtnl_addr_put(o->b, RTA_DST, v->family, &v->to);
    if (v->priority)
        nl_put_u32(o->b, RTA_PRIORITY, v->priority);
    if (!ip_is_any(&v->prefsrc))
        rtnl_addr_put(o->b, RTA_PREFSRC, v->family, &v->prefsrc);
    route_fill_metrics(o->b, v);
    route_fill_hops(o->b, v);
    if (v->family == RTNL_AF_INET6) {
        nl_put(o->b, RTA_CACHEINFO, cache, sizeof(cache));
        nl_put_u8(o->b, RTA_PREF, 0);
    }
}

bool rtnl_fill_route(const struct rtnl_out *o, u16 type, const void *view)
{
    route_fill(o, type, view, 0);
    return nl_end(o->b);
}

/* ---- which way a packet goes ---- */

static const struct nl_rule ask_rules[RTA_RULES] = {
    [RTA_DST] = {NL_BYTES, 4, 16}, [RTA_SRC] = {NL_BYTES, 4, 16},  [RTA_IIF] = {NL_U32, 0, 0},
    [RTA_OIF] = {NL_U32, 0, 0},    [RTA_TABLE] = {NL_U32, 0, 0},   [RTA_MARK] = {NL_U32, 0, 0},
    [RTA_UID] = {NL_U32, 0, 0},    [RTA_IP_PROTO] = {NL_U8, 0, 0}, [RTA_SPORT] = {NL_U16, 0, 0},
    [RTA_DPORT] = {NL_U16, 0, 0},
};

static int ask_parse(struct nl_request *r, struct ip_flow *f, struct rtmsg *m, u32 *uid)
{
    struct nl_attr a[RTA_RULES];
    int err = rtnl_body(r, m, sizeof(*m));

    if (!err)
        err = rtnl_attrs(r, sizeof(*m), ask_rules, RTA_RULES, a);
    if (err)
        return err;
    if (m->family != RTNL_AF_INET && m->family != RTNL_AF_INET6)
        return -EAFNOSUPPORT;
    if (nl_has(&a[RTA_IIF]) && nl_u32(&a[RTA_IIF]))
        return rtnl_refuse(r, &a[RTA_IIF], "Only packets of this host can be asked for",
                           -EOPNOTSUPP);
    *f = (struct ip_flow){.to = rtnl_addr_any(m->family), .from = rtnl_addr_any(m->family)};
    if (nl_has(&a[RTA_DST]))
        err = rtnl_addr_get(&a[RTA_DST], m->family, &f->to);
    if (!err && nl_has(&a[RTA_SRC]))
        err = rtnl_addr_get(&a[RTA_SRC], m->family, &f->from);
    if (err)
        return rtnl_refuse(r, NULL, "Invalid address", err);
    f->tos = m->tos;
    f->device = nl_has(&a[RTA_OIF]) ? nl_u32(&a[RTA_OIF]) : 0;
    f->mark = nl_has(&a[RTA_MARK]) ? nl_u32(&a[RTA_MARK]) : 0;
    f->protocol = nl_has(&a[RTA_IP_PROTO]) ? nl_u8(&a[RTA_IP_PROTO]) : 0;
    if (nl_has(&a[RTA_SPORT]))
        f->from_port = __builtin_bswap16(nl_u16(&a[RTA_SPORT]));
    if (nl_has(&a[RTA_DPORT]))
        f->to_port = __builtin_bswap16(nl_u16(&a[RTA_DPORT]));
    *uid = nl_has(&a[RTA_UID]) ? nl_u32(&a[RTA_UID])
                               : user_ns_uid(current_cred()->user_ns, current_cred()->euid);
    f->uid = user_ns_map_uid(current_cred()->user_ns, *uid);
    return f->uid == ID_INVALID ? -EINVAL : 0;
}

static int route_ask(struct nl_request *r)
{
    struct ip_route_view v = {0};
    struct nl_builder b;
    struct rtnl_out o = {&b, NULL, r};
    struct ip_flow f;
    struct rtmsg m;
    u32 uid = 0;
    int err = ask_parse(r, &f, &m, &uid);

    if (!err)
        err = ip_route_ask(r->ns, &f, &v);
    if (!err)
        err = nl_answer_begin(&b);
    if (err)
        return err;
    if (!(m.flags & RTM_F_FIB_MATCH)) { /* for this destination alone */
        v.to = f.to;
        v.prefix = (u8)(rtnl_addr_size(m.family) * 8);
    }
    route_fill(&o, RTM_NEWROUTE, &v, m.flags & RTM_F_FIB_MATCH ? 0 : RTM_F_CLONED);
    nl_put_u32(&b, RTA_UID, uid);
    if (!nl_end(&b))
        err = -EMSGSIZE;
    return nl_answer_end(r, &b);
}

/* ---- the list ---- */

struct route_dump {
    struct rtmsg want; /* strict checks: 0: any */
    u32 table, device;
    struct ip_route_view at;
};

static bool route_shown(const struct route_dump *s, const struct ip_route_view *v)
{
    bool through = !s->device;

    for (u32 i = 0; i < v->nr_hops && !through; i++)
        through = v->hops[i].device == s->device;
    return through && (!s->want.family || v->family == s->want.family) &&
           (!s->table || v->table == s->table) &&
           (!s->want.protocol || v->protocol == s->want.protocol) &&
           (!s->want.type || v->type == s->want.type);
}

static bool route_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    struct route_dump *s = (void *)d->state;
    struct rtnl_out o = {b, d, NULL};
    struct ip_route_view v = s->at;

    while (ip_route_next(d->ns, &v)) {
        if (route_shown(s, &v) && !rtnl_fill_route(&o, RTM_NEWROUTE, &v))
            return false;
        s->at = v;
        cond_yield();
    }
    return true;
}

static int route_dump(struct nl_request *r)
{
    struct nl_attr a[RTA_RULES];
    struct route_dump s = {0};
    bool strict = READ_ONCE(r->s->strict), none;
    int err = rtnl_body(r, &s.want, sizeof(s.want));

    if (!err)
        err = rtnl_attrs(r, sizeof(s.want), ask_rules, RTA_RULES, a);
    if (err)
        return err;
    none = s.want.family == RTNL_AF_GROUPS4 || s.want.family == RTNL_AF_GROUPS6 ||
           (s.want.flags & RTM_F_CLONED); /* learnt ones: none is kept as a route */
    if (s.want.family != RTNL_AF_INET && s.want.family != RTNL_AF_INET6)
        s.want.family = 0;
    if (!strict)
        s.want = (struct rtmsg){.family = s.want.family};
    if (strict) {
        s.table = nl_has(&a[RTA_TABLE]) ? nl_u32(&a[RTA_TABLE]) : s.want.table;
        s.device = nl_has(&a[RTA_OIF]) ? nl_u32(&a[RTA_OIF]) : 0;
        if (s.device && !net_device_exists(r->ns, s.device))
            return -ENODEV;
    }
    if (none)
        s.device = U32_MAX;
    return nl_dump_begin(r, NL_ROUTES, route_dump_step, &s, sizeof(s),
                         s.table || s.device || s.want.protocol || s.want.type);
}
RTNL_HANDLER(getroute) = {RTM_GETROUTE, route_ask, route_dump};
