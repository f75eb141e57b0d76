/* SPDX-License-Identifier: MIT
 *
 * Names of IPv4 sockets: ports at addresses. inet_priv.h has the rules. No operation walks over
 * sockets or ports under the lock: all that a container may hoard of them costs a look-up in a
 * tree.
 */
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/random.h"
#include "mm/slab.h"
#include "net/ip/inet_priv.h"
#include "sched/thread.h"

#define INET_PORTS (INET_PORT_LAST - INET_PORT_FIRST + 1)
#define INET_TRIES 64 /* ports under one hold of the lock */

/* Ports of the ephemeral range that some socket has, at whatever address. */
struct inet_ports {
    u64 used[DIV_ROUND_UP(INET_PORTS, 64)];
    u32 nr, next;
};

static struct inet_names *inet_names_of(struct net_ns *ns, int type)
{
    return &ns->inet[type != SOCK_STREAM];
}

static int inet_key_compare(const struct inet_key *a, const struct inet_key *b)
{
    if (a->port != b->port)
        return a->port < b->port ? -1 : 1;
    if (a->addr != b->addr)
        return a->addr < b->addr ? -1 : 1;
    if (a->peer_port != b->peer_port)
        return a->peer_port < b->peer_port ? -1 : 1;
    return a->peer_addr < b->peer_addr ? -1 : a->peer_addr > b->peer_addr;
}

/* The group of a key, or NULL; with *parent and *link, where it would belong. */
static struct inet_group *inet_group_place(struct inet_names *names, const struct inet_key *key,
                                           struct rb_node **parent, struct rb_node ***link)
{
    *parent = NULL;
    *link = &names->groups.node;
    while (**link) {
        struct inet_group *g = rb_entry(**link, struct inet_group, node);
        int cmp = inet_key_compare(key, &g->key);

        if (!cmp)
            return g;
        *parent = **link;
        *link = cmp < 0 ? &g->node.left : &g->node.right;
    }
    return NULL;
}

static struct inet_group *inet_group_find(struct inet_names *names, u32 addr, u16 port,
                                          u32 peer_addr, u16 peer_port)
{
    struct inet_key key = {addr, peer_addr, port, peer_port};
    struct rb_node *parent, **link;

    return inet_group_place(names, &key, &parent, &link);
}

/* The same, made if there is none. */
static struct inet_group *inet_group_get(struct inet_names *names, const struct inet_key *key)
{
    struct rb_node *parent, **link;
    struct inet_group *g = inet_group_place(names, key, &parent, &link);

    if (g)
        return g;
    g = kzalloc(sizeof(*g));
    if (!g)
        return NULL;
    g->key = *key;
    rb_link(&names->groups, &g->node, parent, link);
    return g;
}

static void inet_group_put(struct inet_names *names, struct inet_group *g)
{
    if (!g || g->nr || g->nr_members)
        return;
    rb_erase(&names->groups, &g->node);
    kfree(g->members);
    kfree(g);
}

static int inet_member_add(struct inet_group *g, struct inet_sock *s)
{
    if (g->nr_members == g->room) {
        u32 room = MAX(2 * g->room, 1U);
        struct inet_sock **members = krealloc(g->members, room * sizeof(struct inet_sock *));

        if (!members)
            return -ENOMEM;
        g->members = members;
        g->room = room;
    }
    s->found = g;
    s->index = g->nr_members;
    g->members[g->nr_members++] = s;
    return 0;
}

/* The last member takes the place of the one that leaves, whose own index may count elsewhere by
 * now. */
static void inet_member_drop(struct inet_names *names, struct inet_group *g, u32 index)
{
    u32 last = --g->nr_members;

    if (index != last) {
        g->members[index] = g->members[last];
        g->members[index]->index = index;
    }
    inet_group_put(names, g);
}

static void inet_member_remove(struct inet_names *names, struct inet_sock *s)
{
    struct inet_group *g = s->found;

    if (!g)
        return;
    ASSERT(g->members[s->index] == s);
    s->found = NULL;
    inet_member_drop(names, g, s->index);
}

static void inet_count(struct inet_group *g, const struct inet_sock *s, int n)
{
    if (!g->nr)
        g->uid = s->u.sock.uid;
    g->uids_differ = g->nr && (g->uids_differ || g->uid != s->u.sock.uid);
    g->nr += (u32)n;
    g->nr_no_reuse += s->reuse ? 0 : (u32)n;
    g->nr_no_share += s->share ? 0 : (u32)n;
    g->nr_listening += s->listens ? (u32)n : 0;
}

/* May s not have its name for those counted in g? */
static bool inet_conflicts(const struct inet_group *g, const struct inet_sock *s)
{
    if (!g || !g->nr)
        return false;
    if (s->share && !g->nr_no_share && !g->uids_differ && g->uid == s->u.sock.uid)
        return false;
    return !s->reuse || g->nr_no_reuse || g->nr_listening;
}

static bool inet_taken(struct inet_names *names, const struct inet_sock *s, u32 ip, u16 port)
{
    if (ip == INET_ANY)
        return inet_conflicts(inet_group_find(names, INET_ALL, port, 0, 0), s);
    return inet_conflicts(inet_group_find(names, ip, port, 0, 0), s) ||
           inet_conflicts(inet_group_find(names, INET_ANY, port, 0, 0), s);
}

static void inet_port_mark(struct inet_names *names, u16 port, bool used)
{
    u32 i = port - INET_PORT_FIRST;
    u64 bit = 1ULL << i % 64;

    if (port < INET_PORT_FIRST || port > INET_PORT_LAST ||
        !(names->ports->used[i / 64] & bit) == !used)
        return;
    names->ports->used[i / 64] ^= bit;
    names->ports->nr += used ? 1U : -1U;
}

/* The table of used ports, made with the first name. */
static int inet_ports_make(struct inet_names *names)
{
    if (names->ports)
        return 0;
    names->ports = kzalloc(sizeof(*names->ports));
    if (!names->ports)
        return -ENOMEM;
    names->ports->next = (u32)(random_u64() % INET_PORTS);
    return 0;
}

/* A port that no socket has, or 0. */
static u16 inet_port_free(struct inet_ports *p)
{
    if (p->nr == INET_PORTS)
        return 0;
    for (u32 tries = 0; tries < INET_PORTS; tries++) {
        u32 i = p->next;

        p->next = (i + 1) % INET_PORTS;
        if (i % 64 == 0 && p->used[i / 64] == U64_MAX) {
            tries += 63;
            p->next = (i + 64) % INET_PORTS;
            continue;
        }
        if (!(p->used[i / 64] & 1ULL << i % 64))
            return (u16)(INET_PORT_FIRST + i);
    }
    return 0;
}

static int inet_hold(struct inet_sock *s, struct inet_names *names, u32 ip, u16 port)
{
    struct inet_key one = {.addr = ip, .port = port}, all = {.addr = INET_ALL, .port = port};
    struct inet_group *bound = inet_group_get(names, &one);
    struct inet_group *of_port = bound ? inet_group_get(names, &all) : NULL;

    if (!of_port || (s->u.sock.type != SOCK_STREAM && inet_member_add(bound, s))) {
        inet_group_put(names, bound);
        inet_group_put(names, of_port);
        return -ENOMEM;
    }
    s->bound = bound;
    s->port = of_port;
    inet_count(bound, s, 1);
    inet_count(of_port, s, 1);
    inet_port_mark(names, port, true);
    return 0;
}

/* One try with some ports; -EAGAIN: all of them are taken. *at: where to go on, of INET_PORTS. */
static int inet_bind_try(struct inet_sock *s, u32 ip, u16 *port, u32 *at)
{
    struct inet_names *names = inet_names_of(s->u.sock.ns, s->u.sock.type);
    u32 end = MIN(*at + INET_TRIES, INET_PORTS);

    if (inet_ports_make(names))
        return -ENOMEM;
    if (*port)
        return inet_taken(names, s, ip, *port) ? -EADDRINUSE : 0;
    *port = inet_port_free(names->ports);
    if (*port)
        return 0;
    if (ip == INET_ANY)
        return -EADDRINUSE;
    /* Each port is taken at some address: perhaps not at this one. */
    for (; *at < end; (*at)++) {
        *port = (u16)(INET_PORT_FIRST + *at);
        if (!inet_taken(names, s, ip, *port))
            return 0;
    }
    *port = 0;
    return end == INET_PORTS ? -EADDRINUSE : -EAGAIN;
}

int inet_name_bind(struct inet_sock *s, u32 ip, u16 port)
{
    struct net_ns *ns = s->u.sock.ns;
    struct unix_addr *name = kzalloc(sizeof(*name));
    u32 at = 0;
    int err;

    if (!name)
        return -ENOMEM;
    refcount_init(&name->ref, 1);
    name->len = sizeof(struct inet_addr);
    do {
        spin_lock(&ns->unix_lock);
        err = s->u.addr ? -EINVAL : 0;
        if (!err) { /* it stays as it is counted */
            s->reuse = s->u.sock.reuse_addr;
            s->share = s->u.sock.reuse_port;
            err = inet_bind_try(s, ip, &port, &at);
        }
        if (!err)
            err = inet_hold(s, inet_names_of(ns, s->u.sock.type), ip, port);
        if (!err) {
            inet_addr_set((struct inet_addr *)(void *)&name->sun, ip, port);
            store_release(&s->u.addr, name);
        }
        spin_unlock(&ns->unix_lock);
        cond_yield();
    } while (err == -EAGAIN);
    if (err)
        unix_addr_put(name);
    return err;
}

int inet_name_listen(struct inet_sock *s)
{
    struct inet_names *names = inet_names_of(s->u.sock.ns, SOCK_STREAM);
    const struct inet_addr *a = (const struct inet_addr *)(const void *)&s->u.addr->sun;
    int err = 0;

    spin_lock(&s->u.sock.ns->unix_lock);
    if (!s->found) {
        inet_count(s->bound, s, -1);
        inet_count(s->port, s, -1);
        if (inet_taken(names, s, inet_ip(a), inet_port(a)))
            err = -EADDRINUSE;
        if (!err)
            err = inet_member_add(s->bound, s);
        s->listens = !err;
        inet_count(s->bound, s, 1);
        inet_count(s->port, s, 1);
    }
    spin_unlock(&s->u.sock.ns->unix_lock);
    return err;
}

int inet_name_connect(struct inet_sock *s, u32 ip, u16 port)
{
    struct inet_names *names = inet_names_of(s->u.sock.ns, SOCK_DGRAM);
    struct inet_group *old, *g;
    struct inet_key key;
    int err = 0;

    spin_lock(&s->u.sock.ns->unix_lock);
    old = s->found;
    key = s->bound->key;
    if (port) {
        key.peer_addr = ip;
        key.peer_port = port;
        if (key.addr == INET_ANY)
            key.addr = INET_LOOPBACK;
    }
    g = inet_group_get(names, &key);
    if (!g)
        err = -ENOMEM;
    if (!err && g != old) {
        u32 index = s->index;

        err = inet_member_add(g, s);
        if (!err)
            inet_member_drop(names, old, index);
    }
    if (err)
        inet_group_put(names, g);
    else
        s->peer = (struct inet_key){.peer_addr = ip, .peer_port = port};
    spin_unlock(&s->u.sock.ns->unix_lock);
    return err;
}

void inet_name_end(struct inet_sock *s)
{
    struct inet_names *names = inet_names_of(s->u.sock.ns, s->u.sock.type);

    spin_lock(&s->u.sock.ns->unix_lock);
    inet_member_remove(names, s);
    if (s->bound) {
        inet_count(s->bound, s, -1);
        inet_count(s->port, s, -1);
        if (!s->port->nr)
            inet_port_mark(names, s->port->key.port, false);
        inet_group_put(names, s->bound);
        inet_group_put(names, s->port);
        s->bound = s->port = NULL;
    }
    spin_unlock(&s->u.sock.ns->unix_lock);
}

/* Of those that share a name each hears some of the senders, always the same. */
static struct unix_sock *inet_choose(struct inet_group *g, u64 hash)
{
    return g && g->nr_members ? &g->members[(u32)(hash >> 32) % g->nr_members]->u : NULL;
}

struct unix_sock *inet_name_find(struct net_ns *ns, int type, const struct inet_addr *to,
                                 const struct inet_addr *from)
{
    struct inet_names *names = inet_names_of(ns, type);
    u64 hash = hash_u64((u64)inet_ip(from) << 32 | (u64)inet_port(from) << 16 | inet_port(to));
    u16 port = inet_port(to);
    struct unix_sock *u = NULL;

    spin_lock(&ns->unix_lock);
    if (type != SOCK_STREAM)
        u = inet_choose(inet_group_find(names, inet_ip(to), port, inet_ip(from), inet_port(from)),
                        hash);
    if (!u)
        u = inet_choose(inet_group_find(names, inet_ip(to), port, 0, 0), hash);
    if (!u)
        u = inet_choose(inet_group_find(names, INET_ANY, port, 0, 0), hash);
    if (u)
        unix_get(u);
    spin_unlock(&ns->unix_lock);
    return u;
}
