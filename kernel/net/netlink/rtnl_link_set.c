/* SPDX-License-Identifier: MIT
 *
 * rtnetlink's links: making, changing and removing them (RTM_NEWLINK, RTM_SETLINK, RTM_DELLINK).
 * A change is judged as a whole first; then its parts are done one by one, and stay done when a
 * later one fails, as on Linux.
 */
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/netlink/rtnl_link.h"

static const struct nl_rule set_rules[IFLA_RULES] = {
    [IFLA_ADDRESS] = {NL_BYTES, NETDEV_ADDR, 32},
    [IFLA_IFNAME] = {NL_TEXT, 0, NETDEV_NAME - 1},
    [IFLA_MTU] = {NL_U32, 0, 0},
    [IFLA_LINK] = {NL_U32, 0, 0},
    [IFLA_MASTER] = {NL_U32, 0, 0},
    [IFLA_TXQLEN] = {NL_U32, 0, 0},
    [IFLA_LINKINFO] = {NL_NEST, 0, 0},
    [IFLA_NET_NS_PID] = {NL_U32, 0, 0},
    [IFLA_NET_NS_FD] = {NL_U32, 0, 0},
    [IFLA_TARGET_NETNSID] = {NL_REFUSED, 0, 0},
    [IFLA_NEW_IFINDEX] = {NL_REFUSED, 0, 0},
    [IFLA_IFALIAS] = {NL_BYTES, 0, NET_ALIAS - 1},
    [IFLA_GROUP] = {NL_U32, 0, 0},
    [IFLA_CARRIER] = {NL_REFUSED, 0, 0},
    [IFLA_PROP_LIST] = {NL_NEST, 0, 0},
    [IFLA_ALT_IFNAME] = {NL_TEXT, 1, NET_ALTNAME - 1},
};
static const struct nl_rule info_rules[] = {
    [IFLA_INFO_KIND] = {NL_TEXT, 1, 15},
    [IFLA_INFO_DATA] = {NL_NEST, 0, 0},
};

struct link_set {
    struct ifinfo i;
    struct nl_attr a[IFLA_RULES], info[ARRAY_SIZE(info_rules)];
    char name[NETDEV_NAME], kind[16];
};

static int link_set_parse(struct nl_request *r, struct link_set *q)
{
    int err;

    memset(q, 0, sizeof(*q));
    err = rtnl_body(r, &q->i, sizeof(q->i));
    if (!err)
        err = rtnl_attrs(r, sizeof(q->i), set_rules, IFLA_RULES, q->a);
    if (!err && nl_has(&q->a[IFLA_LINKINFO]))
        err = nl_parse(q->a[IFLA_LINKINFO].data, q->a[IFLA_LINKINFO].len,
                       q->a[IFLA_LINKINFO].offset + NL_ATTR, info_rules, ARRAY_SIZE(info_rules),
                       q->info, &r->fault);
    if (err)
        return err;
    if (nl_has(&q->a[IFLA_IFNAME]))
        nl_text(&q->a[IFLA_IFNAME], q->name, sizeof(q->name));
    if (nl_has(&q->info[IFLA_INFO_KIND]))
        nl_text(&q->info[IFLA_INFO_KIND], q->kind, sizeof(q->kind));
    if (nl_has(&q->a[IFLA_MASTER]) && nl_u32(&q->a[IFLA_MASTER]))
        return rtnl_refuse(r, &q->a[IFLA_MASTER], "No device can be a master", -EOPNOTSUPP);
    return 0;
}

static int link_set_flags(struct netdev *dev, const struct ifinfo *i)
{
    /* Without a mask: all flags are as said. */
    return net_device_set_flags(dev, i->flags, i->change ? i->change : i->flags ? ~0U : 0);
}

static int link_set_kind(struct nl_request *r, struct netdev *dev, struct link_set *q)
{
    const struct rtnl_kind *k = rtnl_kind_of(dev);
    struct rtnl_link_request l = {.data = &q->info[IFLA_INFO_DATA], .fault = &r->fault};

    if (!q->kind[0] || !nl_has(&q->info[IFLA_INFO_DATA]))
        return 0;
    if (!k || strcmp(k->name, q->kind) || !k->change)
        return rtnl_refuse(r, &q->a[IFLA_LINKINFO], "Device type does not change so", -EOPNOTSUPP);
    return k->change(dev, &l);
}

/* With a NUL behind it or not. */
static int link_set_alias(struct netdev *dev, const struct nl_attr *a)
{
    const char *text = (const char *)a->data;
    u32 n = 0;

    while (n < a->len && text[n])
        n++;
    return net_device_set_alias(dev, text, n);
}

static int link_set_do(struct nl_request *r, struct netdev *dev, struct link_set *q)
{
    const struct nl_attr *a = q->a;
    int err = link_set_kind(r, dev, q);

    if (!err && nl_has(&a[IFLA_ADDRESS]))
        err = net_device_set_address(dev, a[IFLA_ADDRESS].data);
    if (!err && nl_has(&a[IFLA_MTU])) {
        err = net_device_set_mtu(dev, nl_u32(&a[IFLA_MTU]));
        if (err == -EINVAL)
            rtnl_refuse(r, &a[IFLA_MTU], "mtu is outside what the device can", err);
    }
    if (!err && q->i.index > 0 && q->name[0] && strcmp(q->name, dev->name))
        err = net_device_rename(dev, q->name);
    if (!err && nl_has(&a[IFLA_TXQLEN]))
        WRITE_ONCE(dev->tx_queue_len, MIN(nl_u32(&a[IFLA_TXQLEN]), NETDEV_BACKLOG_MOST));
    if (!err && nl_has(&a[IFLA_IFALIAS]))
        err = link_set_alias(dev, &a[IFLA_IFALIAS]);
    if (!err && nl_has(&a[IFLA_GROUP]))
        WRITE_ONCE(dev->group, nl_u32(&a[IFLA_GROUP]));
    return err ? err : link_set_flags(dev, &q->i);
}

/* What the request says of a device, which may go to another namespace first. */
static int link_change(struct nl_request *r, struct netdev *dev, struct link_set *q)
{
    bool renamed = q->i.index > 0 && q->name[0];
    struct netdev *there;
    struct net_ns *to;
    int err;

    if (renamed && (!net_device_name_ok(q->name) || strchr(q->name, '%')))
        return -EINVAL;
    err = rtnl_link_target(r, q->a, &to);
    if (err || !to)
        return err ? err : link_set_do(r, dev, q);
    err = rtnl_link_move(r, dev, to, renamed ? q->name : NULL, &there);
    if (!err) {
        err = link_set_do(r, there, q);
        netdev_put(there);
    }
    net_ns_put(to);
    return err;
}

static int link_set(struct nl_request *r)
{
    struct netdev *dev;
    struct link_set q;
    int err = link_set_parse(r, &q);

    if (err)
        return err;
    dev = rtnl_link_find(r, &q.i, q.a, &err);
    if (!dev)
        return err;
    err = link_change(r, dev, &q);
    netdev_put(dev);
    return err;
}
RTNL_HANDLER(setlink) = {RTM_SETLINK, link_set, NULL};

static int link_make(struct nl_request *r, struct net_ns *ns, struct link_set *q)
{
    const struct rtnl_kind *k = rtnl_kind_named(q->kind);
    char form[NETDEV_NAME];
    struct rtnl_link_request l = {
        .data = &q->info[IFLA_INFO_DATA], .name = q->name[0] ? q->name : form, .fault = &r->fault};

    if (!k || !k->create)
        return rtnl_refuse(r, &q->a[IFLA_LINKINFO], "Unknown device type", -EOPNOTSUPP);
    if (q->i.index > 0) /* indices are given out in order */
        return rtnl_refuse(r, NULL, "An index cannot be chosen", -EOPNOTSUPP);
    if (q->name[0] && !net_device_name_ok(q->name))
        return -EINVAL;
    snprintf(form, sizeof(form), "%s%%d", k->name);
    if (nl_has(&q->a[IFLA_LINK]))
        l.link = nl_u32(&q->a[IFLA_LINK]);
    if (nl_has(&q->a[IFLA_MTU]))
        l.mtu = nl_u32(&q->a[IFLA_MTU]);
    l.has_addr = nl_has(&q->a[IFLA_ADDRESS]);
    if (l.has_addr)
        memcpy(l.addr, q->a[IFLA_ADDRESS].data, NETDEV_ADDR);
    return k->create(ns, &l);
}

/* One is made, in the namespace that is named, and brought up if that is asked for. */
static int link_create(struct nl_request *r, struct link_set *q)
{
    struct netdev *dev;
    struct net_ns *to;
    int err = rtnl_link_target(r, q->a, &to);

    if (!err)
        err = link_make(r, to ? to : r->ns, q);
    if (!err && (q->i.flags & q->i.change) && q->name[0] && !strchr(q->name, '%')) {
        dev = net_device_by_name(to ? to : r->ns, q->name);
        if (dev) { /* else another request was faster to remove it */
            err = link_set_flags(dev, &q->i);
            netdev_put(dev);
        }
    }
    if (to)
        net_ns_put(to);
    return err;
}

/* An existing device is changed, unless it must not be there; one that is not there is made, if
 * that is asked for. */
static int link_new(struct nl_request *r)
{
    struct netdev *dev = NULL;
    struct link_set q;
    int err = link_set_parse(r, &q);

    if (err)
        return err;
    if (q.i.index > 0 || q.name[0] || nl_has(&q.a[IFLA_ALT_IFNAME]))
        dev = rtnl_link_find(r, &q.i, q.a, &err);
    if (!dev)
        return r->h.flags & NLM_F_CREATE ? link_create(r, &q) : -ENODEV;
    if (r->h.flags & NLM_F_EXCL)
        err = -EEXIST;
    else if (r->h.flags & NLM_F_REPLACE)
        err = -EOPNOTSUPP;
    else
        err = link_change(r, dev, &q);
    netdev_put(dev);
    return err;
}
RTNL_HANDLER(newlink) = {RTM_NEWLINK, link_new, NULL};

static int link_del(struct nl_request *r)
{
    struct netdev *dev;
    struct link_set q;
    int err = link_set_parse(r, &q);

    if (err)
        return err;
    dev = rtnl_link_find(r, &q.i, q.a, &err);
    if (!dev)
        return err;
    err = rtnl_kind_of(dev) ? net_device_delete(dev) : -EOPNOTSUPP;
    netdev_put(dev);
    return err;
}
RTNL_HANDLER(dellink) = {RTM_DELLINK, link_del, NULL};

/* ---- further names ---- */

/* One of the list; as on Linux what came before stays done. */
static int link_prop(struct nl_request *r, struct netdev *dev, u16 type, const struct nl_attr *a)
{
    char name[NET_ALTNAME];

    if (type != IFLA_ALT_IFNAME)
        return rtnl_refuse(r, NULL, "Links have no such property", -EOPNOTSUPP);
    if (!a->len || a->len > NET_ALTNAME || !nl_text(a, name, sizeof(name)))
        return -EINVAL;
    return r->h.type == RTM_NEWLINKPROP ? net_device_altname_add(dev, name)
                                        : net_device_altname_remove(dev, name);
}

static int link_props(struct nl_request *r)
{
    struct nl_attr one;
    struct netdev *dev;
    struct link_set q;
    bool changed = false;
    int err = link_set_parse(r, &q);
    u32 at = 0;
    u16 type;

    if (err)
        return err;
    dev = rtnl_link_find(r, &q.i, q.a, &err);
    if (!dev)
        return err;
    err = 0;
    while (!err && nl_has(&q.a[IFLA_PROP_LIST]) &&
           nl_attr_next(q.a[IFLA_PROP_LIST].data, q.a[IFLA_PROP_LIST].len, &at, &type, &one)) {
        err = link_prop(r, dev, type, &one);
        changed |= !err;
    }
    if (changed)
        net_device_told(dev);
    netdev_put(dev);
    return err;
}
RTNL_HANDLER(newlinkprop) = {RTM_NEWLINKPROP, link_props, NULL};
RTNL_HANDLER(dellinkprop) = {RTM_DELLINKPROP, link_props, NULL};
