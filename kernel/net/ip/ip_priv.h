/* SPDX-License-Identifier: MIT
 *
 * A namespace's part of net/ip, and what its files share.
 */
#pragma once

#include "dev/netdev.h"
#include "net/core/ns.h"
#include "net/ip/addr.h"
#include "net/ip/ip.h"
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
    struct list_node groups; /* l  struct ip_group */
    u32 nr_groups;           /* l */
    u64 generation;          /* a  of all that a path depends on */
    u32 next_id;             /* a  of IPv4 packets */
};
struct ip_ns *ip_ns_of(struct net_ns *ns);
static inline void ip_changed(struct net_ns *ns)
{
    __atomic_add_fetch(&ip_ns_of(ns)->generation, 1, __ATOMIC_SEQ_CST);
}

/* What an address is to a namespace: of the path of a packet there; IP_UNICAST: another host's.
 * dev: the device that a packet came through, or NULL. */
enum ip_path_kind ip_kind_of(struct net_ns *ns, const struct ip_addr *to, const struct netdev *dev);

/* group.c */
bool ip_group_is_joined(struct net_ns *ns, u32 device, const struct ip_addr *group);
void ip_groups_forget(struct net_ns *ns, u32 device); /* 0: all */
/* The link address that packets for a group go to (RFC 1112 6.4, RFC 2464 7). */
void ip_group_link(const struct ip_addr *group, u8 out[NETDEV_ADDR]);
