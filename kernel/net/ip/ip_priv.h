/* SPDX-License-Identifier: MIT
 *
 * A namespace's part of net/ip, and what its files share. What it is configured to is fib.h's.
 */
#pragma once

#include "dev/netdev.h"
#include "lib/rbtree.h"
#include "net/core/conf.h"
#include "net/core/device.h"
#include "net/core/mib.h"
#include "net/core/ns.h"
#include "net/ip/addr.h"
#include "net/ip/ip.h"
#include "net/ip/ipv4.h"
#include "net/ip/neighbour_table.h"
#include "net/ip/report.h"

#define IP_LIMIT_SLOTS 8
/* That a packet is cut into where it passes, at one go: the longest one at an MTU of 280. */
#define IP_PARTS_MOST 256U

struct ip_config;
struct pmtu_table;

/* What sysctl.c shows: all a. [0] IPv4, [1] IPv6. */
struct ip_values {
    s32 ttl;
    s32 ports[2];     /* first and last of those that are chosen for programs */
    s32 unprivileged; /* from this port on anyone may have it */
    s32 error_rate, error_burst,
        error_gap[2];                         /* ICMP's errors: a second, at once; ms to one host */
    bool nonlocal[2], echo_ignore[3], v6only; /* echo_ignore[2]: IPv6's groups */
    u64 *reserved; /* a bit for each port that is not chosen; NULL: none; once there it stays */
};

/* When groups are reported: membership.c. */
struct membership {
    struct net_ns *ns; /* I */
    struct timer timer;
    struct work work;
    bool closed; /* a  nothing is reported any more */
};

/* l lock · a atomic · I immutable after create */
struct ip_ns {
    struct ip_config *config; /* a  once it is there it stays */
    struct account *account;  /* I  its maker's */
    u64 generation; /* a  of all that a path depends on; no two namespaces have the same ever */
    struct spinlock lock;      /* RANK_NET 8 */
    struct rb_root groups;     /* l  struct ip_group */
    struct rb_root groups_due; /* l  those of which something is to be said (due.h) */
    struct membership membership;
    u32 nr_groups; /* l */
    struct ip_values values;
    struct pmtu_table *pmtu;                    /* a  NULL: nothing was learnt */
    u64 pmtu_limit;                             /* l  of what is learnt */
    u64 error_all, error_peers[IP_LIMIT_SLOTS]; /* a  the limits of ICMP's errors */
};
extern u32 ip_ns_offset;
/* All namespaces' jobs of time (config.c, neighbour_table.c): each does a part of what is due, then
 * others have their turn. What programs of a namespace make due keeps only these waiting. */
extern struct workq *ip_worker;
struct ip_ns *ip_ns_of(struct net_ns *ns);
static inline struct ip_values *ip_values_of(struct net_ns *ns)
{
    return &ip_ns_of(ns)->values;
}
static inline void ip_changed(struct net_ns *ns)
{
    __atomic_add_fetch(&ip_ns_of(ns)->generation, 1, __ATOMIC_SEQ_CST);
}
/* The table of that address's family; NULL: there was no neighbour yet. */
struct neighbour_table *ip_neighbours(struct net_ns *ns, const struct ip_addr *of);

/* What an address is to a namespace: of the path of a packet there; IP_UNICAST: another host's. */
enum ip_path_kind ip_kind_of(struct net_ns *ns, const struct ip_addr *to);

/* input.c: to its watchers and its protocol. Takes p. */
void ip_deliver(struct packet *p, const struct ip_info *h);

/* output.c: takes p, which gets dev's link header, to that address there. NULL: dev has no
 * neighbours; a header that has an address has dev's own. */
int ip_output_link(struct packet *p, struct netdev *dev, const u8 *to);

/* id.c: the number of the next packet of IPv4. */
u16 ip_id(void);

/* pmtu.c */
void pmtu_learn(struct net_ns *ns, const struct ip_addr *to, u32 mtu);
u32 pmtu_of(struct net_ns *ns, const struct ip_addr *to, u32 mtu); /* mtu, or what was learnt */
void pmtu_free(struct net_ns *ns);

/* group.c */
/* For an address of the kernel's: there is always room. What ip_group_join says otherwise. */
int ip_group_join_own(struct net_ns *ns, u32 device, const struct ip_addr *group) __must_check;
void ip_group_leave_own(struct net_ns *ns, u32 device, const struct ip_addr *group);
bool ip_group_is_joined(struct net_ns *ns, u32 device, const struct ip_addr *group);
void ip_groups_forget(struct net_ns *ns, u32 device); /* 0: all */
/* Records that are due now, of one device, family and version, the earliest first; returns when
 * more will be, or 0. A call looks at few of them; if the batch is empty, none is due. */
struct membership_batch {
    u32 device, nr;
    bool v4;
    u8 version;
    struct ip_addr groups[REPORT_IGMP_RECORDS];
    u8 kinds[REPORT_IGMP_RECORDS];
};
u64 ip_groups_collect(struct net_ns *ns, struct membership_batch *b);
void ip_groups_ask(struct netdev *dev, bool v4, const struct report_query *q);
void ip_groups_heard(struct net_ns *ns, u32 device, const struct ip_addr *group);
void ip_groups_rejoin(struct net_ns *ns, u32 device); /* it is up */
/* A line of each group of a device: /proc/net/igmp, igmp6. */
struct seq;
/* May sleep. */
void ip_groups_show(struct net_ns *ns, const struct netdev *dev, bool v4, struct seq *out);
u32 ip_groups_count(struct net_ns *ns, u32 device, bool v4, u8 *version);

/* membership.c */
void membership_init(struct membership *m, struct net_ns *ns);
void membership_fini(struct membership *m); /* may sleep */
void membership_kick(struct net_ns *ns);    /* something is due, or earlier */
/* A message of MLD, whose checksum is right. Borrows p, which begins with it. */
void membership_mld(struct packet *p, const struct ip_info *h);
/* The link address that packets for a group go to (RFC 1112 6.4, RFC 2464 7). */
void ip_group_link(const struct ip_addr *group, u8 out[NETDEV_ADDR]);
