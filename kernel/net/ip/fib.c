/* SPDX-License-Identifier: MIT
 *
 * Tables of routes, and what a flow finds there. Routes of one prefix are in the order of falling
 * TOS, then of rising priority.
 */
#include "net/ip/fib.h"
#include "lib/errno.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "sched/timer.h"

static struct lpm_key ip_key(const struct ip_addr *a)
{
    if (ip_is_v4(a))
        return (struct lpm_key){{(u64)ip_v4(a) << 32, 0}};
    return (struct lpm_key){{__builtin_bswap64(a->q[0]), __builtin_bswap64(a->q[1])}};
}

struct ip_addr ip_masked(const struct ip_addr *a, u16 family, u32 prefix)
{
    struct lpm_key k = lpm_mask(ip_key(a), prefix);

    if (family == FAMILY_V4)
        return ip_from_v4((u32)(k.w[0] >> 32));
    return (struct ip_addr){.q = {__builtin_bswap64(k.w[0]), __builtin_bswap64(k.w[1])}};
}

struct ip_table *fib_table_counted(struct ip_config *c, u16 family, u32 id, struct fib_steps *steps)
{
    struct ip_table *t;

    if (id == TABLE_MAIN)
        return c->main[ip_family_index(family)];
    if (id == TABLE_LOCAL)
        return c->local[ip_family_index(family)];
    for (t = load_acquire(&c->tables); t && fib_step(steps); t = load_acquire(&t->next))
        if (t->id == id && t->family == family)
            return t;
    return NULL;
}

struct ip_table *fib_table(struct ip_config *c, u16 family, u32 id)
{
    struct fib_steps all = {IP_TABLES_MOST + 1};

    return fib_table_counted(c, family, id, &all);
}

static int fib_table_make(struct ip_config *c, u16 family, u32 id, struct ip_table **out)
{
    struct ip_table *t;

    if (c->nr_tables >= IP_TABLES_MOST)
        return -ENOBUFS;
    t = kzalloc(sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->id = id;
    t->family = family;
    t->next = c->tables;
    store_release(&c->tables, t);
    c->nr_tables++;
    *out = t;
    return 0;
}

static void fib_table_free(struct rcu_head *h)
{
    kfree(container_of(h, struct ip_table, rcu));
}

static void fib_table_drop(struct ip_config *c, struct ip_table *t)
{
    struct ip_table **link = &c->tables;

    if (t->nr || t->id == TABLE_MAIN || t->id == TABLE_LOCAL)
        return;
    while (*link != t)
        link = &(*link)->next;
    store_release(link, t->next);
    c->nr_tables--;
    rcu_call(&t->rcu, fib_table_free);
}

/* A node of a table, freed after a grace period. */
struct fib_node {
    struct lpm_node lpm;
    struct rcu_head rcu;
};

static void fib_node_free(struct rcu_head *h)
{
    kfree(container_of(h, struct fib_node, rcu));
}

/* The node of r's prefix, made if need be. */
static struct lpm_node *fib_node_get(struct ip_table *t, const struct ip_route *r)
{
    struct lpm_key key = ip_key(&r->to);
    struct lpm_node *n = lpm_find(t->root, &key, r->prefix);
    struct fib_node *node, *glue;
    bool used;

    if (n)
        return n;
    node = kzalloc(sizeof(*node));
    glue = kzalloc(sizeof(*glue));
    if (!node || !glue) {
        kfree(node);
        kfree(glue);
        return NULL;
    }
    node->lpm.key = key;
    node->lpm.len = r->prefix;
    (void)lpm_insert(&t->root, &node->lpm, &glue->lpm, &used);
    if (!used)
        kfree(glue);
    return &node->lpm;
}

static bool fib_goes_behind(const struct ip_route *r, const struct ip_route *other)
{
    if (r->tos != other->tos)
        return r->tos < other->tos;
    return r->priority >= other->priority;
}

static int fib_compare(const struct ip_route *a, const struct ip_route *b);

static bool fib_less(const struct rb_node *a, const struct rb_node *b)
{
    return fib_compare(rb_entry(a, struct ip_route, node), rb_entry(b, struct ip_route, node)) < 0;
}

static bool fib_prefix_is_full(const struct ip_table *t, const struct ip_route *r)
{
    struct lpm_key key = ip_key(&r->to);
    struct lpm_node *n = lpm_find(t->root, &key, r->prefix);
    u32 nr = 0;

    for (const struct ip_route *x = n ? n->value : NULL; x; x = x->next)
        nr++;
    return nr >= IP_ROUTES_PREFIX;
}

int fib_insert(struct ip_config *c, struct ip_route *r, const struct ip_route *before)
{
    struct ip_table *t = fib_table(c, r->family, r->table);
    int err = c->nr_routes >= IP_ROUTES_MOST ? -ENOBUFS : 0;
    struct ip_route **link;
    struct lpm_node *n;

    if (!err && t && fib_prefix_is_full(t, r))
        err = -ENOBUFS;
    if (!err && !t)
        err = fib_table_make(c, r->family, r->table, &t);
    if (err)
        return err;
    n = fib_node_get(t, r);
    if (!n) {
        fib_table_drop(c, t);
        return -ENOMEM;
    }
    link = (struct ip_route **)&n->value;
    while (*link && *link != before && fib_goes_behind(r, *link))
        link = &(*link)->next;
    r->next = *link;
    store_release(link, r);
    rb_insert(&c->routes, &r->node, fib_less);
    t->nr++;
    c->nr_routes++;
    return 0;
}

static void fib_route_free(struct rcu_head *h)
{
    kfree(container_of(h, struct ip_route, rcu));
}

void fib_remove(struct ip_config *c, struct ip_route *r)
{
    struct ip_table *t = fib_table(c, r->family, r->table);
    struct lpm_key key = ip_key(&r->to);
    struct lpm_node *n = lpm_find(t->root, &key, r->prefix), *gone[2];
    struct ip_route **link = (struct ip_route **)&n->value;

    while (*link != r)
        link = &(*link)->next;
    store_release(link, r->next);
    for (u32 i = lpm_remove(&t->root, n, gone); i--;)
        rcu_call(&container_of(gone[i], struct fib_node, lpm)->rcu, fib_node_free);
    rb_erase(&c->routes, &r->node);
    ip_due_set(&c->routes_due, &r->due, 0);
    rcu_call(&r->rcu, fib_route_free);
    c->nr_routes--;
    t->nr--;
    fib_table_drop(c, t);
}

struct ip_route *fib_first(struct ip_config *c, u16 family, u32 table, const struct ip_addr *to,
                           u32 prefix)
{
    struct ip_table *t = fib_table(c, family, table);
    struct lpm_key key = ip_key(to);
    struct lpm_node *n = t ? lpm_find(t->root, &key, prefix) : NULL;

    return n ? n->value : NULL;
}

/* The order of ip_route_next. */
static int fib_compare(const struct ip_route *a, const struct ip_route *b)
{
    struct ip_addr none = {0};
    int cmp;

    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    cmp = ip_compare(&a->to, &b->to);
    if (cmp)
        return cmp;
    if (a->prefix != b->prefix || a->tos != b->tos)
        return a->prefix * 256 + a->tos < b->prefix * 256 + b->tos ? -1 : 1;
    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    cmp = ip_compare(a->nr_hops ? &a->hops[0].gateway : &none,
                     b->nr_hops ? &b->hops[0].gateway : &none);
    if (cmp)
        return cmp;
    return (int)(a->nr_hops ? a->hops[0].dev->index : 0) -
           (int)(b->nr_hops ? b->hops[0].dev->index : 0);
}

static bool hop_fits(const struct ip_route *r, const struct ip_hop *h, const struct ip_flow *f)
{
    if (f->device && h->dev->index != f->device)
        return false;
    return r->type == ROUTE_LOCAL || (READ_ONCE(h->dev->flags) & NETDEV_UP);
}

/* Of several, by weight, the same for the same two ends. */
static const struct ip_hop *route_hop(const struct ip_route *r, const struct ip_flow *f)
{
    u32 total = 0, at;

    if (likely(r->nr_hops == 1))
        return hop_fits(r, &r->hops[0], f) ? &r->hops[0] : NULL;
    for (u32 i = 0; i < r->nr_hops; i++)
        total += hop_fits(r, &r->hops[i], f) ? r->hops[i].weight : 0;
    if (!total)
        return NULL;
    at = (u32)((f->to.q[1] ^ f->to.q[0] ^ f->from.q[1] * 3) * 0x9e3779b97f4a7c15ULL >> 33) % total;
    for (u32 i = 0; i < r->nr_hops; i++) {
        u32 w = hop_fits(r, &r->hops[i], f) ? r->hops[i].weight : 0;

        if (at < w)
            return &r->hops[i];
        at -= w;
    }
    return NULL;
}

/* 0: it is; -EAGAIN: not this one; THROW: 1, not this table. */
static int route_try(const struct ip_route *r, const struct ip_flow *f, struct fib_result *out)
{
    if ((r->tos && r->tos != (f->tos & 0x1c)) || (r->expires && r->expires <= time_ns()))
        return -EAGAIN;
    out->route = r;
    out->hop = NULL;
    switch (r->type) {
    case ROUTE_BLACKHOLE:
        return -EINVAL;
    case ROUTE_UNREACHABLE:
        return -EHOSTUNREACH;
    case ROUTE_PROHIBIT:
        return -EACCES;
    case ROUTE_THROW:
        return 1;
    default:
        out->hop = route_hop(r, f);
        return out->hop ? 0 : -EAGAIN;
    }
}

int fib_table_find(const struct ip_table *t, const struct ip_flow *f, struct fib_steps *steps,
                   struct fib_result *out)
{
    struct lpm_key key = ip_key(&f->to);
    u32 most = LPM_BITS;
    struct lpm_node *n;

    while ((n = lpm_lookup(&t->root, &key, most))) {
        const struct ip_route *r = load_acquire((struct ip_route **)&n->value);

        for (; r && fib_step(steps); r = load_acquire(&r->next)) {
            int err = route_try(r, f, out);

            if (err != -EAGAIN)
                return err > 0 ? -EAGAIN : err;
        }
        if (!n->len || !fib_step(steps))
            break;
        most = n->len - 1;
    }
    return -EAGAIN;
}
