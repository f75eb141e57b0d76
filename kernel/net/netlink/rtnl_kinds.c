/* SPDX-License-Identifier: MIT
 *
 * The kinds of software devices, as rtnetlink makes them.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/link/dummy.h"
#include "net/link/ethernet.h"
#include "net/link/tun.h"
#include "net/link/vlan.h"
#include "net/netlink/rtnl.h"

static int kind_dummy_create(struct net_ns *ns, const struct rtnl_link_request *q)
{
    return dummy_create(ns, q->name, q->has_addr ? q->addr : NULL, q->mtu);
}
RTNL_KIND(dummy) = {
    .name = "dummy", .ops = &dummy_ops, .create = kind_dummy_create, .move = dummy_move};

/* ---- VLANs ---- */

enum {
    IFLA_VLAN_ID = 1,
    IFLA_VLAN_FLAGS = 2,
    IFLA_VLAN_EGRESS_QOS = 3,
    IFLA_VLAN_INGRESS_QOS = 4,
    IFLA_VLAN_PROTOCOL = 5
};
#define VLAN_FLAG_REORDER 1U
struct vlan_flags {
    u32 flags, mask;
};

static int kind_vlan_refuse(const struct rtnl_link_request *q, const char *text, int err)
{
    q->fault->text = text;
    return err;
}

/* The attributes; of what is there only the usual is done. */
static int kind_vlan_parse(const struct rtnl_link_request *q, struct nl_attr a[6])
{
    static const struct nl_rule rules[] = {
        [IFLA_VLAN_ID] = {NL_U16, 0, 0},
        [IFLA_VLAN_FLAGS] = {NL_BYTES, sizeof(struct vlan_flags), 0},
        [IFLA_VLAN_EGRESS_QOS] = {NL_BYTES, 0, 0},
        [IFLA_VLAN_INGRESS_QOS] = {NL_BYTES, 0, 0},
        [IFLA_VLAN_PROTOCOL] = {NL_U16, 0, 0}};
    struct vlan_flags f;
    int err;

    if (!nl_has(q->data))
        return kind_vlan_refuse(q, "VLAN properties not specified", -EINVAL);
    err = nl_parse(q->data->data, q->data->len, q->data->offset + NL_ATTR, rules, ARRAY_SIZE(rules),
                   a, q->fault);
    if (err)
        return err;
    if (nl_has(&a[IFLA_VLAN_PROTOCOL]) &&
        nl_u16(&a[IFLA_VLAN_PROTOCOL]) != __builtin_bswap16(ETHERTYPE_VLAN))
        return kind_vlan_refuse(q, "Only 802.1Q tags are there", -EPROTONOSUPPORT);
    if (nl_has(&a[IFLA_VLAN_EGRESS_QOS]) || nl_has(&a[IFLA_VLAN_INGRESS_QOS]))
        return kind_vlan_refuse(q, "VLAN priorities are not mapped", -EOPNOTSUPP);
    if (!nl_has(&a[IFLA_VLAN_FLAGS]))
        return 0;
    memcpy(&f, a[IFLA_VLAN_FLAGS].data, sizeof(f));
    if ((f.flags ^ VLAN_FLAG_REORDER) & f.mask)
        return kind_vlan_refuse(q, "Of VLAN flags only reorder_hdr is there, and is on",
                                -EOPNOTSUPP);
    return 0;
}

static int kind_vlan_create(struct net_ns *ns, const struct rtnl_link_request *q)
{
    struct nl_attr a[6];
    int err = kind_vlan_parse(q, a);

    if (err)
        return err;
    if (!nl_has(&a[IFLA_VLAN_ID]))
        return kind_vlan_refuse(q, "VLAN id not specified", -EINVAL);
    if (!q->link)
        return kind_vlan_refuse(q, "link not specified", -EINVAL);
    err = vlan_create(ns, q->link, nl_u16(&a[IFLA_VLAN_ID]), q->name, q->has_addr ? q->addr : NULL,
                      q->mtu);
    if (err == -ERANGE)
        q->fault->text = "Invalid VLAN id or MTU";
    return err;
}

static int kind_vlan_change(struct netdev *dev, const struct rtnl_link_request *q)
{
    struct nl_attr a[6];
    int err = kind_vlan_parse(q, a);

    if (!err && nl_has(&a[IFLA_VLAN_ID]) && nl_u16(&a[IFLA_VLAN_ID]) != vlan_id(dev))
        return kind_vlan_refuse(q, "VLAN id cannot be changed", -EOPNOTSUPP);
    return err;
}

static void kind_vlan_fill(const struct netdev *dev, struct nl_builder *b)
{
    struct vlan_flags f = {VLAN_FLAG_REORDER, ~0U};
    u16 id = vlan_id(dev), protocol = __builtin_bswap16(ETHERTYPE_VLAN);

    nl_put(b, IFLA_VLAN_PROTOCOL, &protocol, sizeof(protocol));
    nl_put(b, IFLA_VLAN_ID, &id, sizeof(id));
    nl_put(b, IFLA_VLAN_FLAGS, &f, sizeof(f));
}
RTNL_KIND(vlan) = {.name = "vlan",
                   .ops = &vlan_ops,
                   .create = kind_vlan_create,
                   .change = kind_vlan_change,
                   .fill = kind_vlan_fill,
                   .link = vlan_lower};

/* Made by /dev/net/tun alone. */
RTNL_KIND(tun) = {.name = "tun", .ops = &tun_ops};
