/* SPDX-License-Identifier: MIT
 *
 * The configuration of a namespace, inside: what it is made of. It does not exist until a device
 * other than lo comes up, or something is set or listed: a namespace with nothing but lo is judged
 * by rules (ip_config_of is NULL).
 *
 * Changes are made under the namespace's config (core/device.h). Readers are within RCU's: tables,
 * routes, rules and addresses are freed after a grace period, devices go after one (core/device.h).
 */
#pragma once

#include "lib/rbtree.h"
#include "net/ip/config.h"
#include "net/ip/due.h"
#include "net/ip/ip_priv.h"
#include "net/ip/lpm.h"
#include "net/ip/reassembly.h"
#include "sync/rcu.h"

#define FAMILY_V4 2 /* AF_INET */
#define FAMILY_V6 10
#define IP_TABLES_MOST 256

/* linux/rtnetlink.h, linux/fib_rules.h, linux/if_addr.h */
enum { TABLE_DEFAULT = 253, TABLE_MAIN = 254, TABLE_LOCAL = 255 };
enum {
    ROUTE_UNICAST = 1,
    ROUTE_LOCAL = 2,
    ROUTE_BROADCAST = 3,
    ROUTE_ANYCAST = 4,
    ROUTE_MULTICAST = 5,
    ROUTE_BLACKHOLE = 6,
    ROUTE_UNREACHABLE = 7,
    ROUTE_PROHIBIT = 8,
    ROUTE_THROW = 9,
};
enum { SCOPE_UNIVERSE = 0, SCOPE_LINK = 253, SCOPE_HOST = 254, SCOPE_NOWHERE = 255 };
enum { ROUTE_BY_KERNEL = 2, ROUTE_BY_BOOT = 3 };
enum { HOP_DEAD = 1, HOP_ONLINK = 4, HOP_LINKDOWN = 16 };
enum {
    RULE_TABLE = 1,
    RULE_GOTO = 2,
    RULE_NOP = 3,
    RULE_BLACKHOLE = 6,
    RULE_UNREACHABLE = 7,
    RULE_PROHIBIT = 8
};
enum {
    ADDR_SECONDARY = 0x01,
    ADDR_NODAD = 0x02,
    ADDR_OPTIMISTIC = 0x04,
    ADDR_DADFAILED = 0x08,
    ADDR_DEPRECATED = 0x20,
    ADDR_TENTATIVE = 0x40,
    ADDR_PERMANENT = 0x80,
    ADDR_NOPREFIXROUTE = 0x200,
};

/* Of an address that is linked: a receiver adds ADDR_DADFAILED meanwhile. What they were before. */
static inline u32 addr_flags_set(u32 *flags, u32 on)
{
    return __atomic_fetch_or(flags, on, __ATOMIC_RELAXED);
}
static inline u32 addr_flags_clear(u32 *flags, u32 off)
{
    return __atomic_fetch_and(flags, ~off, __ATOMIC_RELAXED);
}

struct ip_metrics {
    u32 mtu, advmss, window, initcwnd, initrwnd, rto_min, hoplimit, features, quickack;
};

/* dev: borrowed; the route goes before it. */
struct ip_hop {
    struct netdev *dev;
    struct ip_addr gateway; /* any: the neighbour is the destination */
    u32 weight;
    u8 flags;
};

/* I once it is in a table · c config · a atomic */
struct ip_route {
    struct rb_node node;   /* c */
    struct ip_route *next; /* a  of the same prefix, in the order in which they are tried */
    struct rcu_head rcu;
    struct ip_addr to, prefsrc;
    u32 table, priority;
    u16 family;
    u8 prefix, tos, type, scope, protocol, nr_hops;
    u64 expires;       /* time_ns(); 0: never */
    struct ip_due due; /* c  in the config's tree, by that */
    struct ip_metrics metrics;
    struct ip_hop hops[];
};
struct ip_table {
    struct ip_table *next; /* a */
    struct rcu_head rcu;
    struct lpm_node *root; /* a */
    u32 id;
    u16 family;
    u32 nr; /* c */
};
struct ip_rule {
    struct ip_rule *next; /* a  by priority */
    struct rcu_head rcu;
    struct ip_rule_view v;
};

/* An address of a device. I once it is in the list · c config · a atomic */
struct ip_ifaddr {
    struct rb_node node;    /* c */
    struct ip_ifaddr *next; /* a  of the device, in the order they were added */
    struct rcu_head rcu;
    struct netdev *dev; /* borrowed: taken off before the device goes */
    struct ip_addr addr, peer, broadcast;
    u16 family;
    u8 prefix, scope, protocol; /* prefix: bits, of the family's */
    u8 probes;                  /* c  of duplicate address detection, that are to be sent */
    bool joined;                /* c  the group of its solicitations */
    u32 flags;                  /* c to change; a */
    u32 metric;
    u64 valid_until, preferred_until; /* c to change; a  time_ns(); 0: forever */
    u64 probe_at;                     /* c */
    struct ip_due due;                /* c  in the config's tree, by the first of these */
    u64 created, updated;             /* c */
    char label[NETDEV_NAME];
};
/* What a device has of IP (netdev->ip). */
struct ip_device {
    struct netdev *dev;
    struct ip_ifaddr *addrs; /* a */
    u64 queries[2];          /* a  the limits of general queries: IPv4's, IPv6's */
    struct rcu_head rcu;
};

static inline struct ip_device *ip_device_of(const struct netdev *dev)
{
    return load_acquire((struct ip_device *const *)&dev->ip);
}
static inline struct ip_ifaddr *ip_addrs_of(const struct netdev *dev)
{
    struct ip_device *d = ip_device_of(dev);

    return d ? load_acquire(&d->addrs) : NULL;
}
static inline struct ip_ifaddr *ip_addr_after(const struct ip_ifaddr *a)
{
    return load_acquire(&a->next);
}

struct ip_config {
    struct net_ns *ns;                    /* I */
    struct ip_table *tables;              /* a */
    struct ip_table *local[2], *main[2];  /* I  [0] IPv4, [1] IPv6 */
    u32 nr_tables;                        /* c */
    struct rb_root routes;                /* c  in the order of ip_route_next */
    u32 nr_routes;                        /* c */
    struct ip_rule *rules[2];             /* a */
    bool rules_made[2];                   /* c */
    bool ruled[2];                        /* a  the rules are not those of every namespace */
    u32 nr_rules;                         /* c */
    u64 last_place;                       /* c  of a rule */
    struct rb_root addrs;                 /* c */
    struct rb_root addrs_due, routes_due; /* c  those with a time (due.h) */
    u32 nr_addrs;                         /* c */
    struct spinlock timer_lock;           /* of who starts the timer: receivers do, too */
    struct timer timer;                   /* lifetimes, detection of duplicates, fragments */
    struct work work;
    bool closed; /* a  the timer is started no more */
    struct reassembly reassembly;
    struct neighbour_table neighbours[2];
};
/* NULL: it has nothing but lo as it was made. */
static inline struct ip_config *ip_config_of(struct net_ns *ns)
{
    return load_acquire(&ip_ns_of(ns)->config);
}
/* Makes it; NULL: no memory. config held. */
struct ip_config *ip_config_make(struct net_ns *ns) __must_check;
/* The timer runs at latest then. */
void ip_config_due(struct ip_config *c, u64 at);

static inline u32 ip_family_index(u16 family)
{
    return family == FAMILY_V6;
}
static inline u16 ip_family(const struct ip_addr *a)
{
    return ip_is_v4(a) ? FAMILY_V4 : FAMILY_V6;
}
/* Its first bits, of the family's. */
struct ip_addr ip_masked(const struct ip_addr *a, u16 family, u32 prefix);
static inline bool ip_in_net(const struct ip_addr *a, const struct ip_addr *net, u32 prefix)
{
    u16 family = ip_family(net);
    struct ip_addr x = ip_masked(a, family, prefix), y = ip_masked(net, family, prefix);

    return ip_is_v4(a) == ip_is_v4(net) && ip_equal(&x, &y);
}

/* fib.c: tables. */
struct ip_table *fib_table(struct ip_config *c, u16 family, u32 id);
/* Takes r on 0. config held. -ENOMEM, -ENOBUFS. before: the route it goes in front of (of the same
 * prefix and table), or NULL: behind all of its priority. */
int fib_insert(struct ip_config *c, struct ip_route *r, const struct ip_route *before) __must_check;
void fib_remove(struct ip_config *c, struct ip_route *r); /* frees it after a grace period */
/* The first one in the table of that prefix; config held. */
struct ip_route *fib_first(struct ip_config *c, u16 family, u32 table, const struct ip_addr *to,
                           u32 prefix);

struct fib_result {
    const struct ip_route *route;
    const struct ip_hop *hop;
};
/* How much more a look-up may look at. */
struct fib_steps {
    u32 left;
};
static inline bool fib_step(struct fib_steps *s)
{
    return s->left && s->left--;
}
/* In one table: -EAGAIN: it has none, or not within so many steps. */
int fib_table_find(const struct ip_table *t, const struct ip_flow *f, struct fib_steps *steps,
                   struct fib_result *out);
static inline int fib_table_lookup(const struct ip_table *t, const struct ip_flow *f,
                                   struct fib_result *out)
{
    struct fib_steps steps = {IP_ROUTES_PREFIX + LPM_BITS};

    return fib_table_find(t, f, &steps, out);
}
struct ip_table *fib_table_counted(struct ip_config *c, u16 family, u32 id,
                                   struct fib_steps *steps);

/* lookup.c. By rules and tables; within RCU. in: index of the device a packet came through; 0: it
 * is sent here. 0; -ENETUNREACH, -EHOSTUNREACH, -EACCES, -EINVAL. */
int fib_lookup(struct ip_config *c, const struct ip_flow *f, u32 in, struct fib_result *out);

/* rule.c */
void rules_free(struct ip_config *c);

/* route.c, config held */
/* A route of the kernel's own. */
void route_add_own(struct ip_config *c, const struct ip_route_view *v);
void route_remove_own(struct ip_config *c, const struct ip_route_view *v);
void routes_forget(struct ip_config *c, const struct netdev *dev, bool gone);
/* Drops some that have expired; when the next one does, or 0. */
u64 routes_expire(struct ip_config *c, u64 now);
void routes_free(struct ip_config *c);

/* address.c, config held */
int address_up(struct ip_config *c, struct netdev *dev) __must_check;
void address_down(struct ip_config *c, struct netdev *dev, bool gone);
int address_lo(struct ip_config *c, struct netdev *lo) __must_check;
/* Does some of what is due; when the rest is, or 0. */
u64 address_time(struct ip_config *c, u64 now);
/* IPv6 of a device is switched: its addresses go, or those that come by themselves come. */
void address_switch6(struct netdev *dev, bool on);
void address_free(struct ip_config *c);

/* select.c. Within RCU: the source for a destination through dev (any: none). */
void select_source(struct ip_config *c, struct netdev *dev, const struct ip_addr *to, u8 scope,
                   struct ip_addr *out);
