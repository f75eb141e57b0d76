/* SPDX-License-Identifier: MIT
 *
 * rtnetlink's links: what there are (RTM_GETLINK).
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/netlink/rtnl_link.h"

TABLE_DECLARE(struct rtnl_kind, rtnl_kinds);

const struct rtnl_kind *rtnl_kind_of(const struct netdev *dev)
{
    const struct rtnl_kind *k;

    TABLE_FOR_EACH(k, rtnl_kinds)
    if (k->ops == dev->ops)
        return k;
    return NULL;
}

const struct rtnl_kind *rtnl_kind_named(const char *name)
{
    const struct rtnl_kind *k;

    TABLE_FOR_EACH(k, rtnl_kinds)
    if (!strcmp(k->name, name))
        return k;
    return NULL;
}

/* struct rtnl_link_stats64; rtnl_link_stats is the same in words of 32 bits. */
static void link_stats(struct netdev *dev, u64 out[LINK_STATS])
{
    struct netdev_stats s;

    netdev_stats(dev, &s);
    memset(out, 0, LINK_STATS * sizeof(*out));
    out[0] = s.rx_packets;
    out[1] = s.tx_packets;
    out[2] = s.rx_bytes;
    out[3] = s.tx_bytes;
    out[4] = s.rx_errors;
    out[5] = s.tx_errors;
    out[6] = s.rx_dropped;
    out[7] = s.tx_dropped;
    out[8] = s.rx_multicast;
}

static void link_fill_stats(struct nl_builder *b, struct netdev *dev)
{
    u64 stats[LINK_STATS];
    u32 few[LINK_STATS - 1];

    link_stats(dev, stats);
    for (u32 i = 0; i < ARRAY_SIZE(few); i++)
        few[i] = (u32)stats[i];
    nl_put(b, IFLA_STATS64, stats, sizeof(stats));
    nl_put(b, IFLA_STATS, few, sizeof(few));
}

static void link_fill_kind(struct nl_builder *b, const struct netdev *dev)
{
    const struct rtnl_kind *k = rtnl_kind_of(dev);
    u32 info, data;

    if (!k)
        return;
    if (k->link)
        nl_put_u32(b, IFLA_LINK, k->link(dev));
    info = nl_nest(b, IFLA_LINKINFO);
    nl_put_text(b, IFLA_INFO_KIND, k->name);
    if (k->fill) {
        data = nl_nest(b, IFLA_INFO_DATA);
        k->fill(dev, b);
        nl_nest_end(b, data);
    }
    nl_nest_end(b, info);
}

static void link_fill_addr(struct nl_builder *b, const struct netdev *dev)
{
    u8 all[NETDEV_ADDR];

    if (dev->type != ARPHRD_ETHER && dev->type != ARPHRD_LOOPBACK)
        return;
    memset(all, dev->type == ARPHRD_ETHER ? 0xff : 0, sizeof(all));
    nl_put(b, IFLA_ADDRESS, dev->addr, NETDEV_ADDR);
    nl_put(b, IFLA_BROADCAST, all, sizeof(all));
    if (dev->parent)
        nl_put(b, IFLA_PERM_ADDRESS, dev->own_addr, NETDEV_ADDR);
}

static void link_fill_numbers(struct nl_builder *b, const struct netdev *dev)
{
    u32 flags = READ_ONCE(dev->flags);

    nl_put_u32(b, IFLA_TXQLEN, READ_ONCE(dev->tx_queue_len));
    nl_put_u8(b, IFLA_OPERSTATE, net_device_state(dev));
    nl_put_u8(b, IFLA_LINKMODE, 0);
    nl_put_u32(b, IFLA_MTU, READ_ONCE(dev->mtu));
    nl_put_u32(b, IFLA_MIN_MTU, dev->min_mtu);
    nl_put_u32(b, IFLA_MAX_MTU, dev->max_mtu);
    nl_put_u32(b, IFLA_GROUP, READ_ONCE(dev->group));
    nl_put_u32(b, IFLA_PROMISCUITY, READ_ONCE(dev->promisc));
    nl_put_u32(b, IFLA_NUM_TX_QUEUES, dev->nr_queues);
    nl_put_u32(b, IFLA_NUM_RX_QUEUES, dev->nr_queues);
    nl_put_u8(b, IFLA_CARRIER, (flags & NETDEV_UP) && (flags & NETDEV_CARRIER));
    nl_put_text(b, IFLA_QDISC, "noqueue");
    nl_put_u32(b, IFLA_CARRIER_CHANGES, READ_ONCE(dev->nr_carrier));
}

static void link_fill_alias(struct nl_builder *b, struct netdev *dev)
{
    char alias[NET_ALIAS];

    net_device_alias(dev, alias);
    if (alias[0])
        nl_put_text(b, IFLA_IFALIAS, alias);
}

static void link_fill_names(struct nl_builder *b, struct netdev *dev)
{
    char name[NET_ALTNAME];
    u32 list = 0;

    for (u32 i = 0; net_device_altname(dev, i, name); i++) {
        if (!i)
            list = nl_nest(b, IFLA_PROP_LIST | NL_NESTED);
        nl_put_text(b, IFLA_ALT_IFNAME, name);
    }
    if (list)
        nl_nest_end(b, list);
}

bool rtnl_fill_link(const struct rtnl_out *o, u16 type, struct netdev *dev)
{
    struct ifinfo *i = rtnl_begin(o, type, sizeof(*i));
    char name[NETDEV_NAME];

    if (i) {
        i->type = dev->type;
        i->index = (s32)dev->index;
        i->flags = net_device_flags(dev);
    }
    memcpy(name, dev->name, sizeof(name));
    name[sizeof(name) - 1] = 0;
    nl_put_text(o->b, IFLA_IFNAME, name);
    link_fill_alias(o->b, dev);
    link_fill_names(o->b, dev);
    link_fill_numbers(o->b, dev);
    link_fill_addr(o->b, dev);
    link_fill_stats(o->b, dev);
    link_fill_kind(o->b, dev);
    return nl_end(o->b);
}

/* ---- asking ---- */

static const struct nl_rule link_rules[IFLA_RULES] = {
    [IFLA_IFNAME] = {NL_TEXT, 1, NETDEV_NAME - 1},
    [IFLA_LINKINFO] = {NL_NEST, 0, 0},
    [IFLA_MASTER] = {NL_U32, 0, 0},
    [IFLA_EXT_MASK] = {NL_U32, 0, 0},
    [IFLA_ALT_IFNAME] = {NL_TEXT, 1, NET_ALTNAME - 1},
};

struct netdev *rtnl_link_find(struct nl_request *r, const struct ifinfo *i, const struct nl_attr *a,
                              int *err)
{
    const struct nl_attr *name = nl_has(&a[IFLA_IFNAME]) ? &a[IFLA_IFNAME] : &a[IFLA_ALT_IFNAME];
    char text[NET_ALTNAME];
    struct netdev *dev = NULL;

    *err = -ENODEV;
    if (i->index > 0) {
        dev = net_device_by_index(r->ns, (u32)i->index);
    } else if (i->index < 0) {
        *err = -EINVAL;
    } else if (nl_has(name)) {
        if (nl_text(name, text, sizeof(text)))
            dev = net_device_by_name(r->ns, text);
    } else {
        *err = -EINVAL;
    }
    return dev;
}

static int link_get(struct nl_request *r)
{
    struct nl_attr a[IFLA_RULES];
    struct nl_builder b;
    struct rtnl_out o = {&b, NULL, r};
    struct netdev *dev;
    struct ifinfo i;
    int err = rtnl_body(r, &i, sizeof(i));

    if (!err)
        err = rtnl_attrs(r, sizeof(i), link_rules, IFLA_RULES, a);
    if (err)
        return err;
    dev = rtnl_link_find(r, &i, a, &err);
    if (!dev)
        return err;
    err = nl_answer_begin(&b);
    if (!err && !rtnl_fill_link(&o, RTM_NEWLINK, dev))
        err = -EMSGSIZE;
    if (!err || err == -EMSGSIZE)
        err = nl_answer_end(r, &b);
    netdev_put(dev);
    return err;
}

/* What a dump shows, and where it is. */
struct link_dump {
    u32 last; /* index */
    char kind[16];
};

static bool link_shown(const struct link_dump *s, const struct netdev *dev)
{
    const struct rtnl_kind *k;

    if (!s->kind[0])
        return true;
    k = rtnl_kind_of(dev);
    return k && !strcmp(k->name, s->kind);
}

static bool link_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    struct link_dump *s = (void *)d->state;
    struct rtnl_out o = {b, d, NULL};
    struct netdev *dev;
    bool fits = true;

    while (fits && (dev = net_device_next(d->ns, s->last))) {
        if (link_shown(s, dev))
            fits = rtnl_fill_link(&o, RTM_NEWLINK, dev);
        if (fits)
            s->last = dev->index;
        netdev_put(dev);
        cond_yield();
    }
    return fits;
}

static int link_dump(struct nl_request *r)
{
    static const struct nl_rule info_rules[] = {[IFLA_INFO_KIND] = {NL_TEXT, 1, 15}};
    struct nl_attr a[IFLA_RULES], info[ARRAY_SIZE(info_rules)];
    struct link_dump s = {0};
    struct ifinfo i;
    int err = rtnl_body(r, &i, sizeof(i));

    if (!err)
        err = rtnl_attrs(r, sizeof(i), link_rules, IFLA_RULES, a);
    if (!err && nl_has(&a[IFLA_LINKINFO]))
        err = nl_parse(a[IFLA_LINKINFO].data, a[IFLA_LINKINFO].len, a[IFLA_LINKINFO].offset + 4,
                       info_rules, ARRAY_SIZE(info_rules), info, &r->fault);
    if (err)
        return err;
    if (nl_has(&a[IFLA_LINKINFO]) && nl_has(&info[IFLA_INFO_KIND]))
        nl_text(&info[IFLA_INFO_KIND], s.kind, sizeof(s.kind));
    if (nl_has(&a[IFLA_MASTER]) || i.family == RTNL_AF_BRIDGE) /* no device is in a bridge */
        s.last = U32_MAX;
    return nl_dump_begin(r, NL_LINKS, link_dump_step, &s, sizeof(s),
                         s.kind[0] || nl_has(&a[IFLA_MASTER]));
}
RTNL_HANDLER(getlink) = {RTM_GETLINK, link_get, link_dump};

/* ---- RTM_GETSTATS: 64-bit counters alone ---- */

struct if_stats {
    u8 family, pad1;
    u16 pad2;
    u32 index, mask;
};
enum { IFLA_STATS_LINK_64 = 1 };

static bool stats_fill(const struct rtnl_out *o, struct netdev *dev)
{
    struct if_stats *i = rtnl_begin(o, RTM_NEWSTATS, sizeof(*i));
    u64 stats[LINK_STATS];

    if (i) {
        i->index = dev->index;
        i->mask = 1U << (IFLA_STATS_LINK_64 - 1);
    }
    link_stats(dev, stats);
    nl_put(o->b, IFLA_STATS_LINK_64, stats, sizeof(stats));
    return nl_end(o->b);
}

static bool stats_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    struct link_dump *s = (void *)d->state;
    struct rtnl_out o = {b, d, NULL};
    struct netdev *dev;
    bool fits = true;

    while (fits && (dev = net_device_next(d->ns, s->last))) {
        fits = stats_fill(&o, dev);
        if (fits)
            s->last = dev->index;
        netdev_put(dev);
        cond_yield();
    }
    return fits;
}

static int stats_dump(struct nl_request *r)
{
    struct link_dump s = {0};
    struct if_stats i;
    int err = rtnl_body(r, &i, sizeof(i));

    if (!err && !(i.mask & 1U << (IFLA_STATS_LINK_64 - 1)))
        err = rtnl_refuse(r, NULL, "Only 64-bit link statistics are there", -EOPNOTSUPP);
    return err ? err : nl_dump_begin(r, NL_LINKS, stats_dump_step, &s, sizeof(s), false);
}

static int stats_get(struct nl_request *r)
{
    struct nl_builder b;
    struct rtnl_out o = {&b, NULL, r};
    struct if_stats i;
    struct netdev *dev;
    int err = rtnl_body(r, &i, sizeof(i));

    if (!err && !(i.mask & 1U << (IFLA_STATS_LINK_64 - 1)))
        err = -EOPNOTSUPP;
    if (err)
        return err;
    dev = net_device_by_index(r->ns, i.index);
    if (!dev)
        return -ENODEV;
    err = nl_answer_begin(&b);
    if (!err) {
        (void)stats_fill(&o, dev);
        err = nl_answer_end(r, &b);
    }
    netdev_put(dev);
    return err;
}
RTNL_HANDLER(getstats) = {RTM_GETSTATS, stats_get, stats_dump};
