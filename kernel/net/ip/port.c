/* SPDX-License-Identifier: MIT
 *
 * Ports at addresses. port.h has the rules.
 */
#include "net/ip/port.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/ip/addr.h"
#include "net/ip/port_priv.h"
#include "sched/thread.h"

#define PORT_NODES 3 /* of an xarray that one more member may need */

const struct ip_addr port_any6, port_any4 = {.w = {0, 0, IP_MAPPED_WORD, 0}};

void port_table_init(struct port_table *t)
{
    spinlock_init(&t->lock, RANK_NET, 10, "ports");
    t->groups = RB_ROOT;
}

void port_table_fini(struct port_table *t)
{
    port_bits_free(t->bits);
}

static struct port_table *port_table_of(const struct inet_sock *s)
{
    return s->proto->ports(s->sock.ns);
}

static struct port_key port_key_of(const struct inet_sock *s, const struct ip_end *end)
{
    bool dual = s->sock.family == AF_INET6 && !s->v6only && ip_equal(&end->addr, &port_any6);

    return (struct port_key){.addr = end->addr,
                             .scope = end->scope,
                             .port = end->port,
                             .kind = dual ? PORT_DUAL : PORT_AT};
}

static int port_compare_addr(const struct ip_addr *a, const struct ip_addr *b)
{
    if (a->q[1] != b->q[1])
        return a->q[1] < b->q[1] ? -1 : 1;
    return a->q[0] < b->q[0] ? -1 : a->q[0] > b->q[0];
}

static int port_compare(const struct port_key *a, const struct port_key *b)
{
    int cmp;

    if (a->port != b->port)
        return a->port < b->port ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    cmp = port_compare_addr(&a->addr, &b->addr);
    if (cmp)
        return cmp;
    if (a->peer_port != b->peer_port)
        return a->peer_port < b->peer_port ? -1 : 1;
    if (a->scope != b->scope)
        return a->scope < b->scope ? -1 : 1;
    return port_compare_addr(&a->peer_addr, &b->peer_addr);
}

/* The group of a key, or NULL; with *parent and *link, where it would belong. */
static struct port_group *port_group_place(struct port_table *t, const struct port_key *key,
                                           struct rb_node **parent, struct rb_node ***link)
{
    *parent = NULL;
    *link = &t->groups.node;
    while (**link) {
        struct port_group *g = rb_entry(**link, struct port_group, node);
        int cmp = port_compare(key, &g->key);

        if (!cmp)
            return g;
        *parent = **link;
        *link = cmp < 0 ? &g->node.left : &g->node.right;
    }
    return NULL;
}

struct port_group *port_group_find(struct port_table *t, const struct port_key *key)
{
    struct rb_node *parent, **link;

    return port_group_place(t, key, &parent, &link);
}

struct port_group *port_group_all(struct port_table *t, u8 kind, u16 port)
{
    struct port_key key = {.kind = kind, .port = port};

    return port_group_find(t, &key);
}

struct port_group *port_group_at(struct port_table *t, const struct ip_addr *addr, u32 scope,
                                 u16 port)
{
    struct port_key key = {.addr = *addr, .scope = scope, .port = port};

    return port_group_find(t, &key);
}

/* The nodes of an xarray. */
static void *port_node_alloc(size_t size, void *ctx)
{
    return kmalloc(size);
}

static void port_node_free(struct xa_node *node)
{
    kfree(node);
}

/* After a try under the lock that failed with err: true when there is memory for another one. */
static bool port_pool_again(struct xa_pool *pool, int err)
{
    return err == -ENOMEM && !pool->count && !xa_pool_fill(pool, PORT_NODES, port_node_alloc, NULL);
}

/* The same as port_group_find, made if there is none; NULL: no memory. */
static struct port_group *port_group_get(struct port_table *t, const struct port_key *key)
{
    struct rb_node *parent, **link;
    struct port_group *g = port_group_place(t, key, &parent, &link);

    if (g)
        return g;
    g = kzalloc(sizeof(*g));
    if (!g)
        return NULL;
    g->key = *key;
    xa_init(&g->members, port_node_free);
    rb_link(&t->groups, &g->node, parent, link);
    return g;
}

static void port_group_put(struct port_table *t, struct port_group *g)
{
    if (!g || g->nr || g->nr_members)
        return;
    rb_erase(&t->groups, &g->node);
    kfree(g);
}

static int port_member_add(struct port_group *g, struct inet_sock *s, struct xa_pool *pool)
{
    if (xa_store(&g->members, g->nr_members, s, pool))
        return -ENOMEM;
    s->name.found = g;
    s->name.index = g->nr_members;
    if (!g->nr_members++)
        g->first = s;
    return 0;
}

/* The last member takes the place of the one that leaves, whose own index may count elsewhere by
 * now. */
static void port_member_drop(struct port_table *t, struct port_group *g, u32 index)
{
    u32 last = --g->nr_members;

    if (index != last) {
        struct inet_sock *s = xa_load(&g->members, last);

        (void)xa_store(&g->members, index, s, NULL); /* one is there */
        s->name.index = index;
        if (!index)
            g->first = s;
    }
    xa_erase(&g->members, last);
    port_group_put(t, g);
}

static void port_member_remove(struct port_table *t, struct inet_sock *s)
{
    struct port_group *g = s->name.found;

    if (!g)
        return;
    ASSERT(xa_load(&g->members, s->name.index) == s);
    s->name.found = NULL;
    port_member_drop(t, g, s->name.index);
}

static void port_count(struct port_group *g, const struct inet_sock *s, int n)
{
    if (!g)
        return;
    if (!g->nr)
        g->uid = s->sock.uid;
    g->uids_differ = g->nr && (g->uids_differ || g->uid != s->sock.uid);
    g->nr += (u32)n;
    g->nr_no_reuse += s->name.reuse ? 0 : (u32)n;
    g->nr_no_share += s->name.share ? 0 : (u32)n;
    g->nr_chosen += s->name.chosen ? (u32)n : 0;
    g->nr_listening += s->name.listens ? (u32)n : 0;
}

/* In all groups of its name. */
static void port_count_name(struct inet_sock *s, int n)
{
    port_count(s->name.bound, s, n);
    port_count(s->name.all[0], s, n);
    port_count(s->name.all[1], s, n);
}

/* May s not have its name for those counted in g? */
static bool port_conflicts(const struct port_group *g, const struct inet_sock *s)
{
    if (!g || !g->nr)
        return false;
    if (s->name.share && !g->nr_no_share && !g->uids_differ && g->uid == s->sock.uid)
        return false;
    return !s->name.reuse || g->nr_no_reuse || g->nr_listening;
}

/* As Linux: a wildcard meets all of its families, an address its like and the wildcards above. */
static bool port_taken(struct port_table *t, const struct inet_sock *s, const struct port_key *key)
{
    bool any = key->kind == PORT_DUAL || ip_is_any(&key->addr), v4 = ip_is_v4(&key->addr);

    if (any)
        return (port_takes(key, false) &&
                port_conflicts(port_group_all(t, PORT_ALL4, key->port), s)) ||
               (port_takes(key, true) &&
                port_conflicts(port_group_all(t, PORT_ALL6, key->port), s));
    return port_conflicts(port_group_find(t, key), s) ||
           port_conflicts(port_group_at(t, v4 ? &port_any4 : &port_any6, 0, key->port), s) ||
           port_conflicts(port_group_all(t, PORT_DUAL, key->port), s);
}

static void port_drop_groups(struct port_table *t, struct inet_sock *s)
{
    port_group_put(t, s->name.bound);
    port_group_put(t, s->name.all[0]);
    port_group_put(t, s->name.all[1]);
    s->name.bound = s->name.all[0] = s->name.all[1] = NULL;
}

static int port_hold(struct port_table *t, struct inet_sock *s, const struct port_key *key,
                     struct xa_pool *pool)
{
    struct port_name *n = &s->name;
    bool ok = port_bits_ready(t->bits, key->port);

    n->bound = ok ? port_group_get(t, key) : NULL;
    ok = n->bound;
    for (unsigned v6 = 0; ok && v6 < 2; v6++) {
        struct port_key all = {.kind = v6 ? PORT_ALL6 : PORT_ALL4, .port = key->port};

        n->all[v6] = port_takes(key, v6) ? port_group_get(t, &all) : NULL;
        ok = n->all[v6] || !port_takes(key, v6);
    }
    if (!ok || (s->sock.type != SOCK_STREAM && port_member_add(n->bound, s, pool))) {
        port_drop_groups(t, s);
        return -ENOMEM;
    }
    port_count_name(s, 1);
    port_mark(t, key->port, true);
    return 0;
}

/* One try with some ports; -EAGAIN: all of them are taken. *at: where to go on, of the range. */
static int port_try(struct port_table *t, struct inet_sock *s, struct port_key *key, u32 *at)
{
    struct port_range r = port_range_of(s->sock.ns);
    u32 end = MIN(*at + PORT_TRIES, r.nr);

    if (key->port)
        return port_taken(t, s, key) ? -EADDRINUSE : 0;
    key->port = port_choose_free(t->bits, &r);
    if (key->port)
        return 0;
    if (ip_is_any(&key->addr))
        return -EADDRINUSE;
    /* Each port is taken at some address: perhaps not at this one. */
    for (; *at < end; (*at)++) {
        key->port = (u16)(r.first + *at);
        if (!port_is_reserved(&r, key->port) && !port_taken(t, s, key))
            return 0;
    }
    key->port = 0;
    return end == r.nr ? -EADDRINUSE : -EAGAIN;
}

static void port_set_ends(struct inet_sock *s, const struct ip_end *local,
                          const struct ip_end *peer)
{
    spin_lock(&s->sock.lock);
    s->local = *local;
    s->peer = *peer;
    spin_unlock(&s->sock.lock);
}

int port_bind(struct inet_sock *s, const struct ip_end *end)
{
    struct port_table *t = port_table_of(s);
    struct ip_end none = {0}, local = *end;
    struct xa_pool pool = {0};
    u32 at = 0;
    int err;

    do {
        struct port_key key;

        spin_lock(&t->lock);
        err = s->name.bound ? -EINVAL : 0;
        key = port_key_of(s, end);
        if (!err) { /* it stays as it is counted */
            s->name.reuse = s->sock.reuse_addr;
            s->name.share = s->sock.reuse_port;
            s->name.chosen = false;
            err = port_bits_make(t) ? -ENOMEM : port_try(t, s, &key, &at);
        }
        if (!err)
            err = port_hold(t, s, &key, &pool);
        if (!err) {
            local.port = key.port;
            s->auto_port = !end->port;
            port_set_ends(s, &local, &none);
        }
        spin_unlock(&t->lock);
        cond_yield();
    } while (err == -EAGAIN || port_pool_again(&pool, err));
    xa_pool_drain(&pool, port_node_free);
    return err;
}

/* One hold of the lock. -EAGAIN: not all ports were looked at. */
static int port_bind_towards_locked(struct port_table *t, struct inet_sock *s,
                                    const struct ip_addr *local, struct port_search *search,
                                    struct xa_pool *pool) REQUIRES(t->lock)
{
    struct port_key key = {.addr = *local, .kind = PORT_AT};
    struct ip_end none = {0}, me = {.addr = *local};
    int err;

    ASSERT_HELD(&t->lock);
    if (s->name.bound)
        return -EINVAL;
    if (port_bits_make(t))
        return -ENOMEM;
    err = port_choose_towards(t, s->sock.ns, local, search, &key.port);
    if (err)
        return err;
    s->name.reuse = s->sock.reuse_addr;
    s->name.share = s->sock.reuse_port;
    s->name.chosen = true;
    err = port_hold(t, s, &key, pool);
    if (err)
        return err;
    me.port = key.port;
    s->auto_port = true;
    port_set_ends(s, &me, &none);
    return 0;
}

int port_bind_towards(struct inet_sock *s, const struct ip_addr *local, struct port_search *search)
{
    struct port_table *t = port_table_of(s);
    struct xa_pool pool = {0};
    int err;

    do {
        spin_lock(&t->lock);
        err = port_bind_towards_locked(t, s, local, search, &pool);
        spin_unlock(&t->lock);
        cond_yield();
    } while (err == -EAGAIN || port_pool_again(&pool, err));
    xa_pool_drain(&pool, port_node_free);
    return err;
}

static int port_listen_locked(struct port_table *t, struct inet_sock *s, struct xa_pool *pool)
    REQUIRES(t->lock)
{
    int err = 0;

    ASSERT_HELD(&t->lock);
    if (!s->name.bound)
        return -EINVAL;
    if (s->name.found)
        return 0;
    port_count_name(s, -1);
    s->name.chosen = false;
    if (port_taken(t, s, &s->name.bound->key))
        err = -EADDRINUSE;
    if (!err)
        err = port_member_add(s->name.bound, s, pool);
    s->name.listens = !err;
    port_count_name(s, 1);
    return err;
}

int port_listen(struct inet_sock *s)
{
    struct port_table *t = port_table_of(s);
    struct xa_pool pool = {0};
    int err;

    do {
        spin_lock(&t->lock);
        err = port_listen_locked(t, s, &pool);
        spin_unlock(&t->lock);
    } while (port_pool_again(&pool, err));
    xa_pool_drain(&pool, port_node_free);
    return err;
}

static int port_connect_locked(struct port_table *t, struct inet_sock *s,
                               const struct ip_addr *local, const struct ip_end *peer,
                               struct xa_pool *pool) REQUIRES(t->lock)
{
    struct port_group *old, *g;
    struct port_key key;
    struct ip_end me;
    int err = 0;

    ASSERT_HELD(&t->lock);
    if (!s->name.bound) /* another thread took it away */
        return -EINVAL;
    t->connected = true;
    old = s->name.found;
    key = s->name.bound->key;
    if (!ip_is_any(&peer->addr)) { /* its port may be 0 */
        key.kind = PORT_AT;
        key.peer_addr = peer->addr;
        key.peer_port = peer->port;
        key.addr = *local;
    }
    me = (struct ip_end){.addr = key.addr, .scope = key.scope, .port = key.port};
    g = port_group_get(t, &key);
    if (!g)
        err = -ENOMEM;
    if (!err && g != old) {
        u32 index = s->name.index;

        err = port_member_add(g, s, pool);
        if (!err)
            port_member_drop(t, old, index);
    }
    if (err)
        port_group_put(t, g);
    else
        port_set_ends(s, &me, peer);
    return err;
}

int port_connect(struct inet_sock *s, const struct ip_addr *local, const struct ip_end *peer)
{
    struct port_table *t = port_table_of(s);
    struct xa_pool pool = {0};
    int err;

    do {
        spin_lock(&t->lock);
        err = port_connect_locked(t, s, local, peer, &pool);
        spin_unlock(&t->lock);
    } while (port_pool_again(&pool, err));
    xa_pool_drain(&pool, port_node_free);
    return err;
}

void port_leave(struct inet_sock *s)
{
    struct port_table *t = port_table_of(s);
    struct ip_end none = {0};

    spin_lock(&t->lock);
    if (s->name.bound) {
        const struct port_key *key = &s->name.bound->key;
        struct ip_end me = {.addr = key->addr, .scope = key->scope, .port = key->port};

        port_set_ends(s, &me, &none);
    }
    spin_unlock(&t->lock);
}

void port_end(struct inet_sock *s)
{
    struct port_table *t = port_table_of(s);
    struct ip_end none = {0};

    spin_lock(&t->lock);
    port_member_remove(t, s);
    if (s->name.bound) {
        struct port_group *all = s->name.all[0] ? s->name.all[0] : s->name.all[1];
        u16 port = all->key.port;

        port_count_name(s, -1);
        port_drop_groups(t, s);
        if (!port_group_all(t, PORT_ALL4, port) && !port_group_all(t, PORT_ALL6, port))
            port_mark(t, port, false);
        port_set_ends(s, &none, &none);
    }
    spin_unlock(&t->lock);
}
