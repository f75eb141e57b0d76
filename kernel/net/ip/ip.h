/* SPDX-License-Identifier: MIT
 *
 * IP as the protocols above it see it, both families in one: what a received packet says of itself,
 * the way to an address, output, and errors that come back. IPv4 addresses are mapped
 * (core/addr.h); the address decides which header goes onto the wire.
 *
 * Receiving. A protocol declares IP_PROTOCOL; `receive` runs in the thread that brought the packet
 * up (the worker of a device's queue, or a sender whose packet goes over lo), never sleeps, and may
 * send. Fragments are put together, extension headers passed, and the destination is this
 * namespace's (an address, a broadcast, a group that was joined at the device) before it is called.
 *
 * Sending. Find a path, keep it as long as ip_path_is_valid says so (a connected socket caches it),
 * and give packets to ip_output. No socket's or table's lock is held over ip_output: over lo it
 * ends in the `receive` of the same or another protocol, in the caller's context.
 *
 * Context: all but ip_group_join and ip_group_leave never sleep. A path holds a reference to its
 * device, so its keeper puts it back when the device goes (core/device.h) or when it is not
 * valid any more.
 */
#pragma once

#include "dev/packet.h"
#include "net/core/addr.h"
#include "net/core/ns.h"
#include "obj/cred.h"

#define IP_HEADERS_MAX \
    120 /* bytes before the transport's header that ip_output may put, without the link's */

struct netdev;

/* What the header says, or is to say. */
struct ip_info {
    struct ip_addr from, to;
    u32 device;      /* received: index of the device it came through */
    u32 flow;        /* IPv6's flow label */
    u8 protocol;     /* of the transport, behind all extension headers */
    u8 hops;         /* TTL or hop limit. output: 0: the default of the path */
    u8 tos;          /* TOS or traffic class, ECN bits included */
    bool whole_only; /* IPv4's DF. output: larger than the path's MTU is -EMSGSIZE, in both families
                      */
    bool transparent; /* output: `from` need not be an address of the namespace (raw sockets,
                         answers to fragments) */
    bool no_loop;     /* output: to a group: not to this host's members (IP_MULTICAST_LOOP off) */
};

/* An error that came back for a packet of this namespace, or that its own output met. */
struct ip_error {
    struct ip_addr reporter;
    int err;       /* positive errno as Linux maps it (icmp(7), ipv6(7)) */
    bool hard;     /* an established connection is given up for it, if it asked to be told */
    u8 origin;     /* SO_EE_ORIGIN_ICMP 2, _ICMP6 3, _LOCAL 1 */
    u8 type, code; /* as on the wire */
    u32 mtu;       /* a packet was too big: the path's new MTU, which ip knows already; else 0 */
};

struct ip_protocol {
    u8 protocol;
    /* Takes p, which begins with the transport's header (not linear: packet_need); p->network and
     * p->transport are set, p->kind says whom the link addressed. */
    void (*receive)(struct packet *p, const struct ip_info *h);
    /* h: of the packet that was sent, so h->from is ours; at: the first n >= 8 bytes of its
     * transport's header, foreign bytes: they need not be of anything that was sent. NULL: not
     * wanted. */
    void (*error)(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n,
                  const struct ip_error *e);
    /* Whether a packet like that, given as to `error`, may be of a socket here: only then is it
     * believed what a router says of its path. NULL: never. */
    bool (*sent)(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n);
};
#define IP_PROTOCOL(id) TABLE_ENTRY(struct ip_protocol, ip_protocols, #id)

/* Who sees what this namespace receives, before the protocol does (raw sockets). */
struct ip_watcher {
    /* Borrows p, which is as for the protocol's receive; may clone it. True: it was wanted, so that
     * no answer says that there is no such protocol. */
    bool (*receive)(struct packet *p, const struct ip_info *h);
    /* As the protocol's. */
    void (*error)(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n,
                  const struct ip_error *e);
    bool (*sent)(struct net_ns *ns, const struct ip_info *h, const u8 *at, u32 n);
};
#define IP_WATCHER(id) TABLE_ENTRY(struct ip_watcher, ip_watchers, #id)

/* What chooses a path. */
struct ip_flow {
    struct ip_addr to;
    struct ip_addr from; /* :: or 0.0.0.0: chosen (RFC 6724) */
    u32 device;          /* bound to, or the scope of a link-local address; 0: any */
    u32 mark;
    u16 from_port, to_port; /* for rules and next hops of equal cost; 0: not known */
    u8 protocol, tos;
    kuid_t uid;
};
/* The user for packets that no socket sends: root of the namespace's user namespace; ID_INVALID: it
 * has none. */
kuid_t ip_kernel_uid(const struct net_ns *ns);

enum ip_path_kind { IP_LOCAL, IP_UNICAST, IP_BROADCAST, IP_MULTICAST };

struct ip_path {
    struct netdev *dev;    /* a reference; IP_LOCAL: lo */
    struct ip_addr next;   /* the neighbour */
    struct ip_addr source; /* flow.from, or the one chosen */
    u64 generation;        /* of the namespace's routes when it was found */
    u32 mtu; /* of packets, IP's header included: device, route, and what was learnt of the path */
    u32 advmss, window, initcwnd, initrwnd, rto_min_ms; /* a route's metrics; 0: none */
    u8 hops;                                            /* the default TTL or hop limit */
    u8 kind;                                            /* enum ip_path_kind */
    bool ecn, quickack;                                 /* a route's features */
};

/* 0; -ENETUNREACH, -EHOSTUNREACH, -EACCES (a prohibit route), -EINVAL (a blackhole; link-local
 * without a device; from is of the other family), -ENODEV. out->dev is referenced on 0. */
int ip_path_find(struct net_ns *ns, const struct ip_flow *flow, struct ip_path *out) __must_check;
void ip_path_put(struct ip_path *path); /* zeroed: does nothing; zeroes it */
/* Nothing has changed since it was found that could lead elsewhere (routes, rules, addresses,
 * devices, a learnt MTU). Two loads. */
bool ip_path_is_valid(struct net_ns *ns, const struct ip_path *path);

/* Puts IP's header before p, whose first byte is the transport's, and sends it that way; a packet
 * beyond the MTU is cut into fragments where h allows it, unless p->gso says that segments will
 * fit. Takes p. 0; -EMSGSIZE, -EHOSTUNREACH (the neighbour does not answer), -ENOBUFS, -ENETDOWN.
 */
int ip_output(struct net_ns *ns, struct packet *p, const struct ip_path *path,
              const struct ip_info *h);
/* Sends p, which begins with its IP header, that way as it is. Takes p. The same errors. */
int ip_output_made(struct net_ns *ns, struct packet *p, const struct ip_path *path,
                   const struct ip_info *h);
/* The same with a path of its own, for an answer without a socket: from h->from to h->to. device:
 * the one to leave by (link-local), or 0. */
int ip_answer(struct net_ns *ns, struct packet *p, const struct ip_info *h, u32 device);
/* The neighbour of the path has just been heard of by the protocol above (an ACK of new data): it
 * need not be asked (RFC 4861 7.3.1). Cheap when it was confirmed a moment ago. */
void ip_path_confirm(struct net_ns *ns, const struct ip_path *path);

/* The checksum of the pseudo header for n bytes of transport, not folded (RFC 9293 3.1, RFC
 * 8200 8.1). */
u64 ip_pseudo_sum(const struct ip_info *h, u32 n);
/* The transport's checksum over all of p is right, or the device has seen to it. */
bool ip_sum_is_ok(const struct packet *p, const struct ip_info *h);
/* p's sum at `offset` of TCP's or UDP's header is left to the device, or to the last step before
 * it: of other protocols not all devices make one (QEMU's e1000e does not). */
void ip_sum_later(struct packet *p, const struct ip_info *h, u16 offset);
/* The same of any protocol, made now. False: the word lies outside the linear bytes. */
bool ip_sum_now(struct packet *p, const struct ip_info *h, u16 offset) __must_check;

/* Answers p, which was received and is h, with an ICMP error in its family, within the limits of
 * RFC 1122 3.2.2 and RFC 4443 2.4 (never for an error, a group, a broadcast, a fragment behind the
 * first; rate limited in each namespace and for each destination). Borrows p. */
enum ip_refusal { IP_NO_PORT, IP_NO_PROTOCOL, IP_PROHIBITED };
void ip_refuse(struct packet *p, const struct ip_info *h, enum ip_refusal why);

/* Membership of groups, counted for each (device, group): the first joins (IGMPv3, MLDv2, the
 * device's filter), the last leaves. For the calling program; at a device there are so many places
 * for one user, for all users, and for those with CAP_NET_ADMIN. May sleep. 0, -ENODEV, -EINVAL (no
 * group), -ENOBUFS (too many at the device). */
int ip_group_join(struct net_ns *ns, u32 device, const struct ip_addr *group) __must_check;
void ip_group_leave(struct net_ns *ns, u32 device, const struct ip_addr *group);
