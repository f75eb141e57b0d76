/* SPDX-License-Identifier: MIT
 *
 * Rules: which table a flow is looked up in. A namespace has the local table first (0), then main
 * (32766) and, of IPv4, default (32767); these become rules of their own with the first change.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/event.h"
#include "net/ip/fib.h"

static struct ip_rule *rule_put(struct ip_config *c, const struct ip_rule_view *v)
{
    struct ip_rule **link = &c->rules[ip_family_index(v->family)];
    struct ip_rule *r = kzalloc(sizeof(*r));

    if (!r)
        return NULL;
    r->v = *v;
    r->v.place = ++c->last_place;
    while (*link && (*link)->v.priority <= v->priority)
        link = &(*link)->next;
    r->next = *link;
    store_release(link, r);
    c->nr_rules++;
    return r;
}

static struct ip_rule_view rule_of_table(u16 family, u32 priority, u32 table)
{
    return (struct ip_rule_view){.family = family,
                                 .action = RULE_TABLE,
                                 .priority = priority,
                                 .table = table,
                                 .suppress_prefix = -1,
                                 .suppress_group = -1,
                                 .uid_last = ~0U};
}

static void rule_free(struct rcu_head *h)
{
    kfree(container_of(h, struct ip_rule, rcu));
}

static void rule_drop(struct ip_config *c, struct ip_rule **link)
{
    struct ip_rule *r = *link;

    store_release(link, r->next);
    c->nr_rules--;
    rcu_call(&r->rcu, rule_free);
}

/* Those that every namespace has. */
static int rules_make(struct ip_config *c, u16 family)
{
    static const u32 own[3][2] = {{0, TABLE_LOCAL}, {32766, TABLE_MAIN}, {32767, TABLE_DEFAULT}};
    u32 i = ip_family_index(family), n = family == FAMILY_V4 ? 3 : 2;

    if (c->rules_made[i])
        return 0;
    for (u32 k = 0; k < n; k++) {
        struct ip_rule_view v = rule_of_table(family, own[k][0], own[k][1]);

        if (rule_put(c, &v))
            continue;
        while (c->rules[i])
            rule_drop(c, &c->rules[i]);
        return -ENOMEM;
    }
    c->rules_made[i] = true;
    return 0;
}

void rules_free(struct ip_config *c)
{
    for (u32 i = 0; i < 2; i++)
        while (c->rules[i])
            rule_drop(c, &c->rules[i]);
}

/* As Linux: one that is given no priority goes before the lowest that is not 0. */
static u32 rule_priority(struct ip_config *c, u16 family)
{
    const struct ip_rule *r = c->rules[ip_family_index(family)];

    if (r && r->next && r->next->v.priority)
        return r->next->v.priority - 1;
    return 0;
}

static bool rule_same(const struct ip_rule_view *a, const struct ip_rule_view *b)
{
    return a->family == b->family && a->action == b->action && a->tos == b->tos &&
           a->from_prefix == b->from_prefix && a->to_prefix == b->to_prefix &&
           a->protocol == b->protocol && a->invert == b->invert && a->priority == b->priority &&
           a->table == b->table && a->mark == b->mark && a->mark_mask == b->mark_mask &&
           ip_equal(&a->from, &b->from) && ip_equal(&a->to, &b->to) &&
           !strncmp(a->in, b->in, NETDEV_NAME) && !strncmp(a->out, b->out, NETDEV_NAME) &&
           a->uid_first == b->uid_first && a->uid_last == b->uid_last &&
           !memcmp(a->from_port, b->from_port, 4) && !memcmp(a->to_port, b->to_port, 4);
}

/* What is given of v (nothing: 0, any name, -1) is r's; or it is r itself. */
static bool rule_asked(const struct ip_rule_view *r, const struct ip_rule_view *v)
{
    if (v->place)
        return r->place == v->place;
    return (!v->action || v->action == r->action) && (!v->priority || v->priority == r->priority) &&
           (!v->table || v->table == r->table) && (!v->tos || v->tos == r->tos) &&
           (!v->mark || v->mark == r->mark) && (!v->mark_mask || v->mark_mask == r->mark_mask) &&
           v->from_prefix == r->from_prefix && v->to_prefix == r->to_prefix &&
           (!v->from_prefix || ip_equal(&v->from, &r->from)) &&
           (!v->to_prefix || ip_equal(&v->to, &r->to)) &&
           (!v->protocol || v->protocol == r->protocol) &&
           (!v->in[0] || !strncmp(v->in, r->in, NETDEV_NAME)) &&
           (!v->out[0] || !strncmp(v->out, r->out, NETDEV_NAME)) && v->invert == r->invert;
}

static int rule_check(const struct ip_rule_view *v)
{
    u32 most = v->family == FAMILY_V4 ? 32 : LPM_BITS;

    if ((v->family != FAMILY_V4 && v->family != FAMILY_V6) || v->from_prefix > most ||
        v->to_prefix > most || v->action < RULE_TABLE || v->action > RULE_PROHIBIT)
        return -EINVAL;
    return v->action == RULE_GOTO && v->target <= v->priority ? -EINVAL : 0;
}

static int rule_insert(struct net_ns *ns, struct ip_rule_view *v, u32 change)
{
    struct ip_config *c = ip_config_make(ns);
    int err = c ? rules_make(c, v->family) : -ENOMEM;

    if (err)
        return err;
    if (!v->priority)
        v->priority = rule_priority(c, v->family);
    for (const struct ip_rule *r = c->rules[ip_family_index(v->family)]; r; r = r->next)
        if ((change & IP_EXCL) && rule_same(&r->v, v))
            return -EEXIST;
    if (c->nr_rules >= IP_RULES_MOST)
        return -ENOBUFS;
    if (!rule_put(c, v))
        return -ENOMEM;
    WRITE_ONCE(c->ruled[ip_family_index(v->family)], true);
    ip_changed(ns);
    net_event(ns, NET_EVENT_RULE, v, change);
    return 0;
}

int ip_rule_add(struct net_ns *ns, const struct ip_rule_view *r, u32 change)
{
    struct ip_rule_view v = *r;
    int err = rule_check(&v);

    if (err)
        return err;
    net_config_lock(ns);
    err = rule_insert(ns, &v, change);
    net_config_unlock(ns);
    return err;
}

static int rule_take(struct net_ns *ns, const struct ip_rule_view *v)
{
    struct ip_config *c = ip_config_make(ns);
    int err = c ? rules_make(c, v->family) : -ENOMEM;
    struct ip_rule **link;
    struct ip_rule_view was;

    if (err)
        return err;
    link = &c->rules[ip_family_index(v->family)];
    while (*link && !rule_asked(&(*link)->v, v))
        link = &(*link)->next;
    if (!*link)
        return -ENOENT;
    was = (*link)->v;
    rule_drop(c, link);
    WRITE_ONCE(c->ruled[ip_family_index(v->family)], true);
    ip_changed(ns);
    net_event(ns, NET_EVENT_UNRULE, &was, 0);
    return 0;
}

int ip_rule_remove(struct net_ns *ns, const struct ip_rule_view *v)
{
    int err;

    if (v->family != FAMILY_V4 && v->family != FAMILY_V6)
        return -EINVAL;
    net_config_lock(ns);
    err = rule_take(ns, v);
    net_config_unlock(ns);
    return err;
}

static bool rule_is_behind(const struct ip_rule_view *r, const struct ip_rule_view *at)
{
    if (r->family != at->family)
        return r->family > at->family;
    return r->priority == at->priority ? r->place > at->place : r->priority > at->priority;
}

/* Order: family, priority, then as they were added. */
static bool rule_after(struct ip_config *c, struct ip_rule_view *at)
{
    static const u16 families[2] = {FAMILY_V4, FAMILY_V6};

    for (u32 i = 0; i < 2; i++) {
        const struct ip_rule *r;

        if (families[i] < at->family || rules_make(c, families[i]))
            continue;
        for (r = c->rules[i]; r && !rule_is_behind(&r->v, at);)
            r = r->next;
        if (r) {
            *at = r->v;
            return true;
        }
    }
    return false;
}

bool ip_rule_next(struct net_ns *ns, struct ip_rule_view *at)
{
    struct ip_config *c;
    bool more = false;

    net_config_lock(ns);
    c = ip_config_make(ns);
    if (c)
        more = rule_after(c, at);
    net_config_unlock(ns);
    return more;
}
