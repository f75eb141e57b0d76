/* SPDX-License-Identifier: MIT
 *
 * rtnetlink's addresses (RTM_*ADDR).
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/ip/config.h"
#include "net/netlink/rtnl.h"
#include "sched/timer.h"

struct ifaddr {
    u8 family, prefix, flags, scope;
    u32 index;
};
enum {
    IFA_ADDRESS = 1,
    IFA_LOCAL = 2,
    IFA_LABEL = 3,
    IFA_BROADCAST = 4,
    IFA_CACHEINFO = 6,
    IFA_FLAGS = 8,
    IFA_RT_PRIORITY = 9,
    IFA_TARGET_NETNSID = 10,
    IFA_PROTO = 11,
    IFA_RULES,
};
struct ifa_cacheinfo {
    u32 preferred, valid; /* seconds */
    u32 created, updated; /* hundredths of a second since boot */
};
#define HUNDREDTH (NSEC_PER_SEC / 100)

static const struct nl_rule addr_rules[IFA_RULES] = {
    [IFA_ADDRESS] = {NL_BYTES, 4, 16},
    [IFA_LOCAL] = {NL_BYTES, 4, 16},
    [IFA_LABEL] = {NL_TEXT, 0, NETDEV_NAME - 1},
    [IFA_BROADCAST] = {NL_BYTES, 4, 4},
    [IFA_CACHEINFO] = {NL_BYTES, sizeof(struct ifa_cacheinfo), 0},
    [IFA_FLAGS] = {NL_U32, 0, 0},
    [IFA_RT_PRIORITY] = {NL_U32, 0, 0},
    [IFA_TARGET_NETNSID] = {NL_REFUSED, 0, 0},
    [IFA_PROTO] = {NL_U8, 0, 0},
};

bool rtnl_fill_addr(const struct rtnl_out *o, u16 type, const void *view)
{
    const struct ip_addr_view *v = view;
    struct ifaddr *m = rtnl_begin(o, type, sizeof(*m));
    struct ifa_cacheinfo c = {v->preferred, v->valid, (u32)(v->created / HUNDREDTH),
                              (u32)(v->updated / HUNDREDTH)};
    bool peer = !ip_equal(&v->addr, &v->peer);

    if (m)
        *m = (struct ifaddr){(u8)v->family, v->prefix, (u8)v->flags, v->scope, v->device};
    rtnl_addr_put(o->b, IFA_ADDRESS, v->family, &v->peer);
    if (v->family == RTNL_AF_INET || peer)
        rtnl_addr_put(o->b, IFA_LOCAL, v->family, &v->addr);
    if (v->family == RTNL_AF_INET && !ip_is_any(&v->broadcast))
        rtnl_addr_put(o->b, IFA_BROADCAST, v->family, &v->broadcast);
    if (v->label[0])
        nl_put_text(o->b, IFA_LABEL, v->label);
    if (v->protocol)
        nl_put_u8(o->b, IFA_PROTO, v->protocol);
    nl_put_u32(o->b, IFA_FLAGS, v->flags);
    if (v->metric)
        nl_put_u32(o->b, IFA_RT_PRIORITY, v->metric);
    nl_put(o->b, IFA_CACHEINFO, &c, sizeof(c));
    return nl_end(o->b);
}

/* ---- changes ---- */

static int addr_lifetimes(struct nl_request *r, const struct nl_attr *a, struct ip_addr_view *v)
{
    struct ifa_cacheinfo c;

    v->valid = v->preferred = IP_FOREVER;
    if (!nl_has(a))
        return 0;
    memcpy(&c, a->data, sizeof(c));
    if (!c.valid || c.preferred > c.valid)
        return rtnl_refuse(r, a, "Lifetimes that do not agree", -EINVAL);
    v->valid = c.valid;
    v->preferred = c.preferred;
    return 0;
}

/* The local address, and the other end's or the same again. */
static int addr_ends(struct nl_request *r, const struct nl_attr *a, struct ip_addr_view *v)
{
    const struct nl_attr *local = &a[IFA_LOCAL], *addr = &a[IFA_ADDRESS];
    int err;

    if (!nl_has(local) && v->family == RTNL_AF_INET6)
        local = addr;
    if (!nl_has(local))
        return rtnl_refuse(r, NULL, "Local address is not supplied", -EINVAL);
    err = rtnl_addr_get(local, v->family, &v->addr);
    v->peer = v->addr;
    if (!err && nl_has(addr))
        err = rtnl_addr_get(addr, v->family, &v->peer);
    return err ? rtnl_refuse(r, local, "Invalid address", err) : 0;
}

static int addr_parse(struct nl_request *r, struct ip_addr_view *v)
{
    struct nl_attr a[IFA_RULES];
    struct ifaddr m;
    int err = rtnl_body(r, &m, sizeof(m));

    if (!err)
        err = rtnl_attrs(r, sizeof(m), addr_rules, IFA_RULES, a);
    if (err)
        return err;
    if (m.family != RTNL_AF_INET && m.family != RTNL_AF_INET6)
        return -EAFNOSUPPORT;
    if (m.prefix > rtnl_addr_size(m.family) * 8)
        return rtnl_refuse(r, NULL, "Invalid prefix length", -EINVAL);
    memset(v, 0, sizeof(*v));
    v->family = m.family;
    v->prefix = m.prefix;
    v->scope = m.scope;
    v->device = m.index;
    v->flags = nl_has(&a[IFA_FLAGS]) ? nl_u32(&a[IFA_FLAGS]) : m.flags;
    v->broadcast = rtnl_addr_any(m.family);
    if (nl_has(&a[IFA_BROADCAST]) && rtnl_addr_get(&a[IFA_BROADCAST], m.family, &v->broadcast))
        return rtnl_refuse(r, &a[IFA_BROADCAST], "Invalid broadcast address", -EINVAL);
    if (nl_has(&a[IFA_RT_PRIORITY]))
        v->metric = nl_u32(&a[IFA_RT_PRIORITY]);
    if (nl_has(&a[IFA_PROTO]))
        v->protocol = nl_u8(&a[IFA_PROTO]);
    if (nl_has(&a[IFA_LABEL]))
        nl_text(&a[IFA_LABEL], v->label, sizeof(v->label));
    err = addr_lifetimes(r, &a[IFA_CACHEINFO], v);
    return err ? err : addr_ends(r, a, v);
}

static int addr_new(struct nl_request *r)
{
    struct ip_addr_view v;
    int err = addr_parse(r, &v);

    if (!err && !net_device_exists(r->ns, v.device))
        err = -ENODEV;
    return err ? err : ip_address_add(r->ns, &v, r->h.flags & 0xf00);
}

static int addr_del(struct nl_request *r)
{
    struct ip_addr_view v;
    int err = addr_parse(r, &v);

    if (!err && !net_device_exists(r->ns, v.device))
        err = -ENODEV;
    return err ? err : ip_address_remove(r->ns, &v);
}
RTNL_HANDLER(newaddr) = {RTM_NEWADDR, addr_new, NULL};
RTNL_HANDLER(deladdr) = {RTM_DELADDR, addr_del, NULL};

/* ---- the list ---- */

struct addr_dump {
    u16 family; /* 0: both */
    u32 device; /* 0: all */
    struct ip_addr_view at;
};

static bool addr_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    struct addr_dump *s = (void *)d->state;
    struct rtnl_out o = {b, d, NULL};
    struct ip_addr_view v = s->at;

    while (ip_address_next(d->ns, &v)) {
        if ((!s->family || v.family == s->family) && (!s->device || v.device == s->device) &&
            !rtnl_fill_addr(&o, RTM_NEWADDR, &v))
            return false;
        s->at = v;
        cond_yield();
    }
    return true;
}

static int addr_dump(struct nl_request *r)
{
    struct addr_dump s = {0};
    struct ip_addr_view first = {0};
    struct ifaddr m;
    int err = rtnl_body(r, &m, sizeof(m));

    if (err)
        return err;
    s.family = m.family == RTNL_AF_INET || m.family == RTNL_AF_INET6 ? m.family : 0;
    if (READ_ONCE(r->s->strict) && m.index) {
        if (!net_device_exists(r->ns, m.index))
            return -ENODEV;
        s.device = m.index;
    }
    (void)ip_address_next(r->ns,
                          &first); /* lo's are made with the first look: no change of these */
    return nl_dump_begin(r, NL_ADDRESSES, addr_dump_step, &s, sizeof(s), s.device);
}
RTNL_HANDLER(getaddr) = {RTM_GETADDR, NULL, addr_dump};
