/* SPDX-License-Identifier: MIT
 *
 * rtnetlink's rules (RTM_*RULE): which table a packet's route is looked for in.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/ip/config.h"
#include "net/netlink/rtnl.h"

struct rulemsg {
    u8 family, to_prefix, from_prefix, tos;
    u8 table, res1, res2, action;
    u32 flags;
};
enum {
    FRA_DST = 1,
    FRA_SRC = 2,
    FRA_IIFNAME = 3,
    FRA_GOTO = 4,
    FRA_PRIORITY = 6,
    FRA_FWMARK = 10,
    FRA_TUN_ID = 12,
    FRA_SUPPRESS_IFGROUP = 13,
    FRA_SUPPRESS_PREFIXLEN = 14,
    FRA_TABLE = 15,
    FRA_FWMASK = 16,
    FRA_OIFNAME = 17,
    FRA_L3MDEV = 19,
    FRA_UID_RANGE = 20,
    FRA_PROTOCOL = 21,
    FRA_IP_PROTO = 22,
    FRA_SPORT_RANGE = 23,
    FRA_DPORT_RANGE = 24,
    FRA_RULES,
};
enum { FIB_RULE_INVERT = 2, FR_ACT_GOTO = 2, RT_TABLE_COMPAT = 252 };

static const struct nl_rule rule_rules[FRA_RULES] = {
    [FRA_DST] = {NL_BYTES, 4, 16},
    [FRA_SRC] = {NL_BYTES, 4, 16},
    [FRA_IIFNAME] = {NL_TEXT, 0, NETDEV_NAME - 1},
    [FRA_GOTO] = {NL_U32, 0, 0},
    [FRA_PRIORITY] = {NL_U32, 0, 0},
    [FRA_FWMARK] = {NL_U32, 0, 0},
    [FRA_TUN_ID] = {NL_REFUSED, 0, 0},
    [FRA_SUPPRESS_IFGROUP] = {NL_U32, 0, 0},
    [FRA_SUPPRESS_PREFIXLEN] = {NL_U32, 0, 0},
    [FRA_TABLE] = {NL_U32, 0, 0},
    [FRA_FWMASK] = {NL_U32, 0, 0},
    [FRA_OIFNAME] = {NL_TEXT, 0, NETDEV_NAME - 1},
    [FRA_L3MDEV] = {NL_REFUSED, 0, 0},
    [FRA_UID_RANGE] = {NL_BYTES, 8, 0},
    [FRA_IP_PROTO] = {NL_U8, 0, 0},
    [FRA_SPORT_RANGE] = {NL_BYTES, 4, 0},
    [FRA_DPORT_RANGE] = {NL_BYTES, 4, 0},
};

static void rule_put_ports(struct nl_builder *b, u16 type, const u16 ports[2])
{
    if (ports[0] || ports[1])
        nl_put(b, type, ports, 2 * sizeof(ports[0]));
}

bool rtnl_fill_rule(const struct rtnl_out *o, u16 type, const void *view)
{
    const struct ip_rule_view *v = view;
    struct rulemsg *m = rtnl_begin(o, type, sizeof(*m));
    u32 uids[2] = {v->uid_first, v->uid_last};

    if (m)
        *m = (struct rulemsg){.family = (u8)v->family,
                              .to_prefix = v->to_prefix,
                              .from_prefix = v->from_prefix,
                              .tos = v->tos,
                              .table = v->table < 256 ? (u8)v->table : RT_TABLE_COMPAT,
                              .action = v->action,
                              .flags = v->invert ? FIB_RULE_INVERT : 0};
    nl_put_u32(o->b, FRA_TABLE, v->table);
    nl_put_u32(o->b, FRA_SUPPRESS_PREFIXLEN, (u32)v->suppress_prefix);
    nl_put_u32(o->b, FRA_PRIORITY, v->priority);
    if (v->suppress_group >= 0)
        nl_put_u32(o->b, FRA_SUPPRESS_IFGROUP, (u32)v->suppress_group);
    if (v->to_prefix)
        rtnl_addr_put(o->b, FRA_DST, v->family, &v->to);
    if (v->from_prefix)
        rtnl_addr_put(o->b, FRA_SRC, v->family, &v->from);
    if (v->in[0])
        nl_put_text(o->b, FRA_IIFNAME, v->in);
    if (v->out[0])
        nl_put_text(o->b, FRA_OIFNAME, v->out);
    if (v->mark || v->mark_mask) {
        nl_put_u32(o->b, FRA_FWMARK, v->mark);
        nl_put_u32(o->b, FRA_FWMASK, v->mark_mask);
    }
    if (v->action == FR_ACT_GOTO)
        nl_put_u32(o->b, FRA_GOTO, v->target);
    if (v->protocol)
        nl_put_u8(o->b, FRA_IP_PROTO, v->protocol);
    if (v->uid_first || v->uid_last != U32_MAX)
        nl_put(o->b, FRA_UID_RANGE, uids, sizeof(uids));
    rule_put_ports(o->b, FRA_SPORT_RANGE, v->from_port);
    rule_put_ports(o->b, FRA_DPORT_RANGE, v->to_port);
    return nl_end(o->b);
}

static u32 rule_u32(const struct nl_attr *a, u32 otherwise)
{
    return nl_has(a) ? nl_u32(a) : otherwise;
}

static int rule_range(struct nl_request *r, const struct nl_attr *a, u16 out[2])
{
    if (!nl_has(a))
        return 0;
    memcpy(out, a->data, 2 * sizeof(out[0]));
    return out[0] && out[0] <= out[1] && out[1] != 0xffff
               ? 0
               : rtnl_refuse(r, a, "Invalid port range", -EINVAL);
}

static int rule_selectors(struct nl_request *r, const struct nl_attr *a, struct ip_rule_view *v)
{
    u32 bits = rtnl_addr_size(v->family) * 8, uids[2];
    int err = 0;

    if (v->to_prefix > bits || v->from_prefix > bits)
        return rtnl_refuse(r, NULL, "Invalid prefix length", -EINVAL);
    if ((v->to_prefix && !nl_has(&a[FRA_DST])) || (v->from_prefix && !nl_has(&a[FRA_SRC])))
        return rtnl_refuse(r, NULL, "An address is missing", -EINVAL);
    if (v->to_prefix)
        err = rtnl_addr_get(&a[FRA_DST], v->family, &v->to);
    if (!err && v->from_prefix)
        err = rtnl_addr_get(&a[FRA_SRC], v->family, &v->from);
    if (err)
        return rtnl_refuse(r, NULL, "Invalid address", err);
    if (nl_has(&a[FRA_UID_RANGE])) {
        memcpy(uids, a[FRA_UID_RANGE].data, sizeof(uids));
        v->uid_first = user_ns_map_uid(current_cred()->user_ns, uids[0]);
        v->uid_last = user_ns_map_uid(current_cred()->user_ns, uids[1]);
        if (v->uid_first == ID_INVALID || v->uid_last == ID_INVALID || v->uid_first > v->uid_last)
            return rtnl_refuse(r, &a[FRA_UID_RANGE], "Invalid uid range", -EINVAL);
    }
    err = rule_range(r, &a[FRA_SPORT_RANGE], v->from_port);
    return err ? err : rule_range(r, &a[FRA_DPORT_RANGE], v->to_port);
}

static int rule_parse(struct nl_request *r, struct ip_rule_view *v)
{
    struct nl_attr a[FRA_RULES];
    struct rulemsg m;
    int err = rtnl_body(r, &m, sizeof(m));

    if (!err)
        err = rtnl_attrs(r, sizeof(m), rule_rules, FRA_RULES, a);
    if (err)
        return err;
    if (m.family != RTNL_AF_INET && m.family != RTNL_AF_INET6)
        return -EAFNOSUPPORT;
    memset(v, 0, sizeof(*v));
    v->family = m.family;
    v->action = m.action;
    v->tos = m.tos;
    v->from_prefix = m.from_prefix;
    v->to_prefix = m.to_prefix;
    v->invert = m.flags & FIB_RULE_INVERT;
    v->from = v->to = rtnl_addr_any(m.family);
    v->table = rule_u32(&a[FRA_TABLE], m.table);
    v->priority = rule_u32(&a[FRA_PRIORITY], 0);
    v->mark = rule_u32(&a[FRA_FWMARK], 0);
    v->mark_mask = rule_u32(&a[FRA_FWMASK], nl_has(&a[FRA_FWMARK]) ? U32_MAX : 0);
    v->target = rule_u32(&a[FRA_GOTO], 0);
    v->suppress_prefix = (s32)rule_u32(&a[FRA_SUPPRESS_PREFIXLEN], U32_MAX);
    v->suppress_group = (s32)rule_u32(&a[FRA_SUPPRESS_IFGROUP], U32_MAX);
    v->uid_last = U32_MAX;
    if (nl_has(&a[FRA_IP_PROTO]))
        v->protocol = nl_u8(&a[FRA_IP_PROTO]);
    if (nl_has(&a[FRA_IIFNAME]))
        nl_text(&a[FRA_IIFNAME], v->in, sizeof(v->in));
    if (nl_has(&a[FRA_OIFNAME]))
        nl_text(&a[FRA_OIFNAME], v->out, sizeof(v->out));
    return rule_selectors(r, a, v);
}

static int rule_new(struct nl_request *r)
{
    struct ip_rule_view v;
    int err = rule_parse(r, &v);

    return err ? err : ip_rule_add(r->ns, &v, r->h.flags & 0xf00);
}

/* What a request to remove a rule says of it agrees; what it leaves out is any. */
static bool rule_matches(const struct ip_rule_view *want, const struct ip_rule_view *v)
{
    return v->family == want->family && (!want->priority || v->priority == want->priority) &&
           (!want->table || v->table == want->table) &&
           (!want->action || v->action == want->action) && (!want->tos || v->tos == want->tos) &&
           (!want->mark_mask || (v->mark == want->mark && v->mark_mask == want->mark_mask)) &&
           (!want->from_prefix ||
            (v->from_prefix == want->from_prefix && ip_equal(&v->from, &want->from))) &&
           (!want->to_prefix || (v->to_prefix == want->to_prefix && ip_equal(&v->to, &want->to))) &&
           (!want->protocol || v->protocol == want->protocol) &&
           (!want->in[0] || !strcmp(v->in, want->in)) &&
           (!want->out[0] || !strcmp(v->out, want->out));
}

/* The first that matches. */
static int rule_del(struct nl_request *r)
{
    struct ip_rule_view want, v = {0};
    bool found = false;
    int err = rule_parse(r, &want);

    while (!err && !found && ip_rule_next(r->ns, &v)) {
        found = rule_matches(&want, &v);
        cond_yield();
    }
    if (err)
        return err;
    return found ? ip_rule_remove(r->ns, &v) : -ENOENT;
}
RTNL_HANDLER(newrule) = {RTM_NEWRULE, rule_new, NULL};
RTNL_HANDLER(delrule) = {RTM_DELRULE, rule_del, NULL};

struct rule_dump {
    u16 family;
    struct ip_rule_view at;
};

static bool rule_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    struct rule_dump *s = (void *)d->state;
    struct rtnl_out o = {b, d, NULL};
    struct ip_rule_view v = s->at;

    while (ip_rule_next(d->ns, &v)) {
        if ((!s->family || v.family == s->family) && !rtnl_fill_rule(&o, RTM_NEWRULE, &v))
            return false;
        s->at = v;
        cond_yield();
    }
    return true;
}

static int rule_dump(struct nl_request *r)
{
    struct rule_dump s = {0};
    struct rulemsg m;
    int err = rtnl_body(r, &m, sizeof(m));

    if (err)
        return err;
    if (m.family && m.family != RTNL_AF_INET && m.family != RTNL_AF_INET6)
        return -EAFNOSUPPORT;
    s.family = m.family;
    return nl_dump_begin(r, NL_RULES, rule_dump_step, &s, sizeof(s), false);
}
RTNL_HANDLER(getrule) = {RTM_GETRULE, NULL, rule_dump};
