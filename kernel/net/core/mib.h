/* SPDX-License-Identifier: MIT
 *
 * What a namespace's protocols count (RFC 4293, RFC 4022, RFC 4113), as /proc/net/snmp, snmp6 and
 * netstat show it. Each processor has a block of its own, made with the first count there; without
 * memory for it the count is lost. Kernel threads are not preempted, so a count is an addition.
 *
 * Context: threads; never sleeps.
 */
#pragma once

#include "arch/x86/percpu.h"
#include "net/core/ns.h"

enum net_mib_number {
    /* IP: those of IPv4, then the same of IPv6 */
    MIB_IP,
    MIB_IN_RECEIVES = MIB_IP,
    MIB_IN_OCTETS,
    MIB_IN_HEADERS, /* bad ones */
    MIB_IN_ADDRESSES,
    MIB_IN_PROTOCOLS, /* without a protocol's handler */
    MIB_IN_DELIVERS,
    MIB_FORWARDED,
    MIB_OUT_REQUESTS,
    MIB_OUT_OCTETS,
    MIB_OUT_DISCARDS,
    MIB_OUT_NO_ROUTES,
    MIB_REASM_TIMEOUT,
    MIB_REASM_REQUESTS,
    MIB_REASM_OKS,
    MIB_REASM_FAILS,
    MIB_FRAG_OKS,
    MIB_FRAG_FAILS,
    MIB_FRAG_CREATES,
    MIB_IP_END,
    MIB_IP6 = MIB_IP_END,
    /* UDP: the same */
    MIB_UDP = MIB_IP6 + (MIB_IP_END - MIB_IP),
    MIB_UDP_IN = MIB_UDP,
    MIB_UDP_NO_PORTS,
    MIB_UDP_ERRORS,
    MIB_UDP_OUT,
    MIB_UDP_FULL, /* the receiver's buffer was */
    MIB_UDP_SUMS,
    MIB_UDP_END,
    MIB_UDP6 = MIB_UDP_END,
    MIB_UDP_LITE = MIB_UDP6 + (MIB_UDP_END - MIB_UDP),
    MIB_UDP_LITE6 = MIB_UDP_LITE + (MIB_UDP_END - MIB_UDP),
    /* ICMP: messages that came, those that were wrong, and those that went */
    MIB_ICMP = MIB_UDP_LITE6 + (MIB_UDP_END - MIB_UDP),
    MIB_ICMP_IN = MIB_ICMP,
    MIB_ICMP_ERRORS,
    MIB_ICMP_OUT,
    MIB_ICMP_LIMITED,
    MIB_ICMP_END,
    MIB_ICMP6 = MIB_ICMP_END,
    MIB_TCP = MIB_ICMP6 + (MIB_ICMP_END - MIB_ICMP),
    MIB_TCP_ACTIVE = MIB_TCP,
    MIB_TCP_PASSIVE,
    MIB_TCP_IN,
    MIB_TCP_OUT,
    MIB_TCP_AGAIN, /* segments that were sent again */
    MIB_TCP_ERRORS,
    MIB_TCP_RESETS,       /* that went */
    MIB_TCP_COOKIES_SENT, /* TcpExt from here on */
    MIB_TCP_COOKIES_GOOD,
    MIB_TCP_COOKIES_BAD,
    MIB_TCP_FULL, /* a listener's queue was */
    MIB_TCP_TIMEWAIT,
    MIB_TCP_FEW_HOPS, /* IP_MINTTL, IPV6_MINHOPCOUNT */
    /* Frames of all links: received; lo's that found no place; times that lo's turn was over. */
    MIB_FRAMES,
    MIB_FRAMES_LOST,
    MIB_FRAMES_LATER,
    NET_MIBS
};
#define MIB_TYPES 32U /* places for types of ICMP of one family and direction */

struct net_mib {
    u64 v[NET_MIBS];
    u32 icmp[2][2][MIB_TYPES]; /* IPv4, IPv6; came, went */
};
/* The place of a type; the last is for all types that are not counted by name. */
static inline u32 net_mib_type(bool v6, u8 type)
{
    if (!v6 || type < 8)
        return MIN((u32)type, MIB_TYPES - 1);
    return type < 128 ? MIB_TYPES - 1 : MIN(type - 128U + 8, MIB_TYPES - 1);
}
/* A namespace's part. */
struct net_mibs {
    struct net_mib *cpus[MAX_CPUS]; /* a  once it is there it stays; NULL: nothing was counted */
};
extern u32 net_mibs_offset;

/* The block of this processor; NULL: no memory. */
struct net_mib *net_mib_make(struct net_mibs *m);
static inline struct net_mib *net_mib(struct net_ns *ns)
{
    struct net_mibs *m = net_part(ns, net_mibs_offset);
    struct net_mib *mib = m->cpus[cpu_id()];

    return likely(mib) ? mib : net_mib_make(m);
}
static inline void net_count_by(struct net_ns *ns, u32 number, u64 by)
{
    struct net_mib *mib = net_mib(ns);

    if (likely(mib))
        mib->v[number] += by;
}
static inline void net_count(struct net_ns *ns, u32 number)
{
    net_count_by(ns, number, 1);
}
/* One of both families'. v6: 0 or 1; number: of IPv4's. */
#define NET_COUNT_IP(ns, number, v6) \
    net_count(ns, (number) + ((v6) ? (u32)(MIB_IP_END - MIB_IP) : 0U))
#define NET_COUNT_ICMP(ns, number, v6) \
    net_count(ns, (number) + ((v6) ? (u32)(MIB_ICMP_END - MIB_ICMP) : 0U))
/* A message of ICMP that came or went, and its type. */
void net_count_icmp(struct net_ns *ns, bool v6, bool went, u8 type);

/* One processor's. */
u64 net_mib_of(struct net_ns *ns, u32 cpu, u32 number);
/* All processors' together. May yield. */
u64 net_mib_sum(struct net_ns *ns, u32 number);
u64 net_mib_icmp_sum(struct net_ns *ns, bool v6, bool went, u8 type);
