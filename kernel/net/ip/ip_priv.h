/* SPDX-License-Identifier: MIT
 *
 * A namespace's part of net/ip, and what its files share.
 */
#pragma once

#include "dev/netdev.h"
#include "net/core/ns.h"
#include "net/ip/addr.h"
#include "net/ip/ipv4.h"
#include "net/ip/neighbour_table.h"

/* An address that a device has. */
struct ip_ifaddr {
    struct list_node node;
    struct netdev *dev; /* borrowed: taken off before the device goes */
    struct ip_addr addr;
    u8 prefix; /* bits, of the family's */
};

/* l lock · a atomic */
struct ip_ns {
    struct spinlock lock;     /* RANK_NET 8 */
    struct list_node addrs;   /* l */
    u32 nr_addrs;             /* l */
    struct ip_addr gateway;   /* l  for all that is not on a link; ::: none */
    bool sysctls[IP_SYSCTLS]; /* a */
    struct neighbour_table neighbours;
    u32 next_id; /* a  of IPv4 packets */
};
struct ip_ns *ip_ns_of(struct net_ns *ns);

/* A protocol over IP; takes p, which begins with the transport's header, and whose network header
 * is at p->network. Context: a thread; never sleeps. */
struct ip_protocol {
    u8 protocol;
    void (*receive)(struct packet *p, const struct ipv4 *h);
};
#define IP_PROTOCOL(id) TABLE_ENTRY(struct ip_protocol, ip_protocols, #id)

/* output.c: puts an IPv4 header before p's data and sends it the way to h->to; total, id and ttl 0
 * are seen to. Takes p. 0, -ENETUNREACH, -EMSGSIZE, or neighbour_output's. Never sleeps. */
int ipv4_output(struct net_ns *ns, struct packet *p, struct ipv4 *h);
