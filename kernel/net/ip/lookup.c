/* SPDX-License-Identifier: MIT
 *
 * What a flow finds: by the rules of its family, or by the three that every namespace has.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "net/ip/fib.h"

static bool lookup_device(struct ip_config *c, const char *name, u32 index)
{
    struct netdev *dev;
    bool is;

    if (!name[0])
        return true;
    dev = net_device_by_index(c->ns, index ? index : 1); /* what is sent here comes from lo */
    is = dev && !strncmp(dev->name, name, NETDEV_NAME);
    if (dev)
        netdev_put(dev);
    return is;
}

static bool lookup_port(const u16 range[2], u16 port)
{
    return !range[1] || (port >= range[0] && port <= range[1]);
}

static bool lookup_matches(struct ip_config *c, const struct ip_rule_view *v,
                           const struct ip_flow *f, u32 in)
{
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
    if (v->out[0] && (!f->device || !lookup_device(c, v->out, f->device)))
        return false;
    return lookup_device(c, v->in, in);
}

static bool lookup_suppresses(const struct ip_rule_view *v, const struct fib_result *r)
{
    return v->suppress_prefix >= 0 && r->route && r->route->prefix <= (u32)v->suppress_prefix;
}

static int lookup_do(struct ip_config *c, const struct ip_rule_view *v, const struct ip_flow *f,
                     struct fib_result *out)
{
    struct ip_table *t;
    int err;

    switch (v->action) {
    case RULE_TABLE:
        t = fib_table(c, v->family, v->table);
        err = t ? fib_table_lookup(t, f, out) : -EAGAIN;
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
    u32 from = 0; /* GOTO leads forwards only */

    for (; r; r = load_acquire(&r->next)) {
        int err = -EAGAIN;

        if (r->v.priority < from || lookup_matches(c, &r->v, f, in) == r->v.invert)
            continue;
        if (r->v.action == RULE_GOTO)
            from = r->v.target;
        else
            err = lookup_do(c, &r->v, f, out);
        if (err != -EAGAIN)
            return err;
    }
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
