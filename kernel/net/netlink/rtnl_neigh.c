/* SPDX-License-Identifier: MIT
 *
 * rtnetlink's neighbours (RTM_*NEIGH, RTM_GETNEIGHTBL).
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/conf.h"
#include "net/ip/config.h"
#include "net/ip/neighbour_table.h"
#include "net/netlink/rtnl.h"
#include "sched/timer.h"

struct ndmsg {
    u8 family, pad1;
    u16 pad2;
    s32 index;
    u16 state;
    u8 flags, type;
};
enum { NDA_DST = 1, NDA_LLADDR = 2, NDA_CACHEINFO = 3, NDA_PROBES = 4, NDA_IFINDEX = 8, NDA_RULES };
enum { NTF_PROXY = 8, NUD_PERMANENT = 0x80, RTN_UNICAST = 1 };
#define HUNDREDTH (NSEC_PER_SEC / 100)

static const struct nl_rule neigh_rules[NDA_RULES] = {
    [NDA_DST] = {NL_BYTES, 4, 16},
    [NDA_LLADDR] = {NL_BYTES, NETDEV_ADDR, 32},
    [NDA_IFINDEX] = {NL_U32, 0, 0},
};

static u32 neigh_age(u64 now, u64 then)
{
    return now > then ? (u32)((now - then) / HUNDREDTH) : 0;
}

bool rtnl_fill_neigh(const struct rtnl_out *o, u16 type, const void *view)
{
    const struct ip_neighbour_view *v = view;
    struct ndmsg *m = rtnl_begin(o, type, sizeof(*m));
    u64 now = time_ns();
    u32 info[4] = {neigh_age(now, v->confirmed), neigh_age(now, v->used),
                   neigh_age(now, v->updated), 0};

    if (m) {
        m->family = (u8)v->family;
        m->index = (s32)v->device;
        m->state = v->state;
        m->flags = v->flags;
        m->type = RTN_UNICAST;
    }
    rtnl_addr_put(o->b, NDA_DST, v->family, &v->addr);
    if (v->has_link)
        nl_put(o->b, NDA_LLADDR, v->link, NETDEV_ADDR);
    nl_put_u32(o->b, NDA_PROBES, v->probes);
    nl_put(o->b, NDA_CACHEINFO, info, sizeof(info));
    return nl_end(o->b);
}

static int neigh_parse(struct nl_request *r, struct ip_neighbour_view *v)
{
    struct nl_attr a[NDA_RULES];
    struct ndmsg m;
    int err = rtnl_body(r, &m, sizeof(m));

    if (!err)
        err = rtnl_attrs(r, sizeof(m), neigh_rules, NDA_RULES, a);
    if (err)
        return err;
    if (m.family != RTNL_AF_INET && m.family != RTNL_AF_INET6)
        return -EAFNOSUPPORT;
    if (m.index <= 0 || !net_device_exists(r->ns, (u32)m.index))
        return -ENODEV;
    if (!nl_has(&a[NDA_DST]))
        return rtnl_refuse(r, NULL, "Network address not specified", -EINVAL);
    if (m.flags & NTF_PROXY)
        return rtnl_refuse(r, NULL, "Proxy entries are not there", -EOPNOTSUPP);
    memset(v, 0, sizeof(*v));
    v->family = m.family;
    v->state = m.state;
    v->flags = m.flags;
    v->device = (u32)m.index;
    v->has_link = nl_has(&a[NDA_LLADDR]);
    if (v->has_link)
        memcpy(v->link, a[NDA_LLADDR].data, NETDEV_ADDR);
    err = rtnl_addr_get(&a[NDA_DST], m.family, &v->addr);
    return err ? rtnl_refuse(r, &a[NDA_DST], "Invalid network address", err) : 0;
}

static int neigh_new(struct nl_request *r)
{
    struct ip_neighbour_view v;
    int err = neigh_parse(r, &v);

    return err ? err : ip_neighbour_add(r->ns, &v, r->h.flags & 0xf00);
}

static int neigh_del(struct nl_request *r)
{
    struct ip_neighbour_view v;
    int err = neigh_parse(r, &v);

    return err ? err : ip_neighbour_remove(r->ns, &v);
}

static int neigh_get(struct nl_request *r)
{
    struct ip_neighbour_view v = {0}, want;
    struct nl_builder b;
    struct rtnl_out o = {&b, NULL, r};
    int err = neigh_parse(r, &want);
    bool found = false;

    while (!err && !found && ip_neighbour_next(r->ns, &v)) {
        found = v.device == want.device && v.family == want.family && ip_equal(&v.addr, &want.addr);
        cond_yield();
    }
    if (!err && !found)
        err = -ENOENT;
    if (!err)
        err = nl_answer_begin(&b);
    if (err)
        return err;
    (void)rtnl_fill_neigh(&o, RTM_NEWNEIGH, &v);
    return nl_answer_end(r, &b);
}
RTNL_HANDLER(newneigh) = {RTM_NEWNEIGH, neigh_new, NULL};
RTNL_HANDLER(delneigh) = {RTM_DELNEIGH, neigh_del, NULL};

struct neigh_dump {
    u16 family;
    bool none; /* of a family, or a kind, that there is nothing of */
    u32 device;
    struct ip_neighbour_view at;
};

static bool neigh_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    struct neigh_dump *s = (void *)d->state;
    struct rtnl_out o = {b, d, NULL};
    struct ip_neighbour_view v = s->at;

    while (!s->none && ip_neighbour_next(d->ns, &v)) {
        if ((!s->family || v.family == s->family) && (!s->device || v.device == s->device) &&
            !rtnl_fill_neigh(&o, RTM_NEWNEIGH, &v))
            return false;
        s->at = v;
        cond_yield();
    }
    return true;
}

static int neigh_dump(struct nl_request *r)
{
    struct nl_attr a[NDA_RULES];
    struct neigh_dump s = {0};
    struct ndmsg m;
    int err = rtnl_body(r, &m, sizeof(m));

    if (!err)
        err = rtnl_attrs(r, sizeof(m), neigh_rules, NDA_RULES, a);
    if (err)
        return err;
    s.family = m.family;
    s.none = m.flags & NTF_PROXY;
    if (nl_has(&a[NDA_IFINDEX])) /* as ever, without strict checks as well */
        s.device = nl_u32(&a[NDA_IFINDEX]);
    return nl_dump_begin(r, NL_NEIGHBOURS, neigh_dump_step, &s, sizeof(s), s.device);
}
RTNL_HANDLER(getneigh) = {RTM_GETNEIGH, neigh_get, neigh_dump};

/* ---- tables: one of each family; their bounds and numbers, and those of devices ---- */

struct ndtmsg {
    u8 family, pad1;
    u16 pad2;
};
enum {
    NDTA_NAME = 1,
    NDTA_THRESH1,
    NDTA_THRESH2,
    NDTA_THRESH3,
    NDTA_PARMS = 6,
    NDTA_GC_INTERVAL = 8
};
enum {
    NDTPA_IFINDEX = 1,
    NDTPA_BASE_REACHABLE_TIME = 4,
    NDTPA_RETRANS_TIME = 5,
    NDTPA_GC_STALETIME = 6,
    NDTPA_DELAY_PROBE_TIME = 7,
    NDTPA_UCAST_PROBES = 10,
    NDTPA_MCAST_PROBES = 11,
};

static const struct table_row {
    u8 family;
    u32 first; /* of its numbers (core/conf.h) */
    const char *name;
} table_rows[] = {{RTNL_AF_INET, CONF4_NEIGH_REACHABLE, "arp_cache"},
                  {RTNL_AF_INET6, CONF6_NEIGH_REACHABLE, "ndisc_cache"}};

/* Where a dump is: a table, of which `default` is told or not, and the last device. */
struct table_dump {
    u32 table, last;
    bool defaulted;
};

static void table_put_time(struct nl_builder *b, u16 type, s32 v, u64 unit)
{
    u64 ms = (u64)v * unit;

    nl_put(b, type, &ms, sizeof(ms));
}

static void table_put_bounds(struct nl_dump *d, struct nl_builder *b, const struct table_row *row)
{
    struct neighbour_bounds v =
        neighbour_bounds_of(row->family == RTNL_AF_INET6, d->ns == net_ns_init);

    nl_put_u32(b, NDTA_THRESH1, (u32)v.few);
    nl_put_u32(b, NDTA_THRESH2, (u32)v.many);
    nl_put_u32(b, NDTA_THRESH3, (u32)v.most);
    table_put_time(b, NDTA_GC_INTERVAL, v.interval, 1000);
}

/* dev: NULL: `default`. */
static bool table_fill(struct nl_dump *d, struct nl_builder *b, const struct table_row *row,
                       const struct netdev *dev)
{
    struct ndtmsg *m = nl_dumped(d, b, RTM_NEWNEIGHTBL, sizeof(*m));
    const s32 *at = (dev ? dev->conf : net_confs_of(d->ns)->first) + row->first;
    u32 nest;

    if (m)
        m->family = row->family;
    nl_put_text(b, NDTA_NAME, row->name);
    if (!dev)
        table_put_bounds(d, b, row);
    nest = nl_nest(b, NDTA_PARMS);
    if (dev)
        nl_put_u32(b, NDTPA_IFINDEX, dev->index);
    table_put_time(b, NDTPA_BASE_REACHABLE_TIME, READ_ONCE(at[0]), 1);
    table_put_time(b, NDTPA_RETRANS_TIME, READ_ONCE(at[1]), 1);
    table_put_time(b, NDTPA_DELAY_PROBE_TIME, READ_ONCE(at[2]), 1000);
    nl_put_u32(b, NDTPA_MCAST_PROBES, (u32)READ_ONCE(at[3]));
    nl_put_u32(b, NDTPA_UCAST_PROBES, (u32)READ_ONCE(at[4]));
    table_put_time(b, NDTPA_GC_STALETIME, READ_ONCE(at[5]), 1000);
    nl_nest_end(b, nest);
    return nl_end(b);
}

static bool table_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    struct table_dump *s = (void *)d->state;
    struct netdev *dev;
    bool fits;

    for (; s->table < ARRAY_SIZE(table_rows); s->table++) {
        if (!s->defaulted && !table_fill(d, b, &table_rows[s->table], NULL))
            return false;
        s->defaulted = true;
        while ((dev = net_device_next(d->ns, s->last))) {
            fits = table_fill(d, b, &table_rows[s->table], dev);
            if (fits)
                s->last = dev->index;
            netdev_put(dev);
            if (!fits)
                return false;
            cond_yield();
        }
        s->defaulted = false;
        s->last = 0;
    }
    return true;
}

static int table_dump(struct nl_request *r)
{
    struct table_dump s = {0, 0, false};

    return nl_dump_begin(r, NL_NEIGHBOURS, table_dump_step, &s, sizeof(s), false);
}
RTNL_HANDLER(getneightbl) = {RTM_GETNEIGHTBL, NULL, table_dump};
