/* SPDX-License-Identifier: MIT
 *
 * Groups of sockets at a port, as port.c keeps and port_find.c looks them up.
 */
#pragma once

#include "lib/xarray.h"
#include "net/ip/port.h"

enum port_kind {
    PORT_AT,   /* at the address, which may be a wildcard of one family */
    PORT_DUAL, /* at the wildcard of both families */
    PORT_ALL4, /* all of the port that take IPv4; counts only */
    PORT_ALL6,
};

struct port_key {
    struct ip_addr addr, peer_addr;
    u32 scope;
    u16 port, peer_port;
    u8 kind;
};

struct port_group {
    struct rb_node node;
    struct port_key key;
    u32 nr, nr_listening;         /* counted here */
    u32 nr_no_reuse, nr_no_share; /* of them, without SO_REUSEADDR, SO_REUSEPORT */
    kuid_t uid;                   /* of the first */
    bool uids_differ;
    struct xarray members;   /* by their index */
    struct inet_sock *first; /* of them: index 0 */
    u32 nr_members;
};

extern const struct ip_addr port_any6, port_any4;

/* The group of a key; of all of a kind at the port; of those at the address. NULL: none. Under the
 * table's lock. */
struct port_group *port_group_find(struct port_table *t, const struct port_key *key);
struct port_group *port_group_all(struct port_table *t, u8 kind, u16 port);
struct port_group *port_group_at(struct port_table *t, const struct ip_addr *addr, u32 scope,
                                 u16 port);
