/* SPDX-License-Identifier: MIT
 *
 * rtnetlink: which handler a message goes to, and what groups are told. rtnl.h has the rules.
 */
#include "net/netlink/rtnl.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/ip/config.h"

TABLE_DECLARE(struct rtnl_handler, rtnl_handlers);

static const struct rtnl_handler *rtnl_find(u16 type)
{
    const struct rtnl_handler *h;

    TABLE_FOR_EACH(h, rtnl_handlers)
    if (h->type == type)
        return h;
    return NULL;
}

static int rtnl_request(struct nl_request *r)
{
    const struct rtnl_handler *h = rtnl_find(r->h.type);
    bool get = (r->h.type & 3) == 2;

    if (r->len < 1) /* all bodies begin with a family */
        return 0;
    if (!get && !nl_capable(r, CAP_NET_ADMIN))
        return -EPERM;
    if (get && (r->h.flags & NLM_F_DUMP))
        return h && h->dump ? h->dump(r) : -EOPNOTSUPP;
    return h && h->act ? h->act(r) : -EOPNOTSUPP;
}

NETLINK_PROTOCOL(route) = {
    .protocol = NETLINK_ROUTE, .groups = RTNLGRP_LAST, .request = rtnl_request};

int rtnl_body(struct nl_request *r, void *out, u32 n)
{
    bool dump = (r->h.type & 3) == 2 && (r->h.flags & NLM_F_DUMP);

    memset(out, 0, n);
    if (r->len < n && (!dump || READ_ONCE(r->s->strict))) {
        r->fault.text = "Invalid header for request";
        return -EINVAL;
    }
    memcpy(out, r->body, MIN(n, r->len));
    return 0;
}

int rtnl_attrs(struct nl_request *r, u32 n, const struct nl_rule *rules, u32 nr,
               struct nl_attr *out)
{
    n = MIN(NL_ALIGN(n), r->len);
    return nl_parse(r->body + n, r->len - n, NL_HEADER + n, rules, nr, out, &r->fault);
}

int rtnl_refuse(struct nl_request *r, const struct nl_attr *a, const char *text, int err)
{
    r->fault.text = text;
    r->fault.offset = a ? a->offset : 0;
    return err;
}

struct ip_addr rtnl_addr_any(u16 family)
{
    return family == RTNL_AF_INET6 ? (struct ip_addr){0} : ip_from_v4(0);
}

int rtnl_addr_get(const struct nl_attr *a, u16 family, struct ip_addr *out)
{
    u32 v4;

    if (a->len != rtnl_addr_size(family))
        return -EINVAL;
    if (family == RTNL_AF_INET6) {
        memcpy(out, a->data, sizeof(*out));
        return ip_is_v4(out) ? -EINVAL : 0; /* it would be another family's */
    }
    memcpy(&v4, a->data, sizeof(v4));
    *out = ip_from_v4(ip_swap32(v4));
    return 0;
}

void rtnl_addr_put(struct nl_builder *b, u16 type, u16 family, const struct ip_addr *a)
{
    nl_put(b, type, family == RTNL_AF_INET6 ? a->b : a->b + 12, rtnl_addr_size(family));
}

void *rtnl_begin(const struct rtnl_out *o, u16 type, u32 body)
{
    if (o->dump)
        return nl_dumped(o->dump, o->b, type, body);
    return nl_begin(o->b, type, 0, o->ask ? o->ask->h.seq : 0, o->ask ? o->ask->s->port : 0, body);
}

/* ---- changes ---- */

/* What a change is told as, in the order of pairs of enum net_event_kind. */
static const struct rtnl_event {
    u16 type; /* RTM_NEW*; RTM_DEL* is the next */
    u8 matter, group4, group6;
    bool (*fill)(const struct rtnl_out *o, u16 type, const void *view);
} rtnl_events[] = {
    [NET_EVENT_LINK / 2] = {RTM_NEWLINK, NL_LINKS, RTNLGRP_LINK, RTNLGRP_LINK, NULL},
    [NET_EVENT_ADDRESS / 2] = {RTM_NEWADDR, NL_ADDRESSES, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                               rtnl_fill_addr},
    [NET_EVENT_ROUTE / 2] = {RTM_NEWROUTE, NL_ROUTES, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
                             rtnl_fill_route},
    [NET_EVENT_RULE / 2] = {RTM_NEWRULE, NL_RULES, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE,
                            rtnl_fill_rule},
    [NET_EVENT_NEIGHBOUR / 2] = {RTM_NEWNEIGH, NL_NEIGHBOURS, RTNLGRP_NEIGH, RTNLGRP_NEIGH,
                                 rtnl_fill_neigh},
};

/* All views begin with their family. */
static u32 rtnl_group(const struct rtnl_event *e, const void *what)
{
    return !e->fill || *(const u16 *)what == RTNL_AF_INET ? e->group4 : e->group6;
}

static bool rtnl_fill(const struct rtnl_event *e, const struct rtnl_out *o, u16 type,
                      const void *what)
{
    return e->fill ? e->fill(o, type, what) : rtnl_fill_link(o, type, (struct netdev *)what);
}

static void rtnl_changed(struct net_ns *ns, enum net_event_kind kind, const void *what, u32 change)
{
    const struct rtnl_event *e = &rtnl_events[MIN(kind, NET_EVENT_OBJECTS - 1) / 2];
    const struct nl_request *asking = nl_asking(ns);
    struct nl_builder b;
    struct rtnl_out o = {&b, NULL, asking};
    u16 type = (u16)(e->type + kind % 2);
    u8 *message;
    u32 group;

    if (kind >= NET_EVENT_OBJECTS)
        return;
    group = rtnl_group(e, what);
    nl_changed(ns, e->matter);
    if (!nl_listened(ns, NETLINK_ROUTE, group) && !(asking && (asking->h.flags & NLM_F_ECHO)))
        return;
    if (nl_answer_begin(&b))
        return;
    if (rtnl_fill(e, &o, type, what)) {
        message = b.buf + offsetof(struct nl_header, flags);
        *(u16 *)(void *)message =
            (u16)(change & (NLM_F_REPLACE | NLM_F_EXCL | NLM_F_CREATE | NLM_F_APPEND));
        nl_tell(ns, NETLINK_ROUTE, group, &b);
    }
    kfree(b.buf);
}

NET_EVENT_LISTENER(rtnetlink) = {rtnl_changed};
