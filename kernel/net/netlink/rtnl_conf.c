/* SPDX-License-Identifier: MIT
 *
 * rtnetlink's netconf: what a device forwards and believes (RTM_GETNETCONF), of each family, of
 * each device, of `all` and of `default`; and that it changed. A view on core/conf.h.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/conf.h"
#include "net/netlink/rtnl.h"

struct netconf {
    u8 family;
};
enum {
    NETCONFA_IFINDEX = 1,
    NETCONFA_FORWARDING = 2,
    NETCONFA_RP_FILTER = 3,
    NETCONFA_MC_FORWARDING = 4,
    NETCONFA_PROXY_NEIGH = 5,
    NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN = 6,
    NETCONFA_BC_FORWARDING = 8,
    NETCONFA_RULES
};
enum { CONF_ALL = -1, CONF_DEFAULT = -2 }; /* in place of an index */
#define CONF_NONE NET_CONFS                /* there is none, and it is 0 */

/* What is told, in this order. */
static const struct conf_row {
    u16 family, type;
    u32 conf;
} conf_rows[] = {
    {RTNL_AF_INET, NETCONFA_FORWARDING, CONF4_FORWARDING},
    {RTNL_AF_INET, NETCONFA_RP_FILTER, CONF4_RP_FILTER},
    {RTNL_AF_INET, NETCONFA_MC_FORWARDING, CONF_NONE},
    {RTNL_AF_INET, NETCONFA_BC_FORWARDING, CONF_NONE},
    {RTNL_AF_INET, NETCONFA_PROXY_NEIGH, CONF4_PROXY_ARP},
    {RTNL_AF_INET, NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN, CONF_NONE},
    {RTNL_AF_INET6, NETCONFA_FORWARDING, CONF6_FORWARDING},
    {RTNL_AF_INET6, NETCONFA_MC_FORWARDING, CONF_NONE},
    {RTNL_AF_INET6, NETCONFA_PROXY_NEIGH, CONF6_PROXY_NDP},
    {RTNL_AF_INET6, NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN, CONF_NONE},
};

/* Whose numbers: a device's, or index CONF_ALL or CONF_DEFAULT. */
struct conf_of {
    struct net_ns *ns;
    struct netdev *dev;
    s32 index;
    u16 family;
};

static s32 conf_value(const struct conf_of *c, u32 conf)
{
    if (conf == CONF_NONE)
        return 0;
    if (c->dev)
        return net_conf(c->dev, conf);
    return c->index == CONF_ALL ? net_conf_all(c->ns, conf)
                                : READ_ONCE(net_confs_of(c->ns)->first[conf]);
}

/* only: that number alone; NET_CONFS: all. */
static bool conf_fill(const struct rtnl_out *o, const struct conf_of *c, u32 only)
{
    struct netconf *m = rtnl_begin(o, RTM_NEWNETCONF, sizeof(*m));

    if (m)
        m->family = (u8)c->family;
    nl_put_u32(o->b, NETCONFA_IFINDEX, (u32)c->index);
    for (u32 i = 0; i < ARRAY_SIZE(conf_rows); i++) {
        const struct conf_row *row = &conf_rows[i];

        if (row->family == c->family && (only == NET_CONFS || only == row->conf))
            nl_put_u32(o->b, row->type, (u32)conf_value(c, row->conf));
    }
    return nl_end(o->b);
}

/* ---- asking ---- */

static int conf_find(struct nl_request *r, struct conf_of *c)
{
    static const struct nl_rule rules[NETCONFA_RULES] = {[NETCONFA_IFINDEX] = {NL_U32, 0, 0}};
    struct nl_attr a[NETCONFA_RULES];
    struct netconf m;
    int err = rtnl_body(r, &m, sizeof(m));

    if (!err)
        err = rtnl_attrs(r, sizeof(m), rules, NETCONFA_RULES, a);
    if (err)
        return err;
    if (m.family != RTNL_AF_INET && m.family != RTNL_AF_INET6)
        return -EOPNOTSUPP;
    if (!nl_has(&a[NETCONFA_IFINDEX]))
        return -EINVAL;
    *c = (struct conf_of){r->ns, NULL, (s32)nl_u32(&a[NETCONFA_IFINDEX]), m.family};
    if (c->index != CONF_ALL && c->index != CONF_DEFAULT)
        c->dev = c->index > 0 ? net_device_by_index(r->ns, (u32)c->index) : NULL;
    return c->dev || c->index == CONF_ALL || c->index == CONF_DEFAULT ? 0 : -EINVAL;
}

static int conf_get(struct nl_request *r)
{
    struct nl_builder b;
    struct rtnl_out o = {&b, NULL, r};
    struct conf_of c;
    int err = conf_find(r, &c);

    if (err)
        return err;
    err = nl_answer_begin(&b);
    if (!err) {
        (void)conf_fill(&o, &c, NET_CONFS);
        err = nl_answer_end(r, &b);
    }
    if (c.dev)
        netdev_put(c.dev);
    return err;
}

/* Where a dump is: a family, and in it the devices, then `all`, then `default`. */
struct conf_dump {
    u16 family, last_family;
    u32 last; /* index */
    s32 then; /* CONF_ALL, CONF_DEFAULT, or less: all is told */
};

static bool conf_dump_devices(struct nl_dump *d, const struct rtnl_out *o, struct conf_dump *s)
{
    struct netdev *dev;
    bool fits = true;

    while (fits && (dev = net_device_next(d->ns, s->last))) {
        struct conf_of c = {d->ns, dev, (s32)dev->index, s->family};

        fits = conf_fill(o, &c, NET_CONFS);
        if (fits)
            s->last = dev->index;
        netdev_put(dev);
        cond_yield();
    }
    return fits;
}

static bool conf_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    struct conf_dump *s = (void *)d->state;
    struct rtnl_out o = {b, d, NULL};

    for (;;) {
        if (s->then == CONF_ALL && !conf_dump_devices(d, &o, s))
            return false;
        for (; s->then >= CONF_DEFAULT; s->then--) {
            struct conf_of c = {d->ns, NULL, s->then, s->family};

            if (!conf_fill(&o, &c, NET_CONFS))
                return false;
        }
        if (s->family == s->last_family)
            return true;
        *s = (struct conf_dump){s->last_family, s->last_family, 0, CONF_ALL};
    }
}

static int conf_dump(struct nl_request *r)
{
    struct conf_dump s = {RTNL_AF_INET, RTNL_AF_INET6, 0, CONF_ALL};
    struct netconf m;
    int err = rtnl_body(r, &m, sizeof(m));

    if (err)
        return err;
    if (m.family)
        s.family = s.last_family = m.family;
    if (m.family && m.family != RTNL_AF_INET && m.family != RTNL_AF_INET6)
        return -EOPNOTSUPP;
    return nl_dump_begin(r, NL_LINKS, conf_dump_step, &s, sizeof(s), false);
}
RTNL_HANDLER(getnetconf) = {RTM_GETNETCONF, conf_get, conf_dump};

/* ---- changes ---- */

static const struct conf_row *conf_row_of(u32 conf)
{
    for (u32 i = 0; i < ARRAY_SIZE(conf_rows); i++)
        if (conf_rows[i].conf == conf)
            return &conf_rows[i];
    return NULL;
}

static void conf_changed(struct net_ns *ns, enum net_event_kind kind, const void *what, u32 change)
{
    const struct net_conf_change *v = what;
    const struct conf_row *row = kind == NET_EVENT_CONF ? conf_row_of(v->conf) : NULL;
    struct nl_builder b;
    struct rtnl_out o = {&b, NULL, NULL};
    struct conf_of c;
    u32 group;

    if (!row)
        return;
    group = row->family == RTNL_AF_INET ? RTNLGRP_IPV4_NETCONF : RTNLGRP_IPV6_NETCONF;
    if (!nl_listened(ns, NETLINK_ROUTE, group) || nl_answer_begin(&b))
        return;
    c = (struct conf_of){ns, v->dev, v->first ? CONF_DEFAULT : CONF_ALL, row->family};
    if (v->dev)
        c.index = (s32)v->dev->index;
    if (conf_fill(&o, &c, v->conf))
        nl_tell(ns, NETLINK_ROUTE, group, &b);
    kfree(b.buf);
}
NET_EVENT_LISTENER(rtnetlink_conf) = {conf_changed};
