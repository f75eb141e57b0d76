/* SPDX-License-Identifier: MIT
 *
 * What a flow finds: by the rules of its family, or by the three that every namespace has.
 *
 * A packet is looked up where it passes, so the work is bounded: each rule, table and route that is
 * looked at is a step, and a flow that needs more than LOOKUP_STEPS finds nothing.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "net/ip/fib.h"

#define LOOKUP_STEPS 4096U

COUNTER(net_lookup_too_long);

/* The devices' names, which rules ask for, are found once. */
struct lookup {
    const struct ip_flow *flow;
    u32 in; /* index */
    struct fib_steps steps;
    bool named[2]; /* [0] in, [1] out */
    char name[2][NETDEV_NAME];
};

static bool lookup_device(struct ip_config *c, struct lookup *l, bool out, const char *name)
{
    u32 index = out ? l->flow->device : l->in;

    if (!name[0])
        return true;
    if (!l->named[out]) {
        /* what is sent here comes from lo */
        struct netdev *dev = net_device_by_index(c->ns, index ? index : 1);

        l->named[out] = true;
        if (dev) {
            memcpy(l->name[out], dev->name, NETDEV_NAME);
            netdev_put(dev);
        }
    }
    return !strncmp(l->name[out], name, NETDEV_NAME);
}

static bool lookup_port(const u16 range[2], u16 port)
{
    return !range[1] || (port >= range[0] && port <= range[1]);
}

static bool lookup_matches(struct ip_config *c, struct lookup *l, const struct ip_rule_view *v)
{
    const struct ip_flow *f = l->flow;

    if ((f->mark & v->mark_mask) != v->mark || (v->tos && v->tos != (f->tos & 0x1c)))
        return false;
    if (v->from_prefix && !ip_in_net(&f->from, &v->from, v->from_prefix))
        return false;
    if (v->to_prefix && !ip_in_net(&f->to, &v->to, v->to_prefix))
        return false;
    if (v->protocol && v->protocol != f->protocol)
        return false;
    if (f->uid < v->uid_first || f->uid > v->uid_last)
        return false;
    if (!lookup_port(v->from_port, f->from_port) || !lookup_port(v->to_port, f->to_port))
        return false;
    if (v->out[0] && (!f->device || !lookup_device(c, l, true, v->out)))
        return false;
    return lookup_device(c, l, false, v->in);
}

static bool lookup_suppresses(const struct ip_rule_view *v, const struct fib_result *r)
{
    return v->suppress_prefix >= 0 && r->route && r->route->prefix <= (u32)v->suppress_prefix;
}

static int lookup_do(struct ip_config *c, struct lookup *l, const struct ip_rule_view *v,
                     struct fib_result *out)
{
    struct ip_table *t;
    int err;

    switch (v->action) {
    case RULE_TABLE:
        t = fib_table_counted(c, v->family, v->table, &l->steps);
        err = t ? fib_table_find(t, l->flow, &l->steps, out) : -EAGAIN;
        return !err && lookup_suppresses(v, out) ? -EAGAIN : err;
    case RULE_BLACKHOLE:
        return -EINVAL;
    case RULE_UNREACHABLE:
        return -ENETUNREACH;
    case RULE_PROHIBIT:
        return -EACCES;
    default:
        return -EAGAIN;
    }
}

static int lookup_by_rules(struct ip_config *c, const struct ip_flow *f, u32 in,
                           struct fib_result *out)
{
    const struct ip_rule *r = load_acquire(&c->rules[!ip_is_v4(&f->to)]);
    struct lookup l = {.flow = f, .in = in, .steps = {LOOKUP_STEPS}};
    u32 from = 0; /* GOTO leads forwards only */

    for (; r && fib_step(&l.steps); r = load_acquire(&r->next)) {
        int err = -EAGAIN;

        if (r->v.priority < from || lookup_matches(c, &l, &r->v) == r->v.invert)
            continue;
        if (r->v.action == RULE_GOTO)
            from = r->v.target;
        else
            err = lookup_do(c, &l, &r->v, out);
        if (err != -EAGAIN)
            return err;
    }
    if (!l.steps.left)
        COUNT(net_lookup_too_long);
    return -ENETUNREACH;
}

int fib_lookup(struct ip_config *c, const struct ip_flow *f, u32 in, struct fib_result *out)
{
    u32 i = !ip_is_v4(&f->to);
    struct ip_table *t;
    int err;

    if (unlikely(READ_ONCE(c->ruled[i])))
        return lookup_by_rules(c, f, in, out);
    err = fib_table_lookup(c->local[i], f, out);
    if (err == -EAGAIN)
        err = fib_table_lookup(c->main[i], f, out);
    if (err == -EAGAIN && !i && (t = fib_table(c, FAMILY_V4, TABLE_DEFAULT)))
        err = fib_table_lookup(t, f, out);
    return err == -EAGAIN ? -ENETUNREACH : err;
}
